//! The table of hot answers, as user space writes it: entries and control page in memory that the
//! XDP program reads (`dns64_ebpf::hot`).
//!
//! There is one writer. Nothing here makes a system call but [`HotTable::counts`].
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering, fence};

use aya::maps::{Array, PerCpuArray};
use dns64_ebpf::hot::control::{
    BUCKET_MASK, CLOCK, CONTROL_WORDS, HEARTBEAT, VALIDITY, clock_word, validity_word,
};
use dns64_ebpf::hot::entry::{
    END, ENTRY_WORDS, HASH, SEQUENCE, START, USED, WAYS, first_of_bucket, refusal_index,
};
use dns64_ebpf::hot::{HotCounter, MAP_CONTROL, MAP_STATE, MAP_TABLE, Miss, STATE_WORDS};

use super::XdpError;
use super::steering::Steering;
use crate::sys::shared_map::SharedMap;

/// Entries of the table unless somebody says otherwise: 48 MiB of the kernel's memory.
pub const HOT_ENTRIES: u32 = 1 << 16;

/// The number of entries that a table has for this number: a power of two, and at least a bucket.
#[must_use]
pub const fn entries_of(wanted: u32) -> u32 {
    let wanted = if wanted < WAYS { WAYS } else { wanted };
    let most = 1 << 22;
    if wanted > most { most } else { wanted.next_power_of_two() }
}

/// The words of an entry, the sequence aside.
pub type EntryWords = [u64; ENTRY_WORDS];

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It has an entry now.
    New,
    /// It has taken the place of an earlier one for the same question.
    Renewed,
    /// It was there already.
    Known,
    /// Every entry that it could have is in use.
    Full,
}

/// Entries and control page.
#[derive(Debug)]
pub struct HotTable {
    entries: SharedMap,
    control: SharedMap,
    generation: u32,
    payload_max: u16,
}

impl HotTable {
    /// The table of a loaded program, which answers nothing yet.
    ///
    /// # Errors
    /// If the maps cannot be mapped into memory.
    pub fn new(steering: &mut Steering) -> Result<Self, XdpError> {
        let program = &mut steering.program;
        let table: Array<_, [u64; ENTRY_WORDS]> = program.map(MAP_TABLE)?;
        let entries = table.len();
        Ok(Self {
            entries: program.memory(MAP_TABLE, entries as usize * ENTRY_WORDS)?,
            control: program.memory(MAP_CONTROL, CONTROL_WORDS)?,
            generation: 1,
            payload_max: 0,
        })
    }

    /// Replies by UDP are at most so many octets long.
    pub fn set_payload_max(&mut self, octets: u16) {
        self.payload_max = octets;
        self.write_validity();
    }

    /// Which publications count: those of this generation.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Makes all that is published count no more, at once. Publications of the new generation
    /// count.
    pub fn flush(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.write_validity();
        self.generation
    }

    /// Shows that user space is alive, and what time it is: in the second `now_secs` of the
    /// engines' clock, of which `left_ns` are left, when `CLOCK_MONOTONIC` shows `monotonic_ns`.
    ///
    /// The program answers nothing without that for two seconds.
    pub fn beat(&self, now_secs: u32, left_ns: u64, monotonic_ns: u64) {
        let [mask, validity, clock, heartbeat] =
            [BUCKET_MASK, VALIDITY, CLOCK, HEARTBEAT].map(|word| &self.control.words()[word]);
        mask.store(u64::from(self.bucket_mask()), Ordering::Relaxed);
        validity.store(validity_word(self.generation, self.payload_max), Ordering::Relaxed);
        clock.store(clock_word(now_secs, monotonic_ns + left_ns), Ordering::Release);
        heartbeat.store(monotonic_ns, Ordering::Release);
    }

    /// Stops the program from answering, until the next [`HotTable::beat`].
    pub fn silence(&self) {
        self.control.words()[HEARTBEAT].store(0, Ordering::Release);
    }

    /// Publishes a reply in the second `now_secs`.
    pub fn publish(&mut self, words: &EntryWords, now_secs: u32) -> Published {
        let first = first_of_bucket(words[HASH], self.bucket_mask());
        publish(self.entries.words(), first, words, self.generation, now_secs)
    }

    /// Says what those get who may not ask, from now on. Without it, and without the audience
    /// [`dns64_ebpf::abi::REFUSED`] in their entries, user space refuses them.
    pub fn set_refusal(&mut self, words: &EntryWords) {
        write(entry(self.entries.words(), refusal_index(self.bucket_mask())), words);
    }

    /// Withdraws what is published under a hash.
    pub fn withdraw(&mut self, hash: u64) {
        let first = first_of_bucket(hash, self.bucket_mask());
        for way in 0..WAYS {
            let entry = entry(self.entries.words(), first + way);
            if entry[HASH].load(Ordering::Relaxed) == hash {
                write(entry, &[0; ENTRY_WORDS]);
            }
        }
    }

    /// Leaves an entry as it is while it is being written, and says which hash it has: for tests,
    /// which have no other way to stop in the middle.
    #[doc(hidden)]
    pub fn begin_write_for_test(&self, index: u32) -> u64 {
        let entry = entry(self.entries.words(), index);
        entry[SEQUENCE].fetch_or(1, Ordering::AcqRel);
        entry[HASH].load(Ordering::Acquire)
    }

    /// What the program has counted, over all CPUs.
    ///
    /// # Errors
    /// Where the map cannot be read.
    pub fn counts(steering: &mut Steering) -> Result<HotCounts, XdpError> {
        let map: PerCpuArray<_, [u64; STATE_WORDS]> = steering.program.map(MAP_STATE)?;
        let states = map.get(&0, 0).map_err(|error| XdpError::of_map("read a BPF map", error))?;
        let mut counts = HotCounts::default();
        for state in states.iter() {
            for (sum, count) in counts.0.iter_mut().zip(state) {
                *sum += count;
            }
        }
        Ok(counts)
    }

    fn bucket_mask(&self) -> u32 {
        // The last entry is the refusal.
        (self.entries.words().len() / ENTRY_WORDS - 1) as u32 / WAYS - 1
    }

    fn write_validity(&self) {
        let word = validity_word(self.generation, self.payload_max);
        self.control.words()[VALIDITY].store(word, Ordering::Release);
    }
}

/// Sums of what the program has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotCounts([u64; HotCounter::COUNT]);

impl Default for HotCounts {
    fn default() -> Self {
        Self([0; HotCounter::COUNT])
    }
}

impl HotCounts {
    /// Answers to clients of a family with an RCODE.
    #[must_use]
    pub fn answers(&self, is_ipv4: bool, rcode: u8) -> u64 {
        self.0[HotCounter::answer(is_ipv4, rcode).get()]
    }

    /// Answers by family (whether it is IPv4) and RCODE, all that there are.
    pub fn all_answers(&self) -> impl Iterator<Item = (bool, u8, u64)> + '_ {
        let rcodes = 0..HotCounter::RCODES as u8;
        let kinds = rcodes.flat_map(|rcode| [(true, rcode), (false, rcode)]);
        kinds.map(|(is_ipv4, rcode)| (is_ipv4, rcode, self.answers(is_ipv4, rcode)))
    }

    /// All answers.
    #[must_use]
    pub fn answers_total(&self) -> u64 {
        self.0[..2 * HotCounter::RCODES].iter().sum()
    }

    /// Answers that refused those who may not ask. They are among the others, too.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.0[HotCounter::REFUSED.get()]
    }

    /// Answers with synthesized AAAA.
    #[must_use]
    pub const fn synthesized(&self) -> u64 {
        self.0[HotCounter::SYNTHESIZED.get()]
    }

    /// Queries that were left to user space, for this reason.
    #[must_use]
    pub const fn misses(&self, reason: Miss) -> u64 {
        self.0[HotCounter::miss(reason).get()]
    }
}

/// An entry by its number.
fn entry(words: &[AtomicU64], index: u32) -> &[AtomicU64] {
    let at = index as usize * ENTRY_WORDS;
    &words[at..at + ENTRY_WORDS]
}

/// Publishes in the bucket that begins with entry `first`.
fn publish(
    table: &[AtomicU64],
    first: u32,
    words: &EntryWords,
    generation: u32,
    now_secs: u32,
) -> Published {
    let load = |way: u32, word: usize| entry(table, first + way)[word].load(Ordering::Relaxed);
    let is_same = |way: &u32| load(*way, HASH) == words[HASH];
    let is_free = |way: &u32| {
        let end = load(*way, END);
        load(*way, HASH) == 0 || end as u32 != generation || (end >> 32) as u32 <= now_secs
    };
    let is_unused = |way: &u32| load(*way, USED) == 0;
    if let Some(way) = (0..WAYS).find(is_same) {
        if [END, START].iter().all(|word| load(way, *word) == words[*word]) {
            return Published::Known;
        }
        write(entry(table, first + way), words);
        return Published::Renewed;
    }
    match (0..WAYS).find(is_free).or_else(|| (0..WAYS).find(is_unused)) {
        Some(way) => {
            write(entry(table, first + way), words);
            Published::New
        }
        None => {
            // The next one gets the place of one that has not been asked for until then.
            for way in 0..WAYS {
                entry(table, first + way)[USED].store(0, Ordering::Relaxed);
            }
            Published::Full
        }
    }
}

/// Writes an entry so that nobody takes a half of it for the whole.
fn write(entry: &[AtomicU64], words: &EntryWords) {
    let sequence = entry[SEQUENCE].load(Ordering::Relaxed);
    entry[SEQUENCE].store(sequence | 1, Ordering::Relaxed);
    fence(Ordering::Release);
    for (to, from) in entry.iter().zip(words).skip(SEQUENCE + 1) {
        to.store(*from, Ordering::Relaxed);
    }
    entry[SEQUENCE].store((sequence | 1).wrapping_add(1), Ordering::Release);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn table(entries: usize) -> Vec<AtomicU64> {
        (0..entries * ENTRY_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    /// An entry of generation 1, good before this second.
    fn words(hash: u64, until_secs: u32) -> EntryWords {
        let mut words = [hash; ENTRY_WORDS];
        words[END] = u64::from(until_secs) << 32 | 1;
        words[USED] = 0;
        words
    }

    #[test]
    fn a_bucket_keeps_what_is_used_and_gives_away_what_is_not() {
        let table = table(2);
        let publish = |hash, now| publish(&table, 0, &words(hash, 50), 1, now);
        assert_eq!((publish(10, 5), publish(11, 5)), (Published::New, Published::New));
        assert_eq!(publish(10, 5), Published::Known);
        for way in 0..2 {
            entry(&table, way)[USED].store(1, Ordering::Relaxed);
        }
        assert_eq!(publish(12, 5), Published::Full);
        // Only one of them has been used since.
        entry(&table, 0)[USED].store(1, Ordering::Relaxed);
        assert_eq!(publish(12, 5), Published::New);
        assert_eq!(entry(&table, 0)[HASH].load(Ordering::Relaxed), 10);
        assert_eq!(entry(&table, 1)[HASH].load(Ordering::Relaxed), 12);
    }

    #[test]
    fn an_entry_whose_time_is_up_or_whose_generation_is_over_is_free() {
        let table = table(2);
        for hash in [10, 11] {
            assert_eq!(publish(&table, 0, &words(hash, 50), 1, 5), Published::New);
        }
        for way in 0..2 {
            entry(&table, way)[USED].store(1, Ordering::Relaxed);
        }
        assert_eq!(publish(&table, 0, &words(12, 90), 1, 50), Published::New);
        assert_eq!(publish(&table, 0, &words(13, 90), 2, 5), Published::New);
        assert_eq!(publish(&table, 0, &words(13, 91), 2, 5), Published::Renewed);
    }

    #[test]
    fn nobody_reads_half_of_an_entry_as_a_whole() {
        let table = table(1);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for hash in 1..20_000 {
                    write(entry(&table, 0), &[hash; ENTRY_WORDS]);
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                let entry = entry(&table, 0);
                let sequence = entry[SEQUENCE].load(Ordering::Acquire);
                let read: Vec<u64> =
                    entry[1..].iter().map(|word| word.load(Ordering::Acquire)).collect();
                let same = entry[SEQUENCE].load(Ordering::Acquire) == sequence;
                if sequence & 1 == 0 && same {
                    assert!(read.iter().all(|word| *word == read[0]), "{read:?}");
                }
            }
        });
    }

    #[test]
    fn tables_have_a_power_of_two_of_entries() {
        assert_eq!([0, 2, 3, 16_384].map(entries_of), [2, 2, 4, 16_384]);
    }
}
