//! RFC 5452: measures for making DNS more resilient against forged answers.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dns64::datagram::{SourcePort, UpstreamId};
use dns64_tests::in_process::{Query, Responder, Response, UpstreamQuery, Via};
use dns64_tests::upstream::{PROBE_ADDRESS, PROBE_NAME};

use crate::program::{PATIENCE, Program};

const GENUINE: &str = "v.example. 60 IN A 192.0.2.1";
const FORGED: &str = "v.example. 60 IN A 203.0.113.66";

/// A responder with two servers that has asked one of them for the A of `v.example.`.
fn waiting() -> (Responder, UpstreamQuery) {
    let mut responder = Responder::configured(
        "[upstream]\nservers = [\"192.0.2.53\", \"192.0.2.54\"]\ntimeout_ms = 2000\n",
    );
    // What one query more adds to the credit for TCP: suspicions have to be paid for.
    for number in 0..20 {
        let question = format!("n{number}.example. A");
        responder.says(&question, Response::error(3));
        responder.ask(&Query::of(&question));
    }
    responder.upstream_queries();
    assert_eq!(responder.send(&Query::of("v.example. A")), None);
    let mut queries = responder.upstream_queries();
    assert_eq!(queries.len(), 1);
    (responder, queries.remove(0))
}

/// The response to a query with one record.
fn response(query: &UpstreamQuery, record: &str) -> Vec<u8> {
    Response::answer(&[record]).octets(&query.octets, query.is_tcp()).unwrap()
}

fn udp_port(query: &UpstreamQuery) -> SourcePort {
    match query.via {
        Via::Udp(port) => port,
        Via::Tcp(_) => panic!("sent by UDP"),
    }
}

/// The address that the client was given.
fn address_given(responder: &mut Responder) -> Option<[u8; 4]> {
    let reply = responder.replies().pop()?;
    let reply = dns64_tests::reply::Reply::parse(reply).unwrap();
    reply.answer[0].wire.rdata.clone().try_into().ok()
}

//= rfc5452#9.1
//= type=test
//# Source address against query destination address
#[test]
fn a_response_from_another_server_is_not_taken() {
    let (mut responder, query) = waiting();
    let other = UpstreamId(1 - query.server.0);
    responder.deliver_datagram(other, udp_port(&query), &response(&query, FORGED));
    assert_eq!(address_given(&mut responder), None);
    responder.deliver(&query, &response(&query, GENUINE));
    assert_eq!(address_given(&mut responder), Some([192, 0, 2, 1]));
}

//= rfc5452#9.1
//= type=test
//# Destination port against query source port
#[test]
fn a_response_to_another_port_is_not_taken() {
    let (mut responder, query) = waiting();
    let other = SourcePort(udp_port(&query).0 + 1);
    responder.deliver_datagram(query.server, other, &response(&query, FORGED));
    assert_eq!(address_given(&mut responder), None);
    responder.deliver(&query, &response(&query, GENUINE));
    assert_eq!(address_given(&mut responder), Some([192, 0, 2, 1]));
}

//= rfc5452#9.1
//= type=test
//# Query ID
#[test]
fn a_response_with_another_id_is_not_taken() {
    let (mut responder, query) = waiting();
    let mut forged = response(&query, FORGED);
    forged[1] ^= 1;
    responder.deliver(&query, &forged);
    assert_eq!(address_given(&mut responder), None);
}

//= rfc5452#9.1
//= type=test
//# Query name
#[test]
fn a_response_to_another_name_is_not_taken() {
    let (mut responder, query) = waiting();
    let mut forged = response(&query, FORGED);
    forged[13] = b'w';
    responder.deliver(&query, &forged);
    assert_eq!(address_given(&mut responder), None);
    responder.deliver(&query, &response(&query, GENUINE));
    assert_eq!(address_given(&mut responder), Some([192, 0, 2, 1]));
}

//= rfc5452#9.1
//= type=test
//# Query class and type
#[test]
fn a_response_to_another_class_or_type_is_not_taken() {
    let (mut responder, query) = waiting();
    // Behind 12 octets of header and 11 of name: type, then class.
    for place in [24, 26] {
        let mut forged = response(&query, FORGED);
        forged[place] ^= 0x10;
        responder.deliver(&query, &forged);
        assert_eq!(address_given(&mut responder), None);
    }
    responder.deliver(&query, &response(&query, GENUINE));
    assert_eq!(address_given(&mut responder), Some([192, 0, 2, 1]));
}

//= rfc5452#9.1
//= type=test
//# A mismatch and the response MUST be considered invalid.
#[test]
fn a_second_response_to_the_same_query_is_not_taken() {
    let (mut responder, query) = waiting();
    responder.deliver(&query, &response(&query, GENUINE));
    assert_eq!(address_given(&mut responder), Some([192, 0, 2, 1]));
    responder.deliver(&query, &response(&query, FORGED));
    let answered = responder.ask(&Query::of("v.example. A"));
    assert_eq!(answered.answer(), [GENUINE]);
}

//= rfc5452#9
//= type=test
//# (paraphrase) Where somebody seems to guess, TCP is harder to forge: after one wrong ID nothing
//# more is believed on that port.
#[test]
fn after_a_wrong_id_the_question_is_repeated_by_tcp() {
    let (mut responder, query) = waiting();
    let mut forged = response(&query, FORGED);
    forged[0] ^= 0x80;
    responder.deliver(&query, &forged);
    let by_tcp = responder.upstream_queries();
    assert_eq!(by_tcp.len(), 1);
    assert!(by_tcp[0].is_tcp());
    responder.deliver(&query, &response(&query, FORGED));
    assert_eq!(address_given(&mut responder), None, "the right ID, but too late");
    responder.deliver(&by_tcp[0], &response(&by_tcp[0], GENUINE));
    assert_eq!(address_given(&mut responder), Some([192, 0, 2, 1]));
}

//= rfc5452#9.2
//= type=test
//# Use an unpredictable query ID for outgoing queries, utilizing the full range available
//# (0-65535).
#[test]
fn message_ids_are_spread_over_the_whole_range() {
    let mut responder = crate::responder();
    let mut ids = Vec::new();
    for number in 0..512 {
        let question = format!("n{number}.example. A");
        responder.says(&question, Response::error(3));
        responder.ask(&Query::of(&question).with_id(1));
        ids.extend(responder.upstream_queries().iter().map(UpstreamQuery::id));
    }
    let distinct: BTreeSet<u16> = ids.iter().copied().collect();
    assert!(distinct.len() > 500, "{} of 512", distinct.len());
    let sixteenths: BTreeSet<u16> = ids.iter().map(|id| id >> 12).collect();
    assert_eq!(sixteenths.len(), 16, "every sixteenth of the range is used");
    let steps: BTreeSet<u16> = ids.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
    assert!(steps.len() > 500, "no two steps are alike");
}

//= rfc5452#9.2
//= type=test
//# Use an unpredictable source port for outgoing queries from the range of available ports (53, or
//# 1024 and above) that is as large as possible and practicable;
//= rfc5452#9.2
//= type=test
//# Use multiple different source ports simultaneously in case of multiple outstanding queries;
#[test]
fn the_program_asks_from_many_ports() {
    let (server, asked) = recording_server();
    let program = Program::start_before(server.address, None);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(program.address()).unwrap();
    let mut buffer = [0; 4_096];
    for number in 0..64 {
        client.send(&Query::of(&format!("p{number}.example. MX")).octets()).unwrap();
        client.recv(&mut buffer).unwrap();
    }
    let ports: Vec<u16> = asked.try_iter().collect();
    assert!(ports.len() >= 64);
    let distinct: BTreeSet<u16> = ports.iter().copied().collect();
    assert!(distinct.iter().all(|port| *port >= 1_024));
    assert!(distinct.len() >= 16, "{} ports for 64 queries", distinct.len());
    let steps: BTreeSet<i32> =
        ports.windows(2).map(|two| i32::from(two[1]) - i32::from(two[0])).collect();
    assert!(steps.len() >= 16, "one port does not tell the next: {ports:?}");
}

/// A name server that knows nothing but the name by which the program is seen to be ready.
struct RecordingServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for RecordingServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Starts such a server. It tells the ports that queries come from.
fn recording_server() -> (RecordingServer, Receiver<u16>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let address = socket.local_addr().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let (ports, asked) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while !stopped.load(Ordering::Relaxed) {
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
            let query = &buffer[..len];
            let is_probe = query[12..].to_ascii_lowercase().starts_with(b"\x05ready");
            let response = if is_probe {
                Response::answer(&[&format!("{PROBE_NAME} 1 IN A {PROBE_ADDRESS}")])
            } else {
                ports.send(from.port()).unwrap();
                Response::error(3)
            };
            socket.send_to(&response.octets(query, false).unwrap(), from).unwrap();
        }
    });
    (RecordingServer { address, stop, thread: Some(thread) }, asked)
}

//= rfc5452#9.2
//= type=test
//# (paraphrase) A retry is another query: it has another ID.
#[test]
fn a_retry_has_an_id_of_its_own() {
    let (mut responder, query) = waiting();
    responder.pass_ms_in_silence(3_000);
    let retries = responder.upstream_queries();
    assert!(!retries.is_empty());
    for retry in &retries {
        assert_ne!((retry.id(), retry.via), (query.id(), query.via));
    }
}
