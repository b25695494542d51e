//! Reads `[dns64]`, and the `[[view]]` tables that inherit from it.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::pool::PoolConfig;
use super::reader::{Item, Table};
use super::values::{self, Family};
use crate::limits::PREFIXES_MAX;
use crate::policy::{AddressList, PoolId, PoolUse, PrefixSettings, PtrMode, Trigger, ViewSettings};
use crate::pref64::{Pref64, Pref64Error, UOctet};

/// The name of the view that `[dns64]` is.
const DEFAULT_VIEW: &str = "default";

/// Most `[[view]]` tables.
const VIEWS_MAX: usize = 1_000;

/// The keys of `[dns64]`, and of `dns64` in a view.
const DNS64_KEYS: [&str; 14] = [
    "enabled",
    "prefixes",
    "pool",
    "exclude_aaaa",
    "exclude_a",
    "non_global_ipv4",
    "ignore_aaaa",
    "synth_all",
    "bypass",
    "ptr",
    "ipv4only",
    "trigger",
    "allow_nonzero_u",
    "hold_ms",
];

/// The keys of a table in `prefixes`.
const PREFIX_KEYS: [&str; 8] = [
    "prefix",
    "mapped",
    "clients",
    "domains",
    "exclude_aaaa",
    "suffix",
    "recursive_only",
    "break_dnssec",
];

/// The values of a `dns64` table: what a view is made from, and what only the reading needs.
#[derive(Clone, Debug)]
struct Inherited<'p> {
    /// The pools that there are.
    pools: &'p [PoolConfig],
    /// What the view is made from.
    settings: ViewSettings,
    /// Whether a /96 may have bits 64 to 71 that are not zero.
    u_octet: UOctet,
}

/// Reads the views of a document: the `[dns64]` table first, then each `[[view]]`.
pub(super) fn read_views(
    document: &Table<'_>,
    pools: &[PoolConfig],
    budget: Duration,
    listen: &[SocketAddr],
) -> Vec<ViewSettings> {
    let (settings, u_octet) = (ViewSettings::default(), UOctet::Zero);
    let mut base = Inherited { pools, settings, u_octet };
    if let Some(item) = document.item("dns64") {
        read_dns64(&item, &mut base, budget);
    }
    let mut views = vec![base.settings.clone()];
    let tables = document.item("view").and_then(|item| item.items()).unwrap_or_default();
    if let Some(item) = tables.get(VIEWS_MAX) {
        item.refuse(format_args!("there are more than {VIEWS_MAX} views"));
        return views;
    }
    for item in tables {
        if let Some(view) = read_view(&item, &base, &views, budget, listen) {
            views.push(view);
        }
    }
    views
}

/// Reads one `[[view]]`.
fn read_view(
    item: &Item<'_>,
    base: &Inherited<'_>,
    earlier: &[ViewSettings],
    budget: Duration,
    listen: &[SocketAddr],
) -> Option<ViewSettings> {
    let table = item.table(&["name", "clients", "listen", "dns64"])?;
    let mut view = base.clone();
    let name = table.required("name").and_then(|item| Some((item.string()?, item)));
    if let Some((name, item)) = name {
        if name.is_empty() {
            item.refuse("a view has a name");
        } else if name == DEFAULT_VIEW {
            item.refuse("\"default\" is the view that the [dns64] table is");
        } else if earlier.iter().any(|view| view.name == name) {
            item.refuse(format_args!("there is a view \"{name}\" already"));
        }
        name.clone_into(&mut view.settings.name);
    }
    view.settings.listen = table.item("listen").and_then(|item| read_view_listen(&item, listen));
    // A view is one of some clients, or of some of our addresses, or of both.
    let clients = match view.settings.listen {
        Some(_) => table.item("clients"),
        None => table.required("clients"),
    };
    view.settings.clients = clients.and_then(|item| read_list(&item, Family::Both));
    if let Some(item) = table.item("dns64") {
        read_dns64(&item, &mut view, budget);
    }
    Some(view.settings)
}

/// Reads the `listen` of a view: entries of the list of listen addresses, or addresses under one of
/// them that is every address.
fn read_view_listen(item: &Item<'_>, listen: &[SocketAddr]) -> Option<Vec<SocketAddr>> {
    let mut entries = Vec::new();
    for item in item.items()? {
        let Some(entry) = item.parse_with(values::socket_address) else { continue };
        let is_under = |bound: &SocketAddr| {
            let family = bound.is_ipv4() == entry.is_ipv4();
            *bound == entry
                || (bound.ip().is_unspecified() && family && bound.port() == entry.port())
        };
        if !listen.iter().any(is_under) {
            let hint = "give an entry of the list \"listen\", or an address under one that is \
                        every address";
            item.refuse_with_hint(format_args!("nobody listens at {entry}"), hint);
        }
        entries.push(entry);
    }
    if entries.is_empty() {
        item.refuse("a view that no address is asked for has no clients");
    }
    Some(entries)
}

/// Reads a `dns64` table over the values it inherits.
fn read_dns64(item: &Item<'_>, target: &mut Inherited<'_>, budget: Duration) {
    let Some(table) = item.table(&DNS64_KEYS) else {
        return;
    };
    let mut any_u_octet = target.u_octet == UOctet::Any;
    table.set_boolean("allow_nonzero_u", &mut any_u_octet);
    target.u_octet = if any_u_octet { UOctet::Any } else { UOctet::Zero };

    let settings = &mut target.settings;
    table.set_boolean("enabled", &mut settings.enabled);
    table.set_boolean("synth_all", &mut settings.synth_all);
    table.set_boolean("ipv4only", &mut settings.ipv4only);
    let words = [("cname", PtrMode::Cname), ("direct", PtrMode::Direct), ("off", PtrMode::Off)];
    table.set_word("ptr", &words, &mut settings.ptr);
    let words = [("error", Trigger::Error), ("nodata", Trigger::Nodata)];
    table.set_word("trigger", &words, &mut settings.trigger);
    set_list(&table, "exclude_aaaa", Family::Ipv6, &mut settings.exclude_aaaa);
    set_list(&table, "exclude_a", Family::Ipv4, &mut settings.exclude_a);
    set_list(&table, "non_global_ipv4", Family::Ipv4, &mut settings.non_global_ipv4);
    set_names(&table, "ignore_aaaa", &mut settings.ignore_aaaa);
    set_names(&table, "bypass", &mut settings.bypass);
    if let Some(item) = table.item("hold_ms")
        && let Some(hold_ms) = item.integer(0..=10_000)
    {
        settings.hold = Duration::from_millis(u64::from(hold_ms));
        if settings.hold >= budget {
            let message = format!(
                "A would be asked for after {hold_ms} ms, when the client has been answered: \
                 upstream.budget_ms is {}",
                budget.as_millis()
            );
            item.refuse(message);
        }
    }
    if let Some(item) = table.item("prefixes") {
        settings.prefixes = read_prefixes(&item, target.u_octet);
        settings.pool = None;
    }
    if let Some(item) = table.item("pool") {
        if table.item("prefixes").is_some() {
            item.refuse_with_hint(
                "either prefixes or a pool",
                "the prefixes of the pool are those of its gateways",
            );
        }
        set_pool(&item, target);
    }
}

/// Takes the prefixes of a pool for those of the view.
fn set_pool(item: &Item<'_>, target: &mut Inherited<'_>) {
    let Some(name) = item.string() else { return };
    let at = target.pools.iter().position(|pool| pool.settings.name == name);
    let Some((at, pool)) = at.and_then(|at| Some((u16::try_from(at).ok()?, target.pools.get(at)?)))
    else {
        let names: Vec<&str> =
            target.pools.iter().map(|pool| pool.settings.name.as_str()).collect();
        let hint = match names.as_slice() {
            [] => "a [[pool]] table makes one".to_owned(),
            names => format!("pools: {}", names.join(", ")),
        };
        item.refuse_with_hint(format_args!("there is no pool {name:?}"), hint);
        return;
    };
    let gateways = pool.settings.gateways.iter();
    target.settings.prefixes =
        gateways.map(|gateway| PrefixSettings::new(gateway.pref64)).collect();
    let ttl_max_secs = pool.settings.ttl_max_secs;
    target.settings.pool = Some(PoolUse { pool: PoolId(at), ttl_max_secs });
}

// ---- Prefixes

/// Reads the list of prefixes. An empty one stands for 64:ff9b::/96 (RFC 6147 5.2).
fn read_prefixes(item: &Item<'_>, u_octet: UOctet) -> Vec<PrefixSettings> {
    let items = item.items().unwrap_or_default();
    if let Some(item) = items.get(PREFIXES_MAX) {
        item.refuse(format_args!("a view has at most {PREFIXES_MAX} prefixes"));
        return Vec::new();
    }
    let mut prefixes: Vec<PrefixSettings> = Vec::new();
    for item in items {
        let Some(prefix) = read_prefix(&item, u_octet) else {
            continue;
        };
        let network = prefix.pref64.network();
        if prefixes.iter().any(|earlier| earlier.pref64.network() == network) {
            item.refuse(format_args!("the prefix {network} is in this list already"));
        }
        prefixes.push(prefix);
    }
    prefixes
}

/// Reads one prefix: a string, or a table with options.
fn read_prefix(item: &Item<'_>, u_octet: UOctet) -> Option<PrefixSettings> {
    if !item.is_table() {
        let pref64 = read_pref64(item, None, u_octet)?;
        return Some(PrefixSettings::new(pref64));
    }
    let table = item.table(&PREFIX_KEYS)?;
    // Every option is read even where the prefix is wrong, so that its mistakes are reported too.
    let list = |key, family| table.item(key).and_then(|item| read_list(&item, family));
    let mapped = list("mapped", Family::Ipv4);
    let clients = list("clients", Family::Both);
    let exclude_aaaa = list("exclude_aaaa", Family::Ipv6);
    let domains = table.item("domains").map(|item| {
        let mut domains = Vec::new();
        set_names(&table, "domains", &mut domains);
        if domains.is_empty() {
            item.warn("the prefix is for no name", "leave the key out for every name");
        }
        domains
    });
    let (mut recursive_only, mut break_dnssec) = (false, true);
    table.set_boolean("recursive_only", &mut recursive_only);
    table.set_boolean("break_dnssec", &mut break_dnssec);
    let pref64 = read_pref64(&table.required("prefix")?, table.item("suffix"), u_octet)?;
    Some(PrefixSettings {
        pref64,
        mapped,
        clients,
        domains,
        exclude_aaaa,
        recursive_only,
        break_dnssec,
    })
}

/// Reads a prefix and its suffix.
pub(super) fn read_pref64(
    prefix_item: &Item<'_>,
    suffix_item: Option<Item<'_>>,
    u_octet: UOctet,
) -> Option<Pref64> {
    let suffix = match &suffix_item {
        Some(item) => item.parse_with(values::suffix),
        None => Some(Ipv6Addr::UNSPECIFIED),
    };
    let prefix = prefix_item.parse_with(values::prefix)?;
    let error = match Pref64::new(prefix, suffix.unwrap_or(Ipv6Addr::UNSPECIFIED), u_octet) {
        // A suffix that cannot be read has been reported.
        Ok(pref64) => return suffix.map(|_| pref64),
        Err(error) => error,
    };
    match error {
        Pref64Error::Length(_) => prefix_item.refuse(error),
        Pref64Error::HostBits => {
            prefix_item.refuse_with_hint(error, format!("the prefix is {}", prefix.trunc()));
        }
        Pref64Error::UOctet => prefix_item.refuse_with_hint(
            error,
            "if the translator really uses this prefix, allow_nonzero_u = true accepts it",
        ),
        Pref64Error::Suffix => {
            let item = suffix_item.as_ref().unwrap_or(prefix_item);
            let hint = match prefix.prefix_len() {
                96 => "behind a /96 the IPv4 address takes all the room".to_owned(),
                _ => format!("the IPv4 address and bits 64 to 71 of a {prefix} must stay zero"),
            };
            item.refuse_with_hint(error, hint);
        }
    }
    None
}

// ---- Lists

/// Reads a list of networks. Entries that cannot be read are reported and left out.
fn read_list(item: &Item<'_>, family: Family) -> Option<AddressList> {
    let entry = |item: Item<'_>| item.parse_with(|text| values::list_entry(text, family));
    Some(AddressList::new(item.items()?.into_iter().filter_map(entry).collect()))
}

/// Sets a list of networks from a key, if the table has it.
pub(super) fn set_list(table: &Table<'_>, key: &str, family: Family, target: &mut AddressList) {
    if let Some(list) = table.item(key).and_then(|item| read_list(&item, family)) {
        *target = list;
    }
}

/// Sets a list of names from a key, if the table has it.
fn set_names(table: &Table<'_>, key: &str, target: &mut Vec<Vec<u8>>) {
    if let Some(items) = table.item(key).and_then(|item| item.items()) {
        *target = items.iter().filter_map(|item| item.parse_with(values::name)).collect();
    }
}
