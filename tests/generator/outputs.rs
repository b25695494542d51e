//! What is printed: dnsperf's block for those who parse it, and JSON whose keys are documented.

use std::net::SocketAddr;
use std::process::Command;

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::netns::available;
use serde_json::Value;

use crate::program::{Outcome, load, run};

/// Reads dnsperf's output.
const PARSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/generator/parse_dnsperf.py");

/// Where the keys of the JSON form are documented.
const DOCUMENTED: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/src/load/json.rs"));

fn upstream() -> Upstream {
    Upstream::start("127.0.0.1:0".parse().expect("an address"), Options::default())
        .expect("loopback has free ports")
}

/// What the parser that was written for dnsperf makes of an output.
fn parse(outcome: &Outcome) -> Value {
    let parsed = run(Command::new("python3").arg(PARSER), outcome.stdout.as_bytes());
    assert_eq!(parsed.code, Some(0), "{}{}", parsed.stderr, outcome.stdout);
    parsed.json()
}

/// Native answers and names that do not exist; the loads of both programs.
fn queries() -> String {
    (0..200).map(|n| format!("a-11-0-0-{n}.v4.test A\nno-{n}.v4.test TXT\n")).collect()
}

fn dnsperf(server: SocketAddr, arguments: &str) -> Outcome {
    let mut command = Command::new("dnsperf");
    command.args(["-s", &server.ip().to_string(), "-p", &server.port().to_string()]);
    run(command.args(arguments.split_whitespace()), queries().as_bytes())
}

#[test]
fn a_parser_of_dnsperfs_output_reads_ours_and_both_say_the_same() {
    if !available(&["dnsperf", "python3"]) {
        return;
    }
    let upstream = upstream();
    let server = upstream.local_addr();
    for arguments in ["-n 3", "-n 3 -e -D", "-n 2 -m tcp -c 2", "-n 3 -T 2 -c 4 -q 10"] {
        let theirs = parse(&dnsperf(server, arguments));
        let ours = parse(&load(server, arguments, &queries()));
        for key in ["server", "sent", "completed", "lost", "rcodes", "sizes", "end"] {
            assert_eq!(ours[key], theirs[key], "{key} of {arguments}");
        }
    }
    let theirs = parse(&dnsperf(server, "-l 1.2 -S 0.5 -Q 2000"));
    let ours = parse(&load(server, "-l 1.2 -S 0.5 -Q 2000", &queries()));
    assert_eq!(
        (ours["end"].clone(), &theirs["end"][0]),
        (theirs["end"].clone(), &"time limit".into())
    );
    for output in [ours, theirs] {
        assert_eq!(output["intervals"].as_array().map(Vec::len), Some(2), "{output}");
    }
}

/// The lines of an output from its first status on, with `#` for each number and without what is
/// each program's own: its command line, and what we add behind dnsperf's block.
fn form_of(outcome: &Outcome) -> String {
    let text = outcome.stdout.split("Verification:").next().unwrap_or_default();
    let mut form = String::new();
    for line in text.lines().skip_while(|line| !line.starts_with("[Status]")) {
        if line.starts_with("[Status] Command line: ") {
            continue;
        }
        if line.starts_with("[Status] Started at: ") {
            // "Sun Nov  1 04:05:06 2026": as long whatever the time is.
            form += &format!("started, {} letters", line.len());
        } else {
            let mut letters = line.chars().peekable();
            while let Some(letter) = letters.next() {
                let number = letter.is_ascii_digit();
                form.push(if number { '#' } else { letter });
                while number && letters.next_if(char::is_ascii_digit).is_some() {}
            }
        }
        form.push('\n');
    }
    form.trim_end().to_owned()
}

#[test]
fn every_line_of_dnsperfs_is_there_to_the_letter_and_no_other() {
    if !available(&["dnsperf"]) {
        return;
    }
    let upstream = upstream();
    let server = upstream.local_addr();
    for arguments in [
        "-n 1",
        "-n 3 -l 60",
        "-l 0.3 -Q 2000",
        "-n 2 -m tcp -c 2",
        "-n 2 -m tcp",
        "-n 1 -e -T 2 -c 3",
    ] {
        let theirs = form_of(&dnsperf(server, arguments));
        let ours = form_of(&load(server, arguments, &queries()));
        assert_eq!(ours, theirs, "{arguments}");
    }
}

#[test]
fn lines_of_our_own_follow_the_block_and_take_none_of_its_labels() {
    let upstream = upstream();
    let outcome = load(upstream.local_addr(), "-Q 2000", &queries());
    let (before, block) = outcome.stdout.split_once("Statistics:\n").expect("a block");
    assert!(before.ends_with("[Status] Testing complete (end of file)\n\n"), "{before}");
    let (block, own) = block.split_once("Verification:\n").expect("lines of our own");
    let label = |line: &str| line.split_once(": ").map(|(label, _)| label.trim().to_owned());
    let labels: Vec<_> = block.lines().filter_map(label).collect();
    assert_eq!(labels.len(), 9, "{labels:?}");
    for line in own.lines().filter_map(label) {
        assert!(!labels.contains(&line), "{line}");
    }
    for part in [
        "Answers:              verified 200, wrong 0, failed 0, unchecked 200",
        "p99.99",
        "Lateness",
    ] {
        assert!(own.contains(part), "{part}: {own}");
    }
}

#[test]
fn every_key_of_the_json_form_is_documented_and_the_sums_are_right() {
    let upstream = upstream();
    for arguments in ["--json -Q 2000", "--json -m tcp"] {
        let outcome = load(upstream.local_addr(), arguments, &queries());
        let json = outcome.json();
        let keys = json.as_object().expect("an object").keys();
        let documentation: Vec<_> =
            DOCUMENTED.lines().filter(|line| line.starts_with("//! |")).collect();
        let documentation = documentation.join("\n");
        for key in keys {
            assert!(documentation.contains(&format!("`{key}`")), "{key} is not documented");
        }
        assert_eq!(json["schema_version"].as_u64(), Some(2));
        let [sent, completed, late, lost, interrupted] =
            outcome.numbers(["sent", "completed", "late", "lost", "interrupted"]);
        assert_eq!(sent, completed + late + lost + interrupted);
        let histogram = json["latency_histogram_us"].as_array().expect("an array");
        let sum: u64 = histogram.iter().filter_map(|pair| pair[1].as_u64()).sum();
        assert_eq!(sum, completed);
    }
}

#[test]
fn an_interrupted_run_still_reports() {
    let upstream = upstream();
    let server = upstream.local_addr();
    let mut command = Command::new(crate::program::dns64bench());
    command.args([
        "load",
        "-s",
        "127.0.0.1",
        "-p",
        &server.port().to_string(),
        "-l",
        "600",
        "-S",
        "0.1",
    ]);
    command.args(["--generate", "mix:0,0,100,0,0", "--queries", "1000", "-Q", "500"]);
    let mut running = dns64_tests::server::Server::start("dns64bench", command);
    let patience = std::time::Duration::from_secs(30);
    // A line of interval statistics: it is under way.
    running.wait_for("[Status] Stopping after 600", patience);
    let answered = || upstream.counts().answers > 50;
    let deadline = std::time::Instant::now() + patience;
    while !answered() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    running.signal(rustix::process::Signal::INT);
    let status = running.wait(patience).expect("it ends");
    let log = running.final_log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("Queries completed:"), "{log}");
}
