//! dns64bench: measures dns64d and its peers.
//!
//! Exit codes: 0 done, 1 failed while running or wrong answers seen, 2 wrong usage, or the machine
//! does not allow what was asked for.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use dns64::sys::xsk::OpenError;
use dns64::xdp::XdpError;

mod commands;

/// Measures DNS64 servers.
#[derive(Debug, Parser)]
#[command(name = "dns64bench", version)]
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
            ExitCode::from(if is_refusal(&error) { 2 } else { 1 })
        }
    }
}

/// Whether an error says that XDP or `AF_XDP` cannot be used here.
fn is_refusal(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<XdpError>() || cause.is::<OpenError>())
}
