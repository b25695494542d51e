//! TCP clients that hold what they can get: connections, half messages, replies they do not read.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::client::{framed, read_framed};
use dns64_tests::netns::serial;
use dns64_tests::stopwatch::Stopwatch;
use socket2::{Domain, Socket, Type};

use crate::client::{addresses, ask, read};
use crate::message::{id_of, mapped, query, rtype};
use crate::responder::{Responder, Settings};

const NAME: &str = "a-198-51-100-7.tcp.test";
const PATIENCE: Duration = Duration::from_secs(10);

fn start(limits: &str) -> (Upstream, Responder) {
    let listen = "127.0.0.1:0".parse().expect("valid");
    let upstream = Upstream::start(listen, Options::default()).expect("starts");
    let settings = Settings { limits, ..Settings::default() };
    let responder = Responder::start_with(&[upstream.local_addr()], settings);
    (upstream, responder)
}

/// A connection from an address of loopback.
fn connect_from(client: Ipv4Addr, server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((client, 0)).into()).expect("a free port");
    socket.connect(&server.into()).expect("accepts");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a valid time");
    stream
}

fn connect(server: SocketAddr) -> TcpStream {
    connect_from(Ipv4Addr::LOCALHOST, server)
}

/// Asks on a connection and checks the reply.
fn assert_answers(stream: &mut TcpStream) {
    stream.write_all(&framed(&query(9, NAME, rtype::AAAA))).expect("takes it");
    let reply = read(read_framed(stream).expect("a reply"));
    let expected = IpAddr::V6(mapped(Ipv4Addr::new(198, 51, 100, 7)));
    assert_eq!(addresses(&reply), [expected]);
}

/// Waits until the server closes the connection; how long that took.
fn wait_for_close(stream: &mut TcpStream) -> Duration {
    let watch = Stopwatch::start();
    let mut buffer = [0; 512];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return watch.elapsed(),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return watch.elapsed(),
            Err(error) => panic!("the connection stays open: {error}"),
        }
    }
}

#[test]
fn idle_connections_and_half_messages_are_closed_in_time() {
    let _machine = serial();
    let (_upstream, mut responder) = start("tcp_idle_ms = 500");
    let mut idle = connect(responder.address());
    let mut half_length = connect(responder.address());
    half_length.write_all(&[0]).expect("takes it");
    let mut half_message = connect(responder.address());
    half_message.write_all(&framed(&query(1, NAME, rtype::AAAA))[..20]).expect("takes it");
    for stream in [&mut idle, &mut half_length, &mut half_message] {
        let took = wait_for_close(stream);
        assert!(took < Duration::from_secs(8), "{took:?}");
    }
    assert_answers(&mut connect(responder.address()));
    responder.assert_alive();
}

#[test]
fn an_octet_now_and_then_does_not_keep_a_connection_open() {
    let _machine = serial();
    let (_upstream, mut responder) = start("tcp_idle_ms = 1000");
    let mut slow = connect(responder.address());
    let octets = framed(&vec![0x5a; 600]);
    let watch = Stopwatch::start();
    let is_closed = octets.iter().any(|octet| {
        std::thread::sleep(Duration::from_millis(100));
        slow.write_all(&[*octet]).is_err() || watch.elapsed() > Duration::from_secs(15)
    });
    // One message has five seconds to arrive, whatever comes of it.
    assert!(is_closed && watch.elapsed() < Duration::from_secs(12), "{:?}", watch.elapsed());
    assert_answers(&mut connect(responder.address()));
    responder.assert_alive();
}

#[test]
fn one_client_cannot_take_the_connections_of_others() {
    let _machine = serial();
    let (_upstream, mut responder) = start("tcp_per_client = 8\ntcp_clients = 64");
    let greedy = Ipv4Addr::new(127, 0, 0, 66);
    let mut held: Vec<TcpStream> =
        (0..100).map(|_| connect_from(greedy, responder.address())).collect();
    // Everybody else is served as if nothing were.
    for host in 1..40 {
        assert_answers(&mut connect_from(Ipv4Addr::new(127, 0, 1, host), responder.address()));
    }
    let open = |stream: &mut TcpStream| {
        stream.set_nonblocking(true).expect("possible");
        matches!(stream.read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    };
    let still_open = held.iter_mut().map(open).filter(|open| *open).count();
    assert!(still_open <= 8, "{still_open} connections of one client are open");
    assert!(still_open > 0, "and some are");
    responder.assert_alive();
}

#[test]
fn when_all_places_are_taken_the_idle_make_room() {
    let _machine = serial();
    let (_upstream, mut responder) = start("tcp_per_client = 1000\ntcp_clients = 32");
    let threads = responder.threads();
    let held: Vec<TcpStream> = (0..200_u8)
        .map(|number| connect_from(Ipv4Addr::new(127, 0, 2, number), responder.address()))
        .collect();
    for host in 1..40 {
        assert_answers(&mut connect_from(Ipv4Addr::new(127, 0, 1, host), responder.address()));
    }
    let open_files = responder.open_files();
    assert!(open_files < 32 + 150, "{open_files} open files");
    assert_eq!(responder.threads(), threads, "connections cost no threads");
    drop(held);
    responder.assert_alive();
}

#[test]
fn a_hundred_pipelined_queries_are_answered_as_they_are_ready() {
    let _machine = serial();
    let (_upstream, responder) = start("");
    let mut stream = connect(responder.address());
    // Every tenth takes its time; they are sent first.
    let name = |number: u16| match number {
        0..10 => format!("a-198-51-100-7--d400.n{number}.test"),
        _ => format!("a-198-51-100-7.n{number}.test"),
    };
    let octets: Vec<u8> =
        (0..100).flat_map(|number| framed(&query(number, &name(number), rtype::A))).collect();
    stream.write_all(&octets).expect("takes it");
    let mut order = Vec::new();
    for _ in 0..100 {
        let reply = read_framed(&mut stream).expect("a reply");
        order.push(id_of(&reply).expect("a header"));
        assert_eq!(addresses(&read(reply)), [IpAddr::from([198, 51, 100, 7])]);
    }
    let mut all = order.clone();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<u16>>(), "each once");
    assert!(order[..45].iter().all(|number| *number >= 10), "the fast do not wait: {order:?}");
}

#[test]
fn a_client_that_does_not_read_costs_a_bounded_amount_and_only_itself() {
    let _machine = serial();
    let (_upstream, mut responder) = start("");
    assert_answers(&mut connect(responder.address()));
    let before = responder.resident_octets();
    let mut lazy = connect(responder.address());
    lazy.set_write_timeout(Some(Duration::from_millis(500))).expect("a valid time");
    let octets = framed(&query(1, NAME, rtype::AAAA)).repeat(1_000);
    let mut sent = 0;
    // Until the server reads no more, or closes: 50 MB of queries at most.
    while sent < 50_000_000 && lazy.write_all(&octets).is_ok() {
        sent += octets.len();
    }
    assert!(sent < 50_000_000, "the server takes everything from a client that reads nothing");
    for host in 1..20 {
        assert_answers(&mut connect_from(Ipv4Addr::new(127, 0, 1, host), responder.address()));
    }
    let grown = responder.resident_octets().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} octets for one client");
    responder.assert_alive();
}

#[test]
fn a_message_of_length_zero_ends_its_connection_only() {
    let _machine = serial();
    let (_upstream, mut responder) = start("");
    let mut other = connect(responder.address());
    assert_answers(&mut other);
    let mut stream = connect(responder.address());
    stream.write_all(&[0, 0]).expect("takes it");
    assert!(wait_for_close(&mut stream) < Duration::from_secs(5));
    assert_answers(&mut other);
    responder.assert_alive();
}

#[test]
fn clients_that_leave_in_the_middle_leave_nothing_behind() {
    let _machine = serial();
    let (_upstream, mut responder) = start("");
    assert_answers(&mut connect(responder.address()));
    ask(responder.address(), NAME, rtype::AAAA);
    for round in 0..5 {
        for number in 0..100_u16 {
            let mut stream = connect(responder.address());
            let name = format!("a-198-51-100-7--d20.r{round}n{number}.test");
            let octets = framed(&query(number, &name, rtype::AAAA));
            stream.write_all(&octets[..octets.len() - usize::from(number % 2)]).expect("takes it");
        }
    }
    // Connections end when the program notices; nothing tells when that is but the count.
    let deadline = Instant::now() + Duration::from_secs(15);
    let settled = |count: usize| count < 32 + 2 * 32 + 20;
    while !settled(responder.open_files()) {
        assert!(Instant::now() < deadline, "{} files stay open", responder.open_files());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_answers(&mut connect(responder.address()));
    responder.assert_alive();
}
