//! CoreDNS's Corefile. There is no package of CoreDNS to compare with: this is all the proof.

use super::*;

#[test]
fn every_option_of_the_plugins_is_carried() {
    let (table, import) = read(
        "Corefile",
        "(common) {\n  errors\n  cache 300 {\n    success 100000 3600 60\n    denial 1000 120\n\
         \x20   prefetch 10\n    serve_stale 2h\n  }\n}\n\
         .:5353 { # all\n  bind 192.0.2.1 2001:db8::1\n  dns64 {\n    prefix 2001:db8:64::/96\n\
         \x20   translate_all\n    allow_ipv4\n  }\n  acl {\n    allow net 10.0.0.0/8 2001:db8::/32\n\
         \x20   drop net 192.0.2.0/24\n    block\n  }\n  forward . 192.0.2.53 dns://192.0.2.54:5300 {\n\
         \x20   max_fails 3\n  }\n  import common\n}\n\
         corp.example:5353 {\n  forward . 192.0.2.55\n}\n",
    );
    for (key, value) in [
        ("dns64.prefixes.0.prefix", "\"2001:db8:64::/96\""),
        ("dns64.prefixes.0.clients", "-"),
        ("dns64.synth_all", "true"),
        ("dns64.ptr", "\"off\""),
        ("dns64.trigger", "\"error\""),
        ("dns64.exclude_aaaa", "[]"),
        ("dns64.bypass", "[\"corp.example.\"]"),
        ("upstream.servers", "[\"192.0.2.53:53\", \"192.0.2.54:5300\"]"),
        ("forward.0.zone", "\"corp.example.\""),
        ("cache.size", "\"37MiB\""),
        ("cache.max_ttl", "3600"),
        ("cache.min_ttl", "60"),
        ("cache.max_negative_ttl", "120"),
        ("cache.prefetch", "true"),
        ("cache.serve_stale", "true"),
        ("cache.max_stale", "7200"),
    ] {
        assert_eq!(at(&table, key), value, "{key}");
    }
    assert!(at(&table, "listen").starts_with("[\"192.0.2.1:5353\", \"[2001:db8::1]:5353\""));
    assert!(
        at(&table, "allow").starts_with("[\"10.0.0.0/8\", \"2001:db8::/32\", \"!192.0.2.0/24\"")
    );
    assert!(at(&table, "drop").contains("\"192.0.2.0/24\""));
    assert!(notes(&import, "Corefile:2: errors"));
    assert!(notes(&import, "forward: max_fails"));
}

#[test]
fn clients_by_ipv4_get_no_dns64_unless_allowed() {
    let (table, _) =
        read("Corefile", ". {\n  dns64 64:ff9b::/96\n  forward . /etc/resolv.conf\n}\n");
    assert_eq!(at(&table, "dns64.prefixes.0.clients"), "[\"::/0\"]");
    assert_eq!(at(&table, "listen"), "[\"0.0.0.0:53\", \"[::]:53\"]");
    assert_eq!(at(&table, "cache.max_ttl"), "0", "no cache plugin");
    let (table, import) = read("Corefile", "a.example {\n  dns64\n  forward . 192.0.2.1\n}\n");
    assert_eq!(at(&table, "dns64.enabled"), "false");
    assert!(notes(&import, "dns64d has it for all names"));
}

#[test]
fn a_prefix_that_rfc_6052_has_not_is_left_out() {
    let (table, import) =
        read("Corefile", ".:53 {\n  dns64 2001:db8::/72\n  forward . 192.0.2.1\n}\n");
    assert_eq!(at(&table, "dns64.enabled"), "false");
    assert!(notes(&import, "not 72"), "{:?}", import.notes);
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, message) in [
        (".:53 {\n  dns64 {\n", "Corefile:2:9: this brace is not closed"),
        (".:53 {\n}\n}\n", "Corefile:3:1: this brace closes nothing"),
        (".:53 {\n  dns64 x\n}\n", "Corefile:2:3: dns64: x is no IPv6 prefix"),
        (".:53 {\n  dns64 {\n    y\n  }\n}\n", "Corefile:3:5: dns64: y is no option"),
        (".:x {\n  forward . 192.0.2.1\n}\n", "Corefile:1:1: .:x: x is no port"),
        (".:53 {\n  forward . here\n}\n", "Corefile:2:3: forward: here is no address"),
        (".:53 {\n  import none\n}\n", "Corefile:2:3: none: cannot be read: no such file"),
    ] {
        assert_eq!(error("Corefile", text), message);
    }
}
