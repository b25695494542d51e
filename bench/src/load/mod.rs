//! The load generator: sends queries, and verifies each answer by the rule of the names that say
//! their own answer.
//!
//! With a rate it is an open loop: queries leave by a schedule that is set beforehand, and a
//! latency counts from the moment its query was *to be* sent, so that a server that stalls cannot
//! hide it by holding up the schedule. Without a rate it is a closed loop: a query leaves for each
//! one that comes back or is lost, which shows the server's capacity and says little about latency.
//!
//! In the order in which data flows:
//!
//! | module | does |
//! |---|---|
//! | [`input`], [`generate`] | what is asked: files, and workloads made here |
//! | [`encode`], [`queries`] | the queries, encoded before the start |
//! | [`schedule`], [`random`] | when each is to be sent |
//! | `worker` | a thread: sends, receives, gives up |
//! | [`engine`] | the seam to what carries messages: [`sockets`], [`tcp`], [`xdp`] |
//! | [`in_flight`], `ledger` | which answer belongs to which query |
//! | [`verify`], [`records`], [`fault`] | whether an answer is right |
//! | [`consistency`] | whether answers that nobody can verify contradict each other |
//! | [`totals`], [`report`], [`json`], [`sample`] | what the run brought |
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use crate::socket::connect_udp;
use crate::wait::wait_for;
use crate::xdp::Place;

use clock::{Clock, ns_of};
use engine::Engine;
use ledger::Ledger;
use queries::Queries;
use schedule::{Schedule, Spacing};
use sockets::UdpSockets;
use tcp::TcpConnections;
use totals::Totals;
use verify::Rules;
use worker::{Progress, Task, Worker};
use xdp::XdpSockets;

pub mod clock;
pub mod consistency;
pub mod encode;
pub mod engine;
pub mod fault;
pub mod generate;
pub mod in_flight;
pub mod input;
pub mod json;
mod ledger;
pub mod queries;
pub mod random;
pub mod records;
pub mod report;
pub mod rrtype;
pub mod sample;
pub mod schedule;
pub mod sockets;
pub mod tcp;
pub mod totals;
pub mod verify;
mod worker;
pub mod xdp;

/// From the threads' readiness to the first query.
const START_DELAY: Duration = Duration::from_millis(2);

/// How long a server that has answered nothing is given to refuse a probe.
const PROBE_WAIT: Duration = Duration::from_millis(200);

/// How long late answers are waited for after the last query is given up.
const GRACE: Duration = Duration::from_secs(1);

/// How often a watcher is told how far the run is.
const WATCH_TICK: Duration = Duration::from_millis(50);

/// What carries the queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// UDP sockets.
    Udp,
    /// TCP connections.
    Tcp {
        /// A connection is replaced after so many queries; 0: it is kept.
        queries_per_connection: u64,
    },
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who is asked.
    pub server: SocketAddr,
    /// What carries the queries.
    pub carrier: Carrier,
    /// The source address of each port or connection, with port 0 for one of the system's choice;
    /// at least one for each thread.
    pub sources: Vec<SocketAddr>,
    /// How many threads; at least 1.
    pub threads: usize,
    /// How long queries are sent; `None`: until they are through.
    pub duration: Option<Duration>,
    /// How often the queries are gone through at most; 0: as often as the time allows.
    pub rounds: u32,
    /// Queries a second; 0 is a closed loop.
    pub rate: u64,
    /// The distances between the queries of an open loop.
    pub spacing: Spacing,
    /// The most queries in flight; `usize::MAX`: as many as there are IDs.
    pub outstanding: usize,
    /// When a query counts as lost.
    pub timeout: Duration,
    /// The interface whose `AF_XDP` sockets carry the queries; `None`: the system's sockets do.
    pub xdp: Option<Place>,
    /// Octets of each socket's buffers.
    pub buffer_bytes: usize,
    /// Whether queries of one length are handed to the kernel as one and cut into packets as late
    /// as possible (udp(7), `UDP_SEGMENT`). It spares this machine work, and on virtual links the
    /// server's too, which then looks faster than it is.
    pub segments: bool,
    /// What is right.
    pub rules: Rules,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Time since the first query.
    pub elapsed: Duration,
    /// Queries sent.
    pub sent: u64,
    /// Queries answered in time.
    pub completed: u64,
    /// Queries not answered in time.
    pub lost: u64,
    /// Wrong answers.
    pub wrong: u64,
    /// The 99th percentile of the latency in the last half second, in nanoseconds.
    pub p99_ns: u64,
}

/// Who is told how far a run is.
pub trait Watcher {
    /// Whether to measure [`Snapshot::p99_ns`], which costs some nanoseconds an answer.
    fn wants_p99(&self) -> bool;

    /// Tells it.
    fn see(&mut self, snapshot: &Snapshot);
}

/// A watcher that does not look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Watcher for Nobody {
    fn wants_p99(&self) -> bool {
        false
    }

    fn see(&mut self, _snapshot: &Snapshot) {}
}

/// Runs until the time is over, the queries are through, and all answers are there or lost, or
/// until `stop` is set: then what waits counts as interrupted.
///
/// # Errors
/// [`LoadError`] says whether the surroundings or the run itself failed.
pub fn run(
    queries: &Queries,
    options: &Options,
    stop: &AtomicBool,
    watcher: &mut dyn Watcher,
) -> Result<Totals, LoadError> {
    let run = Run { queries, options, stop };
    if let Some(place) = &options.xdp {
        let reason = match (options.carrier, options.threads) {
            (Carrier::Udp, 0 | 1) => {
                return run.on(watcher, |sources| XdpSockets::open(place, options.server, sources));
            }
            // The network card chooses the queue of an answer, and knows nothing of who has asked.
            (Carrier::Udp, _) => "AF_XDP serves all queues with one thread: leave out -T",
            (Carrier::Tcp { .. }, _) => "AF_XDP carries UDP only",
        };
        return Err(LoadError::Setup(io::Error::other(reason)));
    }
    match options.carrier {
        Carrier::Udp => run.on(watcher, |sources| {
            UdpSockets::open(options.server, sources, options.buffer_bytes, options.segments)
        }),
        Carrier::Tcp { queries_per_connection } => run.on(watcher, |sources| {
            let limits = tcp::Limits { queries_per_connection, timeout: options.timeout };
            TcpConnections::open(options.server, sources, options.buffer_bytes, limits)
        }),
    }
}

/// A run to be done.
#[derive(Clone, Copy)]
struct Run<'a> {
    /// What is asked.
    queries: &'a Queries,
    /// How.
    options: &'a Options,
    /// Set to end it early.
    stop: &'a AtomicBool,
}

impl Run<'_> {
    /// Runs with engines that are made of some of the sources each, one a thread.
    fn on<E: Engine + Send>(
        self,
        watcher: &mut dyn Watcher,
        open: impl Fn(&[SocketAddr]) -> io::Result<E>,
    ) -> Result<Totals, LoadError> {
        let Self { queries, options, stop } = self;
        let threads = options.threads.max(1);
        let mut engines = Vec::with_capacity(threads);
        for thread in 0..threads {
            let sources = options.sources.iter().skip(thread).step_by(threads);
            engines.push(open(&sources.copied().collect::<Vec<_>>()).map_err(LoadError::Setup)?);
        }
        let clock = Clock::start();
        let start_ns = ns_of(START_DELAY);
        let mut progress = Vec::new();
        progress.resize_with(threads, Progress::default);
        let watched = watcher.wants_p99();
        let unanswered = || match options.carrier {
            Carrier::Udp => probe(options.server, queries.query(0)),
            // A connection that is refused says so itself.
            Carrier::Tcp { .. } => Ok(()),
        };
        let results = std::thread::scope(|scope| {
            let (done, finished) = mpsc::channel::<()>();
            let mut handles = Vec::with_capacity(threads);
            for ((thread, engine), progress) in (0..).zip(engines).zip(&progress) {
                let task = self.task(thread, clock, start_ns, watched);
                let ledger = Ledger::new(queries, &options.rules, engine.ports());
                let worker = Worker::new(engine, task, queries, ledger);
                let (done, unanswered) = (done.clone(), &unanswered);
                let spawned = std::thread::Builder::new()
                    .name(format!("load-{thread}"))
                    .spawn_scoped(scope, move || {
                        let result = worker.run(progress, stop, unanswered);
                        if result.is_err() {
                            stop.store(true, Ordering::Relaxed);
                        }
                        drop(done);
                        result
                    });
                match spawned {
                    Ok(handle) => handles.push(handle),
                    Err(error) => {
                        stop.store(true, Ordering::Relaxed);
                        return Err(LoadError::Setup(error));
                    }
                }
            }
            drop(done);
            // Nobody sends; the last thread hangs up.
            while finished.recv_timeout(WATCH_TICK) == Err(RecvTimeoutError::Timeout) {
                watcher.see(&snapshot(&progress, clock.now_ns().saturating_sub(start_ns)));
            }
            Ok(handles.into_iter().map(|handle| handle.join()).collect::<Vec<_>>())
        })?;
        let mut sum = Totals::default();
        for result in results {
            match result {
                Ok(totals) => sum.merge(totals.map_err(LoadError::of_run)?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(sum)
    }

    /// What one of the threads does.
    fn task(self, thread: u64, clock: Clock, start_ns: u64, watched: bool) -> Task {
        let options = self.options;
        let threads = options.threads.max(1) as u64;
        let schedule = match options.rate {
            0 => Schedule::Closed,
            rate => Schedule::open(rate, options.spacing, start_ns, thread, threads),
        };
        let sent_max = match options.rounds {
            0 => u64::MAX,
            rounds => {
                let all = u64::from(rounds) * self.queries.len() as u64;
                (all + threads - 1).saturating_sub(thread) / threads
            }
        };
        let outstanding = match options.outstanding {
            usize::MAX => usize::MAX,
            all => all.div_ceil(threads as usize),
        };
        Task {
            clock,
            schedule,
            start_ns,
            end_ns: options.duration.map_or(u64::MAX, |span| start_ns.saturating_add(ns_of(span))),
            first: thread,
            step: threads,
            sent_max,
            outstanding,
            timeout: options.timeout,
            grace: GRACE,
            watched,
        }
    }
}

/// What all threads say of themselves.
fn snapshot(progress: &[Progress], elapsed_ns: u64) -> Snapshot {
    let mut sum = Snapshot { elapsed: Duration::from_nanos(elapsed_ns), ..Snapshot::default() };
    for thread in progress {
        sum.sent += thread.sent.load(Ordering::Relaxed);
        sum.completed += thread.completed.load(Ordering::Relaxed);
        sum.lost += thread.lost.load(Ordering::Relaxed);
        sum.wrong += thread.wrong.load(Ordering::Relaxed);
        sum.p99_ns = sum.p99_ns.max(thread.p99_ns.load(Ordering::Relaxed));
    }
    sum
}

/// Asks a server that has answered nothing once more, by a connected socket: it is told if the
/// server's machine refuses (ICMP port unreachable), which the sockets of a run are not.
fn probe(server: SocketAddr, query: &[u8]) -> io::Result<()> {
    let socket = connect_udp(server)?;
    socket.send(query)?;
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    wait_for(&mut fds, Some(PROBE_WAIT))?;
    match socket.take_error()? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

// ---- Errors

/// Why a run failed.
#[derive(Debug)]
pub enum LoadError {
    /// Sockets or threads could not be had.
    Setup(io::Error),
    /// There is no server.
    Unreachable(io::Error),
    /// The run failed on its way.
    Running(io::Error),
}

impl LoadError {
    /// What an error of a running engine means.
    fn of_run(error: io::Error) -> Self {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
        let absent = [ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut];
        if absent.contains(&error.kind()) { Self::Unreachable(error) } else { Self::Running(error) }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(error) => write!(f, "cannot start: {error}"),
            Self::Unreachable(error) => write!(f, "no server there: {error}"),
            Self::Running(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

#[cfg(test)]
mod tests;
