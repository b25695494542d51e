//! Any octets as the life of two engines: queries, responses, time.
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::engine::check(bytes));
