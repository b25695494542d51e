//! Those who wait for look-ups: clients, other workers, and prefetches for which nobody waits.
//!
//! A waiter waits for at most two look-ups at a time, the one of its question and, for synthesis,
//! the one of the A records. It stands in a doubly linked list of each, so that it can leave at any
//! moment in constant time.

use crate::answer::encode::{Age, Request};
use crate::datagram::{Client, WorkerId};
use crate::limits::NAME_LEN_MAX;
use crate::policy::{PrefixMask, ViewId};
use crate::time::Moment;
use crate::wire::name::Name;
use crate::wire::question::{Class, Rtype};

use super::blocking::Redirected;
use super::lookup::{LookupId, Lookups, NONE};
use super::plan::Plan;
use super::scripted::Scripted;

/// Octets of the longest question.
pub(super) const QUESTION_LEN_MAX: usize = NAME_LEN_MAX + 4;

/// A waiter, by its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaiterId(pub(super) u32);

/// Which of its two look-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The look-up of the question.
    First = 0,
    /// The look-up of A.
    Second = 1,
}

/// Who waits.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant, reason = "it lies in a table made at the start, without boxes")]
pub(super) enum Party {
    /// A client.
    Client(Asker),
    /// Another worker, for its own look-up with this number.
    Peer(WorkerId, u64),
    /// Nobody any more: the look-up goes on to fill the cache.
    Nobody,
}

impl Party {
    /// Whether anybody still waits.
    pub(super) const fn is_somebody(&self) -> bool {
        !matches!(self, Self::Nobody)
    }
}

/// A client and its query, as far as the reply needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    /// The client.
    pub(super) client: Client,
    id: u16,
    recursion_desired: bool,
    checking_disabled: bool,
    wants_authentic: bool,
    edns: bool,
    dnssec_ok: bool,
    limit: u16,
    question: [u8; QUESTION_LEN_MAX],
    question_len: u16,
}

impl Asker {
    /// Copies what the reply will need.
    pub(super) fn new(client: Client, request: &Request<'_>) -> Self {
        let mut question = [0; QUESTION_LEN_MAX];
        question[..request.question.len()].copy_from_slice(request.question);
        Self {
            client,
            id: request.id,
            recursion_desired: request.recursion_desired,
            checking_disabled: request.checking_disabled,
            wants_authentic: request.wants_authentic,
            edns: request.edns,
            dnssec_ok: request.dnssec_ok,
            limit: u16::try_from(request.limit).unwrap_or(u16::MAX),
            question,
            question_len: request.question.len() as u16,
        }
    }

    /// The same client, asking for this instead.
    pub(super) fn asking(mut self, name: Name<'_>, rtype: Rtype) -> Self {
        let name = name.as_wire();
        let end = name.len() + 4;
        self.question[..name.len()].copy_from_slice(name);
        self.question[name.len()..name.len() + 2].copy_from_slice(&rtype.0.to_be_bytes());
        self.question[name.len() + 2..end].copy_from_slice(&Class::IN.0.to_be_bytes());
        self.question_len = end as u16;
        self
    }

    /// The query again.
    pub(super) fn request(&self) -> Request<'_> {
        Request {
            alias: None,
            id: self.id,
            recursion_desired: self.recursion_desired,
            checking_disabled: self.checking_disabled,
            wants_authentic: self.wants_authentic,
            edns: self.edns,
            dnssec_ok: self.dnssec_ok,
            limit: usize::from(self.limit),
            question: &self.question[..usize::from(self.question_len)],
        }
    }
}

/// An answer that a waiter has got and keeps until it has all it needs.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The compiled answer.
    pub(super) octets: Box<[u8]>,
    /// The second it was stored in.
    pub(super) stored_secs: u32,
    /// Whether it is past its TTL.
    pub(super) stale: bool,
}

impl Kept {
    /// How old it is.
    pub(super) fn age(&self, now: Moment) -> Age {
        if self.stale {
            Age::Stale
        } else {
            Age::Secs(now.as_secs().saturating_sub(self.stored_secs))
        }
    }
}

/// Someone who waits.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    /// Who.
    pub(super) party: Party,
    /// What is done with the answers.
    pub(super) plan: Plan,
    /// The client's view.
    pub(super) view: ViewId,
    /// The prefixes that may be used for it.
    pub(super) prefixes: PrefixMask,
    /// When the query came.
    pub(super) arrived: Moment,
    /// From when on its patience is counted: when the query came, and as much later as the worker
    /// stood still meanwhile.
    pub(super) waits_since: Moment,
    /// Flags of the keys ([`super::lookup::key_flags`]).
    pub(super) flags: u8,
    /// Whether the hold of RFC 6147 5.1.8 is over.
    pub(super) held: bool,
    /// The look-ups that are waited for.
    pub(super) lookups: [Option<LookupId>; 2],
    /// The answers that have come.
    pub(super) answers: [Option<Kept>; 2],
    /// What a response policy zone has made the asked name an alias of.
    pub(super) redirected: Option<Box<Redirected>>,
    /// Whether response policy zones are asked about what the answer's chain leads to.
    pub(super) watched: bool,
    /// The part of the script, if there is one.
    pub(super) script: Option<Box<Scripted>>,
    active: bool,
}

impl Waiter {
    /// The query of its client, with what a policy has made of it.
    pub(super) fn request<'a>(&'a self, asker: &'a Asker) -> Request<'a> {
        let alias = self.redirected.as_deref().map(Redirected::alias);
        Request { alias, ..asker.request() }
    }
}

/// Neighbours in the list of a look-up. A link's number is the waiter's place times two plus slot.
#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
}

/// The table of waiters.
#[derive(Debug)]
pub(super) struct Waiters {
    table: Vec<Waiter>,
    links: Vec<Link>,
    free: Vec<u32>,
    capacity: usize,
    /// How many of them are somebody.
    somebodies: usize,
}

impl Waiters {
    /// A table for so many.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            table: Vec::with_capacity(capacity),
            links: Vec::with_capacity(capacity * 2),
            free: Vec::with_capacity(capacity),
            capacity,
            somebodies: 0,
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.table.len() - self.free.len()
    }

    /// Whether anybody waits: not only look-ups go on for the cache's sake.
    pub(super) const fn is_anybody_there(&self) -> bool {
        self.somebodies > 0
    }

    /// Whether so many wait that none is kept for the cache's sake alone.
    pub(super) fn is_crowded(&self) -> bool {
        self.len() > self.capacity / 4 * 3
    }

    /// Adds a waiter; `None` if the table is full.
    pub(super) fn add(
        &mut self,
        party: Party,
        plan: Plan,
        view: ViewId,
        prefixes: PrefixMask,
        flags: u8,
        arrived: Moment,
    ) -> Option<WaiterId> {
        let waiter = Waiter {
            party,
            plan,
            view,
            prefixes,
            arrived,
            waits_since: arrived,
            flags,
            held: false,
            lookups: [None; 2],
            answers: [None, None],
            redirected: None,
            watched: false,
            script: None,
            active: true,
        };
        let is_somebody = waiter.party.is_somebody();
        let added = match self.free.pop() {
            Some(place) => {
                self.table[place as usize] = waiter;
                WaiterId(place)
            }
            None if self.table.len() < self.capacity => {
                self.table.push(waiter);
                self.links.extend([Link { previous: NONE, next: NONE }; 2]);
                WaiterId((self.table.len() - 1) as u32)
            }
            None => return None,
        };
        self.somebodies += usize::from(is_somebody);
        Some(added)
    }

    /// Nobody waits at this place any more, but its look-ups go on.
    pub(super) fn abandon(&mut self, waiter: WaiterId) {
        let before = std::mem::replace(&mut self.at_mut(waiter).party, Party::Nobody);
        self.somebodies -= usize::from(before.is_somebody());
    }

    /// The waiter at this place.
    pub(super) fn at(&self, waiter: WaiterId) -> &Waiter {
        &self.table[waiter.0 as usize]
    }

    /// The waiter at this place.
    pub(super) fn at_mut(&mut self, waiter: WaiterId) -> &mut Waiter {
        &mut self.table[waiter.0 as usize]
    }

    /// Whether somebody waits at this place.
    pub(super) fn is_active(&self, waiter: WaiterId) -> bool {
        self.table.get(waiter.0 as usize).is_some_and(|waiter| waiter.active)
    }

    /// Lets the waiter wait for a look-up.
    pub(super) fn join(
        &mut self,
        waiter: WaiterId,
        slot: Slot,
        lookup: LookupId,
        lookups: &mut Lookups,
    ) {
        debug_assert!(self.at(waiter).lookups[slot as usize].is_none(), "one look-up a slot");
        let link = waiter.0 * 2 + slot as u32;
        let head = &mut lookups.at_mut(lookup).waiters;
        self.links[link as usize] = Link { previous: NONE, next: *head };
        if *head != NONE {
            self.links[*head as usize].previous = link;
        }
        *head = link;
        self.at_mut(waiter).lookups[slot as usize] = Some(lookup);
    }

    /// Takes the waiter out of the list of one look-up.
    pub(super) fn leave(&mut self, waiter: WaiterId, slot: Slot, lookups: &mut Lookups) {
        let Some(lookup) = self.at_mut(waiter).lookups[slot as usize].take() else { return };
        let Link { previous, next } = self.links[(waiter.0 * 2 + slot as u32) as usize];
        if previous == NONE {
            lookups.at_mut(lookup).waiters = next;
        } else {
            self.links[previous as usize].next = next;
        }
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
    }

    /// The first in the list of a look-up.
    pub(super) fn first(&self, lookup: LookupId, lookups: &Lookups) -> Option<(WaiterId, Slot)> {
        let head = lookups.at(lookup).waiters;
        (head != NONE).then(|| link_owner(head))
    }

    /// Takes the waiter out of both lists and frees its place.
    pub(super) fn remove(&mut self, waiter: WaiterId, lookups: &mut Lookups) {
        self.leave(waiter, Slot::First, lookups);
        self.leave(waiter, Slot::Second, lookups);
        self.abandon(waiter);
        let gone = self.at_mut(waiter);
        debug_assert!(gone.active, "a waiter leaves once");
        gone.active = false;
        gone.answers = [None, None];
        gone.redirected = None;
        gone.script = None;
        self.free.push(waiter.0);
    }

    /// Everybody who waits, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (WaiterId, &mut Waiter)> {
        let places = self.table.iter_mut().enumerate().filter(|(_, waiter)| waiter.active);
        places.map(|(place, waiter)| (WaiterId(place as u32), waiter))
    }

    /// Everybody who waits.
    pub(super) fn iter(&self) -> impl Iterator<Item = (WaiterId, &Waiter)> {
        let places = self.table.iter().enumerate().filter(|(_, waiter)| waiter.active);
        places.map(|(place, waiter)| (WaiterId(place as u32), waiter))
    }
}

/// Whose link this is, and in which slot.
const fn link_owner(link: u32) -> (WaiterId, Slot) {
    (WaiterId(link / 2), if link.is_multiple_of(2) { Slot::First } else { Slot::Second })
}
