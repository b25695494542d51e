//! `dns64bench engine`: the engine without sockets.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use dns64_bench::engine::{Filled, Kind, Size};

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
    /// Views in the configuration; the client is in the last one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    views: u16,
    /// Entries in each list of networks and names of that view.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "views")]
    entries: u32,
    /// Triggers of a response policy zone.
    #[arg(long, value_name = "N", default_value_t = 0)]
    triggers: u32,
    /// Gateways of a pool, 0 to 32.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "views")]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=32))]
    gateways: u8,
}

/// Answers the same batch again and again: two runs that differ in the number of batches only
/// differ by what the answers cost.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { views, entries, triggers, gateways, .. } = *arguments;
    let size = Size { views, entries, triggers, gateways };
    let mut filled = Filled::with_policy(arguments.kind, arguments.names, size);
    filled.draw();
    let mut octets = 0;
    for _ in 0..arguments.batches {
        filled.read_ahead(arguments.touch);
        octets += filled.answer();
    }
    writeln!(io::stdout(), "{octets}")?;
    Ok(ExitCode::SUCCESS)
}
