//! Unbound's options.

use super::*;

/// `server:` with DNS64 and this in it.
fn server(lines: &str) -> (toml::Table, Import) {
    read("unbound.conf", &format!("server:\n module-config: \"dns64 iterator\"\n{lines}\n"))
}

#[test]
fn dns64_is_off_without_its_module_and_then_on() {
    let (table, _) = read("unbound.conf", "server:\n dns64-prefix: 2001:db8::/96\n");
    assert_eq!(at(&table, "dns64.enabled"), "false");
    let (table, _) = server("dns64-prefix: '2001:db8:64::/48'");
    assert_eq!(at(&table, "dns64.enabled"), "-");
    assert_eq!(at(&table, "dns64.prefixes.0.prefix"), "\"2001:db8:64::/48\"");
    let (table, _) = server("");
    assert_eq!(at(&table, "dns64.prefixes.0.prefix"), "\"64:ff9b::/96\"");
}

#[test]
fn what_unbound_does_without_being_told_is_written_out() {
    let (table, import) = server("");
    for (key, value) in [
        ("dns64.trigger", "\"error\""),
        ("dns64.ptr", "\"direct\""),
        ("dns64.ipv4only", "false"),
        ("dns64.non_global_ipv4", "[]"),
        ("dns64.exclude_aaaa", "[]"),
        ("cache.serve_stale", "false"),
        ("listen", "[\"127.0.0.1:53\", \"[::1]:53\"]"),
        ("allow", "[\"::1/128\", \"127.0.0.0/8\"]"),
    ] {
        assert_eq!(at(&table, key), value, "{key}");
    }
    assert!(notes(&import, "NXDOMAIN"));
    assert!(notes(&import, "Unbound resolves by itself"));
}

#[test]
fn every_option_of_dns64_and_of_the_cache_is_carried() {
    let (table, _) = server(
        "dns64-synthall: yes\ndns64-ignore-aaaa: a.example\ndns64-ignore-aaaa: b.example.\n\
         private-address: 10.0.0.0/8\nprivate-address: fd00::/8\nnum-threads: 3\n\
         msg-cache-size: 50m rrset-cache-size: 100m\ncache-min-ttl: 5\ncache-max-ttl: 600\n\
         cache-max-negative-ttl: 60\nserve-expired: yes\nserve-expired-ttl: 0\nprefetch:yes\n\
         max-udp-size: 1400\nip-ratelimit: 100\nincoming-num-tcp: 20\ntcp-idle-timeout: 5000",
    );
    for (key, value) in [
        ("dns64.synth_all", "true"),
        ("dns64.ignore_aaaa", "[\"a.example.\", \"b.example.\"]"),
        ("dns64.exclude_aaaa", "[\"fd00::/8\"]"),
        ("dns64.exclude_a", "[\"10.0.0.0/8\"]"),
        ("workers", "3"),
        ("cache.size", "\"150MiB\""),
        ("cache.min_ttl", "5"),
        ("cache.max_ttl", "600"),
        ("cache.max_negative_ttl", "60"),
        ("cache.serve_stale", "true"),
        ("cache.max_stale", "604800"),
        ("cache.prefetch", "true"),
        ("limits.udp_payload", "1400"),
        ("limits.rate", "100"),
        ("limits.tcp_clients", "20"),
        ("limits.tcp_idle_ms", "5000"),
    ] {
        assert_eq!(at(&table, key), value, "{key}");
    }
}

#[test]
fn the_longest_network_decides_whatever_its_place() {
    let (table, _) = server(
        "access-control: 2001:db8::/32 allow\naccess-control: 2001:db8:1::/48 refuse\n\
         access-control: 2001:db8:1:2::/64 deny # none\naccess-control: 0.0.0.0/0 refuse",
    );
    assert_eq!(
        at(&table, "allow"),
        "[\"::1/128\", \"!2001:db8:1:2::/64\", \"!2001:db8:1::/48\", \"2001:db8::/32\", \
         \"127.0.0.0/8\", \"!0.0.0.0/0\"]"
    );
    assert!(at(&table, "drop").contains("\"2001:db8:1:2::/64\", \"!2001:db8:1::/48\""));
}

#[test]
fn zones_are_forwarded_unless_by_tls_and_by_name() {
    let (table, import) = read(
        "unbound.conf",
        "server:\n port: 5353\n interface: 192.0.2.1\n interface: ::1@54\n interface: eth0\n\
         forward-zone:\n name: .\n forward-addr: 192.0.2.53@5300\n forward-addr: fec0::1\n\
         forward-zone:\n name: corp.example\n forward-addr: 192.0.2.54#name\n forward-host: h.\n\
         forward-zone:\n name: tls.example\n forward-addr: 192.0.2.55@853\n\
         forward-tls-upstream: yes\nstub-zone:\n name: stub.example\n stub-addr: 192.0.2.56\n",
    );
    assert_eq!(at(&table, "listen"), "[\"192.0.2.1:5353\", \"[::1]:54\"]");
    assert_eq!(at(&table, "upstream.servers"), "[\"192.0.2.53:5300\", \"[fec0::1]:53\"]");
    assert_eq!(at(&table, "forward.0.zone"), "\"corp.example.\"");
    assert_eq!(at(&table, "forward.0.servers"), "[\"192.0.2.54:53\"]");
    assert_eq!(at(&table, "forward.1.zone"), "-");
    assert!(notes(&import, "unbound.conf:13: forward-host"), "{:?}", import.notes);
    assert!(notes(&import, "unbound.conf:17: forward-tls-upstream"));
    assert!(notes(&import, "stub-zone stub.example"));
    assert!(notes(&import, "eth0 is no address"));
}

#[test]
fn files_are_included_where_they_stand_with_patterns_and_without_end() {
    let main = "server:\n module-config: dns64\n include: \"conf.d/*.conf\"\n num-threads: 2\n";
    let files = [
        ("/etc/unbound/unbound.conf", main),
        ("/etc/unbound/conf.d/a.conf", "dns64-prefix: 2001:db8:a::/96\n"),
        ("/etc/unbound/conf.d/b.conf", "include: ../c\n"),
        ("/etc/unbound/c", "forward-zone:\n name: .\n forward-addr: 192.0.2.1\nserver:\n"),
    ];
    let import = import_files(None, &files).unwrap();
    let table: toml::Table = import.text.parse().unwrap();
    assert_eq!(at(&table, "dns64.prefixes.0.prefix"), "\"2001:db8:a::/96\"");
    assert_eq!(at(&table, "upstream.servers"), "[\"192.0.2.1:53\"]");
    assert_eq!(at(&table, "workers"), "2");
    assert!(import.text.contains("# /etc/unbound/conf.d/a.conf:1 dns64-prefix"));

    let loops =
        [("a/unbound.conf", "server:\n include: ../a/b\n"), ("a/b", "include: unbound.conf")];
    let error = import_files(None, &loops).unwrap_err().to_string();
    assert_eq!(error, "a/../a/b:1:10: a/../a/unbound.conf: this file includes itself");
    let missing = error_of_include();
    assert_eq!(missing, "unbound.conf:2:11: none.conf: cannot be read: no such file");
}

fn error_of_include() -> String {
    error("unbound.conf", "server:\n include: none.conf\n")
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, message) in [
        ("server:\n port: x\n", "unbound.conf:2:8: port: x is no port"),
        (
            "server:\n  verbosity\n",
            "unbound.conf:2:3: \"verbosity\" stands where a key with a colon belongs",
        ),
        ("server:\n  directory: \"a\n", "unbound.conf:2:14: the quote is not closed in this line"),
        ("server:\n prefetch: 7\n", "unbound.conf:2:12: prefetch: 7 is neither yes nor no"),
        (
            "server:\n dns64-prefix: 10.0.0.0/8\n",
            "unbound.conf:2:16: dns64-prefix: 10.0.0.0/8 is no IPv6 prefix",
        ),
        (
            "server:\n access-control: 10.0.0.0/8 perhaps\n",
            "unbound.conf:2:29: access-control: perhaps is no action",
        ),
        ("port: 53\nserver:\n", "unbound.conf:1:1: port: stands in no clause, such as server:"),
    ] {
        assert_eq!(error("unbound.conf", text), message);
    }
}

#[test]
fn keys_that_dns64d_has_no_word_for_are_listed_with_the_reason() {
    let (_, import) = server(
        "local-zone: \"a.\" static\nlocal-data: \"b. A 192.0.2.1\"\nval-log-level: 2\nno-such-key: 1 2 3",
    );
    assert!(notes(&import, "unbound.conf:3: local-zone: a.: dns64d has no local data"));
    assert!(notes(&import, "unbound.conf:5: val-log-level: 2: not carried over: dnssec.mode"));
    assert!(notes(&import, "unbound.conf:6: no-such-key: 1: dns64d has nothing like it"));
    assert!(import.text.contains("# - unbound.conf:3: local-zone"), "in the text too");
}
