//! Arguments that say how XDP programs and `AF_XDP` sockets are put on an interface.
#![forbid(unsafe_code)]

use clap::{Args, ValueEnum};
use dns64::sys::xsk::{Bind, Settings};
use dns64::xdp::{ModeWanted, XdpMode};
use dns64_bench::xdp::Place;

/// Where an XDP program goes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Mode {
    /// Into the driver, or else into the network stack.
    Auto,
    /// Into the driver.
    Native,
    /// Into the network stack.
    Generic,
}

impl Mode {
    /// The same, as the library says it.
    pub(crate) const fn wanted(self) -> ModeWanted {
        match self {
            Self::Auto => ModeWanted::Any,
            Self::Native => ModeWanted::Only(XdpMode::Native),
            Self::Generic => ModeWanted::Only(XdpMode::Generic),
        }
    }
}

/// Arguments of commands that can use `AF_XDP` instead of sockets.
#[derive(Debug, Args)]
pub(crate) struct XdpArguments {
    /// Use AF_XDP on this interface instead of sockets.
    #[arg(long, value_name = "IFACE")]
    xdp: Option<String>,
    /// Queues of the interface, as 0,1; all if none is named.
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "xdp")]
    queues: Vec<u32>,
    /// Where the XDP program goes.
    #[arg(long, value_name = "MODE", value_enum, default_value = "auto", requires = "xdp")]
    xdp_mode: Mode,
    /// Copy frames, also where the driver could share them.
    #[arg(long, requires = "xdp")]
    xdp_copy: bool,
}

impl XdpArguments {
    /// The interface and the rest, if `AF_XDP` is wanted.
    pub(crate) fn place(&self) -> Option<Place> {
        let bind = if self.xdp_copy { Bind::Copy } else { Bind::Auto };
        Some(Place {
            interface: self.xdp.clone()?,
            mode: self.xdp_mode.wanted(),
            queues: self.queues.clone(),
            settings: Settings { bind, ..Settings::default() },
        })
    }
}
