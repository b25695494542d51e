//! Any octets as a name: in wire form, compressed, and as text.
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::name::check(bytes));
