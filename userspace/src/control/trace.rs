//! `dns64ctl query --trace`: which rule of the running configuration decides about a query.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::trace::{Question, Trace, trace};

/// The story of a question, by the configuration that is in force. It is answered from an empty
/// cache, on a thread of its own, since it waits for the servers.
pub(super) async fn answer(daemon: &Daemon, question: Question) -> Result<Value, String> {
    let rules = daemon.in_force.get();
    let told = tokio::task::spawn_blocking(move || {
        trace(Arc::clone(&rules.policy), &rules.trust_anchors, &question)
    })
    .await;
    let told = told.map_err(|error| error.to_string())?;
    told.map(|trace| to_json(&trace)).map_err(|error| error.to_string())
}

/// A trace for programs: keys are always there, and are never renamed. `rcode` is null if the query
/// is dropped.
#[must_use]
pub fn to_json(trace: &Trace) -> Value {
    let steps = trace.steps.iter().map(|(by, says)| json!({ "by": by, "says": says }));
    let reply = trace.reply.as_ref();
    json!({
        "steps": steps.collect::<Vec<_>>(),
        "rcode": reply.map(|reply| &reply.rcode),
        "answer": reply.map_or(&[][..], |reply| &reply.answer),
        "extended_errors": reply.map_or(&[][..], |reply| &reply.extended_errors),
    })
}

/// A trace for people.
#[must_use]
pub fn render(trace: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let items = |key: &str| trace[key].as_array().cloned().unwrap_or_default();
    let mut out = String::new();
    // Writing to a string cannot fail.
    for step in items("steps") {
        let _infallible = writeln!(out, "{:<13} {}", text(&step["by"]), text(&step["says"]));
    }
    let errors: Vec<String> = items("extended_errors").iter().map(text).collect();
    let errors = if errors.is_empty() { String::new() } else { format!(", {}", errors.join(", ")) };
    let _infallible = match trace["rcode"].as_str() {
        Some(rcode) => writeln!(out, "{:<13} {rcode}{errors}", "reply"),
        None => writeln!(out, "{:<13} none", "reply"),
    };
    for record in items("answer") {
        let _infallible = writeln!(out, "  {}", text(&record));
    }
    out
}
