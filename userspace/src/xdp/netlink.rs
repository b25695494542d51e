//! What the kernel says of addresses and routes (rtnetlink(7)).
//!
//! Two questions are asked: which addresses are ours, because a socket of a wildcard address
//! listens on all of them, and by which interfaces replies leave. The answers are read in full and
//! come as plain data. A socket that hears of changes says when it is time to ask again.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

/// Message types of linux/netlink.h and linux/rtnetlink.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWRULE: u16 = 32;
const RTM_GETRULE: u16 = 34;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// Octets of `struct nlmsghdr`.
const HEADER_LEN: usize = 16;

/// Attributes: `IFA_ADDRESS`, `IFA_LOCAL`; `RTA_DST`, `RTA_OIF`, `RTA_MULTIPATH`, `RTA_TABLE`.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
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
    dump(RTM_GETADDR, 0, 8, |message| {
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

/// By which interface the replies of a family leave.
///
/// # Errors
/// Those of the system calls.
pub fn way_out(is_ipv4: bool) -> io::Result<WayOut> {
    let family = if is_ipv4 { libc_family::INET } else { libc_family::INET6 };
    let mut way = WayOut::None;
    dump(RTM_GETRULE, family, 12, |message| {
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
    dump(RTM_GETROUTE, family, 12, |message| {
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
    let destination = message.attribute(12, RTA_DST).and_then(address_of_any);
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
    address_of_any(octets).filter(|address| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    })
}

fn address_of_any(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    <[u8; 16]>::try_from(octets).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
}

// ---- Messages

/// A message of the kernel.
struct Message<'a> {
    kind: u16,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// An attribute behind the `fixed` octets that the body begins with.
    fn attribute(&self, fixed: usize, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = self.body.get(fixed..)?;
        loop {
            let len = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
            let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
            let value = rest.get(4..len)?;
            // The two highest bits are flags.
            if kind & 0x3fff == wanted {
                return Some(value);
            }
            rest = rest.get(len.next_multiple_of(4)..)?;
        }
    }

    /// An attribute that is a number.
    fn number(&self, fixed: usize, wanted: u16) -> Option<u32> {
        self.attribute(fixed, wanted)?.first_chunk().copied().map(u32::from_ne_bytes)
    }
}

/// A socket to the kernel. Protocol 0 is `NETLINK_ROUTE`.
fn open() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?)
}

/// Asks for everything of a kind. `each` says whether it wants more.
fn dump(
    kind: u16,
    family: u8,
    fixed: usize,
    mut each: impl FnMut(&Message<'_>) -> bool,
) -> io::Result<()> {
    let socket = open()?;
    let len = HEADER_LEN + fixed;
    let mut request = vec![0; len];
    request[..4].copy_from_slice(&(len as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&kind.to_ne_bytes());
    request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    request[HEADER_LEN] = family;
    send(&socket, &request, SendFlags::empty())?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (_, received) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = &buffer[..received.min(buffer.len())];
        while let Some(header) = rest.first_chunk::<HEADER_LEN>() {
            let [l0, l1, l2, l3, k0, k1, ..] = *header;
            let len = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
            let kind = u16::from_ne_bytes([k0, k1]);
            let Some(body) = rest.get(HEADER_LEN..len) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => return Err(error_of(body)),
                _ if !each(&Message { kind, body }) => return Ok(()),
                _ => {}
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The error in a message of that kind.
fn error_of(body: &[u8]) -> io::Error {
    let code = body.first_chunk().copied().map_or(0, i32::from_ne_bytes);
    io::Error::from_raw_os_error(-code)
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

    /// Whether something has changed since the last call. Does not wait.
    #[must_use]
    pub fn take(&self) -> bool {
        let mut buffer = [0; 8 << 10];
        let mut changed = false;
        loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                // Too much has changed for the socket's buffer.
                Ok(_) | Err(Errno::NOBUFS) => changed = true,
                Err(Errno::INTR) => {}
                Err(_) => return changed,
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
        assert_eq!(Message { kind: 0, body: &[0; 16] }.attribute(12, 1), None, "no length");
    }

    #[test]
    fn the_kernel_knows_the_loopback_address() {
        assert!(addresses().unwrap().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
        way_out(true).unwrap();
        way_out(false).unwrap();
    }
}
