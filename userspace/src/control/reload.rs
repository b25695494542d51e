//! `dns64ctl reload`: puts the configuration file in force as it is now; with `--diff`, says what
//! that would change.

use std::fmt::Write as _;

use serde_json::Value;

use crate::reload::Reloader;

/// Reloads, or only looks.
///
/// # Errors
/// Why everything stays as it was.
pub(super) async fn answer(reloader: &Reloader, diff: bool) -> Result<Value, String> {
    let outcome = if diff { reloader.preview().await } else { reloader.reload().await };
    let outcome = outcome.map_err(|error| error.to_string())?;
    let mut reply = outcome.to_json();
    reply["epoch"] = reloader.daemon().in_force.get().epoch.0.into();
    Ok(reply)
}

/// The changes for people.
#[must_use]
pub fn render(reply: &Value) -> String {
    let list = |key: &str| reply[key].as_array().cloned().unwrap_or_default();
    let mut out = String::new();
    for change in list("changes") {
        let _ = writeln!(out, "{}", change["key"].as_str().unwrap_or("?"));
        for (sign, key) in [('-', "before"), ('+', "after")] {
            if let Some(value) = change[key].as_str() {
                let _ = writeln!(out, "  {sign} {value}");
            }
        }
    }
    for key in list("needs_restart") {
        let key = key.as_str().unwrap_or("?");
        let _ = writeln!(out, "cannot change while dns64d runs: {key}");
    }
    for warning in list("warnings") {
        let _ = writeln!(out, "warning: {}", warning.as_str().unwrap_or("?"));
    }
    if list("changes").is_empty() {
        let _ = writeln!(out, "nothing changes");
    } else {
        let _ = writeln!(out, "cache: {}", reply["cache"].as_str().unwrap_or("?"));
    }
    out
}
