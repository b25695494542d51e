//! The manual page dns64d.toml(5): every key of the configuration, from the remarks of the example
//! and the schema.

use clap_mangen::roff::{Roff, bold, roman};
use serde_json::Value;

use super::man::{DATE, MANUAL, Page, key_line, list_pages, source, tidied};
use crate::config::reference::{Section, schema_of, sections};

/// The page.
#[must_use]
pub fn settings_page() -> Page {
    let (name, section) = ("dns64d.toml".to_owned(), 5);
    let mut roff = Roff::new();
    let title = name.to_uppercase();
    roff.control("TH", [title.as_str(), "5", DATE, source().as_str(), MANUAL]);
    roff.control("SH", ["NAME"]).text([roman("dns64d.toml - configuration of dns64d")]);
    roff.control("SH", ["DESCRIPTION"]);
    let sections = sections();
    let (first, tables) = sections.split_first().expect("there are keys above all tables");
    paragraphs(&mut roff, &first.remark);
    roff.control("SH", ["KEYS ABOVE ALL TABLES"]);
    keys(&mut roff, first);
    roff.control("SH", ["TABLES"]);
    for table in tables {
        let name =
            if table.is_list { format!("[[{}]]", table.name) } else { format!("[{}]", table.name) };
        roff.control("SS", [name.as_str()]);
        paragraphs(&mut roff, &table.remark);
        keys(&mut roff, table);
    }
    roff.control("SH", ["FILES"]);
    roff.control("TP", []).text([bold("/etc/dns64d/dns64d.toml")]);
    roff.text([roman("The configuration of the service of systemd.")]);
    let others = [("dns64d", 8), ("dns64d-check", 8), ("dns64ctl", 1), ("dns64ctl-schema", 1)];
    list_pages(&mut roff, &others.map(|(name, section)| (name.to_owned(), section)));
    Page { name, section, text: tidied(&roff.render()) }
}

/// Writes paragraphs.
fn paragraphs(roff: &mut Roff, paragraphs: &[String]) {
    for (index, paragraph) in paragraphs.iter().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(paragraph.as_str())]);
    }
}

/// Writes the keys of a table.
fn keys(roff: &mut Roff, section: &Section) {
    for key in &section.keys {
        let schema = schema_of(&section.name, &key.name).unwrap_or_default();
        key_line(roff, &key.name, &kind_of(&schema));
        for (index, paragraph) in key.remark.iter().enumerate() {
            if index > 0 {
                roff.control("IP", []);
            }
            roff.text([roman(paragraph.as_str())]);
        }
        if let Some(default) = schema.get("default") {
            roff.control("IP", []).text([roman(format!("Default: {}", shown(default)))]);
        }
    }
}

/// A value as TOML and JSON both write it; the lines of lists can be broken between their entries.
fn shown(value: &Value) -> String {
    match value.as_array() {
        Some(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        None => value.to_string(),
    }
}

/// What a value may be, in words.
fn kind_of(schema: &Value) -> String {
    if let Some(forms) = schema.get("anyOf").and_then(Value::as_array) {
        return forms.iter().map(kind_of).collect::<Vec<_>>().join(" or ");
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    }
    match schema.get("type").and_then(Value::as_str).unwrap_or_default() {
        "integer" => format!("{} to {}", schema["minimum"], schema["maximum"]),
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of: {}", kind_of(&schema["items"])),
        "object" => "table".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_on_the_page_with_what_it_may_be_and_its_default() {
        let page = settings_page().text;
        for section in sections() {
            for key in section.keys {
                assert!(page.contains(&format!("\\fB{}\\fR \\fI", key.name)), "{}", key.name);
            }
        }
        for words in ["\\fBworkers\\fR \\fI1 to 256\\fR", "Default: 250", ".SS [[view]]\n"] {
            assert!(page.contains(words), "{words}");
        }
    }

    #[test]
    fn what_a_value_may_be_is_said_in_words() {
        let kind = |table, key| kind_of(&schema_of(table, key).expect("it is there"));
        assert_eq!(kind("", "workers"), "1 to 256");
        assert_eq!(kind("log", "format"), "\"text\", \"json\", \"journald\"");
        assert_eq!(kind("cache", "prefetch"), "true or false");
        assert_eq!(kind("pool", "prefixes"), "list of: string or table");
        assert_eq!(kind("view.dns64.prefixes", "clients"), "list of: string");
    }
}
