//! Results to make a report of: small, of the types that the programs write.

use std::collections::BTreeMap;

use dns64_bench::capacity::outcome::{
    Cell, Failure, Figures, LimitedBy, Method, Outcome, SelfTest, Trial as Attempt,
};
use dns64_bench::results::{
    Bucket, Check, Comparison, CpuTime, Generating, Latency, Load, Machine, Ratio, Role,
    SCHEMA_VERSION, Server, Settings, Spread, Summary, Trial, Workload,
};

use crate::NASTY;

/// Each server's key, title, role, and microseconds of CPU time for an answer.
const SERVERS: [(&str, &str, Role, f64); 3] = [
    ("dns64d", "dns64d", Role::Subject, 2.5),
    ("bind", NASTY, Role::Peer, 12.25),
    ("echo", "echo", Role::Limit, 1.5),
];

/// How queries are offered.
const LOADS: [Load; 5] =
    [Load::Saturated, Load::Frames, Load::Equal, Load::Part(50), Load::OVERLOAD];

fn spread(median: f64) -> Spread {
    Spread { median, min: median * 0.9, max: median * 1.1, count: 3 }
}

fn trial(server: &str, workload: Workload, load: Load, cost: f64) -> Trial {
    let histogram = (1..=40)
        .map(|step| Bucket { up_to_us: cost * f64::from(step * step), count: 41 - step as u64 })
        .collect();
    Trial {
        server: server.to_owned(),
        workload,
        load,
        turn: 0,
        rate_qps: (load != Load::Saturated).then_some(10_000.0),
        run_time_s: 2.0,
        sent: 20_000,
        sent_per_second: 10_000.0,
        completed: 20_000,
        answers: 20_000,
        answers_per_second: 10_000.0,
        lost: 0,
        late: 0,
        wrong: 0,
        failed: 0,
        rcodes: BTreeMap::from([("NOERROR".to_owned(), 20_000)]),
        cpu: CpuTime { server_ns: 1, napi_ns: 2, ksoftirqd_ns: 3 },
        cpu_us_per_answer: Some(cost),
        server_cpu_percent: 99.0,
        foreign_cpu_percent: 1.0,
        steal_percent: 0.0,
        disturbed: false,
        repetitions: 0,
        upstream_queries: 0,
        rss_bytes: 50 << 20,
        lateness_p99_us: 20.0,
        latency: Latency {
            count: 820,
            p50_us: 100.0,
            p99_us: 900.0,
            histogram,
            ..Latency::default()
        },
    }
}

fn summary(server: &str, workload: Workload, load: Load, cost: f64) -> Summary {
    let rate = match load {
        Load::Part(percent) => 1e6 / cost * f64::from(percent) / 100.0,
        Load::Saturated | Load::Frames | Load::Equal => 10_000.0,
    };
    Summary {
        workload,
        load,
        server: server.to_owned(),
        rate_qps: (!matches!(load, Load::Saturated | Load::Frames)).then_some(rate),
        sent_per_second: spread(rate),
        cpu_us_per_answer: Some(spread(cost)),
        answers_per_second: spread(rate.min(1e6 / cost)),
        server_cpu_percent: spread(80.0),
        p50_us: spread(50.0 * cost),
        p99_us: spread(150.0 * cost),
        p999_us: spread(450.0 * cost),
        rss_bytes: spread(f64::from(50 << 20)),
        lost_percent: 0.0,
        wrong: 0,
        failed: 0,
        disturbed: 0,
    }
}

/// A comparison of three servers, one of them with a nasty name and one without cold answers.
pub(crate) fn comparison() -> Comparison {
    let (mut trials, mut summaries) = (Vec::new(), Vec::new());
    for (server, _, role, cost) in SERVERS {
        for workload in [Workload::Hit, Workload::Cold] {
            if role == Role::Limit && workload == Workload::Cold {
                continue;
            }
            let cost = if workload == Workload::Cold { 4.0 * cost } else { cost };
            for load in LOADS {
                trials.push(trial(server, workload, load, cost));
                summaries.push(summary(server, workload, load, cost));
            }
        }
    }
    let servers = SERVERS.map(|(name, title, role, _)| Server {
        name: name.to_owned(),
        title: title.to_owned(),
        role,
        version: NASTY.to_owned(),
        command: name.to_owned(),
        configuration: format!("# {NASTY}\n"),
        left_out: None,
        checks: vec![Check {
            about: "synthesized".to_owned(),
            question: "a-11-0-0-1.v4.test AAAA".to_owned(),
            fault: None,
        }],
    });
    Comparison {
        schema_version: SCHEMA_VERSION,
        machine: Machine {
            date: "2026-01-01T00:00:00Z".to_owned(),
            kernel: "6.1.0".to_owned(),
            system: "Debian GNU/Linux 12".to_owned(),
            cpu: "a CPU".to_owned(),
            cpus: 2,
            memory_bytes: 8 << 30,
            virtual_machine: true,
            load_average: 0.1,
        },
        settings: Settings {
            command: "dns64bench compare --quick".to_owned(),
            quick: true,
            seconds: 2.0,
            turns: 3,
            names: 10_000,
            zipf_names: 1_000_000,
            drawn_queries: 100_000,
            outstanding: 256,
            sockets: 8,
            timeout_s: 1.0,
            generator_cpu: 0,
            server_cpu: 1,
            engine: "sockets".to_owned(),
        },
        servers: servers.into(),
        trials,
        summary: summaries,
        ratios: vec![Ratio {
            workload: Workload::Hit,
            load: Load::Saturated,
            server: "bind".to_owned(),
            cost: spread(4.9),
        }],
        generators: vec![generating(None), generating(Some(250_000.0))],
    }
}

/// A run of dnsperf; its name is a key that the report knows, its command is nasty.
fn generating(rate_qps: Option<f64>) -> Generating {
    Generating {
        generator: "dnsperf".to_owned(),
        command: NASTY.to_owned(),
        turn: 0,
        rate_qps,
        sent: 500_000,
        answered: 500_000,
        run_time_s: 1.0,
        answers_per_second: 500_000.0,
        cpu: CpuTime { server_ns: 1_000_000_000, napi_ns: 0, ksoftirqd_ns: 0 },
        cpu_us_per_answer: 2.0,
        lateness_p99_us: rate_qps.map(|_| 75.0),
    }
}

fn attempt(rate_qps: u32, failure: Option<Failure>) -> Attempt {
    let sent = u64::from(rate_qps) * 2;
    Attempt {
        repetition: 1,
        rate_qps,
        planned: sent,
        sent,
        answered: sent,
        lost: 0,
        late: 0,
        wrong: 0,
        failed: 0,
        p50_us: f64::from(rate_qps) / 100.0,
        p99_us: f64::from(rate_qps) / 10.0,
        p999_us: f64::from(rate_qps) / 5.0,
        max_us: f64::from(rate_qps),
        failure,
    }
}

fn cell(cached_percent: u8, aaaa_percent: u8, rate_qps: u32) -> Cell {
    let rates_qps = vec![rate_qps, rate_qps + 10, rate_qps - 10];
    Cell {
        cached_percent,
        aaaa_percent,
        rate_qps: Figures::of(&rates_qps),
        rates_qps,
        ceiling_qps: 100_000,
        limited_by: LimitedBy::Server,
        delta: Some(1.5),
        upstream_questions: Some(2.0),
        trials: vec![
            attempt(rate_qps / 2, None),
            attempt(rate_qps, None),
            attempt(rate_qps * 2, Some(Failure::Lost)),
        ],
    }
}

/// A capacity test of a part of the grid.
pub(crate) fn capacity() -> Outcome {
    Outcome {
        schema_version: dns64_bench::capacity::outcome::SCHEMA_VERSION,
        server: "127.0.0.1:53".to_owned(),
        upstream: "127.0.0.1:5300".to_owned(),
        prefix: "64:ff9b::/96".to_owned(),
        method: Method {
            as_in_rfc_8219: false,
            seconds: 2.0,
            repetitions: 3,
            timeout_s: 1.0,
            loss_percent: 0.0,
            queue_ms: 100.0,
            precision_percent: 2.0,
            retries: 1,
            delta: 0.1,
            sockets: 8,
        },
        self_test: SelfTest { rate_qps: 220_000, timeout_s: 0.25, trials: Vec::new() },
        cells: vec![cell(0, 0, 20_000), cell(0, 100, 30_000), cell(100, 0, 90_000)],
    }
}
