//! dns64bench: measures dns64d and its peers.
//!
//! Exit codes: 0 done, 1 failed while running or wrong answers seen, 2 wrong usage.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use dns64_bench::upstream::{Options, Upstream};

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

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Upstream(arguments) => run_upstream(&arguments),
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
