//! The list of what goes wrong below the sockets, held against the tests that are in the tree.

use std::fs;
use std::path::Path;

use serde::Deserialize;

/// How many traps are known.
const TRAPS: usize = 30;

/// `traps.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Traps {
    trap: Vec<Trap>,
}

/// What can go wrong, and what is done against it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trap {
    number: usize,
    trap: String,
    /// Files and tests in them: `tests/datapath/hot.rs::name`.
    #[serde(default)]
    tests: Vec<String>,
    /// Why there is no test.
    none: Option<String>,
}

/// Whether a source has a test of a name: a function right below `#[test]`, or one of proptest's.
fn has_test(source: &str, name: &str) -> bool {
    let start = format!("fn {name}(");
    let mut below_attribute = false;
    for line in source.lines().map(str::trim) {
        if below_attribute && line.starts_with(&start) {
            return true;
        }
        // Further attributes and comments may stand between.
        let stays = line.starts_with("#[") || line.starts_with("//");
        below_attribute = line == "#[test]" || (below_attribute && stays);
    }
    false
}

/// What is wrong with the list; `read` gives the text of a file.
fn discrepancies(traps: &[Trap], read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (trap, number) in traps.iter().zip(1..) {
        let Trap { number: written, trap, tests, none } = trap;
        if *written != number || trap.is_empty() {
            wrong.push(format!("{written}: not the trap with number {number}"));
        }
        if tests.is_empty() != none.as_ref().is_some_and(|reason| reason.len() > 10) {
            wrong.push(format!("{number}: tests, or a reason why there are none"));
        }
        for test in tests {
            let found = test.split_once("::").is_some_and(|(file, name)| {
                read(file).is_some_and(|source| has_test(&source, name))
            });
            if !found {
                wrong.push(format!("{number}: there is no test {test}"));
            }
        }
    }
    wrong
}

#[test]
fn every_trap_has_tests_that_are_there_or_a_reason_why_not() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(tests.join("datapath/traps.toml")).expect("the list");
    let traps = toml::from_str::<Traps>(&text).expect("a list").trap;
    assert_eq!(traps.len(), TRAPS);
    let root = tests.join("..");
    let wrong = discrepancies(&traps, &|file| fs::read_to_string(root.join(file)).ok());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_test_that_is_gone_and_a_trap_without_answer_are_found() {
    let text = "[[trap]]\nnumber = 1\ntrap = \"a\"\ntests = [\"f.rs::there\", \"f.rs::gone\"]\n\
                [[trap]]\nnumber = 2\ntrap = \"b\"\n\
                [[trap]]\nnumber = 4\ntrap = \"c\"\nnone = \"nobody can see it\"\n";
    let traps = toml::from_str::<Traps>(text).expect("a list").trap;
    let source = "#[test]\nfn there() {\n}\nfn gone() {}\n";
    let read = |file: &str| (file == "f.rs").then(|| source.to_owned());
    let wrong = discrepancies(&traps, &read);
    assert_eq!(wrong.len(), 3, "{wrong:?}");
}
