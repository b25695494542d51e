//! The cache of one worker: bounded, allocated at the start, owned by one thread.
//!
//! A [`Shard`] is two pieces of memory and nothing else:
//!
//! ```text
//!  index   | bucket | bucket | bucket | ...        64 octets each: one cache line, 8 ways
//!              |
//!              v  position of the entry
//!  log     | entry | entry | entry |          free          | entry | entry | pad |
//!                                  ^ head                   ^ tail            ^ end
//!                                  newest                   oldest
//! ```
//!
//! Entries of any length stand one behind the other in the `log`, a ring. A new entry goes to
//! the head; when the head reaches the tail, the oldest entry goes, or is moved to the head if it
//! has been asked for since it was written. That is CLOCK with the log as its dial: as good as
//! LRU at keeping what is asked for, but a hit writes one bit instead of moving a list node, there
//! is no fragmentation, and the memory for a short answer is short.
//!
//! The `index` finds an entry by its hash. A hit reads one line of the index, then the head of
//! the entry, then the value: two dependent cache misses before the value, however large the
//! shard is.
//!
//! What is kept under a [`Key`] is octets; the cache never interprets them. Time is an argument,
//! in seconds, since DNS counts in seconds.
#![forbid(unsafe_code)]

mod index;
mod key;
mod log;
mod memory;
mod scope;
mod shard;
#[cfg(test)]
mod tests;

pub use key::Key;
pub use scope::Scope;
pub use shard::{Entries, Entry, Hit, Shard, Stats, Times, TooLarge};
