//! Queries of the form that nearly all have, read in one pass: folded, hashed and measured at once.
//!
//! ```text
//!  header: QUERY, RD │ QNAME of at most 128 octets │ QTYPE │ QCLASS │ an OPT without options,
//!                                                                    │ or nothing
//! ```
//!
//! Everything else is for [`Query::parse`](super::Query::parse), which stays the judge of what a
//! query is. Here the labels are not walked: the name is taken to end at its first zero octet, and
//! that is wrong for names with a zero octet inside a label and for octets that are no name at all.
//! So what is read here may be *compared* with a name that is known to be one, and nothing else: if
//! both are equal, octet by octet, this is a name and ends where it seems to.

use dns64_ebpf::hash::{finish, fold_word, mix_word};

use crate::limits::{HEADER_LEN, UDP_PLAIN_LEN_MAX};

/// Octets of the longest name that is read here.
const NAME_SPACE: usize = 128;

/// Octets of one word of a name.
const WORD_LEN: usize = 8;

/// Octets of an OPT record without options (RFC 6891 6.1.2).
const OPT_LEN: usize = 11;

/// A query of the plain form; see the [module](self) on what its name is good for.
#[derive(Clone, Copy, Debug)]
pub struct PlainQuery {
    /// The name, lower case, and zeros behind it.
    name: [u8; NAME_SPACE],
    /// Octets of the name.
    name_len: usize,
    /// [`name_hash`](dns64_ebpf::hash::name_hash) of the name.
    pub name_hash: u64,
    /// The type asked for.
    pub rtype: u16,
    /// The class asked for.
    pub class: u16,
    /// The UDP payload size of the OPT record, if there is one.
    pub payload_len: Option<u16>,
    /// DO.
    pub dnssec_ok: bool,
    /// CD.
    pub checking_disabled: bool,
    /// AD.
    pub wants_authentic: bool,
}

impl PlainQuery {
    /// Reads a message, if it has the plain form.
    #[inline]
    #[must_use]
    pub fn read(message: &[u8], hash_seed: u64) -> Option<Self> {
        let (header, body) = message.split_first_chunk::<HEADER_LEN>()?;
        let [_, _, high, low, counts @ .., additionals] = header;
        // RD and nothing else (RFC 1035 4.1.1): no reply, OPCODE QUERY.
        if *high != 0x01 || *counts != [0, 1, 0, 0, 0, 0, 0] || *additionals > 1 {
            return None;
        }
        let mut name = [0; NAME_SPACE];
        let (name_len, name_hash) = fold_and_hash(body, &mut name, hash_seed)?;
        let (fixed, rest) = body.get(name_len..)?.split_first_chunk::<4>()?;
        let mut plain = Self {
            name,
            name_len,
            name_hash,
            rtype: u16::from_be_bytes([fixed[0], fixed[1]]),
            class: u16::from_be_bytes([fixed[2], fixed[3]]),
            payload_len: None,
            dnssec_ok: false,
            checking_disabled: low & 0x10 != 0,
            wants_authentic: low & 0x20 != 0,
        };
        if *additionals == 1 {
            // Root, type 41, size, no extended RCODE, version 0, DO and no other flag, no options.
            let opt = rest.first_chunk::<OPT_LEN>()?;
            let [0, 0, 41, size_high, size_low, 0, 0, flags, 0, 0, 0] = *opt else { return None };
            if flags & 0x7f != 0 {
                return None;
            }
            plain.payload_len = Some(u16::from_be_bytes([size_high, size_low]));
            plain.dnssec_ok = flags != 0;
        }
        Some(plain)
    }

    /// The name in lower case, to be compared with names in wire form.
    #[inline]
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name[..self.name_len]
    }

    /// Octets of name, type and class.
    #[inline]
    #[must_use]
    pub const fn question_len(&self) -> usize {
        self.name_len + 4
    }

    /// As [`Query::udp_limit`](super::Query::udp_limit).
    #[inline]
    #[must_use]
    pub fn udp_limit(&self, ours: usize) -> usize {
        let theirs = self.payload_len.map_or(UDP_PLAIN_LEN_MAX, usize::from);
        theirs.min(ours).max(UDP_PLAIN_LEN_MAX)
    }
}

/// Folds what stands before the first zero octet, and that octet, into `name`; its length and hash.
#[inline]
fn fold_and_hash(body: &[u8], name: &mut [u8; NAME_SPACE], seed: u64) -> Option<(usize, u64)> {
    let mut state = seed;
    let mut rest = body;
    for (number, to) in name.as_chunks_mut::<WORD_LEN>().0.iter_mut().enumerate() {
        let word = match rest.split_first_chunk::<WORD_LEN>() {
            Some((word, behind)) => {
                rest = behind;
                u64::from_le_bytes(*word)
            }
            // The zeros that are added end a name that is cut off; its type is missing then.
            None => {
                let mut word = [0; WORD_LEN];
                for (to, from) in word.iter_mut().zip(rest) {
                    *to = *from;
                }
                rest = &[];
                u64::from_le_bytes(word)
            }
        };
        let zeros = zero_octets(word);
        if zeros == 0 {
            let folded = fold_word(word);
            *to = folded.to_le_bytes();
            state = mix_word(state, folded);
            continue;
        }
        let octets_before = zeros.trailing_zeros() / 8;
        // All bits of the octets before the zero.
        let kept = (1_u64 << (octets_before * 8)) - 1;
        let folded = fold_word(word & kept);
        *to = folded.to_le_bytes();
        state = mix_word(state, folded);
        let len = number * WORD_LEN + octets_before as usize + 1;
        return Some((len, finish(state, len as u64)));
    }
    None
}

/// A word whose lowest bit that is set lies in the first octet of `word` that is zero; 0 if none
/// is.
#[inline]
const fn zero_octets(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    word.wrapping_sub(ONES) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::name::{Name, fold};
    use dns64_ebpf::hash::name_hash;

    /// A query for a name, with these octets behind the question.
    fn query(name: &[u8], additionals: u8, rest: &[u8]) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0x30, 0, 1, 0, 0, 0, 0, 0, additionals];
        message.extend_from_slice(name);
        message.extend_from_slice(&[0, 28, 0, 1]);
        message.extend_from_slice(rest);
        message
    }

    #[test]
    fn a_name_of_any_length_is_folded_hashed_and_measured_as_elsewhere() {
        for label_len in 1..=63 {
            for labels in 1..=2 {
                let mut name = Vec::new();
                for label in 0..labels {
                    name.push(label_len);
                    name.extend((0..label_len).map(|octet| b'A' + (octet + label) % 58));
                }
                name.push(0);
                let message = query(&name, 0, b"");
                let plain = PlainQuery::read(&message, 7);
                if name.len() > NAME_SPACE {
                    assert!(plain.is_none(), "{} octets", name.len());
                    continue;
                }
                let plain = plain.unwrap();
                let mut folded = [0; 256];
                let len = fold(Name::from_wire(&name).unwrap(), &mut folded);
                assert_eq!(plain.name(), &folded[..len]);
                assert_eq!(plain.name_hash, name_hash(&name, 7));
                assert_eq!((plain.rtype, plain.class), (28, 1));
                assert!(plain.checking_disabled && plain.wants_authentic && !plain.dnssec_ok);
                assert_eq!((plain.payload_len, plain.udp_limit(1_232)), (None, 512));
            }
        }
    }

    #[test]
    fn an_opt_without_options_is_plain_and_nothing_else_is() {
        let opt = b"\0\0\x29\x10\0\0\0\x80\0\0\0";
        let plain = PlainQuery::read(&query(b"\x01a\0", 1, opt), 7).unwrap();
        assert_eq!((plain.payload_len, plain.udp_limit(1_232)), (Some(4_096), 1_232));
        assert!(plain.dnssec_ok);
        for (place, octet) in [(0, 1), (2, 42), (5, 1), (6, 1), (7, 0x40), (8, 1), (9, 1), (10, 4)]
        {
            let mut odd = *opt;
            odd[place] = octet;
            let message = query(b"\x01a\0", 1, &odd);
            assert!(PlainQuery::read(&message, 7).is_none(), "octet {place} is {octet}");
        }
        for len in 0..opt.len() {
            assert!(PlainQuery::read(&query(b"\x01a\0", 1, &opt[..len]), 7).is_none());
        }
    }

    #[test]
    fn a_header_that_is_odd_in_any_way_is_not_plain() {
        let plain = query(b"\x01a\0", 0, b"");
        assert!(PlainQuery::read(&plain, 7).is_some());
        let odd = [
            (2, 0x81),
            (2, 0x09),
            (2, 3),
            (2, 0),
            (4, 1),
            (5, 2),
            (7, 1),
            (9, 1),
            (10, 1),
            (11, 2),
        ];
        for (place, octet) in odd {
            let mut message = plain.clone();
            message[place] = octet;
            assert!(PlainQuery::read(&message, 7).is_none(), "octet {place} is {octet}");
        }
        for len in 0..plain.len() {
            assert!(PlainQuery::read(&plain[..len], 7).is_none(), "{len} octets");
        }
    }
}
