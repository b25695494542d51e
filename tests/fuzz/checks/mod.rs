//! What each fuzz target holds true of its input. The targets call these, and so does
//! tests/property, which replays the seeds and the entries of tests/crashes without a fuzzer.
#![allow(dead_code, reason = "each fuzz target calls its own check only; the replay calls all")]

pub(crate) mod engine;
pub(crate) mod frame;
pub(crate) mod import;
pub(crate) mod name;
pub(crate) mod query;
pub(crate) mod response;
pub(crate) mod script;

/// Panics if something does not hold.
type Check = fn(&[u8]);

/// Every target by its name.
pub(crate) const TARGETS: &[(&str, Check)] = &[
    ("query", query::check),
    ("name", name::check),
    ("response", response::check),
    ("frame", frame::check),
    ("engine", engine::check),
    ("import_unbound", import::unbound),
    ("import_bind", import::bind),
    ("import_pdns", import::pdns),
    ("import_knot", import::knot),
    ("import_coredns", import::coredns),
    ("script", script::check),
];
