//! The flood: queries that a program sends from inside the kernel, and answers that another one
//! judges there.
//!
//! ```text
//!   state  one page: what user space wants, what the sender has sent, what the judge has counted
//!   slot   a query as a finished frame, and the answer that it must get
//!   judge  a response and its slot -> Verdict
//! ```
//!
//! Both programs and user space share four maps. Slots and the page are written by user space; the
//! sender writes the page's second line and what waits for an answer, the judge the last line and
//! samples of what was wrong.

pub mod judge;
pub mod slot;
pub mod state;

/// The program that turns live frames into queries.
pub const PROGRAM_SEND: &str = "flood_send";
/// The program that judges the answers.
pub const PROGRAM_CHECK: &str = "flood_check";

/// Array of slots ([`slot`]), as many as user space says.
pub const MAP_SLOTS: &str = "FLOOD_SLOTS";
/// Array of as many words: when a slot's query was sent that has no answer yet, in nanoseconds of
/// `CLOCK_MONOTONIC_COARSE`; 0 if there is none.
pub const MAP_WAITING: &str = "FLOOD_WAITING";
/// Array of one page ([`state`]).
pub const MAP_STATE: &str = "FLOOD_STATE";
/// Array of [`SAMPLES_MAX`] samples.
pub const MAP_SAMPLES: &str = "FLOOD_SAMPLES";

/// The most slots: a query's ID is the number of its slot.
pub const SLOTS_MAX: u32 = 1 << 16;

/// How many wrong answers are kept.
pub const SAMPLES_MAX: u32 = 8;
/// Octets of a sample's message at most.
pub const SAMPLE_LEN_MAX: usize = 511;
/// Words of a sample: one by [`sample_word`], which is 0 while there is none, then the message.
pub const SAMPLE_WORDS: usize = 1 + (SAMPLE_LEN_MAX + 1) / 8;

/// The first word of a sample: what is wrong (the code of a [`judge::Verdict`]), and how many
/// octets of the message there are.
#[must_use]
pub const fn sample_word(code: u32, len: usize) -> u64 {
    1 << 63 | (code as u64) << 32 | len as u64
}

/// Code and length out of a [`sample_word`]; `None` if there is no sample.
#[must_use]
pub const fn read_sample_word(word: u64) -> Option<(u32, usize)> {
    if word >> 63 == 0 {
        return None;
    }
    Some(((word >> 32) as u32 & 0xff, (word & SAMPLE_LEN_MAX as u64) as usize))
}

/// Words that others may be writing.
pub trait Words: Copy {
    /// A word by its number; callers stay below the number of words.
    fn word(self, index: usize) -> u64;
}

#[cfg(test)]
mod tests;
