//! How many queries are due, and when.
//!
//! User space writes down where the schedule stands; between two of those moments the sending
//! program reads the clock for each frame, so queries leave one by one and not in heaps, which a
//! ring of 256 frames would not hold.
#![forbid(unsafe_code)]

use std::time::Duration;

use dns64_ebpf::flood::state::step_of;

/// Up to this rate user space sleeps from one query to the next; above it the program waits. A
/// system call takes many milliseconds, and sends 64 frames then.
const SLEEPER_RATE: u64 = 1_000;

/// The highest rate, in queries a second.
pub(super) const RATE_MAX: u64 = 1 << 31;

/// What was held up is sent at the rate and half of it again: not at once, which would be lost.
const CATCH_UP: (u64, u64) = (3, 2);

/// The schedule of an open loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// Queries a second; 1 to [`RATE_MAX`].
    rate: u64,
    /// When the first one is due, in nanoseconds of `CLOCK_MONOTONIC`.
    start_ns: u64,
}

/// What is written down for the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// How many queries are due now.
    pub(super) due: u64,
    /// How many become due in a nanosecond, in parts of 2^-32.
    pub(super) step: u64,
}

impl Schedule {
    /// A schedule that starts now.
    pub(super) fn new(rate: u64, start_ns: u64) -> Self {
        Self { rate: rate.clamp(1, RATE_MAX), start_ns }
    }

    /// How many queries are due. The first one is at the start.
    pub(super) fn due(&self, now_ns: u64) -> u64 {
        let elapsed_ns = u128::from(now_ns.saturating_sub(self.start_ns));
        (elapsed_ns * u128::from(self.rate) / 1_000_000_000) as u64 + 1
    }

    /// How many queries a run of this length has.
    pub(super) fn total(&self, duration: Duration) -> u64 {
        (duration.as_nanos() * u128::from(self.rate)).div_ceil(1_000_000_000) as u64
    }

    /// What to write down when so many were sent.
    pub(super) fn pace(&self, now_ns: u64, sent: u64) -> Pace {
        let due = self.due(now_ns);
        let held_up = due.saturating_sub(sent);
        // More than a thousandth of a second.
        if held_up > 64 + self.rate / 1_000 {
            let (times, of) = CATCH_UP;
            return Pace { due: sent + 1, step: step_of(self.rate * times / of) };
        }
        Pace { due, step: step_of(self.rate) }
    }

    /// How long to sleep when so many were sent; `None` if the program is to wait.
    pub(super) fn nap(&self, now_ns: u64, sent: u64) -> Option<Duration> {
        if self.rate > SLEEPER_RATE {
            return None;
        }
        let next_ns = u128::from(sent) * 1_000_000_000 / u128::from(self.rate);
        let left_ns = next_ns.saturating_sub(u128::from(now_ns.saturating_sub(self.start_ns)));
        Some(Duration::from_nanos(u64::try_from(left_ns).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn as_many_are_due_as_the_rate_says() {
        let schedule = Schedule::new(3, 50);
        let due = [0, 50, 49 + SECOND_NS / 3 + 2, 50 + SECOND_NS].map(|now| schedule.due(now));
        assert_eq!(due, [1, 1, 2, 4]);
        assert_eq!(schedule.total(Duration::from_secs(2)), 6);
        assert_eq!(schedule.total(Duration::from_millis(10)), 1);
    }

    #[test]
    fn a_long_run_at_a_high_rate_loses_nothing_by_rounding() {
        let schedule = Schedule::new(10_000_000, 0);
        assert_eq!(schedule.due(86_400 * SECOND_NS), 864_000_000_000 + 1);
    }

    #[test]
    fn what_was_held_up_is_sent_somewhat_faster_and_not_at_once() {
        let schedule = Schedule::new(1_000_000, 0);
        let on_time = schedule.pace(SECOND_NS, 999_900);
        assert_eq!(on_time, Pace { due: 1_000_001, step: step_of(1_000_000) });
        let late = schedule.pace(SECOND_NS, 900_000);
        assert_eq!(late, Pace { due: 900_001, step: step_of(1_500_000) });
    }

    #[test]
    fn only_slow_schedules_are_slept_through() {
        let slow = Schedule::new(1_000, 0);
        assert_eq!(slow.nap(0, 2), Some(Duration::from_millis(2)));
        assert_eq!(slow.nap(5_000_000, 2), Some(Duration::ZERO));
        assert_eq!(Schedule::new(1_000_000, 0).nap(0, 2), None);
    }
}
