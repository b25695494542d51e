//! Configurations of other servers that nobody wrote: the seeds of their fuzz targets, and words of
//! their languages in any order.

use proptest::prelude::*;

use crate::checks::import as checks;

/// The seeds of the importers.
pub(crate) type Seeds = Vec<(&'static str, Vec<u8>)>;

/// A main file and one that it can include.
fn files(main: &str, more: &str) -> Vec<u8> {
    [main.as_bytes(), b"\0", more.as_bytes()].concat()
}

/// For Unbound.
pub(crate) fn unbound_seeds() -> Seeds {
    let more = include_str!("../import/configurations/unbound-dns64.conf");
    vec![
        ("forwarder", files(include_str!("../import/configurations/unbound.conf"), more)),
        (
            "include",
            files("server:\n include: more\n include: 'm*'\n", "num-threads: 2\ninclude: x"),
        ),
        (
            "words",
            files(
                "server:\n\tmodule-config: 'dns64'\n\tdns64-synthall: yes\n\tport:5353\n\
                 \taccess-control: ::ffff:10.0.0.0/104 deny\n\tmsg-cache-size: 1g\n\
                 \tserve-expired-ttl: 0\n\tip-ratelimit: 5\nstub-zone:\n\tname: a\n",
                "",
            ),
        ),
    ]
}

/// For BIND.
pub(crate) fn bind_seeds() -> Seeds {
    let acl = include_str!("../import/configurations/named-acl.conf");
    vec![
        (
            "forwarder",
            files(&format!("{acl}{}", include_str!("../import/configurations/named.conf")), ""),
        ),
        (
            "include",
            files("/* a */ options { include \"more\"; };", "dns64 64:ff9b::/96 { suffix ::1; };"),
        ),
        (
            "views",
            files(
                "acl a { !{ b; 10/8; }; key k; };\nacl b { any; none; localnets; };\n\
                 view v { match-clients { a; }; dns64 2001:db8::/40 { mapped { !10.1/16; any; }; }; };\n\
                 options { rate-limit { all-per-second 5; }; max-cache-ttl P1DT2H; };",
                "",
            ),
        ),
    ]
}

/// For PowerDNS Recursor.
pub(crate) fn pdns_seeds() -> Seeds {
    vec![
        ("forwarder", files(include_str!("../import/configurations/recursor.conf"), "")),
        (
            "files",
            files("allow-from-file=more\nforward-zones-file=more\nthreads=\\\n2", "+a=192.0.2.1"),
        ),
        (
            "yaml",
            files(
                "recursor:\n  dns64_prefix: fe80::21b:77ff:0:0/96\n  forward_zones_recurse:\n\
                 \x20 - zone: .\n    forwarders: ['192.0.2.53:5300']\nincoming:\n\
                 \x20 allow_from: [10.0.0.0/8, '!10.1.0.0/16']\n  listen: ['[::1]:54']\n",
                "",
            ),
        ),
    ]
}

/// For Knot Resolver.
pub(crate) fn knot_seeds() -> Seeds {
    vec![
        ("forwarder", files(include_str!("../import/configurations/kresd.conf"), "")),
        (
            "yaml",
            files(
                "dns64:\n  prefix: 2001:db8::/96\n  exclude: ['::/96']\nviews:\n\
                 - subnets: ['::/0']\n  answer: refused\nforward:\n- subtree: .\n\
                 \x20 servers: [{address: [192.0.2.1@53], transport: tls}, 192.0.2.2]\n\
                 network:\n  listen: [{interface: [::1@5353]}]\ncache: {size-max: 1G, ttl-max: 1d}\n",
                "",
            ),
        ),
        (
            "lua",
            files(
                "local a = { 'x', b = [[y]] } -- c\nmodules = { dns64 = '2001:db8::' }\n\
                 for i = 1, 2 do net.listen(a) end\ncache.size = (1 + 2) * 10 / 2 * MB\n\
                 policy.add(policy.suffix(policy.FLAGS({'DNS64_DISABLE'}), {'\\3foo'}))\n",
                "",
            ),
        ),
    ]
}

/// For CoreDNS.
pub(crate) fn coredns_seeds() -> Seeds {
    vec![
        (
            "blocks",
            files(
                "(s) {\n cache 30 {\n  success 9 8 7\n }\n}\n.:53, a.example:54 {\n import s\n\
                 \x20dns64 2001:db8::/48 {\n  translate_all\n }\n acl {\n  drop net ::/0 10.0.0.0/8\n }\n\
                 \x20forward . 192.0.2.1:53 [2001:db8::1]:54\n bind 127.0.0.1 # \"\n}\n",
                "",
            ),
        ),
        (
            "import",
            files("import more\n. {\n dns64\n import m*\n}\n", "(x) {\n any\n}\nerrors \"a\nb\"\n"),
        ),
    ]
}

/// Words and signs that mean something in one of the languages.
const WORDS: [&str; 72] = [
    "server:",
    "forward-zone:",
    "dns64-prefix:",
    "module-config:",
    "dns64",
    "include:",
    "include",
    "more",
    "access-control:",
    "allow",
    "deny",
    "name:",
    ".",
    "forward-addr:",
    "options",
    "acl",
    "a",
    "{",
    "}",
    ";",
    "!",
    "any",
    "none",
    "clients",
    "mapped",
    "exclude",
    "suffix",
    "::1",
    "zone",
    "forwarders",
    "port",
    "53",
    "view",
    "match-clients",
    "64:ff9b::/96",
    "10.0.0.0/8",
    "2001:db8::/32",
    "192.0.2.1",
    "192.0.2.1@53",
    "dns64-prefix=",
    "allow-from=",
    "local-address=",
    "forward-zones-recurse=",
    ".=192.0.2.1;::2",
    "recursor:",
    "incoming:",
    "listen:",
    "- ",
    "[",
    "]",
    ",",
    "'",
    "\"",
    "--",
    "[[",
    "(",
    ")",
    "policy.add",
    "policy.all",
    "policy.FORWARD",
    "net.listen",
    "cache.size",
    "=",
    "*",
    "MB",
    "forward",
    "import",
    "cache",
    "prefix",
    "\\",
    "\n",
    "\n  ",
];

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn words_in_any_order_are_imported_or_refused(
        words in prop::collection::vec((prop::sample::select(&WORDS[..]), any::<bool>()), 0..80),
    ) {
        let text: String = words
            .into_iter()
            .map(|(word, space)| if space { format!("{word} ") } else { word.to_owned() })
            .collect();
        for check in
            [checks::unbound, checks::bind, checks::pdns, checks::knot, checks::coredns]
        {
            check(text.as_bytes());
        }
    }

    #[test]
    fn any_octets_are_imported_or_refused(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        for check in
            [checks::unbound, checks::bind, checks::pdns, checks::knot, checks::coredns]
        {
            check(&octets);
        }
    }
}
