//! Counts of everything that happens to queries. One worker writes them, so they are plain
//! integers; reasons are enumerations, so that a reason *is* its counter.
//!
//! The books balance: every query ends as exactly one response or one drop, or is still under way.
#![forbid(unsafe_code)]

use crate::durations::Durations;
use crate::wire::header::Rcode;

/// RCODEs with a counter of their own: 0 to 15, BADVERS, and the rest together.
const RCODES: usize = 18;

/// Where a response came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cache, fresh.
    Hit,
    /// The cache, past its TTL (RFC 8767).
    Stale,
    /// A look-up.
    Miss,
    /// Made here: ipv4only.arpa, names under a Pref64, errors in the query.
    Local,
    /// The access list, a limit, or a response policy zone.
    Policy,
    /// The XDP program, from what was published of the cache.
    Kernel,
}

impl Source {
    /// Every source, in the order of the counters.
    pub const ALL: [Self; 6] =
        [Self::Hit, Self::Stale, Self::Miss, Self::Local, Self::Policy, Self::Kernel];

    /// The source's name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Local => "local",
            Self::Policy => "policy",
            Self::Kernel => "kernel",
        }
    }
}

/// Why a query got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Fewer octets than a header.
    Short,
    /// A response, not a query: answering it could make a loop.
    NotAQuery,
    /// The client's network sends more than its rate.
    Rate,
    /// The query cannot be understood, and the client may not ask.
    Malformed,
    /// The program stopped first.
    Stopped,
    /// The client is one of those whose queries are thrown away.
    Denied,
    /// The datagram says less than its header, or comes from where no answer can go.
    Datagram,
    /// More queries wait already than can be answered in time.
    Overload,
    /// A response policy zone has it so.
    Rpz,
    /// The script wants no response.
    Script,
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = 10;

    /// Every reason, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Short,
        Self::NotAQuery,
        Self::Rate,
        Self::Malformed,
        Self::Stopped,
        Self::Denied,
        Self::Datagram,
        Self::Overload,
        Self::Rpz,
        Self::Script,
    ];

    /// The reason's name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::NotAQuery => "not_a_query",
            Self::Rate => "rate",
            Self::Malformed => "malformed",
            Self::Stopped => "stopped",
            Self::Denied => "denied",
            Self::Datagram => "datagram",
            Self::Overload => "overload",
            Self::Rpz => "rpz",
            Self::Script => "script",
        }
    }
}

/// What about an upstream response made it suspicious (RFC 5452).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspect {
    /// The right port and question, another ID: somebody guesses.
    Id,
    /// The right ID, another question.
    Question,
    /// The right ID and question, other letter case.
    Case,
    /// Nothing we wait for.
    Unexpected,
    /// Octets that are no DNS response.
    Malformed,
}

impl Suspect {
    /// How many kinds there are.
    pub const COUNT: usize = 5;

    /// Every kind, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Id, Self::Question, Self::Case, Self::Unexpected, Self::Malformed];

    /// The kind's name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "wrong_id",
            Self::Question => "question",
            Self::Case => "case",
            Self::Unexpected => "unexpected",
            Self::Malformed => "malformed",
        }
    }
}

/// What the validator has said of an answer (RFC 4035 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidationResult {
    /// A chain of trust leads to it.
    Secure,
    /// It is proved that none does.
    Insecure,
    /// One should, and does not.
    Bogus,
    /// Not to be decided.
    Indeterminate,
}

impl ValidationResult {
    /// How many results there are.
    pub const COUNT: usize = 4;

    /// Every result, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Secure, Self::Insecure, Self::Bogus, Self::Indeterminate];

    /// The result's name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Secure => "secure",
            Self::Insecure => "insecure",
            Self::Bogus => "bogus",
            Self::Indeterminate => "indeterminate",
        }
    }
}

/// The counts of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Queries by transport (UDP, TCP) and family (IPv4, IPv6).
    pub queries: [[u64; 2]; 2],
    /// Responses by source and RCODE.
    pub responses: [[u64; RCODES]; Source::ALL.len()],
    /// How long the responses took, by source. Those of the XDP program are not timed.
    pub durations: [Durations; Source::ALL.len()],
    /// Queries without response, by reason.
    pub drops: [u64; DropReason::COUNT],
    /// Queries that a trigger of a response policy zone decided, by the zone's place; as long as
    /// the list of zones, or shorter.
    pub rpz: Vec<u64>,
    /// Responses that could not be sent: the network refused them, or the client had gone.
    pub unsent: u64,
    /// Responses with synthesized AAAA.
    pub synthesized: u64,
    /// Queries answered from the cache.
    pub cache_hits: u64,
    /// Queries that needed a look-up.
    pub cache_misses: u64,
    /// Queries answered past the TTL.
    pub cache_stale: u64,
    /// Answers taken over from a snapshot of an earlier cache.
    pub cache_restored: u64,
    /// Look-ups of answers that were about to expire.
    pub prefetches: u64,
    /// Queries handed to the worker that owns the name.
    pub to_owner: u64,
    /// Queries sent upstream by UDP.
    pub upstream_udp: u64,
    /// Queries sent upstream by TCP.
    pub upstream_tcp: u64,
    /// Tries without an answer in time.
    pub upstream_timeouts: u64,
    /// Look-ups that failed.
    pub lookup_failures: u64,
    /// Suspicious upstream responses by kind.
    pub suspects: [u64; Suspect::COUNT],
    /// Answers that were validated, by result.
    pub validations: [u64; ValidationResult::COUNT],
    /// Queries that came by `AF_XDP`; those of UDP without them came by sockets.
    pub xsk_queries: u64,
    /// Replies that left by `AF_XDP`; the others left by sockets.
    pub xsk_replies: u64,
    /// Frames that came by `AF_XDP` and were no query for us.
    pub xsk_strays: u64,
    /// Frames that the kernel dropped because an `AF_XDP` queue was full, with the following two.
    pub xsk_full: u64,
    /// Those of them for which the ring of received frames had no place.
    pub xsk_ring_full: u64,
    /// Those of them for which there was no free frame.
    pub xsk_fill_empty: u64,
    /// Queries that the XDP program left to the sockets because an `AF_XDP` queue was about to be
    /// full.
    pub xsk_diverted: u64,
    /// Queries that the XDP program threw away. They are among `drops`, by the reason, but not
    /// among `queries`.
    pub kernel_drops: u64,
    /// Calls of a script's hooks.
    pub script_calls: u64,
    /// Calls by which a script has answered a query, changed its answer or dropped it.
    pub script_changes: u64,
    /// Calls that have failed: the query was answered without the script.
    pub script_errors: u64,
}

impl Counters {
    /// Counts a response.
    #[inline]
    pub fn response(&mut self, source: Source, rcode: Rcode) {
        let index = match rcode.0 {
            code @ 0..=16 => usize::from(code),
            _ => RCODES - 1,
        };
        self.responses[source as usize][index] += 1;
    }

    /// Counts queries by UDP that the XDP program has answered.
    pub fn answered_by_kernel(&mut self, is_ipv4: bool, rcode: Rcode, count: u64) {
        self.queries[0][usize::from(!is_ipv4)] += count;
        self.responses[Source::Kernel as usize][usize::from(rcode.0).min(RCODES - 1)] += count;
    }

    /// Counts queries that the XDP program has thrown away.
    pub fn dropped_by_kernel(&mut self, reason: DropReason, count: u64) {
        self.drops[reason as usize] += count;
        self.kernel_drops += count;
    }

    /// Counts a query without response.
    pub fn dropped(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// Counts a query that the response policy zone at this place decided.
    pub fn ruled(&mut self, zone: usize) {
        if self.rpz.len() <= zone {
            self.rpz.resize(zone + 1, 0);
        }
        self.rpz[zone] += 1;
    }

    /// Counts a suspicious upstream response.
    pub fn suspect(&mut self, kind: Suspect) {
        self.suspects[kind as usize] += 1;
    }

    /// Counts what the validator has said of an answer.
    pub fn validated(&mut self, result: ValidationResult) {
        self.validations[result as usize] += 1;
    }

    /// Answers that the validator has said this of.
    #[must_use]
    pub const fn validations_with(&self, result: ValidationResult) -> u64 {
        self.validations[result as usize]
    }

    /// Queries received.
    #[must_use]
    pub fn queries_total(&self) -> u64 {
        self.queries.iter().flatten().sum::<u64>() + self.kernel_drops
    }

    /// Responses given.
    #[must_use]
    pub fn responses_total(&self) -> u64 {
        self.responses.iter().flatten().sum()
    }

    /// Queries dropped.
    #[must_use]
    pub fn drops_total(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Queries dropped for a reason.
    #[must_use]
    pub const fn drops_for(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Responses with this RCODE.
    #[must_use]
    pub fn responses_with(&self, rcode: Rcode) -> u64 {
        self.responses.iter().map(|row| row[usize::from(rcode.0).min(RCODES - 1)]).sum()
    }

    /// Responses from this source.
    #[must_use]
    pub fn responses_from(&self, source: Source) -> u64 {
        self.responses[source as usize].iter().sum()
    }

    /// Adds another worker's counts.
    pub fn add(&mut self, other: &Self) {
        let rows = self.queries.iter_mut().flatten().zip(other.queries.iter().flatten());
        let responses = self.responses.iter_mut().flatten().zip(other.responses.iter().flatten());
        let drops = self.drops.iter_mut().zip(&other.drops);
        let suspects = self.suspects.iter_mut().zip(&other.suspects);
        let validations = self.validations.iter_mut().zip(&other.validations);
        let all = rows.chain(responses).chain(drops).chain(suspects).chain(validations);
        for (ours, theirs) in all {
            *ours += theirs;
        }
        for (ours, theirs) in self.durations.iter_mut().zip(&other.durations) {
            ours.merge(theirs);
        }
        self.rpz.resize(self.rpz.len().max(other.rpz.len()), 0);
        for (ours, theirs) in self.rpz.iter_mut().zip(&other.rpz) {
            *ours += theirs;
        }
        self.unsent += other.unsent;
        self.synthesized += other.synthesized;
        self.cache_hits += other.cache_hits;
        self.cache_misses += other.cache_misses;
        self.cache_stale += other.cache_stale;
        self.cache_restored += other.cache_restored;
        self.prefetches += other.prefetches;
        self.to_owner += other.to_owner;
        self.upstream_udp += other.upstream_udp;
        self.upstream_tcp += other.upstream_tcp;
        self.upstream_timeouts += other.upstream_timeouts;
        self.lookup_failures += other.lookup_failures;
        self.xsk_queries += other.xsk_queries;
        self.xsk_replies += other.xsk_replies;
        self.xsk_strays += other.xsk_strays;
        self.xsk_full += other.xsk_full;
        self.xsk_ring_full += other.xsk_ring_full;
        self.xsk_fill_empty += other.xsk_fill_empty;
        self.xsk_diverted += other.xsk_diverted;
        self.kernel_drops += other.kernel_drops;
        self.script_calls += other.script_calls;
        self.script_changes += other.script_changes;
        self.script_errors += other.script_errors;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_counter_of_its_place() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        for (index, source) in Source::ALL.into_iter().enumerate() {
            assert_eq!(source as usize, index);
        }
        for (index, kind) in Suspect::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
        for (index, result) in ValidationResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, index);
        }
    }

    #[test]
    fn adding_adds_every_count() {
        let mut one = Counters::default();
        one.response(Source::Miss, Rcode::SERVFAIL);
        one.response(Source::Hit, Rcode(4000));
        one.dropped(DropReason::Rate);
        one.suspect(Suspect::Case);
        one.validated(ValidationResult::Bogus);
        one.queries[1][0] = 3;
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!(sum.queries_total(), 6);
        assert_eq!(sum.responses_total(), 4);
        assert_eq!(sum.responses_with(Rcode::SERVFAIL), 2);
        assert_eq!(sum.drops_total(), 2);
        assert_eq!(sum.suspects[Suspect::Case as usize], 2);
        assert_eq!(sum.validations_with(ValidationResult::Bogus), 2);
        sum.dropped_by_kernel(DropReason::Denied, 3);
        assert_eq!((sum.kernel_drops, sum.drops_for(DropReason::Denied)), (3, 3));
        assert_eq!(sum.queries_total() - sum.responses_total() - sum.drops_total(), 0);
    }
}
