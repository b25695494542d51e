//! The set-associative index: from a hash to the positions in the log that may hold its entry.
//!
//! A bucket is one cache line of eight ways:
//!
//! ```text
//!  octet  0      4                    32          36                     64
//!        | tag 0 | tag 1 | ... | tag 7 | position 0 | ... | position 7 |
//!
//!  tag:  31 bits of the hash, and in the lowest bit whether the entry was asked for (visited);
//!        0 is an empty way
//! ```
//!
//! The bucket comes from the lower half of the hash and the tag from the upper half, so two
//! entries of one bucket share a tag once in two thousand million: an entry whose tag agrees is
//! the one sought, all but always.

use super::memory::{LINE_LEN, Memory};

/// Entries that a bucket can hold.
const WAYS: usize = 8;

/// The bit of a tag that says: asked for since it was written or moved.
const VISITED: u32 = 1;

/// A bucket as it lies in memory.
type Bucket = [u8; LINE_LEN];

const _: () = assert!(WAYS * (size_of::<u32>() + size_of::<u32>()) == LINE_LEN);

/// A place in the index for one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Which bucket.
    bucket: usize,
    /// Which way of the bucket, 0 to 7.
    way: usize,
}

/// All buckets.
pub(super) struct Index {
    /// The buckets.
    memory: Memory,
    /// How many; not a power of two, so that all memory given is used.
    buckets: u32,
}

impl Index {
    /// An empty index of `octets_len` octets, of at least one bucket.
    pub(super) fn new(octets_len: usize, prepare: &mut impl FnMut(&mut [u8])) -> Self {
        let octets_len = octets_len.max(2 * LINE_LEN - 1);
        let buckets = Memory::units_within::<LINE_LEN>(octets_len);
        let buckets = u32::try_from(buckets).unwrap_or(u32::MAX);
        assert!(buckets > 0, "a hash must lead to a bucket");
        Self { memory: Memory::new(octets_len, prepare), buckets }
    }

    /// Octets allocated.
    pub(super) const fn octets_len(&self) -> usize {
        self.memory.octets_len()
    }

    /// How many buckets there are.
    pub(super) const fn buckets(&self) -> u32 {
        self.buckets
    }

    /// The slots in use in a bucket, by its number below [`buckets`](Self::buckets).
    pub(super) fn occupied_in(&self, bucket: u32) -> Slots {
        let bucket = bucket as usize;
        let mut ways = 0;
        for way in 0..WAYS {
            ways |= u32::from(self.tag(Slot { bucket, way }) != 0) << way;
        }
        Slots { bucket, ways }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.memory.units_mut().fill([0; LINE_LEN]);
    }

    /// The slots whose tag agrees with the hash, all but always none or one.
    #[inline]
    pub(super) fn matching(&self, hash: u64) -> Slots {
        let number = self.bucket_number(hash);
        let wanted = tag_of(hash);
        let mut ways = 0;
        for (way, tag) in tags(self.bucket(number)).iter().enumerate() {
            ways |= u32::from(u32::from_le_bytes(*tag) & !VISITED == wanted) << way;
        }
        Slots { bucket: number, ways }
    }

    /// The slots in use in the bucket of the hash.
    pub(super) fn occupied(&self, hash: u64) -> Slots {
        self.occupied_in(self.bucket_number(hash) as u32)
    }

    /// A free slot in the bucket of the hash.
    pub(super) fn vacant(&self, hash: u64) -> Option<Slot> {
        let Slots { bucket, ways } = self.occupied(hash);
        let way = ways.trailing_ones() as usize;
        (way < WAYS).then_some(Slot { bucket, way })
    }

    /// The slot of the entry with this hash at this position of the log; none if the entry is dead.
    pub(super) fn slot_at(&self, hash: u64, position: u32) -> Option<Slot> {
        self.matching(hash).find(|&slot| self.position(slot) == position)
    }

    /// The position in the log that a slot in use holds.
    pub(super) fn position(&self, slot: Slot) -> u32 {
        u32::from_le_bytes(positions(self.bucket(slot.bucket))[slot.way])
    }

    /// Whether the slot's entry was asked for.
    pub(super) fn is_visited(&self, slot: Slot) -> bool {
        self.tag(slot) & VISITED != 0
    }

    /// Notes that the slot's entry was asked for. Does not write what already stands there, so
    /// that the line of a hot entry stays clean.
    pub(super) fn visit(&mut self, slot: Slot) {
        let tag = self.tag(slot);
        if tag & VISITED == 0 {
            self.set_tag(slot, tag | VISITED);
        }
    }

    /// Forgets that the slot's entry was asked for.
    pub(super) fn unvisit(&mut self, slot: Slot) {
        self.set_tag(slot, self.tag(slot) & !VISITED);
    }

    /// Fills a slot of the hash's bucket; the entry counts as not asked for.
    pub(super) fn fill(&mut self, slot: Slot, hash: u64, position: u32) {
        debug_assert_eq!(slot.bucket, self.bucket_number(hash), "a slot of another bucket");
        self.set_tag(slot, tag_of(hash));
        self.set_position(slot, position);
    }

    /// Notes that the slot's entry now stands elsewhere in the log.
    pub(super) fn set_position(&mut self, slot: Slot, position: u32) {
        positions_mut(self.bucket_mut(slot.bucket))[slot.way] = position.to_le_bytes();
    }

    /// Empties the slot.
    pub(super) fn vacate(&mut self, slot: Slot) {
        self.set_tag(slot, 0);
    }

    /// Loads the line of the hash's bucket.
    pub(super) fn touch(&self, hash: u64) -> u32 {
        self.tag(Slot { bucket: self.bucket_number(hash), way: 0 })
    }

    /// The bucket of a hash: its lower half scaled to the number of buckets, without a division.
    fn bucket_number(&self, hash: u64) -> usize {
        (((hash & 0xffff_ffff) * u64::from(self.buckets)) >> 32) as usize
    }

    /// A bucket to read.
    fn bucket(&self, number: usize) -> &Bucket {
        &self.memory.units()[number]
    }

    /// A bucket to write.
    fn bucket_mut(&mut self, number: usize) -> &mut Bucket {
        &mut self.memory.units_mut()[number]
    }

    /// The tag of a slot with its visited bit; 0 if the slot is empty.
    fn tag(&self, slot: Slot) -> u32 {
        u32::from_le_bytes(tags(self.bucket(slot.bucket))[slot.way])
    }

    /// Writes the tag of a slot with its visited bit.
    fn set_tag(&mut self, slot: Slot, tag: u32) {
        tags_mut(self.bucket_mut(slot.bucket))[slot.way] = tag.to_le_bytes();
    }

    /// Every slot in use.
    #[cfg(test)]
    pub(super) fn all_occupied(&self) -> impl Iterator<Item = Slot> {
        (0..self.buckets as usize)
            .flat_map(|bucket| (0..WAYS).map(move |way| Slot { bucket, way }))
            .filter(|&slot| self.tag(slot) != 0)
    }
}

/// Slots of one bucket.
pub(super) struct Slots {
    /// Which bucket.
    bucket: usize,
    /// One bit for each way that is meant.
    ways: u32,
}

impl Iterator for Slots {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        if self.ways == 0 {
            return None;
        }
        let way = self.ways.trailing_zeros() as usize;
        self.ways &= self.ways - 1;
        Some(Slot { bucket: self.bucket, way })
    }
}

/// The tag of a hash: never 0, which is an empty way, and not visited.
fn tag_of(hash: u64) -> u32 {
    (((hash >> 32) as u32) & !VISITED).max(VISITED + 1)
}

/// The eight tags of a bucket.
fn tags(bucket: &Bucket) -> &[[u8; 4]] {
    &bucket.as_chunks().0[..WAYS]
}

/// The eight tags of a bucket, to write.
fn tags_mut(bucket: &mut Bucket) -> &mut [[u8; 4]] {
    &mut bucket.as_chunks_mut().0[..WAYS]
}

/// The eight positions of a bucket.
fn positions(bucket: &Bucket) -> &[[u8; 4]] {
    &bucket.as_chunks().0[WAYS..]
}

/// The eight positions of a bucket, to write.
fn positions_mut(bucket: &mut Bucket) -> &mut [[u8; 4]] {
    &mut bucket.as_chunks_mut().0[WAYS..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_eight_entries_and_tells_them_apart() {
        let mut index = Index::new(0, &mut |_| {});
        assert_eq!(index.buckets, 1, "the least there can be");
        let hashes: Vec<u64> = (0..8).map(|number| number << 33 | 5).collect();
        for (position, &hash) in (100..).zip(&hashes) {
            let slot = index.vacant(hash).expect("eight ways");
            index.fill(slot, hash, position);
        }
        assert!(index.vacant(5).is_none());
        for (position, &hash) in (100..).zip(&hashes) {
            let found: Vec<u32> = index.matching(hash).map(|slot| index.position(slot)).collect();
            // Hash 0 << 33 and 1 << 33 share the tag that is not "empty".
            if position < 102 {
                assert_eq!(found, [100, 101]);
            } else {
                assert_eq!(found, [position]);
            }
        }
        let slot = index.slot_at(hashes[1], 101).expect("filled above");
        index.vacate(slot);
        assert_eq!(index.vacant(5), Some(slot));
        index.clear();
        assert_eq!(index.all_occupied().count(), 0);
    }

    #[test]
    fn visiting_changes_neither_tag_nor_position() {
        let mut index = Index::new(4096, &mut |_| {});
        let hash = 0xdead_beef_1234_5678;
        let slot = index.vacant(hash).expect("empty");
        index.fill(slot, hash, u32::MAX);
        assert!(!index.is_visited(slot));
        index.visit(slot);
        assert!(index.is_visited(slot));
        assert_eq!(index.slot_at(hash, u32::MAX), Some(slot));
        index.unvisit(slot);
        assert!(!index.is_visited(slot));
        assert_eq!(index.slot_at(hash, u32::MAX), Some(slot));
    }

    #[test]
    fn every_hash_leads_to_a_bucket_that_exists() {
        let index = Index::new(10 * LINE_LEN + LINE_LEN - 1, &mut |_| {});
        assert_eq!(index.buckets, 10);
        assert_eq!(index.bucket_number(0), 0);
        assert_eq!(index.bucket_number(u64::MAX), 9);
    }
}
