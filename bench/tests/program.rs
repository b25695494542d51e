//! The program dns64bench: what its subcommands print and how they exit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use dns64_bench::upstream::{Options, Upstream};

fn dns64bench(arguments: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dns64bench"))
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not read.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn names_writes_a_query_file_that_load_reads() {
    let names = dns64bench("names --count 3 --kind native --zone v6.test.", "");
    let lines: Vec<_> = stdout(&names).lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2], "q-20010db8000000000000000000000002.v6.test AAAA");

    let upstream = Upstream::start("[::1]:0".parse().unwrap(), Options::default()).unwrap();
    let port = upstream.local_addr().port();
    let load = dns64bench(&format!("load -s ::1 -p {port} -d - -n 2 -e"), stdout(&names));
    assert_eq!(load.status.code(), Some(0), "{load:?}");
    assert!(stdout(&load).contains("\n\nStatistics:\n\n  Queries sent:         6\n"));
    assert!(stdout(&load).contains("Queries completed:    6 (100.00%)"));
    assert!(stdout(&load).contains("verified 6, wrong 0"));
}

#[test]
fn a_wrong_answer_makes_load_exit_with_1() {
    let upstream = Upstream::start("127.0.0.1:0".parse().unwrap(), Options::default()).unwrap();
    let port = upstream.local_addr().port();
    let arguments = format!("load -p {port} -d - -n 1 --json");
    // The upstream synthesizes nothing, so AAAA is not what the name promises of a DNS64 server.
    let load = dns64bench(&arguments, "a-11-0-0-1.v4.test AAAA\n");
    assert_eq!(load.status.code(), Some(1));
    assert!(stdout(&load).contains("\"wrong\": 1"));
    let load = dns64bench(&format!("{arguments} --form-only"), "a-11-0-0-1.v4.test AAAA\n");
    assert_eq!(load.status.code(), Some(0));
}

#[test]
fn wrong_usage_and_bad_files_exit_with_2_and_say_what_is_wrong() {
    for (arguments, input, message) in [
        ("load -d - --prefix 64:ff9b::/95", "", "64:ff9b::/95"),
        ("load -d -", "", "dns64bench: -: no query in it\n"),
        ("load", "a.test\n", "dns64bench: -: line 1: no type behind the name a.test\n"),
        ("load -d -", "a.test A\nb.test FOO\n", "dns64bench: -: line 2: no such type: FOO\n"),
        ("load -d /no/such/file", "", "dns64bench: cannot open /no/such/file: No such file"),
        ("load -B", "\0\u{9}abc", "dns64bench: -: message 1: only 3 of its 9 octets are there"),
        ("load -B -e", "", "cannot be used with"),
        ("load -u", "", "dns64bench: -u: dynamic updates are not here"),
        ("load -y a:b", "", "dns64bench: -y: TSIG is not here"),
        ("load -v", "", "dns64bench: -v: "),
        ("load -W", "", "dns64bench: -W: "),
        ("load -m dot", "a.test A\n", "dns64bench: -m: DNS over TLS and HTTPS are not here"),
        ("load -O doh-uri=x", "", "dns64bench: -O doh-uri=x: not here"),
        ("load -O num-queries-per-conn=5", "", "goes with -m tcp"),
        ("load -E 10:0", "a.test A\n", "dns64bench: -E 10:0: not code:value"),
        ("load -s 192.0.2.1 -a ::1", "a.test A\n", "of different families"),
        ("load -s 127.0.0.1 -a 192.0.2.200", "a.test A\n", "source 192.0.2.200:0: "),
        ("load -s 127.0.0.1 -f inet6", "a.test A\n", "no address of the family of -f"),
        ("load -c 1 -T 2", "a.test A\n", "fewer clients than threads"),
        ("load -x 65535 -c 2", "a.test A\n", "need ports up to 65536"),
        ("load -l 0", "", "not a number of seconds above 0"),
        ("load --generate zipf:0", "", "not a number from 1"),
        ("load --generate surprise", "", "no such workload"),
        ("load --poisson", "", "-Q"),
    ] {
        let output = dns64bench(arguments, input);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
        assert!(said.contains(message), "{arguments}: {said}");
    }
}
