//! What the kernel says of addresses and routes (rtnetlink(7)).
//!
//! Three questions are asked: which addresses are ours, because a socket of a wildcard address
//! listens on all of them, by which interfaces replies leave, and what an interface is. The answers
//! are read in full and come as plain data. A socket that hears of changes says when it is time to
//! ask again.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{RecvFlags, bind, recv};

use super::rtnetlink::{self, Ask, Message, attribute, next_message, open, request};

/// Message types of linux/rtnetlink.h.
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWRULE: u16 = 32;
const RTM_GETRULE: u16 = 34;
/// Octets of `struct ifinfomsg`.
const LINK_LEN: usize = 16;

/// Attributes: `IFA_ADDRESS`, `IFA_LOCAL`; `RTA_DST`, `RTA_OIF`, `RTA_MULTIPATH`, `RTA_TABLE`.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
/// `IFLA_ADDRESS`, `IFLA_LINKINFO` with `IFLA_INFO_KIND` in it, `IFLA_MAX_MTU` of linux/if_link.h.
const IFLA_ADDRESS: u16 = 1;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_MAX_MTU: u16 = 51;
/// `FRA_TABLE`, the table that a rule leads to.
const FRA_TABLE: u16 = 15;

/// Route types: `RTN_UNICAST`, and those of our own and of group addresses.
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const RTN_BROADCAST: u8 = 3;
const RTN_ANYCAST: u8 = 4;
const RTN_MULTICAST: u8 = 5;
/// Tables that every machine has: `RT_TABLE_DEFAULT`, `RT_TABLE_MAIN`, `RT_TABLE_LOCAL`.
const USUAL_TABLES: [u32; 3] = [253, 254, 255];

/// Groups whose messages say that something has changed: links, addresses, routes and rules.
const CHANGES: u32 = 1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x8_0000;

/// Routes that are looked at; on a machine with more the routing table is asked for each query.
const ROUTES_MAX: usize = 20_000;

/// By which interface replies of a family leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// There are no routes of this family.
    None,
    /// All routes leave by the interface with this index.
    One(u32),
    /// It depends on the client.
    Several,
}

/// The addresses of this machine, without those of IPv6 that hold on one link only.
///
/// # Errors
/// Those of the system calls.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    request(RTM_GETADDR, Ask::All, &[0; 8], |message| {
        if message.kind == RTM_NEWADDR {
            // On a point-to-point link IFA_ADDRESS is the other end and IFA_LOCAL ours.
            let local =
                message.attribute(8, IFA_LOCAL).or_else(|| message.attribute(8, IFA_ADDRESS));
            found.extend(local.and_then(address_of));
        }
        true
    })?;
    Ok(found)
}

/// Whether packets for an address are for this machine, by the routes: also one of a whole network
/// of addresses (`ip route add local NETWORK dev lo`).
///
/// # Errors
/// Those of the system calls.
pub fn has_local_route(address: IpAddr) -> io::Result<bool> {
    let (family, bits, octets) = match address {
        IpAddr::V4(address) => (libc_family::INET, 32, address.octets().to_vec()),
        IpAddr::V6(address) => (libc_family::INET6, 128, address.octets().to_vec()),
    };
    // struct rtmsg, and the destination as an attribute.
    let mut body = vec![0; 12];
    body[0] = family;
    body[1] = bits;
    rtnetlink::put(&mut body, RTA_DST, &octets);
    let mut is_local = false;
    let answer = request(RTM_GETROUTE, Ask::One, &body, |message| {
        is_local = message.kind == RTM_NEWROUTE && message.body.get(7) == Some(&RTN_LOCAL);
        false
    });
    match answer {
        Ok(()) => Ok(is_local),
        // No way leads there at all.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// By which interface the replies of a family leave.
///
/// # Errors
/// Those of the system calls.
pub fn way_out(is_ipv4: bool) -> io::Result<WayOut> {
    let mut body = [0; 12];
    body[0] = if is_ipv4 { libc_family::INET } else { libc_family::INET6 };
    let mut way = WayOut::None;
    request(RTM_GETRULE, Ask::All, &body, |message| {
        let table = message.number(12, FRA_TABLE).unwrap_or(0);
        if message.kind == RTM_NEWRULE && !USUAL_TABLES.contains(&table) {
            way = WayOut::Several;
        }
        way != WayOut::Several
    })?;
    if way == WayOut::Several {
        return Ok(way);
    }
    let mut seen = 0;
    request(RTM_GETROUTE, Ask::All, &body, |message| {
        seen += 1;
        if message.kind == RTM_NEWROUTE {
            way = joined(way, route_of(message));
        }
        if seen > ROUTES_MAX {
            way = WayOut::Several;
        }
        way != WayOut::Several
    })?;
    Ok(way)
}

/// Address families of Linux.
mod libc_family {
    pub(super) const INET: u8 = 2;
    pub(super) const INET6: u8 = 10;
}

/// Where one route leads. Replies to our own and to group addresses are never sent, and what holds
/// on one link only leaves by the link it came from.
fn route_of(message: &Message<'_>) -> WayOut {
    let kind = message.body.get(7).copied().unwrap_or(0);
    let destination = message.attribute(12, RTA_DST).and_then(rtnetlink::address_of);
    let on_one_link = matches!(destination, Some(IpAddr::V6(address))
        if address.is_unicast_link_local() || address.is_multicast());
    match kind {
        RTN_LOCAL | RTN_BROADCAST | RTN_ANYCAST | RTN_MULTICAST => WayOut::None,
        _ if on_one_link => WayOut::None,
        RTN_UNICAST if message.attribute(12, RTA_MULTIPATH).is_none() => {
            let table = message.number(12, RTA_TABLE).unwrap_or(254);
            match message.number(12, RTA_OIF) {
                // What leads to the loopback interface is ours.
                Some(1) => WayOut::None,
                Some(interface) if USUAL_TABLES.contains(&table) => WayOut::One(interface),
                _ => WayOut::Several,
            }
        }
        _ => WayOut::Several,
    }
}

/// Both ways together.
const fn joined(one: WayOut, other: WayOut) -> WayOut {
    match (one, other) {
        (way, WayOut::None) | (WayOut::None, way) => way,
        (WayOut::One(one), WayOut::One(other)) if one == other => WayOut::One(one),
        _ => WayOut::Several,
    }
}

/// The address in an attribute, if it is one that others can ask.
fn address_of(octets: &[u8]) -> Option<IpAddr> {
    rtnetlink::address_of(octets).filter(|address| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    })
}

// ---- Links

/// What the kernel says of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What kind of virtual link it is ("veth"); `None` for one with a device.
    pub kind: Option<String>,
    /// The longest MTU that it may be given, in octets.
    pub mtu_max: Option<u32>,
    /// Its Ethernet address, if it has one.
    pub address: Option<[u8; 6]>,
}

/// A link by its index.
///
/// # Errors
/// If there is none, and those of the system calls.
pub fn link(index: u32) -> io::Result<Link> {
    let mut body = [0; LINK_LEN];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut found = None;
    request(RTM_GETLINK, Ask::One, &body, |message| {
        let kind = message.attribute(LINK_LEN, IFLA_LINKINFO);
        let kind = kind.and_then(|info| attribute(info, IFLA_INFO_KIND)).map(|kind| {
            // A string of C.
            String::from_utf8_lossy(kind.strip_suffix(&[0]).unwrap_or(kind)).into_owned()
        });
        let address = message.attribute(LINK_LEN, IFLA_ADDRESS);
        found = Some(Link {
            kind,
            mtu_max: message.number(LINK_LEN, IFLA_MAX_MTU),
            address: address.and_then(|octets| octets.try_into().ok()),
        });
        false
    })?;
    found.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

// ---- Changes

/// What has been heard of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Something has changed.
    pub something: bool,
    /// The indexes of interfaces that have gone. They may be back: an interface that comes from
    /// another network namespace has its index again, and nothing else of what it had.
    pub gone: BTreeSet<u32>,
}

impl Heard {
    /// Everything that one datagram says.
    fn take_in(&mut self, mut datagram: &[u8]) {
        self.something = true;
        while let Some(message) = next_message(&mut datagram) {
            // struct ifinfomsg: family, padding, type, index. A bridge also tells of ports that
            // have left it, by its own family.
            if message.kind == RTM_DELLINK
                && let Some([0, _, _, _, index @ ..]) = message.body.first_chunk::<8>()
            {
                self.gone.insert(u32::from_ne_bytes(*index));
            }
        }
    }
}

/// Hears of changes of links, addresses, routes and rules.
#[derive(Debug)]
pub struct Changes {
    socket: OwnedFd,
}

impl Changes {
    /// Listens from now on.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn listen() -> io::Result<Self> {
        let socket = open()?;
        bind(&socket, &SocketAddrNetlink::new(0, CHANGES))?;
        Ok(Self { socket })
    }

    /// What has changed since the last call. Does not wait.
    #[must_use]
    pub fn take(&self) -> Heard {
        let mut buffer = [0; 8 << 10];
        let mut heard = Heard::default();
        loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, len)) => heard.take_in(&buffer[..len.min(buffer.len())]),
                // Too much has changed for the socket's buffer.
                Err(Errno::NOBUFS) => heard.something = true,
                Err(Errno::INTR) => {}
                Err(_) => return heard,
            }
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// A route message: type, then attributes of one number each, then a destination.
    fn route(kind: u8, numbers: &[(u16, u32)], destination: &[u8]) -> Vec<u8> {
        let mut body = vec![0; 12];
        body[7] = kind;
        for (attribute, number) in numbers {
            body.extend(8_u16.to_ne_bytes());
            body.extend(attribute.to_ne_bytes());
            body.extend(number.to_ne_bytes());
        }
        if !destination.is_empty() {
            body.extend((4 + destination.len() as u16).to_ne_bytes());
            body.extend(RTA_DST.to_ne_bytes());
            body.extend(destination);
        }
        body
    }

    fn way(body: &[u8]) -> WayOut {
        route_of(&Message { kind: RTM_NEWROUTE, body })
    }

    #[test]
    fn a_route_leads_out_by_its_interface() {
        let main = (RTA_TABLE, 254);
        assert_eq!(
            way(&route(RTN_UNICAST, &[main, (RTA_OIF, 7)], &[192, 0, 2, 0])),
            WayOut::One(7)
        );
        assert_eq!(way(&route(RTN_UNICAST, &[main, (RTA_OIF, 1)], &[])), WayOut::None, "loopback");
        assert_eq!(way(&route(RTN_LOCAL, &[main, (RTA_OIF, 7)], &[])), WayOut::None);
        let link_local = "fe80::".parse::<Ipv6Addr>().unwrap().octets();
        assert_eq!(way(&route(RTN_UNICAST, &[main, (RTA_OIF, 7)], &link_local)), WayOut::None);
        let other_table = (RTA_TABLE, 100);
        assert_eq!(way(&route(RTN_UNICAST, &[other_table, (RTA_OIF, 7)], &[])), WayOut::Several);
        assert_eq!(way(&route(RTN_UNICAST, &[main, (RTA_MULTIPATH, 0)], &[])), WayOut::Several);
        assert_eq!(way(&route(7, &[main], &[])), WayOut::Several, "unreachable");
    }

    #[test]
    fn ways_that_differ_are_several() {
        assert_eq!(joined(WayOut::None, WayOut::One(2)), WayOut::One(2));
        assert_eq!(joined(WayOut::One(2), WayOut::One(2)), WayOut::One(2));
        assert_eq!(joined(WayOut::One(2), WayOut::One(3)), WayOut::Several);
        assert_eq!(joined(WayOut::Several, WayOut::None), WayOut::Several);
    }

    #[test]
    fn a_cut_attribute_is_none() {
        let mut body = route(RTN_UNICAST, &[(RTA_OIF, 7)], &[]);
        body.truncate(18);
        assert_eq!(way(&body), WayOut::Several);
    }

    #[test]
    fn the_kernel_tells_a_link_by_its_index() {
        let loopback = crate::xdp::interface::index_of("lo").unwrap();
        let link = link(loopback).unwrap();
        assert_eq!((link.kind, link.address), (None, Some([0; 6])));
        assert!(super::link(u32::MAX >> 1).is_err());
    }

    #[test]
    fn interfaces_that_have_gone_are_heard_of_by_their_index() {
        let message = |kind: u16, family: u8, index: u32| {
            let mut octets = vec![0; rtnetlink::HEADER_LEN + 16];
            octets[..4].copy_from_slice(&(rtnetlink::HEADER_LEN as u32 + 16).to_ne_bytes());
            octets[4..6].copy_from_slice(&kind.to_ne_bytes());
            octets[rtnetlink::HEADER_LEN] = family;
            octets[rtnetlink::HEADER_LEN + 4..rtnetlink::HEADER_LEN + 8]
                .copy_from_slice(&index.to_ne_bytes());
            octets
        };
        let mut heard = Heard::default();
        assert!(!heard.something);
        let left_a_bridge = message(RTM_DELLINK, 7, 4);
        let new = message(16, 0, 5);
        heard.take_in(&[message(RTM_DELLINK, 0, 2), left_a_bridge, new].concat());
        heard.take_in(&message(RTM_DELLINK, 0, 3)[..20]);
        assert_eq!(heard, Heard { something: true, gone: BTreeSet::from([2]) });
    }

    #[test]
    fn the_kernel_knows_the_loopback_address() {
        let other = "192.0.2.1".parse().unwrap();
        assert!(has_local_route("127.9.9.9".parse().unwrap()).unwrap(), "a whole network");
        assert!(has_local_route("::1".parse().unwrap()).unwrap());
        assert!(!has_local_route(other).unwrap());
        assert!(addresses().unwrap().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
        way_out(true).unwrap();
        way_out(false).unwrap();
    }
}
