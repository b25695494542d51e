//! `struct sockaddr_in` and `sockaddr_in6` as octets, read and written without pointers.
//!
//! ```text
//!          0       2       4               8                       24      28
//! IPv4     | family| port  | address       | (zero, 8 octets)  |
//! IPv6     | family| port  | flow label    | address               | scope |
//! ```
//!
//! The family and the scope are in the machine's order, port and address in network order
//! (ip(7), ipv6(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Octets of a `sockaddr_in`.
const IPV4_LEN: usize = size_of::<libc::sockaddr_in>();

/// Octets of a `sockaddr_in6`, the longer of the two.
const IPV6_LEN: usize = size_of::<libc::sockaddr_in6>();

const _: () = assert!(IPV4_LEN == 16 && IPV6_LEN == 28);

/// Room for the address of one peer, as the kernel reads and writes it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct SocketAddress([u8; IPV6_LEN]);

impl SocketAddress {
    /// Octets of room.
    pub const LEN_MAX: usize = IPV6_LEN;

    /// An address of no family.
    pub const EMPTY: Self = Self([0; IPV6_LEN]);

    /// Writes an address, and says how many octets of the room it takes.
    pub fn write(&mut self, address: &SocketAddr) -> usize {
        let octets = &mut self.0;
        octets[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                octets[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                octets[4..8].copy_from_slice(&v4.ip().octets());
                octets[8..IPV4_LEN].fill(0);
                IPV4_LEN
            }
            SocketAddr::V6(v6) => {
                octets[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                octets[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                octets[8..24].copy_from_slice(&v6.ip().octets());
                octets[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                IPV6_LEN
            }
        }
    }

    /// The address the kernel wrote into the first `len` octets; `None` if it is no IP address.
    ///
    /// An IPv4-mapped address becomes the IPv4 address it stands for. The flow label is left
    /// out: a reply does not repeat it.
    #[must_use]
    pub fn read(&self, len: usize) -> Option<SocketAddr> {
        let octets = self.0.get(..len)?;
        let (family, rest) = octets.split_first_chunk::<2>()?;
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let port = u16::from_be_bytes(*port);
        let (flow_or_ipv4, rest) = rest.split_first_chunk::<4>()?;
        match libc::c_int::from(u16::from_ne_bytes(*family)) {
            libc::AF_INET => {
                Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(*flow_or_ipv4), port)))
            }
            libc::AF_INET6 => {
                let (address, rest) = rest.split_first_chunk::<16>()?;
                let scope = u32::from_ne_bytes(*rest.first_chunk::<4>()?);
                let address = Ipv6Addr::from(*address);
                Some(match IpAddr::V6(address).to_canonical() {
                    IpAddr::V4(mapped) => SocketAddr::V4(SocketAddrV4::new(mapped, port)),
                    IpAddr::V6(_) => SocketAddr::V6(SocketAddrV6::new(address, port, 0, scope)),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes and reads back.
    fn round_trip(text: &str) -> SocketAddr {
        let mut room = SocketAddress([0xff; IPV6_LEN]);
        let len = room.write(&text.parse().unwrap());
        room.read(len).unwrap()
    }

    #[test]
    fn addresses_come_back_as_written() {
        for text in ["192.0.2.7:53", "[2001:db8::1]:5353", "[fe80::1%7]:65535"] {
            assert_eq!(round_trip(text), text.parse().unwrap());
        }
    }

    #[test]
    fn a_mapped_address_is_read_as_ipv4() {
        assert_eq!(round_trip("[::ffff:192.0.2.9]:53"), "192.0.2.9:53".parse().unwrap());
    }

    #[test]
    fn another_family_or_a_short_address_is_no_address() {
        let mut room = SocketAddress::EMPTY;
        assert_eq!(room.read(16), None);
        let len = room.write(&"[2001:db8::1]:53".parse().unwrap());
        assert_eq!(room.read(len - 1), None);
        assert_eq!(room.read(len + 1), None);
        assert_eq!(room.read(0), None);
    }
}
