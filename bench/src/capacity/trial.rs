//! One trial: questions at a constant rate, counted by what became of them.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use dns64::pref64::Pref64;

use crate::load::encode::{Encoder, Encoding};
use crate::load::queries::Queries;
use crate::load::schedule::Spacing;
use crate::load::sockets::BUFFER_BYTES;
use crate::load::totals::Totals;
use crate::load::verify::Rules;
use crate::load::{self, Carrier, LoadError, Nobody, sample};
use crate::wire::{name_from_text, rtype};

use super::outcome::Trial;

/// How much longer than its length a trial may take to send its last queries: a part of it, and
/// seconds.
const SENDING_GRACE: (f64, f64) = (0.02, 0.05);

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
    /// Whether queries have an OPT record.
    pub(super) edns: bool,
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
) -> Result<Trial, LoadError> {
    let queries = encode(questions, asked.edns);
    let planned = queries.len() as u64;
    let (part, more) = SENDING_GRACE;
    let options = load::Options {
        // The queries are sent in one turn: the time is over only for a tester that is too slow.
        duration: Some(Duration::from_secs_f64(seconds * (1.0 + part) + more)),
        rate: u64::from(rate_qps),
        outstanding: usize::MAX,
        timeout,
        ..options(asked)
    };
    let totals = send(&queries, &options)?;
    let latencies = &totals.latencies;
    let at = |share| latencies.quantile_ns(share) as f64 / 1e3;
    Ok(Trial {
        repetition: 0,
        rate_qps,
        planned,
        sent: totals.sent,
        // Those that came late were verified too.
        answered: totals.verified.saturating_sub(totals.late),
        lost: totals.lost + totals.late,
        late: totals.late,
        wrong: totals.wrong(),
        failed: totals.failed,
        p50_us: at(0.5),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: latencies.max_ns() as f64 / 1e3,
        failure: None,
    })
}

/// Asks each question once, without haste, so that the server has the answers in its cache.
///
/// # Errors
/// Where sockets fail.
pub(super) fn ask_once(
    asked: &Asked,
    questions: &str,
    timeout: Duration,
) -> Result<Asking, LoadError> {
    let options = load::Options { timeout, ..options(asked) };
    let totals = send(&encode(questions, asked.edns), &options)?;
    Ok(Asking {
        sent: totals.sent,
        answered: totals.verified.saturating_sub(totals.late),
        first_wrong: totals
            .samples
            .iter()
            .find(|sample| sample.fault.is_some())
            .map(sample::describe),
    })
}

/// What became of questions that were asked without haste.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    /// Queries that were sent.
    pub(super) sent: u64,
    /// Right answers.
    pub(super) answered: u64,
    /// A wrong answer, as people read it.
    pub(super) first_wrong: Option<String>,
}

/// What all runs of the generator have in common: a closed loop through all questions once.
fn options(asked: &Asked) -> load::Options {
    let source = match asked.server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    load::Options {
        server: asked.server,
        carrier: Carrier::Udp,
        xdp: None,
        sources: vec![source; asked.sockets],
        threads: 1,
        duration: Some(CACHING_LIMIT),
        rounds: 1,
        rate: 0,
        spacing: Spacing::Constant,
        outstanding: CACHING_OUTSTANDING,
        timeout: Duration::from_secs(1),
        buffer_bytes: BUFFER_BYTES,
        // The server is to receive packets as it does from many clients.
        segments: false,
        rules: Rules { prefixes: vec![asked.prefix], by_name: true, alternative: None },
    }
}

/// Runs the generator to its end.
fn send(queries: &Queries, options: &load::Options) -> Result<Totals, LoadError> {
    load::run(queries, options, &AtomicBool::new(false), &mut Nobody)
}

/// Questions for AAAA, a line each, as queries.
fn encode(questions: &str, edns: bool) -> Queries {
    let edns_share = if edns { 100.0 } else { 0.0 };
    let mut encoder = Encoder::new(Encoding { edns_share, ..Encoding::default() });
    for line in questions.lines() {
        let name = line.split(' ').next().and_then(name_from_text);
        // A name that cannot be asked is missing in the trial's plan, too.
        let _fits = name.is_some_and(|name| encoder.push(&name, rtype::AAAA));
    }
    encoder.finish()
}
