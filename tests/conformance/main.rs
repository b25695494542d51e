//! Conformance: what the RFCs say, sentence by sentence, and a test for each that concerns us.
//!
//! A test quotes the sentence that it proves, in the form
//!
//! ```text
//! //= rfc6147#5.1.3
//! //= type=test
//! //# it is treated as RCODE=2 (Server failure).
//! ```
//!
//! `(paraphrase)` in front says that the words are ours. The sentences, those without a test too,
//! are listed in `requirements.toml`; [`requirements`] holds list and tests against each other and
//! prints how many are covered.
//!
//! Most tests drive the engine in this process, with time and upstream servers made up
//! ([`dns64_tests::in_process`]); those about transports start the real program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod program;
mod requirements;

mod rfc2308;
mod rfc5452;
mod rfc6052;
mod rfc6147;
mod rfc6891;
mod rfc7050;
mod rfc7766;
mod rfc8020;
mod rfc8482;
mod rfc8767;
mod rfc8880;
mod rfc8914;
mod rfc9520;
mod rfc9619;

use dns64_tests::in_process::{Query, Responder, Response};

/// The SOA that comes with denials, TTL and MINIMUM 300.
const SOA: &str = "example. 300 IN SOA ns.example. h.example. 1 3600 600 86400 300";

/// RCODE NOERROR.
const NOERROR: u16 = 0;
/// RCODE FORMERR.
const FORMERR: u16 = 1;
/// RCODE SERVFAIL.
const SERVFAIL: u16 = 2;
/// RCODE NXDOMAIN.
const NXDOMAIN: u16 = 3;

/// A responder with the default configuration.
fn responder() -> Responder {
    Responder::new("")
}

/// A responder whose upstream knows `v4.example.`, an A record without AAAA.
fn responder_with_v4() -> Responder {
    with_v4(responder())
}

/// Adds `v4.example.`, an A record without AAAA.
fn with_v4(mut responder: Responder) -> Responder {
    responder
        .says("v4.example. AAAA", Response::no_data(SOA))
        .says("v4.example. A", Response::answer(&["v4.example. 300 IN A 192.0.2.1"]));
    responder
}

/// The question for the AAAA of `v4.example.`.
fn v4_query() -> Query {
    Query::of("v4.example. AAAA")
}
