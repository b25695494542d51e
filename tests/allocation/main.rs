//! A query that is answered at once costs no allocation: not one, of whatever kind it is. Nor does
//! it when an engine takes the place of another.
//!
//! Each case warms the engine up (a miss, an answer by the upstream server), asks again, checks by
//! the octets of the reply that it is the kind of hit it is meant to be, and then counts.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dns64::cache::Shard;
use dns64::datagram::{Channel, Client, Datagram, WorkerId};
use dns64::engine::{Engine, EngineSettings, HotSettings, Verdict};
use dns64::time::Moment;
use dns64::top::{COUNTERS, Outcome, Settings, Tally};
use dns64_tests::alloc::{CountingAllocator, counts};
use dns64_tests::exchange::exchange;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;

/// A name under `test.`; its first letters say what [`respond`] answers.
fn name(label: &str) -> Vec<u8> {
    let mut name = vec![label.len() as u8];
    name.extend_from_slice(label.as_bytes());
    name.extend_from_slice(b"\x04test\0");
    name
}

/// The configuration of all engines here.
fn settings() -> EngineSettings {
    let text = r#"
allow = ["2001:db8::/32"]
[upstream]
servers = ["192.0.2.1"]
[cache]
prefetch = false
[[view]]
name = "direct"
clients = ["2001:db8:2::/48"]
dns64 = { ptr = "direct" }
[[view]]
name = "off"
clients = ["2001:db8:3::/48"]
dns64 = { enabled = false }
"#;
    let config = dns64::config::parse(text, "test").expect("the configuration is right");
    EngineSettings {
        policy: Arc::new(config.policy()),
        worker: WorkerId(0),
        workers: 1,
        hash_seed: 7,
        random_seed: [7; 32],
    }
}

/// The engine, its only client network, and a server that answers by the first label.
struct Bench {
    engine: Engine,
    now: Moment,
    out: Vec<u8>,
    transmit: Vec<u8>,
    client: Client,
}

impl Bench {
    fn new(third: u16) -> Self {
        let address = Ipv6Addr::new(0x2001, 0xdb8, third, 0, 0, 0, 0, 1);
        Self {
            engine: Engine::new(settings(), Shard::new(1 << 20)),
            now: Moment::from_millis(10_000),
            out: vec![0; 1_232],
            transmit: vec![0; 65_535],
            client: Client {
                peer: SocketAddr::new(IpAddr::V6(address), 5_353),
                local: IpAddr::V6(Ipv6Addr::LOCALHOST),
                interface: 0,
                channel: Channel::Udp { socket: 0 },
            },
        }
    }

    /// Asks; a miss is answered by the server until nothing is under way.
    fn ask(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        let datagram = Datagram { bytes: query, client: self.client };
        exchange(&mut self.engine, datagram, self.now, self.out.len(), respond).reply
    }

    /// Proves that this query is answered at once and allocates nothing; the reply.
    fn prove(&mut self, what: &str, query: &[u8]) -> Vec<u8> {
        self.ask(query);
        self.ask(query);
        let Self { engine, out, client, now, .. } = self;
        let mut verdicts = [Verdict::Pending; 32];
        let before = counts();
        for verdict in &mut verdicts {
            *verdict = engine.handle_query(Datagram { bytes: query, client: *client }, out, *now);
        }
        let after = counts();
        assert_eq!(after, before, "{what}: allocations and deallocations of 32 hits");
        let Verdict::Reply { len } = verdicts[0] else { panic!("{what}: {:?}", verdicts[0]) };
        assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{what}");
        assert!(engine.poll_transmit(&mut self.transmit).is_none(), "{what}: nobody is asked");
        self.out[..len].to_vec()
    }
}

/// The answer of the server: by the first letters of the name.
fn respond(query: &[u8]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|octet| *octet == 0).unwrap_or_default() + 1;
    let label = query[13..end].to_ascii_lowercase();
    let rtype = u16::from_be_bytes([query[end], query[end + 1]]);
    let mut response = query[..end + 4].to_vec();
    response[2..4].copy_from_slice(&[0x81, 0x80]);
    response[11] = 0;
    let addresses: &[&[u8]] = match rtype {
        A if label.starts_with(b"v4") => &[[20, 0, 0, 1].as_slice(), &[20, 0, 0, 2]],
        A if label.starts_with(b"many") => &[[20, 0, 0, 1].as_slice(); 60],
        AAAA if label.starts_with(b"v6") => &[&[0x2a; 16], &[0x2b; 16]],
        AAAA if label.starts_with(b"mixed") => {
            &[&[0x2a; 16], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4]]
        }
        PTR => &[b"\x04host\x04test\0"],
        _ => &[],
    };
    for address in addresses {
        response.extend_from_slice(&[0xc0, 12]);
        response.extend_from_slice(&rtype.to_be_bytes());
        response.extend_from_slice(&[0, 1, 0, 0, 1, 0x2c, 0, address.len() as u8]);
        response.extend_from_slice(address);
        response[7] += 1;
    }
    if label.starts_with(b"fail") {
        response[3] = 0x82;
    } else if label.starts_with(b"nx") {
        response[3] = 0x83;
    }
    if addresses.is_empty() && response[3] != 0x82 {
        response.extend_from_slice(b"\x04test\0\0\x06\0\x01\0\0\x01\x2c\0\x16\0\0");
        response.extend_from_slice(&[0; 16]);
        response.extend_from_slice(&300_u32.to_be_bytes());
        response[9] = 1;
    }
    response
}

/// The kinds of clients: with or without EDNS, with or without DO.
const EDNS: [Option<u8>; 3] = [None, Some(0), Some(0x80)];

fn query(name: &[u8], rtype: u16, edns: Option<u8>) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    query.extend_from_slice(name);
    query.extend_from_slice(&rtype.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    if let Some(dnssec_ok) = edns {
        query.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, dnssec_ok, 0, 0, 0]);
    }
    query
}

/// What is asked: its kind, name and type, and what [`summary`] makes of the reply.
type Case = (&'static str, Vec<u8>, u16, (u8, u8));

/// RCODE and the count of answers.
fn summary(reply: &[u8]) -> (u8, u8) {
    (reply[3] & 15, reply[7])
}

#[test]
fn a_hit_allocates_nothing_whatever_it_is() {
    let mut bench = Bench::new(1);
    let reverse =
        b"\x01a\x010\x010\x010\x010\x010\x014\x011\x010\x010\x010\x010\x010\x010\x010\x010\
        \x010\x010\x010\x010\x010\x010\x010\x010\x01b\x019\x01f\x01f\x014\x016\x010\x010\
        \x03ip6\x04arpa\0";
    for edns in EDNS {
        let cases: [Case; 10] = [
            ("synthesized", name("v4"), AAAA, (0, 2)),
            ("native AAAA", name("v6"), AAAA, (0, 2)),
            ("filtered AAAA", name("mixed"), AAAA, (0, 1)),
            ("A", name("v4a"), A, (0, 2)),
            ("NODATA", name("none"), AAAA, (0, 0)),
            ("NXDOMAIN", name("nx"), AAAA, (3, 0)),
            ("cached failure", name("fail"), AAAA, (2, 0)),
            ("ipv4only.arpa", b"\x08ipv4only\x04arpa\0".to_vec(), AAAA, (0, 2)),
            ("ANY", name("any"), 255, (0, 1)),
            ("PTR by CNAME", reverse.to_vec(), PTR, (0, 2)),
        ];
        for (what, name, rtype, expected) in cases {
            let reply = bench.prove(what, &query(&name, rtype, edns));
            assert_eq!(summary(&reply), expected, "{what} {edns:?}");
        }
        let reply = bench.prove("truncated", &query(&name("many"), AAAA, edns));
        assert_eq!(reply[2] & 2, 2, "60 AAAA fit nobody");
        assert_eq!(summary(&reply), (0, 0));
    }
}

#[test]
fn an_engine_that_takes_the_place_of_another_allocates_and_frees_nothing() {
    let mut bench = Bench::new(1);
    let query = query(&name("v4"), AAAA, None);
    bench.ask(&query);
    let waits = Datagram { bytes: &self::query(&name("v4b"), AAAA, None), client: bench.client };
    let verdict = bench.engine.handle_query(waits, &mut bench.out, bench.now);
    assert_eq!(verdict, Verdict::Pending);
    bench.engine.publish_hot(HotSettings::default());
    for cache in [None, Some(Shard::new(1 << 20))] {
        let keeps_cache = cache.is_none();
        let epoch = bench.engine.epoch().next();
        let mut successor = Engine::successor(settings(), epoch, cache);
        successor.publish_hot(HotSettings::default());
        let before = counts();
        successor.publish_as(Some(2));
        assert_eq!(successor.take_over(&mut bench.engine), keeps_cache);
        let after = counts();
        assert_eq!(after, before, "allocations and deallocations; keeps the cache: {keeps_cache}");
        bench.engine = successor;
        let datagram = Datagram { bytes: &query, client: bench.client };
        let verdict = bench.engine.handle_query(datagram, &mut bench.out, bench.now);
        assert_eq!(matches!(verdict, Verdict::Reply { .. }), keeps_cache);
    }
}

#[test]
fn a_ptr_under_the_asked_name_allocates_nothing() {
    let mut bench = Bench::new(2);
    let mut name = b"\x011\x010\x010\x010\x010\x010\x014\x011".to_vec();
    for _ in 0..16 {
        name.extend_from_slice(b"\x010");
    }
    name.extend_from_slice(b"\x01b\x019\x01f\x01f\x014\x016\x010\x010\x03ip6\x04arpa\0");
    for edns in EDNS {
        let reply = bench.prove("PTR", &query(&name, PTR, edns));
        assert_eq!(summary(&reply), (0, 1));
    }
}

#[test]
fn two_entries_serve_a_synthesis_without_allocation() {
    let mut bench = Bench::new(1);
    let client = bench.client;
    let elsewhere = Bench::new(3).client;
    for edns in EDNS {
        // A client without DNS64 has asked for both types: they stand apart in the cache.
        let label = name(&format!("v4apart{}", edns.map_or(9, |dnssec_ok| dnssec_ok / 0x80)));
        bench.client = elsewhere;
        bench.ask(&query(&label, A, edns));
        bench.ask(&query(&label, AAAA, edns));
        bench.client = client;
        let reply = bench.prove("apart", &query(&label, AAAA, edns));
        assert_eq!(summary(&reply), (0, 2));
    }
}

#[test]
fn errors_allocate_nothing() {
    let mut bench = Bench::new(1);
    for edns in EDNS {
        let good = query(&name("v4"), AAAA, edns);
        let change = |place: usize, value: u8| {
            let mut query = good.clone();
            query[place] = value;
            query
        };
        let mut refused = query(&name("v4"), 252, edns);
        let reply = bench.prove("AXFR", &refused);
        assert_eq!(summary(&reply), (5, 0));
        refused = query(&name("unknown"), A, edns);
        refused[2] = 0;
        let reply = bench.prove("RD=0", &refused);
        assert_eq!(summary(&reply), (5, 0));
        let reply = bench.prove("two questions", &change(5, 2));
        assert_eq!(summary(&reply), (1, 0));
        let reply = bench.prove("NOTIFY", &change(2, 0x21));
        assert_eq!(summary(&reply), (4, 0));
        if edns.is_some() {
            let version = good.len() - 5;
            let reply = bench.prove("EDNS 1", &change(version, 1));
            assert_eq!(summary(&reply), (0, 0), "BADVERS has its upper bits in OPT");
            assert_eq!(reply[reply.len() - 6], 1, "BADVERS");
        }
    }
    bench.client.peer = SocketAddr::new(IpAddr::from([203, 0, 113, 1]), 53);
    let reply = bench.prove("a stranger", &query(&name("v4"), AAAA, None));
    assert_eq!(summary(&reply), (5, 0));
}

#[test]
fn counting_names_and_clients_allocates_nothing_however_many_there_are() {
    let client = Bench::new(1).client;
    let queries: Vec<(Vec<u8>, Client)> = (0..4 * COUNTERS as u16)
        .map(|number| {
            let IpAddr::V6(address) = client.peer.ip() else { panic!("it asks by IPv6") };
            let mut octets = address.octets();
            octets[6..8].copy_from_slice(&number.to_be_bytes());
            let peer = SocketAddr::new(IpAddr::from(octets), 5_353);
            (query(&name(&format!("n{number}")), AAAA, None), Client { peer, ..client })
        })
        .collect();
    for labels in [None, Some(2)] {
        let settings =
            Settings { names: true, clients: true, labels, ipv4_bits: 32, ipv6_bits: 64 };
        let mut tally = Tally::new(settings, 7);
        let now = Moment::from_millis(10_000);
        tally.begin(now, Duration::from_secs(1));
        let before = counts();
        for (bytes, client) in &queries {
            tally.count(Datagram { bytes, client: *client }, Outcome::Served, now);
        }
        assert_eq!(counts(), before, "allocations and deallocations of {} queries", queries.len());
    }
}
