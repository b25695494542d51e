//! dns64ctl: asks and steers a responder.

fn main() {}
