//! Query files that others wrote, and workloads made here.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::netns::{Netns, Scratch, available, serial};
use dns64_tests::server::Server;

use crate::program::{dns64bench, load, load_octets, run};

/// How long a program may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn upstream() -> Upstream {
    let options = Options { record: true, ..Options::default() };
    Upstream::start("127.0.0.1:0".parse().expect("an address"), options)
        .expect("loopback has free ports")
}

#[test]
fn binary_files_are_sent_as_they_are() {
    let message = b"\x00\x00\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x0aa-11-0-0-1\x02v4\x04test\x00\x00\x01\x00\x01";
    let mut file = Vec::new();
    for _ in 0..3 {
        file.extend((message.len() as u16).to_be_bytes());
        file.extend(message);
    }
    let upstream = upstream();
    let outcome = load_octets(upstream.local_addr(), "-B --json", &file);
    assert_eq!(outcome.numbers(["sent", "verified", "wrong"]), [3, 3, 0]);
    // CD, which the text form does not know.
    assert!(upstream.recorded().iter().all(|query| query.flags == 0x0110));
}

#[test]
fn every_workload_asks_for_names_that_say_their_answer() {
    let upstream = upstream();
    let server = upstream.local_addr();
    for (workload, verified) in
        [("mix:0,50,20,0,30", 300), ("mix:0,100,0,0,0", 300), ("random:z.test", 0)]
    {
        let arguments = format!("--json --generate {workload} --queries 300");
        let outcome = load(server, &arguments, "");
        let expected = [300, 300, verified, 0];
        assert_eq!(
            outcome.numbers(["sent", "completed", "verified", "wrong"]),
            expected,
            "{workload}: {}",
            outcome.stdout
        );
        assert_eq!(outcome.json()["workload"].as_str(), Some(workload));
    }
    for (workload, queries, name) in [
        ("cold:7", 300, "a-11-0-0-7.v4.test."),
        ("hit:20", 20, "a-11-0-0-0.v4.test."),
        ("zipf:5:1", 300, "a-11-0-0-0.v4.test."),
        ("dns64perf:11.0.0.0/24", 254, "011-000-000-001.dns64perf.test."),
    ] {
        let arguments = format!("--json --form-only --generate {workload} --queries 300");
        let before = upstream.recorded().len();
        let outcome = load(server, &arguments, "");
        assert_eq!(outcome.numbers(["sent", "completed"]), [queries; 2], "{workload}");
        let asked = &upstream.recorded()[before..];
        assert!(asked.iter().any(|query| query.name == name), "{workload}");
    }
}

#[test]
fn cold_names_are_asked_once_however_long_the_run() {
    let upstream = upstream();
    let arguments = "--json --form-only --generate cold --queries 100 -l 30";
    let outcome = load(upstream.local_addr(), arguments, "");
    assert_eq!(outcome.numbers(["sent", "completed"]), [100; 2]);
}

#[test]
fn a_capture_by_tcpdump_is_replayed() {
    if !available(&["ip", "tcpdump"]) {
        return;
    }
    let _alone = serial();
    let scratch = Scratch::new();
    let host = Netns::new("capture");
    for (link_type, name) in
        [(None, "ethernet"), (Some("LINUX_SLL"), "cooked"), (Some("LINUX_SLL2"), "cooked2")]
    {
        let file = scratch.path().join(name);
        let mut upstream = host
            .spawn(dns64bench(), &["upstream", "--listen", "[::1]:53", "--listen", "127.0.0.1:53"]);
        upstream.wait_for("ready", PATIENCE);
        let capture = capture(&host, &file, link_type);
        for server in ["::1", "127.0.0.1"] {
            let mut command = host.command(dns64bench());
            command.args([
                "load",
                "-s",
                server,
                "--generate",
                "mix:0,0,100,0,0",
                "--queries",
                "50",
            ]);
            let outcome = run(command.args(["--json", "-e"]), b"");
            assert_eq!(outcome.numbers(["verified"]), [50], "{}", outcome.stderr);
        }
        stop(capture, &file);
        let replayed = self::upstream();
        let path = file.display().to_string();
        let outcome = load(replayed.local_addr(), &format!("--json -d {path}"), "");
        assert_eq!(outcome.numbers(["sent", "verified"]), [100, 100], "{name} {}", outcome.stderr);
        let refused = load(SocketAddr::from(([127, 0, 0, 1], 9)), &format!("-e -d {path}"), "");
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains("sent as they are"), "{}", refused.stderr);
    }
}

/// Starts tcpdump and waits until it listens.
fn capture(host: &Netns, file: &Path, link_type: Option<&str>) -> Server {
    let mut command = host.command("tcpdump");
    // The ring has room for few packets of the usual, enormous snapshot length.
    let interface = if link_type.is_some() { "any" } else { "lo" };
    command.args([
        "--immediate-mode",
        "-s",
        "512",
        "-U",
        "-n",
        "-Z",
        "root",
        "-i",
        interface,
        "-Q",
        "in",
        "-w",
    ]);
    command.arg(file);
    if let Some(link_type) = link_type {
        command.args(["-y", link_type]);
    }
    command.args(["udp", "dst", "port", "53"]);
    let mut capture = Server::start("tcpdump", command);
    capture.wait_for("listening on", PATIENCE);
    capture
}

/// Ends tcpdump once it has seen all queries.
fn stop(mut capture: Server, file: &Path) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listing = Command::new("tcpdump").args(["-n", "-r"]).arg(file).output();
        let packets =
            listing.map_or(0, |output| output.stdout.split(|octet| *octet == b'\n').count());
        if packets >= 100 {
            break;
        }
        assert!(Instant::now() < deadline, "tcpdump has seen {packets} packets: {}", capture.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    capture.signal(rustix::process::Signal::INT);
    assert!(capture.wait(PATIENCE).is_some());
}
