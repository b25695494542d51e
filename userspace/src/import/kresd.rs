//! Reads kresd.conf of Knot Resolver 5, and Lua inside 6: the calls that are declarative.
#![forbid(unsafe_code)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is not one of the declarative forms is not read"
)]

use std::path::Path;

use super::files::{ImportError, Place, Reading};
use super::knot;
use super::lua::{self, Call, Statement, Value as Lua};
use super::model::{Imported, List, Sourced, Value, origin};
use super::text;

/// Reads kresd.conf.
///
/// # Errors
/// Brackets and strings that are not closed, and files that cannot be read.
pub(super) fn read(path: &Path, reading: &mut Reading<'_>) -> Result<Imported, ImportError> {
    let (file, text) = reading.open(path, None)?;
    let statements = lua::read(&file, &text)?;
    reading.close();
    let mut reader = Reader::default();
    for statement in &statements {
        match statement {
            Statement::Call(call) => reader.call(call)?,
            Statement::Assign(name, value, place) => reader.assign(name, value, place)?,
            Statement::Other(word, place) => {
                let message = format!("{word}: is no declaration: what it does is not read");
                reader.imported.note(place, message);
            }
        }
    }
    Ok(reader.finish())
}

#[derive(Default)]
struct Reader {
    imported: Imported,
    /// Where the module was loaded.
    loaded: Option<Place>,
    /// Clients in the order of rules, and what becomes of them.
    access: Vec<(List, Access)>,
    /// Clients without DNS64.
    without: List,
}

/// What becomes of the queries of a network.
#[derive(Clone, Copy, PartialEq)]
enum Access {
    Pass,
    Refuse,
    Drop,
}

impl Reader {
    /// A call.
    fn call(&mut self, call: &Call) -> Result<(), ImportError> {
        let place = &call.place;
        let argument = |number: usize| call.arguments.get(number).unwrap_or(&Lua::Unknown);
        match call.name.as_str() {
            "modules.load" => self.module(&argument(0).text().unwrap_or_default(), place),
            "dns64.config" => self.dns64(argument(0), place)?,
            "net.listen" => self.listen(call)?,
            "cache.open" => self.cache_size(argument(0), place),
            "cache.max_ttl" | "cache.min_ttl" => {
                let (key, most) = match call.name.as_str() {
                    "cache.max_ttl" => ("max_ttl", 604_800),
                    _ => ("min_ttl", 86_400),
                };
                if let Lua::Number(seconds) = argument(0) {
                    let seconds =
                        self.imported.within(*seconds as u64, 0..=most, place, &call.name);
                    let from = origin(place, &call.name);
                    self.imported.cache.set(key, Value::Integer(seconds), from);
                }
            }
            "policy.add" => match argument(0).call() {
                Some(rule) => self.policy(rule)?,
                None => self.skip(place, "policy.add"),
            },
            "view:addr" => self.view(argument(0), argument(1), place)?,
            name => {
                let message = format!("{name}: {}", why_not(name));
                self.imported.note(place, message);
            }
        }
        Ok(())
    }

    /// An assignment.
    fn assign(&mut self, name: &str, value: &Lua, place: &Place) -> Result<(), ImportError> {
        match name {
            "modules" => {
                if let Lua::Table(items) = value {
                    for (key, value) in items {
                        let module = key.clone().or_else(|| value.text()).unwrap_or_default();
                        // `dns64 = 'prefix'` is load and config in one.
                        if key.is_some() && module == "dns64" {
                            self.dns64(value, place)?;
                        }
                        self.module(&module, place);
                    }
                }
            }
            "cache.size" => self.cache_size(value, place),
            // A variable: where it is used its value is known.
            _ if !name.contains('.') => {}
            _ => self.imported.note(place, format!("{name}: {}", why_not(name))),
        }
        Ok(())
    }

    /// A module is loaded.
    fn module(&mut self, name: &str, place: &Place) {
        let imported = &mut self.imported;
        let name = name.split([' ', '<', '>']).next().unwrap_or_default();
        match name {
            "dns64" => self.loaded = Some(place.clone()),
            "policy" | "view" => {}
            "serve_stale" => {
                let from = origin(place, "serve_stale");
                imported.cache.set("serve_stale", Value::Boolean(true), from);
            }
            "predict" => {
                imported.cache.set("prefetch", Value::Boolean(true), origin(place, "predict"));
            }
            _ => imported.note(place, format!("module {name}: dns64d has nothing like it")),
        }
    }

    /// Something whose arguments are not constant.
    fn skip(&mut self, place: &Place, name: &str) {
        let message = format!("{name}: its arguments are no constants: what it does is not read");
        self.imported.note(place, message);
    }

    /// `dns64.config('fe80::21b:77ff:0:0')` or `dns64.config({ prefix = ... })`.
    fn dns64(&mut self, value: &Lua, place: &Place) -> Result<(), ImportError> {
        let prefix = match value {
            Lua::Table(_) => value.get("prefix").and_then(Lua::text),
            other => other.text(),
        };
        knot::prefix(&mut self.imported, prefix.as_deref(), place)?;
        // The length does not matter there: it is always 96.
        for prefix in &mut self.imported.dns64.prefixes {
            let address = prefix.prefix.value.addr();
            if let Ok(network) = ipnet::Ipv6Net::new(address, 96) {
                prefix.prefix.value = network.trunc();
            }
        }
        if value.get("rev_ttl").is_some() {
            self.imported.note(place, format!("rev_ttl: {}", knot::REVERSE_TTL));
        }
        if let Some(subnets) = value.get("exclude_subnets") {
            let words: Vec<String> =
                subnets.items().into_iter().filter_map(|item| item.text()).collect();
            knot::exclude(&mut self.imported, words.iter().map(String::as_str), place)?;
        }
        Ok(())
    }

    /// `net.listen(ADDRESSES, [PORT], [{ kind = }])`.
    fn listen(&mut self, call: &Call) -> Result<(), ImportError> {
        let place = &call.place;
        let mut port = text::PORT;
        for argument in call.arguments.iter().skip(1) {
            if let Lua::Number(number) = argument {
                port = *number as u16;
            }
            let kind = argument.get("kind").and_then(Lua::text);
            if kind.is_some_and(|kind| kind != "dns") {
                self.imported.note(place, "net.listen: dns64d serves plain DNS only");
                return Ok(());
            }
        }
        let Some(addresses) = call.arguments.first() else { return Ok(()) };
        for address in addresses.items() {
            let word = address.text().unwrap_or_default();
            match text::at_port(&word, port) {
                Some(address) => {
                    self.imported.listen.push(Sourced::new(address, place, "net.listen"));
                }
                None => self.imported.note(
                    place,
                    format!("net.listen {word}: is no address: name those of the interface"),
                ),
            }
        }
        Ok(())
    }

    /// Octets of the cache.
    fn cache_size(&mut self, value: &Lua, place: &Place) {
        match value {
            Lua::Number(octets) if *octets >= 1.0 => {
                self.imported.cache_size(*octets as u64, place, "cache");
            }
            _ => self.skip(place, "cache"),
        }
    }

    /// A rule: `policy.all(ACTION)`, `policy.suffix(ACTION, NAMES)`.
    fn policy(&mut self, rule: &Call) -> Result<(), ImportError> {
        let place = &rule.place;
        let zones = match rule.name.as_str() {
            "policy.all" => Some(vec![".".to_owned()]),
            "policy.suffix" | "policy.suffix_common" => rule.arguments.get(1).and_then(names),
            _ => None,
        };
        let (Some(zones), Some(action)) = (zones, rule.arguments.first()) else {
            self.imported.note(place, format!("{}: dns64d has no such rule", rule.name));
            return Ok(());
        };
        match action {
            Lua::Call(call) => match call.name.as_str() {
                "policy.FORWARD" | "policy.STUB" => {
                    let servers = servers(call)?;
                    for zone in &zones {
                        let zone = Sourced::new(zone.clone(), place, &call.name);
                        self.imported.forward(zone, servers.clone());
                    }
                    if call.name == "policy.STUB" {
                        // Its answers do not pass the module.
                        for zone in zones {
                            let zone = Sourced::new(zone, place, "policy.STUB has no DNS64");
                            self.imported.dns64.keys.texts("bypass").push(zone);
                        }
                    }
                }
                "policy.TLS_FORWARD" => self.imported.note(place, knot::TLS_SERVER),
                "policy.FLAGS" => {
                    let flags: Vec<String> = call
                        .arguments
                        .iter()
                        .flat_map(|flags| flags.items())
                        .filter_map(Lua::text)
                        .collect();
                    for flag in flags {
                        if flag == "DNS64_DISABLE" {
                            for zone in &zones {
                                let zone = Sourced::new(zone.clone(), place, &flag);
                                self.imported.dns64.keys.texts("bypass").push(zone);
                            }
                        } else {
                            let message = format!("policy.FLAGS {flag}: dns64d has no such flag");
                            self.imported.note(place, message);
                        }
                    }
                }
                name => self.imported.note(place, format!("{name}: dns64d has no such action")),
            },
            Lua::Name(name) => {
                self.imported.note(place, format!("{name}: dns64d has no such action"));
            }
            _ => self.skip(place, "policy.add"),
        }
        Ok(())
    }

    /// `view:addr(NETWORK, policy.all(policy.REFUSE))`: the first rule that fits decides.
    fn view(&mut self, subnet: &Lua, rule: &Lua, place: &Place) -> Result<(), ImportError> {
        let word = subnet.text().unwrap_or_default();
        let network = text::client_network(&word)
            .ok_or_else(|| ImportError::at(place, format!("view:addr: {word:?} is no network")))?;
        let list = text::entries([network], false, &origin(place, "view:addr"));
        let action = rule
            .call()
            .filter(|call| call.name == "policy.all")
            .and_then(|call| call.arguments.first());
        match action {
            Some(Lua::Name(name)) => {
                let access = match name.as_str() {
                    "policy.PASS" => Access::Pass,
                    "policy.REFUSE" => Access::Refuse,
                    "policy.DROP" => {
                        let message =
                            "view:addr policy.DROP: answered with SERVFAIL there; refused";
                        self.imported.note(place, message);
                        Access::Refuse
                    }
                    "policy.NO_ANSWER" => Access::Drop,
                    _ => {
                        let message = format!("view:addr {name}: dns64d has no such action");
                        self.imported.note(place, message);
                        return Ok(());
                    }
                };
                self.access.push((list, access));
            }
            Some(Lua::Call(call))
                if call.name == "policy.FLAGS"
                    && call
                        .arguments
                        .iter()
                        .flat_map(|flags| flags.items())
                        .any(|flag| flag.text().as_deref() == Some("DNS64_DISABLE")) =>
            {
                self.without.extend(list);
            }
            Some(_) | None => self.skip(place, "view:addr"),
        }
        Ok(())
    }

    /// What holds when everything has been read.
    fn finish(mut self) -> Imported {
        let imported = &mut self.imported;
        match &self.loaded {
            Some(place) if imported.dns64.prefixes.is_empty() => {
                // The default prefix can be read.
                let _read = knot::prefix(imported, None, place);
            }
            Some(_) => {}
            None => {
                let why = "the dns64 module is not loaded";
                imported.dns64.keys.set("enabled", Value::Boolean(false), why);
            }
        }
        let lists = |is: fn(Access) -> bool| -> List {
            let all = self.access.iter().flat_map(|(list, access)| {
                list.iter().cloned().map(move |mut entry| {
                    entry.value.out = !is(*access);
                    entry
                })
            });
            all.collect()
        };
        if !self.access.is_empty() {
            let mut allow = lists(|access| access == Access::Pass);
            let everybody = text::entries(text::everybody(), false, "default of Knot Resolver");
            allow.extend(everybody);
            imported.allow = Some(allow);
        }
        if self.access.iter().any(|(_, access)| *access == Access::Drop) {
            imported.drop = Some(lists(|access| access == Access::Drop));
        }
        if !self.without.is_empty() {
            knot::without_dns64(imported, self.without);
        }
        knot::finish(imported);
        self.imported
    }
}

/// Names of `policy.todnames({'a', 'b'})` or `{todname('a'), '\1a'}`.
fn names(value: &Lua) -> Option<Vec<String>> {
    let items = match value {
        Lua::Call(call) if call.name == "policy.todnames" => call.arguments.first()?.items(),
        other => other.items(),
    };
    items
        .into_iter()
        .map(|item| match item {
            Lua::Call(call) if matches!(call.name.as_str(), "todname" | "kres.str2dname") => {
                call.arguments.first()?.text()
            }
            Lua::Text(text) => Some(from_wire(text)),
            _ => None,
        })
        .collect()
}

/// A name in wire form as text, or the text itself.
fn from_wire(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut at, mut name) = (0, String::new());
    while let Some(length) = chars.get(at).map(|c| *c as usize) {
        if length == 0 {
            break;
        }
        match chars.get(at + 1..at + 1 + length) {
            Some(label) if length <= 63 => {
                name.extend(label);
                name.push('.');
                at += 1 + length;
            }
            _ => return text.to_owned(),
        }
    }
    name
}

/// The servers of `policy.FORWARD('192.0.2.1@53')` or of a list.
fn servers(call: &Call) -> Result<Vec<Sourced<std::net::SocketAddr>>, ImportError> {
    let mut servers = Vec::new();
    for item in call.arguments.first().map(Lua::items).unwrap_or_default() {
        let word = item.text().unwrap_or_default();
        let address = text::at_port(&word, text::PORT).ok_or_else(|| {
            ImportError::at(&call.place, format!("{}: {word:?} is no address", call.name))
        })?;
        servers.push(Sourced::new(address, &call.place, &call.name));
    }
    Ok(servers)
}

/// Why a call or an assignment is left out.
fn why_not(name: &str) -> &'static str {
    const REASONS: [(&str, &str); 12] = [
        ("trust_anchors", "not carried over: dnssec.mode = \"validate\" validates here"),
        ("modules.unload", "dns64d has no such module"),
        ("log", "dns64d logs to standard error: see [log]"),
        ("verbose", "dns64d logs to standard error: see [log]"),
        ("user", "dns64d runs as the user who starts it"),
        ("net.ipv", "dns64d uses the families of the addresses that it is told"),
        ("net.tls", "dns64d serves plain DNS only"),
        ("net.outgoing", "dns64d picks source ports at random on any address"),
        ("net.", "dns64d has nothing like it"),
        ("cache.", "dns64d needs no such thing"),
        ("hints", "dns64d has no local data"),
        ("policy.", "dns64d has no such rule"),
    ];
    let reason = REASONS.iter().find(|(begin, _)| name.starts_with(begin));
    reason.map_or("dns64d has nothing like it", |(_, reason)| reason)
}
