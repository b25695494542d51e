//! `dns64bench echo`: sends queries back, which is what the machine alone costs.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use dns64_bench::echo::{self, Echo};
use dns64_bench::xdp::XdpEcho;
use rustix::thread::{CpuSet, sched_setaffinity};

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
    if let Some(cpu) = arguments.cpu {
        let mut cpus = CpuSet::new();
        anyhow::ensure!(cpu < CpuSet::MAX_CPU, "no CPU has the number {cpu}");
        cpus.set(cpu);
        sched_setaffinity(None, &cpus).with_context(|| format!("cannot run on CPU {cpu}"))?;
    }
    if let Some(place) = arguments.xdp.place() {
        let echo = XdpEcho::open(&place, arguments.listen, arguments.records)?;
        writeln!(io::stdout(), "ready {} {}", arguments.listen, echo.description())?;
        match echo.run()? {}
    }
    let echo = Echo::bind(arguments.listen, usize::from(arguments.sockets), arguments.records)
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    writeln!(io::stdout(), "ready {}", echo.local_addr()?)?;
    match echo.run()? {}
}
