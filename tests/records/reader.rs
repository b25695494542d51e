//! Debian's readers of dnstap: `fstrm_capture` takes the stream, `dnstap-ldns` says what is in it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use dns64_tests::netns::{Scratch, available};
use dns64_tests::server::Server;
use rustix::process::Signal;

/// How long a reader may take to start or end on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Where a reader reads.
pub(crate) enum At<'a> {
    /// At a Unix socket of this name in the directory.
    Unix(&'a str),
    /// At an address.
    Tcp(SocketAddr),
}

/// Whether the readers are here. If not, says so; with `CI=true` that is a failure.
pub(crate) fn are_here() -> bool {
    available(&["fstrm_capture", "dnstap-ldns"])
}

/// A running `fstrm_capture`.
pub(crate) struct Reader {
    pub(crate) server: Server,
    file: PathBuf,
}

impl Reader {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(scratch: &Scratch, at: &At<'_>, file: &str) -> Self {
        let file = scratch.path().join(file);
        let mut command = Command::new("fstrm_capture");
        command
            .args(["-d", "-d", "-d", "-d", "-d", "-t", "protobuf:dnstap.Dnstap", "-w"])
            .arg(&file);
        match at {
            At::Unix(name) => command.arg("-u").arg(scratch.path().join(name)),
            At::Tcp(address) => {
                command.args(["-a", &address.ip().to_string(), "-p", &address.port().to_string()])
            }
        };
        let mut server = Server::start("fstrm_capture", command);
        server.wait_for("opened output file", LIMIT);
        Self { server, file }
    }

    /// Ends it; what it has read.
    pub(crate) fn finish(mut self) -> Vec<Message> {
        self.server.signal(Signal::TERM);
        self.server.wait(LIMIT).expect("it ends");
        let output = Command::new("dnstap-ldns")
            .args(["-y", "-r"])
            .arg(&self.file)
            .output()
            .expect("it is here");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split("\n---\n").filter_map(Message::read).collect()
    }
}

/// A message, as `dnstap-ldns -y` shows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) kind: String,
    pub(crate) identity: String,
    pub(crate) protocol: String,
    pub(crate) query_address: String,
    pub(crate) query_port: u16,
    pub(crate) response_address: String,
    pub(crate) response_port: u16,
    pub(crate) query_time: String,
    pub(crate) response_time: String,
    /// As in a master file, and the type.
    pub(crate) question: (String, String),
    pub(crate) rcode: String,
    /// The records, each as one text.
    pub(crate) records: Vec<String>,
}

impl Message {
    /// `None` where there is none.
    fn read(text: &str) -> Option<Self> {
        let mut message = Self::default();
        let mut in_question = false;
        for line in text.lines().map(str::trim) {
            let value = |key: &str| {
                line.strip_prefix(key).map(|value| value.trim().trim_matches('"').to_owned())
            };
            if let Some(kind) = value("type: ").filter(|kind| kind != "MESSAGE") {
                message.kind = kind;
            } else if let Some(identity) = value("identity: ") {
                message.identity = identity;
            } else if let Some(protocol) = value("socket_protocol: ") {
                message.protocol = protocol;
            } else if let Some(address) = value("query_address: ") {
                message.query_address = address;
            } else if let Some(address) = value("response_address: ") {
                message.response_address = address;
            } else if let Some(port) = value("query_port: ") {
                message.query_port = port.parse().expect("a port");
            } else if let Some(port) = value("response_port: ") {
                message.response_port = port.parse().expect("a port");
            } else if let Some(time) = value("query_time: ") {
                message.query_time = time;
            } else if let Some(time) = value("response_time: ") {
                message.response_time = time;
            } else if let Some((_, rest)) = line.split_once("rcode: ") {
                message.rcode = rest.split(',').next().unwrap_or_default().to_owned();
            } else if line.ends_with("SECTION:") {
                in_question = line.contains("QUESTION");
            } else if in_question && line.starts_with(';') {
                let mut words = line.trim_start_matches(';').split_whitespace();
                let name = words.next().unwrap_or_default().to_owned();
                message.question = (name, words.next_back().unwrap_or_default().to_owned());
            } else if line.contains("\tIN\t") {
                message.records.push(line.replace('\t', " "));
            }
        }
        (!message.kind.is_empty()).then_some(message)
    }
}
