//! What the status page shows, as JSON: `/status.json`. Keys are always there and never change
//! their meaning within one version; others may be added.

use std::sync::Arc;

use serde_json::{Value, json};

use super::upstreams::{self, Upstream};
use crate::control::{stats, status};
use crate::counters::Source;
use crate::daemon::{Counted, Daemon};
use crate::durations::BOUNDS_US;

/// The version: it grows when a key goes or changes its meaning.
pub const SCHEMA: u64 = 1;

/// Servers in the list at most.
pub const UPSTREAMS_MAX: usize = 1_000;

/// The status at the moment at which this was counted.
pub(super) fn of(daemon: &Daemon, counted: &Counted) -> Value {
    let rules = Arc::clone(&counted.rules);
    let mut status = status::of(daemon, &rules);
    if let Some(status) = status.as_object_mut() {
        // They stand below, with what is known of each.
        status.remove("upstreams");
    }
    let uptime_ms = u64::try_from(daemon.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let reason = upstreams::unready(counted);
    let timed = Source::ALL.into_iter().map(|source| {
        let durations = &counted.counters.durations[source as usize];
        let times = json!({ "counts": durations.counts, "sum_us": durations.sum_us });
        (source.name().to_owned(), times)
    });
    json!({
        "schema": SCHEMA,
        "state": if reason.is_some() { "not_ready" } else { "ready" },
        "reason": reason,
        "uptime_ms": uptime_ms,
        "configuration": {
            "generation": rules.epoch.0,
            "reloads": daemon.reloads.to_json(),
        },
        "status": status,
        "stats": stats::of(daemon, counted),
        "durations": {
            "bounds_us": BOUNDS_US,
            "sources": timed.collect::<serde_json::Map<_, _>>(),
        },
        "cache_octets_max": rules.policy.cache.size_bytes,
        "upstreams": listed(upstreams::all(counted)),
    })
}

/// The servers: all, or if there are too many first those that are down.
fn listed(mut upstreams: Vec<Upstream>) -> Value {
    let total = upstreams.len();
    let up = upstreams.iter().filter(|upstream| upstream.is_up).count();
    if total > UPSTREAMS_MAX {
        upstreams.sort_by_key(|upstream| upstream.is_up);
        upstreams.truncate(UPSTREAMS_MAX);
    }
    let list = upstreams.iter().map(|upstream| {
        json!({
            "server": upstream.server,
            "state": if upstream.is_up { "up" } else { "down" },
            "rtt_us": upstream.rtt_us,
            "in_flight": upstream.in_flight,
            "queries": upstream.queries,
            "timeouts": upstream.timeouts,
        })
    });
    json!({ "total": total, "up": up, "list": list.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(number: usize, is_up: bool) -> Upstream {
        let server = format!("192.0.2.1:{number}");
        Upstream { server, is_up, queries: 1, timeouts: 2, in_flight: 3, rtt_us: Some(4.5) }
    }

    #[test]
    fn a_list_that_is_too_long_begins_with_the_servers_that_are_down() {
        let json = listed((0..2_000).map(|number| upstream(number, number != 1_999)).collect());
        assert_eq!((&json["total"], &json["up"]), (&json!(2_000), &json!(1_999)));
        let list = json["list"].as_array().unwrap();
        assert_eq!(list.len(), UPSTREAMS_MAX);
        assert_eq!(
            (&list[0]["server"], &list[0]["state"]),
            (&json!("192.0.2.1:1999"), &json!("down"))
        );
        assert_eq!(list[1]["server"], "192.0.2.1:0");
    }

    #[test]
    fn a_short_list_has_the_order_of_the_configuration() {
        let json = listed((0..3).map(|number| upstream(number, number != 2)).collect());
        let servers: Vec<_> = json["list"].as_array().unwrap().iter().collect();
        assert_eq!((servers.len(), &servers[0]["server"]), (3, &json!("192.0.2.1:0")));
        assert_eq!((&servers[2]["rtt_us"], &servers[2]["in_flight"]), (&json!(4.5), &json!(3)));
    }
}
