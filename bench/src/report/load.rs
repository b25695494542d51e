//! What is shown of runs of the load generator, side by side.
#![forbid(unsafe_code)]

use std::path::Path;

use super::comparison::{histogram, histogram_chart};
use super::input::LoadRun;
use super::page::{Axis, Block, Cell, Chart, NOTHING, Points, Row, Section, Series, Table, number};

/// The sections of runs, each with the name of its file.
#[must_use]
pub fn sections(runs: &[(&str, &LoadRun)]) -> Vec<Section> {
    if runs.is_empty() {
        return Vec::new();
    }
    let mut section = Section::new("Load");
    let closed = runs.iter().filter(|(_, run)| run.kind == "closed").count();
    if closed > 0 {
        section.notes.push(
            "In a closed loop a query waits for the answer to another: its latencies say what \
             the generator saw, not what clients would."
                .to_owned(),
        );
    }
    for (name, run) in runs.iter().filter(|(_, run)| run.wrong > 0) {
        section.warnings.push(format!("{name}: {} wrong answers", run.wrong));
    }
    section.blocks.push(Block::Highlights(highlights(runs)));
    section.blocks.push(Block::Table(table(runs)));
    section.blocks.push(Block::Chart(percentiles(runs)));
    let histograms: Vec<(String, usize, Points)> = named(runs)
        .enumerate()
        .map(|(colour, (name, run))| {
            (name, colour, histogram(run.latency_histogram_us.iter().copied()))
        })
        .filter(|(_, _, points)| !points.is_empty())
        .collect();
    if !histograms.is_empty() {
        let title = "Latency histogram".to_owned();
        let chart = histogram_chart("load-histogram".to_owned(), title, histograms);
        section.blocks.push(Block::Chart(chart));
    }
    if let Some(chart) = rate_against_latency(runs) {
        section.blocks.push(Block::Chart(chart));
    }
    vec![section]
}

/// Runs with short names: those of the files, where they differ.
fn named<'a>(runs: &'a [(&str, &'a LoadRun)]) -> impl Iterator<Item = (String, &'a LoadRun)> {
    let stem =
        |path: &str| Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    runs.iter().map(move |(path, run)| {
        let short = stem(path);
        let same = runs.iter().filter(|(other, _)| stem(other) == short).count();
        let name = short.filter(|_| same == 1).unwrap_or_else(|| (*path).to_owned());
        (name, *run)
    })
}

/// The numbers of the first run.
fn highlights(runs: &[(&str, &LoadRun)]) -> Vec<(String, String)> {
    let Some((_, run)) = runs.first() else { return Vec::new() };
    let lost = 100.0 * (run.lost + run.late) as f64 / run.sent.max(1) as f64;
    let of = if runs.len() == 1 { String::new() } else { " (first run)".to_owned() };
    vec![
        (number(run.queries_per_second), format!("answers/s{of}")),
        (format!("{} µs", number(run.latency_us.p50)), format!("median latency{of}")),
        (format!("{} µs", number(run.latency_us.p99)), format!("99 % latency{of}")),
        (format!("{} %", number(lost)), format!("lost{of}")),
    ]
}

/// What became of all queries.
fn table(runs: &[(&str, &LoadRun)]) -> Table {
    let rows = named(runs).map(|(name, run)| {
        let rate =
            if run.rate_qps > 0.0 { Cell::number(run.rate_qps) } else { Cell::text(NOTHING) };
        let rcodes = run.rcodes.iter().map(|(rcode, count)| format!("{rcode} {count}"));
        let words = [&run.server, &run.workload, &run.kind];
        let mut cells: Vec<Cell> = words.into_iter().map(Cell::text).collect();
        cells.push(rate);
        let counts =
            [run.sent, run.completed, run.late, run.lost, run.verified, run.wrong, run.failed];
        cells.extend(counts.map(|count| Cell::number(count as f64)));
        cells.push(Cell::number(run.queries_per_second));
        cells.push(Cell::number(run.run_time_s));
        cells.push(Cell::maybe(run.lateness_us.as_ref().map(|lateness| lateness.p99)));
        cells.push(Cell::text(rcodes.collect::<Vec<_>>().join(", ")));
        Row { name: Cell::text(name), cells }
    });
    let head = [
        "Run",
        "Server",
        "Workload",
        "Loop",
        "offered/s",
        "sent",
        "completed",
        "late",
        "lost",
        "verified",
        "wrong",
        "failed",
        "answers/s",
        "seconds",
        "generator late, 99 %, µs",
        "RCODEs",
    ];
    Table {
        caption: "Queries and what became of them".to_owned(),
        head: head.map(str::to_owned).into(),
        rows: rows.collect(),
    }
}

/// Latencies by percentile.
fn percentiles(runs: &[(&str, &LoadRun)]) -> Chart {
    let categories = ["least", "mean", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "greatest"]
        .map(str::to_owned);
    let series = named(runs).enumerate().map(|(colour, (name, run))| {
        let latency = &run.latency_us;
        let values = [
            latency.min,
            latency.mean,
            latency.p50,
            latency.p90,
            latency.p99,
            latency.p999,
            latency.p9999,
            latency.max,
        ];
        let values = values.map(Some).to_vec();
        Series::new(name, colour, values)
    });
    let series = series.collect();
    let title = "Latency by percentile";
    let axis = ("of the answers", categories.to_vec());
    let mut chart = Chart::bars("load-percentiles".to_owned(), title, axis, "µs", series);
    chart.y = Axis::log("µs");
    chart.wide = true;
    chart
}

/// Runs of an open loop against the same server, by rate.
fn rate_against_latency(runs: &[(&str, &LoadRun)]) -> Option<Chart> {
    let mut servers: Vec<&str> = runs.iter().map(|(_, run)| run.server.as_str()).collect();
    servers.sort_unstable();
    servers.dedup();
    let mut lines = Vec::new();
    for (colour, server) in servers.into_iter().enumerate() {
        let open = runs.iter().filter(|(_, run)| run.server == server && run.kind == "open");
        let mut points: Points = open
            .map(|(_, run)| (run.queries_per_second.round(), run.latency_us.p99 / 1_000.0))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if points.len() > 1 {
            lines.push((server.to_owned(), colour, points));
        }
    }
    let axes = (Axis::linear("answers/s"), Axis::log("99 % latency, ms"));
    let title = "Rate against latency";
    (!lines.is_empty()).then(|| Chart::lines("load-rate".to_owned(), title, axes, lines))
}
