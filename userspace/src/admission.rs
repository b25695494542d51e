//! Under more load than a worker can bear, finishing comes before beginning.
//!
//! A query that has to be looked up costs most of its work when the responses come. A worker that
//! goes on reading queries while responses wait answers nobody in time: each look-up waits behind
//! all that were begun after it. So when many look-ups are under way, the responses that are there
//! are read first, and queries wait in the socket's buffer, where the kernel drops what is too much
//! at a small part of the cost of an answer.

/// Look-ups under way up to which queries are read whenever they come: about what a worker starts
/// in the time of one exchange with a near server.
const AT_EASE_MAX: usize = 256;

/// Turns without reading queries in a row. Those that the cache can answer wait as well, so this is
/// bounded: some milliseconds of work.
const HELD_TURNS_MAX: u32 = 16;

/// Decides in which turns of its loop a worker reads queries.
#[derive(Debug, Default)]
pub struct Admission {
    /// Turns without reading queries up to now.
    held_turns: u32,
}

impl Admission {
    /// Whether queries are read in this turn: `responses` sockets towards servers have something to
    /// read, and so many look-ups are under way.
    pub const fn reads_queries(&mut self, responses: usize, lookups: usize) -> bool {
        let holds = responses > 0 && Self::is_pressed(lookups) && self.held_turns < HELD_TURNS_MAX;
        self.held_turns = if holds { self.held_turns + 1 } else { 0 };
        !holds
    }

    /// Whether so many look-ups are under way that one batch of queries at a time is enough.
    #[must_use]
    pub const fn is_pressed(lookups: usize) -> bool {
        lookups > AT_EASE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_in_every_turn_while_few_look_ups_are_under_way() {
        let mut admission = Admission::default();
        for _ in 0..100 {
            assert!(admission.reads_queries(32, AT_EASE_MAX));
        }
    }

    #[test]
    fn responses_that_are_there_come_first_but_not_for_ever() {
        let mut admission = Admission::default();
        for _ in 0..3 {
            for turn in 0..HELD_TURNS_MAX {
                assert!(!admission.reads_queries(1, AT_EASE_MAX + 1), "turn {turn}");
            }
            assert!(admission.reads_queries(1, AT_EASE_MAX + 1), "hits must not starve");
        }
    }

    #[test]
    fn look_ups_whose_servers_are_silent_hold_nothing() {
        let mut admission = Admission::default();
        assert!(admission.reads_queries(0, 16_384));
    }
}
