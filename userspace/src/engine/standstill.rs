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
        // Of what has come since then, less is lost.
        let lost = |since: Moment| now.since(since.max(first_due));
        for (id, lookup) in self.lookups.iter_mut() {
            let lost = lost(lookup.started);
            lookup.started = lookup.started + lost;
            self.lookup_timers.put_off(id.0, lost);
        }
        for (id, waiter) in self.waiters.iter_mut() {
            let lost = lost(waiter.waits_since);
            waiter.waits_since = waiter.waits_since + lost;
            self.waiter_timers.put_off(id.0, lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::*;
    use crate::cache::Shard;
    use crate::datagram::{Channel, Client, Datagram, WorkerId};
    use crate::engine::{Destination, EngineSettings, Verdict};

    /// `budget_ms` of the configuration.
    const BUDGET_MILLIS: u64 = 2_000;

    fn engine() -> Engine {
        let text = "[upstream]\nservers = [\"192.0.2.1\"]\nbudget_ms = 2000\n\
                    [dns64]\nprefixes = [\"64:ff9b::/96\"]\n";
        let config = crate::config::parse(text, "test").expect("it is right");
        let settings = EngineSettings {
            policy: Arc::new(config.policy()),
            worker: WorkerId(0),
            workers: 1,
            hash_seed: 7,
            random_seed: [7; 32],
        };
        Engine::new(settings, Shard::new(1 << 16))
    }

    fn ask(engine: &mut Engine, port: u16, now: Moment) {
        let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(b"\x06silent\x04test\0\0\x1c\0\x01");
        let client = Client {
            peer: (IpAddr::from([127, 0, 0, 1]), port).into(),
            local: IpAddr::from([127, 0, 0, 1]),
            interface: 0,
            channel: Channel::Udp { socket: 0 },
        };
        let verdict = engine.handle_query(Datagram { bytes: &bytes, client }, &mut [0; 512], now);
        assert_eq!(verdict, Verdict::Pending);
    }

    /// The types that a server is asked for, and the ports of clients that get a reply.
    fn sent(engine: &mut Engine) -> (Vec<u8>, Vec<u16>) {
        let (mut types, mut replies) = (Vec::new(), Vec::new());
        let mut out = [0; 512];
        while let Some((to, _)) = engine.poll_transmit(&mut out) {
            match to {
                // Behind the header and `silent.test`.
                Destination::Upstream { .. } => types.push(out[12 + 13 + 1]),
                Destination::Client(client) => replies.push(client.peer.port()),
                Destination::Validator(_) | Destination::UpstreamTcp { .. } => {}
            }
        }
        (types, replies)
    }

    /// Calls the engine whenever it wants to be called, until somebody gets a reply: when, and who.
    fn next_replies(engine: &mut Engine) -> (u64, Vec<u16>) {
        loop {
            let now = engine.poll_timeout().expect("somebody waits");
            engine.handle_timeout(now);
            let (_, replies) = sent(engine);
            if !replies.is_empty() {
                return (now.as_millis(), replies);
            }
        }
    }

    #[test]
    fn who_waits_while_the_worker_stands_still_has_its_patience_afterwards() {
        let mut engine = engine();
        ask(&mut engine, 1, Moment::START);
        assert_eq!(sent(&mut engine), (vec![28], vec![]));
        let first_due = engine.poll_timeout().expect("it waits").as_millis();

        let back = 60_000;
        ask(&mut engine, 2, Moment::from_millis(back));
        engine.handle_timeout(Moment::from_millis(back));
        let (_, replies) = sent(&mut engine);
        assert_eq!(replies, [] as [u16; 0], "not failed for what nobody did");

        let (at, replies) = next_replies(&mut engine);
        assert_eq!((at, replies), (back + BUDGET_MILLIS - first_due, vec![1]));
        let (at, replies) = next_replies(&mut engine);
        assert_eq!((at, replies), (back + BUDGET_MILLIS, vec![2]), "it came when all went on");
    }

    #[test]
    fn a_is_asked_for_after_a_standstill_that_was_longer_than_the_budget() {
        let mut engine = engine();
        ask(&mut engine, 1, Moment::START);
        assert_eq!(sent(&mut engine), (vec![28], vec![]));
        engine.handle_timeout(Moment::from_millis(3 * BUDGET_MILLIS));
        loop {
            let (types, replies) = sent(&mut engine);
            assert_eq!(replies, [] as [u16; 0], "A was not asked for");
            if types.contains(&1) {
                return;
            }
            let now = engine.poll_timeout().expect("it waits");
            engine.handle_timeout(now);
        }
    }

    #[test]
    fn who_is_a_little_late_puts_nothing_off() {
        let mut engine = engine();
        ask(&mut engine, 1, Moment::START);
        assert_eq!(sent(&mut engine), (vec![28], vec![]));
        let late = Duration::from_millis(200);
        loop {
            let now = engine.poll_timeout().expect("it waits") + late;
            engine.handle_timeout(now);
            let (_, replies) = sent(&mut engine);
            if !replies.is_empty() {
                assert!(now.as_millis() <= BUDGET_MILLIS + 200, "{now:?}");
                return;
            }
        }
    }
}
