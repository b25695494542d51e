//! How many frames an `AF_XDP` socket has room for, told to the XDP program.
//!
//! When a worker falls behind, its ring fills, and then the kernel drops frames of which nobody
//! ever hears: `bpf_redirect_map` has succeeded by then. So the program counts what it gives to
//! each socket, and the worker says up to which count there is room; beyond it queries go to the
//! network stack, and wait at an ordinary socket. When too many wait there as well, the program
//! throws the rest away: the stack would do that too, at several times the cost, which is taken
//! from those that are answered.
//!
//! The limit is not a sum of what was taken, which would drift with every frame that is lost on the
//! way, but made anew each time: what had been given, and how much the rings have room for now.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;

use dns64_ebpf::abi::{QUEUE_GIVEN, QUEUE_LIMIT, QUEUE_SHEDS, QUEUE_WORDS, XSKS_MAX};

use super::shared_map::SharedMap;

/// Frames that the kernel may have been given and not put into the ring yet: twice what it takes
/// from a queue at a time (`NAPI_POLL_WEIGHT`).
const ON_THE_WAY: u32 = 128;

/// The room of one socket.
#[derive(Debug)]
pub struct QueueRoom {
    map: SharedMap,
    /// Where its words begin.
    at: usize,
}

impl QueueRoom {
    /// Words of the map.
    pub const WORDS: usize = XSKS_MAX as usize * QUEUE_WORDS;

    /// The room of the socket at a place of the map, of which [`Self::WORDS`] are mapped.
    #[must_use]
    pub fn new(map: SharedMap, place: u16) -> Self {
        Self { map, at: usize::from(place) * QUEUE_WORDS }
    }

    /// Frames that the program has given to the socket.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.map.words()[self.at + QUEUE_GIVEN].load(Ordering::Acquire)
    }

    /// Says how many frames the rings have room for. `given` was read before they were looked at.
    pub fn set(&self, given: u64, room: u32) {
        let limit = given.wrapping_add(u64::from(room.saturating_sub(ON_THE_WAY)));
        self.map.words()[self.at + QUEUE_LIMIT].store(limit, Ordering::Release);
    }

    /// Says whether queries beyond the room are thrown away, or go to the network stack.
    pub fn shed(&self, sheds: bool) {
        self.map.words()[self.at + QUEUE_SHEDS].store(u64::from(sheds), Ordering::Relaxed);
    }

    /// Counts frames that nobody has given: for tests.
    #[doc(hidden)]
    pub fn give_for_test(&self, frames: u64) {
        self.map.words()[self.at + QUEUE_GIVEN].fetch_add(frames, Ordering::AcqRel);
    }
}
