//! The books over all tiers: inside XDP, by `AF_XDP`, and by sockets. What clients have sent and
//! got is what the program says, and what the interface has counted.

use std::net::{SocketAddr, TcpStream, UdpSocket};

use dns64_tests::client::{framed, read_framed};
use dns64_tests::netns::Netns;

use crate::hot::hot;
use crate::message::{A, AAAA, PTR, TXT, query, query_edns};
use crate::network::{Books, LIMIT, Network, V4, V6, XDP, pass_program, stop};
use crate::wire::know_each_other;

const NAME: &str = "a-11-22-33-44.v4.test";
const REVERSED: &str = "c.2.1.2.6.1.b.0.0.0.0.0.0.0.0.0.0.0.0.0.4.6.0.0.8.b.d.0.1.0.0.2.ip6.arpa";

/// How often the hot name is asked for over each family.
const HOT: u64 = 3_000;

/// Packets besides ours that a cable may carry while we ask: IPv6 looks for routers and tells of
/// groups.
const NOISE: u64 = 20;

/// What clients have seen.
#[derive(Debug, Default)]
struct Seen {
    sent: u64,
    replies: u64,
}

impl Seen {
    /// Sends a query once, and waits for its reply.
    fn ask(&mut self, socket: &UdpSocket, server: &str, query: &[u8]) {
        self.send(socket, server, query);
        let mut reply = vec![0; 65_535];
        let (len, _) = socket.recv_from(&mut reply).expect("a reply to the only try");
        assert!(len >= 12 && reply[..2] == query[..2], "another reply was expected");
        self.replies += 1;
    }

    /// Sends what must get no reply.
    fn send(&mut self, socket: &UdpSocket, server: &str, message: &[u8]) {
        socket.send_to(message, server).expect("the cable is in");
        self.sent += 1;
    }
}

/// A message with the bit that makes it a response.
fn response(id: u16) -> Vec<u8> {
    let mut message = query(id, NAME, AAAA);
    message[2] |= 0x80;
    message
}

/// Queries of all kinds that get a reply.
fn queries() -> Vec<Vec<u8>> {
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut queries = vec![
        query(1, NAME, AAAA),
        query(2, NAME, A),
        query(3, NAME, TXT),
        query(4, "q-20010db8000000000000000000000001.v6.test", AAAA),
        query(5, "nx.v4.test", AAAA),
        query(6, "c3--a-11-22-33-44.v4.test", AAAA),
        query(7, "ipv4only.arpa", AAAA),
        query(8, REVERSED, PTR),
        query_edns((9, NAME, AAAA), 1_232, 0, true, &[]),
        query_edns((10, NAME, AAAA), 1_232, 0, false, &cookie),
        query_edns((11, NAME, AAAA), 1_232, 1, false, &[]),
    ];
    let mut notify = query(12, NAME, AAAA);
    notify[2] |= 4 << 3;
    queries.push(notify);
    let mut two_questions = query(13, NAME, AAAA);
    two_questions[5] = 2;
    queries.push(two_questions);
    queries
}

/// Over the cable: hot names, all kinds of queries, and what is worth no reply.
fn over_the_cable(network: &Network, seen: &mut Seen) {
    for (from, server) in [("[2001:db8:1::2]:0", V6), ("192.0.2.2:0", V4)] {
        let socket = patient(network, from);
        for number in 0..HOT {
            seen.ask(&socket, server, &query(number as u16, NAME, AAAA));
        }
        for question in queries().iter().chain(&queries()) {
            seen.ask(&socket, server, question);
        }
        seen.send(&socket, server, &response(1));
        seen.send(&socket, server, &[0; 5]);
        // Replies come in order: one to what came before would be taken for this one's.
        seen.ask(&socket, server, &query(0xffff, NAME, AAAA));
    }
    // From somebody who may not ask: a refusal, and nothing for what cannot be understood.
    let stranger = patient(network, "[2001:db8:1::bad]:0");
    seen.ask(&stranger, V6, &query(1, NAME, AAAA));
    seen.send(&stranger, V6, &query(2, NAME, AAAA)[..20]);
    seen.ask(&stranger, V6, &query(3, NAME, AAAA));
}

/// By ways that lead to sockets: fragments, TCP, and from the same machine. How many queries.
fn to_the_sockets(network: &Network, seen: &mut Seen) -> u64 {
    let before = seen.sent;
    // A padding option that makes the query longer than a packet.
    let mut padding = vec![0, 12];
    padding.extend(1_600_u16.to_be_bytes());
    padding.resize(4 + 1_600, 0);
    let long = query_edns((1, NAME, AAAA), 1_232, 0, false, &padding);
    seen.ask(&patient(network, "[2001:db8:1::2]:0"), V6, &long);
    let local = network.responder.enter(|| UdpSocket::bind("[::1]:0").expect("a free port"));
    local.set_read_timeout(Some(LIMIT)).expect("a time to wait");
    seen.ask(&local, "[::1]:53", &query(1, NAME, AAAA));
    seen.send(&local, "[::1]:53", &response(2));
    seen.ask(&local, "[::1]:53", &query(3, NAME, AAAA));
    let server: SocketAddr = V4.parse().expect("an address");
    let mut stream = network.client.enter(|| TcpStream::connect(server).expect("a connection"));
    stream.set_read_timeout(Some(LIMIT)).expect("a time to wait");
    for question in queries() {
        std::io::Write::write_all(&mut stream, &framed(&question)).expect("it is open");
        let reply = read_framed(&mut stream).expect("a reply");
        assert_eq!(reply[..2], question[..2]);
        seen.sent += 1;
        seen.replies += 1;
    }
    seen.sent - before
}

/// A socket that waits for as long as a busy machine may need.
fn patient(network: &Network, from: &str) -> UdpSocket {
    let socket = network.socket(from);
    socket.set_read_timeout(Some(LIMIT)).expect("a time to wait");
    socket
}

/// Packets that an interface has sent and received.
fn carried(netns: &Netns) -> [u64; 2] {
    let text = netns.run("ip", &["-json", "-statistics", "link", "show", "eth0"]);
    let links: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    ["tx", "rx"].map(|way| links[0]["stats64"][way]["packets"].as_u64().expect("a number"))
}

/// Sends everything, and compares the client's count with the program's.
fn balance(network: &Network, datapath: &str) -> (Seen, Books) {
    network.client.address("eth0", "2001:db8:1::bad/64");
    know_each_other(network);
    network.client.sysctl("net.ipv6.conf.eth0.router_solicitations", "0");
    network.responder.sysctl("net.ipv6.conf.eth0.router_solicitations", "0");
    let server = network.start(1, datapath);
    let mut seen = Seen::default();
    let before = carried(&network.client);
    over_the_cable(network, &mut seen);
    let after = carried(&network.client);
    for ((what, count), (before, after)) in
        [("queries", seen.sent), ("replies", seen.replies)].iter().zip(before.iter().zip(after))
    {
        let packets = after - before;
        assert!((*count..count + NOISE).contains(&packets), "{packets} packets, {count} {what}");
    }
    let by_socket = to_the_sockets(network, &mut seen);
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("queries"), seen.sent, "each query is counted once");
    assert_eq!(books.get("responses"), seen.replies, "and each reply");
    assert_eq!(books.get("drops"), seen.sent - seen.replies, "and each of the others");
    assert_eq!(books.get("xsk_strays"), 0);
    let faster = ["kernel_answers", "kernel_drops", "xsk_queries"].map(|name| books.get(name));
    assert_eq!(faster.iter().sum::<u64>() + by_socket, seen.sent, "{faster:?} and {by_socket}");
    (seen, books)
}

#[test]
fn every_query_is_counted_once_over_all_tiers_in_generic_mode() {
    let Some(network) = Network::new() else { return };
    let (_, books) = balance(&network, &format!("{XDP}\nattach = \"generic\""));
    assert!(books.get("kernel_answers") > HOT, "{}", books.get("kernel_answers"));
}

#[test]
fn every_query_is_counted_once_over_all_tiers_in_the_driver() {
    let Some(network) = Network::new() else { return };
    let _other_end = pass_program(&network.client);
    let (_, books) = balance(&network, &hot(""));
    assert!(books.get("kernel_answers") > HOT, "{}", books.get("kernel_answers"));
}

#[test]
fn every_query_is_counted_once_without_answers_inside_xdp() {
    let Some(network) = Network::new() else { return };
    let (seen, books) = balance(&network, XDP);
    assert_eq!(books.get("kernel_answers"), 0);
    assert!(books.get("xsk_queries") > seen.sent / 2, "{}", books.get("xsk_queries"));
}
