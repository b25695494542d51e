//! From trials to medians and ratios.
#![forbid(unsafe_code)]

use super::generators::GENERATORS;
use crate::results::{Comparison, Load, Ratio, Spread, Summary, Trial, Workload};

/// The server below the line of every ratio.
pub const SUBJECT: &str = "dns64d";

/// The trials by workload, load and server, in the order in which these first appear.
#[must_use]
pub fn summarize(trials: &[Trial]) -> Vec<Summary> {
    let mut keys: Vec<(Workload, Load, &str)> = Vec::new();
    for trial in trials {
        let key = (trial.workload, trial.load, trial.server.as_str());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    // Stable: servers stay in their order.
    keys.sort_by_key(|(workload, load, _)| (*workload, *load));
    keys.into_iter()
        .map(|key| {
            let chosen: Vec<&Trial> = trials
                .iter()
                .filter(|trial| (trial.workload, trial.load, trial.server.as_str()) == key)
                .collect();
            summary_of(key, &chosen)
        })
        .collect()
}

/// What these trials of one server, workload and load say together.
fn summary_of((workload, load, server): (Workload, Load, &str), trials: &[&Trial]) -> Summary {
    let spread = |figure: fn(&Trial) -> f64| {
        Spread::of(trials.iter().map(|trial| figure(trial))).unwrap_or_default()
    };
    let sum = |count: fn(&Trial) -> u64| trials.iter().map(|trial| count(trial)).sum::<u64>();
    Summary {
        workload,
        load,
        server: server.to_owned(),
        rate_qps: Spread::of(trials.iter().filter_map(|trial| trial.rate_qps))
            .map(|rate| rate.median),
        sent_per_second: spread(|trial| trial.sent_per_second),
        cpu_us_per_answer: Spread::of(trials.iter().filter_map(|trial| trial.cpu_us_per_answer)),
        answers_per_second: spread(|trial| trial.answers_per_second),
        server_cpu_percent: spread(|trial| trial.server_cpu_percent),
        p50_us: spread(|trial| trial.latency.p50_us),
        p99_us: spread(|trial| trial.latency.p99_us),
        p999_us: spread(|trial| trial.latency.p999_us),
        rss_bytes: spread(|trial| trial.rss_bytes as f64),
        lost_percent: 100.0 * sum(|trial| trial.lost + trial.late) as f64
            / sum(|trial| trial.sent).max(1) as f64,
        wrong: sum(|trial| trial.wrong),
        failed: sum(|trial| trial.failed),
        disturbed: trials.iter().filter(|trial| trial.disturbed).count() as u32,
    }
}

/// Costs by that of [`SUBJECT`] in the same turn, where all servers had the same to do.
#[must_use]
pub fn ratios(trials: &[Trial], summary: &[Summary]) -> Vec<Ratio> {
    let comparable = |row: &&Summary| {
        row.server != SUBJECT && matches!(row.load, Load::Saturated | Load::Frames | Load::Equal)
    };
    summary
        .iter()
        .filter(comparable)
        .filter_map(|row| {
            let cost = |server: &str, turn: u32| {
                let trial = trials.iter().find(|trial| {
                    trial.server == server
                        && (trial.workload, trial.load, trial.turn)
                            == (row.workload, row.load, turn)
                });
                trial.and_then(|trial| trial.cpu_us_per_answer)
            };
            let turns = 0..=trials.iter().map(|trial| trial.turn).max()?;
            let pairs =
                turns.filter_map(|turn| Some(cost(&row.server, turn)? / cost(SUBJECT, turn)?));
            let cost = Spread::of(pairs)?;
            Some(Ratio { workload: row.workload, load: row.load, server: row.server.clone(), cost })
        })
        .collect()
}

/// What the runs of one generator say together.
#[derive(Clone, Debug)]
pub struct GeneratorSummary {
    /// Its name for people.
    pub title: String,
    /// Its command where it was as fast as it can be.
    pub command: String,
    /// Replies a second.
    pub answers_per_second: Spread,
    /// Microseconds of CPU time for each reply.
    pub cpu_us_per_answer: Spread,
    /// A rate, and the microseconds by which 99 % of queries left later than intended.
    pub lateness: Option<(f64, Spread)>,
}

/// The generators, in the order in which they are shown.
#[must_use]
pub fn generators(results: &Comparison) -> Vec<GeneratorSummary> {
    let of = |name: &str| {
        let runs = results.generators.iter().filter(|run| run.generator == name);
        let (paced, fastest): (Vec<_>, Vec<_>) = runs.partition(|run| run.rate_qps.is_some());
        let lateness = Spread::of(paced.iter().filter_map(|run| run.lateness_p99_us));
        let rate = paced.iter().find_map(|run| run.rate_qps);
        Some((
            fastest.first()?.command.clone(),
            Spread::of(fastest.iter().map(|run| run.answers_per_second))?,
            Spread::of(fastest.iter().map(|run| run.cpu_us_per_answer))?,
            rate.zip(lateness),
        ))
    };
    let summaries = GENERATORS.iter().filter_map(|generator| {
        let (command, answers_per_second, cpu_us_per_answer, lateness) = of(generator.name)?;
        let title = generator.title.to_owned();
        Some(GeneratorSummary { title, command, answers_per_second, cpu_us_per_answer, lateness })
    });
    summaries.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::results::{CpuTime, Latency};

    /// A trial of a second with this cost.
    pub(crate) fn trial(server: &str, load: Load, turn: u32, cost_us: f64) -> Trial {
        Trial {
            server: server.to_owned(),
            workload: Workload::Hit,
            load,
            turn,
            rate_qps: None,
            run_time_s: 1.0,
            sent: 1_000,
            sent_per_second: 1_000.0,
            completed: 999,
            answers: 998,
            answers_per_second: 998.0,
            lost: 1,
            late: 0,
            wrong: 0,
            failed: 1,
            rcodes: [("NOERROR".to_owned(), 998), ("SERVFAIL".to_owned(), 1)].into(),
            cpu: CpuTime { server_ns: 1, napi_ns: 2, ksoftirqd_ns: 3 },
            cpu_us_per_answer: Some(cost_us),
            server_cpu_percent: 50.0,
            foreign_cpu_percent: 0.0,
            steal_percent: 0.0,
            disturbed: false,
            repetitions: 0,
            upstream_queries: 0,
            rss_bytes: 1 << 20,
            lateness_p99_us: 0.0,
            latency: Latency::default(),
        }
    }

    #[test]
    fn trials_are_put_together_by_server_workload_and_load() {
        let trials = [
            trial("dns64d", Load::Saturated, 0, 2.0),
            trial("bind", Load::Saturated, 0, 8.0),
            trial("bind", Load::Saturated, 1, 10.0),
            trial("dns64d", Load::Saturated, 1, 4.0),
            trial("bind", Load::Equal, 0, 9.0),
        ];
        let rows = summarize(&trials);
        let keys: Vec<_> = rows.iter().map(|row| (row.load, row.server.as_str())).collect();
        assert_eq!(
            keys,
            [(Load::Saturated, "dns64d"), (Load::Saturated, "bind"), (Load::Equal, "bind")]
        );
        assert_eq!(rows[0].cpu_us_per_answer.unwrap().median, 3.0);
        assert_eq!((rows[0].failed, rows[0].lost_percent), (2, 0.1));
    }

    #[test]
    fn ratios_are_of_pairs_of_one_turn() {
        let trials = [
            trial("dns64d", Load::Saturated, 0, 2.0),
            trial("bind", Load::Saturated, 0, 8.0),
            trial("dns64d", Load::Saturated, 1, 4.0),
            trial("bind", Load::Saturated, 1, 8.0),
            // Without its pair.
            trial("bind", Load::Saturated, 2, 800.0),
        ];
        let ratios = ratios(&trials, &summarize(&trials));
        assert_eq!(ratios.len(), 1);
        assert_eq!((ratios[0].server.as_str(), ratios[0].cost.median), ("bind", 3.0));
        assert_eq!((ratios[0].cost.min, ratios[0].cost.max, ratios[0].cost.count), (2.0, 4.0, 2));
    }
}
