//! Captures in the classic pcap format, as tcpdump writes them: all queries to UDP port 53.
#![forbid(unsafe_code)]

use std::io::BufRead;

use crate::load::encode::Encoder;

use super::binary::fill;
use super::packet::{self, Link};
use super::{InputError, TOO_MANY};

/// Octets of a capture's header.
const FILE_HEADER_LEN: usize = 24;

/// Octets of the header of each packet.
const PACKET_HEADER_LEN: usize = 16;

/// Octets of the longest packet that is believed; tcpdump captures 262,144 at most.
const PACKET_MAX: usize = 1 << 20;

/// The first octets of pcapng, in either order of octets.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The order of octets in a capture's numbers.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// Least significant first.
    Little,
    /// Most significant first.
    Big,
}

impl Order {
    /// What the first octets of a capture say: of one with microseconds, or with nanoseconds.
    fn of(start: &[u8]) -> Option<Self> {
        match start.first_chunk()? {
            [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => Some(Self::Little),
            [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => Some(Self::Big),
            _ => None,
        }
    }

    /// A number of four octets.
    fn u32_at<const N: usize>(self, header: &[u8; N], at: usize) -> u32 {
        let octets = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        match self {
            Self::Little => u32::from_le_bytes(octets),
            Self::Big => u32::from_be_bytes(octets),
        }
    }
}

/// Whether a file that begins so is a capture, of this format or pcapng.
pub(super) fn is_capture(start: &[u8]) -> bool {
    Order::of(start).is_some() || start.starts_with(&PCAPNG)
}

/// Reads all packets; returns how many queries there were.
pub(super) fn read(file: &mut impl BufRead, encoder: &mut Encoder) -> Result<u64, InputError> {
    let mut header = [0; FILE_HEADER_LEN];
    let header_len = fill(file, &mut header)?;
    if header.starts_with(&PCAPNG) {
        let hint = "pcapng is not read; `tcpdump -r OLD -w NEW` makes a pcap of it";
        return Err(InputError::Form(hint.to_owned()));
    }
    let (Some(order), FILE_HEADER_LEN) = (Order::of(&header), header_len) else {
        return Err(InputError::Form("the capture's header is cut".to_owned()));
    };
    // The upper bits say whether packets have a checksum at their end.
    let number = order.u32_at(&header, 20) & 0xffff;
    let Some(link) = Link::of(number) else {
        return Err(InputError::Form(format!(
            "link type {number} is not read; Ethernet, raw IP, loopback and Linux cooked are"
        )));
    };
    let mut packet = Vec::new();
    let mut count = 0;
    for number in 1.. {
        let wrong = |what: String| InputError::Message(number, what);
        let mut header = [0; PACKET_HEADER_LEN];
        match fill(file, &mut header)? {
            0 => break,
            PACKET_HEADER_LEN => {}
            _ => return Err(wrong("its header is cut".to_owned())),
        }
        let len = order.u32_at(&header, 8) as usize;
        if len > PACKET_MAX {
            return Err(wrong(format!("a length of {len} octets")));
        }
        packet.resize(len, 0);
        if fill(file, &mut packet)? < len {
            return Err(wrong("it is cut".to_owned()));
        }
        if let Some(query) = packet::query_in(link, &packet) {
            if !encoder.push_encoded(query) {
                return Err(wrong(TOO_MANY.to_owned()));
            }
            count += 1;
        }
    }
    Ok(count)
}
