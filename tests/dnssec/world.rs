//! Who takes part, all in one namespace:
//!
//! ```text
//!   dig ──► 127.0.0.30 dns64d, validate ───────► 127.0.0.20 Unbound, does not validate ──┐
//!   dig ──► 127.0.0.31 dns64d, trust-upstream ─► 127.0.0.21 Unbound, validates ──────────┤
//!   dig ──► 127.0.0.32 dns64d, off ────────────► 127.0.0.21                              │
//!                                                               127.0.0.10 NSD ◄─────────┘
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use dns64_tests::netns::{Netns, Scratch};
use dns64_tests::program::dns64d;
use dns64_tests::server::Server;

use crate::tree;

/// How long a server may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The responders, by the mode they are in.
pub(crate) const VALIDATE: &str = "127.0.0.30";
pub(crate) const TRUST: &str = "127.0.0.31";
pub(crate) const OFF: &str = "127.0.0.32";

/// The namespace and what runs in it. Servers end before it does: fields are dropped in order.
pub(crate) struct World {
    _servers: Vec<Server>,
    netns: Netns,
    _scratch: Scratch,
}

impl World {
    /// Makes the zones and starts everything.
    pub(crate) fn start() -> Self {
        let scratch = Scratch::new();
        let zones = tree::make(&scratch);
        let netns = Netns::new("dnssec");
        let mut servers = vec![start_nsd(&netns, &scratch, &zones)];
        let anchor = scratch.path().join("anchor").display().to_string();
        servers.push(start_unbound(&netns, &scratch, "127.0.0.20", "module-config: \"iterator\""));
        let validates = format!(
            "module-config: \"validator iterator\"\n    trust-anchor-file: \"{anchor}\"\n    ede: yes"
        );
        servers.push(start_unbound(&netns, &scratch, "127.0.0.21", &validates));
        let validate = format!(
            "mode = \"validate\"\ntrust_anchors = \"{anchor}\"\n\
             negative_trust_anchors = [\"negative.test.\"]"
        );
        for (listen, upstream, dnssec) in [
            (VALIDATE, "127.0.0.20", validate.as_str()),
            (TRUST, "127.0.0.21", "mode = \"trust-upstream\""),
            (OFF, "127.0.0.21", "mode = \"off\""),
        ] {
            servers.push(start_dns64d(&netns, &scratch, listen, upstream, dnssec));
        }
        Self { _servers: servers, netns, _scratch: scratch }
    }

    /// Asks a responder, with dig's own AD left out.
    pub(crate) fn ask(&self, server: &str, question: &str, flags: &[&str]) -> Reply {
        let at = format!("@{server}");
        let (name, rtype) = question.split_once(' ').expect("a name and a type");
        let mut all = vec![at.as_str(), name, rtype, "+tries=1", "+timeout=8", "+noadflag"];
        all.extend_from_slice(flags);
        let output = self.netns.output("dig", &all);
        Reply { text: String::from_utf8_lossy(&output.stdout).into_owned() }
    }
}

/// NSD with every zone.
fn start_nsd(netns: &Netns, scratch: &Scratch, zones: &[(String, String)]) -> Server {
    let dir = scratch.path().display();
    let mut text = format!(
        "server:
    server-count: 1
    ip-address: 127.0.0.10
    username: \"\"
    chroot: \"\"
    zonesdir: \"{dir}\"
    database: \"\"
    pidfile: \"{dir}/nsd.pid\"
    xfrdfile: \"{dir}/xfrd.state\"
    zonelistfile: \"{dir}/zone.list\"
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: no
"
    );
    for (zone, file) in zones {
        let _ = write!(text, "zone:\n    name: \"{zone}\"\n    zonefile: \"{file}\"\n");
    }
    let config = scratch.write("nsd.conf", &text);
    let mut server = netns.spawn("nsd", &["-d", "-c", &config.to_string_lossy()]);
    server.wait_for("nsd started", START_LIMIT);
    server
}

/// Unbound as a resolver from the root down.
fn start_unbound(netns: &Netns, scratch: &Scratch, address: &str, settings: &str) -> Server {
    let dir = scratch.path().display();
    scratch.write("hints", ". 3600 NS ns.\nns. 3600 A 127.0.0.10\n");
    let config = scratch.write(
        &format!("{address}.conf"),
        &format!(
            "server:
    verbosity: 0
    use-syslog: no
    logfile: \"\"
    username: \"\"
    chroot: \"\"
    directory: \"{dir}\"
    pidfile: \"{dir}/{address}.pid\"
    interface: {address}
    access-control: 127.0.0.0/8 allow
    num-threads: 1
    do-not-query-localhost: no
    root-hints: \"{dir}/hints\"
    local-zone: test. nodefault
    local-zone: 127.in-addr.arpa. nodefault
    {settings}
remote-control:
    control-enable: no
"
        ),
    );
    let mut server = netns.spawn("unbound", &["-d", "-c", &config.to_string_lossy()]);
    server.wait_for("start of service", START_LIMIT);
    server
}

/// Our own program.
fn start_dns64d(
    netns: &Netns,
    scratch: &Scratch,
    listen: &str,
    upstream: &str,
    dnssec: &str,
) -> Server {
    let config = scratch.write(
        &format!("{listen}.toml"),
        &format!(
            "listen = [\"{listen}:53\"]
workers = 2
[upstream]
servers = [\"{upstream}\"]
timeout_ms = 1000
budget_ms = 6000
[dns64]
prefixes = [\"2001:db8:64::/96\"]
[datapath]
mode = \"socket\"
[dnssec]
{dnssec}
"
        ),
    );
    let mut server = netns.spawn(dns64d(), &["--config", &config.to_string_lossy()]);
    server.wait_for("ready", START_LIMIT);
    server
}

/// What dig printed.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// All of it.
    pub(crate) text: String,
}

impl Reply {
    /// The RCODE's name; empty if there was no reply.
    pub(crate) fn status(&self) -> &str {
        let (_, rest) = self.text.split_once("status: ").unwrap_or_default();
        rest.split(',').next().unwrap_or_default()
    }

    /// Whether a flag of the header is set.
    pub(crate) fn has_flag(&self, flag: &str) -> bool {
        let (_, rest) = self.text.split_once(";; flags:").unwrap_or_default();
        rest.split(';').next().unwrap_or_default().split_whitespace().any(|set| set == flag)
    }

    /// The Extended Error.
    pub(crate) fn extended_error(&self) -> Option<u16> {
        let (_, rest) = self.text.split_once("; EDE: ")?;
        rest.split_whitespace().next()?.parse().ok()
    }

    /// The data of the records of a type in the answer section.
    pub(crate) fn answers(&self, rtype: &str) -> Vec<String> {
        self.section("ANSWER", rtype)
    }

    /// The data of the records of a type in a section.
    pub(crate) fn section(&self, section: &str, rtype: &str) -> Vec<String> {
        let heading = format!(";; {section} SECTION:");
        let lines = self.text.lines().skip_while(|line| *line != heading).skip(1);
        let records = lines.take_while(|line| !line.is_empty());
        let fields = records.map(|line| line.split_whitespace().collect::<Vec<_>>());
        let of_type = fields.filter(|fields| fields.get(3) == Some(&rtype));
        of_type.map(|fields| fields[4..].join(" ")).collect()
    }
}
