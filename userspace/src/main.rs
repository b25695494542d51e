//! dns64d: the responder.

fn main() {}
