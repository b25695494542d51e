//! From a captured packet to the DNS query in it.
#![forbid(unsafe_code)]

use crate::wire::{HEADER_LEN, u16_at};

/// The port of DNS servers.
const DNS_PORT: u16 = 53;

/// IPv4 in an Ethernet header and its like.
const ETHERTYPE_IPV4: u16 = 0x0800;
/// IPv6 there.
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// A VLAN tag (IEEE 802.1Q), and one around another (802.1ad).
const ETHERTYPES_VLAN: [u16; 2] = [0x8100, 0x88a8];

/// The number of UDP among IP's protocols.
const PROTOCOL_UDP: u8 = 17;

/// What stands before the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Ethernet, with VLAN tags or without.
    Ethernet,
    /// Nothing.
    Raw,
    /// Four octets: BSD's loopback.
    Loopback,
    /// Linux "cooked", 16 octets: `tcpdump -i any`.
    Cooked,
    /// Linux "cooked", 20 octets.
    Cooked2,
}

impl Link {
    /// The link of a LINKTYPE number of a capture.
    pub(super) fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Ethernet),
            // RAW by its number here and of two BSDs; IPv4 and IPv6 by themselves.
            101 | 12 | 14 | 228 | 229 => Some(Self::Raw),
            0 | 108 => Some(Self::Loopback),
            113 => Some(Self::Cooked),
            276 => Some(Self::Cooked2),
            _ => None,
        }
    }

    /// The IP packet of a frame; `None` if it holds something else.
    fn payload(self, frame: &[u8]) -> Option<&[u8]> {
        let (ethertype, start) = match self {
            Self::Raw => return Some(frame),
            Self::Loopback => return frame.get(4..),
            Self::Ethernet => {
                let mut at = 12;
                while ETHERTYPES_VLAN.contains(&u16_at(frame, at)?) {
                    at += 4;
                }
                (u16_at(frame, at)?, at + 2)
            }
            Self::Cooked => (u16_at(frame, 14)?, 16),
            Self::Cooked2 => (u16_at(frame, 0)?, 20),
        };
        matches!(ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6).then(|| frame.get(start..))?
    }
}

/// The DNS query in a frame: over IPv4 or IPv6 to UDP port 53, whole, not a fragment, no response.
pub(super) fn query_in(link: Link, frame: &[u8]) -> Option<&[u8]> {
    let packet = link.payload(frame)?;
    let datagram = match packet.first()? >> 4 {
        4 => ipv4_payload(packet)?,
        6 => ipv6_payload(packet)?,
        _ => return None,
    };
    if u16_at(datagram, 2)? != DNS_PORT {
        return None;
    }
    // Octets behind the datagram are padding of the frame.
    let message = datagram.get(8..usize::from(u16_at(datagram, 4)?))?;
    let is_query = message.len() >= HEADER_LEN && message[2] & 0x80 == 0;
    is_query.then_some(message)
}

/// The UDP datagram of an IPv4 packet that is no fragment.
fn ipv4_payload(packet: &[u8]) -> Option<&[u8]> {
    let header_len = usize::from(packet.first()? & 15) * 4;
    let fragment = u16_at(packet, 6)? & 0x3fff != 0;
    let udp = *packet.get(9)? == PROTOCOL_UDP;
    (udp && !fragment && header_len >= 20).then(|| packet.get(header_len..))?
}

/// The UDP datagram of an IPv6 packet that is no fragment, behind extension headers.
fn ipv6_payload(packet: &[u8]) -> Option<&[u8]> {
    let mut next = *packet.get(6)?;
    let mut at = 40;
    // Hop-by-hop options, routing, destination options (RFC 8200 4.1).
    while matches!(next, 0 | 43 | 60) {
        next = *packet.get(at)?;
        at += 8 + 8 * usize::from(*packet.get(at + 1)?);
    }
    (next == PROTOCOL_UDP).then(|| packet.get(at..))?
}
