//! Configurations of other servers, imported: a server with its own configuration and dns64d with
//! what `dns64ctl import` makes of the very same file give the same answers to a thousand
//! questions, but for the differences that are listed here with their reasons.
//!
//! Each server has a network namespace of its own, in which all addresses are the same, with the
//! scripted upstream beside it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod differences;
mod exchange;
mod questions;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::netns::{Netns, Scratch, available, serial};
use dns64_tests::program::{directory, dns64d};
use dns64_tests::server::Server;

use exchange::{Outcome, ask_all};
use questions::{Asked, questions};

/// How long a server may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Where every server listens, and its upstreams.
const SERVER: &str = "[fd64:5::53]:53";
const UPSTREAMS: [&str; 2] = ["[fd64:9::53]:5300", "[fd64:9::54]:5300"];

/// Addresses of each namespace: the server, the upstreams, a client that may ask, one that is
/// refused, and one that gets no answer.
const ADDRESSES: [&str; 7] = [
    "fd64:5::53",
    "fd64:9::53",
    "fd64:9::54",
    "fd64:5::1",
    "fd64:6::1",
    "fd64:7::1",
    "fd64:5:0:0:8000::1",
];

/// The client that asks all questions.
const CLIENT: &str = "fd64:5::1";

/// A peer: its program, its configuration, and how it is started.
struct Peer {
    name: &'static str,
    program: &'static str,
    file: &'static str,
    files: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
    /// Prefixes of its DNS64.
    prefixes: &'static [&'static str],
}

const PEERS: [Peer; 4] = [
    Peer {
        name: "unbound",
        program: "unbound",
        file: "unbound.conf",
        files: &[
            ("unbound.conf", include_str!("configurations/unbound.conf")),
            ("dns64.d/dns64.conf", include_str!("configurations/unbound-dns64.conf")),
        ],
        arguments: &["-d", "-c", "@FILE@"],
        prefixes: &["2001:db8:64::/48"],
    },
    Peer {
        name: "bind",
        program: "named",
        file: "named.conf",
        files: &[
            ("named.conf", include_str!("configurations/named.conf")),
            ("acl.conf", include_str!("configurations/named-acl.conf")),
        ],
        arguments: &["-f", "-n", "1", "-c", "@FILE@"],
        prefixes: &["64:ff9b::/96", "2001:db8:64::/48"],
    },
    Peer {
        name: "pdns",
        program: "pdns_recursor",
        file: "recursor.conf",
        files: &[("recursor.conf", include_str!("configurations/recursor.conf"))],
        arguments: &["--config-dir=@DIRECTORY@"],
        prefixes: &["2001:db8:64::/96"],
    },
    Peer {
        name: "knot",
        program: "kresd",
        file: "kresd.conf",
        files: &[("kresd.conf", include_str!("configurations/kresd.conf"))],
        arguments: &["-n", "-c", "@FILE@", "@DIRECTORY@"],
        prefixes: &["2001:db8:64::/96"],
    },
];

/// A namespace with all addresses and the upstream.
struct Host {
    netns: Netns,
    _upstream: Upstream,
}

impl Host {
    fn new(role: &str) -> Self {
        let netns = Netns::new(role);
        for address in ADDRESSES {
            netns.address("lo", &format!("{address}/128"));
        }
        let upstream = netns.enter(|| {
            let listen = UPSTREAMS.map(|address| address.parse().expect("an address"));
            Upstream::start_on(&listen, Options::default()).expect("nobody else listens there")
        });
        Self { netns, _upstream: upstream }
    }

    /// What the server here answers to questions from an address.
    fn ask(&self, client: &str, asked: &[Asked], patience: Duration) -> Vec<Outcome> {
        let client = client.parse().unwrap();
        self.netns.enter(|| ask_all(client, SERVER.parse().unwrap(), asked, patience))
    }

    /// Waits until the server answers: names of their own, for a failure may be remembered.
    fn wait_for_answers(&self, server: &mut Server) {
        let deadline = Instant::now() + START_LIMIT;
        for number in 0..=u8::MAX {
            let asked = Asked::plain("start", &format!("a-11-200-0-{number}.v4.test"), "A");
            let outcome = self.ask(CLIENT, &[asked], Duration::from_millis(200));
            if matches!(&outcome[0], Outcome::Reply { rcode: 0, answer } if answer.len() == 1) {
                return;
            }
            assert_eq!(server.wait(Duration::ZERO), None, "it ended: {}", server.log());
            assert!(Instant::now() < deadline, "it does not answer: {}", server.log());
        }
        panic!("it does not answer: {}", server.log());
    }
}

/// Writes the files of a peer; returns the main one.
fn write_files(peer: &Peer, directory: &Path) -> PathBuf {
    for (name, text) in peer.files {
        let file = directory.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text.replace("@DIRECTORY@", &directory.display().to_string())).unwrap();
    }
    directory.join(peer.file)
}

/// Imports a file and checks that dns64d takes what comes out.
fn import(host: &Host, file: &Path, directory: &Path) -> PathBuf {
    let output = directory.join("dns64d.toml");
    let program = self::directory().join("dns64ctl");
    let arguments = ["import", file.to_str().unwrap(), "--output", output.to_str().unwrap()];
    host.netns.run(program.to_str().unwrap(), &arguments);
    let check = ["check", "--config", output.to_str().unwrap()];
    host.netns.run(dns64d().to_str().unwrap(), &check);
    output
}

/// Starts a peer and dns64d, asks both, and compares.
fn agrees(peer: &Peer) {
    if !available(&[peer.program]) {
        return;
    }
    let _alone = serial();
    let scratch = Scratch::new();
    let file = write_files(peer, scratch.path());
    let (theirs, ours) = (Host::new(peer.name), Host::new("dns64d"));
    let fill_in = |text: &&str| {
        let directory = scratch.path().display().to_string();
        text.replace("@FILE@", &file.display().to_string()).replace("@DIRECTORY@", &directory)
    };
    let arguments: Vec<String> = peer.arguments.iter().map(fill_in).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut original = theirs.netns.spawn(peer.program, &arguments);
    let configuration = import(&ours, &file, scratch.path());
    let arguments = ["--config", configuration.to_str().unwrap()];
    let mut imported = ours.netns.spawn(dns64d(), &arguments);
    theirs.wait_for_answers(&mut original);
    ours.wait_for_answers(&mut imported);

    let prefixes: Vec<_> = peer.prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
    let asked = questions(&prefixes);
    assert!(asked.len() >= 1_000, "{} questions", asked.len());
    let patience = Duration::from_secs(5);
    let expected = theirs.ask(CLIENT, &asked, patience);
    let found = ours.ask(CLIENT, &asked, patience);
    differences::judge(peer.name, &asked, &expected, &found);

    // Who may not ask is refused, or not answered, by both.
    for client in &ADDRESSES[4..] {
        let asked = [Asked::plain("client", "a-11-1-1-1.v4.test", "AAAA")];
        let patience = Duration::from_secs(1);
        let expected = theirs.ask(client, &asked, patience);
        assert_eq!(ours.ask(client, &asked, patience), expected, "{}: {client}", peer.name);
    }
}

#[test]
fn unbound_and_what_is_imported_from_it_answer_alike() {
    agrees(&PEERS[0]);
}

#[test]
fn bind_and_what_is_imported_from_it_answer_alike() {
    agrees(&PEERS[1]);
}

#[test]
fn the_powerdns_recursor_and_what_is_imported_from_it_answer_alike() {
    agrees(&PEERS[2]);
}

#[test]
fn knot_resolver_and_what_is_imported_from_it_answer_alike() {
    agrees(&PEERS[3]);
}
