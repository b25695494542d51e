//! Which way packets go that no socket sends: source address and Ethernet addresses, as the
//! kernel's tables have them (rtnetlink(7)).
//!
//! A next hop that the kernel does not know is made known by a datagram that it has to send there.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use dns64_ebpf::headers::EthernetAddresses;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// How long the kernel is given to find the next hop: three tries of a second each, as it has.
const RESOLUTION: Duration = Duration::from_secs(4);

/// How often its table is looked at meanwhile.
const TICK: Duration = Duration::from_millis(10);

/// "Discard" (RFC 863): where the datagram goes that makes the kernel look for the next hop.
const DISCARD: u16 = 9;

/// The way to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The address the kernel would send from.
    pub source: IpAddr,
    /// Our interface and the next hop.
    pub ethernet: EthernetAddresses,
}

/// Finds the way to a host by an interface, given by its index.
///
/// # Errors
/// If there is no route, the host is this machine, or the next hop does not answer.
pub fn find(interface: u32, host: IpAddr) -> io::Result<Route> {
    let (source, next_hop) = route(interface, host)?;
    let here = link_address(interface)?;
    let deadline = Instant::now() + RESOLUTION;
    if neighbour(interface, next_hop)?.is_none() {
        let any: IpAddr = match host {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        UdpSocket::bind((any, 0))?.send_to(&[], SocketAddr::new(host, DISCARD))?;
    }
    loop {
        if let Some(there) = neighbour(interface, next_hop)? {
            return Ok(Route {
                source,
                ethernet: EthernetAddresses { source: here, destination: there },
            });
        }
        if Instant::now() > deadline {
            let text = format!("the next hop {next_hop} does not say its Ethernet address");
            return Err(io::Error::new(io::ErrorKind::HostUnreachable, text));
        }
        thread::sleep(TICK);
    }
}

/// Source address and next hop for a host.
fn route(interface: u32, host: IpAddr) -> io::Result<(IpAddr, IpAddr)> {
    /// `RTN_UNICAST`: neither this machine nor a refusal.
    const UNICAST: u8 = 1;
    let address = octets(host);
    let mut body = vec![0; 12];
    body[0] = family(host);
    body[1] = (address.len() * 8) as u8;
    put(&mut body, attribute::RTA_DST, &address);
    put(&mut body, attribute::RTA_OIF, &interface.to_ne_bytes());
    let answers = request(message::GET_ROUTE, 0, &body)?;
    let answer = answers.first().ok_or(io::ErrorKind::NetworkUnreachable)?;
    if answer.get(7) != Some(&UNICAST) {
        let text = format!("{host} is no host that this interface leads to");
        return Err(io::Error::new(io::ErrorKind::HostUnreachable, text));
    }
    let value = |kind| attributes(answer, 12).find(|(of, _)| *of == kind).map(|(_, value)| value);
    let source = value(attribute::RTA_PREFSRC).and_then(address_of);
    let next_hop = value(attribute::RTA_GATEWAY).and_then(address_of).unwrap_or(host);
    let unsourced = || io::Error::other(format!("the route to {host} has no source address"));
    Ok((source.ok_or_else(unsourced)?, next_hop))
}

/// The Ethernet address of a neighbour, if the kernel knows it.
fn neighbour(interface: u32, host: IpAddr) -> io::Result<Option<[u8; 6]>> {
    /// `NUD_INCOMPLETE`, `NUD_FAILED`, `NUD_NONE`.
    const UNKNOWN: [u16; 3] = [0x01, 0x20, 0];
    let mut body = [0; 12];
    body[0] = family(host);
    for entry in request(message::GET_NEIGHBOUR, message::DUMP, &body)? {
        let number = |at: usize| entry.get(at..)?.first_chunk().copied();
        let state = entry
            .get(8..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |state| u16::from_ne_bytes(*state));
        if number(4).map(u32::from_ne_bytes) != Some(interface) || UNKNOWN.contains(&state) {
            continue;
        }
        let value =
            |kind| attributes(&entry, 12).find(|(of, _)| *of == kind).map(|(_, value)| value);
        if value(attribute::NDA_DST).and_then(address_of) == Some(host) {
            let address = value(attribute::NDA_LLADDR).and_then(|value| value.try_into().ok());
            return Ok(address);
        }
    }
    Ok(None)
}

/// The Ethernet address of an interface.
fn link_address(interface: u32) -> io::Result<[u8; 6]> {
    let mut body = [0; 16];
    body[4..8].copy_from_slice(&interface.to_ne_bytes());
    let answers = request(message::GET_LINK, 0, &body)?;
    answers
        .first()
        .and_then(|link| attributes(link, 16).find(|(of, _)| *of == attribute::IFLA_ADDRESS))
        .and_then(|(_, value)| value.try_into().ok())
        .ok_or_else(|| io::Error::other("the interface has no Ethernet address"))
}

// ---- rtnetlink(7)

/// Numbers of linux/netlink.h and linux/rtnetlink.h.
mod message {
    pub(super) const ERROR: u16 = 2;
    pub(super) const DONE: u16 = 3;
    pub(super) const GET_LINK: u16 = 18;
    pub(super) const GET_ROUTE: u16 = 26;
    pub(super) const GET_NEIGHBOUR: u16 = 30;
    pub(super) const REQUEST: u16 = 1;
    pub(super) const DUMP: u16 = 0x300;
    pub(super) const HEADER_LEN: usize = 16;
}

/// Numbers of linux/rtnetlink.h, linux/neighbour.h and linux/if_link.h.
mod attribute {
    pub(super) const RTA_DST: u16 = 1;
    pub(super) const RTA_OIF: u16 = 4;
    pub(super) const RTA_GATEWAY: u16 = 5;
    pub(super) const RTA_PREFSRC: u16 = 7;
    pub(super) const NDA_DST: u16 = 1;
    pub(super) const NDA_LLADDR: u16 = 2;
    pub(super) const IFLA_ADDRESS: u16 = 1;
}

/// `AF_INET` or `AF_INET6`.
fn family(host: IpAddr) -> u8 {
    let family = if host.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    family.as_raw() as u8
}

fn octets(host: IpAddr) -> Vec<u8> {
    match host {
        IpAddr::V4(host) => host.octets().to_vec(),
        IpAddr::V6(host) => host.octets().to_vec(),
    }
}

fn address_of(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).into())
}

/// Appends an attribute: length, kind, value, padded to four octets.
fn put(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The attributes behind a header of `header_len` octets.
fn attributes(message: &[u8], header_len: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = message.get(header_len..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (len, behind) = rest.split_first_chunk::<2>()?;
        let (kind, _) = behind.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_ne_bytes(*len));
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes(*kind), value))
    })
}

/// Asks the kernel, and gives back the bodies of its answers.
fn request(kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    // NETLINK_ROUTE is 0, and so is no protocol.
    let (family, cloexec) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let socket = socket_with(family, SocketType::RAW, cloexec, None)?;
    let mut asked = Vec::with_capacity(message::HEADER_LEN + body.len());
    asked.extend_from_slice(&((message::HEADER_LEN + body.len()) as u32).to_ne_bytes());
    asked.extend_from_slice(&kind.to_ne_bytes());
    asked.extend_from_slice(&(message::REQUEST | flags).to_ne_bytes());
    // Number and port: there is one request, and the kernel knows whose.
    asked.extend_from_slice(&[0; 8]);
    asked.extend_from_slice(body);
    send(&socket, &asked, SendFlags::empty())?;
    let mut answers = Vec::new();
    let mut room = vec![0; 64 << 10];
    loop {
        let (len, _) = recv(&socket, &mut room[..], RecvFlags::empty())?;
        if take_answers(&room[..len], &mut answers)? || flags & message::DUMP == 0 {
            return Ok(answers);
        }
    }
}

/// Takes the bodies out of what the kernel sent at once; whether it was the end.
fn take_answers(mut rest: &[u8], answers: &mut Vec<Vec<u8>>) -> io::Result<bool> {
    while let Some((header, _)) = rest.split_first_chunk::<{ message::HEADER_LEN }>() {
        let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let body = rest.get(message::HEADER_LEN..len).ok_or(io::ErrorKind::InvalidData)?;
        match kind {
            message::DONE => return Ok(true),
            message::ERROR => {
                let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                return Err(io::Error::from_raw_os_error(-code));
            }
            _ => answers.push(body.to_vec()),
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_are_put() {
        let mut body = vec![9; 12];
        put(&mut body, 5, &[1, 2, 3]);
        put(&mut body, 7, &[4; 16]);
        let read: Vec<_> = attributes(&body, 12).collect();
        assert_eq!(read, [(5, &[1, 2, 3][..]), (7, &[4; 16][..])]);
        assert_eq!(attributes(&body[..17], 12).count(), 0, "cut");
    }

    #[test]
    fn this_machine_is_no_host_to_be_reached_by_frames() {
        let loopback = dns64::xdp::interface::index_of("lo").unwrap();
        let error = find(loopback, Ipv4Addr::LOCALHOST.into()).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
    }

    #[test]
    fn the_kernel_tells_a_link_by_its_index() {
        let loopback = dns64::xdp::interface::index_of("lo").unwrap();
        assert_eq!(link_address(loopback).unwrap(), [0; 6]);
        assert!(link_address(u32::MAX >> 1).is_err());
    }
}
