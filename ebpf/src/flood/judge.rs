//! Whether a response is the one that its slot says, octet by octet.

use crate::flow::Datagram;
use crate::frame::{Dns, Frame};

use super::slot::{ADDRESSES, Expected, RECORDS_MAX, Slot, question_at};

/// QR and TC of a header (RFC 1035 4.1.1).
const QR: u16 = 0x8000;
const TC: u16 = 0x0200;
/// The opcode.
const OPCODE: u16 = 0x7800;
/// RCODE NXDOMAIN.
const NXDOMAIN: u8 = 3;

/// Class IN.
const CLASS_IN: u16 = 1;
/// A pointer to the question's name (RFC 1035 4.1.4): how servers write the owner of an answer.
const OWNER: [u8; 2] = [0xc0, 0x0c];
/// Octets of a record from its owner, as a pointer, to its data.
const RECORD_HEADER_LEN: usize = 12;

/// TTL of answers that are given though their time is over (RFC 8767 5), in seconds.
const STALE_TTL_SECS: u32 = 30;

/// Words that a question is compared in.
const QUESTION_WORDS_MAX: usize = 23;

/// Where a message lies in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Offset of its header.
    pub at: usize,
    /// Its octets.
    pub len: usize,
    /// Whether it came by IPv4.
    pub is_ipv4: bool,
}

impl Message {
    /// The message of a datagram; `None` if it has no DNS header.
    #[must_use]
    pub const fn of(datagram: &Datagram) -> Option<Self> {
        let message =
            Self { at: datagram.message(), len: datagram.message_len(), is_ipv4: datagram.is_ipv4 };
        if message.len < Dns::HEADER_LEN { None } else { Some(message) }
    }
}

/// What a response is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Verdict {
    /// What the slot says.
    Right = 0,
    /// An RCODE of failure, or truncated: no answer, but no untruth.
    Failed = 1,
    /// Its ID is that of no query, or it is cut before its question ends.
    Id = 2,
    /// It is no response: QR is not set, or the opcode is another.
    Header = 3,
    /// Its question is another, be it in one letter's case.
    Question = 4,
    /// Another RCODE than expected.
    Rcode = 5,
    /// Another number of records.
    Records = 6,
    /// A record of another owner, type, class or length.
    Record = 7,
    /// A TTL that is too long.
    Ttl = 8,
    /// An address that is not expected, or one twice.
    Address = 9,
}

impl Verdict {
    /// All, by their codes.
    pub const ALL: [Self; 10] = [
        Self::Right,
        Self::Failed,
        Self::Id,
        Self::Header,
        Self::Question,
        Self::Rcode,
        Self::Records,
        Self::Record,
        Self::Ttl,
        Self::Address,
    ];

    /// Its code.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Whether a response with this code is the one to the query with its ID: the question is the
    /// same.
    #[must_use]
    pub const fn belongs(code: u32) -> bool {
        code <= Self::Failed.code() || code >= Self::Rcode.code()
    }
}

/// Judges a response by the slot with its ID.
#[inline(always)]
pub fn judge<F: Frame + ?Sized>(frame: &F, message: Message, slot: impl Slot) -> Verdict {
    try_judge(frame, message, slot).unwrap_or(Verdict::Id)
}

/// [`judge`]; `None` if the message is cut.
#[inline(always)]
fn try_judge<F: Frame + ?Sized>(frame: &F, message: Message, slot: impl Slot) -> Option<Verdict> {
    let expected = Expected::read(slot);
    let flags = frame.number(message.at + 2)?;
    if flags & QR == 0 || flags & OPCODE != 0 {
        return Some(Verdict::Header);
    }
    let rcode = (flags & 0x0f) as u8;
    let questions = frame.number(message.at + 4)?;
    if questions == 0 && rcode != 0 {
        // It could not read or serve the query (RFC 1035 4.1.1).
        return Some(Verdict::Failed);
    }
    let question_end = Dns::HEADER_LEN + expected.question_len;
    if questions != 1 || question_end > message.len {
        return Some(Verdict::Question);
    }
    if !same_question(frame, message, expected.question_len, slot)? {
        return Some(Verdict::Question);
    }
    if flags & TC != 0 || (rcode != 0 && rcode != NXDOMAIN) {
        return Some(Verdict::Failed);
    }
    if !expected.checked {
        return Some(Verdict::Right);
    }
    if rcode != expected.rcode {
        return Some(Verdict::Rcode);
    }
    if usize::from(frame.number(message.at + 6)?) != expected.records {
        return Some(Verdict::Records);
    }
    let end = question_end + expected.records * (RECORD_HEADER_LEN + expected.data_len);
    if end > message.len {
        return Some(Verdict::Record);
    }
    Some(
        judge_records(frame, message.at + question_end, &expected, slot).unwrap_or(Verdict::Record),
    )
}

/// Whether the question is that of the slot, octet by octet.
#[inline(always)]
fn same_question<F: Frame + ?Sized>(
    frame: &F,
    message: Message,
    len: usize,
    slot: impl Slot,
) -> Option<bool> {
    let (at, asked_at) = (message.at + Dns::HEADER_LEN, question_at(message.is_ipv4));
    for word in 0..QUESTION_WORDS_MAX {
        let done = 8 * word;
        if done + 8 > len {
            break;
        }
        if frame.octets::<8>(at + done)? != slot.octets(asked_at + done) {
            return Some(false);
        }
    }
    // The last eight octets once more, as a question need not have whole words.
    let last = len.wrapping_sub(8);
    Some(frame.octets::<8>(at.wrapping_add(last))? == slot.octets(asked_at.wrapping_add(last)))
}

/// Judges the records from `at` on; `None` if the frame ends before they do.
#[inline(always)]
fn judge_records<F: Frame + ?Sized>(
    frame: &F,
    at: usize,
    expected: &Expected,
    slot: impl Slot,
) -> Option<Verdict> {
    let mut seen = 0_u32;
    for number in 0..RECORDS_MAX {
        if number >= expected.records {
            break;
        }
        let record_at = at + number * (RECORD_HEADER_LEN + expected.data_len);
        let owner: [u8; 2] = frame.octets(record_at)?;
        let ttl_secs = u32::from_be_bytes(frame.octets(record_at + 6)?);
        if owner != OWNER
            || frame.number(record_at + 2)? != expected.rtype
            || frame.number(record_at + 4)? != CLASS_IN
            || usize::from(frame.number(record_at + 10)?) != expected.data_len
        {
            return Some(Verdict::Record);
        }
        if ttl_secs > expected.ttl_max_secs && ttl_secs != STALE_TTL_SECS {
            return Some(Verdict::Ttl);
        }
        let data_at = record_at + RECORD_HEADER_LEN;
        let (high, low) = if expected.data_len == 16 {
            (u64::from_ne_bytes(frame.octets(data_at)?), {
                u64::from_ne_bytes(frame.octets(data_at + 8)?)
            })
        } else {
            (u64::from(u32::from_ne_bytes(frame.octets(data_at)?)), 0)
        };
        let mut found = 0;
        for place in 0..RECORDS_MAX {
            let bit = 1 << place;
            if place < expected.records
                && found == 0
                && seen & bit == 0
                && slot.word(ADDRESSES + 2 * place) == high
                && slot.word(ADDRESSES + 2 * place + 1) == low
            {
                found = bit;
            }
        }
        if found == 0 {
            return Some(Verdict::Address);
        }
        seen |= found;
    }
    Some(Verdict::Right)
}
