//! What the kernel says of a network interface.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use super::XdpError;

/// Where the kernel shows interfaces.
const SYS: &str = "/sys/class/net";

/// The index of an interface, in the network namespace we are in.
///
/// # Errors
/// If there is none of that name.
pub fn index_of(name: &str) -> Result<u32, XdpError> {
    let call = |error: rustix::io::Errno| match error {
        rustix::io::Errno::NODEV => XdpError::NoInterface { interface: name.to_owned() },
        other => XdpError::of_call("ask for the index of an interface", other.into()),
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None).map_err(call)?;
    netdevice::name_to_index(socket, name).map_err(call)
}

/// How many receive queues an interface has, numbered from 0; 1 where the kernel does not say.
#[must_use]
pub fn queue_count(name: &str) -> u32 {
    let Ok(entries) = fs::read_dir(Path::new(SYS).join(name).join("queues")) else { return 1 };
    let queues =
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-"));
    (queues.count() as u32).max(1)
}

/// Octets of the longest IP packet that an interface sends; those of Ethernet where the kernel does
/// not say.
#[must_use]
pub fn mtu(name: &str) -> usize {
    const ETHERNET_MTU: usize = 1_500;
    read(name, "mtu").and_then(|text| text.trim().parse().ok()).unwrap_or(ETHERNET_MTU)
}

/// Whether an interface belongs to a device, real or emulated. If not, as with veth, it may be one
/// end of a virtual cable: what XDP sends by such a cable in the driver arrives only if there is an
/// XDP program at its other end, which may be in another's hands.
#[must_use]
pub fn has_device(name: &str) -> bool {
    Path::new(SYS).join(name).join("device").exists()
}

/// Whether an interface is switched on; true where the kernel does not say.
#[must_use]
pub fn is_up(name: &str) -> bool {
    /// `IFF_UP` of linux/if.h.
    const UP: u32 = 1;
    let flags = read(name, "flags");
    let flags =
        flags.and_then(|text| u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok());
    flags.is_none_or(|flags| flags & UP != 0)
}

/// What the kernel says of an interface in one of its files.
fn read(name: &str, file: &str) -> Option<String> {
    fs::read_to_string(Path::new(SYS).join(name).join(file)).ok()
}

/// The name that an interface has now, if it is still there.
#[must_use]
pub fn name_of(index: u32) -> Option<String> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None).ok()?;
    netdevice::index_to_name(socket, index).ok()
}
