//! What lies where, and whether it is explained.

use std::fs;

use dns64::counters::{DropReason, Source, Suspect};

use crate::files::{all, top};

/// What may lie at the top besides files that begin with a dot and what is made by building.
const AT_TOP: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "ebpf",
    "userspace",
    "bench",
    "tests",
];

/// Names that do not belong at the top.
fn strangers<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let belongs = |name: &str| name.starts_with('.') || name == "target" || AT_TOP.contains(&name);
    names.into_iter().filter(|name| !belongs(name)).collect()
}

/// The paths of the `[[test]]` tables of a Cargo.toml.
fn test_paths(manifest: &str) -> Vec<String> {
    let table: toml::Table = manifest.parse().unwrap();
    let tests = table.get("test").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let path = |test: &toml::Value| test.get("path")?.as_str().map(str::to_owned);
    tests.iter().filter_map(path).collect()
}

/// Whether a source begins with a doc of its module.
fn has_module_doc(source: &str) -> bool {
    source.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 20)
}

/// A family of metrics, the label of its reasons, and the reasons.
struct Family {
    metric: &'static str,
    reasons: Vec<&'static str>,
}

fn families() -> [Family; 3] {
    [
        Family {
            metric: "dns64_drops_total",
            reasons: DropReason::ALL.iter().map(|reason| reason.name()).collect(),
        },
        Family {
            metric: "dns64_responses_total",
            reasons: Source::ALL.iter().map(|source| source.name()).collect(),
        },
        Family {
            metric: "dns64_spoof_suspects_total",
            reasons: Suspect::ALL.iter().map(|kind| kind.name()).collect(),
        },
    ]
}

/// Reasons that documents which name their metric do not name.
fn unexplained(documents: &str, families: &[Family]) -> Vec<String> {
    let mut faults = Vec::new();
    for Family { metric, reasons } in families {
        if documents.contains(metric) {
            let missing =
                reasons.iter().filter(|reason| !documents.contains(&format!("`{reason}`")));
            faults.extend(missing.map(|reason| format!("{metric}: `{reason}` is not explained")));
        }
    }
    faults
}

#[test]
fn nothing_else_lies_at_the_top() {
    let names: Vec<String> = fs::read_dir(top())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(strangers(names.iter().map(String::as_str)), Vec::<&str>::new());
}

#[test]
fn every_test_directory_has_a_module_doc_and_is_run() {
    let directory = top().join("tests");
    let paths = test_paths(&fs::read_to_string(directory.join("Cargo.toml")).unwrap());
    assert!(paths.len() > 5);
    for path in &paths {
        let source = fs::read_to_string(directory.join(path)).unwrap();
        assert!(has_module_doc(&source), "tests/{path} has no module doc");
    }
    for file in all() {
        let inner = file.path.strip_prefix("tests/").filter(|inner| inner.ends_with("/main.rs"));
        if let Some(inner) = inner.filter(|inner| !inner.starts_with("fuzz/")) {
            assert!(paths.iter().any(|path| path == inner), "tests/{inner} is never run");
        }
    }
}

#[test]
fn every_rust_file_has_a_module_doc() {
    let files = crate::files::rust();
    let bare: Vec<String> =
        files.filter(|file| !has_doc(&file.text)).map(|file| file.path).collect();
    let bare: Vec<&String> = bare.iter().filter(|path| !is_part(path)).collect();
    assert!(bare.is_empty(), "{bare:?}");
}

/// Whether a source says what it is, itself or by a document.
fn has_doc(source: &str) -> bool {
    source.contains("//! ") || source.contains("#![doc = ")
}

/// Unit tests in a file of their own, and fuzz targets, belong to a module that has its doc.
fn is_part(path: &str) -> bool {
    crate::code::is_test_file(path) || path.contains("fuzz_targets/")
}

#[test]
fn metrics_that_the_documents_name_are_explained_in_full() {
    let documents: String = all()
        .into_iter()
        .filter(|file| file.path == "README.md" || file.path == "userspace/ARCHITECTURE.md")
        .map(|file| file.text)
        .collect();
    assert_eq!(unexplained(&documents, &families()), Vec::<String>::new());
}

// ---- The rules find what they are for

#[test]
fn a_stranger_at_the_top_is_found() {
    assert_eq!(strangers(["README.md", ".gitignore", "notes.txt"]), ["notes.txt"]);
}

#[test]
fn a_test_without_module_doc_is_found() {
    assert!(!has_module_doc("mod a;\n"));
    assert!(!has_module_doc("//! Tests.\n"));
    assert!(has_module_doc("//! What must hold for every input.\n"));
    assert_eq!(test_paths("[[test]]\nname = \"a\"\npath = \"a/main.rs\"\n"), ["a/main.rs"]);
}

#[test]
fn a_reason_without_explanation_is_found() {
    let documents = "`dns64_drops_total{reason}`: `short`, `not_a_query`, `malformed`, `stopped`, \
                     `denied`, `datagram`, `overload`, `rpz`, `script`";
    let faults = unexplained(documents, &families());
    assert_eq!(faults, ["dns64_drops_total: `rate` is not explained"]);
    assert!(unexplained("nothing of metrics", &families()).is_empty());
}
