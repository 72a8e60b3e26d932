//! Placeholder entry of the bench package, replaced in this series.
fn main() {}
