//! corewise: the binary.
fn main() {}
