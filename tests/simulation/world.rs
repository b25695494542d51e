//! The simulated world: clients, workers' engines, a network and servers, in one thread and in a
//! time of its own. A seed decides everything that happens. This file has the events: what is sent,
//! arrives, is lost and comes due, and what must hold meanwhile; [`clients`] has what is asked.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use dns64::cache::Shard;
use dns64::counters::Source;
use dns64::datagram::{Client, Datagram, SourcePort, UpstreamId, WorkerId};
use dns64::engine::respond::TransportFailure;
use dns64::engine::{Destination, Engine, EngineSettings, PeerMessage, Verdict};
use dns64::time::Moment;

use super::oracle::{self, Intent};
use super::random::Random;
use super::server::{self, Asked};
use super::setting::{Setting, Tally};
use super::zone::{self, Meaning, rtype};

pub(crate) use clients::Open;

macro_rules! trace {
    ($world:expr, $($format:tt)*) => {
        if let Some(trace) = &mut $world.trace {
            trace.push(format!("{:>10} {}", $world.now, format_args!($($format)*)));
        }
    };
}

mod clients;

const MILLI: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;

/// Clients ask for so long.
pub(crate) const ASKING: u64 = 10 * SECOND;

/// No look-up lives longer than this behind the last query.
const QUIET: u64 = ASKING + 25 * SECOND;

/// Events after which something goes round in circles.
const EVENTS_MAX: u64 = 400_000;

#[allow(clippy::large_enum_variant, reason = "few events wait at a time")]
enum Event {
    /// A client sends a query to a worker.
    Ask,
    /// A query reaches a server.
    AtServer { worker: usize, server: usize, by: By, bytes: Vec<u8> },
    /// A datagram reaches a worker's port.
    AtWorker { worker: usize, server: usize, port: u16, bytes: Vec<u8>, right: bool },
    /// TCP ends.
    TcpEnds { worker: usize, token: u64, outcome: Result<Vec<u8>, TransportFailure> },
    /// A port is said to be closed.
    Refused { worker: usize, server: usize, port: u16 },
    /// A message between workers arrives.
    Peer { to: usize, message: PeerMessage },
    /// A server goes down, or comes back: how it is then.
    Outage { server: usize, state: State },
}

#[derive(Clone, Copy, Debug)]
enum By {
    Udp(u16),
    /// The token, and when the transport gives up.
    Tcp(u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Silent,
    Refusing,
}

struct Scheduled {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    /// The heap gives the greatest first: that is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

pub(crate) struct World {
    pub(crate) setting: Setting,
    random: Random,
    pub(crate) now: u64,
    events: BinaryHeap<Scheduled>,
    order: u64,
    engines: Vec<Engine>,
    states: Vec<State>,
    open: Vec<Open>,
    /// When an upstream answer last reached a worker, in seconds, by name and type.
    pub(crate) delivered: BTreeMap<(Vec<u8>, u16), u64>,
    /// Earlier queries, to be repeated.
    asked: Vec<(Vec<u8>, Client, Intent)>,
    connections: u64,
    /// A worker had to do without the owner of a name: two look-ups of one key are allowed.
    owner_missing: bool,
    buffer: Vec<u8>,
    tally: Tally,
    trace: Option<Vec<String>>,
}

impl World {
    /// A world at its beginning.
    pub(crate) fn new(setting: Setting, tracing: bool) -> Self {
        let servers: Vec<String> =
            (1..=setting.servers).map(|server| format!("\"192.0.2.{server}\"")).collect();
        let more = format!(
            "[cache]\nserve_stale = {}\nmax_stale = {}\n[limits]\ninflight = {}\n\
             inflight_per_client = {}\n",
            setting.serve_stale,
            setting.max_stale_secs,
            setting.inflight,
            setting.inflight_per_client
        );
        let text = oracle::configuration(&servers.join(", "), &more);
        let config = dns64::config::parse(&text, "simulation").expect("the configuration is right");
        let policy = Arc::new(config.policy());
        let mut random = Random::new(setting.seed, 3);
        let hash_seed = random.next();
        let engines = (0..setting.workers).map(|worker| {
            let settings = EngineSettings {
                policy: Arc::clone(&policy),
                worker: WorkerId(worker),
                workers: setting.workers,
                hash_seed,
                random_seed: random.octets(),
            };
            Engine::new(settings, Shard::new(setting.cache_octets))
        });
        let engines = engines.collect();
        let mut world = Self {
            states: vec![State::Up; setting.servers],
            random,
            now: SECOND,
            events: BinaryHeap::new(),
            order: 0,
            engines,
            open: Vec::new(),
            delivered: BTreeMap::new(),
            asked: Vec::new(),
            connections: 0,
            owner_missing: false,
            buffer: vec![0; 65_535],
            tally: Tally::default(),
            trace: tracing.then(Vec::new),
            setting,
        };
        world.plan();
        world
    }

    /// The last lines of the trace.
    pub(crate) fn last_events(&self) -> String {
        let lines = self.trace.as_deref().unwrap_or_default();
        lines[lines.len().saturating_sub(120)..].join("\n")
    }

    fn plan(&mut self) {
        for _ in 0..self.setting.queries {
            // Bursts and pauses.
            let at = self.random.below(ASKING);
            let at =
                if self.random.per_mille(300) { at / SECOND * SECOND + at % 5_000 } else { at };
            self.schedule(SECOND + at, Event::Ask);
        }
        if self.setting.outages {
            for _ in 0..self.random.within(1..8) {
                let server = self.random.below(self.setting.servers as u64) as usize;
                let state =
                    if self.random.per_mille(700) { State::Silent } else { State::Refusing };
                let from = self.random.below(self.setting.faults_end);
                let to = from + self.random.below(4 * SECOND);
                self.schedule(SECOND + from, Event::Outage { server, state });
                let to = SECOND + to.min(self.setting.faults_end);
                self.schedule(to, Event::Outage { server, state: State::Up });
            }
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.events.push(Scheduled { at, order: self.order, event });
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.schedule(self.now + delay, event);
    }

    fn moment(&self) -> Moment {
        Moment::from_micros(self.now)
    }

    /// Whether faults happen now.
    fn faults(&self) -> bool {
        self.now < self.setting.faults_end + SECOND
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.faults() && self.random.per_mille(per_mille)
    }

    pub(crate) fn meaning(&self, number: u64) -> Meaning {
        if self.setting.plain {
            Meaning::plain(self.setting.seed, number)
        } else {
            Meaning::of(self.setting.seed, number)
        }
    }

    /// Lets everything happen.
    pub(crate) fn run(&mut self) -> Tally {
        let mut count = 0;
        loop {
            let event_at = self.events.peek().map(|scheduled| scheduled.at);
            let timers = self.engines.iter().enumerate();
            let timer = timers
                .filter_map(|(worker, engine)| Some((engine.poll_timeout()?.as_micros(), worker)))
                .min();
            count += 1;
            assert!(count < EVENTS_MAX, "the world does not come to rest");
            match (event_at, timer) {
                (None, None) => break,
                (event, Some((at, worker))) if event.is_none_or(|event| at <= event) => {
                    self.now = self.now.max(at);
                    let now = self.moment();
                    self.engines[worker].handle_timeout(now);
                    let next = self.engines[worker].poll_timeout();
                    assert!(next.is_none_or(|next| next > now), "time does not go on");
                    self.drain(worker);
                }
                _ => {
                    let Some(Scheduled { at, event, .. }) = self.events.pop() else { break };
                    self.now = self.now.max(at);
                    self.happen(event);
                }
            }
            if count % 32 == 0 {
                self.check_running();
            }
            assert!(self.now < QUIET + 30 * SECOND, "timers without end");
        }
        self.check_end();
        self.tally
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ask => self.ask(),
            Event::AtServer { worker, server, by, bytes } => {
                self.at_server(worker, server, by, &bytes);
            }
            Event::AtWorker { worker, server, port, bytes, right } => {
                trace!(
                    self,
                    "worker {worker} port {port}: from server {server}, {right} {}",
                    hex(&bytes)
                );
                if right {
                    self.note_delivery(&bytes);
                }
                let now = self.moment();
                let from = UpstreamId(server as u16);
                self.engines[worker].handle_response(from, SourcePort(port), &bytes, now);
                self.drain(worker);
            }
            Event::TcpEnds { worker, token, outcome } => {
                trace!(self, "worker {worker}: TCP {:?}", outcome.as_ref().map(|bytes| hex(bytes)));
                if let Ok(bytes) = &outcome {
                    self.note_delivery(bytes);
                }
                let now = self.moment();
                let outcome = outcome.as_deref().map_err(|failure| *failure);
                self.engines[worker].handle_tcp_response(token, outcome, now);
                self.drain(worker);
            }
            Event::Refused { worker, server, port } => {
                let now = self.moment();
                let server = UpstreamId(server as u16);
                self.engines[worker].handle_refused(server, SourcePort(port), now);
                self.drain(worker);
            }
            Event::Peer { to, message } => {
                let now = self.moment();
                self.owner_missing |= matches!(message, PeerMessage::Busy { .. });
                self.engines[to].handle_peer(message, now);
                self.drain(to);
            }
            Event::Outage { server, state } => {
                trace!(self, "server {server} is {state:?}");
                self.states[server] = state;
            }
        }
    }

    fn note_delivery(&mut self, bytes: &[u8]) {
        let Some(end) = bytes[12..].iter().position(|octet| *octet == 0) else { return };
        let end = 12 + end + 1;
        let rtype = u16::from_be_bytes([bytes[end], bytes[end + 1]]);
        let name = bytes[12..end].to_ascii_lowercase();
        self.delivered.insert((name, rtype), self.now / SECOND);
    }

    // ---- Workers

    /// Carries out what a worker wants.
    fn drain(&mut self, worker: usize) {
        let now = self.moment();
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some((to, len)) = self.engines[worker].poll_transmit(&mut buffer) {
            let bytes = &buffer[..len];
            match to {
                Destination::Client(client) => self.reply(client, bytes),
                Destination::Upstream { server, handle, avoid } => {
                    self.tally.upstream += 1;
                    if self.chance(self.setting.tcp_fails / 20) {
                        self.engines[worker].not_sent(handle, now);
                        continue;
                    }
                    let port = loop {
                        let port = self.random.within(1_024..65_536) as u16;
                        if avoid != Some(SourcePort(port)) {
                            break port;
                        }
                    };
                    self.engines[worker].sent(handle, SourcePort(port));
                    let server = usize::from(server.0);
                    trace!(self, "worker {worker} port {port}: to server {server} {}", hex(bytes));
                    self.forge(worker, server, port, bytes);
                    let bytes = bytes.to_vec();
                    if !self.chance(self.setting.loss) {
                        let delay = self.delay(server);
                        let by = By::Udp(port);
                        self.after(delay, Event::AtServer { worker, server, by, bytes });
                    }
                }
                Destination::Validator(_) => unreachable!("nobody validates in this world"),
                Destination::UpstreamTcp { server, token, timeout } => {
                    let server = usize::from(server.0);
                    trace!(self, "worker {worker}: TCP to server {server} {}", hex(bytes));
                    let bytes = bytes.to_vec();
                    let timeout = timeout.as_micros() as u64;
                    let refusing = self.states[server] == State::Refusing;
                    let failing = self.chance(self.setting.tcp_fails);
                    if refusing || failing && self.random.per_mille(500) {
                        let failures = [TransportFailure::Refused, TransportFailure::Broken];
                        let outcome = Err(*self.random.pick(&failures));
                        let delay = self.delay(server);
                        self.after(delay, Event::TcpEnds { worker, token, outcome });
                    } else if failing || self.states[server] == State::Silent {
                        let outcome = Err(TransportFailure::Timeout);
                        self.after(timeout, Event::TcpEnds { worker, token, outcome });
                    } else {
                        // A round trip for the handshake.
                        let delay = 3 * self.delay(server);
                        let by = By::Tcp(token, self.now + timeout);
                        self.after(delay, Event::AtServer { worker, server, by, bytes });
                    }
                }
            }
        }
        self.buffer = buffer;
        while let Some((to, message)) = self.engines[worker].poll_peer() {
            let to = usize::from(to.0);
            assert_ne!(to, worker, "a worker does not write to itself");
            trace!(self, "worker {worker} to worker {to}: {}", peer_word(&message));
            if self.chance(self.setting.inbox_full) {
                self.owner_missing = true;
                self.engines[worker].peer_unreachable(&message, now);
                self.drain(worker);
            } else {
                let delay = self.random.below(500);
                self.after(delay, Event::Peer { to, message });
            }
        }
    }

    /// Half a round trip, sometimes much longer, so that packets overtake each other.
    fn delay(&mut self, server: usize) -> u64 {
        let half = self.setting.rtt_us[server] / 2;
        let jitter = self.random.below(half / 4 + 1);
        let held = if self.setting.is_faulty() && self.chance(30) { 300 * MILLI } else { 0 };
        half + jitter + held
    }

    // ---- Servers

    fn at_server(&mut self, worker: usize, server: usize, by: By, bytes: &[u8]) {
        match (self.states[server], by) {
            (State::Up, _) => {}
            (State::Silent, By::Udp(_)) => return,
            (State::Refusing, By::Udp(port)) => {
                let delay = self.delay(server);
                self.after(delay, Event::Refused { worker, server, port });
                return;
            }
            (State::Silent | State::Refusing, By::Tcp(token, _)) => {
                let outcome = Err(TransportFailure::Broken);
                self.after(MILLI, Event::TcpEnds { worker, token, outcome });
                return;
            }
        }
        let asked = Asked::read(bytes);
        let habits = self.setting.habits[server];
        let by_udp = matches!(by, By::Udp(_));
        let seed = self.setting.seed;
        let meaning = |number| self.meaning(number);
        let (mut octets, delay_ms) = server::respond(&asked, seed, &meaning, &habits, by_udp);
        let delay = delay_ms * MILLI + self.delay(server);
        let port = match by {
            By::Udp(port) => port,
            By::Tcp(token, end) => {
                let at = (self.now + delay).min(end);
                let outcome = if at < end { Ok(octets) } else { Err(TransportFailure::Timeout) };
                self.schedule(at, Event::TcpEnds { worker, token, outcome });
                return;
            }
        };
        if self.random.per_mille(habits.junk) {
            let mut junk = octets[..12 + asked.question.len()].to_vec();
            junk[6..12].copy_from_slice(&[0, 9, 0, 0, 0, 0]);
            junk.extend_from_slice(&self.random.octets());
            self.after(
                delay / 2,
                Event::AtWorker { worker, server, port, bytes: junk, right: false },
            );
        }
        let mut right = true;
        if self.random.per_mille(habits.miscounts) {
            server::miscount(&mut octets, &mut self.random);
            right = false;
        } else if self.chance(self.setting.corrupt) {
            right = false;
            match self.random.below(3) {
                0 => octets.truncate(self.random.below(octets.len() as u64) as usize),
                1 => octets[self.random.below(2) as usize] ^= 1 << self.random.below(8),
                _ => octets[13] ^= 1 << self.random.below(5),
            }
        }
        let copies = 1 + u64::from(self.chance(self.setting.duplicates));
        for copy in 0..copies {
            if !self.chance(self.setting.loss) {
                let bytes = octets.clone();
                let delay = delay + copy * self.random.below(400 * MILLI);
                self.after(delay, Event::AtWorker { worker, server, port, bytes, right });
            }
        }
    }

    /// A forger that sees nothing tries to be first with an answer.
    fn forge(&mut self, worker: usize, server: usize, port: u16, query: &[u8]) {
        if self.setting.forged == 0 || !self.random.per_mille(self.setting.forged) {
            return;
        }
        let mut bytes = query[..12].to_vec();
        bytes[2..4].copy_from_slice(&[0x81, 0x80]);
        bytes[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
        let asked = Asked::read(query);
        bytes.extend_from_slice(&asked.question);
        bytes.extend_from_slice(&[0xc0, 12]);
        let aaaa = Ipv6Addr::new(0x2001, 0xdb8, 0x666, 0, 0, 0, 0, 6).octets();
        let name_end = asked.question.len() - 4;
        bytes.extend_from_slice(&asked.question[name_end..]);
        bytes.extend_from_slice(&[0, 0, 0x0e, 0x10]);
        match asked.rtype {
            rtype::AAAA => bytes.extend([&[0, 16][..], &aaaa].concat()),
            rtype::A => bytes.extend([0, 4, 6, 6, 6, 6]),
            _ => bytes.extend([0, 6, 4, b'e', b'v', b'i', b'l', 0]),
        }
        let open_port = port;
        let mut port = port;
        let mut from = server;
        match self.random.below(5) {
            // Another ID.
            0 => bytes[0] ^= 1 << self.random.below(8),
            // Another port.
            1 => port ^= 1 << self.random.below(10),
            // Another name.
            2 => bytes[13] ^= 1,
            // From another server.
            3 => from = (server + 1) % self.setting.servers,
            // Other letter case: the forger cannot see it. Some servers' answers have none.
            _ => bytes[13] ^= 0x20,
        }
        let other_case = bytes[13] ^ query[13] == 0x20 && query[13].is_ascii_alphabetic();
        let nothing_wrong = from == server
            && port == open_port
            && bytes[..2] == query[..2]
            && (bytes[13] == query[13] || other_case && self.setting.habits[server].lower_case);
        if nothing_wrong {
            return;
        }
        let delay = self.random.below(20 * MILLI);
        self.after(delay, Event::AtWorker { worker, server: from, port, bytes, right: false });
    }

    // ---- What must always hold

    fn check_running(&self) {
        for (worker, engine) in self.engines.iter().enumerate() {
            let inflight = self.setting.inflight as usize;
            assert!(engine.lookups_under_way() <= inflight, "I5: look-ups of worker {worker}");
            let awaited: usize = engine.upstreams().map(|server| server.in_flight as usize).sum();
            assert!(awaited <= engine.lookups_under_way(), "I5: awaited by worker {worker}");
            assert!(engine.clients_waiting() <= inflight, "I5: clients of worker {worker}");
        }
        let waiting: usize = self.engines.iter().map(Engine::clients_waiting).sum();
        assert_eq!(waiting, self.open.len(), "I1: those who wait are those without reply");
        for open in &self.open {
            let waited = self.now - open.arrived;
            assert!(
                waited <= 2 * SECOND + 2 * MILLI,
                "I8: {} waits for {waited} us",
                open.client.peer
            );
        }
        if !self.owner_missing {
            let mut keys: Vec<u64> =
                self.engines.iter().flat_map(Engine::upstream_lookups).collect();
            keys.sort_unstable();
            assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "I4: one look-up a key");
        }
        for engine in &self.engines {
            let counters = engine.counters();
            let sum = counters.responses_total() + counters.drops_total();
            let waiting = engine.clients_waiting() as u64;
            assert_eq!(counters.queries_total(), sum + waiting, "I6: the books balance");
        }
    }

    fn check_end(&mut self) {
        self.check_running();
        assert!(self.open.is_empty(), "I8: {} queries without reply", self.open.len());
        for engine in &self.engines {
            assert_eq!(engine.lookups_under_way(), 0, "I5: look-ups that do not end");
            assert!(engine.upstreams().all(|server| server.in_flight == 0), "I5: awaited for ever");
            assert_eq!(engine.clients_waiting(), 0, "I5: clients that wait for ever");
            assert!(!engine.has_output(), "nothing is left to be sent");
            let counters = engine.counters();
            self.tally.synthesized += counters.synthesized;
            self.tally.hits += counters.cache_hits;
            self.tally.stale += counters.cache_stale;
        }
        self.check_room();
    }

    /// Every place that was taken has been given back: each client can ask as much as ever.
    fn check_room(&mut self) {
        let policy_failures = |world: &Self| -> u64 {
            let counters = world.engines.iter().map(Engine::counters);
            counters.map(|counters| counters.responses[Source::Policy as usize][2]).sum()
        };
        let before = policy_failures(self);
        let now = self.moment();
        let clients: Vec<Client> = self.asked.iter().map(|(_, client, _)| *client).collect();
        let mut peers: Vec<IpAddr> = clients.iter().map(|client| client.peer.ip()).collect();
        peers.sort_unstable();
        peers.dedup();
        peers.retain(|peer| !peer.to_string().starts_with("2001:db9"));
        let per_client = u64::from(self.setting.inflight_per_client.min(8));
        for (number, peer) in peers.iter().enumerate() {
            let Some(client) = clients.iter().find(|client| client.peer.ip() == *peer) else {
                continue;
            };
            for query in 0..per_client {
                let label = format!("room-{number}-{query}");
                if self.engines[0].lookups_under_way() + 2 > self.setting.inflight as usize {
                    return;
                }
                let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
                bytes.extend(zone::wire(&[label.as_bytes(), b"test"]));
                bytes.extend_from_slice(&[0, 1, 0, 1]);
                let query = Datagram { bytes: &bytes, client: *client };
                let mut out = [0; 512];
                let verdict = self.engines[0].handle_query(query, &mut out, now);
                assert_eq!(verdict, Verdict::Pending, "I5: the room of {peer} is taken");
            }
        }
        assert_eq!(policy_failures(self), before, "I5: room that was not given back");
    }
}

fn peer_word(message: &PeerMessage) -> &'static str {
    match message {
        PeerMessage::Query { .. } => "query",
        PeerMessage::Answer { .. } => "answer",
        PeerMessage::Stale { .. } => "stale",
        PeerMessage::Busy { .. } => "busy",
    }
}

/// Octets for people.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
