//! Reads named.conf: what its statements mean for dns64d.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;

use super::bind_syntax::{self, Part, Statement};
use super::bind_words::why_not;
use super::files::{ImportError, NESTING_MAX, Place, Reading};
use super::model::{Dns64, Imported, List, Prefix, Sourced, Value, View, origin};
use super::text;

/// Most entries of one list, when all names in it have been put in.
const ENTRIES_MAX: usize = 100_000;

/// Reads a configuration from its main file.
///
/// # Errors
/// Syntax, values that cannot be read, and files that cannot be read.
pub(super) fn read(path: &Path, reading: &mut Reading<'_>) -> Result<Imported, ImportError> {
    let statements = bind_syntax::read(path, reading)?;
    let mut reader = Reader::default();
    for statement in &statements {
        if statement.word(0).eq_ignore_ascii_case("acl")
            && let Some(block) = statement.block()
        {
            reader.acls.insert(statement.word(1).to_ascii_lowercase(), block.to_vec());
        }
    }
    let views = statements.iter().filter(|each| each.word(0).eq_ignore_ascii_case("view")).count();
    for statement in &statements {
        reader.top(statement, views)?;
    }
    Ok(reader.finish())
}

#[derive(Default)]
struct Reader {
    imported: Imported,
    acls: HashMap<String, Vec<Statement>>,
    /// The lists that say who may have recursion, in the order in which they stand in for another.
    allow: [Option<List>; 3],
    /// The first of them that a view has.
    options: Scope,
    port: u16,
    stale: [Option<bool>; 2],
    prefetch: Option<(bool, String)>,
    listens: [bool; 2],
}

/// What can stand in `options` and in a view.
#[derive(Default)]
struct Scope {
    dns64: Vec<Prefix>,
    ipv4only: Option<Sourced<bool>>,
}

impl Reader {
    /// A statement of the top.
    fn top(&mut self, statement: &Statement, views: usize) -> Result<(), ImportError> {
        let block = statement.block().unwrap_or_default();
        match statement.word(0).to_ascii_lowercase().as_str() {
            "acl" => {}
            "options" => {
                // The port comes first, whatever stands before it.
                let port = block.iter().find(|each| each.word(0).eq_ignore_ascii_case("port"));
                self.port = port.and_then(|each| each.word(1).parse().ok()).unwrap_or(text::PORT);
                let mut scope = Scope::default();
                for option in block {
                    self.option(option, &mut scope, None)?;
                }
                self.options = scope;
            }
            "view" => self.view(statement, block, views)?,
            "zone" => self.zone(statement, block)?,
            name => {
                let said = format!("{name} {}", statement.word(1));
                let message = format!("{}: {}", said.trim_end(), why_not(name));
                self.imported.note(&statement.place, message);
            }
        }
        Ok(())
    }

    /// A view: `match-clients`, and what is different in it.
    fn view(
        &mut self,
        statement: &Statement,
        block: &[Statement],
        views: usize,
    ) -> Result<(), ImportError> {
        let name = statement.word(1).to_owned();
        let mut scope = Scope::default();
        let mut clients = None;
        for option in block {
            let first = option.word(0).to_ascii_lowercase();
            match first.as_str() {
                "match-clients" => clients = Some(self.list(option, Clients)?),
                "zone" if views == 1 => self.zone(option, option.block().unwrap_or_default())?,
                _ => self.option(option, &mut scope, Some((&name, views == 1)))?,
            }
        }
        let from = origin(&statement.place, "view");
        let clients = clients.unwrap_or_else(|| text::entries(text::everybody(), false, &from));
        let mut dns64 = Dns64 { prefixes: scope.dns64, ..Dns64::default() };
        if let Some(ipv4only) = scope.ipv4only {
            dns64.keys.set("ipv4only", Value::Boolean(ipv4only.value), ipv4only.origin);
        }
        self.imported.views.push(View {
            name: Sourced { value: name, origin: from },
            clients,
            dns64,
        });
        Ok(())
    }

    /// A zone: only those that are forwarded are ours.
    fn zone(&mut self, statement: &Statement, block: &[Statement]) -> Result<(), ImportError> {
        let find = |name: &str| block.iter().find(|each| each.word(0).eq_ignore_ascii_case(name));
        let kind = find("type").map(|each| each.word(1).to_ascii_lowercase()).unwrap_or_default();
        let name = statement.word(1);
        match (kind.as_str(), find("forwarders")) {
            ("forward", Some(forwarders)) => {
                let servers = self.forwarders(forwarders)?;
                let zone = Sourced::new(name.to_owned(), &statement.place, "zone");
                if servers.is_empty() {
                    let what = format!("zone {name}: forwarders is empty, so BIND resolves it");
                    self.imported.note(&statement.place, what);
                } else {
                    self.imported.forward(zone, servers);
                }
            }
            ("hint", _) => self.imported.note(&statement.place, "zone: dns64d does not recurse"),
            (kind, _) => {
                let message = format!(
                    "zone {name}: dns64d serves no {kind} zones: leave it to the resolver behind it"
                );
                self.imported.note(&statement.place, message);
            }
        }
        Ok(())
    }

    /// An option, of `options` or of a view: its name, and whether it is the only one.
    fn option(
        &mut self,
        statement: &Statement,
        scope: &mut Scope,
        view: Option<(&str, bool)>,
    ) -> Result<(), ImportError> {
        let name = statement.word(0).to_ascii_lowercase();
        let value = statement.word(1);
        let place = &statement.place;
        let from = origin(place, &name);
        let wrong = |what: &str| ImportError::at(place, format!("{name}: {value} is {what}"));
        let number = || value.parse::<u64>().map_err(|_| wrong("no number"));
        let truth = || match value {
            "" => Ok(true),
            _ => text::boolean(value).ok_or_else(|| wrong("neither yes nor no")),
        };
        let span = || text::seconds(value).ok_or_else(|| wrong("no span of time"));
        match name.as_str() {
            "dns64" => {
                let prefix = self.dns64(statement)?;
                scope.dns64.push(prefix);
                return Ok(());
            }
            "ipv4only-enable" => {
                scope.ipv4only = Some(Sourced { value: truth()?, origin: from });
                return Ok(());
            }
            _ => {}
        }
        // Everything else we have for all clients alike.
        if let Some((view, false)) = view {
            let what = format!("{name} in view {view}: dns64d has this for all clients alike");
            self.imported.note(place, what);
            return Ok(());
        }
        let imported = &mut self.imported;
        match name.as_str() {
            "directory" | "port" | "recursion" => {
                if name == "recursion" && !truth()? {
                    imported.note(place, "recursion no: dns64d always answers for its servers");
                }
            }
            "forwarders" => {
                let servers = self.forwarders(statement)?;
                self.imported.servers.extend(servers);
            }
            "forward" => {
                if !value.eq_ignore_ascii_case("only") {
                    imported
                        .note(place, "forward first: dns64d does not resolve when servers fail");
                }
            }
            "allow-recursion" | "allow-query-cache" | "allow-query" => {
                let place_of = ["allow-recursion", "allow-query-cache", "allow-query"];
                let list = self.list(statement, Clients)?;
                for (slot, word) in self.allow.iter_mut().zip(place_of) {
                    if word == name {
                        *slot = Some(list.clone());
                    }
                }
            }
            "blackhole" => {
                let list = self.list(statement, Clients)?;
                self.imported.drop = (!list.is_empty()).then_some(list);
            }
            "listen-on" | "listen-on-v6" => self.listen_on(statement, &name)?,
            "max-cache-size" => match text::size(value) {
                Some(0) => imported.note(place, "max-cache-size: 0 is without bound; not ours"),
                Some(octets) => imported.cache_size(octets, place, &name),
                None => imported.note(
                    place,
                    format!("max-cache-size {value}: dns64d takes octets: set cache.size"),
                ),
            },
            "max-cache-ttl" | "max-ncache-ttl" | "min-cache-ttl" | "max-stale-ttl" => {
                let (key, most) = match name.as_str() {
                    "max-cache-ttl" => ("max_ttl", 604_800),
                    "max-ncache-ttl" => ("max_negative_ttl", 604_800),
                    "min-cache-ttl" => ("min_ttl", 86_400),
                    _ => ("max_stale", 604_800),
                };
                let seconds = imported.within(span()?, 0..=most, place, &name);
                imported.cache.set(key, Value::Integer(seconds), from);
            }
            "stale-cache-enable" => self.stale[0] = Some(truth()?),
            "stale-answer-enable" => self.stale[1] = Some(truth()?),
            "prefetch" => self.prefetch = Some((number()? > 0, from)),
            "max-udp-size" => {
                let octets = imported.within(number()?, 512..=4_096, place, &name);
                imported.limits.set("udp_payload", Value::Integer(octets), from);
            }
            "tcp-clients" => {
                let clients = imported.within(number()?, 1..=1_000_000, place, &name);
                imported.limits.set("tcp_clients", Value::Integer(clients), from);
            }
            "tcp-idle-timeout" => {
                // In tenths of a second.
                let tenths = number()?.saturating_mul(100);
                let idle = imported.within(tenths, 100..=600_000, place, &name);
                imported.limits.set("tcp_idle_ms", Value::Integer(idle), from);
            }
            "rate-limit" => self.rate_limit(statement)?,
            _ => {
                let said = format!("{name} {value}");
                imported.note(place, format!("{}: {}", said.trim_end(), why_not(&name)));
            }
        }
        Ok(())
    }

    /// `rate-limit { ... }`: BIND limits equal answers, dns64d what a client asks.
    fn rate_limit(&mut self, statement: &Statement) -> Result<(), ImportError> {
        for option in statement.block().unwrap_or_default() {
            let name = option.word(0).to_ascii_lowercase();
            let place = &option.place;
            let number = option.word(1).parse::<u64>();
            let from = origin(place, &name);
            match (name.as_str(), number) {
                ("all-per-second", Ok(number)) => {
                    let rate = self.imported.within(number, 0..=10_000_000, place, &name);
                    self.imported.limits.set("rate", Value::Integer(rate), from);
                    let what = "all-per-second: dns64d counts queries of an IPv4 address or IPv6 \
                                /56, BIND responses to an IPv4 /24 or IPv6 /56";
                    self.imported.note(place, what);
                }
                ("slip", Ok(number)) => {
                    let slip = self.imported.within(number, 0..=1_000, place, &name);
                    self.imported.limits.set("rate_slip", Value::Integer(slip), from);
                }
                ("all-per-second" | "slip", Err(_)) => {
                    return Err(ImportError::at(place, format!("{name}: is no number")));
                }
                (_, _) => {
                    let what = format!(
                        "rate-limit {name}: BIND limits equal answers, dns64d all queries of a \
                         client: see limits.rate"
                    );
                    self.imported.note(place, what);
                }
            }
        }
        Ok(())
    }

    /// `dns64 PREFIX { ... }`.
    fn dns64(&mut self, statement: &Statement) -> Result<Prefix, ImportError> {
        let word = statement.word(1);
        let place = &statement.place;
        let network = text::prefix(word, 96).filter(|_| word.contains('/')).ok_or_else(|| {
            ImportError::at(place, format!("dns64: {word} is no IPv6 prefix with its length"))
        })?;
        let mut prefix = Prefix::new(Sourced::new(network, place, "dns64"));
        let why = "default of BIND";
        prefix.options.set("break_dnssec", Value::Boolean(false), why);
        for option in statement.block().unwrap_or_default() {
            let name = option.word(0).to_ascii_lowercase();
            let value = option.word(1);
            let from = origin(&option.place, &name);
            let wrong =
                |what: &str| ImportError::at(&option.place, format!("{name}: {value} is {what}"));
            let truth = || text::boolean(value).ok_or_else(|| wrong("neither yes nor no"));
            match name.as_str() {
                "clients" | "mapped" | "exclude" => {
                    let (key, kind) = match name.as_str() {
                        "clients" => ("clients", Clients),
                        "mapped" => ("mapped", Data),
                        _ => ("exclude_aaaa", Data),
                    };
                    let list = self.list(option, kind)?;
                    prefix.options.set(key, Value::Networks(list), from);
                }
                "suffix" => {
                    let suffix = value.parse::<std::net::Ipv6Addr>();
                    let suffix = suffix.map_err(|_| wrong("no IPv6 address"))?;
                    if !suffix.is_unspecified() {
                        prefix.options.set("suffix", Value::Text(suffix.to_string()), from);
                    }
                }
                "recursive-only" => {
                    prefix.options.set("recursive_only", Value::Boolean(truth()?), from);
                }
                "break-dnssec" => {
                    prefix.options.set("break_dnssec", Value::Boolean(truth()?), from);
                }
                _ => {
                    return Err(ImportError::at(
                        &option.place,
                        format!("{name}: no option of dns64"),
                    ));
                }
            }
        }
        Ok(prefix)
    }

    /// `forwarders [port N] { ADDR [port N]; ... }`.
    fn forwarders(
        &mut self,
        statement: &Statement,
    ) -> Result<Vec<Sourced<SocketAddr>>, ImportError> {
        let port = |words: &Statement, default: u16| match words.after("port") {
            Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| {
                ImportError::at(&words.place, format!("forwarders: {port} is no port"))
            }),
            None => Ok(default),
        };
        let general = port(statement, text::PORT)?;
        let mut servers = Vec::new();
        for server in statement.block().unwrap_or_default() {
            if server.after("tls").is_some() {
                let what = "forwarders: dns64d asks by plain DNS only: put a DoT forwarder between";
                self.imported.note(&server.place, what);
                continue;
            }
            let word = server.word(0);
            let address = text::address(word).and_then(|address| {
                let port = port(server, general).ok()?;
                text::socket(address, port)
            });
            let address = address.ok_or_else(|| {
                ImportError::at(&server.place, format!("forwarders: {word} is no address"))
            })?;
            servers.push(Sourced::new(address, &server.place, "forwarders"));
        }
        Ok(servers)
    }

    /// `listen-on [port N] { ... }`: the addresses of a list.
    fn listen_on(&mut self, statement: &Statement, name: &str) -> Result<(), ImportError> {
        let is_v6 = name == "listen-on-v6";
        self.listens[usize::from(is_v6)] = true;
        if statement.after("tls").is_some() || statement.after("http").is_some() {
            self.imported.note(&statement.place, format!("{name}: dns64d serves plain DNS only"));
            return Ok(());
        }
        let port = match statement.after("port") {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                ImportError::at(&statement.place, format!("{name}: {port} is no port"))
            })?,
            None => self.port,
        };
        for entry in self.list(statement, Data)? {
            let network = entry.value.network;
            let is_of_family = matches!(network, IpNet::V6(_)) == is_v6;
            let alone = network.prefix_len() == network.max_prefix_len();
            let every = network.prefix_len() == 0;
            match (is_of_family, entry.value.out, alone || every) {
                (true, false, true) => {
                    let address = text::socket((network.addr(), 0), port);
                    let listen = address.map(|value| Sourced { value, origin: entry.origin });
                    self.imported.listen.extend(listen);
                }
                // `any` stands for both families and a list for one of them; `none` is nothing.
                (false, _, _) => {}
                (true, true, _) if every => {}
                (true, true, _) | (true, false, false) => {
                    let what =
                        format!("{name} {}: dns64d listens on addresses", entry.value.text());
                    self.imported.note(&statement.place, what);
                }
            }
        }
        Ok(())
    }

    /// The list in a statement's block.
    fn list(&mut self, statement: &Statement, kind: Kind) -> Result<List, ImportError> {
        let mut list = List::new();
        let block = statement.block().unwrap_or_default();
        let word = statement.word(0).to_ascii_lowercase();
        self.elements(block, false, kind, &word, 0, &mut list)?;
        Ok(list)
    }

    /// The elements of an address match list. A list in a list, and a name, are put in where they
    /// stand; behind `!` all of it is left out, as BIND does when it merges them.
    fn elements(
        &mut self,
        block: &[Statement],
        negated: bool,
        kind: Kind,
        word: &str,
        depth: usize,
        list: &mut List,
    ) -> Result<(), ImportError> {
        for element in block {
            if depth >= NESTING_MAX || list.len() >= ENTRIES_MAX {
                let message = "lists lie in one another too deep, or have too many entries";
                return Err(ImportError::at(&element.place, message));
            }
            let mut out = negated;
            for part in &element.parts {
                match part {
                    Part::Word(text, _) if text == "!" => out = true,
                    Part::Block(inner) => self.elements(inner, out, kind, word, depth + 1, list)?,
                    Part::Word(text, place) => {
                        let lower = text.to_ascii_lowercase();
                        if lower == "key" || lower == "geoip" {
                            let what = format!("{word}: {text}: dns64d knows clients by address");
                            self.imported.note(place, what);
                            break;
                        }
                        self.element(&lower, out, kind, (word, place), depth, list)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// One word of a list.
    fn element(
        &mut self,
        text: &str,
        out: bool,
        kind: Kind,
        (word, place): (&str, &Place),
        depth: usize,
        list: &mut List,
    ) -> Result<(), ImportError> {
        let from = origin(place, word);
        let read = match kind {
            Clients => text::client_network(text),
            Data => text::network(text),
        };
        if let Some(network) = read {
            list.extend(text::entries([network], out, &from));
            return Ok(());
        }
        let network = |text: &&str| text.parse().expect("networks");
        if let Some(block) = self.acls.get(text).cloned() {
            return self.elements(&block, out, kind, word, depth + 1, list);
        }
        match text {
            "any" => list.extend(text::entries(text::everybody(), out, &from)),
            "none" => list.extend(text::entries(text::everybody(), !out, &from)),
            "localhost" => {
                let what = format!("{word}: localhost became the loopback addresses");
                self.imported.note(place, what);
                list.extend(text::entries(
                    ["127.0.0.0/8", "::1/128"].iter().map(network),
                    out,
                    &from,
                ));
            }
            "localnets" => {
                let what = format!("{word}: localnets became all private networks: name yours");
                self.imported.note(place, what);
                list.extend(text::entries(PRIVATE.iter().map(network), out, &from));
            }
            _ => {
                return Err(ImportError::at(place, format!("{word}: there is no acl {text}")));
            }
        }
        Ok(())
    }

    /// What holds when everything has been read.
    fn finish(mut self) -> Imported {
        let port = if self.port == 0 { text::PORT } else { self.port };
        for (had, any) in self.listens.into_iter().zip(text::everybody()) {
            if !had {
                let address = text::socket((any.addr(), 0), port);
                let default = |value| Sourced::default_of(value, "default of BIND");
                self.imported.listen.extend(address.map(default));
            }
        }
        let imported = &mut self.imported;
        let given: Vec<List> = self.allow.into_iter().flatten().collect();
        if given.windows(2).any(|pair| !same(&pair[0], &pair[1])) {
            imported.remark(
                "of allow-recursion, allow-query-cache and allow-query the first that is set became \
                 allow",
            );
        }
        imported.allow = Some(given.into_iter().next().unwrap_or_else(|| {
            let network = |text: &str| text.parse().expect("networks");
            let local = ["127.0.0.0/8", "::1/128"].into_iter().chain(PRIVATE);
            text::entries(local.map(network), false, "default of BIND: localnets, localhost")
        }));
        let stale = self.stale.iter().all(|stale| *stale == Some(true));
        imported.cache.set(
            "serve_stale",
            Value::Boolean(stale),
            "stale-cache-enable and stale-answer-enable",
        );
        let (prefetch, from) =
            self.prefetch.unwrap_or_else(|| (true, "default of BIND".to_owned()));
        imported.cache.set("prefetch", Value::Boolean(prefetch), from);
        if imported.cache.get("max_ttl").is_none() {
            imported.cache.set("max_ttl", Value::Integer(604_800), "default of BIND");
        }
        if imported.cache.get("max_negative_ttl").is_none() {
            imported.cache.set("max_negative_ttl", Value::Integer(10_800), "default of BIND");
        }
        // A view has the list of the options only if it has none of its own.
        let has = !self.options.dns64.is_empty();
        for view in &mut imported.views {
            if !has && !view.dns64.prefixes.is_empty() {
                view.dns64.keys.set("enabled", Value::Boolean(true), "the view has dns64");
            }
        }
        if !imported.views.is_empty() {
            imported.remark(
                "clients of no view: BIND refuses them, dns64d serves them by [dns64] if allow has \
                 them",
            );
        }
        let dns64 = &mut imported.dns64;
        dns64.prefixes = self.options.dns64;
        let keys = &mut dns64.keys;
        if !has {
            keys.set("enabled", Value::Boolean(false), "options has no dns64");
        }
        keys.set("trigger", Value::Text("nodata".into()), "BIND passes failures of AAAA on");
        keys.set("ptr", Value::Text("cname".into()), "BIND answers with a CNAME");
        let none = Value::Networks(List::new());
        keys.set("non_global_ipv4", none, "BIND maps what mapped says");
        let ipv4only = self.options.ipv4only;
        let ipv4only = ipv4only.unwrap_or_else(|| Sourced::default_of(true, "default of BIND"));
        keys.set("ipv4only", Value::Boolean(ipv4only.value), ipv4only.origin);
        if imported.servers.is_empty() {
            imported.remark(
                "no forwarders for every name: BIND resolves by itself, dns64d forwards. Name \
                 resolvers in upstream.servers, such as this BIND without its dns64 statements",
            );
        }
        for difference in [
            "CD without DO: BIND synthesizes, dns64d does not",
            "AAAA that times out: BIND fails, dns64d asks A while it waits",
            "dnssec-validation is not carried over: dnssec.mode = \"validate\" validates here",
            "PTR under 64:ff9b::/96 is translated here beside the prefixes that are set",
        ] {
            imported.remark(difference);
        }
        self.imported
    }
}

/// Whether two lists have the same entries.
fn same(one: &List, other: &List) -> bool {
    one.iter().map(|entry| entry.value).eq(other.iter().map(|entry| entry.value))
}

/// What a list is about.
#[derive(Clone, Copy)]
enum Kind {
    /// Clients, whose addresses are IPv4 if they are IPv4 in IPv6.
    Clients,
    /// Addresses in answers, and our own.
    Data,
}
use Kind::{Clients, Data};

/// The networks that `localnets` stands for.
const PRIVATE: [&str; 6] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "169.254.0.0/16", "fe80::/10"];
