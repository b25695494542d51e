//! Answers that the XDP program gives by itself, and how user space tells it.
//!
//! User space publishes the replies of hot names into a table in shared memory; the program finds
//! the reply to a plain query there, writes it over the query and sends it back. Whatever it is not
//! sure of goes on to user space, which knows everything better and decides the same way: a reply
//! given here has the octets that user space would have written.
//!
//! ```text
//!   control   what time it is, whether user space is alive, which publications count
//!   entry     one published reply, as it lies in the table; finding it under another's pen
//!   query     what is asked, read from a copy of the query
//!   reply     the reply, composed over that copy, with its checksums
//! ```
//!
//! The order of use: the program copies the query into a [`reply::Room`] and reads it
//! ([`query::Asked::read`]), picks the entry by [`entry::key_hash`], lets [`reply::compose`] write
//! the reply in the room, and touches the packet only when that is complete. Every way to fail has
//! its [`Miss`], and leaves the packet as it was.

pub mod control;
pub mod entry;
pub mod query;
pub mod reply;

use core::fmt;

use crate::classify::reasons;

/// Array of entries ([`entry`]), mapped by user space.
pub const MAP_TABLE: &str = "HOT_TABLE";
/// Array of one page of words ([`control`]), mapped by user space.
pub const MAP_CONTROL: &str = "HOT_CONTROL";
/// Per-core array of one [`STATE_WORDS`]: counters, and room to work in.
pub const MAP_STATE: &str = "HOT_STATE";

/// Words of the state of one core: counters first.
pub const STATE_WORDS: usize = 208;

reasons! {
    /// Why a query for us is not answered here.
    Miss {
        /// Not of the plain form: no RD, CD, DO, an EDNS option, another class, a long name.
        Form = "form",
        /// Nobody has said what answers this client gets.
        Client = "client",
        /// User space has not shown a sign of life for a while, or nothing is published.
        Asleep = "asleep",
        /// There is no entry for it.
        Absent = "absent",
        /// The entry is one of an earlier configuration, or its time is up.
        Old = "old",
        /// The entry was written while it was read.
        Torn = "torn",
        /// The client wants to know whether the answer is authentic, which the entry does not say.
        Authentic = "authentic",
        /// The reply is longer than the client takes.
        Size = "size",
        /// The packet cannot grow as far as the reply is long.
        Headroom = "headroom",
    }
}

/// The place of a counter in the state of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotCounter(usize);

impl HotCounter {
    /// RCODEs that are counted: all that fit the header.
    pub const RCODES: usize = 16;
    const SYNTHESIZED_AT: usize = 2 * Self::RCODES;
    const REFUSED_AT: usize = Self::SYNTHESIZED_AT + 1;
    const FIRST_MISS: usize = Self::REFUSED_AT + 1;
    /// Number of counters.
    pub const COUNT: usize = Self::FIRST_MISS + Miss::COUNT;
    /// Answers with synthesized AAAA.
    pub const SYNTHESIZED: Self = Self(Self::SYNTHESIZED_AT);
    /// Answers that refuse those who may not ask. They are among the answers with their RCODE, too.
    pub const REFUSED: Self = Self(Self::REFUSED_AT);

    /// Answers to clients of a family with an RCODE, of which the lower four bits count.
    #[must_use]
    pub const fn answer(is_ipv4: bool, rcode: u8) -> Self {
        let family = if is_ipv4 { 0 } else { Self::RCODES };
        Self(family + (rcode & 0xf) as usize)
    }

    /// Queries that were not answered here, for this reason.
    #[must_use]
    pub const fn miss(reason: Miss) -> Self {
        Self(Self::FIRST_MISS + reason.index())
    }

    /// The word of the state.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

/// Where the room begins in the state, in words: behind the counters. The verifier takes the start
/// and the length of a frame in it for independent of each other, so as much space as the start
/// varies by follows the room.
pub const ROOM_WORD: usize = STATE_WORDS - (reply::ROOM_LEN + ROOM_SPARE_LEN) / 8;
/// Octets behind the room.
pub const ROOM_SPARE_LEN: usize = 144;

const _: () = assert!(HotCounter::COUNT <= ROOM_WORD);

#[cfg(test)]
mod tests;
