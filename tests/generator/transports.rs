//! UDP and TCP, IPv4 and IPv6, threads, ports and source addresses.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use dns64_bench::upstream::{Carrier, Options, Upstream};
use dns64_bench::wire::rtype;

use crate::program::load;

/// A server that keeps a record of what it was asked.
fn upstream(address: &str) -> Upstream {
    let options = Options { record: true, ..Options::default() };
    Upstream::start(address.parse().expect("an address"), options).expect("loopback has free ports")
}

/// The addresses that have asked.
fn peers(upstream: &Upstream) -> BTreeSet<SocketAddr> {
    upstream.recorded().iter().map(|query| query.peer).collect()
}

const A_QUERIES: &str = "--generate mix:0,0,100,0,0 --queries 1000 --json";

#[test]
fn tcp_answers_are_verified_and_connections_are_replaced_after_their_share() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let upstream = upstream(address);
        let arguments = format!("{A_QUERIES} -m tcp -c 2 -O num-queries-per-conn=100");
        let outcome = load(upstream.local_addr(), &arguments, "");
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        assert_eq!(outcome.numbers(["sent", "completed", "verified"]), [1_000; 3]);
        let recorded = upstream.recorded();
        assert!(recorded.iter().all(|query| query.carrier == Carrier::Tcp));
        // 1000 queries are ten connections of 100; the first two are no reconnections.
        let json = outcome.json();
        let reconnections = json["connections"]["reconnections"].as_u64();
        assert!((Some(8)..=Some(10)).contains(&reconnections), "{json:#}");
        assert!(peers(&upstream).len() >= 10);
        assert_eq!(json["transport"], "tcp");
    }
}

#[test]
fn lies_over_tcp_are_caught_too() {
    // The upstream synthesizes nothing.
    let upstream = upstream("127.0.0.1:0");
    let outcome = load(upstream.local_addr(), "--generate hit:50 -m tcp --json", "");
    assert_eq!(outcome.json()["wrong_by_kind"]["missing"].as_u64(), Some(50));
    assert_eq!(outcome.code, Some(1));
}

#[test]
fn queries_leave_from_as_many_ports_as_clients_and_by_all_threads() {
    let upstream = upstream("[::1]:0");
    let outcome = load(upstream.local_addr(), &format!("{A_QUERIES} -c 8 -T 3 -q 30"), "");
    assert_eq!(outcome.numbers(["sent", "verified", "ports", "threads"]), [1_000, 1_000, 8, 3]);
    assert_eq!(peers(&upstream).len(), 8);
    let names: BTreeSet<_> = upstream.recorded().into_iter().map(|query| query.name).collect();
    assert_eq!(names.len(), 1_000, "each query was sent once");
}

#[test]
fn queries_leave_from_all_addresses_of_a_network() {
    let upstream = upstream("127.0.0.1:0");
    let outcome = load(upstream.local_addr(), &format!("{A_QUERIES} --source 127.5.0.0/28"), "");
    assert_eq!(outcome.numbers(["verified", "ports"]), [1_000, 14]);
    let addresses: BTreeSet<_> = peers(&upstream).iter().map(SocketAddr::ip).collect();
    assert_eq!(addresses.len(), 14, "without the network's own and broadcast");
    assert!(addresses.iter().all(|address| address.to_string().starts_with("127.5.0.")));
}

#[test]
fn ports_follow_the_one_that_is_asked_for() {
    let upstream = upstream("127.0.0.1:0");
    // Not of the ephemeral range; another test's program may still have one of them.
    let first = 20_000 + (std::process::id() % 5_000) as u16;
    let outcome =
        load(upstream.local_addr(), &format!("{A_QUERIES} -x {first} -c 3 -a 127.0.0.9"), "");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let expected = (first..first + 3).map(|port| SocketAddr::from(([127, 0, 0, 9], port)));
    assert_eq!(peers(&upstream), expected.collect());
}

#[test]
fn a_refusing_server_is_no_server_over_udp_and_tcp() {
    let port = {
        // Free again when this is dropped.
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
        socket.local_addr().expect("a bound socket has an address")
    };
    for mode in ["udp", "tcp"] {
        let outcome = load(port, &format!("{A_QUERIES} -m {mode} -t 0.2 -l 60"), "");
        assert_eq!(outcome.code, Some(2), "{mode}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("refused"), "{mode}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(&port.to_string()), "{mode}: {}", outcome.stderr);
    }
}

#[test]
fn a_server_that_no_route_leads_to_is_said_to_be_unreachable() {
    let nowhere = "[100::1]:53".parse().expect("an address");
    let outcome = load(nowhere, &format!("{A_QUERIES} -t 0.2 -l 5 -q 10"), "");
    assert_eq!(outcome.code, Some(2), "{} {}", outcome.stdout, outcome.stderr);
}

#[test]
fn edns_and_its_shares_reach_the_server() {
    let upstream = upstream("127.0.0.1:0");
    let arguments = "--json -E 65001:beef -D --0x20-share 100";
    let outcome = load(upstream.local_addr(), arguments, "a-11-0-0-1.v4.test A\n");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stdout);
    let recorded = upstream.recorded();
    assert_eq!((recorded.len(), recorded[0].qtype), (1, rtype::A));
    assert_eq!(recorded[0].name.to_ascii_lowercase(), "a-11-0-0-1.v4.test.");
    // Header, question, OPT record and an option of two octets.
    assert_eq!(outcome.json()["query_bytes"].as_u64(), Some(12 + 24 + 11 + 6));
}
