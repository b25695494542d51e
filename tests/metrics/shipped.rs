//! What is shipped for Prometheus and Grafana: every metric in it is one that `dns64d` has, and
//! Prometheus' own tool understands it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dns64_tests::netns::{Scratch, available};

use crate::scrape::{Scrape, get};
use crate::{Monitored, upstream};

/// A file of what is shipped.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../userspace/monitoring").join(name)
}

/// The expressions of the dashboard.
fn expressions() -> Vec<String> {
    let text = fs::read_to_string(shipped("dashboard.json")).expect("it is there");
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("a list");
    let identities: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(identities.len(), panels.len(), "each panel has a number of its own");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("a list"));
    targets.map(|target| target["expr"].as_str().expect("a text").to_owned()).collect()
}

/// Runs promtool, which must be content.
fn promtool(arguments: &[&str], directory: &Path) {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("it can be run");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn every_metric_that_is_looked_at_is_there() {
    let upstream = upstream();
    let monitored = Monitored::start(&[upstream.local_addr()], "");
    let scrape = Scrape::read(&get(monitored.metrics, "/metrics").body);
    let alerts = fs::read_to_string(shipped("alerts.yml")).expect("it is there");
    let mut looked_at = BTreeSet::new();
    for text in expressions().iter().chain([&alerts]) {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        looked_at.extend(words.filter(|word| word.starts_with("dns64_")).map(str::to_owned));
    }
    assert!(looked_at.len() > 15, "{looked_at:?}");
    let missing: Vec<&String> =
        looked_at.iter().filter(|name| !scrape.has_family_of(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn promtool_takes_alerts_and_dashboard_and_the_alerts_come_when_they_should() {
    if !available(&["promtool"]) {
        return;
    }
    let scratch = Scratch::new();
    let alerts = fs::read_to_string(shipped("alerts.yml")).expect("it is there");
    scratch.write("alerts.yml", &alerts);
    promtool(&["check", "rules", "alerts.yml"], scratch.path());
    scratch.write("alerts.test.yml", include_str!("alerts.test.yml"));
    promtool(&["test", "rules", "alerts.test.yml"], scratch.path());

    let rules: Vec<serde_json::Value> = expressions()
        .iter()
        .enumerate()
        .map(|(number, expression)| {
            let expression = expression.replace("$__rate_interval", "5m");
            serde_json::json!({ "record": format!("panel:{number}"), "expr": expression })
        })
        .collect();
    // YAML has JSON in it.
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    scratch.write("dashboard.yml", &rules.to_string());
    promtool(&["check", "rules", "dashboard.yml"], scratch.path());
}
