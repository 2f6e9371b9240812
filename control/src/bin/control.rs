//! The control process.
fn main() {}
