//! `dns64bench engine`: the engine without sockets.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use dns64_bench::engine::{Filled, Kind};

/// Arguments of `engine`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
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

/// Answers the same batch again and again: two runs that differ in the number of batches only
/// differ by what the answers cost.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut filled = Filled::new(arguments.kind, arguments.names);
    filled.draw();
    let mut octets = 0;
    for _ in 0..arguments.batches {
        filled.read_ahead(arguments.touch);
        octets += filled.answer();
    }
    writeln!(io::stdout(), "{octets}")?;
    Ok(ExitCode::SUCCESS)
}
