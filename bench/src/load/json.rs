//! What a run brought, as JSON.
//!
//! | key | is |
//! |---|---|
//! | `schema_version` | grows when a key changes its meaning or goes |
//! | `server`, `transport`, `workload` | who was asked, over `udp` or `tcp`, and what |
//! | `engine` | what carried the queries: `sockets` or `af_xdp` |
//! | `loop` | `open` or `closed` |
//! | `rate_qps`, `spacing`, `seed` | of an open loop: queries a second (0: closed), `constant` or `poisson`; the seed of random numbers |
//! | `outstanding` | the most queries in flight; null: as many as there are IDs |
//! | `threads`, `ports`, `timeout_s` | threads, source ports or connections, and when a query is lost |
//! | `segments` | whether the kernel got many queries as one (UDP_SEGMENT) |
//! | `prefixes` | the NAT64 prefixes that answers were verified by |
//! | `scheduled` | queries that an open loop's schedule held; more than `sent`: the generator was too slow |
//! | `sent`, `completed`, `late`, `lost`, `interrupted` | queries, and what became of them: answered in time, answered after the time-out, never answered, waiting when the run was interrupted; `sent` is the sum of the others |
//! | `unsent` | of those lost, queries that the network did not take |
//! | `duplicates`, `unknown` | second answers; messages that are no responses |
//! | `rcodes` | answers in time by RCODE |
//! | `verified`, `wrong`, `failed`, `unchecked` | answers, in time or late: as the name says; not so; RCODEs of failure and truncated; names that say nothing. `wrong` has also what answers no query |
//! | `inconsistent` | of those unchecked, answers with another RCODE or other records than the one before to the same question, within its TTL; null with `--form-only`. Not wrong: a server may be several |
//! | `inconsistent_samples` | some of them: `text`, `query`, `response` as in `wrong_samples` |
//! | `wrong_by_kind` | `wrong` by kind: `source`, `id`, `question`, `letter_case`, `malformed`, `rcode`, `prefix`, `ipv4`, `address`, `missing`, `ptr`, `owner`, `ttl`, `cookie` |
//! | `wrong_samples` | some of them: `kind`, `text` as people read it, `query` and `response` in hexadecimal |
//! | `run_time_s`, `queries_per_second` | from the first query to the last answer or loss; `completed` by it |
//! | `query_bytes`, `response_bytes` | octets of DNS messages |
//! | `latency_us` | of answers in time: `mean`, `stddev`, `min`, `p50`, `p90`, `p99`, `p999`, `p9999`, `max`, in microseconds; in an open loop from the intended time of sending |
//! | `lateness_us` | the generator's own: sent minus intended; keys as in `latency_us` |
//! | `latency_histogram_us` | pairs of an upper end in microseconds and a count |
//! | `connections` | over TCP: `reconnections`, and `connect_us` with `mean`, `stddev`, `min`, `max`; null over UDP |
#![forbid(unsafe_code)]

use serde_json::{Map, Value, json};

use super::Carrier;
use super::report::{PERCENTILES, Report};
use super::sample;
use super::schedule::Spacing;
use super::totals::Times;

/// The version of the JSON form.
pub const SCHEMA_VERSION: u32 = 2;

impl Report<'_> {
    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Self { options, totals, source } = self;
        let counts = |items: &mut dyn Iterator<Item = (&'static str, u64)>| {
            Value::Object(items.map(|(name, count)| (name.to_owned(), count.into())).collect())
        };
        let prefixes = options.rules.prefixes.iter().map(|prefix| prefix.network().to_string());
        let (spacing, seed) = match options.spacing {
            Spacing::Constant => ("constant", None),
            Spacing::Poisson(seed) => ("poisson", Some(seed)),
        };
        let (mut wrong_samples, mut inconsistent_samples) = (Vec::new(), Vec::new());
        for sample in &totals.samples {
            let mut shown = json!({
                "text": sample::describe(sample),
                "query": sample::hexadecimal(&sample.query),
                "response": sample::hexadecimal(&sample.response),
            });
            match sample.fault {
                Some(fault) => {
                    shown["kind"] = fault.word().into();
                    wrong_samples.push(shown);
                }
                None => inconsistent_samples.push(shown),
            }
        }
        let histogram = totals
            .latencies
            .buckets()
            .into_iter()
            .map(|(end_ns, count)| json!([end_ns as f64 / 1e3, count]));
        let connections = totals.carried.connecting.map(|connecting| {
            json!({
                "reconnections": totals.carried.reconnections,
                "connect_us": {
                    "mean": connecting.mean_ns() / 1e3,
                    "stddev": connecting.deviation_ns() / 1e3,
                    "min": connecting.min_ns as f64 / 1e3,
                    "max": connecting.max_ns as f64 / 1e3,
                },
            })
        });
        json!({
            "schema_version": SCHEMA_VERSION,
            "server": options.server.to_string(),
            "engine": match options.xdp {
                Some(_) => "af_xdp",
                None => "sockets",
            },
            "transport": match options.carrier {
                Carrier::Udp => "udp",
                Carrier::Tcp { .. } => "tcp",
            },
            "workload": source,
            "loop": if options.rate > 0 { "open" } else { "closed" },
            "rate_qps": options.rate,
            "spacing": (options.rate > 0).then_some(spacing),
            "seed": seed,
            "outstanding": (options.outstanding != usize::MAX).then_some(options.outstanding),
            "threads": options.threads,
            "ports": options.sources.len(),
            "segments": options.segments,
            "timeout_s": options.timeout.as_secs_f64(),
            "prefixes": prefixes.collect::<Vec<_>>(),
            "scheduled": totals.scheduled,
            "sent": totals.sent,
            "completed": totals.completed,
            "late": totals.late,
            "lost": totals.lost,
            "interrupted": totals.interrupted,
            "unsent": totals.carried.unsent,
            "duplicates": totals.duplicates,
            "unknown": totals.unknown,
            "rcodes": counts(&mut self.rcodes()),
            "verified": totals.verified,
            "wrong": totals.wrong(),
            "failed": totals.failed,
            "unchecked": totals.unchecked,
            "wrong_by_kind": counts(&mut self.faults().map(|(fault, count)| (fault.word(), count))),
            "wrong_samples": wrong_samples,
            "inconsistent": options.rules.by_name.then_some(totals.inconsistent),
            "inconsistent_samples": inconsistent_samples,
            "run_time_s": totals.run_time.as_secs_f64(),
            "queries_per_second": self.queries_per_second(),
            "query_bytes": totals.query_bytes,
            "response_bytes": totals.response_bytes,
            "latency_us": times_to_json(&totals.latencies),
            "lateness_us": (options.rate > 0).then(|| times_to_json(&totals.lateness)),
            "latency_histogram_us": histogram.collect::<Vec<_>>(),
            "connections": connections,
        })
    }
}

/// A distribution in microseconds.
fn times_to_json(times: &Times) -> Value {
    let mut object = Map::new();
    object.insert("mean".to_owned(), (times.mean_ns() / 1e3).into());
    object.insert("stddev".to_owned(), (times.deviation_ns() / 1e3).into());
    object.insert("min".to_owned(), (times.min_ns() as f64 / 1e3).into());
    for (name, _, share) in PERCENTILES {
        object.insert(name.to_owned(), (times.quantile_ns(share) as f64 / 1e3).into());
    }
    object.insert("max".to_owned(), (times.max_ns() as f64 / 1e3).into());
    Value::Object(object)
}
