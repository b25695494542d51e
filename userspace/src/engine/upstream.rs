//! Which upstream server is asked, and how long its answer is waited for. Decisions only: the
//! queries themselves are the look-ups' affair.

use std::time::Duration;

use rand_core::Rng;

use crate::datagram::UpstreamId;
use crate::time::Moment;

/// Tries without answer in a row after which a silent server counts as down.
const LOSSES_TO_DOWN: u32 = 3;

/// How long a server must have been silent before it counts as down.
const SILENCE_TO_DOWN: Duration = Duration::from_millis(400);

/// How often a server that is down is tried beside the one that is asked.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest wait for an answer, however fast a server is otherwise.
const WAIT_MIN: Duration = Duration::from_millis(30);

/// Servers whose time is within this factor of the best share the queries.
const SPREAD: u32 = 2;

/// One in so many choices ignores the measured times, so that a server that has become faster is
/// noticed.
const EXPLORE_ONE_IN: u32 = 32;

/// Whether a server sends our letter case back (0x20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LetterCase {
    /// As far as is known.
    Kept,
    /// Not, as an answer by TCP has shown: letters are no protection with this server.
    Changed,
}

/// What has come of the queries to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamReport {
    /// Queries sent.
    pub queries: u64,
    /// Those of them by UDP that had no answer in time.
    pub timeouts: u64,
    /// Smoothed round-trip time in microseconds; `None` before the first answer.
    pub smoothed_us: Option<u32>,
    /// Whether it counts as down.
    pub is_down: bool,
    /// Look-ups that wait for its answer.
    pub in_flight: u32,
}

/// What is known of one server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// Smoothed round-trip time in microseconds; `None` before the first answer.
    smoothed_us: Option<u32>,
    /// Mean deviation of the round-trip time in microseconds (RFC 6298 2).
    deviation_us: u32,
    /// Tries without answer since the last answer.
    losses: u32,
    /// When it last answered; the start of the program before that.
    answered: Moment,
    /// Whether it counts as down.
    down: bool,
    /// When it may next be tried although it is down.
    probe: Moment,
    /// Whether it sends our letter case back.
    pub(super) letter_case: LetterCase,
    /// Queries sent to it.
    queries: u64,
    /// Tries without an answer in time.
    timeouts: u64,
}

impl Server {
    const fn new() -> Self {
        Self {
            smoothed_us: None,
            deviation_us: 0,
            losses: 0,
            answered: Moment::START,
            down: false,
            probe: Moment::START,
            letter_case: LetterCase::Kept,
            queries: 0,
            timeouts: 0,
        }
    }

    /// How long an answer of this server is waited for before the next try (RFC 6298 2.3, with
    /// bounds that fit a client who waits).
    fn wait(&self, longest: Duration) -> Duration {
        let Some(smoothed_us) = self.smoothed_us else { return longest };
        let wait_us = u64::from(smoothed_us) + 4 * u64::from(self.deviation_us);
        Duration::from_micros(wait_us).clamp(WAIT_MIN.min(longest), longest)
    }
}

/// All upstream servers as one worker sees them.
#[derive(Debug)]
pub(super) struct UpstreamSet {
    servers: Vec<Server>,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The server to ask.
    pub(super) server: UpstreamId,
    /// A server that is down, to be asked as well: its answer would bring it back.
    pub(super) probe: Option<UpstreamId>,
}

impl UpstreamSet {
    /// So many servers, nothing known of them.
    pub(super) fn new(servers: usize) -> Self {
        Self { servers: vec![Server::new(); servers] }
    }

    /// Takes over what another set knows of the servers that have these places there, in the order
    /// of this set; nothing of a server without a place.
    pub(super) fn go_on_with(&mut self, other: &Self, places: impl Iterator<Item = Option<usize>>) {
        for (server, place) in self.servers.iter_mut().zip(places) {
            if let Some(known) = place.and_then(|place| other.servers.get(place)) {
                server.clone_from(known);
            }
        }
    }

    /// What has come of the queries to each server, of whose answers so many are awaited.
    pub(super) fn reports<'a>(
        &'a self,
        in_flight: &'a [u32],
    ) -> impl Iterator<Item = UpstreamReport> + 'a {
        self.servers.iter().zip(in_flight).map(|(server, in_flight)| UpstreamReport {
            queries: server.queries,
            timeouts: server.timeouts,
            smoothed_us: server.smoothed_us,
            is_down: server.down,
            in_flight: *in_flight,
        })
    }

    /// Counts a query to a server.
    pub(super) fn asked(&mut self, server: UpstreamId) {
        if let Some(server) = self.server_mut(server) {
            server.queries += 1;
        }
    }

    /// What is known of a server.
    pub(super) fn server_mut(&mut self, server: UpstreamId) -> Option<&mut Server> {
        self.servers.get_mut(usize::from(server.0))
    }

    /// Whether a server counts as down.
    #[must_use]
    pub(super) fn is_down(&self, server: UpstreamId) -> bool {
        self.servers.get(usize::from(server.0)).is_some_and(|server| server.down)
    }

    /// Chooses among the servers of a group. `avoid` are those that have failed this look-up, as
    /// bits by their place in the group: they are asked again only when no other is left.
    pub(super) fn choose(
        &mut self,
        group: &[UpstreamId],
        avoid: u32,
        now: Moment,
        random: &mut impl Rng,
    ) -> Choice {
        let avoided = |place: usize| place < 32 && avoid >> place & 1 == 1;
        let mut server = group[0];
        // First those that are up and have not failed, then those that have not, then any.
        for (up, fresh) in [(true, true), (false, true), (false, false)] {
            let fits = |(place, server): &(usize, &UpstreamId)| {
                !(up && self.is_down(**server) || fresh && avoided(*place))
            };
            if let Some(best) = self.fastest(group.iter().enumerate().filter(fits), random) {
                server = best;
                break;
            }
        }
        let probe = group.iter().copied().find(|candidate| {
            *candidate != server
                && self.is_down(*candidate)
                && self.servers[usize::from(candidate.0)].probe <= now
        });
        if let Some(probe) = probe
            && let Some(server) = self.server_mut(probe)
        {
            server.probe = now + PROBE_INTERVAL;
        }
        Choice { server, probe }
    }

    /// One of the fastest of some servers.
    fn fastest<'g>(
        &self,
        candidates: impl Iterator<Item = (usize, &'g UpstreamId)> + Clone,
        random: &mut impl Rng,
    ) -> Option<UpstreamId> {
        let time = |server: &UpstreamId| {
            let server = self.servers.get(usize::from(server.0))?;
            // A server that nobody has heard of yet is tried before those that are known.
            Some(server.smoothed_us.unwrap_or(0))
        };
        let best_us = candidates.clone().filter_map(|(_, server)| time(server)).min()?;
        let explore = random.next_u32().is_multiple_of(EXPLORE_ONE_IN);
        let near = |(_, server): &(usize, &UpstreamId)| {
            explore
                || time(server).is_some_and(|us| us <= best_us.saturating_mul(SPREAD).max(1_000))
        };
        let count = candidates.clone().filter(near).count().max(1);
        let pick = random.next_u32() as usize % count;
        candidates.filter(near).nth(pick).map(|(_, server)| *server)
    }

    /// How long the answer to the n-th try (from 0) is waited for.
    pub(super) fn wait(&self, server: UpstreamId, tries: u32, longest: Duration) -> Duration {
        let first =
            self.servers.get(usize::from(server.0)).map_or(longest, |server| server.wait(longest));
        // Half as long again each time: a lost packet is repeated soon, a slow server left in
        // peace.
        let mut wait = first;
        for _ in 0..tries.min(16) {
            wait = (wait + wait / 2).min(longest);
        }
        wait
    }

    /// Notes an answer and how long it took.
    pub(super) fn answered(&mut self, server: UpstreamId, took: Option<Duration>, now: Moment) {
        let Some(server) = self.server_mut(server) else { return };
        server.losses = 0;
        server.down = false;
        server.answered = now;
        let Some(took) = took else { return };
        let took_us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        match server.smoothed_us {
            None => {
                server.smoothed_us = Some(took_us);
                server.deviation_us = took_us / 2;
            }
            Some(smoothed_us) => {
                let off = smoothed_us.abs_diff(took_us);
                server.deviation_us =
                    (u64::from(server.deviation_us) * 3 / 4 + u64::from(off) / 4) as u32;
                server.smoothed_us =
                    Some((u64::from(smoothed_us) * 7 / 8 + u64::from(took_us) / 8) as u32);
            }
        }
    }

    /// Notes a try of which no answer came in time. True if the server has just gone down.
    pub(super) fn lost(&mut self, server: UpstreamId, sent: Moment, now: Moment) -> bool {
        let Some(server) = self.server_mut(server) else { return false };
        server.timeouts += 1;
        if server.answered >= sent {
            // It has answered others since: the packet is lost, the server is not.
            return false;
        }
        server.losses = server.losses.saturating_add(1);
        let silent = now.since(server.answered.max(Moment::START)) >= SILENCE_TO_DOWN;
        if !server.down && server.losses >= LOSSES_TO_DOWN && silent {
            server.down = true;
            server.probe = now + PROBE_INTERVAL;
            return true;
        }
        false
    }

    /// Notes that the server's host says nobody listens there.
    pub(super) fn refused(&mut self, server: UpstreamId, now: Moment) {
        let Some(server) = self.server_mut(server) else { return };
        server.losses = server.losses.saturating_add(1);
        if server.losses >= LOSSES_TO_DOWN && !server.down {
            server.down = true;
            server.probe = now + PROBE_INTERVAL;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    use super::*;

    const GROUP: [UpstreamId; 3] = [UpstreamId(0), UpstreamId(1), UpstreamId(2)];

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn a_silent_server_goes_down_and_is_probed_once_a_second() {
        let mut random = ChaCha12Rng::seed_from_u64(1);
        let mut set = UpstreamSet::new(3);
        for server in GROUP {
            set.answered(server, Some(Duration::from_millis(1)), at(0));
        }
        assert!(!set.lost(UpstreamId(1), at(100), at(600)));
        assert!(!set.lost(UpstreamId(1), at(100), at(600)));
        assert!(set.lost(UpstreamId(1), at(100), at(600)), "the third loss takes it down");
        let choices: Vec<Choice> =
            (0..1_000).map(|_| set.choose(&GROUP, 0, at(1_700), &mut random)).collect();
        assert!(choices.iter().all(|choice| choice.server != UpstreamId(1)));
        assert_eq!(choices.iter().filter(|choice| choice.probe.is_some()).count(), 1);
        set.answered(UpstreamId(1), None, at(1_800));
        assert!(!set.is_down(UpstreamId(1)), "one answer brings it back");
    }

    #[test]
    fn a_loss_while_the_server_answers_others_does_not_count_against_it() {
        let mut set = UpstreamSet::new(1);
        for _ in 0..10 {
            set.answered(UpstreamId(0), None, at(900));
            assert!(!set.lost(UpstreamId(0), at(500), at(1_000)));
        }
    }

    #[test]
    fn the_fast_server_gets_nearly_all_and_the_slow_one_is_not_forgotten() {
        let mut random = ChaCha12Rng::seed_from_u64(2);
        let mut set = UpstreamSet::new(3);
        for (server, ms) in GROUP.into_iter().zip([2, 100, 3]) {
            set.answered(server, Some(Duration::from_millis(ms)), at(0));
        }
        let mut counts = [0; 3];
        for _ in 0..3_000 {
            counts[usize::from(set.choose(&GROUP, 0, at(1), &mut random).server.0)] += 1;
        }
        assert!(counts[0] > 1_000 && counts[2] > 1_000, "{counts:?}");
        assert!((1..150).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn servers_that_failed_the_look_up_are_asked_last() {
        let mut random = ChaCha12Rng::seed_from_u64(3);
        let mut set = UpstreamSet::new(3);
        for _ in 0..100 {
            assert_eq!(set.choose(&GROUP, 0b011, at(1), &mut random).server, UpstreamId(2));
        }
        // All have failed: any will do.
        set.choose(&GROUP, 0b111, at(1), &mut random);
    }

    #[test]
    fn the_wait_follows_the_measured_time_within_its_bounds() {
        let mut set = UpstreamSet::new(1);
        let longest = Duration::from_millis(250);
        assert_eq!(set.wait(UpstreamId(0), 0, longest), longest, "nothing is known");
        for _ in 0..100 {
            set.answered(UpstreamId(0), Some(Duration::from_millis(1)), at(1));
        }
        assert_eq!(set.wait(UpstreamId(0), 0, longest), WAIT_MIN);
        assert_eq!(set.wait(UpstreamId(0), 1, longest), WAIT_MIN * 3 / 2);
        assert_eq!(set.wait(UpstreamId(0), 9, longest), longest);
    }
}
