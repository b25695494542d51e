//! The load generator, through the real program: servers that lie in every way it must see, servers
//! that no one here wrote, and what it counts compared with what dnsperf and the kernel count.
//!
//! The liars are small servers of this test on loopback; NSD and Unbound run in network namespaces.

mod liar;
mod program;

mod agreement;
mod inputs;
mod lies;
mod open_loop;
mod outputs;
mod transports;
