//! One measurement: a run of the generator, and the CPU time of everything that worked for the
//! server meanwhile.
#![forbid(unsafe_code)]

use std::thread;
use std::time::{Duration, Instant};

use super::drive::{Outcome, Run, drive};
use super::machine::Ticks;
use super::network::{Lab, Site};
use super::process::Process;
use super::questions::Questions;
use crate::results::{CpuTime, Load, Trial, Workload};
use crate::upstream::Upstream;

/// From how much of the server's CPU on, in per cent, others disturb. Ticks are sampled, and a few
/// per cent are the error of that.
const FOREIGN_PERCENT_MAX: f64 = 10.0;
/// From how much of the server's CPU on, in per cent, the hypervisor does.
const STEAL_PERCENT_MAX: f64 = 3.0;
/// A server is at rest when it uses less than this part of such a span.
const REST_SPAN: Duration = Duration::from_millis(40);
const REST_PART: f64 = 0.1;
/// How long a server may take to come to rest: after an overload it has work left.
const REST_WAIT: Duration = Duration::from_secs(10);
/// `USER_HZ`: the unit of /proc/stat, the same on every architecture that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// The upstream of all servers.
    pub upstream: &'a Upstream,
    /// The server, by its key.
    pub name: &'a str,
    /// Its site.
    pub site: &'a Site,
    /// Its process.
    pub process: &'a Process,
}

/// What a trial is for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    /// What is asked for.
    pub workload: Workload,
    /// How.
    pub load: Load,
    /// The turn of the servers it belongs to.
    pub turn: u32,
}

impl Subject<'_> {
    /// Makes one trial.
    ///
    /// # Errors
    /// If the generator fails.
    pub fn measure(
        &self,
        purpose: Purpose,
        questions: &Questions,
        run: &Run,
    ) -> anyhow::Result<Trial> {
        self.wait_for_rest();
        let cpu = self.lab.cpus.server;
        let upstream_before = self.upstream.counts().udp_queries;
        let mut before = (Ticks::of(cpu), self.process.cpu_time());
        let begins = || before = (Ticks::of(cpu), self.process.cpu_time());
        let outcome = drive(self.lab, self.site, questions, run, begins)?;
        let (ticks_before, cpu_before) = (before.0?, before.1);
        let spent = since(self.process.cpu_time(), cpu_before);
        let ticks = Ticks::of(cpu)?.since(ticks_before);
        let upstream_queries = self.upstream.counts().udp_queries - upstream_before;
        let mut trial = trial_of(purpose, run, outcome, spent, ticks);
        self.name.clone_into(&mut trial.server);
        trial.upstream_queries = upstream_queries;
        trial.rss_bytes = self.process.rss_bytes();
        Ok(trial)
    }

    /// Waits until the server has nothing left to do.
    fn wait_for_rest(&self) {
        let deadline = Instant::now() + REST_WAIT;
        loop {
            let (before, start) = (self.process.cpu_time(), Instant::now());
            thread::sleep(REST_SPAN);
            let spent = since(self.process.cpu_time(), before).total_ns() as f64;
            let is_at_rest = spent < REST_PART * start.elapsed().as_nanos() as f64;
            if is_at_rest || Instant::now() > deadline {
                return;
            }
        }
    }
}

/// CPU time since an earlier moment. A thread that ended takes its time with it.
fn since(now: CpuTime, before: CpuTime) -> CpuTime {
    CpuTime {
        server_ns: now.server_ns.saturating_sub(before.server_ns),
        napi_ns: now.napi_ns.saturating_sub(before.napi_ns),
        ksoftirqd_ns: now.ksoftirqd_ns.saturating_sub(before.ksoftirqd_ns),
    }
}

/// Puts the parts of a trial together.
fn trial_of(purpose: Purpose, run: &Run, outcome: Outcome, cpu: CpuTime, ticks: Ticks) -> Trial {
    let cpu_s = cpu.total_ns() as f64 / 1e9;
    let run_time_s = outcome.run_time.as_secs_f64();
    // A server that is offered too much goes on answering from its socket's buffer after the last
    // query: the time it worked is what its answers took then.
    let sending_s = outcome.sending_time.as_secs_f64();
    let answering_s = sending_s.max(cpu_s);
    let answers = outcome.answers;
    let per_second = |count: u64, s: f64| if s > 0.0 { count as f64 / s } else { 0.0 };
    let percent = |part: f64| if ticks.all > 0 { 100.0 * part / ticks.all as f64 } else { 0.0 };
    let own_ticks = cpu_s * TICKS_PER_SECOND;
    let foreign_cpu_percent = percent((ticks.busy as f64 - own_ticks).max(0.0));
    let steal_percent = percent(ticks.steal as f64);
    Trial {
        server: String::new(),
        workload: purpose.workload,
        load: purpose.load,
        turn: purpose.turn,
        rate_qps: run.rate.map(f64::from),
        run_time_s,
        sent: outcome.sent,
        sent_per_second: per_second(outcome.sent, sending_s),
        completed: outcome.completed,
        answers,
        answers_per_second: per_second(answers, answering_s),
        lost: outcome.lost,
        late: outcome.late,
        wrong: outcome.wrong,
        failed: outcome.failed,
        rcodes: outcome.rcodes,
        cpu,
        cpu_us_per_answer: (answers > 0).then(|| cpu_s * 1e6 / answers as f64),
        server_cpu_percent: percent(own_ticks).min(100.0),
        foreign_cpu_percent,
        steal_percent,
        disturbed: foreign_cpu_percent > FOREIGN_PERCENT_MAX || steal_percent > STEAL_PERCENT_MAX,
        repetitions: 0,
        upstream_queries: 0,
        rss_bytes: 0,
        lateness_p99_us: outcome.lateness_p99_us,
        latency: outcome.latency,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Latency;
    use std::collections::BTreeMap;

    const RUN: Run = Run {
        rate: None,
        outstanding: 100,
        duration: Duration::from_secs(1),
        repeat: true,
        sockets: 8,
        timeout: Duration::from_secs(1),
        verify: true,
        frames: None,
    };
    const PURPOSE: Purpose = Purpose { workload: Workload::Hit, load: Load::Saturated, turn: 0 };

    fn outcome(answers: u64, run_time: Duration) -> Outcome {
        Outcome {
            sent: answers,
            completed: answers,
            answers,
            lost: 0,
            late: 0,
            wrong: 0,
            failed: 0,
            rcodes: BTreeMap::new(),
            run_time,
            sending_time: run_time.min(RUN.duration),
            lateness_p99_us: 0.0,
            latency: Latency::default(),
        }
    }

    fn cpu(server_ns: u64) -> CpuTime {
        CpuTime { server_ns, napi_ns: 100_000_000, ksoftirqd_ns: 0 }
    }

    #[test]
    fn the_cost_is_all_cpu_time_by_right_answers() {
        let ticks = Ticks { all: 100, busy: 52, steal: 0 };
        let trial =
            trial_of(PURPOSE, &RUN, outcome(100_000, RUN.duration), cpu(400_000_000), ticks);
        assert_eq!(trial.cpu_us_per_answer, Some(5.0));
        assert_eq!(trial.answers_per_second, 100_000.0);
        assert_eq!((trial.server_cpu_percent, trial.foreign_cpu_percent), (50.0, 2.0));
        assert!(!trial.disturbed);
    }

    #[test]
    fn answers_from_the_buffer_count_by_the_time_they_took() {
        let ticks = Ticks { all: 200, busy: 160, steal: 0 };
        let run_time = Duration::from_secs(2);
        let trial = trial_of(PURPOSE, &RUN, outcome(150, run_time), cpu(1_400_000_000), ticks);
        assert_eq!(trial.answers_per_second, 100.0);
    }

    #[test]
    fn other_work_and_stolen_time_disturb() {
        for ticks in
            [Ticks { all: 100, busy: 62, steal: 0 }, Ticks { all: 100, busy: 50, steal: 4 }]
        {
            let outcome = outcome(10, RUN.duration);
            assert!(trial_of(PURPOSE, &RUN, outcome, cpu(400_000_000), ticks).disturbed);
        }
        let none = trial_of(PURPOSE, &RUN, outcome(0, RUN.duration), cpu(0), Ticks::default());
        assert_eq!((none.cpu_us_per_answer, none.answers_per_second), (None, 0.0));
    }
}
