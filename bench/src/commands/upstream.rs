//! `dns64bench upstream`: answers what the names themselves say.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use dns64_bench::upstream::script::DELAY_MAX_MS;
use dns64_bench::upstream::{Options, Upstream};

use super::refuse;

/// Arguments of `upstream`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Address to listen on; may repeat.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5300")]
    listen: Vec<SocketAddr>,
    /// Threads that answer over UDP.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Decides which answers get lost, and random delays.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Milliseconds by which answers to names that say none are late; FROM..TO is drawn at random
    /// for each.
    #[arg(long, value_name = "N|FROM..TO", default_value = "0", value_parser = parse_delay)]
    delay_ms: Delay,
    /// Per cent of answers over UDP that get lost, to names that do not say it.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    loss: u8,
}

/// A delay, or the range that it is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Delay {
    /// The shortest, in milliseconds.
    from_ms: u32,
    /// The longest, in milliseconds.
    to_ms: u32,
}

/// Reads `20` or `10..50`.
fn parse_delay(text: &str) -> Result<Delay, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| {
        text.parse::<u32>().map_err(|_| format!("{text:?} is not a number of milliseconds"))
    };
    let (from_ms, to_ms) = (number(from)?, number(to)?);
    if from_ms > to_ms {
        return Err(format!("{from_ms} is above {to_ms}: the shorter delay comes first"));
    }
    if to_ms > DELAY_MAX_MS {
        return Err(format!("{to_ms} is above the longest delay, {DELAY_MAX_MS}"));
    }
    Ok(Delay { from_ms, to_ms })
}

/// Answers until killed.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Delay { from_ms, to_ms } = arguments.delay_ms;
    let options = Options {
        threads: usize::from(arguments.threads),
        seed: arguments.seed,
        delay_ms: from_ms,
        jitter_ms: to_ms - from_ms,
        loss_percent: arguments.loss,
        record: false,
    };
    let upstream = match Upstream::start_on(&arguments.listen, options) {
        Ok(upstream) => upstream,
        Err(error) => {
            let listen: Vec<_> = arguments.listen.iter().map(ToString::to_string).collect();
            return Ok(refuse(format!("cannot listen on {}: {error}", listen.join(", "))));
        }
    };
    let mut out = io::stdout().lock();
    for address in upstream.local_addrs() {
        writeln!(out, "ready {address}")?;
    }
    out.flush()?;
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_a_number_or_a_range() {
        assert_eq!(parse_delay("20"), Ok(Delay { from_ms: 20, to_ms: 20 }));
        assert_eq!(parse_delay("10..50"), Ok(Delay { from_ms: 10, to_ms: 50 }));
        for bad in ["", "x", "10..", "..5", "50..10", "-1", "60001", "1..60001"] {
            assert!(parse_delay(bad).is_err(), "{bad}");
        }
    }
}
