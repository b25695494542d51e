#![doc = include_str!("../ARCHITECTURE.md")]
#![deny(unsafe_code)]

pub mod admission;
pub mod answer;
pub mod ask;
pub mod cache;
pub mod config;
pub mod connections;
pub mod control;
pub mod counters;
pub mod daemon;
pub mod datagram;
pub mod datapath;
pub mod demo;
pub mod dnssec;
pub mod durations;
pub mod engine;
pub mod import;
pub mod limits;
pub mod metrics;
pub mod policy;
pub mod pools;
pub mod pref64;
pub mod publisher;
pub mod reverse;
pub mod runtime;
pub mod script;
#[allow(unsafe_code, reason = "the only door to the operating system's unsafe side")]
pub mod sys;
pub mod time;
pub mod trace;
pub mod transport;
pub mod watchdog;
pub mod wire;
pub mod worker;
pub mod xdp;
