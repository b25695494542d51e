//! The library half of dns64bench: the scripted upstream, which the test suite starts in-process,
//! and the tools that measure DNS64 servers.
//!
//! | module | does |
//! |---|---|
//! | [`upstream`] | answers what the names themselves say |
//! | [`load`] | sends queries and verifies the answers |
//! | [`flood`] | sends queries from inside the kernel, and verifies the answers inside XDP |
//! | [`capacity`] | searches for the highest rate without a loss (RFC 8219) |
//! | [`echo`] | the least a server can do: the machine's limit |
//! | [`xdp`] | the same below sockets: `AF_XDP`, and XDP itself |
//! | [`route`] | which way packets go that no socket sends |
//! | [`names`] | query files |
//! | [`lab`] | compares servers side by side |
//! | [`results`] | what a comparison brought, as JSON |
//! | [`report`] | results as an HTML file |
//! | [`wire`] | as much of DNS as a tester needs |
//! | [`socket`], [`wait`] | sockets as all of these open them and wait for them |
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod capacity;
pub mod echo;
pub mod engine;
pub mod flood;
pub mod lab;
pub mod load;
pub mod names;
pub mod report;
pub mod results;
pub mod route;
pub mod socket;
pub mod upstream;
pub mod wait;
pub mod wire;
pub mod xdp;
