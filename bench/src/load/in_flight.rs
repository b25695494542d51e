//! The queries of one socket that wait for their answers: a ring by message ID.
//!
//! IDs are given out in order, so the oldest query is always the next one to be lost.
#![forbid(unsafe_code)]

/// How many IDs there are.
const IDS: usize = 1 << 16;

/// A query that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its place among the queries.
    pub place: u32,
    /// When it was to be sent, in microseconds since the start; wraps after 71 minutes.
    pub at_us: u32,
}

/// The queries in flight, by ID.
#[derive(Debug)]
pub struct InFlight {
    /// By ID; `None` if answered or lost.
    ring: Box<[Option<Sent>]>,
    /// The oldest ID that may be in flight.
    oldest: u16,
    /// The next ID to be given out.
    next: u16,
    /// How many are in flight.
    len: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { ring: vec![None; IDS].into_boxed_slice(), oldest: 0, next: 0, len: 0 }
    }
}

impl InFlight {
    /// How many queries wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no query waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives out an ID for a query; `None` if all IDs from the oldest query's on are taken.
    pub fn start(&mut self, sent: Sent) -> Option<u16> {
        let id = self.next;
        if self.len > 0 && id.wrapping_add(1) == self.oldest {
            return None;
        }
        self.ring[usize::from(id)] = Some(sent);
        self.next = id.wrapping_add(1);
        self.len += 1;
        Some(id)
    }

    /// The query with this ID, if it waits.
    #[must_use]
    pub fn peek(&self, id: u16) -> Option<Sent> {
        self.ring[usize::from(id)]
    }

    /// Takes out a query that is answered.
    pub fn finish(&mut self, id: u16) {
        if self.ring[usize::from(id)].take().is_some() {
            self.len -= 1;
        }
        self.skip_finished();
    }

    /// Takes out the queries sent before this time, and returns how many.
    pub fn expire(&mut self, now_us: u32, timeout_us: u32) -> u64 {
        let mut lost = 0;
        self.skip_finished();
        while let Some(sent) = self.ring[usize::from(self.oldest)] {
            // An intended time may be a little ahead of the clock.
            let age_us = now_us.wrapping_sub(sent.at_us) as i32;
            if age_us < timeout_us as i32 {
                break;
            }
            self.ring[usize::from(self.oldest)] = None;
            self.len -= 1;
            lost += 1;
            self.skip_finished();
        }
        lost
    }

    /// Moves on to the oldest query that waits.
    fn skip_finished(&mut self) {
        while self.oldest != self.next && self.ring[usize::from(self.oldest)].is_none() {
            self.oldest = self.oldest.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_may_come_in_any_order() {
        let mut queries = InFlight::default();
        let ids = [5, 6, 7].map(|place| queries.start(Sent { place, at_us: place }).unwrap());
        assert_eq!(ids, [0, 1, 2]);
        assert_eq!(queries.peek(1), Some(Sent { place: 6, at_us: 6 }));
        queries.finish(1);
        queries.finish(1);
        assert_eq!((queries.peek(1), queries.len()), (None, 2));
        assert_eq!(queries.expire(6, 1), 1);
        assert_eq!(queries.expire(6, 1), 0);
        queries.finish(2);
        assert!(queries.is_empty());
    }

    #[test]
    fn ids_go_round_but_never_past_the_oldest_query() {
        let mut queries = InFlight::default();
        let sent = Sent { place: 0, at_us: 0 };
        for _ in 0..IDS - 1 {
            queries.start(sent).unwrap();
        }
        assert_eq!(queries.start(sent), None);
        queries.finish(3);
        assert_eq!(queries.start(sent), None, "0 is still in flight");
        queries.finish(0);
        assert_eq!(queries.start(sent), Some(65_535));
        assert_eq!(queries.expire(10, 5), IDS as u64 - 2);
        assert_eq!(queries.start(sent), Some(0));
    }
}
