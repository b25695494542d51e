//! dns64d: a DNS64 responder (RFC 6147) with a pure engine and per-core workers.
#![deny(unsafe_code)]

pub mod answer;
pub mod cache;
pub mod config;
pub mod counters;
pub mod datagram;
pub mod engine;
pub mod limits;
pub mod policy;
pub mod pref64;
pub mod reverse;
#[allow(unsafe_code, reason = "the only door to the operating system's unsafe side")]
pub mod sys;
pub mod time;
pub mod transport;
pub mod wire;
