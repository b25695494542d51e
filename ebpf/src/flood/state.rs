//! The page that the flood's programs and user space share, and when a query may be sent.
//!
//! Each line of 64 octets has one writer, so that no CPU waits for a line that another one writes
//! for somebody else.

use super::Words;

// ---- Written by user space, once.

/// How many slots are in use.
pub const COUNT: usize = 0;
/// How many source ports there are.
pub const PORTS: usize = 1;
/// The first source port.
pub const FIRST_PORT: usize = 2;
/// The most queries that wait for an answer; 0: any number.
pub const OUTSTANDING: usize = 3;
/// 1 if frames are of IPv4, 0 for IPv6.
pub const IS_IPV4: usize = 4;
/// How long an answer may take, in nanoseconds.
pub const TIMEOUT_NS: usize = 5;

// ---- Written by user space, again and again.

/// When the schedule was written down, in nanoseconds of `CLOCK_MONOTONIC`.
pub const BASE_NS: usize = 8;
/// How many queries are due then.
pub const BASE_DUE: usize = 9;
/// How many become due in a nanosecond, in parts of [`STEP_ONE`]; 0: there is no schedule.
pub const STEP: usize = 10;
/// No more than so many are sent in all.
pub const LAST: usize = 11;
/// How many have been given up.
pub const GIVEN_UP: usize = 12;

// ---- Written by the sender.

/// How many queries were sent.
pub const SENT: usize = 16;
/// The slot that is next.
pub const NEXT_SLOT: usize = 17;
/// The source port that is next, counted from the first.
pub const NEXT_PORT: usize = 18;

// ---- Written by the judge.

/// Right answers.
pub const RIGHT: usize = 24;
/// Answers with an RCODE of failure, and truncated ones.
pub const FAILED: usize = 25;
/// Wrong answers to a query that waited for one.
pub const WRONG: usize = 26;
/// Wrong messages that answer no query that waits.
pub const STRAY: usize = 27;
/// Answers that nobody waits for any more.
pub const LATE: usize = 28;
/// Datagrams to our ports from others than the server.
pub const FOREIGN: usize = 29;
/// How many samples were taken.
pub const SAMPLED: usize = 30;

/// Words of the page.
pub const STATE_WORDS: usize = 32;

/// One query, in the parts that [`STEP`] is counted in.
pub const STEP_ONE: u64 = 1 << 32;

/// The step of a rate in queries a second, at most 2^31.
#[must_use]
pub const fn step_of(rate: u64) -> u64 {
    (((rate as u128) << 32) / 1_000_000_000) as u64
}

/// Queries that have got the answer they waited for.
#[inline(always)]
pub fn settled(state: impl Words) -> u64 {
    state.word(RIGHT) + state.word(FAILED) + state.word(WRONG)
}

/// Queries that still wait.
#[inline(always)]
pub fn in_flight(state: impl Words) -> u64 {
    state.word(SENT).wrapping_sub(settled(state)).wrapping_sub(state.word(GIVEN_UP))
}

/// How many queries are due at `now_ns`. The schedule was written at most four seconds ago.
#[inline(always)]
pub fn due(state: impl Words, now_ns: u64) -> u64 {
    let elapsed_ns = now_ns.wrapping_sub(state.word(BASE_NS)) & 0xffff_ffff;
    state.word(BASE_DUE) + (elapsed_ns.wrapping_mul(state.word(STEP)) >> 32)
}

/// Whether a query may be sent now. The clock is looked at only where there is a schedule.
#[inline(always)]
pub fn may_send(state: impl Words, now_ns: impl FnOnce() -> u64) -> bool {
    let sent = state.word(SENT);
    if sent >= state.word(LAST) {
        return false;
    }
    let outstanding = state.word(OUTSTANDING);
    if outstanding > 0 && in_flight(state) >= outstanding {
        return false;
    }
    state.word(STEP) == 0 || sent < due(state, now_ns())
}
