//! The UDP datagram in a frame, and the choice of datagrams by their addresses and ports.
//!
//! This is what programs need that carry datagrams and do not judge them: the load generator takes
//! the responses to its own queries, the reflector and the echo the queries to their address.
//! Whatever is not a whole, plain datagram is left to the network stack, by the same reasons as in
//! [`crate::classify`].

use core::mem::size_of;

use crate::classify::{MAX_FRAME_LEN, Packet, PassReason};
use crate::frame::{Frame, Udp};

/// Where a UDP datagram lies in a frame, and between whom it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Whether it is IPv4.
    pub is_ipv4: bool,
    /// Offset of the IP header, which has neither options nor extensions.
    pub ip: usize,
    /// Offset of the UDP header.
    pub udp: usize,
    /// Octets of UDP header and message: at least 8, and all of them in the frame.
    pub udp_len: usize,
    /// Source address; IPv4 in its mapped form.
    pub source: [u8; 16],
    /// Destination address; IPv4 in its mapped form.
    pub destination: [u8; 16],
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}

impl Datagram {
    /// Reads the headers of a frame.
    ///
    /// # Errors
    /// Says why it is no whole, plain datagram.
    pub fn read<F: Frame + ?Sized>(frame: &F) -> Result<Self, PassReason> {
        if frame.len() > MAX_FRAME_LEN {
            return Err(PassReason::Jumbo);
        }
        let packet = Packet::read(frame)?;
        let udp = Udp::read(frame, packet.udp).ok_or(PassReason::Short)?;
        if udp.length < Udp::HEADER_LEN || udp.length > packet.payload_len {
            return Err(PassReason::IpLength);
        }
        Ok(Self {
            is_ipv4: packet.is_ipv4,
            ip: packet.ip,
            udp: packet.udp,
            udp_len: udp.length,
            source: packet.source,
            destination: packet.destination,
            source_port: udp.source_port,
            destination_port: udp.destination_port,
        })
    }

    /// Offset of the message.
    #[must_use]
    pub const fn message(&self) -> usize {
        self.udp + Udp::HEADER_LEN
    }

    /// Octets of the message.
    #[must_use]
    pub const fn message_len(&self) -> usize {
        self.udp_len - Udp::HEADER_LEN
    }
}

/// A network and a range of ports. Octets only, as all that lies in a map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    network: [u8; 16],
    mask: [u8; 16],
    first_port: [u8; 2],
    last_port: [u8; 2],
}

impl Endpoints {
    /// Addresses of the network with `prefix_len` bits of the mapped form (see
    /// [`crate::abi::ClientKey::trie_prefix_len`]; more than 128 count as 128), with ports from
    /// `first_port` to `last_port`, both included.
    #[must_use]
    pub const fn new(address: [u8; 16], prefix_len: u32, first_port: u16, last_port: u16) -> Self {
        let mask = match prefix_len {
            0 => 0,
            bits if bits < 128 => u128::MAX << (128 - bits),
            _ => u128::MAX,
        };
        Self {
            network: (u128::from_be_bytes(address) & mask).to_be_bytes(),
            mask: mask.to_be_bytes(),
            first_port: first_port.to_be_bytes(),
            last_port: last_port.to_be_bytes(),
        }
    }

    /// Every address and port.
    pub const ANY: Self = Self::new([0; 16], 0, 0, u16::MAX);

    /// Whether an address and a port belong to them.
    #[must_use]
    pub const fn contain(&self, address: &[u8; 16], port: u16) -> bool {
        let differs = u128::from_ne_bytes(*address) ^ u128::from_ne_bytes(self.network);
        let counts = u128::from_ne_bytes(self.mask);
        // Halves: BPF has no wider registers.
        let low = differs as u64 & counts as u64;
        let high = (differs >> 64) as u64 & (counts >> 64) as u64;
        low | high == 0
            && port >= u16::from_be_bytes(self.first_port)
            && port <= u16::from_be_bytes(self.last_port)
    }
}

/// Which datagrams a program takes: those from these to those.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowFilter {
    source: Endpoints,
    destination: Endpoints,
}

const _: () = assert!(size_of::<FlowFilter>() == 72 && align_of::<FlowFilter>() == 1);

impl FlowFilter {
    /// Takes datagrams from `source` to `destination`.
    #[must_use]
    pub const fn new(source: Endpoints, destination: Endpoints) -> Self {
        Self { source, destination }
    }

    /// Whether the filter takes a datagram. A zeroed filter takes datagrams from port 0 to port 0
    /// only, which nobody sends.
    #[must_use]
    pub const fn takes(&self, datagram: &Datagram) -> bool {
        self.source.contain(&datagram.source, datagram.source_port)
            && self.takes_destination(datagram)
    }

    /// Whether a datagram goes where the filter's do, wherever it comes from.
    #[must_use]
    pub const fn takes_destination(&self, datagram: &Datagram) -> bool {
        self.destination.contain(&datagram.destination, datagram.destination_port)
    }

    /// The octets of the filter, as they lie in the map.
    #[must_use]
    pub fn octets(&self) -> [u8; size_of::<Self>()] {
        let mut octets = [0; size_of::<Self>()];
        let parts = [&self.source, &self.destination]
            .into_iter()
            .flat_map(|side| [&side.network[..], &side.mask, &side.first_port, &side.last_port])
            .flatten();
        for (to, from) in octets.iter_mut().zip(parts) {
            *to = *from;
        }
        octets
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::abi::mapped;

    const SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);

    fn datagram(source: IpAddr, source_port: u16) -> Datagram {
        Datagram {
            is_ipv4: false,
            ip: 14,
            udp: 54,
            udp_len: 20,
            source: mapped(source),
            destination: mapped(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            source_port,
            destination_port: 5_000,
        }
    }

    #[test]
    fn a_filter_takes_what_lies_in_its_networks_and_ports() {
        let filter = FlowFilter::new(
            Endpoints::new(mapped(IpAddr::V6(SERVER)), 128, 53, 53),
            Endpoints::ANY,
        );
        assert!(filter.takes(&datagram(IpAddr::V6(SERVER), 53)));
        assert!(!filter.takes(&datagram(IpAddr::V6(SERVER), 54)));
        assert!(!filter.takes(&datagram(IpAddr::V6(Ipv6Addr::LOCALHOST), 53)));
    }

    #[test]
    fn an_ipv4_network_takes_no_ipv6_address() {
        let network = mapped(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        let clients = Endpoints::new(network, 96 + 24, 1_024, 2_000);
        assert!(clients.contain(&mapped(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 255))), 1_024));
        assert!(clients.contain(&mapped(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0))), 2_000));
        assert!(!clients.contain(&mapped(IpAddr::V4(Ipv4Addr::new(192, 0, 3, 0))), 1_500));
        assert!(!clients.contain(&mapped(IpAddr::V6(SERVER)), 1_500));
        assert!(!clients.contain(&network, 1_023));
        assert!(!clients.contain(&network, 2_001));
    }

    #[test]
    fn the_octets_of_a_filter_lie_in_the_order_of_its_fields() {
        let filter = FlowFilter::new(
            Endpoints::new([1; 16], 128, 0x0203, 0x0405),
            Endpoints::new([6; 16], 128, 0x0708, 0x090a),
        );
        let octets = filter.octets();
        assert_eq!((octets[0], octets[16], octets[36]), (1, 0xff, 6));
        assert_eq!(octets[32..36], [2, 3, 4, 5]);
        assert_eq!(octets[68..], [7, 8, 9, 10]);
    }
}
