//! dns64bench: measures dns64d and its peers.
//!
//! Exit codes: 0 done, 1 failed while running or wrong answers seen, 2 wrong usage.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

mod commands;

/// Measures DNS64 servers.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// What to do.
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            // There is nowhere else to say it.
            let _unwritable = writeln!(io::stderr(), "dns64bench: {error:#}");
            ExitCode::from(1)
        }
    }
}
