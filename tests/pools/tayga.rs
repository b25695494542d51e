//! Two real NAT64, one of them killed while an IPv6-only client downloads by name, over and over.
//!
//! ```text
//!   client --------- core --------- gateway 1: tayga 2001:db8:641::/96 --- web server
//!   2001:db8:1::2    routes,   \--- gateway 2: tayga 2001:db8:642::/96 --/ 198.51.100.80
//!   no IPv4          dns64d
//! ```

use std::net::SocketAddr;
use std::process::Output;
use std::time::{Duration, Instant};

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::daemon::{Daemon, START_LIMIT};
use dns64_tests::netns::{Netns, Scratch, serial};
use dns64_tests::server::Server;
use rustix::process::Signal;

use crate::available;

const PAGE: &str = "The page that only IPv4 leads to.\n";
const URL: &str = "http://a-198-51-100-80--ttl1.v4.test/page.txt";

/// How long the client may be without pages after the death of its gateway, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway with its NAT64. Fields are dropped in order.
struct Gateway {
    nat64: Server,
    _netns: Netns,
    _scratch: Scratch,
}

impl Gateway {
    /// The gateway with this number, between `core` and the interface of `web` of that name.
    fn start(number: u8, core: &Netns, web: &Netns) -> Self {
        let scratch = Scratch::new();
        let netns = Netns::new(&format!("gateway{number}"));
        let (name, prefix) = (format!("gw{number}"), format!("2001:db8:64{number}::/96"));
        core.link(&name, &netns, "core");
        core.address(&name, &format!("2001:db8:f{number}::1/64"));
        netns.address("core", &format!("2001:db8:f{number}::2/64"));
        netns.route("default", &format!("2001:db8:f{number}::1"));
        core.route(&prefix, &format!("2001:db8:f{number}::2"));
        web.link(&name, &netns, "web");
        web.address(&name, &format!("10.{number}.0.80/24"));
        netns.address("web", &format!("10.{number}.0.1/24"));
        netns.route("198.51.100.80/32", &format!("10.{number}.0.80"));
        web.route(&format!("203.0.{number}.0/24"), &format!("10.{number}.0.1"));
        let config = scratch.write(
            "tayga.conf",
            &format!(
                "tun-device nat64\nipv4-addr 203.0.{number}.1\nprefix {prefix}\n\
                 dynamic-pool 203.0.{number}.0/24\ndata-dir {}\n",
                scratch.path().display()
            ),
        );
        let config = config.to_string_lossy();
        netns.run("tayga", &["--mktun", "--config", &config]);
        netns.ip(&["link", "set", "nat64", "up"]);
        netns.ip(&["route", "add", &format!("203.0.{number}.0/24"), "dev", "nat64"]);
        netns.ip(&["route", "add", &prefix, "dev", "nat64"]);
        for family in ["ipv4", "ipv6"] {
            netns.sysctl(&format!("net.{family}.conf.all.forwarding"), "1");
        }
        let nat64 = netns.spawn("tayga", &["-d", "--config", &config]);
        netns.wait_for_carrier("nat64", START_LIMIT);
        Self { nat64, _netns: netns, _scratch: scratch }
    }
}

/// The client fetches the page once.
fn download(client: &Netns) -> Output {
    client.output("curl", &["--silent", "--show-error", "--max-time", "2", URL])
}

fn has_page(output: &Output) -> bool {
    output.status.success() && output.stdout == PAGE.as_bytes()
}

#[test]
fn a_client_keeps_downloading_when_its_nat64_is_killed() {
    if !available(&["ip", "tayga", "curl", "python3"]) {
        return;
    }
    let _machine = serial();
    let scratch = Scratch::new();
    let (client, core, web) = (Netns::new("client"), Netns::new("core"), Netns::new("web"));
    web.address("lo", "198.51.100.80/32");
    core.sysctl("net.ipv6.conf.all.forwarding", "1");
    core.link("client", &client, "eth0");
    core.address("client", "2001:db8:1::1/64");
    client.address("eth0", "2001:db8:1::2/64");
    client.route("default", "2001:db8:1::1");
    client.name_server("2001:db8:1::1");
    let gateways = [1, 2].map(|number| Gateway::start(number, &core, &web));

    let pages = Scratch::new();
    pages.write("page.txt", PAGE);
    let directory = pages.path().to_string_lossy();
    let mut server = web.spawn(
        "python3",
        &["-u", "-m", "http.server", "--bind", "198.51.100.80", "--directory", &directory, "80"],
    );
    server.wait_for("Serving HTTP", START_LIMIT);
    let address: SocketAddr = "127.0.0.1:5300".parse().expect("an address");
    let _upstream = core
        .enter(|| Upstream::start(address, Options::default()))
        .expect("the port is free in a new namespace");
    let config = "listen = [\"[2001:db8:1::1]:53\"]\nworkers = 2\nallow = [\"::/0\"]\n\
                  [upstream]\nservers = [\"127.0.0.1:5300\"]\n\
                  [[pool]]\nname = \"nat64\"\n\
                  prefixes = [\"2001:db8:641::/96\", \"2001:db8:642::/96\"]\nttl_max = 1\n\
                  probe = { icmp = \"198.51.100.80\", interval_ms = 400, timeout_ms = 400, fall = 2 }\n\
                  [dns64]\npool = \"nat64\"\n[datapath]\nmode = \"socket\"\n";
    let daemon = Daemon::start(&scratch, Some(&core), config);
    let good = |status: &serde_json::Value, gateway: usize| {
        status["pools"][0]["gateways"][gateway]["probes_good"].as_u64() > Some(0)
    };
    daemon.wait_until("status", PATIENCE, |status| good(status, 0) && good(status, 1));

    assert!(has_page(&download(&client)), "{}", daemon.server.log());
    server.wait_for("GET /page.txt", START_LIMIT);
    let log = server.log();
    let peer = log.lines().find(|line| line.contains("GET /page.txt")).expect("a request");
    let own = usize::from(peer.starts_with("203.0.2."));
    assert!(peer.starts_with(&format!("203.0.{}.", own + 1)), "{peer}");

    gateways[own].nat64.signal(Signal::KILL);
    let deadline = Instant::now() + PATIENCE;
    let mut in_a_row = 0;
    while in_a_row < 5 {
        in_a_row = if has_page(&download(&client)) { in_a_row + 1 } else { 0 };
        assert!(Instant::now() < deadline, "no pages:\n{}", daemon.server.log());
    }
    let log = server.log();
    let last = log.lines().rfind(|line| line.contains("GET /page.txt")).expect("a request");
    let other = 1 - own;
    assert!(last.starts_with(&format!("203.0.{}.", other + 1)), "{log}");
    let status = daemon.json("status");
    assert_eq!(status["pools"][0]["gateways"][own]["state"], "down", "{status:#}");
}
