//! Answers of the cache outside of it: what a snapshot is made of, and what `dns64ctl dump-cache`
//! shows.
//!
//! The cache is read a page at a time, bucket after bucket, so that it never waits for whoever
//! reads. A page is one record behind the other, integers little-endian:
//!
//! ```text
//!  octets 0-3    length of the answer
//!  octets 4-7    length of the companion; 0: none
//!  octets 8-19   life of the answer: seconds since it was stored; how many of them, from then on,
//!                it is fresh, and of use
//!  octets 20-31  life of the companion
//!  octets 32-39  type, class, variant, flags, length of the name
//!  octets 40-    the name, the answer, the companion
//! ```

use crate::answer::check::is_sound;
use crate::answer::{Answer, AnswerFlags, Outcome, lower_ttls};
use crate::cache::{self, Key, Scope, Times};
use crate::time::Moment;
use crate::wire::name::Name;
use crate::wire::question::{Class, Rtype};

use super::Engine;
use super::entry::{Entry, Parts};
use super::lookup::key_flags;

/// Octets of a record before its name.
const HEAD_LEN: usize = 40;

/// A page ends with the bucket in which it gets so many octets.
const PAGE_LEN: usize = 64 << 10;

/// A page ends with the bucket in which it has seen so many entries, wanted or not: about a tenth
/// of a millisecond of reading all over the memory.
const PAGE_ENTRIES: usize = 1_024;

/// A page ends after so many buckets, full or empty.
const PAGE_BUCKETS: u32 = 16_384;

/// The life of an answer, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Since it was stored.
    pub age_secs: u32,
    /// For how long from then on it is fresh.
    pub fresh_secs: u32,
    /// For how long from then on it is of use, fresh or stale.
    pub usable_secs: u32,
}

impl Life {
    fn of(times: Times, now_secs: u32) -> Self {
        Self {
            age_secs: now_secs.saturating_sub(times.stored_secs),
            fresh_secs: times.expires_secs.saturating_sub(times.stored_secs),
            usable_secs: times.stale_until_secs.saturating_sub(times.stored_secs),
        }
    }

    /// Whether it is past its TTL.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.age_secs >= self.fresh_secs
    }

    /// What is left of the TTL; 0 if it is stale.
    #[must_use]
    pub const fn left_secs(&self) -> u32 {
        self.fresh_secs.saturating_sub(self.age_secs)
    }
}

/// An answer of the cache, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The name in wire form, lower case.
    pub name: &'a [u8],
    /// The type asked for.
    pub rtype: Rtype,
    /// The class asked for.
    pub class: Class,
    /// For whom a script has said it; 0: it came from upstream.
    pub variant: u16,
    /// What else tells answers to one question apart: see the methods.
    pub flags: u8,
    /// How old it is.
    pub life: Life,
    /// The compiled answer.
    pub answer: &'a [u8],
    /// The compiled A answer beside an AAAA answer.
    pub companion: Option<(&'a [u8], Life)>,
}

impl<'a> Record<'a> {
    /// The record of an entry; `None` if the entry cannot be read.
    fn of(entry: &cache::Entry<'a>, now_secs: u32) -> Option<Self> {
        let Entry { parts, .. } = Entry::read(entry.value)?;
        let companion = parts.companion.map(|(octets, times)| (octets, Life::of(times, now_secs)));
        Some(Self {
            name: entry.name,
            rtype: Rtype(entry.rtype),
            class: Class(entry.class),
            variant: entry.variant,
            flags: entry.flags,
            life: Life::of(entry.times, now_secs),
            answer: parts.answer,
            companion,
        })
    }

    /// Takes the record at the front of these octets, and returns what follows it; `None` if there
    /// is none.
    #[must_use]
    pub fn split(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = octets.split_first_chunk::<HEAD_LEN>()?;
        let long = |number: usize| u32::from_le_bytes(head.as_chunks().0[number]);
        let short = |number: usize| u16::from_le_bytes(head.as_chunks().0[number]);
        let life = |first: usize| Life {
            age_secs: long(first),
            fresh_secs: long(first + 1),
            usable_secs: long(first + 2),
        };
        let (name, rest) = rest.split_at_checked(usize::from(head[39]))?;
        let (answer, rest) = rest.split_at_checked(long(0) as usize)?;
        let (companion, rest) = rest.split_at_checked(long(1) as usize)?;
        let record = Self {
            name,
            rtype: Rtype(short(16)),
            class: Class(short(17)),
            variant: short(18),
            flags: head[38],
            life: life(2),
            answer,
            companion: (!companion.is_empty()).then(|| (companion, life(5))),
        };
        Some((record, rest))
    }

    /// Writes the record behind others.
    pub fn write(&self, into: &mut Vec<u8>) {
        let (companion, life) = self.companion.unzip();
        let companion: &[u8] = companion.unwrap_or_default();
        let life = life.unwrap_or(Life { age_secs: 0, fresh_secs: 0, usable_secs: 0 });
        // Values of the cache are far below 4 GiB.
        let lens = [self.answer.len() as u32, companion.len() as u32];
        let lives = [self.life, life].map(|it| [it.age_secs, it.fresh_secs, it.usable_secs]);
        for long in lens.into_iter().chain(lives.into_iter().flatten()) {
            into.extend_from_slice(&long.to_le_bytes());
        }
        for short in [self.rtype.0, self.class.0, self.variant] {
            into.extend_from_slice(&short.to_le_bytes());
        }
        // A name has at most 255 octets.
        into.extend_from_slice(&[self.flags, self.name.len() as u8]);
        for part in [self.name, self.answer, companion] {
            into.extend_from_slice(part);
        }
    }

    /// Whether DNSSEC records were asked for.
    #[must_use]
    pub const fn dnssec_ok(&self) -> bool {
        self.flags & key_flags::DNSSEC_OK != 0
    }

    /// Whether the upstream server was asked not to validate.
    #[must_use]
    pub const fn checking_disabled(&self) -> bool {
        self.flags & key_flags::CHECKING_DISABLED != 0
    }

    /// Whether a script stands between the answer and clients.
    #[must_use]
    pub const fn behind_script(&self) -> bool {
        self.flags & key_flags::BEHIND_SCRIPT != 0
    }

    /// Whether it came from upstream and says something: what a script has said holds for this run
    /// of it, and a failure may be over.
    fn is_lasting(&self) -> bool {
        self.variant == 0
            && Answer::read(self.answer).is_some_and(|answer| {
                let head = answer.head();
                head.outcome != Outcome::Failure && !head.flags.has(AnswerFlags::UNTOUCHED)
            })
    }

    /// Whether the record can be put into a cache, wherever it has been meanwhile.
    #[must_use]
    pub fn is_restorable(&self) -> bool {
        let known = key_flags::DNSSEC_OK | key_flags::CHECKING_DISABLED | key_flags::BEHIND_SCRIPT;
        let is_folded = !self.name.iter().any(u8::is_ascii_uppercase);
        self.flags & !known == 0
            && is_folded
            && Name::from_wire(self.name).is_ok()
            && self.life.fresh_secs <= self.life.usable_secs
            && self.is_lasting()
            && is_sound(self.answer, self.name, self.rtype)
            && self.companion.is_none_or(|(octets, life)| {
                self.rtype == Rtype::AAAA
                    && life.fresh_secs <= life.usable_secs
                    && is_sound(octets, self.name, Rtype::A)
            })
    }
}

/// The records in these octets, as far as they can be read.
pub fn records(mut octets: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let (record, rest) = Record::split(octets)?;
        octets = rest;
        Some(record)
    })
}

/// Which entries are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those of these names, whatever they are.
    Named(Scope),
    /// What may be used in a cache to come, of names that belong to this worker.
    Own,
    /// The same, of names that belong to others.
    Foreign,
}

/// A piece of the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The records.
    pub octets: Vec<u8>,
    /// The hashes of their keys.
    pub keys: Vec<u64>,
    /// Where the next page begins; `None`: this is the last one.
    pub next: Option<u32>,
}

/// What has become of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Are in the cache now.
    pub taken: u64,
    /// Are past any use.
    pub expired: u64,
    /// Were there already, or had no room.
    pub left: u64,
}

impl Restored {
    /// Adds what another worker says.
    pub const fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.expired += other.expired;
        self.left += other.left;
    }
}

impl Engine {
    /// A page of the cache, from a bucket on: 0, or where the page before says. Some 64 KiB, more
    /// only by what one bucket holds.
    #[must_use]
    pub fn cache_page(&self, from: u32, wanted: &Wanted, now: Moment) -> Page {
        let now_secs = now.as_secs();
        let buckets = self.shard.buckets();
        let end = buckets.min(from.saturating_add(PAGE_BUCKETS));
        let mut page = Page::default();
        let mut seen = 0;
        for bucket in from..end {
            for entry in self.shard.bucket(bucket) {
                seen += 1;
                self.show(&entry, wanted, now_secs, &mut page);
            }
            if page.octets.len() >= PAGE_LEN || seen >= PAGE_ENTRIES {
                page.next = Some(bucket + 1).filter(|next| *next < buckets);
                return page;
            }
        }
        page.next = Some(end).filter(|next| *next < buckets);
        page
    }

    /// Puts an entry into a page if it is wanted.
    fn show(&self, entry: &cache::Entry<'_>, wanted: &Wanted, now_secs: u32, page: &mut Page) {
        if !entry.times.is_usable(now_secs) {
            return;
        }
        let name_hash = dns64_ebpf::hash::name_hash(entry.name, self.hash_seed);
        let is_own = self.owner(name_hash) == self.worker;
        let is_wanted = match wanted {
            Wanted::Named(scope) => scope.has(entry.name, entry.rtype),
            Wanted::Own => is_own,
            Wanted::Foreign => !is_own,
        };
        if !is_wanted {
            return;
        }
        let Some(record) = Record::of(entry, now_secs) else { return };
        if matches!(wanted, Wanted::Own | Wanted::Foreign) && !record.is_lasting() {
            return;
        }
        record.write(&mut page.octets);
        let Record { name, rtype, class, flags, .. } = record;
        page.keys.push(Key::with_hash(name, rtype.0, class.0, flags, name_hash).hash());
    }

    /// Puts records into the cache, of names that belong to this worker and that it has nothing
    /// about yet. Since they were written `elapsed_secs` have passed: their TTLs are lowered by
    /// that and by their age, and what is past its use is left out.
    ///
    /// Records that are none are left out too, see [`Record::is_restorable`].
    pub fn restore(&mut self, octets: &[u8], elapsed_secs: u32, now: Moment) -> Restored {
        let mut restored = Restored::default();
        for record in records(octets) {
            let name_hash = dns64_ebpf::hash::name_hash(record.name, self.hash_seed);
            if self.owner(name_hash) == self.worker && record.is_restorable() {
                self.restore_one(&record, name_hash, elapsed_secs, now, &mut restored);
            }
        }
        self.counters.cache_restored += restored.taken;
        restored
    }

    fn restore_one(
        &mut self,
        record: &Record<'_>,
        name_hash: u64,
        elapsed_secs: u32,
        now: Moment,
        restored: &mut Restored,
    ) {
        let now_secs = now.as_secs();
        let Record { name, rtype, class, flags, .. } = *record;
        let key = Key::with_hash(name, rtype.0, class.0, flags, name_hash);
        let known = self.shard.peek(&key, now_secs).and_then(|hit| Entry::read(hit.value));
        let (retry_secs, failures) = match known {
            None => (0, 0),
            // A look-up has failed since the start: that is what a stale answer is for.
            Some(Entry { answer, parts, .. })
                if answer.head().outcome == Outcome::Failure
                    && !answer.head().flags.has(AnswerFlags::BOGUS) =>
            {
                (parts.retry_secs, parts.failures)
            }
            Some(_) => {
                restored.left += 1;
                return;
            }
        };
        let Some((answer, times)) = self.aged(record.answer, record.life, elapsed_secs, now_secs)
        else {
            restored.expired += 1;
            return;
        };
        let companion = record
            .companion
            .and_then(|(octets, life)| self.aged(octets, life, elapsed_secs, now_secs));
        let companion = companion.as_ref().map(|(octets, times)| (octets.as_slice(), *times));
        Parts { answer: &answer, companion, retry_secs, failures }.write(&mut self.entry_scratch);
        match self.shard.insert(&key, &self.entry_scratch, times) {
            Ok(()) => restored.taken += 1,
            Err(_) => restored.left += 1,
        }
    }

    /// An answer as it is now, so long after it was written with this life, as if it had been
    /// stored now; `None` if it is past its use by this configuration.
    fn aged(
        &self,
        octets: &[u8],
        life: Life,
        elapsed_secs: u32,
        now_secs: u32,
    ) -> Option<(Vec<u8>, Times)> {
        let cache = &self.policy.cache;
        let stale_secs = if cache.serve_stale { cache.max_stale_secs } else { 0 };
        let usable_secs = life.usable_secs.min(life.fresh_secs.saturating_add(stale_secs));
        let age_secs = life.age_secs.saturating_add(elapsed_secs);
        let usable_left_secs = usable_secs.saturating_sub(age_secs);
        if usable_left_secs == 0 {
            return None;
        }
        let fresh_left_secs = life.fresh_secs.saturating_sub(age_secs);
        let mut octets = octets.to_vec();
        if fresh_left_secs > 0 {
            lower_ttls(&mut octets, age_secs);
        }
        let times = Times {
            stored_secs: now_secs,
            expires_secs: now_secs.saturating_add(fresh_left_secs),
            stale_until_secs: now_secs.saturating_add(usable_left_secs),
        };
        Some((octets, times))
    }
}
