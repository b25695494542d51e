//! The scripted upstream over loopback, with hickory-proto as a second opinion on its answers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use dns64_bench::upstream::{Carrier, Options, Upstream};
use dns64_bench::wire::{Edns, name_from_text, rtype, write_query};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;

/// How long an answer may take that is expected.
const PATIENCE: Duration = Duration::from_secs(10);

fn start(options: Options) -> Upstream {
    Upstream::start("127.0.0.1:0".parse().unwrap(), options).unwrap()
}

fn client(server: SocketAddr) -> UdpSocket {
    let local = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(local).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server).unwrap();
    socket
}

fn query(id: u16, name: &str, qtype: u16) -> Vec<u8> {
    let mut query = vec![0; 512];
    let edns = Some(Edns { payload_size: 1232, dnssec_ok: true });
    let len = write_query(&mut query, id, &name_from_text(name).unwrap(), qtype, edns);
    query.truncate(len);
    query
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut answer = [0; 4096];
    let len = socket.recv(&mut answer).unwrap();
    answer[..len].to_vec()
}

fn ask(socket: &UdpSocket, name: &str, qtype: u16) -> Message {
    socket.send(&query(7, name, qtype)).unwrap();
    let message = Message::from_vec(&receive(socket)).unwrap();
    assert_eq!(message.metadata.id, 7);
    assert_eq!(message.queries[0].name().to_string(), format!("{name}."));
    assert!(message.edns.is_some());
    message
}

fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| format!("{} {}", record.ttl, record.data)).collect()
}

#[test]
fn every_kind_of_answer_is_read_by_hickory() {
    let upstream = start(Options::default());
    let socket = client(upstream.local_addr());

    let answer = ask(&socket, "a-11-22-33-44--a-1-2-3-4--ttl9.v4.test", rtype::A);
    assert_eq!(data(&answer), ["9 11.22.33.44", "9 1.2.3.4"]);

    let answer = ask(&socket, "q-20010db8000000000000000000000001.v6.test", rtype::AAAA);
    assert_eq!(data(&answer), ["300 2001:db8::1"]);

    let answer = ask(&socket, "a-11-22-33-44--neg7.v4.test", rtype::AAAA);
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.answers.is_empty());
    let RData::SOA(soa) = &answer.authorities[0].data else { panic!("no SOA") };
    assert_eq!((answer.authorities[0].ttl, soa.minimum), (7, 7));
    assert_eq!(answer.authorities[0].name.to_string(), "v4.test.");

    let answer = ask(&socket, "a-1-2-3-4--c2.v4.test", rtype::A);
    assert_eq!(
        data(&answer),
        ["300 a-1-2-3-4--c1.v4.test.", "300 a-1-2-3-4--c0.v4.test.", "300 1.2.3.4"]
    );
    assert_eq!(answer.answers[2].name.to_string(), "a-1-2-3-4--c0.v4.test.");

    let answer = ask(&socket, "44.33.22.11.in-addr.arpa", rtype::PTR);
    assert_eq!(data(&answer), ["300 a-11-22-33-44.v4.test."]);

    let answer = ask(&socket, "000-001-002-003.dns64perf.test", rtype::A);
    assert_eq!(data(&answer), ["300 0.1.2.3"]);

    let answer = ask(&socket, "wWw.v4.test", rtype::A);
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let answer = ask(&socket, "a-1-2-3-4--rcaaaa2.v4.test", rtype::AAAA);
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn the_targets_of_a_chain_answer_for_themselves() {
    let upstream = start(Options::default());
    let socket = client(upstream.local_addr());
    let mut name = "c12--a-1-2-3-4.v4.test".to_owned();
    for left in (0..12).rev() {
        let answer = ask(&socket, &name, rtype::CNAME);
        name = format!("c{left}--a-1-2-3-4.v4.test");
        assert_eq!(data(&answer), [format!("300 {name}.")]);
    }
    assert_eq!(data(&ask(&socket, &name, rtype::A)), ["300 1.2.3.4"]);
}

#[test]
fn junk_comes_before_the_answer_and_hickory_cannot_read_it() {
    let upstream = start(Options::default());
    let socket = client(upstream.local_addr());
    for name in ["a-1-2-3-4--junk.v4.test", "a-1-2-3-4--junk--d5.v4.test"] {
        socket.send(&query(9, name, rtype::A)).unwrap();
        let junk = receive(&socket);
        assert_eq!(junk[..2], [0, 9]);
        assert!(Message::from_vec(&junk).is_err());
        let answer = Message::from_vec(&receive(&socket)).unwrap();
        assert_eq!(data(&answer), ["300 1.2.3.4"]);
    }
}

#[test]
fn delayed_answers_come_late_and_let_others_pass() {
    let upstream = start(Options::default());
    let socket = client(upstream.local_addr());
    let sent = Instant::now();
    socket.send(&query(1, "a-1-1-1-1--d80.v4.test", rtype::A)).unwrap();
    socket.send(&query(2, "a-2-2-2-2--daaaa40.v4.test", rtype::AAAA)).unwrap();
    socket.send(&query(3, "a-3-3-3-3--daaaa40.v4.test", rtype::A)).unwrap();
    let ids = [(); 3].map(|()| receive(&socket)[1]);
    assert_eq!(ids, [3, 2, 1]);
    assert!(sent.elapsed() >= Duration::from_millis(80));
}

#[test]
fn loss_is_of_the_wanted_size_and_the_same_for_the_same_seed() {
    let lost = |seed| {
        let upstream = start(Options { seed, ..Options::default() });
        let socket = client(upstream.local_addr());
        for id in 0..200 {
            socket.send(&query(id, "a-1-2-3-4--loss25.v4.test", rtype::A)).unwrap();
        }
        // Answered after all the others, for it is the last of one thread's queries.
        socket.send(&query(200, "a-1-2-3-4.v4.test", rtype::A)).unwrap();
        let mut ids = Vec::new();
        while ids.last() != Some(&200) {
            ids.push(receive(&socket)[1]);
        }
        assert_eq!(upstream.counts().lost, 201 - ids.len() as u64);
        ids
    };
    let ids = lost(5);
    assert_eq!(ids, lost(5));
    assert_ne!(ids, lost(6));
    assert!((130..=170).contains(&ids.len()), "{}", ids.len());
}

#[test]
fn answers_are_late_by_a_random_time_but_where_the_name_says_another() {
    let upstream = start(Options { delay_ms: 40, jitter_ms: 200, ..Options::default() });
    let socket = client(upstream.local_addr());
    let sent = Instant::now();
    for id in 0..64 {
        socket.send(&query(id, "a-1-2-3-4.v4.test", rtype::A)).unwrap();
    }
    socket.send(&query(64, "a-1-2-3-4--d0.v4.test", rtype::A)).unwrap();
    let ids = [(); 65].map(|()| receive(&socket)[1]);
    assert_eq!(ids[0], 64, "late by nothing, as its name says");
    assert!(!ids[1..].is_sorted(), "each late by a time of its own");
    assert!(sent.elapsed() >= Duration::from_millis(40));
}

#[test]
fn a_truncated_answer_is_whole_over_tcp_and_queries_may_be_pipelined() {
    let upstream = start(Options { record: true, ..Options::default() });
    let socket = client(upstream.local_addr());
    let name = "a-1-2-3-4--tc--junk.v4.test";
    socket.send(&query(7, name, rtype::A)).unwrap();
    receive(&socket);
    let answer = Message::from_vec(&receive(&socket)).unwrap();
    assert!(answer.metadata.truncation && answer.answers.is_empty());

    let mut stream = TcpStream::connect(upstream.local_addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut pipeline = Vec::new();
    for id in [8, 9] {
        let query = query(id, name, rtype::A);
        pipeline.extend((query.len() as u16).to_be_bytes());
        pipeline.extend(query);
    }
    // Cut inside the first length prefix, as a network may do.
    stream.write_all(&pipeline[..1]).unwrap();
    stream.write_all(&pipeline[1..]).unwrap();
    for id in [8, 9] {
        let mut prefix = [0; 2];
        stream.read_exact(&mut prefix).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(prefix))];
        stream.read_exact(&mut answer).unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(answer.metadata.id, id);
        assert_eq!(data(&answer), ["300 1.2.3.4"]);
    }

    let recorded = upstream.recorded();
    let carriers: Vec<_> = recorded.iter().map(|query| (query.id, query.carrier)).collect();
    assert_eq!(carriers, [(7, Carrier::Udp), (8, Carrier::Tcp), (9, Carrier::Tcp)]);
    assert_eq!(recorded[0].name, format!("{name}."));
    assert_eq!(upstream.counts().tcp_queries, 2);
}

#[test]
fn several_threads_and_addresses_answer_and_stop() {
    let listen = ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let options = Options { threads: 2, delay_ms: 1, ..Options::default() };
    let upstream = Upstream::start_on(&listen, options).unwrap();
    for address in upstream.local_addrs() {
        for _ in 0..8 {
            let answer = ask(&client(*address), "a-1-2-3-4.v4.test", rtype::A);
            assert_eq!(data(&answer), ["300 1.2.3.4"]);
        }
    }
    assert_eq!(upstream.counts().udp_queries, 16);
    let address = upstream.local_addr();
    drop(upstream);
    assert!(TcpStream::connect(address).is_err(), "the port is free again");
}
