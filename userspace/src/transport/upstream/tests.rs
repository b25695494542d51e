//! Upstream sockets against servers on loopback.

use std::collections::HashSet;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::transport::poll::Poller;

/// The only server of most tests.
const FIRST: UpstreamId = UpstreamId(0);

/// A worker's epoll and upstream sockets, and the servers they send to.
struct Fixture {
    /// The epoll.
    poller: Poller,
    /// What is tested.
    sockets: UpstreamSockets<ChaCha12Rng>,
    /// The servers.
    servers: Vec<UdpSocket>,
}

impl Fixture {
    /// Servers that listen on these addresses.
    fn new(listen: &[&str]) -> Self {
        let servers: Vec<_> = listen.iter().map(|at| UdpSocket::bind(at).unwrap()).collect();
        for server in &servers {
            server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        let poller = Poller::new().unwrap();
        let random = ChaCha12Rng::from_seed([6; 32]);
        let mut sockets = UpstreamSockets::new(poller.registry(), random, Epoch::default());
        let addresses: Vec<_> = servers.iter().map(|s| s.local_addr().unwrap()).collect();
        sockets.set_servers(&addresses);
        Self { poller, sockets, servers }
    }

    /// Takes a query at a server; returns it and its source.
    fn take(&self, server: usize) -> (Vec<u8>, SocketAddr) {
        let mut room = [0; 64];
        let (len, from) = self.servers[server].recv_from(&mut room).unwrap();
        (room[..len].to_vec(), from)
    }

    /// Waits for one event and returns what it delivers.
    fn deliver(&mut self) -> Vec<(UpstreamId, SourcePort, Result<Vec<u8>, Refused>)> {
        assert!(self.poller.wait(Some(Duration::from_secs(5))).unwrap() > 0);
        let Some(Token::Upstream(token)) = self.poller.token(0) else { panic!("an event") };
        let mut delivered = Vec::new();
        self.sockets.recv_ready(token, |server, port, result| {
            delivered.push((server, port, result.map(<[u8]>::to_vec)));
        });
        delivered
    }
}

#[test]
fn responses_come_with_their_server_and_port() {
    let mut fixture = Fixture::new(&["127.0.0.1:0", "[::1]:0"]);
    for (place, id) in [(0, UpstreamId(0)), (1, UpstreamId(1))] {
        let port = fixture.sockets.send(id, None, b"query", Moment::START).unwrap();
        let (query, from) = fixture.take(place);
        assert_eq!((query.as_slice(), from.port()), (&b"query"[..], port.0));
        fixture.servers[place].send_to(b"one", from).unwrap();
        fixture.servers[place].send_to(b"two", from).unwrap();
        assert_eq!(fixture.deliver(), [(id, port, Ok(b"one".to_vec()))]);
        assert_eq!(fixture.deliver(), [(id, port, Ok(b"two".to_vec()))], "reported again");
    }
}

#[test]
fn a_datagram_from_elsewhere_is_not_delivered() {
    let mut fixture = Fixture::new(&["127.0.0.1:0"]);
    fixture.sockets.send(FIRST, None, b"query", Moment::START).unwrap();
    let (_, from) = fixture.take(0);
    let forger = UdpSocket::bind("127.0.0.2:0").unwrap();
    forger.send_to(b"forged", from).unwrap();
    assert_eq!(fixture.poller.wait(Some(Duration::from_millis(20))).unwrap(), 0);
}

#[test]
fn a_server_unknown_is_an_error() {
    let mut fixture = Fixture::new(&["127.0.0.1:0"]);
    assert!(fixture.sockets.send(UpstreamId(1), None, b"query", Moment::START).is_err());
}

#[test]
fn drawn_ports_cover_the_range_evenly() {
    let mut random = ChaCha12Rng::from_seed([1; 32]);
    let mut buckets = [0_u32; 63];
    let draws = 63 * 1_000;
    for _ in 0..draws {
        let port = draw_port(&mut random);
        assert!(port >= PORT_MIN);
        buckets[usize::from(port - PORT_MIN) / 1_024] += 1;
    }
    // Chi-square with 62 degrees of freedom: above 110 with a chance of 0.0002, and the seed is
    // fixed.
    let chi_square: f64 =
        buckets.iter().map(|&count| (f64::from(count) - 1_000.0).powi(2) / 1_000.0).sum();
    assert!(chi_square < 110.0, "{chi_square}");
}

#[test]
fn queries_spread_over_the_whole_pool_and_the_whole_port_range() {
    let mut fixture = Fixture::new(&["127.0.0.1:0"]);
    let mut ports = HashSet::new();
    for _ in 0..POOL_LEN * 12 {
        ports.insert(fixture.sockets.send(FIRST, None, b"q", Moment::START).unwrap().0);
        fixture.take(0);
    }
    // A given socket misses all 384 draws with a chance of 5 in a million.
    assert_eq!(ports.len(), POOL_LEN);
    assert_eq!(fixture.sockets.open_sockets(), POOL_LEN);
    let (low, high) = (ports.iter().min().unwrap(), ports.iter().max().unwrap());
    assert!(high - low >= 32_768, "{low} to {high}");
}

#[test]
fn what_is_opened_ahead_is_all_that_a_pool_draws_from() {
    let mut fixture = Fixture::new(&["127.0.0.1:0", "[::1]:0"]);
    fixture.sockets.open_ahead(Moment::START);
    fixture.sockets.open_ahead(Moment::START);
    assert_eq!(fixture.sockets.open_sockets(), 2 * POOL_LEN);
    for id in [UpstreamId(0), UpstreamId(1)] {
        let mut ports = HashSet::new();
        for _ in 0..POOL_LEN * 12 {
            ports.insert(fixture.sockets.send(id, None, b"q", Moment::START).unwrap().0);
        }
        assert_eq!(ports.len(), POOL_LEN);
    }
    assert_eq!(fixture.sockets.open_sockets(), 2 * POOL_LEN, "none is opened besides");
}

#[test]
fn a_port_to_avoid_is_avoided() {
    let mut fixture = Fixture::new(&["127.0.0.1:0"]);
    let mut last = None;
    for _ in 0..200 {
        let port = fixture.sockets.send(FIRST, last, b"q", Moment::START).unwrap();
        fixture.take(0);
        assert_ne!(Some(port), last);
        last = Some(port);
    }
}

#[test]
fn a_worn_socket_retires_still_hears_and_closes() {
    let mut fixture = Fixture::new(&["127.0.0.1:0"]);
    let mut sources = HashSet::new();
    let mut first = None;
    // By age: all sockets of the pool are replaced once their time is over.
    for now in [Moment::START, Moment::START + AGE_MAX] {
        for _ in 0..POOL_LEN * 12 {
            fixture.sockets.send(FIRST, None, b"q", now).unwrap();
            let (_, from) = fixture.take(0);
            sources.insert(from.port());
            first.get_or_insert(from);
        }
    }
    assert_eq!(fixture.sockets.open_sockets(), 2 * POOL_LEN);
    assert!(sources.len() > POOL_LEN + POOL_LEN / 2);
    // A late response to the first query, whose socket has retired.
    fixture.servers[0].send_to(b"late", first.unwrap()).unwrap();
    let delivered = fixture.deliver();
    let port = SourcePort(first.unwrap().port());
    assert_eq!(delivered, [(FIRST, port, Ok(b"late".to_vec()))]);
    // After their time they are closed, and their tokens are void.
    let end = Moment::START + AGE_MAX + RETIRED_LIFE;
    fixture.sockets.close_retired(Moment::from_micros(end.as_micros() - 1));
    assert_eq!(fixture.sockets.open_sockets(), 2 * POOL_LEN);
    fixture.sockets.close_retired(end);
    assert_eq!(fixture.sockets.open_sockets(), POOL_LEN);
}

#[test]
fn a_socket_retires_after_its_share_of_queries() {
    let mut fixture = Fixture::new(&["127.0.0.1:0"]);
    let mut counts = std::collections::HashMap::new();
    for _ in 0..POOL_LEN as u32 * QUERIES_MAX {
        let port = fixture.sockets.send(FIRST, None, b"q", Moment::START).unwrap();
        *counts.entry(port.0).or_insert(0) += 1;
    }
    assert!(counts.len() > POOL_LEN);
    assert_eq!(counts.values().max(), Some(&QUERIES_MAX));
}

#[test]
fn an_event_of_a_closed_socket_delivers_nothing() {
    let mut fixture = Fixture::new(&["127.0.0.1:0", "127.0.0.1:0"]);
    fixture.sockets.send(FIRST, None, b"q", Moment::START).unwrap();
    let (_, from) = fixture.take(0);
    fixture.servers[0].send_to(b"response", from).unwrap();
    assert_eq!(fixture.poller.wait(Some(Duration::from_secs(5))).unwrap(), 1);
    let Some(Token::Upstream(token)) = fixture.poller.token(0) else { panic!("an event") };
    // The server's place is taken by another, and the socket's place by one towards that.
    let other = fixture.servers[1].local_addr().unwrap();
    fixture.sockets.set_servers(&[other]);
    assert_eq!(fixture.sockets.open_sockets(), 0);
    fixture.sockets.send(FIRST, None, b"q", Moment::START).unwrap();
    let (_, from) = fixture.take(1);
    fixture.servers[1].send_to(b"response", from).unwrap();
    fixture.sockets.recv_ready(token, |_, _, _| panic!("delivered"));
    assert_eq!(fixture.deliver().len(), 1);
}

#[test]
fn a_server_that_keeps_its_place_keeps_its_sockets() {
    let mut fixture = Fixture::new(&["127.0.0.1:0", "127.0.0.1:0"]);
    let [first, second] = [0, 1].map(|place: usize| fixture.servers[place].local_addr().unwrap());
    for id in [UpstreamId(0), UpstreamId(1)] {
        fixture.sockets.send(id, None, b"q", Moment::START).unwrap();
    }
    fixture.sockets.set_servers(&[first, second]);
    assert_eq!(fixture.sockets.open_sockets(), 2);
    fixture.sockets.set_servers(&[first]);
    assert_eq!(fixture.sockets.open_sockets(), 1);
    fixture.sockets.set_servers(&[second, first]);
    assert_eq!(fixture.sockets.open_sockets(), 0);
}

#[test]
fn a_closed_port_is_reported_as_refused() {
    let mut fixture = Fixture::new(&["127.0.0.1:0"]);
    fixture.servers.clear();
    let port = fixture.sockets.send(FIRST, None, b"q", Moment::START).unwrap();
    assert_eq!(fixture.deliver(), [(FIRST, port, Err(Refused))]);
}

#[test]
fn a_refusal_found_by_the_next_send_is_not_lost() {
    let mut fixture = Fixture::new(&["127.0.0.1:0"]);
    fixture.servers.clear();
    // On loopback the refusal is there when `send` returns; with so many queries on 32 sockets,
    // some socket is drawn twice.
    let mut sent = 0;
    for _ in 0..POOL_LEN * 2 {
        fixture.sockets.send(FIRST, None, b"q", Moment::START).unwrap();
        sent += 1;
    }
    let mut found = 0;
    while let Some((server, _)) = fixture.sockets.take_refusal() {
        assert_eq!(server, FIRST);
        found += 1;
    }
    assert_eq!(found, sent - fixture.sockets.open_sockets());
}
