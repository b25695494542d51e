//! dns64bench: measures dns64d.

fn main() {}
