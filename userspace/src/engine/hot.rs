//! Which answers are hot: asked for so often that the kernel may give them.
//!
//! Of the hits on [ready replies](super::ready) every n-th is looked at. A small table counts them
//! by question; a question that is seen often enough within a short time has its reply published
//! ([`HotOrder::Publish`]), for the caller to carry to the kernel. A published reply is given until
//! its answers should be renewed; the first query after that comes here again, and renews them.
//! When an answer is written anew before that, its reply is withdrawn.

use std::collections::VecDeque;

use dns64_ebpf::abi::REFUSED;
use dns64_ebpf::hot::entry::{ENTRY_WORDS, HASH, Publication};

use crate::answer::encode::{Request, write_error};
use crate::limits::HEADER_LEN;
use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;

/// Questions that are counted at a time, and so the most that one worker has published: 3 MiB.
const PLACES: usize = 1 << 17;

/// Places side by side that a question may have.
const WAYS: usize = 4;

/// Orders that wait to be fetched when nothing more is published: the question will be hot again.
/// What must be withdrawn waits however many there are; that is less than [`PLACES`] more.
const ORDERS_MAX: usize = 256;

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
    /// From some 16 queries a second on.
    fn default() -> Self {
        Self { sample: 16, threshold: 2, generation: 1 }
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
    /// Whether it was published, and is to be so again when its answer is there anew.
    returns: bool,
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
    /// What the places were before the end: freeing them takes a while, and is left to the moment
    /// at which the engine is freed.
    ended: Vec<Place>,
}

impl Hotness {
    /// Begins to count.
    pub(super) fn start(&mut self, settings: HotSettings) {
        self.left = settings.sample;
        self.settings = Some(settings);
        self.places = vec![Place::default(); PLACES];
        self.orders = VecDeque::with_capacity(ORDERS_MAX);
    }

    /// From now on the configuration has this number; nothing has been published by another.
    pub(super) const fn number(&mut self, generation: u32) {
        if let Some(settings) = &mut self.settings {
            settings.generation = generation;
        }
    }

    /// Counts and publishes nothing any more, and knows of nothing that is published.
    pub(super) fn stop(&mut self) {
        self.settings = None;
        self.ended = std::mem::take(&mut self.places);
        self.orders.clear();
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
        let bucket = bucket_of(&mut self.places, key)?;
        let place = match bucket.iter().position(|place| place.key == key) {
            Some(at) => &mut bucket[at],
            None => {
                let place = bucket.iter_mut().min_by_key(|place| place.worth())?;
                if place.count > 0 {
                    // One that is asked for more often stays.
                    place.count -= 1;
                    return None;
                }
                // Nobody would know any more what the kernel was told.
                withdraw(place, &mut self.orders);
                *place = Place { key, since_secs: now_secs, ..Place::default() };
                place
            }
        };
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
    pub(super) fn is_published(&mut self, key: u64) -> Option<u32> {
        let settings = self.settings?;
        let place = place_of(&mut self.places, key)?;
        (place.published != 0 || place.returns).then_some(settings.generation)
    }

    /// Publishes the reply of a key, if it can be.
    pub(super) fn publish(&mut self, key: u64, entry: Option<[u64; ENTRY_WORDS]>) {
        let Some(entry) = entry else { return };
        if self.orders.len() >= ORDERS_MAX {
            return;
        }
        if let Some(place) = place_of(&mut self.places, key) {
            if place.published != entry[HASH] {
                // The reply for other clients, or under another name, whose answers are the same.
                withdraw(place, &mut self.orders);
            }
            place.published = entry[HASH];
            place.returns = false;
        }
        self.orders.push_back(HotOrder::Publish(entry));
    }

    /// Withdraws the reply of a key whose answers are written anew.
    #[inline]
    pub(super) fn withdraw(&mut self, key: u64) {
        let Some(place) = place_of(&mut self.places, key) else { return };
        if place.published != 0 {
            withdraw(place, &mut self.orders);
            place.returns = true;
        }
    }

    /// Forgets what has been published: it counts no more, and from now on the configuration has
    /// this number.
    pub(super) fn flush(&mut self, generation: u32) {
        self.number(generation);
        self.places.fill(Place::default());
        self.orders.clear();
    }

    /// The next order.
    pub(super) fn pop(&mut self) -> Option<HotOrder> {
        self.orders.pop_front()
    }
}

/// Withdraws what is published for a place.
fn withdraw(place: &mut Place, orders: &mut VecDeque<HotOrder>) {
    if place.published != 0 {
        orders.push_back(HotOrder::Withdraw(place.published));
        place.published = 0;
    }
}

/// The reply to those who may not ask, as the kernel's table has it: what [`write_error`] writes.
#[must_use]
pub fn refusal() -> Option<[u64; ENTRY_WORDS]> {
    // Whatever is asked is echoed; here it is the root.
    let question = [0, 0, 1, 0, 1];
    let request = Request {
        alias: None,
        id: 0,
        recursion_desired: true,
        checking_disabled: false,
        wants_authentic: false,
        edns: true,
        dnssec_ok: false,
        limit: 512,
        question: &question,
    };
    let mut reply = [0; 512];
    let len = write_error(&mut reply, &request, Rcode::REFUSED, Some(InfoCode::PROHIBITED));
    let opt = reply.get(HEADER_LEN + question.len()..len)?;
    let publication = Publication {
        name_hash: 0,
        name: &[],
        rtype: 0,
        audience: REFUSED,
        generation: 0,
        made_secs: 0,
        until_secs: u32::MAX,
        flags: [reply[2], reply[3]],
        counts: [0; 4],
        synthesized: false,
        authentic_known: true,
        ttl_places: &[],
        records: &[],
        opt,
    };
    publication.words()
}

impl Place {
    /// What is lost with it: what is published is asked for, though not here.
    const fn worth(&self) -> (bool, u8) {
        (self.published != 0, self.count)
    }
}

/// Where a key may be counted; nowhere before the start.
fn bucket_of(places: &mut [Place], key: u64) -> Option<&mut [Place]> {
    let first = key as usize % (PLACES / WAYS) * WAYS;
    places.get_mut(first..first + WAYS)
}

/// Where a key is counted.
fn place_of(places: &mut [Place], key: u64) -> Option<&mut Place> {
    bucket_of(places, key)?.iter_mut().find(|place| place.key == key)
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

    /// The keys that have the same places as key 1.
    fn alike() -> impl Iterator<Item = u64> {
        (0..).map(|number| 1 + number * (PLACES / WAYS) as u64)
    }

    #[test]
    fn questions_of_the_same_places_do_not_add_up() {
        let mut hotness = started(1, 3);
        for key in alike().take(WAYS) {
            assert_eq!([5, 5].map(|now| hotness.note(key, now)), [None; 2]);
        }
        // These wear the others down before they have a place.
        let more = alike().skip(WAYS).take(2 * WAYS);
        assert!(more.into_iter().all(|key| hotness.note(key, 5).is_none()));
        assert_eq!([5, 5, 5].map(|now| hotness.note(1, now)), [None, None, Some(7)]);
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
    fn a_question_that_takes_the_place_of_another_has_its_reply_withdrawn() {
        let mut hotness = started(1, 1);
        for (hash, key) in (77..).zip(alike().take(WAYS)) {
            assert_eq!(hotness.note(key, 5), Some(7));
            hotness.publish(key, entry(hash));
            assert_eq!(hotness.pop(), entry(hash).map(HotOrder::Publish));
        }
        assert_eq!((hotness.pop(), hotness.is_published(1)), (None, Some(7)));
        let one_more = alike().nth(WAYS).unwrap();
        assert_eq!(hotness.note(one_more, 5), Some(7));
        assert_eq!((hotness.pop(), hotness.pop()), (Some(HotOrder::Withdraw(77)), None));
        assert_eq!(hotness.is_published(1), None);
    }

    #[test]
    fn a_reply_for_others_from_the_same_answers_takes_the_place_of_the_first() {
        let mut hotness = started(1, 1);
        assert_eq!(hotness.note(1, 5), Some(7));
        hotness.publish(1, entry(77));
        hotness.publish(1, entry(78));
        hotness.withdraw(1);
        let orders: Vec<HotOrder> = std::iter::from_fn(|| hotness.pop()).collect();
        let publish = |hash| HotOrder::Publish(entry(hash).unwrap());
        let withdraw = HotOrder::Withdraw;
        assert_eq!(orders, [publish(77), withdraw(77), publish(78), withdraw(78)]);
        assert_eq!(hotness.is_published(1), Some(7), "it comes again with the new answer");
    }

    #[test]
    fn nothing_is_known_of_what_was_published_before_a_flush() {
        let mut hotness = started(1, 1);
        assert_eq!(hotness.note(1, 5), Some(7));
        hotness.publish(1, entry(77));
        hotness.flush(8);
        assert_eq!((hotness.pop(), hotness.is_published(1)), (None, None));
        hotness.withdraw(1);
        assert_eq!((hotness.pop(), hotness.note(1, 5)), (None, Some(8)));
    }

    #[test]
    fn what_must_be_withdrawn_is_not_lost_in_a_crowd() {
        let mut hotness = started(1, 1);
        for key in 0..2 * ORDERS_MAX as u64 {
            assert_eq!(hotness.note(key, 5), Some(7));
            hotness.publish(key, entry(key + 1));
            assert!(ORDERS_MAX as u64 <= key || hotness.is_published(key).is_some());
        }
        for key in 0..ORDERS_MAX as u64 {
            hotness.withdraw(key);
        }
        let orders = std::iter::from_fn(|| hotness.pop());
        let withdrawn = orders.filter(|order| matches!(order, HotOrder::Withdraw(_))).count();
        assert_eq!(withdrawn, ORDERS_MAX);
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
