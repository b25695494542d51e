//! Control messages as octets: our own address beside a datagram, `IP_PKTINFO` (ip(7)) and
//! `IPV6_PKTINFO` (RFC 3542 6.1), and the length of segments, `UDP_SEGMENT` (udp(7)).
//!
//! ```text
//!        +-------------------+-----------+-----------+----------------------------------+
//!        | length (usize)    | level     | type      | payload, padded to a usize       |
//!        +-------------------+-----------+-----------+----------------------------------+
//! IPv4                                               | interface | local | destination  |
//! IPv6                                               | destination (16)  | interface    |
//! ```
//!
//! A socket bound to the wildcard address learns from it which address a query was sent to, and
//! decides with it from which address the reply leaves: the same one, or the client drops it
//! (RFC 2181 4.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets of the header: `struct cmsghdr` as the kernel lays it out (cmsg(3)).
const HEADER_LEN: usize = size_of::<usize>() + 2 * size_of::<libc::c_int>();

/// Octets of `struct in_pktinfo`.
const IPV4_PAYLOAD_LEN: usize = size_of::<libc::in_pktinfo>();

/// Octets of `struct in6_pktinfo`.
const IPV6_PAYLOAD_LEN: usize = size_of::<libc::in6_pktinfo>();

/// Control messages start at multiples of this.
const ALIGNMENT: usize = size_of::<usize>();

/// Octets of the payload of `UDP_SEGMENT`: a `u16` (udp(7)).
const SEGMENT_PAYLOAD_LEN: usize = size_of::<u16>();

/// Room for a few control messages.
const ROOM: usize = 64;

const _: () = assert!(IPV4_PAYLOAD_LEN == 12 && IPV6_PAYLOAD_LEN == 20);
const _: () = assert!(
    2 * HEADER_LEN
        + IPV6_PAYLOAD_LEN.next_multiple_of(ALIGNMENT)
        + SEGMENT_PAYLOAD_LEN.next_multiple_of(ALIGNMENT)
        <= ROOM
);

/// Our own address of a datagram, and the interface it came or goes by (0: any).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// Our address.
    pub local: IpAddr,
    /// The interface's index.
    pub interface: u32,
}

/// Room for the control messages of one datagram, as the kernel reads and writes it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct ControlMessage([u8; ROOM]);

impl ControlMessage {
    /// Octets of room.
    pub const LEN_MAX: usize = ROOM;

    /// No message.
    pub const EMPTY: Self = Self([0; ROOM]);

    /// Writes the message that makes a datagram leave from `local`, and says how many octets of
    /// the room it takes: none for the wildcard address, with which the kernel chooses.
    ///
    /// The interface is named for link-local addresses only, which mean nothing without it. All
    /// others follow the routing table: the way back may be another than the way here.
    pub fn write(&mut self, info: PacketInfo) -> usize {
        match info.local {
            address if address.is_unspecified() => 0,
            IpAddr::V4(local) => {
                let mut payload = [0_u8; IPV4_PAYLOAD_LEN];
                payload[4..8].copy_from_slice(&local.octets());
                self.write_message(0, libc::IPPROTO_IP, libc::IP_PKTINFO, &payload)
            }
            IpAddr::V6(local) => {
                let mut payload = [0_u8; IPV6_PAYLOAD_LEN];
                payload[..16].copy_from_slice(&local.octets());
                if local.is_unicast_link_local() {
                    payload[16..].copy_from_slice(&info.interface.to_ne_bytes());
                }
                self.write_message(0, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &payload)
            }
        }
    }

    /// Writes, behind the first `len` octets, the message that makes the kernel cut what is sent
    /// into datagrams of `segment_len` octets (udp(7), `UDP_SEGMENT`); returns the new length.
    pub fn write_segment_len(&mut self, len: usize, segment_len: u16) -> usize {
        let payload = segment_len.to_ne_bytes();
        self.write_message(len, libc::IPPROTO_UDP, libc::UDP_SEGMENT, &payload)
    }

    /// Writes one message with this payload behind the first `start` octets; returns the length
    /// of both with the padding.
    fn write_message(
        &mut self,
        start: usize,
        level: libc::c_int,
        kind: libc::c_int,
        payload: &[u8],
    ) -> usize {
        let (header, room) = self.0[start..].split_at_mut(HEADER_LEN);
        let (length, rest) = header.split_at_mut(size_of::<usize>());
        length.copy_from_slice(&(HEADER_LEN + payload.len()).to_ne_bytes());
        rest[..4].copy_from_slice(&level.to_ne_bytes());
        rest[4..].copy_from_slice(&kind.to_ne_bytes());
        room[..payload.len()].copy_from_slice(payload);
        start + HEADER_LEN + payload.len().next_multiple_of(ALIGNMENT)
    }

    /// The packet information among the messages that the kernel wrote into the first `len`
    /// octets.
    #[must_use]
    pub fn read(&self, len: usize) -> Option<PacketInfo> {
        let mut messages = self.0.get(..len)?;
        // Each turn consumes a header at least, so this ends.
        loop {
            let (length, rest) = messages.split_first_chunk::<{ size_of::<usize>() }>()?;
            let (level, rest) = rest.split_first_chunk::<4>()?;
            let (kind, rest) = rest.split_first_chunk::<4>()?;
            let payload_len = usize::from_ne_bytes(*length).checked_sub(HEADER_LEN)?;
            let payload = rest.get(..payload_len)?;
            match (i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind)) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => return read_ipv4(payload),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => return read_ipv6(payload),
                _ => messages = rest.get(payload_len.checked_next_multiple_of(ALIGNMENT)?..)?,
            }
        }
    }
}

/// Reads a `struct in_pktinfo`.
fn read_ipv4(payload: &[u8]) -> Option<PacketInfo> {
    let (interface, rest) = payload.split_first_chunk::<4>()?;
    // ip(7): "ipi_spec_dst is the local address of the packet and ipi_addr is the destination
    // address in the packet header". They differ for a broadcast, which nothing can leave from.
    let local = Ipv4Addr::from(*rest.first_chunk::<4>()?);
    Some(PacketInfo { local: IpAddr::V4(local), interface: u32::from_ne_bytes(*interface) })
}

/// Reads a `struct in6_pktinfo`.
fn read_ipv6(payload: &[u8]) -> Option<PacketInfo> {
    let (address, rest) = payload.split_first_chunk::<16>()?;
    let interface = u32::from_ne_bytes(*rest.first_chunk::<4>()?);
    let local = IpAddr::V6(Ipv6Addr::from(*address)).to_canonical();
    Some(PacketInfo { local, interface })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes and reads back.
    fn round_trip(local: &str, interface: u32) -> Option<PacketInfo> {
        let mut room = ControlMessage([0xff; ROOM]);
        let len = room.write(PacketInfo { local: local.parse().unwrap(), interface });
        room.read(len)
    }

    #[test]
    fn the_local_address_comes_back_as_written() {
        for local in ["192.0.2.1", "2001:db8::53"] {
            let info = PacketInfo { local: local.parse().unwrap(), interface: 0 };
            assert_eq!(round_trip(local, 0), Some(info));
        }
    }

    #[test]
    fn only_a_link_local_address_names_its_interface() {
        assert_eq!(round_trip("2001:db8::53", 3).unwrap().interface, 0);
        assert_eq!(round_trip("192.0.2.1", 3).unwrap().interface, 0);
        assert_eq!(round_trip("fe80::1", 3).unwrap().interface, 3);
    }

    #[test]
    fn the_wildcard_address_needs_no_message() {
        assert_eq!(round_trip("0.0.0.0", 0), None);
        assert_eq!(round_trip("::", 0), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    #[cfg(target_pointer_width = "64")]
    fn the_layout_is_the_kernels() {
        let mut room = ControlMessage::EMPTY;
        let len = room.write(PacketInfo { local: "192.0.2.1".parse().unwrap(), interface: 0 });
        let literal = [
            28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, // length, IPPROTO_IP, IP_PKTINFO
            0, 0, 0, 0, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, // interface, local, destination
        ];
        assert_eq!(room.0[..len], literal);
    }

    #[test]
    fn a_message_of_another_kind_is_passed_over() {
        let mut first = ControlMessage::EMPTY;
        let skip = first.write_message(0, libc::SOL_SOCKET, libc::SCM_TIMESTAMP, &[0; 9]);
        let mut second = ControlMessage::EMPTY;
        let info = PacketInfo { local: "192.0.2.1".parse().unwrap(), interface: 0 };
        let len = second.write(info);
        first.0[skip..skip + len].copy_from_slice(&second.0[..len]);
        assert_eq!(first.read(skip + len), Some(info));
    }

    #[test]
    fn cut_or_senseless_messages_are_no_information() {
        let mut room = ControlMessage::EMPTY;
        let len = room.write(PacketInfo { local: "2001:db8::1".parse().unwrap(), interface: 0 });
        assert_eq!(room.read(len - 8), None);
        assert_eq!(room.read(3), None);
        assert_eq!(room.read(ROOM + 1), None);
        room.0[..8].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(room.read(len), None);
        room.0[..8].fill(0);
        assert_eq!(room.read(len), None);
    }
}
