//! The statements of named.conf that dns64d has no word for, and why.
#![forbid(unsafe_code)]

/// Reasons by what a statement begins with, the first that fits.
const REASONS: [(&str, &str); 47] = [
    ("dns64-", "the SOA of the zones that dns64d answers itself is fixed"),
    ("ipv4only-", "the SOA of the zones that dns64d answers itself is fixed"),
    ("key", "dns64d has no keys"),
    ("controls", "dns64d has no such interface"),
    ("logging", "dns64d logs to standard error: see [log]"),
    ("querylog", "dns64d logs no queries"),
    ("statistics-channels", "dns64d counts always"),
    ("statistics-file", "dns64d counts always"),
    ("zone-statistics", "dns64d counts always"),
    ("server", "dns64d learns by itself what a server can do"),
    ("trust-anchors", DNSSEC),
    ("managed-keys", DNSSEC),
    ("trusted-keys", DNSSEC),
    ("dnssec", DNSSEC),
    ("validate-except", DNSSEC),
    ("bindkeys", DNSSEC),
    ("tls", TLS),
    ("http", TLS),
    ("response-policy", "response policy zones of BIND are not read"),
    ("masterfile", ZONES),
    ("primaries", ZONES),
    ("masters", ZONES),
    ("allow-transfer", ZONES),
    ("allow-update", ZONES),
    ("allow-notify", ZONES),
    ("also-notify", ZONES),
    ("notify", ZONES),
    ("transfer", ZONES),
    ("ixfr", ZONES),
    ("empty-zones-enable", "dns64d forwards the zones of RFC 6303"),
    ("disable-empty-zone", "dns64d forwards the zones of RFC 6303"),
    ("pid-file", PROCESS),
    ("session-", PROCESS),
    ("dump-file", PROCESS),
    ("recursing-file", PROCESS),
    ("memstatistics", PROCESS),
    ("qname-minimization", RECURSION),
    ("root-", RECURSION),
    ("query-source", "dns64d picks source ports at random on any address"),
    ("minimal-", "dns64d's answers are always minimal, and ANY gets HINFO (RFC 8482)"),
    ("recursive-clients", TUNING),
    ("clients-per-query", TUNING),
    ("max-clients-per-query", TUNING),
    ("fetches-per", TUNING),
    ("fetch-quota", TUNING),
    ("edns-udp-size", "dns64d asks its servers with 1232 octets"),
    ("stale-", "dns64d gives a stale answer after 1.8 seconds, with a TTL of 30"),
];

const DNSSEC: &str = "not carried over: dnssec.mode = \"validate\" validates here";
const TLS: &str = "dns64d serves plain DNS only";
const ZONES: &str = "dns64d serves no zones";
const PROCESS: &str = "dns64d runs in the foreground and writes no files";
const RECURSION: &str = "dns64d does not recurse: the resolver behind it does";
const TUNING: &str = "dns64d sizes this by itself";

/// Why a statement is left out.
pub(super) fn why_not(name: &str) -> &'static str {
    let reason = REASONS.iter().find(|(begin, _)| name.starts_with(begin));
    reason.map_or("dns64d has nothing like it", |(_, reason)| reason)
}
