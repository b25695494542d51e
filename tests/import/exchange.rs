//! Questions to a server, some at a time, and what came back.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dns64_tests::cases::{Question, Transport};
use dns64_tests::client::{exchange, query_octets};
use dns64_tests::reply::Reply;

use crate::questions::Asked;

/// Questions under way at a time: few, so that none is lost for want of room.
const WINDOW: usize = 16;

/// What came back, without TTLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing in time.
    Silence,
    /// A reply: its RCODE, and the records of its answer section without their TTLs.
    Reply { rcode: u16, answer: BTreeSet<String> },
}

/// Asks all questions; a truncated reply is asked for again by TCP.
pub(crate) fn ask_all(
    client: IpAddr,
    server: SocketAddr,
    asked: &[Asked],
    patience: Duration,
) -> Vec<Outcome> {
    let socket = UdpSocket::bind((client, 0)).unwrap();
    socket.connect(server).unwrap();
    let mut outcomes = vec![Outcome::Silence; asked.len()];
    let mut under_way: HashMap<u16, (usize, Instant)> = HashMap::new();
    let mut next = 0;
    let mut buffer = vec![0; 65_535];
    while next < asked.len() || !under_way.is_empty() {
        while next < asked.len() && under_way.len() < WINDOW {
            let id = u16::try_from(next).unwrap();
            let query = octets(&asked[next], id);
            // Whoever may not ask can get an ICMP error instead of an answer.
            let _ = socket.send(&query);
            under_way.insert(id, (next, Instant::now() + patience));
            next += 1;
        }
        let due = under_way.values().map(|(_, due)| *due).min().unwrap();
        let left = due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).unwrap();
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                let Some((number, _)) = under_way.remove(&id) else { continue };
                let message = match buffer[2] & 0x02 {
                    0 => buffer[..length].to_vec(),
                    _ => {
                        let query = octets(&asked[number], id);
                        let reply = exchange(&query, client, server, Transport::Tcp, patience);
                        reply.map_or_else(|_| Vec::new(), |(octets, _)| octets)
                    }
                };
                outcomes[number] = outcome(&message);
            }
            Err(error) => {
                let silent =
                    [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::ConnectionRefused];
                assert!(silent.contains(&error.kind()), "{error}");
            }
        }
        let now = Instant::now();
        under_way.retain(|_, (_, due)| *due > now);
    }
    outcomes
}

/// The octets of a question.
fn octets(asked: &Asked, id: u16) -> Vec<u8> {
    let json = serde_json::json!({
        "qname": asked.name,
        "qtype": asked.rtype,
        "do": asked.dnssec_ok,
        "cd": asked.checking_disabled,
        "edns_size": 1232,
    });
    let question: Question = serde_json::from_value(json).unwrap();
    query_octets(&question, id).unwrap()
}

/// What a message says.
fn outcome(message: &[u8]) -> Outcome {
    let Ok(reply) = Reply::parse(message.to_vec()) else { return Outcome::Silence };
    let record = |record: &dns64_tests::reply::ReplyRecord| {
        // Owner TTL CLASS TYPE RDATA; letter case of names is no difference.
        let words: Vec<&str> = record.text.split(' ').collect();
        format!("{} {}", words[0], words[2..].join(" ")).to_lowercase()
    };
    Outcome::Reply { rcode: reply.rcode, answer: reply.answer.iter().map(record).collect() }
}
