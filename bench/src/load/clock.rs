//! The time of a run: nanoseconds since its start, the same for all threads.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// A clock that starts at 0 and never goes back (CLOCK_MONOTONIC). Copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts the clock.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start; enough for 584 years.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        ns_of(self.0.elapsed())
    }
}

/// A span in nanoseconds; the longest there is for spans of more than 584 years.
#[must_use]
pub fn ns_of(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
