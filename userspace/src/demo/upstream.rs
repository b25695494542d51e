//! The demonstration's upstream server: the sample zone, over UDP on a loopback port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, PTR, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::limits::{UDP_PAYLOAD_LEN, UDP_RECEIVE_LEN};

use super::zone::RECORDS;

/// TTL of every record.
const TTL_SECS: u32 = 300;

/// Steps of a CNAME chain that are followed.
const CHAIN_LEN_MAX: usize = 4;

/// How often the thread looks whether it should end.
const STOP_POLL: Duration = Duration::from_millis(200);

/// A running upstream server. It ends when this is dropped.
#[derive(Debug)]
pub struct DemoUpstream {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DemoUpstream {
    /// Starts the server on a free loopback port.
    ///
    /// # Errors
    /// Where the system has no socket or thread for it.
    pub fn start() -> io::Result<Self> {
        let zone = Zone::sample().ok_or_else(|| io::Error::other("the sample zone is broken"))?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(STOP_POLL))?;
        let address = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread =
            std::thread::Builder::new().name("demo-upstream".to_owned()).spawn(move || {
                let mut buffer = [0; UDP_RECEIVE_LEN];
                while !stopped.load(Ordering::Relaxed) {
                    let Ok((len, client)) = socket.recv_from(&mut buffer) else { continue };
                    if let Some(reply) = zone.answer(&buffer[..len]) {
                        // A reply that is lost is asked for again.
                        let _lost = socket.send_to(&reply, client);
                    }
                }
            })?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for DemoUpstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has only panicked if the demonstration is broken, and then that has been printed.
            let _panicked = thread.join();
        }
    }
}

/// The records by owner.
struct Zone {
    records: Vec<Record>,
    fails_aaaa: Vec<Name>,
    soa: Record,
}

impl Zone {
    /// The sample zone.
    fn sample() -> Option<Self> {
        let mut records = Vec::new();
        let mut fails_aaaa = Vec::new();
        for (owner, rtype, data) in RECORDS {
            let owner = Name::from_str(owner).ok()?;
            let rdata = match *rtype {
                "A" => RData::A(A(data.parse().ok()?)),
                "AAAA" => RData::AAAA(AAAA(data.parse().ok()?)),
                "CNAME" => RData::CNAME(CNAME(Name::from_str(data).ok()?)),
                "PTR" => RData::PTR(PTR(Name::from_str(data).ok()?)),
                "TXT" => RData::TXT(TXT::new(vec![data.trim_matches('"').to_owned()])),
                _ => {
                    fails_aaaa.push(owner);
                    continue;
                }
            };
            records.push(Record::from_rdata(owner, TTL_SECS, rdata));
        }
        let apex = Name::from_str("demo.test.").ok()?;
        let server = Name::from_str("ns.demo.test.").ok()?;
        let contact = Name::from_str("hostmaster.demo.test.").ok()?;
        let soa = SOA::new(server, contact, 1, 3_600, 600, 86_400, TTL_SECS);
        let soa = Record::from_rdata(apex, TTL_SECS, RData::SOA(soa));
        Some(Self { records, fails_aaaa, soa })
    }

    /// The reply to a query; `None` if it is not one.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        let [question] = query.queries.as_slice() else { return None };
        let (name, rtype) = (question.name().clone(), question.query_type());
        let mut reply =
            Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
        reply.metadata.recursion_desired = query.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.add_query(question.clone());
        if query.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_PAYLOAD_LEN as u16);
            reply.set_edns(edns);
        }
        reply.metadata.response_code = self.fill(&mut reply, name, rtype);
        reply.to_vec().ok()
    }

    /// Puts the records into the reply; the RCODE.
    fn fill(&self, reply: &mut Message, mut name: Name, rtype: RecordType) -> ResponseCode {
        if rtype == RecordType::AAAA && self.fails_aaaa.contains(&name) {
            return ResponseCode::ServFail;
        }
        for _ in 0..CHAIN_LEN_MAX {
            let at_name: Vec<&Record> =
                self.records.iter().filter(|record| record.name == name).collect();
            let wanted: Vec<&&Record> =
                at_name.iter().filter(|record| record.record_type() == rtype).collect();
            if !wanted.is_empty() {
                for record in wanted {
                    reply.add_answer((**record).clone());
                }
                return ResponseCode::NoError;
            }
            let target = at_name.iter().find_map(|record| {
                let RData::CNAME(target) = &record.data else { return None };
                Some(((*record).clone(), target.0.clone()))
            });
            if let Some((record, target)) = target {
                reply.add_answer(record);
                name = target;
                continue;
            }
            reply.add_authority(self.soa.clone());
            let exists =
                !at_name.is_empty() || self.records.iter().any(|record| name.zone_of(&record.name));
            return if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        }
        ResponseCode::ServFail
    }
}
