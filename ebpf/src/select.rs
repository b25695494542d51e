//! The worker of a query.
//!
//! Each name belongs to one worker, by its hash: its cache has the name, and the others ask it.
//! User space, the XDP program that chooses a CPU and the program that chooses a socket all ask
//! [`owner`], so that a query that is steered by name is answered where it arrives.
//!
//! What an XDP program has found out does not reach the program that chooses a socket: metadata in
//! front of a frame is out of its sight, and nothing else can carry a number. So the name is hashed
//! once more there, which costs some tens of nanoseconds, and makes no difference between queries
//! that an XDP program has seen and those that it has not (fragments, other interfaces).

use crate::abi::{SteerBy, SteerConfig};
use crate::classify::{self, Steer, share};
use crate::frame::{Dns, Frame};

/// Octets of the shortest message with a question: the root's.
pub const MESSAGE_LEN_MIN: usize = Dns::HEADER_LEN + 1 + 4;

/// The worker that a name belongs to, of so many; the hash is [`crate::hash::name_hash`].
#[inline]
#[must_use]
pub const fn owner(name_hash: u64, workers: u16) -> u16 {
    share(name_hash, workers)
}

/// The owner of the name that a message of `len` octets asks for. Octets behind its end do not
/// matter.
///
/// `None` for what is no query with one question, and for names that [`Steer::name_hash`] leaves
/// out: any worker answers those, and asks the owner if need be.
#[inline(always)]
pub fn owner_of_message<F: Frame + ?Sized>(
    message: &F,
    len: usize,
    config: &SteerConfig,
) -> Option<u16> {
    let dns = Dns::read(message, 0)?;
    if dns.is_response() {
        return None;
    }
    let (name_hash, name_len) = classify::name_of(message, &dns, 0, len, config.name_seed());
    (name_len != 0).then(|| owner(name_hash, config.core_count()))
}

/// The worker that a flow belongs to: addresses (IPv4 in its mapped form) and ports, source first.
#[inline(always)]
#[must_use]
pub fn worker_of_flow(addresses: [&[u8; 16]; 2], ports: [u16; 2], config: &SteerConfig) -> u16 {
    share(classify::flow_hash(addresses, ports, config.flow_seed()), config.core_count())
}

impl Steer {
    /// The worker of a query in a frame; `None` if it is steered by name and its name is left out.
    #[inline(always)]
    #[must_use]
    pub fn worker(&self, config: &SteerConfig) -> Option<u16> {
        match config.by() {
            SteerBy::Name => self.name_hash.map(|name_hash| owner(name_hash, config.core_count())),
            SteerBy::Flow => Some(share(self.flow_hash, config.core_count())),
        }
    }
}

/// What became of datagrams in the program that chooses sockets: places in its map of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SelectCounter {
    /// The worker's socket was chosen.
    Chosen,
    /// Nothing to choose by: left to the kernel's own choice.
    Left,
    /// The worker has no socket in the map, or one of another address.
    NoSocket,
}

impl SelectCounter {
    /// Number of counters.
    pub const COUNT: u32 = 3;
}

/// What became of frames in the program that chooses CPUs: places in its map of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SpreadCounter {
    /// Taken to another CPU.
    Moved,
    /// On the CPU of its worker already.
    Here,
    /// No plain query for us, or without a name to choose by: left where it came.
    Left,
    /// The worker has no CPU in the map.
    NoCpu,
}

impl SpreadCounter {
    /// Number of counters.
    pub const COUNT: u32 = 4;
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
