//! Reads the `[[pool]]` tables.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::dns64::read_pref64;
use super::reader::{Item, Table};
use crate::limits::PREFIXES_MAX;
use crate::policy::{Gateway, PoolId, PoolSettings, ViewSettings};
use crate::pref64::UOctet;

/// Most `[[pool]]` tables.
const POOLS_MAX: usize = 100;

/// The longest a synthesized answer of a pool lives by default: after a failure, clients that have
/// one ask again within it.
const TTL_MAX_DEFAULT: u32 = 60;

/// A `[[pool]]`: what the policy needs of it, and how its gateways are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// What the policy needs.
    pub settings: PoolSettings,
    /// The probe of each gateway, in the order of the gateways; `None`: it counts as up.
    pub probes: Vec<Option<ProbeConfig>>,
}

/// How a gateway is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// What is tried through it.
    pub kind: ProbeKind,
    /// Time from the begin of one try to that of the next.
    pub interval: Duration,
    /// How long a try may take; not above the interval.
    pub timeout: Duration,
    /// So many tries in a row must work until a failed gateway serves again.
    pub rise: u32,
    /// So many tries in a row must fail until a gateway has failed.
    pub fall: u32,
}

/// What is tried through a gateway. IPv4 addresses are those behind it: they are embedded in its
/// prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// A TCP connection is made.
    Tcp(SocketAddrV4),
    /// A DNS query by UDP, which any response answers.
    Udp(SocketAddrV4),
    /// An ICMP echo.
    Icmp(Ipv4Addr),
    /// A GET request by HTTP/1.1, which a status of 2xx or 3xx answers.
    Http {
        /// The server.
        server: SocketAddrV4,
        /// What is asked for; begins with `/`.
        path: String,
    },
    /// A program that ends with exit code 0. Its arguments; the first is the program.
    Command(Vec<String>),
}

/// Reads the pools.
pub(super) fn read_pools(document: &Table<'_>) -> Vec<PoolConfig> {
    let items = document.item("pool").and_then(|item| item.items()).unwrap_or_default();
    if let Some(item) = items.get(POOLS_MAX) {
        item.refuse(format_args!("there are more than {POOLS_MAX} pools"));
        return Vec::new();
    }
    let mut pools: Vec<PoolConfig> = Vec::new();
    for item in &items {
        if let Some(pool) = read_pool(item, &pools) {
            pools.push(pool);
        }
    }
    pools
}

/// Warns of pools that no view has.
pub(super) fn warn_of_unused(document: &Table<'_>, views: &[ViewSettings]) {
    let items = document.item("pool").and_then(|item| item.items()).unwrap_or_default();
    for (at, item) in (0u16..).zip(&items) {
        let uses = |view: &ViewSettings| view.pool.is_some_and(|used| used.pool == PoolId(at));
        if !views.iter().any(uses) {
            item.warn("no view has this pool", "pool = \"NAME\" in [dns64] or in a view");
        }
    }
}

/// Reads one pool.
fn read_pool(item: &Item<'_>, earlier: &[PoolConfig]) -> Option<PoolConfig> {
    let known = ["name", "prefixes", "affinity_ipv6", "affinity_ipv4", "ttl_max", "probe"];
    let table = item.table(&known)?;
    let name_item = table.required("name");
    let name = name_item.as_ref().and_then(Item::string);
    if let (Some(name), Some(item)) = (name, &name_item) {
        if name.is_empty() || name.contains(char::is_whitespace) {
            item.refuse("a pool has a name of one word");
        } else if earlier.iter().any(|pool| pool.settings.name == name) {
            item.refuse(format_args!("there is a pool \"{name}\" already"));
        }
    }
    let (mut affinity_ipv6, mut affinity_ipv4, mut ttl_max_secs) = (64, 32, TTL_MAX_DEFAULT);
    table.set_integer("affinity_ipv6", 0..=128, &mut affinity_ipv6);
    table.set_integer("affinity_ipv4", 0..=32, &mut affinity_ipv4);
    table.set_integer("ttl_max", 1..=86_400, &mut ttl_max_secs);
    let probe = table.item("probe").and_then(|item| read_probe(&item));
    let list = table.required("prefixes")?;
    let items = list.items()?;
    if items.is_empty() {
        list.refuse("a pool has a gateway");
    }
    if let Some(item) = items.get(PREFIXES_MAX) {
        item.refuse(format_args!("a pool has at most {PREFIXES_MAX} gateways"));
        return None;
    }
    let (mut gateways, mut probes): (Vec<Gateway>, Vec<_>) = (Vec::new(), Vec::new());
    for item in &items {
        let Some((gateway, own)) = read_gateway(item) else { continue };
        let network = gateway.pref64.network();
        if gateways.iter().any(|earlier| earlier.pref64.network() == network) {
            item.refuse(format_args!("the prefix {network} is in this list already"));
        }
        gateways.push(gateway);
        probes.push(own.or_else(|| probe.clone()));
    }
    if gateways.is_empty() {
        return None;
    }
    let settings = PoolSettings {
        name: name?.to_owned(),
        gateways,
        affinity_ipv4: affinity_ipv4 as u8,
        affinity_ipv6: affinity_ipv6 as u8,
        ttl_max_secs,
    };
    Some(PoolConfig { settings, probes })
}

/// Reads one gateway: a prefix, or a table with its weight and probe.
fn read_gateway(item: &Item<'_>) -> Option<(Gateway, Option<ProbeConfig>)> {
    if !item.is_table() {
        let pref64 = read_pref64(item, None, UOctet::Zero)?;
        return Some((Gateway { pref64, weight: 1 }, None));
    }
    let table = item.table(&["prefix", "suffix", "weight", "probe"])?;
    let mut weight = 1;
    table.set_integer("weight", 1..=1_000, &mut weight);
    let probe = table.item("probe").and_then(|item| read_probe(&item));
    let pref64 = read_pref64(&table.required("prefix")?, table.item("suffix"), UOctet::Zero)?;
    Some((Gateway { pref64, weight }, probe))
}

// ---- Probes

/// The keys of a probe of which exactly one must be there.
const KINDS: [&str; 5] = ["tcp", "udp", "icmp", "http", "command"];

/// Reads a probe.
fn read_probe(item: &Item<'_>) -> Option<ProbeConfig> {
    let known = [&KINDS[..], &["interval_ms", "timeout_ms", "rise", "fall"]].concat();
    let table = item.table(&known)?;
    let (mut interval_ms, mut timeout_ms, mut rise, mut fall) = (1_000, 500, 3, 2);
    table.set_integer("interval_ms", 50..=600_000, &mut interval_ms);
    timeout_ms = timeout_ms.min(interval_ms);
    table.set_integer("timeout_ms", 10..=60_000, &mut timeout_ms);
    table.set_integer("rise", 1..=100, &mut rise);
    table.set_integer("fall", 1..=100, &mut fall);
    if timeout_ms > interval_ms
        && let Some(item) = table.item("timeout_ms").or_else(|| table.item("interval_ms"))
    {
        item.refuse(format_args!(
            "a try ({timeout_ms} ms) would outlast the time to the next ({interval_ms} ms)"
        ));
    }
    let kinds: Vec<Item<'_>> = KINDS.iter().filter_map(|key| table.item(key)).collect();
    if kinds.len() != 1 {
        let hint = "one of tcp, udp, icmp, http and command: tcp = \"192.0.2.1:443\"";
        item.refuse_with_hint("a probe tries exactly one thing", hint);
        return None;
    }
    let kind = read_kind(&table)?;
    let (interval, timeout) = (u64::from(interval_ms), u64::from(timeout_ms));
    let (interval, timeout) = (Duration::from_millis(interval), Duration::from_millis(timeout));
    Some(ProbeConfig { kind, interval, timeout, rise, fall })
}

/// Reads what a probe tries.
fn read_kind(table: &Table<'_>) -> Option<ProbeKind> {
    if let Some(item) = table.item("tcp") {
        return read_server(&item, item.string()?).map(ProbeKind::Tcp);
    }
    if let Some(item) = table.item("udp") {
        return read_server(&item, item.string()?).map(ProbeKind::Udp);
    }
    if let Some(item) = table.item("icmp") {
        let text = item.string()?;
        let address = text.parse().ok();
        if address.is_none() {
            item.refuse_with_hint(format_args!("{text:?} is no IPv4 address"), "192.0.2.1");
        }
        return address.map(ProbeKind::Icmp);
    }
    if let Some(item) = table.item("http") {
        return read_url(&item);
    }
    let item = table.item("command")?;
    let items = item.items()?;
    let words: Option<Vec<String>> =
        items.iter().map(|item| item.string().map(str::to_owned)).collect();
    let words = words?;
    if !words.first().is_some_and(|program| program.starts_with('/')) {
        let hint = "such as [\"/usr/local/bin/check-nat64\", \"--quick\"]";
        item.refuse_with_hint("a command begins with the absolute path of a program", hint);
        return None;
    }
    Some(ProbeKind::Command(words))
}

/// Reads an IPv4 address with a port.
fn read_server(item: &Item<'_>, text: &str) -> Option<SocketAddrV4> {
    let server = text.parse().ok().filter(|server: &SocketAddrV4| server.port() != 0);
    if server.is_none() {
        let hint = "such as \"192.0.2.1:443\": it is asked through the prefix";
        item.refuse_with_hint(format_args!("{text:?} is no IPv4 address with a port"), hint);
    }
    server
}

/// Reads a URL of HTTP with an IPv4 address.
fn read_url(item: &Item<'_>) -> Option<ProbeKind> {
    let text = item.string()?;
    let Some(rest) = text.strip_prefix("http://") else {
        let hint = "such as \"http://192.0.2.1/health\": TLS and names are not used";
        item.refuse_with_hint(format_args!("{text:?} is no URL for a probe"), hint);
        return None;
    };
    let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        item.refuse("a URL has no spaces");
        return None;
    }
    let with_port = if server.contains(':') { server.to_owned() } else { format!("{server}:80") };
    let server = read_server(item, &with_port)?;
    Some(ProbeKind::Http { server, path: format!("/{path}") })
}
