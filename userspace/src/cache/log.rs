//! The log: a ring of entries of any length, oldest at the tail, newest before the head.
//!
//! An entry begins at a multiple of 16 octets and never wraps: what is left at the end of the
//! ring and is too short for the next entry stays unused until the next lap.
//!
//! ```text
//!  octet  0               8               16              24              32
//!        |     hash      | stored|expires| stale | value | type, class,  | name | value | pad
//!        |               |  secs |  secs | until |  len  | flags, name len|
//! ```

use super::key::Key;
use super::memory::{LINE_LEN, Memory};
use super::shard::Times;

/// Octets of the unit in which positions and lengths in the log are counted: with 32-bit
/// positions a log can have 64 GiB.
pub(super) const UNIT_LEN: usize = 16;

/// Octets of an entry before its name.
const HEADER_LEN: usize = 32;

/// Lines loaded ahead of a look-up: header, name and value of an answer with a few addresses.
/// Loading only the first would leave the look-up waiting for the others.
const TOUCHED_LINES: usize = 4;

/// What stands before the name and value of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The hash of the key.
    pub(super) hash: u64,
    /// When it was stored, and until when it can be used.
    pub(super) times: Times,
    /// Octets of the value.
    pub(super) value_len: u32,
    /// Type, class, flags and length of the name; see [`Key::question_word`].
    pub(super) question: u64,
}

impl Header {
    /// The header of a new entry, if the length of its value can be written.
    pub(super) fn new(key: &Key<'_>, value: &[u8], times: Times) -> Option<Self> {
        let value_len = u32::try_from(value.len()).ok()?;
        Some(Self { hash: key.hash(), times, value_len, question: key.question_word() })
    }

    /// The type of the key.
    pub(super) const fn rtype(&self) -> u16 {
        self.question as u16
    }

    /// The class of the key.
    pub(super) const fn class(&self) -> u16 {
        (self.question >> 16) as u16
    }

    /// The flags of the key.
    pub(super) const fn flags(&self) -> u8 {
        (self.question >> 32) as u8
    }

    /// The variant of the key.
    pub(super) const fn variant(&self) -> u16 {
        (self.question >> 48) as u16
    }

    /// Octets of the name.
    const fn name_len(&self) -> usize {
        (self.question >> 40) as u8 as usize
    }

    /// Units that the entry takes.
    pub(super) const fn units(&self) -> u32 {
        (HEADER_LEN + self.name_len() + self.value_len as usize).div_ceil(UNIT_LEN) as u32
    }

    /// The header as it lies in memory.
    fn encode(&self) -> [u8; HEADER_LEN] {
        let words = [
            self.hash,
            pair(self.times.stored_secs, self.times.expires_secs),
            pair(self.times.stale_until_secs, self.value_len),
            self.question,
        ];
        let mut octets = [0; HEADER_LEN];
        for (to, word) in octets.as_chunks_mut().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        octets
    }

    /// The header that lies in memory.
    fn decode(octets: &[u8; HEADER_LEN]) -> Self {
        let word = |number: usize| u64::from_le_bytes(octets.as_chunks().0[number]);
        let times = Times {
            stored_secs: word(1) as u32,
            expires_secs: (word(1) >> 32) as u32,
            stale_until_secs: word(2) as u32,
        };
        Self { hash: word(0), times, value_len: (word(2) >> 32) as u32, question: word(3) }
    }
}

/// Two 32-bit numbers in one word, the first in its lower half.
const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// The ring. Positions and lengths are in units.
pub(super) struct Log {
    /// The entries.
    memory: Memory,
    /// Units there are.
    units: u32,
    /// Where the next entry goes.
    head: u32,
    /// Where the oldest entry begins.
    tail: u32,
    /// While `wrapped`: where the last entry of the lap of the tail ends.
    end: u32,
    /// Whether the head is a lap further than the tail. The entries then are `tail..end` and
    /// `0..head`, with `head <= tail`; else they are `tail..head`.
    wrapped: bool,
}

impl Log {
    /// An empty log of `octets_len` octets.
    pub(super) fn new(octets_len: usize, prepare: &mut impl FnMut(&mut [u8])) -> Self {
        let units = Memory::units_within::<UNIT_LEN>(octets_len);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let memory = Memory::new(octets_len, prepare);
        Self { memory, units, head: 0, tail: 0, end: units, wrapped: false }
    }

    /// Octets allocated.
    pub(super) const fn octets_len(&self) -> usize {
        self.memory.octets_len()
    }

    /// Units there are.
    pub(super) const fn units(&self) -> u32 {
        self.units
    }

    /// Forgets everything.
    pub(super) const fn clear(&mut self) {
        self.head = 0;
        self.tail = 0;
        self.end = self.units;
        self.wrapped = false;
    }

    // ---- Reading

    /// The header of the entry at a position.
    #[inline]
    pub(super) fn header(&self, position: u32) -> Header {
        let position = position as usize;
        let (halves, _) = self.memory.units::<UNIT_LEN>()[position..].as_chunks::<2>();
        let octets = halves[0].as_flattened();
        Header::decode(octets.first_chunk().expect("two units are a header"))
    }

    /// Name and value of the entry at a position.
    #[inline]
    pub(super) fn name_and_value(&self, position: u32, header: &Header) -> (&[u8], &[u8]) {
        let octets = self.memory.units::<UNIT_LEN>()[position as usize..].as_flattened();
        let (name, rest) = octets[HEADER_LEN..].split_at(header.name_len());
        (name, &rest[..header.value_len as usize])
    }

    /// Loads the first lines of the entry at a position: as many as most answers take.
    pub(super) fn touch(&self, position: u32) -> u32 {
        let entry = &self.memory.units::<UNIT_LEN>()[position as usize..];
        let lines = entry.iter().step_by(LINE_LEN / UNIT_LEN).take(TOUCHED_LINES);
        lines.map(|unit| u32::from(unit[0])).sum()
    }

    /// Where the oldest entry begins.
    pub(super) const fn oldest(&self) -> Option<u32> {
        if self.is_empty() { None } else { Some(self.tail) }
    }

    /// Where the entry after the one at `position` begins, which takes `units`.
    pub(super) const fn after(&self, position: u32, units: u32) -> Option<u32> {
        let mut next = position + units;
        if self.wrapped && position >= self.tail {
            if next < self.end {
                return Some(next);
            }
            next = 0;
        }
        if next == self.head { None } else { Some(next) }
    }

    /// How far behind the tail a position is: the oldest entry has the least.
    pub(super) const fn distance_from_tail(&self, position: u32) -> u32 {
        if self.wrapped && position < self.tail {
            position + (self.end - self.tail)
        } else {
            position - self.tail
        }
    }

    // ---- Writing

    /// Makes the head a place for an entry of `units` if that needs nothing dropped; wraps if
    /// there is no room before the end of the ring.
    pub(super) const fn has_room(&mut self, units: u32) -> bool {
        if self.is_empty() {
            self.clear();
        }
        if !self.wrapped {
            if self.units - self.head >= units {
                return true;
            }
            if self.is_empty() {
                return false;
            }
            self.end = self.head;
            self.head = 0;
            self.wrapped = true;
        }
        self.tail - self.head >= units
    }

    /// Writes an entry at the head, where there must be room, and returns its position.
    pub(super) fn append(&mut self, header: &Header, name: &[u8], value: &[u8]) -> u32 {
        let position = self.head;
        let units = header.units();
        debug_assert!(units <= if self.wrapped { self.tail } else { self.units } - self.head);
        self.overwrite(position, header, name, value);
        self.head += units;
        position
    }

    /// Writes an entry over another that takes as many units.
    pub(super) fn overwrite(&mut self, position: u32, header: &Header, name: &[u8], value: &[u8]) {
        debug_assert_eq!(header.name_len(), name.len());
        debug_assert_eq!(header.value_len as usize, value.len());
        let at = position as usize;
        let units = &mut self.memory.units_mut::<UNIT_LEN>()[at..at + header.units() as usize];
        let (header_octets, rest) = units.as_flattened_mut().split_at_mut(HEADER_LEN);
        header_octets.copy_from_slice(&header.encode());
        let (name_octets, rest) = rest.split_at_mut(name.len());
        name_octets.copy_from_slice(name);
        rest[..value.len()].copy_from_slice(value);
    }

    /// Gives up the oldest entry, which takes `units`.
    pub(super) const fn drop_oldest(&mut self, units: u32) {
        self.tail += units;
        if self.wrapped && self.tail == self.end {
            self.tail = 0;
            self.end = self.units;
            self.wrapped = false;
        }
    }

    /// Moves the oldest entry, which takes `units`, to the head, and returns its new position.
    ///
    /// Only when [`has_room`](Self::has_room) has said no: then the head is a lap further than
    /// the tail, nothing but free units lies between them, and there is always room to move.
    pub(super) fn move_oldest(&mut self, units: u32) -> u32 {
        assert!(self.wrapped, "a log that is not full needs no room");
        let (from, to) = (self.tail as usize, self.head as usize);
        if from != to {
            let all = self.memory.units_mut::<UNIT_LEN>();
            all.copy_within(from..from + units as usize, to);
        }
        let position = self.head;
        self.head += units;
        self.drop_oldest(units);
        position
    }

    /// Whether there is no entry, dead or alive.
    const fn is_empty(&self) -> bool {
        !self.wrapped && self.tail == self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of so many units.
    fn log(units: usize) -> Log {
        let log = Log::new(units * UNIT_LEN + 63, &mut |_| {});
        assert_eq!(log.units() as usize, units);
        log
    }

    /// Appends an entry of so many units with a value of one repeated octet.
    fn append(log: &mut Log, units: u32, octet: u8) -> u32 {
        let key = Key::new(b"\0", 1, 1, 0, 0);
        let value = vec![octet; units as usize * UNIT_LEN - HEADER_LEN - 1];
        let times = Times { stored_secs: 1, expires_secs: 2, stale_until_secs: 3 };
        let header = Header::new(&key, &value, times).expect("short");
        assert_eq!(header.units(), units);
        log.append(&header, key.name, &value)
    }

    /// The first octet of each value, oldest first.
    fn contents(log: &Log) -> Vec<u8> {
        let mut found = Vec::new();
        let mut next = log.oldest();
        while let Some(position) = next {
            let header = log.header(position);
            let (_, value) = log.name_and_value(position, &header);
            assert!(value.iter().all(|octet| *octet == value[0]), "half overwritten");
            found.push(value[0]);
            next = log.after(position, header.units());
        }
        found
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        let key = Key::new(b"\x01a\0", 0xfffe, 0xfffd, 0xfc, 9);
        let times =
            Times { stored_secs: 1, expires_secs: u32::MAX - 1, stale_until_secs: u32::MAX };
        let header = Header::new(&key, &[0; 66_047], times).expect("short enough");
        assert_eq!(Header::decode(&header.encode()), header);
        assert_eq!((header.rtype(), header.class(), header.flags()), (0xfffe, 0xfffd, 0xfc));
        assert_eq!(header.name_len(), 3);
        assert_eq!(header.units(), (32 + 3 + 66_047_u32).div_ceil(16));
    }

    #[test]
    fn an_entry_that_does_not_fit_before_the_end_goes_to_the_start() {
        let mut log = log(10);
        for octet in 1..=3 {
            assert!(log.has_room(3));
            append(&mut log, 3, octet);
        }
        assert!(!log.has_room(3), "one unit is left at the end, none at the start");
        log.drop_oldest(3);
        assert!(log.has_room(3));
        assert!(!log.has_room(4));
        assert_eq!(append(&mut log, 3, 4), 0);
        assert_eq!(contents(&log), [2, 3, 4]);
        assert_eq!([3, 6, 0].map(|position| log.distance_from_tail(position)), [0, 3, 6]);
        log.drop_oldest(3);
        log.drop_oldest(3);
        assert_eq!(contents(&log), [4]);
        assert!(log.has_room(7), "the unit at the end is free again");
    }

    #[test]
    fn the_oldest_entry_can_move_though_nothing_is_free() {
        let mut log = log(9);
        for octet in 1..=3 {
            assert!(log.has_room(3));
            append(&mut log, 3, octet);
        }
        assert!(!log.has_room(3));
        assert_eq!(log.move_oldest(3), 0);
        assert_eq!(contents(&log), [2, 3, 1]);
        log.drop_oldest(3);
        assert_eq!(log.move_oldest(3), 3);
        assert_eq!(contents(&log), [1, 3]);
        assert!(log.has_room(3));
        append(&mut log, 3, 4);
        assert_eq!(contents(&log), [1, 3, 4]);
    }

    #[test]
    fn an_entry_can_move_over_its_own_beginning() {
        let mut log = log(12);
        append(&mut log, 3, 1);
        append(&mut log, 5, 2);
        append(&mut log, 4, 3);
        assert!(!log.has_room(4));
        log.drop_oldest(3);
        assert!(!log.has_room(4));
        assert_eq!(log.move_oldest(5), 0);
        assert_eq!(contents(&log), [3, 2]);
    }

    #[test]
    fn an_emptied_log_begins_anew() {
        let mut log = log(10);
        append(&mut log, 6, 1);
        log.drop_oldest(6);
        assert_eq!(log.oldest(), None);
        assert!(log.has_room(10));
        assert_eq!(append(&mut log, 10, 2), 0);
        assert!(!log.has_room(3));
        log.drop_oldest(10);
        assert!(log.has_room(10));
        assert!(!log.has_room(11));
    }
}
