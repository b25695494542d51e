//! Knot Resolver's options, in YAML and in Lua.

use super::*;

const YAML: &str = "rundir: /run\nworkers: 2\nnetwork:\n  listen:\n  - interface: [192.0.2.1@5353, '2001:db8::1@5353']\n\
    \x20 - interface: lo\n    kind: dot\n  tcp-pipeline: 50\n\
    dns64:\n  enable: true\n  prefix: 2001:db8:64::/96\n  rev-ttl: 300s\n  exclude: ['2001:db8:9::/48']\n\
    views:\n- subnets: [2001:db8::/32]\n  answer: allow\n\
    - subnets: [2001:db8:2::/48]\n  answer: allow\n  options:\n    dns64: false\n\
    - subnets: ['::/0', 0.0.0.0/0]\n  answer: refused\n\
    forward:\n- subtree: .\n  servers: [192.0.2.53, '192.0.2.54@5300']\n\
    - subtree: [a.example, b.example]\n  servers:\n  - address: [192.0.2.55]\n\
    \x20 - address: 192.0.2.56@853\n    transport: tls\n\
    cache:\n  size-max: 64M\n  ttl-min: 1m\n  ttl-max: 2h\n  prefetch:\n    expiring: true\nlua: {}\n";

#[test]
fn every_option_of_the_yaml_is_carried() {
    let (table, import) = read("config.yaml", YAML);
    for (key, value) in [
        ("listen", "[\"192.0.2.1:5353\", \"[2001:db8::1]:5353\"]"),
        ("workers", "2"),
        ("dns64.prefixes.0.prefix", "\"2001:db8:64::/96\""),
        ("dns64.exclude_aaaa", "[\"2001:db8:9::/48\"]"),
        ("dns64.trigger", "\"nodata\""),
        ("dns64.ptr", "\"cname\""),
        ("upstream.servers", "[\"192.0.2.53:53\", \"192.0.2.54:5300\"]"),
        ("forward.1.zone", "\"b.example.\""),
        ("forward.1.servers", "[\"192.0.2.55:53\"]"),
        ("view.0.dns64.enabled", "false"),
        ("cache.size", "\"64MiB\""),
        ("cache.min_ttl", "60"),
        ("cache.max_ttl", "7200"),
        ("cache.prefetch", "true"),
        ("limits.tcp_pipeline", "50"),
    ] {
        assert_eq!(at(&table, key), value, "{key}");
    }
    assert!(at(&table, "allow").starts_with("[\"2001:db8:2::/48\", \"2001:db8::/32\", \"!"));
    assert!(at(&table, "view.0.clients").starts_with("[\"2001:db8:2::/48\", \"!2001:db8::/32\""));
    for note in ["rev-ttl", "listen: dot", "asks by plain DNS only", "lua: what it says in Lua"] {
        assert!(notes(&import, note), "{note}");
    }
}

#[test]
fn dns64_of_the_yaml_can_be_a_word_and_has_its_default_exclusion() {
    let (table, _) = read("config.yaml", "dns64: true\ncache:\n  size-max: 1G\n");
    assert_eq!(at(&table, "dns64.prefixes.0.prefix"), "\"64:ff9b::/96\"");
    assert_eq!(at(&table, "dns64.exclude_aaaa"), "[\"::/96\"]");
    let (table, _) = read("config.yaml", "dns64: false\nnetwork:\n  tcp-pipeline: 5\n");
    assert_eq!(at(&table, "dns64.enabled"), "false");
    let (table, _) =
        read("config.yaml", "dns64:\n  enabled: false\n  prefix: 2001:db8::/96\ncache:\n");
    assert_eq!(at(&table, "dns64.enabled"), "false");
}

const LUA: &str = "-- a comment\nnet.listen({'192.0.2.1', '2001:db8::1'}, 5353, { kind = 'dns' })\n\
    net.listen('192.0.2.1', 853, { kind = 'tls' })\nmodules = { 'view', 'predict' }\nmodules.load('dns64')\n\
    dns64.config({ prefix = '2001:db8:64::', rev_ttl = 300, exclude_subnets = { '2001:db8:9::/48' } })\n\
    cache.size = 100 * MB\ncache.max_ttl(3600)\n\
    policy.add(policy.all(policy.FORWARD({'192.0.2.53', '192.0.2.54@5300'})))\n\
    policy.add(policy.suffix(policy.STUB('192.0.2.55'), policy.todnames({'a.example', 'b.example'})))\n\
    policy.add(policy.suffix(policy.FLAGS('DNS64_DISABLE'), {todname('no.example'), '\\2no\\4test'}))\n\
    view:addr('2001:db8:2::/48', policy.all(policy.FLAGS('DNS64_DISABLE')))\n\
    view:addr('2001:db8::/32', policy.all(policy.PASS))\nview:addr('::/0', policy.all(policy.REFUSE))\n\
    if x then\n  cache.size = 1\nend\nlocal function f() return 1 end\nuser('knot')\n";

#[test]
fn declarative_calls_of_lua_are_carried_and_all_else_is_listed() {
    let (table, import) = read("kresd.conf", LUA);
    for (key, value) in [
        ("listen", "[\"192.0.2.1:5353\", \"[2001:db8::1]:5353\"]"),
        ("dns64.prefixes.0.prefix", "\"2001:db8:64::/96\""),
        ("dns64.exclude_aaaa", "[\"2001:db8:9::/48\"]"),
        ("dns64.bypass", "[\"a.example.\", \"b.example.\", \"no.example.\", \"no.test.\"]"),
        ("upstream.servers", "[\"192.0.2.53:53\", \"192.0.2.54:5300\"]"),
        ("forward.1.zone", "\"b.example.\""),
        ("cache.size", "\"100MiB\""),
        ("cache.max_ttl", "3600"),
        ("cache.prefetch", "true"),
        ("view.0.clients", "[\"2001:db8:2::/48\"]"),
        ("view.0.dns64.enabled", "false"),
        ("allow", "[\"2001:db8::/32\", \"!::/0\", \"0.0.0.0/0\", \"::/0\"]"),
    ] {
        assert_eq!(at(&table, key), value, "{key}");
    }
    for note in [
        "kresd.conf:3: net.listen: dns64d serves plain DNS only",
        "kresd.conf:6: rev_ttl",
        "kresd.conf:15: if: is no declaration",
        "kresd.conf:18: local: is no declaration",
        "kresd.conf:19: user",
    ] {
        assert!(notes(&import, note), "{note}: {:?}", import.notes);
    }
}

#[test]
fn the_address_alone_is_a_prefix_with_its_u_octet() {
    let text = "modules.load('dns64')\ndns64.config('fe80::21b:77ff:0:0')\n";
    let (table, import) = read("kresd.conf", text);
    assert_eq!(at(&table, "dns64.prefixes.0.prefix"), "\"fe80::21b:77ff:0:0/96\"");
    assert_eq!(at(&table, "dns64.allow_nonzero_u"), "true");
    let _config = checked(&import);
    let (table, _) = read("kresd.conf", "modules = { dns64 = '2001:db8::' }\n");
    assert_eq!(at(&table, "dns64.prefixes.0.prefix"), "\"2001:db8::/96\"");
    let (table, _) = read("kresd.conf", "net.listen('::1')\n");
    assert_eq!(at(&table, "dns64.enabled"), "false");
}

#[test]
fn variables_strings_and_comments_of_lua_are_read() {
    let text = "--[==[ a\n]] ]==]\nlocal up = [[192.0.2.53]]\nlocal zones = policy.todnames({\"a.example\"})\n\
        policy.add(policy.suffix(policy.FORWARD(up), zones));\nmodules.load'dns64'\n";
    let (table, import) = read("kresd.conf", text);
    assert_eq!(at(&table, "forward.0.servers"), "[\"192.0.2.53:53\"]");
    assert!(import.text.contains("# kresd.conf:5 policy.FORWARD"), "{}", import.text);
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (name, text, message) in [
        ("kresd.conf", "net.listen('::1'\n", "kresd.conf:1:11: this bracket is not closed"),
        (
            "kresd.conf",
            "cache.size = 1\nnet.listen('::1)\n",
            "kresd.conf:2:12: this string is not closed in its line",
        ),
        ("kresd.conf", "modules = { 'a'\n", "kresd.conf:1:11: this brace is not closed"),
        ("kresd.conf", "--[[ x\n", "kresd.conf:1:1: this comment is not closed"),
        (
            "kresd.conf",
            "dns64.config('10.0.0.0')\n",
            "kresd.conf:1:1: dns64: 10.0.0.0 is no IPv6 prefix",
        ),
        (
            "config.yaml",
            "dns64: maybe\ncache:\n",
            "config.yaml:1:8: dns64: maybe is neither true nor false",
        ),
        (
            "config.yaml",
            "cache:\n  size-max: x\n",
            "config.yaml:2:13: cache.size-max: x cannot be read",
        ),
        ("config.yaml", "cache: &a\n  x: *a\n", "config.yaml:2:6: aliases are not read"),
    ] {
        assert_eq!(
            import_files(Some(Peer::Knot), &[(name, text)]).unwrap_err().to_string(),
            message
        );
    }
    let deep = format!("a = {}", "{".repeat(1_000));
    let error = import_files(Some(Peer::Knot), &[("kresd.conf", &deep)]).unwrap_err().to_string();
    assert!(error.contains("more than 32 deep"), "{error}");
}

#[test]
fn what_drop_means_there_is_not_what_it_means_here() {
    let action = |name: &str| {
        let rules = format!("view:addr('192.0.2.0/24', policy.all(policy.{name}))\n");
        read("kresd.conf", &format!("modules.load('dns64')\n{rules}"))
    };
    let (table, import) = action("DROP");
    assert!(table.get("drop").is_none(), "{table}");
    assert_eq!(at(&table, "allow.0"), "\"!192.0.2.0/24\"");
    assert!(notes(&import, "answered with SERVFAIL there; refused"), "{:?}", import.notes);
    assert_eq!(at(&action("NO_ANSWER").0, "drop"), "[\"192.0.2.0/24\"]");
}
