//! Which answers are hot: asked for so often that the kernel may give them.
//!
//! Of the hits on [ready replies](super::ready) every n-th is looked at. A small table counts them
//! by question; a question that is seen often enough within a short time has its reply published
//! ([`HotOrder::Publish`]), for the caller to carry to the kernel. A published reply is given until
//! its answers should be renewed; the first query after that comes here again, and renews them.
//! When an answer is written anew before that, its reply is withdrawn.

use std::collections::VecDeque;

use dns64_ebpf::hot::entry::{ENTRY_WORDS, HASH};

/// Questions that are counted at a time.
const PLACES: usize = 2_048;

/// Orders that wait to be fetched. What comes when it is full is not published; the question will
/// be hot again.
const ORDERS_MAX: usize = 64;

/// Seconds after which a count begins anew.
const WINDOW_SECS: u32 = 2;

/// When an answer is hot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotSettings {
    /// Every how many hits one is looked at; at least 1.
    pub sample: u32,
    /// How many of the hits that are looked at must be for one question within two seconds.
    pub threshold: u8,
    /// The configuration that the engine works by, as the kernel numbers them.
    pub generation: u32,
}

impl Default for HotSettings {
    /// From some 30 queries a second on.
    fn default() -> Self {
        Self { sample: 16, threshold: 4, generation: 1 }
    }
}

/// What is to be done to the table of hot answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "it lies in queues made at the start, without boxes")]
pub enum HotOrder {
    /// Publish this entry.
    Publish([u64; ENTRY_WORDS]),
    /// Withdraw the entry with this hash.
    Withdraw(u64),
}

/// A question under observation.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The hash of its key in the cache.
    key: u64,
    /// The hash it is published under; 0: it is not.
    published: u64,
    /// When the count began.
    since_secs: u32,
    /// Hits since then.
    count: u8,
}

/// Counts of one worker's hits.
#[derive(Debug, Default)]
pub(super) struct Hotness {
    /// Hits until one is looked at.
    left: u32,
    settings: Option<HotSettings>,
    places: Vec<Place>,
    orders: VecDeque<HotOrder>,
}

impl Hotness {
    /// Begins to count.
    pub(super) fn start(&mut self, settings: HotSettings) {
        self.left = settings.sample;
        self.settings = Some(settings);
        self.places = vec![Place::default(); PLACES];
        self.orders = VecDeque::with_capacity(ORDERS_MAX);
    }

    /// Whether this hit is to be looked at.
    #[inline]
    pub(super) fn samples(&mut self) -> bool {
        self.left = self.left.wrapping_sub(1);
        if self.left != 0 {
            return false;
        }
        match self.settings {
            Some(settings) => {
                self.left = settings.sample;
                true
            }
            None => false,
        }
    }

    /// Counts a hit on a key; the configuration's number if its reply should be published now.
    pub(super) fn note(&mut self, key: u64, now_secs: u32) -> Option<u32> {
        let settings = self.settings?;
        let place = place_of(&mut self.places, key)?;
        if place.key != key {
            if place.count > 0 {
                // One that is asked for more often stays.
                place.count -= 1;
                return None;
            }
            *place = Place { key, since_secs: now_secs, ..Place::default() };
        }
        if now_secs.saturating_sub(place.since_secs) >= WINDOW_SECS {
            place.since_secs = now_secs;
            place.count = 0;
        }
        place.count += 1;
        if place.count < settings.threshold {
            return None;
        }
        place.count = 0;
        Some(settings.generation)
    }

    /// The configuration's number if the reply of a key was published before: the newer one is to
    /// take its place.
    pub(super) fn is_published(&self, key: u64) -> Option<u32> {
        let settings = self.settings?;
        let place = self.places.get(key as usize % PLACES)?;
        (place.key == key && place.published != 0).then_some(settings.generation)
    }

    /// Publishes the reply of a key, if it can be.
    pub(super) fn publish(&mut self, key: u64, entry: Option<[u64; ENTRY_WORDS]>) {
        let Some(entry) = entry else { return };
        if self.orders.len() >= ORDERS_MAX {
            return;
        }
        if let Some(place) = place_of(&mut self.places, key)
            && place.key == key
        {
            place.published = entry[HASH];
        }
        self.orders.push_back(HotOrder::Publish(entry));
    }

    /// Withdraws the reply of a key whose answers are written anew.
    #[inline]
    pub(super) fn withdraw(&mut self, key: u64) {
        let Some(place) = place_of(&mut self.places, key) else { return };
        // Where the queue is full the time of the reply must run out by itself.
        if place.key == key && place.published != 0 && self.orders.len() < ORDERS_MAX {
            self.orders.push_back(HotOrder::Withdraw(place.published));
        }
    }

    /// The next order.
    pub(super) fn pop(&mut self) -> Option<HotOrder> {
        self.orders.pop_front()
    }
}

/// Where a key is counted; nowhere before the start.
fn place_of(places: &mut [Place], key: u64) -> Option<&mut Place> {
    places.get_mut(key as usize % PLACES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(sample: u32, threshold: u8) -> Hotness {
        let mut hotness = Hotness::default();
        hotness.start(HotSettings { sample, threshold, generation: 7 });
        hotness
    }

    fn entry(hash: u64) -> Option<[u64; ENTRY_WORDS]> {
        let mut entry = [0; ENTRY_WORDS];
        entry[HASH] = hash;
        Some(entry)
    }

    #[test]
    fn every_nth_hit_is_looked_at_and_none_before_the_start() {
        let mut hotness = started(3, 1);
        let looked_at: Vec<bool> = (0..7).map(|_| hotness.samples()).collect();
        assert_eq!(looked_at, [false, false, true, false, false, true, false]);
        let mut idle = Hotness::default();
        assert!((0..100).all(|_| !idle.samples()));
        assert_eq!((idle.note(1, 0), idle.pop()), (None, None));
    }

    #[test]
    fn a_question_is_hot_when_it_is_asked_for_often_enough_in_time() {
        let mut hotness = started(1, 3);
        assert_eq!([5, 5, 5].map(|now| hotness.note(1, now)), [None, None, Some(7)]);
        assert_eq!([9, 9, 11, 11].map(|now| hotness.note(1, now)), [None; 4], "too slow");
        assert_eq!(hotness.note(1, 12), Some(7));
    }

    #[test]
    fn questions_of_one_place_do_not_add_up() {
        let mut hotness = started(1, 3);
        let other = 1 + PLACES as u64;
        for _ in 0..50 {
            assert_eq!((hotness.note(1, 5), hotness.note(other, 5)), (None, None));
        }
    }

    #[test]
    fn what_is_published_is_withdrawn_when_its_answer_is_written_anew() {
        let mut hotness = started(1, 1);
        hotness.withdraw(1);
        assert_eq!(hotness.note(1, 5), Some(7));
        assert_eq!(hotness.is_published(1), None);
        hotness.publish(1, entry(77));
        assert_eq!(hotness.is_published(1), Some(7));
        hotness.withdraw(2);
        hotness.withdraw(1);
        assert_eq!(hotness.pop(), entry(77).map(HotOrder::Publish));
        assert_eq!(hotness.pop(), Some(HotOrder::Withdraw(77)));
        assert_eq!(hotness.pop(), None);
    }

    #[test]
    fn orders_that_nobody_fetches_are_bounded() {
        let mut hotness = started(1, 1);
        for key in 0..1_000 {
            hotness.publish(key, entry(key + 1));
        }
        assert_eq!(std::iter::from_fn(|| hotness.pop()).count(), ORDERS_MAX);
    }
}
