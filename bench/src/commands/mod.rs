//! The subcommands: their arguments, and what each runs.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Write};
use std::net::Ipv6Addr;
use std::process::ExitCode;

use clap::Subcommand;
use dns64::pref64::{Pref64, UOctet};

mod capacity;
mod compare;
mod echo;
mod engine;
mod flood;
mod load;
mod manual;
mod names;
mod reflect;
mod report;
mod upstream;
mod xdp;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer what the names themselves say, over UDP and TCP, until killed.
    Upstream(upstream::Arguments),
    /// Send queries back as they are: what the machine alone costs.
    Echo(echo::Arguments),
    /// Send queries back from inside XDP, or only let packets pass.
    Reflect(reflect::Arguments),
    /// Write a query file of names that say their own answer.
    Names(names::Arguments),
    /// Answer from an engine without sockets: for counting instructions.
    Engine(engine::Arguments),
    /// Send queries, verify the answers, and report as dnsperf does.
    Load(Box<load::Arguments>),
    /// Send queries from inside the kernel, and verify the answers inside XDP.
    Flood(Box<flood::Arguments>),
    /// Search for the highest rate that a server answers without a loss, as RFC 8219 asks.
    Capacity(Box<capacity::Arguments>),
    /// Make one HTML file, with charts, of results.
    Report(report::Arguments),
    /// Measure dns64d beside Unbound, BIND, PowerDNS Recursor and Knot Resolver.
    Compare(compare::Arguments),
    /// Print a script by which a shell completes commands and options.
    Completions(manual::CompletionsArguments),
    /// Print the manual page, or write it and those of all commands.
    Man(manual::ManArguments),
}

impl Command {
    /// Does what the command says.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Upstream(arguments) => upstream::run(arguments),
            Self::Echo(arguments) => echo::run(arguments),
            Self::Reflect(arguments) => reflect::run(arguments),
            Self::Names(arguments) => names::run(arguments),
            Self::Engine(arguments) => engine::run(arguments),
            Self::Load(arguments) => load::run(arguments),
            Self::Flood(arguments) => flood::run(arguments),
            Self::Capacity(arguments) => capacity::run(arguments),
            Self::Report(arguments) => report::run(arguments),
            Self::Compare(arguments) => compare::run(arguments),
            Self::Completions(arguments) => manual::completions(arguments),
            Self::Man(arguments) => manual::man(arguments),
        }
    }
}

/// Reads a NAT64 prefix.
fn parse_prefix(text: &str) -> Result<Pref64, String> {
    let network = text.parse().map_err(|_| format!("{text}: not an IPv6 prefix"))?;
    Pref64::new(network, Ipv6Addr::UNSPECIFIED, UOctet::Any).map_err(|error| error.to_string())
}

/// Says why nothing is done: the usage or the surroundings are not right.
fn refuse(why: impl fmt::Display) -> ExitCode {
    // There is nowhere else to say it.
    let _unwritable = writeln!(io::stderr(), "dns64bench: {why}");
    ExitCode::from(2)
}
