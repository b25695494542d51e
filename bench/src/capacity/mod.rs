//! How much a DNS64 server can do: the benchmark of RFC 8219 section 9.
//!
//! The tester is client and authoritative server in one; the server under test is between the two.
//!
//! ```text
//!              1 AAAA?                  2 AAAA?
//!   tester  ────────────►  server  ──────────────►  tester's
//!   (load)                         ◄────────────── (upstream)
//!                                   3 no AAAA
//!                                   4 A?
//!                                  ──────────────►
//!                                  ◄──────────────
//!              6 AAAA               5 A
//!           ◄────────────
//! ```
//!
//! 1. The *self-test*: the tester asks its own upstream. With a quarter of the time-out, it has to
//!    do `2 (1 + delta)` times the rate that it is to find, so that neither half of it is what is
//!    measured.
//! 2. For each pair of shares (answers that are cached, names that have an AAAA record), and each
//!    repetition, a binary search for the highest rate at which no answer is lost or wrong.
//! 3. Median, 1st and 99th percentile of the repetitions' rates.
//!
//! An answer counts if it is exactly what the name says, which is more than the RFC asks for.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use dns64::pref64::Pref64;

use crate::load::LoadError;
use crate::upstream::{self, Upstream};

use outcome::{
    Cell, Failure, Figures, LimitedBy, Method, Outcome, SCHEMA_VERSION, SelfTest, Trial,
};
use search::{Found, Plan, highest_rate};
use trial::Asked;
use workload::{Questions, Shares};

pub mod outcome;
pub mod search;
mod trial;
pub mod workload;

/// The longest time-out that RFC 8219 section 9 allows.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(1);

/// The part of the time-out that the self-test has (RFC 8219 9.2.1).
const SELF_TEST_PART: f64 = 0.25;

/// Between the rates at which the self-test passed and failed: it only gives a bound.
const SELF_TEST_PRECISION: f64 = 0.1;

/// Seconds of the longest trial of a self-test.
const SELF_TEST_SECONDS_MAX: f64 = 5.0;

/// Questions by which a server shows that it has time again.
const SETTLE_QUESTIONS: u32 = 256;

/// How often they are asked before the next trial is made all the same.
const SETTLE_ROUNDS_MAX: u32 = 10;

/// The highest rate of a search without a bound. No socket carries as much.
const RATE_MAX_QPS: u32 = 20_000_000;

/// Where the server's questions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamAt {
    /// To one of ours, which listens here.
    Started(SocketAddr),
    /// To one that someone else started.
    Elsewhere(SocketAddr),
}

/// What a capacity test does.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server under test.
    pub server: SocketAddr,
    /// Where its questions go.
    pub upstream: UpstreamAt,
    /// Threads of an upstream of ours.
    pub upstream_threads: usize,
    /// The server's NAT64 prefix.
    pub prefix: Pref64,
    /// Source ports; at least 1.
    pub sockets: usize,
    /// Whether queries have an OPT record, with a payload size of 1232.
    pub edns: bool,
    /// When an answer counts as lost; at most [`TIMEOUT_MAX`].
    pub timeout: Duration,
    /// Seconds of a trial.
    pub seconds: f64,
    /// Searches for each pair of shares; at least 1.
    pub repetitions: u32,
    /// The first rate of a search.
    pub start_qps: u32,
    /// No higher rate is tried.
    pub rate_max_qps: Option<u32>,
    /// The factor between the first rates of a search; above 1.
    pub step: f64,
    /// The distance at which a search ends, as a part of the rate.
    pub precision: f64,
    /// How often a rate that fails is tried again.
    pub retries: u32,
    /// How much more than the server's work the tester must be able to do: at least 0.1.
    pub delta: f64,
    /// Per cent of the answers that may be lost.
    pub loss_percent: f64,
    /// The longest 99 % latency of a trial that passes, in milliseconds.
    pub queue_ms: f64,
    /// The pairs of shares.
    pub grid: Vec<Shares>,
    /// Names that are to be cached.
    pub cached_names: u32,
    /// Under what all names are.
    pub zone: String,
    /// Runs with different salts ask for different names.
    pub salt: u32,
}

impl Options {
    /// How the test is made, for the report.
    fn method(&self) -> Method {
        Method {
            as_in_rfc_8219: self.seconds >= 60.0
                && self.repetitions >= 20
                && self.retries == 0
                && self.loss_percent == 0.0,
            seconds: self.seconds,
            repetitions: self.repetitions,
            timeout_s: self.timeout.as_secs_f64(),
            loss_percent: self.loss_percent,
            queue_ms: self.queue_ms,
            precision_percent: self.precision * 100.0,
            retries: self.retries,
            delta: self.delta,
            sockets: self.sockets,
        }
    }

    /// Where and how finely to search, up to this rate.
    fn plan(&self, ceiling_qps: u32) -> Plan {
        Plan {
            start_qps: self.start_qps,
            ceiling_qps,
            step: self.step,
            precision: self.precision,
            retries: self.retries,
        }
    }
}

/// What happens while a test runs.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A trial of the self-test was made.
    SelfTest(&'a Trial),
    /// The names are being cached.
    Caching(Shares),
    /// A trial was made.
    Trial(Shares, &'a Trial),
}

/// Makes a capacity test, and shows each step.
///
/// # Errors
/// [`CapacityError`] says what has to be put right.
pub fn run(
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Outcome, CapacityError> {
    let started = match options.upstream {
        UpstreamAt::Started(listen) => {
            let threads = options.upstream_threads;
            let options = upstream::Options { threads, ..upstream::Options::default() };
            let started = Upstream::start(listen, options);
            Some(started.map_err(|error| CapacityError::Listen(listen, error))?)
        }
        UpstreamAt::Elsewhere(_) => None,
    };
    let upstream = match options.upstream {
        UpstreamAt::Elsewhere(address) => address,
        UpstreamAt::Started(listen) => {
            started.as_ref().map_or(listen, |upstream| reachable(upstream.local_addr()))
        }
    };
    let asked = |server| Asked {
        server,
        prefix: options.prefix,
        sockets: options.sockets.max(1),
        edns: options.edns,
    };
    let mut tester = Tester {
        options,
        server: asked(options.server),
        upstream: asked(upstream),
        started,
        questions: Questions::new(&options.zone, options.salt, options.cached_names),
        progress,
    };
    tester.look_before()?;
    let self_test = tester.self_test()?;
    let mut cells = Vec::new();
    for shares in &options.grid {
        cells.push(tester.cell(*shares, self_test.rate_qps)?);
    }
    Ok(Outcome {
        schema_version: SCHEMA_VERSION,
        server: options.server.to_string(),
        upstream: upstream.to_string(),
        prefix: options.prefix.to_string(),
        method: options.method(),
        self_test,
        cells,
    })
}

/// An address that can be asked: a wildcard is asked on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// A test under way.
struct Tester<'a> {
    /// What it does.
    options: &'a Options,
    /// The server under test.
    server: Asked,
    /// Its upstream, for the self-test.
    upstream: Asked,
    /// The upstream, if it is ours.
    started: Option<Upstream>,
    /// What is asked for.
    questions: Questions,
    /// Is told of each step.
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Tester<'_> {
    /// Asks the upstream and the server one question each: it is better to hear at once that one of
    /// them is not there, or that the prefix is another.
    fn look_before(&mut self) -> Result<(), CapacityError> {
        let native = Shares { cached_percent: 0, aaaa_percent: 100 };
        let synthesized = Shares { cached_percent: 0, aaaa_percent: 0 };
        // Of three attempts one may well get lost.
        for (asked, shares, who) in [
            (self.upstream, native, "upstream"),
            (self.server, native, "server"),
            (self.server, synthesized, "server"),
        ] {
            let questions = self.questions.of_trial(shares, 3);
            let asking = match trial::ask_once(&asked, &questions, TIMEOUT_MAX) {
                Ok(asking) => asking,
                Err(LoadError::Unreachable(_)) => {
                    return Err(CapacityError::Silent(who, asked.server));
                }
                Err(error) => return Err(CapacityError::Asking(asked.server, error)),
            };
            if let Some(what) = asking.first_wrong {
                return Err(CapacityError::Wrong(who, asked.server, what));
            }
            if asking.answered == 0 {
                return Err(CapacityError::Silent(who, asked.server));
            }
        }
        Ok(())
    }

    /// How much the tester can do by itself: its upstream answers its own client, for names that
    /// have an AAAA record.
    fn self_test(&mut self) -> Result<SelfTest, CapacityError> {
        let options = self.options;
        let seconds = options.seconds.min(SELF_TEST_SECONDS_MAX);
        let timeout = options.timeout.mul_f64(SELF_TEST_PART);
        let shares = Shares { cached_percent: 0, aaaa_percent: 100 };
        let mut trials = Vec::new();
        // With a bound on the rate, no more is to be known than that it can be measured.
        let ceiling_qps = options.rate_max_qps.map_or(RATE_MAX_QPS, |rate_qps| {
            (f64::from(rate_qps) * 2.0 * (1.0 + options.delta)).ceil() as u32
        });
        let plan = Plan {
            precision: SELF_TEST_PRECISION,
            // A tester that was disturbed once is not slow for that.
            retries: options.retries.max(1),
            ..options.plan(ceiling_qps)
        };
        let found = highest_rate(&plan, |rate_qps| {
            let questions = self.questions.of_trial(shares, trial::query_count(rate_qps, seconds));
            let mut trial = trial::run(&self.upstream, &questions, rate_qps, seconds, timeout)?;
            trial.failure = trial.judge(0.0, timeout.as_secs_f64() * 1_000.0);
            (self.progress)(Progress::SelfTest(&trial));
            let passed = trial.failure.is_none();
            trials.push(trial);
            Ok(passed)
        })
        .map_err(|error| CapacityError::Asking(self.upstream.server, error))?;
        if found == Found::Nothing {
            return Err(CapacityError::SelfTest(self.upstream.server));
        }
        Ok(SelfTest { rate_qps: found.rate_qps(), timeout_s: timeout.as_secs_f64(), trials })
    }

    /// What the server can do with one pair of shares.
    fn cell(&mut self, shares: Shares, self_test_qps: u32) -> Result<Cell, CapacityError> {
        let options = self.options;
        // The client's half does all of the rate; the upstream's half what the server asks.
        let work = shares.upstream_questions().max(1.0);
        let tester_max_qps = f64::from(self_test_qps) / (work * (1.0 + options.delta));
        let ceiling_qps = options.rate_max_qps.unwrap_or(RATE_MAX_QPS).min(tester_max_qps as u32);
        let mut plan = options.plan(ceiling_qps.max(1));
        let mut trials = Vec::new();
        let mut rates_qps = Vec::new();
        let mut limited_by = LimitedBy::Server;
        let (mut sent, mut asked_upstream) = (0, 0);
        for repetition in 1..=options.repetitions.max(1) {
            self.fill_cache(shares)?;
            let found = highest_rate(&plan, |rate_qps| {
                let before = self.upstream_queries();
                let mut trial = self.trial(shares, rate_qps)?;
                trial.repetition = repetition;
                sent += trial.sent;
                asked_upstream += self.upstream_queries() - before;
                if trial.failure.is_some() {
                    self.settle()?;
                }
                let passed = trial.failure.is_none();
                trials.push(trial);
                Ok(passed)
            })
            .map_err(|error: LoadError| CapacityError::Asking(self.server.server, error))?;
            rates_qps.push(found.rate_qps());
            match found {
                Found::Ceiling(_) => {
                    limited_by = match options.rate_max_qps {
                        Some(rate_qps) if rate_qps <= ceiling_qps => LimitedBy::MaxRate,
                        Some(_) | None => LimitedBy::Tester,
                    };
                }
                Found::Between { failed_qps, .. }
                    if tester_failed(&trials, repetition, failed_qps) =>
                {
                    limited_by = LimitedBy::Tester;
                }
                Found::Between { .. } | Found::Nothing => {}
            }
            // The next search starts below what this one found: that saves trials, not rigour.
            if found.rate_qps() > 1 {
                plan.start_qps = (f64::from(found.rate_qps()) / options.step) as u32;
            }
        }
        let rate_qps = Figures::of(&rates_qps);
        let delta = (rate_qps.median > 0.0)
            .then(|| f64::from(self_test_qps) / (work * rate_qps.median) - 1.0);
        let upstream_questions =
            (self.started.is_some() && sent > 0).then(|| asked_upstream as f64 / sent as f64);
        Ok(Cell {
            cached_percent: shares.cached_percent,
            aaaa_percent: shares.aaaa_percent,
            rate_qps,
            rates_qps,
            ceiling_qps,
            limited_by,
            delta,
            upstream_questions,
            trials,
        })
    }

    /// One trial with the server.
    fn trial(&mut self, shares: Shares, rate_qps: u32) -> Result<Trial, LoadError> {
        let Options { seconds, timeout, loss_percent, queue_ms, .. } = *self.options;
        let questions = self.questions.of_trial(shares, trial::query_count(rate_qps, seconds));
        let mut trial = trial::run(&self.server, &questions, rate_qps, seconds, timeout)?;
        trial.failure = trial.judge(loss_percent, queue_ms);
        (self.progress)(Progress::Trial(shares, &trial));
        Ok(trial)
    }

    /// Lets the server come to the end of what an overload has left in its queues, so that the next
    /// trial does not pay for it: until it answers all of some questions, or has had its time.
    fn settle(&mut self) -> Result<(), LoadError> {
        let shares = Shares { cached_percent: 0, aaaa_percent: 100 };
        for _ in 0..SETTLE_ROUNDS_MAX {
            let questions = self.questions.of_trial(shares, SETTLE_QUESTIONS);
            let asking = trial::ask_once(&self.server, &questions, TIMEOUT_MAX)?;
            if asking.answered == asking.sent {
                break;
            }
        }
        Ok(())
    }

    /// Has the server cache what is to be cached.
    fn fill_cache(&mut self, shares: Shares) -> Result<(), CapacityError> {
        if shares.cached_percent == 0 {
            return Ok(());
        }
        (self.progress)(Progress::Caching(shares));
        let questions = self.questions.to_be_cached(shares);
        let asking = trial::ask_once(&self.server, &questions, TIMEOUT_MAX)
            .map_err(|error| CapacityError::Asking(self.server.server, error))?;
        // What is missing is asked for once more in the trials; a few do no harm.
        if asking.answered * 100 < asking.sent * 99 {
            return Err(CapacityError::Caching(asking.answered, asking.sent));
        }
        Ok(())
    }

    /// Queries that reached the upstream, if it is ours.
    fn upstream_queries(&self) -> u64 {
        self.started.as_ref().map_or(0, |upstream| {
            let counts = upstream.counts();
            counts.udp_queries + counts.tcp_queries
        })
    }
}

/// Whether all trials of a repetition at this rate failed because the tester was too slow.
fn tester_failed(trials: &[Trial], repetition: u32, rate_qps: u32) -> bool {
    trials
        .iter()
        .filter(|trial| trial.repetition == repetition && trial.rate_qps == rate_qps)
        .all(|trial| trial.failure == Some(Failure::Unsent))
}

// ---- Errors

/// Why there is no outcome.
#[derive(Debug)]
pub enum CapacityError {
    /// The upstream cannot listen here.
    Listen(SocketAddr, io::Error),
    /// The generator fails at this address.
    Asking(SocketAddr, LoadError),
    /// The server or upstream at this address does not answer, or not rightly.
    Silent(&'static str, SocketAddr),
    /// The server or upstream at this address gave this wrong answer.
    Wrong(&'static str, SocketAddr, String),
    /// The upstream at this address did not even answer one query a second in time.
    SelfTest(SocketAddr),
    /// Only so many of so many names were cached.
    Caching(u64, u64),
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => {
                write!(f, "the upstream cannot listen on {address}: {error}")
            }
            Self::Asking(address, error) => write!(f, "cannot ask {address}: {error}"),
            Self::Silent("server", address) => write!(
                f,
                "no good answer from the server at {address}: is it running, does it let this \
                 client ask, and does it forward to the upstream?"
            ),
            Self::Silent(who, address) => {
                write!(f, "no good answer from the {who} at {address}: is it running?")
            }
            Self::Wrong(who, address, what) => write!(
                f,
                "a wrong answer from the {who} at {address}: {what}. Does --prefix say the \
                 server's prefix, and is its upstream `dns64bench upstream`?"
            ),
            Self::SelfTest(address) => {
                write!(f, "the upstream at {address} failed the self-test at every rate")
            }
            Self::Caching(answered, sent) => write!(
                f,
                "only {answered} of {sent} names that are to be cached were answered: fewer of \
                 them, by --cached-names, may help"
            ),
        }
    }
}

impl std::error::Error for CapacityError {}

impl CapacityError {
    /// Whether the server answered, but not what is true.
    #[must_use]
    pub fn is_wrong_answer(&self) -> bool {
        matches!(self, Self::Wrong(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(rate_qps: u32, failure: Option<Failure>) -> Trial {
        Trial {
            repetition: 1,
            rate_qps,
            planned: 1,
            sent: 1,
            answered: 1,
            lost: 0,
            late: 0,
            wrong: 0,
            failed: 0,
            p50_us: 0.0,
            p99_us: 0.0,
            p999_us: 0.0,
            max_us: 0.0,
            failure,
        }
    }

    #[test]
    fn a_rate_at_which_only_the_tester_failed_says_nothing_about_the_server() {
        let (unsent, lost) = (Some(Failure::Unsent), Some(Failure::Lost));
        let trials = [trial(10, None), trial(20, unsent), trial(20, unsent), trial(30, unsent)];
        assert!(tester_failed(&trials, 1, 20));
        let trials = [trial(20, unsent), trial(20, lost)];
        assert!(!tester_failed(&trials, 1, 20), "the server failed once, too");
    }

    #[test]
    fn a_wildcard_is_asked_on_loopback() {
        let asked = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:53"), "127.0.0.1:53");
        assert_eq!(asked("[::]:53"), "[::1]:53");
        assert_eq!(asked("192.0.2.1:53"), "192.0.2.1:53");
    }
}
