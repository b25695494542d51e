//! Settings of PowerDNS Recursor, in both forms.

use super::*;

const OLD: &str = "# comment\ndns64-prefix=fe80::21b:77ff:0:0/96\nlocal-address=192.0.2.1, [::1]:54\n\
    local-port=5353\nallow-from=10.0.0.0/8, !10.1.0.0/16\nallow-from+=2001:db8::/32\nthreads=2\n\
    forward-zones-recurse=.=192.0.2.53;192.0.2.54:5300, corp.example=2001:db8::53\n\
    forward-zones=auth.example=192.0.2.55\nmax-cache-entries=1000000\nmax-cache-ttl=3600\n\
    max-negative-ttl=60\nminimum-ttl-override=7\nserve-stale-extensions=10\n\
    refresh-on-ttl-perc=10\nmax-tcp-clients=50\nmax-tcp-per-client=5\nclient-tcp-timeout=3\n\
    udp-truncation-threshold=1400\nlua-dns-script=/etc/powerdns/dns64.lua\ndnssec=off\nquiet=yes\n";

const YAML: &str = "---\nrecursor:\n  dns64_prefix: fe80::21b:77ff:0:0/96\n  threads: 2\n\
    \x20 minimum_ttl_override: 7\n  lua_dns_script: /etc/powerdns/dns64.lua\n\
    \x20 forward_zones_recurse:\n  - zone: .\n    forwarders: [192.0.2.53, '192.0.2.54:5300']\n\
    \x20 - zone: corp.example\n    forwarders:\n    - 2001:db8::53\n\
    \x20 forward_zones:\n  - zone: auth.example\n    forwarders: [192.0.2.55]\n\
    incoming:\n  listen: [192.0.2.1, '[::1]:54']\n  port: 5353\n\
    \x20 allow_from: [10.0.0.0/8, '!10.1.0.0/16', '2001:db8::/32']\n\
    \x20 max_tcp_clients: 50\n  max_tcp_per_client: 5\n  tcp_timeout: 3\n\
    \x20 udp_truncation_threshold: 1400\n\
    recordcache:\n  max_entries: 1000000\n  max_ttl: 3600\n  max_negative_ttl: 60\n\
    \x20 serve_stale_extensions: 10\n  refresh_on_ttl_perc: 10\n\
    dnssec:\n  validation: 'off'\nlogging:\n  quiet: true\n";

#[test]
fn both_forms_mean_the_same() {
    for (name, text) in [("recursor.conf", OLD), ("recursor.yml", YAML)] {
        let (table, import) = read(name, text);
        for (key, value) in [
            ("listen", "[\"192.0.2.1:5353\", \"[::1]:54\"]"),
            ("allow", "[\"2001:db8::/32\", \"!10.1.0.0/16\", \"10.0.0.0/8\"]"),
            ("workers", "2"),
            ("upstream.servers", "[\"192.0.2.53:53\", \"192.0.2.54:5300\"]"),
            ("dns64.prefixes.0.prefix", "\"fe80::21b:77ff:0:0/96\""),
            ("dns64.allow_nonzero_u", "true"),
            ("dns64.trigger", "\"error\""),
            ("dns64.ptr", "\"cname\""),
            ("dns64.exclude_aaaa", "[]"),
            ("cache.size", "\"367MiB\""),
            ("cache.max_ttl", "3600"),
            ("cache.max_negative_ttl", "60"),
            ("cache.min_ttl", "7"),
            ("cache.serve_stale", "true"),
            ("cache.max_stale", "300"),
            ("cache.prefetch", "true"),
            ("limits.tcp_clients", "50"),
            ("limits.tcp_per_client", "5"),
            ("limits.tcp_idle_ms", "3000"),
            ("limits.udp_payload", "1400"),
            ("script.file", "\"/etc/powerdns/dns64.lua\""),
        ] {
            assert_eq!(at(&table, key), value, "{name}: {key}");
        }
        let zones = ["corp.example.", "auth.example."];
        let found = [at(&table, "forward.0.zone"), at(&table, "forward.1.zone")];
        assert!(zones.iter().all(|zone| found.contains(&format!("\"{zone}\""))), "{found:?}");
        assert!(notes(&import, "auth.example: PowerDNS asks these servers without RD"));
        assert!(notes(&import, "off: not carried over: dnssec.mode"));
    }
}

#[test]
fn who_may_not_ask_is_dropped() {
    let (table, _) =
        read("recursor.conf", "dns64-prefix=64:ff9b::/96\nallow-from=10.0.0.0/8, !10.1.0.0/16");
    assert_eq!(at(&table, "drop"), "[\"10.1.0.0/16\", \"!10.0.0.0/8\", \"0.0.0.0/0\", \"::/0\"]");
}

#[test]
fn settings_come_from_other_files_too() {
    let files = [
        (
            "/etc/recursor.conf",
            "include-dir=/etc/rec.d\nallow-from-file=nets\nforward-zones-file=zones\nthreads=1",
        ),
        ("/etc/rec.d/b.conf", "threads=3\ndns64-prefix=\\\n 64:ff9b::/96"),
        ("/etc/rec.d/a.conf", "threads=2"),
        ("/etc/nets", "10.0.0.0/8 # private\n"),
        ("/etc/zones", "+.=192.0.2.1\n# none\ncorp.example=192.0.2.2, 192.0.2.3\n"),
    ];
    let import = import_files(None, &files).unwrap();
    let table: toml::Table = import.text.parse().unwrap();
    assert_eq!(at(&table, "workers"), "3");
    assert_eq!(at(&table, "allow"), "[\"10.0.0.0/8\"]");
    assert_eq!(at(&table, "upstream.servers"), "[\"192.0.2.1:53\"]");
    assert_eq!(at(&table, "forward.0.servers"), "[\"192.0.2.2:53\", \"192.0.2.3:53\"]");
    assert!(import.text.contains("# /etc/rec.d/b.conf:2 dns64-prefix"));
}

#[test]
fn dns64_is_off_without_a_prefix() {
    let (table, _) = read("recursor.conf", "local-port=53\ndns64-prefix=\nthreads=1");
    assert_eq!(at(&table, "dns64.enabled"), "false");
    assert_eq!(at(&table, "listen"), "[\"127.0.0.1:53\"]");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (name, text, message) in [
        ("recursor.conf", "threads=2\nlocal-port=x", "recursor.conf:2: local-port: x is no port"),
        (
            "recursor.conf",
            "threads=2\na b=c",
            "recursor.conf:2: \"a b=c\" is no setting: NAME=VALUE",
        ),
        ("recursor.conf", "threads=two", "recursor.conf:1: threads: two is no number"),
        ("recursor.conf", "threads=2\nallow-from=10/33", "recursor.conf:2: 10/33 is no network"),
        (
            "recursor.yml",
            "recursor:\n  threads: two\n",
            "recursor.yml:2:3: recursor.threads: two is no number",
        ),
        ("recursor.yml", "recursor:\n- a\n", "recursor.yml:1:1: recursor: is no map of settings"),
        ("recursor.yml", "recursor:\n  a: 1\n  a: 2\n", "recursor.yml:3:3: a is there already"),
    ] {
        assert_eq!(error(name, text), message);
    }
    let error = error("recursor.yml", "recursor:\n  a: [\n");
    assert!(error.starts_with("recursor.yml:") && error.contains(": no YAML: "), "{error}");
}
