//! `dns64bench names`: writes query files.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use dns64::pref64::Pref64;
use dns64_bench::names;

use super::parse_prefix;

/// Arguments of `names`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
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

/// Writes a query file to standard output.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let Arguments { count, first, kind, ref zone, ref prefix } = *arguments;
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
