//! Two engines live through whatever the octets say, and their books balance at every step.
//!
//! Each octet is an event and the next ones its details: a query, a response to one of the upstream
//! queries that are open (good, mutated or false), the outcome of one by TCP, a message that passes
//! between the engines or gets lost, time that goes by. At the end everything falls silent, and
//! everybody who asked must have been answered, once.

#[path = "engine/upstream.rs"]
mod upstream;

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dns64::cache::Shard;
use dns64::datagram::{Channel, Client, Datagram, SourcePort, UpstreamId, WorkerId};
use dns64::engine::respond::TransportFailure;
use dns64::engine::{Destination, Engine, EngineSettings, PeerMessage, Validation, Verdict};
use dns64::limits::{MESSAGE_LEN_MAX, UDP_PAYLOAD_LEN};
use dns64::policy::{
    AddressList, CachePolicy, DnssecMode, DnssecSettings, Limits, Policy, PolicySettings, PtrMode,
    Timing, ViewSettings,
};
use dns64::time::Moment;
use dns64::wire::edns::InfoCode;
use dns64::wire::{NameBuf, Query};
use hickory_proto::op::Message;

use self::upstream::OpenQuery;

/// Look-ups and waiters of one engine: the least that may be configured.
const INFLIGHT: u32 = 64;

/// Events of one life.
const EVENTS_MAX: usize = 300;

/// Names that are asked for.
const NAMES: [&str; 8] = [
    "a.test.",
    "b.test.",
    "www.Example.org.",
    "ipv4only.arpa.",
    "1.2.0.192.in-addr.arpa.",
    "1.2.0.0.2.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa.",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbb.test.",
    ".",
];

/// Types that are asked for.
const RTYPES: [u16; 8] = [28, 28, 28, 1, 12, 255, 5, 64];

/// Spans of time that go by.
const SPANS_MS: [u64; 8] = [1, 10, 50, 250, 1_800, 2_000, 10_500, 400_000];

/// Lives through the events.
pub(crate) fn check(bytes: &[u8]) {
    let mut events = Events(bytes);
    let mut world = World::new(events.next());
    for _ in 0..EVENTS_MAX {
        if events.0.is_empty() {
            break;
        }
        world.live(&mut events);
        world.check();
    }
    world.fall_silent();
}

/// The octets that are still to be lived through; zeros behind the last.
struct Events<'a>(&'a [u8]);

impl<'a> Events<'a> {
    fn next(&mut self) -> u8 {
        let Some((&octet, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        octet
    }

    /// One of so many.
    fn pick(&mut self, count: usize) -> usize {
        usize::from(self.next()) % count
    }

    /// The next octets as they are, at most as many as the next one says.
    fn run(&mut self) -> &'a [u8] {
        let len = usize::from(self.next()).min(self.0.len());
        let (run, rest) = self.0.split_at(len);
        self.0 = rest;
        run
    }
}

/// A query that waits for its reply.
struct Asked {
    client: Client,
    id: [u8; 2],
    question: Vec<u8>,
    /// Octets that the reply may have.
    limit: usize,
}

/// One engine and what surrounds it.
struct Side {
    engine: Engine,
    /// Queries that wait for their reply.
    asked: Vec<Asked>,
    /// Queries to upstream servers without response.
    open: Vec<OpenQuery>,
    /// Messages on their way to this side.
    inbox: VecDeque<PeerMessage>,
}

/// Two engines and a clock.
struct World {
    sides: [Side; 2],
    now: Moment,
    next_port: u16,
    next_id: u16,
    buffer: Vec<u8>,
}

impl World {
    /// A world whose configuration the bits choose.
    fn new(bits: u8) -> Self {
        let is_set = |bit: u8| bits >> bit & 1 == 1;
        let policy = Arc::new(Policy::new(&PolicySettings {
            allow: AddressList::of(
                ["192.0.2.0/24", "2001:db8::/32"]
                    .map(|network| network.parse().expect("a network")),
            ),
            drop: AddressList::default(),
            views: vec![ViewSettings {
                ptr: if is_set(0) { PtrMode::Direct } else { PtrMode::Cname },
                synth_all: is_set(1),
                ..ViewSettings::default()
            }],
            listen: Vec::new(),
            rpz: Vec::new(),
            pools: Vec::new(),
            servers: [1, 2].map(|host| SocketAddr::from(([198, 51, 100, host], 53))).to_vec(),
            forwards: Vec::new(),
            cache: CachePolicy {
                serve_stale: !is_set(2),
                prefetch: !is_set(3),
                max_ttl_secs: if is_set(4) { 0 } else { 86_400 },
                ..CachePolicy::default()
            },
            timing: Timing::default(),
            limits: Limits {
                inflight: INFLIGHT,
                inflight_per_client: if is_set(5) { 4 } else { 0 },
                rate: if is_set(6) { 5 } else { 0 },
                ..Limits::default()
            },
            dnssec: DnssecSettings {
                mode: if is_set(7) { DnssecMode::Validate } else { DnssecMode::TrustUpstream },
                negative: Vec::new(),
            },
        }));
        let side = |worker: u16| Side {
            engine: Engine::new(
                EngineSettings {
                    policy: Arc::clone(&policy),
                    worker: WorkerId(worker),
                    workers: 2,
                    hash_seed: 7,
                    random_seed: [worker as u8; 32],
                },
                Shard::new(1 << 16),
            ),
            asked: Vec::new(),
            open: Vec::new(),
            inbox: VecDeque::new(),
        };
        Self {
            sides: [side(0), side(1)],
            now: Moment::from_millis(1_000),
            next_port: 1_024,
            next_id: 0,
            buffer: vec![0; MESSAGE_LEN_MAX],
        }
    }

    /// One event.
    fn live(&mut self, events: &mut Events<'_>) {
        let kind = events.next();
        let place = usize::from(kind >> 7);
        match kind & 0xf {
            0..=4 => {
                let query = self.query_of(events);
                self.ask(place, &query, client_of(events.next()));
            }
            5 => self.ask(place, events.run(), client_of(kind >> 4)),
            6..=9 => self.respond(place, events),
            10 => {
                let server = UpstreamId(u16::from(kind >> 4 & 1));
                let port = SourcePort(u16::from(events.next()));
                self.sides[place].engine.handle_response(server, port, events.run(), self.now);
            }
            11 => self.refuse(place, events),
            12 | 13 => self.pass_message(place, kind & 0x10 != 0),
            _ => {
                let span = SPANS_MS[events.pick(SPANS_MS.len())];
                self.now = self.now + Duration::from_millis(span);
            }
        }
        self.settle();
    }

    /// A well-formed query.
    fn query_of(&mut self, events: &mut Events<'_>) -> Vec<u8> {
        let name: NameBuf = NAMES[events.pick(NAMES.len())].parse().expect("a name");
        let rtype = RTYPES[events.pick(RTYPES.len())];
        let flags = events.next();
        self.next_id = self.next_id.wrapping_add(1);
        let (rd, cd, opt) = (flags & 1 == 0, flags & 2 != 0, flags & 4 != 0);
        let mut query = self.next_id.to_be_bytes().to_vec();
        query.extend_from_slice(&[u8::from(rd), u8::from(cd) << 4, 0, 1, 0, 0, 0, 0, 0]);
        query.push(u8::from(opt));
        query.extend_from_slice(name.as_wire());
        query.extend_from_slice(&rtype.to_be_bytes());
        query.extend_from_slice(&[0, if flags & 0xf0 == 0xf0 { 3 } else { 1 }]);
        if opt {
            let dnssec_ok = if flags & 8 != 0 { 0x80 } else { 0 };
            query.extend_from_slice(&[0, 0, 41, 2, flags, 0, 0, dnssec_ok, 0, 0, 0]);
        }
        query
    }

    /// A client asks.
    fn ask(&mut self, place: usize, query: &[u8], client: Client) {
        let side = &mut self.sides[place];
        let mut out = vec![0; if client.channel.is_udp() { 4_096 } else { MESSAGE_LEN_MAX }];
        let verdict =
            side.engine.handle_query(Datagram { bytes: query, client }, &mut out, self.now);
        let limit = match Query::parse(query) {
            Ok(query) if client.channel.is_udp() => query.udp_limit(UDP_PAYLOAD_LEN),
            Ok(_) => MESSAGE_LEN_MAX,
            Err(_) => 512,
        };
        match verdict {
            Verdict::Reply { len } => {
                assert!(len <= limit, "{len} octets where {limit} may be");
                assert_eq!(out[..2], query[..2], "the ID");
                read_back(&out[..len]);
                if let Ok(query) = Query::parse(query) {
                    let question = query.question_octets();
                    assert_eq!(out.get(12..12 + question.len()), Some(question));
                }
            }
            Verdict::Pending => {
                let parsed = Query::parse(query).expect("only what is understood waits");
                let question = parsed.question_octets().to_vec();
                side.asked.push(Asked { client, id: [query[0], query[1]], question, limit });
            }
            Verdict::Drop(_) => {}
        }
    }

    /// A response to an upstream query.
    fn respond(&mut self, place: usize, events: &mut Events<'_>) {
        let side = &mut self.sides[place];
        if side.open.is_empty() {
            return;
        }
        let index = events.pick(side.open.len());
        let query = &side.open[index];
        let kind = events.next();
        let mut response = query.response(kind, events.next());
        let mut from = query.server;
        match kind >> 5 {
            0 => query.forge_octet(&mut response, events.next(), events.next()),
            1 => response.truncate(usize::from(events.next())),
            2 => from = UpstreamId(1 - from.0.min(1)),
            _ => {}
        }
        match (query.token, query.port) {
            (Some(token), _) => {
                let failures = [
                    TransportFailure::Refused,
                    TransportFailure::Broken,
                    TransportFailure::Timeout,
                ];
                let outcome = match kind >> 5 {
                    3 => Err(failures[events.pick(failures.len())]),
                    _ => Ok(response.as_slice()),
                };
                side.engine.handle_tcp_response(token, outcome, self.now);
                side.open.swap_remove(index);
            }
            (None, Some(port)) => {
                side.engine.handle_response(from, port, &response, self.now);
                // One in eight comes twice.
                if kind >> 5 != 4 {
                    side.open.swap_remove(index);
                }
            }
            (None, None) => {}
        }
    }

    /// A server's host says that nobody listens, or a try cannot be sent after all.
    fn refuse(&mut self, place: usize, events: &mut Events<'_>) {
        let side = &mut self.sides[place];
        if side.open.is_empty() {
            return;
        }
        let index = events.pick(side.open.len());
        let OpenQuery { server, port, handle, .. } = side.open.swap_remove(index);
        match (port, handle) {
            (Some(port), _) if events.next() & 1 == 0 => {
                side.engine.handle_refused(server, port, self.now);
            }
            (_, Some(handle)) => side.engine.not_sent(handle, self.now),
            _ => {}
        }
    }

    /// The oldest message on its way to this side comes in, or is lost for lack of room.
    fn pass_message(&mut self, place: usize, lost: bool) {
        let Some(message) = self.sides[place].inbox.pop_front() else { return };
        if lost {
            self.sides[1 - place].engine.peer_unreachable(&message, self.now);
        } else {
            self.sides[place].engine.handle_peer(message, self.now);
        }
    }

    /// Does what is due, and takes what the engines want sent.
    fn settle(&mut self) {
        for place in 0..2 {
            let due = self.sides[place].engine.poll_timeout().is_some_and(|at| at <= self.now);
            if due {
                self.sides[place].engine.handle_timeout(self.now);
                let next = self.sides[place].engine.poll_timeout();
                assert!(next.is_none_or(|at| at > self.now), "what was due has been done");
            }
            while let Some((to, len)) = self.sides[place].engine.poll_transmit(&mut self.buffer) {
                self.transmit(place, to, len);
            }
            while let Some((worker, message)) = self.sides[place].engine.poll_peer() {
                assert_eq!(usize::from(worker.0), 1 - place, "nobody writes to himself");
                self.sides[1 - place].inbox.push_back(message);
            }
            assert!(!self.sides[place].engine.has_output());
        }
    }

    /// Carries one message out.
    fn transmit(&mut self, place: usize, to: Destination, len: usize) {
        let octets = &self.buffer[..len];
        let side = &mut self.sides[place];
        match to {
            Destination::Client(client) => {
                let question = |asked: &Asked| octets.get(12..12 + asked.question.len());
                let found = side.asked.iter().position(|asked| {
                    asked.client == client
                        && asked.id == octets[..2]
                        && question(asked) == Some(&asked.question)
                });
                let asked = side.asked.swap_remove(found.expect("a reply is to an open query"));
                assert!(len <= asked.limit, "{len} octets where {} may be", asked.limit);
                read_back(octets);
            }
            Destination::Upstream { server, handle, .. } => {
                self.next_port = self.next_port.wrapping_add(1);
                let port = SourcePort(self.next_port);
                side.engine.sent(handle, port);
                let port = Some(port);
                let handle = Some(handle);
                let query = OpenQuery { server, port, handle, token: None, octets: octets.into() };
                side.open.push(query);
            }
            Destination::UpstreamTcp { server, token, .. } => {
                let token = Some(token);
                let query =
                    OpenQuery { server, port: None, handle: None, token, octets: octets.into() };
                side.open.push(query);
            }
            Destination::Validator(of) => {
                // What it says depends on nothing but the octets, and is said at once.
                let sum = octets.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
                let validation = match sum % 4 {
                    0 => Validation::Secure { ttl_max_secs: u32::from(sum) },
                    1 => Validation::Insecure,
                    2 => Validation::Bogus(InfoCode::DNSSEC_BOGUS),
                    _ => Validation::Indeterminate(InfoCode::DNSSEC_INDETERMINATE),
                };
                side.engine.handle_validation(of, validation, self.now);
            }
        }
    }

    /// What holds at every moment.
    fn check(&self) {
        for Side { engine, asked, .. } in &self.sides {
            assert_eq!(engine.clients_waiting(), asked.len());
            let counters = engine.counters();
            let ended = counters.responses_total() + counters.drops_total();
            assert_eq!(counters.queries_total(), ended + asked.len() as u64, "the books balance");
            assert!(asked.len() <= INFLIGHT as usize);
            assert!(engine.lookups_under_way() <= INFLIGHT as usize);
            let mut keys = HashSet::new();
            assert!(engine.upstream_lookups().all(|key| keys.insert(key)), "asked for twice");
            let stats = engine.shard().stats();
            assert!(stats.used_octets <= stats.capacity_octets);
        }
    }

    /// Nobody says anything any more: time goes by until nothing is under way.
    fn fall_silent(&mut self) {
        for _ in 0..20_000 {
            let due = self.sides.iter().filter_map(|side| side.engine.poll_timeout()).min();
            let Some(due) = due else { break };
            self.now = self.now.max(due);
            self.settle();
        }
        self.check();
        for Side { engine, asked, .. } in &self.sides {
            assert!(asked.is_empty(), "everybody is answered");
            assert_eq!(engine.lookups_under_way(), 0, "every look-up ends");
            assert!(engine.poll_timeout().is_none(), "nothing is left to be done");
        }
    }
}

/// A client: allowed ones of both families by UDP and TCP, and one that may not ask.
fn client_of(octet: u8) -> Client {
    let peer = match octet & 7 {
        0..=2 => SocketAddr::from((Ipv4Addr::new(192, 0, 2, octet & 3), 4_000)),
        3..=6 => SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 4_000)),
        _ => SocketAddr::from((Ipv4Addr::new(203, 0, 113, 1), 4_000)),
    };
    let channel = match octet & 8 {
        0 => Channel::Udp { socket: 0 },
        _ => Channel::Tcp { connection: u64::from(octet), socket: 0 },
    };
    Client { peer, local: IpAddr::V6(Ipv6Addr::LOCALHOST), interface: 0, channel }
}

/// Reads a reply as a client would.
fn read_back(reply: &[u8]) -> Message {
    Message::from_vec(reply).expect("our own reply can be read")
}
