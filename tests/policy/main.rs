//! Which policy decides: response policy zones, prefixes by client, name, IPv4 destination and
//! listen address, and what wins over what.
//!
//! Tests drive the engine in this process, with time and upstream servers made up
//! ([`dns64_tests::in_process`]), by configurations and zone files as an operator writes them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pairwise;
mod program;
mod rpz;
mod rpz_order;
mod selection;
mod trace;
mod zone_text;

use dns64_tests::in_process::{Answered, Query, Responder, Response};
use dns64_tests::netns::Scratch;

/// The SOA that comes with denials.
const SOA: &str = "example. 300 IN SOA ns.example. h.example. 1 3600 600 86400 300";

/// RCODE NOERROR.
const NOERROR: u16 = 0;
/// RCODE NXDOMAIN.
const NXDOMAIN: u16 = 3;

/// A responder with policy zones of these texts and further configuration, and the directory its
/// files are in. `rpz` are the keys of each zone besides name and file.
fn with_zones(zones: &[(&str, &str)], rest: &str) -> (Responder, Scratch) {
    let scratch = Scratch::new();
    let mut text = format!("[upstream]\nservers = [\"192.0.2.53\"]\n{rest}\n");
    for (number, (keys, zone)) in zones.iter().enumerate() {
        let file = scratch.write(&format!("{number}.zone"), zone);
        text += &format!(
            "[[rpz]]\nname = \"zone{number}.rpz.\"\nfile = \"{}\"\n{keys}\n",
            file.display()
        );
    }
    (Responder::configured(&text), scratch)
}

/// The records of a name that has an A and no AAAA.
fn only_a(responder: &mut Responder, name: &str, address: &str) {
    responder
        .says(&format!("{name} AAAA"), Response::no_data(SOA))
        .says(&format!("{name} A"), Response::answer(&[&format!("{name} 300 IN A {address}")]));
}

/// Asks.
fn ask(responder: &mut Responder, question: &str) -> Answered {
    responder.ask(&Query::of(question))
}
