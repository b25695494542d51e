//! Equal queries at the same time: each open one upstream would be a chance of its own to forge an
//! answer (the birthday attack), so that there is one, however many wait.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::netns::serial;

use crate::client::{addresses, read};
use crate::message::{mapped, query, rtype};
use crate::responder::Responder;

const QUERIES: usize = 1_000;
const SOCKETS: usize = 16;

#[test]
fn a_thousand_equal_queries_to_two_workers_are_one_query_upstream() {
    let _machine = serial();
    let options = Options { record: true, ..Options::default() };
    let upstream = Upstream::start("127.0.0.1:0".parse().expect("valid"), options).expect("starts");
    // A try is given more time than the upstream takes: a repetition would be a second query.
    let settings = crate::responder::Settings {
        upstream: "timeout_ms = 1500",
        ..crate::responder::Settings::default()
    };
    let responder = Responder::start_with(&[upstream.local_addr()], settings);
    let sockets: Vec<UdpSocket> = (0..SOCKETS)
        .map(|_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            socket.connect(responder.address()).expect("a route");
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a valid time");
            socket
        })
        .collect();
    let name = "a-198-51-100-7--d600.birthday.test";
    for number in 0..QUERIES {
        let octets = query(number as u16, name, rtype::AAAA);
        sockets[number % SOCKETS].send(&octets).expect("loopback takes messages");
    }
    let expected = IpAddr::V6(mapped(Ipv4Addr::new(198, 51, 100, 7)));
    for number in 0..QUERIES {
        let mut buffer = [0; 1_232];
        let len = sockets[number % SOCKETS].recv(&mut buffer);
        let len = len.unwrap_or_else(|error| panic!("reply {number}: {error}"));
        assert_eq!(addresses(&read(buffer[..len].to_vec())), [expected]);
    }
    for qtype in [rtype::AAAA, rtype::A] {
        let asked = upstream.recorded().iter().filter(|query| query.qtype == qtype).count();
        assert_eq!(asked, 1, "queries for type {qtype}");
    }
}
