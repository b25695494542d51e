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
