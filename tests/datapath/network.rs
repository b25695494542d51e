//! A client and a responder on the two ends of a virtual cable.
//!
//! ```text
//!   client eth0 ------------------ eth0 responder   dns64d, and on 127.0.0.1:5300 what it asks
//!   2001:db8:1::2, 192.0.2.2       2001:db8:1::53, 192.0.2.53
//! ```

use std::net::{SocketAddr, UdpSocket};
use std::sync::MutexGuard;
use std::time::Duration;

use dns64::xdp::{Attached, ModeWanted, Object, Program, XdpMode};
use dns64_ebpf::abi::PROGRAM_PASS;
use dns64_tests::netns::{Netns, Scratch, available, serial};
use dns64_tests::program::{dns64bench, dns64d};
use dns64_tests::server::Server;
use rustix::process::Signal;

/// The responder's addresses.
pub(crate) const V6: &str = "[2001:db8:1::53]:53";
pub(crate) const V4: &str = "192.0.2.53:53";

/// How long things may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How long a client waits before it asks again, and how often it asks.
const CLIENT_WAIT: Duration = Duration::from_secs(2);
const CLIENT_TRIES: usize = 4;

/// What `[datapath]` says in most tests: `AF_XDP` or no start.
pub(crate) const XDP: &str = "mode = \"xdp\"\ninterfaces = [\"eth0\"]";
/// The sockets alone.
pub(crate) const SOCKET: &str = "mode = \"socket\"";

/// Two hosts and a cable. Servers end before their hosts do: fields are dropped in order.
pub(crate) struct Network {
    _upstream: Server,
    pub(crate) client: Netns,
    pub(crate) responder: Netns,
    pub(crate) scratch: Scratch,
    _alone: MutexGuard<'static, ()>,
}

impl Network {
    /// The network, where it can be had.
    pub(crate) fn new() -> Option<Self> {
        Self::with_queues(1)
    }

    /// The network with so many queues at each end.
    pub(crate) fn with_queues(queues: u32) -> Option<Self> {
        if !available(&["ip", "bpftool", "setpriv"]) {
            return None;
        }
        let alone = serial();
        let (client, responder) = (Netns::new("client"), Netns::new("responder"));
        client.link_with_queues("eth0", &responder, "eth0", queues);
        give_addresses(&client, &responder);
        let upstream = dns64bench();
        let mut upstream = responder.spawn(upstream, &["upstream", "--listen", "127.0.0.1:5300"]);
        upstream.wait_for("127.0.0.1:5300", LIMIT);
        Some(Self {
            _upstream: upstream,
            client,
            responder,
            scratch: Scratch::new(),
            _alone: alone,
        })
    }

    /// Starts `dns64d` with so many workers and a `[datapath]` table.
    pub(crate) fn start(&self, workers: u32, datapath: &str) -> Server {
        self.start_with(workers, datapath, "")
    }

    /// Starts `dns64d` with further tables.
    pub(crate) fn start_with(&self, workers: u32, datapath: &str, more: &str) -> Server {
        let config = self.config(workers, datapath, more);
        let mut server = self.responder.spawn(dns64d(), &["--config", &config]);
        server.wait_for(" ready ", LIMIT);
        server
    }

    /// Writes a configuration; the name of its file.
    pub(crate) fn config(&self, workers: u32, datapath: &str, more: &str) -> String {
        let text = format!(
            "listen = [\"[::]:53\", \"192.0.2.53:53\"]\nworkers = {workers}\n\
             allow = [\"!2001:db8:1::bad\", \"::/0\", \"0.0.0.0/0\"]\n\
             [upstream]\nservers = [\"127.0.0.1:5300\"]\n\
             [dns64]\nprefixes = [\"2001:db8:64::/96\"]\n\
             [datapath]\n{datapath}\n{more}\n"
        );
        self.scratch.write("dns64d.toml", &text).to_string_lossy().into_owned()
    }

    /// A client's socket.
    pub(crate) fn socket(&self, from: &str) -> UdpSocket {
        self.client.enter(|| {
            let socket = UdpSocket::bind(from).expect("a free port");
            socket.set_read_timeout(Some(CLIENT_WAIT)).expect("a time to wait");
            socket
        })
    }

    /// Asks from a new port, as often as clients do, and returns the reply.
    pub(crate) fn ask(&self, server: &str, query: &[u8]) -> Vec<u8> {
        let from = if server.starts_with('[') { "[2001:db8:1::2]:0" } else { "192.0.2.2:0" };
        ask_by(&self.socket(from), server, query)
    }
}

/// Asks by a socket, as often as clients do, and returns the reply.
pub(crate) fn ask_by(socket: &UdpSocket, server: &str, query: &[u8]) -> Vec<u8> {
    let server: SocketAddr = server.parse().expect("an address");
    let mut buffer = vec![0; 65_535];
    for _ in 0..CLIENT_TRIES {
        // A cable that is out says so; that is no answer.
        if socket.send_to(query, server).is_err() {
            continue;
        }
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            assert_eq!(from, server, "the reply comes from where the query went");
            if buffer[..2] == query[..2] {
                return buffer[..len].to_vec();
            }
        }
    }
    panic!("{server} does not answer {query:x?}");
}

/// Addresses of both ends.
pub(crate) fn give_addresses(client: &Netns, responder: &Netns) {
    client.address("eth0", "2001:db8:1::2/64");
    client.address("eth0", "192.0.2.2/24");
    responder.address("eth0", "2001:db8:1::53/64");
    responder.address("eth0", "192.0.2.53/24");
}

/// What a cable wants at its other end: any XDP program.
pub(crate) fn pass_program(netns: &Netns) -> (Program, Attached) {
    netns.enter(|| {
        let mut program =
            Program::load(Object::Bench, PROGRAM_PASS).expect("a program on the other end");
        let attached = program
            .attach("eth0", ModeWanted::Only(XdpMode::Native))
            .expect("a program on the other end");
        (program, attached)
    })
}

/// What `dns64d` says at its end.
pub(crate) struct Books(String);

/// Ends `dns64d` and reads its books.
pub(crate) fn stop(server: Server) -> Books {
    stop_with_log(server).0
}

/// Ends `dns64d`, reads its books, and gives back all that it has said.
pub(crate) fn stop_with_log(mut server: Server) -> (Books, String) {
    server.signal(Signal::TERM);
    let status = server.wait(LIMIT);
    assert!(status.is_some_and(|status| status.success()), "{status:?}:\n{}", server.log());
    let log = server.final_log();
    (Books::of(&log), log)
}

/// The numbers of a name in those lines of a log that have a text, in their order.
pub(crate) fn numbers(log: &str, text: &str, name: &str) -> Vec<u64> {
    let lines = log.lines().filter(|line| line.contains(text));
    lines.map(|line| Books(line.to_owned()).get(name)).collect()
}

impl Books {
    /// The books at the end of a log.
    pub(crate) fn of(log: &str) -> Self {
        let line = log.lines().find(|line| line.contains(" stopped "));
        Self(line.expect("the last line").to_owned())
    }

    /// A number of the books.
    pub(crate) fn get(&self, name: &str) -> u64 {
        let field = self.0.split_whitespace().find_map(|word| {
            let (key, value) = word.split_once('=')?;
            (key == name).then(|| value.parse().expect("a number"))
        });
        field.unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    /// Every query has ended as one response or one drop, and no frame was lost on the way.
    pub(crate) fn balance(&self) {
        assert_eq!(self.get("queries"), self.get("responses") + self.get("drops"), "{}", self.0);
        assert_eq!(self.get("xsk_full"), 0, "{}", self.0);
        assert_eq!(self.get("unsent"), 0, "{}", self.0);
    }
}
