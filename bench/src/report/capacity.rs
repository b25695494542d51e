//! What is shown of a capacity test (RFC 8219 section 9).
#![forbid(unsafe_code)]

use crate::capacity::outcome::{Cell as Measured, LimitedBy, Outcome, Trial};

use super::page::{Axis, Block, Cell, Chart, Points, Row, Section, Series, Table, number};

/// The sections of a capacity test; `id` makes the names of its charts its own.
#[must_use]
pub fn sections(outcome: &Outcome, id: &str) -> Vec<Section> {
    let mut section = Section::new(format!("Capacity of {}", outcome.server));
    let method = &outcome.method;
    section.notes.push(format!(
        "The highest rate at which {}, found by binary search, {} times for each pair of shares{}.",
        if method.loss_percent > 0.0 {
            format!("no more than {} % of the answers were lost", number(method.loss_percent))
        } else {
            "no answer was lost".to_owned()
        },
        method.repetitions,
        if method.as_in_rfc_8219 {
            ": the whole procedure of RFC 8219, section 9"
        } else {
            ": a short form of RFC 8219, section 9"
        }
    ));
    section.warnings = warnings(outcome);
    section.blocks.push(Block::Highlights(outcome.cells.iter().take(4).map(highlight).collect()));
    if outcome.cells.len() > 1 {
        section.blocks.push(Block::Chart(grid(outcome, id)));
    }
    section.blocks.push(Block::Table(rates(outcome)));
    section.blocks.push(Block::Facts(facts(outcome)));
    for (number, cell) in
        outcome.cells.iter().enumerate().filter(|(_, cell)| passed(cell).len() > 1)
    {
        section.blocks.push(Block::Chart(latencies(cell, format!("{id}-cell-{number}"))));
    }
    vec![section]
}

/// What a pair of shares is called.
fn shares(cell: &Measured) -> String {
    format!("{} % cached, {} % with AAAA", cell.cached_percent, cell.aaaa_percent)
}

/// The rate of a pair of shares.
fn highlight(cell: &Measured) -> (String, String) {
    let sign = if cell.limited_by == LimitedBy::Server { "" } else { "≥ " };
    (format!("{sign}{}", number(cell.rate_qps.median)), format!("queries/s, {}", shares(cell)))
}

/// Wrong answers, and rates that are not the server's.
fn warnings(outcome: &Outcome) -> Vec<String> {
    let mut warnings = Vec::new();
    let wrong: u64 =
        outcome.cells.iter().flat_map(|cell| &cell.trials).map(|trial| trial.wrong).sum();
    if wrong > 0 {
        warnings.push(format!("{wrong} wrong answers"));
    }
    for cell in &outcome.cells {
        if cell.limited_by == LimitedBy::Tester {
            let shares = shares(cell);
            warnings.push(format!("{shares}: the tester was the limit; the server can do more"));
        }
    }
    warnings
}

/// Rates of all pairs of shares.
fn rates(outcome: &Outcome) -> Table {
    let rows = outcome.cells.iter().map(|cell| Row {
        name: Cell::text(format!("{} %", cell.cached_percent)),
        cells: vec![
            Cell::text(format!("{} %", cell.aaaa_percent)),
            Cell::number(cell.rate_qps.median),
            Cell::number(cell.rate_qps.p1),
            Cell::number(cell.rate_qps.p99),
            Cell::text(cell.limited_by.to_string()),
            Cell::maybe(cell.upstream_questions),
            Cell::maybe(cell.delta),
        ],
    });
    let head = [
        "cached",
        "with AAAA",
        "median, queries/s",
        "1st percentile",
        "99th percentile",
        "limited by",
        "upstream questions",
        "delta",
    ];
    Table {
        caption: "Highest rate without a loss".to_owned(),
        head: head.map(str::to_owned).into(),
        rows: rows.collect(),
    }
}

/// Rates by the share of cached answers, a series for each share of names with AAAA.
fn grid(outcome: &Outcome, id: &str) -> Chart {
    let sorted = |percent: fn(&Measured) -> u8| {
        let mut percents: Vec<u8> = outcome.cells.iter().map(percent).collect();
        percents.sort_unstable();
        percents.dedup();
        percents
    };
    let cached = sorted(|cell| cell.cached_percent);
    let series = sorted(|cell| cell.aaaa_percent).into_iter().enumerate().map(|(colour, aaaa)| {
        let rate = |cached: &u8| {
            let is_it =
                |cell: &&Measured| cell.cached_percent == *cached && cell.aaaa_percent == aaaa;
            outcome.cells.iter().find(is_it).map(|cell| cell.rate_qps.median)
        };
        let values = cached.iter().map(rate).collect();
        Series::new(format!("{aaaa} % with AAAA"), colour, values)
    });
    let series = series.collect();
    let categories = cached.iter().map(|percent| format!("{percent} %")).collect();
    let title = "Highest rate without a loss";
    Chart::bars(format!("{id}-grid"), title, ("cached", categories), "queries/s", series)
}

/// Trials that passed: whose latencies are those of a server that keeps up.
fn passed(cell: &Measured) -> Vec<&Trial> {
    let mut trials: Vec<&Trial> =
        cell.trials.iter().filter(|trial| trial.failure.is_none()).collect();
    trials.sort_by_key(|trial| trial.rate_qps);
    // Of several at one rate the first is drawn.
    trials.dedup_by_key(|trial| trial.rate_qps);
    trials
}

/// Rate against latency.
fn latencies(cell: &Measured, id: String) -> Chart {
    let line = |name: &str, colour, latency: fn(&Trial) -> f64| {
        let points: Points = passed(cell)
            .iter()
            .map(|trial| (f64::from(trial.rate_qps), latency(trial) / 1_000.0))
            .collect();
        (name.to_owned(), colour, points)
    };
    let lines = vec![
        line("50 %", 0, |trial| trial.p50_us),
        line("99 %", 1, |trial| trial.p99_us),
        line("99.9 %", 2, |trial| trial.p999_us),
    ];
    let axes = (Axis::linear("queries/s"), Axis::log("latency, ms"));
    Chart::lines(id, format!("Rate against latency: {}", shares(cell)), axes, lines)
}

/// How the test was made.
fn facts(outcome: &Outcome) -> Vec<(String, String)> {
    let Outcome { method, self_test, .. } = outcome;
    let facts = [
        ("Server", outcome.server.clone()),
        ("Upstream", outcome.upstream.clone()),
        ("Prefix", outcome.prefix.clone()),
        (
            "Trials",
            format!(
                "{} s each, time-out {} s, 99 % latency at most {} ms; second attempts at a rate: {}",
                method.seconds, method.timeout_s, method.queue_ms, method.retries
            ),
        ),
        ("Precision", format!("{} %", number(method.precision_percent))),
        (
            "Self-test",
            format!(
                "the tester asked its own upstream {} questions/s and had all answers within {} s; \
                 RFC 8219 asks for 2 × (1 + {}) times the rate of the server",
                number(f64::from(self_test.rate_qps)),
                self_test.timeout_s,
                method.delta
            ),
        ),
    ];
    facts.map(|(name, value)| (name.to_owned(), value)).into()
}
