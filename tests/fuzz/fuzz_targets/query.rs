//! Any octets as a query from a client, and the reply to it.
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::query::check(bytes));
