//! Look-ups under way: at most one for each name, type, class, DO and CD, whoever waits for it.
//!
//! A look-up is found by its key, so that equal questions join it, and each of its tries by the
//! message ID it was sent with, so that a response finds it. Both indexes and the table have a
//! fixed capacity; a full table refuses, it never grows.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::cache::Key;
use crate::datagram::{SourcePort, UpstreamId, WorkerId};
use crate::limits::NAME_LEN_MAX;
use crate::policy::GroupId;
use crate::time::Moment;
use crate::wire::question::{Class, Rtype};

/// Queries of one look-up that may be unanswered at a time. Later tries wait for an earlier one to
/// be given up.
pub(super) const TRIES_MAX: usize = 14;

/// "None" in the linked lists.
pub(super) const NONE: u32 = u32::MAX;

/// A look-up, by its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LookupId(pub(super) u32);

/// The flags of a key: what beside the question decides the answer.
pub(super) mod key_flags {
    /// DNSSEC records are asked for.
    pub(in crate::engine) const DNSSEC_OK: u8 = 1;
    /// The upstream server is asked not to validate.
    pub(in crate::engine) const CHECKING_DISABLED: u8 = 2;
    /// What comes from upstream and a script has not seen: out of reach for queries.
    pub(in crate::engine) const BEHIND_SCRIPT: u8 = 128;
}

/// A key that owns its name: what is looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    name: [u8; NAME_LEN_MAX],
    name_len: u8,
    /// The type.
    pub(super) rtype: Rtype,
    /// The class.
    pub(super) class: Class,
    /// [`key_flags`].
    pub(super) flags: u8,
    /// The key's hash, as the cache has it.
    pub(super) hash: u64,
    /// The hash of the name alone: it says which worker owns the name.
    pub(super) name_hash: u64,
}

impl Subject {
    /// The subject of these parts. `name` is lower-cased wire form, 1 to 255 octets.
    pub(super) fn new(name: &[u8], rtype: Rtype, class: Class, flags: u8, name_hash: u64) -> Self {
        let key = Key::with_hash(name, rtype.0, class.0, flags, name_hash);
        let mut octets = [0; NAME_LEN_MAX];
        octets[..name.len()].copy_from_slice(name);
        Self {
            name: octets,
            // A name has at most 255 octets.
            name_len: name.len() as u8,
            rtype,
            class,
            flags,
            hash: key.hash(),
            name_hash,
        }
    }

    /// The name, lower-cased wire form.
    pub(super) fn name(&self) -> &[u8] {
        &self.name[..usize::from(self.name_len)]
    }

    /// The key for the cache.
    pub(super) fn key(&self) -> Key<'_> {
        Key::with_hash(self.name(), self.rtype.0, self.class.0, self.flags, self.name_hash)
    }

    /// Whether two subjects are the same.
    fn is(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.rtype == other.rtype
            && self.class == other.class
            && self.flags == other.flags
            && self.name() == other.name()
    }
}

/// One query sent upstream by UDP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    /// The message ID.
    pub(super) id: u16,
    /// Whom it was sent to.
    pub(super) server: UpstreamId,
    /// The port it left from; `None` until the transport has said so.
    pub(super) port: Option<SourcePort>,
    /// When it was sent.
    pub(super) sent: Moment,
    /// Whether an answer is still taken.
    pub(super) open: bool,
    /// Whether it carries an OPT record.
    pub(super) edns: bool,
    /// The next try with the same ID.
    next: u32,
}

/// By what the answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Queries by UDP.
    Udp,
    /// A query by TCP to this server.
    Tcp(UpstreamId),
    /// The worker that owns the name.
    Owner(WorkerId),
    /// What the validator says of this server's response.
    Validator(UpstreamId),
}

/// A look-up under way.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    /// What is looked up.
    pub(super) subject: Subject,
    /// Counts the uses of this place in the table: a late message for an earlier use is told by it.
    pub(super) generation: u32,
    active: bool,
    /// The servers that are asked.
    pub(super) group: GroupId,
    /// When it began, and as much later as the worker stood still meanwhile.
    pub(super) started: Moment,
    /// By what the answer is awaited.
    pub(super) path: Path,
    tries: [Try; TRIES_MAX],
    tries_len: u8,
    /// The place of the latest try.
    latest: u8,
    /// Tries made in all.
    pub(super) tries_made: u32,
    /// Servers that have failed it, as bits by their place in the group.
    pub(super) failed: u32,
    /// Bits that choose the letter case of the name (0x20).
    pub(super) letters: [u8; 32],
    /// Whether queries carry an OPT record.
    pub(super) edns: bool,
    /// Whether the query by TCP carries one.
    pub(super) tcp_edns: bool,
    /// Times that a suspicious response made us turn to TCP.
    pub(super) suspicions: u8,
    /// Whether the owner is asked for a newer answer than the one it has.
    pub(super) refresh: bool,
    /// What the last failure said.
    pub(super) failure: Option<Failure>,
    /// The answer that is being validated, compiled; empty where there is none.
    pub(super) unproved: Vec<u8>,
    /// How often an answer was handed to the validator.
    pub(super) round: u8,
    /// The first of those who wait, as a link of the waiters' table.
    pub(super) waiters: u32,
    /// The server whose answer is awaited.
    asking: Option<UpstreamId>,
}

/// What is remembered of a server's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The RCODE; SERVFAIL where there was none.
    pub(super) rcode: crate::wire::header::Rcode,
    /// Why, as an Extended Error.
    pub(super) info_code: Option<crate::wire::edns::InfoCode>,
    /// Whether it is a DNSSEC failure.
    pub(super) bogus: bool,
}

impl Lookup {
    /// The tries that may still be answered or matched.
    pub(super) fn tries(&self) -> &[Try] {
        &self.tries[..usize::from(self.tries_len)]
    }

    /// The latest try, if there is one.
    pub(super) fn latest_try(&self) -> Option<&Try> {
        self.tries().get(usize::from(self.latest))
    }
}

/// The table of look-ups.
#[derive(Debug)]
pub(super) struct Lookups {
    table: Vec<Lookup>,
    free: Vec<u32>,
    capacity: usize,
    by_key: HashMap<u64, u32, BuildHasherDefault<KeyHasher>>,
    /// For each message ID the first try that was sent with it: look-up times [`TRIES_MAX`] plus
    /// try.
    by_id: Vec<u32>,
    /// How many look-ups await an answer of each server.
    asking: Vec<u32>,
}

impl Lookups {
    /// A table for so many look-ups, at so many servers.
    pub(super) fn new(capacity: usize, servers: usize) -> Self {
        Self {
            asking: vec![0; servers],
            table: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            capacity,
            by_key: HashMap::with_capacity_and_hasher(capacity * 2, BuildHasherDefault::default()),
            by_id: vec![NONE; 1 << 16],
        }
    }

    /// How many look-ups are under way.
    pub(super) fn len(&self) -> usize {
        self.table.len() - self.free.len()
    }

    /// The look-up of this subject.
    pub(super) fn find(&self, subject: &Subject) -> Option<LookupId> {
        let place = *self.by_key.get(&subject.hash)?;
        self.table[place as usize].subject.is(subject).then_some(LookupId(place))
    }

    /// Opens a look-up; `None` if the table is full.
    pub(super) fn open(
        &mut self,
        subject: Subject,
        group: GroupId,
        letters: [u8; 32],
        now: Moment,
    ) -> Option<LookupId> {
        // Two subjects with one 64-bit hash cannot both be indexed. The second does without.
        if self.by_key.contains_key(&subject.hash) {
            return None;
        }
        let unsent = Try {
            id: 0,
            server: UpstreamId(0),
            port: None,
            sent: now,
            open: false,
            edns: false,
            next: NONE,
        };
        let mut lookup = Lookup {
            subject,
            generation: 0,
            active: true,
            group,
            started: now,
            path: Path::Udp,
            tries: [unsent; TRIES_MAX],
            tries_len: 0,
            latest: 0,
            tries_made: 0,
            failed: 0,
            letters,
            edns: true,
            tcp_edns: true,
            suspicions: 0,
            refresh: false,
            failure: None,
            unproved: Vec::new(),
            round: 0,
            waiters: NONE,
            asking: None,
        };
        let place = match self.free.pop() {
            Some(place) => {
                let old = &mut self.table[place as usize];
                lookup.generation = old.generation.wrapping_add(1);
                *old = lookup;
                place
            }
            None if self.table.len() < self.capacity => {
                self.table.push(lookup);
                (self.table.len() - 1) as u32
            }
            None => return None,
        };
        self.by_key.insert(subject.hash, place);
        Some(LookupId(place))
    }

    /// Ends a look-up: nothing finds it any more.
    pub(super) fn close(&mut self, lookup: LookupId) {
        for index in 0..usize::from(self.table[lookup.0 as usize].tries_len) {
            self.unlink_id(lookup, index);
        }
        self.ask(lookup, None);
        let ended = &mut self.table[lookup.0 as usize];
        debug_assert!(ended.active, "a look-up ends once");
        debug_assert_eq!(ended.waiters, NONE, "nobody waits for a look-up that has ended");
        ended.active = false;
        ended.unproved = Vec::new();
        ended.tries_len = 0;
        self.by_key.remove(&ended.subject.hash);
        self.free.push(lookup.0);
    }

    /// From now on the look-up awaits the answer of this server, or of none.
    pub(super) fn ask(&mut self, lookup: LookupId, server: Option<UpstreamId>) {
        let before = std::mem::replace(&mut self.table[lookup.0 as usize].asking, server);
        let place = |server: UpstreamId| usize::from(server.0);
        if let Some(count) = before.and_then(|server| self.asking.get_mut(place(server))) {
            *count -= 1;
        }
        if let Some(count) = server.and_then(|server| self.asking.get_mut(place(server))) {
            *count += 1;
        }
    }

    /// How many look-ups await an answer of each server, by the servers' places.
    pub(super) fn asking(&self) -> &[u32] {
        &self.asking
    }

    /// The look-up at this place.
    pub(super) fn at(&self, lookup: LookupId) -> &Lookup {
        &self.table[lookup.0 as usize]
    }

    /// The look-up at this place.
    pub(super) fn at_mut(&mut self, lookup: LookupId) -> &mut Lookup {
        &mut self.table[lookup.0 as usize]
    }

    /// The look-up at this place, if it is still the one of this generation.
    pub(super) fn current(&self, place: u32, generation: u32) -> Option<LookupId> {
        let lookup = self.table.get(place as usize)?;
        (lookup.active && lookup.generation == generation).then_some(LookupId(place))
    }

    /// Every look-up under way, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (LookupId, &mut Lookup)> {
        let places = self.table.iter_mut().enumerate();
        places
            .filter(|(_, lookup)| lookup.active)
            .map(|(place, lookup)| (LookupId(place as u32), lookup))
    }

    /// Every look-up under way.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LookupId, &Lookup)> {
        let places = self.table.iter().enumerate();
        places
            .filter(|(_, lookup)| lookup.active)
            .map(|(place, lookup)| (LookupId(place as u32), lookup))
    }

    /// Adds a try; its place among the tries. The oldest is given up if all places are taken.
    pub(super) fn add_try(
        &mut self,
        lookup: LookupId,
        id: u16,
        server: UpstreamId,
        now: Moment,
    ) -> usize {
        let len = usize::from(self.at(lookup).tries_len);
        let index = if len < TRIES_MAX {
            self.at_mut(lookup).tries_len += 1;
            len
        } else {
            let tries = self.at(lookup).tries().iter().enumerate();
            let oldest = tries.min_by_key(|(_, sent)| (sent.open, sent.sent));
            let index = oldest.map_or(0, |(index, _)| index);
            self.unlink_id(lookup, index);
            index
        };
        let head = self.by_id[usize::from(id)];
        let entry = self.at_mut(lookup);
        let edns = entry.edns;
        entry.tries[index] =
            Try { id, server, port: None, sent: now, open: true, edns, next: head };
        entry.latest = index as u8;
        entry.tries_made += 1;
        self.by_id[usize::from(id)] = lookup.0 * TRIES_MAX as u32 + index as u32;
        index
    }

    /// A try.
    pub(super) fn try_mut(&mut self, lookup: LookupId, index: usize) -> &mut Try {
        &mut self.table[lookup.0 as usize].tries[index]
    }

    /// The tries that were sent with this ID.
    pub(super) fn with_id(&self, id: u16) -> impl Iterator<Item = (LookupId, usize)> + '_ {
        let mut next = self.by_id[usize::from(id)];
        std::iter::from_fn(move || {
            let place = (next != NONE).then_some(next)?;
            let (lookup, index) = (place / TRIES_MAX as u32, place as usize % TRIES_MAX);
            next = self.table[lookup as usize].tries[index].next;
            Some((LookupId(lookup), index))
        })
    }

    /// Takes a try out of the list of its ID.
    fn unlink_id(&mut self, lookup: LookupId, index: usize) {
        let gone = lookup.0 * TRIES_MAX as u32 + index as u32;
        let Try { id, next: after, .. } = self.table[lookup.0 as usize].tries[index];
        let mut place = self.by_id[usize::from(id)];
        if place == gone {
            self.by_id[usize::from(id)] = after;
            return;
        }
        while place != NONE {
            let entry =
                &mut self.table[place as usize / TRIES_MAX].tries[place as usize % TRIES_MAX];
            if entry.next == gone {
                entry.next = after;
                return;
            }
            place = entry.next;
        }
        debug_assert!(false, "every try is in the list of its ID");
    }
}

/// Keys are hashes already: hashing them again would only cost time.
#[derive(Clone, Copy, Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &[u8]) -> Subject {
        let hash = dns64_ebpf::hash::name_hash(name, 7);
        Subject::new(name, Rtype::AAAA, Class::IN, 0, hash)
    }

    fn open(lookups: &mut Lookups, name: &[u8]) -> Option<LookupId> {
        lookups.open(subject(name), GroupId::DEFAULT, [0; 32], Moment::START)
    }

    #[test]
    fn equal_subjects_find_the_same_look_up_until_it_ends() {
        let mut lookups = Lookups::new(4, 1);
        let a = open(&mut lookups, b"\x01a\0").unwrap();
        assert_eq!(lookups.find(&subject(b"\x01a\0")), Some(a));
        assert_eq!(lookups.find(&subject(b"\x01b\0")), None);
        let generation = lookups.at(a).generation;
        assert_eq!(lookups.current(a.0, generation), Some(a));
        lookups.close(a);
        assert_eq!(lookups.find(&subject(b"\x01a\0")), None);
        let b = open(&mut lookups, b"\x01b\0").unwrap();
        assert_eq!(b.0, a.0, "the place is used again");
        assert_eq!(lookups.current(a.0, generation), None, "and told by its generation");
    }

    #[test]
    fn a_full_table_refuses() {
        let mut lookups = Lookups::new(1, 1);
        assert!(open(&mut lookups, b"\x01a\0").is_some());
        assert!(open(&mut lookups, b"\x01b\0").is_none());
        assert_eq!(lookups.len(), 1);
    }

    #[test]
    fn a_look_up_counts_at_the_server_that_it_awaits_until_it_ends() {
        let mut lookups = Lookups::new(4, 2);
        let a = open(&mut lookups, b"\x01a\0").unwrap();
        let b = open(&mut lookups, b"\x01b\0").unwrap();
        assert_eq!(lookups.asking(), [0, 0]);
        lookups.ask(a, Some(UpstreamId(1)));
        lookups.ask(a, Some(UpstreamId(1)));
        lookups.ask(b, Some(UpstreamId(1)));
        assert_eq!(lookups.asking(), [0, 2]);
        lookups.ask(a, Some(UpstreamId(0)));
        assert_eq!(lookups.asking(), [1, 1]);
        lookups.ask(b, None);
        lookups.close(a);
        lookups.close(b);
        assert_eq!(lookups.asking(), [0, 0]);
    }

    #[test]
    fn tries_with_one_id_are_all_found_and_all_forgotten() {
        let mut lookups = Lookups::new(4, 1);
        let a = open(&mut lookups, b"\x01a\0").unwrap();
        let b = open(&mut lookups, b"\x01b\0").unwrap();
        lookups.add_try(a, 5, UpstreamId(0), Moment::START);
        lookups.add_try(b, 5, UpstreamId(0), Moment::START);
        lookups.add_try(a, 5, UpstreamId(1), Moment::START);
        assert_eq!(lookups.with_id(5).count(), 3);
        lookups.close(a);
        assert_eq!(lookups.with_id(5).collect::<Vec<_>>(), [(b, 0)]);
        lookups.close(b);
        assert_eq!(lookups.with_id(5).count(), 0);
    }

    #[test]
    fn a_try_too_many_takes_the_place_of_the_oldest() {
        let mut lookups = Lookups::new(1, 1);
        let a = open(&mut lookups, b"\x01a\0").unwrap();
        for n in 0..=TRIES_MAX as u16 {
            lookups.add_try(a, n, UpstreamId(0), Moment::from_millis(u64::from(n)));
        }
        assert_eq!(lookups.with_id(0).count(), 0);
        assert_eq!(lookups.with_id(TRIES_MAX as u16).count(), 1);
        assert_eq!(lookups.at(a).latest_try().unwrap().id, TRIES_MAX as u16);
        assert_eq!(lookups.at(a).tries().len(), TRIES_MAX);
    }
}
