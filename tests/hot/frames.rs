//! Queries in frames, good ones and odd ones; the reply that a frame should become.

use std::net::{IpAddr, SocketAddr};

use dns64_ebpf::abi::mapped;
use dns64_ebpf::flow::Datagram;
use dns64_ebpf::headers::{self, EthernetAddresses, IpEndpoints};

use crate::world::{SERVER_V4, SERVER_V6};

/// A sequence of numbers that looks random and is the same every time.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// A number less than `below`.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        // xorshift64* (Marsaglia 2003, Vigna 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// How a query carries EDNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edns {
    /// Not at all.
    None,
    /// An OPT record without options, with this payload size.
    Plain(u16),
    /// These octets for an OPT record.
    Odd([u8; 11]),
}

/// A query.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) id: u16,
    /// The flags of the header.
    pub(crate) flags: u16,
    /// The labels of the name.
    pub(crate) name: String,
    pub(crate) rtype: u16,
    pub(crate) edns: Edns,
}

impl Query {
    /// A plain query for a name.
    pub(crate) fn new(name: &str, rtype: u16) -> Self {
        Self { id: 7, flags: 0x100, name: name.to_owned(), rtype, edns: Edns::Plain(1_232) }
    }

    /// The message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut message = self.id.to_be_bytes().to_vec();
        message.extend_from_slice(&self.flags.to_be_bytes());
        message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(self.edns != Edns::None)]);
        for label in self.name.split('.') {
            message.push(label.len() as u8);
            message.extend_from_slice(label.as_bytes());
        }
        message.push(0);
        message.extend_from_slice(&self.rtype.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        match self.edns {
            Edns::None => {}
            Edns::Plain(size) => {
                message.extend_from_slice(&[0, 0, 41]);
                message.extend_from_slice(&size.to_be_bytes());
                message.extend_from_slice(&[0; 6]);
            }
            Edns::Odd(octets) => message.extend_from_slice(&octets),
        }
        message
    }
}

/// A frame with a message from a client to the server.
pub(crate) fn frame(client: SocketAddr, message: &[u8], tag: Option<u16>) -> Vec<u8> {
    let ethernet =
        EthernetAddresses { source: [2, 0, 0, 0, 0, 1], destination: [2, 0, 0, 0, 0, 2] };
    let server = if client.is_ipv4() { SERVER_V4 } else { SERVER_V6 };
    let server: SocketAddr = server.parse().expect("made to be right");
    let endpoints = IpEndpoints {
        source: mapped(client.ip()),
        source_port: client.port(),
        destination: mapped(server.ip()),
        destination_port: server.port(),
    };
    let at = headers::message_offset(client.is_ipv4());
    let mut frame = vec![0; at + message.len()];
    frame[at..].copy_from_slice(message);
    let len = headers::write(&mut frame[..], &ethernet, &endpoints, message.len())
        .expect("made to be right");
    assert_eq!(len, frame.len());
    if let Some(tag) = tag {
        let [high, low] = tag.to_be_bytes();
        frame.splice(12..12, [0x81, 0, high, low]);
    }
    // Ethernet pads short frames.
    frame.resize(frame.len().max(60), 0);
    frame
}

/// The client of a frame and its message, where it is a datagram.
pub(crate) fn datagram(frame: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
    let datagram = Datagram::read(frame).ok()?;
    let address = IpAddr::from(datagram.source).to_canonical();
    let message = frame[datagram.message()..][..datagram.message_len()].to_vec();
    Some((SocketAddr::new(address, datagram.source_port), message))
}

/// The frame that a query's becomes when this is the reply.
pub(crate) fn replied(query: &[u8], reply: &[u8]) -> Vec<u8> {
    let datagram = Datagram::read(query).expect("made to be right");
    let mut frame = query.to_vec();
    frame.resize(datagram.message() + reply.len(), 0);
    frame[datagram.message()..].copy_from_slice(reply);
    let turned = headers::turn_round(&mut frame[..], &datagram).expect("made to be right");
    let len = headers::finish(&mut frame[..], &turned, reply.len()).expect("made to be right");
    frame.truncate(len);
    frame
}

/// Checks the checksums of a frame in the plainest way (RFC 1071 4.1).
pub(crate) fn assert_checksums(frame: &[u8]) {
    let sum = |parts: &[&[u8]]| {
        let mut sum = 0_u32;
        for part in parts {
            for pair in part.chunks(2) {
                sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            }
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum
    };
    let datagram = Datagram::read(frame).expect("made to be right");
    let udp = &frame[datagram.udp..][..datagram.udp_len];
    assert_ne!(udp[6..8], [0, 0], "there is a checksum");
    let len = (datagram.udp_len as u16).to_be_bytes();
    let pseudo = [0, 17, len[0], len[1]];
    if datagram.is_ipv4 {
        let ip = &frame[datagram.ip..datagram.udp];
        assert_eq!(sum(&[ip]), 0xffff, "{frame:x?}");
        assert_eq!(sum(&[&ip[12..], &pseudo, udp]), 0xffff, "{frame:x?}");
    } else {
        let addresses = &frame[datagram.ip + 8..datagram.udp];
        assert_eq!(sum(&[addresses, &pseudo, udp]), 0xffff, "{frame:x?}");
    }
}
