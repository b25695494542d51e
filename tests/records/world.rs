//! A `dns64d` that records, the server it asks, and clients whose ports are known.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::client::{framed, read_framed};
use dns64_tests::daemon::{Daemon, START_LIMIT, free_address};
use dns64_tests::netns::Scratch;
use rustix::process::Signal;

/// How long anything may take that takes no time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The type AAAA.
pub(crate) const AAAA: u16 = 28;

/// The running program.
pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) upstream: Upstream,
    pub(crate) address: SocketAddr,
    pub(crate) scratch: Scratch,
}

impl World {
    /// Starts with this at the end of the configuration, in which `SCRATCH` is a directory.
    pub(crate) fn start(more: &str) -> Self {
        Self::start_in(Scratch::new(), more)
    }

    /// Starts with files that are there already.
    pub(crate) fn start_in(scratch: Scratch, more: &str) -> Self {
        let upstream = upstream();
        let address = free_address();
        let text = configuration(address, upstream.local_addr(), scratch.path(), more);
        let daemon = Daemon::start(&scratch, None, &text);
        Self { daemon, upstream, address, scratch }
    }

    /// What the program has counted under a name of its statistics.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let stats = self.daemon.json("stats");
        let value = name.split('.').fold(&stats, |value, part| &value[part]);
        value.as_u64().unwrap_or_else(|| panic!("{name} is not in {stats:#}"))
    }

    /// Waits until the counts of a recorder add up to so many.
    pub(crate) fn wait_for_all(&self, recorder: &str, wanted: u64) {
        self.daemon.wait_until("stats", PATIENCE, |stats| {
            let part = |name: &str| stats[recorder][name].as_u64().unwrap_or_default();
            part("written") + part("dropped") >= wanted
        });
    }

    /// Ends the program as an operator does; what it has logged.
    pub(crate) fn stop(&mut self) -> String {
        self.daemon.server.signal(Signal::TERM);
        let status = self.daemon.server.wait(START_LIMIT).expect("it ends");
        assert!(status.success(), "{}", self.daemon.server.log());
        self.daemon.server.final_log()
    }
}

/// A server of names that say their own answer.
pub(crate) fn upstream() -> Upstream {
    Upstream::start("127.0.0.1:0".parse().unwrap(), Options::default()).expect("a free port")
}

/// The text of a configuration.
pub(crate) fn configuration(
    listen: SocketAddr,
    upstream: SocketAddr,
    scratch: &Path,
    more: &str,
) -> String {
    format!(
        "listen = [\"{listen}\"]\nworkers = 2\nallow = [\"127.0.0.0/30\"]\n\
         [upstream]\nservers = [\"{upstream}\"]\n\
         [dns64]\nprefixes = [\"2001:db8:64::/96\"]\n[cache]\nsize = \"4MiB\"\n\
         [datapath]\nmode = \"socket\"\n{}",
        more.replace("SCRATCH", &scratch.display().to_string())
    )
}

/// A query with RD. Labels are separated by dots, and may have any other octet.
pub(crate) fn query(id: u16, name: &str, rtype: u16) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.push(0);
    query.extend(rtype.to_be_bytes());
    query.extend([0, 1]);
    query
}

/// A client by UDP.
pub(crate) struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    next_id: u16,
}

impl Client {
    /// At this address of the loopback.
    pub(crate) fn new(address: &str, server: SocketAddr) -> Self {
        let address: IpAddr = address.parse().unwrap();
        let socket = UdpSocket::bind((address, 0)).expect("an address of the loopback");
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, server, next_id: 1 }
    }

    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// Asks AAAA and waits for the reply.
    pub(crate) fn ask(&mut self, name: &str) -> Vec<u8> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.socket.send(&query(id, name, AAAA)).expect("loopback takes it");
        let mut reply = vec![0; 4_096];
        loop {
            let len = self.socket.recv(&mut reply).expect("a reply");
            if reply[..2] == id.to_be_bytes() {
                reply.truncate(len);
                return reply;
            }
        }
    }

    /// Asks AAAA by TCP; the port it was asked from.
    pub(crate) fn ask_by_tcp(&self, name: &str) -> u16 {
        let mut stream = TcpStream::connect(self.server).expect("TCP is served");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&framed(&query(77, name, AAAA))).unwrap();
        let reply = read_framed(&mut stream).expect("a reply");
        assert_eq!(reply[..2], 77_u16.to_be_bytes());
        stream.local_addr().unwrap().port()
    }
}
