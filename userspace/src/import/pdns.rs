//! Reads recursor.conf and recursor.yml of PowerDNS Recursor. The YAML form has the same settings
//! under other names; both become one list of settings, with their places.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use super::files::{ImportError, Place, Reading, directory_of};
use super::model::{Imported, List, Prefix, Sourced, Value, origin};
use super::text;
use super::yaml::{self, Data, Node};

/// A setting by its name in recursor.conf, without `include-dir`.
struct Setting {
    name: String,
    value: String,
    place: Place,
    /// Where settings of YAML stand: `incoming.listen`.
    word: String,
}

/// Reads recursor.conf.
///
/// # Errors
/// Lines that are no setting, values that cannot be read, and files that cannot be read.
pub(super) fn read_old(path: &Path, reading: &mut Reading<'_>) -> Result<Imported, ImportError> {
    let mut settings = Vec::new();
    old_file(path, reading, None, &mut settings)?;
    let include = settings.iter().rposition(|setting| setting.name == "include-dir");
    if let Some(include) = include.map(|at| settings.remove(at))
        && !include.value.is_empty()
    {
        let pattern = PathBuf::from(&include.value).join("*.conf");
        let bases = [directory_of(path)];
        let pattern = pattern.display().to_string();
        for file in reading.included(&pattern, &bases, &include.place)? {
            old_file(&file, reading, Some(&include.place), &mut settings)?;
        }
    }
    reading.close();
    build(settings, path, reading)
}

/// Reads the lines of one file. The main file stays open for what it includes.
fn old_file(
    path: &Path,
    reading: &mut Reading<'_>,
    from: Option<&Place>,
    settings: &mut Vec<Setting>,
) -> Result<(), ImportError> {
    let (file, text) = reading.open(path, from)?;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let place = Place::line(&file, number + 1);
        let mut whole = line.to_owned();
        // A backslash at the end goes on in the next line.
        while whole.trim_end().ends_with('\\') {
            whole.truncate(whole.trim_end().len() - 1);
            match lines.next() {
                Some((_, next)) => whole.push_str(next.trim_start()),
                None => break,
            }
        }
        let line = whole.split_once('#').map_or(whole.as_str(), |(line, _)| line);
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            continue;
        }
        let (name, value) = line.split_once('=').unwrap_or((line, "yes"));
        let (name, adds) = match name.strip_suffix('+') {
            Some(name) => (name.trim(), true),
            None => (name.trim(), false),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(ImportError::at(&place, format!("\"{line}\" is no setting: NAME=VALUE")));
        }
        let mut value = value.trim().to_owned();
        if let Some(at) = settings.iter().position(|setting| setting.name == name) {
            let earlier = settings.remove(at);
            if adds && !earlier.value.is_empty() {
                value = format!("{}, {value}", earlier.value);
            }
        }
        settings.push(Setting { name: name.to_owned(), value, place, word: name.to_owned() });
    }
    if from.is_some() {
        reading.close();
    }
    Ok(())
}

/// Settings of YAML whose names are not made of those of recursor.conf by dashes alone: section and
/// name, and the name in recursor.conf.
const YAML_NAMES: [(&str, &str); 27] = [
    ("incoming.listen", "local-address"),
    ("incoming.port", "local-port"),
    ("incoming.allow_from", "allow-from"),
    ("incoming.allow_from_file", "allow-from-file"),
    ("incoming.max_tcp_clients", "max-tcp-clients"),
    ("incoming.max_tcp_per_client", "max-tcp-per-client"),
    ("incoming.tcp_timeout", "client-tcp-timeout"),
    ("incoming.udp_truncation_threshold", "udp-truncation-threshold"),
    (
        "incoming.max_concurrent_requests_per_tcp_connection",
        "max-concurrent-requests-per-tcp-connection",
    ),
    ("recursor.dns64_prefix", "dns64-prefix"),
    ("recursor.forward_zones", "forward-zones"),
    ("recursor.forward_zones_recurse", "forward-zones-recurse"),
    ("recursor.forward_zones_file", "forward-zones-file"),
    ("recursor.include_dir", "include-dir"),
    ("recursor.lua_dns_script", "lua-dns-script"),
    ("recursor.threads", "threads"),
    ("recursor.minimum_ttl_override", "minimum-ttl-override"),
    ("recordcache.max_entries", "max-cache-entries"),
    ("recordcache.max_ttl", "max-cache-ttl"),
    ("recordcache.max_negative_ttl", "max-negative-ttl"),
    ("recordcache.refresh_on_ttl_perc", "refresh-on-ttl-perc"),
    ("recordcache.serve_stale_extensions", "serve-stale-extensions"),
    ("packetcache.max_entries", "max-packetcache-entries"),
    ("packetcache.ttl", "packetcache-ttl"),
    ("packetcache.disable", "disable-packetcache"),
    ("packetcache.negative_ttl", "packetcache-negative-ttl"),
    ("dnssec.validation", "dnssec"),
];

/// Reads recursor.yml.
///
/// # Errors
/// Syntax, values that cannot be read, and files that cannot be read.
pub(super) fn read_yaml(path: &Path, reading: &mut Reading<'_>) -> Result<Imported, ImportError> {
    let mut settings = Vec::new();
    let root = yaml_file(path, reading, None, &mut settings)?;
    if let Some(directory) = root.get("recursor").and_then(|node| node.get("include_dir"))
        && let Some(name) = directory.text()
    {
        let pattern = PathBuf::from(name).join("*.yml").display().to_string();
        let place = directory.place.clone();
        for file in reading.included(&pattern, &[directory_of(path)], &place)? {
            yaml_file(&file, reading, Some(&place), &mut settings)?;
        }
    }
    reading.close();
    build(settings, path, reading)
}

fn yaml_file(
    path: &Path,
    reading: &mut Reading<'_>,
    from: Option<&Place>,
    settings: &mut Vec<Setting>,
) -> Result<Node, ImportError> {
    let (file, text) = reading.open(path, from)?;
    let root = yaml::read(&file, &text)?;
    if from.is_some() {
        reading.close();
    }
    if matches!(root.data, Data::Scalar(_) | Data::List(_)) {
        return Err(ImportError::at(&root.place, "the settings are no map"));
    }
    for (section, place, values) in root.map() {
        if matches!(values.data, Data::Scalar(_) | Data::List(_)) {
            return Err(ImportError::at(place, format!("{section}: is no map of settings")));
        }
        for (key, place, node) in values.map() {
            let word = format!("{section}.{key}");
            let known = YAML_NAMES.iter().find(|(name, _)| *name == word);
            let name = known.map_or_else(|| key.replace('_', "-"), |(_, old)| (*old).to_owned());
            if name == "include-dir" {
                continue;
            }
            let value = match name.as_str() {
                "forward-zones" | "forward-zones-recurse" => yaml_zones(node, &name)?,
                _ => plain(node),
            };
            // Lists of a file that is included come behind, other values go before.
            if let Some(at) = settings.iter().position(|setting: &Setting| setting.name == name) {
                let earlier = settings.remove(at);
                let is_list = matches!(node.data, Data::List(_));
                let value =
                    if is_list { format!("{}, {value}", earlier.value) } else { value.clone() };
                settings.push(Setting { name, value, place: place.clone(), word });
                continue;
            }
            settings.push(Setting { name, value, place: place.clone(), word });
        }
    }
    Ok(root)
}

/// Words in the form of recursor.conf: with commas between them.
fn plain(node: &Node) -> String {
    let words: Vec<&str> = node.items().into_iter().filter_map(Node::text).collect();
    match &node.data {
        Data::Map(_) => "(a map)".to_owned(),
        Data::Null | Data::Scalar(_) | Data::List(_) => words.join(", "),
    }
}

/// Zones in the form of recursor.conf. `recurse` of a zone becomes `+`.
fn yaml_zones(node: &Node, name: &str) -> Result<String, ImportError> {
    let mut zones = Vec::new();
    for item in node.items() {
        let zone = item.get("zone").and_then(Node::text).ok_or_else(|| {
            ImportError::at(&item.place, format!("{name}: a zone has zone and forwarders"))
        })?;
        let servers: Vec<&str> = item
            .get("forwarders")
            .map(Node::items)
            .unwrap_or_default()
            .into_iter()
            .filter_map(Node::text)
            .collect();
        let recurse = item.get("recurse").and_then(Node::text).and_then(text::boolean);
        let plus = if recurse == Some(true) { "+" } else { "" };
        zones.push(format!("{plus}{zone}={}", servers.join(";")));
    }
    Ok(zones.join(", "))
}

/// The words of a list.
fn listed(value: &str) -> impl Iterator<Item = &str> {
    value.split([',', ' ', '\t']).filter(|word| !word.is_empty())
}

/// Settings and what they mean.
fn build(
    settings: Vec<Setting>,
    path: &Path,
    reading: &mut Reading<'_>,
) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    let find = |name: &str| settings.iter().find(|setting| setting.name == name);
    let mut networks: Option<List> = None;
    let mut entries_octets = 0;
    let port = match find("local-port") {
        Some(port) => port.value.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            ImportError::at(&port.place, format!("{}: {} is no port", port.word, port.value))
        })?,
        None => text::PORT,
    };
    for setting in &settings {
        let Setting { name, value, place, word } = setting;
        let from = origin(place, word);
        let wrong = |what: &str| ImportError::at(place, format!("{word}: {value} is {what}"));
        let number = || value.parse::<u64>().map_err(|_| wrong("no number"));
        match name.as_str() {
            "local-port" => {}
            "local-address" => {
                for address in listed(value) {
                    let value = text::colon_port(address, port)
                        .ok_or_else(|| wrong("no list of addresses"))?;
                    imported.listen.push(Sourced { value, origin: from.clone() });
                }
            }
            "dns64-prefix" if value.is_empty() => {}
            "dns64-prefix" => {
                let prefix = text::prefix(value, 96).ok_or_else(|| wrong("no IPv6 prefix"))?;
                let prefix = Prefix::new(Sourced { value: prefix, origin: from });
                imported.dns64.prefixes.push(prefix);
            }
            "forward-zones" | "forward-zones-recurse" => {
                zones(&mut imported, setting, name == "forward-zones-recurse")?;
            }
            "forward-zones-file" if !value.is_empty() => {
                zones_file(&mut imported, setting, path, reading)?;
            }
            "allow-from" => {
                networks.get_or_insert_default().extend(netmasks(value, &from, place)?);
            }
            "allow-from-file" if !value.is_empty() => {
                let path = directory_of(path).join(value);
                let (file, text) = reading.open(&path, Some(place))?;
                for (line, content) in text.lines().enumerate() {
                    let content = content.split('#').next().unwrap_or_default();
                    let place = Place::line(&file, line + 1);
                    let from = origin(&place, word);
                    networks.get_or_insert_default().extend(netmasks(content, &from, &place)?);
                }
                reading.close();
            }
            "threads" => {
                let threads = imported.within(number()?, 1..=256, place, word);
                imported.root.set("workers", Value::Integer(threads), from);
            }
            "max-cache-entries" | "max-packetcache-entries" => {
                /// Octets that an entry is counted as: the usual answer with its name.
                const ENTRY: u64 = 384;
                entries_octets = number()?.saturating_mul(ENTRY).max(entries_octets);
                imported.cache_size(entries_octets, place, "entries, 384 octets for each");
            }
            "max-cache-ttl" | "max-negative-ttl" => {
                let key = if name == "max-cache-ttl" { "max_ttl" } else { "max_negative_ttl" };
                let seconds = imported.within(number()?, 0..=604_800, place, word);
                imported.cache.set(key, Value::Integer(seconds), from);
            }
            "minimum-ttl-override" => {
                let seconds = imported.within(number()?, 0..=86_400, place, word);
                imported.cache.set("min_ttl", Value::Integer(seconds), from);
            }
            "serve-stale-extensions" => {
                // Each time by 30 seconds.
                let extensions = number()?;
                imported.cache.set("serve_stale", Value::Boolean(extensions > 0), from.clone());
                if extensions > 0 {
                    let span = extensions.saturating_mul(30);
                    let seconds = imported.within(span, 0..=604_800, place, word);
                    imported.cache.set("max_stale", Value::Integer(seconds), from);
                }
            }
            "refresh-on-ttl-perc" => {
                imported.cache.set("prefetch", Value::Boolean(number()? > 0), from);
            }
            "max-tcp-clients" => {
                let clients = imported.within(number()?, 1..=1_000_000, place, word);
                imported.limits.set("tcp_clients", Value::Integer(clients), from);
            }
            "max-tcp-per-client" => match number()? {
                // No limit.
                0 => {}
                clients => {
                    let clients = imported.within(clients, 1..=1_000_000, place, word);
                    imported.limits.set("tcp_per_client", Value::Integer(clients), from);
                }
            },
            "max-concurrent-requests-per-tcp-connection" => {
                let queries = imported.within(number()?, 1..=10_000, place, word);
                imported.limits.set("tcp_pipeline", Value::Integer(queries), from);
            }
            "client-tcp-timeout" => {
                let idle = number()?.saturating_mul(1_000);
                let idle = imported.within(idle, 100..=600_000, place, word);
                imported.limits.set("tcp_idle_ms", Value::Integer(idle), from);
            }
            "udp-truncation-threshold" => {
                let octets = imported.within(number()?, 512..=4_096, place, word);
                imported.limits.set("udp_payload", Value::Integer(octets), from);
            }
            "lua-dns-script" if !value.is_empty() => {
                imported.script.set("file", Value::Text(value.clone()), from);
                let what = format!(
                    "{word}: [script] runs the hooks of this script; compare what it uses with what \
                     dns64d has"
                );
                imported.note(place, what);
            }
            _ if value.is_empty() => {}
            _ => imported.note(place, format!("{word}: {value}: {}", why_not(name))),
        }
    }
    finish(&mut imported, networks);
    Ok(imported)
}

/// What holds when everything has been read.
fn finish(imported: &mut Imported, networks: Option<List>) {
    const ALLOW: &str = "127.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 192.168.0.0/16, \
                         172.16.0.0/12, ::1/128, fc00::/7, fe80::/10";
    if imported.listen.is_empty() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], text::PORT));
        imported.listen.push(Sourced::default_of(address, "default of PowerDNS Recursor"));
    }
    let networks = networks.unwrap_or_else(|| {
        let network = |word| text::network(word).expect("networks");
        text::entries(listed(ALLOW).map(network), false, "default of PowerDNS Recursor")
    });
    // Who is not in the list gets no answer at all there.
    let networks = text::longest_first(networks, false);
    let mut drop = networks.clone();
    for entry in &mut drop {
        entry.value.out = !entry.value.out;
    }
    let why = "PowerDNS Recursor drops what it does not allow";
    drop.extend(text::entries(text::everybody(), false, why));
    imported.drop = Some(text::longest_first(drop, true));
    imported.allow = Some(networks);
    for (key, value) in [("serve_stale", false), ("prefetch", false)] {
        if imported.cache.get(key).is_none() {
            imported.cache.set(key, Value::Boolean(value), "default of PowerDNS Recursor");
        }
    }
    let dns64 = &mut imported.dns64;
    if dns64.prefixes.is_empty() {
        dns64.keys.set("enabled", Value::Boolean(false), "dns64-prefix is not set");
    }
    let keys = &mut dns64.keys;
    let none = || Value::Networks(List::new());
    keys.set("trigger", Value::Text("error".into()), "PowerDNS asks A on every failure");
    keys.set("ptr", Value::Text("cname".into()), "PowerDNS answers with a CNAME");
    keys.set("ipv4only", Value::Boolean(false), "PowerDNS forwards ipv4only.arpa");
    keys.set("non_global_ipv4", none(), "PowerDNS maps every IPv4 address");
    keys.set("exclude_aaaa", none(), "PowerDNS excludes no AAAA");
    if imported.servers.is_empty() {
        imported.remark(
            "no server for every name: PowerDNS Recursor resolves by itself, dns64d forwards. Name \
             resolvers in upstream.servers, such as this Recursor without dns64-prefix",
        );
    }
    for difference in [
        "CD: PowerDNS synthesizes, dns64d does not (RFC 6147 5.5)",
        "dnssec is not carried over: dnssec.mode = \"validate\" validates here",
        "AAAA that fails and A without data: PowerDNS answers NOERROR, dns64d SERVFAIL",
        "zones that PowerDNS serves by itself (serve-rfc1918, export-etc-hosts) are forwarded",
    ] {
        imported.remark(difference);
    }
}

/// Netmasks with `!`.
fn netmasks(value: &str, from: &str, place: &Place) -> Result<List, ImportError> {
    let mut list = List::new();
    for word in listed(value) {
        let (rest, out) = word.strip_prefix('!').map_or((word, false), |rest| (rest, true));
        let network = text::client_network(rest)
            .ok_or_else(|| ImportError::at(place, format!("{word} is no network")))?;
        list.extend(text::entries([network], out, from));
    }
    Ok(list)
}

/// `ZONE=SERVER;SERVER, ZONE=...`.
fn zones(imported: &mut Imported, setting: &Setting, recurse: bool) -> Result<(), ImportError> {
    for zone in setting.value.split(',').map(str::trim).filter(|zone| !zone.is_empty()) {
        one_zone(imported, zone, recurse, &setting.place, &setting.word)?;
    }
    Ok(())
}

/// One zone and its servers.
fn one_zone(
    imported: &mut Imported,
    zone: &str,
    recurse: bool,
    place: &Place,
    word: &str,
) -> Result<(), ImportError> {
    let (zone, recurse) = match zone.strip_prefix('+') {
        Some(zone) => (zone, true),
        None => (zone, recurse),
    };
    // `^` allows notifications.
    let zone = zone.trim_start_matches('^');
    let (name, servers) = zone
        .split_once('=')
        .ok_or_else(|| ImportError::at(place, format!("{word}: {zone} is no ZONE=SERVERS")))?;
    let name = name.trim();
    let mut addresses = Vec::new();
    for server in servers.split([';', ' ', '\t', ',']).filter(|server| !server.is_empty()) {
        let address = text::colon_port(server, text::PORT)
            .ok_or_else(|| ImportError::at(place, format!("{word}: {server} is no address")))?;
        addresses.push(Sourced::new(address, place, word));
    }
    if !recurse {
        let what = format!(
            "{word} {name}: PowerDNS asks these servers without RD, as authoritative ones; dns64d asks \
             them as resolvers"
        );
        imported.note(place, what);
    }
    imported.forward(Sourced::new(name.to_owned(), place, word), addresses);
    Ok(())
}

/// The lines of `forward-zones-file`, or its YAML.
fn zones_file(
    imported: &mut Imported,
    setting: &Setting,
    path: &Path,
    reading: &mut Reading<'_>,
) -> Result<(), ImportError> {
    let path = directory_of(path).join(&setting.value);
    let (file, text) = reading.open(&path, Some(&setting.place))?;
    if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
        let root = yaml::read(&file, &text)?;
        let value = yaml_zones(&root, "forward-zones")?;
        let place = root.place;
        let word = setting.word.clone();
        zones(imported, &Setting { name: String::new(), value, place, word }, false)?;
    } else {
        for (line, content) in text.lines().enumerate() {
            let content = content.split('#').next().unwrap_or_default().trim();
            if !content.is_empty() {
                let place = Place::line(&file, line + 1);
                one_zone(imported, content, false, &place, &setting.word)?;
            }
        }
    }
    reading.close();
    Ok(())
}

/// Why settings are left out: by what they begin with, the first that fits.
fn why_not(name: &str) -> &'static str {
    const REASONS: [(&str, &str); 37] = [
        ("dnssec", "not carried over: dnssec.mode = \"validate\" validates here"),
        ("validation", "not carried over: dnssec.mode = \"validate\" validates here"),
        ("trustanchor", "not carried over: dnssec.mode = \"validate\" validates here"),
        ("nsec3", "not carried over: dnssec.mode = \"validate\" validates here"),
        ("aggressive", "not carried over: dnssec.mode = \"validate\" validates here"),
        ("daemon", PROCESS),
        ("write-pid", PROCESS),
        ("socket-", PROCESS),
        ("config-", PROCESS),
        ("set", PROCESS),
        ("chroot", PROCESS),
        ("disable-syslog", LOG),
        ("log", LOG),
        ("quiet", LOG),
        ("trace", LOG),
        ("statistics", "dns64d counts always"),
        ("webserver", "dns64d has no such interface"),
        ("api-", "dns64d has no such interface"),
        ("carbon", "dns64d has no such interface"),
        ("snmp", "dns64d has no such interface"),
        ("auth-zones", "dns64d serves no zones"),
        ("serve-rfc1918", "dns64d forwards such zones"),
        ("export-etc-hosts", "dns64d has no local data"),
        ("etc-hosts", "dns64d has no local data"),
        ("lua-config-file", "what it says in Lua (policies, trust anchors) is not read"),
        ("rpz", "response policy zones of PowerDNS are not read"),
        ("packetcache", "dns64d has one cache, by name: see cache.max_ttl"),
        ("disable-packetcache", "dns64d has one cache, by name: see cache.max_ttl"),
        ("dont-query", "dns64d asks whatever server it is told"),
        ("query-local-address", "dns64d picks source ports at random on any address"),
        ("qname-minimization", "dns64d does not recurse: the resolver behind it does"),
        ("distributor", TUNING),
        ("pdns-distributes", TUNING),
        ("reuseport", TUNING),
        ("max-", TUNING),
        ("server-down", TUNING),
        ("edns-outgoing", "dns64d asks its servers with 1232 octets"),
    ];
    const PROCESS: &str = "dns64d runs in the foreground, as the user who starts it";
    const LOG: &str = "dns64d logs to standard error: see [log]";
    const TUNING: &str = "dns64d sizes this by itself";
    let reason = REASONS.iter().find(|(begin, _)| name.starts_with(begin));
    reason.map_or("dns64d has nothing like it", |(_, reason)| reason)
}
