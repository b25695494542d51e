//! How high an interface gets: native XDP with zero-copy, native XDP with copies, generic XDP, and
//! at the foot the sockets, which are always there.
//!
//! Each rung that does not hold is reported with the kernel's reason and what can be done, so that
//! nobody has to guess why it is slower than it could be.
#![forbid(unsafe_code)]

use std::fmt;

use dns64_ebpf::abi::WayBack;

use super::netlink::{WayOut, way_out};
use super::steering::{Steering, WaysBack};
use super::{Attached, ModeWanted, XdpError, XdpMode, interface};
use crate::datapath::Attach;
use crate::sys::xsk::{Bind, Settings, Xsk};

/// Entries of each ring of a socket: what comes in some milliseconds at the rate that one core
/// answers. Four times as many frames of 2,048 octets are mapped for each queue.
const RING_LEN: u32 = 2_048;

/// A way that queries take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// `AF_XDP`, program in the driver, frames shared with the network card.
    ZeroCopy,
    /// `AF_XDP`, program in the driver, frames copied.
    NativeCopy,
    /// `AF_XDP`, program in the network stack, frames copied.
    GenericCopy,
    /// UDP sockets, to which the XDP program leads by way of the CPU of the worker.
    CpuMap,
    /// UDP sockets.
    Socket,
}

impl Tier {
    /// The word for it in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroCopy => "xdp-native-zerocopy",
            Self::NativeCopy => "xdp-native-copy",
            Self::GenericCopy => "xdp-generic-copy",
            Self::CpuMap => "socket-cpumap",
            Self::Socket => "socket",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What came of trying a rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The interface.
    pub interface: String,
    /// The rung.
    pub tier: Tier,
    /// Why it does not hold, and what can be done; `None` if it does.
    pub refusal: Option<String>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, tier, refusal } = self;
        match refusal {
            Some(refusal) => write!(f, "{interface}: no {tier}: {refusal}"),
            None => write!(f, "{interface}: queries come by {tier}"),
        }
    }
}

/// An interface that has got above the sockets. Nothing comes by its queues before
/// [`Steering::open`]; the program is detached when this is dropped.
#[derive(Debug)]
pub struct Climbed {
    /// The rung.
    pub tier: Tier,
    /// The interface's index.
    pub index: u32,
    /// The place of the first socket.
    pub first: u16,
    /// The program on the interface.
    pub attached: Attached,
    /// A socket for each queue, in their order.
    pub sockets: Vec<Xsk>,
}

/// Climbs as high as the interface lets us. Every rung that is tried is reported, and the last one
/// that is reported is where we stand; `None` if that is the sockets.
pub fn climb(
    steering: &mut Steering,
    name: &str,
    attach: Attach,
    report: &mut dyn FnMut(Step),
) -> Option<Climbed> {
    let mut say = |tier, refusal: Option<String>| {
        report(Step { interface: name.to_owned(), tier, refusal });
    };
    let climbed = climb_to(steering, name, attach, &mut say);
    match &climbed {
        Some(climbed) => say(climbed.tier, None),
        None => say(Tier::Socket, None),
    }
    climbed
}

fn climb_to(
    steering: &mut Steering,
    name: &str,
    attach: Attach,
    say: &mut dyn FnMut(Tier, Option<String>),
) -> Option<Climbed> {
    let lowest = if attach == Attach::Native { Tier::NativeCopy } else { Tier::GenericCopy };
    let index = match interface::index_of(name) {
        Ok(index) if interface::is_up(name) => index,
        Ok(_) => {
            let remedy = format!("{name} is down; ip link set dev {name} up");
            say(lowest, Some(remedy));
            return None;
        }
        Err(error) => {
            say(lowest, Some(error.to_string()));
            return None;
        }
    };
    let modes: &[XdpMode] = match attach {
        Attach::Auto => &[XdpMode::Native, XdpMode::Generic],
        Attach::Native => &[XdpMode::Native],
        Attach::Generic => &[XdpMode::Generic],
    };
    let mut found = None;
    for mode in modes {
        match steering.attach(name, ModeWanted::Only(*mode)) {
            Ok(attached) => {
                found = Some(attached);
                break;
            }
            Err(error) => {
                let tier = match mode {
                    XdpMode::Native => Tier::NativeCopy,
                    XdpMode::Generic => Tier::GenericCopy,
                };
                let text = error.to_string();
                say(tier, Some(text));
                // Only a driver's refusal is one that generic mode helps against.
                if !matches!(error, XdpError::Driver { .. }) {
                    return None;
                }
            }
        }
    }
    let attached = found?;
    let binds: &[(Bind, Tier)] = match attached.mode() {
        XdpMode::Native => &[(Bind::ZeroCopy, Tier::ZeroCopy), (Bind::Copy, Tier::NativeCopy)],
        XdpMode::Generic => &[(Bind::Copy, Tier::GenericCopy)],
    };
    let queue_count = interface::queue_count(name) as u16;
    let Some(first) = steering.reserve(queue_count) else {
        let most = dns64_ebpf::abi::XSKS_MAX;
        let text = format!(
            "{name} has {queue_count} queues, and all interfaces together may have {most}; \
             ethtool -L {name} combined N makes them fewer"
        );
        say(lowest, Some(text));
        return None;
    };
    for (bind, tier) in binds {
        match open_sockets(steering, index, first, queue_count, *bind) {
            Ok(sockets) => return Some(Climbed { tier: *tier, index, first, attached, sockets }),
            Err(text) => say(*tier, Some(text)),
        }
    }
    steering.close(index, first);
    None
}

/// Opens a socket for each queue of an interface, and puts it where the program finds it.
fn open_sockets(
    steering: &mut Steering,
    index: u32,
    first: u16,
    queue_count: u16,
    bind: Bind,
) -> Result<Vec<Xsk>, String> {
    let settings = Settings { ring_len: RING_LEN, bind, busy_poll: None };
    let mut sockets = Vec::with_capacity(usize::from(queue_count));
    for queue in 0..queue_count {
        let socket =
            Xsk::open(index, u32::from(queue), &settings).map_err(|error| error.to_string())?;
        steering.insert_socket(first + queue, &socket).map_err(|error| error.to_string())?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// How the replies of an interface leave.
#[must_use]
pub fn ways_back(index: u32) -> WaysBack {
    let of = |is_ipv4| match way_out(is_ipv4) {
        Ok(WayOut::One(interface)) if interface == index => WayBack::Same,
        // Without a route there are neighbours on the link at most.
        Ok(WayOut::None) => WayBack::Same,
        Ok(WayOut::One(_) | WayOut::Several) => WayBack::Lookup,
        Err(_) => WayBack::Unknown,
    };
    WaysBack { v4: of(true), v6: of(false) }
}
