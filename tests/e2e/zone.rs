//! The world behind the responder: NSD with the test's zones, and Unbound as the resolver before
//! it.
//!
//! Both are made to answer whatever is asked of them as fast as they can. NSD's response rate
//! limiting, on by default, would take a resolver for an attacker; Unbound's built-in local zones
//! would take `test.` and the documentation addresses for nonexistent (RFC 6761, RFC 6303).

use std::fmt::Write as _;
use std::time::Duration;

use dns64_tests::netns::{Netns, Scratch};
use dns64_tests::server::Server;

/// Number of names `n0.e2e.test.`, `n1.e2e.test.` and so on, each with an A record of its own.
pub(crate) const MANY: u32 = 100_000;
/// How long a server may take to start on a busy machine.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(30);

/// Names in the zone `e2e.test.`; their addresses are documented where they are asked for.
const RECORDS: &str = "\
$ORIGIN e2e.test.
$TTL 300
@         SOA   ns hostmaster 1 3600 600 86400 60
@         NS    ns
ns        A     198.51.100.53
v4only    A     198.51.100.80
dual      A     198.51.100.81
dual      AAAA  2001:db8:feed::81
v6only    AAAA  2001:db8:feed::82
alias     CNAME chain
chain     CNAME v4only
brief 1   A     198.51.100.83
page      A     198.51.100.80
";

/// The reverse zone of 198.51.100.0/24.
const REVERSE: &str = "\
$ORIGIN 100.51.198.in-addr.arpa.
$TTL 300
@         SOA   ns.e2e.test. hostmaster.e2e.test. 1 3600 600 86400 60
@         NS    ns.e2e.test.
80        PTR   v4only.e2e.test.
";

/// The A record of the name with this number: one of 11.0.0.0/8, ordinary global space.
pub(crate) fn numbered_ipv4(number: u32) -> [u8; 4] {
    let [_, b, c, d] = number.to_be_bytes();
    [11, b + 1, c, d]
}

/// The text of `big.e2e.test.` TXT: too long for a UDP payload of 1232 octets.
pub(crate) fn big_text() -> Vec<String> {
    (0..8).map(|number| format!("{number}{}", "x".repeat(199))).collect()
}

/// NSD on 127.0.0.1 port 5300, with [`MANY`] numbered names if asked for.
pub(crate) fn start_nsd(netns: &Netns, scratch: &Scratch, numbered_names: u32) -> Server {
    let mut zone = RECORDS.to_owned();
    let texts: Vec<String> = big_text().iter().map(|text| format!("\"{text}\"")).collect();
    let _ = writeln!(zone, "big TXT {}", texts.join(" "));
    for number in 0..numbered_names {
        let [a, b, c, d] = numbered_ipv4(number);
        let _ = writeln!(zone, "n{number} A {a}.{b}.{c}.{d}");
    }
    scratch.write("e2e.test.zone", &zone);
    scratch.write("reverse.zone", REVERSE);
    let dir = scratch.path().display();
    let config = scratch.write(
        "nsd.conf",
        &format!(
            "server:
    server-count: 1
    ip-address: 127.0.0.1@5300
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
zone:
    name: e2e.test
    zonefile: e2e.test.zone
zone:
    name: 100.51.198.in-addr.arpa
    zonefile: reverse.zone
"
        ),
    );
    let mut server = netns.spawn("nsd", &["-d", "-c", &config.to_string_lossy()]);
    server.wait_for("nsd started", START_LIMIT);
    server
}

/// Unbound as a resolver on `address` port 53, with NSD on 127.0.0.1 port 5300 behind it. It
/// validates nothing.
pub(crate) fn start_resolver(netns: &Netns, scratch: &Scratch, address: &str) -> Server {
    let settings = format!(
        "    interface: {address}@53
    module-config: \"iterator\"
    do-not-query-localhost: no
stub-zone:
    name: e2e.test.
    stub-addr: 127.0.0.1@5300
stub-zone:
    name: 100.51.198.in-addr.arpa.
    stub-addr: 127.0.0.1@5300
"
    );
    start_unbound(netns, scratch, "resolver", &settings)
}

/// Unbound with `settings` behind what every test needs: the rest of `server:`, then more clauses.
pub(crate) fn start_unbound(
    netns: &Netns,
    scratch: &Scratch,
    name: &str,
    settings: &str,
) -> Server {
    let dir = scratch.path().display();
    let config = scratch.write(
        &format!("{name}.conf"),
        &format!(
            "server:
    verbosity: 0
    use-syslog: no
    logfile: \"\"
    username: \"\"
    chroot: \"\"
    directory: \"{dir}\"
    pidfile: \"{dir}/{name}.pid\"
    access-control: ::/0 allow
    access-control: 0.0.0.0/0 allow
    num-threads: 1
    outgoing-range: 4096
    num-queries-per-thread: 4096
    incoming-num-tcp: 200
    so-rcvbuf: 4m
    edns-buffer-size: 1232
    max-udp-size: 1232
    msg-cache-size: 128m
    rrset-cache-size: 256m
    local-zone: test. nodefault
    local-zone: 100.51.198.in-addr.arpa. nodefault
    local-zone: 8.b.d.0.1.0.0.2.ip6.arpa. nodefault
{settings}remote-control:
    control-enable: no
"
        ),
    );
    let mut server = netns.spawn("unbound", &["-d", "-c", &config.to_string_lossy()]);
    server.wait_for("start of service", START_LIMIT);
    server
}
