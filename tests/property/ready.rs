//! A reply that was kept ready says what a reply made anew would say.
//!
//! The same question is asked in two ways at the same moment: in the plain form, which may be
//! answered from a ready reply, and with a bit that no client sets (AA), which never is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dns64::cache::Shard;
use dns64::datagram::{Channel, Client, Datagram, WorkerId};
use dns64::engine::{Engine, EngineSettings};
use dns64::time::Moment;
use dns64_tests::exchange::{Exchange, exchange};
use proptest::prelude::*;

/// Octets that a reply may have.
const REPLY_ROOM: usize = 1_232;

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;

/// Views whose replies to one question differ.
const CONFIGURATION: &str = r#"
allow = ["2001:db8::/32"]
[upstream]
servers = ["192.0.2.1"]
[cache]
prefetch = false
[dns64]
prefixes = ["64:ff9b::/96", { prefix = "2001:db8:64::/48", clients = ["2001:db8:1:8000::/49"] }]
[[view]]
name = "other"
clients = ["2001:db8:2::/48"]
dns64 = { prefixes = ["2001:db8:6464::/64"], exclude_aaaa = ["2a00::/8"] }
[[view]]
name = "off"
clients = ["2001:db8:3::/48"]
dns64 = { enabled = false }
"#;

/// One question, and who asks it how.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The first letters of the name; see [`respond`].
    label: &'static str,
    /// Which of a few names with such a label.
    number: u8,
    rtype: u16,
    /// Without EDNS, with it, with DO.
    edns: Option<u8>,
    checking_disabled: bool,
    wants_authentic: bool,
    /// In which /48 the client is, and in which half of it.
    client: (u16, u16),
    /// The upper case letters of the name.
    upper: u8,
    /// Seconds since the step before.
    wait_secs: u64,
    /// Whether the plain query comes first.
    plain_first: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let labels = prop::sample::select(vec!["v4", "two", "v6", "mixed", "chain", "none", "nx"]);
    let rtypes = prop::sample::select(vec![AAAA, AAAA, AAAA, A, PTR]);
    let edns = prop::sample::select(vec![None, Some(0), Some(0x80)]);
    let clients = (1..4_u16, prop::sample::select(vec![0, 0x8000]));
    let waits = prop::sample::select(vec![0, 0, 0, 1, 7, 60, 400]);
    let step = (
        (labels, 0..2_u8, rtypes, edns, any::<bool>(), any::<bool>()),
        (clients, any::<u8>(), waits, any::<bool>()),
    );
    let step = step.prop_map(|(question, how)| {
        let (label, number, rtype, edns, checking_disabled, wants_authentic) = question;
        let (client, upper, wait_secs, plain_first) = how;
        Step {
            label,
            number,
            rtype,
            edns,
            checking_disabled: checking_disabled && number == 1,
            wants_authentic,
            client,
            upper,
            wait_secs,
            plain_first,
        }
    });
    prop::collection::vec(step, 1..60)
}

/// The query of a step; with AA where it is to be answered the long way.
fn query(step: &Step, id: u16, plain: bool) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    let mut low = 0;
    if step.checking_disabled {
        low |= 0x10;
    }
    if step.wants_authentic {
        low |= 0x20;
    }
    query.extend_from_slice(&[if plain { 1 } else { 5 }, low]);
    query.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(step.edns.is_some())]);
    let mut label = format!("{}-{}", step.label, step.number).into_bytes();
    for (place, letter) in label.iter_mut().enumerate() {
        if step.upper & 1 << (place % 8) != 0 {
            letter.make_ascii_uppercase();
        }
    }
    query.push(label.len() as u8);
    query.extend_from_slice(&label);
    query.extend_from_slice(b"\x04tEst\0");
    query.extend_from_slice(&step.rtype.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    if let Some(dnssec_ok) = step.edns {
        query.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, dnssec_ok, 0, 0, 0]);
    }
    query
}

/// The answer of the server: by the first letters of the name.
fn respond(query: &[u8]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|octet| *octet == 0).unwrap() + 1;
    let label = query[13..end].to_ascii_lowercase();
    let rtype = u16::from_be_bytes([query[end], query[end + 1]]);
    let mut response = query[..end + 4].to_vec();
    // The server vouches for half of what it says (AD).
    let authentic = if label[label.len() - 7].is_multiple_of(2) { 0x20 } else { 0 };
    response[2..4].copy_from_slice(&[0x81, 0x80 | authentic]);
    response[11] = 0;
    let mut owner = [0xc0, 12];
    if label.starts_with(b"chain") {
        // A CNAME to end.test: its target begins after 2 + 10 octets.
        let target = (end + 4 + 12) as u8;
        response.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 90, 0, 10]);
        response.extend_from_slice(b"\x03end\x04test\0");
        response[7] += 1;
        owner = [0xc0, target];
    }
    let addresses: &[&[u8]] = match rtype {
        A if label.starts_with(b"v4") || label.starts_with(b"chain") => &[&[20, 0, 0, 1]],
        A if label.starts_with(b"two") => &[&[20, 0, 0, 1], &[10, 0, 0, 2]],
        AAAA if label.starts_with(b"v6") => &[&[0x2a; 16], &[0x2b; 16]],
        AAAA if label.starts_with(b"mixed") => {
            &[&[0x2a; 16], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4]]
        }
        PTR if !label.starts_with(b"n") => &[b"\x04host\x04test\0"],
        _ => &[],
    };
    for address in addresses {
        response.extend_from_slice(&owner);
        response.extend_from_slice(&rtype.to_be_bytes());
        response.extend_from_slice(&[0, 1, 0, 0, 1, 0x2c, 0, address.len() as u8]);
        response.extend_from_slice(address);
        response[7] += 1;
    }
    if label.starts_with(b"nx") {
        response[3] |= 3;
    }
    if addresses.is_empty() {
        response.extend_from_slice(b"\x04test\0\0\x06\0\x01\0\0\x01\x2c\0\x16\0\0");
        response.extend_from_slice(&[0; 16]);
        response.extend_from_slice(&200_u32.to_be_bytes());
        response[9] = 1;
    }
    response
}

/// The engine, and its server.
struct World {
    engine: Engine,
    now: Moment,
}

impl World {
    fn new() -> Self {
        let config = dns64::config::parse(CONFIGURATION, "test").unwrap();
        let settings = EngineSettings {
            policy: Arc::new(config.policy()),
            worker: WorkerId(0),
            workers: 1,
            hash_seed: 7,
            random_seed: [7; 32],
        };
        Self {
            engine: Engine::new(settings, Shard::new(1 << 20)),
            now: Moment::from_millis(10_000),
        }
    }

    /// Asks, and lets the server answer whatever comes of it.
    fn ask(&mut self, (subnet, half): (u16, u16), query: &[u8]) -> Vec<u8> {
        let address = Ipv6Addr::new(0x2001, 0xdb8, subnet, half, 0, 0, 0, 1);
        let client = Client {
            peer: SocketAddr::new(IpAddr::V6(address), 5_353),
            local: IpAddr::V6(Ipv6Addr::LOCALHOST),
            interface: 0,
            channel: Channel::Udp { socket: 0 },
        };
        let datagram = Datagram { bytes: query, client };
        let Exchange { verdict, reply } =
            exchange(&mut self.engine, datagram, self.now, REPLY_ROOM, respond);
        reply.unwrap_or_else(|| panic!("no reply: {verdict:?}"))
    }
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn a_ready_reply_is_the_reply_that_would_be_made_anew(steps in steps()) {
        let mut world = World::new();
        for (id, step) in (0..).zip(&steps) {
            world.now = world.now + Duration::from_secs(step.wait_secs);
            let plain = query(step, id, true);
            let long_way = query(step, id, false);
            // What was made ready long ago, or a miss; what a hit says; what it made ready.
            let mut queries = [&plain, &long_way, &plain, &plain];
            if !step.plain_first {
                queries.swap(0, 1);
            }
            let replies = queries.map(|query| world.ask(step.client, query));
            prop_assert!(replies.iter().all(|reply| *reply == replies[0]), "{:?} {:x?}", step, replies);
        }
        let counters = world.engine.counters();
        prop_assert!(counters.cache_hits >= 3 * steps.len() as u64);
    }
}
