//! What the operator wants of the data path: plain data, read from `[datapath]`.

use dns64_ebpf::abi::SteerBy;

/// Which ways queries may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The fastest that works, down to sockets; a line of the log says why it is not a faster one.
    #[default]
    Auto,
    /// Sockets.
    Socket,
    /// `AF_XDP` on every interface that is named; without it we do not start.
    Xdp,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Socket, Self::Xdp];

    /// The word for it in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Socket => "socket",
            Self::Xdp => "xdp",
        }
    }
}

/// Where XDP programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attach {
    /// In the driver, or else in the network stack.
    #[default]
    Auto,
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

impl Attach {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Native, Self::Generic];

    /// The word for it in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// The `[datapath]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatapathSettings {
    /// Which ways queries may take.
    pub mode: Mode,
    /// The interfaces for XDP, each once. Never empty with [`Mode::Xdp`]. With [`Mode::Socket`]
    /// those whose queries are taken to the CPUs of their workers.
    pub interfaces: Vec<String>,
    /// Where XDP programs are attached.
    pub attach: Attach,
    /// Whether the XDP program gives hot answers by itself; if not said, on every interface where
    /// what it sends is sure to leave.
    pub hot_answers: Option<bool>,
    /// What decides which worker's socket gets a query.
    pub steering: SteerBy,
}
