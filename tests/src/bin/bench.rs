//! Measures a release build of the host.
fn main() {}
