//! What a query asks, if it has the plain form.

use super::Miss;
use super::entry::NAME_LEN_MAX;
use super::reply::{Room, place};
use crate::frame::Dns;

/// Octets of an OPT record without options (RFC 6891 6.1.2).
const OPT_LEN: usize = 11;

/// Octets of the longest label (RFC 1035 2.3.4).
const LABEL_LEN_MAX: usize = 63;

/// Octets of type and class.
const TYPE_AND_CLASS_LEN: usize = 4;

/// Octets of the longest message of the plain form.
pub const MESSAGE_LEN_MAX: usize = Dns::HEADER_LEN + NAME_LEN_MAX + TYPE_AND_CLASS_LEN + OPT_LEN;

/// The longest reply to a client without EDNS in octets (RFC 1035 4.2.1).
const PLAIN_LIMIT: u16 = 512;

/// A query of the plain form: one question of class IN, RD, no CD, and either no OPT record or one
/// of version 0 without DO and without options. Its octets end where the form does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Octets of the name.
    pub name_len: usize,
    /// The type asked for.
    pub rtype: u16,
    /// Whether there is an OPT record.
    pub has_opt: bool,
    /// The longest reply that the client takes, in octets.
    pub limit: u16,
    /// AD: the client wants to know whether the answer is authentic (RFC 6840 5.7).
    pub wants_authentic: bool,
}

impl Asked {
    /// Reads the query in the room: a message of `message_len` octets, with a name that ends after
    /// `name_len` octets, if it is one. Replies are at most `payload_max` octets long.
    ///
    /// # Errors
    /// [`Miss::Form`].
    #[inline(always)]
    pub fn read<R: Room + ?Sized>(
        room: &mut R,
        message_len: usize,
        name_len: usize,
        payload_max: u16,
    ) -> Result<Self, Miss> {
        /// Flags and counts up to NSCOUNT: RD, one question, no records.
        const PLAIN: u64 = u64::from_le_bytes([1, 0, 0, 1, 0, 0, 0, 0]);
        /// AD, in the second octet of the flags.
        const AUTHENTIC: u64 = 0x20 << 8;

        if name_len == 0 || name_len > NAME_LEN_MAX {
            return Err(Miss::Form);
        }
        let header = u64::from_le_bytes(room.octets(place::DNS + 2).ok_or(Miss::Form)?);
        if header & !AUTHENTIC != PLAIN {
            return Err(Miss::Form);
        }
        let additionals: [u8; 2] = room.octets(place::DNS + 10).ok_or(Miss::Form)?;
        let name_end = place::QUESTION + name_len;
        let [type_high, type_low, 0, 1] = room.octets(name_end).ok_or(Miss::Form)? else {
            return Err(Miss::Form);
        };
        let mut asked = Self {
            name_len,
            rtype: u16::from_be_bytes([type_high, type_low]),
            has_opt: false,
            limit: PLAIN_LIMIT,
            wants_authentic: header & AUTHENTIC != 0,
        };
        let question_end = Dns::HEADER_LEN + name_len + TYPE_AND_CLASS_LEN;
        match additionals {
            [0, 0] if message_len == question_end => Ok(asked),
            [0, 1] if message_len == question_end + OPT_LEN => {
                let opt = name_end + TYPE_AND_CLASS_LEN;
                // Root, type 41, size, no extended RCODE, version 0, neither DO nor another flag,
                // no options.
                let first: [u8; 8] = room.octets(opt).ok_or(Miss::Form)?;
                let rest: [u8; 3] = room.octets(opt + 8).ok_or(Miss::Form)?;
                let ([0, 0, 41, high, low, 0, 0, 0], [0, 0, 0]) = (first, rest) else {
                    return Err(Miss::Form);
                };
                let theirs = u16::from_be_bytes([high, low]);
                asked.has_opt = true;
                let limit = theirs.min(payload_max).max(PLAIN_LIMIT);
                asked.limit = room.forget(usize::from(limit)) as u16;
                Ok(asked)
            }
            _ => Err(Miss::Form),
        }
    }

    /// Whether the name is made of labels that end where it does (RFC 1035 3.1). What is found by
    /// its name is: user space has looked.
    #[inline(always)]
    pub fn has_whole_name<R: Room + ?Sized>(&self, room: &mut R) -> bool {
        let end = room.forget(self.name_len);
        let mut at = 0;
        for _ in 0..=NAME_LEN_MAX / 2 {
            let Some([len]) = room.octets(place::QUESTION + at) else { return false };
            if len == 0 {
                return at + 1 == end;
            }
            at += 1 + usize::from(len);
            if usize::from(len) > LABEL_LEN_MAX || at >= end {
                return false;
            }
        }
        false
    }

    /// Octets of the question.
    #[inline(always)]
    #[must_use]
    pub const fn question_len(&self) -> usize {
        self.name_len + TYPE_AND_CLASS_LEN
    }
}
