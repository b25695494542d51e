//! A hashed timing wheel: a fixed number of timers, each set, cancelled and fired in constant time.
//!
//! The wheel has a slot for each of 4096 ticks of a millisecond. A timer hangs in the slot of its
//! tick modulo 4096, in a doubly linked list whose links are numbers in one slice; one that is
//! further away than a turn of the wheel is passed over until its turn comes. One bit a slot says
//! whether anything hangs there, and one bit a word of these whether any is set, so the next slot
//! in use is two bit scans away.
//!
//! A deadline is rounded up to a tick: a timer never fires early, and fires less than a
//! millisecond late if [`Wheel::expire`] is called at the moment that [`Wheel::next`] gives.

use std::time::Duration;

use crate::time::Moment;

/// Microseconds of a tick.
const TICK_MICROS: u64 = 1_000;

/// Slots of the wheel: a turn is 4.096 seconds.
const SLOTS: usize = 4_096;

/// The bits of a word, and the words for the bits of all slots.
const WORD_BITS: usize = u64::BITS as usize;

const _: () = assert!(SLOTS == WORD_BITS * WORD_BITS, "one word says which words are in use");

/// The neighbours of a timer in the ring of its slot. One that is not set is its own neighbour.
#[derive(Clone, Copy)]
struct Links {
    /// The one before.
    previous: u32,
    /// The one after.
    next: u32,
}

/// Timers numbered from 0, each set or not.
pub struct Wheel {
    /// The links of all timers, then of the slots' ring heads, then of the ring of due timers.
    links: Box<[Links]>,
    /// The tick at which each timer is due, if it is set.
    due_ticks: Box<[u64]>,
    /// One bit for each slot that is not empty.
    occupied: [u64; WORD_BITS],
    /// One bit for each word of `occupied` that is not 0.
    occupied_words: u64,
    /// The first tick that [`Wheel::expire`] has not come to. All timers in slots are due at it or
    /// later; those due before it hang in the ring of due timers.
    cursor: u64,
    /// Timers that are set.
    armed: usize,
}

impl Wheel {
    /// A wheel with so many timers, none of them set. The only place that allocates.
    ///
    /// # Panics
    ///
    /// With more timers than a 32-bit number can tell apart.
    #[must_use]
    pub fn new(timers: usize) -> Self {
        let rings = u32::try_from(timers + SLOTS + 1).expect("a timer's number has 32 bits");
        Self {
            links: (0..rings).map(|at| Links { previous: at, next: at }).collect(),
            due_ticks: vec![0; timers].into_boxed_slice(),
            occupied: [0; WORD_BITS],
            occupied_words: 0,
            cursor: 0,
            armed: 0,
        }
    }

    /// Sets a timer, anew if it is set already.
    ///
    /// # Panics
    ///
    /// If there is no such timer.
    pub fn set(&mut self, timer: u32, at: Moment) {
        self.cancel(timer);
        let due_tick = at.as_micros().div_ceil(TICK_MICROS);
        self.due_ticks[timer as usize] = due_tick;
        self.armed += 1;
        if due_tick < self.cursor {
            self.link_last(timer, self.due_ring());
        } else {
            let slot = slot_of(due_tick);
            self.link_last(timer, self.slot_ring(slot));
            self.mark_occupied(slot);
        }
    }

    /// Cancels a timer; nothing happens if it is not set.
    ///
    /// # Panics
    ///
    /// If there is no such timer.
    pub fn cancel(&mut self, timer: u32) {
        assert!((timer as usize) < self.due_ticks.len(), "no such timer");
        if self.links[timer as usize].next != timer {
            self.unlink(timer);
            self.armed -= 1;
        }
    }

    /// Whether a timer is set.
    #[must_use]
    pub fn is_set(&self, timer: u32) -> bool {
        (timer as usize) < self.due_ticks.len() && self.links[timer as usize].next != timer
    }

    /// When [`expire`](Self::expire) should be called next; never later than the first timer fires,
    /// but earlier if all timers are more than a turn away. None if no timer is set.
    #[must_use]
    pub fn next(&self) -> Option<Moment> {
        let tick = if self.is_empty_ring(self.due_ring()) {
            self.next_occupied()?
        } else {
            self.cursor.saturating_sub(1)
        };
        Some(Moment::from_micros(tick.saturating_mul(TICK_MICROS)))
    }

    /// When the first timer fires. Unlike [`next`](Self::next) it is never too early, and it looks
    /// at every timer.
    #[must_use]
    pub fn first_due(&self) -> Option<Moment> {
        let tick = self.armed_timers().map(|timer| self.due_ticks[timer as usize]).min()?;
        Some(Moment::from_micros(tick.saturating_mul(TICK_MICROS)))
    }

    /// Puts off a timer by whole ticks; nothing happens if it is not set.
    pub fn put_off(&mut self, timer: u32, by: Duration) {
        if self.is_set(timer) {
            let due = Moment::from_micros(self.due_ticks[timer as usize] * TICK_MICROS);
            self.set(timer, due + by);
        }
    }

    /// One timer whose deadline has come, no longer set; none if there is none left. Timers fire
    /// in the order of the ticks of their deadlines; one that was set to a moment already past
    /// counts as due at the moment it was set.
    pub fn expire(&mut self, now: Moment) -> Option<u32> {
        let now_tick = now.as_micros() / TICK_MICROS;
        let mut turn_start = self.cursor;
        loop {
            let due_ring = self.due_ring();
            let first = self.links[due_ring as usize].next;
            if first != due_ring {
                self.cancel(first);
                return Some(first);
            }
            match self.next_occupied() {
                Some(tick) if tick <= now_tick => {
                    self.collect_due(tick);
                    self.cursor = tick + 1;
                }
                _ => {
                    self.cursor = self.cursor.max(now_tick + 1);
                    return None;
                }
            }
            if self.cursor - turn_start >= SLOTS as u64 && self.is_empty_ring(due_ring) {
                // A whole turn for nothing: the machine slept. Do not turn on until all is caught
                // up, but look once at every timer.
                self.cursor = self.earliest_due_tick().clamp(self.cursor, now_tick + 1);
                turn_start = self.cursor;
            }
        }
    }

    /// Moves the timers due at a tick from its slot to the ring of due timers.
    fn collect_due(&mut self, tick: u64) {
        let ring = self.slot_ring(slot_of(tick));
        let mut timer = self.links[ring as usize].next;
        while timer != ring {
            let next = self.links[timer as usize].next;
            if self.due_ticks[timer as usize] == tick {
                self.unlink(timer);
                self.link_last(timer, self.due_ring());
            }
            timer = next;
        }
    }

    /// The tick of the first slot in use from the cursor on, within a turn.
    fn next_occupied(&self) -> Option<u64> {
        let start = slot_of(self.cursor);
        let slot = self.first_occupied_from(start).or_else(|| self.first_occupied_from(0))?;
        let distance = (slot + SLOTS - start) % SLOTS;
        Some(self.cursor + distance as u64)
    }

    /// The first slot in use that is not before `start`.
    fn first_occupied_from(&self, start: usize) -> Option<usize> {
        let word = start / WORD_BITS;
        let in_word = self.occupied[word] & (u64::MAX << (start % WORD_BITS));
        if in_word != 0 {
            return Some(word * WORD_BITS + in_word.trailing_zeros() as usize);
        }
        // Shifting twice: the last word has none after it, and a shift by 64 is none at all.
        let words_after = self.occupied_words & (u64::MAX << word << 1);
        if words_after == 0 {
            return None;
        }
        let word = words_after.trailing_zeros() as usize;
        Some(word * WORD_BITS + self.occupied[word].trailing_zeros() as usize)
    }

    /// The earliest tick at which any timer is due; looks at all of them.
    fn earliest_due_tick(&self) -> u64 {
        self.armed_timers().map(|timer| self.due_ticks[timer as usize]).min().unwrap_or(0)
    }

    /// The timers that are set, by their numbers.
    fn armed_timers(&self) -> impl Iterator<Item = u32> + '_ {
        let timers = self.links.iter().zip(0_u32..).take(self.due_ticks.len());
        timers.filter(|(links, timer)| links.next != *timer).map(|(_, timer)| timer)
    }

    /// The ring of the timers in a slot.
    fn slot_ring(&self, slot: usize) -> u32 {
        (self.due_ticks.len() + slot) as u32
    }

    /// The ring of the timers whose tick has come.
    fn due_ring(&self) -> u32 {
        self.slot_ring(SLOTS)
    }

    /// Whether no timer hangs in a ring.
    fn is_empty_ring(&self, ring: u32) -> bool {
        self.links[ring as usize].next == ring
    }

    /// Hangs a timer at the end of a ring.
    fn link_last(&mut self, timer: u32, ring: u32) {
        let last = self.links[ring as usize].previous;
        self.links[timer as usize] = Links { previous: last, next: ring };
        self.links[last as usize].next = timer;
        self.links[ring as usize].previous = timer;
    }

    /// Takes a timer out of its ring.
    fn unlink(&mut self, timer: u32) {
        let Links { previous, next } = self.links[timer as usize];
        self.links[previous as usize].next = next;
        self.links[next as usize].previous = previous;
        self.links[timer as usize] = Links { previous: timer, next: timer };
        // Two neighbours that are one: the ring head, left alone.
        if previous == next && previous >= self.slot_ring(0) && previous < self.due_ring() {
            self.mark_empty(previous as usize - self.due_ticks.len());
        }
    }

    /// Notes that a slot has a timer.
    fn mark_occupied(&mut self, slot: usize) {
        self.occupied[slot / WORD_BITS] |= 1 << (slot % WORD_BITS);
        self.occupied_words |= 1 << (slot / WORD_BITS);
    }

    /// Notes that a slot has no timer.
    fn mark_empty(&mut self, slot: usize) {
        let word = slot / WORD_BITS;
        self.occupied[word] &= !(1 << (slot % WORD_BITS));
        if self.occupied[word] == 0 {
            self.occupied_words &= !(1 << word);
        }
    }
}

/// The slot of a tick.
const fn slot_of(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const fn micros(micros: u64) -> Moment {
        Moment::from_micros(micros)
    }

    const fn millis(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn a_timer_that_is_put_off_fires_as_much_later() {
        let mut wheel = Wheel::new(4);
        wheel.set(0, millis(5));
        wheel.set(2, millis(9_005));
        assert_eq!(wheel.first_due(), Some(millis(5)));
        wheel.put_off(0, Duration::from_millis(700));
        wheel.put_off(3, Duration::from_millis(700));
        assert_eq!(wheel.first_due(), Some(millis(705)));
        assert_eq!(wheel.expire(millis(704)), None);
        assert_eq!(wheel.expire(millis(705)), Some(0));
        assert_eq!(wheel.first_due(), Some(millis(9_005)), "the others stay where they are");
        assert_eq!(wheel.expire(millis(9_005)), Some(2));
        assert_eq!(wheel.first_due(), None, "what was not set is not set by it");
    }

    #[test]
    fn a_timer_fires_once_at_its_deadline_rounded_up_to_the_tick() {
        let mut wheel = Wheel::new(1);
        assert_eq!(wheel.next(), None);
        wheel.set(0, micros(5_001));
        assert!(wheel.is_set(0));
        assert_eq!(wheel.next(), Some(millis(6)));
        assert_eq!(wheel.expire(micros(5_999)), None);
        assert_eq!(wheel.expire(millis(6)), Some(0));
        assert!(!wheel.is_set(0));
        assert_eq!(wheel.expire(millis(60_000)), None);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn timers_fire_in_the_order_of_their_deadlines() {
        let mut wheel = Wheel::new(4);
        wheel.set(0, millis(20_000));
        wheel.set(1, millis(4_097));
        wheel.set(2, millis(4_096));
        wheel.set(3, millis(1));
        let late = millis(30_000);
        let fired: Vec<u32> = std::iter::from_fn(|| wheel.expire(late)).collect();
        assert_eq!(fired, [3, 2, 1, 0]);
    }

    #[test]
    fn a_timer_set_to_the_past_fires_at_once() {
        let mut wheel = Wheel::new(2);
        assert_eq!(wheel.expire(millis(100)), None);
        wheel.set(0, millis(50));
        assert!(wheel.next() <= Some(millis(100)));
        assert_eq!(wheel.expire(millis(100)), Some(0));
        wheel.set(1, Moment::START);
        wheel.cancel(1);
        assert_eq!(wheel.expire(millis(200)), None);
    }

    #[test]
    fn a_timer_set_anew_forgets_its_earlier_deadline() {
        let mut wheel = Wheel::new(1);
        wheel.set(0, millis(10));
        wheel.set(0, millis(5_000));
        assert_eq!(wheel.expire(millis(4_999)), None);
        assert_eq!(wheel.expire(millis(5_000)), Some(0));
        wheel.set(0, millis(6_000));
        wheel.cancel(0);
        wheel.cancel(0);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn after_all_due_timers_have_fired_the_next_moment_is_in_the_future() {
        let mut wheel = Wheel::new(2);
        wheel.set(0, millis(3));
        wheel.set(1, millis(3 + 5 * SLOTS as u64));
        let mut now = Moment::START;
        let mut calls = 0;
        while let Some(next) = wheel.next() {
            assert!(next > now, "a worker would not sleep");
            now = next;
            while wheel.expire(now).is_some() {}
            calls += 1;
        }
        assert_eq!(now, millis(3 + 5 * SLOTS as u64));
        assert_eq!(calls, 6, "one a turn");
    }

    #[test]
    fn a_long_sleep_is_caught_up_without_turning_through_all_of_it() {
        let mut wheel = Wheel::new(2);
        let far_millis = 1_000 * 365 * 86_400_000;
        wheel.set(0, millis(far_millis));
        wheel.set(1, Moment::from_micros(u64::MAX));
        assert_eq!(wheel.expire(millis(far_millis - 1)), None);
        assert_eq!(wheel.expire(millis(far_millis)), Some(0));
        assert_eq!(wheel.expire(millis(far_millis)), None);
        assert!(wheel.next() > Some(millis(far_millis)));
        wheel.set(0, millis(far_millis + 1));
        assert_eq!(wheel.expire(millis(far_millis)), None, "not before its deadline");
        assert_eq!(wheel.expire(millis(far_millis + 1)), Some(0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set { timer: u32, in_micros: i64 },
        Cancel { timer: u32 },
        Advance { by_micros: u64, fire: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let timer = 0..24_u32;
        let distance = prop_oneof![
            -5_000..20_000_i64,
            0..5_000_000_i64,
            0..50_000_000_i64,
            (0..4_i64).prop_map(|turns| turns * 4_096_000),
        ];
        let by = prop_oneof![0..3_000_u64, 0..500_000_u64, 0..30_000_000_u64];
        let step = prop_oneof![
            5 => (timer.clone(), distance)
                .prop_map(|(timer, in_micros)| Step::Set { timer, in_micros }),
            1 => timer.prop_map(|timer| Step::Cancel { timer }),
            3 => (by, prop_oneof![0..4_usize, Just(usize::MAX)])
                .prop_map(|(by_micros, fire)| Step::Advance { by_micros, fire }),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn the_wheel_fires_what_a_sorted_map_would_fire(steps in steps()) {
            let mut wheel = Wheel::new(24);
            // By timer: the tick at which it is due, not before the tick the wheel has come to.
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut reached_tick = 0;
            let mut now = micros(10_000);
            for step in steps {
                match step {
                    Step::Set { timer, in_micros } => {
                        let at = now.as_micros().saturating_add_signed(in_micros);
                        wheel.set(timer, micros(at));
                        model.insert(timer, at.div_ceil(TICK_MICROS).max(reached_tick));
                    }
                    Step::Cancel { timer } => {
                        wheel.cancel(timer);
                        model.remove(&timer);
                    }
                    Step::Advance { by_micros, fire } => {
                        now = micros(now.as_micros() + by_micros);
                        let now_tick = now.as_millis();
                        for _ in 0..fire.min(100) {
                            let earliest = model.values().min().copied();
                            let Some(timer) = wheel.expire(now) else {
                                prop_assert!(earliest.is_none_or(|tick| tick > now_tick));
                                reached_tick = now_tick;
                                break;
                            };
                            let tick = model.remove(&timer);
                            prop_assert_eq!(tick, earliest, "the earliest, and one that is set");
                            reached_tick = tick.expect("it was set");
                            prop_assert!(reached_tick <= now_tick, "early");
                        }
                    }
                }
                for timer in 0..24 {
                    prop_assert_eq!(wheel.is_set(timer), model.contains_key(&timer));
                }
                let earliest = model.values().min().map(|tick| millis(*tick));
                prop_assert_eq!(wheel.next().is_some(), earliest.is_some());
                prop_assert!(wheel.next() <= earliest);
            }
        }
    }
}
