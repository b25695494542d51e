//! BIND's options.

use super::*;

/// `options` with this in it.
fn options(lines: &str) -> (toml::Table, Import) {
    read("named.conf", &format!("options {{\n{lines}\n}};\n"))
}

#[test]
fn every_option_of_a_dns64_statement_is_carried() {
    let (table, import) = options(
        "dns64 2001:db8:64::/48 { clients { 2001:db8::/32; !10/8; }; mapped { !10/8; any; };\n\
         exclude { 2001:db8:9::/48; ::ffff:0.0.0.0/96; }; suffix ::1; recursive-only yes;\n\
         break-dnssec yes; };\ndns64 64:ff9b::/96 { };",
    );
    for (key, value) in [
        ("prefix", "\"2001:db8:64::/48\""),
        ("clients", "[\"2001:db8::/32\", \"!10.0.0.0/8\"]"),
        ("mapped", "[\"!10.0.0.0/8\", \"0.0.0.0/0\"]"),
        ("exclude_aaaa", "[\"2001:db8:9::/48\", \"::ffff:0.0.0.0/96\"]"),
        ("suffix", "\"::1\""),
        ("recursive_only", "true"),
        ("break_dnssec", "true"),
    ] {
        assert_eq!(at(&table, &format!("dns64.prefixes.0.{key}")), value, "{key}");
    }
    assert_eq!(at(&table, "dns64.prefixes.1.break_dnssec"), "false", "BIND's default");
    assert_eq!(at(&table, "dns64.trigger"), "\"nodata\"");
    assert_eq!(at(&table, "dns64.ipv4only"), "true");
    assert_eq!(at(&table, "dns64.non_global_ipv4"), "[]");
    let views = checked(&import).policy.views;
    assert_eq!(views[0].prefixes.len(), 2);
}

#[test]
fn dns64_is_off_without_a_statement() {
    let (table, _) = options("recursion yes;");
    assert_eq!(at(&table, "dns64.enabled"), "false");
}

#[test]
fn lists_take_names_lists_and_their_negation() {
    let (table, import) = read(
        "named.conf",
        "acl a { 10/8; !10.1/16; };\nacl b { a; 192.0.2.1; };\n\
         options { allow-recursion { !{ b; }; 172.16.5.4/12; localhost; none; }; \
         blackhole { a; key k; }; };",
    );
    assert_eq!(
        at(&table, "allow"),
        "[\"!10.0.0.0/8\", \"!10.1.0.0/16\", \"!192.0.2.1/32\", \"172.16.0.0/12\", \
         \"127.0.0.0/8\", \"::1/128\", \"!0.0.0.0/0\", \"!::/0\"]"
    );
    assert_eq!(at(&table, "drop"), "[\"10.0.0.0/8\", \"!10.1.0.0/16\"]");
    assert!(notes(&import, "key: dns64d knows clients by address"));
    assert!(notes(&import, "localhost became the loopback addresses"));
}

#[test]
fn who_may_ask_is_the_first_list_that_is_set() {
    let (table, _) = options("allow-query { 192.0.2.0/24; };");
    assert_eq!(at(&table, "allow"), "[\"192.0.2.0/24\"]");
    let (table, import) = options("allow-query { any; }; allow-recursion { 10/8; };");
    assert_eq!(at(&table, "allow"), "[\"10.0.0.0/8\"]");
    assert!(notes(&import, "the first that is set became allow"));
    let (table, _) = options("");
    assert!(at(&table, "allow").contains("fc00::/7"), "localnets");
}

#[test]
fn servers_zones_and_addresses_are_carried() {
    let (table, import) = read(
        "/etc/bind/named.conf",
        "options { listen-on port 5353 { 192.0.2.1; 127.0.0.1; }; listen-on-v6 { any; };\n\
         forwarders port 54 { 192.0.2.53; 2001:db8::53 port 5300; 192.0.2.9 tls t; }; };\n\
         zone \"corp.example\" IN { type forward; forwarders { 192.0.2.54; }; };\n\
         zone \"own.example\" { type primary; file \"f\"; };\nlogging { };",
    );
    assert_eq!(at(&table, "listen"), "[\"192.0.2.1:5353\", \"127.0.0.1:5353\", \"[::]:53\"]");
    assert_eq!(at(&table, "upstream.servers"), "[\"192.0.2.53:54\", \"[2001:db8::53]:5300\"]");
    assert_eq!(at(&table, "forward.0.zone"), "\"corp.example.\"");
    assert!(notes(&import, "/etc/bind/named.conf:4: zone own.example: dns64d serves no primary"));
    assert!(notes(&import, "put a DoT forwarder between"));
    assert!(notes(&import, "logging: dns64d logs to standard error"));
}

#[test]
fn views_become_views() {
    let (table, import) = read(
        "named.conf",
        "options { ipv4only-enable no; };\nview north { match-clients { 2001:db8:1::/48; };\n\
         dns64 2001:db8:64::/96 { }; max-cache-ttl 5; };\nview rest { match-clients { any; }; };",
    );
    assert_eq!(at(&table, "dns64.enabled"), "false");
    assert_eq!(at(&table, "dns64.ipv4only"), "false");
    assert_eq!(at(&table, "view.0.name"), "\"north\"");
    assert_eq!(at(&table, "view.0.dns64.enabled"), "true");
    assert_eq!(at(&table, "view.0.dns64.prefixes.0.prefix"), "\"2001:db8:64::/96\"");
    assert_eq!(at(&table, "view.1.clients"), "[\"0.0.0.0/0\", \"::/0\"]");
    assert!(notes(&import, "max-cache-ttl in view north"));
}

#[test]
fn numbers_of_cache_and_limits_are_carried() {
    let (table, import) = options(
        "max-cache-size 64m; max-cache-ttl 1d; max-ncache-ttl PT30M; min-cache-ttl 5;\n\
         stale-cache-enable yes; stale-answer-enable yes; max-stale-ttl 12h; prefetch 0;\n\
         max-udp-size 1400; tcp-clients 99; tcp-idle-timeout 50;\n\
         rate-limit { all-per-second 500; slip 3; responses-per-second 5; };",
    );
    for (key, value) in [
        ("cache.size", "\"64MiB\""),
        ("cache.max_ttl", "86400"),
        ("cache.max_negative_ttl", "1800"),
        ("cache.min_ttl", "5"),
        ("cache.serve_stale", "true"),
        ("cache.max_stale", "43200"),
        ("cache.prefetch", "false"),
        ("limits.udp_payload", "1400"),
        ("limits.tcp_clients", "99"),
        ("limits.tcp_idle_ms", "5000"),
        ("limits.rate", "500"),
        ("limits.rate_slip", "3"),
    ] {
        assert_eq!(at(&table, key), value, "{key}");
    }
    assert!(notes(&import, "named.conf:5: rate-limit responses-per-second"));
    let (table, import) = options("max-cache-size 90%;");
    assert_eq!(at(&table, "cache.size"), "-");
    assert!(notes(&import, "max-cache-size 90%"));
}

#[test]
fn three_kinds_of_comments_and_includes_are_read() {
    let files = [
        ("/etc/bind/named.conf", "// one { \n# two \"\n/* three\n */ include \"o.conf\";"),
        ("/etc/bind/o.conf", "options { dns64 64:ff9b::/96 { include \"d\"; }; };"),
        ("/etc/bind/d", "suffix ::; mapped { none; };"),
    ];
    let import = import_files(None, &files).unwrap();
    let table: toml::Table = import.text.parse().unwrap();
    assert_eq!(at(&table, "dns64.prefixes.0.mapped"), "[\"!0.0.0.0/0\"]");
    assert!(import.text.contains("# /etc/bind/d:1 mapped"));
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, message) in [
        (
            "options {\n recursion yes\n};",
            "named.conf:3:1: a semicolon is missing before this brace",
        ),
        ("options {\n recursion yes;\n", "named.conf:1:9: this brace is not closed"),
        ("options { };\n};", "named.conf:2:1: this brace closes nothing"),
        ("options { };\n/* x", "named.conf:2:1: this comment is not closed"),
        ("options { };\nkey \"x", "named.conf:2:5: the quote is not closed in this line"),
        (
            "options {\n dns64 2001:db8:: { };\n};",
            "named.conf:2:2: dns64: 2001:db8:: is no IPv6 prefix with its length",
        ),
        ("options {\n dns64 64:ff9b::/96 {\n x 1; };\n};", "named.conf:3:2: x: no option of dns64"),
        (
            "options {\n allow-query { nobody; };\n};",
            "named.conf:2:16: allow-query: there is no acl nobody",
        ),
        (
            "acl a { a; };\noptions { allow-query { a; }; };",
            "named.conf:1:9: lists lie in one another too deep, or have too many entries",
        ),
    ] {
        assert_eq!(error("named.conf", text), message);
    }
    let deep = format!("options {{ x {} ; }};", "{ y ".repeat(100));
    assert!(error("named.conf", &deep).contains("more than 32 deep"));
}
