//! The load generator, through the real program: servers that lie in every way it must see, servers
//! that no one here wrote, and what it counts compared with what dnsperf and the kernel count.
//!
//! The liars are small servers of this test on loopback; the others, and whatever a flood is sent
//! to, run in network namespaces.

mod liar;
mod program;

mod agreement;
mod flood;
mod inputs;
mod lies;
mod open_loop;
mod options;
mod outputs;
mod transports;
