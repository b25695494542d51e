//! The real program with a script: from its configuration to the counters at its end.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::in_process::Query;
use dns64_tests::netns::Scratch;
use dns64_tests::program::dns64d;
use dns64_tests::reply::Reply;
use dns64_tests::server::Server;
use rustix::process::Signal;

use crate::{DNS64, RECURSOR_3};

/// How long a start, an end or a reply may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// An address on loopback whose port nobody has, for UDP and TCP.
fn free_address() -> SocketAddr {
    for _ in 0..16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free for both");
}

/// A configuration with this `[script]` table, and where it listens.
fn configuration(script: &str, upstream: SocketAddr) -> (String, SocketAddr) {
    let address = free_address();
    let text = format!(
        "listen = [\"{address}\"]\nworkers = 2\n[upstream]\nservers = [\"{upstream}\"]\n\
         [dns64]\nprefixes = [\"2001:db8:64::/96\"]\n[datapath]\nmode = \"socket\"\n\
         [script]\n{script}\n"
    );
    (text, address)
}

/// A running `dns64d` with a script, and the server it asks.
struct Responder {
    server: Server,
    address: SocketAddr,
    upstream: Upstream,
    _scratch: Scratch,
}

impl Responder {
    fn start(script: &str, more: &str) -> Self {
        let options = Options { record: true, ..Options::default() };
        let upstream = Upstream::start("127.0.0.1:0".parse().unwrap(), options).unwrap();
        let scratch = Scratch::new();
        // Found beside the configuration.
        scratch.write("dns64.lua", script);
        let table = format!("file = \"dns64.lua\"\n{more}");
        let (text, address) = configuration(&table, upstream.local_addr());
        let config = scratch.write("dns64d.toml", &text);
        let mut command = Command::new(dns64d());
        command.arg("--config").arg(config).stdin(Stdio::null());
        let mut server = Server::start("dns64d", command);
        server.wait_for("ready", LIMIT);
        Self { server, address, upstream, _scratch: scratch }
    }

    /// Asks from this address of loopback; the answer section.
    fn ask(&self, client: Ipv4Addr, question: &str) -> Vec<String> {
        ask(self.address, client, question)
    }

    /// Ends the program; what it has counted under this name.
    fn stop(mut self, count: &str) -> (u64, String) {
        self.server.signal(Signal::TERM);
        assert!(self.server.wait(LIMIT).is_some_and(|status| status.success()));
        let log = self.server.final_log();
        let number = log.split(&format!(" {count}=")).nth(1).unwrap_or_default();
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        (digits.parse().unwrap_or_else(|_| panic!("no {count} in {log}")), log)
    }
}

/// Asks from this address of loopback; the answer section.
fn ask(server: SocketAddr, client: Ipv4Addr, question: &str) -> Vec<String> {
    let socket = UdpSocket::bind((client, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket.send(&Query::of(question).octets()).unwrap();
    let mut buffer = vec![0; 4_096];
    let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{question}: {error}"));
    buffer.truncate(len);
    let reply = Reply::parse(buffer).unwrap();
    reply.answer.iter().map(|record| record.text.clone()).collect()
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[test]
fn the_script_that_does_dns64_works_end_to_end_and_not_on_hits() {
    for script in [DNS64, RECURSOR_3] {
        let responder = Responder::start(script, "");
        let reverse = "1.0.2.0.0.0.0.c.f.f.7.7.b.1.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa.";
        for _ in 0..5 {
            assert_eq!(
                responder
                    .ask(CLIENT, "a-192-0-2-1--ttl90.v4.test. AAAA")
                    .join(" ")
                    .split(' ')
                    .next_back(),
                Some("fe80::21b:77ff:c000:201")
            );
            let answer = responder.ask(CLIENT, &format!("{reverse} PTR"));
            assert!(answer[0].ends_with("CNAME 1.2.0.192.in-addr.arpa."), "{answer:?}");
            assert!(answer[1].ends_with("PTR a-192-0-2-1.v4.test."), "{answer:?}");
        }
        let asked = responder.upstream.recorded();
        let under = |suffix: &str| {
            asked.iter().filter(|asked| asked.name.to_lowercase().ends_with(suffix)).count()
        };
        assert_eq!((under(".v4.test."), under(".in-addr.arpa.")), (2, 1), "{asked:?}");
        // Clients come to either of two workers, and each keeps its own verdicts: preresolve and
        // nodata for AAAA, preresolve for PTR.
        let (calls, log) = responder.stop("script_calls");
        let calls_max = if script == DNS64 { 6 } else { 30 };
        assert!((3..=calls_max).contains(&calls), "{calls} calls\n{log}");
    }
}

#[test]
fn clients_of_different_networks_get_different_prefixes() {
    let script = r#"
        local north = newNMG()
        north:addMask("127.0.0.2/32")
        function nodata(dq)
          if dq.qtype ~= pdns.AAAA then return false end
          dq.followupFunction = "getFakeAAAARecords"
          dq.followupPrefix = north:match(dq.remoteaddr) and "2001:db8:1::" or "2001:db8:2::"
          return true
        end
    "#;
    let responder = Responder::start(script, "instructions = 50000\nmemory = \"4MiB\"");
    for _ in 0..4 {
        for (client, prefix) in [(2, "1"), (3, "2")] {
            let client = Ipv4Addr::new(127, 0, 0, client);
            let answer = responder.ask(client, "a-192-0-2-1.v4.test. AAAA").join(" ");
            assert!(answer.ends_with(&format!("AAAA 2001:db8:{prefix}::c000:201")), "{answer}");
        }
    }
    assert_eq!(responder.stop("script_calls").0, 8);
}

#[test]
fn an_error_is_logged_with_file_and_line_and_counted() {
    let script = "\n\nfunction nodata(dq)\n  local it = dq.nothing.there\n  return true\nend\n";
    let responder = Responder::start(script, "");
    for number in 1..=30 {
        let answer = responder.ask(CLIENT, &format!("a-192-0-2-{number}.v4.test. AAAA"));
        assert!(answer[0].contains("2001:db8:64::c000:2"), "{answer:?}");
    }
    let (errors, log) = responder.stop("script_errors");
    assert_eq!(errors, 30);
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("dns64.lua:4:")).collect();
    // Ten of each worker's in ten seconds.
    assert!((1..=20).contains(&lines.len()), "{} lines\n{log}", lines.len());
    assert!(lines[0].contains("WARN") && lines[0].contains("hook=\"nodata\""), "{}", lines[0]);
}

#[test]
fn a_script_that_cannot_run_is_refused_with_file_and_line() {
    let scratch = Scratch::new();
    let upstream = "127.0.0.1:9".parse().unwrap();
    scratch.write("syntax.lua", "local x = 1\nfunction nodata(dq\n");
    scratch.write("fails.lua", "\nlocal group = newNMG()\ngroup:addMask('no network')\n");
    scratch.write("empty.lua", "-- nothing\n");
    scratch.write("good.lua", "function nodata(dq) return false end\n");
    let mistakes = [
        ("file = \"missing.lua\"", "dns64d.toml:10:8: script.file: ", "cannot be read"),
        ("file = \"syntax.lua\"", "syntax.lua:3:", "expected"),
        ("file = \"fails.lua\"", "fails.lua:3:", "no network"),
        ("file = \"empty.lua\"", "empty.lua: ", "no hook"),
        ("instructions = 5000", "dns64d.toml:9:", "file"),
        ("file = \"good.lua\"\ninstructions = 9", "dns64d.toml:11:", "instructions"),
        ("file = \"good.lua\"\nmemory = \"1kB\"", "dns64d.toml:11:", "memory"),
        ("file = \"good.lua\"\nfiles = 1", "dns64d.toml:11:", "files"),
    ];
    for (table, place, words) in mistakes {
        let config = scratch.write("dns64d.toml", &configuration(table, upstream).0);
        for arguments in [vec!["--config"], vec!["check", "--config"]] {
            let output = Command::new(dns64d()).args(arguments).arg(&config).output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{table}: {error}");
            assert!(error.contains(place) && error.contains(words), "{table}: {error}");
        }
    }
    let text = configuration("file = \"good.lua\"", upstream).0;
    let config = scratch.write("dns64d.toml", &text);
    let output = Command::new(dns64d()).args(["check", "--config"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let is_named = |line: &str| line.starts_with("script ") && line.ends_with("good.lua");
    assert!(output.status.success() && said.lines().any(is_named), "{said}");
}
