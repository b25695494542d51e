//! What carries queries to the server and answers back: the seam between a run, which knows what
//! to send when and what is right, and sockets, TCP connections or AF_XDP, which know how.
//!
//! An engine has *ports*, numbered from 0: source addresses and ports, or connections. Message IDs
//! are given out by port, so an answer belongs to a query only if it comes back to its port. Each
//! thread has an engine of its own and calls it through static dispatch, in this order:
//!
//! ```text
//!   push, push, .. ──► flush        at most BATCH_MAX queries, all of one port
//!   receive                         hands out what came, or waits for it
//! ```
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use super::clock::Clock;

/// The most queries that are pushed before a flush.
pub const BATCH_MAX: usize = dns64::limits::BATCH_LEN;

/// A message that came in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The port it came to.
    pub port: usize,
    /// Whether it came from the address and port that were asked.
    pub from_server: bool,
    /// The DNS message.
    pub bytes: &'a [u8],
    /// When, by the clock given to [`Engine::receive`].
    pub at_ns: u64,
}

/// What an engine did besides carrying messages.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Carried {
    /// Queries that the network did not take; each was counted as sent, and will be lost.
    pub unsent: u64,
    /// Connections made to replace others.
    pub reconnections: u64,
    /// How long it took to make connections.
    pub connecting: Option<Connecting>,
}

/// How long it took to make connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connecting {
    /// How many were made.
    pub count: u64,
    /// All together, in nanoseconds.
    pub sum_ns: u64,
    /// The sum of the squares, in square nanoseconds.
    pub squares: f64,
    /// The quickest.
    pub min_ns: u64,
    /// The slowest.
    pub max_ns: u64,
}

impl Connecting {
    /// One connection, made in so many nanoseconds.
    #[must_use]
    pub fn once(took_ns: u64) -> Self {
        let squares = took_ns as f64 * took_ns as f64;
        Self { count: 1, sum_ns: took_ns, squares, min_ns: took_ns, max_ns: took_ns }
    }

    /// The mean, in nanoseconds.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        self.sum_ns as f64 / self.count.max(1) as f64
    }

    /// The standard deviation of a sample, in nanoseconds; 0 of fewer than two.
    #[must_use]
    pub fn deviation_ns(&self) -> f64 {
        deviation(self.count, self.sum_ns as f64, self.squares)
    }
}

/// The standard deviation of a sample of so many, with this sum and this sum of squares; 0 of fewer
/// than two.
pub(super) fn deviation(count: u64, sum: f64, squares: f64) -> f64 {
    let count = count as f64;
    if count < 2.0 {
        return 0.0;
    }
    ((squares - sum * sum / count) / (count - 1.0)).max(0.0).sqrt()
}

impl Carried {
    /// Adds what another engine did.
    pub fn add(&mut self, other: &Self) {
        self.unsent += other.unsent;
        self.reconnections += other.reconnections;
        self.connecting = match (self.connecting, other.connecting) {
            (Some(one), Some(two)) => Some(Connecting {
                count: one.count + two.count,
                sum_ns: one.sum_ns + two.sum_ns,
                squares: one.squares + two.squares,
                min_ns: one.min_ns.min(two.min_ns),
                max_ns: one.max_ns.max(two.max_ns),
            }),
            (one, two) => one.or(two),
        };
    }
}

/// Carries queries to one server and answers back.
pub trait Engine {
    /// How many ports there are; at least 1.
    fn ports(&self) -> usize;

    /// Takes a copy of the query, with this ID in its first two octets, to be sent from the port
    /// by the next flush. Returns false, and takes nothing, where there is no room: then the query
    /// is offered again later, and the time it waits counts.
    #[must_use]
    fn push(&mut self, port: usize, id: u16, query: &[u8]) -> bool;

    /// Gives what was pushed to the network.
    ///
    /// # Errors
    /// What makes it useless to go on. A single query that cannot be sent is counted in
    /// [`Engine::carried`].
    fn flush(&mut self) -> io::Result<()>;

    /// Hands out what has come; if nothing has, waits for it, at most so long. 0 does not wait.
    /// The order is that of arrival on each port. An engine hands out everything that comes to
    /// its ports, also from others than the server.
    ///
    /// # Errors
    /// What makes it useless to go on.
    fn receive(
        &mut self,
        clock: Clock,
        timeout: Duration,
        take: impl FnMut(Arrival<'_>),
    ) -> io::Result<()>;

    /// What it did so far besides carrying messages.
    fn carried(&self) -> Carried;
}
