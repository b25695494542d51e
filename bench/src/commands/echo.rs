//! `dns64bench echo`: sends queries back, which is what the machine alone costs.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use dns64_bench::echo::{self, Echo};
use dns64_bench::xdp::XdpEcho;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::refuse;
use super::xdp::XdpArguments;

/// Arguments of `echo`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5301")]
    listen: SocketAddr,
    /// Sockets that share the address.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "xdp", value_parser = clap::value_parser!(u16).range(1..=256))]
    sockets: u16,
    /// CPU to run on.
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// AAAA records appended to each reply, so that it is as long as a synthesized answer.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=i64::from(echo::RECORDS_MAX)))]
    records: u8,
    #[command(flatten)]
    xdp: XdpArguments,
}

/// Echoes until killed.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Some(cpu) = arguments.cpu
        && let Err(error) = run_on(cpu)
    {
        return Ok(refuse(format!("--cpu {cpu}: {error}")));
    }
    if let Some(place) = arguments.xdp.place() {
        let echo = XdpEcho::open(&place, arguments.listen, arguments.records)?;
        writeln!(io::stdout(), "ready {} {}", arguments.listen, echo.description())?;
        match echo.run()? {}
    }
    let sockets = usize::from(arguments.sockets);
    let echo = match Echo::bind(arguments.listen, sockets, arguments.records) {
        Ok(echo) => echo,
        Err(error) => {
            return Ok(refuse(format!("cannot listen on {}: {error}", arguments.listen)));
        }
    };
    writeln!(io::stdout(), "ready {}", echo.local_addr()?)?;
    match echo.run()? {}
}

/// Stays on a CPU from now on.
fn run_on(cpu: usize) -> io::Result<()> {
    let mut cpus = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::other("no CPU has this number"));
    }
    cpus.set(cpu);
    Ok(sched_setaffinity(None, &cpus)?)
}
