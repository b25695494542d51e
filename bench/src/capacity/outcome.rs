//! What a capacity test brought, in the form in which it is kept as JSON: `capacity` writes it and
//! `report` reads it.
#![forbid(unsafe_code)]

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of the form: grows when a key changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// A whole capacity test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who was asked.
    pub server: String,
    /// What its upstream is.
    pub upstream: String,
    /// The NAT64 prefix of the server.
    pub prefix: String,
    /// How the test was made.
    pub method: Method,
    /// What the tester can do by itself.
    pub self_test: SelfTest,
    /// What the server can do, by shares.
    pub cells: Vec<Cell>,
}

/// How a test was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// Whether a trial is of 60 seconds or more, there are 20 repetitions or more, none of them
    /// has second attempts, and not a single answer may be lost, as RFC 8219 section 9 asks for.
    pub as_in_rfc_8219: bool,
    /// Seconds of a trial.
    pub seconds: f64,
    /// Searches for each pair of shares.
    pub repetitions: u32,
    /// Seconds after which an answer counts as lost.
    pub timeout_s: f64,
    /// Per cent of the answers that may be lost.
    pub loss_percent: f64,
    /// The longest 99 % latency of a trial that passes, in milliseconds: a queue that grows would
    /// hide in a short trial.
    pub queue_ms: f64,
    /// Between the highest rate that passed and the lowest that failed, in per cent.
    pub precision_percent: f64,
    /// How often a rate that failed was tried again.
    pub retries: u32,
    /// How much more than the server's work the tester must be able to do.
    pub delta: f64,
    /// Source ports of the tester.
    pub sockets: usize,
}

/// The tester looped back on itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// The highest rate at which the upstream answered the tester without a loss.
    pub rate_qps: u32,
    /// Within so many seconds: a quarter of the time-out.
    pub timeout_s: f64,
    /// All trials.
    pub trials: Vec<Trial>,
}

/// What the server can do with one pair of shares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Per cent of the questions whose answer is cached.
    pub cached_percent: u8,
    /// Per cent of the questions for names with an AAAA record.
    pub aaaa_percent: u8,
    /// The highest rate at which trials passed, of all repetitions.
    pub rate_qps: Figures,
    /// The rate of each repetition.
    pub rates_qps: Vec<u32>,
    /// The highest rate that was tried at all.
    pub ceiling_qps: u32,
    /// What kept the rate from being higher.
    pub limited_by: LimitedBy,
    /// The rate of the self-test by that at which the tester worked with the server, less 1: at
    /// least the wanted delta, or the tester was too slow. None if no rate passed.
    pub delta: Option<f64>,
    /// Questions that reached the upstream for each of ours, over all trials, if it is ours.
    pub upstream_questions: Option<f64>,
    /// All trials.
    pub trials: Vec<Trial>,
}

/// What keeps a rate from being higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// The server.
    Server,
    /// The tester: the true rate is this or higher.
    Tester,
    /// The highest rate that was allowed: the true rate is this or higher.
    MaxRate,
}

impl fmt::Display for LimitedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::Tester => "tester",
            Self::MaxRate => "--max-rate",
        })
    }
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Of which repetition, from 1 on.
    pub repetition: u32,
    /// Queries a second.
    pub rate_qps: u32,
    /// Queries that were to be sent.
    pub planned: u64,
    /// Queries that were sent.
    pub sent: u64,
    /// Right answers in time.
    pub answered: u64,
    /// Queries without an answer in time.
    pub lost: u64,
    /// Responses to no query in flight: too late, twice, or forged.
    pub late: u64,
    /// Answers that are not what the name says.
    pub wrong: u64,
    /// Failures and truncated answers.
    pub failed: u64,
    /// Median latency, in microseconds.
    pub p50_us: f64,
    /// 99 % latency.
    pub p99_us: f64,
    /// 99.9 % latency.
    pub p999_us: f64,
    /// The longest latency.
    pub max_us: f64,
    /// Why it failed; none if it passed.
    pub failure: Option<Failure>,
}

/// Why a trial failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The tester did not send all queries in the time of the trial.
    Unsent,
    /// An answer was wrong.
    Wrong,
    /// Too many answers were lost, or failures.
    Lost,
    /// Answers came too late: a queue was growing.
    Queue,
}

impl Trial {
    /// Why it fails by the rules of the method, if it does. A single wrong answer is too many.
    #[must_use]
    pub fn judge(&self, loss_percent: f64, queue_ms: f64) -> Option<Failure> {
        let missing = self.sent.saturating_sub(self.answered);
        if self.sent < self.planned {
            Some(Failure::Unsent)
        } else if self.wrong > 0 {
            Some(Failure::Wrong)
        } else if missing as f64 > self.sent as f64 * loss_percent / 100.0 {
            Some(Failure::Lost)
        } else if self.p99_us > queue_ms * 1_000.0 {
            Some(Failure::Queue)
        } else {
            None
        }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.failure {
            None => "passed",
            Some(Failure::Unsent) => "failed: the tester was too slow",
            Some(Failure::Wrong) => "failed: wrong answers",
            Some(Failure::Lost) => "failed: lost answers",
            Some(Failure::Queue) => "failed: a growing queue",
        };
        write!(
            f,
            "{:>9} q/s  {word} (sent {}, answered {}, lost {}, failed {}, wrong {}, p99 {:.1} ms)",
            self.rate_qps,
            self.sent,
            self.answered,
            self.lost,
            self.failed,
            self.wrong,
            self.p99_us / 1_000.0
        )
    }
}

/// Median and percentiles of the rates of all repetitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The median; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The 1st percentile, by nearest rank: with fewer than 100 repetitions the least.
    pub p1: f64,
    /// The 99th percentile, by nearest rank: with fewer than 100 repetitions the greatest.
    pub p99: f64,
}

impl Figures {
    /// Of some rates; zeros without any.
    #[must_use]
    pub fn of(rates: &[u32]) -> Self {
        let mut sorted = rates.to_vec();
        sorted.sort_unstable();
        let rank = |percent: usize| (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |place: usize| sorted.get(place).copied().map_or(0.0, f64::from);
        let middle = sorted.len() / 2;
        let below = if sorted.len().is_multiple_of(2) { middle.saturating_sub(1) } else { middle };
        Self { median: f64::midpoint(at(below), at(middle)), p1: at(rank(1)), p99: at(rank(99)) }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Method { seconds, repetitions, timeout_s, loss_percent, .. } = self.method;
        writeln!(f, "Server:     {}, upstream {}", self.server, self.upstream)?;
        writeln!(
            f,
            "Method:     {repetitions} x binary search, trials of {seconds} s, time-out \
             {timeout_s} s, loss at most {loss_percent} %{}",
            if self.method.as_in_rfc_8219 { " (RFC 8219)" } else { "" }
        )?;
        writeln!(
            f,
            "Self-test:  {} q/s within {} s; good for a server without cache up to {:.0} q/s\n",
            self.self_test.rate_qps,
            self.self_test.timeout_s,
            f64::from(self.self_test.rate_qps) / (2.0 * (1.0 + self.method.delta))
        )?;
        writeln!(f, "  cached    AAAA     median q/s     1 %    99 %   limited by")?;
        for cell in &self.cells {
            let Figures { median, p1, p99 } = cell.rate_qps;
            writeln!(
                f,
                "{:>6} % {:>5} % {:>13.0} {:>8.0} {:>7.0}   {}",
                cell.cached_percent, cell.aaaa_percent, median, p1, p99, cell.limited_by
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_even_odd_and_no_rates() {
        let figures = Figures::of(&[40, 10, 30, 20]);
        assert_eq!((figures.median, figures.p1, figures.p99), (25.0, 10.0, 40.0));
        assert_eq!(Figures::of(&[3, 1, 2]).median, 2.0);
        let hundreds: Vec<u32> = (1..=200).collect();
        let figures = Figures::of(&hundreds);
        assert_eq!((figures.median, figures.p1, figures.p99), (100.5, 2.0, 198.0));
        assert_eq!(Figures::of(&[]), Figures::default());
    }

    #[test]
    fn a_trial_fails_for_the_first_thing_that_is_wrong() {
        let good = Trial {
            repetition: 1,
            rate_qps: 1_000,
            planned: 2_000,
            sent: 2_000,
            answered: 2_000,
            lost: 0,
            late: 0,
            wrong: 0,
            failed: 0,
            p50_us: 100.0,
            p99_us: 900.0,
            p999_us: 1_000.0,
            max_us: 2_000.0,
            failure: None,
        };
        assert_eq!(good.judge(0.0, 100.0), None);
        let one_lost = Trial { answered: 1_999, lost: 1, ..good.clone() };
        assert_eq!(one_lost.judge(0.0, 100.0), Some(Failure::Lost));
        assert_eq!(one_lost.judge(0.1, 100.0), None, "two of 2,000 may be lost");
        let three_failed = Trial { answered: 1_997, failed: 3, ..good.clone() };
        assert_eq!(three_failed.judge(0.1, 100.0), Some(Failure::Lost));
        let wrong = Trial { answered: 1_999, wrong: 1, ..good.clone() };
        assert_eq!(wrong.judge(0.1, 100.0), Some(Failure::Wrong));
        assert_eq!(good.judge(0.0, 0.5), Some(Failure::Queue));
        let slow = Trial { sent: 1_999, answered: 1_999, ..good };
        assert_eq!(slow.judge(0.1, 100.0), Some(Failure::Unsent));
    }
}
