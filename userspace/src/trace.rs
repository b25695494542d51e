//! One query answered on the spot by an engine of its own, and the story of how.
//!
//! `dns64ctl query --trace` uses it with a configuration file, and `dns64d` when it is asked by its
//! control socket: then the configuration is the one that runs, and the cache an empty one. The
//! servers are asked by plain sockets, and nothing of the running workers is touched.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::ask::{Gist, gist};
use crate::cache::Shard;
use crate::datagram::{
    Channel, Client, Datagram, Epoch, InEpoch, SourcePort, UpstreamId, WorkerId,
};
use crate::dnssec::{self, FromValidator, ToValidator, TrustAnchors};
use crate::engine::respond::TransportFailure;
use crate::engine::{Destination, Engine, EngineSettings, Validation, Verdict};
use crate::limits::MESSAGE_LEN_MAX;
use crate::policy::{DnssecMode, Policy};
use crate::sys::waker::Waker;
use crate::time::Moment;
use crate::transport::inbox::Inbox;
use crate::transport::task_inbox::{TaskInbox, TaskSender};
use crate::wire::NameBuf;
use crate::wire::edns::InfoCode;

/// The longest that a question takes: `dns64ctl` waits a second longer.
const PATIENCE: Duration = Duration::from_secs(14);

/// Octets of the cache: for one question.
const CACHE_LEN: usize = 1 << 20;

/// Messages on their way to the validator, and from it: one answer's.
const VALIDATOR_MESSAGES: usize = 256;

/// A moment that is not the start of the world.
const START: Duration = Duration::from_secs(1_000);

/// What is asked, by whom and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The name, as in a master file.
    pub name: String,
    /// The number of the type.
    pub rtype: u16,
    /// The client's address.
    #[serde(default = "nobody")]
    pub client: IpAddr,
    /// Our address that is asked; without it the first listen address.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// DO.
    #[serde(default)]
    pub dnssec_ok: bool,
    /// CD.
    #[serde(default)]
    pub checking_disabled: bool,
    /// Whether the query comes by TCP.
    #[serde(default)]
    pub tcp: bool,
}

/// The client that is meant if none is named.
const fn nobody() -> IpAddr {
    IpAddr::V6(Ipv6Addr::LOCALHOST)
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The decisions, in their order: what decided, and what it said.
    pub steps: Vec<(String, String)>,
    /// The reply; none if the query is dropped.
    pub reply: Option<Gist>,
}

/// Answers a question by a policy, from trust anchors down where answers are validated, and tells
/// how. Takes as long as the servers do.
///
/// # Errors
/// If the question is none, nobody listens where it is asked, or the system gives no socket.
pub fn trace(
    policy: Arc<Policy>,
    anchors: &TrustAnchors,
    question: &Question,
) -> io::Result<Trace> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    let octets = encode(question)?;
    let client = client(&policy, question)?;
    let validator = Validator::start(&policy, anchors)?;
    let settings = EngineSettings {
        policy,
        worker: WorkerId(0),
        workers: 1,
        hash_seed: 64,
        random_seed: seed,
    };
    let mut asker = Asker {
        engine: Engine::new(settings, Shard::new(CACHE_LEN)),
        started: Instant::now(),
        sockets: Vec::new(),
        validator,
    };
    let query = Datagram { bytes: &octets, client };
    let reply = asker.ask(query)?.map(|octets| gist(&octets)).transpose()?;
    let now = asker.now();
    let steps = asker.engine.explain(query, now);
    let steps = steps.into_iter().map(|step| (step.by.to_owned(), step.says)).collect();
    Ok(Trace { steps, reply })
}

/// The query of a question.
fn encode(question: &Question) -> io::Result<Vec<u8>> {
    let wrong = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    let name: NameBuf = question
        .name
        .parse()
        .map_err(|error| wrong(format!("{} is no name: {error}", question.name)))?;
    let flags = if question.checking_disabled { 0x0110_u16 } else { 0x0100 };
    let mut octets = vec![0, 1];
    octets.extend_from_slice(&flags.to_be_bytes());
    octets.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 1]);
    octets.extend_from_slice(name.as_wire());
    octets.extend_from_slice(&question.rtype.to_be_bytes());
    octets.extend_from_slice(&[0, 1]);
    // OPT (RFC 6891 6.1.2): root, 41, 1232 octets, DO or not, no options.
    let dnssec_ok = if question.dnssec_ok { 0x80 } else { 0 };
    octets.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, dnssec_ok, 0, 0, 0]);
    Ok(octets)
}

/// The client of a question.
fn client(policy: &Policy, question: &Question) -> io::Result<Client> {
    let every: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
    let asked = question.listen.or_else(|| policy.listen.first().copied()).unwrap_or(every);
    let is_under = |bound: &SocketAddr| {
        let alike = bound.port() == asked.port() && bound.is_ipv4() == asked.is_ipv4();
        alike && (bound.ip() == asked.ip() || bound.ip().is_unspecified())
    };
    let place = policy
        .listen
        .iter()
        .position(|bound| *bound == asked)
        .or_else(|| policy.listen.iter().position(is_under));
    let Some(place) = place.or_else(|| question.listen.is_none().then_some(0)) else {
        let error = format!("nobody listens at {asked}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
    };
    let socket = u16::try_from(place).map_err(io::Error::other)?;
    let channel = match question.tcp {
        true => Channel::Tcp { connection: 0, socket },
        false => Channel::Udp { socket },
    };
    let peer = SocketAddr::new(question.client.to_canonical(), 40_053);
    Ok(Client { peer, local: asked.ip(), interface: 0, channel })
}

/// An engine and the sockets that it asks by.
struct Asker {
    engine: Engine,
    started: Instant,
    /// Each try's socket, connected to its server.
    sockets: Vec<(UpstreamId, SourcePort, UdpSocket)>,
    /// Where answers are validated.
    validator: Option<Validator>,
}

/// A validator of its own, and the ways to it and back.
struct Validator {
    _service: dnssec::Service,
    to: TaskSender<ToValidator>,
    from: Inbox<InEpoch<FromValidator>>,
    waker: Waker,
}

impl Validator {
    /// Starts the validator that a policy asks for.
    fn start(policy: &Policy, anchors: &TrustAnchors) -> io::Result<Option<Self>> {
        if policy.dnssec.mode() != DnssecMode::Validate {
            return Ok(None);
        }
        let waker = Waker::new()?;
        let from = Inbox::with_waker(VALIDATOR_MESSAGES, waker.clone());
        let inbox = TaskInbox::new(VALIDATOR_MESSAGES);
        let to = inbox.sender();
        let settings = dnssec::Settings {
            epoch: Epoch::default(),
            anchors: anchors.clone(),
            policy: policy.dnssec.clone(),
            workers: vec![from.sender()],
        };
        let _service = dnssec::Service::start(settings, inbox)?;
        Ok(Some(Self { _service, to, from, waker }))
    }
}

impl Asker {
    fn now(&self) -> Moment {
        Moment::from_millis((START + self.started.elapsed()).as_millis() as u64)
    }

    /// The reply to a query; `None` if it is dropped.
    fn ask(&mut self, query: Datagram<'_>) -> io::Result<Option<Vec<u8>>> {
        let mut out = vec![0; MESSAGE_LEN_MAX];
        match self.engine.handle_query(query, &mut out, self.now()) {
            Verdict::Reply { len } => {
                out.truncate(len);
                return Ok(Some(out));
            }
            Verdict::Drop(_) => return Ok(None),
            Verdict::Pending => {}
        }
        while self.started.elapsed() < PATIENCE {
            if let Some(reply) = self.send_all()? {
                return Ok(Some(reply));
            }
            if self.engine.clients_waiting() == 0 {
                return Ok(None);
            }
            self.wait()?;
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Sends what the engine wants sent; the reply, if it is among it.
    fn send_all(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut message = vec![0; MESSAGE_LEN_MAX];
        while let Some((to, len)) = self.engine.poll_transmit(&mut message) {
            let octets = message.get(..len).unwrap_or_default();
            match to {
                Destination::Client(Client { channel, .. }) => match channel {
                    Channel::Validator { question } => self.tell_validator(question, octets),
                    Channel::Udp { .. } | Channel::Tcp { .. } => return Ok(Some(octets.to_vec())),
                },
                Destination::Validator(of) => {
                    let bytes = octets.to_vec();
                    let response = ToValidator::Response { worker: WorkerId(0), of, bytes };
                    let sent =
                        self.validator.as_ref().map(|validator| validator.to.try_send(response));
                    if !matches!(sent, Some(Ok(()))) {
                        let verdict = Validation::Indeterminate(InfoCode::DNSSEC_INDETERMINATE);
                        self.engine.handle_validation(of, verdict, self.now());
                    }
                }
                Destination::Upstream { server, handle, .. } => {
                    let address = self.engine.policy().upstreams[usize::from(server.0)];
                    match send_udp(address, octets) {
                        Ok(socket) => {
                            let port = SourcePort(socket.local_addr()?.port());
                            self.engine.sent(handle, port);
                            self.sockets.push((server, port, socket));
                        }
                        Err(_) => self.engine.not_sent(handle, self.now()),
                    }
                }
                Destination::UpstreamTcp { server, token, timeout } => {
                    let address = self.engine.policy().upstreams[usize::from(server.0)];
                    let response = ask_tcp(address, octets, timeout);
                    let now = self.now();
                    let response = response.as_deref().map_err(failure);
                    self.engine.handle_tcp_response(token, response, now);
                }
            }
        }
        Ok(None)
    }

    /// Gives the validator the reply to a question of its own. If there is no room it gives up.
    fn tell_validator(&self, number: u64, reply: &[u8]) {
        if let Some(validator) = &self.validator {
            let reply = ToValidator::Reply { number, bytes: reply.to_vec() };
            let _full = validator.to.try_send(reply);
        }
    }

    /// Does what the validator says and asks.
    fn heed_validator(&mut self) {
        let mut out = vec![0; MESSAGE_LEN_MAX];
        while let Some(validator) = &self.validator {
            validator.waker.drain();
            let Some(message) = validator.from.pop() else { return };
            let now = self.now();
            match message.message {
                FromValidator::Verdict { of, validation } => {
                    self.engine.handle_validation(of, validation, now);
                }
                FromValidator::Query { number, name, rtype } => {
                    let verdict =
                        self.engine.handle_validator_query(number, &name, rtype, &mut out, now);
                    if let Verdict::Reply { len } = verdict {
                        self.tell_validator(number, &out[..len]);
                    }
                }
            }
        }
    }

    /// Waits for a response or for what is due, and hands it to the engine.
    fn wait(&mut self) -> io::Result<()> {
        let now = self.now();
        let due = self.engine.poll_timeout().map_or(PATIENCE, |due| due.since(now));
        let due = due.max(Duration::from_millis(1));
        let timeout = Timespec::try_from(due).map_err(io::Error::other)?;
        let mut ready: Vec<PollFd<'_>> =
            self.sockets.iter().map(|(_, _, socket)| PollFd::new(socket, PollFlags::IN)).collect();
        if let Some(validator) = &self.validator {
            ready.push(PollFd::new(&validator.waker, PollFlags::IN));
        }
        poll(&mut ready, Some(&timeout))?;
        drop(ready);
        self.heed_validator();
        let mut message = vec![0; MESSAGE_LEN_MAX];
        for (server, port, socket) in &self.sockets {
            let now = Moment::from_millis((START + self.started.elapsed()).as_millis() as u64);
            match socket.recv(&mut message) {
                Ok(len) => self.engine.handle_response(*server, *port, &message[..len], now),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.engine.handle_refused(*server, *port, now);
                }
                Err(_) => {}
            }
        }
        let now = self.now();
        if self.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.engine.handle_timeout(now);
        }
        Ok(())
    }
}

/// Sends a message from a port of its own.
fn send_udp(server: SocketAddr, octets: &[u8]) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    socket.send(octets)?;
    Ok(socket)
}

/// Asks by TCP.
fn ask_tcp(server: SocketAddr, octets: &[u8], timeout: Duration) -> io::Result<Vec<u8>> {
    let timeout = timeout.max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let len = u16::try_from(octets.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), octets].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut response = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut response)?;
    Ok(response)
}

/// What the engine is told of a connection that failed.
fn failure(error: &io::Error) -> TransportFailure {
    let kind = error.kind();
    if kind == io::ErrorKind::ConnectionRefused {
        TransportFailure::Refused
    } else if matches!(kind, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
        TransportFailure::Timeout
    } else {
        TransportFailure::Broken
    }
}
