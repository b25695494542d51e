//! What a run brought, as text: first dnsperf's block to the letter, so that whatever reads
//! dnsperf's output reads this, then what dnsperf does not know.
#![forbid(unsafe_code)]

use std::fmt;

use super::fault::Fault;
use super::sample;
use super::schedule::Spacing;
use super::totals::{Times, Totals};
use super::{Carrier, Options};

/// RCODEs by number, in dnsperf's letters.
pub(super) const RCODE_NAMES: [&str; 16] = [
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
    "NOTZONE",
    "reserved11",
    "reserved12",
    "reserved13",
    "reserved14",
    "reserved15",
];

/// The percentiles that are reported: what JSON calls them, what people do, and the share.
pub(super) const PERCENTILES: [(&str, &str, f64); 5] = [
    ("p50", "p50", 0.5),
    ("p90", "p90", 0.9),
    ("p99", "p99", 0.99),
    ("p999", "p99.9", 0.999),
    ("p9999", "p99.99", 0.9999),
];

/// A run to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What it did.
    pub options: &'a Options,
    /// What it brought.
    pub totals: &'a Totals,
    /// Where the queries came from: a file, or a workload in words.
    pub source: &'a str,
}

impl Report<'_> {
    /// Answers in time a second.
    #[must_use]
    pub fn queries_per_second(&self) -> f64 {
        let seconds = self.totals.run_time.as_secs_f64();
        if seconds > 0.0 { self.totals.completed as f64 / seconds } else { 0.0 }
    }

    /// The RCODEs that were seen.
    pub fn rcodes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RCODE_NAMES.into_iter().zip(self.totals.rcodes).filter(|(_, count)| *count > 0)
    }

    /// The kinds of wrong answers that were seen.
    pub(super) fn faults(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL.into_iter().zip(self.totals.faults).filter(|(_, count)| *count > 0)
    }

    /// dnsperf's block.
    fn block(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = self.totals;
        let sent = totals.sent;
        let line = |f: &mut fmt::Formatter<'_>, label: &str, count: u64| {
            writeln!(f, "  {label:22}{count} ({:.2}%)", per_cent(count, sent))
        };
        writeln!(f, "Statistics:\n")?;
        writeln!(f, "  {:22}{sent}", "Queries sent:")?;
        line(f, "Queries completed:", totals.completed)?;
        line(f, "Queries lost:", totals.lost + totals.late)?;
        if totals.interrupted > 0 {
            line(f, "Queries interrupted:", totals.interrupted)?;
        }
        let completed = totals.completed;
        let rcodes: Vec<_> = self
            .rcodes()
            .map(|(name, count)| format!("{name} {count} ({:.2}%)", per_cent(count, completed)))
            .collect();
        writeln!(f, "\n  {:22}{}", "Response codes:", rcodes.join(", "))?;
        let (request, response) =
            (totals.query_bytes / sent.max(1), totals.response_bytes / completed.max(1));
        writeln!(f, "  {:22}request {request}, response {response}", "Average packet size:")?;
        writeln!(f, "  {:22}{:.6}", "Run time (s):", totals.run_time.as_secs_f64())?;
        writeln!(f, "  {:22}{:.6}\n", "Queries per second:", self.queries_per_second())?;
        let times = &totals.latencies;
        latency_lines(
            f,
            times.count(),
            [times.mean_ns(), times.min_ns() as f64, times.max_ns() as f64, times.deviation_ns()],
        )?;
        let Some(connecting) = totals.carried.connecting else { return Ok(()) };
        writeln!(f, "Connection Statistics:\n")?;
        writeln!(f, "  {:22}{}\n", "Reconnections:", totals.carried.reconnections)?;
        latency_lines(
            f,
            connecting.count,
            [
                connecting.mean_ns(),
                connecting.min_ns as f64,
                connecting.max_ns as f64,
                connecting.deviation_ns(),
            ],
        )
    }

    /// The loop, in words.
    fn kind_of_loop(&self) -> String {
        let options = self.options;
        let limit = match options.outstanding {
            usize::MAX => String::new(),
            outstanding => format!(", at most {outstanding} outstanding"),
        };
        match (options.rate, options.spacing) {
            (0, _) => format!("closed{limit}; latency from sending"),
            (rate, Spacing::Constant) => {
                format!("open, {rate} queries/s{limit}; latency from the intended time")
            }
            (rate, Spacing::Poisson(seed)) => format!(
                "open, {rate} queries/s, Poisson (seed {seed}){limit}; latency from the intended time"
            ),
        }
    }

    /// What dnsperf does not know.
    fn beyond(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, totals, source } = self;
        let carrier = match (options.carrier, &options.xdp) {
            (Carrier::Udp, None) => "UDP sockets".to_owned(),
            (Carrier::Udp, Some(place)) => format!("ports by AF_XDP on {}", place.interface),
            (Carrier::Tcp { .. }, _) => "TCP connections".to_owned(),
        };
        writeln!(f, "Verification:\n")?;
        writeln!(f, "  {:22}{source}", "Workload:")?;
        writeln!(f, "  {:22}{}", "Loop:", self.kind_of_loop())?;
        writeln!(
            f,
            "  {:22}{} threads, {} {carrier}, time-out {} s",
            "Engine:",
            options.threads,
            options.sources.len(),
            options.timeout.as_secs_f64()
        )?;
        writeln!(
            f,
            "  {:22}verified {}, wrong {}, failed {}, unchecked {}",
            "Answers:",
            totals.verified,
            totals.wrong(),
            totals.failed,
            totals.unchecked
        )?;
        writeln!(
            f,
            "  {:22}answered late {}, never {}, unsent {}",
            "Not in time:", totals.late, totals.lost, totals.carried.unsent
        )?;
        writeln!(
            f,
            "  {:22}duplicates {}, unknown {}",
            "Other messages:", totals.duplicates, totals.unknown
        )?;
        writeln!(f, "  {:22}{}", "Percentiles (s):", percentiles(&totals.latencies))?;
        if options.rate > 0 {
            writeln!(f, "  {:22}{}", "Lateness (s):", percentiles(&totals.lateness))?;
            let behind = totals.scheduled - totals.sent;
            writeln!(f, "  {:22}{behind} of {}", "Behind schedule:", totals.scheduled)?;
        }
        if options.rules.by_name && totals.unchecked > 0 {
            writeln!(
                f,
                "  {:22}{} answers to names that do not say their answer: form and prefix only; \
                 inconsistent {}",
                "Unchecked:", totals.unchecked, totals.inconsistent
            )?;
        }
        let faults: Vec<_> =
            self.faults().map(|(fault, count)| format!("{} {count}", fault.word())).collect();
        if !faults.is_empty() {
            writeln!(f, "  {:22}{}", "Wrong by kind:", faults.join(", "))?;
        }
        for sample in &totals.samples {
            match sample.fault {
                Some(fault) => writeln!(f, "\n  Wrong ({}):\n", fault.word())?,
                None => writeln!(f, "\n  Inconsistent with an answer before:\n")?,
            }
            for line in sample::describe(sample).lines() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.block(f)?;
        self.beyond(f)
    }
}

/// dnsperf's lines about so many latencies: their mean, the least, the greatest and the deviation,
/// in nanoseconds.
fn latency_lines(f: &mut fmt::Formatter<'_>, count: u64, times_ns: [f64; 4]) -> fmt::Result {
    let [mean, min, max, deviation] = times_ns.map(|nanos| nanos / 1e9);
    writeln!(f, "  {:22}{mean:.6} (min {min:.6}, max {max:.6})", "Average Latency (s):")?;
    if count > 1 {
        writeln!(f, "  {:22}{deviation:.6}", "Latency StdDev (s):")?;
    }
    writeln!(f)
}

/// Percentiles and the longest, in seconds.
fn percentiles(times: &Times) -> String {
    let mut text = String::new();
    for (_, name, share) in PERCENTILES {
        text += &format!("{name} {:.6}, ", times.quantile_ns(share) as f64 / 1e9);
    }
    text + &format!("max {:.6}", times.max_ns() as f64 / 1e9)
}

/// The part as per cent of the whole; 0 of nothing.
fn per_cent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
