//! The program under test, on loopback.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use dns64_tests::netns::Scratch;
use dns64_tests::program::dns64d;
use dns64_tests::server::Server;
use rustix::process::Signal;

/// How long the program may take to start, also under a tracer on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What differs from test to test. Tables are given as their lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    /// Worker threads.
    pub(crate) workers: u16,
    /// Of `[upstream]`, beside the servers.
    pub(crate) upstream: &'a str,
    /// Of `[dns64]`.
    pub(crate) dns64: &'a str,
    /// Of `[cache]`.
    pub(crate) cache: &'a str,
    /// Of `[limits]`.
    pub(crate) limits: &'a str,
    /// The program and arguments that start the responder, whose own follow; none: it starts alone.
    pub(crate) under: &'a [&'a str],
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            workers: 2,
            upstream: "",
            dns64: "prefixes = [\"2001:db8:64::/96\"]",
            cache: "size = \"16MiB\"",
            limits: "",
            under: &[],
        }
    }
}

/// A running `dns64d`.
pub(crate) struct Responder {
    server: Server,
    address: SocketAddr,
    _scratch: Scratch,
}

impl Responder {
    /// Starts the program with the usual settings.
    pub(crate) fn start(upstream: &[SocketAddr]) -> Self {
        Self::start_with(upstream, Settings::default())
    }

    /// Starts the program and waits until it answers.
    pub(crate) fn start_with(upstream: &[SocketAddr], settings: Settings<'_>) -> Self {
        let scratch = Scratch::new();
        let mut text = String::new();
        let servers: Vec<String> = upstream.iter().map(ToString::to_string).collect();
        let address = free_address();
        let _ = writeln!(text, "listen = [\"{address}\"]\nworkers = {}", settings.workers);
        let _ = writeln!(text, "[upstream]\nservers = {servers:?}\n{}", settings.upstream);
        let tables = [
            ("dns64", settings.dns64),
            ("cache", settings.cache),
            ("limits", settings.limits),
            ("datapath", "mode = \"socket\""),
        ];
        for (table, lines) in tables {
            let _ = writeln!(text, "[{table}]\n{lines}");
        }
        let config = scratch.write("dns64d.toml", &text);
        let mut command = match settings.under {
            [] => Command::new(dns64d()),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(dns64d());
                command
            }
        };
        command.arg("--config").arg(config).stdin(Stdio::null());
        let mut server = Server::start("dns64d", command);
        server.wait_for("ready", START_LIMIT);
        Self { server, address, _scratch: scratch }
    }

    /// Where it answers, by UDP and TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    /// Fails if the program has ended.
    pub(crate) fn assert_alive(&mut self) {
        let status = self.server.wait(Duration::ZERO);
        assert!(status.is_none(), "the program has ended: {status:?}\n{}", self.server.log());
    }

    /// A number out of `/proc/<pid>/status`.
    pub(crate) fn status(&self, key: &str) -> u64 {
        let path = format!("/proc/{}/status", self.server.pid().as_raw_nonzero());
        let text = fs::read_to_string(path).expect("the program runs");
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {key} in {text}"))
    }

    /// Octets of memory in use.
    pub(crate) fn resident_octets(&self) -> u64 {
        self.status("VmRSS") * 1_024
    }

    /// Threads.
    pub(crate) fn threads(&self) -> u64 {
        self.status("Threads")
    }

    /// Open file descriptors.
    pub(crate) fn open_files(&self) -> usize {
        let path = format!("/proc/{}/fd", self.server.pid().as_raw_nonzero());
        fs::read_dir(path).expect("the program runs").count()
    }
}

/// A port that is free for UDP and TCP. Another program may take it before ours does; so seldom
/// that nothing is done about it.
fn free_address() -> SocketAddr {
    let free = (0..50).find_map(|_| {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let address = udp.local_addr().ok()?;
        TcpListener::bind(address).is_ok().then_some(address)
    });
    free.expect("there are free ports")
}
