//! What a comparison brought, as it is kept in `compare.json`: the form that `compare` writes and
//! `report` reads.
//!
//! A trial is one run of the load generator against one server. Everything else is derived from the
//! trials and kept beside them, so that no reader has to do it again: medians with least and
//! greatest by server, workload and load, and ratios pair by pair.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of the form: grows when a key changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// A whole comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Where it was made.
    pub machine: Machine,
    /// How it was made.
    pub settings: Settings,
    /// Who took part, and who was to: this responder first, then the peers, then the limits.
    pub servers: Vec<Server>,
    /// Every trial that counts, in the order in which they were made.
    pub trials: Vec<Trial>,
    /// The trials by workload, load and server.
    pub summary: Vec<Summary>,
    /// Costs of the others by that of this responder, pair by pair.
    pub ratios: Vec<Ratio>,
    /// What load generators can do against the same reflector.
    #[serde(default)]
    pub generators: Vec<Generating>,
}

/// What a reader needs to know about the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// When the comparison began: RFC 3339, in UTC.
    pub date: String,
    /// Release of the kernel, as `uname -r` says it.
    pub kernel: String,
    /// Name of the operating system's release.
    pub system: String,
    /// Model of the CPU.
    pub cpu: String,
    /// How many CPUs are online.
    pub cpus: usize,
    /// Octets of memory.
    pub memory_bytes: u64,
    /// Whether a hypervisor is below.
    pub virtual_machine: bool,
    /// Load average of the last minute when the comparison began.
    pub load_average: f64,
}

/// How the comparison was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The command that makes it again.
    pub command: String,
    /// Whether it is the short form.
    pub quick: bool,
    /// Seconds of a trial, where its length is given by time.
    pub seconds: f64,
    /// Turns of each server for each workload and load.
    pub turns: u32,
    /// Names of the workloads `hit` and `ptr`.
    pub names: u32,
    /// Names of the workload `zipf`.
    pub zipf_names: u32,
    /// Queries of a trial of `zipf` and `mixed`, whose length is given by count.
    pub drawn_queries: u32,
    /// Queries in flight when saturated.
    pub outstanding: usize,
    /// Source ports of the generator.
    pub sockets: usize,
    /// Seconds after which an answer counts as lost.
    pub timeout_s: f64,
    /// CPU of generator and upstream.
    pub generator_cpu: usize,
    /// CPU of the server, and of nothing else.
    pub server_cpu: usize,
    /// What carries packets between generator and server: sockets or AF_XDP.
    pub engine: String,
}

/// A server of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Its key in trials: `dns64d`, `dns64d-two`, `dns64d-xdp`, `dns64d-hot`, `unbound`, `bind`,
    /// `pdns`, `knot`, `echo`, `echo-xdp`, `reflect`.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What it is in this comparison.
    pub role: Role,
    /// The version it gives itself; empty if it is not there.
    pub version: String,
    /// The command that starts it; empty if it is not there.
    pub command: String,
    /// Its configuration, with everything filled in; empty if it needs none.
    pub configuration: String,
    /// Why it did not take part.
    pub left_out: Option<String>,
    /// The questions that were asked before anything was measured.
    pub checks: Vec<Check>,
}

/// What a server is in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// This responder, on sockets.
    Subject,
    /// This responder, by a faster way.
    Tier,
    /// A server that it is compared with.
    Peer,
    /// No server: it sends queries back, and shows what the machine alone costs.
    Limit,
}

/// A question that was asked before anything was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What it shows: `synthesized`, `native`, `a`, `nxdomain`, `ptr`.
    pub about: String,
    /// The question.
    pub question: String,
    /// What was wrong; nothing if the answer was right.
    pub fault: Option<String>,
}

/// What is asked for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// AAAA of names that were asked before.
    Hit,
    /// AAAA of many names, by their popularity; some have been asked before.
    Zipf,
    /// AAAA of names that were never asked before.
    Cold,
    /// PTR of addresses that were asked before.
    Ptr,
    /// AAAA with and without synthesis, A, PTR and names that do not exist.
    Mixed,
}

impl Workload {
    /// Its key.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Zipf => "zipf",
            Self::Cold => "cold",
            Self::Ptr => "ptr",
            Self::Mixed => "mixed",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.key())
    }
}

/// How queries are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// A closed loop with as many queries in flight as the settings say: shows the highest rate.
    Saturated,
    /// A closed loop of frames that the kernel makes, which come at a fraction of the cost of
    /// packets from sockets: shows what the server costs beside none but itself.
    Frames,
    /// An open loop at one rate for all servers: shows latency.
    Equal,
    /// An open loop at this part of the server's own highest rate, in per cent.
    Part(u16),
}

impl Load {
    /// Ten times of what the server can do.
    pub const OVERLOAD: Self = Self::Part(1000);

    /// Whether more is offered than the server can do.
    #[must_use]
    pub fn is_overload(self) -> bool {
        matches!(self, Self::Part(101..))
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Saturated => f.pad("saturated"),
            Self::Frames => f.pad("frames"),
            Self::Equal => f.pad("equal rate"),
            Self::Part(percent) if self.is_overload() => {
                f.pad(&format!("overload {}x", percent / 100))
            }
            Self::Part(percent) => f.pad(&format!("{percent} %")),
        }
    }
}

/// One run of the generator against one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The server, by its key.
    pub server: String,
    /// What was asked for.
    pub workload: Workload,
    /// How.
    pub load: Load,
    /// Which turn of the servers it belongs to: trials of one turn are compared with each other.
    pub turn: u32,
    /// Queries a second that were to be sent; none in a closed loop.
    pub rate_qps: Option<f64>,
    /// Seconds from the first query to the last answer or loss.
    pub run_time_s: f64,
    /// Queries that were sent.
    pub sent: u64,
    /// Queries a second of the time in which they were sent.
    pub sent_per_second: f64,
    /// Answers in time.
    pub completed: u64,
    /// Answers in time that are right; of a limit, replies.
    pub answers: u64,
    /// Right answers a second of the time in which queries were sent or the server was at work.
    pub answers_per_second: f64,
    /// Queries without an answer.
    pub lost: u64,
    /// Queries answered after the time-out.
    pub late: u64,
    /// Answers that are not what the name says.
    pub wrong: u64,
    /// Failures and truncated answers.
    pub failed: u64,
    /// Answers by RCODE.
    pub rcodes: BTreeMap<String, u64>,
    /// CPU time of what worked for the server.
    pub cpu: CpuTime,
    /// Microseconds of CPU time for each right answer; nothing without answers.
    pub cpu_us_per_answer: Option<f64>,
    /// How much of its CPU the server used, in per cent.
    pub server_cpu_percent: f64,
    /// How much of the server's CPU others used meanwhile, in per cent: from ticks, so only a hint.
    pub foreign_cpu_percent: f64,
    /// How much of the server's CPU the hypervisor took away, in per cent.
    pub steal_percent: f64,
    /// Whether others disturbed this trial and all that were made in its place.
    pub disturbed: bool,
    /// How often the trial was made again because others disturbed it.
    pub repetitions: u32,
    /// Queries that the server sent to the upstream.
    pub upstream_queries: u64,
    /// Octets of memory that the server held after the trial.
    pub rss_bytes: u64,
    /// Microseconds by which 99 % of queries left later than they were to, at most: the generator's
    /// own lateness, which is part of the latencies of an open loop.
    pub lateness_p99_us: f64,
    /// Latencies of answers; in an open loop from the moment the query was to be sent.
    pub latency: Latency,
}

/// CPU time of what worked for a server, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuTime {
    /// The server's threads.
    pub server_ns: u64,
    /// The NAPI thread of its end of the veth pair.
    pub napi_ns: u64,
    /// ksoftirqd of its CPU.
    pub ksoftirqd_ns: u64,
}

impl CpuTime {
    /// All parts.
    #[must_use]
    pub fn total_ns(&self) -> u64 {
        self.server_ns + self.napi_ns + self.ksoftirqd_ns
    }
}

/// Latencies of a trial, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// Their standard deviation.
    pub stddev_us: f64,
    /// The shortest.
    pub min_us: f64,
    /// What half of them do not exceed.
    pub p50_us: f64,
    /// What 90 % of them do not exceed.
    pub p90_us: f64,
    /// What 99 % of them do not exceed.
    pub p99_us: f64,
    /// What 99.9 % of them do not exceed.
    pub p999_us: f64,
    /// What 99.99 % of them do not exceed.
    pub p9999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// The histogram, by rising latency; empty buckets are left out.
    pub histogram: Vec<Bucket>,
}

/// Latencies that are nearly the same. Written as `[up_to_us, count]`: there are many of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f64, u64)", into = "(f64, u64)")]
pub struct Bucket {
    /// The longest of them, in microseconds.
    pub up_to_us: f64,
    /// How many.
    pub count: u64,
}

impl From<(f64, u64)> for Bucket {
    fn from((up_to_us, count): (f64, u64)) -> Self {
        Self { up_to_us, count }
    }
}

impl From<Bucket> for (f64, u64) {
    fn from(bucket: Bucket) -> Self {
        (bucket.up_to_us, bucket.count)
    }
}

/// The trials of a server with one workload and load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What was asked for.
    pub workload: Workload,
    /// How.
    pub load: Load,
    /// The server, by its key.
    pub server: String,
    /// Queries a second that were to be sent; none in a closed loop.
    pub rate_qps: Option<f64>,
    /// Queries a second that were sent.
    pub sent_per_second: Spread,
    /// Microseconds of CPU time for each right answer; nothing if no trial had one.
    pub cpu_us_per_answer: Option<Spread>,
    /// Right answers a second.
    pub answers_per_second: Spread,
    /// How much of its CPU the server used, in per cent.
    pub server_cpu_percent: Spread,
    /// Median latency of each trial, in microseconds.
    pub p50_us: Spread,
    /// 99 % latency of each trial, in microseconds.
    pub p99_us: Spread,
    /// 99.9 % latency of each trial, in microseconds.
    pub p999_us: Spread,
    /// Octets of memory after the trials.
    pub rss_bytes: Spread,
    /// Part of the queries that were lost or answered too late, in per cent, over all trials.
    pub lost_percent: f64,
    /// Answers that were not what the name says, over all trials.
    pub wrong: u64,
    /// Failures and truncated answers, over all trials.
    pub failed: u64,
    /// Trials that stayed disturbed.
    pub disturbed: u32,
}

/// Median, least and greatest of the figures of some trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median; of an even number of figures the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many figures there are.
    pub count: usize,
}

impl Spread {
    /// The spread of some figures; `None` without any.
    #[must_use]
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self { median: f64::midpoint(low, high), min, max, count: sorted.len() })
    }
}

/// What a server costs for each right answer, by what this responder costs, pair by pair: the
/// drift of the machine cancels in it. 2 means twice as dear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// What was asked for.
    pub workload: Workload,
    /// How.
    pub load: Load,
    /// The server above the line, by its key; below it is `dns64d`.
    pub server: String,
    /// The ratios of the pairs.
    pub cost: Spread,
}

/// One run of a load generator against the `XDP_TX` reflector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generating {
    /// The generator: `dnsperf`, `sockets`, `kxdpgun`, `af_xdp`, `frames`; those of one word are
    /// engines of this program.
    pub generator: String,
    /// Its command, without directories.
    pub command: String,
    /// Which turn of the generators it belongs to.
    pub turn: u32,
    /// Queries a second that were to be sent; none where as many as possible were.
    pub rate_qps: Option<f64>,
    /// Queries that were sent.
    pub sent: u64,
    /// Replies that it took.
    pub answered: u64,
    /// Seconds of the run.
    pub run_time_s: f64,
    /// Replies a second.
    pub answers_per_second: f64,
    /// CPU time of what worked for it: its threads, NAPI and ksoftirqd of its end.
    pub cpu: CpuTime,
    /// Microseconds of CPU time for each reply.
    pub cpu_us_per_answer: f64,
    /// Microseconds by which 99 % of queries left later than they were to, at most; nothing where
    /// the generator does not say.
    pub lateness_p99_us: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_least_and_greatest() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max, spread.count), (2.0, 1.0, 3.0, 3));
        assert_eq!(Spread::of([4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn loads_are_written_as_words_and_read_back() {
        for (load, json) in [
            (Load::Saturated, "\"saturated\""),
            (Load::Equal, "\"equal\""),
            (Load::OVERLOAD, "{\"part\":1000}"),
        ] {
            assert_eq!(serde_json::to_string(&load).unwrap(), json);
            assert_eq!(serde_json::from_str::<Load>(json).unwrap(), load);
        }
        let bucket = Bucket { up_to_us: 1.5, count: 7 };
        assert_eq!(serde_json::to_string(&bucket).unwrap(), "[1.5,7]");
        assert_eq!(serde_json::from_str::<Bucket>("[1.5,7]").unwrap(), bucket);
        assert_eq!(Load::OVERLOAD.to_string(), "overload 10x");
        assert_eq!(Load::Part(50).to_string(), "50 %");
    }
}
