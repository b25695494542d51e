//! Reads a whole configuration and checks what holds between its parts.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::changes::written;
use super::control::read_control;
use super::datapath::read_datapath;
use super::dns64::{read_views, set_list};
use super::dnssec::read_dnssec;
use super::error::{ConfigError, ConfigErrors};
use super::include::{Gathered, gather};
use super::metrics::read_metrics;
use super::observe::{read_dnstap, read_query_log};
use super::pool::{read_pools, warn_of_unused};
use super::reader::{Item, Source, SourceFile, Table};
use super::rpz::read_rpz;
use super::sandbox::read_sandbox;
use super::script::read_script;
use super::snapshot::{SnapshotSettings, read_snapshot};
use super::values::{self, Family};
use super::{Config, LogFormat, LogLevel, resolv};
use crate::policy::{AddressList, CachePolicy, Limits, PolicySettings, Timing, ViewId};

/// The tables and keys of the document.
const DOCUMENT_KEYS: [&str; 22] = [
    "include",
    "listen",
    "workers",
    "allow",
    "drop",
    "upstream",
    "forward",
    "pool",
    "dns64",
    "view",
    "rpz",
    "cache",
    "limits",
    "datapath",
    "dnssec",
    "script",
    "control",
    "metrics",
    "query_log",
    "dnstap",
    "sandbox",
    "log",
];

/// Most addresses to listen on.
const LISTEN_MAX: usize = 64;

/// Most servers in one list.
const SERVERS_MAX: usize = 32;

/// Most `[[forward]]` tables: with [`SERVERS_MAX`] servers each they still fit an `UpstreamId`.
const FORWARDS_MAX: usize = 2_000;

const _: () = assert!((FORWARDS_MAX + 1) * SERVERS_MAX <= u16::MAX as usize + 1);

/// Seconds in a week: the longest sensible TTL (RFC 8767 4 caps stale data there too).
const WEEK_SECS: u32 = 604_800;

/// The least cache: below it there is no room for the answers under way.
const CACHE_SIZE_MIN: u64 = 1 << 20;

/// A server, and the value that names it.
type NamedServer<'a> = (SocketAddr, Item<'a>);

/// Reads a configuration. `machine_resolvers` is asked for servers if the text names none.
pub(super) fn read(
    text: &str,
    origin: &str,
    machine_resolvers: impl FnOnce() -> Result<Vec<SocketAddr>, ConfigError>,
) -> Result<Config, ConfigErrors> {
    let Gathered { files, named_files, errors } = gather(text, origin);
    let source = Source::new(&files);
    errors.into_iter().for_each(|error| source.refuse_other(error));
    let parsed = source.parse();
    // After a mistake of syntax, what the parser lost would be reported a second time, as missing.
    let config = source.is_clean().then(|| {
        let document = Table::document(&source, &parsed, &DOCUMENT_KEYS);
        let config = read_document(&source, &document, machine_resolvers);
        if source.is_clean() {
            warn_of_views_without_clients(&document, &config);
        }
        config
    });
    drop(parsed);
    let named_files = [named_files, source.named_files()].concat();
    let (errors, warnings) = source.into_reports();
    let included = files.iter().skip(1).map(|file| file.name().to_owned()).collect();
    let written = written(files.iter().map(SourceFile::text));
    match (config, errors.is_empty()) {
        (Some(config), true) => Ok(Config { included, named_files, warnings, written, ..config }),
        _ => Err(ConfigErrors::new(errors)),
    }
}

/// Reads a document whose syntax is right.
fn read_document(
    source: &Source<'_>,
    document: &Table<'_>,
    machine_resolvers: impl FnOnce() -> Result<Vec<SocketAddr>, ConfigError>,
) -> Config {
    let listen = read_listen(document);
    let workers = document.item("workers").and_then(|item| item.integer(1..=256));
    let mut allow = default_allow();
    set_list(document, "allow", Family::Both, &mut allow);
    let mut dropped = AddressList::default();
    set_list(document, "drop", Family::Both, &mut dropped);
    warn_of_open_resolver(document, &allow, &listen);

    let (timing, servers) = read_upstream(document);
    let servers = match servers {
        Some(servers) => {
            refuse_loops(&servers, &listen);
            servers.into_iter().map(|(address, _)| address).collect()
        }
        None => servers_of_machine(source, &listen, machine_resolvers),
    };
    let forwards = read_forwards(document, &listen);
    let pools = read_pools(document);
    let views = read_views(document, &pools, timing.budget, &listen);
    warn_of_unused(document, &views);
    if let Some(item) = document.item("dns64")
        && views.iter().all(|view| !view.enabled)
    {
        item.warn("no view does DNS64", "enabled = true turns it on");
    }
    let datapath = read_datapath(document);
    let (dnssec, trust_anchors) = read_dnssec(document);
    let script = read_script(source, document, &listen);
    let (log_level, log_format) = read_log(document);
    let (cache, snapshot) = read_cache(document);
    Config {
        listen: listen.clone(),
        workers: workers.and_then(|workers| u16::try_from(workers).ok()),
        policy: PolicySettings {
            allow,
            drop: dropped,
            rpz: read_rpz(source, document, &views),
            views,
            listen,
            pools: pools.iter().map(|pool| pool.settings.clone()).collect(),
            servers,
            forwards,
            cache,
            timing,
            limits: read_limits(document),
            dnssec,
        },
        pools,
        trust_anchors,
        datapath,
        script,
        control: read_control(document),
        metrics: read_metrics(document),
        query_log: read_query_log(document),
        dnstap: read_dnstap(document),
        snapshot,
        sandbox: read_sandbox(document),
        log_level,
        log_format,
        included: Vec::new(),
        written: BTreeMap::new(),
        named_files: Vec::new(),
        warnings: Vec::new(),
    }
}

/// Warns of views that no client can be in: an earlier one has them all.
fn warn_of_views_without_clients(document: &Table<'_>, config: &Config) {
    let policy = config.policy();
    let items = document.item("view").and_then(|item| item.items()).unwrap_or_default();
    // The view at index 0 is the [dns64] table.
    for (item, index) in items.iter().zip(1u16..) {
        if !policy.has_clients(ViewId(index)) {
            item.warn("no client is in this view", "the first view that has a client wins");
        }
    }
}

// ---- Who asks whom

/// Where we listen without configuration: where nobody else does, and nobody else can ask.
pub(super) const LISTEN_DEFAULT: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5364),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 5364),
];

/// Who may ask without configuration: this machine and its local networks.
pub(super) const ALLOW_DEFAULT: [&str; 8] = [
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "169.254.0.0/16",
    "fe80::/10",
];

/// The default of `allow`.
fn default_allow() -> AddressList {
    AddressList::of(ALLOW_DEFAULT.iter().map(|text| text.parse().expect("a test reads them")))
}

/// Reads `listen`.
fn read_listen(document: &Table<'_>) -> Vec<SocketAddr> {
    let Some(item) = document.item("listen") else {
        return LISTEN_DEFAULT.to_vec();
    };
    let Some(items) = item.items() else {
        return Vec::new();
    };
    if items.is_empty() {
        let hint = "leave the key out for the default";
        item.refuse_with_hint("there is no address to listen on", hint);
    }
    if let Some(item) = items.get(LISTEN_MAX) {
        item.refuse(format_args!("there are more than {LISTEN_MAX} addresses to listen on"));
    }
    let mut listen = Vec::new();
    for item in items {
        let Some(address) = item.parse_with(values::socket_address) else {
            continue;
        };
        if listen.contains(&address) {
            item.refuse(format_args!("{address} is in this list already"));
        }
        listen.push(address);
    }
    listen
}

/// Warns if everybody may ask from everywhere: such a resolver is found and misused within days.
fn warn_of_open_resolver(document: &Table<'_>, allow: &AddressList, listen: &[SocketAddr]) {
    let Some(item) = document.item("allow") else {
        return;
    };
    // Two addresses that nobody has: whoever lets them ask lets everybody ask.
    let strangers = [
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    ];
    let everybody = strangers.iter().any(|stranger| {
        let entry = allow.entries().iter().find(|entry| entry.network.contains(stranger));
        entry.is_some_and(|entry| entry.network.prefix_len() == 0) && allow.has(*stranger)
    });
    if everybody && listen.iter().any(|address| !address.ip().is_loopback()) {
        let hint = "name the networks of your clients; limits.rate lessens the harm";
        item.warn("everybody may ask: an open resolver is misused to flood others", hint);
    }
}

/// Reads `[upstream]`.
fn read_upstream<'a>(document: &Table<'a>) -> (Timing, Option<Vec<NamedServer<'a>>>) {
    let mut timing = Timing::default();
    let known = ["servers", "timeout_ms", "budget_ms"];
    let Some(table) = document.item("upstream").and_then(|item| item.table(&known)) else {
        return (timing, None);
    };
    let milliseconds = |key: &str, range, target: &mut Duration| {
        let item = table.item(key)?;
        *target = Duration::from_millis(u64::from(item.integer(range)?));
        Some(item)
    };
    let timeout = milliseconds("timeout_ms", 10..=10_000, &mut timing.timeout);
    let budget = milliseconds("budget_ms", 100..=30_000, &mut timing.budget);
    if timing.timeout > timing.budget
        && let Some(item) = budget.or(timeout)
    {
        let (timeout, budget) = (timing.timeout.as_millis(), timing.budget.as_millis());
        let message =
            format!("one try ({timeout} ms) would outlast the whole budget ({budget} ms)");
        item.refuse_with_hint(message, "budget_ms must be at least timeout_ms");
    }
    let servers = table.item("servers").map(|item| read_servers(&item));
    (timing, servers)
}

/// Reads a list of servers.
fn read_servers<'a>(item: &Item<'a>) -> Vec<NamedServer<'a>> {
    let Some(items) = item.items() else {
        return Vec::new();
    };
    if items.is_empty() {
        item.refuse("there is no server to ask");
    }
    if let Some(item) = items.get(SERVERS_MAX) {
        item.refuse(format_args!("there are more than {SERVERS_MAX} servers in one list"));
    }
    let mut servers: Vec<NamedServer<'a>> = Vec::new();
    for item in items {
        let Some(address) = item.parse_with(values::server_address) else {
            continue;
        };
        if servers.iter().any(|(earlier, _)| *earlier == address) {
            item.refuse(format_args!("{address} is in this list already"));
        }
        servers.push((address, item));
    }
    servers
}

/// Whether a query to the server would come back to us.
fn is_ourselves(server: SocketAddr, listen: &[SocketAddr]) -> bool {
    listen.iter().any(|own| {
        // Listening on every address includes the loopback; which others are ours is not known
        // here.
        let every = own.ip().is_unspecified()
            && own.is_ipv4() == server.is_ipv4()
            && server.ip().is_loopback();
        own.port() == server.port() && (own.ip().to_canonical() == server.ip() || every)
    })
}

/// Refuses servers that are ourselves.
fn refuse_loops(servers: &[NamedServer<'_>], listen: &[SocketAddr]) {
    for (server, item) in servers {
        if is_ourselves(*server, listen) {
            item.refuse(format_args!("{server} is where we listen ourselves: a loop"));
        }
    }
}

/// The resolvers of the machine, without ourselves.
fn servers_of_machine(
    source: &Source<'_>,
    listen: &[SocketAddr],
    machine_resolvers: impl FnOnce() -> Result<Vec<SocketAddr>, ConfigError>,
) -> Vec<SocketAddr> {
    let mut servers = match machine_resolvers() {
        Ok(servers) => servers,
        Err(error) => {
            source.refuse_other(error);
            return Vec::new();
        }
    };
    let own: Vec<SocketAddr> =
        servers.iter().copied().filter(|server| is_ourselves(*server, listen)).collect();
    servers.retain(|server| !own.contains(server));
    servers.truncate(SERVERS_MAX);
    match (own.first(), servers.is_empty()) {
        (Some(own), true) => source.refuse_other(resolv::only_ourselves(*own)),
        (Some(own), false) => source.warn_other(resolv::left_out(*own)),
        (None, _) => {}
    }
    servers
}

/// Reads the `[[forward]]` tables.
fn read_forwards(document: &Table<'_>, listen: &[SocketAddr]) -> Vec<(Vec<u8>, Vec<SocketAddr>)> {
    let items = document.item("forward").and_then(|item| item.items()).unwrap_or_default();
    if let Some(item) = items.get(FORWARDS_MAX) {
        item.refuse(format_args!("there are more than {FORWARDS_MAX} zones"));
        return Vec::new();
    }
    let mut forwards: Vec<(Vec<u8>, Vec<SocketAddr>)> = Vec::new();
    let mut zones = HashSet::new();
    for item in items {
        let Some(table) = item.table(&["zone", "servers"]) else {
            continue;
        };
        let zone_item = table.required("zone");
        let servers = table.required("servers").map(|item| read_servers(&item));
        let servers = servers.unwrap_or_default();
        refuse_loops(&servers, listen);
        let Some(zone_item) = zone_item else {
            continue;
        };
        let Some(zone) = zone_item.parse_with(values::name) else {
            continue;
        };
        if !zones.insert(zone.to_ascii_lowercase()) {
            zone_item.refuse("this zone has its servers already");
        }
        forwards.push((zone, servers.into_iter().map(|(address, _)| address).collect()));
    }
    forwards
}

// ---- Numbers

/// Reads `[cache]`.
fn read_cache(document: &Table<'_>) -> (CachePolicy, Option<SnapshotSettings>) {
    let mut cache = CachePolicy::default();
    let known = [
        "size",
        "min_ttl",
        "max_ttl",
        "max_negative_ttl",
        "serve_stale",
        "max_stale",
        "prefetch",
        "snapshot",
        "snapshot_interval",
    ];
    let Some(table) = document.item("cache").and_then(|item| item.table(&known)) else {
        return (cache, None);
    };
    if let Some(item) = table.item("size")
        && let Some(size_bytes) = item.parse_with(values::size)
    {
        cache.size_bytes = size_bytes;
        if size_bytes < CACHE_SIZE_MIN {
            item.refuse_with_hint("the cache needs at least 1 MiB", "max_ttl = 0 caches nothing");
        }
    }
    table.set_integer("min_ttl", 0..=86_400, &mut cache.min_ttl_secs);
    table.set_integer("max_ttl", 0..=WEEK_SECS, &mut cache.max_ttl_secs);
    table.set_integer("max_negative_ttl", 0..=WEEK_SECS, &mut cache.max_negative_ttl_secs);
    table.set_boolean("serve_stale", &mut cache.serve_stale);
    table.set_integer("max_stale", 0..=WEEK_SECS, &mut cache.max_stale_secs);
    table.set_boolean("prefetch", &mut cache.prefetch);
    if cache.min_ttl_secs > cache.max_ttl_secs
        && let Some(item) = table.item("min_ttl").or_else(|| table.item("max_ttl"))
    {
        let (least, most) = (cache.min_ttl_secs, cache.max_ttl_secs);
        item.refuse(format_args!("min_ttl ({least}) is above max_ttl ({most})"));
    }
    let snapshot = read_snapshot(&table);
    if cache.max_ttl_secs == 0
        && snapshot.is_some()
        && let Some(item) = table.item("snapshot")
    {
        item.warn("this means nothing where nothing is cached", "set cache.max_ttl");
    }
    (cache, snapshot)
}

/// Reads `[limits]`.
fn read_limits(document: &Table<'_>) -> Limits {
    let mut limits = Limits::default();
    let known = [
        "udp_payload",
        "inflight",
        "inflight_per_client",
        "tcp_clients",
        "tcp_per_client",
        "tcp_idle_ms",
        "tcp_pipeline",
        "rate",
        "rate_burst",
        "rate_slip",
    ];
    let Some(table) = document.item("limits").and_then(|item| item.table(&known)) else {
        return limits;
    };
    table.set_integer("udp_payload", 512..=4_096, &mut limits.udp_payload);
    table.set_integer("inflight", 64..=65_536, &mut limits.inflight);
    table.set_integer("inflight_per_client", 0..=65_536, &mut limits.inflight_per_client);
    table.set_integer("tcp_clients", 1..=1_000_000, &mut limits.tcp_clients);
    table.set_integer("tcp_per_client", 1..=1_000_000, &mut limits.tcp_per_client);
    table.set_integer("tcp_idle_ms", 100..=600_000, &mut limits.tcp_idle_ms);
    table.set_integer("tcp_pipeline", 1..=10_000, &mut limits.tcp_pipeline);
    table.set_integer("rate", 0..=10_000_000, &mut limits.rate);
    // Two seconds of queries at once: resolvers behind us come in bursts when a page is opened.
    limits.rate_burst = limits.rate * 2;
    table.set_integer("rate_burst", 1..=20_000_000, &mut limits.rate_burst);
    table.set_integer("rate_slip", 0..=1_000, &mut limits.rate_slip);
    if limits.rate == 0
        && let Some(item) = table.item("rate_burst")
    {
        item.warn("this means nothing without a rate", "set limits.rate");
    }
    limits
}

// ---- The program

/// Reads `[log]`.
fn read_log(document: &Table<'_>) -> (LogLevel, LogFormat) {
    let (mut level, mut format) = (LogLevel::default(), LogFormat::default());
    let known = ["level", "format"];
    if let Some(table) = document.item("log").and_then(|item| item.table(&known)) {
        let levels = LogLevel::ALL.map(|level| (level.word(), level));
        table.set_word("level", &levels, &mut level);
        let formats = LogFormat::ALL.map(|format| (format.word(), format));
        table.set_word("format", &formats, &mut format);
    }
    (level, format)
}
