//! What people want: an IPv6-only host opens a page of an IPv4-only one, by name.
//!
//! ```text
//!   client ------------------ gateway ------------------- web server
//!   2001:db8:1::2             tayga: 2001:db8:64::/96     198.51.100.80
//!   no IPv4                   pool:  203.0.113.0/24       no IPv6
//!                                |
//!                             resolvers
//!                             2001:db8:2::53  responder
//!                             2001:db8:2::54  Unbound, NSD behind it
//! ```

use dns64_tests::netns::{Netns, Scratch, serial};
use dns64_tests::server::Server;

use crate::available;
use crate::subject::{PREFIX, Settings, Subject};
use crate::zone::{START_LIMIT, start_nsd, start_resolver};

const PAGE: &str = "The page that only IPv4 leads to.\n";
const URL: &str = "http://page.e2e.test/page.txt";
const RESPONDER: &str = "2001:db8:2::53";
const RESOLVER: &str = "2001:db8:2::54";

/// A NAT64 between the interfaces of `gateway` and the rest of the world.
fn start_nat64(gateway: &Netns, scratch: &Scratch) -> Server {
    let config = scratch.write(
        "tayga.conf",
        &format!(
            "tun-device nat64
ipv4-addr 203.0.113.1
prefix {PREFIX}
dynamic-pool 203.0.113.0/24
data-dir {}
",
            scratch.path().display()
        ),
    );
    let config = config.to_string_lossy();
    gateway.run("tayga", &["--mktun", "--config", &config]);
    gateway.ip(&["link", "set", "nat64", "up"]);
    gateway.ip(&["route", "add", "203.0.113.0/24", "dev", "nat64"]);
    gateway.ip(&["route", "add", PREFIX, "dev", "nat64"]);
    for family in ["ipv4", "ipv6"] {
        gateway.sysctl(&format!("net.{family}.conf.all.forwarding"), "1");
    }
    let server = gateway.spawn("tayga", &["-d", "--config", &config]);
    gateway.wait_for_carrier("nat64", START_LIMIT);
    server
}

#[test]
fn an_ipv6_only_client_downloads_a_page_from_an_ipv4_only_server_by_name() {
    if !available() {
        return;
    }
    let subject = Subject::from_env();
    let _machine = serial();
    let scratch = Scratch::new();
    let client = Netns::new("client");
    let gateway = Netns::new("gateway");
    let web = Netns::new("web");
    let resolvers = Netns::new("resolvers");

    web.sysctl("net.ipv6.conf.default.disable_ipv6", "1");
    gateway.link("client", &client, "eth0");
    gateway.link("resolvers", &resolvers, "eth0");
    gateway.link("web", &web, "eth0");
    gateway.address("client", "2001:db8:1::1/64");
    client.address("eth0", "2001:db8:1::2/64");
    client.route("default", "2001:db8:1::1");
    gateway.address("resolvers", "2001:db8:2::1/64");
    resolvers.address("eth0", "2001:db8:2::53/64");
    resolvers.address("eth0", "2001:db8:2::54/64");
    resolvers.route("default", "2001:db8:2::1");
    gateway.address("web", "198.51.100.1/24");
    web.address("eth0", "198.51.100.80/24");
    web.route("default", "198.51.100.1");

    let _nat64 = start_nat64(&gateway, &scratch);
    let _nsd = start_nsd(&resolvers, &scratch, 0);
    let _resolver = start_resolver(&resolvers, &scratch, RESOLVER);
    let settings = Settings { listen: &["[2001:db8:2::53]:53"], upstream: "[2001:db8:2::54]:53" };
    let _responder = subject.start(&resolvers, &scratch, &settings);

    let pages = Scratch::new();
    pages.write("page.txt", PAGE);
    let directory = pages.path().to_string_lossy();
    let mut server = web.spawn(
        "python3",
        &["-u", "-m", "http.server", "--bind", "198.51.100.80", "--directory", &directory, "80"],
    );
    server.wait_for("Serving HTTP", START_LIMIT);
    let download = || client.output("curl", &["--silent", "--show-error", "--max-time", "10", URL]);

    // Without synthesis the name leads nowhere.
    client.name_server(RESOLVER);
    let output = download();
    assert!(!output.status.success(), "the page came without DNS64: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(!server.log().contains("GET"), "{}", server.log());

    client.name_server(RESPONDER);
    let output = download();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), PAGE);

    server.wait_for("GET /page.txt", START_LIMIT);
    let log = server.log();
    let request = log.lines().find(|line| line.contains("GET")).unwrap_or_default();
    assert!(request.starts_with("203.0.113."), "the peer is not of the IPv4 pool: {log}");
}
