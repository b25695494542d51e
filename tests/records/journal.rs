//! `log.format = "journald"`: the program in a mount namespace whose `/run` is the test's.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use dns64_tests::daemon::{START_LIMIT, free_address};
use dns64_tests::netns::{Scratch, available};
use dns64_tests::program::dns64d;
use dns64_tests::server::Server;
use rustix::process::Signal;

use crate::world::{PATIENCE, configuration, upstream};

/// Starts the program where `/run/systemd/journal` is this directory.
fn start(config: &Path, journal: &Path) -> Server {
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && \
                  mount --bind \"$1\" /run/systemd/journal && exec \"$2\" --config \"$3\"";
    command.args(["--mount", "--", "sh", "-c", script, "sh"]);
    command.arg(journal).arg(dns64d()).arg(config).stdin(Stdio::null()).env_remove("RUST_LOG");
    Server::start("dns64d", command)
}

/// The fields of a datagram: `KEY=value`, or the key, the length and the value.
fn fields(datagram: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = datagram;
    while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
        let line = String::from_utf8(rest[..end].to_vec()).expect("text");
        rest = &rest[end + 1..];
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => {
                let (len, value) = rest.split_first_chunk::<8>().expect("a length");
                let (value, behind) = value.split_at(u64::from_le_bytes(*len) as usize);
                rest = behind.strip_prefix(b"\n").expect("the end of a field");
                (line, String::from_utf8(value.to_vec()).expect("text"))
            }
        };
        fields.insert(key, value);
    }
    fields
}

#[test]
fn the_journal_gets_fields_and_standard_error_nothing() {
    if !available(&["unshare", "mount"]) {
        return;
    }
    let (scratch, upstream, address) = (Scratch::new(), upstream(), free_address());
    let directory = scratch.path().join("journal");
    fs::create_dir(&directory).unwrap();
    let journal = UnixDatagram::bind(directory.join("socket")).unwrap();
    journal.set_read_timeout(Some(PATIENCE)).unwrap();
    let more = "[log]\nformat = \"journald\"\n";
    let text = configuration(address, upstream.local_addr(), scratch.path(), more);
    let mut server = start(&scratch.write("dns64d.toml", &text), &directory);

    let deadline = Instant::now() + START_LIMIT;
    let ready = loop {
        let mut datagram = vec![0; 65_536];
        let len = journal.recv(&mut datagram).expect("a line");
        let fields = fields(&datagram[..len]);
        if fields.get("MESSAGE").is_some_and(|message| message == "ready") {
            break fields;
        }
        assert!(Instant::now() < deadline, "never ready");
    };
    let field = |key: &str| ready.get(key).map(String::as_str);
    assert_eq!(field("SYSLOG_IDENTIFIER"), Some("dns64d"));
    assert_eq!(field("PRIORITY"), Some("6"), "informational");
    assert_eq!(field("DNS64_LISTEN"), Some(address.to_string().as_str()), "{ready:#?}");
    assert_eq!(field("DNS64_WORKERS"), Some("2"));
    server.signal(Signal::TERM);
    server.wait(PATIENCE).expect("it ends");
    assert_eq!(server.final_log(), "", "all went to the journal");
}

#[test]
fn without_a_journal_the_start_is_refused_with_a_way_out() {
    if !available(&["unshare", "mount"]) {
        return;
    }
    let (scratch, upstream) = (Scratch::new(), upstream());
    let directory = scratch.path().join("journal");
    fs::create_dir(&directory).unwrap();
    let more = "[log]\nformat = \"journald\"\n";
    let text = configuration(free_address(), upstream.local_addr(), scratch.path(), more);
    let mut server = start(&scratch.write("dns64d.toml", &text), &directory);
    let status = server.wait(PATIENCE).expect("it ends");
    let log = server.final_log();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("log.format: the journal cannot be reached"), "{log}");
    assert!(log.contains("/run/systemd/journal/socket"), "{log}");
}
