//! `dns64d`: TOML, and only the keys that a case names, so that the program's own defaults are
//! tested.

use std::net::SocketAddr;

use toml::{Table, Value};

use super::{NotExpressible, Place};
use crate::cases::{CaseConfig, PrefixConfig};

/// The configuration file of a case.
pub(super) fn configuration(config: &CaseConfig, place: &Place) -> Result<String, NotExpressible> {
    let mut root = Table::new();
    let listen = place.addresses.map(|address| SocketAddr::new(address, place.port));
    root.insert("listen".into(), strings(listen));
    root.insert("workers".into(), Value::Integer(1));
    root.insert("allow".into(), strings(["0.0.0.0/0", "::/0"]));
    root.insert("upstream".into(), table([("servers", strings([place.upstream.to_string()]))]));

    let mut dns64 = dns64_table(config)?;
    dns64.insert("enabled".into(), Value::Boolean(true));
    root.insert("dns64".into(), Value::Table(dns64));

    let mut cache = Table::new();
    cache.insert("size".into(), Value::String("16MiB".into()));
    match config.no_cache_zones.as_slice() {
        [] => {}
        [zone] if zone == "." => {
            cache.insert("max_ttl".into(), Value::Integer(0));
            cache.insert("max_negative_ttl".into(), Value::Integer(0));
            cache.insert("serve_stale".into(), Value::Boolean(false));
        }
        _ => return Err(NotExpressible("no_cache_zones other than the root")),
    }
    root.insert("cache".into(), Value::Table(cache));

    let mut views = Vec::new();
    for view in &config.views {
        views.push(table([
            ("name", Value::String(view.name.clone())),
            ("clients", strings(&view.clients)),
            ("dns64", Value::Table(dns64_table(&view.dns64)?)),
        ]));
    }
    if !views.is_empty() {
        root.insert("view".into(), Value::Array(views));
    }
    let datapath = place.datapath.parse().map_err(|_| NotExpressible("datapath"))?;
    root.insert("datapath".into(), Value::Table(datapath));
    Ok(root.to_string())
}

/// The keys of `[dns64]` or of a view's `dns64`.
fn dns64_table(config: &CaseConfig) -> Result<Table, NotExpressible> {
    let mut dns64 = Table::new();
    if !config.prefixes.is_empty() {
        let prefixes = config.prefixes.iter().map(prefix).collect();
        dns64.insert("prefixes".into(), Value::Array(prefixes));
    }
    if let Some(ranges) = &config.exclude {
        dns64.insert("exclude_aaaa".into(), strings(ranges));
    }
    if let Some(ranges) = &config.non_global_ipv4_under_wkp {
        dns64.insert("non_global_ipv4".into(), strings(ranges));
    }
    let mut exclude_a = config.exclude_a.clone();
    for policy in &config.policy {
        match (&policy.answer_ip, policy.action.as_deref()) {
            (Some(address), Some("nxdomain")) => exclude_a.push(address.clone()),
            _ => return Err(NotExpressible("a policy that rewrites")),
        }
    }
    for (key, list) in [
        ("exclude_a", &exclude_a),
        ("ignore_aaaa", &config.ignore_aaaa),
        ("bypass", &config.exclude_zones),
    ] {
        if !list.is_empty() {
            dns64.insert(key.into(), strings(list));
        }
    }
    for (key, value) in [
        ("enabled", config.enabled),
        ("synth_all", config.translate_all),
        ("allow_nonzero_u", config.allow_nonzero_u),
        ("ipv4only", config.ipv4only),
    ] {
        if let Some(value) = value {
            dns64.insert(key.into(), Value::Boolean(value));
        }
    }
    for (key, value) in [("ptr", &config.ptr), ("trigger", &config.trigger)] {
        if let Some(value) = value {
            dns64.insert(key.into(), Value::String(value.clone()));
        }
    }
    if let Some(hold_ms) = config.hold_ms {
        let hold_ms = i64::try_from(hold_ms).map_err(|_| NotExpressible("hold_ms"))?;
        dns64.insert("hold_ms".into(), Value::Integer(hold_ms));
    }
    Ok(dns64)
}

/// A prefix: its text alone, or a table with BIND's options.
fn prefix(prefix: &PrefixConfig) -> Value {
    if prefix.is_plain() {
        return Value::String(prefix.prefix.clone());
    }
    let mut entry = Table::new();
    entry.insert("prefix".into(), Value::String(prefix.prefix.clone()));
    if let Some(suffix) = &prefix.suffix {
        entry.insert("suffix".into(), Value::String(suffix.clone()));
    }
    if let Some(clients) = &prefix.clients {
        entry.insert("clients".into(), strings(without_any(clients, &["0.0.0.0/0", "::/0"])));
    }
    if let Some(mapped) = &prefix.mapped {
        entry.insert("mapped".into(), strings(without_any(mapped, &["0.0.0.0/0"])));
    }
    if let Some(exclude) = &prefix.exclude {
        entry.insert("exclude_aaaa".into(), strings(exclude));
    }
    for (key, value) in
        [("recursive_only", prefix.recursive_only), ("break_dnssec", prefix.break_dnssec)]
    {
        if let Some(value) = value {
            entry.insert(key.into(), Value::Boolean(value));
        }
    }
    Value::Table(entry)
}

/// Writes BIND's word `any` as the networks it stands for.
fn without_any(list: &[String], all: &[&str]) -> Vec<String> {
    let mut networks = Vec::new();
    for element in list {
        match element.as_str() {
            "any" => networks.extend(all.iter().map(|&network| network.to_owned())),
            "!any" => networks.extend(all.iter().map(|network| format!("!{network}"))),
            _ => networks.push(element.clone()),
        }
    }
    networks
}

fn strings<I>(list: I) -> Value
where
    I: IntoIterator,
    I::Item: ToString,
{
    Value::Array(list.into_iter().map(|element| Value::String(element.to_string())).collect())
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
