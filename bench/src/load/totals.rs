//! What a run brought: counts that every thread makes for itself, and that are added at the end.
#![forbid(unsafe_code)]

use std::time::Duration;

use hdrhistogram::Histogram;

use super::engine::{Carried, deviation};
use super::verify::Fault;

/// The longest time that is told from longer ones.
const LONGEST_NS: u64 = 600_000_000_000;

/// Buckets of a power of two, as a power of two.
const BUCKET_BITS: u32 = 4;

/// Wrong answers of each kind, and inconsistent ones, that are kept for the report.
const SAMPLES_PER_FAULT: usize = 2;

/// A distribution of times: an HdrHistogram of nanoseconds, right to three digits.
#[derive(Clone, Debug)]
pub struct Times {
    /// The histogram.
    histogram: Histogram<u64>,
    /// The sum of all, in nanoseconds.
    sum: f64,
    /// The sum of all squares.
    squares: f64,
}

impl Default for Times {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3)
            .expect("the bounds are in order and the digits are few");
        Self { histogram, sum: 0.0, squares: 0.0 }
    }
}

impl Times {
    /// Counts one.
    pub fn add(&mut self, nanos: u64) {
        self.histogram.saturating_record(nanos);
        self.sum += nanos as f64;
        self.squares += nanos as f64 * nanos as f64;
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.histogram.reset();
        (self.sum, self.squares) = (0.0, 0.0);
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The mean, in nanoseconds; 0 of none.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        self.sum / self.count().max(1) as f64
    }

    /// The standard deviation of a sample, in nanoseconds; 0 of fewer than two.
    #[must_use]
    pub fn deviation_ns(&self) -> f64 {
        deviation(self.count(), self.sum, self.squares)
    }

    /// The shortest, in nanoseconds; 0 of none.
    #[must_use]
    pub fn min_ns(&self) -> u64 {
        if self.count() == 0 { 0 } else { self.histogram.min() }
    }

    /// The longest, in nanoseconds, rounded as the histogram rounds; 0 of none.
    #[must_use]
    pub fn max_ns(&self) -> u64 {
        self.histogram.max()
    }

    /// The time that this share (0 to 1) of all do not exceed, in nanoseconds; 0 of none.
    #[must_use]
    pub fn quantile_ns(&self, share: f64) -> u64 {
        self.histogram.value_at_quantile(share).min(self.max_ns())
    }

    /// How many there are by time: the upper end of each bucket in nanoseconds, and its count, in
    /// order, without the empty ones. A bucket is a sixteenth of a power of two.
    #[must_use]
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let mut buckets: Vec<(u64, u64)> = Vec::new();
        for step in self.histogram.iter_recorded() {
            let value = step.value_iterated_to();
            let width = 1 << (value | 1).ilog2().saturating_sub(BUCKET_BITS);
            let end = value / width * width + (width - 1);
            let count = step.count_since_last_iteration();
            match buckets.last_mut() {
                Some((last, sum)) if *last == end => *sum += count,
                _ => buckets.push((end, count)),
            }
        }
        buckets
    }
}

/// An answer that was wrong, or another than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What is wrong with it; `None` if it only contradicts an answer before.
    pub fault: Option<Fault>,
    /// The query it answers; empty if it answers none.
    pub query: Vec<u8>,
    /// The answer.
    pub response: Vec<u8>,
}

/// What a run brought.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Queries that were to be sent, by an open loop's schedule; what is missing in
    /// [`Totals::sent`] the generator was too slow for.
    pub scheduled: u64,
    /// Queries sent.
    pub sent: u64,
    /// Queries answered in time.
    pub completed: u64,
    /// Queries answered after the time-out.
    pub late: u64,
    /// Queries not answered.
    pub lost: u64,
    /// Queries that waited when the run was interrupted.
    pub interrupted: u64,
    /// Second answers to queries that were answered.
    pub duplicates: u64,
    /// Messages that answer none of our queries and lie about nothing we could name: too short for
    /// a header, or queries.
    pub unknown: u64,
    /// Answers in time by RCODE.
    pub rcodes: [u64; 16],
    /// Answers that are what the name says.
    pub verified: u64,
    /// Failures and truncated answers.
    pub failed: u64,
    /// Answers to names that say nothing: checked for form and prefix only.
    pub unchecked: u64,
    /// Of those, answers other than the one before to the same question, though its time was not
    /// over.
    pub inconsistent: u64,
    /// Wrong answers, by kind.
    pub faults: [u64; Fault::ALL.len()],
    /// Some of the wrong and of the inconsistent answers.
    pub samples: Vec<Sample>,
    /// Octets of all queries.
    pub query_bytes: u64,
    /// Octets of all answers in time.
    pub response_bytes: u64,
    /// Of answers in time: from the moment the query was to be sent.
    pub latencies: Times,
    /// From the moment a query was to be sent until it was: the generator's own lateness.
    pub lateness: Times,
    /// From the first query to the last answer or loss.
    pub run_time: Duration,
    /// What the engine did besides.
    pub carried: Carried,
}

impl Totals {
    /// How many answers were wrong, of all kinds.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        self.faults.iter().sum()
    }

    /// Counts a wrong answer, and keeps it if there are few of its kind.
    pub fn wrong_answer(&mut self, fault: Fault, query: &[u8], response: &[u8]) {
        let count = &mut self.faults[fault as usize];
        *count += 1;
        if *count <= SAMPLES_PER_FAULT as u64 {
            let (query, response) = (query.to_vec(), response.to_vec());
            self.samples.push(Sample { fault: Some(fault), query, response });
        }
    }

    /// Counts an answer that contradicts one before, and keeps it if there are few.
    pub fn inconsistent_answer(&mut self, query: &[u8], response: &[u8]) {
        self.inconsistent += 1;
        if self.inconsistent <= SAMPLES_PER_FAULT as u64 {
            let (query, response) = (query.to_vec(), response.to_vec());
            self.samples.push(Sample { fault: None, query, response });
        }
    }

    /// Adds what another thread brought.
    pub fn merge(&mut self, other: Self) {
        self.scheduled += other.scheduled;
        self.sent += other.sent;
        self.completed += other.completed;
        self.late += other.late;
        self.lost += other.lost;
        self.interrupted += other.interrupted;
        self.duplicates += other.duplicates;
        self.unknown += other.unknown;
        self.verified += other.verified;
        self.failed += other.failed;
        self.unchecked += other.unchecked;
        self.inconsistent += other.inconsistent;
        self.query_bytes += other.query_bytes;
        self.response_bytes += other.response_bytes;
        for (sum, count) in self.rcodes.iter_mut().zip(other.rcodes) {
            *sum += count;
        }
        for (sum, count) in self.faults.iter_mut().zip(other.faults) {
            *sum += count;
        }
        for sample in other.samples {
            let same = self.samples.iter().filter(|kept| kept.fault == sample.fault).count();
            if same < SAMPLES_PER_FAULT {
                self.samples.push(sample);
            }
        }
        self.latencies.merge(&other.latencies);
        self.lateness.merge(&other.lateness);
        self.run_time = self.run_time.max(other.run_time);
        self.carried.add(&other.carried);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_moments_of_a_row() {
        let mut times = Times::default();
        for nanos in 1..=60 {
            times.add(nanos);
        }
        assert_eq!((times.min_ns(), times.max_ns(), times.count()), (1, 60, 60));
        assert_eq!(times.quantile_ns(0.5), 30);
        assert_eq!(times.quantile_ns(1.0), 60);
        assert!((times.mean_ns() - 30.5).abs() < 1e-9);
        assert!((times.deviation_ns() - 17.464).abs() < 1e-3);
        assert_eq!(times.buckets()[..3], [(1, 1), (2, 1), (3, 1)]);
        assert_eq!(times.buckets().last(), Some(&(61, 1)));
        assert_eq!(times.buckets().iter().map(|(_, count)| count).sum::<u64>(), 60);
        let none = Times::default();
        assert_eq!((none.quantile_ns(0.5), none.min_ns(), none.max_ns()), (0, 0, 0));
    }

    #[test]
    fn threads_add_up_and_samples_stay_few() {
        let mut sum = Totals::default();
        for _ in 0..3 {
            let mut part = Totals { sent: 2, ..Totals::default() };
            part.latencies.add(5);
            for _ in 0..5 {
                part.wrong_answer(Fault::Prefix, b"q", b"r");
            }
            part.wrong_answer(Fault::Ttl, b"q", b"r");
            sum.merge(part);
        }
        assert_eq!((sum.sent, sum.wrong(), sum.latencies.count()), (6, 18, 3));
        assert_eq!(sum.faults[Fault::Prefix as usize], 15);
        assert_eq!(sum.samples.len(), 4);
        for _ in 0..3 {
            let mut part = Totals::default();
            part.inconsistent_answer(b"q", b"r");
            sum.merge(part);
        }
        assert_eq!((sum.wrong(), sum.inconsistent, sum.samples.len()), (18, 3, 6));
    }
}
