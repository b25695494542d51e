//! How many lines a script may have in the log: clients decide how often it is called.

use std::time::{Duration, Instant};

/// The span for which lines are counted before some are logged again.
pub(super) const LOG_SPAN: Duration = Duration::from_secs(10);

/// How many lines are logged.
#[derive(Debug)]
pub(super) struct LogRate {
    /// In one [`LOG_SPAN`].
    max: u32,
    since: Option<Instant>,
    logged: u32,
    missed: u64,
}

impl LogRate {
    /// So many lines in one [`LOG_SPAN`].
    pub(super) const fn new(max: u32) -> Self {
        Self { max, since: None, logged: 0, missed: 0 }
    }

    /// Whether another line may be logged, and how many were not since the last.
    pub(super) fn allows(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= LOG_SPAN) {
            self.since = Some(now);
            self.logged = 0;
        }
        if self.logged >= self.max {
            self.missed += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.missed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_for_a_span_is_told_in_the_next() {
        let mut rate = LogRate::new(2);
        let start = Instant::now();
        let allowed: Vec<_> = (0..5).map(|_| rate.allows(start)).collect();
        assert_eq!(allowed, [Some(0), Some(0), None, None, None]);
        assert_eq!(rate.allows(start + LOG_SPAN / 2), None);
        assert_eq!(rate.allows(start + LOG_SPAN), Some(4));
        assert_eq!(rate.allows(start + LOG_SPAN), Some(0));
        assert_eq!(rate.allows(start + LOG_SPAN), None);
    }
}
