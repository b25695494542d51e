//! What a run brought, in dnsperf's words and as JSON.
#![forbid(unsafe_code)]

use std::fmt;

use serde_json::{Value, json};

use super::{Options, Totals};

/// The version of the JSON form: grows when a key changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// RCODEs by number, as people write them.
const RCODE_NAMES: [&str; 16] = [
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
    "DSOTYPENI",
    "RESERVED12",
    "RESERVED13",
    "RESERVED14",
    "RESERVED15",
];

/// A run to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What it did.
    pub options: &'a Options,
    /// What it brought.
    pub totals: &'a Totals,
}

impl Report<'_> {
    /// Answers a second.
    #[must_use]
    pub fn queries_per_second(&self) -> f64 {
        let seconds = self.totals.run_time.as_secs_f64();
        if seconds > 0.0 { self.totals.completed as f64 / seconds } else { 0.0 }
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Self { options, totals } = self;
        let rcodes: serde_json::Map<_, _> =
            self.rcodes().map(|(name, count)| (name.to_owned(), count.into())).collect();
        let latencies = &totals.latencies;
        json!({
            "schema_version": SCHEMA_VERSION,
            "server": options.server.to_string(),
            "loop": if options.rate > 0 { "open" } else { "closed" },
            "rate_qps": options.rate,
            "outstanding": options.outstanding,
            "sockets": options.sockets,
            "sent": totals.sent,
            "completed": totals.completed,
            "lost": totals.lost,
            "unexpected": totals.unexpected,
            "rcodes": rcodes,
            "verified": totals.verified,
            "wrong": totals.wrong,
            "failed": totals.failed,
            "unchecked": totals.unchecked,
            "run_time_s": totals.run_time.as_secs_f64(),
            "queries_per_second": self.queries_per_second(),
            "query_bytes": totals.query_bytes,
            "response_bytes": totals.response_bytes,
            "latency_us": {
                "mean": latencies.mean_us(),
                "stddev": latencies.deviation_us(),
                "min": if latencies.count > 0 { latencies.min_us } else { 0 },
                "p50": latencies.quantile_us(0.5),
                "p90": latencies.quantile_us(0.9),
                "p99": latencies.quantile_us(0.99),
                "p999": latencies.quantile_us(0.999),
                "max": latencies.max_us,
            },
        })
    }

    /// The RCODEs that were seen.
    pub fn rcodes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RCODE_NAMES.into_iter().zip(self.totals.rcodes).filter(|(_, count)| *count > 0)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = self.totals;
        let latencies = &totals.latencies;
        writeln!(f, "Statistics:\n")?;
        writeln!(f, "  Queries sent:         {}", totals.sent)?;
        let (completed, lost) = (totals.completed, totals.lost);
        writeln!(
            f,
            "  Queries completed:    {completed} ({:.2}%)",
            per_cent(completed, totals.sent)
        )?;
        writeln!(f, "  Queries lost:         {lost} ({:.2}%)\n", per_cent(lost, totals.sent))?;
        let rcodes: Vec<_> = self
            .rcodes()
            .map(|(name, count)| format!("{name} {count} ({:.2}%)", per_cent(count, completed)))
            .collect();
        writeln!(f, "  Response codes:       {}", rcodes.join(", "))?;
        let (request, response) =
            (totals.query_bytes / totals.sent.max(1), totals.response_bytes / completed.max(1));
        writeln!(f, "  Average packet size:  request {request}, response {response}")?;
        writeln!(f, "  Run time (s):         {:.6}", totals.run_time.as_secs_f64())?;
        writeln!(f, "  Queries per second:   {:.6}\n", self.queries_per_second())?;
        let min = if latencies.count > 0 { latencies.min_us } else { 0 };
        writeln!(
            f,
            "  Average Latency (s):  {:.6} (min {:.6}, max {:.6})",
            latencies.mean_us() / 1e6,
            f64::from(min) / 1e6,
            f64::from(latencies.max_us) / 1e6
        )?;
        writeln!(f, "  Latency StdDev (s):   {:.6}\n", latencies.deviation_us() / 1e6)?;
        writeln!(
            f,
            "  Answers:              verified {}, wrong {}, failed {}, unchecked {}, unexpected {}",
            totals.verified, totals.wrong, totals.failed, totals.unchecked, totals.unexpected
        )?;
        if let Some(response) = &totals.first_wrong {
            write!(f, "  First wrong answer:   ")?;
            for octet in response {
                write!(f, "{octet:02x}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The part as per cent of the whole; 0 of nothing.
fn per_cent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Check;
    use dns64::pref64::WELL_KNOWN;
    use std::time::Duration;

    #[test]
    fn the_block_is_dnsperfs() {
        let options = Options {
            server: "[::1]:53".parse().unwrap(),
            duration: Duration::from_secs(1),
            rounds: 0,
            rate: 0,
            outstanding: 1,
            sockets: 1,
            timeout: Duration::from_secs(1),
            prefix: WELL_KNOWN,
            check: Check::Answer,
        };
        let mut totals = Totals {
            sent: 4,
            completed: 3,
            lost: 1,
            verified: 3,
            query_bytes: 160,
            response_bytes: 204,
            run_time: Duration::from_secs(2),
            ..Totals::default()
        };
        totals.rcodes[0] = 3;
        totals.latencies.add(100);
        let report = Report { options: &options, totals: &totals };
        assert_eq!(
            report.to_string(),
            "Statistics:\n\n  \
             Queries sent:         4\n  \
             Queries completed:    3 (75.00%)\n  \
             Queries lost:         1 (25.00%)\n\n  \
             Response codes:       NOERROR 3 (100.00%)\n  \
             Average packet size:  request 40, response 68\n  \
             Run time (s):         2.000000\n  \
             Queries per second:   1.500000\n\n  \
             Average Latency (s):  0.000100 (min 0.000100, max 0.000100)\n  \
             Latency StdDev (s):   0.000000\n\n  \
             Answers:              verified 3, wrong 0, failed 0, unchecked 0, unexpected 0\n"
        );
        assert_eq!(report.to_json()["latency_us"]["p99"], 100);
    }
}
