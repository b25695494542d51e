//! Writes what was read as a configuration of dns64d, with a comment where each value came from.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use super::files::printable;
use super::model::{Dns64, Imported, Keys, Sourced, Value};

/// Columns of a comment that stands beside a value.
const COMMENT_AT: usize = 44;

/// What stands on its own line in front of the configuration, and the name of the input.
pub(super) fn configuration(imported: &Imported, title: &str) -> String {
    let mut out = Out::default();
    out.comment(title);
    out.blank();
    if !imported.listen.is_empty() {
        out.list("listen", imported.listen.iter().map(socket));
    }
    out.keys(&imported.root);
    for (key, list) in [("allow", &imported.allow), ("drop", &imported.drop)] {
        if let Some(list) = list {
            out.list(key, list.iter().map(entry));
        }
    }
    if !imported.servers.is_empty() {
        out.header("[upstream]");
        out.list("servers", imported.servers.iter().map(socket));
    }
    for forward in &imported.forwards {
        out.header("[[forward]]");
        out.line("zone", &quoted(&forward.zone.value), &forward.zone.origin);
        out.list("servers", forward.servers.iter().map(socket));
    }
    dns64(&mut out, &imported.dns64, "dns64");
    for view in &imported.views {
        out.header("[[view]]");
        out.line("name", &quoted(&view.name.value), &view.name.origin);
        out.list("clients", view.clients.iter().map(entry));
        dns64(&mut out, &view.dns64, "view.dns64");
    }
    for (header, keys) in [
        ("[cache]", &imported.cache),
        ("[limits]", &imported.limits),
        ("[script]", &imported.script),
    ] {
        if !keys.0.is_empty() {
            out.header(header);
            out.keys(keys);
        }
    }
    if !imported.notes.is_empty() {
        out.blank();
        out.comment("Not carried over, or not quite:");
        for note in &imported.notes {
            out.comment(&format!("- {note}"));
        }
    }
    out.0
}

/// A `dns64` table.
fn dns64(out: &mut Out, dns64: &Dns64, name: &str) {
    if !dns64.keys.0.is_empty() {
        out.header(&format!("[{name}]"));
        out.keys(&dns64.keys);
    }
    for prefix in &dns64.prefixes {
        out.header(&format!("[[{name}.prefixes]]"));
        let text = quoted(&prefix.prefix.value.to_string());
        out.line("prefix", &text, &prefix.prefix.origin);
        out.keys(&prefix.options);
    }
}

/// An address of a list, and its comment.
fn socket(address: &Sourced<SocketAddr>) -> (String, String) {
    (address.value.to_string(), address.origin.clone())
}

/// A network of a list, and its comment.
fn entry(entry: &Sourced<super::model::Entry>) -> (String, String) {
    (entry.value.text(), entry.origin.clone())
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Lines of TOML.
#[derive(Default)]
struct Out(String);

impl Out {
    fn blank(&mut self) {
        self.0.push('\n');
    }

    fn comment(&mut self, text: &str) {
        // A note is as long as it is; a comment ends with its line.
        let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        self.0.push_str("# ");
        self.0.push_str(&text);
        self.blank();
    }

    fn header(&mut self, header: &str) {
        self.blank();
        self.0.push_str(header);
        self.blank();
    }

    /// A line with its comment.
    fn commented(&mut self, line: &str, origin: &str) {
        self.0.push_str(line);
        if !origin.is_empty() {
            let width = COMMENT_AT.saturating_sub(line.chars().count() + 1);
            self.0.push_str(&" ".repeat(width + 1));
            self.0.push_str("# ");
            self.0.push_str(&printable(origin));
        }
        self.blank();
    }

    fn line(&mut self, key: &str, value: &str, origin: &str) {
        self.commented(&format!("{key} = {value}"), origin);
    }

    fn keys(&mut self, keys: &Keys) {
        for (key, sourced) in &keys.0 {
            match &sourced.value {
                Value::Integer(number) => self.line(key, &number.to_string(), &sourced.origin),
                Value::Boolean(boolean) => self.line(key, &boolean.to_string(), &sourced.origin),
                Value::Text(text) => self.line(key, &quoted(text), &sourced.origin),
                Value::Texts(texts) if texts.is_empty() => self.line(key, "[]", &sourced.origin),
                Value::Texts(texts) => {
                    let text = |text: &Sourced<String>| (text.value.clone(), text.origin.clone());
                    self.list(key, texts.iter().map(text));
                }
                Value::Networks(list) if list.is_empty() => self.line(key, "[]", &sourced.origin),
                Value::Networks(list) => self.list(key, list.iter().map(entry)),
            }
        }
    }

    /// A list: on one line if all of it came from one place.
    fn list(&mut self, key: &str, items: impl Iterator<Item = (String, String)>) {
        let items: Vec<(String, String)> = items.collect();
        let first = items.first().map(|(_, origin)| origin.clone()).unwrap_or_default();
        let texts: Vec<String> = items.iter().map(|(text, _)| quoted(text)).collect();
        let line = format!("{key} = [{}]", texts.join(", "));
        if items.iter().all(|(_, origin)| *origin == first) && line.len() <= 100 {
            self.commented(&line, &first);
            return;
        }
        self.0.push_str(&format!("{key} = [\n"));
        for (text, (_, origin)) in texts.iter().zip(&items) {
            self.commented(&format!("  {text},"), origin);
        }
        self.0.push_str("]\n");
    }
}
