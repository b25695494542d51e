//! The arguments of dns64d.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// A DNS64 responder: gives IPv6-only clients addresses of IPv4-only names (RFC 6147).
#[derive(Debug, Parser)]
#[command(name = "dns64d", version)]
pub struct Arguments {
    /// The configuration file. Without one: loopback port 5364, the resolvers of
    /// /etc/resolv.conf, and the prefix 64:ff9b::/96.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do instead of answering.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What dns64d does instead of answering.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Checks a configuration file and says what it means.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Try the interfaces of [datapath], too: which way queries would take, and why no faster
        /// one. Needs the rights of the daemon, and the daemon not to run.
        #[arg(long)]
        datapath: bool,
    },
    /// Answers from a built-in sample zone: no network, no rights, no configuration.
    Demo {
        /// Where to listen, instead of loopback port 5364.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Vec<SocketAddr>,
        /// End after the questions instead of answering on.
        #[arg(long)]
        once: bool,
    },
}
