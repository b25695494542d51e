//! Answers that are to leave later: a timing wheel, with the octets in reused buffers.
//!
//! The wheel has a slot for each tick of the longest delay. An answer hangs in the slot of its tick
//! behind those that came before it; one bit a slot says whether anything hangs there, and one bit
//! a word of these whether any is set. To put an answer in and to take one out costs the same
//! however many wait. A time is rounded up to a tick: no answer leaves early, and those of one tick
//! leave together. A tick is that long because to wake up and to send costs more than an answer:
//! with random delays, at 40,000 answers a second, ten share the price.
//!
//! Time is an argument, so a test needs no clock.
#![forbid(unsafe_code)]

use dns64::time::Moment;

use super::script::DELAY_MAX_MS;

/// The most answers that wait at once; what comes on top is lost, as in a full queue of a router.
pub const WAITING_MAX: usize = 1 << 18;

/// Microseconds of a tick: how much later than its time an answer may leave.
const TICK_MICROS: u64 = 256;

/// Slots of the wheel: a turn is 67 seconds.
const SLOTS: usize = 1 << 18;

const _: () = assert!(SLOTS as u64 * TICK_MICROS > DELAY_MAX_MS as u64 * 1_000);

/// Bits of a word.
const WORD_BITS: usize = u64::BITS as usize;

/// The answers that wait, each with what the caller needs to send it.
#[derive(Debug)]
pub struct DelayLine<T> {
    /// What hangs at each tick of a turn.
    slots: Vec<Slot>,
    /// One bit for each slot that is not empty.
    occupied: Vec<u64>,
    /// One bit for each word of `occupied` that is not 0.
    occupied_words: Vec<u64>,
    /// The answers; number 1 comes first. Those that have left keep their buffers.
    answers: Vec<Waiting<T>>,
    /// The first of those that have left; 0 if there is none.
    spare: u32,
    /// How many wait.
    waiting: usize,
    /// The tick of the next answer, if one waits.
    next_tick: u64,
    /// The latest tick that an answer was given. No waiting answer is a turn away from it.
    latest_tick: u64,
}

/// The answers of one tick.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The number of the first, from 1 on; 0 if there is none.
    first: u32,
    /// The number of the last, if there is one.
    last: u32,
}

/// An answer that waits.
#[derive(Debug)]
struct Waiting<T> {
    /// Its octets.
    bytes: Vec<u8>,
    /// Where it goes.
    destination: T,
    /// The number of the one behind it in its slot, or among those that have left; 0: none.
    behind: u32,
}

impl<T> DelayLine<T> {
    /// A line without answers. Its memory is taken as the slots are used.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: vec![Slot::default(); SLOTS],
            occupied: vec![0; SLOTS / WORD_BITS],
            occupied_words: vec![0; SLOTS / WORD_BITS / WORD_BITS],
            answers: Vec::new(),
            spare: 0,
            waiting: 0,
            next_tick: 0,
            latest_tick: 0,
        }
    }

    /// Puts an answer in. One that is due more than a turn of the wheel after the next one,
    /// which is longer than the longest delay, leaves a turn after that.
    ///
    /// # Errors
    /// [`LineFull`] if [`WAITING_MAX`] answers wait.
    pub fn put(&mut self, due: Moment, bytes: &[u8], destination: T) -> Result<(), LineFull> {
        if self.waiting >= WAITING_MAX {
            return Err(LineFull);
        }
        let mut tick = due.as_micros().div_ceil(TICK_MICROS);
        if self.waiting == 0 {
            (self.next_tick, self.latest_tick) = (tick, tick);
        }
        let turn = SLOTS as u64 - 1;
        tick = tick.clamp(self.latest_tick.saturating_sub(turn), self.next_tick + turn);
        self.next_tick = self.next_tick.min(tick);
        self.latest_tick = self.latest_tick.max(tick);
        let number = self.keep(bytes, destination);
        let slot = slot_of(tick);
        let Slot { first, last } = self.slots[slot];
        if first == 0 {
            self.slots[slot].first = number;
            self.occupied[slot / WORD_BITS] |= 1 << (slot % WORD_BITS);
            let word = slot / WORD_BITS;
            self.occupied_words[word / WORD_BITS] |= 1 << (word % WORD_BITS);
        } else {
            self.answers[last as usize - 1].behind = number;
        }
        self.slots[slot].last = number;
        self.waiting += 1;
        Ok(())
    }

    /// When the next answer leaves.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        (self.waiting > 0).then(|| Moment::from_micros(self.next_tick * TICK_MICROS))
    }

    /// Takes out the next answer that is due, and shows it to `send`; `false` if none is.
    pub fn take_due(&mut self, now: Moment, send: impl FnOnce(&[u8], &T)) -> bool {
        if self.next_due().is_none_or(|due| due > now) {
            return false;
        }
        let slot = slot_of(self.next_tick);
        let number = self.slots[slot].first;
        let answer = &mut self.answers[number as usize - 1];
        send(&answer.bytes, &answer.destination);
        self.slots[slot].first = std::mem::replace(&mut answer.behind, self.spare);
        self.spare = number;
        self.waiting -= 1;
        if self.slots[slot].first == 0 {
            self.vacate(slot);
        }
        true
    }

    /// Copies an answer into memory of one that has left, or new; returns its number.
    fn keep(&mut self, bytes: &[u8], destination: T) -> u32 {
        let Some(place) = (self.spare as usize).checked_sub(1) else {
            self.answers.push(Waiting { bytes: bytes.to_vec(), destination, behind: 0 });
            // At most WAITING_MAX.
            return self.answers.len() as u32;
        };
        let answer = &mut self.answers[place];
        answer.bytes.clear();
        answer.bytes.extend_from_slice(bytes);
        answer.destination = destination;
        std::mem::replace(&mut self.spare, std::mem::take(&mut answer.behind))
    }

    /// Notes that the slot of the next answer is empty, and looks for the slot after it.
    fn vacate(&mut self, slot: usize) {
        let word = slot / WORD_BITS;
        self.occupied[word] &= !(1 << (slot % WORD_BITS));
        if self.occupied[word] == 0 {
            self.occupied_words[word / WORD_BITS] &= !(1 << (word % WORD_BITS));
        }
        if self.waiting > 0 {
            let next = self.occupied_from(slot);
            self.next_tick += ((next + SLOTS - slot) % SLOTS) as u64;
        }
    }

    /// The first slot that is not empty, from this one on and round the wheel; there is one.
    fn occupied_from(&self, slot: usize) -> usize {
        let word = slot / WORD_BITS;
        let later = self.occupied[word] & (u64::MAX << (slot % WORD_BITS));
        if later != 0 {
            return word * WORD_BITS + later.trailing_zeros() as usize;
        }
        let word = (word + 1) % self.occupied.len();
        let group = word / WORD_BITS;
        let mut words = self.occupied_words[group] & (u64::MAX << (word % WORD_BITS));
        let mut groups = (group + 1..self.occupied_words.len()).chain(0..=group);
        let mut group = group;
        while words == 0 {
            let Some(next) = groups.next() else { return slot };
            group = next;
            words = self.occupied_words[group];
        }
        let word = group * WORD_BITS + words.trailing_zeros() as usize;
        word * WORD_BITS + self.occupied[word].trailing_zeros() as usize
    }
}

impl<T> Default for DelayLine<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The slot of a tick.
fn slot_of(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

// ---- Errors

/// [`WAITING_MAX`] answers wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFull;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    fn taken(line: &mut DelayLine<char>, now: Moment) -> String {
        let mut names = String::new();
        while line.take_due(now, |bytes, name| {
            assert_eq!(bytes, [*name as u8]);
            names.push(*name);
        }) {}
        names
    }

    #[test]
    fn answers_leave_when_due_and_in_order() {
        let mut line = DelayLine::new();
        for (due, name) in [(30, 'c'), (10, 'a'), (20, 'b'), (10, 'A')] {
            line.put(at(due), &[name as u8], name).unwrap();
        }
        let due = line.next_due().unwrap();
        assert!(due >= at(10) && due.since(at(10)).as_micros() < u128::from(TICK_MICROS));
        assert_eq!(taken(&mut line, at(9)), "");
        assert_eq!(taken(&mut line, at(21)), "aAb");
        assert_eq!(taken(&mut line, at(99)), "c");
        assert_eq!(line.next_due(), None);
    }

    #[test]
    fn a_full_line_refuses() {
        let mut line = DelayLine::new();
        for _ in 0..WAITING_MAX {
            line.put(at(1), b"", ()).unwrap();
        }
        assert_eq!(line.put(at(1), b"", ()), Err(LineFull));
    }

    #[test]
    fn over_many_turns_no_answer_is_early_late_or_forgotten() {
        // A generator of Lehmer's, so that the test needs no seed from outside.
        let mut state = 12_345_u64;
        let mut random = |below: u64| {
            state = state * 48_271 % 0x7fff_ffff;
            state % below
        };
        let mut line = DelayLine::new();
        let mut expected: Vec<(u64, u64)> = Vec::new();
        let mut now = 0;
        for number in 0..40_000_u64 {
            now += random(20_000);
            let due = now + random(u64::from(DELAY_MAX_MS) * 1_000);
            line.put(Moment::from_micros(due), &number.to_be_bytes(), number).unwrap();
            expected.push((due.div_ceil(TICK_MICROS), number));
            if number % 16 == 0 {
                expected.sort_unstable();
                let due_now = expected.partition_point(|(tick, _)| tick * TICK_MICROS <= now);
                for (_, number) in expected.drain(..due_now) {
                    let seen = |bytes: &[u8], destination: &u64| {
                        assert_eq!((bytes, *destination), (&number.to_be_bytes()[..], number));
                    };
                    assert!(line.take_due(Moment::from_micros(now), seen), "{number} is missing");
                }
                assert!(!line.take_due(Moment::from_micros(now), |_, number| {
                    panic!("{number} is early");
                }));
            }
        }
        assert!(now > 3 * SLOTS as u64 * TICK_MICROS, "several turns");
        assert!(line.answers.len() < 20_000, "buffers are used again");
    }

    #[test]
    fn an_answer_a_turn_away_leaves_a_little_early_rather_than_never() {
        let mut line = DelayLine::new();
        line.put(at(0), b"a", 'a').unwrap();
        line.put(at(10 * u64::from(DELAY_MAX_MS)), b"b", 'b').unwrap();
        assert_eq!(taken(&mut line, at(1)), "a");
        assert_eq!(taken(&mut line, at(u64::from(DELAY_MAX_MS))), "");
        assert_eq!(taken(&mut line, at(2 * u64::from(DELAY_MAX_MS))), "b");
    }
}
