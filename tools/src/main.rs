//! Placeholder entry of the tools package, replaced in this series.
fn main() {}
