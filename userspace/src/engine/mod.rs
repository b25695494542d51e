//! The engine: one worker's decisions about queries, responses and time, without I/O.
//!
//! ```text
//!   queries ──► handle_query ──► Verdict::Reply      (a hit: no allocation, no look-up)
//!                    │
//!                    ▼ a miss
//!               waiter ──► look-up ──► poll_transmit ──► upstream servers
//!                              ▲                               │
//!   poll_transmit ◄── settle ◄─┴───────── handle_response ◄────┘
//! ```
//!
//! The caller gives bytes and the time, and carries out what [`Engine::poll_transmit`] and
//! [`Engine::poll_peer`] say. Given the same calls, an engine does the same things: randomness
//! comes from a generator whose seed is an argument.
//!
//! A miss becomes a *waiter* (who asked, and what is done with the answers) that waits for one or
//! two *look-ups* (at most one under way for each key, however many wait). Look-ups of names that
//! another worker owns are handed to that worker as [`PeerMessage`]s: it keeps the name for all,
//! this one a copy.
#![forbid(unsafe_code)]

mod blocking;
mod cached;
mod clients;
mod entry;
mod explain;
mod hot;
mod local;
mod lookup;
mod outbox;
mod plan;
mod query;
mod ready;
pub mod respond;
pub mod script;
mod scripted;
mod settle;
pub mod snapshot;
mod standstill;
mod successor;
pub mod timer;
mod transmit;
mod upstream;
mod validate;
mod verdict;
mod waiter;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dns64_ebpf::select::owner;
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use crate::cache::{Scope, Shard, Times};
use crate::counters::{Counters, DropReason, Source};
use crate::datagram::{Client, Epoch, WorkerId};
use crate::limits::MESSAGE_LEN_MAX;
use crate::policy::{ClientClass, Policy, PoolTable, PrefixMask, View};
use crate::time::Moment;

use self::clients::ClientLoad;
pub use self::explain::Step;
use self::hot::Hotness;
pub use self::hot::{HotOrder, HotSettings, refusal};
use self::lookup::{LookupId, Lookups, Subject};
use self::outbox::Outbox;
pub use self::outbox::{Destination, ReplyNote, TryHandle};
use self::scripted::Scripting;
use self::timer::Wheel;
pub use self::upstream::UpstreamReport;
use self::upstream::UpstreamSet;
pub use self::validate::{ToValidate, Validation};
use self::waiter::{Party, Slot, WaiterId, Waiters};

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The reply is in the buffer.
    Reply {
        /// Octets of the reply.
        len: usize,
    },
    /// The reply will come from [`Engine::poll_transmit`].
    Pending,
    /// There is no reply.
    Drop(DropReason),
}

/// A message from one worker's engine to another's.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "it lies in a queue made at the start, without boxes")]
pub enum PeerMessage {
    /// The sender asks the owner of a name.
    Query {
        /// The sender.
        from: WorkerId,
        /// The sender's look-up.
        token: u64,
        /// What is looked up.
        subject: PeerSubject,
        /// Whether the sender has a copy and wants a newer one.
        refresh: bool,
    },
    /// The owner answers.
    Answer {
        /// The asker's look-up.
        token: u64,
        /// The compiled answer.
        octets: Box<[u8]>,
        /// When it was stored and how long it may be used; `None` if it may not be kept.
        times: Option<Times>,
    },
    /// The owner has an answer past its TTL, and looks for a newer one: should there be none in
    /// time, the asker can give this one (RFC 8767).
    Stale {
        /// The asker's look-up.
        token: u64,
        /// The compiled answer.
        octets: Box<[u8]>,
        /// When it was stored and how long it may be used.
        times: Times,
    },
    /// The owner has no room for the look-up: the asker is to make it.
    Busy {
        /// The asker's look-up.
        token: u64,
    },
}

impl PeerMessage {
    /// Who asks, and the answer that says that this worker cannot: the asker makes the look-up.
    /// `None` for what is no question.
    #[must_use]
    pub const fn declined(&self) -> Option<(WorkerId, Self)> {
        match self {
            Self::Query { from, token, .. } => Some((*from, Self::Busy { token: *token })),
            Self::Answer { .. } | Self::Stale { .. } | Self::Busy { .. } => None,
        }
    }
}

/// What a worker asks another for.
#[derive(Clone, Copy, Debug)]
pub struct PeerSubject(Subject);

/// What an engine is made with.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The configuration.
    pub policy: Arc<Policy>,
    /// Which worker this is.
    pub worker: WorkerId,
    /// How many workers there are.
    pub workers: u16,
    /// Seed of the hash of names: the same for all workers of one start.
    pub hash_seed: u64,
    /// Seed of message IDs, letter case and choices: unpredictable, another for each worker.
    pub random_seed: [u8; 32],
}

/// One worker's engine.
pub struct Engine {
    policy: Arc<Policy>,
    /// Which configuration that is.
    epoch: Epoch,
    /// Whether it is to have the cache of the engine whose place it takes.
    inherits_cache: bool,
    /// Which gateway of each pool a client has.
    pools: Arc<[PoolTable]>,
    shard: Shard,
    hash_seed: u64,
    worker: WorkerId,
    workers: u16,
    random: ChaCha12Rng,
    lookups: Lookups,
    lookup_timers: Wheel,
    waiters: Waiters,
    waiter_timers: Wheel,
    upstreams: UpstreamSet,
    load: ClientLoad,
    outbox: Outbox,
    to_peers: VecDeque<(WorkerId, PeerMessage)>,
    /// Space for one answer taken out of the cache.
    scratch: Vec<u8>,
    /// Space for one entry on its way into the cache.
    entry_scratch: Vec<u8>,
    /// Space for one compiled response.
    compiled: Vec<u8>,
    /// Space for one reply.
    reply_space: Vec<u8>,
    /// Space for those who waited for a look-up that has ended.
    served: Vec<(WaiterId, Slot)>,
    /// Queries that may turn to TCP on suspicion, in tenths.
    tcp_credit: u32,
    hot: Hotness,
    /// The script that queries pass, if there is one.
    script: Option<Scripting>,
    /// The next of the keys' variants that no script's verdicts have stood under.
    next_variant: u16,
    /// Space for one reply on its way through a script.
    script_space: Vec<u8>,
    counters: Counters,
    /// Replies given at once, by source, that have not been timed yet.
    untimed: [u32; Source::ALL.len()],
    /// How the reply came about that was given last.
    note: ReplyNote,
    /// Synthesized replies before the query that is being answered.
    synthesized_before: u64,
}

impl Engine {
    /// An engine with this configuration and cache.
    #[must_use]
    pub fn new(settings: EngineSettings, shard: Shard) -> Self {
        let inflight = settings.policy.limits.inflight as usize;
        let upstreams = UpstreamSet::new(settings.policy.upstreams.len());
        let random = ChaCha12Rng::from_seed(settings.random_seed);
        Self {
            shard,
            hash_seed: settings.hash_seed,
            worker: settings.worker,
            workers: settings.workers.max(1),
            load: ClientLoad::new(settings.hash_seed, &settings.policy.limits),
            random,
            lookups: Lookups::new(inflight, settings.policy.upstreams.len()),
            lookup_timers: Wheel::new(inflight),
            waiters: Waiters::new(inflight),
            waiter_timers: Wheel::new(inflight),
            upstreams,
            outbox: Outbox::new(MESSAGE_LEN_MAX),
            to_peers: VecDeque::with_capacity(256),
            scratch: Vec::with_capacity(MESSAGE_LEN_MAX),
            entry_scratch: Vec::with_capacity(MESSAGE_LEN_MAX),
            compiled: Vec::with_capacity(MESSAGE_LEN_MAX),
            reply_space: Vec::with_capacity(MESSAGE_LEN_MAX),
            served: Vec::with_capacity(64),
            tcp_credit: 0,
            hot: Hotness::default(),
            script: None,
            next_variant: 0,
            script_space: Vec::new(),
            counters: Counters::default(),
            untimed: [0; Source::ALL.len()],
            note: ReplyNote::default(),
            synthesized_before: 0,
            pools: settings.policy.pool_tables().into(),
            epoch: Epoch::default(),
            inherits_cache: false,
            policy: settings.policy,
        }
    }

    /// The next message to be sent, copied into `buffer`, which holds [`MESSAGE_LEN_MAX`] octets.
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<(Destination, usize)> {
        let (to, len, note) = self.outbox.pop(buffer)?;
        self.note = note;
        Some((to, len))
    }

    /// How the reply came about that was given last: at once, or by [`Engine::poll_transmit`].
    #[must_use]
    pub const fn reply_note(&self) -> ReplyNote {
        self.note
    }

    /// From now on clients have the gateways of these tables, one for each pool of the policy.
    pub fn set_pools(&mut self, tables: Arc<[PoolTable]>) {
        debug_assert_eq!(tables.len(), self.pools.len(), "a table for each pool");
        self.pools = tables;
        // Whoever waits gets the gateway that serves when its reply is made.
        let moved: Vec<(WaiterId, PrefixMask)> = self
            .waiters
            .iter()
            .filter_map(|(id, waiter)| match &waiter.party {
                Party::Client(asker) => {
                    let view = self.policy.view(waiter.view);
                    Some((id, self.gateway(view, waiter.prefixes, asker.client.peer.ip())))
                }
                Party::Peer(..) | Party::Nobody => None,
            })
            .collect();
        for (id, prefixes) in moved {
            self.waiters.at_mut(id).prefixes = prefixes;
        }
    }

    /// What the configuration says of a client; of a pool it has one gateway.
    #[inline]
    fn classify(&self, client: &Client) -> ClientClass {
        let mut class = self.policy.classify(client);
        if !self.pools.is_empty() {
            let view = self.policy.view(class.view);
            class.prefixes = self.gateway(view, class.prefixes, client.peer.ip());
        }
        class
    }

    /// Of these prefixes of a view, those that serve a client now.
    fn gateway(&self, view: &View, prefixes: PrefixMask, client: IpAddr) -> PrefixMask {
        match view.pool.and_then(|used| self.pools.get(usize::from(used.pool.0))) {
            Some(table) if !prefixes.is_empty() => table.gateway(client),
            _ => prefixes,
        }
    }

    /// The next message for another worker.
    pub fn poll_peer(&mut self) -> Option<(WorkerId, PeerMessage)> {
        self.to_peers.pop_front()
    }

    /// Forgets answers; how many. What has been published of them is still given until the caller
    /// has it taken back, see [`Engine::flush_hot`].
    pub fn flush(&mut self, scope: &Scope) -> u64 {
        self.shard.flush(scope)
    }

    /// Begins to publish the replies of hot names. Where clients have a rate limit nothing is
    /// published, since the kernel does not count what each of them asks.
    pub fn publish_hot(&mut self, settings: HotSettings) {
        if self.policy.limits.rate == 0 {
            self.hot.start(settings);
        }
    }

    /// For an engine that has published nothing yet: what it will publish has this generation;
    /// without one nothing is published.
    pub fn publish_as(&mut self, generation: Option<u32>) {
        match generation {
            Some(generation) => self.hot.number(generation),
            None => self.hot.stop(),
        }
    }

    /// Forgets what has been published. Call it when the kernel has been told that publications of
    /// this generation count and no others, and the cache holds what they are to say.
    pub fn flush_hot(&mut self, generation: u32) {
        self.hot.flush(generation);
    }

    /// What is to be done next to the table of hot answers.
    pub fn poll_hot(&mut self) -> Option<HotOrder> {
        self.hot.pop()
    }

    /// Whether something waits to be sent.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outbox.is_empty() || !self.to_peers.is_empty()
    }

    /// When [`Engine::handle_timeout`] must be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        match (self.lookup_timers.next(), self.waiter_timers.next()) {
            (Some(lookup), Some(waiter)) => Some(lookup.min(waiter)),
            (lookup, waiter) => lookup.or(waiter),
        }
    }

    /// Does what is due at this time. Called long after the time that
    /// [`poll_timeout`](Self::poll_timeout) gave, it puts off what is due by as much: nobody is
    /// given up for the time in which nothing was done for them.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.make_up_for_standstill(now);
        while let Some(timer) = self.lookup_timers.expire(now) {
            self.lookup_due(LookupId(timer), now);
        }
        while let Some(timer) = self.waiter_timers.expire(now) {
            self.waiter_due(WaiterId(timer), now);
        }
    }

    /// What has been counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The replies that were given at once since the last call took so long, from when their
    /// queries were read until they were sent.
    pub fn replies_took(&mut self, took: Duration) {
        for (durations, untimed) in self.counters.durations.iter_mut().zip(&mut self.untimed) {
            let replies = std::mem::take(untimed);
            if replies > 0 {
                durations.add(took, u64::from(replies));
            }
        }
    }

    /// What has come of the queries to each server, in the order of
    /// [`Policy::upstreams`](crate::policy::Policy).
    pub fn upstreams(&self) -> impl Iterator<Item = UpstreamReport> + '_ {
        self.upstreams.reports(self.lookups.asking())
    }

    /// Counts replies that could not be sent.
    pub const fn count_unsent(&mut self, replies: u64) {
        self.counters.unsent += replies;
    }

    /// The program stops: those who still wait get no reply, and are counted as such.
    pub fn stop(&mut self) {
        for _ in 0..self.clients_waiting() {
            self.counters.dropped(DropReason::Stopped);
        }
    }

    /// The configuration.
    #[must_use]
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Which configuration it has: the first, or that of a successor.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The cache.
    #[must_use]
    pub const fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Clients that wait for a reply.
    #[must_use]
    pub fn clients_waiting(&self) -> usize {
        let is_client = |party: &Party| match party {
            Party::Client(asker) => !asker.client.channel.is_validator(),
            Party::Peer(..) | Party::Nobody => false,
        };
        self.waiters.iter().filter(|(_, waiter)| is_client(&waiter.party)).count()
    }

    /// Look-ups under way.
    #[must_use]
    pub fn lookups_under_way(&self) -> usize {
        self.lookups.len()
    }

    /// The keys of the look-ups under way that are asked for upstream, as hashes: no two are equal.
    pub fn upstream_lookups(&self) -> impl Iterator<Item = u64> + '_ {
        let own = |lookup: &lookup::Lookup| !matches!(lookup.path, lookup::Path::Owner(_));
        self.lookups
            .iter()
            .filter(move |(_, lookup)| own(lookup))
            .map(|(_, lookup)| lookup.subject.hash)
    }

    /// The worker that owns a name: where the kernel leads queries for it that it steers by name.
    fn owner(&self, name_hash: u64) -> WorkerId {
        WorkerId(owner(name_hash, self.workers))
    }

    /// The token of a look-up for messages that come back from outside.
    fn token(&self, lookup: LookupId) -> u64 {
        u64::from(self.lookups.at(lookup).generation) << 32 | u64::from(lookup.0)
    }

    /// The look-up of a token, if it is still under way.
    fn lookup_of(&self, token: u64) -> Option<LookupId> {
        self.lookups.current(token as u32, (token >> 32) as u32)
    }

    /// How long the AAAA answer is waited for once A is there: three quarters of the client's
    /// patience, so that the reply is in time.
    fn patience(&self) -> Duration {
        self.policy.timing.budget * 3 / 4
    }
}
