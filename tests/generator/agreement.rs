//! Servers that no one here wrote: the counts agree with dnsperf's and with those of the kernel's
//! interfaces.

use std::fmt::Write as _;
use std::time::Duration;

use dns64_tests::netns::{Netns, Scratch, available, serial};
use dns64_tests::server::Server;
use serde_json::Value;

use crate::program::{dns64bench, run};

/// How long a server may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Names of the zone.
const NAMES: u32 = 500;

/// Where NSD or Unbound listens.
const SERVER: &str = "2001:db8:5::53";

/// Two hosts on one cable.
struct Wire {
    client: Netns,
    server: Netns,
    scratch: Scratch,
}

impl Wire {
    fn new() -> Self {
        let wire = Self {
            client: Netns::new("generator"),
            server: Netns::new("server"),
            scratch: Scratch::new(),
        };
        wire.client.link("eth0", &wire.server, "eth0");
        wire.client.address("eth0", "2001:db8:5::1/64");
        wire.server.address("eth0", &format!("{SERVER}/64"));
        wire
    }

    /// Packets that the client's interface has sent and received.
    fn packets(&self) -> [u64; 2] {
        let text = self.client.run("ip", &["-s", "-j", "link", "show", "eth0"]);
        let json: Value = serde_json::from_str(&text).expect("ip writes JSON");
        ["tx", "rx"].map(|way| json[0]["stats64"][way]["packets"].as_u64().expect("a count"))
    }

    /// Runs a load of A queries; returns its JSON and the packets on the wire meanwhile.
    fn load(&self, arguments: &str, input: &str) -> (Value, [u64; 2]) {
        let before = self.packets();
        let mut command = self.client.command(dns64bench());
        command.args(["load", "-s", SERVER, "--json"]).args(arguments.split_whitespace());
        let outcome = run(&mut command, input.as_bytes());
        let after = self.packets();
        assert_eq!(outcome.code, Some(0), "{}{}", outcome.stderr, outcome.stdout);
        (outcome.json(), [0, 1].map(|way: usize| after[way] - before[way]))
    }
}

/// Whether two counts differ by one per cent at most.
#[track_caller]
fn assert_near(what: &str, one: u64, other: u64) {
    assert!(one.abs_diff(other) * 100 <= one.max(other), "{what}: {one} and {other}");
}

fn queries() -> String {
    (0..NAMES).map(|n| format!("a-11-0-{}-{}.v4.test A\n", n / 250, n % 250)).collect()
}

/// NSD with the zone, without its rate limit.
fn start_nsd(wire: &Wire, address: &str, port: u16) -> Server {
    let mut zone = "$ORIGIN v4.test.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n".to_owned();
    for n in 0..NAMES {
        let (y, z) = (n / 250, n % 250);
        let _ = writeln!(zone, "a-11-0-{y}-{z} A 11.0.{y}.{z}");
    }
    let zone = wire.scratch.write("v4.test.zone", &zone);
    let directory = wire.scratch.path().display();
    let configuration = wire.scratch.write(
        "nsd.conf",
        &format!(
            "server:\n ip-address: {address}@{port}\n server-count: 1\n username: \"\"\n \
             zonesdir: \"{directory}\"\n database: \"\"\n pidfile: \"\"\n xfrdfile: \"{directory}/xfrd\"\n \
             zonelistfile: \"{directory}/zones\"\n rrl-ratelimit: 0\n verbosity: 1\n\
             remote-control:\n control-enable: no\n\
             zone:\n name: v4.test\n zonefile: \"{}\"\n",
            zone.display()
        ),
    );
    let mut nsd =
        wire.server.spawn("nsd", &["-d", "-c", configuration.to_str().expect("a path in UTF-8")]);
    nsd.wait_for("nsd started", START_LIMIT);
    nsd
}

#[test]
fn counts_against_nsd_agree_with_dnsperfs_and_the_interfaces() {
    if !available(&["ip", "nsd", "dnsperf"]) {
        return;
    }
    let _alone = serial();
    let wire = Wire::new();
    let _nsd = start_nsd(&wire, SERVER, 53);
    let rounds = 20;
    let all = u64::from(NAMES) * rounds;
    for arguments in ["-n 20 -q 50", "-n 20 -Q 20000 -c 4", "-n 20 -T 2 -c 8 -q 40"] {
        let (json, [sent_packets, received_packets]) = wire.load(arguments, &queries());
        let count = |key: &str| json[key].as_u64().expect("a count");
        assert_eq!((count("sent"), count("wrong")), (all, 0), "{json:#}");
        assert_eq!(count("completed"), count("verified"));
        assert_near("sent and packets", count("sent"), sent_packets);
        assert_near("completed and packets", count("completed"), received_packets);
    }
    let mut command = wire.client.command("dnsperf");
    let theirs = run(command.args(["-s", SERVER, "-n", "20", "-q", "50"]), queries().as_bytes());
    let line = theirs.stdout.lines().find(|line| line.contains("Queries completed:"));
    let completed =
        line.and_then(|line| line.split_whitespace().nth(2)).and_then(|n| n.parse().ok());
    assert_near("dnsperf's count and ours", completed.expect("dnsperf counts"), all);
}

#[test]
fn unbounds_synthesized_answers_are_verified_and_a_wrong_prefix_of_ours_is_seen() {
    if !available(&["ip", "nsd", "unbound"]) {
        return;
    }
    let _alone = serial();
    let wire = Wire::new();
    let _nsd = start_nsd(&wire, "127.0.0.1", 5300);
    let configuration = wire.scratch.write(
        "unbound.conf",
        &format!(
            "server:\n interface: {SERVER}\n access-control: ::0/0 allow\n do-daemonize: no\n \
             username: \"\"\n chroot: \"\"\n pidfile: \"\"\n use-syslog: no\n \
             do-not-query-localhost: no\n num-threads: 1\n verbosity: 1\n \
             module-config: \"dns64 iterator\"\n dns64-prefix: 64:ff9b::/96\n \
             local-zone: \"test.\" nodefault\n\
             remote-control:\n control-enable: no\n\
             stub-zone:\n name: v4.test\n stub-addr: 127.0.0.1@5300\n"
        ),
    );
    let mut unbound = wire
        .server
        .spawn("unbound", &["-d", "-c", configuration.to_str().expect("a path in UTF-8")]);
    unbound.wait_for("start of service", START_LIMIT);
    let queries = queries().replace(" A\n", " AAAA\n");
    let (json, [sent_packets, received_packets]) = wire.load("-n 4 -q 20", &queries);
    let count = |key: &str| json[key].as_u64().expect("a count");
    let all = u64::from(NAMES) * 4;
    assert_eq!((count("sent"), count("verified"), count("wrong")), (all, all, 0), "{json:#}");
    assert_near("sent and packets", count("sent"), sent_packets);
    assert_near("completed and packets", count("completed"), received_packets);

    let mut command = wire.client.command(dns64bench());
    command.args(["load", "-s", SERVER, "--json", "-n", "1", "--prefix", "2001:db8:64::/96"]);
    let outcome = run(&mut command, queries.as_bytes());
    assert_eq!(outcome.code, Some(1));
    assert_eq!(outcome.json()["wrong_by_kind"]["prefix"].as_u64(), Some(u64::from(NAMES)));
}
