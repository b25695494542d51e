//! A new configuration while queries are answered: another engine takes over.
//!
//! An engine never changes its policy. The successor takes all queries from its first moment on;
//! the engine before it answers those who wait, by the configuration that they asked under, and
//! then ends. So no answer mixes two configurations, and none is lost.
//!
//! What the servers have said holds under both configurations where both ask the same servers by
//! the same rules: then they have one cache, which lies with the successor, and
//! [`Engine::swap_cache`] lends it to the other. Ready replies say what one configuration made of
//! the answers; they know theirs by its [`Epoch`](crate::datagram::Epoch).

use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::{Engine, EngineSettings};
use crate::cache::Shard;
use crate::policy::Policy;

/// Octets of the cache of an engine whose own has gone to its successor: as few as there can be.
const NO_CACHE_LEN: usize = 64 << 10;

impl Engine {
    /// The engine that takes queries from now on by another configuration. It goes on with this
    /// one's counters and what is known of servers and clients, and with its cache, or else with
    /// `cache`. It has no script yet, and publishes nothing.
    #[must_use]
    pub fn successor(&mut self, policy: Arc<Policy>, cache: Option<Shard>) -> Self {
        let shard =
            cache.unwrap_or_else(|| std::mem::replace(&mut self.shard, Shard::new(NO_CACHE_LEN)));
        let mut random_seed = <ChaCha12Rng as SeedableRng>::Seed::default();
        self.random.fill_bytes(&mut random_seed);
        let settings = EngineSettings {
            policy,
            worker: self.worker,
            workers: self.workers,
            hash_seed: self.hash_seed,
            random_seed,
        };
        let mut successor = Self::new(settings, shard);
        successor.epoch = self.epoch.next();
        successor.next_variant = self.next_variant;
        successor.counters = std::mem::take(&mut self.counters);
        if !self.policy.rpz.names().eq(successor.policy.rpz.names()) {
            // They are counted by their places, which others have now.
            successor.counters.rpz.clear();
        }
        successor.untimed = std::mem::take(&mut self.untimed);
        if self.policy.limits == successor.policy.limits {
            self.load.hand_over(&mut successor.load);
        }
        let known = &self.policy.upstreams;
        let places = successor.policy.upstreams.iter();
        let places = places.map(|server| known.iter().position(|known| known == server));
        successor.upstreams = self.upstreams.rearranged(places);
        // What this one has published is void with its configuration.
        self.hot = super::hot::Hotness::default();
        successor
    }

    /// Exchanges the caches of two engines.
    pub const fn swap_cache(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.shard, &mut other.shard);
    }

    /// Whether anybody waits for this engine: a client, or another worker on behalf of one.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.has_output() || self.waiters.iter().any(|(_, waiter)| waiter.party.is_somebody())
    }
}
