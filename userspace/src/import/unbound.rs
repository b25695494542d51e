//! Reads unbound.conf: clauses, keys with their values, quotes, comments and includes.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::iter::Peekable;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::Chars;
use std::sync::Arc;

use super::files::{ImportError, Place, Reading, directory_of};
use super::model::{Imported, List, Prefix, Sourced, Value, origin};
use super::text;
use super::unbound_words::{ARITY, CLAUSES, why_not};

/// A word and where it stands.
#[derive(Clone, Debug)]
struct Word {
    text: String,
    place: Place,
    quoted: bool,
}

impl Word {
    /// The key that the word is, if it is one: it ends with a colon.
    fn key(&self) -> Option<&str> {
        self.text.strip_suffix(':').filter(|key| !self.quoted && !key.is_empty())
    }
}

/// The words of a text.
fn words(file: &Arc<str>, text: &str) -> Result<VecDeque<Word>, ImportError> {
    let mut words = VecDeque::new();
    for (line, content) in text.lines().enumerate() {
        let mut chars = content.chars().peekable();
        let mut column = 1;
        while let Some(&c) = chars.peek() {
            let place = Place { file: Arc::clone(file), line: line + 1, column };
            if c.is_whitespace() || c == '\u{feff}' {
                chars.next();
                column += 1;
            } else if c == '#' {
                break;
            } else {
                let (text, quoted, length) = word(&mut chars, &place)?;
                column += length;
                words.push_back(Word { text, place, quoted });
            }
        }
    }
    Ok(words)
}

/// One word: in quotes, or up to the next white space or quote.
fn word(
    chars: &mut Peekable<Chars<'_>>,
    place: &Place,
) -> Result<(String, bool, usize), ImportError> {
    let mut word = String::new();
    let mut length = 0;
    if let Some(&quote @ ('"' | '\'')) = chars.peek() {
        chars.next();
        for c in chars.by_ref() {
            if c == quote {
                return Ok((word, true, length + 2));
            }
            word.push(c);
            length += 1;
        }
        return Err(ImportError::at(place, "the quote is not closed in this line"));
    }
    while let Some(&c) = chars.peek() {
        if c.is_whitespace() || c == '"' || c == '\'' {
            break;
        }
        chars.next();
        length += 1;
        word.push(c);
    }
    Ok((word, false, length))
}

/// A zone that is forwarded, while its clause is read.
#[derive(Default)]
struct Zone {
    name: Option<Sourced<String>>,
    servers: Vec<Sourced<SocketAddr>>,
    hosts: Vec<Place>,
    tls: Option<Place>,
    place: Option<Place>,
}

/// The state between keys.
struct Reader {
    imported: Imported,
    clause: &'static str,
    directory: Option<PathBuf>,
    module_config: Option<Sourced<String>>,
    prefix: Option<Sourced<ipnet::Ipv6Net>>,
    port: u16,
    interfaces: Vec<Sourced<String>>,
    access: Vec<(Sourced<ipnet::IpNet>, Access)>,
    sizes: [Option<(u64, Place)>; 2],
    private: List,
    zone: Zone,
}

/// What becomes of the queries of a network.
#[derive(Clone, Copy, PartialEq)]
enum Access {
    Allow,
    Refuse,
    Drop,
}

/// Reads a configuration from its main file.
///
/// # Errors
/// Syntax, and files that cannot be read.
pub(super) fn read(path: &Path, reading: &mut Reading<'_>) -> Result<Imported, ImportError> {
    let mut reader = Reader {
        imported: Imported::default(),
        clause: "",
        directory: None,
        module_config: None,
        prefix: None,
        port: text::PORT,
        interfaces: Vec::new(),
        access: Vec::new(),
        sizes: [None, None],
        private: List::new(),
        zone: Zone::default(),
    };
    reader.file(path, reading, None)?;
    reader.end_of_zone();
    Ok(reader.finish())
}

impl Reader {
    /// Reads one file. What it includes goes on in the same clause.
    fn file(
        &mut self,
        path: &Path,
        reading: &mut Reading<'_>,
        from: Option<&Place>,
    ) -> Result<(), ImportError> {
        let (file, text) = reading.open(path, from)?;
        let mut words = words(&file, &text)?;
        while let Some(mut word) = words.pop_front() {
            // A value may follow its key at once.
            if word.key().is_none()
                && !word.quoted
                && let Some((key, value)) = word.text.split_once(':')
            {
                let value = Word { text: value.to_owned(), ..word.clone() };
                word.text = format!("{key}:");
                words.push_front(value);
            }
            let Some(key) = word.key().map(str::to_ascii_lowercase) else {
                let message = format!("\"{}\" stands where a key with a colon belongs", word.text);
                return Err(ImportError::at(&word.place, message));
            };
            if let Some(clause) = CLAUSES.iter().find(|clause| **clause == key) {
                self.end_of_zone();
                self.clause = clause;
                self.zone.place = Some(word.place);
                continue;
            }
            let arity = ARITY.iter().find(|(name, _)| *name == key).map(|(_, arity)| *arity);
            let known = arity.or_else(|| is_known(&key).then_some(1));
            let mut values = Vec::new();
            while let Some(next) = words.front() {
                let enough =
                    known.map_or(next.place.line != word.place.line, |known| values.len() >= known);
                if enough {
                    break;
                }
                values.extend(words.pop_front());
            }
            if values.is_empty() {
                return Err(ImportError::at(&word.place, format!("{key}: has no value")));
            }
            if key == "include" || key == "include-toplevel" {
                if key == "include-toplevel" {
                    self.end_of_zone();
                    self.clause = "";
                }
                self.include(path, &values[0], reading)?;
            } else {
                self.key(&key, &word.place, &values)?;
            }
        }
        reading.close();
        Ok(())
    }

    /// Reads the files that an `include` names.
    fn include(
        &mut self,
        path: &Path,
        name: &Word,
        reading: &mut Reading<'_>,
    ) -> Result<(), ImportError> {
        let mut bases = vec![directory_of(path)];
        bases.extend(self.directory.clone());
        for file in reading.included(&name.text, &bases, &name.place)? {
            self.file(&file, reading, Some(&name.place))?;
        }
        Ok(())
    }

    /// What a key says.
    fn key(&mut self, key: &str, place: &Place, values: &[Word]) -> Result<(), ImportError> {
        match self.clause {
            "server" => self.server(key, place, values),
            "forward-zone" => self.forward(key, place, values),
            "stub-zone" | "auth-zone" => {
                if key == "name" {
                    let name = &values[0].text;
                    let what = match self.clause {
                        "stub-zone" => {
                            "its servers are authoritative, dns64d asks resolvers: if they resolve, \
                             add a [[forward]]"
                        }
                        _ => "dns64d serves no zones: leave it to the resolver behind dns64d",
                    };
                    self.imported.note(place, format!("{} {name}: {what}", self.clause));
                }
                Ok(())
            }
            "" => {
                let message = format!("{key}: stands in no clause, such as server:");
                Err(ImportError::at(place, message))
            }
            clause => {
                // One note for a clause says it.
                if let Some(at) = self.zone.place.take() {
                    self.imported.note(&at, format!("{clause}: {}", why_not(clause)));
                }
                Ok(())
            }
        }
    }

    /// A key of `server:`.
    fn server(&mut self, key: &str, place: &Place, values: &[Word]) -> Result<(), ImportError> {
        let value = values[0].text.as_str();
        let from = origin(place, key);
        let wrong =
            |what: &str| ImportError::at(&values[0].place, format!("{key}: {value} is {what}"));
        let number = || value.parse::<u64>().map_err(|_| wrong("no number"));
        let truth = || text::boolean(value).ok_or_else(|| wrong("neither yes nor no"));
        let octets = || text::size(value).ok_or_else(|| wrong("no size"));
        match key {
            "directory" => self.directory = Some(value.into()),
            "module-config" => {
                self.module_config = Some(Sourced { value: value.to_owned(), origin: from });
            }
            "dns64-prefix" => {
                let prefix = text::prefix(value, 96).ok_or_else(|| wrong("no IPv6 prefix"))?;
                self.prefix = Some(Sourced { value: prefix, origin: from });
            }
            "dns64-synthall" => {
                self.imported.dns64.keys.set("synth_all", Value::Boolean(truth()?), from);
            }
            "dns64-ignore-aaaa" => {
                let name = Sourced { value: value.to_owned(), origin: from };
                self.imported.dns64.keys.texts("ignore_aaaa").push(name);
            }
            "interface" | "ip-address" => {
                self.interfaces.push(Sourced { value: value.to_owned(), origin: from });
            }
            "interface-automatic" if truth()? => {
                for any in ["0.0.0.0", "::0"] {
                    let any = Sourced { value: any.to_owned(), origin: from.clone() };
                    self.interfaces.push(any);
                }
            }
            "port" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                self.port = port.ok_or_else(|| wrong("no port"))?;
            }
            "access-control" => self.access(&from, values)?,
            "private-address" => {
                let network = text::network(value).ok_or_else(|| wrong("no network"))?;
                self.private.extend(text::entries([network], false, &from));
            }
            "num-threads" => {
                let number = self.imported.within(number()?, 1..=256, place, key);
                self.imported.root.set("workers", Value::Integer(number), from);
            }
            "msg-cache-size" => self.sizes[0] = Some((octets()?, place.clone())),
            "rrset-cache-size" => self.sizes[1] = Some((octets()?, place.clone())),
            "cache-min-ttl" => self.cache_number("min_ttl", number()?, 86_400, place, key),
            "cache-max-ttl" => self.cache_number("max_ttl", number()?, 604_800, place, key),
            "cache-max-negative-ttl" => {
                self.cache_number("max_negative_ttl", number()?, 604_800, place, key);
            }
            "serve-expired" => {
                self.imported.cache.set("serve_stale", Value::Boolean(truth()?), from);
            }
            // 0 is without end there; the longest that we have is a week.
            "serve-expired-ttl" => match number()? {
                0 => self.cache_number("max_stale", 604_800, 604_800, place, key),
                seconds => self.cache_number("max_stale", seconds, 604_800, place, key),
            },
            "prefetch" => self.imported.cache.set("prefetch", Value::Boolean(truth()?), from),
            "max-udp-size" => self.limit("udp_payload", number()?, 512..=4_096, place, key),
            "incoming-num-tcp" => {
                // For each thread there, for all here.
                self.limit("tcp_clients", number()?, 1..=1_000_000, place, key);
            }
            "tcp-idle-timeout" => self.limit("tcp_idle_ms", number()?, 100..=600_000, place, key),
            "ip-ratelimit" => {
                self.limit("rate", number()?, 0..=10_000_000, place, key);
                if value != "0" {
                    let what = "ip-ratelimit: dns64d counts an IPv6 /56 as one client";
                    self.imported.note(place, what);
                }
            }
            _ => {
                let value = if value.is_empty() { "\"\"" } else { value };
                self.imported.note(place, format!("{key}: {value}: {}", why_not(key)));
            }
        }
        Ok(())
    }

    /// A number of `[cache]`.
    fn cache_number(
        &mut self,
        ours: &'static str,
        number: u64,
        most: u32,
        place: &Place,
        key: &str,
    ) {
        let number = self.imported.within(number, 0..=most, place, key);
        self.imported.cache.set(ours, Value::Integer(number), origin(place, key));
    }

    /// A number of `[limits]`.
    fn limit(
        &mut self,
        ours: &'static str,
        number: u64,
        range: std::ops::RangeInclusive<u32>,
        place: &Place,
        key: &str,
    ) {
        let number = self.imported.within(number, range, place, key);
        self.imported.limits.set(ours, Value::Integer(number), origin(place, key));
    }

    /// `access-control: NETWORK ACTION`.
    fn access(&mut self, from: &str, values: &[Word]) -> Result<(), ImportError> {
        let [network, action, ..] = values else {
            return Err(ImportError::at(&values[0].place, "access-control: has no action"));
        };
        let value = text::client_network(&network.text).ok_or_else(|| {
            let message = format!("access-control: {} is no network", network.text);
            ImportError::at(&network.place, message)
        })?;
        let access = match action.text.as_str() {
            "allow" | "allow_setrd" | "allow_snoop" | "allow_cookie" => Access::Allow,
            "refuse" | "refuse_non_local" => Access::Refuse,
            "deny" | "deny_non_local" => Access::Drop,
            other => {
                let message = format!("access-control: {other} is no action");
                return Err(ImportError::at(&action.place, message));
            }
        };
        let what = match action.text.as_str() {
            "allow_setrd" => Some("RD that is not set stays so: only what is cached is answered"),
            "allow_cookie" => Some("dns64d asks for no cookies"),
            "refuse_non_local" | "deny_non_local" => Some("dns64d has no local data to give"),
            _ => None,
        };
        if let Some(what) = what {
            self.imported.note(&action.place, format!("{}: {what}", action.text));
        }
        self.access.push((Sourced { value, origin: from.to_owned() }, access));
        Ok(())
    }

    /// A key of `forward-zone:`.
    fn forward(&mut self, key: &str, place: &Place, values: &[Word]) -> Result<(), ImportError> {
        let value = values[0].text.as_str();
        match key {
            "name" => self.zone.name = Some(Sourced::new(value.to_owned(), place, "forward-zone")),
            "forward-addr" => {
                let server = text::at_port(value, text::PORT).ok_or_else(|| {
                    ImportError::at(&values[0].place, format!("{key}: {value} is no address"))
                })?;
                self.zone.servers.push(Sourced::new(server, place, key));
            }
            "forward-host" => self.zone.hosts.push(place.clone()),
            "forward-tls-upstream" | "forward-ssl-upstream" => {
                if text::boolean(value) == Some(true) {
                    self.zone.tls = Some(place.clone());
                }
            }
            _ => self.imported.note(place, format!("{key}: {value}: {}", why_not(key))),
        }
        Ok(())
    }

    /// The clause of a zone has ended.
    fn end_of_zone(&mut self) {
        let zone = std::mem::take(&mut self.zone);
        if self.clause != "forward-zone" {
            return;
        }
        let imported = &mut self.imported;
        for place in &zone.hosts {
            imported.note(place, "forward-host: dns64d takes addresses only");
        }
        if let Some(place) = &zone.tls {
            let what = "forward-tls-upstream: dns64d asks by plain DNS only, so these servers are \
                        left out: put a DoT forwarder between";
            imported.note(place, what);
            return;
        }
        match (zone.name, zone.place) {
            (Some(name), _) => imported.forward(name, zone.servers),
            (None, Some(place)) => imported.note(&place, "forward-zone: has no name"),
            (None, None) => {}
        }
    }

    /// What holds when everything has been read.
    fn finish(mut self) -> Imported {
        self.listen();
        self.lists();
        let imported = &mut self.imported;
        if let Some((_, place)) = self.sizes.iter().flatten().next() {
            /// The default of each of both caches.
            const DEFAULT: u64 = 4 << 20;
            let octets = |size: &Option<(u64, Place)>| size.as_ref().map_or(DEFAULT, |size| size.0);
            let both = octets(&self.sizes[0]).saturating_add(octets(&self.sizes[1]));
            imported.cache_size(both, place, "msg-cache-size and rrset-cache-size");
        }
        for key in ["serve_stale", "prefetch"] {
            if imported.cache.get(key).is_none() {
                imported.cache.set(key, Value::Boolean(false), "default of Unbound");
            }
        }
        let dns64 = &mut imported.dns64;
        let modules = self.module_config.as_ref();
        if !modules.is_some_and(|modules| modules.value.split_whitespace().any(|m| m == "dns64")) {
            let why = match modules {
                Some(modules) => format!("{}: has no dns64", modules.origin),
                None => "module-config has no dns64 by default".to_owned(),
            };
            dns64.keys.set("enabled", Value::Boolean(false), why);
        }
        if modules.is_none_or(|modules| modules.value.contains("validator")) {
            let what = "module-config: the validator is not carried over: dnssec.mode = \"validate\" validates here";
            imported.remark(what);
        }
        let prefix = self.prefix.unwrap_or_else(|| {
            let well_known = crate::pref64::WELL_KNOWN.network();
            Sourced::default_of(well_known, "default of Unbound")
        });
        let dns64 = &mut imported.dns64;
        dns64.prefixes.push(Prefix::new(prefix));
        let keys = &mut dns64.keys;
        keys.set("trigger", Value::Text("error".into()), "Unbound asks A on every failure");
        keys.set("ptr", Value::Text("direct".into()), "Unbound gives PTR under the asked name");
        keys.set("ipv4only", Value::Boolean(false), "Unbound forwards ipv4only.arpa");
        let none = || Value::Networks(List::new());
        keys.set("non_global_ipv4", none(), "Unbound maps every IPv4 address");
        let private = |ipv6: bool| -> List {
            let of_family = |entry: &&Sourced<super::model::Entry>| {
                matches!(entry.value.network, ipnet::IpNet::V6(_)) == ipv6
            };
            self.private.iter().filter(of_family).cloned().collect()
        };
        keys.set("exclude_aaaa", Value::Networks(private(true)), "Unbound excludes no AAAA");
        if !self.private.is_empty() {
            keys.set("exclude_a", Value::Networks(private(false)), "");
            imported.remark(
                "private-address: counts for AAAA answers (exclude_aaaa, exclude_a); other answers \
                 keep these addresses here",
            );
        }
        if imported.servers.is_empty() {
            imported.remark(
                "no server for every name: Unbound resolves by itself, dns64d forwards. Name \
                 resolvers in upstream.servers, such as this Unbound without its dns64 module",
            );
        }
        for difference in [
            "AAAA that ends in NXDOMAIN: Unbound asks A all the same, dns64d passes NXDOMAIN on \
             (RFC 6147 5.1.2)",
            "A that fails: Unbound answers an empty NOERROR, dns64d the failure (RFC 6147 5.1.6)",
            "PTR under 64:ff9b::/96 is translated here beside the prefix that is set, and names \
             under a prefix that are no address are denied here",
            "zones that Unbound serves by itself (RFC 6303, local-zone) are forwarded",
        ] {
            imported.remark(difference);
        }
        self.imported
    }

    /// Where Unbound listens.
    fn listen(&mut self) {
        let mut interfaces = std::mem::take(&mut self.interfaces);
        if interfaces.is_empty() {
            let default = |text: &str| Sourced::default_of(text.to_owned(), "default of Unbound");
            interfaces.extend(["127.0.0.1", "::1"].map(default));
        }
        for interface in interfaces {
            match text::at_port(&interface.value, self.port) {
                Some(value) => {
                    self.imported.listen.push(Sourced { value, origin: interface.origin });
                }
                None => self.imported.remark(format!(
                    "{}: {} is no address: name the addresses of the interface in listen",
                    super::files::printable(&interface.origin),
                    super::files::printable(&interface.value)
                )),
            }
        }
    }

    /// Who may ask: the longest network decides there, and this machine may ask by default.
    fn lists(&mut self) {
        let mut all = std::mem::take(&mut self.access);
        let default = |network: &str| {
            let network = text::network(network).expect("a network");
            (Sourced::default_of(network, "default of Unbound"), Access::Allow)
        };
        all.extend(["127.0.0.0/8", "::1"].map(default));
        let list = |is_in: Access, is_out: fn(Access) -> bool| -> List {
            let chosen = all.iter().filter(|(_, access)| *access == is_in || is_out(*access));
            let entry = |(network, access): &(Sourced<ipnet::IpNet>, Access)| Sourced {
                value: super::model::Entry { network: network.value, out: *access != is_in },
                origin: network.origin.clone(),
            };
            text::longest_first(chosen.map(entry).collect(), true)
        };
        self.imported.allow = Some(list(Access::Allow, |_| true));
        if all.iter().any(|(_, access)| *access == Access::Drop) {
            self.imported.drop = Some(list(Access::Drop, |_| true));
        }
    }
}

/// Whether a key is known to have one value.
fn is_known(key: &str) -> bool {
    super::unbound_words::is_known(key)
}
