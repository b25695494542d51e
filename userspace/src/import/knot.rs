//! Reads config.yaml of Knot Resolver 6, and what both of its forms have in common.
#![forbid(unsafe_code)]

use std::path::Path;

use super::files::{ImportError, Place, Reading};
use super::model::{Dns64, Imported, List, Prefix, Sourced, Value, View, origin};
use super::text;
use super::yaml::{self, Data, Node};
use crate::pref64::WELL_KNOWN;

/// Reads config.yaml.
///
/// # Errors
/// Syntax, values that cannot be read, and files that cannot be read.
pub(super) fn read(path: &Path, reading: &mut Reading<'_>) -> Result<Imported, ImportError> {
    let (file, text) = reading.open(path, None)?;
    let root = yaml::read(&file, &text)?;
    reading.close();
    if matches!(root.data, Data::Scalar(_) | Data::List(_)) {
        return Err(ImportError::at(&root.place, "the configuration is no map"));
    }
    let mut imported = Imported::default();
    let mut enabled = false;
    for (key, place, node) in root.map() {
        match key.as_str() {
            "dns64" => enabled = dns64(&mut imported, place, node)?,
            "network" => network(&mut imported, node)?,
            "forward" => forward(&mut imported, node)?,
            "views" => views(&mut imported, node)?,
            "cache" => cache(&mut imported, node)?,
            "workers" => {
                if let Some(number) = node.text().and_then(|text| text.parse().ok()) {
                    let number = imported.within(number, 1..=256, place, key);
                    let workers = Value::Integer(number);
                    imported.root.set("workers", workers, origin(place, key));
                }
            }
            "rate-limiting" => imported.note(
                place,
                "rate-limiting: prices of Knot Resolver are no queries a second: see limits.rate",
            ),
            _ => imported.note(place, format!("{key}: {}", why_not(key))),
        }
    }
    if !enabled {
        let why = "dns64 is not enabled";
        imported.dns64.keys.set("enabled", Value::Boolean(false), why);
    }
    finish(&mut imported);
    Ok(imported)
}

/// `dns64: true`, or a map. Versions differ in the names.
fn dns64(imported: &mut Imported, place: &Place, node: &Node) -> Result<bool, ImportError> {
    if let Some(text) = node.text() {
        let enabled = text::boolean(text).ok_or_else(|| {
            ImportError::at(&node.place, format!("dns64: {text} is neither true nor false"))
        })?;
        if enabled {
            prefix(imported, None, place)?;
        }
        return Ok(enabled);
    }
    // In versions without `enable` the map itself turns it on.
    let mut enabled = true;
    let mut address = None;
    for (key, place, node) in node.map() {
        match key.replace('_', "-").as_str() {
            "enable" | "enabled" => {
                enabled = node.text().and_then(text::boolean).ok_or_else(|| {
                    ImportError::at(&node.place, "dns64.enable: is neither true nor false")
                })?;
            }
            "prefix" => address = Some((node.text().unwrap_or_default(), place)),
            "rev-ttl" | "reverse-ttl" => {
                imported.note(place, format!("dns64.{key}: {REVERSE_TTL}"));
            }
            "exclude" | "exclude-subnets" => {
                let words = node.items().into_iter().filter_map(Node::text);
                exclude(imported, words, place)?;
            }
            _ => imported.note(place, format!("dns64.{key}: dns64d has nothing like it")),
        }
    }
    match address {
        Some((text, place)) => prefix(imported, Some(text), place)?,
        None => prefix(imported, None, place)?,
    }
    Ok(enabled)
}

/// Why the TTL of the CNAME of a PTR is left out.
pub(super) const REVERSE_TTL: &str = "the CNAME to a reverse name has the TTL of dns64d";

/// The prefix, or the default. It is a /96, whether it has its length or not.
pub(super) fn prefix(
    imported: &mut Imported,
    text: Option<&str>,
    place: &Place,
) -> Result<(), ImportError> {
    let network = match text {
        Some(text) => text::prefix(text, 96)
            .ok_or_else(|| ImportError::at(place, format!("dns64: {text} is no IPv6 prefix")))?,
        None => WELL_KNOWN.network(),
    };
    imported.dns64.prefixes = vec![Prefix::new(Sourced::new(network, place, "dns64"))];
    Ok(())
}

/// AAAA that do not count.
pub(super) fn exclude<'t>(
    imported: &mut Imported,
    words: impl Iterator<Item = &'t str>,
    place: &Place,
) -> Result<(), ImportError> {
    let from = origin(place, "exclude");
    let mut list = List::new();
    for word in words {
        let network = text::network(word)
            .ok_or_else(|| ImportError::at(place, format!("dns64: {word} is no IPv6 network")))?;
        list.extend(text::entries([network], false, &from));
    }
    imported.dns64.keys.set("exclude_aaaa", Value::Networks(list), from);
    Ok(())
}

/// `network`: where to listen.
fn network(imported: &mut Imported, node: &Node) -> Result<(), ImportError> {
    for (key, place, node) in node.map() {
        match key.as_str() {
            "listen" => {
                for listen in node.items() {
                    one_listen(imported, listen)?;
                }
            }
            "tcp-pipeline" => {
                if let Some(number) = node.text().and_then(|text| text.parse().ok()) {
                    let number = imported.within(number, 1..=10_000, place, key);
                    imported.limits.set("tcp_pipeline", Value::Integer(number), origin(place, key));
                }
            }
            "edns-buffer-size" => {
                let down = node.get("downstream").and_then(Node::text).and_then(text::size);
                if let Some(octets) = down {
                    let octets = imported.within(octets, 512..=4_096, place, key);
                    imported.limits.set("udp_payload", Value::Integer(octets), origin(place, key));
                }
            }
            _ => imported.note(place, format!("network.{key}: dns64d has nothing like it")),
        }
    }
    Ok(())
}

/// One item of `network.listen`.
fn one_listen(imported: &mut Imported, node: &Node) -> Result<(), ImportError> {
    let kind = node.get("kind").and_then(Node::text).unwrap_or("dns");
    if !matches!(kind, "dns" | "xdp") {
        imported.note(&node.place, format!("listen: {kind}: dns64d serves plain DNS only"));
        return Ok(());
    }
    if kind == "xdp" {
        let what = "listen: xdp: name the interface in datapath.interfaces and its addresses in \
                    listen";
        imported.note(&node.place, what);
        return Ok(());
    }
    let port =
        match node.get("port").and_then(Node::text) {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                ImportError::at(&node.place, format!("listen: {port} is no port"))
            })?,
            None => text::PORT,
        };
    let Some(interfaces) = node.get("interface").or_else(|| node.get("ip-address")) else {
        imported.note(&node.place, "listen: dns64d listens on addresses only");
        return Ok(());
    };
    for interface in interfaces.items() {
        let word = interface.text().unwrap_or_default();
        match text::at_port(word, port) {
            Some(address) => {
                let address = Sourced::new(address, &interface.place, "network.listen");
                imported.listen.push(address);
            }
            None => imported.note(
                &interface.place,
                format!("listen: {word} is no address: name the addresses of the interface"),
            ),
        }
    }
    Ok(())
}

/// `forward`: zones and their servers.
fn forward(imported: &mut Imported, node: &Node) -> Result<(), ImportError> {
    for rule in node.items() {
        let mut servers = Vec::new();
        let listed = rule.get("servers").map(Node::items).unwrap_or_default();
        for server in listed {
            if server.get("transport").and_then(Node::text) == Some("tls") {
                imported.note(&server.place, TLS_SERVER);
                continue;
            }
            let words = match &server.data {
                Data::Map(_) => server.get("address").map(Node::items).unwrap_or_default(),
                Data::Null | Data::Scalar(_) | Data::List(_) => vec![server],
            };
            for word in words {
                let text = word.text().unwrap_or_default();
                let address = text::at_port(text, text::PORT).ok_or_else(|| {
                    ImportError::at(&word.place, format!("forward: {text} is no address"))
                })?;
                servers.push(Sourced::new(address, &word.place, "forward"));
            }
        }
        let options = rule.get("options");
        let authoritative = options.and_then(|options| options.get("authoritative"));
        if authoritative.and_then(Node::text).and_then(text::boolean) == Some(true) {
            let what = "forward: dns64d asks these authoritative servers as resolvers";
            imported.note(&rule.place, what);
        }
        for zone in rule.get("subtree").map(Node::items).unwrap_or_default() {
            let name = zone.text().unwrap_or_default().to_owned();
            imported.forward(Sourced::new(name, &zone.place, "forward"), servers.clone());
        }
    }
    Ok(())
}

/// Why a server that is asked by TLS is left out.
pub(super) const TLS_SERVER: &str =
    "forward: dns64d asks by plain DNS only: put a DoT forwarder between";

/// `views`: who may ask, and for whom there is no DNS64. The longest subnet decides there.
fn views(imported: &mut Imported, node: &Node) -> Result<(), ImportError> {
    let (mut allow, mut drop, mut off) = (List::new(), List::new(), List::new());
    let (mut has_drop, mut has_off, mut has_refused) = (false, false, false);
    for view in node.items() {
        let from = origin(&view.place, "views");
        let mut networks = Vec::new();
        for subnet in view.get("subnets").map(Node::items).unwrap_or_default() {
            let text = subnet.text().unwrap_or_default();
            networks.push(text::client_network(text).ok_or_else(|| {
                ImportError::at(&subnet.place, format!("views: {text} is no subnet"))
            })?);
        }
        for (key, place, _) in view.map() {
            if matches!(key.as_str(), "dst-subnet" | "protocols" | "tags") {
                imported.note(place, format!("views.{key}: dns64d tells clients by address only"));
            }
        }
        if view.get("dst-subnet").is_some() || view.get("protocols").is_some() {
            continue;
        }
        let answer = view.get("answer").and_then(Node::text).unwrap_or("allow");
        let dns64 = view.get("options").and_then(|options| options.get("dns64"));
        let no_dns64 = dns64.and_then(Node::text).and_then(text::boolean) == Some(false);
        has_drop |= answer == "noanswer";
        has_refused |= answer == "refused";
        has_off |= no_dns64;
        allow.extend(text::entries(networks.clone(), answer != "allow", &from));
        drop.extend(text::entries(networks.clone(), answer != "noanswer", &from));
        off.extend(text::entries(networks, !no_dns64, &from));
    }
    if has_refused || has_drop {
        allow.extend(text::entries(text::everybody(), false, "default of Knot Resolver"));
        imported.allow = Some(text::longest_first(allow, true));
    }
    if has_drop {
        imported.drop = Some(text::longest_first(drop, true));
    }
    if has_off {
        without_dns64(imported, text::longest_first(off, true));
    }
    Ok(())
}

/// A view of clients that have no DNS64.
pub(super) fn without_dns64(imported: &mut Imported, clients: List) {
    let mut dns64 = Dns64::default();
    dns64.keys.set("enabled", Value::Boolean(false), "");
    let name = Sourced::default_of("no-dns64".to_owned(), "");
    imported.views.push(View { name, clients, dns64 });
}

/// `cache`.
fn cache(imported: &mut Imported, node: &Node) -> Result<(), ImportError> {
    for (key, place, node) in node.map() {
        let text = node.text().unwrap_or_default();
        let wrong = || ImportError::at(&node.place, format!("cache.{key}: {text} cannot be read"));
        match key.as_str() {
            "size-max" => {
                imported.cache_size(text::size(text).ok_or_else(wrong)?, place, "cache.size-max");
            }
            "ttl-max" | "ttl-min" => {
                let (ours, most) =
                    if key == "ttl-max" { ("max_ttl", 604_800) } else { ("min_ttl", 86_400) };
                let seconds = text::seconds(text).ok_or_else(wrong)?;
                let seconds = imported.within(seconds, 0..=most, place, key);
                imported.cache.set(ours, Value::Integer(seconds), origin(place, key));
            }
            "prefetch" => {
                let expiring = node.get("expiring").and_then(Node::text);
                let on = expiring.and_then(text::boolean) == Some(true);
                imported.cache.set("prefetch", Value::Boolean(on), origin(place, key));
                if node.get("prediction").is_some() {
                    imported.note(place, "cache.prefetch.prediction: dns64d predicts nothing");
                }
            }
            "serve-stale" => {
                let on = text::boolean(text).ok_or_else(wrong)?;
                imported.cache.set("serve_stale", Value::Boolean(on), origin(place, key));
            }
            _ => imported.note(place, format!("cache.{key}: dns64d has nothing like it")),
        }
    }
    Ok(())
}

/// What holds of both forms when everything has been read.
pub(super) fn finish(imported: &mut Imported) {
    if imported.listen.is_empty() {
        let addresses = [
            std::net::SocketAddr::from(([127, 0, 0, 1], text::PORT)),
            (std::net::Ipv6Addr::LOCALHOST, text::PORT).into(),
        ];
        let default = |value| Sourced::default_of(value, "default of Knot Resolver");
        imported.listen.extend(addresses.map(default));
    }
    imported.allow.get_or_insert_with(|| {
        text::entries(text::everybody(), false, "Knot Resolver answers everybody")
    });
    for (key, value) in [
        ("min_ttl", Value::Integer(5)),
        ("serve_stale", Value::Boolean(false)),
        ("prefetch", Value::Boolean(false)),
    ] {
        if imported.cache.get(key).is_none() {
            imported.cache.set(key, value, "default of Knot Resolver");
        }
    }
    let keys = &mut imported.dns64.keys;
    keys.set("trigger", Value::Text("nodata".into()), "Knot Resolver passes failures of AAAA on");
    keys.set("ptr", Value::Text("cname".into()), "Knot Resolver answers with a CNAME");
    keys.set("ipv4only", Value::Boolean(false), "Knot Resolver forwards ipv4only.arpa");
    let none = Value::Networks(List::new());
    keys.set("non_global_ipv4", none, "Knot Resolver maps every IPv4 address");
    if keys.get("exclude_aaaa").is_none() {
        let network = "::/96".parse().expect("a network");
        let why = "default of Knot Resolver, which is not ::ffff:0:0/96";
        let list = text::entries([network], false, why);
        keys.set("exclude_aaaa", Value::Networks(list), why);
    }
    if imported.servers.is_empty() {
        imported.remark(
            "no server for every name: Knot Resolver resolves by itself, dns64d forwards. Name \
             resolvers in upstream.servers, such as this Knot Resolver without its dns64 module",
        );
    }
    for difference in [
        "an AAAA answer with one excluded address: Knot Resolver drops all of it, dns64d that \
         address",
        "AAAA that times out: Knot Resolver fails, dns64d asks A while it waits",
        "validation is not carried over: dnssec.mode = \"validate\" validates here",
        "zones that Knot Resolver serves by itself (RFC 6303, local-data) are forwarded",
    ] {
        imported.remark(difference);
    }
}

/// Why a part of config.yaml is left out.
fn why_not(key: &str) -> &'static str {
    match key {
        "dnssec" => "not carried over: dnssec.mode = \"validate\" validates here",
        "local-data" => "dns64d has no local data: leave it to the resolver behind dns64d",
        "logging" => "dns64d logs to standard error: see [log]",
        "monitoring" | "management" => "dns64d has no such interface",
        "lua" => "what it says in Lua is not read here: import it as a file of its own",
        "rundir" | "hostname" | "nsid" | "max-workers" | "version" | "id" => {
            "dns64d needs no such thing"
        }
        "options" => "dns64d does not recurse: the resolver behind it does",
        "defer" => "dns64d limits look-ups of a client: see limits.inflight_per_client",
        _ => "dns64d has nothing like it",
    }
}
