//! The engine in this process, between a client and upstream servers that a test scripts.
//!
//! Nothing here takes time: the clock is a number, and it goes forward from one event to the next.
//! A test says what the servers answer ([`Responder::says`]), asks ([`Responder::ask`]) and looks
//! at the reply; or it takes the servers' part itself, message by message
//! ([`Responder::upstream_queries`], [`Responder::deliver`]). A question that nothing was said
//! about fails the test that caused it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use dns64::cache::Shard;
use dns64::config;
use dns64::datagram::{Channel, Client, Datagram, SourcePort, UpstreamId, WorkerId};
use dns64::engine::respond::TransportFailure;
use dns64::engine::{Destination, Engine, EngineSettings, Validation, Verdict};
use dns64::limits::MESSAGE_LEN_MAX;
use dns64::time::Moment;

pub use crate::in_process::message::{Query, Response};
use crate::in_process::message::{header_id, parse_question};
use crate::reply::Reply;

mod message;

/// Milliseconds from a query to a server's answer, where a response names no other time.
const LATENCY_MS: u64 = 5;

/// Time at which every responder starts: any, but not the start of the program.
const START_MS: u64 = 1_000_000;

/// Longer than any reply takes.
const PATIENCE_MS: u64 = 15_000;

/// Octets of a responder's cache.
const CACHE_LEN: usize = 4 << 20;

/// How a query went upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// In a datagram from this port.
    Udp(SourcePort),
    /// On a connection; the number is the engine's.
    Tcp(u64),
}

/// A query that the engine sent upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamQuery {
    /// The server, by its place in the configuration.
    pub server: UpstreamId,
    /// How it went.
    pub via: Via,
    /// The message.
    pub octets: Vec<u8>,
    /// Lower-case name and type, as `name. TYPE`.
    pub question: String,
    /// When it was sent, in milliseconds since the responder started.
    pub sent_ms: u64,
}

impl UpstreamQuery {
    /// The message ID.
    #[must_use]
    pub fn id(&self) -> u16 {
        header_id(&self.octets)
    }

    /// Whether it went by TCP.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        matches!(self.via, Via::Tcp(_))
    }
}

/// A reply and when it came.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The reply, read by two parsers.
    pub reply: Reply,
    /// Milliseconds between query and reply.
    pub after_ms: u64,
}

impl Answered {
    /// The answer section as text.
    #[must_use]
    pub fn answer(&self) -> Vec<&str> {
        self.reply.answer.iter().map(|record| record.text.as_str()).collect()
    }

    /// The authority section as text.
    #[must_use]
    pub fn authority(&self) -> Vec<&str> {
        self.reply.authority.iter().map(|record| record.text.as_str()).collect()
    }

    /// The RCODE.
    #[must_use]
    pub const fn rcode(&self) -> u16 {
        self.reply.rcode
    }

    /// The codes of its Extended Errors.
    #[must_use]
    pub fn extended_errors(&self) -> &[u16] {
        self.reply.opt.as_ref().map_or(&[], |opt| &opt.extended_errors)
    }
}

/// What a server says to a question.
struct Line {
    question: String,
    server: Option<u16>,
    response: Response,
    once: bool,
}

/// An answer on its way from a server.
struct Travelling {
    at_ms: u64,
    to: UpstreamQuery,
    octets: Vec<u8>,
}

/// A responder and everything around it.
pub struct Responder {
    /// The engine.
    pub engine: Engine,
    now_ms: u64,
    next_port: u16,
    script: Vec<Line>,
    travelling: Vec<Travelling>,
    replies: Vec<(SocketAddr, Vec<u8>, u64)>,
    asked: Vec<UpstreamQuery>,
    verdicts: Vec<(String, Validation)>,
}

impl Responder {
    /// A responder with the keys of `[dns64]` that `dns64` holds, and one upstream server.
    ///
    /// # Panics
    ///
    /// On a configuration that is refused.
    #[must_use]
    pub fn new(dns64: &str) -> Self {
        Self::configured(&format!("[upstream]\nservers = [\"192.0.2.53\"]\n[dns64]\n{dns64}"))
    }

    /// A responder with this configuration.
    ///
    /// # Panics
    ///
    /// On a configuration that is refused.
    #[must_use]
    pub fn configured(text: &str) -> Self {
        let configuration = config::parse(text, "test.toml").expect("a good configuration");
        let settings = EngineSettings {
            policy: configuration.policy().into(),
            worker: WorkerId(0),
            workers: 1,
            hash_seed: 64,
            random_seed: [7; 32],
        };
        Self {
            engine: Engine::new(settings, Shard::new(CACHE_LEN)),
            now_ms: START_MS,
            next_port: 20_000,
            script: Vec::new(),
            travelling: Vec::new(),
            replies: Vec::new(),
            asked: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// From now on the servers say this to `name. TYPE`. What was said last counts.
    pub fn says(&mut self, question: &str, response: Response) -> &mut Self {
        self.line(question, None, response, false)
    }

    /// The next time only, a server says this.
    pub fn says_once(&mut self, question: &str, response: Response) -> &mut Self {
        self.line(question, None, response, true)
    }

    /// One of the servers says this.
    pub fn server_says(&mut self, server: u16, question: &str, response: Response) -> &mut Self {
        self.line(question, Some(server), response, false)
    }

    /// From now on the validator says this of answers to `name. TYPE`. What was said last counts;
    /// where nothing was said it is silent.
    pub fn validates_as(&mut self, question: &str, validation: Validation) -> &mut Self {
        self.verdicts.push((question.to_owned(), validation));
        self
    }

    fn line(
        &mut self,
        question: &str,
        server: Option<u16>,
        response: Response,
        once: bool,
    ) -> &mut Self {
        self.script.push(Line { question: question.to_owned(), server, response, once });
        self
    }

    /// Asks, and lets time pass until the reply is there.
    ///
    /// # Panics
    ///
    /// If there is no reply, or one that two parsers do not accept.
    pub fn ask(&mut self, query: &Query) -> Answered {
        let begin_ms = self.now_ms;
        let octets = self.exchange(query);
        let after_ms = self.now_ms - begin_ms;
        let octets = octets.unwrap_or_else(|| panic!("no reply to {query:?}"));
        let reply = Reply::parse(octets).expect("a well-formed reply");
        assert_eq!(header_id(&reply.octets), query.id, "the reply has the query's ID");
        Answered { reply, after_ms }
    }

    /// Asks with these octets; the reply's octets, if one comes at once or later.
    pub fn ask_octets(&mut self, octets: &[u8]) -> Option<Vec<u8>> {
        let client = client(IpAddr::V6(Ipv6Addr::LOCALHOST), false);
        self.send_from(octets, client).or_else(|| self.wait_for_reply(client.peer))
    }

    fn exchange(&mut self, query: &Query) -> Option<Vec<u8>> {
        let client = client_of(query);
        self.send_from(&query.octets(), client).or_else(|| self.wait_for_reply(client.peer))
    }

    /// Sends a query: its reply if it is answered at once.
    pub fn send(&mut self, query: &Query) -> Option<Vec<u8>> {
        self.send_from(&query.octets(), client_of(query))
    }

    fn send_from(&mut self, octets: &[u8], client: Client) -> Option<Vec<u8>> {
        let mut out = vec![0; MESSAGE_LEN_MAX];
        let query = Datagram { bytes: octets, client };
        match self.engine.handle_query(query, &mut out, self.now()) {
            Verdict::Reply { len } => {
                out.truncate(len);
                Some(out)
            }
            Verdict::Pending | Verdict::Drop(_) => None,
        }
    }

    /// Lets time pass until a client has a reply.
    fn wait_for_reply(&mut self, peer: SocketAddr) -> Option<Vec<u8>> {
        let end_ms = self.now_ms + PATIENCE_MS;
        loop {
            self.play_servers();
            let place = self.replies.iter().position(|(to, _, _)| *to == peer);
            if let Some(place) = place {
                return Some(self.replies.remove(place).1);
            }
            let next_ms = self.next_event_ms().filter(|at_ms| *at_ms <= end_ms)?;
            self.go_to(next_ms);
        }
    }

    /// Lets time pass; servers answer meanwhile.
    pub fn pass_ms(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        self.play_servers();
        while let Some(next_ms) = self.next_event_ms().filter(|at_ms| *at_ms <= end_ms) {
            self.go_to(next_ms);
            self.play_servers();
        }
        self.now_ms = end_ms;
    }

    /// Lets whole seconds pass.
    pub fn pass_secs(&mut self, secs: u64) {
        self.pass_ms(secs * 1_000);
    }

    /// Lets time pass while the servers are silent, whatever was said.
    pub fn pass_ms_in_silence(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while let Some(next_ms) = self.next_timeout_ms().filter(|at_ms| *at_ms <= end_ms) {
            self.now_ms = self.now_ms.max(next_ms);
            self.engine.handle_timeout(self.now());
            self.collect();
        }
        self.now_ms = end_ms;
    }

    /// The queries that went upstream since this was called last.
    pub fn upstream_queries(&mut self) -> Vec<UpstreamQuery> {
        self.collect();
        std::mem::take(&mut self.asked)
    }

    /// The questions that went upstream since, as `name. TYPE`.
    pub fn questions_asked(&mut self) -> Vec<String> {
        self.upstream_queries().into_iter().map(|query| query.question).collect()
    }

    /// The replies that clients got and nobody has taken.
    pub fn replies(&mut self) -> Vec<Vec<u8>> {
        self.collect();
        self.replies.drain(..).map(|(_, octets, _)| octets).collect()
    }

    /// Brings a message from a server to the engine as the answer to `query`.
    pub fn deliver(&mut self, query: &UpstreamQuery, octets: &[u8]) {
        match query.via {
            Via::Udp(port) => self.engine.handle_response(query.server, port, octets, self.now()),
            Via::Tcp(token) => self.engine.handle_tcp_response(token, Ok(octets), self.now()),
        }
    }

    /// Brings a datagram from a server's address to one of our ports.
    pub fn deliver_datagram(&mut self, from: UpstreamId, to: SourcePort, octets: &[u8]) {
        self.engine.handle_response(from, to, octets, self.now());
    }

    /// The time as the engine has it.
    #[must_use]
    pub const fn now(&self) -> Moment {
        Moment::from_millis(self.now_ms)
    }

    /// Takes what the engine wants sent.
    fn collect(&mut self) -> Vec<UpstreamQuery> {
        let mut buffer = vec![0; MESSAGE_LEN_MAX];
        let mut queries = Vec::new();
        while let Some((to, len)) = self.engine.poll_transmit(&mut buffer) {
            let octets = buffer[..len].to_vec();
            let (server, via) = match to {
                Destination::Client(client) => {
                    self.replies.push((client.peer, octets, self.now_ms));
                    continue;
                }
                Destination::Upstream { server, handle, avoid } => {
                    let port = SourcePort(self.next_port);
                    self.next_port = self.next_port.checked_add(1).unwrap_or(20_000);
                    assert_ne!(avoid, Some(port), "ports are not used twice in a row");
                    self.engine.sent(handle, port);
                    (server, Via::Udp(port))
                }
                Destination::UpstreamTcp { server, token, .. } => (server, Via::Tcp(token)),
                Destination::Validator(of) => {
                    let question = parse_question(&octets).expect("one question");
                    let of_it = self.verdicts.iter().rfind(|(known, _)| *known == question);
                    if let Some((_, validation)) = of_it {
                        self.engine.handle_validation(of, *validation, self.now());
                    }
                    continue;
                }
            };
            let question = parse_question(&octets).expect("a query with one question");
            let sent_ms = self.now_ms - START_MS;
            queries.push(UpstreamQuery { server, via, octets, question, sent_ms });
        }
        self.asked.extend(queries.iter().cloned());
        queries
    }

    /// Lets the servers answer what was sent to them.
    fn play_servers(&mut self) {
        for query in self.collect() {
            let fits = |line: &Line| {
                line.question.eq_ignore_ascii_case(&query.question)
                    && line.server.is_none_or(|server| UpstreamId(server) == query.server)
            };
            // What happens once comes before what holds for good; then the last word counts.
            let place = self.script.iter().position(|line| line.once && fits(line));
            let place = place.or_else(|| self.script.iter().rposition(fits));
            let Some(place) = place else {
                panic!("{} was asked upstream, and nothing is said about it", query.question)
            };
            let line = &self.script[place];
            let delay_ms = line.response.delay_ms.unwrap_or(LATENCY_MS);
            if let Some(octets) = line.response.octets(&query.octets, query.is_tcp()) {
                let at_ms = self.now_ms + delay_ms;
                self.travelling.push(Travelling { at_ms, to: query, octets });
            }
            if self.script[place].once {
                self.script.remove(place);
            }
        }
    }

    fn next_timeout_ms(&self) -> Option<u64> {
        let moment = self.engine.poll_timeout()?;
        Some(moment.as_micros().div_ceil(1_000))
    }

    fn next_event_ms(&self) -> Option<u64> {
        let arrival = self.travelling.iter().map(|answer| answer.at_ms).min();
        match (arrival, self.next_timeout_ms()) {
            (Some(arrival), Some(timeout)) => Some(arrival.min(timeout)),
            (arrival, timeout) => arrival.or(timeout),
        }
    }

    /// Goes to a moment and lets happen what happens then.
    fn go_to(&mut self, at_ms: u64) {
        self.now_ms = self.now_ms.max(at_ms);
        while let Some(place) =
            self.travelling.iter().position(|answer| answer.at_ms <= self.now_ms)
        {
            let answer = self.travelling.remove(place);
            self.deliver(&answer.to, &answer.octets);
        }
        if self.next_timeout_ms().is_some_and(|due_ms| due_ms <= self.now_ms) {
            self.engine.handle_timeout(self.now());
        }
    }

    /// A connection to a server that fails.
    pub fn fail_tcp(&mut self, query: &UpstreamQuery, failure: TransportFailure) {
        if let Via::Tcp(token) = query.via {
            self.engine.handle_tcp_response(token, Err(failure), self.now());
        }
    }
}

/// The client of a query.
fn client_of(query: &Query) -> Client {
    let (socket, local) = query.to;
    let client = client(query.client, query.tcp);
    let channel = match client.channel {
        Channel::Udp { .. } => Channel::Udp { socket },
        Channel::Tcp { connection, .. } => Channel::Tcp { connection, socket },
        validator @ Channel::Validator { .. } => validator,
    };
    Client { local, channel, ..client }
}

/// A client at an address.
fn client(address: IpAddr, tcp: bool) -> Client {
    let channel =
        if tcp { Channel::Tcp { connection: 1, socket: 0 } } else { Channel::Udp { socket: 0 } };
    Client {
        peer: SocketAddr::new(address, 40_053),
        local: IpAddr::V6(Ipv6Addr::LOCALHOST),
        interface: 0,
        channel,
    }
}
