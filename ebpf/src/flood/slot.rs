//! A slot: a query as a finished frame, and what its answer must be.
//!
//! The frame has source port 0 and the checksum that goes with it; the sender writes the port, and
//! a checksum out of [`SUM`], which adds up everything else.

use crate::checksum::Sum;
use crate::headers::message_offset;

use super::Words;

/// Octets of the longest frame.
pub const FRAME_LEN_MAX: usize = 255;
/// Words of a frame: the first ones of the slot.
pub const FRAME_WORDS: usize = 32;

/// Word: octets of the frame (8 bits), of the question (8), records of the answer (8), its RCODE
/// (8), and whether it is checked at all (1).
pub const SHAPE: usize = FRAME_WORDS;
/// Word: the longest TTL in seconds (32 bits), type (16) and RDLENGTH (16) of the records.
pub const RECORD: usize = SHAPE + 1;
/// Word: the sum under the UDP checksum, without the source port.
pub const SUM: usize = RECORD + 1;
/// Words: the addresses that must be there, two words each, those of IPv4 in the first half word.
pub const ADDRESSES: usize = SUM + 1;

/// The most records that an answer is checked for.
pub const RECORDS_MAX: usize = 4;

/// Words of a slot.
pub const SLOT_WORDS: usize = ADDRESSES + 2 * RECORDS_MAX;

/// Octets of the shortest question that is taken: a label of two letters.
pub const QUESTION_LEN_MIN: usize = 8;

/// What user space reads and programs read of a slot.
pub trait Slot: Words {
    /// Eight octets of the frame, from a place below [`FRAME_LEN_MAX`] on.
    fn octets(self, at: usize) -> [u8; 8];
}

/// What the answer to a query must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Octets of the question.
    pub question_len: usize,
    /// Whether more than header and question is compared.
    pub checked: bool,
    /// RCODE: NOERROR or NXDOMAIN.
    pub rcode: u8,
    /// How many records the answer section has; at most [`RECORDS_MAX`].
    pub records: usize,
    /// Type of the records.
    pub rtype: u16,
    /// Octets of a record's data: 16, or 4.
    pub data_len: usize,
    /// The longest TTL, in seconds.
    pub ttl_max_secs: u32,
}

impl Expected {
    /// Reads a slot.
    #[inline(always)]
    pub fn read(slot: impl Words) -> Self {
        let (shape, record) = (slot.word(SHAPE), slot.word(RECORD));
        Self {
            question_len: (shape >> 8 & 0xff) as usize,
            records: (shape >> 16 & 0xff) as usize,
            rcode: (shape >> 24 & 0xff) as u8,
            checked: shape >> 32 & 1 == 1,
            ttl_max_secs: record as u32,
            rtype: (record >> 32) as u16,
            data_len: (record >> 48) as usize,
        }
    }

    /// The words [`SHAPE`] and [`RECORD`] of a slot with a frame of `frame_len` octets.
    #[must_use]
    pub const fn words(&self, frame_len: usize) -> [u64; 2] {
        [
            frame_len as u64
                | (self.question_len as u64) << 8
                | (self.records as u64) << 16
                | (self.rcode as u64) << 24
                | (self.checked as u64) << 32,
            self.ttl_max_secs as u64 | (self.rtype as u64) << 32 | (self.data_len as u64) << 48,
        ]
    }
}

/// Octets of a slot's frame, at most [`FRAME_LEN_MAX`]; 0: the slot is empty.
#[inline(always)]
pub fn frame_len(slot: impl Words) -> usize {
    (slot.word(SHAPE) & 0xff) as usize
}

/// Where the question of a slot begins.
#[inline(always)]
#[must_use]
pub const fn question_at(is_ipv4: bool) -> usize {
    message_offset(is_ipv4) + crate::frame::Dns::HEADER_LEN
}

/// The UDP checksum of a slot's frame with this source port.
#[inline(always)]
pub fn udp_checksum(slot: impl Words, source_port: u16) -> [u8; 2] {
    Sum::of_state(slot.word(SUM)).number(source_port).udp_checksum()
}
