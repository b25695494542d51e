//! The keys of unbound.conf: how many values they have, and why those that dns64d has no word for
//! are left out.
#![forbid(unsafe_code)]

/// The clauses.
pub(super) const CLAUSES: [&str; 14] = [
    "server",
    "stub-zone",
    "forward-zone",
    "auth-zone",
    "view",
    "remote-control",
    "python",
    "dynlib",
    "dnscrypt",
    "cachedb",
    "ipset",
    "dnstap",
    "rpz",
    "redis",
];

/// Keys with more than one value, and those that are read.
pub(super) const ARITY: [(&str, usize); 38] = [
    ("access-control", 2),
    ("access-control-tag", 2),
    ("access-control-tag-action", 3),
    ("access-control-tag-data", 3),
    ("access-control-view", 2),
    ("interface-action", 2),
    ("interface-tag", 2),
    ("interface-tag-action", 3),
    ("interface-tag-data", 3),
    ("interface-view", 2),
    ("edns-client-string", 2),
    ("local-zone", 2),
    ("local-zone-tag", 2),
    ("local-zone-override", 3),
    ("ratelimit-for-domain", 2),
    ("ratelimit-below-domain", 2),
    ("response-ip", 2),
    ("response-ip-tag", 2),
    ("response-ip-data", 2),
    ("outbound-msg-retry", 1),
    ("name", 1),
    ("include", 1),
    ("include-toplevel", 1),
    ("directory", 1),
    ("module-config", 1),
    ("dns64-prefix", 1),
    ("dns64-synthall", 1),
    ("dns64-ignore-aaaa", 1),
    ("interface", 1),
    ("ip-address", 1),
    ("interface-automatic", 1),
    ("port", 1),
    ("private-address", 1),
    ("forward-addr", 1),
    ("forward-host", 1),
    ("forward-tls-upstream", 1),
    ("forward-ssl-upstream", 1),
    ("prefetch", 1),
];

/// Why keys are left out: by what they begin with, the first that fits.
const REASONS: [(&str, &str); 62] = [
    ("local-", LOCAL),
    ("domain-insecure", DNSSEC),
    ("trust-anchor", DNSSEC),
    ("trusted-keys", DNSSEC),
    ("auto-trust-anchor", DNSSEC),
    ("root-key-sentinel", DNSSEC),
    ("val-", DNSSEC),
    ("harden-", RECURSION),
    ("private-domain", "dns64d has no exceptions from excluded addresses by name"),
    ("do-not-query-localhost", "dns64d asks whatever server it is told"),
    ("do-not-query-address", RECURSION),
    ("root-hints", RECURSION),
    ("target-fetch-policy", RECURSION),
    ("qname-minimisation", RECURSION),
    ("prefetch-key", DNSSEC),
    ("aggressive-nsec", DNSSEC),
    ("infra-", TUNING),
    ("outgoing-", TUNING),
    ("num-queries-per-thread", TUNING),
    ("jostle-timeout", TUNING),
    ("so-", TUNING),
    ("msg-", TUNING),
    ("rrset-", TUNING),
    ("key-cache-", DNSSEC),
    ("neg-cache-size", DNSSEC),
    ("edns-buffer-size", "dns64d asks its servers with 1232 octets"),
    ("minimal-responses", "dns64d's answers are always minimal"),
    ("use-caps-for-id", "dns64d always varies letter case where the server keeps it"),
    ("caps-", "dns64d finds servers that do not keep letter case by itself"),
    ("do-daemonize", PROCESS),
    ("chroot", PROCESS),
    ("username", PROCESS),
    ("pidfile", PROCESS),
    ("use-systemd", PROCESS),
    ("verbosity", LOG),
    ("log-", LOG),
    ("logfile", LOG),
    ("use-syslog", LOG),
    ("statistics-", "dns64d counts always"),
    ("extended-statistics", "dns64d counts always"),
    ("shm-", "dns64d counts always"),
    ("tls-", TLS),
    ("ssl-", TLS),
    ("https-", TLS),
    ("http-", TLS),
    ("quic-", TLS),
    ("do-ip", "dns64d uses the families of the addresses that it is told"),
    ("do-udp", "dns64d serves UDP and TCP on every address"),
    ("do-tcp", "dns64d serves UDP and TCP on every address"),
    ("prefer-ip", "dns64d prefers the server that answers sooner"),
    ("tcp-", TUNING),
    ("deny-any", "dns64d always answers ANY with HINFO (RFC 8482)"),
    ("ratelimit", "dns64d limits clients, not zones: see limits.rate"),
    ("ip-ratelimit", "see limits.rate_burst and limits.rate_slip"),
    ("serve-expired-client-timeout", "dns64d gives a stale answer after 1.8 seconds"),
    ("serve-expired", "dns64d does as RFC 8767 advises"),
    ("forward-first", "dns64d does not resolve by itself when servers fail"),
    ("forward-no-cache", "dns64d caches every answer"),
    ("forward-tcp-upstream", "dns64d asks by UDP first"),
    ("access-control", "tags and views of Unbound choose local data, which dns64d has not"),
    ("hide-", "dns64d forwards such names"),
    ("identity", "dns64d forwards such names"),
];

const LOCAL: &str = "dns64d has no local data: leave it to the resolver behind dns64d";
const DNSSEC: &str = "not carried over: dnssec.mode = \"validate\" validates here";
const RECURSION: &str = "dns64d does not recurse: the resolver behind it does";
const TUNING: &str = "dns64d sizes this by itself";
const PROCESS: &str = "dns64d runs in the foreground, as the user who starts it";
const LOG: &str = "dns64d logs to standard error: see [log]";
const TLS: &str = "dns64d serves plain DNS only";

/// Why a key or a clause is left out.
pub(super) fn why_not(key: &str) -> &'static str {
    match key {
        "view" => "views of Unbound choose local data, which dns64d has not",
        "remote-control" => "dns64d has no such interface",
        "python" | "dynlib" => "dns64d runs no modules of Unbound",
        "rpz" => "response policy zones of Unbound are not read",
        "dnstap" => "dns64d writes no dnstap",
        "cachedb" | "redis" => "dns64d's cache is in memory only",
        "dnscrypt" => TLS,
        "ipset" => "dns64d sets no addresses of a firewall",
        _ => {
            let reason = REASONS.iter().find(|(begin, _)| key.starts_with(begin));
            reason.map_or("dns64d has nothing like it", |(_, reason)| reason)
        }
    }
}

/// Whether a key is known, and so has one value.
pub(super) fn is_known(key: &str) -> bool {
    /// Read, and not in [`ARITY`].
    const READ: [&str; 14] = [
        "num-threads",
        "msg-cache-size",
        "rrset-cache-size",
        "cache-min-ttl",
        "cache-max-ttl",
        "cache-max-negative-ttl",
        "serve-expired",
        "serve-expired-ttl",
        "max-udp-size",
        "incoming-num-tcp",
        "tcp-idle-timeout",
        "ip-ratelimit",
        "verbosity",
        "do-daemonize",
    ];
    READ.contains(&key) || REASONS.iter().any(|(begin, _)| key.starts_with(begin))
}
