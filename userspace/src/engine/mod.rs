//! The engine: pure decisions about queries, responses and time.
#![forbid(unsafe_code)]

pub mod timer;
