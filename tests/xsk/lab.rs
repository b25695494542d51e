//! Two hosts on a cable, and clients that are plain sockets.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use dns64_tests::netns::{self, Netns};
pub(crate) use dns64_tests::program::dns64bench;
use dns64_tests::server::Server;

/// The interface of both hosts.
pub(crate) const INTERFACE: &str = "eth0";
/// The port of the server.
pub(crate) const PORT: u16 = 5_301;
/// How long things may take that take milliseconds on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The addresses of the server.
pub(crate) const SERVER_V4: &str = "10.64.0.2";
pub(crate) const SERVER_V6: &str = "2001:db8:64::2";

/// Two hosts: a client and a server.
pub(crate) struct Lab {
    pub(crate) client: Netns,
    pub(crate) server: Netns,
}

impl Lab {
    /// Joins two hosts by a cable with so many queues; `None` if that cannot be done here.
    pub(crate) fn new(queues: u32) -> Option<Self> {
        if !netns::available(&["ip"]) {
            return None;
        }
        let lab = Self { client: Netns::new("client"), server: Netns::new("server") };
        lab.client.link_with_queues(INTERFACE, &lab.server, INTERFACE, queues);
        for (host, v4, v6) in [
            (&lab.client, "10.64.0.1/24", "2001:db8:64::1/64"),
            (&lab.server, "10.64.0.2/24", "2001:db8:64::2/64"),
        ] {
            host.address(INTERFACE, v4);
            host.address(INTERFACE, v6);
            host.wait_for_carrier(INTERFACE, LIMIT);
        }
        Some(lab)
    }

    /// Starts dns64bench on a host and waits until it is ready; what it said.
    pub(crate) fn start(host: &Netns, arguments: &[&str]) -> (Server, String) {
        let mut server = host.spawn(dns64bench(), arguments);
        server.wait_for("ready", LIMIT);
        let said = server.log();
        (server, said)
    }

    /// Runs dns64bench on a host to its end: exit code, standard output, standard error.
    pub(crate) fn run(host: &Netns, arguments: &[&str]) -> (Option<i32>, String, String) {
        let program = dns64bench();
        let output = host.output(&program.to_string_lossy(), arguments);
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// Whether a host has an XDP program on its interface.
    pub(crate) fn has_program(host: &Netns) -> bool {
        host.run("ip", &["-o", "link", "show", INTERFACE]).contains("xdp")
    }

    /// A socket on the client, connected to an address of the server.
    pub(crate) fn connect(&self, server: &str) -> UdpSocket {
        let server = SocketAddr::new(server.parse::<IpAddr>().unwrap(), PORT);
        self.client.enter(|| {
            let any: SocketAddr =
                if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
            let socket = UdpSocket::bind(any).unwrap();
            socket.connect(server).unwrap();
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            socket
        })
    }
}

/// A query with a number for its ID, `len` octets long, at least 16.
pub(crate) fn query(id: u16, len: usize) -> Vec<u8> {
    let mut query = vec![0x5a; len];
    query[..16].copy_from_slice(b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01t\0\0");
    query[..2].copy_from_slice(&id.to_be_bytes());
    query
}

/// Sends a query and checks that it comes back with QR set and nothing else changed.
pub(crate) fn expect_reflection(socket: &UdpSocket, query: &[u8]) {
    let mut reply = [0; 2_048];
    socket.send(query).unwrap();
    let len = socket.recv(&mut reply).unwrap_or_else(|error| {
        panic!("no reply to {} octets for {:?}: {error}", query.len(), socket.peer_addr())
    });
    let mut expected = query.to_vec();
    expected[2] |= 0x80;
    assert_eq!(reply[..len], expected[..]);
}
