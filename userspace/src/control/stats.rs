//! `dns64ctl stats`: what has been counted, by all workers and the XDP programs together.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::counters::{Counters, DropReason, Source, Suspect};
use crate::daemon::{Counted, Daemon};
use crate::orders::Report;
use crate::wire::header::Rcode;

/// What has been counted so far.
///
/// # Errors
/// If a worker does not answer in time.
pub(super) async fn answer(daemon: &Daemon) -> Result<Value, String> {
    Ok(of(daemon, &daemon.counted().await?))
}

/// What was counted at one moment.
pub(crate) fn of(daemon: &Daemon, counted: &Counted) -> Value {
    let Counted { counters, reports, .. } = counted;
    let mut stats = to_json(counters);
    let sum = |part: fn(&Report) -> u64| reports.iter().map(part).sum::<u64>();
    let records = &daemon.records;
    for (name, counts) in [("dnstap", &records.dnstap), ("query_log", &records.query_log)] {
        stats[name] = json!({ "written": counts.written(), "dropped": counts.dropped() });
    }
    stats["uptime_seconds"] = daemon.started.elapsed().as_secs().into();
    stats["under_way"] = json!({
        "clients": sum(|report| report.clients_waiting as u64),
        "lookups": sum(|report| report.lookups as u64),
    });
    stats["cache"]["entries"] = sum(|report| report.cache.entries).into();
    stats["cache"]["octets"] = sum(|report| report.cache.used_octets).into();
    stats["cache"]["evictions"] =
        sum(|report| report.cache.evictions + report.cache.bucket_evictions).into();
    stats["workers"] = reports
        .iter()
        .map(|report| {
            json!({
                "worker": report.worker.0,
                "queries": report.counters.queries_total(),
                "handed_over": report.counters.to_owner,
            })
        })
        .collect();
    stats
}

/// The counts with names that stay: every reason, source and kind is there, also where it is 0.
#[must_use]
pub fn to_json(counters: &Counters) -> Value {
    let family = |row: [u64; 2]| json!({ "ipv4": row[0], "ipv6": row[1] });
    let responses = Source::ALL.map(|source| {
        let row = counters.responses[source as usize];
        let last = row.len() - 1;
        let rcodes = row.iter().enumerate().filter(|(_, count)| **count > 0);
        let rcodes = rcodes.map(|(code, count)| {
            let name =
                if code == last { "other".to_owned() } else { Rcode(code as u16).to_string() };
            (name, Value::from(*count))
        });
        let mut object: Map<String, Value> = rcodes.collect();
        object.insert("total".to_owned(), counters.responses_from(source).into());
        (source.name().to_owned(), Value::Object(object))
    });
    let mut responses: Map<String, Value> = responses.into_iter().collect();
    responses.insert("total".to_owned(), counters.responses_total().into());
    let drops = DropReason::ALL
        .map(|reason| (reason.name().to_owned(), Value::from(counters.drops_for(reason))));
    let mut drops: Map<String, Value> = drops.into_iter().collect();
    drops.insert("total".to_owned(), counters.drops_total().into());
    let suspects = Suspect::ALL
        .map(|kind| (kind.name().to_owned(), Value::from(counters.suspects[kind as usize])));
    let suspects: Map<String, Value> = suspects.into_iter().collect();
    json!({
        "queries": {
            "total": counters.queries_total(),
            "udp": family(counters.queries[0]),
            "tcp": family(counters.queries[1]),
            "kernel_drops": counters.kernel_drops,
        },
        "responses": responses,
        "drops": drops,
        "synthesized": counters.synthesized,
        "unsent": counters.unsent,
        "cache": {
            "hits": counters.cache_hits,
            "misses": counters.cache_misses,
            "stale": counters.cache_stale,
            "restored": counters.cache_restored,
            "prefetches": counters.prefetches,
        },
        "script": {
            "calls": counters.script_calls,
            "changes": counters.script_changes,
            "errors": counters.script_errors,
        },
        "handed_over": counters.to_owner,
        "upstream": {
            "udp": counters.upstream_udp,
            "tcp": counters.upstream_tcp,
            "timeouts": counters.upstream_timeouts,
            "failures": counters.lookup_failures,
            "suspects": suspects,
        },
        "xsk": {
            "queries": counters.xsk_queries,
            "replies": counters.xsk_replies,
            "strays": counters.xsk_strays,
            "full": counters.xsk_full,
            "ring_full": counters.xsk_ring_full,
            "fill_empty": counters.xsk_fill_empty,
            "diverted": counters.xsk_diverted,
        },
    })
}

/// The counts for people and scripts: a line for each, `responses.hit.NOERROR 12`.
#[must_use]
pub fn render(stats: &Value) -> String {
    let mut out = String::new();
    write_lines(stats, "", &mut out);
    out
}

/// Writes the lines of a value and of what is in it.
fn write_lines(value: &Value, path: &str, out: &mut String) {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                write_lines(value, &below(key), out);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                write_lines(value, &below(&index.to_string()), out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = writeln!(out, "{path} {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_a_line_of_its_own() {
        let mut counters = Counters::default();
        counters.queries[0][1] = 3;
        counters.response(Source::Hit, Rcode::NOERROR);
        counters.response(Source::Miss, Rcode(4_000));
        counters.dropped(DropReason::Rate);
        let text = render(&to_json(&counters));
        for line in [
            "queries.total 3",
            "queries.udp.ipv6 3",
            "responses.total 2",
            "responses.hit.NOERROR 1",
            "responses.miss.other 1",
            "responses.kernel.total 0",
            "drops.rate 1",
            "drops.total 1",
            "upstream.suspects.wrong_id 0",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
        }
    }
}
