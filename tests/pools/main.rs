//! Pools of gateways through the real program, in network namespaces: scripted targets behind
//! gateways that are made up, and real NAT64 of which one is killed.

mod network;
mod scripted;
mod tayga;

/// Whether the tests can run; says why if not.
fn available(programs: &[&str]) -> bool {
    dns64_tests::netns::available(programs)
}
