//! One worker's part of the cache: which entries stay, which go.

use std::fmt;

use crate::limits::{MESSAGE_LEN_MAX, NAME_LEN_MAX};

use super::index::{Index, Slot};
use super::key::Key;
use super::log::{Header, Log, UNIT_LEN};
use super::scope::Scope;

/// One octet in so many is the index's: with eight ways of eight octets a bucket, entries of 160
/// octets then fill 0.7 of it, and few buckets are full before the log is.
const INDEX_SHARE: usize = 15;

/// Octets of the longest value: a DNS message, and what its owner wants to note about it.
const VALUE_LEN_MAX: usize = MESSAGE_LEN_MAX + 512;

/// The longest entry is this part of the log, so that one answer cannot displace all others.
const ENTRY_SHARE_MAX: u32 = 8;

/// Entries moved to the head for one that is inserted: what bounds the work of an insertion when
/// everything was asked for.
const MOVED_ENTRIES_MAX: u32 = 16;

/// Units moved to the head for one entry that is inserted (64 KiB), for the same reason.
const MOVED_UNITS_MAX: u32 = 65_536 / UNIT_LEN as u32;

/// When an entry was stored, and until when it is of use, in seconds of one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it was stored; not in the future.
    pub stored_secs: u32,
    /// Fresh before this.
    pub expires_secs: u32,
    /// Of use as a stale answer (RFC 8767) before this; not before `expires_secs`.
    pub stale_until_secs: u32,
}

impl Times {
    /// Whether the entry can be used without asking again.
    #[must_use]
    pub const fn is_fresh(&self, now_secs: u32) -> bool {
        now_secs < self.expires_secs
    }

    /// Whether the entry can be used at all, fresh or stale.
    #[must_use]
    pub const fn is_usable(&self, now_secs: u32) -> bool {
        now_secs < self.stale_until_secs
    }
}

/// What was found.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'s> {
    /// The value as it was inserted.
    pub value: &'s [u8],
    /// Fresh or stale: see [`Times::is_fresh`].
    pub times: Times,
}

/// One entry of a walk over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'s> {
    /// The name of the key.
    pub name: &'s [u8],
    /// The type of the key.
    pub rtype: u16,
    /// The class of the key.
    pub class: u16,
    /// The flags of the key.
    pub flags: u8,
    /// The variant of the key.
    pub variant: u16,
    /// As given at insertion; the entry may have expired.
    pub times: Times,
    /// The value as it was inserted.
    pub value: &'s [u8],
}

/// What a shard holds now, and what it has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries that can be found.
    pub entries: u64,
    /// Octets of the log that these entries take.
    pub used_octets: u64,
    /// Octets of memory, index included.
    pub capacity_octets: u64,
    /// Entries written for keys that were not there.
    pub insertions: u64,
    /// Entries written for keys that were there.
    pub replaced: u64,
    /// Entries that went because the log was full.
    pub evictions: u64,
    /// Entries that went because their bucket of the index was full.
    pub bucket_evictions: u64,
    /// Entries kept for another lap because they had been asked for.
    pub reinsertions: u64,
    /// Entries that went because they were no longer of use.
    pub expired: u64,
    /// Entries that went because somebody asked for that.
    pub removed: u64,
}

/// A bounded cache with one owner. Allocates in [`Shard::new`] and nowhere else.
pub struct Shard {
    /// Where entries are.
    index: Index,
    /// The entries.
    log: Log,
    /// Units of the log taken by entries that can be found.
    live_units: u64,
    /// The rest of what can be counted.
    stats: Stats,
}

/// An entry that a key led to.
struct Found {
    /// Its place in the index.
    slot: Slot,
    /// Its place in the log.
    position: u32,
    /// Its header.
    header: Header,
}

impl Shard {
    /// A shard of `capacity_octets` of memory, index included (but at least the 127 octets in which
    /// one bucket can be aligned); all of it is in use when this returns.
    #[must_use]
    pub fn new(capacity_octets: usize) -> Self {
        Self::new_with(capacity_octets, |_| {})
    }

    /// As [`new`](Self::new), but shows each piece of memory to `prepare` before its first page is
    /// touched, the moment at which huge pages can be asked for.
    #[must_use]
    pub fn new_with(capacity_octets: usize, mut prepare: impl FnMut(&mut [u8])) -> Self {
        let index = Index::new(capacity_octets / INDEX_SHARE, &mut prepare);
        let log = Log::new(capacity_octets.saturating_sub(index.octets_len()), &mut prepare);
        let capacity_octets = (index.octets_len() + log.octets_len()) as u64;
        Self { index, log, live_units: 0, stats: Stats { capacity_octets, ..Stats::default() } }
    }

    /// The entry of a key, fresh or stale, which then counts as asked for. An entry that is no
    /// longer of use is a miss, and gone.
    #[inline]
    pub fn get(&mut self, key: &Key<'_>, now_secs: u32) -> Option<Hit<'_>> {
        let found = self.find(key)?;
        if !found.header.times.is_usable(now_secs) {
            self.forget(found.slot, &found.header);
            self.stats.expired += 1;
            return None;
        }
        self.index.visit(found.slot);
        Some(self.hit(&found))
    }

    /// As [`get`](Self::get), but leaves no trace.
    #[must_use]
    pub fn peek(&self, key: &Key<'_>, now_secs: u32) -> Option<Hit<'_>> {
        let found = self.find(key)?;
        found.header.times.is_usable(now_secs).then(|| self.hit(&found))
    }

    /// Stores a value under a key, in place of the one that is there.
    ///
    /// # Errors
    ///
    /// If the entry is longer than an entry may be; an earlier value of the key is then gone too,
    /// since it is no longer the last word.
    pub fn insert(&mut self, key: &Key<'_>, value: &[u8], times: Times) -> Result<(), TooLarge> {
        let found = self.find(key);
        let Some(header) = self.header_for(key, value, times) else {
            if let Some(found) = found {
                self.forget(found.slot, &found.header);
                self.stats.removed += 1;
            }
            return Err(TooLarge);
        };
        let Some(found) = found else {
            self.append(key, &header, value);
            self.stats.insertions += 1;
            return Ok(());
        };
        self.stats.replaced += 1;
        let slot = if found.header.units() == header.units() {
            self.log.overwrite(found.position, &header, key.name, value);
            found.slot
        } else {
            self.forget(found.slot, &found.header);
            self.append(key, &header, value)
        };
        // It was asked for again, or it would not have been looked up again.
        self.index.visit(slot);
        Ok(())
    }

    /// Whether [`insert`](Self::insert) would take a value of this key.
    #[must_use]
    pub fn takes(&self, key: &Key<'_>, value: &[u8]) -> bool {
        let times = Times { stored_secs: 0, expires_secs: 0, stale_until_secs: 0 };
        self.header_for(key, value, times).is_some()
    }

    /// Removes the entry of a key; says whether there was one.
    pub fn remove(&mut self, key: &Key<'_>) -> bool {
        let Some(found) = self.find(key) else { return false };
        self.forget(found.slot, &found.header);
        self.stats.removed += 1;
        true
    }

    /// Removes the entries that are meant; returns how many there were. Reads the whole log, unless
    /// all are.
    pub fn flush(&mut self, scope: &Scope) -> u64 {
        let before = self.stats.entries;
        match scope {
            Scope::All => self.clear(),
            Scope::Name(_) | Scope::Types(..) | Scope::Subtree(_) => self.remove_where(scope),
        }
        before - self.stats.entries
    }

    /// Removes everything. Writes the whole index.
    pub fn clear(&mut self) {
        self.stats.removed += self.stats.entries;
        self.stats.entries = 0;
        self.live_units = 0;
        self.index.clear();
        self.log.clear();
    }

    /// Loads the line of the index that a look-up of this hash reads first.
    ///
    /// Called for all keys of a batch before the first of them is looked up, it makes the machine
    /// fetch the lines at the same time instead of one after the other. The caller must give what
    /// is returned to [`std::hint::black_box`], or the compiler sees that nobody needs it.
    #[must_use]
    pub fn touch_index(&self, hash: u64) -> u32 {
        self.index.touch(hash)
    }

    /// As [`touch_index`](Self::touch_index), for the first lines of the entry; to be called for
    /// all keys of a batch after `touch_index` has been. Worth its while when the shard is larger
    /// than the processor's caches.
    #[must_use]
    pub fn touch_entry(&self, hash: u64) -> u32 {
        self.index.matching(hash).map(|slot| self.log.touch(self.index.position(slot))).sum()
    }

    /// What the shard holds and has done.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        Stats { used_octets: self.live_units * UNIT_LEN as u64, ..self.stats }
    }

    /// All entries, oldest first, those no longer of use included.
    #[must_use]
    pub const fn iter(&self) -> Entries<'_> {
        Entries { shard: self, next: self.log.oldest() }
    }

    /// How many buckets the index has: what [`bucket`](Self::bucket) takes is below that.
    #[must_use]
    pub const fn buckets(&self) -> u32 {
        self.index.buckets()
    }

    /// The entries of one bucket of the index, those no longer of use included; none past the last
    /// bucket. An entry stays in its bucket while it lives, so that a walk from bucket to bucket
    /// meets each entry once that is there all the while, whatever comes and goes meanwhile.
    pub fn bucket(&self, number: u32) -> impl Iterator<Item = Entry<'_>> {
        let slots = (number < self.index.buckets()).then(|| self.index.occupied_in(number));
        slots.into_iter().flatten().map(|slot| {
            let position = self.index.position(slot);
            self.entry(position, &self.log.header(position))
        })
    }

    /// The entry at a position of the log.
    fn entry(&self, position: u32, header: &Header) -> Entry<'_> {
        let (name, value) = self.log.name_and_value(position, header);
        Entry {
            name,
            rtype: header.rtype(),
            class: header.class(),
            flags: header.flags(),
            variant: header.variant(),
            times: header.times,
            value,
        }
    }

    /// The entry of a key, whatever its age.
    #[inline]
    fn find(&self, key: &Key<'_>) -> Option<Found> {
        let question = key.question_word();
        for slot in self.index.matching(key.hash()) {
            let position = self.index.position(slot);
            let header = self.log.header(position);
            if header.hash == key.hash()
                && header.question == question
                && self.log.name_and_value(position, &header).0 == key.name
            {
                return Some(Found { slot, position, header });
            }
        }
        None
    }

    /// The value of an entry that was found.
    fn hit(&self, found: &Found) -> Hit<'_> {
        let (_, value) = self.log.name_and_value(found.position, &found.header);
        Hit { value, times: found.header.times }
    }

    /// The header of an entry to be, if it is not too large.
    fn header_for(&self, key: &Key<'_>, value: &[u8], mut times: Times) -> Option<Header> {
        if key.name.len() > NAME_LEN_MAX || value.len() > VALUE_LEN_MAX {
            return None;
        }
        times.stale_until_secs = times.stale_until_secs.max(times.expires_secs);
        let header = Header::new(key, value, times)?;
        (header.units() <= self.log.units() / ENTRY_SHARE_MAX).then_some(header)
    }

    /// Writes an entry whose key is not there, at the head of the log.
    fn append(&mut self, key: &Key<'_>, header: &Header, value: &[u8]) -> Slot {
        self.make_room(header.units(), header.times.stored_secs);
        let slot = self.index.vacant(header.hash).unwrap_or_else(|| self.evict_way(header.hash));
        let position = self.log.append(header, key.name, value);
        self.index.fill(slot, header.hash, position);
        self.stats.entries += 1;
        self.live_units += u64::from(header.units());
        slot
    }

    /// Takes entries from the tail of the log until `units` are free at its head.
    ///
    /// Each turn frees an entry or spends some of what may be moved, so there are at most as many
    /// turns as the new entry has units and [`MOVED_ENTRIES_MAX`].
    fn make_room(&mut self, units: u32, now_secs: u32) {
        debug_assert!(units <= self.log.units() / ENTRY_SHARE_MAX);
        let mut entries_to_move = MOVED_ENTRIES_MAX;
        let mut units_to_move = MOVED_UNITS_MAX;
        while !self.log.has_room(units) {
            let Some(oldest) = self.log.oldest() else {
                unreachable!("a log without entries has room for any that is not too large");
            };
            let header = self.log.header(oldest);
            let oldest_units = header.units();
            let Some(slot) = self.index.slot_at(header.hash, oldest) else {
                // It was replaced or removed before.
                self.log.drop_oldest(oldest_units);
                continue;
            };
            let is_usable = header.times.is_usable(now_secs);
            if is_usable
                && self.index.is_visited(slot)
                && entries_to_move > 0
                && units_to_move >= oldest_units
            {
                entries_to_move -= 1;
                units_to_move -= oldest_units;
                let position = self.log.move_oldest(oldest_units);
                self.index.set_position(slot, position);
                self.index.unvisit(slot);
                self.stats.reinsertions += 1;
                continue;
            }
            self.forget(slot, &header);
            self.log.drop_oldest(oldest_units);
            if is_usable {
                self.stats.evictions += 1;
            } else {
                self.stats.expired += 1;
            }
        }
    }

    /// Frees a slot in a full bucket: that of the oldest entry nobody asked for. Where all were
    /// asked for, that of the oldest, and the others have to be asked for again.
    fn evict_way(&mut self, hash: u64) -> Slot {
        let age_rank = |slot: &Slot| self.log.distance_from_tail(self.index.position(*slot));
        let not_visited = self.index.occupied(hash).filter(|slot| !self.index.is_visited(*slot));
        let victim = if let Some(slot) = not_visited.min_by_key(age_rank) {
            slot
        } else {
            let oldest = self.index.occupied(hash).min_by_key(age_rank);
            for slot in self.index.occupied(hash) {
                self.index.unvisit(slot);
            }
            oldest.expect("a full bucket is not empty")
        };
        let header = self.log.header(self.index.position(victim));
        self.forget(victim, &header);
        self.stats.bucket_evictions += 1;
        victim
    }

    /// Takes an entry out of the index. Its octets stay in the log, dead, until the tail comes by.
    fn forget(&mut self, slot: Slot, header: &Header) {
        self.index.vacate(slot);
        self.stats.entries -= 1;
        self.live_units -= u64::from(header.units());
    }

    /// Removes all entries that are meant.
    fn remove_where(&mut self, scope: &Scope) {
        let mut next = self.log.oldest();
        while let Some(position) = next {
            let header = self.log.header(position);
            let (name, _) = self.log.name_and_value(position, &header);
            if scope.has(name, header.rtype())
                && let Some(slot) = self.index.slot_at(header.hash, position)
            {
                self.forget(slot, &header);
                self.stats.removed += 1;
            }
            next = self.log.after(position, header.units());
        }
    }

    /// Asserts that index and log agree in every entry, and the counts with both.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut entries = 0;
        let mut live_units = 0;
        let mut log_units = 0;
        let mut next = self.log.oldest();
        while let Some(position) = next {
            let header = self.log.header(position);
            let (name, value) = self.log.name_and_value(position, &header);
            assert!(header.units() <= self.log.units() / ENTRY_SHARE_MAX);
            assert_eq!(Some(header.units()), {
                let key = Key::with_hash(name, header.rtype(), header.class(), header.flags(), 0);
                let key = key.with_variant(header.variant());
                assert_eq!(key.question_word(), header.question);
                Header::new(&key, value, header.times).map(|header| header.units())
            });
            if self.index.slot_at(header.hash, position).is_some() {
                entries += 1;
                live_units += u64::from(header.units());
            }
            log_units += u64::from(header.units());
            next = self.log.after(position, header.units());
        }
        assert_eq!(self.stats.entries, entries, "entries in the log");
        assert_eq!(self.live_units, live_units, "units in the log");
        assert!(log_units <= u64::from(self.log.units()), "more than there is room for");
        assert_eq!(self.index.all_occupied().count() as u64, entries, "slots in the index");
    }
}

impl<'s> IntoIterator for &'s Shard {
    type Item = Entry<'s>;
    type IntoIter = Entries<'s>;

    fn into_iter(self) -> Entries<'s> {
        self.iter()
    }
}

/// A walk over all entries of a shard; see [`Shard::iter`].
pub struct Entries<'s> {
    /// The shard.
    shard: &'s Shard,
    /// The position in the log to go on at.
    next: Option<u32>,
}

impl<'s> Iterator for Entries<'s> {
    type Item = Entry<'s>;

    fn next(&mut self) -> Option<Entry<'s>> {
        while let Some(position) = self.next {
            let header = self.shard.log.header(position);
            self.next = self.shard.log.after(position, header.units());
            if self.shard.index.slot_at(header.hash, position).is_some() {
                return Some(self.shard.entry(position, &header));
            }
        }
        None
    }
}

// ---- Errors

/// The entry is longer than an entry may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the answer is too large for the cache")
    }
}

impl std::error::Error for TooLarge {}
