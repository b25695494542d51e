//! The scripted upstream: a name server on UDP and TCP of one loopback address that says what a
//! case tells it to, byte for byte, and remembers what it was asked.

use std::collections::HashSet;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use domain::base::iana::Rtype;

use crate::cases::{ScriptEntry, Transport};
use crate::client::{framed, read_framed};
use crate::presentation::{WireRecord, parse_name, parse_rcode, parse_record, parse_type};
use crate::reply::HEADER_SIZE;
use writer::{Section, Writer};

mod writer;

/// Asked to find out whether the server under test is up; always has [`PROBE_ADDRESS`].
pub const PROBE_NAME: &str = "ready.invalid-probe.example.";
/// The A of [`PROBE_NAME`].
pub const PROBE_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 250);

/// An upstream reply that would be larger than this is sent truncated if the query has no OPT (RFC
/// 1035 4.2.1).
const SIZE_WITHOUT_OPT: usize = 512;
/// A connection on which nothing is asked for so long is given up.
const IDLE: Duration = Duration::from_secs(20);

/// How an entry ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// A reply with this RCODE.
    Rcode(u8),
    /// No reply.
    Timeout,
    /// A record that runs off the end of the message.
    Malformed,
}

/// An entry, ready to be sent.
#[derive(Debug, Clone)]
struct Entry {
    /// Wire form in lower case.
    qname: Vec<u8>,
    qtype: Rtype,
    outcome: Outcome,
    sections: [Vec<WireRecord>; 3],
    truncate_udp: bool,
    ad: bool,
    extended_errors: Vec<u16>,
    validation: Option<String>,
    delay: Duration,
}

impl Entry {
    fn new(entry: &ScriptEntry) -> Result<Self> {
        let records = |texts: &[String]| -> Result<Vec<WireRecord>> {
            texts.iter().map(|text| parse_record(text)).collect()
        };
        Ok(Self {
            qname: parse_name(&entry.qname)?.to_ascii_lowercase(),
            qtype: parse_type(&entry.qtype)?,
            outcome: match entry.rcode.as_str() {
                "TIMEOUT" => Outcome::Timeout,
                "MALFORMED" => Outcome::Malformed,
                mnemonic => Outcome::Rcode(u8::try_from(parse_rcode(mnemonic)?)?),
            },
            sections: [
                records(&entry.answer)?,
                records(&entry.authority)?,
                records(&entry.additional)?,
            ],
            truncate_udp: entry.truncate_udp,
            ad: entry.ad,
            extended_errors: entry.ede.clone(),
            validation: entry.validation.clone(),
            delay: Duration::from_millis(entry.delay_ms),
        })
    }

    /// What is said where the script has nothing: no data, or no such name, with an SOA.
    fn negative(question: &Incoming, rcode: u8, owner: &str) -> Result<Self> {
        let soa = format!("{owner} 300 IN SOA ns.example. h.example. 1 3600 600 86400 300");
        Ok(Self {
            qname: question.qname.clone(),
            qtype: question.qtype,
            outcome: Outcome::Rcode(rcode),
            sections: [Vec::new(), vec![parse_record(&soa)?], Vec::new()],
            truncate_udp: false,
            ad: false,
            extended_errors: Vec::new(),
            validation: None,
            delay: Duration::ZERO,
        })
    }
}

/// One question that was asked upstream.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Wire form in lower case.
    pub qname: Vec<u8>,
    /// TYPE.
    pub qtype: Rtype,
    /// DNSSEC OK.
    pub dnssec_ok: bool,
    /// Checking disabled.
    pub checking_disabled: bool,
    /// How it came.
    pub transport: Transport,
}

/// What a query holds that the script decides by.
#[derive(Debug)]
struct Incoming {
    id: [u8; 2],
    recursion_desired: bool,
    authentic_data: bool,
    checking_disabled: bool,
    /// The question section as it came.
    question: Vec<u8>,
    /// Wire form in lower case.
    qname: Vec<u8>,
    qtype: Rtype,
    /// EDNS size and DO.
    edns: Option<(u16, bool)>,
}

impl Incoming {
    fn parse(octets: &[u8]) -> Option<Self> {
        let message = domain::base::message::Message::from_octets(octets).ok()?;
        let question = message.sole_question().ok()?;
        let question_size = question.qname().iter().map(|label| label.len() + 1).sum::<usize>() + 4;
        let question_octets = octets.get(HEADER_SIZE..HEADER_SIZE + question_size)?.to_vec();
        Some(Self {
            id: octets.first_chunk::<2>().copied()?,
            recursion_desired: message.header().rd(),
            authentic_data: message.header().ad(),
            checking_disabled: message.header().cd(),
            qname: question_octets.get(..question_size - 4)?.to_ascii_lowercase(),
            question: question_octets,
            qtype: question.qtype(),
            edns: message.opt().map(|opt| (opt.udp_payload_size(), opt.dnssec_ok())),
        })
    }

    fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|(_, dnssec_ok)| dnssec_ok)
    }
}

/// What the threads of an upstream share.
#[derive(Debug)]
struct Shared {
    entries: Vec<Entry>,
    stop: AtomicBool,
    log: Mutex<Vec<Asked>>,
    /// The address that every A of the script carries for the moment.
    override_a: Mutex<Option<Ipv4Addr>>,
}

/// A running upstream; it ends with the value.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Upstream {
    /// Starts an upstream that follows `script` on a free port.
    ///
    /// # Errors
    ///
    /// A script that cannot be written as messages, or no port.
    pub fn start(script: &[ScriptEntry]) -> Result<Self> {
        let mut entries = script.iter().map(Entry::new).collect::<Result<Vec<_>>>()?;
        entries.push(Entry::new(&ScriptEntry {
            qname: PROBE_NAME.to_owned(),
            qtype: "A".to_owned(),
            rcode: "NOERROR".to_owned(),
            answer: vec![format!("{PROBE_NAME} 1 IN A {PROBE_ADDRESS}")],
            authority: Vec::new(),
            additional: Vec::new(),
            truncate_udp: false,
            ad: false,
            ede: Vec::new(),
            validation: None,
            ecs: None,
            delay_ms: 0,
        })?);
        let (udp, tcp) = bind_pair()?;
        let address = udp.local_addr()?;
        let shared = Arc::new(Shared {
            entries,
            stop: AtomicBool::new(false),
            log: Mutex::default(),
            override_a: Mutex::default(),
        });
        let for_udp = Arc::clone(&shared);
        let for_tcp = Arc::clone(&shared);
        let threads = vec![
            thread::spawn(move || serve_udp(&udp, &for_udp)),
            thread::spawn(move || serve_tcp(&tcp, &for_tcp)),
        ];
        Ok(Self { address, shared, threads })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All questions so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on every A of the script carries this address; none: its own.
    pub fn override_a(&self, address: Option<Ipv4Addr>) {
        *self.shared.override_a.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Both threads wait for the network: give them something to wake up for.
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _sent = socket.send_to(&[], self.address);
        }
        drop(TcpStream::connect(self.address));
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

/// A UDP and a TCP socket on the same free port.
fn bind_pair() -> Result<(UdpSocket, TcpListener)> {
    for _attempt in 0..50 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        if let Ok(tcp) = TcpListener::bind(udp.local_addr()?) {
            return Ok((udp, tcp));
        }
    }
    bail!("no port that is free on UDP and TCP")
}

fn serve_udp(socket: &UdpSocket, shared: &Arc<Shared>) {
    let mut buffer = [0; 65_535];
    while let Ok((length, client)) = socket.recv_from(&mut buffer) {
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        let query = buffer.get(..length).unwrap_or_default();
        let Some((reply, delay)) = shared.answer(query, Transport::Udp) else { continue };
        if delay.is_zero() {
            let _sent = socket.send_to(&reply, client);
        } else if let Ok(socket) = socket.try_clone() {
            thread::spawn(move || {
                thread::sleep(delay);
                let _sent = socket.send_to(&reply, client);
            });
        }
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || serve_connection(stream, &shared));
    }
}

/// Answers on one connection until the other side closes it.
fn serve_connection(mut stream: TcpStream, shared: &Shared) {
    if stream.set_read_timeout(Some(IDLE)).is_err() {
        return;
    }
    while let Ok(query) = read_framed(&mut stream) {
        let Some((reply, delay)) = shared.answer(&query, Transport::Tcp) else { continue };
        thread::sleep(delay);
        if stream.write_all(&framed(&reply)).is_err() {
            return;
        }
    }
}

impl Shared {
    /// The reply to a query and how long it is held back; none: silence.
    fn answer(&self, query: &[u8], transport: Transport) -> Option<(Vec<u8>, Duration)> {
        let incoming = Incoming::parse(query)?;
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(Asked {
            qname: incoming.qname.clone(),
            qtype: incoming.qtype,
            dnssec_ok: incoming.dnssec_ok(),
            checking_disabled: incoming.checking_disabled,
            transport,
        });
        let entry = self.entry_for(&incoming).ok()?;
        let override_a = *self.override_a.lock().unwrap_or_else(PoisonError::into_inner);
        Some((compose(&entry, &incoming, transport, override_a)?, entry.delay))
    }

    fn entry_for(&self, incoming: &Incoming) -> Result<Entry> {
        let exact = self
            .entries
            .iter()
            .find(|entry| entry.qname == incoming.qname && entry.qtype == incoming.qtype);
        if let Some(entry) = exact {
            return Ok(entry.clone());
        }
        let exists = self.entries.iter().any(|entry| is_at_or_below(&entry.qname, &incoming.qname));
        if !exists {
            return Entry::negative(incoming, 3, ".");
        }
        let example = parse_name("example.")?;
        let owner = if is_at_or_below(&incoming.qname, &example) { "example." } else { "." };
        Entry::negative(incoming, 0, owner)
    }
}

/// True if `name` is `zone` or ends in it; both in wire form and lower case.
pub fn is_at_or_below(name: &[u8], zone: &[u8]) -> bool {
    let mut rest = name;
    loop {
        if rest == zone {
            return true;
        }
        let Some((&length, after)) = rest.split_first() else { return false };
        if length == 0 {
            return false;
        }
        let Some(next) = after.get(usize::from(length)..) else { return false };
        rest = next;
    }
}

/// RRs that a server sends only to those who ask for them with DO (RFC 4035 3.1).
fn only_for_dnssec_ok(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3)
}

/// Writes the reply; none: there is none.
fn compose(
    entry: &Entry,
    incoming: &Incoming,
    transport: Transport,
    override_a: Option<Ipv4Addr>,
) -> Option<Vec<u8>> {
    let bogus = entry.validation.as_deref() == Some("bogus") && !incoming.checking_disabled;
    let secure = entry.validation.as_deref() == Some("secure")
        && (incoming.dnssec_ok() || incoming.authentic_data);
    let rcode = match entry.outcome {
        Outcome::Timeout => return None,
        Outcome::Malformed => 0,
        Outcome::Rcode(_) if bogus => 2,
        Outcome::Rcode(rcode) => rcode,
    };
    let extended_errors = if bogus { &[6][..] } else { &entry.extended_errors };

    let mut reply = Writer::new(incoming, rcode, entry.ad || secure);
    if entry.outcome == Outcome::Malformed {
        // Owner is the question's name, RDLENGTH is 4, the message ends after two octets of RDATA.
        reply.octets.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00");
        reply.count(Section::Answer);
        return Some(reply.octets);
    }
    let mut complete = reply.clone();
    if !bogus {
        for (section, records) in Section::ALL.into_iter().zip(&entry.sections) {
            for record in records {
                if incoming.dnssec_ok() || !only_for_dnssec_ok(record.rtype) {
                    complete.push(section, record, override_a);
                }
            }
        }
    }
    complete.push_opt(incoming, extended_errors);
    let size = incoming.edns.map_or(SIZE_WITHOUT_OPT, |(size, _)| usize::from(size.max(512)));
    let truncated = entry.truncate_udp || complete.octets.len() > size;
    if transport == Transport::Tcp || !truncated {
        return Some(complete.octets);
    }
    reply.push_opt(incoming, extended_errors);
    reply.set_truncated();
    Some(reply.octets)
}

/// The questions of a log for one name and below.
///
/// # Errors
///
/// Text that is no name.
pub fn asked_at_or_below<'a>(log: &'a [Asked], name: &str) -> Result<Vec<&'a Asked>> {
    let zone = parse_name(name).context("no_upstream")?.to_ascii_lowercase();
    Ok(log.iter().filter(|asked| is_at_or_below(&asked.qname, &zone)).collect())
}

/// The different names of a log, for messages.
pub fn names_asked(log: &[Asked]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    for asked in log {
        let name = domain::base::name::Name::from_octets(asked.qname.as_slice())
            .map_or_else(|_| "?".to_owned(), |name| format!("{name}."));
        let text = format!("{name} {}", asked.qtype);
        if seen.insert(text.clone()) {
            names.push(text);
        }
    }
    names
}

#[cfg(test)]
mod tests;
