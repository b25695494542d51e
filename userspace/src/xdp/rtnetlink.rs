//! Messages to and from the kernel's tables of links, addresses, neighbours and routes
//! (rtnetlink(7)): how they are put together, asked for and taken apart. What they mean is their
//! readers' affair: [`super::netlink`] here, and the load generator for its own routes.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// Message types that any answer may have, of linux/netlink.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`.
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
/// Octets of `struct nlmsghdr`.
pub(super) const HEADER_LEN: usize = 16;

/// How much is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The one thing that the body of the request names.
    One,
    /// Everything of its kind.
    All,
}

/// A message of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its type, as linux/rtnetlink.h numbers them.
    pub kind: u16,
    /// What follows `struct nlmsghdr`.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// An attribute behind the `fixed` octets that the body begins with.
    #[must_use]
    pub fn attribute(&self, fixed: usize, wanted: u16) -> Option<&'a [u8]> {
        attribute(self.body.get(fixed..)?, wanted)
    }

    /// An attribute that is a number.
    #[must_use]
    pub fn number(&self, fixed: usize, wanted: u16) -> Option<u32> {
        self.attribute(fixed, wanted)?.first_chunk().copied().map(u32::from_ne_bytes)
    }
}

/// The value of an attribute among others, as they also lie within an attribute.
#[must_use]
pub fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let kind = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?);
        let value = attributes.get(4..len)?;
        // The two highest bits are flags.
        if kind & 0x3fff == wanted {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
}

/// Appends an attribute: length, kind, value, padded to four octets.
pub fn put(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The address in an attribute of 4 or 16 octets.
#[must_use]
pub fn address_of(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    <[u8; 16]>::try_from(octets).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
}

/// A socket to the kernel. Protocol 0 is `NETLINK_ROUTE`.
pub(super) fn open() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?)
}

/// Asks the kernel by a message of this type and body. `each` gets the answers, and says whether it
/// wants more.
///
/// # Errors
/// What the kernel says instead of an answer, and those of the system calls.
pub fn request(
    kind: u16,
    ask: Ask,
    body: &[u8],
    mut each: impl FnMut(&Message<'_>) -> bool,
) -> io::Result<()> {
    let socket = open()?;
    let flags = if ask == Ask::All { REQUEST | DUMP } else { REQUEST };
    let mut asked = Vec::with_capacity(HEADER_LEN + body.len());
    asked.extend_from_slice(&((HEADER_LEN + body.len()) as u32).to_ne_bytes());
    asked.extend_from_slice(&kind.to_ne_bytes());
    asked.extend_from_slice(&flags.to_ne_bytes());
    // Number and port: there is one request, and the kernel knows whose.
    asked.extend_from_slice(&[0; 8]);
    asked.extend_from_slice(body);
    send(&socket, &asked, SendFlags::empty())?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (_, received) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let more = take(&buffer[..received.min(buffer.len())], &mut each)?;
        if !more || ask == Ask::One {
            return Ok(());
        }
    }
}

/// Takes apart what the kernel sent at once; whether there is more to come and wanted.
fn take(mut rest: &[u8], each: &mut impl FnMut(&Message<'_>) -> bool) -> io::Result<bool> {
    while !rest.is_empty() {
        let message = next_message(&mut rest).ok_or(io::ErrorKind::InvalidData)?;
        match message.kind {
            NLMSG_DONE => return Ok(false),
            NLMSG_ERROR => return Err(error_of(message.body)),
            _ if !each(&message) => return Ok(false),
            _ => {}
        }
    }
    Ok(true)
}

/// The first of some messages, which is taken from them; `None` if it is cut.
pub(super) fn next_message<'a>(rest: &mut &'a [u8]) -> Option<Message<'a>> {
    let [l0, l1, l2, l3, k0, k1, ..] = *rest.first_chunk::<HEADER_LEN>()?;
    let len = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
    let body = rest.get(HEADER_LEN..len)?;
    *rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some(Message { kind: u16::from_ne_bytes([k0, k1]), body })
}

/// The error in a message of that kind.
fn error_of(body: &[u8]) -> io::Error {
    let code = body.first_chunk().copied().map_or(0, i32::from_ne_bytes);
    io::Error::from_raw_os_error(-code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_are_put() {
        let mut body = vec![9; 12];
        put(&mut body, 5, &[1, 2, 3]);
        put(&mut body, 7, &[4; 16]);
        let message = Message { kind: 0, body: &body };
        assert_eq!(message.attribute(12, 5), Some(&[1, 2, 3][..]));
        assert_eq!(message.attribute(12, 7).and_then(address_of), address_of(&[4; 16]));
        assert_eq!((message.attribute(12, 6), message.number(12, 7)), (None, Some(0x0404_0404)));
        let cut = Message { kind: 0, body: &body[..17] };
        assert_eq!(cut.attribute(12, 5), None, "cut");
        assert_eq!(Message { kind: 0, body: &[0; 16] }.attribute(12, 1), None, "no length");
    }

    #[test]
    fn what_the_kernel_refuses_is_an_error() {
        // A link that is not there.
        let mut body = [0; 16];
        body[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
        assert!(request(18, Ask::One, &body, |_| true).is_err());
    }
}
