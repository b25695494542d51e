//! The families of metrics, written out from one moment's counts.
//!
//! The books balance in every scrape: `dns64_queries_total` is the sum of `dns64_responses_total`,
//! `dns64_drops_total` and `dns64_clients_waiting`, since a worker counts all of them at once.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::upstreams::{self, Upstream};
use crate::counters::{Counters, DropReason, Source, Suspect, ValidationResult};
use crate::daemon::{Counted, Daemon};
use crate::durations::BOUNDS_US;
use crate::observe::Records;
use crate::reload_log::ReloadResult;
use crate::wire::header::Rcode;

/// Microseconds of a second.
const MICROS: f64 = 1e6;

/// A gateway of a pool.
#[derive(Debug)]
struct GatewaySample {
    pool: String,
    prefix: String,
    serves: bool,
    failures: u64,
}

/// Everything that one scrape tells.
#[derive(Debug)]
struct Snapshot {
    counted: Counted,
    uptime_secs: f64,
    upstreams: Vec<Upstream>,
    reloads: [u64; ReloadResult::ALL.len()],
    zones: Vec<String>,
    gateways: Vec<GatewaySample>,
    records: Records,
}

/// The text of `/metrics`, as OpenMetrics 1.0 has it.
pub(super) fn text(daemon: &Daemon, counted: Counted) -> String {
    let mut gateways = Vec::new();
    let rules = Arc::clone(&counted.rules);
    rules.pools.each_gateway(|pool, prefix, serves, failures| {
        gateways.push(GatewaySample {
            pool: pool.to_owned(),
            prefix: prefix.to_string(),
            serves,
            failures,
        });
    });
    let snapshot = Snapshot {
        upstreams: upstreams::all(&counted),
        reloads: ReloadResult::ALL.map(|result| daemon.reloads.count(result)),
        counted,
        uptime_secs: daemon.started.elapsed().as_secs_f64(),
        zones: rules.policy.rpz.zones().iter().map(|zone| zone.name.clone()).collect(),
        gateways,
        records: daemon.records.clone(),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(snapshot));
    let mut text = String::with_capacity(16_384);
    // Writing to a string cannot fail.
    let _infallible = encode(&mut text, &registry);
    text
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut out = Families(&mut encoder);
        let counters = &self.counted.counters;
        self.process(&mut out)?;
        traffic(counters, &mut out)?;
        durations(counters, &mut out)?;
        self.cache(&mut out)?;
        self.upstream(&mut out)?;
        policies(counters, &self.zones, &mut out)?;
        self.pools(&mut out)?;
        self.recorded(&mut out)?;
        frames(counters, &mut out)
    }
}

/// Labels of one sample.
type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// Writes families.
struct Families<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Families<'_, '_> {
    /// A family of counters.
    fn counters<'v, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'v, N>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    /// A counter without labels.
    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// A family of gauges.
    fn gauges<'v, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'v, N>, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A gauge without labels.
    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        family.encode_gauge(&value)
    }
}

/// Queries, and what became of them.
fn traffic(counters: &Counters, out: &mut Families<'_, '_>) -> fmt::Result {
    let [udp, tcp] = counters.queries;
    // The XDP program throws away what it has not looked at closely: that has no family.
    out.counters(
        "dns64_queries",
        "Queries received",
        [
            ([("transport", "udp"), ("family", "ipv4")], udp[0]),
            ([("transport", "udp"), ("family", "ipv6")], udp[1]),
            ([("transport", "tcp"), ("family", "ipv4")], tcp[0]),
            ([("transport", "tcp"), ("family", "ipv6")], tcp[1]),
            ([("transport", "udp"), ("family", "unknown")], counters.kernel_drops),
        ],
    )?;
    let rcode_names: Vec<String> = (0..counters.responses[0].len())
        .map(|code| match code + 1 == counters.responses[0].len() {
            true => "other".to_owned(),
            false => Rcode(code as u16).to_string(),
        })
        .collect();
    let responses = Source::ALL.into_iter().flat_map(|source| {
        let row = counters.responses[source as usize].iter().zip(&rcode_names);
        let there = row.filter(|(count, name)| **count > 0 || *name == "NOERROR");
        there.map(move |(count, name)| ([("rcode", &**name), ("source", source.name())], *count))
    });
    out.counters("dns64_responses", "Responses by RCODE and by where they came from", responses)?;
    let drops =
        DropReason::ALL.map(|reason| ([("reason", reason.name())], counters.drops_for(reason)));
    out.counters("dns64_drops", "Queries without a response, by reason", drops)?;
    out.counter(
        "dns64_synthesized_answers",
        "Responses with AAAA that were synthesized",
        counters.synthesized,
    )?;
    out.counter(
        "dns64_unsent_responses",
        "Responses that the network refused, or whose client had gone",
        counters.unsent,
    )
}

/// How long responses took.
fn durations(counters: &Counters, out: &mut Families<'_, '_>) -> fmt::Result {
    let mut family = out.0.encode_descriptor(
        "dns64_response_duration_seconds",
        "From when a query was read until its response was sent; those of the XDP program are not timed",
        None,
        MetricType::Histogram,
    )?;
    for source in Source::ALL.into_iter().filter(|source| *source != Source::Kernel) {
        let durations = &counters.durations[source as usize];
        let bounds = BOUNDS_US.iter().map(|bound_us| *bound_us as f64 / MICROS);
        let bounds = bounds.chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(durations.counts).collect();
        let sum = durations.sum_us as f64 / MICROS;
        family.encode_family(&[("source", source.name())])?.encode_histogram::<NoLabelSet>(
            sum,
            durations.total(),
            &buckets,
            None,
        )?;
    }
    Ok(())
}

/// Response policy zones, scripts and validation.
fn policies(counters: &Counters, zones: &[String], out: &mut Families<'_, '_>) -> fmt::Result {
    let ruled = zones.iter().enumerate().map(|(place, zone)| {
        ([("zone", zone.as_str())], counters.rpz.get(place).copied().unwrap_or(0))
    });
    out.counters("dns64_rpz_rulings", "Queries that a response policy zone has decided", ruled)?;
    let results = ValidationResult::ALL
        .map(|result| ([("result", result.name())], counters.validations_with(result)));
    out.counters("dns64_validations", "Answers validated, by result", results)?;
    out.counter("dns64_script_calls", "Calls of a script's hooks", counters.script_calls)?;
    out.counter(
        "dns64_script_changes",
        "Calls by which a script has answered, changed or dropped something",
        counters.script_changes,
    )?;
    out.counter("dns64_script_errors", "Calls that have failed", counters.script_errors)
}

/// What `AF_XDP` sockets and XDP programs have done.
fn frames(counters: &Counters, out: &mut Families<'_, '_>) -> fmt::Result {
    for (name, help, value) in [
        ("dns64_xsk_queries", "Queries that came by AF_XDP", counters.xsk_queries),
        ("dns64_xsk_replies", "Replies that left by AF_XDP", counters.xsk_replies),
        ("dns64_xsk_strays", "Frames by AF_XDP that were no query for us", counters.xsk_strays),
        ("dns64_xsk_full", "Frames dropped because a queue was full", counters.xsk_full),
        ("dns64_xsk_ring_full", "Those for which the ring had no place", counters.xsk_ring_full),
        ("dns64_xsk_fill_empty", "Those for which no frame was free", counters.xsk_fill_empty),
        (
            "dns64_xsk_diverted",
            "Queries left to the sockets by a full queue",
            counters.xsk_diverted,
        ),
    ] {
        out.counter(name, help, value)?;
    }
    Ok(())
}

impl Snapshot {
    /// The sum of something over the workers.
    fn sum(&self, part: impl Fn(&crate::orders::Report) -> u64) -> u64 {
        self.counted.reports.iter().map(part).sum()
    }

    /// The program.
    fn process(&self, out: &mut Families<'_, '_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.gauges("dns64_build_info", "The version that runs", [(version, 1_u64)])?;
        out.gauge("dns64_uptime_seconds", "Since queries are answered", self.uptime_secs)?;
        out.gauge("dns64_workers", "Worker threads", self.counted.reports.len() as u64)?;
        let generation = u64::from(self.counted.rules.epoch.0);
        let help = "The number of the configuration in force, from 0 on";
        out.gauge("dns64_config_generation", help, generation)?;
        let reloads = ReloadResult::ALL.into_iter().zip(self.reloads);
        let reloads = reloads.map(|(result, count)| ([("result", result.name())], count));
        out.counters("dns64_config_reloads", "Reloads, by what has become of them", reloads)?;
        let waiting = self.sum(|report| report.clients_waiting as u64);
        out.gauge("dns64_clients_waiting", "Queries whose response is being looked up", waiting)?;
        let lookups = self.sum(|report| report.lookups as u64);
        out.gauge("dns64_lookups_inflight", "Look-ups under way", lookups)
    }

    /// The cache.
    fn cache(&self, out: &mut Families<'_, '_>) -> fmt::Result {
        let counters = &self.counted.counters;
        let evictions = self.sum(|report| report.cache.evictions + report.cache.bucket_evictions);
        for (name, help, value) in [
            ("dns64_cache_hits", "Queries answered from the cache", counters.cache_hits),
            ("dns64_cache_misses", "Queries that needed a look-up", counters.cache_misses),
            ("dns64_cache_stale", "Queries answered past the TTL", counters.cache_stale),
            ("dns64_cache_restored", "Answers out of a snapshot", counters.cache_restored),
            ("dns64_cache_evictions", "Entries that had to go for others", evictions),
            ("dns64_cache_prefetches", "Look-ups before an entry ends", counters.prefetches),
        ] {
            out.counter(name, help, value)?;
        }
        let entries = self.sum(|report| report.cache.entries);
        out.gauge("dns64_cache_entries", "Entries in the cache", entries)?;
        let octets = self.sum(|report| report.cache.used_octets);
        out.gauge("dns64_cache_bytes", "Memory that they take", octets)
    }

    /// The servers that are asked.
    fn upstream(&self, out: &mut Families<'_, '_>) -> fmt::Result {
        fn label(upstream: &Upstream) -> Labels<'_, 1> {
            [("upstream", &upstream.server)]
        }
        let counters = &self.counted.counters;
        let each = |part: fn(&Upstream) -> u64| {
            self.upstreams.iter().map(move |upstream| (label(upstream), part(upstream)))
        };
        let queries = each(|upstream| upstream.queries);
        out.counters("dns64_upstream_queries", "Queries sent to each server", queries)?;
        let timeouts = each(|upstream| upstream.timeouts);
        out.counters("dns64_upstream_timeouts", "Those without an answer in time", timeouts)?;
        let waiting = each(|upstream| upstream.in_flight);
        out.gauges("dns64_upstream_inflight", "Look-ups that wait for its answer", waiting)?;
        let times = self.upstreams.iter();
        let times = times.filter_map(|upstream| Some((label(upstream), upstream.rtt_us? / MICROS)));
        let help = "Smoothed round-trip time, the mean of the workers";
        out.gauges("dns64_upstream_rtt_seconds", help, times)?;
        let states = each(|upstream| u64::from(upstream.is_up));
        let help = "1 where at least one worker counts the server as up";
        out.gauges("dns64_upstream_state", help, states)?;
        out.counter(
            "dns64_lookup_failures",
            "Look-ups that no server has answered",
            counters.lookup_failures,
        )?;
        let suspects =
            Suspect::ALL.map(|kind| ([("kind", kind.name())], counters.suspects[kind as usize]));
        out.counters("dns64_spoof_suspects", "Responses that look forged (RFC 5452)", suspects)
    }

    /// The query log and dnstap.
    fn recorded(&self, out: &mut Families<'_, '_>) -> fmt::Result {
        let (log, dnstap) = (&self.records.query_log, &self.records.dnstap);
        for (name, help, value) in [
            ("dns64_query_log_written", "Lines of the query log", log.written()),
            ("dns64_query_log_dropped", "Lines for which there was no room", log.dropped()),
            ("dns64_dnstap_written", "Messages that dnstap's reader has got", dnstap.written()),
            ("dns64_dnstap_dropped", "Messages without room or reader", dnstap.dropped()),
        ] {
            out.counter(name, help, value)?;
        }
        Ok(())
    }

    /// The gateways of pools.
    fn pools(&self, out: &mut Families<'_, '_>) -> fmt::Result {
        fn labels(sample: &GatewaySample) -> Labels<'_, 2> {
            [("pool", &sample.pool), ("prefix", &sample.prefix)]
        }
        let serves = self.gateways.iter().map(|it| (labels(it), u64::from(it.serves)));
        out.gauges("dns64_pool_gateway_up", "Whether clients are led through it", serves)?;
        let failures = self.gateways.iter().map(|it| (labels(it), it.failures));
        out.counters("dns64_pool_gateway_failures", "How often it has failed", failures)
    }
}
