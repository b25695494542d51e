//! What is shown of a comparison: who took part, what each costs, how much it does, how long it
//! takes, and what it holds.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::lab::summary::generators;
use crate::results::{Comparison, Load, Role, Server, Spread, Summary, Workload};

use super::page::{
    Axis, Block, Cell, Chart, Form, NOTHING, Points, Row, Section, Series, Table, number, octets,
};

/// Bars of a histogram for each power of ten of its latencies.
const BARS_A_DECADE: f64 = 10.0;

/// How many colours a page has.
const COLOURS: usize = 10;

/// The most series whose table has room beside their histogram.
const BESIDE_MAX: usize = 4;

/// Disturbance of the machine beyond which a reader is warned, as a part of the trials.
const DISTURBED_PART: f64 = 0.1;

/// The sections of a comparison; `id` makes the names of its charts its own.
#[must_use]
pub fn sections(results: &Comparison, id: &str) -> Vec<Section> {
    let view = View { results, id };
    let sections = [
        Some(view.overview()),
        view.bars_section(
            "Cost of an answer",
            "CPU time per verified answer",
            "µs of CPU time",
            (Load::Saturated, |summary| summary.cpu_us_per_answer),
        ),
        view.bars_section(
            "Cost of an answer to frames",
            "CPU time per verified answer where queries come as frames of the kernel",
            "µs of CPU time",
            (Load::Frames, |summary| summary.cpu_us_per_answer),
        ),
        view.bars_section(
            "Highest rate on one core",
            "Verified answers a second, saturated",
            "answers/s",
            (Load::Saturated, |summary| Some(summary.answers_per_second)),
        ),
        view.rate_against_latency(),
        view.histograms(),
        view.overload(),
        view.generators(),
        Some(view.everything()),
    ];
    sections.into_iter().flatten().collect()
}

/// A comparison to be shown.
struct View<'a> {
    /// What is shown.
    results: &'a Comparison,
    /// What the names of charts begin with.
    id: &'a str,
}

impl View<'_> {
    /// The servers that were measured, each with its colour. The limits, which come last, have the
    /// last colours.
    fn measured(&self) -> impl Iterator<Item = (usize, &Server)> {
        let has_part = |server: &Server| {
            self.results.summary.iter().any(|summary| summary.server == server.name)
        };
        let servers = &self.results.servers;
        let colour = move |place: usize, role: Role| match role {
            Role::Limit => COLOURS - servers.len() % COLOURS + place,
            Role::Subject | Role::Tier | Role::Peer => place,
        };
        let measured = servers.iter().enumerate().filter(move |(_, server)| has_part(server));
        measured.map(move |(place, server)| (colour(place, server.role), server))
    }

    /// The workloads that were measured.
    fn workloads(&self) -> Vec<Workload> {
        let mut workloads: Vec<_> =
            self.results.summary.iter().map(|summary| summary.workload).collect();
        workloads.sort_unstable();
        workloads.dedup();
        workloads
    }

    /// The trials of a server.
    fn summary(&self, server: &Server, workload: Workload, load: Load) -> Option<&Summary> {
        self.results.summary.iter().find(|summary| {
            summary.server == server.name && summary.workload == workload && summary.load == load
        })
    }

    /// Who was compared, where, how, and the few numbers that matter most.
    fn overview(&self) -> Section {
        let Comparison { machine, settings, .. } = self.results;
        let mut section = Section::new("Comparison");
        section.warnings = self.warnings();
        section.blocks.push(Block::Highlights(self.highlights()));
        section.blocks.push(Block::Table(self.servers()));
        let place = if machine.virtual_machine { "virtual machine" } else { "no hypervisor" };
        let facts = [
            ("Date", machine.date.clone()),
            ("Machine", format!("{}, {} CPUs, {place}", machine.cpu, machine.cpus)),
            ("Memory", octets(machine.memory_bytes as f64)),
            ("System", format!("{}, Linux {}", machine.system, machine.kernel)),
            (
                "Trials",
                format!(
                    "{} of {} s, {} turns of each server{}",
                    self.results.trials.len(),
                    settings.seconds,
                    settings.turns,
                    if settings.quick { " (short form)" } else { "" }
                ),
            ),
            (
                "Generator",
                format!(
                    "{} engine, {} source ports, time-out {} s, CPU {}; servers on CPU {}",
                    settings.engine,
                    settings.sockets,
                    settings.timeout_s,
                    settings.generator_cpu,
                    settings.server_cpu
                ),
            ),
            ("Command", settings.command.clone()),
        ];
        let facts = facts.map(|(name, value)| (name.to_owned(), value));
        section.blocks.push(Block::Facts(facts.into()));
        for server in self.results.servers.iter().filter(|server| !server.configuration.is_empty())
        {
            section.blocks.push(Block::Text {
                title: format!("Configuration of {}", server.title),
                text: server.configuration.clone(),
            });
        }
        section.note(
            "CPU time is that of the server's threads, of the NAPI thread of its end of the network \
             and of ksoftirqd of its CPU. An answer counts only if it is exactly what its name says.",
        )
    }

    /// Wrong answers and disturbed trials.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for server in &self.results.servers {
            let wrong: u64 = self
                .results
                .summary
                .iter()
                .filter(|summary| summary.server == server.name)
                .map(|summary| summary.wrong)
                .sum();
            if wrong > 0 {
                warnings.push(format!("{}: {wrong} wrong answers", server.title));
            }
            for check in &server.checks {
                if let Some(fault) = &check.fault {
                    warnings.push(format!("{}: {}: {fault}", server.title, check.question));
                }
            }
        }
        let trials = &self.results.trials;
        let disturbed = trials.iter().filter(|trial| trial.disturbed).count();
        if disturbed as f64 > trials.len() as f64 * DISTURBED_PART {
            warnings.push(format!(
                "{disturbed} of {} trials were disturbed by other work on the machine",
                trials.len()
            ));
        }
        warnings
    }

    /// What this responder does and costs, and how much dearer each peer is.
    fn highlights(&self) -> Vec<(String, String)> {
        let mut highlights = Vec::new();
        let subject = self.measured().find(|(_, server)| server.role == Role::Subject);
        if let Some((_, subject)) = subject
            && let Some(workload) = self.workloads().first()
            && let Some(summary) = self.summary(subject, *workload, Load::Saturated)
        {
            let rate = summary.answers_per_second.median;
            highlights.push((
                number(rate),
                format!("answers/s of {} on one core ({workload})", subject.title),
            ));
            if let Some(cost) = summary.cpu_us_per_answer {
                let text = format!("{} µs", number(cost.median));
                highlights.push((text, format!("of CPU time per answer ({workload})")));
            }
            for (_, peer) in self.measured().filter(|(_, server)| server.role == Role::Peer) {
                let ratio = self.results.ratios.iter().find(|ratio| {
                    ratio.server == peer.name
                        && ratio.workload == *workload
                        && ratio.load == Load::Saturated
                });
                if let Some(ratio) = ratio {
                    highlights.push((
                        format!("{} ×", number(ratio.cost.median)),
                        format!("the CPU time per answer of {} ({workload})", peer.title),
                    ));
                }
            }
        }
        highlights
    }

    /// Who took part, and who was to.
    fn servers(&self) -> Table {
        let rows = self.results.servers.iter().map(|server| {
            let role = match server.role {
                Role::Subject => "this responder",
                Role::Tier => "this responder, below sockets",
                Role::Peer => "peer",
                Role::Limit => "the machine's limit",
            };
            let right = server.checks.iter().filter(|check| check.fault.is_none()).count();
            let checks = match (&server.left_out, server.checks.len()) {
                (Some(why), _) => format!("left out: {why}"),
                (None, 0) => NOTHING.to_owned(),
                (None, all) => format!("{right} of {all} right"),
            };
            let cells = [role, &server.version, &checks].map(Cell::text);
            Row { name: Cell::text(&server.title), cells: cells.into() }
        });
        Table {
            caption: "Servers".to_owned(),
            head: ["Server", "Role", "Version", "Checked before"].map(str::to_owned).into(),
            rows: rows.collect(),
        }
    }

    /// A figure of all servers and workloads as bars, with its spread.
    fn bars_section(
        &self,
        title: &str,
        caption: &str,
        unit: &str,
        (load, figure): (Load, fn(&Summary) -> Option<Spread>),
    ) -> Option<Section> {
        let mut workloads = self.workloads();
        workloads.retain(|workload| {
            let is_it = |row: &Summary| (row.workload, row.load) == (*workload, load);
            self.results.summary.iter().any(is_it)
        });
        let of = |server: &Server, workload: &Workload| {
            self.summary(server, *workload, load).and_then(figure)
        };
        let text = |spread: Option<Spread>| match spread {
            Some(Spread { median, min, max, .. }) => {
                format!("{} ({} to {})", number(median), number(min), number(max))
            }
            None => NOTHING.to_owned(),
        };
        let series = self.measured().map(|(colour, server)| Series {
            name: server.title.clone(),
            colour,
            values: workloads
                .iter()
                .map(|workload| of(server, workload).map(|s| s.median))
                .collect(),
            texts: workloads.iter().map(|workload| text(of(server, workload))).collect(),
        });
        let series: Vec<Series> = series.collect();
        if series.iter().all(|series| series.values.iter().all(Option::is_none)) {
            return None;
        }
        let categories = workloads.iter().map(ToString::to_string).collect();
        let id = format!("{}-{}", self.id, title.to_lowercase().replace(' ', "-"));
        let bars = Chart::bars(id, caption, ("workload", categories), unit, series);
        let mut section =
            Section::new(title).note("Median of the trials; in brackets the least and greatest.");
        section.blocks.push(Block::Chart(Chart { wide: true, ..bars }));
        Some(section)
    }

    /// Latency at the rates that were offered, a chart for each workload.
    fn rate_against_latency(&self) -> Option<Section> {
        let mut section = Section::new("Rate against latency").note(
            "Open loop: a latency counts from the moment its query was to be sent, so a server \
             that stalls cannot hide it.",
        );
        for workload in self.workloads() {
            let lines = self.measured().filter_map(|(colour, server)| {
                let open = self.results.summary.iter().filter(|summary| {
                    summary.server == server.name
                        && summary.workload == workload
                        && summary.rate_qps.is_some()
                        && !summary.load.is_overload()
                });
                let mut points: Points = open
                    .map(|summary| {
                        (summary.answers_per_second.median.round(), summary.p99_us.median / 1_000.0)
                    })
                    .collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                (!points.is_empty()).then(|| (server.title.clone(), colour, points))
            });
            let lines: Vec<_> = lines.collect();
            if !lines.is_empty() {
                let axes = (Axis::linear("answers/s"), Axis::log("99 % latency, ms"));
                let id = format!("{}-rate-{workload}", self.id);
                let title = format!("99 % latency at rising rates: {workload}");
                section.blocks.push(Block::Chart(Chart::lines(id, title, axes, lines)));
            }
        }
        (!section.blocks.is_empty()).then_some(section)
    }

    /// Latencies at the same rate for all.
    fn histograms(&self) -> Option<Section> {
        let mut section = Section::new("Latency at equal rates");
        for workload in self.workloads() {
            let rate = self.results.summary.iter().find_map(|summary| {
                let is_it = summary.workload == workload && summary.load == Load::Equal;
                summary.rate_qps.filter(|_| is_it)
            });
            let Some(rate) = rate else { continue };
            let histograms = self.measured().filter_map(|(colour, server)| {
                let trials = self.results.trials.iter().filter(|trial| {
                    trial.server == server.name
                        && trial.workload == workload
                        && trial.load == Load::Equal
                });
                let buckets = trials.flat_map(|trial| trial.latency.histogram.iter());
                let buckets = buckets.map(|bucket| (bucket.up_to_us, bucket.count));
                let points = histogram(buckets);
                (!points.is_empty()).then(|| (server.title.clone(), colour, points))
            });
            let histograms: Vec<_> = histograms.collect();
            let title = format!("Latencies at {} queries/s: {workload}", number(rate));
            if !histograms.is_empty() {
                let id = format!("{}-latency-{workload}", self.id);
                section.blocks.push(Block::Chart(histogram_chart(id, title.clone(), histograms)));
            }
            section.blocks.push(Block::Table(self.latencies(workload, title)));
        }
        (!section.blocks.is_empty()).then_some(section)
    }

    /// Percentiles at the same rate for all.
    fn latencies(&self, workload: Workload, caption: String) -> Table {
        let rows = self.measured().filter_map(|(_, server)| {
            let summary = self.summary(server, workload, Load::Equal)?;
            let figures = [summary.p50_us, summary.p99_us, summary.p999_us];
            let mut cells: Vec<Cell> =
                figures.iter().map(|spread| Cell::number(spread.median)).collect();
            cells.push(Cell::number(summary.lost_percent));
            Some(Row { name: Cell::text(&server.title), cells })
        });
        let head = ["Server", "50 %, µs", "99 %, µs", "99.9 %, µs", "lost, %"];
        Table { caption, head: head.map(str::to_owned).into(), rows: rows.collect() }
    }

    /// What is left of the highest rate when far more is offered.
    fn overload(&self) -> Option<Section> {
        let overloads: Vec<&Summary> =
            self.results.summary.iter().filter(|summary| summary.load.is_overload()).collect();
        let mut rows = Vec::new();
        for summary in overloads {
            let server =
                self.results.servers.iter().find(|server| server.name == summary.server)?;
            let highest = self.summary(server, summary.workload, Load::Saturated);
            let rate = summary.answers_per_second.median;
            let kept = highest
                .map(|highest| highest.answers_per_second.median)
                .filter(|highest| *highest > 0.0)
                .map(|highest| 100.0 * rate / highest);
            rows.push(Row {
                name: Cell::text(&server.title),
                cells: vec![
                    Cell::text(summary.workload.to_string()),
                    Cell::text(summary.load.to_string()),
                    Cell::number(summary.sent_per_second.median),
                    Cell::number(rate),
                    Cell::maybe(kept),
                ],
            });
        }
        if rows.is_empty() {
            return None;
        }
        let head = ["Server", "Workload", "Load", "offered/s", "answers/s", "% of highest rate"];
        let mut section = Section::new("Overload");
        section.blocks.push(Block::Table(Table {
            caption: "Answers while more is asked than the server can do".to_owned(),
            head: head.map(str::to_owned).into(),
            rows,
        }));
        Some(section)
    }

    /// What load generators can do.
    fn generators(&self) -> Option<Section> {
        let rows: Vec<Row> = generators(self.results)
            .into_iter()
            .map(|row| Row {
                name: Cell::text(row.title),
                cells: vec![
                    Cell::number(row.answers_per_second.median),
                    Cell::number(row.cpu_us_per_answer.median),
                    Cell::maybe(row.lateness.map(|(rate, _)| rate)),
                    Cell::maybe(row.lateness.map(|(_, p99_us)| p99_us.median)),
                    Cell::text(row.command),
                ],
            })
            .collect();
        if rows.is_empty() {
            return None;
        }
        let head = [
            "Generator",
            "replies/s",
            "µs CPU/reply",
            "at queries/s",
            "99 % late by, µs",
            "command",
        ];
        let mut section = Section::new("Load generators").note(
            "Each alone on one CPU against the same reflector in XDP on another. Late is how much \
             later than intended a query left, at half of the generator's highest rate.",
        );
        section.blocks.push(Block::Table(Table {
            caption: "What generators can do".to_owned(),
            head: head.map(str::to_owned).into(),
            rows,
        }));
        Some(section)
    }

    /// Every summary.
    fn everything(&self) -> Section {
        let rows = self.results.summary.iter().map(|summary| {
            let server = self.results.servers.iter().find(|server| server.name == summary.server);
            let title = server.map_or(summary.server.as_str(), |server| server.title.as_str());
            Row {
                name: Cell::text(title),
                cells: vec![
                    Cell::text(summary.workload.to_string()),
                    Cell::text(summary.load.to_string()),
                    Cell::number(summary.answers_per_second.median),
                    Cell::maybe(summary.cpu_us_per_answer.map(|spread| spread.median)),
                    Cell::number(summary.server_cpu_percent.median),
                    Cell::number(summary.p50_us.median),
                    Cell::number(summary.p99_us.median),
                    Cell::number(summary.lost_percent),
                    Cell::number(summary.failed as f64),
                    Cell::number(summary.wrong as f64),
                    Cell {
                        text: octets(summary.rss_bytes.median),
                        value: Some(summary.rss_bytes.median),
                    },
                ],
            }
        });
        let head = [
            "Server",
            "Workload",
            "Load",
            "answers/s",
            "µs CPU/answer",
            "CPU, %",
            "50 %, µs",
            "99 %, µs",
            "lost, %",
            "failed",
            "wrong",
            "memory",
        ];
        let mut section = Section::new("Everything that was measured");
        section.blocks.push(Block::Table(Table {
            caption: "Medians of all trials".to_owned(),
            head: head.map(str::to_owned).into(),
            rows: rows.collect(),
        }));
        section
    }
}

/// Buckets of whatever width as shares of bars that are equally wide on a logarithmic axis: where
/// each ends, and its per cent.
pub(super) fn histogram(buckets: impl Iterator<Item = (f64, u64)>) -> Points {
    let mut bars: BTreeMap<i32, u64> = BTreeMap::new();
    let mut all = 0;
    for (up_to_us, count) in buckets {
        let bar = (up_to_us.max(1.0).log10() * BARS_A_DECADE).ceil() as i32;
        *bars.entry(bar).or_default() += count;
        all += count;
    }
    let end = |bar: i32| 10_f64.powf(f64::from(bar) / BARS_A_DECADE);
    // Three digits are enough for an end, and make the ends of all servers equal.
    let rounded = |value: f64| {
        let unit = 10_f64.powf(value.log10().floor() - 2.0);
        (value / unit).round() * unit
    };
    bars.into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(bar, count)| (rounded(end(bar)), 100.0 * count as f64 / all as f64))
        .collect()
}

/// Histograms over each other.
pub(super) fn histogram_chart(
    id: String,
    title: String,
    histograms: Vec<(String, usize, Points)>,
) -> Chart {
    let axes = (Axis::log("latency up to, µs"), Axis::log("% of the answers"));
    let mut chart = Chart::lines(id, title, axes, histograms);
    chart.form = Form::Steps;
    chart.wide = chart.series.len() > BESIDE_MAX;
    chart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_keeps_every_answer_and_its_bars_rise() {
        let buckets = (1..=5_000_u32).map(|number| (f64::from(number), u64::from(number % 7)));
        let points = histogram(buckets);
        assert!((points.iter().map(|(_, share)| share).sum::<f64>() - 100.0).abs() < 1e-6);
        assert!(points.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(points.last().unwrap().0, 5_010.0);
        assert!(histogram([].into_iter()).is_empty());
    }
}
