//! Answers in their compiled form: what an upstream response comes down to, ready to be replayed.
//!
//! A response is parsed once, when it arrives ([`compile`]), into one flat run of octets. A hit
//! only copies, patches TTLs and embeds addresses ([`encode`]). The image of the records lies
//! behind the question exactly as it will lie in a reply, so compression pointers hold for every
//! client that asks the same name:
//!
//! ```text
//!  offset in the message   12                    12 + question
//!  | header | question     | chain | RRset | tail | authority |
//!           '-- the client's own octets           '-- the image
//! ```
//!
//! * chain: CNAME and DNAME records from the question to the last name, with their RRSIG;
//! * RRset: the records of the asked type at the last name, owner always a two-octet pointer, so
//!   that A records are 16 octets each and AAAA records 28;
//! * tail: what else belongs to the answer section (RRSIG of the RRset);
//! * authority: the SOA of a denial, and the proofs that a client with DO may check.
//!
//! The compiled form knows no view and no Pref64: one cached answer serves every client.
#![forbid(unsafe_code)]

pub mod check;
pub mod compile;
pub mod encode;
pub mod records;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;

/// Octets of the fixed part of a compiled answer.
const HEAD_LEN: usize = 40;

/// Octets of one A record with a compressed owner.
pub(crate) const A_RECORD_LEN: usize = 16;

/// Octets of one AAAA record with a compressed owner.
pub(crate) const AAAA_RECORD_LEN: usize = 28;

/// The compression pointer to the name of the question.
pub(crate) const POINTER_TO_QUESTION: u16 = 0xc00c;

/// Places of the fields of the fixed part, each a little-endian integer.
mod field {
    pub(super) const OUTCOME: usize = 0;
    pub(super) const FLAGS: usize = 1;
    pub(super) const RCODE: usize = 2;
    pub(super) const INFO_CODE: usize = 4;
    pub(super) const CHAIN_LEN: usize = 6;
    pub(super) const CHAIN_COUNT: usize = 8;
    pub(super) const RRSET_COUNT: usize = 10;
    pub(super) const RRSET_LEN: usize = 12;
    pub(super) const TAIL_COUNT: usize = 14;
    pub(super) const TAIL_LEN: usize = 16;
    pub(super) const AUTHORITY_COUNT: usize = 18;
    pub(super) const AUTHORITY_LEN: usize = 20;
    pub(super) const TTL_SLOTS: usize = 22;
    pub(super) const POINTER_SLOTS: usize = 24;
    pub(super) const OWNER: usize = 26;
    pub(super) const TTL: usize = 28;
    pub(super) const RRSET_TTL: usize = 32;
    pub(super) const NAME_LEN: usize = 36;
    pub(super) const SOA_LEN: usize = 38;
}

/// What a response says about its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Records of the asked type exist.
    Records,
    /// The name exists, perhaps behind a chain, without records of the asked type.
    NoData,
    /// The name, or the end of its chain, does not exist (RCODE 3).
    NxDomain,
    /// No usable answer: another RCODE, a time-out, a chain that leads nowhere.
    Failure,
}

impl Outcome {
    const fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            0 => Some(Self::Records),
            1 => Some(Self::NoData),
            2 => Some(Self::NxDomain),
            3 => Some(Self::Failure),
            _ => None,
        }
    }
}

/// Properties of an answer that are either there or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerFlags(u8);

impl AnswerFlags {
    /// The data is vouched for: by AD of the upstream server, or by ourselves.
    pub const AUTHENTIC: Self = Self(1);
    /// The authority section begins with an SOA.
    pub const SOA: Self = Self(2);
    /// RRSIG records came with the data: the zone is signed.
    pub const SIGNED: Self = Self(4);
    /// The failure is a DNSSEC failure, as the upstream server's Extended Error says.
    pub const BOGUS: Self = Self(8);
    /// Validated here and found secure (RFC 4035 4.3). Always together with
    /// [`AnswerFlags::AUTHENTIC`].
    pub const SECURE: Self = Self(16);
    /// No answer, but a note: the answers of the name go to the client as they are.
    pub const UNTOUCHED: Self = Self(128);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The fixed part of a compiled answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the response says.
    pub outcome: Outcome,
    /// Properties of the answer.
    pub flags: AnswerFlags,
    /// The RCODE of the response; SERVFAIL where there was none.
    pub rcode: Rcode,
    /// The first Extended Error of the response (RFC 8914), or our own for a failure.
    pub info_code: Option<InfoCode>,
    /// Octets of the chain.
    pub chain_len: u16,
    /// Records of the chain.
    pub chain_count: u16,
    /// Records of the RRset.
    pub rrset_count: u16,
    /// Octets of the RRset.
    pub rrset_len: u16,
    /// Records of the tail.
    pub tail_count: u16,
    /// Octets of the tail.
    pub tail_len: u16,
    /// Records of the authority section.
    pub authority_count: u16,
    /// Octets of the authority section.
    pub authority_len: u16,
    /// Octets of the SOA at the start of the authority section; 0 without one.
    pub soa_len: u16,
    /// Compression pointer to the name that owns the RRset.
    pub owner: u16,
    /// Octets of the name in the question that the image was made for.
    pub name_len: u16,
    /// Seconds the answer may be used: the least TTL of chain and RRset, or the negative TTL.
    pub ttl_secs: u32,
    /// TTL of the RRset, the least of its records (RFC 2181 5.2).
    pub rrset_ttl_secs: u32,
    ttl_slots: u16,
    pointer_slots: u16,
}

impl Head {
    /// Octets of the image.
    const fn image_len(&self) -> usize {
        self.chain_len as usize
            + self.rrset_len as usize
            + self.tail_len as usize
            + self.authority_len as usize
    }
}

/// A compiled answer, read in place. Its fixed part is decoded where a field of it is wanted: most
/// replies want few of them.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    head: &'a [u8; HEAD_LEN],
    /// Chain, RRset, tail and authority.
    image: &'a [u8],
    /// Places of TTL fields in the image, two octets each, ascending.
    ttl_slots: &'a [u8],
    /// Places of compression pointers in the image, two octets each, ascending.
    pointer_slots: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Reads a compiled answer; `None` if the octets are not one.
    #[inline]
    #[must_use]
    pub fn read(octets: &'a [u8]) -> Option<Self> {
        let (head, rest) = octets.split_first_chunk::<HEAD_LEN>()?;
        Outcome::from_octet(head[field::OUTCOME])?;
        let decoded = decode(head);
        let (image, rest) = rest.split_at_checked(decoded.image_len())?;
        let (ttl_slots, rest) = rest.split_at_checked(usize::from(decoded.ttl_slots) * 2)?;
        let (pointer_slots, _) = rest.split_at_checked(usize::from(decoded.pointer_slots) * 2)?;
        Some(Self { head, image, ttl_slots, pointer_slots })
    }

    /// Octets of the whole compiled form.
    #[must_use]
    pub fn compiled_len(&self) -> usize {
        HEAD_LEN + self.image.len() + self.ttl_slots.len() + self.pointer_slots.len()
    }

    /// The fixed part.
    #[inline]
    #[must_use]
    pub fn head(&self) -> Head {
        decode(self.head)
    }

    /// The chain's octets.
    #[must_use]
    pub fn chain(&self) -> &'a [u8] {
        &self.image[..usize::from(self.head().chain_len)]
    }

    /// The octets of the records of the asked type.
    #[must_use]
    pub fn rrset(&self) -> &'a [u8] {
        let head = self.head();
        let start = usize::from(head.chain_len);
        &self.image[start..start + usize::from(head.rrset_len)]
    }

    /// The octets of the authority section.
    #[must_use]
    pub fn authority(&self) -> &'a [u8] {
        &self.image[self.image.len() - usize::from(self.head().authority_len)..]
    }

    /// The addresses of an answer to a question for A.
    pub fn ipv4_addresses(&self) -> impl Iterator<Item = Ipv4Addr> + Clone + 'a {
        self.rrset().chunks_exact(A_RECORD_LEN).map(|record| {
            let mut octets = [0; 4];
            octets.copy_from_slice(&record[A_RECORD_LEN - 4..]);
            Ipv4Addr::from(octets)
        })
    }

    /// The addresses of an answer to a question for AAAA.
    pub fn ipv6_addresses(&self) -> impl Iterator<Item = Ipv6Addr> + Clone + 'a {
        self.rrset().chunks_exact(AAAA_RECORD_LEN).map(|record| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&record[AAAA_RECORD_LEN - 16..]);
            Ipv6Addr::from(octets)
        })
    }

    /// The places of TTL fields in the image.
    fn ttl_slots(&self) -> impl Iterator<Item = usize> + 'a {
        slots(self.ttl_slots)
    }

    /// The places of compression pointers in the image.
    fn pointer_slots(&self) -> impl Iterator<Item = usize> + 'a {
        slots(self.pointer_slots)
    }
}

/// Decodes the fixed part. Inlined, so that what is not used is not decoded.
#[inline(always)]
fn decode(head: &[u8; HEAD_LEN]) -> Head {
    let short = |place: usize| u16::from_le_bytes([head[place], head[place + 1]]);
    let long = |place: usize| {
        u32::from_le_bytes([head[place], head[place + 1], head[place + 2], head[place + 3]])
    };
    let info_code = short(field::INFO_CODE);
    Head {
        // Reading an answer has refused octets that are no outcome.
        outcome: Outcome::from_octet(head[field::OUTCOME]).unwrap_or(Outcome::Failure),
        flags: AnswerFlags(head[field::FLAGS]),
        rcode: Rcode(short(field::RCODE)),
        info_code: (info_code != u16::MAX).then_some(InfoCode(info_code)),
        chain_len: short(field::CHAIN_LEN),
        chain_count: short(field::CHAIN_COUNT),
        rrset_count: short(field::RRSET_COUNT),
        rrset_len: short(field::RRSET_LEN),
        tail_count: short(field::TAIL_COUNT),
        tail_len: short(field::TAIL_LEN),
        authority_count: short(field::AUTHORITY_COUNT),
        authority_len: short(field::AUTHORITY_LEN),
        soa_len: short(field::SOA_LEN),
        owner: short(field::OWNER),
        name_len: short(field::NAME_LEN),
        ttl_secs: long(field::TTL),
        rrset_ttl_secs: long(field::RRSET_TTL),
        ttl_slots: short(field::TTL_SLOTS),
        pointer_slots: short(field::POINTER_SLOTS),
    }
}

/// Reads a list of places in an image.
fn slots(octets: &[u8]) -> impl Iterator<Item = usize> + '_ {
    octets.chunks_exact(2).map(|place| usize::from(u16::from_le_bytes([place[0], place[1]])))
}

/// Writes the fixed part in front of image and slots.
fn write_head(head: &Head, into: &mut Vec<u8>) {
    let mut octets = [0; HEAD_LEN];
    let mut short =
        |place: usize, value: u16| octets[place..place + 2].copy_from_slice(&value.to_le_bytes());
    short(field::RCODE, head.rcode.0);
    short(field::INFO_CODE, head.info_code.map_or(u16::MAX, |code| code.0));
    short(field::CHAIN_LEN, head.chain_len);
    short(field::CHAIN_COUNT, head.chain_count);
    short(field::RRSET_COUNT, head.rrset_count);
    short(field::RRSET_LEN, head.rrset_len);
    short(field::TAIL_COUNT, head.tail_count);
    short(field::TAIL_LEN, head.tail_len);
    short(field::AUTHORITY_COUNT, head.authority_count);
    short(field::AUTHORITY_LEN, head.authority_len);
    short(field::TTL_SLOTS, head.ttl_slots);
    short(field::POINTER_SLOTS, head.pointer_slots);
    short(field::OWNER, head.owner);
    short(field::NAME_LEN, head.name_len);
    short(field::SOA_LEN, head.soa_len);
    octets[field::OUTCOME] = head.outcome as u8;
    octets[field::FLAGS] = head.flags.0;
    octets[field::TTL..field::TTL + 4].copy_from_slice(&head.ttl_secs.to_le_bytes());
    octets[field::RRSET_TTL..field::RRSET_TTL + 4]
        .copy_from_slice(&head.rrset_ttl_secs.to_le_bytes());
    into.extend_from_slice(&octets);
}

/// Takes back that the upstream server vouched for a compiled answer.
pub fn forget_authentic(octets: &mut [u8]) {
    if let Some(flags) = octets.get_mut(field::FLAGS) {
        *flags &= !(AnswerFlags::AUTHENTIC.0 | AnswerFlags::SECURE.0);
    }
}

/// Marks a compiled answer as validated here and found secure. No TTL in it may be longer than what
/// the signatures allow (RFC 4035 5.3.3).
pub fn mark_secure(octets: &mut [u8], ttl_max_secs: u32) {
    let Some(answer) = Answer::read(octets) else { return };
    let slots: Vec<usize> = answer.ttl_slots().collect();
    octets[field::FLAGS] |= AnswerFlags::AUTHENTIC.0 | AnswerFlags::SECURE.0;
    for place in [field::TTL, field::RRSET_TTL] {
        let ttl = &mut octets[place..place + 4];
        let secs = u32::from_le_bytes([ttl[0], ttl[1], ttl[2], ttl[3]]).min(ttl_max_secs);
        ttl.copy_from_slice(&secs.to_le_bytes());
    }
    for slot in slots {
        let Some(ttl) = octets.get_mut(HEAD_LEN + slot..HEAD_LEN + slot + 4) else { return };
        let secs = u32::from_be_bytes([ttl[0], ttl[1], ttl[2], ttl[3]]).min(ttl_max_secs);
        ttl.copy_from_slice(&secs.to_be_bytes());
    }
}

/// Lowers every TTL in a compiled answer by so many seconds, down to 0 at the least: to what is
/// left of them by then.
pub fn lower_ttls(octets: &mut [u8], secs: u32) {
    let Some(answer) = Answer::read(octets) else { return };
    let slots: Vec<usize> = answer.ttl_slots().collect();
    for place in [field::TTL, field::RRSET_TTL] {
        let Some(ttl) = octets.get_mut(place..).and_then(<[u8]>::first_chunk_mut) else { return };
        *ttl = u32::from_le_bytes(*ttl).saturating_sub(secs).to_le_bytes();
    }
    for slot in slots {
        let ttl = octets.get_mut(HEAD_LEN + slot..).and_then(<[u8]>::first_chunk_mut);
        let Some(ttl) = ttl else { return };
        *ttl = u32::from_be_bytes(*ttl).saturating_sub(secs).to_be_bytes();
    }
}

/// Compiles a failure: no records, only why. `ttl_secs` is how long it is remembered (RFC 9520).
pub fn compile_failure(
    rcode: Rcode,
    info_code: Option<InfoCode>,
    flags: AnswerFlags,
    ttl_secs: u32,
    into: &mut Vec<u8>,
) {
    let head = Head {
        outcome: Outcome::Failure,
        flags,
        rcode,
        info_code,
        chain_len: 0,
        chain_count: 0,
        rrset_count: 0,
        rrset_len: 0,
        tail_count: 0,
        tail_len: 0,
        authority_count: 0,
        authority_len: 0,
        soa_len: 0,
        owner: POINTER_TO_QUESTION,
        name_len: 0,
        ttl_secs,
        rrset_ttl_secs: 0,
        ttl_slots: 0,
        pointer_slots: 0,
    };
    into.clear();
    write_head(&head, into);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_back_as_it_was_compiled() {
        let mut octets = Vec::new();
        let flags = AnswerFlags::BOGUS;
        compile_failure(Rcode::SERVFAIL, Some(InfoCode(6)), flags, 5, &mut octets);
        let answer = Answer::read(&octets).unwrap();
        assert_eq!(answer.head().outcome, Outcome::Failure);
        assert_eq!(answer.head().rcode, Rcode::SERVFAIL);
        assert_eq!(answer.head().info_code, Some(InfoCode(6)));
        assert!(answer.head().flags.has(AnswerFlags::BOGUS));
        assert_eq!(answer.head().ttl_secs, 5);
        assert_eq!(answer.compiled_len(), octets.len());
    }

    #[test]
    fn what_is_secure_lives_no_longer_than_its_signatures_and_can_be_doubted_again() {
        let mut octets = Vec::new();
        compile_failure(Rcode::SERVFAIL, None, AnswerFlags::default(), 500, &mut octets);
        mark_secure(&mut octets, 60);
        let head = Answer::read(&octets).unwrap().head();
        assert!(head.flags.has(AnswerFlags::SECURE) && head.flags.has(AnswerFlags::AUTHENTIC));
        assert_eq!(head.ttl_secs, 60);
        mark_secure(&mut octets, 90);
        assert_eq!(Answer::read(&octets).unwrap().head().ttl_secs, 60, "never longer");
        forget_authentic(&mut octets);
        let flags = Answer::read(&octets).unwrap().head().flags;
        assert!(!flags.has(AnswerFlags::SECURE) && !flags.has(AnswerFlags::AUTHENTIC));
    }

    #[test]
    fn octets_cut_short_are_no_answer() {
        let mut octets = Vec::new();
        compile_failure(Rcode::SERVFAIL, None, AnswerFlags::default(), 5, &mut octets);
        for len in 0..octets.len() {
            assert!(Answer::read(&octets[..len]).is_none(), "{len} octets");
        }
    }
}
