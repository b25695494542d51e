//! What a world is like, drawn from its seed, and what comes of it.

use super::random::Random;
use super::server::Habits;
use super::world::{ASKING, SECOND};

/// What is wrong with the world, and what is not.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    pub(crate) workers: u16,
    pub(crate) servers: usize,
    /// Packets lost each way, of a thousand.
    pub(crate) loss: u64,
    pub(crate) duplicates: u64,
    /// Packets cut or with broken header or question, of a thousand.
    pub(crate) corrupt: u64,
    /// Queries that a forger races, of a thousand.
    pub(crate) forged: u64,
    /// TCP queries that fail, of a thousand.
    pub(crate) tcp_fails: u64,
    /// Messages between workers that find a full inbox, of a thousand.
    pub(crate) inbox_full: u64,
    /// Servers go down and come back.
    pub(crate) outages: bool,
    pub(crate) habits: Vec<Habits>,
    pub(crate) rtt_us: Vec<u64>,
    /// All names are plain.
    pub(crate) plain: bool,
    pub(crate) serve_stale: bool,
    pub(crate) max_stale_secs: u64,
    pub(crate) inflight: u32,
    pub(crate) inflight_per_client: u32,
    /// Octets of each worker's cache.
    pub(crate) cache_octets: usize,
    /// Queries in all.
    pub(crate) queries: u64,
    /// When faults end.
    pub(crate) faults_end: u64,
}

impl Setting {
    /// The world of a seed: one in three is without faults.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let servers = random.within(1..4) as usize;
        let calm = random.per_mille(333);
        let fault = |random: &mut Random, most: u64| {
            if calm || random.per_mille(500) { 0 } else { random.below(most) }
        };
        let mut habits = Vec::new();
        for index in 0..servers {
            habits.push(Habits {
                lower_case: random.per_mille(150),
                no_edns: random.per_mille(80),
                refuses: index > 0 && random.per_mille(100),
                junk: if random.per_mille(150) { 200 } else { 0 },
                miscounts: if random.per_mille(150) { 200 } else { 0 },
            });
        }
        Self {
            seed,
            workers: random.within(1..4) as u16,
            servers,
            loss: fault(&mut random, 500),
            duplicates: random.below(2) * random.below(200),
            corrupt: fault(&mut random, 100),
            forged: random.below(2) * random.below(500),
            tcp_fails: fault(&mut random, 700),
            inbox_full: fault(&mut random, 300),
            outages: !calm && random.per_mille(400),
            habits,
            rtt_us: (0..servers).map(|_| random.within(300..60_000)).collect(),
            plain: false,
            serve_stale: random.per_mille(700),
            max_stale_secs: if random.per_mille(700) { random.within(1..6) } else { 86_400 },
            inflight: if calm || random.per_mille(800) { 1_024 } else { 64 },
            inflight_per_client: if calm || random.per_mille(800) { 1_000 } else { 8 },
            cache_octets: if random.per_mille(800) { 1 << 18 } else { 1 << 14 },
            queries: random.within(50..350),
            faults_end: random.within(3..9) * SECOND,
        }
    }

    /// A world that loses so many packets of a thousand each way, with one server and plain names.
    pub(crate) fn lossy(seed: u64, loss: u64) -> Self {
        let mut random = Random::new(seed, 2);
        Self {
            workers: 1,
            servers: 1,
            loss,
            duplicates: 0,
            corrupt: 0,
            forged: 0,
            tcp_fails: 0,
            inbox_full: 0,
            outages: false,
            habits: vec![Habits::default()],
            rtt_us: vec![random.within(1_000..40_000)],
            plain: true,
            serve_stale: true,
            max_stale_secs: 86_400,
            inflight: 1_024,
            inflight_per_client: 1_000,
            cache_octets: 1 << 18,
            queries: 200,
            faults_end: ASKING + SECOND * 3,
            ..Self::of(seed)
        }
    }

    /// Whether upstream answers may fail to come for other reasons than the name itself.
    pub(crate) fn is_faulty(&self) -> bool {
        self.loss + self.corrupt + self.tcp_fails + self.inbox_full > 0
            || self.outages
            || self.inflight < 1_024
            || self.inflight_per_client < 1_000
    }
}

/// What comes of a world.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) queries: u64,
    pub(crate) replies: u64,
    /// Replies with SERVFAIL.
    pub(crate) failures: u64,
    pub(crate) synthesized: u64,
    pub(crate) hits: u64,
    pub(crate) stale: u64,
    pub(crate) upstream: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.queries += other.queries;
        self.replies += other.replies;
        self.failures += other.failures;
        self.synthesized += other.synthesized;
        self.hits += other.hits;
        self.stale += other.stale;
        self.upstream += other.upstream;
    }
}
