//! What the documents say about the workspace: its programs, modules and cases.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use dns64_tests::cases;
use serde_json::Value;

use crate::markdown::{blocks, code_spans, section};
use crate::{root, text};

/// What cargo says of the workspace.
fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

fn array<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn cargo_run_is_dns64d_and_cargo_build_makes_the_three_programs() {
    let metadata = metadata();
    let defaults = array(&metadata, "workspace_default_members");
    let built: Vec<&Value> = array(&metadata, "packages")
        .iter()
        .filter(|package| defaults.contains(&package["id"]))
        .collect();
    let runs: Vec<&str> =
        built.iter().filter_map(|package| package["default_run"].as_str()).collect();
    assert_eq!(runs, ["dns64d"]);
    let mut programs: Vec<&str> = built
        .iter()
        .flat_map(|package| array(package, "targets"))
        .filter(|target| array(target, "kind").iter().any(|kind| kind == "bin"))
        .filter_map(|target| target["name"].as_str())
        .collect();
    programs.sort_unstable();
    assert_eq!(programs, ["dns64bench", "dns64ctl", "dns64d"]);
    let readme = text("README.md");
    let rows: Vec<&str> = section(&readme, "## Build and run");
    for program in programs {
        assert!(rows.iter().any(|row| row.starts_with(&format!("| `{program}` |"))), "{program}");
    }
}

#[test]
fn the_code_map_names_every_module_and_nothing_else() {
    let architecture = text("userspace/ARCHITECTURE.md");
    let mut named: Vec<String> = section(&architecture, "## Code map")
        .into_iter()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|row| code_spans(row.split('|').nth(1).unwrap_or_default()))
        .map(str::to_owned)
        .collect();
    named.sort();
    let mut there = Vec::new();
    let source = root().join("userspace/src");
    for entry in fs::read_dir(&source).expect("the sources are there") {
        let path = entry.expect("an entry of a directory").path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        match (path.is_dir(), name) {
            (_, "lib.rs" | "bin") => {}
            (true, directory) => there.extend(modules_of(&path, directory)),
            (false, file) => there.push(file.trim_end_matches(".rs").to_owned()),
        }
    }
    there.sort();
    assert_eq!(named, there);
}

/// A module with a directory, and the modules in it; tests and directories of their own inside are
/// left out.
fn modules_of(directory: &std::path::Path, name: &str) -> Vec<String> {
    let mut modules = vec![name.to_owned()];
    for entry in fs::read_dir(directory).expect("a module's directory") {
        let path = entry.expect("an entry of a directory").path();
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let module = file.trim_end_matches(".rs");
        let is_module = path.is_file() || path.join("mod.rs").is_file();
        if is_module && module != "mod" && !module.ends_with("tests") {
            modules.push(format!("{name}::{module}"));
        }
    }
    modules
}

#[test]
fn the_readme_of_the_tests_names_every_directory_of_tests() {
    let readme = text("tests/README.md");
    let named: Vec<&str> =
        readme.lines().filter(|line| line.starts_with("| `")).flat_map(code_spans).collect();
    for entry in fs::read_dir(root().join("tests")).expect("the tests are there") {
        let path = entry.expect("an entry of a directory").path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let directory = format!("tests/{name}");
        assert!(path.is_file() || named.contains(&directory.as_str()), "{directory}");
    }
}

#[test]
fn drawings_in_the_architecture_are_no_rust() {
    // The document is the crate's documentation: a block without a language would be compiled.
    let architecture = text("userspace/ARCHITECTURE.md");
    assert!(blocks(&architecture, "").is_empty(), "say ```text");
}

#[test]
fn what_is_compared_with_other_servers_is_linked_to_its_test() {
    let readme = text("README.md");
    let rows: Vec<&str> = section(&readme, "## Compared with other servers")
        .into_iter()
        .skip_while(|line| !line.starts_with("| | dns64d "))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() > 30, "{} rows", rows.len());
    for row in rows {
        let cell = row.split('|').nth(2).map(str::trim).expect("a cell for dns64d");
        let target = cell.split_once("](").and_then(|(_, rest)| rest.split(')').next());
        let is_proved =
            target.is_some_and(|path| path.starts_with("tests/") && root().join(path).exists());
        assert!(is_proved || cell == "no", "no link to a test: {row}");
    }
}

#[test]
fn the_table_of_cases_adds_up() {
    let readme = text("README.md");
    let rows: Vec<Vec<&str>> = section(&readme, "## Compared with other servers")
        .into_iter()
        .skip_while(|line| !line.starts_with("| category "))
        .take_while(|line| line.starts_with('|'))
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let (head, rows) = rows.split_first().expect("README.md has a table of the cases");
    let (rule, rows) = rows.split_first().expect("a rule below the head");
    assert!(rule.iter().all(|cell| cell.starts_with(['-', ':'])), "{rule:?}");
    let (all, rows) = rows.split_last().expect("rows and their sum");
    assert_eq!(all[0], "all");

    let mut categories = BTreeMap::new();
    for case in cases::load(&root().join("tests/cases")).expect("the cases can be read") {
        *categories.entry(case.category).or_insert(0) += 1;
    }
    let named: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(named, categories.keys().collect::<Vec<_>>());

    let known: toml::Table =
        text("tests/cases/known-differences.toml").parse().expect("known differences");
    for (column, subject) in head.iter().enumerate().skip(1) {
        let mut sum = (0, 0);
        for row in rows {
            let (passed, expressible) = score(row[column]);
            assert!(passed <= expressible && expressible <= categories[row[0]], "{row:?}");
            sum = (sum.0 + passed, sum.1 + expressible);
        }
        assert_eq!(sum, score(all[column]), "{subject}");
        let differences = known.get(*subject).and_then(|list| list["cases"].as_table());
        let differences = differences.map_or(0, toml::map::Map::len);
        assert_eq!(sum.1 - sum.0, differences, "{subject}: failures that are known");
    }
}

/// `passed/expressible`; a dash is none.
fn score(cell: &str) -> (usize, usize) {
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{cell} is no score"));
    cell.split_once('/').map_or((0, 0), |(passed, all)| (number(passed), number(all)))
}
