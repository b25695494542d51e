//! dns64bench: measures dns64d and its peers.
//!
//! Exit codes: 0 done, 1 failed while running or wrong answers seen, 2 wrong usage.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use dns64::pref64::{Pref64, UOctet};
use dns64_bench::echo::{self, Echo};
use dns64_bench::engine::{Filled, Kind};
use dns64_bench::load;
use dns64_bench::load::queries::Queries;
use dns64_bench::load::report::Report;
use dns64_bench::names;
use dns64_bench::upstream::{Options, Upstream};
use dns64_bench::wire::Edns;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Measures DNS64 servers.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Answer what the names themselves say, over UDP and TCP, until killed.
    Upstream(UpstreamArguments),
    /// Send queries back as they are: what the machine alone costs.
    Echo(EchoArguments),
    /// Write a query file of names that say their own answer.
    Names(NamesArguments),
    /// Answer from an engine without sockets: for counting instructions.
    Engine(EngineArguments),
    /// Send queries, verify the answers, and report as dnsperf does.
    Load(LoadArguments),
}

/// Arguments of `upstream`.
#[derive(Debug, Args)]
struct UpstreamArguments {
    /// Address to listen on; may repeat.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5300")]
    listen: Vec<SocketAddr>,
    /// Threads that answer over UDP.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Decides which answers get lost.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Delay of answers to names that say none.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    delay_ms: u32,
    /// Per cent of answers over UDP that get lost, where the name does not say more.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    loss: u8,
}

/// Arguments of `echo`.
#[derive(Debug, Args)]
struct EchoArguments {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5301")]
    listen: SocketAddr,
    /// Sockets that share the address.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    sockets: u16,
    /// CPU to run on.
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// AAAA records appended to each reply, so that it is as long as a synthesized answer.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=i64::from(echo::RECORDS_MAX)))]
    records: u8,
}

/// Arguments of `names`.
#[derive(Debug, Args)]
struct NamesArguments {
    /// How many questions.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    count: u32,
    /// The number of the first one; different numbers give different names.
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u32,
    /// What is asked for.
    #[arg(long, value_enum, default_value_t = names::Kind::Synth)]
    kind: names::Kind,
    /// Zone of the names.
    #[arg(long, default_value = "v4.test")]
    zone: String,
    /// NAT64 prefix of reverse names.
    #[arg(long, value_parser = parse_prefix, default_value = "64:ff9b::/96")]
    prefix: Pref64,
}

/// Arguments of `engine`.
#[derive(Debug, Args)]
struct EngineArguments {
    /// Names in the cache.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    names: u32,
    /// Batches of 64 queries to answer from the cache.
    #[arg(long, value_name = "N", default_value_t = 100)]
    batches: u32,
    /// What is asked for.
    #[arg(long, value_enum, default_value_t = Kind::Synthesized)]
    kind: Kind,
    /// Load ahead what a batch needs, as a worker with a large cache does.
    #[arg(long)]
    touch: bool,
}

/// Arguments of `load`: the letters are dnsperf's.
#[derive(Debug, Args)]
struct LoadArguments {
    /// Address of the server.
    #[arg(short, value_name = "ADDR", default_value = "127.0.0.1")]
    server: IpAddr,
    /// Port of the server.
    #[arg(short, default_value_t = 53)]
    port: u16,
    /// Query file: a name and a type a line; `-` is standard input.
    #[arg(short = 'd', value_name = "FILE")]
    data: String,
    /// Seconds during which queries are sent.
    #[arg(short, value_name = "SECONDS", default_value_t = 10.0)]
    limit: f64,
    /// How often to go through the file at most; 0: as often as the time allows.
    #[arg(short = 'n', value_name = "TIMES", default_value_t = 0)]
    rounds: u32,
    /// Queries a second; 0: as fast as -q allows.
    #[arg(short = 'Q', value_name = "RATE", default_value_t = 0)]
    rate: u32,
    /// The most queries in flight.
    #[arg(short = 'q', value_name = "N", default_value_t = 100)]
    outstanding: u32,
    /// Sockets, each with a port of its own.
    #[arg(short = 'c', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    sockets: u16,
    /// Seconds after which a query counts as lost.
    #[arg(short, value_name = "SECONDS", default_value_t = 5.0)]
    timeout: f64,
    /// Send EDNS, with a payload size of 1232.
    #[arg(short)]
    edns: bool,
    /// NAT64 prefix of the server.
    #[arg(long, value_parser = parse_prefix, default_value = "64:ff9b::/96")]
    prefix: Pref64,
    /// Compare ID and question only: for servers that do not answer what the names say.
    #[arg(long)]
    form_only: bool,
    /// Report as JSON.
    #[arg(long)]
    json: bool,
}

/// Reads a NAT64 prefix.
fn parse_prefix(text: &str) -> Result<Pref64, String> {
    let network = text.parse().map_err(|_| format!("{text}: not an IPv6 prefix"))?;
    Pref64::new(network, Ipv6Addr::UNSPECIFIED, UOctet::Any).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Upstream(arguments) => run_upstream(&arguments),
        Command::Echo(arguments) => run_echo(&arguments),
        Command::Names(arguments) => run_names(&arguments),
        Command::Engine(arguments) => run_engine(&arguments),
        Command::Load(arguments) => run_load(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // There is nowhere else to say it.
            let _unwritable = writeln!(io::stderr(), "dns64bench: {error:#}");
            ExitCode::from(1)
        }
    }
}

/// Answers until killed.
fn run_upstream(arguments: &UpstreamArguments) -> anyhow::Result<ExitCode> {
    let options = Options {
        threads: usize::from(arguments.threads),
        seed: arguments.seed,
        delay_ms: arguments.delay_ms,
        loss_percent: arguments.loss,
        record: false,
    };
    let upstream =
        Upstream::start_on(&arguments.listen, options).context("cannot start the upstream")?;
    let mut out = io::stdout().lock();
    for address in upstream.local_addrs() {
        writeln!(out, "ready {address}")?;
    }
    out.flush()?;
    loop {
        std::thread::park();
    }
}

/// Echoes until killed.
fn run_echo(arguments: &EchoArguments) -> anyhow::Result<ExitCode> {
    if let Some(cpu) = arguments.cpu {
        let mut cpus = CpuSet::new();
        anyhow::ensure!(cpu < CpuSet::MAX_CPU, "no CPU has the number {cpu}");
        cpus.set(cpu);
        sched_setaffinity(None, &cpus).with_context(|| format!("cannot run on CPU {cpu}"))?;
    }
    let echo = Echo::bind(arguments.listen, usize::from(arguments.sockets), arguments.records)
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    writeln!(io::stdout(), "ready {}", echo.local_addr()?)?;
    match echo.run()? {}
}

/// Writes a query file to standard output.
fn run_names(arguments: &NamesArguments) -> anyhow::Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let NamesArguments { count, first, kind, ref zone, ref prefix } = *arguments;
    anyhow::ensure!(
        first.checked_add(count).is_some_and(|end| end <= names::NAMES_MAX),
        "there are only {} names",
        names::NAMES_MAX
    );
    let zone = zone.strip_suffix('.').unwrap_or(zone);
    let first = names::Question { kind, number: first, zone, prefix };
    names::write_questions(&mut out, first, count)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Answers the same batch again and again: two runs that differ in the number of batches only
/// differ by what the answers cost.
fn run_engine(arguments: &EngineArguments) -> anyhow::Result<ExitCode> {
    let mut filled = Filled::new(arguments.kind, arguments.names);
    filled.draw();
    let mut octets = 0;
    for _ in 0..arguments.batches {
        if arguments.touch {
            filled.touch();
        }
        octets += filled.answer();
    }
    writeln!(io::stdout(), "{octets}")?;
    Ok(ExitCode::SUCCESS)
}

/// Sends load, and reports.
fn run_load(arguments: &LoadArguments) -> anyhow::Result<ExitCode> {
    let edns = arguments.edns.then_some(Edns { payload_size: 1232, dnssec_ok: false });
    let queries = match arguments.data.as_str() {
        "-" => Queries::read(io::stdin().lock(), edns),
        path => {
            let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
            Queries::read(io::BufReader::new(file), edns)
        }
    };
    let sockets = usize::from(arguments.sockets);
    let options = load::Options {
        server: SocketAddr::new(arguments.server, arguments.port),
        duration: Duration::try_from_secs_f64(arguments.limit).context("-l")?,
        rounds: arguments.rounds,
        rate: arguments.rate,
        outstanding: (arguments.outstanding as usize).clamp(1, sockets * load::OUTSTANDING_MAX),
        sockets,
        timeout: Duration::try_from_secs_f64(arguments.timeout.min(1_000.0)).context("-t")?,
        prefix: arguments.prefix,
        check: if arguments.form_only { load::Check::Form } else { load::Check::Answer },
    };
    let queries = queries.with_context(|| arguments.data.clone())?;
    let totals = load::run(queries, options.clone())?;
    let report = Report { options: &options, totals: &totals };
    if arguments.json {
        writeln!(io::stdout(), "{:#}", report.to_json())?;
    } else {
        write!(io::stdout(), "{report}")?;
    }
    Ok(if totals.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
