//! Time as the engine sees it: given by the caller, never read from a clock.

use std::ops::Add;
use std::time::Duration;

/// A point in time: microseconds since the program started, on a clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The start of the program.
    pub const START: Self = Self(0);

    /// The moment this many microseconds after the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The moment this many milliseconds after the start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the start.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since the start: the unit in which the cache counts age. Wraps after 136
    /// years.
    #[must_use]
    pub const fn as_secs(self) -> u32 {
        (self.0 / 1_000_000) as u32
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_micros()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_agree() {
        let moment = Moment::from_millis(2_500) + Duration::from_micros(7);
        assert_eq!(moment.as_micros(), 2_500_007);
        assert_eq!(moment.as_millis(), 2_500);
        assert_eq!(moment.as_secs(), 2);
        assert_eq!(moment.since(Moment::from_millis(2_500)), Duration::from_micros(7));
        assert_eq!(Moment::START.since(moment), Duration::ZERO);
    }
}
