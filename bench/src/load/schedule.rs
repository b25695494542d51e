//! When queries are to be sent.
//!
//! In an open loop the times are set before anything is known of the answers: at equal distances,
//! or as a Poisson process, which is what many independent clients make together. In a closed loop
//! a query is due whenever fewer than the wanted number wait.
#![forbid(unsafe_code)]

use super::random::Random;

/// The distances between queries of an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// All the same.
    Constant,
    /// Exponentially distributed; the seed of the random numbers.
    Poisson(u64),
}

/// The times of one thread's queries, each once, in order.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Always now.
    Closed,
    /// The n-th query at n times a distance.
    Constant {
        /// The start, in nanoseconds.
        start_ns: u64,
        /// The number of the next query among those of all threads.
        number: u64,
        /// How many threads there are, and so the step from one number to the next.
        step: u64,
        /// Queries a second, of all threads.
        rate: u64,
    },
    /// Each query after a random distance.
    Poisson {
        /// When the next query is to be sent, in nanoseconds.
        next_ns: f64,
        /// The mean distance, in nanoseconds.
        mean_ns: f64,
        /// Draws the distances.
        random: Random,
    },
}

impl Schedule {
    /// The schedule of one of several threads which together send this many queries a second, from
    /// `start_ns` on.
    ///
    /// # Panics
    /// If rate or threads are 0.
    #[must_use]
    pub fn open(rate: u64, spacing: Spacing, start_ns: u64, thread: u64, threads: u64) -> Self {
        assert!(rate > 0 && threads > 0);
        match spacing {
            Spacing::Constant => Self::Constant { start_ns, number: thread, step: threads, rate },
            Spacing::Poisson(seed) => {
                // The sum of independent Poisson processes is one.
                let mean_ns = 1e9 * threads as f64 / rate as f64;
                let mut random = Random::new(seed, thread);
                let next_ns = start_ns as f64 + random.exponential() * mean_ns;
                Self::Poisson { next_ns, mean_ns, random }
            }
        }
    }

    /// When the next query is to be sent, in nanoseconds; in a closed loop `now_ns`.
    #[must_use]
    pub fn next_ns(&self, now_ns: u64) -> u64 {
        match self {
            Self::Closed => now_ns,
            Self::Constant { start_ns, number, rate, .. } => {
                let nanos = u128::from(*number) * 1_000_000_000 / u128::from(*rate);
                start_ns.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
            Self::Poisson { next_ns, .. } => *next_ns as u64,
        }
    }

    /// Moves on to the query after the next.
    pub fn advance(&mut self) {
        match self {
            Self::Closed => {}
            Self::Constant { number, step, .. } => *number += *step,
            Self::Poisson { next_ns, mean_ns, random } => {
                *next_ns += random.exponential() * *mean_ns;
            }
        }
    }

    /// How many queries are still to be sent before this time; of a Poisson process, about. None in
    /// a closed loop.
    #[must_use]
    pub fn count_before(&self, end_ns: u64) -> u64 {
        match self {
            Self::Closed => 0,
            Self::Constant { start_ns, number, step, rate } => {
                let span = u128::from(end_ns.saturating_sub(*start_ns));
                let end = (span * u128::from(*rate)).div_ceil(1_000_000_000);
                u64::try_from(end).unwrap_or(u64::MAX).saturating_sub(*number).div_ceil(*step)
            }
            Self::Poisson { next_ns, mean_ns, .. } => {
                let span = end_ns as f64 - next_ns;
                if span > 0.0 { 1 + (span / mean_ns) as u64 } else { 0 }
            }
        }
    }

    /// Whether the times are set beforehand.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(mut schedule: Schedule, count: usize) -> Vec<u64> {
        let mut times = Vec::new();
        for _ in 0..count {
            times.push(schedule.next_ns(0));
            schedule.advance();
        }
        times
    }

    #[test]
    fn threads_take_turns_at_a_constant_rate() {
        let of = |thread| times(Schedule::open(1_000, Spacing::Constant, 7, thread, 2), 3);
        assert_eq!(of(0), [7, 2_000_007, 4_000_007]);
        assert_eq!(of(1), [1_000_007, 3_000_007, 5_000_007]);
    }

    #[test]
    fn what_is_left_of_a_schedule_is_what_would_still_come() {
        for (rate, end_ns) in [(1_000, 5_000_007), (1_000, 5_000_008), (3, 1_000_000_007), (7, 7)] {
            for thread in 0..3 {
                let mut schedule = Schedule::open(rate, Spacing::Constant, 7, thread, 3);
                for sent in 0.. {
                    let left = schedule.count_before(end_ns);
                    assert_eq!(left == 0, schedule.next_ns(0) >= end_ns, "{rate} {end_ns} {sent}");
                    if left == 0 {
                        break;
                    }
                    schedule.advance();
                    assert_eq!(schedule.count_before(end_ns), left - 1);
                }
            }
        }
        let schedule = Schedule::open(1_000_000, Spacing::Poisson(3), 0, 0, 1);
        assert!((990_000..1_010_000).contains(&schedule.count_before(1_000_000_000)));
        assert_eq!((schedule.count_before(0), Schedule::Closed.count_before(9)), (0, 0));
    }

    #[test]
    fn no_rounding_adds_up() {
        let times = times(Schedule::open(3, Spacing::Constant, 0, 0, 1), 3_000_001);
        assert_eq!(times[3_000_000], 1_000_000 * 1_000_000_000);
    }

    #[test]
    fn a_poisson_process_has_its_rate_and_its_spread_and_repeats_with_its_seed() {
        let of = |seed| times(Schedule::open(1_000, Spacing::Poisson(seed), 0, 0, 1), 100_000);
        let first = of(1);
        assert_eq!(first, of(1));
        assert_ne!(first, of(2));
        let gaps: Vec<f64> = first.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "{mean}");
        // Of an exponential distribution the standard deviation is the mean.
        let squares = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
        let deviation = (squares / gaps.len() as f64).sqrt();
        assert!((deviation / mean - 1.0).abs() < 0.02, "{deviation}");
    }

    #[test]
    fn two_threads_of_one_seed_draw_different_times() {
        let of = |thread| times(Schedule::open(1_000, Spacing::Poisson(1), 0, thread, 2), 10);
        assert_ne!(of(0), of(1));
    }

    #[test]
    fn a_closed_loop_is_always_due() {
        assert_eq!(Schedule::Closed.next_ns(5), 5);
        assert!(!Schedule::Closed.is_open());
    }
}
