//! `dns64bench compare`: measures dns64d beside its peers.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use dns64_bench::lab::catalog::{self, ENTRIES, Entry, Own};
use dns64_bench::lab::compare::{Plan, compare};
use dns64_bench::lab::generators::GENERATORS;
use dns64_bench::lab::{Refusal, page};
use dns64_bench::results::{Comparison, Role, Settings, Workload};

/// What marks the top of the repository.
const MARK: &str = "bench/lab/setup";

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The short form: under ten minutes.
    #[arg(long)]
    quick: bool,
    /// Directory for compare.json and RESULTS.md; bench/ of the repository if it is there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Who takes part besides dns64d: dns64d-two, dns64d-xdp, dns64d-hot, unbound, bind, pdns,
    /// knot, echo, echo-xdp, reflect. Default: all. With `reflect` load generators are compared
    /// too.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_server)]
    servers: Option<Vec<&'static Entry>>,
    /// What is asked for. Default: all.
    #[arg(long, value_name = "NAMES", value_enum, value_delimiter = ',')]
    workloads: Option<Vec<Workload>>,
    /// Trials of each server, workload and load. Default: 7, quick 3.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: Option<u32>,
    /// Seconds of a trial. Default: 5, quick 0.5.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    seconds: Option<f64>,
    /// Names of `hit` and `ptr`.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    names: u32,
    /// Queries in flight when saturated.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    outstanding: u16,
    /// Source ports of the generator.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    sockets: u16,
    /// CPU of generator and upstream.
    #[arg(long, value_name = "N", default_value_t = 0)]
    generator_cpu: usize,
    /// CPU of the server.
    #[arg(long, value_name = "N", default_value_t = 1)]
    server_cpu: usize,
    /// The dns64d to measure. Default: that of the repository, built first.
    #[arg(long, value_name = "FILE")]
    dns64d: Option<PathBuf>,
    /// Install no packages: peers that are missing are left out.
    #[arg(long)]
    no_setup: bool,
}

/// A server by its key. This responder takes part anyway.
fn parse_server(name: &str) -> Result<&'static Entry, String> {
    catalog::entry(name).ok_or_else(|| {
        let known: Vec<&str> = ENTRIES.iter().map(|entry| entry.name).collect();
        format!("no such server; there are {}", known.join(", "))
    })
}

/// The length of a trial.
fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=600.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("not a number of seconds from 0.05 to 600".to_owned()),
    }
}

/// Compares, and writes what came out.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match try_to_run(arguments) {
        Err(error) if error.is::<Refusal>() => {
            writeln!(io::stderr(), "dns64bench: {error}")?;
            Ok(ExitCode::from(2))
        }
        result => result,
    }
}

/// [`run`]; fails with a [`Refusal`] where nothing can be measured.
fn try_to_run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        let text = "a comparison makes network namespaces: it needs root (run it with sudo)";
        return Err(Refusal(text.to_owned()).into());
    }
    ensure_different_cpus(arguments)?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let repository = find_repository(&program);
    let plan = plan_of(arguments, &program, repository.as_deref())?;
    let out = match (&arguments.out, &repository) {
        (Some(out), _) => out.clone(),
        (None, Some(repository)) => repository.join("bench"),
        (None, None) => PathBuf::from("."),
    };
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let start = Instant::now();
    let comparison = compare(&plan, &mut |line| {
        // A comparison goes on when nobody looks.
        let _unwritable = writeln!(io::stderr(), "{:4} s  {line}", start.elapsed().as_secs());
    })?;
    write_results(&comparison, &out)?;
    writeln!(io::stdout(), "{}", page::tables(&comparison))?;
    writeln!(io::stdout(), "written: {0}/compare.json {0}/RESULTS.md", out.display())?;
    let wrong: u64 = comparison.trials.iter().map(|trial| trial.wrong).sum();
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Generator and server on one CPU would measure each other.
fn ensure_different_cpus(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.generator_cpu == arguments.server_cpu {
        let text = "generator and server need a CPU each: --generator-cpu and --server-cpu";
        return Err(Refusal(text.to_owned()).into());
    }
    Ok(())
}

/// Everything that is to be done.
fn plan_of(
    arguments: &Arguments,
    program: &Path,
    repository: Option<&Path>,
) -> anyhow::Result<Plan> {
    let quick = arguments.quick;
    let short_or = |short, full| if quick { short } else { full };
    let wanted = |entry: &Entry| {
        let named = |list: &Vec<&'static Entry>| list.iter().any(|other| other.name == entry.name);
        entry.role == Role::Subject || arguments.servers.as_ref().is_none_or(named)
    };
    let entries: Vec<&'static Entry> = ENTRIES.iter().filter(|entry| wanted(entry)).collect();
    let own = Own {
        dns64d: match &arguments.dns64d {
            Some(file) if !file.is_file() => {
                let text = format!("{}: no such program", file.display());
                return Err(Refusal(text).into());
            }
            Some(file) => file.clone(),
            None => build_dns64d(program, repository)?,
        },
        dns64bench: program.to_owned(),
    };
    let is_missing = entries.iter().any(|entry| entry.find(&own).is_none())
        || GENERATORS.iter().any(|generator| generator.find(&own).is_none());
    if is_missing && !arguments.no_setup {
        install_peers(repository)?;
    }
    let workloads = arguments.workloads.clone().unwrap_or_else(|| {
        use clap::ValueEnum;
        Workload::value_variants().to_vec()
    });
    Ok(Plan {
        own,
        entries,
        equal: if quick { vec![Workload::Hit, Workload::Mixed] } else { workloads.clone() },
        in_parts: if quick { vec![Workload::Hit] } else { vec![Workload::Hit, Workload::Cold] },
        parts: if quick { vec![80] } else { vec![10, 50, 80, 95] },
        workloads,
        overload: true,
        repetitions: short_or(1, 3),
        repeating_max: Duration::from_secs(if quick { 30 } else { 1_800 }),
        warm_queries: short_or(60_000, 400_000),
        settings: Settings {
            command: command_of(std::env::args().skip(1)),
            quick,
            seconds: arguments.seconds.unwrap_or(if quick { 0.5 } else { 5.0 }),
            turns: arguments.turns.unwrap_or(if quick { 3 } else { 7 }),
            names: arguments.names,
            zipf_names: 1_000_000,
            drawn_queries: short_or(30_000, 200_000),
            outstanding: usize::from(arguments.outstanding),
            sockets: usize::from(arguments.sockets),
            timeout_s: 1.0,
            generator_cpu: arguments.generator_cpu,
            server_cpu: arguments.server_cpu,
            engine: "sockets".to_owned(),
        },
    })
}

/// The command that makes a comparison again.
fn command_of(arguments: impl Iterator<Item = String>) -> String {
    let words = ["cargo run --release --bin dns64bench --".to_owned()];
    words.into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The top of the repository: above this program or the working directory.
fn find_repository(program: &Path) -> Option<PathBuf> {
    let working = std::env::current_dir().ok();
    let places = [working.as_deref(), program.parent()];
    let mut above = places.into_iter().flatten().flat_map(Path::ancestors);
    above.find(|directory| directory.join(MARK).is_file()).map(Path::to_owned)
}

/// Where dns64d is: beside this program, and built anew if this is a repository.
fn build_dns64d(program: &Path, repository: Option<&Path>) -> anyhow::Result<PathBuf> {
    let directory = program.parent().context("this program is in no directory")?;
    let dns64d = directory.join("dns64d");
    let release = directory.file_name().is_some_and(|name| name == "release");
    if let (Some(repository), Some(target)) = (repository, directory.parent()) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--bin", "dns64d", "--target-dir"]).arg(target);
        // What cargo tells a program that it runs is of that program's package. A build script that
        // watches such variables (ring's does) would take them for a change, and all be built anew.
        let told = std::env::vars_os().filter(|(name, _)| is_told_by_cargo(name));
        for (name, _) in told {
            build.env_remove(name);
        }
        if release {
            build.arg("--release");
        }
        match build.current_dir(repository).status() {
            Ok(status) => ensure!(status.success(), "cargo build --bin dns64d: {status}"),
            // Without cargo, what is there has to do.
            Err(_) if dns64d.is_file() => {}
            Err(error) => return Err(error).context("cannot run cargo to build dns64d"),
        }
    }
    if !dns64d.is_file() {
        let text = format!("{} is missing: cargo build --release, or --dns64d", dns64d.display());
        return Err(Refusal(text).into());
    }
    Ok(dns64d)
}

/// Whether cargo sets an environment variable for the program that `cargo run` starts.
fn is_told_by_cargo(name: &OsStr) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    prefixes.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
}

/// Installs the peers that are missing. Where that fails, they are left out.
fn install_peers(repository: Option<&Path>) -> anyhow::Result<()> {
    let Some(repository) = repository else { return Ok(()) };
    let status = Command::new(repository.join(MARK)).stdout(io::stderr()).status();
    if !status.is_ok_and(|status| status.success()) {
        writeln!(io::stderr(), "dns64bench: {MARK} failed: peers that are missing are left out")?;
    }
    Ok(())
}

/// Writes the results.
fn write_results(comparison: &Comparison, out: &Path) -> anyhow::Result<()> {
    let file = out.join("compare.json");
    let mut text = serde_json::to_string(comparison)?;
    text.push('\n');
    std::fs::write(&file, text).with_context(|| file.display().to_string())?;
    let file = out.join("RESULTS.md");
    page::update(comparison, &file).with_context(|| file.display().to_string())
}
