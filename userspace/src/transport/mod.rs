//! What carries messages between the network and the workers. Nothing here knows DNS beyond the
//! message ID and the length prefix of TCP (RFC 1035 4.2.2).

pub mod af_xdp;
pub mod inbox;
pub mod passed;
pub mod poll;
pub mod socket;
pub mod task_inbox;
pub mod tcp;
pub mod upstream;
