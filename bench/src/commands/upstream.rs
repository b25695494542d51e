//! `dns64bench upstream`: answers what the names themselves say.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use dns64_bench::upstream::{Options, Upstream};

/// Arguments of `upstream`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
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

/// Answers until killed.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
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
