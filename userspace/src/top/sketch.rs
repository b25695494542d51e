//! Space-Saving: the most frequent of a stream, with a fixed number of counters.
//!
//! "Efficient Computation of Frequent and Top-k Elements in Data Streams", Metwally, Agrawal and
//! El Abbadi, ICDT 2005. Whoever has a counter is counted; whoever has none takes the one that has
//! counted least, with its count, which becomes the bound of the newcomer's error. So a count is
//! never too low, its error is known, and of `n` offers with `m` counters everything that came more
//! often than `n / m` has a counter.
//!
//! Several sketches become one list by the rule of "Mergeable Summaries", Agarwal, Cormode, Huang,
//! Phillips, Wei and Yi, PODS 2012: what has no counter in one of them may have come there as often
//! as its least counter says.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The most counters that a sketch may have.
pub const COUNTERS_MAX: usize = 1 << 14;

/// A place of the index that nobody has.
const NOBODY: u16 = u16::MAX;

/// Counts keys with a fixed number of counters. All memory is allocated by [`SpaceSaving::new`];
/// an offer costs a hash, some comparisons and one exchange.
#[derive(Clone, Debug)]
pub struct SpaceSaving<K, V> {
    /// Goes into every hash, so that nobody can choose keys that collide.
    seed: u64,
    counters: Vec<Counter<K, V>>,
    /// The numbers of the counters, those that have counted least first.
    order: Vec<u16>,
    /// The numbers of the counters by the hashes of their keys: open addressing, at most half full.
    index: Vec<u16>,
}

/// One counter.
#[derive(Clone, Debug)]
struct Counter<K, V> {
    key: Option<K>,
    hash: u64,
    /// Its place in the order.
    place: u16,
    count: u64,
    /// What it had counted for others before it was its key's.
    error: u64,
    value: V,
}

/// How often a key has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<K, V> {
    /// The key.
    pub key: K,
    /// It has come so often at least.
    pub count: u64,
    /// It has come so many times more at most.
    pub error: u64,
    /// What was noted of it while it had a counter.
    pub value: V,
}

impl<K: Clone + Eq + Hash, V: Clone + Default> SpaceSaving<K, V> {
    /// A sketch with so many counters, from 1 to [`COUNTERS_MAX`]; what is beyond is cut.
    #[must_use]
    pub fn new(counters: usize, seed: u64) -> Self {
        let len = counters.clamp(1, COUNTERS_MAX);
        let counter = |place: usize| Counter {
            key: None,
            hash: 0,
            place: place as u16,
            count: 0,
            error: 0,
            value: V::default(),
        };
        Self {
            seed,
            counters: (0..len).map(counter).collect(),
            order: (0..len as u16).collect(),
            index: vec![NOBODY; (2 * len).next_power_of_two()],
        }
    }

    /// Counts a key; what is noted of it, from the moment on from which it has a counter.
    pub fn offer(&mut self, key: &K) -> &mut V {
        let hash = self.hash(key);
        let number = self.find(hash, key).unwrap_or_else(|| self.take_over(hash, key));
        self.raise(number);
        &mut self.counters[usize::from(number)].value
    }

    /// How often a key may have come that has no counter.
    #[must_use]
    pub fn floor(&self) -> u64 {
        let least = self.order.first().map(|number| &self.counters[usize::from(*number)]);
        least.map_or(0, |counter| counter.count)
    }

    /// The keys that have counters, in no order.
    pub fn counted(&self) -> impl Iterator<Item = Counted<&K, &V>> {
        self.counters.iter().filter_map(|counter| {
            let Counter { key, count, error, value, .. } = counter;
            Some(Counted { key: key.as_ref()?, count: count - error, error: *error, value })
        })
    }

    fn hash(&self, key: &K) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        key.hash(&mut hasher);
        hasher.finish()
    }

    /// The place of the index where a hash would best be.
    const fn home(&self, hash: u64) -> usize {
        hash as usize & (self.index.len() - 1)
    }

    /// The place behind another, in a circle.
    const fn next(&self, place: usize) -> usize {
        (place + 1) & (self.index.len() - 1)
    }

    /// The counter of a key.
    fn find(&self, hash: u64, key: &K) -> Option<u16> {
        let mut place = self.home(hash);
        // Half of the places are nobody's.
        while self.index[place] != NOBODY {
            let number = self.index[place];
            let counter = &self.counters[usize::from(number)];
            if counter.hash == hash && counter.key.as_ref() == Some(key) {
                return Some(number);
            }
            place = self.next(place);
        }
        None
    }

    /// Gives the counter that has counted least to a key.
    fn take_over(&mut self, hash: u64, key: &K) -> u16 {
        let number = self.order[0];
        if self.counters[usize::from(number)].key.is_some() {
            self.forget(number);
        }
        let counter = &mut self.counters[usize::from(number)];
        counter.error = counter.count;
        counter.key = Some(key.clone());
        counter.hash = hash;
        counter.value = V::default();
        let mut place = self.home(hash);
        while self.index[place] != NOBODY {
            place = self.next(place);
        }
        self.index[place] = number;
        number
    }

    /// Takes a counter out of the index, and moves those behind it that were in its way.
    fn forget(&mut self, number: u16) {
        let mut gap = self.home(self.counters[usize::from(number)].hash);
        while self.index[gap] != number {
            gap = self.next(gap);
        }
        let mask = self.index.len() - 1;
        let mut place = self.next(gap);
        while self.index[place] != NOBODY {
            let home = self.home(self.counters[usize::from(self.index[place])].hash);
            // It may move to the gap if it does not come before its home then.
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(gap) & mask {
                self.index[gap] = self.index[place];
                gap = place;
            }
            place = self.next(place);
        }
        self.index[gap] = NOBODY;
    }

    /// Counts one more, behind all that have counted as much as before.
    fn raise(&mut self, number: u16) {
        let Counter { place, count, .. } = self.counters[usize::from(number)];
        let place = usize::from(place);
        let alike = self.order[place..]
            .partition_point(|other| self.counters[usize::from(*other)].count <= count);
        let last = place + alike.saturating_sub(1);
        self.order.swap(place, last);
        for place in [place, last] {
            self.counters[usize::from(self.order[place])].place = place as u16;
        }
        self.counters[usize::from(number)].count = count + 1;
    }
}

/// What several sketches have counted together, the most frequent first: those that came most often
/// at least, and among equals those that may have come more often. `add` joins what was noted.
#[must_use]
pub fn merge<K, V>(sketches: &[SpaceSaving<K, V>], add: fn(&mut V, &V)) -> Vec<Counted<K, V>>
where
    K: Clone + Eq + Hash + Ord,
    V: Clone + Default,
{
    let floors: u64 = sketches.iter().map(SpaceSaving::floor).sum();
    let mut places: HashMap<&K, usize> = HashMap::new();
    let mut all: Vec<Counted<K, V>> = Vec::new();
    for sketch in sketches {
        let floor = sketch.floor();
        for Counted { key, count, error, value } in sketch.counted() {
            let place = *places.entry(key).or_insert_with(|| {
                let nothing = V::default();
                all.push(Counted { key: key.clone(), count: 0, error: floors, value: nothing });
                all.len() - 1
            });
            let one = &mut all[place];
            one.count += count;
            // Here it is known better than by the least counter.
            one.error = one.error + error - floor;
            add(&mut one.value, value);
        }
    }
    all.sort_by(|one, other| {
        let rank = |counted: &Counted<K, V>| (counted.count, counted.error);
        rank(other).cmp(&rank(one)).then_with(|| one.key.cmp(&other.key))
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    type Sketch = SpaceSaving<u32, u64>;

    /// A stream with repetitions, in an order that only the seed knows: half of it is four keys,
    /// half of the rest four others, and so on.
    fn stream(len: usize, seed: u64) -> impl Iterator<Item = u32> {
        let mut state = seed;
        (0..len).map(move |_| {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            z.leading_zeros() * 4 + (z & 3) as u32
        })
    }

    /// How often each key truly comes.
    fn truth(keys: impl Iterator<Item = u32>) -> HashMap<u32, u64> {
        let mut truth = HashMap::new();
        keys.for_each(|key| *truth.entry(key).or_default() += 1);
        truth
    }

    /// What must hold inside at any time.
    fn check(sketch: &Sketch) {
        for (place, number) in sketch.order.iter().enumerate() {
            assert_eq!(usize::from(sketch.counters[usize::from(*number)].place), place);
        }
        let counts = sketch.order.iter().map(|number| sketch.counters[usize::from(*number)].count);
        assert!(counts.is_sorted(), "those that have counted least come first");
        let indexed = sketch.index.iter().filter(|number| **number != NOBODY).count();
        assert_eq!(indexed, sketch.counted().count());
        for (number, counter) in sketch.counters.iter().enumerate() {
            let Some(key) = &counter.key else { continue };
            assert_eq!(sketch.find(counter.hash, key), Some(number as u16), "{key} is found");
        }
    }

    #[test]
    fn few_keys_are_counted_exactly() {
        let mut sketch = Sketch::new(8, 1);
        for key in [5, 3, 5, 1, 5, 3] {
            *sketch.offer(&key) += 10;
        }
        assert_eq!(sketch.floor(), 0, "what has no counter has not come");
        let counted = merge(&[sketch], |sum, value| *sum += value);
        let row = |key, count| Counted { key, count, error: 0, value: count * 10 };
        assert_eq!(counted, [row(5, 3), row(3, 2), row(1, 1)]);
    }

    #[test]
    fn a_newcomer_has_the_least_counter_and_its_count_as_error() {
        let mut sketch = Sketch::new(2, 1);
        for key in [1, 1, 1, 2, 2] {
            *sketch.offer(&key) += 1;
        }
        sketch.offer(&3);
        let counted = merge(&[sketch], |sum, value| *sum += value);
        let row = |key, count, error, value| Counted { key, count, error, value };
        assert_eq!(counted, [row(1, 3, 0, 3), row(3, 1, 2, 0)], "what 2 had noted is not 3's");
    }

    #[test]
    fn counts_are_within_their_bounds_and_what_is_frequent_has_a_counter() {
        for (counters, len, seed) in [(1, 50, 1), (7, 3_000, 2), (64, 20_000, 3), (100, 90, 4)] {
            let mut sketch = Sketch::new(counters, seed);
            let truth = truth(stream(len, seed));
            for (number, key) in stream(len, seed).enumerate() {
                sketch.offer(&key);
                if number % 97 == 0 {
                    check(&sketch);
                }
            }
            check(&sketch);
            let total: u64 = sketch.counters.iter().map(|counter| counter.count).sum();
            assert_eq!(total, len as u64, "every offer is counted once");
            let bound = (len / counters) as u64;
            assert!(sketch.floor() <= bound);
            for (key, true_count) in &truth {
                let counted = sketch.counted().find(|counted| counted.key == key);
                let Some(Counted { count, error, .. }) = counted else {
                    assert!(*true_count <= sketch.floor(), "{key}: {true_count}");
                    continue;
                };
                assert!((count..=count + error).contains(true_count), "{key}: {true_count}");
                assert!(error <= bound, "{key}: {error} is more than {bound}");
            }
        }
    }

    #[test]
    fn several_sketches_together_keep_the_bounds() {
        let seeds = [11, 12, 13];
        let sketches = seeds.map(|seed| {
            let mut sketch = Sketch::new(40, seed);
            stream(5_000, seed).for_each(|key| *sketch.offer(&key) += 1);
            sketch
        });
        let truth = truth(seeds.into_iter().flat_map(|seed| stream(5_000, seed)));
        let merged = merge(&sketches, |sum, value| *sum += value);
        assert!(merged.len() > 40, "each has some that others have not");
        for Counted { key, count, error, value } in &merged {
            assert!((*count..=count + error).contains(&truth[key]), "{key}: {}", truth[key]);
            assert!(value <= &truth[key]);
        }
        assert!(merged.is_sorted_by(|one, other| one.count >= other.count));
        assert_eq!(truth.values().max(), Some(&truth[&merged[0].key]));
    }

    #[test]
    fn a_flood_of_keys_that_come_once_does_not_hide_one_that_comes_often() {
        let mut sketch = Sketch::new(16, 9);
        for number in 0..10_000 {
            sketch.offer(&(1_000 + number));
            if number % 4 == 0 {
                sketch.offer(&7);
            }
        }
        check(&sketch);
        let counted = merge(&[sketch], |_, _| {});
        assert_eq!(counted[0].key, 7);
        assert!(counted[0].count > 2_000, "{:?}", counted[0]);
        assert!(counted[1].count <= 2, "of the others hardly anything is certain");
    }
}
