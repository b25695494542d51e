//! An entry of the table: one published reply.
//!
//! ```text
//!   word 0       sequence: odd while the entry is written
//!   word 1       hash of name, type and audience; 0: nothing is published
//!   word 2       good before this second << 32 | generation
//!   word 3       made in this second << 32 | audience
//!   word 4       octets of OPT << 48 | octets of records << 32 | TTLs << 24
//!                | octets of the name << 16 | type
//!   word 5       marks << 48 | NSCOUNT << 32 | ANCOUNT << 16 | header flags, in network order
//!   word 6       not zero once the program has used it; the only word that the program writes
//!   words 7-12   places of TTLs in the records, 16 bits each
//!   words 13-28  the name in lower case, zeros behind it
//!   words 29-95  records, then OPT
//! ```
//!
//! The first octet of what lies in several words is the lowest of the first word. An entry that is
//! written while it is read is recognised by its sequence, and so is the order in which memory is
//! seen: [`Words::after`] makes each read wait for those before it.
//!
//! Entries that share a bucket lie side by side, [`WAYS`] of them. Behind the last bucket there is
//! one more: the refusal, which has neither name nor records and is good for ever.

use super::Miss;
use super::control::Control;
use super::query::Asked;
use super::reply::{Room, place};
use crate::hash;

/// Words of an entry.
pub const ENTRY_WORDS: usize = 96;
/// Octets of an entry.
pub const ENTRY_LEN: usize = ENTRY_WORDS * 8;
/// Entries of a bucket.
pub const WAYS: u32 = 2;

/// Word of the sequence.
pub const SEQUENCE: usize = 0;
/// Word of the hash.
pub const HASH: usize = 1;
/// Word of end and generation.
pub const END: usize = 2;
/// Word of start and audience.
pub const START: usize = 3;
/// Word of lengths and type.
pub const SHAPE: usize = 4;
/// Word of what goes into the header.
pub const HEADER: usize = 5;
/// Word of the mark that the entry is used.
pub const USED: usize = 6;
/// Word in which the places of TTLs begin.
pub const PLACES: usize = 7;
const NAME: usize = 13;
/// Word in which records and OPT begin.
pub const BODY: usize = 29;

/// Octets of the longest name.
pub const NAME_LEN_MAX: usize = (BODY - NAME) * 8;
/// The most TTLs.
pub const TTLS_MAX: usize = (NAME - PLACES) * 4;
/// Octets of records and OPT together.
pub const BODY_LEN_MAX: usize = (ENTRY_WORDS - BODY) * 8;

/// Bits of the marks.
mod mark {
    /// The reply has synthesized AAAA.
    pub(super) const SYNTHESIZED: u64 = 1 << 48;
    /// AD is clear also for clients that understand it.
    pub(super) const AUTHENTIC_KNOWN: u64 = 1 << 49;
}

/// Words in memory that another may be writing.
pub trait Words: Copy {
    /// The word with this number.
    fn word(self, index: usize) -> u64;

    /// The same words, to be read after `seen` was.
    #[must_use]
    fn after(self, seen: u64) -> Self;
}

/// Words that nobody else has.
impl Words for &[u64] {
    fn word(self, index: usize) -> u64 {
        self.get(index).copied().unwrap_or(0)
    }

    fn after(self, _: u64) -> Self {
        self
    }
}

/// The hash under which a reply stands.
#[inline(always)]
#[must_use]
pub const fn key_hash(name_hash: u64, rtype: u16, audience: u16) -> u64 {
    let which = (audience as u64) << 16 | rtype as u64;
    // Zero means "nothing".
    hash::finish(hash::mix_word(name_hash, which), 4) | 1
}

/// The first entry of the bucket of a hash.
#[inline(always)]
#[must_use]
pub const fn first_of_bucket(hash: u64, bucket_mask: u32) -> u32 {
    ((hash >> 32) as u32 & bucket_mask).wrapping_mul(WAYS)
}

/// The entry behind the last bucket: what refuses the queries of those who may not ask.
#[inline(always)]
#[must_use]
pub const fn refusal_index(bucket_mask: u32) -> u32 {
    bucket_mask.wrapping_add(1).wrapping_mul(WAYS)
}

/// A reply to be published.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// Hash of the name by the seed of this start: [`hash::name_hash`].
    pub name_hash: u64,
    /// The name in lower case, in wire form.
    pub name: &'a [u8],
    /// The type asked for; the class is IN.
    pub rtype: u16,
    /// Whose answer it is.
    pub audience: u16,
    /// The configuration it was made under.
    pub generation: u32,
    /// The second in which it was made.
    pub made_secs: u32,
    /// It is good before this second.
    pub until_secs: u32,
    /// Octets 2 and 3 of the header.
    pub flags: [u8; 2],
    /// ANCOUNT and NSCOUNT as in the header.
    pub counts: [u8; 4],
    /// Whether it has synthesized AAAA.
    pub synthesized: bool,
    /// Whether AD is clear also for clients that understand it.
    pub authentic_known: bool,
    /// Places of TTLs in the records: two octets each, the lower one first.
    pub ttl_places: &'a [u8],
    /// The records of the answer and authority sections.
    pub records: &'a [u8],
    /// The OPT record; empty if it is not known.
    pub opt: &'a [u8],
}

impl Publication<'_> {
    /// The words of the entry, the sequence aside; `None` if it has no room.
    #[must_use]
    pub fn words(&self) -> Option<[u64; ENTRY_WORDS]> {
        let ttls = self.ttl_places.len() / 2;
        let body_len = self.records.len() + self.opt.len();
        let in_records =
            |place: &[u8; 2]| usize::from(u16::from_le_bytes(*place)) + 4 <= self.records.len();
        if self.name.len() > NAME_LEN_MAX
            || ttls > TTLS_MAX
            || body_len > BODY_LEN_MAX
            || !self.ttl_places.as_chunks::<2>().0.iter().all(in_records)
        {
            return None;
        }
        let mut words = [0; ENTRY_WORDS];
        words[HASH] = key_hash(self.name_hash, self.rtype, self.audience);
        words[END] = u64::from(self.until_secs) << 32 | u64::from(self.generation);
        words[START] = u64::from(self.made_secs) << 32 | u64::from(self.audience);
        words[SHAPE] = (self.opt.len() as u64) << 48
            | (self.records.len() as u64) << 32
            | (ttls as u64) << 24
            | (self.name.len() as u64) << 16
            | u64::from(self.rtype);
        let ([f0, f1], [a0, a1, n0, n1]) = (self.flags, self.counts);
        words[HEADER] = u64::from_le_bytes([f0, f1, a0, a1, n0, n1, 0, 0]);
        if self.synthesized {
            words[HEADER] |= mark::SYNTHESIZED;
        }
        if self.authentic_known {
            words[HEADER] |= mark::AUTHENTIC_KNOWN;
        }
        fill(&mut words[PLACES..NAME], self.ttl_places.iter());
        fill(&mut words[NAME..BODY], self.name.iter());
        fill(&mut words[BODY..], self.records.iter().chain(self.opt));
        Some(words)
    }
}

/// Puts octets into words, eight each, the first one lowest.
fn fill<'a>(words: &mut [u64], octets: impl Iterator<Item = &'a u8>) {
    for (index, octet) in octets.enumerate() {
        words[index / 8] |= u64::from(*octet) << (index % 8 * 8);
    }
}

/// In which bits the name in the room differs from that of the entry, whatever their case, and what
/// depends on every word that was read. Whole words first, so that the verifier meets what is done
/// with the last octets at the end of the loop, and not in each of its turns.
#[inline(always)]
fn name_differences<W: Words, R: Room + ?Sized>(
    entry: W,
    room: &mut R,
    name_len: usize,
) -> Result<(u64, u64), Miss> {
    let (mut differences, mut seen) = (0, 0);
    let name_len = room.forget(name_len);
    let whole = name_len / 8;
    for index in 0..NAME_LEN_MAX / 8 {
        if index >= whole {
            break;
        }
        let octets = room.octets(place::QUESTION + index * 8).ok_or(Miss::Form)?;
        let published = entry.word(NAME + index);
        seen |= published;
        differences |= hash::fold_word(u64::from_le_bytes(octets)) ^ published;
    }
    // A name of whole words only has no octets left, and the mask is empty.
    let last = whole % (NAME_LEN_MAX / 8);
    let mask = (1 << (name_len % 8 * 8)) - 1;
    let octets = room.octets(place::QUESTION + last * 8).ok_or(Miss::Form)?;
    let published = entry.word(NAME + last);
    let word = hash::fold_word(u64::from_le_bytes(octets));
    Ok((differences | (word ^ published) & mask, seen | published))
}

/// An entry that is the reply to a query, unless its sequence changes while it is read.
#[derive(Clone, Copy, Debug)]
pub struct Found<W> {
    /// The entry, to be read further.
    pub entry: W,
    /// The sequence it had.
    pub sequence: u64,
    /// What it holds in [`SHAPE`].
    shape: u64,
    /// What it holds in [`HEADER`].
    header: u64,
    /// Depends on every word that has been read.
    pub seen: u64,
    /// Seconds since it was made.
    pub age_secs: u32,
}

impl<W: Words> Found<W> {
    /// Reads an entry with the right hash: whether it is good, and for this query.
    ///
    /// # Errors
    /// Says why it is not.
    #[inline(always)]
    pub fn read<R: Room + ?Sized>(
        entry: W,
        room: &mut R,
        asked: &Asked,
        audience: u16,
        control: &Control,
    ) -> Result<Self, Miss> {
        let sequence = entry.word(SEQUENCE);
        if sequence & 1 != 0 {
            return Err(Miss::Torn);
        }
        let entry = entry.after(sequence);
        let (end, start) = (entry.word(END), entry.word(START));
        let (shape, header) = (entry.word(SHAPE), entry.word(HEADER));
        if start as u16 != audience
            || shape as u32 & 0xff_ffff != (asked.name_len as u32) << 16 | u32::from(asked.rtype)
        {
            return Err(Miss::Absent);
        }
        if end as u32 != control.generation || (end >> 32) as u32 <= control.now_secs {
            return Err(Miss::Old);
        }
        if asked.wants_authentic && header & mark::AUTHENTIC_KNOWN == 0 {
            return Err(Miss::Authentic);
        }
        // Without EDNS in the query it was made for nobody knows what the OPT record would say.
        if asked.has_opt && shape >> 48 == 0 {
            return Err(Miss::Absent);
        }
        let (differences, seen) = name_differences(entry, room, asked.name_len)?;
        if differences != 0 {
            return Err(Miss::Absent);
        }
        let seen = seen | end | start | shape | header;
        let age_secs = control.now_secs.saturating_sub((start >> 32) as u32);
        Ok(Self { entry, sequence, shape, header, seen, age_secs })
    }

    /// Reads the entry that refuses whatever is asked.
    ///
    /// # Errors
    /// Says why nothing can be refused so.
    #[inline(always)]
    pub fn refusal(entry: W, asked: &Asked) -> Result<Self, Miss> {
        let sequence = entry.word(SEQUENCE);
        if sequence & 1 != 0 {
            return Err(Miss::Torn);
        }
        let entry = entry.after(sequence);
        let (shape, header) = (entry.word(SHAPE), entry.word(HEADER));
        // Flags of zeros are those of a query: nobody has said what a refusal looks like.
        if header as u16 == 0 {
            return Err(Miss::Client);
        }
        if asked.has_opt && shape >> 48 == 0 {
            return Err(Miss::Absent);
        }
        Ok(Self { entry, sequence, shape, header, seen: shape | header, age_secs: 0 })
    }

    /// Octets of the records.
    #[inline(always)]
    pub fn records_len(&self) -> usize {
        (self.shape >> 32 & 0x3ff) as usize
    }

    /// Octets of the OPT record.
    #[inline(always)]
    pub fn opt_len(&self) -> usize {
        (self.shape >> 48 & 0x3ff) as usize
    }

    /// TTLs in the records.
    #[inline(always)]
    pub fn ttls(&self) -> usize {
        (self.shape >> 24 & 0xff) as usize
    }

    /// Octets 2 and 3 of the header of the reply.
    #[inline(always)]
    pub fn flags(&self) -> [u8; 2] {
        (self.header as u16).to_le_bytes()
    }

    /// ANCOUNT and NSCOUNT.
    #[inline(always)]
    pub fn counts(&self) -> [u8; 4] {
        ((self.header >> 16) as u32).to_le_bytes()
    }

    /// Whether the reply has synthesized AAAA.
    #[inline(always)]
    pub fn is_synthesized(&self) -> bool {
        self.header & mark::SYNTHESIZED != 0
    }
}
