//! The load: an open loop whose every answer is verified, and what it brought.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dns64::pref64::{Pref64, UOctet};
use dns64_bench::load::encode::{Encoder, Encoding};
use dns64_bench::load::generate::{Making, Workload};
use dns64_bench::load::queries::Queries;
use dns64_bench::load::schedule::Spacing;
use dns64_bench::load::sockets::BUFFER_BYTES;
use dns64_bench::load::totals::Totals;
use dns64_bench::load::verify::Rules;
use dns64_bench::load::{Carrier, Nobody, Options, Snapshot, Watcher, run};
use dns64_tests::stopwatch::Stopwatch;

use crate::network::{LIMIT, Network};

/// Queries a second, where the machine has room for them.
const RATE: u64 = 50_000;

/// What a machine must be able to do for these tests to mean something.
const RATE_MIN: u64 = 1_000;

/// The most that a fault may cost: a ring of packets, and no more than half a second brings.
pub(super) const RING: u64 = 4_096;
const HALF: u64 = 2;

/// How long the quiet machine is asked what it can do.
const QUIET: Duration = Duration::from_millis(400);

/// The longest run: a test that hangs ends all the same.
const LONGEST: Duration = Duration::from_secs(30);

/// How often one looks whether something has happened.
const POLL: Duration = Duration::from_millis(10);

/// Questions of all kinds that have answers, asked again and again: from the second round on all
/// of them are in the cache.
const QUESTIONS: u64 = 200;

/// The prefix of all configurations of these tests, which PTR is asked under.
pub(super) const PREFIX: &str = "2001:db8:64::/96";

/// Queries under way where none may be lost. The shortest queue on their way is that of a virtual
/// cable with XDP, with 256 places; rings and buffers of sockets hold more. So nothing overflows
/// however long client, responder or the whole machine stands still, and a query without an answer
/// is one that the responder has lost.
const OUTSTANDING: usize = 100;

/// How long each answer is waited for where none may be lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// One in so many parts of a second is a round of queries where none may be lost: at its end all
/// answers are awaited.
const ROUNDS_A_SECOND: u64 = 4;

/// How far the load is.
#[derive(Debug)]
pub(super) struct Progress {
    rate: u64,
    sent: AtomicU64,
    completed: AtomicU64,
}

impl Watcher for &Progress {
    fn wants_p99(&self) -> bool {
        false
    }

    fn see(&mut self, snapshot: &Snapshot) {
        self.sent.store(snapshot.sent, Ordering::Relaxed);
        self.completed.store(snapshot.completed, Ordering::Relaxed);
    }
}

/// Adds the rounds of a load up.
struct Round<'a> {
    progress: &'a Progress,
    sent_before: u64,
    completed_before: u64,
}

impl Watcher for Round<'_> {
    fn wants_p99(&self) -> bool {
        false
    }

    fn see(&mut self, snapshot: &Snapshot) {
        let Self { progress, sent_before, completed_before } = self;
        progress.sent.store(*sent_before + snapshot.sent, Ordering::Relaxed);
        progress.completed.store(*completed_before + snapshot.completed, Ordering::Relaxed);
    }
}

impl Progress {
    /// Nothing yet.
    fn new(rate: u64) -> Self {
        Self { rate, sent: AtomicU64::new(0), completed: AtomicU64::new(0) }
    }

    /// Queries a second.
    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// Waits until what is sent is not answered any more, for half a second of queries.
    pub(super) fn wait_for_silence(&self) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let answered = self.answered();
            self.wait_for_queries(self.rate / HALF);
            if self.answered() == answered {
                return;
            }
            assert!(Instant::now() < deadline, "somebody answers still");
        }
    }

    /// How many queries have been answered.
    pub(super) fn answered(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Waits until so many more queries have been answered.
    pub(super) fn wait_for_answers(&self, count: u64) {
        wait_for_growth("answered", &self.completed, count);
    }

    /// Waits until the queries of half a second more have been answered; how many were meanwhile.
    pub(super) fn answered_next(&self) -> u64 {
        let before = self.answered();
        self.wait_for_answers(self.rate() / 2);
        self.answered() - before
    }

    /// Waits until so many more queries have been sent, whatever has become of them.
    pub(super) fn wait_for_queries(&self, count: u64) {
        wait_for_growth("sent", &self.sent, count);
    }
}

fn wait_for_growth(what: &str, counter: &AtomicU64, count: u64) {
    let before = counter.load(Ordering::Relaxed);
    let deadline = Instant::now() + LIMIT;
    while counter.load(Ordering::Relaxed) < before + count {
        let now = counter.load(Ordering::Relaxed);
        assert!(Instant::now() < deadline, "{} of {count} queries {what}", now - before);
        thread::sleep(POLL);
    }
}

/// What a load brought.
pub(super) struct Brought {
    totals: Totals,
    rate: u64,
    /// For how long the machine stood still meanwhile: nobody could have answered then.
    stood_still: Duration,
}

impl Brought {
    /// No answer was wrong, and no more than a ring of packets was lost besides what was sent while
    /// nobody could have answered: in the outage, and while the machine stood still.
    pub(super) fn is_right(&self, outage: Duration) {
        let Self { totals, rate, stood_still } = self;
        assert_eq!(totals.wrong(), 0, "{:?}", totals.samples);
        assert_eq!(totals.failed, 0, "failures and truncated answers: {:?}", totals.rcodes);
        assert_eq!(totals.unchecked, 0, "all names say their answers");
        let outage = outage + *stood_still;
        let unanswered = totals.lost + totals.late + totals.interrupted;
        let allowed = RING.min(rate / HALF) + (*rate as f64 * outage.as_secs_f64()) as u64;
        eprintln!(
            "{} queries at {rate} a second, {unanswered} without answer, {allowed} allowed for an \
             outage of {outage:?}",
            totals.sent
        );
        assert!(unanswered <= allowed, "{unanswered} of {} are lost: {totals:?}", totals.sent);
    }
}

impl Brought {
    /// Each query has got one answer, and none was wrong.
    pub(super) fn is_complete(&self) {
        let Self { totals, rate, .. } = self;
        eprintln!("{} queries at {rate} a second, {} answers", totals.sent, totals.completed);
        assert_eq!(totals.wrong(), 0, "{:?}", totals.samples);
        assert_eq!(totals.failed, 0, "failures and truncated answers: {:?}", totals.rcodes);
        assert_eq!(totals.unchecked, 0, "all names say their answers");
        assert_eq!(totals.completed, totals.sent, "some have no answer: {totals:?}");
        assert_eq!(totals.duplicates, 0, "some have two");
    }
}

/// Stops the load also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A load of a server, from so many ports of the client.
struct Load<'a> {
    network: &'a Network,
    queries: Queries,
    /// What the quiet machine is asked with: a closed loop.
    closed: Options,
    /// Ends what runs.
    stop: AtomicBool,
}

impl<'a> Load<'a> {
    fn new(network: &'a Network, server: &str, ports: usize, rules: Rules) -> Self {
        let server: SocketAddr = server.parse().expect("an address");
        let client = if server.is_ipv4() { "192.0.2.2" } else { "2001:db8:1::2" };
        let source = SocketAddr::new(client.parse::<IpAddr>().expect("an address"), 0);
        let closed = Options {
            server,
            carrier: Carrier::Udp,
            sources: vec![source; ports],
            threads: 1,
            duration: Some(QUIET),
            rounds: 0,
            rate: 0,
            spacing: Spacing::Constant,
            outstanding: OUTSTANDING,
            timeout: Duration::from_secs(1),
            xdp: None,
            buffer_bytes: BUFFER_BYTES,
            segments: false,
            rules,
        };
        Self { network, queries: queries(), closed, stop: AtomicBool::new(false) }
    }

    fn run(&self, options: &Options, watcher: &mut (dyn Watcher + Send)) -> Totals {
        let run = || run(&self.queries, options, &self.stop, watcher);
        self.network.client.enter(run).expect("the load runs")
    }

    /// Queries a second that leave the machine room for other things; from then on all answers are
    /// in the cache.
    fn rate(&self) -> u64 {
        let deadline = Instant::now() + LIMIT;
        let quiet = loop {
            let watch = Stopwatch::start();
            let quiet = self.run(&self.closed, &mut Nobody);
            // What a machine can do shows while it works.
            if watch.stood_still() == Duration::ZERO || Instant::now() > deadline {
                break quiet;
            }
        };
        assert_eq!((quiet.wrong(), quiet.lost), (0, 0), "before anything has happened: {quiet:?}");
        let can = (quiet.completed as f64 / quiet.run_time.as_secs_f64()) as u64;
        let rate = RATE.min(can / 2);
        assert!(rate >= RATE_MIN, "{can} queries a second are too few to try anything");
        rate
    }
}

/// Loads a server from so many ports of the client while `faults` happen.
pub(super) fn under_load(
    network: &Network,
    server: &str,
    ports: usize,
    faults: impl FnOnce(&Progress),
) -> Brought {
    let rules = Rules { prefixes: vec![prefix(PREFIX)], by_name: true, alternative: None };
    let load = Load::new(network, server, ports, rules);
    let rate = load.rate();
    let closed = load.closed.clone();
    let open = Options { rate, outstanding: usize::MAX, duration: Some(LONGEST), ..closed };
    let progress = Progress::new(rate);
    let watch = Stopwatch::start();
    let totals = thread::scope(|scope| {
        let _stop = Stop(&load.stop);
        let running = scope.spawn(|| load.run(&open, &mut &progress));
        progress.wait_for_answers(rate / 4);
        faults(&progress);
        progress.wait_for_answers(rate / 4);
        load.stop.store(true, Ordering::Relaxed);
        running.join().expect("the load has not failed")
    });
    Brought { totals, rate, stood_still: watch.stood_still() }
}

/// Loads a server while `changes` happen that may cost no query: few are under way at a time, and
/// the answer to each of them is awaited.
pub(super) fn under_bounded_load(
    rules: Rules,
    network: &Network,
    server: &str,
    ports: usize,
    changes: impl FnOnce(&Progress),
) -> Brought {
    let mut load = Load::new(network, server, ports, rules);
    load.closed.timeout = PATIENCE;
    let rate = load.rate();
    let rounds = (rate / ROUNDS_A_SECOND / QUESTIONS).max(1) as u32;
    let closed = load.closed.clone();
    let round = Options { rate, rounds, duration: None, ..closed };
    let progress = Progress::new(rate);
    let watch = Stopwatch::start();
    let enough = AtomicBool::new(false);
    let load_on = || {
        let mut totals = Totals::default();
        while !enough.load(Ordering::Relaxed) && !load.stop.load(Ordering::Relaxed) {
            let (sent_before, completed_before) = (totals.sent, totals.completed);
            let mut watcher = Round { progress: &progress, sent_before, completed_before };
            totals.merge(load.run(&round, &mut watcher));
        }
        totals
    };
    let totals = thread::scope(|scope| {
        let _stop = Stop(&load.stop);
        let running = scope.spawn(load_on);
        progress.wait_for_answers(rate / 4);
        changes(&progress);
        progress.wait_for_answers(rate / 4);
        enough.store(true, Ordering::Relaxed);
        running.join().expect("the load has not failed")
    });
    Brought { totals, rate, stood_still: watch.stood_still() }
}

/// A prefix, of 96 bits.
pub(super) fn prefix(text: &str) -> Pref64 {
    let network = text.parse().expect("a network");
    Pref64::new(network, [0; 16].into(), UOctet::Any).expect("a NAT64 prefix")
}

/// The questions: synthesized and native AAAA, A, PTR and names that do not exist, half of them
/// with EDNS and half in letters of random case.
fn queries() -> Queries {
    let encoding = Encoding { edns_share: 50.0, letter_case_share: 50.0, ..Encoding::default() };
    let mut encoder = Encoder::new(encoding);
    let prefix = prefix(PREFIX);
    let making = Making { zone: "v4.test", prefix: &prefix, queries: QUESTIONS, seed: 1 };
    let mix = Workload::Mix { shares: [60.0, 20.0, 10.0, 5.0, 5.0] };
    mix.make(&making, &mut encoder).expect("the zone is a name");
    encoder.finish()
}
