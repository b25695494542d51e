//! `dns64ctl lookup`: which servers are asked for a name, and how they fare.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::daemon::{Counted, Daemon};
use crate::engine::UpstreamReport;
use crate::wire::{Name, NameBuf};

/// The servers for a name.
///
/// # Errors
/// If the name is none, or a worker does not answer in time.
pub(super) async fn answer(daemon: &Daemon, name: &str) -> Result<Value, String> {
    let name: NameBuf = name.parse().map_err(|error| format!("{name:?}: {error}"))?;
    let Counted { rules, reports, .. } = daemon.counted().await?;
    let policy = &rules.policy;
    let group = policy.group(policy.servers_for(name.as_wire()));
    let zone = policy.forwarded_zone(name.as_wire());
    let servers = group.servers.iter().map(|server| {
        let place = usize::from(server.0);
        let of_workers = reports.iter().filter_map(|report| report.upstreams.get(place)).copied();
        let of_workers: Vec<UpstreamReport> = of_workers.collect();
        let sum = |part: fn(&UpstreamReport) -> u64| of_workers.iter().map(part).sum::<u64>();
        let times: Vec<u64> =
            of_workers.iter().filter_map(|report| report.smoothed_us).map(u64::from).collect();
        let rtt_us = times.iter().sum::<u64>().checked_div(times.len() as u64);
        json!({
            "server": policy.upstreams.get(place).map(ToString::to_string),
            "up": of_workers.iter().any(|report| !report.is_down),
            "rtt_us": rtt_us,
            "queries": sum(|report| report.queries),
            "timeouts": sum(|report| report.timeouts),
        })
    });
    Ok(json!({
        "name": name.to_string(),
        "zone": zone.and_then(|zone| Name::from_wire(zone).ok()).map(|zone| zone.to_string()),
        "servers": servers.collect::<Vec<_>>(),
    }))
}

/// The reply for people.
#[must_use]
pub fn render(reply: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut out = String::new();
    let why = match reply["zone"].as_str() {
        Some(zone) => format!("it is in the zone {zone} of a [[forward]]"),
        None => "upstream.servers: it is in the zone of no [[forward]]".to_owned(),
    };
    let _ = writeln!(out, "{}: {why}", text(&reply["name"]));
    for server in reply["servers"].as_array().into_iter().flatten() {
        let state = if server["up"] == true { "up" } else { "down" };
        let rtt = server["rtt_us"].as_u64().map_or_else(
            || "no answer yet".to_owned(),
            |micros| format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        );
        let (queries, timeouts) = (&server["queries"], &server["timeouts"]);
        let _ = writeln!(
            out,
            "  {}  {state}, {rtt}, queries: {queries}, without answer: {timeouts}",
            text(&server["server"])
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_a_line() {
        let reply = json!({
            "name": "www.corp.example.",
            "zone": "corp.example.",
            "servers": [
                { "server": "192.0.2.54:53", "up": true, "rtt_us": 1_870, "queries": 4, "timeouts": 1 },
                { "server": "192.0.2.55:53", "up": false, "rtt_us": null, "queries": 2, "timeouts": 2 },
            ],
        });
        let lines = "www.corp.example.: it is in the zone corp.example. of a [[forward]]\n  \
                     192.0.2.54:53  up, 1.8 ms, queries: 4, without answer: 1\n  \
                     192.0.2.55:53  down, no answer yet, queries: 2, without answer: 2\n";
        assert_eq!(render(&reply), lines);
    }
}
