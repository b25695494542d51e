//! The control page: what user space tells the program at every moment.
//!
//! ```text
//!   word 0   heartbeat: CLOCK_MONOTONIC in ns when user space last wrote
//!   word 1   second of the engines' clock << 32 | lower half of the time of the next one >> 10
//!   word 2   longest reply in octets << 32 | generation
//!   word 3   number of buckets of the table, less one; a power of two less one
//! ```
//!
//! Each word is written and read as a whole. A page of zeros answers nothing.

use super::entry::Words;

/// Words of the page.
pub const CONTROL_WORDS: usize = 8;
/// Word of the heartbeat.
pub const HEARTBEAT: usize = 0;
/// Word of the clock.
pub const CLOCK: usize = 1;
/// Word of generation and longest reply.
pub const VALIDITY: usize = 2;
/// Word of the mask of buckets.
pub const BUCKET_MASK: usize = 3;

/// How long after its last sign of life user space counts as stopped, in ns.
pub const SILENCE_MAX_NS: u64 = 2_000_000_000;

/// The clock's fractions are counted in units of 2^10 ns.
const FRACTION_SHIFT: u32 = 10;

/// A second in those units, to the nearest.
const SECOND_FRACTIONS: i32 = (1_000_000_000 >> FRACTION_SHIFT) + 1;

/// The word of the clock: in the second `now_secs` of the engines' clock, of which the next one
/// begins when `CLOCK_MONOTONIC` shows `next_ns`.
#[must_use]
pub const fn clock_word(now_secs: u32, next_ns: u64) -> u64 {
    (now_secs as u64) << 32 | (next_ns >> FRACTION_SHIFT) & 0xffff_ffff
}

/// The word of generation and longest reply.
#[must_use]
pub const fn validity_word(generation: u32, payload_max: u16) -> u64 {
    (payload_max as u64) << 32 | generation as u64
}

/// What holds at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// The second of the engines' clock.
    pub now_secs: u32,
    /// Which publications count.
    pub generation: u32,
    /// The longest reply by UDP that is configured, in octets.
    pub payload_max: u16,
    /// Number of buckets less one.
    pub bucket_mask: u32,
}

impl Control {
    /// Reads the page when `CLOCK_MONOTONIC` shows `now_ns`, which may be some milliseconds behind.
    /// `None` if user space has stopped or does not want anything to be answered.
    #[inline(always)]
    pub fn read<W: Words>(page: W, now_ns: u64) -> Option<Self> {
        let heartbeat = page.word(HEARTBEAT);
        let silence_ns = now_ns.wrapping_sub(heartbeat) as i64;
        if heartbeat == 0 || silence_ns > SILENCE_MAX_NS as i64 {
            return None;
        }
        let clock = page.word(CLOCK);
        // Not far from zero, since the heartbeat is young: the difference of the lower halves says
        // all.
        let into_next = ((now_ns >> FRACTION_SHIFT) as u32).wrapping_sub(clock as u32) as i32;
        let mut now_secs = (clock >> 32) as u32;
        if into_next >= 0 {
            now_secs = now_secs.wrapping_add(1);
        }
        if into_next >= SECOND_FRACTIONS {
            now_secs = now_secs.wrapping_add(1);
        }
        let validity = page.word(VALIDITY);
        Some(Self {
            now_secs,
            generation: validity as u32,
            payload_max: (validity >> 32) as u16,
            bucket_mask: page.word(BUCKET_MASK) as u32,
        })
    }
}
