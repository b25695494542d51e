//! Reads CoreDNS's Corefile: server blocks of plugins, snippets and imports.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::files::{ImportError, NESTING_MAX, Place, Reading, directory_of};
use super::model::{Imported, List, Prefix, Sourced, Value, origin};
use super::text;
use crate::pref64::WELL_KNOWN;

/// A line: its words, and the lines in its braces.
#[derive(Clone, Debug)]
struct Line {
    words: Vec<String>,
    place: Place,
    block: Vec<Line>,
}

/// Reads a Corefile.
///
/// # Errors
/// Braces and quotes that are not closed, values that cannot be read, and files that cannot
/// be read.
pub(super) fn read(path: &Path, reading: &mut Reading<'_>) -> Result<Imported, ImportError> {
    let mut snippets = HashMap::new();
    let lines = file(path, reading, None, &mut snippets, 0)?;
    let mut reader = Reader::default();
    for line in &lines {
        reader.server(line)?;
    }
    Ok(reader.finish())
}

/// The lines of a file, imports put in.
fn file(
    path: &Path,
    reading: &mut Reading<'_>,
    from: Option<&Place>,
    snippets: &mut HashMap<String, Vec<Line>>,
    depth: usize,
) -> Result<Vec<Line>, ImportError> {
    let (name, text) = reading.open(path, from)?;
    let tokens = tokens(&name, &text)?;
    let mut at = 0;
    let lines = lines(&tokens, &mut at, 0)?;
    if let Some((_, place)) = tokens.get(at) {
        return Err(ImportError::at(place, "this brace closes nothing"));
    }
    let lines = import(lines, path, reading, snippets, depth)?;
    reading.close();
    Ok(lines)
}

/// The words of a text; a new line is a word of its own (`\n`), as are braces.
fn tokens(file: &Arc<str>, text: &str) -> Result<Vec<(String, Place)>, ImportError> {
    let mut tokens: Vec<(String, Place)> = Vec::new();
    let chars: Vec<char> = text.chars().collect();
    let (mut at, mut line, mut line_at) = (0, 1, 0);
    while let Some(&c) = chars.get(at) {
        let place = Place { file: Arc::clone(file), line, column: at - line_at + 1 };
        match c {
            '\n' => {
                tokens.push(("\n".to_owned(), place));
                line += 1;
                at += 1;
                line_at = at;
            }
            '\\' if chars.get(at + 1) == Some(&'\n') => {
                line += 1;
                at += 2;
                line_at = at;
            }
            _ if c.is_whitespace() || c == '\u{feff}' => at += 1,
            '#' => {
                while chars.get(at).is_some_and(|c| *c != '\n') {
                    at += 1;
                }
            }
            '"' => {
                let mut word = String::new();
                at += 1;
                loop {
                    match (chars.get(at), chars.get(at + 1)) {
                        (Some('"'), _) => break,
                        (Some('\\'), Some('"')) => {
                            word.push('"');
                            at += 2;
                        }
                        (Some(c), _) => {
                            if *c == '\n' {
                                line += 1;
                                line_at = at + 1;
                            }
                            word.push(*c);
                            at += 1;
                        }
                        (None, _) => {
                            return Err(ImportError::at(&place, "the quote is not closed"));
                        }
                    }
                }
                at += 1;
                // A quoted brace or line is a word like any other.
                tokens.push((format!("\"{word}"), place));
            }
            _ => {
                let start = at;
                while chars.get(at).is_some_and(|c| !c.is_whitespace()) {
                    at += 1;
                }
                let word = chars.get(start..at).unwrap_or_default().iter().collect();
                tokens.push((word, place));
            }
        }
    }
    Ok(tokens)
}

/// Lines up to a closing brace or the end.
fn lines(
    tokens: &[(String, Place)],
    at: &mut usize,
    depth: usize,
) -> Result<Vec<Line>, ImportError> {
    let mut lines = Vec::new();
    let mut open: Option<Line> = None;
    while let Some((word, place)) = tokens.get(*at) {
        if depth >= NESTING_MAX {
            let message = format!("blocks lie in one another more than {NESTING_MAX} deep");
            return Err(ImportError::at(place, message));
        }
        match word.as_str() {
            "}" => break,
            "\n" => lines.extend(open.take()),
            "{" => {
                let Some(mut line) = open.take() else {
                    return Err(ImportError::at(place, "this brace opens a block of nothing"));
                };
                *at += 1;
                line.block = self::lines(tokens, at, depth + 1)?;
                if tokens.get(*at).is_none() {
                    return Err(ImportError::at(place, "this brace is not closed"));
                }
                lines.push(line);
            }
            word => {
                let word = word.strip_prefix('"').unwrap_or(word).to_owned();
                let new = || Line { words: Vec::new(), place: place.clone(), block: Vec::new() };
                let line = open.get_or_insert_with(new);
                // Names of a server block may stand on lines of their own behind a comma.
                line.words.push(word);
                let goes_on = depth == 0 && line.words.last().is_some_and(|w| w.ends_with(','));
                if goes_on && tokens.get(*at + 1).is_some_and(|(next, _)| next == "\n") {
                    *at += 1;
                }
            }
        }
        *at += 1;
    }
    lines.extend(open);
    Ok(lines)
}

/// Most lines of a whole configuration.
const LINES_MAX: usize = 100_000;

/// Puts snippets and files in the place of `import`, and keeps snippets apart.
fn import(
    lines: Vec<Line>,
    path: &Path,
    reading: &mut Reading<'_>,
    snippets: &mut HashMap<String, Vec<Line>>,
    depth: usize,
) -> Result<Vec<Line>, ImportError> {
    let mut whole = Vec::new();
    for mut line in lines {
        if depth >= NESTING_MAX || whole.len() > LINES_MAX {
            return Err(ImportError::at(&line.place, "imports are too deep or too many"));
        }
        let first = line.words.first().cloned().unwrap_or_default();
        let snippet = first.strip_prefix('(').and_then(|name| name.strip_suffix(')'));
        if let Some(name) = snippet {
            let name = name.to_owned();
            let block = import(line.block, path, reading, snippets, depth + 1)?;
            snippets.insert(name, block);
            continue;
        }
        if first == "import" {
            let name = line.words.get(1).cloned().unwrap_or_default();
            if let Some(snippet) = snippets.get(&name) {
                whole.extend(snippet.clone());
                continue;
            }
            let bases = [directory_of(path)];
            for included in reading.included(&name, &bases, &line.place)? {
                let place = Some(&line.place);
                whole.extend(file(&included, reading, place, snippets, depth + 1)?);
            }
            continue;
        }
        line.block = import(line.block, path, reading, snippets, depth + 1)?;
        whole.push(line);
    }
    Ok(whole)
}

#[derive(Default)]
struct Reader {
    imported: Imported,
    /// Zones of server blocks without dns64.
    without: Vec<Sourced<String>>,
    has_dns64: bool,
    cache: bool,
}

impl Reader {
    /// A server block: `ZONE[:PORT]... { plugins }`.
    fn server(&mut self, server: &Line) -> Result<(), ImportError> {
        let mut zones = Vec::new();
        let mut ports = Vec::new();
        for key in server.words.iter().flat_map(|word| word.split(',')) {
            let key = key.trim();
            if key.is_empty() {
                continue;
            }
            let (scheme, rest) = key.split_once("://").unwrap_or(("dns", key));
            if scheme != "dns" {
                let what = format!("{key}: dns64d serves plain DNS only");
                self.imported.note(&server.place, what);
                return Ok(());
            }
            let (zone, port) = match rest.rsplit_once(':') {
                Some((zone, port)) => match port.parse::<u16>() {
                    Ok(port) if port > 0 => (zone, port),
                    _ => {
                        let message = format!("{key}: {port} is no port");
                        return Err(ImportError::at(&server.place, message));
                    }
                },
                None => (rest, text::PORT),
            };
            zones.push(if zone.is_empty() { "." } else { zone }.to_owned());
            ports.push(port);
        }
        let has_root = zones.iter().any(|zone| zone == ".");
        let mut addresses: Vec<(IpAddr, String)> = Vec::new();
        let mut has_dns64 = false;
        for plugin in &server.block {
            let name = plugin.words.first().cloned().unwrap_or_default();
            let arguments = plugin.words.get(1..).unwrap_or_default();
            match name.as_str() {
                "dns64" if has_root => {
                    has_dns64 = true;
                    self.dns64(plugin, arguments)?;
                }
                "dns64" => {
                    let what = format!("dns64 of {}: dns64d has it for all names", zones.join(" "));
                    self.imported.note(&plugin.place, what);
                }
                "forward" | "proxy" => self.forward(plugin, arguments, &zones)?,
                "cache" => self.cache(plugin, arguments)?,
                "bind" => {
                    for argument in arguments {
                        match text::address(argument) {
                            Some((address, _)) => {
                                addresses.push((address, origin(&plugin.place, "bind")));
                            }
                            None => self.imported.note(
                                &plugin.place,
                                format!("bind {argument}: name the addresses of the interface"),
                            ),
                        }
                    }
                }
                "acl" => self.acl(plugin)?,
                "any" => {}
                name => {
                    let message = format!("{name}: {}", why_not(name));
                    self.imported.note(&plugin.place, message);
                }
            }
        }
        self.has_dns64 |= has_dns64;
        if !has_dns64 && !has_root {
            let from = origin(&server.place, "a server block without dns64");
            let zone = |zone: String| Sourced { value: zone, origin: from.clone() };
            self.without.extend(zones.into_iter().map(zone));
        }
        if addresses.is_empty() {
            let every = text::everybody().map(|network| network.addr());
            let from = origin(&server.place, "every address");
            addresses.extend(every.map(|address| (address, from.clone())));
        }
        for port in ports {
            for (address, from) in &addresses {
                let value = std::net::SocketAddr::new(*address, port);
                self.imported.listen.push(Sourced { value, origin: from.clone() });
            }
        }
        Ok(())
    }

    /// `dns64 [PREFIX] { prefix PREFIX; translate_all; allow_ipv4 }`.
    fn dns64(&mut self, plugin: &Line, arguments: &[String]) -> Result<(), ImportError> {
        let mut word = arguments.first().map(|argument| (argument.clone(), plugin.place.clone()));
        let mut allow_ipv4 = false;
        for option in &plugin.block {
            match option.words.first().map(String::as_str).unwrap_or_default() {
                "prefix" => {
                    let prefix = option.words.get(1).cloned().unwrap_or_default();
                    word = Some((prefix, option.place.clone()));
                }
                "translate_all" => {
                    let from = origin(&option.place, "translate_all");
                    self.imported.dns64.keys.set("synth_all", Value::Boolean(true), from);
                }
                "allow_ipv4" => allow_ipv4 = true,
                other => {
                    let message = format!("dns64: {other} is no option");
                    return Err(ImportError::at(&option.place, message));
                }
            }
        }
        let prefix = match word {
            Some((word, place)) => {
                let network = text::prefix(&word, 96).ok_or_else(|| {
                    ImportError::at(&place, format!("dns64: {word} is no IPv6 prefix"))
                })?;
                Sourced::new(network, &place, "dns64")
            }
            None => Sourced::new(WELL_KNOWN.network(), &plugin.place, "dns64"),
        };
        let mut prefix = Prefix::new(prefix);
        if !allow_ipv4 {
            let why = "without allow_ipv4 only for clients by IPv6";
            let clients = text::entries([text::everybody()[1]], false, why);
            prefix.options.set("clients", Value::Networks(clients), why);
        }
        self.imported.dns64.prefixes.push(prefix);
        Ok(())
    }

    /// `forward FROM TO...`.
    fn forward(
        &mut self,
        plugin: &Line,
        arguments: &[String],
        zones: &[String],
    ) -> Result<(), ImportError> {
        let Some((from, to)) = arguments.split_first() else {
            return Err(ImportError::at(&plugin.place, "forward: names nothing"));
        };
        let mut servers = Vec::new();
        for word in to {
            if let Some(rest) = word.strip_prefix("tls://") {
                let what = format!("forward {rest}: dns64d asks by plain DNS only");
                self.imported.note(&plugin.place, what);
            } else if word.starts_with('/') {
                let what = format!(
                    "forward {word}: without upstream.servers dns64d asks those of /etc/resolv.conf"
                );
                self.imported.note(&plugin.place, what);
            } else {
                let bare = word.strip_prefix("dns://").unwrap_or(word);
                let address = text::colon_port(bare, text::PORT).ok_or_else(|| {
                    let message = format!("forward: {word} is no address");
                    ImportError::at(&plugin.place, message)
                })?;
                servers.push(Sourced::new(address, &plugin.place, "forward"));
            }
        }
        if servers.is_empty() {
            return Ok(());
        }
        // `.` is everything of the block.
        let bases: Vec<String> = if from == "." { zones.to_vec() } else { vec![from.clone()] };
        for zone in bases {
            let zone = Sourced::new(zone, &plugin.place, "forward");
            self.imported.forward(zone, servers.clone());
        }
        for option in &plugin.block {
            let word = option.words.first().cloned().unwrap_or_default();
            let what = format!("forward: {word}: dns64d decides this by itself");
            self.imported.note(&option.place, what);
        }
        Ok(())
    }

    /// `cache [TTL] [ZONES] { success CAPACITY [TTL [MINTTL]]; denial ...; prefetch;
    /// serve_stale }`.
    fn cache(&mut self, plugin: &Line, arguments: &[String]) -> Result<(), ImportError> {
        /// Octets that an entry is counted as: the usual answer with its name.
        const ENTRY: u64 = 384;
        self.cache = true;
        let imported = &mut self.imported;
        let place = &plugin.place;
        let mut seconds = |ours: &'static str, word: &str, place: &Place| {
            let number: u64 = word.parse().map_err(|_| {
                ImportError::at(place, format!("cache: {word} is no number of seconds"))
            })?;
            let most = if ours == "min_ttl" { 86_400 } else { 604_800 };
            let number = imported.within(number, 0..=most, place, "cache");
            imported.cache.set(ours, Value::Integer(number), origin(place, "cache"));
            Ok::<(), ImportError>(())
        };
        match arguments.first() {
            Some(word) if word.bytes().all(|b| b.is_ascii_digit()) => {
                seconds("max_ttl", word, place)?;
                seconds("max_negative_ttl", word, place)?;
            }
            Some(_) | None => {
                seconds("max_ttl", "3600", place)?;
                seconds("max_negative_ttl", "1800", place)?;
            }
        }
        let mut capacity = 0u64;
        for option in &plugin.block {
            let word = |number: usize| option.words.get(number).map(String::as_str);
            let place = &option.place;
            if let name @ ("success" | "denial") = word(0).unwrap_or_default() {
                let entries = word(1).unwrap_or_default().parse::<u64>().map_err(|_| {
                    ImportError::at(place, format!("cache: {name} has no capacity"))
                })?;
                capacity = capacity.saturating_add(entries);
                let is_success = name == "success";
                if let Some(ttl) = word(2) {
                    let key = if is_success { "max_ttl" } else { "max_negative_ttl" };
                    seconds(key, ttl, place)?;
                }
                if let Some(ttl) = word(3).filter(|_| is_success) {
                    seconds("min_ttl", ttl, place)?;
                }
            }
        }
        let imported = &mut self.imported;
        if capacity > 0 {
            imported.cache_size(capacity.saturating_mul(ENTRY), place, "entries, 384 octets each");
        }
        for option in &plugin.block {
            let name = option.words.first().map(String::as_str).unwrap_or_default();
            let place = &option.place;
            match name {
                "success" | "denial" => {}
                "prefetch" => {
                    let on = option.words.get(1).is_some_and(|amount| amount != "0");
                    imported.cache.set("prefetch", Value::Boolean(on), origin(place, name));
                }
                "serve_stale" => {
                    imported.cache.set("serve_stale", Value::Boolean(true), origin(place, name));
                    let span = option.words.get(1).and_then(|span| text::seconds(span));
                    if let Some(span) = span {
                        let span = imported.within(span, 0..=604_800, place, name);
                        imported.cache.set("max_stale", Value::Integer(span), origin(place, name));
                    }
                }
                _ => imported.note(place, format!("cache {name}: dns64d has nothing like it")),
            }
        }
        Ok(())
    }

    /// `acl { allow|block|filter|drop [type ...] [net NETWORKS] }`: the first that fits decides.
    fn acl(&mut self, plugin: &Line) -> Result<(), ImportError> {
        let everybody = text::everybody();
        let (mut allow, mut drop) = (List::new(), List::new());
        let mut has_drop = false;
        for rule in &plugin.block {
            let action = rule.words.first().map(String::as_str).unwrap_or_default();
            let from = origin(&rule.place, "acl");
            let net = rule.words.iter().position(|word| word == "net");
            let types = rule.words.iter().position(|word| word == "type");
            let end = |at: usize| types.filter(|types| *types > at).unwrap_or(rule.words.len());
            if let Some(at) = types
                && rule.words.get(at + 1).is_some_and(|word| word != "*")
            {
                let what = "acl type: dns64d tells clients apart, not types";
                self.imported.note(&rule.place, what);
                continue;
            }
            let mut networks = Vec::new();
            let words = net.and_then(|at| rule.words.get(at + 1..end(at))).unwrap_or_default();
            for word in words {
                match word.as_str() {
                    "*" => networks.extend(everybody),
                    word => networks.push(text::client_network(word).ok_or_else(|| {
                        ImportError::at(&rule.place, format!("acl: {word} is no network"))
                    })?),
                }
            }
            if net.is_none() {
                networks.extend(everybody);
            }
            match action {
                "allow" | "block" | "drop" => {}
                "filter" => {
                    let what = "acl filter: dns64d refuses instead of an empty answer";
                    self.imported.note(&rule.place, what);
                }
                other => {
                    let message = format!("acl: {other} is no action");
                    return Err(ImportError::at(&rule.place, message));
                }
            }
            has_drop |= action == "drop";
            allow.extend(text::entries(networks.clone(), action != "allow", &from));
            drop.extend(text::entries(networks, action != "drop", &from));
        }
        allow.extend(text::entries(everybody, false, "default of CoreDNS"));
        self.imported.allow = Some(allow);
        if has_drop {
            self.imported.drop = Some(drop);
        }
        Ok(())
    }

    /// What holds when everything has been read.
    fn finish(mut self) -> Imported {
        let imported = &mut self.imported;
        imported.allow.get_or_insert_with(|| {
            text::entries(text::everybody(), false, "CoreDNS answers everybody")
        });
        if !self.cache {
            imported.cache.set("max_ttl", Value::Integer(0), "no cache plugin");
        }
        for key in ["serve_stale", "prefetch"] {
            if imported.cache.get(key).is_none() {
                imported.cache.set(key, Value::Boolean(false), "default of CoreDNS");
            }
        }
        let keys = &mut imported.dns64.keys;
        if self.has_dns64 {
            for zone in self.without {
                keys.texts("bypass").push(zone);
            }
        } else {
            keys.set("enabled", Value::Boolean(false), "no dns64 in a server block of the root");
        }
        keys.set("trigger", Value::Text("error".into()), "CoreDNS asks A on every failure");
        keys.set("ptr", Value::Text("off".into()), "CoreDNS translates no PTR");
        keys.set("ipv4only", Value::Boolean(false), "CoreDNS forwards ipv4only.arpa");
        let none = || Value::Networks(List::new());
        keys.set("non_global_ipv4", none(), "CoreDNS maps every IPv4 address");
        keys.set("exclude_aaaa", none(), "CoreDNS excludes no AAAA");
        for difference in [
            "CD: CoreDNS synthesizes, dns64d does not (RFC 6147 5.5)",
            "A that fails: CoreDNS answers an empty NOERROR, dns64d the failure (RFC 6147 5.1.6)",
            "limits of cache and acl are those of all server blocks together",
        ] {
            imported.remark(difference);
        }
        self.imported
    }
}

/// Why a plugin is left out.
fn why_not(name: &str) -> &'static str {
    match name {
        "errors" | "log" | "debug" => "dns64d logs to standard error: see [log]",
        "health" | "ready" | "prometheus" | "pprof" | "metadata" | "trace" | "dnstap" => {
            "dns64d has no such interface"
        }
        "hosts" | "file" | "auto" | "secondary" | "template" | "kubernetes" | "etcd"
        | "route53" => "dns64d has no local data: leave it to the resolver behind dns64d",
        "tls" => "dns64d serves plain DNS only",
        "dnssec" | "sign" => "dns64d signs nothing",
        "reload" => "a new configuration takes `dns64ctl reload`",
        "loop" => "dns64d refuses servers that are itself",
        "minimal" | "nsid" | "chaos" => "dns64d needs no such thing",
        _ => "dns64d has nothing like it",
    }
}
