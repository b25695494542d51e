//! Any octets as a response from upstream, compiled and written again in every way.
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::response::check(bytes));
