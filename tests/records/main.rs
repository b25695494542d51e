//! What is recorded of queries, through the real program: dnstap as independent readers see it, the
//! query log, and the journal. And that recording costs no answer, whatever becomes of the readers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod journal;
mod log;
mod reader;
mod tap;
mod world;
