//! Answers that are to leave later: a heap by time, with the octets in reused buffers.
//!
//! Time is an argument, so a test needs no clock.
#![forbid(unsafe_code)]

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use dns64::time::Moment;

/// The most answers that wait at once; what comes on top is lost, as in a full queue of a router.
pub const WAITING_MAX: usize = 1 << 18;

/// The answers that wait, each with what the caller needs to send it.
#[derive(Debug)]
pub struct DelayLine<T> {
    /// The next one on top.
    waiting: BinaryHeap<Reverse<Delayed<T>>>,
    /// Buffers of answers that have left.
    spare: Vec<Vec<u8>>,
    /// How many were ever put in: answers of the same moment leave in that order.
    sequence: u64,
}

/// An answer that waits.
#[derive(Debug)]
struct Delayed<T> {
    /// When it leaves.
    due: Moment,
    /// When it came, among those with the same due time.
    sequence: u64,
    /// Its octets.
    bytes: Vec<u8>,
    /// Where it goes.
    destination: T,
}

impl<T> DelayLine<T> {
    /// A line without answers.
    #[must_use]
    pub const fn new() -> Self {
        Self { waiting: BinaryHeap::new(), spare: Vec::new(), sequence: 0 }
    }

    /// Puts an answer in.
    ///
    /// # Errors
    /// [`LineFull`] if [`WAITING_MAX`] answers wait.
    pub fn put(&mut self, due: Moment, bytes: &[u8], destination: T) -> Result<(), LineFull> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(LineFull);
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        let sequence = self.sequence;
        self.sequence += 1;
        self.waiting.push(Reverse(Delayed { due, sequence, bytes: buffer, destination }));
        Ok(())
    }

    /// When the next answer leaves.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.waiting.peek().map(|Reverse(delayed)| delayed.due)
    }

    /// Takes out the next answer that is due, and shows it to `send`; `false` if none is.
    pub fn take_due(&mut self, now: Moment, send: impl FnOnce(&[u8], &T)) -> bool {
        if self.next_due().is_none_or(|due| due > now) {
            return false;
        }
        let Some(Reverse(delayed)) = self.waiting.pop() else { return false };
        send(&delayed.bytes, &delayed.destination);
        self.spare.push(delayed.bytes);
        true
    }
}

impl<T> Default for DelayLine<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Ord for Delayed<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl<T> PartialOrd for Delayed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Delayed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Delayed<T> {}

// ---- Errors

/// [`WAITING_MAX`] answers wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFull;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    fn taken(line: &mut DelayLine<char>, now: Moment) -> String {
        let mut names = String::new();
        while line.take_due(now, |bytes, name| {
            assert_eq!(bytes, [*name as u8]);
            names.push(*name);
        }) {}
        names
    }

    #[test]
    fn answers_leave_when_due_and_in_order() {
        let mut line = DelayLine::new();
        for (due, name) in [(30, 'c'), (10, 'a'), (20, 'b'), (10, 'A')] {
            line.put(at(due), &[name as u8], name).unwrap();
        }
        assert_eq!(line.next_due(), Some(at(10)));
        assert_eq!(taken(&mut line, at(9)), "");
        assert_eq!(taken(&mut line, at(20)), "aAb");
        assert_eq!(taken(&mut line, at(99)), "c");
        assert_eq!(line.next_due(), None);
    }

    #[test]
    fn a_full_line_refuses() {
        let mut line = DelayLine::new();
        for _ in 0..WAITING_MAX {
            line.put(at(1), b"", ()).unwrap();
        }
        assert_eq!(line.put(at(1), b"", ()), Err(LineFull));
    }
}
