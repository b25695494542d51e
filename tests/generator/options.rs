//! Options that leave their mark on the wire, on the sockets or on the terminal.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use dns64_bench::upstream::{Options, Upstream};
use dns64_bench::wire::{Edns, HEADER_LEN, OPT_LEN, Query};
use dns64_tests::netns::{Scratch, available};

use crate::liar::{Liar, Reply};
use crate::program::{dns64bench, load, run};

fn upstream() -> Upstream {
    Upstream::start("127.0.0.1:0".parse().expect("an address"), Options::default())
        .expect("loopback has free ports")
}

/// What was seen of the queries.
#[derive(Clone, Copy, Debug, Default)]
struct Shares {
    all: u32,
    edns: u32,
    dnssec_ok: u32,
    cookie: u32,
    capitals: u32,
}

/// Asks 2,000 names with these options; what the queries had.
fn shares_of(arguments: &str) -> Shares {
    let seen = Arc::new(Mutex::new(Shares::default()));
    let counting = Arc::clone(&seen);
    let server = Liar::start(move |asked| {
        let query = Query::parse(asked.query).expect("a query of ours");
        let mut seen = counting.lock().unwrap_or_else(PoisonError::into_inner);
        seen.all += 1;
        if let Some(Edns { payload_size, dnssec_ok }) = query.edns {
            assert_eq!(payload_size, 1400);
            seen.edns += 1;
            seen.dnssec_ok += u32::from(dnssec_ok);
        }
        let options = asked.query.get(HEADER_LEN + query.question().len() + OPT_LEN..);
        seen.cookie +=
            u32::from(options.is_some_and(|options| options.starts_with(b"\0\x0a\0\x08")));
        seen.capitals += u32::from(query.name.iter().any(u8::is_ascii_uppercase));
        Reply::Now(vec![asked.answer])
    });
    let names = (0..2_000).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "a-11-0-{}-{}.v4.test A", number / 250, number % 250);
        text
    });
    let arguments = format!("--json --edns-size 1400 --seed 5 -q 20 {arguments}");
    let outcome = load(server.address, &arguments, &names);
    assert_eq!(outcome.numbers(["sent", "verified"]), [2_000; 2], "{}", outcome.stderr);
    let shares = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(shares.all, 2_000);
    shares
}

#[test]
fn edns_do_cookies_and_capitals_have_their_shares() {
    let near = |count: u32, percent: f64| (f64::from(count) / 20.0 - percent).abs() < 4.0;
    let shares = shares_of("--edns-share 30 --do-share 20 --cookie-share 10 --0x20-share 40");
    // A query has EDNS for its own sake or for that of DO or of a cookie.
    let edns = 100.0 - 70.0 * 0.8 * 0.9;
    assert!(near(shares.edns, edns), "{shares:?}");
    assert!(near(shares.dnssec_ok, 20.0) && near(shares.cookie, 10.0), "{shares:?}");
    assert!(near(shares.capitals, 40.0), "{shares:?}");
}

#[test]
fn e_is_edns_for_all_and_d_is_dnssec_ok_for_all_as_in_dnsperf() {
    let shares = shares_of("");
    assert_eq!([shares.edns, shares.dnssec_ok, shares.cookie, shares.capitals], [0; 4]);
    let shares = shares_of("-e");
    assert_eq!([shares.edns, shares.dnssec_ok], [2_000, 0]);
    let shares = shares_of("-D");
    assert_eq!([shares.edns, shares.dnssec_ok], [2_000, 2_000]);
}

/// Octets that a program asks the kernel to give its first UDP socket, for receiving and sending.
fn buffers_of(program: &str, arguments: &str, server: SocketAddr) -> [u64; 2] {
    let scratch = Scratch::new();
    let trace = scratch.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=setsockopt", "-o"]).arg(&trace).arg(program);
    command.args(arguments.split_whitespace());
    command.args(["-s", &server.ip().to_string(), "-p", &server.port().to_string()]);
    let outcome = run(&mut command, b"a-11-0-0-1.v4.test A\n");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let trace = std::fs::read_to_string(trace).expect("strace writes");
    // setsockopt(11, SOL_SOCKET, SO_RCVBUF, [65536], 8) = 0
    ["SO_RCVBUF", "SO_SNDBUF"].map(|option| {
        let line = trace.lines().find(|line| line.contains(option) && line.ends_with("= 0"));
        let number = line.and_then(|line| line.split_once('[')?.1.split_once(']'));
        number.and_then(|(number, _)| number.parse().ok()).unwrap_or_else(|| panic!("{trace}"))
    })
}

#[test]
fn b_is_kilobytes_of_the_sockets_buffers_as_in_dnsperf() {
    if !available(&["strace", "dnsperf"]) {
        return;
    }
    let upstream = upstream();
    let server = upstream.local_addr();
    let program = dns64bench().display().to_string();
    for kilobytes in [64_u64, 200] {
        let ours = buffers_of(&program, &format!("load -b {kilobytes}"), server);
        assert_eq!(ours, [kilobytes * 1024; 2]);
        assert_eq!(ours, buffers_of("dnsperf", &format!("-b {kilobytes}"), server));
    }
}

/// What `load` writes to a terminal.
fn on_a_terminal(server: SocketAddr, arguments: &str) -> String {
    let load = format!(
        "{} load -s {} -p {} --generate mix:0,0,100,0,0 --queries 100 -Q 500 -l 1 {arguments}",
        dns64bench().display(),
        server.ip(),
        server.port()
    );
    let mut command = Command::new("script");
    command.args(["-q", "-e", "-f", "-c", &load, "/dev/null"]);
    let output = command
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .expect("script is part of the system");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    text
}

#[test]
fn a_terminal_has_a_progress_bar_with_rate_loss_and_p99() {
    if !available(&["script"]) {
        return;
    }
    let upstream = upstream();
    let server = upstream.local_addr();
    let shown = on_a_terminal(server, "");
    for part in ["answers/s", "lost 0.000 %", "p99 ", "wrong 0", "Queries completed:"] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    let quiet = on_a_terminal(server, "--quiet");
    assert!(!quiet.contains("answers/s") && quiet.contains("Queries completed:"), "{quiet}");
    // Without a terminal there is none.
    let piped = load(server, "--generate mix:0,0,100,0,0 --queries 100 -Q 500 -l 1", "");
    assert_eq!(piped.stderr, "");
}
