//! The queries of one port: those that wait for their answers, and what became of those before,
//! by message ID.
//!
//! IDs are given out in order, so the oldest query is always the next one to be lost, and each ID
//! stands for the last query that had it.
#![forbid(unsafe_code)]

/// How many IDs there are.
const IDS: usize = 1 << 16;

/// The most queries in flight on one port.
pub const OUTSTANDING_MAX: usize = 65_000;

/// The most queries of a run: their places are numbers of 30 bits.
pub const PLACES_MAX: usize = 1 << 30;

/// A query that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its place among the queries; below [`PLACES_MAX`].
    pub place: u32,
    /// When it was to be sent, in nanoseconds since the start.
    pub at_ns: u64,
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for its answer.
    Waiting,
    /// It was answered.
    Answered,
    /// It was not answered in time.
    Expired,
}

/// The queries of a port, by ID.
#[derive(Debug)]
pub struct InFlight {
    /// By ID: when the query was to be sent; its place times four, and its state (0: the ID was
    /// never given out). Zeros, so that the system gives memory only to the IDs that are used.
    slots: Box<[[u64; 2]]>,
    /// The oldest ID that may wait.
    oldest: u16,
    /// The next ID to be given out.
    next: u16,
    /// How many wait.
    len: usize,
}

/// A query waits.
const WAITING: u64 = 1;
/// A query is answered.
const ANSWERED: u64 = 2;
/// A query is lost, or its answer late.
const EXPIRED: u64 = 3;

impl Default for InFlight {
    fn default() -> Self {
        let slots = vec![[0; 2]; IDS].into_boxed_slice();
        Self { slots, oldest: 0, next: 0, len: 0 }
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

    /// The ID of the next query; `None` if all IDs from the oldest query's on are taken.
    #[must_use]
    pub fn next_id(&self) -> Option<u16> {
        let full = self.len > 0 && self.next.wrapping_add(1) == self.oldest;
        (!full).then_some(self.next)
    }

    /// Gives the next ID to a query. To be called only if [`InFlight::next_id`] gave one.
    pub fn start(&mut self, sent: Sent) {
        debug_assert!(self.next_id().is_some());
        self.slots[usize::from(self.next)] = [sent.at_ns, u64::from(sent.place) << 2 | WAITING];
        self.next = self.next.wrapping_add(1);
        self.len += 1;
    }

    /// The last query with this ID, and what became of it; `None` if there was none.
    #[must_use]
    pub fn find(&self, id: u16) -> Option<(Sent, State)> {
        let [at_ns, what] = self.slots[usize::from(id)];
        let state = match what & 3 {
            WAITING => State::Waiting,
            ANSWERED => State::Answered,
            EXPIRED => State::Expired,
            _ => return None,
        };
        Some((Sent { place: (what >> 2) as u32, at_ns }, state))
    }

    /// Notes that the query with this ID is answered, in time or late.
    pub fn finish(&mut self, id: u16) {
        let what = &mut self.slots[usize::from(id)][1];
        self.len -= usize::from(*what & 3 == WAITING);
        *what = *what & !3 | ANSWERED;
        self.skip_finished();
    }

    /// Gives up the queries that were to be sent so long ago, and returns how many.
    pub fn expire(&mut self, now_ns: u64, timeout_ns: u64) -> u64 {
        let mut lost = 0;
        self.skip_finished();
        while self.len > 0 {
            let [at_ns, what] = &mut self.slots[usize::from(self.oldest)];
            // An intended time may be a little ahead of the clock.
            if now_ns.saturating_sub(*at_ns) < timeout_ns {
                break;
            }
            *what |= EXPIRED;
            self.len -= 1;
            lost += 1;
            self.skip_finished();
        }
        lost
    }

    /// Moves on to the oldest query that waits.
    fn skip_finished(&mut self) {
        while self.oldest != self.next && self.slots[usize::from(self.oldest)][1] & 3 != WAITING {
            self.oldest = self.oldest.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(queries: &mut InFlight, sent: Sent) -> Option<u16> {
        let id = queries.next_id()?;
        queries.start(sent);
        Some(id)
    }

    #[test]
    fn answers_may_come_in_any_order_and_what_became_of_a_query_is_known() {
        let mut queries = InFlight::default();
        let sent = [5, 6, 7].map(|place| Sent { place, at_ns: u64::from(place) });
        assert_eq!(sent.map(|sent| start(&mut queries, sent)), [Some(0), Some(1), Some(2)]);
        assert_eq!(queries.find(1), Some((sent[1], State::Waiting)));
        assert_eq!(queries.find(3), None, "never given out");
        queries.finish(1);
        queries.finish(1);
        assert_eq!(queries.find(1), Some((sent[1], State::Answered)));
        assert_eq!(queries.len(), 2);
        assert_eq!(queries.expire(6, 1), 1);
        assert_eq!(queries.expire(6, 1), 0);
        assert_eq!(queries.find(0), Some((sent[0], State::Expired)));
        queries.finish(0);
        assert_eq!((queries.find(0), queries.len()), (Some((sent[0], State::Answered)), 1));
        queries.finish(2);
        assert!(queries.is_empty());
    }

    #[test]
    fn ids_go_round_but_never_past_the_oldest_query() {
        let mut queries = InFlight::default();
        let sent = Sent { place: 0, at_ns: 0 };
        for _ in 0..IDS - 1 {
            start(&mut queries, sent).unwrap();
        }
        assert_eq!(start(&mut queries, sent), None);
        queries.finish(3);
        assert_eq!(start(&mut queries, sent), None, "0 is still in flight");
        queries.finish(0);
        assert_eq!(start(&mut queries, sent), Some(65_535));
        assert_eq!(queries.expire(10, 5), IDS as u64 - 2);
        assert_eq!(start(&mut queries, sent), Some(0));
    }
}
