//! Replies ready to be sent: beside the answers of a name stands the reply that the last of its
//! clients got, for those who ask the same in the same way.
//!
//! A ready reply is made of the octets of a reply that was written the long way, so that it cannot
//! say anything else; it knows where their TTLs are and until when all of it holds. It serves
//! plain queries ([`PlainQuery`]) of clients of the same view with the same prefixes. Whatever
//! changes the answers of the name writes its entry anew, and the ready reply is gone.
//!
//! ```text
//!  octets 0-3    prefixes of the clients it is for
//!  octets 4-5    view of the clients it is for
//!  octet  6      flags
//!  octet  7      places of TTLs
//!  octets 8-11   second in which it was made
//!  octets 12-15  good before this second
//!  octets 16-17  octets of the records
//!  octets 18-19  octets of the OPT record with its options; 0 if unknown
//!  octets 20-25  header: flags, ANCOUNT, NSCOUNT
//!  octets 26-29  configuration it was made by
//!  octets 30-    places of TTLs in the records, two octets each; records; OPT
//! ```

use dns64_ebpf::hot::entry::{ENTRY_WORDS, Publication};

use crate::datagram::Epoch;
use crate::limits::HEADER_LEN;
use crate::policy::{PrefixMask, ViewId};
use crate::wire::header::Rcode;
use crate::wire::plain::PlainQuery;
use crate::wire::question::Class;

use super::cached::Written;

/// Octets of the fixed part.
const HEAD_LEN: usize = 30;

/// The longest run of records that is kept: with the longest plain question and OPT the reply then
/// still fits what every client takes, or nearly.
const RECORDS_LEN_MAX: usize = 512;

/// The most TTLs in a ready reply.
const TTLS_MAX: usize = 24;

/// The least octets of an OPT record: those of one without options.
const OPT_LEN: usize = 11;

/// Bits of the flags.
mod flag {
    /// The reply has synthesized AAAA.
    pub(super) const SYNTHESIZED: u8 = 1;
    /// AD is clear also for clients that understand it.
    pub(super) const AD_KNOWN: u8 = 2;
}

/// Header bits of a reply (RFC 1035 4.1.1).
mod bits {
    pub(super) const TC: u16 = 0x0200;
    pub(super) const AD: u16 = 0x0020;
}

/// Whom a ready reply is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Audience {
    /// The view.
    pub(super) view: ViewId,
    /// The prefixes of the client.
    pub(super) prefixes: PrefixMask,
    /// The configuration that has this view and these prefixes.
    pub(super) epoch: Epoch,
}

/// A ready reply, read in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready<'a> {
    head: &'a [u8; HEAD_LEN],
    /// Places of TTLs, records, OPT.
    rest: &'a [u8],
}

impl<'a> Ready<'a> {
    /// Reads a ready reply; `None` if there is none.
    #[inline]
    pub(super) fn read(octets: &'a [u8]) -> Option<Self> {
        let (head, rest) = octets.split_first_chunk::<HEAD_LEN>()?;
        Some(Self { head, rest })
    }

    /// Whether it is for these clients, and still good.
    #[inline]
    pub(super) fn is_for(&self, audience: Audience, now_secs: u32) -> bool {
        self.long(0) == audience.prefixes.0
            && self.short(4) == audience.view.0
            && self.long(26) == audience.epoch.0
            && now_secs < self.long(12)
    }

    /// Whether another ready reply may take its place: this one is over or of another
    /// configuration, or the other is for the same clients and knows all that this one knows.
    /// Otherwise two kinds of clients would write the entry anew in turns.
    pub(super) fn gives_way(&self, other: &Self, now_secs: u32) -> bool {
        let knows_no_less = (self.short(18) == 0 || other.short(18) > 0)
            && self.head[6] & flag::AD_KNOWN & !other.head[6] == 0;
        now_secs >= self.long(12)
            || self.long(26) != other.long(26)
            || (self.head[..6] == other.head[..6] && knows_no_less)
    }

    /// Writes the reply to a query that has its place in the cache, into at most `limit` octets.
    /// `None` if it does not fit, or if the client needs to be told what is not known here.
    #[inline]
    pub(super) fn write(
        &self,
        out: &mut [u8],
        message: &[u8],
        plain: &PlainQuery,
        limit: usize,
        now_secs: u32,
    ) -> Option<Written> {
        let flags = self.head[6];
        if plain.wants_authentic && flags & flag::AD_KNOWN == 0 {
            return None;
        }
        let opt_len = if plain.payload_len.is_some() { usize::from(self.short(18)) } else { 0 };
        if plain.payload_len.is_some() && opt_len == 0 {
            return None;
        }
        let ttls = usize::from(self.head[7]);
        let (places, rest) = self.rest.split_at_checked(ttls * 2)?;
        let (records, opt) = rest.split_at_checked(usize::from(self.short(16)))?;
        let question_end = HEADER_LEN + plain.question_len();
        let records_end = question_end + records.len();
        let len = records_end + opt_len;
        if len > limit {
            return None;
        }
        let out = out.get_mut(..len)?;
        let message = message.get(..question_end)?;
        // ID and question as they came; the rest of the header as it was.
        out[..question_end].copy_from_slice(message);
        out[2..4].copy_from_slice(&self.head[20..22]);
        out[6..10].copy_from_slice(&self.head[22..26]);
        out[10..12].copy_from_slice(&[0, u8::from(opt_len > 0)]);
        let (replied, opt_space) = out[question_end..].split_at_mut(records.len());
        replied.copy_from_slice(records);
        opt_space.copy_from_slice(opt.get(..opt_len)?);
        let age_secs = now_secs.saturating_sub(self.long(8));
        if age_secs > 0 {
            for place in places.as_chunks::<2>().0 {
                let place = usize::from(u16::from_le_bytes(*place));
                let ttl = replied.get_mut(place..)?.first_chunk_mut::<4>()?;
                *ttl = u32::from_be_bytes(*ttl).saturating_sub(age_secs).to_be_bytes();
            }
        }
        let rcode = Rcode(u16::from(self.head[21] & 0xf));
        Some(Written { len, rcode, synthesized: flags & flag::SYNTHESIZED != 0 })
    }

    /// The reply as the kernel's table of hot answers has it, for the audience with this number;
    /// `None` if the table has no room for it, or the kernel leaves such queries alone.
    pub(super) fn publication(
        &self,
        plain: &PlainQuery,
        audience: u16,
        generation: u32,
    ) -> Option<[u64; ENTRY_WORDS]> {
        if plain.dnssec_ok || plain.checking_disabled || plain.class != Class::IN.0 || audience == 0
        {
            return None;
        }
        let (ttl_places, rest) = self.rest.split_at_checked(usize::from(self.head[7]) * 2)?;
        let (records, opt) = rest.split_at_checked(usize::from(self.short(16)))?;
        let head = self.head;
        let publication = Publication {
            name_hash: plain.name_hash,
            name: plain.name(),
            rtype: plain.rtype,
            audience,
            generation,
            made_secs: self.long(8),
            until_secs: self.long(12),
            flags: [head[20], head[21]],
            counts: [head[22], head[23], head[24], head[25]],
            synthesized: head[6] & flag::SYNTHESIZED != 0,
            authentic_known: head[6] & flag::AD_KNOWN != 0,
            ttl_places,
            records,
            opt: opt.get(..usize::from(self.short(18)))?,
        };
        publication.words()
    }

    fn short(&self, place: usize) -> u16 {
        u16::from_le_bytes([self.head[place], self.head[place + 1]])
    }

    fn long(&self, place: usize) -> u32 {
        let head = self.head;
        u32::from_le_bytes([head[place], head[place + 1], head[place + 2], head[place + 3]])
    }
}

/// Makes a ready reply of one that has just been written for a plain query, in place of what `into`
/// holds. `until_secs` is how long its answers hold. `None` if the reply is not of the kind that
/// can be kept; `into` then holds nothing of use.
pub(super) fn make(
    reply: &[u8],
    written: Written,
    plain: &PlainQuery,
    audience: Audience,
    (now_secs, until_secs): (u32, u32),
    into: &mut Vec<u8>,
) -> Option<()> {
    into.clear();
    let (header, rest) = reply.split_first_chunk::<HEADER_LEN>()?;
    let header_flags = u16::from_be_bytes([header[2], header[3]]);
    // What AD says depends on the client; of what is authentic no ready reply is made.
    if header_flags & (bits::TC | bits::AD) != 0 {
        return None;
    }
    let body = rest.get(plain.question_len()..)?;
    let count = |place: usize| usize::from(u16::from_be_bytes([header[place], header[place + 1]]));
    let records = count(6) + count(8);
    if records > TTLS_MAX {
        return None;
    }
    into.extend_from_slice(&[0; HEAD_LEN]);
    let mut place = 0;
    let mut least_ttl_secs = u32::MAX;
    for _ in 0..records {
        let (ttl_place, end) = record(body, place)?;
        into.extend_from_slice(&u16::try_from(ttl_place).ok()?.to_le_bytes());
        let ttl = body.get(ttl_place..)?.first_chunk::<4>()?;
        least_ttl_secs = least_ttl_secs.min(u32::from_be_bytes(*ttl));
        place = end;
    }
    let until_secs = until_secs.min(now_secs.saturating_add(least_ttl_secs));
    let (records_octets, opt) = body.split_at_checked(place)?;
    if until_secs <= now_secs || place > RECORDS_LEN_MAX {
        return None;
    }
    // Without EDNS in the query nobody knows yet what the OPT record would say.
    let has_opt = plain.payload_len.is_some();
    if has_opt != (opt.len() >= OPT_LEN) {
        return None;
    }
    into.extend_from_slice(records_octets);
    into.extend_from_slice(opt);
    let mut flags = 0;
    if written.synthesized {
        flags |= flag::SYNTHESIZED;
    }
    // What is synthesized and has AD is not kept, and another client that asks with the same DO
    // would not get AD either.
    if written.synthesized || plain.wants_authentic {
        flags |= flag::AD_KNOWN;
    }
    let head = &mut into[..HEAD_LEN];
    head[..4].copy_from_slice(&audience.prefixes.0.to_le_bytes());
    head[4..6].copy_from_slice(&audience.view.0.to_le_bytes());
    head[26..30].copy_from_slice(&audience.epoch.0.to_le_bytes());
    head[6] = flags;
    head[7] = records as u8;
    head[8..12].copy_from_slice(&now_secs.to_le_bytes());
    head[12..16].copy_from_slice(&until_secs.to_le_bytes());
    head[16..18].copy_from_slice(&(place as u16).to_le_bytes());
    head[18..20].copy_from_slice(&u16::try_from(opt.len()).ok()?.to_le_bytes());
    head[20..22].copy_from_slice(&header[2..4]);
    head[22..26].copy_from_slice(&header[6..10]);
    Some(())
}

/// Where the TTL of the record at `place` is, and where the record ends.
fn record(body: &[u8], mut place: usize) -> Option<(usize, usize)> {
    loop {
        match *body.get(place)? {
            0 => break place += 1,
            len @ 1..=63 => place += 1 + usize::from(len),
            _ => break place += 2,
        }
    }
    let fixed = body.get(place..)?.first_chunk::<10>()?;
    let rdata_len = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    let end = place + 10 + rdata_len;
    (end <= body.len()).then_some((place + 4, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a ready reply for one of two audiences, good before second 100.
    fn head(prefixes: u8, knows_opt: bool, flags: u8) -> [u8; HEAD_LEN] {
        let mut head = [0; HEAD_LEN];
        head[0] = prefixes;
        head[6] = flags;
        head[12] = 100;
        head[18] = if knows_opt { OPT_LEN as u8 } else { 0 };
        head
    }

    #[test]
    fn no_two_kinds_of_clients_write_an_entry_anew_in_turns() {
        let kinds: Vec<_> = [1, 2]
            .into_iter()
            .flat_map(|prefixes| [(prefixes, false), (prefixes, true)])
            .flat_map(|(prefixes, opt)| [0, flag::AD_KNOWN].map(|flags| head(prefixes, opt, flags)))
            .collect();
        for one in kinds.iter().filter_map(|head| Ready::read(head)) {
            for other in kinds.iter().filter_map(|head| Ready::read(head)) {
                let turns = one.gives_way(&other, 99) && other.gives_way(&one, 99);
                assert!(!turns || one.head == other.head, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_ready_reply_gives_way_to_one_that_knows_more_and_when_it_is_over() {
        let (less, more) = (head(1, false, 0), head(1, true, flag::AD_KNOWN));
        let (less, more) = (Ready::read(&less).unwrap(), Ready::read(&more).unwrap());
        assert!(less.gives_way(&more, 99));
        assert!(!more.gives_way(&less, 99));
        assert!(more.gives_way(&less, 100));
    }
}
