//! Asking a server as a person would: one question, a retry, TCP when the reply was truncated, and
//! the reply printed the way `dig` prints it.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};

use crate::limits::{MESSAGE_LEN_MAX, UDP_PAYLOAD_LEN};
use crate::wire::edns::InfoCode;

/// How long one try waits.
const TRY_WAIT: Duration = Duration::from_secs(3);

/// Tries by UDP.
const TRIES: usize = 2;

/// What is asked, and how.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The name.
    pub name: Name,
    /// The type.
    pub rtype: RecordType,
    /// Whether DNSSEC records are wanted (DO).
    pub dnssec_ok: bool,
    /// Whether the server is asked not to validate (CD).
    pub checking_disabled: bool,
    /// Whether the question goes by TCP at once.
    pub tcp: bool,
}

/// A reply and how it came.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The message.
    pub message: Message,
    /// From where.
    pub server: SocketAddr,
    /// "UDP" or "TCP".
    pub transport: &'static str,
    /// Octets of the message.
    pub len: usize,
    /// From the question to the reply.
    pub took: Duration,
}

impl Ask {
    /// The question for a name and type, everything else as usual.
    #[must_use]
    pub const fn new(name: Name, rtype: RecordType) -> Self {
        Self { name, rtype, dnssec_ok: false, checking_disabled: false, tcp: false }
    }

    /// Asks a server.
    ///
    /// # Errors
    /// Where there is no reply, or one that cannot be read.
    pub fn ask(&self, server: SocketAddr, id: u16) -> io::Result<Reply> {
        let query = self.encode(id)?;
        let started = Instant::now();
        if !self.tcp {
            for _ in 0..TRIES {
                match ask_udp(server, &query) {
                    Ok(octets) => {
                        let message = decode(&octets)?;
                        if message.metadata.truncation {
                            break;
                        }
                        let (len, took) = (octets.len(), started.elapsed());
                        return Ok(Reply { message, server, transport: "UDP", len, took });
                    }
                    Err(error) if is_silence(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let octets = ask_tcp(server, &query)?;
        let message = decode(&octets)?;
        let (len, took) = (octets.len(), started.elapsed());
        Ok(Reply { message, server, transport: "TCP", len, took })
    }

    /// The query's octets.
    fn encode(&self, id: u16) -> io::Result<Vec<u8>> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.checking_disabled = self.checking_disabled;
        let mut query = Query::query(self.name.clone(), self.rtype);
        query.set_query_class(DNSClass::IN);
        message.add_query(query);
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD_LEN as u16);
        edns.set_dnssec_ok(self.dnssec_ok);
        message.set_edns(edns);
        message.to_vec().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn decode(octets: &[u8]) -> io::Result<Message> {
    Message::from_vec(octets).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Sends by UDP and waits for the reply with our ID.
fn ask_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv6() { [0_u16; 8].into() } else { [0_u8; 4].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(query)?;
    let deadline = Instant::now() + TRY_WAIT;
    let mut buffer = vec![0; MESSAGE_LEN_MAX];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let len = socket.recv(&mut buffer)?;
        if buffer.get(..2) == query.get(..2) {
            buffer.truncate(len);
            return Ok(buffer);
        }
    }
}

/// Sends by TCP and waits for one reply.
fn ask_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, TRY_WAIT)?;
    stream.set_read_timeout(Some(TRY_WAIT))?;
    stream.set_write_timeout(Some(TRY_WAIT))?;
    let len = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), query].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut octets = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut octets)?;
    Ok(octets)
}

/// What a reply comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gist {
    /// Its RCODE.
    pub rcode: String,
    /// The records of the answer section, as in a master file.
    pub answer: Vec<String>,
    /// Its Extended Errors (RFC 8914), code and name.
    pub extended_errors: Vec<String>,
}

/// What the octets of a reply come to.
///
/// # Errors
/// If they are no message.
pub fn gist(octets: &[u8]) -> io::Result<Gist> {
    let message = decode(octets)?;
    let rcode = crate::wire::header::Rcode(u16::from(message.metadata.response_code));
    Ok(Gist {
        rcode: rcode.to_string(),
        answer: message.answers.iter().map(render_record).collect(),
        extended_errors: extended_errors(&message)
            .iter()
            .map(|code| format!("EDE {} ({code})", code.0))
            .collect(),
    })
}

/// The reply as `dig` would print it.
#[must_use]
pub fn render(reply: &Reply) -> String {
    let message = &reply.message;
    let meta = &message.metadata;
    let mut text = String::new();
    let mut flags = String::new();
    for (set, name) in [
        (meta.message_type == MessageType::Response, "qr"),
        (meta.authoritative, "aa"),
        (meta.truncation, "tc"),
        (meta.recursion_desired, "rd"),
        (meta.recursion_available, "ra"),
        (meta.authentic_data, "ad"),
        (meta.checking_disabled, "cd"),
    ] {
        if set {
            flags.push(' ');
            flags.push_str(name);
        }
    }
    let rcode = crate::wire::header::Rcode(u16::from(meta.response_code));
    // Writing to a string cannot fail.
    let _infallible = writeln!(
        text,
        ";; ->>HEADER<<- opcode: QUERY, status: {rcode}, id: {}\n\
         ;; flags:{flags}; QUERY: {}, ANSWER: {}, AUTHORITY: {}, ADDITIONAL: {}",
        meta.id,
        message.queries.len(),
        message.answers.len(),
        message.authorities.len(),
        message.additionals.len() + usize::from(message.edns.is_some()),
    );
    if let Some(edns) = &message.edns {
        let dnssec_ok = if edns.flags().dnssec_ok { " do" } else { "" };
        let _infallible = writeln!(
            text,
            ";; EDNS: version: {}, flags:{dnssec_ok}; udp: {}",
            edns.version(),
            edns.max_payload()
        );
        for code in extended_errors(message) {
            let _infallible = writeln!(text, ";; EDE: {} ({code})", code.0);
        }
    }
    for query in &message.queries {
        let _infallible = writeln!(
            text,
            ";; QUESTION: {}  {}  {}",
            query.name(),
            query.query_class(),
            query.query_type()
        );
    }
    for (title, records) in [("ANSWER", &message.answers), ("AUTHORITY", &message.authorities)] {
        if !records.is_empty() {
            let _infallible = writeln!(text, ";; {title}:");
            for record in records {
                let _infallible = writeln!(text, "{}", render_record(record));
            }
        }
    }
    let _infallible = writeln!(
        text,
        ";; {} ms from {} by {}, {} octets",
        reply.took.as_millis(),
        reply.server,
        reply.transport,
        reply.len
    );
    text
}

/// The Extended Errors of a reply (RFC 8914).
pub fn extended_errors(message: &Message) -> Vec<InfoCode> {
    let Some(edns) = &message.edns else { return Vec::new() };
    let options = edns.options().as_ref().iter();
    options
        .filter_map(|(_, option)| {
            let EdnsOption::Unknown(15, data) = option else { return None };
            let (code, _) = data.split_first_chunk::<2>()?;
            Some(InfoCode(u16::from_be_bytes(*code)))
        })
        .collect()
}

/// One record as a line.
fn render_record(record: &Record) -> String {
    format!(
        "{:<31} {:>6} {} {:<5} {}",
        record.name.to_string(),
        record.ttl,
        record.dns_class,
        record.record_type().to_string(),
        record.data
    )
}
