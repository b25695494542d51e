//! One trial: questions at a constant rate, counted by what became of them.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use dns64::pref64::Pref64;

use crate::load::queries::Queries;
use crate::load::{self, Check};
use crate::wire::Edns;

use super::outcome::Trial;

/// How much longer than its length a trial may take to send its last queries.
const SENDING_GRACE: f64 = 1.02;

/// Queries in flight while names are being cached: few, so that none is lost.
const CACHING_OUTSTANDING: usize = 64;

/// How long names may take to be cached, and the longest wait for an answer meanwhile.
const CACHING_LIMIT: Duration = Duration::from_secs(120);

/// Who is asked, and by what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// The server.
    pub(super) server: SocketAddr,
    /// Its NAT64 prefix.
    pub(super) prefix: Pref64,
    /// Source ports.
    pub(super) sockets: usize,
    /// What the queries' OPT record says.
    pub(super) edns: Option<Edns>,
}

/// How many queries a trial of this rate has.
pub(super) fn query_count(rate_qps: u32, seconds: f64) -> u32 {
    (f64::from(rate_qps) * seconds).ceil().max(1.0) as u32
}

/// Asks the questions at a constant rate. They are to be [`query_count`] of the rate.
///
/// # Errors
/// Where sockets fail.
pub(super) fn run(
    asked: &Asked,
    questions: &str,
    rate_qps: u32,
    seconds: f64,
    timeout: Duration,
) -> io::Result<Trial> {
    let queries = encode(questions, asked.edns)?;
    let planned = queries.len() as u64;
    let options = load::Options {
        // The queries are sent in one turn: the time is over only for a tester that is too slow.
        duration: Duration::from_secs_f64(seconds * SENDING_GRACE),
        rounds: 1,
        rate: rate_qps,
        outstanding: asked.sockets * load::OUTSTANDING_MAX,
        timeout,
        ..options(asked)
    };
    let totals = load::run(queries, options)?;
    let latencies = &totals.latencies;
    let at = |share| f64::from(latencies.quantile_us(share));
    Ok(Trial {
        repetition: 0,
        rate_qps,
        planned,
        sent: totals.sent,
        answered: totals.verified,
        lost: totals.lost,
        late: totals.unexpected,
        wrong: totals.wrong,
        failed: totals.failed,
        p50_us: at(0.5),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: f64::from(latencies.max_us),
        failure: None,
    })
}

/// Asks each question once, without haste, so that the server has the answers in its cache.
///
/// # Errors
/// Where sockets fail.
pub(super) fn ask_once(asked: &Asked, questions: &str, timeout: Duration) -> io::Result<Asking> {
    let options = load::Options {
        duration: CACHING_LIMIT,
        rounds: 1,
        rate: 0,
        outstanding: CACHING_OUTSTANDING,
        timeout,
        ..options(asked)
    };
    let totals = load::run(encode(questions, asked.edns)?, options)?;
    let load::Totals { sent, verified: answered, wrong, first_wrong, .. } = totals;
    Ok(Asking { sent, answered, wrong, first_wrong })
}

/// What became of questions that were asked without haste.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    /// Queries that were sent.
    pub(super) sent: u64,
    /// Right answers.
    pub(super) answered: u64,
    /// Wrong answers.
    pub(super) wrong: u64,
    /// The first wrong answer.
    pub(super) first_wrong: Option<Vec<u8>>,
}

/// What all runs of the generator have in common.
fn options(asked: &Asked) -> load::Options {
    load::Options {
        server: asked.server,
        duration: CACHING_LIMIT,
        rounds: 1,
        rate: 0,
        outstanding: CACHING_OUTSTANDING,
        sockets: asked.sockets,
        timeout: Duration::from_secs(1),
        prefix: asked.prefix,
        check: Check::Answer,
    }
}

/// Questions as queries.
fn encode(questions: &str, edns: Option<Edns>) -> io::Result<Queries> {
    Queries::read(questions.as_bytes(), edns).map_err(io::Error::other)
}
