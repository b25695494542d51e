//! Servers that no one here wrote: what the generator counts agrees with what dnsperf counts for
//! the same questions, and both with the counters of the kernel's interfaces.
//!
//! NSD has a zone of its own. The DNS64 servers run with the configurations of `bench/lab`, the
//! scripted upstream behind them.
//!
//! ```text
//!   client ──── eth0: queries ──── server ──── up0: their look-ups ──── upstream
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use dns64_bench::lab::catalog::{self, Own};
use dns64_bench::lab::network::{Namespace, Site};
use dns64_bench::names::{Kind, Question};
use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::netns::{Netns, Scratch, available, serial};
use dns64_tests::server::Server;
use serde_json::Value;

use crate::program::{Outcome, dns64bench, run};

/// How long a server may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How often a server that starts is asked whether it answers.
const POLL: Duration = Duration::from_millis(50);

/// Names that are asked for.
const NAMES: u32 = 500;

/// Where the server listens, and its network.
const SERVER: &str = "2001:db8:5::53";
const NETWORK: &str = "2001:db8:5::/64";

/// Where the upstream listens.
const UPSTREAM: &str = "2001:db8:6::53";

/// Three hosts in a row, and a server on the middle one.
struct Hosts {
    client: Netns,
    server: Netns,
    upstream: Netns,
    scratch: Scratch,
}

/// What a program counted, or a kernel.
#[derive(Debug)]
struct Counts {
    sent: u64,
    completed: u64,
    rcodes: BTreeMap<String, u64>,
    /// Packets that the client's interface has sent and received meanwhile.
    client: [u64; 2],
    /// Packets that the server's interface has received and sent meanwhile.
    server: [u64; 2],
}

impl Hosts {
    fn new() -> Self {
        let site = Self {
            client: Netns::new("generator"),
            server: Netns::new("server"),
            upstream: Netns::new("upstream"),
            scratch: Scratch::new(),
        };
        site.client.link("eth0", &site.server, "eth0");
        site.client.address("eth0", "2001:db8:5::1/64");
        site.server.address("eth0", &format!("{SERVER}/64"));
        site.server.link("up0", &site.upstream, "up0");
        site.server.address("up0", "2001:db8:6::1/64");
        site.upstream.address("up0", &format!("{UPSTREAM}/64"));
        site
    }

    /// Runs a program at the client, and looks at both ends of the wire before and after.
    fn count(&self, program: &str, arguments: &str, input: &str) -> (Outcome, [[u64; 2]; 2]) {
        let packets = || [packets(&self.client, ["tx", "rx"]), packets(&self.server, ["rx", "tx"])];
        let before = packets();
        let mut command = self.client.command(program);
        command.args(arguments.split_whitespace());
        let outcome = run(&mut command, input.as_bytes());
        let after = packets();
        let meanwhile =
            [0, 1].map(|end: usize| [0, 1].map(|way| after[end][way] - before[end][way]));
        (outcome, meanwhile)
    }

    /// What our generator counts, whatever it finds of the answers.
    fn load(&self, arguments: &str, input: &str) -> (Outcome, Counts) {
        let program = dns64bench().display().to_string();
        let arguments = format!("load -s {SERVER} --json {arguments}");
        let (outcome, [client, server]) = self.count(&program, &arguments, input);
        let json = outcome.json();
        let [sent, completed] = outcome.numbers(["sent", "completed"]);
        let rcodes = json["rcodes"].as_object().expect("counts by code").iter();
        let rcodes = rcodes.map(|(code, count)| (code.clone(), count.as_u64().expect("a count")));
        let counts = Counts { sent, completed, rcodes: rcodes.collect(), client, server };
        (outcome, counts)
    }

    /// What dnsperf counts.
    fn dnsperf(&self, arguments: &str, input: &str) -> Counts {
        let arguments = format!("-s {SERVER} {arguments}");
        let (outcome, [client, server]) = self.count("dnsperf", &arguments, input);
        assert_eq!(outcome.code, Some(0), "{}{}", outcome.stderr, outcome.stdout);
        let line = |label: &str| {
            let line = outcome.stdout.lines().find_map(|line| line.trim().strip_prefix(label));
            line.unwrap_or_else(|| panic!("no {label} in {}", outcome.stdout)).trim()
        };
        let number = |text: &str| {
            let word = text.split_whitespace().next().and_then(|word| word.parse().ok());
            word.unwrap_or_else(|| panic!("no number in {text}"))
        };
        // "NOERROR 100 (50.00%), NXDOMAIN 100 (50.00%)"
        let codes = line("Response codes:").split(", ").filter_map(|code| code.split_once(' '));
        Counts {
            sent: number(line("Queries sent:")),
            completed: number(line("Queries completed:")),
            rcodes: codes.map(|(code, rest)| (code.to_owned(), number(rest))).collect(),
            client,
            server,
        }
    }

    /// A server of the lab's catalogue, with its configuration of there, that answers. Returns the
    /// upstream behind it too.
    fn start(&self, name: &str) -> (Server, Upstream) {
        let listen = format!("[{UPSTREAM}]:{}", catalog::UPSTREAM_PORT);
        let upstream = self.upstream.enter(|| {
            Upstream::start(listen.parse().expect("an address"), Options::default())
                .expect("nobody else listens there")
        });
        let own = Own { dns64d: "dns64d".into(), dns64bench: dns64bench() };
        let entry = catalog::entry(name).expect("a server of the catalogue");
        let site = Site {
            namespace: Namespace::default(),
            address: SERVER.parse().expect("an address"),
            generator_address: UPSTREAM.parse().expect("an address"),
            network: NETWORK.to_owned(),
            device: "eth0".to_owned(),
            generator_device: "eth0".to_owned(),
            napi: Vec::new(),
            generator_napi: Vec::new(),
        };
        let program = entry.find(&own).expect("an installed server");
        let invocation = entry
            .prepare(program, &site, self.scratch.path())
            .expect("the scratch directory takes files");
        let arguments: Vec<_> = invocation.arguments.iter().map(String::as_str).collect();
        let mut server = self.server.spawn(&invocation.program, &arguments);
        self.wait_for_answers(&mut server);
        (server, upstream)
    }

    /// Waits until the server answers rightly: names of their own, for a failure may be remembered.
    fn wait_for_answers(&self, server: &mut Server) {
        let deadline = Instant::now() + START_LIMIT;
        for number in 0..=u8::MAX {
            let question = format!("a-11-200-0-{number}.v4.test A\n");
            let (outcome, _) = self.load("-t 0.5", &question);
            if outcome.numbers(["verified"]) == [1] {
                return;
            }
            let ended = server.wait(Duration::ZERO);
            assert_eq!(ended, None, "it ended: {}", server.log());
            assert!(Instant::now() < deadline, "it does not answer: {}", server.log());
            std::thread::sleep(POLL);
        }
        panic!("it does not answer: {}", server.log());
    }
}

/// Packets that have crossed the interface of a host, the two ways.
fn packets(host: &Netns, ways: [&str; 2]) -> [u64; 2] {
    let text = host.run("ip", &["-s", "-j", "link", "show", "eth0"]);
    let json: Value = serde_json::from_str(&text).expect("ip writes JSON");
    ways.map(|way| json[0]["stats64"][way]["packets"].as_u64().expect("a count"))
}

/// Whether two counts differ by one per cent at most.
#[track_caller]
fn assert_near(what: &str, one: u64, other: u64) {
    assert!(one.abs_diff(other) * 100 <= one.max(other), "{what}: {one} and {other}");
}

/// Whether the counts of a program agree with those of the interfaces, and the queries are all.
#[track_caller]
fn assert_agrees(about: &str, counts: &Counts, all: u64) {
    assert_eq!((counts.sent, counts.completed), (all, all), "{about}");
    assert_eq!(counts.rcodes.values().sum::<u64>(), counts.completed, "{about}");
    for (end, [queries, answers]) in [("client", counts.client), ("server", counts.server)] {
        assert_near(&format!("{about}: sent and packets at the {end}"), counts.sent, queries);
        assert_near(
            &format!("{about}: answers and packets at the {end}"),
            counts.completed,
            answers,
        );
    }
}

/// Runs the same questions, by both programs and in several ways, past a server that answers all
/// of them rightly.
fn assert_programs_agree(site: &Hosts, input: &str) {
    let rounds = 10;
    let all = u64::from(NAMES) * rounds;
    let theirs = site.dnsperf(&format!("-n {rounds} -q 50"), input);
    assert_agrees("dnsperf", &theirs, all);
    // No more in flight than the smallest of their receive buffers holds, however slow the machine.
    for arguments in ["-q 50", "-Q 5000 -c 4 -q 60 -t 5", "-T 2 -c 8 -q 40 -e -D"] {
        let (outcome, ours) = site.load(&format!("-n {rounds} {arguments}"), input);
        assert_eq!(outcome.code, Some(0), "{}{}", outcome.stderr, outcome.stdout);
        assert_eq!(outcome.numbers(["verified", "wrong"]), [all, 0], "{arguments}");
        assert_agrees(arguments, &ours, all);
        assert_near("dnsperf's count and ours", theirs.completed, ours.completed);
        assert_eq!(theirs.rcodes, ours.rcodes, "{arguments}");
    }
}

/// Lines of a query file: of each ten questions these.
fn questions(kinds: [Kind; 10]) -> String {
    let prefix = dns64::pref64::WELL_KNOWN;
    (0..NAMES).zip(kinds.into_iter().cycle()).fold(String::new(), |mut text, (number, kind)| {
        let question = Question { kind, number, zone: "v4.test", prefix: &prefix };
        let _ = writeln!(text, "{question}");
        text
    })
}

/// Synthesized, native, A, absent: what every DNS64 server can answer; PTR under the prefix, which
/// Knot Resolver cannot.
fn mixture(ptr: bool) -> String {
    use Kind::{A, Absent, Dual, Native, Ptr, Synth};
    let reverse = if ptr { Ptr } else { Synth };
    questions([Synth, Synth, Dual, Synth, A, Native, Synth, reverse, Absent, Synth])
}

/// A peer of the catalogue: counts agree, and the prefix of its answers is looked at.
fn assert_peer_agrees(name: &str, program: &str, ptr: bool) {
    if !available(&["ip", program, "dnsperf"]) {
        return;
    }
    let _alone = serial();
    let site = Hosts::new();
    let (_server, upstream) = site.start(name);
    assert_programs_agree(&site, &mixture(ptr));
    let looked_up = upstream.counts().udp_queries;
    assert!(looked_up >= u64::from(NAMES), "only {looked_up} look-ups reached the upstream");

    let synthesized = questions([Kind::Synth; 10]);
    let (outcome, _) = site.load("-n 1 --prefix 2001:db8:64::/96", &synthesized);
    assert_eq!(outcome.code, Some(1));
    assert_eq!(outcome.json()["wrong_by_kind"]["prefix"].as_u64(), Some(u64::from(NAMES)));
}

#[test]
fn counts_against_unbound_agree_with_dnsperfs_and_the_interfaces() {
    assert_peer_agrees("unbound", "unbound", true);
}

#[test]
fn counts_against_bind_agree_with_dnsperfs_and_the_interfaces() {
    assert_peer_agrees("bind", "named", true);
}

#[test]
fn counts_against_powerdns_recursor_agree_with_dnsperfs_and_the_interfaces() {
    assert_peer_agrees("pdns", "pdns_recursor", true);
}

#[test]
fn counts_against_knot_resolver_agree_with_dnsperfs_and_the_interfaces() {
    assert_peer_agrees("knot", "kresd", false);
}

#[test]
fn counts_against_nsd_agree_with_dnsperfs_and_the_interfaces() {
    if !available(&["ip", "nsd", "dnsperf"]) {
        return;
    }
    let _alone = serial();
    let site = Hosts::new();
    let _nsd = start_nsd(&site);
    assert_programs_agree(&site, &questions([Kind::A; 10]));
}

/// NSD with a zone of the names, without its rate limit.
fn start_nsd(site: &Hosts) -> Server {
    let mut zone = "$ORIGIN v4.test.\n$TTL 300\n\
                    @ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n"
        .to_owned();
    for line in questions([Kind::A; 10]).lines() {
        let label = line.split('.').next().expect("a line begins with a label");
        let address = label.trim_start_matches("a-").replace('-', ".");
        let _ = writeln!(zone, "{label} A {address}");
    }
    let zone = site.scratch.write("v4.test.zone", &zone);
    let directory = site.scratch.path().display();
    let configuration = site.scratch.write(
        "nsd.conf",
        &format!(
            "server:\n ip-address: {SERVER}@53\n server-count: 1\n username: \"\"\n \
             zonesdir: \"{directory}\"\n database: \"\"\n pidfile: \"\"\n \
             xfrdfile: \"{directory}/xfrd\"\n zonelistfile: \"{directory}/zones\"\n \
             rrl-ratelimit: 0\n verbosity: 1\n\
             remote-control:\n control-enable: no\n\
             zone:\n name: v4.test\n zonefile: \"{}\"\n",
            zone.display()
        ),
    );
    let path = configuration.to_str().expect("a path in UTF-8");
    let mut nsd = site.server.spawn("nsd", &["-d", "-c", path]);
    nsd.wait_for("nsd started", START_LIMIT);
    nsd
}
