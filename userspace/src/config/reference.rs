//! What is documented of the configuration: the remarks of `example.toml`, key by key, and the
//! schema.
//!
//! A remark stands once, above its key in the example; whoever tells it otherwise, as the manual
//! page and the schema do, has it from here. `schema.json` is written by a test, which has the
//! reader go through the example with every key and sees what it asks of each.

use std::collections::BTreeSet;

use serde_json::Value;

/// The configuration with every key.
pub const EXAMPLE: &str = include_str!("../../example.toml");

/// The JSON Schema (2020-12) of a configuration.
pub const SCHEMA: &str = include_str!("../../schema.json");

/// A table of the example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Its name, as in `view.dns64`; empty for the keys above all tables.
    pub name: String,
    /// Whether it is one of a list: `[[view]]`.
    pub is_list: bool,
    /// The remark on it, in paragraphs.
    pub remark: Vec<String>,
    /// Its keys, in order.
    pub keys: Vec<Key>,
}

/// A key of the example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// The remark on it, in paragraphs; that of the key above where two share one.
    pub remark: Vec<String>,
    /// Its value in the example, as TOML.
    pub value: String,
}

/// The tables of the example, in order; the first is that of the keys above all tables.
#[must_use]
pub fn sections() -> Vec<Section> {
    let mut sections = vec![Section::default()];
    let mut remark: Vec<String> = Vec::new();
    let mut lines = EXAMPLE.lines();
    while let Some(line) = lines.next() {
        if let Some(words) = remark_of(line) {
            continue_remark(&mut remark, words);
            continue;
        }
        let Some(section) = sections.last_mut() else { continue };
        let line = line.strip_prefix('#').unwrap_or(line);
        if line.is_empty() {
            // A remark that stands alone is about the table, or the whole file.
            section.remark.append(&mut remark);
        } else if let Some((name, is_list)) = heading(line) {
            let remark = std::mem::take(&mut remark);
            sections.push(Section { name, is_list, remark, keys: Vec::new() });
        } else if let Some((name, value)) = line.split_once(" = ") {
            let mut value = value.to_owned();
            while is_open(&value) {
                let Some(more) = lines.next() else { break };
                value.push('\n');
                value.push_str(more);
            }
            let shared = section.keys.last().map(|key| key.remark.clone()).unwrap_or_default();
            let own = std::mem::take(&mut remark);
            let remark = if own.is_empty() { shared } else { own };
            section.keys.push(Key { name: name.to_owned(), remark, value });
        }
    }
    // A second entry of a list shows another use, and no other keys.
    let mut names = BTreeSet::new();
    sections.retain(|section| names.insert(section.name.clone()));
    sections
}

/// The words of a line that is a remark; a key that is switched off is none.
fn remark_of(line: &str) -> Option<&str> {
    if line == "#" { Some("") } else { line.strip_prefix("# ").map(str::trim_end) }
}

/// Adds a line to a remark: an empty one begins a paragraph.
fn continue_remark(remark: &mut Vec<String>, words: &str) {
    match remark.last_mut() {
        Some(paragraph) if words.is_empty() => {
            if !paragraph.is_empty() {
                remark.push(String::new());
            }
        }
        Some(paragraph) if !paragraph.is_empty() => {
            paragraph.push(' ');
            paragraph.push_str(words);
        }
        Some(paragraph) => paragraph.push_str(words),
        None => remark.push(words.to_owned()),
    }
}

/// The name of a table that a line begins, and whether it is one of a list.
fn heading(line: &str) -> Option<(String, bool)> {
    let inner = line.strip_prefix('[')?.strip_suffix(']')?;
    match inner.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(name) => Some((name.to_owned(), true)),
        None => Some((inner.to_owned(), false)),
    }
}

/// Whether a value goes on in the next line: it has more brackets open than closed.
fn is_open(value: &str) -> bool {
    let count = |bracket: char| value.matches(bracket).count();
    count('[') > count(']')
}

/// What the schema says of a key: `table` is the name of its table, as in [`Section::name`].
///
/// # Panics
/// If the schema is no JSON, which a test rules out.
#[must_use]
pub fn schema_of(table: &str, key: &str) -> Option<Value> {
    let root: Value = serde_json::from_str(SCHEMA).expect("a test reads it");
    let path = table.split('.').chain([key]).filter(|part| !part.is_empty());
    let mut at = &root;
    for part in path {
        at = table_of(&root, at)?.get("properties")?.get(part)?;
    }
    let mut found = resolved(&root, at)?.clone();
    // What is said beside a reference comes first.
    if let (Some(found), Some(beside)) = (found.as_object_mut(), at.as_object()) {
        found.extend(beside.clone());
    }
    Some(found)
}

/// Follows a reference into the definitions.
fn resolved<'v>(root: &'v Value, at: &'v Value) -> Option<&'v Value> {
    match at.get("$ref").and_then(Value::as_str) {
        Some(reference) => root.pointer(reference.strip_prefix('#')?),
        None => Some(at),
    }
}

/// The schema of a table: of the value itself, of the entries of a list, or of one of its forms.
fn table_of<'v>(root: &'v Value, at: &'v Value) -> Option<&'v Value> {
    let at = resolved(root, at)?;
    if at.get("properties").is_some() {
        return Some(at);
    }
    if let Some(items) = at.get("items") {
        return table_of(root, items);
    }
    at.get("anyOf")?.as_array()?.iter().find_map(|form| table_of(root, form))
}

/// The example with every key switched on, files that are there in the place of those that are not,
/// and one of two that shut each other out: a pool or prefixes, an address or a socket.
/// `trust_anchors` is the line for this key, or nothing.
#[cfg(test)]
pub(super) fn examples(trust_anchors: &str) -> [String; 2] {
    let enabled: Vec<&str> = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
            _ => line,
        })
        .collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/script/scripts/dns64.lua");
    let text = enabled
        .join("\n")
        .replace("\"conf.d/*.toml\"", "")
        .replace("\"dns64.lua\"", &format!("{script:?}"))
        .replace("trust_anchors = \"/etc/dns64d/anchors\"\n", trust_anchors);
    let without = |lines: &[&str]| {
        lines.iter().fold(text.clone(), |text, line| text.replacen(&format!("\n{line}\n"), "\n", 1))
    };
    [
        without(&["prefixes = [\"64:ff9b::/96\"]", "socket = \"/run/dnstap.sock\""]),
        without(&["pool = \"nat64\"", "address = \"127.0.0.1:6000\""]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_table_of_the_example_has_a_remark() {
        for section in sections() {
            assert!(!section.remark.is_empty(), "{} has no remark", section.name);
            for key in &section.keys {
                let name = format!("{}.{}", section.name, key.name);
                assert!(!key.remark.is_empty(), "{name} has no remark");
                assert!(
                    schema_of(&section.name, &key.name).is_some(),
                    "{name} is not in the schema"
                );
            }
        }
    }

    #[test]
    fn remarks_go_with_their_keys_and_tables() {
        let sections = sections();
        let names: Vec<&str> = sections.iter().map(|section| section.name.as_str()).collect();
        assert_eq!(names[..3], ["", "upstream", "forward"]);
        assert!(sections[0].remark[0].starts_with("A configuration of dns64d"));
        assert!(sections[0].remark.len() > 2, "paragraphs");
        let workers = sections[0].keys.iter().find(|key| key.name == "workers").unwrap();
        assert_eq!(workers.value, "4");
        assert!(workers.remark[0].starts_with("How many workers, 1 to 256."));
        let allow = sections[0].keys.iter().find(|key| key.name == "allow").unwrap();
        assert!(allow.value.ends_with("\n]") && allow.value.contains("fe80::/10"));
        assert!(sections[2].is_list && sections[2].remark[0].starts_with("Other servers"));
    }

    #[test]
    fn the_schema_is_found_through_lists_references_and_forms() {
        let kind = |table, key| schema_of(table, key).map(|found| found["type"].clone());
        assert_eq!(kind("", "workers"), Some("integer".into()));
        assert_eq!(kind("limits", "rate"), Some("integer".into()));
        assert_eq!(kind("forward", "zone"), Some("string".into()));
        assert_eq!(kind("view.dns64", "hold_ms"), Some("integer".into()));
        assert_eq!(kind("view.dns64.prefixes", "suffix"), Some("string".into()));
        assert_eq!(kind("limits", "speed"), None);
    }
}
