//! The flood: queries that the kernel itself sends, and answers that are judged inside XDP.
//!
//! A program that the kernel runs on frames of its own (`BPF_PROG_TEST_RUN` with
//! `BPF_F_TEST_XDP_LIVE_FRAMES`, Linux 5.18) writes a whole query into each, and the frame leaves
//! by the driver: no socket, no socket buffer, no system call for each query. Another program, on
//! the same interface, compares what comes back with what the name says, octet by octet, counts it
//! and drops it. User space makes the frames before the start, sets the pace, and reads the counts
//! from shared memory.
//!
//! | module | does |
//! |---|---|
//! | `expect` | what the answer to a query must be |
//! | `slots` | queries as finished frames in the programs' memory |
//! | `pace` | how many queries are due, and when |
//! | `run` | sends, gives up, counts |
//! | `sample` | wrong answers in words |
//!
//! What is sent is the same few thousand queries in turn, each with the ID of its place; the source
//! port goes round its own circle. It is a way to load a server, and not to measure latency: see
//! [`crate::load`] for that.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use dns64::pref64::Pref64;
use dns64::xdp::XdpError;

use crate::load::queries::Queries;

mod expect;
mod pace;
mod run;
mod sample;
mod slots;

/// The most queries of a run.
pub const QUERIES_MAX: usize = dns64_ebpf::flood::SLOTS_MAX as usize;

/// The most source ports: from 61000 on, which Linux gives to no socket by itself.
pub const PORTS_MAX: u16 = u16::MAX - FIRST_PORT + 1;

/// The first source port.
const FIRST_PORT: u16 = 61_000;

/// What answers are compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    /// What the names say: an address of each prefix for each IPv4 address where the name has no
    /// AAAA, its AAAA where it has.
    Synthesized {
        /// The NAT64 prefixes of the server.
        prefixes: Vec<Pref64>,
    },
    /// The question, ID and port alone: for servers that send queries back.
    Reflected,
}

/// What a run does.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The interface that the server is reached by.
    pub interface: String,
    /// Who is asked.
    pub server: SocketAddr,
    /// The source address; an unspecified one is the one that the kernel would use.
    pub source: IpAddr,
    /// How many source ports; 1 to [`PORTS_MAX`].
    pub ports: u16,
    /// Queries a second: an open loop. `None`: a closed loop.
    pub rate: Option<u64>,
    /// The most queries in flight; of an open loop 0, and more than [`QUERIES_MAX`], stand for any
    /// number.
    pub outstanding: usize,
    /// How long queries are sent before those that count, as a server needs whose answers become
    /// hot, or that notices a change of the peer's XDP program.
    pub lead_in: Duration,
    /// How long queries are sent that count.
    pub duration: Duration,
    /// When a query counts as lost.
    pub timeout: Duration,
    /// What answers are compared with.
    pub expect: Expect,
}

/// What a run brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Queries sent.
    pub sent: u64,
    /// Answers that are right.
    pub right: u64,
    /// Answers that are wrong, also those that belong to no query.
    pub wrong: u64,
    /// Answers with an RCODE of failure, and truncated ones.
    pub failed: u64,
    /// Queries without an answer in time, or with one that is not known for it.
    pub lost: u64,
    /// Right answers after the time-out, or second ones.
    pub late: u64,
    /// Datagrams to our ports from others than the server.
    pub foreign: u64,
    /// From the first query until no answer was waited for.
    pub run_time: Duration,
    /// How long queries were sent.
    pub sending_time: Duration,
    /// Some of the wrong answers, in words.
    pub samples: Vec<String>,
}

/// Why there was no run, or an end before the end.
#[derive(Debug)]
pub enum FloodError {
    /// What is asked for cannot be done here, or not at all.
    Refused(String),
    /// XDP cannot be used here.
    Xdp(XdpError),
    /// The kernel ended it.
    Running(XdpError),
}

impl fmt::Display for FloodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => f.write_str(reason),
            Self::Xdp(error) | Self::Running(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FloodError {}

impl From<XdpError> for FloodError {
    fn from(error: XdpError) -> Self {
        Self::Xdp(error)
    }
}

/// Runs until the time is over and all answers are there or lost, or until `stop` is set.
/// Everything happens on this thread, and so on its CPU, but for the judgement: that is where the
/// interface's packets are received. `begins` is called when the lead-in is over.
///
/// # Errors
/// [`FloodError`] says whether it could not be started or failed on the way.
pub fn run(
    queries: &Queries,
    options: &Options,
    stop: &AtomicBool,
    begins: impl FnOnce(),
) -> Result<Outcome, FloodError> {
    run::run(queries, options, stop, begins)
}
