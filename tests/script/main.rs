//! Scripts: what each hook may do and when it is called, what is kept of what they say, and what a
//! script cannot do to us. The engine is asked in this process, in a time of its own; the program
//! from end to end in [`program`].
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod budget;
mod hooks;
mod kept;
mod objects;
mod order;
mod program;
mod recursor_3;

use dns64::engine::script::Script;
use dns64::script::{LuaScript, ScriptSource};
use dns64_tests::in_process::{Responder, Response};

/// The SOA of denials: TTL and MINIMUM are 60 seconds.
const SOA: &str = "example. 60 IN SOA ns.example. host.example. 1 2 3 4 60";

/// The script that does DNS64.
const DNS64: &str = include_str!("scripts/dns64.lua");

/// The script that chooses the prefix by the client's network.
const PREFIX_BY_CLIENT: &str = include_str!("scripts/prefix-by-client.lua");

/// The script of Recursor 3.
const RECURSOR_3: &str = include_str!("scripts/recursor-3.lua");

/// A script in a state of its own.
fn load(text: &str) -> Box<dyn Script> {
    Box::new(LuaScript::load(&ScriptSource::new("test.lua", text)).unwrap())
}

/// A responder with native DNS64 by 2001:db8:64::/96, this script, and upstream servers that know
/// some names: v4.example and www.example (an alias of it) have A, dual.example has both,
/// gone.example does not exist.
fn responder(script: &str) -> Responder {
    let mut responder = Responder::configured(
        "allow = [\"::/0\", \"0.0.0.0/0\"]\n[upstream]\nservers = [\"192.0.2.53\"]\n\
         [dns64]\nprefixes = [\"2001:db8:64::/96\"]\n",
    );
    responder.engine.set_script(Some(load(script)));
    tell(&mut responder);
    responder
}

/// Lets the servers know the names.
fn tell(responder: &mut Responder) {
    let a = |name: &str| Response::answer(&[&format!("{name} 300 IN A 192.0.2.1")]);
    let alias = "www.example. 300 IN CNAME v4.example.";
    responder
        .says("v4.example. A", a("v4.example."))
        .says("v4.example. AAAA", Response::no_data(SOA))
        .says("v4.example. TXT", Response::no_data(SOA))
        .says("www.example. A", Response::answer(&[alias, "v4.example. 300 IN A 192.0.2.1"]))
        .says("www.example. AAAA", Response::answer(&[alias]).authority(&[SOA]))
        .says("dual.example. A", a("dual.example."))
        .says("dual.example. AAAA", Response::answer(&["dual.example. 300 IN AAAA 2001:db8::1"]))
        .says("gone.example. A", Response::no_such_name(SOA))
        .says("gone.example. AAAA", Response::no_such_name(SOA))
        .says(
            "1.2.0.192.in-addr.arpa. PTR",
            Response::answer(&["1.2.0.192.in-addr.arpa. 300 IN PTR v4.example."]),
        );
}

/// Calls of hooks so far.
fn calls(responder: &Responder) -> u64 {
    responder.engine.counters().script_calls
}
