//! `RESULTS.md`: what a comparison brought, as tables for people.
//!
//! The file has other parts too, which people write. What stands between two marks is the
//! comparison's; the rest is left as it is.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use super::summary;
use crate::results::{Comparison, Load, Ratio, Role, Server, Spread, Summary, Workload};

/// The marks around what is written here.
const BEGIN: &str = "<!-- Written by dns64bench compare, from here -->";
const END: &str = "<!-- to here. -->";

/// What a file begins with that was not there.
const HEAD: &str = "# Results\n\n";

/// Writes the tables into a file, and leaves what else is in it.
///
/// # Errors
/// Those of reading and writing; if one of the marks is missing.
pub fn update(comparison: &Comparison, file: &Path) -> io::Result<()> {
    let old = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => format!("{HEAD}{BEGIN}\n{END}\n"),
        result => result?,
    };
    let new = replace(&old, &text_of(comparison)).ok_or_else(|| {
        io::Error::other(format!("no place for the results: it needs the lines {BEGIN} and {END}"))
    })?;
    fs::write(file, new)
}

/// Replaces what stands between the marks; `None` if they are not there.
fn replace(old: &str, text: &str) -> Option<String> {
    let (head, rest) = old.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n\n{text}\n{END}{tail}"))
}

/// Everything that is written about a comparison.
#[must_use]
pub fn text_of(comparison: &Comparison) -> String {
    [introduction(comparison), tables(comparison), limits_of_proof(comparison)].join("\n")
}

/// Machine, settings and servers.
fn introduction(comparison: &Comparison) -> String {
    let Comparison { machine, settings, .. } = comparison;
    let mut text = String::from("## Side by side\n\n");
    let form = if settings.quick { "the short form" } else { "the full form" };
    let kind = if machine.virtual_machine { "virtual machine" } else { "machine" };
    let mut line = |line: String| write_line(&mut text, &line);
    line(format!("    {}\n", settings.command));
    line(format!(
        "{}, {form}: {} turns, trials of {} s. {} with {} CPUs ({}), {:.0} GiB, {}, Linux {}, load \
         average {:.1} before the start. Generator and upstream run on CPU {}, the server on CPU \
         {}, IPv6 over a veth pair, packets from {}, {} source ports. Figures are medians with \
         least and greatest. [How](README.md), [every trial](compare.json).",
        machine.date,
        settings.turns,
        settings.seconds,
        capitalized(kind),
        machine.cpus,
        machine.cpu,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        machine.system,
        machine.kernel,
        machine.load_average,
        settings.generator_cpu,
        settings.server_cpu,
        settings.engine,
        settings.sockets,
    ));
    let disturbed = comparison.trials.iter().filter(|trial| trial.disturbed).count();
    let wrong: u64 = comparison.trials.iter().map(|trial| trial.wrong).sum();
    line(format!(
        "{} trials; {disturbed} stayed disturbed by other work on the machine. Every answer was \
         verified: {wrong} were wrong.\n",
        comparison.trials.len()
    ));
    line("| server | version | configuration |\n|---|---|---|".to_owned());
    for server in &comparison.servers {
        line(format!(
            "| {} | {} | {} |",
            server.title,
            or_dash(&server.version),
            match (&server.left_out, server.role) {
                (Some(reason), _) => format!("left out: {reason}"),
                (None, Role::Limit) => "no server: what the machine alone costs".to_owned(),
                (None, Role::Subject) => "[dns64d.toml](lab/dns64d.toml)".to_owned(),
                (None, Role::Tier) if server.configuration.contains("mode = \"socket\"") => {
                    "[dns64d.toml](lab/dns64d.toml)".to_owned()
                }
                (None, Role::Tier) => "[dns64d-xdp.toml](lab/dns64d-xdp.toml)".to_owned(),
                (None, Role::Peer) => faults_of(server),
            }
        ));
    }
    text
}

/// What a peer did not answer rightly before the measurements.
fn faults_of(server: &Server) -> String {
    let faults: Vec<String> = server
        .checks
        .iter()
        .filter_map(|check| Some(format!("{}: {}", check.about, check.fault.as_ref()?)))
        .collect();
    let place = "[lab/peers](lab/peers)";
    if faults.is_empty() { place.to_owned() } else { format!("{place}; {}", faults.join(", ")) }
}

/// The tables of all workloads.
#[must_use]
pub fn tables(comparison: &Comparison) -> String {
    let mut text = String::new();
    let mut workloads: Vec<Workload> = comparison.summary.iter().map(|row| row.workload).collect();
    workloads.dedup();
    for workload in workloads {
        workload_table(comparison, workload, &mut text);
    }
    frames_table(comparison, &mut text);
    overload_table(comparison, &mut text);
    parts_table(comparison, &mut text);
    generators_table(comparison, &mut text);
    text
}

/// What a workload is, for people.
fn title_of(comparison: &Comparison, workload: Workload) -> String {
    let settings = &comparison.settings;
    match workload {
        Workload::Hit => {
            format!("AAAA, synthesized, {} names, all asked before", settings.names)
        }
        Workload::Zipf => format!(
            "AAAA, synthesized, {} names by popularity (Zipf), caches in use",
            settings.zipf_names
        ),
        Workload::Cold => "AAAA, synthesized, names never asked before".to_owned(),
        Workload::Ptr => {
            format!("PTR under the prefix, {} names, all asked before", settings.names)
        }
        Workload::Mixed => format!(
            "60 % AAAA synthesized, 20 % AAAA native, 10 % A, 5 % PTR, 5 % NXDOMAIN, {} names by \
             popularity",
            settings.zipf_names
        ),
    }
}

/// Costs, rates and latencies with a workload.
fn workload_table(comparison: &Comparison, workload: Workload, text: &mut String) {
    let rows = |load| {
        comparison.summary.iter().filter(move |row| (row.workload, row.load) == (workload, load))
    };
    let rate = rows(Load::Equal).find_map(|row| row.rate_qps);
    let rate = rate.map_or_else(|| "one rate".to_owned(), |rate| format!("{rate:.0}/s"));
    write_line(text, &format!("### {workload}: {}\n", title_of(comparison, workload)));
    write_line(
        text,
        &format!(
            "| server | us of CPU per answer | by dns64d's | answers/s, one core | us at {rate} \
             | by dns64d's | p50 us | p99 us | p99.9 us | lost % | RSS MiB |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
        ),
    );
    for row in rows(Load::Saturated) {
        let equal = rows(Load::Equal).find(|equal| equal.server == row.server);
        let or_none = |figure: fn(&Summary) -> String| equal.map_or_else(|| "-".to_owned(), figure);
        let cells = [
            title(comparison, &row.server),
            cost_cell(row),
            ratio_cell(comparison, row),
            spread_cell(&row.answers_per_second, 0),
            or_none(cost_cell),
            equal.map_or_else(|| "-".to_owned(), |equal| ratio_cell(comparison, equal)),
            or_none(|equal| format!("{:.0}", equal.p50_us.median)),
            or_none(|equal| format!("{:.0}", equal.p99_us.median)),
            or_none(|equal| format!("{:.0}", equal.p999_us.median)),
            or_none(|equal| format!("{:.2}", equal.lost_percent)),
            format!("{:.0}", row.rss_bytes.median / f64::from(1 << 20)),
        ];
        write_line(text, &format!("| {} |", cells.join(" | ")));
    }
    write_line(text, "");
}

/// What a hit costs by every tier of the responder, to packets of both kinds.
fn frames_table(comparison: &Comparison, text: &mut String) {
    let of = |server: &str, load| {
        let row = comparison
            .summary
            .iter()
            .find(|row| row.server == server && (row.workload, row.load) == (Workload::Hit, load));
        row.and_then(|row| Some((row, row.cpu_us_per_answer?)))
    };
    if comparison.summary.iter().all(|row| row.load != Load::Frames) {
        return;
    }
    write_line(text, "### Hits by what carries the packets\n");
    write_line(
        text,
        "Frames are made by the kernel (`BPF_PROG_TEST_RUN`) and verified in XDP; packets from \
         sockets cross the veth pair as socket buffers, which XDP has to copy first. The generator \
         on sockets does not saturate what is below them.\n",
    );
    write_line(
        text,
        "| server | us, frames | Unbound's by it | answers/s | CPU % | us, sockets | Unbound's by \
         it |\n|---|--:|--:|--:|--:|--:|--:|",
    );
    for server in &comparison.servers {
        let by_unbound = |load, cost: &Spread| {
            let unbound = of("unbound", load).map(|(_, unbound)| unbound.median / cost.median);
            unbound.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
        };
        let frames = of(&server.name, Load::Frames);
        let sockets = of(&server.name, Load::Saturated);
        if frames.is_none() && sockets.is_none() {
            continue;
        }
        let mut cells = vec![server.title.clone()];
        match frames {
            Some((row, cost)) => cells.extend([
                spread_cell(&cost, 2),
                by_unbound(Load::Frames, &cost),
                spread_cell(&row.answers_per_second, 0),
                format!("{:.0}", row.server_cpu_percent.median),
            ]),
            None => cells.extend(["-"; 4].map(str::to_owned)),
        }
        match sockets {
            Some((_, cost)) => {
                cells.extend([spread_cell(&cost, 2), by_unbound(Load::Saturated, &cost)]);
            }
            None => cells.extend(["-"; 2].map(str::to_owned)),
        }
        write_line(text, &format!("| {} |", cells.join(" | ")));
    }
    write_line(text, "");
}

/// What load generators can do.
fn generators_table(comparison: &Comparison, text: &mut String) {
    let rows = summary::generators(comparison);
    if rows.is_empty() {
        return;
    }
    write_line(text, "### Load generators\n");
    write_line(
        text,
        "Each alone on one CPU against the same reflector in XDP on the other. CPU time is that of \
         its threads and of NAPI at its end. Late is how much later than intended a query left, at \
         half of the highest rate.\n",
    );
    write_line(
        text,
        "| generator | replies/s | us of CPU per reply | 99 % late by, us | at queries/s | command \
         |\n|---|--:|--:|--:|--:|---|",
    );
    for row in rows {
        let (rate, late) = match row.lateness {
            Some((rate, p99_us)) => (format!("{rate:.0}"), spread_cell(&p99_us, 0)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        write_line(
            text,
            &format!(
                "| {} | {} | {} | {late} | {rate} | `{}` |",
                row.title,
                spread_cell(&row.answers_per_second, 0),
                spread_cell(&row.cpu_us_per_answer, 2),
                row.command
            ),
        );
    }
    write_line(text, "");
}

/// What is left of the highest rate when far more is offered.
fn overload_table(comparison: &Comparison, text: &mut String) {
    let rows = || comparison.summary.iter().filter(|row| row.load.is_overload());
    if rows().next().is_none() {
        return;
    }
    write_line(text, "### Overload: names never asked before, at ten times the highest rate\n");
    write_line(
        text,
        "Offered is what the generator could send. Answers a second are those of the time in which \
         the server was at work.\n",
    );
    write_line(
        text,
        "| server | highest rate/s | offered/s | answers/s | kept % | lost % |\n\
         |---|--:|--:|--:|--:|--:|",
    );
    for row in rows() {
        let highest = comparison.summary.iter().find(|other| {
            other.server == row.server
                && (other.workload, other.load) == (row.workload, Load::Saturated)
        });
        let highest = highest.map_or(0.0, |row| row.answers_per_second.median);
        let kept = 100.0 * row.answers_per_second.median / highest.max(1.0);
        write_line(
            text,
            &format!(
                "| {} | {highest:.0} | {:.0} | {} | {kept:.0} | {:.1} |",
                title(comparison, &row.server),
                row.sent_per_second.median,
                spread_cell(&row.answers_per_second, 0),
                row.lost_percent
            ),
        );
    }
    write_line(text, "");
}

/// Latencies at parts of each server's own highest rate.
fn parts_table(comparison: &Comparison, text: &mut String) {
    let is_part = |row: &&Summary| matches!(row.load, Load::Part(_)) && !row.load.is_overload();
    let rows = || comparison.summary.iter().filter(is_part);
    if rows().next().is_none() {
        return;
    }
    write_line(text, "### Latency at parts of each server's own highest rate\n");
    write_line(
        text,
        "| workload | server | part | queries/s | us of CPU per answer | p50 us | p99 us | p99.9 us \
         | lost % |\n|---|---|--:|--:|--:|--:|--:|--:|--:|",
    );
    for row in rows() {
        write_line(
            text,
            &format!(
                "| {} | {} | {} | {:.0} | {} | {:.0} | {:.0} | {:.0} | {:.2} |",
                row.workload,
                title(comparison, &row.server),
                row.load,
                row.rate_qps.unwrap_or(0.0),
                cost_cell(row),
                row.p50_us.median,
                row.p99_us.median,
                row.p999_us.median,
                row.lost_percent
            ),
        );
    }
    write_line(text, "");
}

/// What such a comparison cannot show.
fn limits_of_proof(comparison: &Comparison) -> String {
    let Comparison { settings, machine, .. } = comparison;
    let mut text = String::from("### What is not proved here\n\n");
    let mut line = |line: &str| write_line(&mut text, line);
    line(
        "- No physical interface, and so no zero-copy AF_XDP, no offload of checksums or \
         segmentation, no interrupt moderation: packets cross a veth pair.",
    );
    line(&format!(
        "- One core a server: how servers grow with cores is not shown by {} CPUs.",
        machine.cpus
    ));
    line(&format!(
        "- The generator ({}) shares a CPU with the upstream. Where a server used less than its \
         whole CPU while saturated (`server_cpu_percent`), the rate is the generator's; the cost \
         is still the server's.",
        settings.engine
    ));
    line("- Peers are the versions of the table, not those of today, and without DNSSEC.");
    line("- Names and their popularity are made up; only the parts of the mix are as above.");
    text
}

/// A server's name for people.
fn title(comparison: &Comparison, name: &str) -> String {
    let server = comparison.servers.iter().find(|server| server.name == name);
    server.map_or(name, |server| server.title.as_str()).to_owned()
}

/// The cost of an answer.
fn cost_cell(row: &Summary) -> String {
    row.cpu_us_per_answer.as_ref().map_or_else(|| "-".to_owned(), |cost| spread_cell(cost, 2))
}

/// What a server costs by what dns64d costs.
fn ratio_cell(comparison: &Comparison, row: &Summary) -> String {
    let is_it = |ratio: &&Ratio| {
        ratio.server == row.server && (ratio.workload, ratio.load) == (row.workload, row.load)
    };
    let ratio = comparison.ratios.iter().find(is_it);
    ratio.map_or_else(|| "-".to_owned(), |ratio| spread_cell(&ratio.cost, 2))
}

/// Median, least and greatest.
fn spread_cell(spread: &Spread, digits: usize) -> String {
    let Spread { median, min, max, .. } = spread;
    format!("{median:.digits$} ({min:.digits$}-{max:.digits$})")
}

/// A text, or a dash for none.
fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// A text whose first letter is a capital.
fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Appends a line.
fn write_line(text: &mut String, line: &str) {
    let written = writeln!(text, "{line}");
    // A string takes everything.
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::summary::tests::trial;
    use crate::lab::summary::{ratios, summarize};
    use crate::results::{CpuTime, Generating, Machine, SCHEMA_VERSION, Settings};

    fn comparison() -> Comparison {
        let trials = vec![
            trial("dns64d", Load::Saturated, 0, 2.0),
            trial("bind", Load::Saturated, 0, 8.0),
            trial("dns64d", Load::Equal, 0, 5.0),
            trial("bind", Load::Equal, 0, 10.0),
            trial("bind", Load::OVERLOAD, 0, 9.0),
            trial("bind", Load::Part(80), 0, 9.5),
        ];
        let summary = summarize(&trials);
        let ratios = ratios(&trials, &summary);
        let server = |name: &str, title: &str, role, left_out: Option<&str>| Server {
            name: name.to_owned(),
            title: title.to_owned(),
            role,
            version: String::new(),
            command: String::new(),
            configuration: String::new(),
            left_out: left_out.map(str::to_owned),
            checks: Vec::new(),
        };
        Comparison {
            schema_version: SCHEMA_VERSION,
            machine: Machine {
                date: "2026-01-02T03:04:05Z".to_owned(),
                kernel: "6.1".to_owned(),
                system: "Debian".to_owned(),
                cpu: "a CPU".to_owned(),
                cpus: 2,
                memory_bytes: 4 << 30,
                virtual_machine: true,
                load_average: 0.5,
            },
            settings: Settings {
                command: "dns64bench compare".to_owned(),
                quick: true,
                seconds: 1.0,
                turns: 1,
                names: 10,
                zipf_names: 10,
                drawn_queries: 10,
                outstanding: 10,
                sockets: 8,
                timeout_s: 1.0,
                generator_cpu: 0,
                server_cpu: 1,
                engine: "sockets".to_owned(),
            },
            servers: vec![
                server("dns64d", "dns64d", Role::Subject, None),
                server("bind", "BIND", Role::Peer, None),
                server("knot", "Knot Resolver", Role::Peer, Some("not installed")),
            ],
            trials,
            summary,
            ratios,
            generators: Vec::new(),
        }
    }

    #[test]
    fn the_tables_have_costs_ratios_and_who_is_left_out() {
        let text = text_of(&comparison());
        for part in [
            "| BIND | 8.00 (8.00-8.00) | 4.00 (4.00-4.00) | 998 (998-998) | 10.00 (10.00-10.00) \
             | 2.00 (2.00-2.00) |",
            "| Knot Resolver | - | left out: not installed |",
            "| BIND | 998 | 1000 | 998 (998-998) | 100 | 0.1 |",
            "| hit | BIND | 80 % |",
            "0 were wrong",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn what_people_wrote_stays() {
        let old = format!("# Results\n\nby hand\n\n{BEGIN}\nold\n{END}\n\nby hand too\n");
        let new = replace(&old, "new").unwrap();
        assert_eq!(new, format!("# Results\n\nby hand\n\n{BEGIN}\n\nnew\n{END}\n\nby hand too\n"));
        assert_eq!(replace(&new, "new").unwrap(), new);
        assert_eq!(replace("# Results\n", "new"), None);
    }

    #[test]
    fn a_comparison_is_read_as_it_was_written() {
        let comparison = comparison();
        let text = serde_json::to_string(&comparison).unwrap();
        assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), comparison);
    }

    #[test]
    fn frames_are_compared_with_unbound_and_generators_have_rows() {
        let mut comparison = comparison();
        let trials = vec![
            trial("dns64d", Load::Frames, 0, 2.0),
            trial("unbound", Load::Frames, 0, 9.0),
            trial("dns64d", Load::Saturated, 0, 4.0),
        ];
        comparison.summary = summarize(&trials);
        let mut unbound = comparison.servers[1].clone();
        unbound.name = "unbound".to_owned();
        unbound.title = "Unbound".to_owned();
        comparison.servers.push(unbound);
        let run = |generator: &str, rate_qps: Option<f64>, lateness_p99_us| Generating {
            generator: generator.to_owned(),
            command: "x -q 1".to_owned(),
            turn: 0,
            rate_qps,
            sent: 10,
            answered: 10,
            run_time_s: 1.0,
            answers_per_second: 10.0,
            cpu: CpuTime::default(),
            cpu_us_per_answer: 3.0,
            lateness_p99_us,
        };
        comparison.generators =
            vec![run("sockets", None, None), run("sockets", Some(5.0), Some(70.0))];
        let text = tables(&comparison);
        for line in [
            "| dns64d | 2.00 (2.00-2.00) | 4.50 | 998 (998-998) | 50 | 4.00 (4.00-4.00) | - |",
            "| Unbound | 9.00 (9.00-9.00) | 1.00 | 998 (998-998) | 50 | - | - |",
            "| dns64bench load | 10 (10-10) | 3.00 (3.00-3.00) | 70 (70-70) | 5 | `x -q 1` |",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
