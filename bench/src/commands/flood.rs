//! `dns64bench flood`: load out of the kernel itself, verified inside XDP.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use dns64::pref64::{Pref64, WELL_KNOWN};
use dns64_bench::flood::{self, Expect, FloodError, Options, Outcome, PORTS_MAX, QUERIES_MAX};
use dns64_bench::load::encode::{Encoder, Encoding};
use dns64_bench::load::generate::{Making, Workload};
use dns64_bench::load::input::{self, Form};
use dns64_bench::load::queries::Queries;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::json;

use super::load::{SIGNALS, TIMEOUT_CLOSED, TIMEOUT_OPEN, seconds};
use super::{parse_prefix, refuse};

/// The most queries in flight of a closed loop, where nothing else is said.
const OUTSTANDING_DEFAULT: u32 = 100;

/// Arguments of `flood`: the letters are those of `load`.
#[derive(Debug, Args)]
#[command(
    after_help = "The queries are sent in turn, again and again; names must say their own answer, \
                  in AAAA or A records. On veth the server's end needs an XDP program or GRO \
                  before frames arrive there: dns64bench reflect IFACE --pass. Exit code: 0, 1 if \
                  an answer was wrong, 2 if the run could not be made."
)]
pub(crate) struct Arguments {
    /// Interface that leads to the server.
    interface: String,
    /// Address of the server.
    #[arg(short, long, value_name = "ADDR")]
    server: IpAddr,
    /// Port of the server.
    #[arg(short, default_value_t = 53)]
    port: u16,
    /// Query file: a name and a type a line, or a pcap; `-` is standard input, as is neither this
    /// nor --generate.
    #[arg(short = 'd', value_name = "FILE", conflicts_with = "generate")]
    data: Option<String>,
    /// Make the queries: zipf:N[:S], dns64perf[:NETWORK], hit[:N].
    #[arg(long, value_name = "WORKLOAD")]
    generate: Option<Workload>,
    /// How many queries to make [default: 65536, the most].
    #[arg(long, value_name = "N", requires = "generate")]
    queries: Option<u64>,
    /// Zone of the names made.
    #[arg(long, default_value = "v4.test", requires = "generate")]
    zone: String,
    /// Of all random numbers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Seconds during which queries are sent before those that count.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    lead_in: Option<Duration>,
    /// Seconds during which queries are sent that count.
    #[arg(short, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    limit: Duration,
    /// Queries a second: an open loop, which waits for no answer [default: a closed loop].
    #[arg(short = 'Q', value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..1 << 31))]
    rate: Option<u32>,
    /// The most queries in flight, up to 65536 [default: 100; with -Q: any number].
    #[arg(short = 'q', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=QUERIES_MAX as i64))]
    outstanding: Option<u32>,
    /// Source ports, from 61000 on.
    #[arg(short = 'c', value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=i64::from(PORTS_MAX)))]
    ports: u16,
    /// Source address [default: the one that the kernel would use].
    #[arg(short = 'a', value_name = "ADDR")]
    local: Option<IpAddr>,
    /// Seconds after which a query counts as lost [default: 5; with -Q: 1].
    #[arg(short, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Send EDNS.
    #[arg(short)]
    edns: bool,
    /// Send EDNS with DNSSEC OK.
    #[arg(short = 'D')]
    dnssec_ok: bool,
    /// NAT64 prefix of the server [default: 64:ff9b::/96]. May repeat: one address of each is
    /// expected.
    #[arg(long, value_parser = parse_prefix)]
    prefix: Vec<Pref64>,
    /// What answers are compared with.
    #[arg(long, value_name = "WHAT", value_enum, default_value = "synthesized")]
    expect: Wanted,
    /// CPU to send on.
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// Report as JSON.
    #[arg(long)]
    json: bool,
}

/// What answers are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    /// What the names say.
    Synthesized,
    /// The questions: of servers that send them back, as reflect and echo.
    Reflected,
}

/// Floods, and reports.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let prepared = arguments.queries().and_then(|queries| {
        pin(arguments.cpu)?;
        Ok((queries, arguments.options()))
    });
    let (queries, options) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Ok(refuse(format_args!("{error:#}"))),
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS {
        // The second time, the signal ends the program as if nobody had asked for it.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let outcome = match flood::run(&queries, &options, &stop, || ()) {
        Ok(outcome) => outcome,
        Err(error @ FloodError::Running(_)) => return Err(error.into()),
        Err(error) => return Ok(refuse(error)),
    };
    if arguments.json {
        writeln!(io::stdout(), "{:#}", to_json(&outcome, &options))?;
    } else {
        write_report(&mut io::stdout().lock(), &outcome, &options)?;
    }
    if outcome.wrong > 0 {
        return Ok(ExitCode::from(1));
    }
    if outcome.right + outcome.failed + outcome.late == 0 {
        return Ok(refuse(format_args!(
            "{}: no answer to {} queries; on veth the server's end needs an XDP program or GRO \
             before frames arrive there (dns64bench reflect IFACE --pass)",
            options.server, outcome.sent
        )));
    }
    Ok(ExitCode::SUCCESS)
}

/// Stays on a CPU.
fn pin(cpu: Option<usize>) -> anyhow::Result<()> {
    let Some(cpu) = cpu else { return Ok(()) };
    let mut cpus = CpuSet::new();
    ensure!(cpu < CpuSet::MAX_CPU, "no CPU has the number {cpu}");
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).with_context(|| format!("cannot run on CPU {cpu}"))
}

impl Arguments {
    /// The options of the run.
    fn options(&self) -> Options {
        let any: IpAddr = match self.server {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let outstanding = match (self.outstanding, self.rate) {
            (Some(outstanding), _) => outstanding,
            (None, Some(_)) => 0,
            (None, None) => OUTSTANDING_DEFAULT,
        };
        let usual = if self.rate.is_some() { TIMEOUT_OPEN } else { TIMEOUT_CLOSED };
        let prefixes = match &self.prefix[..] {
            [] => vec![WELL_KNOWN],
            prefixes => prefixes.to_vec(),
        };
        Options {
            interface: self.interface.clone(),
            server: SocketAddr::new(self.server, self.port),
            source: self.local.unwrap_or(any),
            ports: self.ports,
            rate: self.rate.map(u64::from),
            outstanding: outstanding as usize,
            lead_in: self.lead_in.unwrap_or_default(),
            duration: self.limit,
            timeout: self.timeout.unwrap_or(usual),
            expect: match self.expect {
                Wanted::Synthesized => Expect::Synthesized { prefixes },
                Wanted::Reflected => Expect::Reflected,
            },
        }
    }

    /// The queries.
    fn queries(&self) -> anyhow::Result<Queries> {
        let share = |wanted: bool| if wanted { 100.0 } else { 0.0 };
        let mut encoder = Encoder::new(Encoding {
            edns_share: share(self.edns),
            dnssec_ok_share: share(self.dnssec_ok),
            seed: self.seed,
            ..Encoding::default()
        });
        if let Some(workload) = &self.generate {
            if workload.is_asked_once() {
                bail!("--generate {workload}: a flood asks its questions again and again");
            }
            let making = Making {
                zone: self.zone.strip_suffix('.').unwrap_or(&self.zone),
                prefix: self.prefix.first().unwrap_or(&WELL_KNOWN),
                queries: self.queries.unwrap_or(QUERIES_MAX as u64),
                seed: self.seed,
            };
            workload
                .make(&making, &mut encoder)
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("--generate {workload}"))?;
            return Ok(encoder.finish());
        }
        let path = self.data.as_deref().unwrap_or("-");
        let form = Form::TextOrCapture;
        let kind = if path == "-" {
            input::read(&mut io::stdin().lock(), form, &mut encoder)
        } else {
            let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
            input::read(&mut BufReader::new(file), form, &mut encoder)
        };
        let kind = kind.with_context(|| path.to_owned())?;
        ensure!(
            kind == input::Kind::Text || !(self.edns || self.dnssec_ok),
            "{path}: the queries of a capture are sent as they are, without -e and -D"
        );
        Ok(encoder.finish())
    }
}

/// A number of things a second.
fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

/// Writes the report for people.
fn write_report(out: &mut impl Write, outcome: &Outcome, options: &Options) -> io::Result<()> {
    let Outcome { sent, right, wrong, failed, lost, late, foreign, .. } = *outcome;
    let share = |count: u64| if sent == 0 { 0.0 } else { 100.0 * count as f64 / sent as f64 };
    writeln!(out, "Statistics:\n")?;
    writeln!(out, "  Queries sent:         {sent}")?;
    writeln!(out, "  Answers right:        {right} ({:.2}%)", share(right))?;
    writeln!(out, "  Answers wrong:        {wrong} ({:.2}%)", share(wrong))?;
    writeln!(out, "  Answers of failure:   {failed} ({:.2}%)", share(failed))?;
    writeln!(out, "  Queries lost:         {lost} ({:.2}%)", share(lost))?;
    writeln!(out, "  Late or second:       {late}")?;
    writeln!(out, "  From elsewhere:       {foreign}\n")?;
    writeln!(out, "  Run time (s):         {:.6}", outcome.run_time.as_secs_f64())?;
    let sent_rate = per_second(sent, outcome.sending_time);
    writeln!(out, "  Queries per second:   {sent_rate:.0}")?;
    let right_rate = per_second(right, outcome.sending_time);
    writeln!(out, "  Right per second:     {right_rate:.0}")?;
    if let Some(rate) = options.rate {
        writeln!(out, "  Asked for per second: {rate}")?;
    }
    for sample in &outcome.samples {
        writeln!(out, "\nWrong: {sample}")?;
    }
    Ok(())
}

/// The report for programs.
fn to_json(outcome: &Outcome, options: &Options) -> serde_json::Value {
    json!({
        "interface": options.interface,
        "server": options.server.to_string(),
        "rate": options.rate,
        "outstanding": options.outstanding,
        "ports": options.ports,
        "sent": outcome.sent,
        "right": outcome.right,
        "wrong": outcome.wrong,
        "failed": outcome.failed,
        "lost": outcome.lost,
        "late": outcome.late,
        "foreign": outcome.foreign,
        "run_time_s": outcome.run_time.as_secs_f64(),
        "sending_time_s": outcome.sending_time.as_secs_f64(),
        "sent_per_s": per_second(outcome.sent, outcome.sending_time),
        "right_per_s": per_second(outcome.right, outcome.sending_time),
        "samples": outcome.samples,
    })
}
