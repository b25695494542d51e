//! `dns64bench reflect`: the least that an answer inside XDP costs.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use dns64_bench::xdp::{describe, pass, reflect};

use super::xdp::Mode;

/// Arguments of `reflect`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Interface that the queries come by.
    interface: String,
    /// Address and port of the queries to be sent back; 0.0.0.0 or [::] stands for every address.
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:53")]
    listen: SocketAddr,
    /// Where the program goes.
    #[arg(long, value_name = "MODE", value_enum, default_value = "auto")]
    xdp_mode: Mode,
    /// Send nothing back, and let everything pass to the network stack: what the other end of a
    /// veth pair needs before it takes packets that XDP sends.
    #[arg(long, conflicts_with = "listen")]
    pass: bool,
}

/// Reflects until killed.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mode = arguments.xdp_mode.wanted();
    let attached = if arguments.pass {
        pass(&arguments.interface, mode)?
    } else {
        reflect(&arguments.interface, mode, arguments.listen)?
    };
    writeln!(io::stdout(), "ready {} {}", arguments.interface, describe(&attached))?;
    loop {
        // The kernel does the work; the program is there for as long as this process is.
        std::thread::park();
    }
}
