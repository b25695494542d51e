//! Runs the load generator inside the lab.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use dns64::pref64::WELL_KNOWN;

use super::network::{Lab, NICENESS, Site};
use super::questions::Questions;
use crate::flood::{self, Expect};
use crate::load::encode::{Encoder, Encoding};
use crate::load::fault::Rules;
use crate::load::input::{self, Form};
use crate::load::queries::Queries;
use crate::load::report::Report;
use crate::load::schedule::Spacing;
use crate::load::sockets::BUFFER_BYTES;
use crate::load::totals::{Times, Totals};
use crate::load::{self, Carrier, Nobody};
use crate::results::{Bucket, Latency};

/// Port of all servers.
const PORT: u16 = 53;

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
    /// If the kernel makes the frames: how long they are sent before those that count.
    pub frames: Option<Duration>,
}

/// What a run brought.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Queries sent.
    pub sent: u64,
    /// Answers in time.
    pub completed: u64,
    /// Answers in time that are right; of a limit, replies.
    pub answers: u64,
    /// Queries without an answer.
    pub lost: u64,
    /// Queries answered after the time-out.
    pub late: u64,
    /// Answers that are not what the name says.
    pub wrong: u64,
    /// Failures and truncated answers.
    pub failed: u64,
    /// Answers by RCODE.
    pub rcodes: BTreeMap<String, u64>,
    /// From the first query to the last answer or loss.
    pub run_time: Duration,
    /// How long queries were sent.
    pub sending_time: Duration,
    /// Microseconds by which 99 % of queries left later than they were to, at most.
    pub lateness_p99_us: f64,
    /// Latencies of answers.
    pub latency: Latency,
}

/// Asks a server, from the generator's namespace and CPU. `begins` is called when the lead-in is
/// over.
///
/// # Errors
/// If sockets or the namespace cannot be had.
pub fn drive(
    lab: &Lab,
    site: &Site,
    questions: &Questions,
    run: &Run,
    begins: impl FnOnce() + Send,
) -> anyhow::Result<Outcome> {
    let mut encoder = Encoder::new(Encoding::default());
    input::read(&mut questions.text.as_bytes(), Form::TextOrCapture, &mut encoder)
        .context("questions")?;
    let queries = encoder.finish();
    if let Some(lead_in) = run.frames {
        return drive_frames(lab, site, &queries, run, lead_in, begins);
    }
    begins();
    let options = load::Options {
        server: SocketAddr::new(IpAddr::V6(site.address), PORT),
        carrier: Carrier::Udp,
        sources: vec![SocketAddr::new(IpAddr::V6(site.generator_address), 0); run.sockets],
        threads: 1,
        duration: Some(run.duration),
        rounds: u32::from(!run.repeat),
        rate: u64::from(run.rate.unwrap_or(0)),
        spacing: Spacing::Constant,
        outstanding: run.rate.map_or(run.outstanding, |_| usize::MAX),
        timeout: run.timeout,
        xdp: None,
        // They would make servers look faster than they are.
        segments: false,
        buffer_bytes: BUFFER_BYTES,
        rules: Rules { prefixes: vec![WELL_KNOWN], by_name: run.verify, alternative: None },
    };
    let stop = AtomicBool::new(false);
    let totals = lab
        .as_generator(NICENESS, || load::run(&queries, &options, &stop, &mut Nobody))?
        .context("the load generator")?;
    let report = Report { options: &options, totals: &totals, source: "" };
    let rcodes = report.rcodes().map(|(name, count)| (name.to_owned(), count)).collect();
    Ok(Outcome {
        sent: totals.sent,
        completed: totals.completed,
        answers: answers_in_time(run, &totals),
        lost: totals.lost,
        late: totals.late,
        wrong: totals.wrong(),
        failed: totals.failed,
        rcodes,
        run_time: totals.run_time,
        sending_time: sending_time(run, &totals),
        lateness_p99_us: totals.lateness.quantile_ns(0.99) as f64 / 1e3,
        latency: latency_of(&totals.latencies),
    })
}

/// [`drive`], with frames that the kernel makes: no latencies.
fn drive_frames(
    lab: &Lab,
    site: &Site,
    queries: &Queries,
    run: &Run,
    lead_in: Duration,
    begins: impl FnOnce() + Send,
) -> anyhow::Result<Outcome> {
    let options = flood::Options {
        interface: site.generator_device.clone(),
        server: SocketAddr::new(IpAddr::V6(site.address), PORT),
        source: IpAddr::V6(site.generator_address),
        ports: run.sockets as u16,
        rate: run.rate.map(u64::from),
        outstanding: run.outstanding,
        lead_in,
        duration: run.duration,
        timeout: run.timeout,
        expect: if run.verify {
            Expect::Synthesized { prefixes: vec![WELL_KNOWN] }
        } else {
            Expect::Reflected
        },
    };
    let stop = AtomicBool::new(false);
    let outcome = lab
        .as_generator(NICENESS, || flood::run(queries, &options, &stop, begins))?
        .context("the generator of frames")?;
    Ok(Outcome {
        sent: outcome.sent,
        completed: outcome.right + outcome.wrong + outcome.failed,
        answers: outcome.right,
        lost: outcome.lost,
        late: 0,
        wrong: outcome.wrong,
        failed: outcome.failed,
        rcodes: BTreeMap::from([("NOERROR".to_owned(), outcome.right)]),
        run_time: outcome.run_time,
        sending_time: outcome.sending_time,
        lateness_p99_us: 0.0,
        latency: Latency::default(),
    })
}

/// Answers in time that are right; of a limit, replies. Verified are late ones too: they are taken
/// off, as if all of them had been right.
fn answers_in_time(run: &Run, totals: &Totals) -> u64 {
    if run.verify { totals.verified.saturating_sub(totals.late) } else { totals.completed }
}

/// How long queries were sent. A run that ends with its questions waits for those it lost last:
/// twice the time-out at most, which is not taken off the others' time.
fn sending_time(run: &Run, totals: &Totals) -> Duration {
    let waits = !run.repeat && totals.lost + totals.late > 0 && totals.run_time < run.duration;
    let waited = if waits { run.timeout * 2 } else { Duration::ZERO };
    totals.run_time.min(run.duration).saturating_sub(waited)
}

/// The latencies of a run.
fn latency_of(times: &Times) -> Latency {
    let micros = |nanos: u64| nanos as f64 / 1e3;
    let quantile = |share| micros(times.quantile_ns(share));
    Latency {
        count: times.count(),
        mean_us: times.mean_ns() / 1e3,
        stddev_us: times.deviation_ns() / 1e3,
        min_us: micros(times.min_ns()),
        p50_us: quantile(0.5),
        p90_us: quantile(0.9),
        p99_us: quantile(0.99),
        p999_us: quantile(0.999),
        p9999_us: quantile(0.9999),
        max_us: micros(times.max_ns()),
        histogram: histogram_of(times),
    }
}

/// The histogram, with a thirty-second of a power of two to a bucket: finer than anyone can draw,
/// and short.
fn histogram_of(times: &Times) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for (up_to_ns, count) in times.buckets() {
        let step = up_to_ns.checked_ilog2().map_or(1, |log| 1_u64 << log.saturating_sub(5));
        let up_to_us = up_to_ns.div_ceil(step).saturating_mul(step) as f64 / 1e3;
        match buckets.last_mut() {
            Some(last) if last.up_to_us == up_to_us => last.count += count,
            Some(_) | None => buckets.push(Bucket { up_to_us, count }),
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_is_short_and_has_all() {
        let mut times = Times::default();
        for nanos in (1_000..10_000_000).step_by(777) {
            times.add(nanos);
        }
        let buckets = histogram_of(&times);
        assert_eq!(buckets.iter().map(|bucket| bucket.count).sum::<u64>(), times.count());
        assert!(buckets.len() < 32 * 15, "{}", buckets.len());
        assert!(buckets.is_sorted_by(|one, two| one.up_to_us < two.up_to_us));
        let p99 = times.quantile_ns(0.99) as f64 / 1e3;
        let above = buckets.iter().filter(|bucket| bucket.up_to_us > p99 * 1.05);
        let above = above.map(|bucket| bucket.count).sum::<u64>();
        assert!(above * 100 < times.count(), "{above}");
    }
}
