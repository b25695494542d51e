//! What systemd gets: word that queries are answered, food for its watchdog as long as they are,
//! and units that it understands; and what it passes: sockets.

mod activation;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dns64_tests::netns::{Netns, Scratch, available, serial};
use dns64_tests::program::dns64d;
use dns64_tests::server::Server;
use rustix::process::Signal;

/// What systemd would be told to wait for: it barks after so long without food.
const PATIENCE: Duration = Duration::from_millis(900);

/// How long anything may take that takes no time.
const LIMIT: Duration = Duration::from_secs(30);

/// The highest exposure that the unit may have, in tenths, as systemd counts it.
const EXPOSURE_MAX: &str = "25";

/// A `dns64d` that was started as by systemd, in a network namespace.
struct Service {
    server: Server,
    told: UnixDatagram,
    netns: Netns,
    _scratch: Scratch,
}

impl Service {
    fn start(drop: &str) -> Self {
        let (netns, scratch) = (Netns::new("service"), Scratch::new());
        let socket = scratch.path().join("notify");
        let told = UnixDatagram::bind(&socket).expect("a path");
        let text = format!(
            "listen = [\"127.0.0.1:53\"]\nworkers = 2\ndrop = [{drop}]\n[upstream]\n\
             servers = [\"192.0.2.1\"]\n[datapath]\nmode = \"socket\"\n"
        );
        let config = scratch.write("dns64d.toml", &text);
        let mut command = netns.command(dns64d());
        command
            .arg("--config")
            .arg(&config)
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", PATIENCE.as_micros().to_string())
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null());
        let server = Server::start("dns64d", command);
        Self { server, told, netns, _scratch: scratch }
    }

    /// The next thing that it says within a time.
    fn next(&self, limit: Duration) -> Option<String> {
        self.told.set_read_timeout(Some(limit)).expect("a valid time");
        let mut buffer = [0; 512];
        match self.told.recv(&mut buffer) {
            Ok(len) => Some(String::from_utf8_lossy(&buffer[..len]).into_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until it says that queries are answered.
    fn wait_for_ready(&self) {
        let deadline = Instant::now() + LIMIT;
        while !self.next(LIMIT).expect("word of it").contains("READY=1") {
            assert!(Instant::now() < deadline);
        }
    }

    fn is_fed(&self, limit: Duration) -> bool {
        self.next(limit).is_some_and(|said| said.contains("WATCHDOG=1"))
    }
}

#[test]
fn the_watchdog_is_fed_while_queries_are_answered_and_not_otherwise() {
    if !available(&["ip"]) {
        return;
    }
    let _machine = serial();
    let service = Service::start("");
    service.wait_for_ready();
    for _ in 0..3 {
        assert!(service.is_fed(LIMIT));
    }
    // The process lives on, but no query reaches it any more.
    service.netns.run("ip", &["link", "set", "lo", "down"]);
    // What was said before that may still be on its way.
    let fed = (0..10).filter(|_| service.is_fed(PATIENCE)).count();
    assert!(fed < 3, "{fed} times: it is fed although nothing is answered");
    assert_eq!(service.next(PATIENCE), None, "systemd would have barked by now");
    service.netns.run("ip", &["link", "set", "lo", "up"]);
    assert!(service.is_fed(LIMIT));
}

#[test]
fn a_reload_begins_and_ends_in_the_eyes_of_systemd() {
    if !available(&["ip"]) {
        return;
    }
    let _machine = serial();
    let service = Service::start("");
    service.wait_for_ready();
    service.server.signal(Signal::HUP);
    let said: Vec<String> = std::iter::from_fn(|| service.next(LIMIT))
        .filter(|said| !said.contains("WATCHDOG=1"))
        .take(2)
        .collect();
    assert!(said[0].contains("RELOADING=1") && said[0].contains("MONOTONIC_USEC="), "{said:?}");
    assert!(said[1].contains("READY=1"), "{said:?}");
}

#[test]
fn a_service_that_gives_itself_no_replies_is_fed_by_its_workers_alone() {
    if !available(&["ip"]) {
        return;
    }
    let _machine = serial();
    let service = Service::start("\"127.0.0.0/8\"");
    service.wait_for_ready();
    for _ in 0..3 {
        assert!(service.is_fed(LIMIT));
    }
}

#[test]
fn systemd_understands_the_units_and_finds_little_exposed() {
    if !available(&["systemd-analyze"]) {
        return;
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../userspace/systemd");
    let text = fs::read_to_string(units.join("dns64d.service")).expect("it is there");
    // It looks whether the program is there.
    let scratch = Scratch::new();
    let program = dns64d().display().to_string();
    let text = text.replace("/usr/sbin/dns64d", &program);
    assert!(text.contains(&program), "{text}");
    let unit = scratch.write("dns64d.service", &text);
    let analyze = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze").args(arguments).arg(&unit).output();
        let output = output.expect("it can be run");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    };
    let said = analyze(&["verify"]);
    assert!(!said.contains("Unknown"), "{said}");
    let socket = unit.with_file_name("dns64d.socket");
    let text = fs::read_to_string(units.join("optional/dns64d.socket")).expect("it is there");
    fs::write(&socket, text).expect("a file");
    let output = Command::new("systemd-analyze").arg("verify").arg(&socket).output();
    let said = String::from_utf8_lossy(&output.expect("it can be run").stderr).into_owned();
    assert_eq!(said, "", "of the socket unit beside the service");
    analyze(&["security", "--offline=true", "--threshold", EXPOSURE_MAX]);
}
