//! Which way packets go that no socket sends: source address and Ethernet addresses, as the
//! kernel's tables have them (rtnetlink(7)).
//!
//! A next hop that the kernel does not know is made known by a datagram that it has to send there.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use dns64::xdp::netlink;
use dns64::xdp::rtnetlink::{Ask, address_of, put, request};
use dns64_ebpf::headers::EthernetAddresses;
use rustix::net::AddressFamily;

/// Messages, `struct rtmsg` and `struct ndmsg`, and attributes of linux/rtnetlink.h and
/// linux/neighbour.h.
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const ROUTE_LEN: usize = 12;
const NEIGHBOUR_LEN: usize = 12;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

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
    let mut body = vec![0; ROUTE_LEN];
    body[0] = family(host);
    body[1] = (address.len() * 8) as u8;
    put(&mut body, RTA_DST, &address);
    put(&mut body, RTA_OIF, &interface.to_ne_bytes());
    let mut found = None;
    request(RTM_GETROUTE, Ask::One, &body, |answer| {
        let value = |kind| answer.attribute(ROUTE_LEN, kind).and_then(address_of);
        let is_host = answer.body.get(7) == Some(&UNICAST);
        found = Some((is_host, value(RTA_PREFSRC), value(RTA_GATEWAY)));
        false
    })?;
    let (is_host, source, gateway) = found.ok_or(io::ErrorKind::NetworkUnreachable)?;
    if !is_host {
        let text = format!("{host} is no host that this interface leads to");
        return Err(io::Error::new(io::ErrorKind::HostUnreachable, text));
    }
    let unsourced = || io::Error::other(format!("the route to {host} has no source address"));
    Ok((source.ok_or_else(unsourced)?, gateway.unwrap_or(host)))
}

/// The Ethernet address of a neighbour, if the kernel knows it.
fn neighbour(interface: u32, host: IpAddr) -> io::Result<Option<[u8; 6]>> {
    /// `NUD_INCOMPLETE`, `NUD_FAILED`, `NUD_NONE`.
    const UNKNOWN: [u16; 3] = [0x01, 0x20, 0];
    let mut body = [0; NEIGHBOUR_LEN];
    body[0] = family(host);
    let mut found = None;
    request(RTM_GETNEIGH, Ask::All, &body, |entry| {
        let of = entry.body.get(4..).and_then(|rest| rest.first_chunk().copied());
        let state = entry.body.get(8..).and_then(|rest| rest.first_chunk().copied());
        let state = state.map_or(0, u16::from_ne_bytes);
        let is_it = of.map(u32::from_ne_bytes) == Some(interface)
            && !UNKNOWN.contains(&state)
            && entry.attribute(NEIGHBOUR_LEN, NDA_DST).and_then(address_of) == Some(host);
        if is_it {
            let address = entry.attribute(NEIGHBOUR_LEN, NDA_LLADDR);
            found = address.and_then(|octets| octets.try_into().ok());
        }
        !is_it
    })?;
    Ok(found)
}

/// The Ethernet address of an interface.
fn link_address(interface: u32) -> io::Result<[u8; 6]> {
    let address = netlink::link(interface)?.address;
    address.ok_or_else(|| io::Error::other("the interface has no Ethernet address"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_no_host_to_be_reached_by_frames() {
        let loopback = dns64::xdp::interface::index_of("lo").unwrap();
        let error = find(loopback, Ipv4Addr::LOCALHOST.into()).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
    }
}
