//! Tables from ranges of addresses to values, searched in O(log n) without allocation.
//!
//! Configuration speaks in lists: "first match wins, `!` negates". Evaluating such a list for every
//! query costs time in proportion to its length. Here each list is flattened once, at load, into
//! disjoint ranges that cover the whole address space:
//!
//! ```text
//!  list   ["!10.1.0.0/16", "10.0.0.0/8"]
//!
//!  table  0.0.0.0 ....... 10.0.0.0 ... 10.1.0.0 ... 10.2.0.0 ... 11.0.0.0 .......
//!         no              yes          no           yes          no
//! ```
//!
//! A table stores where each range starts, and what holds from there to the next start. A look-up
//! is one binary search for the last start that is not behind the address. Neighbours with the same
//! value are one range, so the table is as small as its meaning, whatever the lists looked like.

use std::collections::BTreeMap;

/// A number that stands for an address: `u32` for IPv4, `u128` for IPv6.
pub trait RangeKey: Copy + Ord {
    /// The first address.
    const FIRST: Self;

    /// The last address.
    const LAST: Self;

    /// The address before this one; the first is before itself.
    fn before(self) -> Self;

    /// The address behind this one; `None` behind the last.
    fn next(self) -> Option<Self>;
}

impl RangeKey for u32 {
    const FIRST: Self = 0;
    const LAST: Self = Self::MAX;

    fn before(self) -> Self {
        self.saturating_sub(1)
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl RangeKey for u128 {
    const FIRST: Self = 0;
    const LAST: Self = Self::MAX;

    fn before(self) -> Self {
        self.saturating_sub(1)
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Disjoint ranges that cover every address, each with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeTable<K, V> {
    /// Where each range starts: ascending, the first is [`RangeKey::FIRST`].
    starts: Box<[K]>,
    /// What holds from the start of the same index to the next start.
    values: Box<[V]>,
}

impl<K: RangeKey, V: Copy + Eq> RangeTable<K, V> {
    /// The table that has this value everywhere.
    #[must_use]
    pub fn constant(value: V) -> Self {
        Self { starts: Box::new([K::FIRST]), values: Box::new([value]) }
    }

    /// A table from the places where the value may change, and the value at a place.
    ///
    /// `value_at` must be constant from each place to the next; it is asked once a place.
    pub fn from_places(places: impl IntoIterator<Item = K>, value_at: impl Fn(K) -> V) -> Self {
        let mut places: Vec<K> = places.into_iter().chain([K::FIRST]).collect();
        places.sort_unstable();
        places.dedup();
        Self::from_ascending(places.into_iter().map(|place| (place, value_at(place))))
    }

    /// Joins neighbours of one value. The first pair must be at [`RangeKey::FIRST`].
    fn from_ascending(pairs: impl Iterator<Item = (K, V)>) -> Self {
        let (mut starts, mut values) = (Vec::new(), Vec::new());
        for (start, value) in pairs {
            if values.last() != Some(&value) {
                starts.push(start);
                values.push(value);
            }
        }
        assert!(starts.first() == Some(&K::FIRST), "a table covers the space from its start");
        Self { starts: starts.into(), values: values.into() }
    }

    /// The value at an address.
    #[must_use]
    pub fn lookup(&self, key: K) -> V {
        // The first start is the least key there is, so at least one start is not behind `key`.
        self.values[self.starts.partition_point(|start| *start <= key) - 1]
    }

    /// Where the value changes, and [`RangeKey::FIRST`].
    pub fn starts(&self) -> impl Iterator<Item = K> + '_ {
        self.starts.iter().copied()
    }

    /// The values of the ranges, in the order of their addresses.
    pub fn values(&self) -> impl Iterator<Item = V> + '_ {
        self.values.iter().copied()
    }

    /// Every range: its first and last address, and its value.
    pub fn ranges(&self) -> impl Iterator<Item = (K, K, V)> + '_ {
        let lasts = self.starts.iter().skip(1).map(|next| next.before()).chain([K::LAST]);
        let ranges = self.starts.iter().zip(lasts).zip(self.values());
        ranges.map(|((first, last), value)| (*first, last, value))
    }

    /// The value, if it is the same everywhere.
    #[must_use]
    pub fn sole_value(&self) -> Option<V> {
        match self.values.as_ref() {
            [value] => Some(*value),
            _ => None,
        }
    }
}

/// A table under construction: every new range is painted over the older ones.
///
/// A list whose first match wins is painted from its last entry to its first.
#[derive(Clone, Debug)]
pub struct RangePainter<K, V> {
    /// What holds from a key to the next key; always has [`RangeKey::FIRST`].
    starts: BTreeMap<K, V>,
}

impl<K: RangeKey, V: Copy + Eq> RangePainter<K, V> {
    /// A table with this value everywhere.
    #[must_use]
    pub fn new(ground: V) -> Self {
        Self { starts: BTreeMap::from([(K::FIRST, ground)]) }
    }

    /// Gives every address from `first` to `last`, both included, this value.
    pub fn paint(&mut self, first: K, last: K, value: V) {
        assert!(first <= last, "a range has a first and a last address");
        let behind = last.next().map(|next| (next, self.value_at(next)));
        let covered: Vec<K> = self.starts.range(first..=last).map(|(start, _)| *start).collect();
        for start in covered {
            self.starts.remove(&start);
        }
        self.starts.insert(first, value);
        if let Some((next, value)) = behind {
            self.starts.insert(next, value);
        }
    }

    /// The value at an address, as painted so far.
    fn value_at(&self, key: K) -> V {
        let (_, value) =
            self.starts.range(..=key).next_back().expect("the least key is never removed for good");
        *value
    }

    /// The finished table.
    #[must_use]
    pub fn finish(self) -> RangeTable<K, V> {
        RangeTable::from_ascending(self.starts.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_constant_table_has_its_value_at_both_ends() {
        let table = RangeTable::<u128, u8>::constant(7);
        assert_eq!((table.lookup(0), table.lookup(u128::MAX)), (7, 7));
        assert_eq!(table.sole_value(), Some(7));
    }

    #[test]
    fn a_range_that_ends_at_the_last_address_is_painted() {
        let mut painter = RangePainter::<u32, bool>::new(false);
        painter.paint(u32::MAX - 1, u32::MAX, true);
        let table = painter.finish();
        assert!(!table.lookup(u32::MAX - 2));
        assert!(table.lookup(u32::MAX - 1) && table.lookup(u32::MAX));
    }

    #[test]
    fn neighbours_of_one_value_become_one_range() {
        let mut painter = RangePainter::<u32, u8>::new(0);
        for start in 0..100 {
            painter.paint(start * 10, start * 10 + 9, 1);
        }
        assert_eq!(painter.finish().starts().collect::<Vec<_>>(), [0, 1000]);
    }

    /// Ranges near both ends of the space and of small numbers, so that they meet and overlap.
    fn range() -> impl Strategy<Value = (u32, u32)> {
        let edge = prop_oneof![0u32..24, u32::MAX - 24..=u32::MAX, any::<u32>()];
        (edge.clone(), edge).prop_map(|(one, other)| (one.min(other), one.max(other)))
    }

    proptest! {
        #[test]
        fn a_painted_table_answers_as_the_last_range_painted_there(
            ranges in proptest::collection::vec((range(), 0u8..4), 0..20),
            probe in any::<u32>(),
        ) {
            let mut painter = RangePainter::new(9);
            for ((first, last), value) in &ranges {
                painter.paint(*first, *last, *value);
            }
            let table = painter.finish();
            let edges = ranges.iter().flat_map(|((first, last), _)| {
                [first.saturating_sub(1), *first, *last, last.saturating_add(1)]
            });
            for key in edges.chain([0, u32::MAX, probe]) {
                let naive = ranges.iter().rev().find(|((first, last), _)| {
                    (*first..=*last).contains(&key)
                });
                prop_assert_eq!(table.lookup(key), naive.map_or(9, |(_, value)| *value));
            }
        }
    }
}
