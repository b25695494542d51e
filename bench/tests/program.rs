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
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
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
    assert!(stdout(&load).starts_with("Statistics:\n\n  Queries sent:         6\n"));
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
fn wrong_usage_exits_with_2_and_a_bad_file_with_1() {
    assert_eq!(dns64bench("load", "").status.code(), Some(2));
    assert_eq!(dns64bench("load -d - --prefix 64:ff9b::/95", "").status.code(), Some(2));
    let bad = dns64bench("load -d -", "a.test\n");
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(bad.stderr).unwrap(),
        "dns64bench: -: line 1: not a name and a type\n"
    );
}
