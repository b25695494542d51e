//! Plays one case: starts the upstream and the server, asks, and lets the judge compare.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::cases::{Case, DEFAULT_CLIENT, Question};
use crate::client::{exchange, query_octets};
use crate::judge::{Evidence, judge};
use crate::reply::Reply;
use crate::subject::{NotExpressible, Place, Subject, SubjectKind, TemporaryDirectory};
use crate::upstream::{Asked, Upstream};

/// No reply is waited for longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// `dns64d` answers within its budget of two seconds, whatever the upstream does.
const DNS64D_DEADLINE: Duration = Duration::from_millis(2_500);
/// Servers listen from here on: below the ports that the kernel gives to clients.
const FIRST_PORT: u16 = 10_000;

/// Why a case is not played.
#[derive(Debug, Clone)]
pub enum Obstacle {
    /// Nobody has the features that it needs.
    Needs(String),
    /// The subject has no words for its configuration.
    NotExpressible(NotExpressible),
    /// Its client's address does not exist here.
    NoClient(String),
    /// The peer is not the version whose differences are known.
    OtherVersion(String),
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Needs(features) => write!(formatter, "needs {features}"),
            Self::NotExpressible(reason) => reason.fmt(formatter),
            Self::NoClient(reason) => formatter.write_str(reason),
            Self::OtherVersion(version) => write!(formatter, "not known: {version}"),
        }
    }
}

/// What stands in the way of a case. `without_namespace` says why only loopback addresses exist, if
/// so.
pub fn obstacle(
    case: &Case,
    subject: &Subject,
    without_namespace: Option<&str>,
) -> Option<Obstacle> {
    if !case.needs.is_empty() {
        return Some(Obstacle::Needs(case.needs.join(", ")));
    }
    let nobody = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 1);
    let place = Place::on_loopback(FIRST_PORT, nobody, std::env::temp_dir());
    if let Err(reason) = subject.configuration(&case.config, &place) {
        return Some(Obstacle::NotExpressible(reason));
    }
    if case.query.is_none()
        && let Err(reason) = subject.can_check()
    {
        return Some(Obstacle::NotExpressible(reason));
    }
    let other_client = clients(case).into_iter().find(|client| *client != DEFAULT_CLIENT);
    match (without_namespace, other_client) {
        (Some(reason), Some(client)) => {
            Some(Obstacle::NoClient(format!("no address {client}: {reason}")))
        }
        _ => None,
    }
}

/// The source addresses of a case.
pub fn clients(case: &Case) -> Vec<IpAddr> {
    let Some(question) = &case.query else { return Vec::new() };
    let mut clients = vec![question.client];
    for prior in &case.config.prior {
        let client: Option<IpAddr> =
            prior.get("client").and_then(|client| client.as_str()?.parse().ok());
        clients.extend(client);
    }
    clients
}

/// The name of a case, as a part of file names.
pub fn label(case: &Case) -> String {
    case.id.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '-' }).collect()
}

/// Plays a case: none of the complaints, or what is wrong.
///
/// # Errors
///
/// The server does not start, answer, live on or end, or the case cannot be understood.
pub fn play(case: &Case, subject: &Subject, in_namespace: bool) -> Result<Vec<String>> {
    let directory = TemporaryDirectory::new(&label(case))?;
    let upstream = Upstream::start(&case.upstream)?;
    let place = Place::on_loopback(free_port()?, upstream.address(), directory.path().to_owned());
    let configuration =
        subject.configuration(&case.config, &place).map_err(|reason| anyhow!("{reason}"))?;

    let Some(question) = &case.query else {
        let accepted = subject.check(&configuration, &place)?;
        let wanted = case.expect.config.as_deref() == Some("accept");
        return Ok(if accepted == wanted {
            Vec::new()
        } else {
            vec![format!("configuration {}", if accepted { "accepted" } else { "rejected" })]
        });
    };

    let mut server = subject.start(&configuration, &place)?;
    let asker = Asker { addresses: place.addresses, port: place.port, in_namespace };
    let complaints = converse(case, question, &upstream, &asker, subject.kind)?.complaints;
    server.ensure_alive().context("after the query")?;
    server.stop()?;
    Ok(complaints)
}

/// What was said in a case.
#[derive(Debug)]
pub struct Conversation {
    /// The questions in order, the one that counts last, with their replies and the time between;
    /// none for one without reply.
    pub said: Vec<Answered>,
    /// What is wrong with the last reply.
    pub complaints: Vec<String>,
}

/// Asks what a case asks, and lets the judge look at the last reply.
///
/// # Errors
///
/// A question before the last one has no reply, or the case cannot be understood.
pub fn converse(
    case: &Case,
    question: &Question,
    upstream: &Upstream,
    asker: &Asker,
    kind: SubjectKind,
) -> Result<Conversation> {
    let mut said = Vec::new();
    for prior in &case.config.prior {
        said.push(ask_prior(question, prior, upstream, asker)?);
    }
    thread::sleep(Duration::from_secs_f64(case.config.prior_sleep_s));
    let mark = upstream.asked().len();
    let complaints = match asker.ask(question, 0x6464) {
        Err(error) => vec![format!("{error:#}")],
        Ok(answered) => {
            let asked = upstream.asked();
            let asked = asked.get(mark..).unwrap_or_default();
            let complaints = consider(case, question, &answered, asked, kind)?;
            said.push(answered);
            complaints
        }
    };
    Ok(Conversation { said, complaints })
}

/// A query, its reply and the time between them.
pub type Answered = (Vec<u8>, Vec<u8>, Duration);

fn consider(
    case: &Case,
    question: &Question,
    (query, octets, elapsed): &Answered,
    asked: &[Asked],
    kind: SubjectKind,
) -> Result<Vec<String>> {
    let reply = match Reply::parse(octets.clone()) {
        Ok(reply) => reply,
        Err(error) => return Ok(vec![format!("{error:#}: {octets:02x?}")]),
    };
    let deadline = match (case.expect.deadline_s, kind) {
        (Some(deadline_s), _) => Duration::from_secs_f64(deadline_s),
        (None, SubjectKind::Dns64d) => DNS64D_DEADLINE,
        (None, SubjectKind::Unbound | SubjectKind::Bind) => PATIENCE,
    };
    judge(case, question, &Evidence { query, reply: &reply, elapsed: *elapsed, deadline, asked })
}

/// Sends questions to the server of a case.
#[derive(Debug)]
pub struct Asker {
    /// The server's addresses, IPv4 and IPv6.
    pub addresses: [IpAddr; 2],
    /// Its port.
    pub port: u16,
    /// Clients have their own addresses; otherwise they ask from the server's.
    pub in_namespace: bool,
}

impl Asker {
    /// From where a client asks, and where.
    pub fn way(&self, client: IpAddr) -> (IpAddr, SocketAddr) {
        let server = self.addresses[usize::from(client.is_ipv6())];
        (if self.in_namespace { client } else { server }, SocketAddr::new(server, self.port))
    }

    fn ask(&self, question: &Question, id: u16) -> Result<Answered> {
        let query = query_octets(question, id)?;
        let (source, server) = self.way(question.client);
        let (reply, elapsed) = exchange(&query, source, server, question.transport, PATIENCE)?;
        Ok((query, reply, elapsed))
    }
}

/// Asks a question that comes before the one that counts; what is said to it does not matter, but
/// something is.
fn ask_prior(
    question: &Question,
    prior: &serde_json::Map<String, serde_json::Value>,
    upstream: &Upstream,
    asker: &Asker,
) -> Result<Answered> {
    let mut keys = serde_json::to_value(question)?;
    let mut override_a = None;
    for (key, value) in prior {
        match key.as_str() {
            "upstream_a" => {
                override_a = Some(value.as_str().context("upstream_a")?.parse::<Ipv4Addr>()?);
            }
            _ => {
                keys.as_object_mut().context("question")?.insert(key.clone(), value.clone());
            }
        }
    }
    let question: Question = serde_json::from_value(keys).context("prior")?;
    upstream.override_a(override_a);
    let answered = asker.ask(&question, 0x7070).context("prior question");
    upstream.override_a(None);
    answered
}

/// A port that is free on both loopback addresses over UDP and TCP.
fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _attempt in 0..1_000 {
        let port = FIRST_PORT + NEXT.fetch_add(1, Ordering::Relaxed) % 20_000;
        let is_free = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]
            .into_iter()
            .all(|ip| UdpSocket::bind((ip, port)).is_ok() && TcpListener::bind((ip, port)).is_ok());
        if is_free {
            return Ok(port);
        }
    }
    bail!("no free port")
}
