//! A new configuration while queries are answered: another engine takes over.
//!
//! An engine never changes its policy. The successor takes all queries from its first moment on;
//! the engine before it answers those who wait, by the configuration that they asked under, and
//! then ends. So no answer mixes two configurations, and none is lost.
//!
//! A successor is made beside the engine that works, by whoever has the time: its tables, and its
//! cache if it has a new one. In [`Engine::take_over`] it gets what only the engine before it has.
//! There nothing is allocated, freed, or copied that grows with tables or cache: whoever answers
//! queries may call it between two of them.
//!
//! What the servers have said holds under both configurations where both ask the same servers by
//! the same rules: then they have one cache, which lies with the successor, and
//! [`Engine::swap_cache`] lends it to the other. Ready replies say what one configuration made of
//! the answers; they know theirs by its [`Epoch`].

use super::{Engine, EngineSettings};
use crate::cache::Shard;
use crate::datagram::Epoch;

/// Octets of the cache of an engine that shares the other's: as few as there can be.
const NO_CACHE_LEN: usize = 64 << 10;

impl Engine {
    /// An engine that is to take queries by the configuration with this number, in the place of the
    /// one with the number before. `cache` is the one it begins with; without one it gets the
    /// other's.
    #[must_use]
    pub fn successor(settings: EngineSettings, epoch: Epoch, cache: Option<Shard>) -> Self {
        let inherits_cache = cache.is_none();
        let shard = cache.unwrap_or_else(|| Shard::new(NO_CACHE_LEN));
        Self { epoch, inherits_cache, ..Self::new(settings, shard) }
    }

    /// Takes queries from now on in the place of an engine that answers those who wait. Goes on
    /// with its counters, with what is known of servers and clients, and with its cache if none
    /// was given to [`Engine::successor`]; true if so. What the other has published is void.
    ///
    /// To be called before anything is asked of this engine, and before it has its script.
    pub fn take_over(&mut self, before: &mut Self) -> bool {
        debug_assert_eq!(self.epoch, before.epoch.next(), "one configuration after the other");
        debug_assert_eq!(self.hash_seed, before.hash_seed, "names have the same owners");
        if self.inherits_cache {
            self.swap_cache(before);
        }
        self.next_variant = before.next_variant;
        self.counters = std::mem::take(&mut before.counters);
        if !before.policy.rpz.names().eq(self.policy.rpz.names()) {
            // They are counted by their places, which others have now.
            self.counters.rpz.clear();
        }
        self.untimed = std::mem::take(&mut before.untimed);
        if before.policy.limits == self.policy.limits {
            before.load.hand_over(&mut self.load);
        }
        let known = &before.policy.upstreams;
        let places = self.policy.upstreams.iter();
        let places = places.map(|server| known.iter().position(|known| known == server));
        self.upstreams.go_on_with(&before.upstreams, places);
        before.hot.stop();
        self.inherits_cache
    }

    /// Exchanges the caches of two engines.
    pub const fn swap_cache(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.shard, &mut other.shard);
    }

    /// Whether anybody waits for this engine: a client, or another worker on behalf of one.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.has_output() || self.waiters.is_anybody_there()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddr};
    use std::sync::Arc;

    use super::*;
    use crate::config;
    use crate::datagram::{Channel, Client, Datagram, WorkerId};
    use crate::engine::{Destination, HotSettings, Verdict};
    use crate::limits::MESSAGE_LEN_MAX;
    use crate::time::Moment;

    const NOW: Moment = Moment::from_millis(1_000);

    fn settings(text: &str) -> EngineSettings {
        let text = format!("allow = [\"::/0\"]\n{text}");
        let config = config::parse(&text, "test").expect("the configuration is right");
        EngineSettings {
            policy: Arc::new(config.policy()),
            worker: WorkerId(0),
            workers: 1,
            hash_seed: 7,
            random_seed: [7; 32],
        }
    }

    fn servers(list: &str) -> EngineSettings {
        settings(&format!("[upstream]\nservers = [{list}]"))
    }

    /// Asks for AAAA of `x.`, and looks at what is sent upstream for it.
    fn ask(engine: &mut Engine) -> (Verdict, Option<Destination>) {
        let query = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01x\0\0\x1c\0\x01";
        let client = Client {
            peer: SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 5_353),
            local: Ipv6Addr::LOCALHOST.into(),
            interface: 0,
            channel: Channel::Udp { socket: 0 },
        };
        let mut room = vec![0; MESSAGE_LEN_MAX];
        let verdict = engine.handle_query(Datagram { bytes: query, client }, &mut room, NOW);
        (verdict, engine.poll_transmit(&mut room).map(|(to, _)| to))
    }

    #[test]
    fn an_engine_whose_place_is_taken_serves_those_who_wait_and_counts_for_its_successor() {
        let mut before = Engine::new(servers("\"192.0.2.1\""), Shard::new(1 << 20));
        let (verdict, sent) = ask(&mut before);
        assert_eq!(verdict, Verdict::Pending);
        assert!(matches!(sent, Some(Destination::Upstream { .. })), "{sent:?}");
        let epoch = before.epoch().next();
        let mut after = Engine::successor(servers("\"192.0.2.1\""), epoch, None);
        assert!(after.take_over(&mut before));
        assert_eq!(after.epoch(), epoch);
        assert!(before.is_awaited() && !after.is_awaited());
        assert_eq!((before.clients_waiting(), after.clients_waiting()), (1, 0));
        assert_eq!((before.counters().queries_total(), after.counters().queries_total()), (0, 1));
        // It is given up in the end, and then nobody waits any more.
        let mut room = vec![0; MESSAGE_LEN_MAX];
        while let Some(at) = before.poll_timeout() {
            before.handle_timeout(at);
            while before.poll_transmit(&mut room).is_some() {}
        }
        assert!(!before.is_awaited());
    }

    #[test]
    fn the_cache_goes_to_a_successor_without_one_and_stays_where_it_has_its_own() {
        let capacity = |engine: &Engine| engine.shard().stats().capacity_octets;
        for own in [false, true] {
            let mut before = Engine::new(servers("\"192.0.2.1\""), Shard::new(1 << 20));
            let large = capacity(&before);
            let cache = own.then(|| Shard::new(2 << 20));
            let wanted = cache.as_ref().map_or(large, |cache| cache.stats().capacity_octets);
            let next = before.epoch().next();
            let mut after = Engine::successor(servers("\"192.0.2.1\""), next, cache);
            assert_eq!(after.take_over(&mut before), !own);
            assert_eq!(capacity(&after), wanted);
            assert_eq!(capacity(&before) == large, own);
        }
    }

    #[test]
    fn what_is_known_of_servers_goes_with_their_addresses() {
        let mut before = Engine::new(servers("\"192.0.2.1\""), Shard::new(1 << 20));
        ask(&mut before);
        let next = before.epoch().next();
        let mut after = Engine::successor(servers("\"192.0.2.9\", \"192.0.2.1\""), next, None);
        after.take_over(&mut before);
        let queries: Vec<u64> = after.upstreams().map(|report| report.queries).collect();
        assert_eq!(queries, [0, 1]);
    }

    #[test]
    fn an_engine_whose_place_is_taken_publishes_nothing_more() {
        let mut before = Engine::new(servers("\"192.0.2.1\""), Shard::new(1 << 20));
        before.publish_hot(HotSettings::default());
        before.hot.note(1, 0);
        let next = before.epoch().next();
        let mut after = Engine::successor(servers("\"192.0.2.1\""), next, None);
        after.publish_hot(HotSettings::default());
        after.publish_as(Some(9));
        after.take_over(&mut before);
        assert_eq!(before.hot.note(1, 0), None);
        assert_eq!([after.hot.note(1, 0), after.hot.note(1, 0)], [None, Some(9)]);
    }
}
