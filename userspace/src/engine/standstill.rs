//! What becomes of those who wait when the worker has stood still: nothing.
//!
//! A process that was stopped, a virtual machine that was moved or whose host gave it no time finds
//! all its timers due at once. Its clients would get a failure though the A records were not even
//! asked for, and servers that have answered all the while would count as silent. So what is under
//! way is put off by the time that was lost, and goes on as if that had not been.

use std::time::Duration;

use crate::time::Moment;

use super::Engine;

/// A worker this late has stood still. One with more to do than it can is late by one round of its
/// batches, which is some milliseconds.
const STANDSTILL_MIN: Duration = Duration::from_millis(250);

impl Engine {
    /// Puts everything off that is under way, if what is due first has been so for long.
    pub(super) fn make_up_for_standstill(&mut self, now: Moment) {
        // The exact time costs a look at every timer, and what may be too early is at hand.
        let is_late = |due: Moment| now.since(due) >= STANDSTILL_MIN;
        if !self.poll_timeout().is_some_and(is_late) {
            return;
        }
        let wheels = [&self.lookup_timers, &self.waiter_timers];
        let first_due = wheels.into_iter().filter_map(|wheel| wheel.first_due()).min();
        let Some(first_due) = first_due.filter(|due| is_late(*due)) else { return };
        let lost = now.since(first_due);
        self.lookup_timers.put_off(lost);
        self.waiter_timers.put_off(lost);
        for lookup in self.lookups.iter_mut() {
            lookup.started = lookup.started + lost;
        }
        for waiter in self.waiters.iter_mut() {
            waiter.waits_since = waiter.waits_since + lost;
        }
    }
}
