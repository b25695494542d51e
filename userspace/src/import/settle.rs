//! Makes what was read fit what dns64d takes, and notes what did not.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::model::{Dns64, Imported, Note, Prefix, Sourced, Value};
use super::text;
use crate::limits::PREFIXES_MAX;
use crate::pref64::{Pref64, Pref64Error, UOctet};

/// Most addresses to listen on, servers in a list, zones with servers, and views: the bounds of
/// our configuration.
const LISTEN_MAX: usize = 64;
const SERVERS_MAX: usize = 32;
const FORWARDS_MAX: usize = 2_000;
const VIEWS_MAX: usize = 1_000;

/// Where dns64d listens without being told.
const LISTEN_DEFAULT: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5364),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 5364),
];

/// Makes it fit.
pub(super) fn settle(imported: &mut Imported) {
    let mut notes = std::mem::take(&mut imported.notes);
    let mut seen = HashSet::new();
    imported.listen.retain(|address| seen.insert(address.value));
    bound(&mut imported.listen, LISTEN_MAX, "addresses to listen on", &mut notes);
    if imported.listen.is_empty() {
        let message = "no address to listen on was found: dns64d listens on port 5364 of loopback";
        notes.push(Note { place: None, message: message.to_owned() });
    }
    let mut listen: Vec<SocketAddr> = imported.listen.iter().map(|address| address.value).collect();
    if listen.is_empty() {
        listen.extend(LISTEN_DEFAULT);
    }

    settle_servers(&mut imported.servers, &listen, "", &mut notes);
    let mut zones = HashSet::new();
    imported.forwards.retain_mut(|forward| {
        let Some(zone) = text::name(&forward.zone.value) else {
            notes.push(said(&forward.zone.origin, "the zone is no domain name"));
            return false;
        };
        forward.zone.value = zone;
        if !zones.insert(forward.zone.value.to_ascii_lowercase()) {
            notes.push(said(&forward.zone.origin, "this zone has its servers already"));
            return false;
        }
        settle_servers(&mut forward.servers, &listen, &forward.zone.origin, &mut notes);
        if forward.servers.is_empty() {
            notes.push(said(&forward.zone.origin, "no server is left for this zone"));
            return false;
        }
        true
    });
    bound(&mut imported.forwards, FORWARDS_MAX, "zones with servers", &mut notes);

    settle_dns64(&mut imported.dns64, &mut notes);
    let mut names = HashSet::from(["default".to_owned()]);
    for view in &mut imported.views {
        let wished = match view.name.value.as_str() {
            "" => "view".to_owned(),
            name => name.to_owned(),
        };
        let mut name = wished.clone();
        let mut number = 1;
        while !names.insert(name.clone()) {
            number += 1;
            name = format!("{wished}-{number}");
        }
        view.name.value = name;
        settle_dns64(&mut view.dns64, &mut notes);
    }
    // A /96 that breaks RFC 6052 2.2 is accepted in a view only if it says so itself.
    bound(&mut imported.views, VIEWS_MAX, "views", &mut notes);
    if let (Some(Value::Integer(least)), Some(Value::Integer(most))) =
        (imported.cache.get("min_ttl"), imported.cache.get("max_ttl"))
        && least > most
    {
        let message = format!("cache.min_ttl: {least} is above max_ttl, {most}: left out");
        notes.push(Note { place: None, message });
        imported.cache.remove("min_ttl");
    }
    imported.notes = notes;
}

/// A note about something whose origin is known.
fn said(origin: &str, what: &str) -> Note {
    Note { place: None, message: format!("{origin}: {what}") }
}

/// Cuts a list.
fn bound<T>(list: &mut Vec<T>, most: usize, what: &str, notes: &mut Vec<Note>) {
    if list.len() > most {
        let left = list.len() - most;
        let message = format!("there are at most {most} {what}: the last {left} are left out");
        notes.push(Note { place: None, message });
        list.truncate(most);
    }
}

/// Servers that can be asked, each once.
fn settle_servers(
    servers: &mut Vec<Sourced<SocketAddr>>,
    listen: &[SocketAddr],
    of: &str,
    notes: &mut Vec<Note>,
) {
    let mut seen = HashSet::new();
    servers.retain_mut(|server| {
        if let IpAddr::V4(address) = server.value.ip().to_canonical() {
            server.value = SocketAddr::new(address.into(), server.value.port());
        }
        let address = server.value.ip();
        if address.is_unspecified() || address.is_multicast() {
            notes.push(said(&server.origin, &format!("{address} is no address of a server")));
            return false;
        }
        if is_ourselves(server.value, listen) {
            let what = format!("{} would be where dns64d listens itself: a loop", server.value);
            notes.push(said(&server.origin, &what));
            return false;
        }
        seen.insert(server.value)
    });
    bound(servers, SERVERS_MAX, &format!("servers in one list {of}"), notes);
}

/// Whether a query to the server would come back.
fn is_ourselves(server: SocketAddr, listen: &[SocketAddr]) -> bool {
    listen.iter().any(|own| {
        let every = own.ip().is_unspecified()
            && own.is_ipv4() == server.is_ipv4()
            && server.ip().is_loopback();
        own.port() == server.port() && (own.ip().to_canonical() == server.ip() || every)
    })
}

/// Prefixes that can be used, each once, and networks and names that can be read.
fn settle_dns64(dns64: &mut Dns64, notes: &mut Vec<Note>) {
    let mut seen = HashSet::new();
    let mut any_u_octet = false;
    let had = !dns64.prefixes.is_empty();
    dns64.prefixes.retain_mut(|prefix| {
        if !seen.insert(prefix.prefix.value) {
            notes.push(said(&prefix.prefix.origin, "this prefix is there already"));
            return false;
        }
        settle_prefix(prefix, &mut any_u_octet, notes)
    });
    bound(&mut dns64.prefixes, PREFIXES_MAX, "prefixes", notes);
    if any_u_octet {
        let why = "a prefix has bits 64 to 71 set, against RFC 6052 2.2";
        dns64.keys.set("allow_nonzero_u", Value::Boolean(true), why);
    }
    if had && dns64.prefixes.is_empty() {
        let why = "no prefix could be carried over";
        dns64.keys.set("enabled", Value::Boolean(false), why);
    }
    settle_keys(&mut dns64.keys, notes);
    for prefix in &mut dns64.prefixes {
        settle_keys(&mut prefix.options, notes);
    }
}

/// Whether a prefix can be used.
fn settle_prefix(prefix: &mut Prefix, any_u_octet: &mut bool, notes: &mut Vec<Note>) -> bool {
    let network = prefix.prefix.value;
    let suffix = match prefix.options.get("suffix") {
        Some(Value::Text(text)) => text.parse().unwrap_or(Ipv6Addr::UNSPECIFIED),
        _ => Ipv6Addr::UNSPECIFIED,
    };
    if suffix.octets()[8] != 0
        || Pref64::new(network, suffix, UOctet::Any) == Err(Pref64Error::Suffix)
    {
        notes.push(said(&prefix.prefix.origin, "the suffix has bits where it may have none"));
        return false;
    }
    match Pref64::new(network, suffix, UOctet::Zero) {
        Ok(_) => true,
        Err(Pref64Error::UOctet) if Pref64::new(network, suffix, UOctet::Any).is_ok() => {
            *any_u_octet = true;
            true
        }
        Err(error) => {
            notes.push(said(&prefix.prefix.origin, &format!("{network}: {error}")));
            false
        }
    }
}

/// The family of addresses that a list of our configuration is about: 4, 6, or both.
fn family_of(key: &str) -> Option<u8> {
    match key {
        "mapped" | "exclude_a" | "non_global_ipv4" => Some(4),
        "exclude_aaaa" => Some(6),
        _ => None,
    }
}

/// Lists with what can be in them.
fn settle_keys(keys: &mut super::model::Keys, notes: &mut Vec<Note>) {
    for (key, sourced) in &mut keys.0 {
        match &mut sourced.value {
            Value::Networks(list) => list.retain(|entry| {
                // Both families otherwise.
                let fits = match (family_of(key), entry.value.network) {
                    (Some(4), IpNet::V6(_)) | (Some(6), IpNet::V4(_)) => false,
                    (_, _) => true,
                };
                // BIND's `any` names both families; a list about one of them takes one.
                if !fits && entry.value.network.prefix_len() > 0 {
                    let what = format!("{} would never match in {key}", entry.value.network);
                    notes.push(said(&entry.origin, &what));
                }
                fits
            }),
            Value::Texts(texts) => texts.retain_mut(|item| match text::name(&item.value) {
                Some(name) => {
                    item.value = name;
                    true
                }
                None => {
                    notes.push(said(&item.origin, "this is no domain name"));
                    false
                }
            }),
            Value::Integer(_) | Value::Boolean(_) | Value::Text(_) => {}
        }
    }
}
