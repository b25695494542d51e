//! The scripted upstream: an authoritative and recursive server in one, over UDP and TCP, whose
//! answers the names themselves say (see [`script`]).
//!
//! No zone has to be loaded and no state kept, so it answers as fast as sockets allow, and whoever
//! sees a name knows what a correct answer is: the load generator verifies by the same rule.
//!
//! ```no_run
//! use dns64_bench::upstream::{Options, Upstream};
//!
//! let upstream = Upstream::start("127.0.0.1:0".parse().unwrap(), Options::default()).unwrap();
//! println!("ask {}", upstream.local_addr());
//! ```
//!
//! [`script`] and [`answer`] are pure, [`chance`] takes a seed and [`delay`] time as an argument,
//! `serve` and `tcp` have the sockets and threads.
#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use dns64::sys::clock::Clock;
use dns64::sys::waker::Waker;

use crate::socket::{bind_tcp, bind_udp};
use crate::wire::{Query, name_to_text};

pub mod answer;
pub mod chance;
pub mod delay;
pub mod script;
mod serve;
mod tcp;

pub use answer::Carrier;

/// The most queries that [`Options::record`] keeps.
pub const RECORDED_MAX: usize = 1 << 16;

/// How often a port for UDP and TCP is looked for before we give up.
const PORT_TRIES: usize = 16;

/// What applies to all names.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that answer over UDP, each with sockets of its own; at least 1.
    pub threads: usize,
    /// Decides which answers get lost, and random delays. With one thread, the same queries in the
    /// same order lose the same answers, and the others are late by the same times.
    pub seed: u64,
    /// Delay of answers to names that say none; with `jitter_ms` at most
    /// [`DELAY_MAX_MS`](script::DELAY_MAX_MS).
    pub delay_ms: u32,
    /// By how much that delay may be longer: each answer's is drawn anew.
    pub jitter_ms: u32,
    /// Per cent of answers over UDP that get lost to names that do not say it; 0 to 100.
    pub loss_percent: u8,
    /// Whether to keep a record of the queries, for [`Upstream::recorded`].
    pub record: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 1, seed: 0, delay_ms: 0, jitter_ms: 0, loss_percent: 0, record: false }
    }
}

/// A query that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The name, with its final dot, in the letters of the query.
    pub name: String,
    /// The type.
    pub qtype: u16,
    /// What carried it.
    pub carrier: Carrier,
    /// Its ID.
    pub id: u16,
    /// Its flags.
    pub flags: u16,
    /// Who asked.
    pub peer: SocketAddr,
}

/// How many messages of which kind there were since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queries over UDP.
    pub udp_queries: u64,
    /// Queries over TCP.
    pub tcp_queries: u64,
    /// Answers sent, each once, whatever junk went before it.
    pub answers: u64,
    /// Answers lost on purpose.
    pub lost: u64,
    /// Answers that could not be sent or kept.
    pub failed: u64,
    /// Messages that are no query of the kind we answer.
    pub refused: u64,
}

/// A running upstream; it stops when this is dropped.
#[derive(Debug)]
pub struct Upstream {
    /// The addresses it listens on, with the true port.
    addresses: Vec<SocketAddr>,
    /// What the threads share.
    shared: Arc<Shared>,
    /// All threads but those of TCP connections, which the accepting thread joins.
    threads: Vec<JoinHandle<()>>,
}

impl Upstream {
    /// Starts an upstream on one address, UDP and TCP. Port 0 takes one that is free for both.
    ///
    /// # Errors
    /// Where a socket or thread cannot be had.
    pub fn start(listen: SocketAddr, options: Options) -> io::Result<Self> {
        Self::start_on(&[listen], options)
    }

    /// Starts an upstream on several addresses.
    ///
    /// # Errors
    /// Where a socket or thread cannot be had.
    pub fn start_on(listen: &[SocketAddr], options: Options) -> io::Result<Self> {
        let threads = options.threads.max(1);
        let shared = Arc::new(Shared {
            options,
            clock: Clock::start(),
            counters: Counters::default(),
            recorded: Mutex::default(),
            stop: Waker::new()?,
        });
        let mut upstream = Self { addresses: Vec::new(), shared, threads: Vec::new() };
        let mut udp_sockets = Vec::new();
        udp_sockets.resize_with(threads, Vec::new);
        let mut tcp_sockets = Vec::new();
        for address in listen {
            let (udp, tcp) = bind_both(*address)?;
            let address = udp.local_addr()?;
            for sockets in &mut udp_sockets[1..] {
                sockets.push(bind_udp(address)?);
            }
            udp_sockets[0].push(udp);
            tcp_sockets.push(tcp);
            upstream.addresses.push(address);
        }
        for (number, sockets) in udp_sockets.into_iter().enumerate() {
            let shared = Arc::clone(&upstream.shared);
            let server = serve::UdpServer::new(shared, sockets, number as u64)?;
            upstream.spawn("upstream-udp", move || server.run())?;
        }
        for socket in tcp_sockets {
            let shared = Arc::clone(&upstream.shared);
            upstream.spawn("upstream-tcp", move || tcp::serve(&shared, &socket))?;
        }
        Ok(upstream)
    }

    /// The first address it listens on.
    ///
    /// # Panics
    /// If it was started on no address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses it listens on.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many messages there were.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counters.read()
    }

    /// The queries so far, if [`Options::record`] is set; at most [`RECORDED_MAX`].
    #[must_use]
    pub fn recorded(&self) -> Vec<Recorded> {
        self.shared.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a thread that is joined at the end.
    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // No thread drains this waker, so each sees it.
        self.shared.stop.wake();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so; there is nothing to add here.
            let _panicked = thread.join();
        }
    }
}

/// A UDP and a TCP socket of the same port.
fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let udp = bind_udp(address)?;
        match bind_tcp(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            // Another's TCP socket has the port that was free for UDP: take another port.
            Err(_) if address.port() == 0 && tries < PORT_TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the threads of an upstream share.
#[derive(Debug)]
struct Shared {
    /// What applies to all names.
    options: Options,
    /// The time that delays are reckoned in.
    clock: Clock,
    /// How many messages there were.
    counters: Counters,
    /// The queries, if they are recorded.
    recorded: Mutex<Vec<Recorded>>,
    /// Awake as soon as the threads are to end.
    stop: Waker,
}

impl Shared {
    /// Keeps a query, if it is to be kept.
    fn record(&self, query: &Query<'_>, carrier: Carrier, peer: SocketAddr) {
        if !self.options.record {
            return;
        }
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.len() < RECORDED_MAX {
            let (qtype, id, flags) = (query.qtype, query.id(), query.flags());
            let name = name_to_text(query.name);
            recorded.push(Recorded { name, qtype, carrier, id, flags, peer });
        }
    }
}

/// [`Counts`] as several threads write it, once a batch.
#[derive(Debug, Default)]
struct Counters {
    /// Of [`Counts::udp_queries`].
    udp_queries: AtomicU64,
    /// Of [`Counts::tcp_queries`].
    tcp_queries: AtomicU64,
    /// Of [`Counts::answers`].
    answers: AtomicU64,
    /// Of [`Counts::lost`].
    lost: AtomicU64,
    /// Of [`Counts::failed`].
    failed: AtomicU64,
    /// Of [`Counts::refused`].
    refused: AtomicU64,
}

impl Counters {
    /// Adds what one batch brought.
    fn add(&self, counts: &Counts) {
        let Counts { udp_queries, tcp_queries, answers, lost, failed, refused } = *counts;
        for (counter, count) in [
            (&self.udp_queries, udp_queries),
            (&self.tcp_queries, tcp_queries),
            (&self.answers, answers),
            (&self.lost, lost),
            (&self.failed, failed),
            (&self.refused, refused),
        ] {
            if count > 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// The counts now.
    fn read(&self) -> Counts {
        Counts {
            udp_queries: self.udp_queries.load(Ordering::Relaxed),
            tcp_queries: self.tcp_queries.load(Ordering::Relaxed),
            answers: self.answers.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}
