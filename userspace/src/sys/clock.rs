//! The clock from which the engine's [`Moment`]s come.

use rustix::time::{ClockId, clock_gettime};

use crate::time::Moment;

/// A clock that starts at [`Moment::START`] and never goes back.
///
/// It is `CLOCK_BOOTTIME`: not moved by anyone who sets the date, and, unlike `CLOCK_MONOTONIC`,
/// counting on while the machine sleeps, so that TTLs have run out when it wakes. The vDSO
/// answers it without entering the kernel.
///
/// Copies agree with each other: all workers live on one time line.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What the system's clock showed at the start, in microseconds.
    start_micros: u64,
}

impl Clock {
    /// Starts the clock: [`Clock::now`] is [`Moment::START`] now.
    #[must_use]
    pub fn start() -> Self {
        Self { start_micros: boot_time_micros() }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::from_micros(boot_time_micros().saturating_sub(self.start_micros))
    }
}

/// What `CLOCK_MONOTONIC` shows, in nanoseconds: the clock of BPF programs.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The time of day: microseconds since 1970.
#[must_use]
pub fn real_time_us() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000
}

/// Microseconds since the machine came up.
fn boot_time_micros() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    // Both parts of a clock that counts from zero are positive; there are 1 000 ns in a µs.
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_starts_near_zero_and_never_goes_back() {
        let clock = Clock::start();
        let mut earlier = clock.now();
        assert!(earlier.as_secs() < 5);
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= earlier);
            earlier = now;
        }
    }
}
