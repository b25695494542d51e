//! What must hold for every input, tried with many that chance makes: round trips, agreement with
//! two other DNS libraries, and inputs that once were trouble.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
#[path = "../fuzz/checks/mod.rs"]
mod checks;
mod imported;
mod names;
mod queries;
mod ready;
mod replay;
mod snapshots;

use proptest::test_runner::Config;

/// Cases from the environment (`PROPTEST_CASES`) or the default. Failures are not kept in a file
/// of proptest's: what is worth keeping gets an entry in tests/crashes, with its story.
fn config() -> Config {
    Config { failure_persistence: None, ..Config::default() }
}
