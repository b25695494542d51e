//! The hit path does not grow unseen: instructions of one answer, counted by valgrind.
//!
//! Time on a shared machine says little; the number of instructions is the same in every run. Two
//! runs of `dns64bench engine` differ in nothing but how many batches of queries they answer, so
//! the difference of their counts is what the answers cost.
//!
//! The bounds stand in bounds.toml, one table for each profile: what was measured when the bound
//! was last set. A count above it by more than [`HEADROOM_PERCENT`] fails: either the change is
//! worth it and the bound is raised with it, or it is not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How far above its bound a count may be.
const HEADROOM_PERCENT: u64 = 15;

/// Queries in one batch.
const BATCH_LEN: u64 = 64;

/// Batches that the two runs differ in.
const BATCHES: u64 = 50;

/// What to count: the arguments of `dns64bench engine`, by their name in bounds.toml.
const COUNTED: [(&str, &[&str]); 4] = [
    ("synthesized", &["--kind", "synthesized"]),
    ("synthesized-touched", &["--kind", "synthesized", "--touch"]),
    ("native", &["--kind", "native"]),
    ("reverse", &["--kind", "reverse"]),
];

/// The bounds: by profile, then by name.
type Bounds = BTreeMap<String, BTreeMap<String, u64>>;

#[test]
fn an_answer_from_the_cache_takes_no_more_instructions_than_its_bound() {
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        println!("skipped: valgrind cannot be started: {error}");
        return;
    }
    let directory = dns64_tests::program::directory();
    let program = directory.join("dns64bench");
    if !program.is_file() {
        println!("skipped: there is no {}; cargo build -p dns64-bench", program.display());
        return;
    }
    let profile = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions/bounds.toml");
    let text = fs::read_to_string(&path).expect("the bounds are kept beside this test");
    let bounds: Bounds = toml::from_str(&text).expect("tables of numbers");
    let Some(bounds) = bounds.get(profile) else {
        println!("skipped: no bounds for the profile {profile}");
        return;
    };
    let mut over = Vec::new();
    for (name, arguments) in COUNTED {
        let none = instructions(&program, arguments, 0);
        let all = instructions(&program, arguments, BATCHES);
        let count = all.saturating_sub(none) / (BATCHES * BATCH_LEN);
        let bound = bounds.get(name).copied().unwrap_or_default();
        println!("{profile} {name}: {count} instructions, bound {bound}");
        if count > bound + bound * HEADROOM_PERCENT / 100 {
            over.push(format!("{name}: {count} instructions, bound {bound}"));
        }
    }
    assert!(over.is_empty(), "see {}: {}", path.display(), over.join("; "));
}

/// How much more a hit may cost under a large policy than under none.
const FLAT_PERCENT: u64 = 10;

/// Policies whose size must not be felt, by name.
const POLICIES: [(&str, &[&str]); 4] = [
    ("16 views", &["--views", "16"]),
    ("256 views, 100,000 entries a list", &["--views", "256", "--entries", "100000"]),
    ("2,000 triggers", &["--triggers", "2000"]),
    ("a pool of 32 gateways", &["--gateways", "32"]),
];

#[test]
fn a_hit_costs_the_same_whatever_the_size_of_the_policy() {
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        println!("skipped: valgrind cannot be started: {error}");
        return;
    }
    let program = dns64_tests::program::directory().join("dns64bench");
    if !program.is_file() {
        println!("skipped: there is no {}; cargo build -p dns64-bench", program.display());
        return;
    }
    let cost = |arguments: &[&str]| {
        let none = instructions(&program, arguments, 0);
        instructions(&program, arguments, BATCHES).saturating_sub(none) / (BATCHES * BATCH_LEN)
    };
    let plain = cost(&["--kind", "synthesized"]);
    for (name, arguments) in POLICIES {
        let large = cost(&[&["--kind", "synthesized"], arguments].concat());
        println!("{name}: {large} instructions, {plain} without");
        assert!(large <= plain + plain * FLAT_PERCENT / 100, "{name}: {large}, not {plain}");
    }
}

/// Instructions of one run.
fn instructions(program: &PathBuf, arguments: &[&str], batches: u64) -> u64 {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .arg("engine")
        .args(arguments)
        .args(["--names", "100", "--batches", &batches.to_string()])
        .output()
        .expect("valgrind starts");
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok());
    count.unwrap_or_else(|| panic!("valgrind does not say what it has counted: {said}"))
}
