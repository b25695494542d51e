//! `dns64bench load`: sends queries and verifies the answers.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use dns64::pref64::{Pref64, WELL_KNOWN};
use dns64_bench::load::encode::{Encoder, Encoding, push_option};
use dns64_bench::load::generate::{Making, Workload};
use dns64_bench::load::input::{self, Form};
use dns64_bench::load::queries::Queries;
use dns64_bench::load::report::Report;
use dns64_bench::load::schedule::Spacing;
use dns64_bench::load::sockets::{BUFFER_BYTES, PORTS_MAX};
use dns64_bench::load::verify::{PREFIXES_MAX, Rules};
use dns64_bench::load::{self, Carrier, LoadError};
use ipnet::IpNet;

use super::parse_prefix;
use super::xdp::XdpArguments;
use watch::Watch;

mod watch;

/// Queries that a workload without a number of its own makes.
const QUERIES_DEFAULT: u64 = 1_000_000;

/// The most ports that `--source` chooses by itself.
const SOURCE_PORTS_DEFAULT: usize = 256;

/// Queries that one port has IDs for, with some to spare.
const IDS_PER_PORT: u64 = 60_000;

/// For how many time-outs an open loop has IDs: the answer to a query whose ID has gone to another
/// one since would count as wrong, and not as late.
const TIMEOUTS_COVERED: f64 = 4.0;

/// When a query counts as lost in an open loop, as RFC 8219 9 has it.
pub(super) const TIMEOUT_OPEN: Duration = Duration::from_secs(1);

/// When a query counts as lost in a closed loop, as dnsperf has it.
pub(super) const TIMEOUT_CLOSED: Duration = Duration::from_secs(5);

/// The signals that end a run early: what was measured is still reported.
pub(super) const SIGNALS: [i32; 2] = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];

/// Arguments of `load`: the letters are dnsperf's, and mean the same.
#[derive(Debug, Args)]
#[command(
    after_help = "Of dnsperf's options -u (updates), -y (TSIG), -v and -W are not here; -m dot \
                        and doh neither. Exit code: 0, 1 if an answer was wrong, 2 if the run could \
                        not be made."
)]
pub(crate) struct Arguments {
    /// Address or name of the server.
    #[arg(short, value_name = "ADDR", default_value = "127.0.0.1")]
    server: String,
    /// Port of the server.
    #[arg(short, default_value_t = 53)]
    port: u16,
    /// Address family.
    #[arg(short = 'f', value_enum, default_value_t = FamilyName::Any)]
    family: FamilyName,
    /// What carries the queries.
    #[arg(short = 'm', value_enum, default_value_t = Mode::Udp)]
    mode: Mode,
    /// Query file: a name and a type a line, or a pcap; `-` is standard input, as is neither this
    /// nor --generate.
    #[arg(short = 'd', value_name = "FILE", conflicts_with = "generate")]
    data: Option<String>,
    /// The file is binary: messages with a length of two octets before each.
    #[arg(short = 'B', conflicts_with_all = ["edns", "dnssec_ok", "edns_options", "generate"])]
    binary: bool,
    /// Make the queries: zipf:N[:S], random:ZONE, dns64perf[:NETWORK],
    /// mix[:V4ONLY,DUAL,A,PTR,NX], hit[:N], cold[:FIRST].
    #[arg(long, value_name = "WORKLOAD")]
    generate: Option<Workload>,
    /// How many queries to make [default: 1000000; cold: as many as rate and time need].
    #[arg(long, value_name = "N", requires = "generate")]
    queries: Option<u64>,
    /// Zone of the names made.
    #[arg(long, default_value = "v4.test", requires = "generate")]
    zone: String,
    /// Of all random numbers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Seconds during which queries are sent [default: until the queries are through].
    #[arg(short, value_name = "SECONDS", value_parser = seconds)]
    limit: Option<Duration>,
    /// How often to go through the queries at most [default: once; with -l: as often as the time
    /// allows].
    #[arg(short = 'n', value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Queries a second: an open loop, which waits for no answer [default: a closed loop].
    #[arg(short = 'Q', value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// The queries of the open loop leave at random times, as those of many clients.
    #[arg(long, requires = "rate")]
    poisson: bool,
    /// The most queries in flight [default: 100; with -Q: as many as there are IDs].
    #[arg(short = 'q', value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    outstanding: Option<u32>,
    /// Clients: source ports, or TCP connections [default: one a thread; with -Q as many as the
    /// queries of four time-outs need IDs; with --source one an address].
    #[arg(short = 'c', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=PORTS_MAX as i64))]
    clients: Option<u16>,
    /// Threads.
    #[arg(short = 'T', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Source address.
    #[arg(short = 'a', value_name = "ADDR", conflicts_with = "source")]
    local: Option<IpAddr>,
    /// First source port; the clients have this and those after it [default: any].
    #[arg(short = 'x', value_name = "PORT", default_value_t = 0)]
    local_port: u16,
    /// Source addresses: the clients have those of a network in turn.
    #[arg(long, value_name = "ADDR/LEN")]
    source: Option<IpNet>,
    /// Kilobytes of each socket's buffers [default: 8192].
    #[arg(short = 'b', value_name = "KB", conflicts_with = "xdp", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    buffer: Option<u32>,
    /// Hand queries of one length to the kernel as one (UDP_SEGMENT): more queries a second, but on
    /// virtual links less work for the server than real clients make.
    #[arg(long, conflicts_with = "xdp")]
    gso: bool,
    /// Seconds after which a query counts as lost [default: 5; with -Q: 1].
    #[arg(short, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Send EDNS.
    #[arg(short)]
    edns: bool,
    /// Send EDNS with DNSSEC OK.
    #[arg(short = 'D')]
    dnssec_ok: bool,
    /// Send EDNS with this option; the value is hexadecimal. May repeat.
    #[arg(short = 'E', value_name = "CODE:VALUE")]
    edns_options: Vec<String>,
    /// UDP payload size of EDNS.
    #[arg(long, value_name = "OCTETS", default_value_t = 1232)]
    edns_size: u16,
    /// Per cent of the queries with EDNS.
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "0")]
    edns_share: f64,
    /// Per cent of the queries with DNSSEC OK.
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "0")]
    do_share: f64,
    /// Per cent of the queries with a client's cookie.
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "0")]
    cookie_share: f64,
    /// Per cent of the queries with letters of random case.
    #[arg(long = "0x20-share", value_name = "PERCENT", value_parser = percent, default_value = "0")]
    letter_case_share: f64,
    /// Print the rate every so many seconds.
    #[arg(short = 'S', value_name = "SECONDS", value_parser = seconds)]
    interval: Option<Duration>,
    /// dnsperf's long options: num-queries-per-conn=N.
    #[arg(short = 'O', value_name = "NAME=VALUE")]
    long_options: Vec<String>,
    /// NAT64 prefix of the server [default: 64:ff9b::/96]. May repeat: one address of each is
    /// expected.
    #[arg(long, value_parser = parse_prefix)]
    prefix: Vec<Pref64>,
    /// Compare ID, question and source only: for servers that do not answer what the names say.
    #[arg(long)]
    form_only: bool,
    /// Report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    xdp: XdpArguments,
    /// No progress bar, also on a terminal.
    #[arg(long)]
    quiet: bool,
    /// dnsperf's, and not here.
    #[arg(short = 'u', hide = true)]
    updates: bool,
    /// dnsperf's, and not here.
    #[arg(short = 'y', hide = true)]
    tsig: Option<String>,
    /// dnsperf's, and not here.
    #[arg(short = 'v', hide = true)]
    verbose: bool,
    /// dnsperf's, and not here.
    #[arg(short = 'W', hide = true)]
    warnings_to_stdout: bool,
}

/// Address families in dnsperf's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FamilyName {
    /// That of the server's address.
    Any,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

/// Transports in dnsperf's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// dnsperf's, and not here.
    #[value(hide = true)]
    Dot,
    /// dnsperf's, and not here.
    #[value(hide = true)]
    Doh,
}

/// Reads a time.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = |_| format!("{text}: not a number of seconds above 0");
    let number: f64 = text.parse().map_err(|_| wrong(()))?;
    match Duration::try_from_secs_f64(number) {
        Ok(span) if span > Duration::ZERO && number <= 1e6 => Ok(span),
        Ok(_) | Err(_) => Err(wrong(())),
    }
}

/// Reads a share.
fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=100.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err(format!("{text}: not a number from 0 to 100")),
    }
}

/// Sends load, and reports.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match prepare(arguments) {
        Ok((queries, options, source)) => measure(arguments, &queries, &options, &source),
        // Usage, files and surroundings are the caller's to mend.
        Err(error) => {
            writeln!(io::stderr(), "dns64bench: {error:#}")?;
            Ok(ExitCode::from(2))
        }
    }
}

/// Makes the queries and the options of a run.
fn prepare(arguments: &Arguments) -> anyhow::Result<(Queries, load::Options, String)> {
    let queries_per_connection = arguments.check_long_options()?;
    arguments.check_refused()?;
    let server = arguments.find_server()?;
    let rate = u64::from(arguments.rate.unwrap_or(0));
    let timeout = arguments.timeout.unwrap_or(if rate > 0 { TIMEOUT_OPEN } else { TIMEOUT_CLOSED });
    let prefixes = match &arguments.prefix[..] {
        [] => vec![WELL_KNOWN],
        prefixes => prefixes.to_vec(),
    };
    ensure!(prefixes.len() <= PREFIXES_MAX, "--prefix: at most {PREFIXES_MAX}");
    let (queries, source) = arguments.queries(prefixes.first().unwrap_or(&WELL_KNOWN))?;
    let once = arguments.generate.as_ref().is_some_and(Workload::is_asked_once);
    let rounds = match (arguments.rounds, arguments.limit) {
        (Some(rounds), _) => rounds,
        (None, Some(_)) if !once => 0,
        (None, _) => 1,
    };
    let outstanding = match (arguments.outstanding, rate) {
        (Some(outstanding), _) => outstanding as usize,
        (None, 0) => 100,
        (None, _) => usize::MAX,
    };
    let carrier = match arguments.mode {
        Mode::Udp => Carrier::Udp,
        Mode::Tcp => Carrier::Tcp { queries_per_connection },
        Mode::Dot | Mode::Doh => bail!("-m: DNS over TLS and HTTPS are not here; udp and tcp are"),
    };
    let options = load::Options {
        server,
        carrier,
        xdp: arguments.xdp.place(),
        sources: arguments.sources(server, rate, timeout)?,
        threads: usize::from(arguments.threads),
        duration: arguments.limit,
        rounds,
        rate,
        spacing: if arguments.poisson {
            Spacing::Poisson(arguments.seed)
        } else {
            Spacing::Constant
        },
        outstanding,
        timeout,
        buffer_bytes: arguments.buffer.map_or(BUFFER_BYTES, |kilobytes| 1024 * kilobytes as usize),
        segments: arguments.gso,
        rules: Rules { prefixes, by_name: !arguments.form_only, alternative: None },
    };
    Ok((queries, options, source))
}

/// Runs and reports.
fn measure(
    arguments: &Arguments,
    queries: &Queries,
    options: &load::Options,
    source: &str,
) -> anyhow::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS {
        // The second time, the signal ends the program as if nobody had asked for it.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let mut watch = Watch::new(
        arguments.interval,
        arguments.json,
        !arguments.quiet && io::stderr().is_terminal(),
        options,
    );
    if !arguments.json {
        watch::write_opening(options, arguments.limit.is_some())?;
    }
    let result = load::run(queries, options, &stop, &mut watch);
    watch.finish();
    let totals = match result {
        Ok(totals) => totals,
        Err(error) => {
            let server = options.server;
            writeln!(io::stderr(), "dns64bench: {server}: {error}")?;
            let running = matches!(error, LoadError::Running(_));
            return Ok(ExitCode::from(if running { 1 } else { 2 }));
        }
    };
    let report = Report { options, totals: &totals, source };
    if arguments.json {
        writeln!(io::stdout(), "{:#}", report.to_json())?;
    } else {
        watch::write_closing(options, &totals)?;
        write!(io::stdout(), "{report}")?;
    }
    if totals.wrong() > 0 {
        return Ok(ExitCode::from(1));
    }
    let silent = totals.completed + totals.late + totals.unknown == 0;
    if silent && totals.lost > 0 {
        let server = options.server;
        writeln!(io::stderr(), "dns64bench: {server}: no answer to {} queries", totals.sent)?;
        return Ok(ExitCode::from(2));
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// What dnsperf has and we do not.
    fn check_refused(&self) -> anyhow::Result<()> {
        ensure!(!self.updates, "-u: dynamic updates are not here; this sends queries only");
        ensure!(self.tsig.is_none(), "-y: TSIG is not here");
        ensure!(!self.verbose, "-v: single answers are not printed; wrong ones are in the report");
        ensure!(!self.warnings_to_stdout, "-W: what goes wrong is said on standard error only");
        Ok(())
    }

    /// The long options; returns the queries of a connection, 0 being no limit.
    fn check_long_options(&self) -> anyhow::Result<u64> {
        let mut queries_per_connection = 0;
        for option in &self.long_options {
            match option.split_once('=') {
                Some(("num-queries-per-conn", number)) => {
                    queries_per_connection = number
                        .parse()
                        .ok()
                        .filter(|number| *number > 0)
                        .with_context(|| format!("-O {option}: not a number above 0"))?;
                    ensure!(self.mode == Mode::Tcp, "-O num-queries-per-conn goes with -m tcp");
                }
                _ => bail!("-O {option}: not here; num-queries-per-conn=N is"),
            }
        }
        Ok(queries_per_connection)
    }

    /// The server's address.
    fn find_server(&self) -> anyhow::Result<SocketAddr> {
        let mut addresses = (self.server.as_str(), self.port)
            .to_socket_addrs()
            .with_context(|| format!("-s {}", self.server))?;
        addresses
            .find(|address| match self.family {
                FamilyName::Any => true,
                FamilyName::Inet => address.is_ipv4(),
                FamilyName::Inet6 => address.is_ipv6(),
            })
            .with_context(|| format!("-s {}: no address of the family of -f", self.server))
    }

    /// The source address of each client.
    fn sources(
        &self,
        server: SocketAddr,
        rate: u64,
        timeout: Duration,
    ) -> anyhow::Result<Vec<SocketAddr>> {
        let threads = usize::from(self.threads);
        let network = match (self.source, self.local) {
            (Some(network), _) => network,
            (None, Some(address)) => IpNet::from(address),
            (None, None) if server.is_ipv4() => IpNet::from(IpAddr::from([0; 4])),
            (None, None) => IpNet::from(IpAddr::from([0; 16])),
        };
        ensure!(
            network.addr().is_ipv4() == server.is_ipv4(),
            "source {network} and server {server} are of different families"
        );
        let clients = match self.clients {
            Some(clients) => usize::from(clients),
            None if self.source.is_some() => {
                network.hosts().take(SOURCE_PORTS_DEFAULT).count().max(threads)
            }
            None if self.mode == Mode::Tcp => threads,
            None => {
                let remembered = (rate as f64 * timeout.as_secs_f64() * TIMEOUTS_COVERED) as u64;
                (remembered.div_ceil(IDS_PER_PORT) as usize).clamp(threads, PORTS_MAX)
            }
        };
        ensure!(clients >= threads, "-c {clients}: fewer clients than threads (-T {threads})");
        let last_port = usize::from(self.local_port) + clients - 1;
        ensure!(
            self.local_port == 0 || last_port <= usize::from(u16::MAX),
            "-x {}: {clients} clients need ports up to {last_port}",
            self.local_port
        );
        let addresses = network.hosts().cycle().take(clients);
        Ok((0..)
            .zip(addresses)
            .map(|(client, address)| {
                let port = if self.local_port == 0 { 0 } else { self.local_port + client };
                SocketAddr::new(address, port)
            })
            .collect())
    }

    /// The queries, and where they come from in words.
    fn queries(&self, prefix: &Pref64) -> anyhow::Result<(Queries, String)> {
        let mut options = Vec::new();
        for option in &self.edns_options {
            push_option(&mut options, option)
                .with_context(|| format!("-E {option}: not code:value with a hexadecimal value"))?;
        }
        let everywhere = self.edns || !options.is_empty();
        let mut encoder = Encoder::new(Encoding {
            edns_share: if everywhere { 100.0 } else { self.edns_share },
            dnssec_ok_share: if self.dnssec_ok { 100.0 } else { self.do_share },
            cookie_share: self.cookie_share,
            letter_case_share: self.letter_case_share,
            payload_size: self.edns_size,
            options,
            seed: self.seed,
        });
        if let Some(workload) = &self.generate {
            let needed = match (workload, self.rate, self.limit) {
                (Workload::Cold { .. }, Some(rate), Some(limit)) => {
                    (f64::from(rate) * limit.as_secs_f64()).ceil() as u64
                }
                _ => QUERIES_DEFAULT,
            };
            let queries = self.queries.unwrap_or(needed);
            let zone = self.zone.strip_suffix('.').unwrap_or(&self.zone);
            let making = Making { zone, prefix, queries, seed: self.seed };
            workload
                .make(&making, &mut encoder)
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("--generate {workload}"))?;
            let queries = encoder.finish();
            ensure!(!queries.is_empty(), "--generate {workload}: no queries");
            return Ok((queries, workload.to_string()));
        }
        let path = self.data.as_deref().unwrap_or("-");
        let form = if self.binary { Form::Binary } else { Form::TextOrCapture };
        let kind = if path == "-" {
            input::read(&mut io::stdin().lock(), form, &mut encoder)
        } else {
            let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
            input::read(&mut BufReader::new(file), form, &mut encoder)
        };
        let kind = kind.with_context(|| path.to_owned())?;
        ensure!(
            kind == input::Kind::Text || !self.changes_queries(),
            "{path}: the queries of a capture are sent as they are, without -e, -D, -E and shares"
        );
        Ok((encoder.finish(), path.to_owned()))
    }

    /// Whether an option adds something to the questions.
    fn changes_queries(&self) -> bool {
        let shares = [self.edns_share, self.do_share, self.cookie_share, self.letter_case_share];
        self.edns
            || self.dnssec_ok
            || !self.edns_options.is_empty()
            || shares.iter().any(|share| *share > 0.0)
    }
}
