//! What the documents say about the configuration.

use std::collections::BTreeSet;

use crate::markdown::{blocks, code_spans, section};
use crate::{DOCUMENTS, text};

#[test]
fn every_configuration_in_the_documents_is_accepted_without_a_warning() {
    let mut seen = 0;
    for document in DOCUMENTS {
        for block in blocks(&text(document), "toml") {
            match dns64::config::parse(&block, document) {
                Ok(config) => assert_eq!(config.warnings, [], "{document}:\n{block}"),
                Err(errors) => panic!("{document}: {errors}\n{block}"),
            }
            seen += 1;
        }
    }
    assert!(seen > 0, "README.md has a configuration to copy");
}

#[test]
fn the_table_of_keys_has_the_keys_of_the_example_and_no_others() {
    let readme = text("README.md");
    let named: BTreeSet<String> = section(&readme, "## Configuration keys")
        .into_iter()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|row| code_spans(row.split('|').nth(1).unwrap_or_default()))
        .map(str::to_owned)
        .collect();
    let there = keys_of_example(&text("userspace/example.toml"));
    let missing: Vec<_> = there.difference(&named).collect();
    let invented: Vec<_> = named.difference(&there).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing {missing:?}, unknown {invented:?}");
}

/// The keys of the example, set or behind a `#`: `table.key`, the options of a prefix bare, those
/// that a view only overrides not at all.
fn keys_of_example(example: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut table = String::new();
    for line in example.lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            name.trim_start_matches('[').clone_into(&mut table);
            continue;
        }
        let Some((key, _)) = line.split_once(" = ") else { continue };
        // A remark begins with a space; a key does not, and is one word.
        if key.is_empty()
            || !key
                .bytes()
                .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_')
        {
            continue;
        }
        keys.insert(match table.as_str() {
            "" | "view.dns64.prefixes" => key.to_owned(),
            "view.dns64" => continue,
            table => format!("{table}.{key}"),
        });
    }
    keys
}

#[test]
fn keys_are_found_with_their_tables() {
    let keys = keys_of_example("listen = 1\n# a = b\n#[[view]]\n#name = \"x\"\n[log]\nlevel = 1\n");
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["listen", "log.level", "view.name"]);
}
