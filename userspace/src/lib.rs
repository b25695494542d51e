//! dns64d: a DNS64 responder (RFC 6147) with a pure engine and per-core workers.
#![deny(unsafe_code)]

pub mod datagram;
pub mod limits;
pub mod pref64;
#[allow(unsafe_code, reason = "the only door to the operating system's unsafe side")]
pub mod sys;
pub mod time;
pub mod transport;
