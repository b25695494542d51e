//! `dns64ctl drain` and `undrain`: takes a gateway of a pool out of service, and puts it back.
//! Answered when every worker has been told.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::daemon::Daemon;

/// Drains a gateway, or puts it back.
///
/// # Errors
/// If there is no such pool or gateway, or it is the last one.
pub(super) async fn answer(
    daemon: &Daemon,
    pool: &str,
    prefix: &str,
    drained: bool,
) -> Result<Value, String> {
    Ok(json!({ "pools": daemon.in_force.get().pools.drain(pool, prefix, drained).await? }))
}

/// The pools for people.
#[must_use]
pub fn render(reply: &Value) -> String {
    let mut out = String::new();
    for pool in reply["pools"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let name = pool["name"].as_str().unwrap_or("?");
        let note = if pool["fail_static"] == true { ": every gateway has failed" } else { "" };
        let _ = writeln!(out, "pool       {name}{note}");
        for gateway in pool["gateways"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let prefix = gateway["prefix"].as_str().unwrap_or("?");
            let state = match (gateway["drained"] == true, gateway["probed"] == true) {
                (true, _) => "drained",
                (false, false) => "not probed",
                (false, true) => gateway["state"].as_str().unwrap_or("?"),
            };
            let serves = if gateway["serves"] == true { "serves" } else { "does not serve" };
            let weight = &gateway["weight"];
            let _ = writeln!(out, "           {prefix}, weight {weight}: {state}, {serves}");
            if state == "down"
                && let Some(error) = gateway["last_error"].as_str()
            {
                let _ = writeln!(out, "           {error}");
            }
        }
    }
    out
}
