//! End-to-end tests: the real program, real servers around it, real clients before it, each in a
//! network namespace of its own.
//!
//! The responder under test is `dns64d`, or another DNS64 that the environment variable
//! `DNS64_TEST_SUBJECT` names: a test that a mature responder fails is looked at first. Needs root
//! and the programs of [`PROGRAMS`]; without them the tests say so and pass, where `CI=true` they
//! fail.

mod dig;
mod message;
mod network;
mod subject;
mod zone;

mod addresses;
mod page;
mod resolution;
mod shutdown;
mod startup;
mod upstream_failure;

/// The programs besides `ip` that the tests run.
const PROGRAMS: [&str; 9] =
    ["ip", "nsd", "unbound", "dig", "dnsperf", "tayga", "curl", "python3", "getent"];

/// Whether the tests can run; says why if not.
fn available() -> bool {
    dns64_tests::netns::available(&PROGRAMS)
}
