//! How long replies took: counts by bounds, as a Prometheus histogram has them.
#![forbid(unsafe_code)]

use std::time::Duration;

/// The upper bounds of the counts in microseconds; what took longer than the last one is counted
/// behind them.
pub const BOUNDS_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

/// How long the replies of one source took, from when the query was read until the reply was given
/// to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// Replies whose duration is within the bound of the same place, and within none before it.
    pub counts: [u64; BOUNDS_US.len() + 1],
    /// The sum of all durations in microseconds.
    pub sum_us: u64,
}

impl Durations {
    /// Counts so many replies that took so long.
    pub fn add(&mut self, took: Duration, replies: u64) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_US.partition_point(|bound| *bound < took_us);
        self.counts[place] += replies;
        self.sum_us = self.sum_us.saturating_add(took_us.saturating_mul(replies));
    }

    /// Adds what others have counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// Replies counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_belongs_to_the_least_bound_that_it_does_not_exceed() {
        let mut durations = Durations::default();
        for (took_us, place) in [(0, 0), (50, 0), (51, 1), (10_000_000, 15), (10_000_001, 16)] {
            let before = durations.clone();
            durations.add(Duration::from_micros(took_us), 3);
            assert_eq!(durations.counts[place], before.counts[place] + 3, "{took_us} us");
            assert_eq!(durations.sum_us, before.sum_us + 3 * took_us);
        }
        let mut twice = durations.clone();
        twice.merge(&durations);
        assert_eq!((twice.total(), twice.sum_us), (30, 2 * durations.sum_us));
        durations.add(Duration::MAX, 2);
        assert_eq!(durations.sum_us, u64::MAX, "it stays there");
    }
}
