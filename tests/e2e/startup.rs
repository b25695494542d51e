//! What the program says when it cannot start: one line, and exit code 2.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use dns64_tests::netns::{Netns, Scratch, serial};

use crate::available;
use crate::subject::{Settings, Subject, dns64d_config};

/// How long a start that fails may take.
const FAILURE_LIMIT: Duration = Duration::from_secs(10);
/// Where these tests listen. The upstream is never asked.
const SETTINGS: Settings<'static> = Settings { listen: &["127.0.0.1:5364"], upstream: "[::1]:53" };

/// The path of `dns64d`; `None`, with a word, if something else is under test.
fn dns64d() -> Option<std::path::PathBuf> {
    match Subject::from_env() {
        Subject::Dns64d(path) => Some(path),
        Subject::Unbound => {
            eprintln!("skipped: this is about messages of dns64d");
            None
        }
    }
}

/// Starts `dns64d`, which must end with exit code 2; what it said.
fn refusal(netns: &Netns, dns64d: &Path, config: &Path) -> String {
    let mut server = netns.spawn(dns64d, &["--config", &config.to_string_lossy()]);
    let status = server.wait(FAILURE_LIMIT);
    let log = server.final_log();
    assert_eq!(status.and_then(|status| status.code()), Some(2), "{log}");
    log
}

#[test]
fn a_port_in_use_is_named_in_one_line() {
    if !available() {
        return;
    }
    let Some(dns64d) = dns64d() else { return };
    let _machine = serial();
    let scratch = Scratch::new();
    let netns = Netns::new("responder");
    let config = scratch.write("dns64d.toml", &dns64d_config(&SETTINGS));
    let assert_refused = || {
        let log = refusal(&netns, &dns64d, &config);
        assert!(log.contains("127.0.0.1:5364"), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
    };

    let other = netns.enter(|| UdpSocket::bind("127.0.0.1:5364").expect("a free port"));
    assert_refused();
    drop(other);
    let other = netns.enter(|| TcpListener::bind("127.0.0.1:5364").expect("a free port"));
    assert_refused();
    drop(other);
    // Sockets that share a port by SO_REUSEPORT must not let a second instance in.
    let _first = Subject::Dns64d(dns64d.clone()).start(&netns, &scratch, &SETTINGS);
    assert_refused();
}

#[test]
fn a_mistake_in_the_configuration_is_shown_by_file_and_line() {
    if !available() {
        return;
    }
    let Some(dns64d) = dns64d() else { return };
    let _machine = serial();
    let scratch = Scratch::new();
    let netns = Netns::new("responder");
    let mistakes = [
        ("an unknown key", 2, "listen = [\"127.0.0.1:5364\"]\nlisten_to = 1\n"),
        ("no TOML", 1, "listen = [\n"),
        ("a wrong type", 1, "workers = \"four\"\n"),
        ("no address", 3, "\n[upstream]\nservers = [\"192.0.2\"]\n"),
        ("an impossible prefix length", 2, "[dns64]\nprefixes = [\"2001:db8::/95\"]\n"),
    ];
    for (mistake, line, text) in mistakes {
        let config = scratch.write("mistake.toml", text);
        let log = refusal(&netns, &dns64d, &config);
        // A parser notices an array without end where the file ends.
        let places = [line, line + 1].map(|line| format!("mistake.toml:{line}"));
        let is_shown =
            log.contains(&places[0]) || (mistake == "no TOML" && log.contains(&places[1]));
        assert!(is_shown, "{mistake}: {log}");
    }
    let log = refusal(&netns, &dns64d, &scratch.path().join("missing.toml"));
    assert!(log.contains("missing.toml"), "{log}");
}
