//! `dns64bench capacity`: the highest rate without a loss, by RFC 8219 section 9.
#![forbid(unsafe_code)]

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use dns64::pref64::Pref64;
use dns64_bench::capacity::workload::{NAMES_MAX, Shares};
use dns64_bench::capacity::{self, Options, Progress, UpstreamAt};

use super::{parse_prefix, refuse};

/// Arguments of `capacity`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("upstream_at").required(true))]
pub(crate) struct Arguments {
    /// Address of the server.
    #[arg(short, value_name = "ADDR", default_value = "127.0.0.1")]
    server: IpAddr,
    /// Port of the server.
    #[arg(short, default_value_t = 53)]
    port: u16,
    /// Start the upstream here; the server must forward to it.
    #[arg(long, value_name = "ADDR:PORT", group = "upstream_at")]
    upstream_listen: Option<SocketAddr>,
    /// The upstream was started elsewhere (`dns64bench upstream`) and is here.
    #[arg(long, value_name = "ADDR:PORT", group = "upstream_at")]
    upstream: Option<SocketAddr>,
    /// Threads of the upstream that is started.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "upstream_listen", value_parser = clap::value_parser!(u16).range(1..=256))]
    upstream_threads: u16,
    /// NAT64 prefix of the server.
    #[arg(long, value_parser = parse_prefix, default_value = "64:ff9b::/96")]
    prefix: Pref64,
    /// Sockets, each with a port of its own.
    #[arg(short = 'c', value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    sockets: u16,
    /// Send EDNS, with a payload size of 1232.
    #[arg(short)]
    edns: bool,
    /// Seconds after which a query counts as lost; at most 1.
    #[arg(short, value_name = "SECONDS", default_value = "1", value_parser = parse_timeout)]
    timeout: Duration,
    /// The whole test: trials of 60 seconds, 20 repetitions, no second attempts.
    #[arg(long)]
    full: bool,
    /// Seconds of a trial [default: 2, with --full 60].
    #[arg(long, value_name = "SECONDS", value_parser = parse_positive)]
    seconds: Option<f64>,
    /// Searches for each pair of shares [default: 5, with --full 20].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: Option<u32>,
    /// How often a rate that fails is tried again [default: 1, with --full 0].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    retries: Option<u32>,
    /// First rate of a search, in queries a second.
    #[arg(long, value_name = "RATE", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    start: u32,
    /// Factor between the first rates of a search.
    #[arg(long, value_name = "FACTOR", default_value = "2", value_parser = parse_step)]
    step: f64,
    /// Distance between the rates that passed and failed at which a search ends, in per cent.
    #[arg(long, value_name = "PERCENT", default_value = "2", value_parser = parse_positive)]
    precision: f64,
    /// No higher rate is tried.
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..))]
    max_rate: Option<u32>,
    /// How much more than the server's work the tester must be able to do; at least 0.1.
    #[arg(long, value_name = "PART", default_value = "0.1", value_parser = parse_delta)]
    delta: f64,
    /// Let some answers be lost, as --knee-loss says: where latency begins to rise.
    #[arg(long)]
    find_knee: bool,
    /// Per cent of the answers that may be lost with --find-knee.
    #[arg(long, value_name = "PERCENT", default_value = "0.1", requires = "find_knee", value_parser = parse_percent)]
    knee_loss: f64,
    /// Longest 99 % latency of a trial that passes, in milliseconds [default: 5 % of a trial].
    /// A growing queue would hide in a short trial.
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    queue_ms: Option<f64>,
    /// Per cent of the questions whose answer is cached; several with commas.
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_value = "0", value_parser = clap::value_parser!(u8).range(0..=100))]
    cached: Vec<u8>,
    /// Per cent of the questions for names with an AAAA record; several with commas.
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_value = "0", value_parser = clap::value_parser!(u8).range(0..=100))]
    aaaa: Vec<u8>,
    /// All pairs of 0, 20, 40, 60, 80 and 100 per cent of both.
    #[arg(long, conflicts_with_all = ["cached", "aaaa"])]
    grid: bool,
    /// Names that are cached.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(NAMES_MAX)))]
    cached_names: u32,
    /// Zone of the names.
    #[arg(long, default_value = "v4.test")]
    zone: String,
    /// Makes the names different from those of other runs [default: from the time].
    #[arg(long, value_name = "N")]
    salt: Option<u32>,
    /// Report as JSON.
    #[arg(long)]
    json: bool,
}

/// The shares of the grid.
const GRID_PERCENTS: [u8; 6] = [0, 20, 40, 60, 80, 100];

/// Makes the test, and reports.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(options) = options(arguments) else {
        return Ok(refuse("--upstream-listen or --upstream has to say where the upstream is"));
    };
    let is_quiet = arguments.json && !io::stderr().is_terminal();
    let outcome = capacity::run(&options, &mut |step| {
        if !is_quiet {
            say(step);
        }
    });
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) if error.is_wrong_answer() => return Err(error.into()),
        Err(error) => return Ok(refuse(&error)),
    };
    if arguments.json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&outcome)?)?;
    } else {
        write!(io::stdout(), "{outcome}")?;
    }
    let wrong = outcome.cells.iter().flat_map(|cell| &cell.trials).any(|trial| trial.wrong > 0);
    Ok(if wrong { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// The arguments with what they leave open filled in; `None` without an upstream.
fn options(arguments: &Arguments) -> Option<Options> {
    let upstream = arguments
        .upstream_listen
        .map(UpstreamAt::Started)
        .or_else(|| arguments.upstream.map(UpstreamAt::Elsewhere))?;
    let seconds = arguments.seconds.unwrap_or(if arguments.full { 60.0 } else { 2.0 });
    let (cached, aaaa): (&[u8], &[u8]) = match arguments.grid {
        true => (&GRID_PERCENTS, &GRID_PERCENTS),
        false => (&arguments.cached, &arguments.aaaa),
    };
    Some(Options {
        server: SocketAddr::new(arguments.server, arguments.port),
        upstream,
        upstream_threads: usize::from(arguments.upstream_threads),
        prefix: arguments.prefix,
        sockets: usize::from(arguments.sockets),
        edns: arguments.edns,
        timeout: arguments.timeout,
        seconds,
        repetitions: arguments.repeat.unwrap_or(if arguments.full { 20 } else { 5 }),
        start_qps: arguments.start,
        rate_max_qps: arguments.max_rate,
        step: arguments.step,
        precision: arguments.precision / 100.0,
        retries: arguments.retries.unwrap_or(if arguments.full { 0 } else { 1 }),
        delta: arguments.delta,
        loss_percent: if arguments.find_knee { arguments.knee_loss } else { 0.0 },
        queue_ms: arguments.queue_ms.unwrap_or(seconds * 50.0),
        grid: Shares::grid(cached, aaaa),
        cached_names: arguments.cached_names,
        zone: arguments.zone.clone(),
        salt: arguments.salt.unwrap_or_else(salt_of_now),
    })
}

/// A salt that no run before had: microseconds, which come again after more than an hour, spread
/// over all numbers.
fn salt_of_now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mixed = (since.as_micros() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

/// A line for each step, on standard error.
fn say(step: Progress<'_>) {
    let mut err = io::stderr().lock();
    // Who closed standard error does not want to know.
    let _unwritable = match step {
        Progress::SelfTest(trial) => writeln!(err, "self-test           {trial}"),
        Progress::Caching(shares) => writeln!(
            err,
            "{:>3} % cached, {:>3} % AAAA: names are being cached",
            shares.cached_percent, shares.aaaa_percent
        ),
        Progress::Trial(shares, trial) => writeln!(
            err,
            "{:>3}/{:<3} #{:<3}         {trial}",
            shares.cached_percent, shares.aaaa_percent, trial.repetition
        ),
    };
}

/// Reads a number above 0.
fn parse_positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err("must be above 0".into()) }
}

/// Reads a share in per cent.
fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = parse_positive(text)?;
    if percent < 100.0 { Ok(percent) } else { Err("must be below 100".into()) }
}

/// Reads a factor.
fn parse_step(text: &str) -> Result<f64, String> {
    let step = parse_positive(text)?;
    if step > 1.0 { Ok(step) } else { Err("must be above 1".into()) }
}

/// Reads delta (RFC 8219 9.2.1).
fn parse_delta(text: &str) -> Result<f64, String> {
    let delta = parse_positive(text)?;
    if delta >= 0.1 { Ok(delta) } else { Err("must be at least 0.1 (RFC 8219 9.2.1)".into()) }
}

/// Reads a time-out.
fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = Duration::try_from_secs_f64(parse_positive(text)?).map_err(|e| e.to_string())?;
    if timeout <= capacity::TIMEOUT_MAX {
        Ok(timeout)
    } else {
        Err("must be at most 1 second (RFC 8219 9.2)".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    /// `capacity` as a program.
    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(arguments: &str) -> Result<Options, clap::Error> {
        let words = std::iter::once("capacity").chain(arguments.split_ascii_whitespace());
        let program = Program::try_parse_from(words)?;
        Ok(options(&program.arguments).unwrap())
    }

    #[test]
    fn the_short_and_the_full_form_differ_as_documented() {
        let short = parsed("--upstream 127.0.0.1:53").unwrap();
        assert_eq!((short.seconds, short.repetitions, short.retries), (2.0, 5, 1));
        assert_eq!((short.queue_ms, short.loss_percent, short.grid.len()), (100.0, 0.0, 1));
        let full = parsed("--upstream-listen [::1]:53 --full --grid").unwrap();
        assert_eq!((full.seconds, full.repetitions, full.retries), (60.0, 20, 0));
        assert_eq!((full.queue_ms, full.grid.len()), (3_000.0, 31));
        let some = parsed("--upstream [::1]:53 --full --repeat 3 --cached 0,50 --aaaa 0,100");
        let some = some.unwrap();
        assert_eq!((some.repetitions, some.grid.len()), (3, 4));
        let knee = parsed("--upstream [::1]:53 --find-knee").unwrap();
        assert_eq!(knee.loss_percent, 0.1);
    }

    #[test]
    fn what_the_rfc_or_sense_forbids_is_refused() {
        for bad in [
            "",
            "--upstream [::1]:53 --upstream-listen [::1]:53",
            "--upstream [::1]:53 -t 1.5",
            "--upstream [::1]:53 --delta 0.05",
            "--upstream [::1]:53 --step 1",
            "--upstream [::1]:53 --precision 0",
            "--upstream [::1]:53 --cached 101",
            "--upstream [::1]:53 --grid --aaaa 20",
            "--upstream [::1]:53 --knee-loss 1",
            "--upstream [::1]:53 --seconds NaN",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
