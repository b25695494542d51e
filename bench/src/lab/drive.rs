//! Runs the load generator inside the lab.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use dns64::pref64::WELL_KNOWN;

use super::network::{Lab, Site};
use super::questions::Questions;
use crate::load::queries::Queries;
use crate::load::report::Report;
use crate::load::{self, Check, Totals};
use crate::results::{Bucket, Latency};

/// Port of all servers.
const PORT: u16 = 53;
/// The most queries in flight of an open loop: more than a timeout's worth of what a server of the
/// lab can do, so that the schedule is kept.
const OPEN_LOOP_OUTSTANDING: usize = 400_000;

/// How a run offers its questions.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Queries a second; `None` is a closed loop.
    pub rate: Option<u32>,
    /// Queries in flight of a closed loop.
    pub outstanding: usize,
    /// How long queries are sent at most.
    pub duration: Duration,
    /// Whether to begin anew when all questions have been asked.
    pub repeat: bool,
    /// Source ports.
    pub sockets: usize,
    /// After which time an answer counts as lost.
    pub timeout: Duration,
    /// Whether answers are verified. A limit gives none.
    pub verify: bool,
}

/// What a run brought.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Queries sent.
    pub sent: u64,
    /// Answers in time.
    pub completed: u64,
    /// Answers that are right; of a limit, replies.
    pub answers: u64,
    /// Queries without an answer in time.
    pub lost: u64,
    /// Responses to no query in flight.
    pub late: u64,
    /// Answers that are not what the name says.
    pub wrong: u64,
    /// Failures and truncated answers.
    pub failed: u64,
    /// Answers by RCODE.
    pub rcodes: BTreeMap<String, u64>,
    /// From the first query to the last answer or loss.
    pub run_time: Duration,
    /// Latencies of answers.
    pub latency: Latency,
}

/// Asks a server, from the generator's namespace and CPU.
///
/// # Errors
/// If sockets or the namespace cannot be had.
pub fn drive(lab: &Lab, site: &Site, questions: &Questions, run: &Run) -> anyhow::Result<Outcome> {
    let queries = Queries::read(questions.text.as_bytes(), None).context("questions")?;
    let options = load::Options {
        server: SocketAddr::new(IpAddr::V6(site.address), PORT),
        duration: run.duration,
        rounds: u32::from(!run.repeat),
        rate: run.rate.unwrap_or(0),
        outstanding: match run.rate {
            None => run.outstanding,
            Some(_) => OPEN_LOOP_OUTSTANDING.min(run.sockets * load::OUTSTANDING_MAX),
        },
        sockets: run.sockets,
        timeout: run.timeout,
        prefix: WELL_KNOWN,
        check: if run.verify { Check::Answer } else { Check::Form },
    };
    let totals =
        lab.as_generator(|| load::run(queries, options.clone()))?.context("the load generator")?;
    let report = Report { options: &options, totals: &totals };
    let rcodes = report.rcodes().map(|(name, count)| (name.to_owned(), count)).collect();
    Ok(Outcome {
        sent: totals.sent,
        completed: totals.completed,
        answers: if run.verify { totals.verified } else { totals.completed },
        lost: totals.lost,
        late: totals.unexpected,
        wrong: totals.wrong,
        failed: totals.failed,
        rcodes,
        run_time: totals.run_time,
        latency: latency_of(&totals),
    })
}

/// The latencies of a run.
fn latency_of(totals: &Totals) -> Latency {
    let latencies = &totals.latencies;
    if latencies.count == 0 {
        return Latency::default();
    }
    let quantile = |share| f64::from(latencies.quantile_us(share));
    Latency {
        count: latencies.count,
        mean_us: latencies.mean_us(),
        stddev_us: latencies.deviation_us(),
        min_us: f64::from(latencies.min_us),
        p50_us: quantile(0.5),
        p90_us: quantile(0.9),
        p99_us: quantile(0.99),
        p999_us: quantile(0.999),
        p9999_us: quantile(0.9999),
        max_us: f64::from(latencies.max_us),
        histogram: latencies
            .buckets()
            .map(|(up_to_us, count)| Bucket { up_to_us: f64::from(up_to_us), count })
            .collect(),
    }
}
