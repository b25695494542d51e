//! Writing the headers of a frame: of a reply in the frame its query came in, and of a new frame.
//!
//! Both end in [`finish`], which writes lengths and checksums. The checksum of UDP is always there:
//! over IPv6 it must be (RFC 8200 8.1), and over IPv4 it costs a client nothing to get one.

use crate::checksum::Sum;
use crate::classify::MAX_FRAME_LEN;
use crate::flow::Datagram;
use crate::frame::{Dns, ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, FrameMut, Ipv6, PROTOCOL_UDP, Udp};

/// Octets of an IPv4 header without options.
const IPV4_HEADER_LEN: usize = 20;
/// Octets of an Ethernet header without tag.
const ETHERNET_HEADER_LEN: usize = 14;
/// Time to live, and hop limit: what the IANA recommends and Linux has.
pub(crate) const HOPS: u8 = 64;

/// The longest message that a frame has room for under an Ethernet header with a tag and IPv6.
pub const MESSAGE_LEN_MAX: usize =
    MAX_FRAME_LEN - (ETHERNET_HEADER_LEN + 4) - Ipv6::HEADER_LEN - Udp::HEADER_LEN;

/// Sends a received datagram back where it came from: swaps Ethernet addresses, IP addresses and
/// ports. Lengths and checksums are left to [`finish`]. The Ethernet address of the sender is right
/// for the way back if the way is the same in both directions.
///
/// Gives back the datagram as it lies now; `None` if the frame is not the one it was read from.
pub fn turn_round<F: FrameMut + ?Sized>(frame: &mut F, datagram: &Datagram) -> Option<Datagram> {
    let to: [u8; 6] = frame.octets(0)?;
    let from: [u8; 6] = frame.octets(6)?;
    frame.set_octets(0, from)?;
    frame.set_octets(6, to)?;
    let turned = Datagram {
        source: datagram.destination,
        destination: datagram.source,
        source_port: datagram.destination_port,
        destination_port: datagram.source_port,
        ..*datagram
    };
    write_addresses(frame, &turned)?;
    Some(turned)
}

/// Makes a query its own response, without answer: turned round, with QR set.
///
/// `None`, and nothing is written, if the datagram has no DNS header or is a response already.
pub fn reflect<F: FrameMut + ?Sized>(frame: &mut F, query: &Datagram) -> Option<usize> {
    let dns = Dns::read(frame, query.message())?;
    let message_len = query.message_len();
    if dns.is_response() || !(Dns::HEADER_LEN..=MESSAGE_LEN_MAX).contains(&message_len) {
        return None;
    }
    let flags_at = query.message() + 2;
    let [flags] = frame.octets(flags_at)?;
    frame.set_octets(flags_at, [flags | 0x80])?;
    let turned = turn_round(frame, query)?;
    finish(frame, &turned, message_len)
}

/// Writes lengths and checksums for a message of `message_len` octets, and what else of the IP
/// header does not depend on the addresses: no traffic class, no flow label, 64 hops.
///
/// Gives back how many octets the frame has now; `None` if the message does not lie in the frame.
pub fn finish<F: FrameMut + ?Sized>(
    frame: &mut F,
    datagram: &Datagram,
    message_len: usize,
) -> Option<usize> {
    if message_len > MESSAGE_LEN_MAX {
        return None;
    }
    let udp_len = Udp::HEADER_LEN + message_len;
    if datagram.is_ipv4 {
        let total_len = (IPV4_HEADER_LEN + udp_len) as u16;
        frame.set_octets(datagram.ip, [0x45, 0])?;
        frame.set_octets(datagram.ip + 2, total_len.to_be_bytes())?;
        frame.set_octets(datagram.ip + 8, [HOPS, PROTOCOL_UDP, 0, 0])?;
        let checksum = Sum::new().octets(frame, datagram.ip, IPV4_HEADER_LEN)?.checksum();
        frame.set_octets(datagram.ip + 10, checksum)?;
    } else {
        frame.set_octets(datagram.ip, [0x60, 0, 0, 0])?;
        frame.set_octets(datagram.ip + 4, (udp_len as u16).to_be_bytes())?;
        frame.set_octets(datagram.ip + 6, [PROTOCOL_UDP, HOPS])?;
    }
    frame.set_octets(datagram.udp + 4, (udp_len as u16).to_be_bytes())?;
    // The checksum itself counts as zero.
    frame.set_octets(datagram.udp + 6, [0, 0])?;
    let pseudo = Sum::new()
        .address(&datagram.source)
        .address(&datagram.destination)
        .number(u16::from(PROTOCOL_UDP))
        .number(udp_len as u16);
    let checksum = pseudo.octets(frame, datagram.udp, udp_len)?.udp_checksum();
    frame.set_octets(datagram.udp + 6, checksum)?;
    Some(datagram.udp + udp_len)
}

/// Writes Ethernet, IP and UDP headers for a message of `message_len` octets that already lies
/// where [`message_offset`] says, and gives back how many octets the frame has.
///
/// `None` if there is no room for all of that, or the addresses are of two families.
pub fn write<F: FrameMut + ?Sized>(
    frame: &mut F,
    ethernet: &EthernetAddresses,
    endpoints: &IpEndpoints,
    message_len: usize,
) -> Option<usize> {
    let is_ipv4 = is_mapped(&endpoints.source);
    if is_ipv4 != is_mapped(&endpoints.destination) {
        return None;
    }
    let ether_type = if is_ipv4 { ETHER_TYPE_IPV4 } else { ETHER_TYPE_IPV6 };
    frame.set_octets(0, ethernet.destination)?;
    frame.set_octets(6, ethernet.source)?;
    frame.set_octets(12, ether_type.to_be_bytes())?;
    let datagram = Datagram {
        is_ipv4,
        ip: ETHERNET_HEADER_LEN,
        udp: message_offset(is_ipv4) - Udp::HEADER_LEN,
        udp_len: Udp::HEADER_LEN + message_len,
        source: endpoints.source,
        destination: endpoints.destination,
        source_port: endpoints.source_port,
        destination_port: endpoints.destination_port,
    };
    if is_ipv4 {
        // No identification, "don't fragment": an atomic datagram (RFC 6864 4.1).
        frame.set_octets(datagram.ip + 4, [0, 0, 0x40, 0])?;
    }
    write_addresses(frame, &datagram)?;
    finish(frame, &datagram, message_len)
}

/// The Ethernet addresses of a new frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetAddresses {
    /// Our interface.
    pub source: [u8; 6],
    /// The next hop.
    pub destination: [u8; 6],
}

/// Between whom a new datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpEndpoints {
    /// Source address; IPv4 in its mapped form.
    pub source: [u8; 16],
    /// Source port.
    pub source_port: u16,
    /// Destination address; IPv4 in its mapped form.
    pub destination: [u8; 16],
    /// Destination port.
    pub destination_port: u16,
}

/// Where the message lies in a new frame: behind headers without tag, options and extensions.
#[must_use]
pub const fn message_offset(is_ipv4: bool) -> usize {
    let ip_len = if is_ipv4 { IPV4_HEADER_LEN } else { Ipv6::HEADER_LEN };
    ETHERNET_HEADER_LEN + ip_len + Udp::HEADER_LEN
}

/// Writes addresses and ports.
fn write_addresses<F: FrameMut + ?Sized>(frame: &mut F, datagram: &Datagram) -> Option<()> {
    if datagram.is_ipv4 {
        frame.set_octets(datagram.ip + 12, last_four(&datagram.source))?;
        frame.set_octets(datagram.ip + 16, last_four(&datagram.destination))?;
    } else {
        frame.set_octets(datagram.ip + 8, datagram.source)?;
        frame.set_octets(datagram.ip + 24, datagram.destination)?;
    }
    frame.set_octets(datagram.udp, datagram.source_port.to_be_bytes())?;
    frame.set_octets(datagram.udp + 2, datagram.destination_port.to_be_bytes())
}

/// The IPv4 address behind its mapped form.
const fn last_four(address: &[u8; 16]) -> [u8; 4] {
    let [.., a, b, c, d] = *address;
    [a, b, c, d]
}

/// Whether an address is an IPv4 address in its mapped form.
const fn is_mapped(address: &[u8; 16]) -> bool {
    matches!(address, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..])
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::abi::mapped;
    use crate::frame::{Frame, Ipv4};

    const ETHERNET: EthernetAddresses =
        EthernetAddresses { source: [2, 0, 0, 0, 0, 1], destination: [2, 0, 0, 0, 0, 2] };

    fn endpoints(source: &str, destination: &str) -> IpEndpoints {
        let address = |text: &str| mapped(text.parse::<IpAddr>().unwrap());
        IpEndpoints {
            source: address(source),
            source_port: 40_000,
            destination: address(destination),
            destination_port: 53,
        }
    }

    /// A frame with a message of `len` octets, and how long it is.
    fn frame(endpoints: &IpEndpoints, len: usize) -> ([u8; 1_600], usize) {
        let mut frame = [0x5a; 1_600];
        let len = write(&mut frame[..], &ETHERNET, endpoints, len).unwrap();
        (frame, len)
    }

    /// A sum over everything the checksum covers, which must come out as zero.
    fn udp_checksum_holds(frame: &[u8], datagram: &Datagram) -> bool {
        let pseudo = Sum::new()
            .address(&datagram.source)
            .address(&datagram.destination)
            .number(17)
            .number(datagram.udp_len as u16);
        pseudo.octets(frame, datagram.udp, datagram.udp_len).unwrap().checksum() == [0, 0]
    }

    #[test]
    fn a_written_frame_is_read_as_what_was_written() {
        for (source, destination) in [("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "fe80::2")] {
            let endpoints = endpoints(source, destination);
            let (frame, len) = frame(&endpoints, 33);
            let frame = &frame[..len];
            let datagram = Datagram::read(frame).unwrap();
            assert_eq!((datagram.source, datagram.source_port), (endpoints.source, 40_000));
            assert_eq!(
                (datagram.destination, datagram.destination_port),
                (endpoints.destination, 53)
            );
            assert_eq!((datagram.message_len(), datagram.message() + 33), (33, len));
            assert_eq!(datagram.message(), message_offset(datagram.is_ipv4));
            assert!(udp_checksum_holds(frame, &datagram));
            assert!(!datagram.is_ipv4 || Ipv4::checksum_holds(frame, datagram.ip));
        }
    }

    #[test]
    fn addresses_of_two_families_make_no_frame() {
        let mut room = [0; 200];
        let endpoints = endpoints("192.0.2.1", "2001:db8::1");
        assert_eq!(write(&mut room[..], &ETHERNET, &endpoints, 12), None);
    }

    #[test]
    fn a_query_is_reflected_once() {
        let (mut frame, len) = frame(&endpoints("2001:db8::1", "2001:db8::2"), 40);
        let frame = &mut frame[..len];
        frame[message_offset(false)..][..4].copy_from_slice(&[7, 8, 1, 0]);
        let query = Datagram::read(frame).unwrap();
        assert_eq!(reflect(frame, &query), Some(len));
        let response = Datagram::read(frame).unwrap();
        assert_eq!((response.source, response.destination), (query.destination, query.source));
        assert_eq!(frame[response.message()..][..4], [7, 8, 0x81, 0]);
        assert!(udp_checksum_holds(frame, &response));
        assert_eq!(reflect(frame, &response), None, "a response is not answered");
        assert_eq!(Datagram::read(frame), Ok(response), "and stays as it is");
    }

    #[test]
    fn a_frame_without_room_is_refused() {
        let endpoints = endpoints("2001:db8::1", "2001:db8::2");
        let mut room = [0; 80];
        assert_eq!(write(&mut room[..], &ETHERNET, &endpoints, 18), Some(80));
        assert_eq!(write(&mut room[..], &ETHERNET, &endpoints, 19), None);
        let mut large = [0; 4_096];
        assert_eq!(write(&mut large[..], &ETHERNET, &endpoints, MESSAGE_LEN_MAX + 1), None);
    }

    #[test]
    fn a_tag_stays_where_it_is() {
        let (untagged, len) = frame(&endpoints("2001:db8::1", "2001:db8::2"), 20);
        let mut tagged = [0; 1_604];
        tagged[..12].copy_from_slice(&untagged[..12]);
        tagged[12..16].copy_from_slice(&[0x81, 0, 0, 7]);
        tagged[16..len + 4].copy_from_slice(&untagged[12..len]);
        let tagged = &mut tagged[..len + 4];
        let datagram = Datagram::read(tagged).unwrap();
        let turned = turn_round(tagged, &datagram).unwrap();
        assert_eq!(finish(tagged, &turned, 20), Some(len + 4));
        assert_eq!(tagged[12..16], [0x81, 0, 0, 7]);
        assert_eq!(Datagram::read(tagged), Ok(turned));
    }

    proptest! {
        #[test]
        fn a_reply_goes_back_with_right_checksums(
            is_ipv4: bool,
            query_len in 12_usize..600,
            reply in proptest::collection::vec(any::<u8>(), 12..600),
        ) {
            let endpoints = if is_ipv4 {
                endpoints("192.0.2.1", "192.0.2.2")
            } else {
                endpoints("2001:db8::1", "2001:db8::2")
            };
            let (mut frame, len) = frame(&endpoints, query_len);
            let query = Datagram::read(&frame[..len]).unwrap();
            let turned = turn_round(&mut frame[..], &query).unwrap();
            frame[query.message()..][..reply.len()].copy_from_slice(&reply);
            let len = finish(&mut frame[..], &turned, reply.len()).unwrap();
            let frame = &frame[..len];
            let read = Datagram::read(frame).unwrap();
            prop_assert_eq!(read.source, query.destination);
            prop_assert_eq!(read.destination, query.source);
            prop_assert_eq!((read.source_port, read.destination_port), (53, 40_000));
            prop_assert_eq!(&frame[read.message()..], &reply[..]);
            prop_assert_eq!(frame.octets(0), Some(ETHERNET.source));
            prop_assert_eq!(frame.octets(6), Some(ETHERNET.destination));
            prop_assert!(udp_checksum_holds(frame, &read));
            prop_assert!(!is_ipv4 || Ipv4::checksum_holds(frame, read.ip));
        }
    }
}
