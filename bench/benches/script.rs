//! What the call of a hook costs: nanoseconds of one thread, on top of a miss.
//!
//!   cargo bench -p dns64-bench --bench script
#![allow(missing_docs, reason = "a macro writes the public items")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use criterion::{Criterion, criterion_group, criterion_main};
use dns64::answer::encode::Request;
use dns64::datagram::{Channel, Client};
use dns64::engine::script::{Hook, Script, ScriptCall, Validation};
use dns64::script::{LuaScript, ScriptSource};
use dns64::wire::Rcode;

/// The question: www.test. AAAA.
const QUESTION: &[u8] = b"\x03www\x04test\0\0\x1c\0\x01";

/// Hooks from the one that does nothing to the one that decides by the client's network.
const HOOKS: [(&str, &str); 3] = [
    ("trivial", "function nodata(dq) return false end"),
    (
        "dns64",
        "function nodata(dq) if dq.qtype ~= pdns.AAAA then return false end \
         dq.followupFunction = 'getFakeAAAARecords' dq.followupPrefix = '64:ff9b::' \
         dq.followupName = dq.qname return true end",
    ),
    (
        "network",
        "local group = newNMG() group:addMask('2001:db8::/32') \
         function nodata(dq) return group:match(dq.remoteaddr) end",
    ),
];

/// One call of `nodata`.
fn calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("script");
    let request = Request {
        id: 7,
        recursion_desired: true,
        checking_disabled: false,
        wants_authentic: false,
        edns: true,
        dnssec_ok: false,
        limit: 1_232,
        question: QUESTION,
        alias: None,
    };
    let client = Client {
        peer: SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 53_000),
        local: IpAddr::V6(Ipv6Addr::LOCALHOST),
        interface: 0,
        channel: Channel::Udp { socket: 0 },
    };
    let call = ScriptCall {
        hook: Hook::Nodata,
        request: &request,
        client: &client,
        rcode: Rcode::NOERROR,
        reply: &[0; 80],
        validation: Validation::Indeterminate,
    };
    for (label, text) in HOOKS {
        let mut script =
            LuaScript::load(&ScriptSource::new("bench.lua", text)).expect("the script is good");
        group.bench_function(label, |bencher| {
            bencher.iter(|| black_box(script.call(&call, &mut None)));
        });
    }
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
