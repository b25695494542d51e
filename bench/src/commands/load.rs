//! `dns64bench load`: sends queries and verifies the answers.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use dns64::pref64::Pref64;
use dns64_bench::load;
use dns64_bench::load::queries::Queries;
use dns64_bench::load::report::Report;
use dns64_bench::wire::Edns;

use super::parse_prefix;
use super::xdp::XdpArguments;

/// Arguments of `load`: the letters are dnsperf's.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
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
    #[command(flatten)]
    xdp: XdpArguments,
}

/// Sends load, and reports.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let edns = arguments.edns.then_some(Edns { payload_size: 1232, dnssec_ok: false });
    let queries = match arguments.data.as_str() {
        "-" => Queries::read(io::stdin().lock(), edns),
        path => {
            let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
            Queries::read(io::BufReader::new(file), edns)
        }
    };
    let server = SocketAddr::new(arguments.server, arguments.port);
    let any: SocketAddr =
        if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let sockets = usize::from(arguments.sockets);
    let options = load::Options {
        server,
        carrier: load::Carrier::Udp,
        sources: vec![any; sockets],
        threads: 1,
        duration: Some(Duration::try_from_secs_f64(arguments.limit).context("-l")?),
        rounds: arguments.rounds,
        rate: u64::from(arguments.rate),
        spacing: load::schedule::Spacing::Constant,
        outstanding: arguments.outstanding as usize,
        timeout: Duration::try_from_secs_f64(arguments.timeout.min(1_000.0)).context("-t")?,
        buffer_bytes: load::sockets::BUFFER_BYTES,
        rules: load::verify::Rules {
            prefixes: vec![arguments.prefix],
            by_name: !arguments.form_only,
        },
    };
    let queries = queries.with_context(|| arguments.data.clone())?;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let totals = match arguments.xdp.place() {
        Some(place) => load::run_xdp(&queries, &options, &place, &stop, &mut load::Nobody)?,
        None => load::run(&queries, &options, &stop, &mut load::Nobody)?,
    };
    let report = Report { options: &options, totals: &totals, source: &arguments.data };
    if arguments.json {
        writeln!(io::stdout(), "{:#}", report.to_json())?;
    } else {
        write!(io::stdout(), "{report}")?;
    }
    Ok(if totals.wrong() == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
