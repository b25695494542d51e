//! From a compiled [`Answer`] to the octets of a reply: copying, patching, embedding.
//!
//! Nothing here allocates, and every reply respects the client's limit: what does not fit becomes
//! an empty reply with TC set (RFC 2181 9), never a partial RRset.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::limits::{HEADER_LEN, SYNTHESIZED_RECORDS_MAX, TTL_STALE_SECS, UDP_PAYLOAD_LEN};
use crate::pref64::Pref64;
use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;
use crate::wire::question::{Class, Rtype};

use super::{A_RECORD_LEN, AAAA_RECORD_LEN, Answer, POINTER_TO_QUESTION};

/// Octets of an OPT record without options (RFC 6891 6.1.2).
const OPT_LEN: usize = 11;

/// Octets of an Extended Error option without text (RFC 8914 2).
pub(crate) const EXTENDED_ERROR_LEN: usize = 6;

/// Greatest TTL of the CNAME from a name under a Pref64 to in-addr.arpa, as BIND has it.
const TTL_REVERSE_CNAME_SECS: u32 = 600;

/// Header bits of a reply (RFC 1035 4.1.1, RFC 4035 3.2).
mod bits {
    pub(super) const QR: u16 = 0x8000;
    pub(super) const TC: u16 = 0x0200;
    pub(super) const RD: u16 = 0x0100;
    pub(super) const RA: u16 = 0x0080;
    pub(super) const AD: u16 = 0x0020;
    pub(super) const CD: u16 = 0x0010;
}

/// What of a query decides the form of its reply.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The query's ID.
    pub id: u16,
    /// RD of the query, copied into the reply.
    pub recursion_desired: bool,
    /// CD of the query, copied into the reply (RFC 4035 3.2.2).
    pub checking_disabled: bool,
    /// AD of the query: the client understands AD in the reply (RFC 6840 5.7).
    pub wants_authentic: bool,
    /// Whether the query had an OPT record; only then the reply has one (RFC 6891 6.1.1).
    pub edns: bool,
    /// DO of the query, echoed (RFC 3225 3).
    pub dnssec_ok: bool,
    /// Octets the reply may have.
    pub limit: usize,
    /// Name, type and class exactly as asked, letter case included.
    pub question: &'a [u8],
    /// The name that the answers are about, where a policy has made the asked name an alias of it.
    pub alias: Option<Alias<'a>>,
}

impl<'a> Request<'a> {
    /// The asked name in wire form.
    #[must_use]
    pub fn asked_name(&self) -> &'a [u8] {
        self.question.get(..self.question.len().saturating_sub(4)).unwrap_or_default()
    }

    /// The name that is looked up, in wire form: the asked one, or that it is an alias of.
    #[must_use]
    pub fn sought_name(&self) -> &'a [u8] {
        self.alias.map_or_else(|| self.asked_name(), |alias| alias.target)
    }

    /// The asked type.
    #[must_use]
    pub fn asked_type(&self) -> Rtype {
        let fixed = self.question.last_chunk::<4>().copied().unwrap_or_default();
        Rtype(u16::from_be_bytes([fixed[0], fixed[1]]))
    }
}

/// An alias that a policy makes of the asked name: a CNAME in front of the answers of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias<'a> {
    /// The name that it is an alias of, in uncompressed wire form.
    pub target: &'a [u8],
    /// TTL of the CNAME in seconds.
    pub ttl_secs: u32,
    /// The Extended Error of the reply, in place of any other.
    pub info_code: Option<InfoCode>,
}

/// How old an answer is when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Fresh, this many seconds after it was stored.
    Secs(u32),
    /// Past its TTL, served because nothing better is to be had (RFC 8767).
    Stale,
}

impl Age {
    /// What is left of a TTL.
    #[must_use]
    pub fn remaining(self, ttl_secs: u32) -> u32 {
        match self {
            Self::Secs(age_secs) => ttl_secs.saturating_sub(age_secs),
            Self::Stale => ttl_secs.min(TTL_STALE_SECS),
        }
    }

    /// The Extended Error that tells the client of a stale answer (RFC 8914 4.4, 4.20).
    #[must_use]
    pub fn info_code(self, rcode: Rcode) -> Option<InfoCode> {
        match (self, rcode) {
            (Self::Secs(_), _) => None,
            (Self::Stale, Rcode::NXDOMAIN) => Some(InfoCode::STALE_NXDOMAIN_ANSWER),
            (Self::Stale, _) => Some(InfoCode::STALE_ANSWER),
        }
    }
}

/// Writes an answer as it came from upstream.
pub fn write_native(
    out: &mut [u8],
    request: &Request<'_>,
    answer: &Answer<'_>,
    age: Age,
    authentic: bool,
    info_code: Option<InfoCode>,
) -> usize {
    let head = answer.head();
    let mut reply = ReplyWriter::new(out, request, head.rcode);
    reply.authentic(authentic);
    let counts = [head.chain_count + head.rrset_count + head.tail_count, head.authority_count];
    reply.image(answer, 0..answer.image.len(), age);
    reply.count(counts);
    reply.finish(info_code)
}

/// Writes an AAAA answer without the records that count as absent (RFC 6147 5.1.4). RRSIG of the
/// RRset go too: they cover records that are no longer there.
pub fn write_without_excluded(
    out: &mut [u8],
    request: &Request<'_>,
    answer: &Answer<'_>,
    age: Age,
    is_absent: impl Fn(Ipv6Addr) -> bool,
) -> usize {
    let head = answer.head();
    let mut reply = ReplyWriter::new(out, request, head.rcode);
    reply.image(answer, 0..usize::from(head.chain_len), age);
    reply.count([head.chain_count, 0]);
    let ttl_secs = age.remaining(head.rrset_ttl_secs);
    for address in answer.ipv6_addresses().filter(|address| !is_absent(*address)) {
        reply.aaaa(head.owner, ttl_secs, address);
    }
    reply.finish(age.info_code(head.rcode))
}

/// What is known of synthesized records before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRrset {
    /// Their TTL.
    pub ttl_secs: u32,
    /// Whether something past its TTL went into them.
    pub stale: bool,
    /// Whether all that went into them was validated here and found secure.
    pub secure: bool,
}

/// Writes AAAA records made from the addresses of an A answer (RFC 6147 5.1.7).
///
/// `prefixes` gives for an IPv4 address the places of the
/// Pref64 that map it, as bits; `pref64` the Pref64 at a place. The chain is that of the A answer
/// (5.1.5), whose authority section stays behind: it could only be about the A records.
pub fn write_synthesized(
    out: &mut [u8],
    request: &Request<'_>,
    a: &Answer<'_>,
    age: Age,
    rrset: NewRrset,
    prefixes: impl Fn(Ipv4Addr) -> u32,
    pref64: impl Fn(usize) -> Pref64,
) -> usize {
    let NewRrset { ttl_secs, stale, secure } = rrset;
    let head = a.head();
    let mut reply = ReplyWriter::new(out, request, Rcode::NOERROR);
    // RFC 6147 5.5: (1) never AD where DO is clear; (2) with DO, AD says what we have validated.
    reply.authentic(secure && request.dnssec_ok);
    reply.image(a, 0..usize::from(head.chain_len), age);
    reply.count([head.chain_count, 0]);
    let mut used = a.ipv4_addresses().fold(0, |used, address| used | prefixes(address));
    let mut records = 0;
    while used != 0 {
        let place = used.trailing_zeros();
        used &= used - 1;
        let pref64 = pref64(place as usize);
        for address in a.ipv4_addresses() {
            if prefixes(address) & (1 << place) != 0 && records < SYNTHESIZED_RECORDS_MAX {
                reply.aaaa(head.owner, ttl_secs, pref64.embed(address));
                records += 1;
            }
        }
    }
    let info_code = if stale { InfoCode::STALE_ANSWER } else { InfoCode::SYNTHESIZED };
    reply.finish(Some(info_code))
}

/// Writes a reply without records of the asked type: the chain of `chain`, and the SOA of `denial`
/// if it has one (RFC 2308 2.2).
pub fn write_empty(
    out: &mut [u8],
    request: &Request<'_>,
    chain: (&Answer<'_>, Age),
    denial: Option<(&Answer<'_>, Age)>,
) -> usize {
    let (chain, chain_age) = chain;
    let head = chain.head();
    let mut reply = ReplyWriter::new(out, request, Rcode::NOERROR);
    reply.image(chain, 0..usize::from(head.chain_len), chain_age);
    reply.count([head.chain_count, 0]);
    if let Some((denial, age)) = denial.filter(|(denial, _)| denial.head().soa_len > 0) {
        // The SOA's pointers may lead into the chain of its own answer. Where the two chains
        // differ it cannot be moved here, and the reply does without.
        let start = denial.image.len() - usize::from(denial.head().authority_len);
        if denial.chain() == chain.chain() && denial.head().rrset_len == 0 {
            reply.image(denial, start..start + usize::from(denial.head().soa_len), age);
            reply.count([0, 1]);
        }
    }
    let age = denial.map_or(chain_age, |(_, age)| if age == Age::Stale { age } else { chain_age });
    reply.finish(age.info_code(Rcode::NOERROR))
}

/// Writes the reply for a name under a Pref64 (RFC 6147 5.3.1, option 2): a CNAME to the name in
/// in-addr.arpa, `target` in wire form, and what that name has.
pub fn write_reverse_cname(
    out: &mut [u8],
    request: &Request<'_>,
    target: &[u8],
    ptr: &Answer<'_>,
    age: Age,
    class: Class,
) -> usize {
    let head = ptr.head();
    let mut reply = ReplyWriter::new(out, request, Rcode::NOERROR);
    let ttl_secs = age.remaining(head.ttl_secs).min(TTL_REVERSE_CNAME_SECS);
    let target_place = reply.len + 12;
    reply.record(POINTER_TO_QUESTION, Rtype::CNAME, class, ttl_secs, target);
    // Each part fits 16 bits, their sum need not.
    let parts = [head.chain_len, head.rrset_len, head.tail_len];
    let answers = parts.into_iter().map(usize::from).sum();
    reply.moved_image(ptr, answers, age, target_place);
    reply.counts[0] = 1 + head.chain_count + head.rrset_count + head.tail_count;
    reply.finish(age.info_code(head.rcode))
}

/// Writes the PTR records of `ptr` under the asked name itself (RFC 6147 5.3.1, option 1).
pub fn write_reverse_direct(
    out: &mut [u8],
    request: &Request<'_>,
    ptr: &Answer<'_>,
    age: Age,
    class: Class,
) -> usize {
    let head = ptr.head();
    let mut reply = ReplyWriter::new(out, request, Rcode::NOERROR);
    let ttl_secs = age.remaining(head.ttl_secs);
    let mut rest = ptr.rrset();
    // Owner pointer, type, class, TTL, RDATA length: twelve octets, then the RDATA.
    while let Some((fixed, after)) = rest.split_first_chunk::<12>() {
        let rdata_len = usize::from(u16::from_be_bytes([fixed[10], fixed[11]]));
        let Some((rdata, after)) = after.split_at_checked(rdata_len) else { break };
        reply.record(POINTER_TO_QUESTION, Rtype::PTR, class, ttl_secs, rdata);
        rest = after;
    }
    reply.finish(age.info_code(head.rcode))
}

/// Writes a reply that denies: RCODE and the SOA of `denial`, without its chain.
pub fn write_reverse_denial(
    out: &mut [u8],
    request: &Request<'_>,
    target: &[u8],
    denial: &Answer<'_>,
    age: Age,
) -> usize {
    let head = denial.head();
    let mut reply = ReplyWriter::new(out, request, head.rcode);
    reply.denial_of_other_name(denial, age, target);
    reply.finish(age.info_code(head.rcode))
}

/// Writes a reply of an RCODE and nothing else.
pub fn write_error(
    out: &mut [u8],
    request: &Request<'_>,
    rcode: Rcode,
    info_code: Option<InfoCode>,
) -> usize {
    let request = Request { alias: None, ..*request };
    ReplyWriter::new(out, &request, rcode).finish(info_code)
}

/// Writes an empty reply with TC set: the client is to come back by TCP.
pub fn write_truncated(out: &mut [u8], request: &Request<'_>) -> usize {
    let request = Request { alias: None, ..*request };
    let mut reply = ReplyWriter::new(out, &request, Rcode::NOERROR);
    reply.overflow = true;
    reply.finish(None)
}

/// A reply under construction. Records that do not fit set a flag; [`ReplyWriter::finish`] then
/// makes the reply a truncated one.
pub struct ReplyWriter<'b, 'q> {
    out: &'b mut [u8],
    request: &'q Request<'q>,
    /// Octets written.
    len: usize,
    /// Octets that may be written before the OPT record.
    limit: usize,
    rcode: Rcode,
    authentic: bool,
    overflow: bool,
    /// Records in the answer and authority sections.
    counts: [u16; 2],
    /// Where the name of an alias stands, and where the image begins behind it.
    moved: Option<(usize, usize)>,
}

impl<'b, 'q> ReplyWriter<'b, 'q> {
    /// Begins a reply: room for the header, and the question as it was asked.
    ///
    /// # Panics
    /// If the buffer cannot hold header, question and OPT: every caller's has 512 octets or more.
    #[must_use]
    pub fn new(out: &'b mut [u8], request: &'q Request<'q>, rcode: Rcode) -> Self {
        let len = HEADER_LEN + request.question.len();
        let opt_len = if request.edns { OPT_LEN } else { 0 };
        assert!(out.len() >= len + opt_len, "a reply buffer holds at least the question");
        out[HEADER_LEN..len].copy_from_slice(request.question);
        let limit = request.limit.min(out.len()).max(len + opt_len) - opt_len;
        let mut reply = Self {
            out,
            request,
            len,
            limit,
            rcode,
            authentic: false,
            overflow: false,
            counts: [0; 2],
            moved: None,
        };
        if let Some(alias) = &request.alias {
            reply.put_alias(alias);
        }
        reply
    }

    /// Writes the CNAME of an alias. What follows was made for another question and moves.
    #[cold]
    fn put_alias(&mut self, alias: &Alias<'_>) {
        let target_place = self.len + 12;
        let (ttl_secs, target) = (alias.ttl_secs, alias.target);
        self.record(POINTER_TO_QUESTION, Rtype::CNAME, Class::IN, ttl_secs, target);
        self.moved = Some((target_place, self.len));
    }

    /// Counts records of an image in both sections.
    fn count(&mut self, counts: [u16; 2]) {
        self.counts = [self.counts[0] + counts[0], self.counts[1] + counts[1]];
    }

    /// Says that an upstream server vouched for all of this reply. It shows only to clients that
    /// asked for it by DO or AD (RFC 6840 5.7, 5.8).
    fn authentic(&mut self, authentic: bool) {
        let authentic = authentic && self.moved.is_none();
        self.authentic = authentic && (self.request.dnssec_ok || self.request.wants_authentic);
    }

    /// The next `len` octets of the reply; `None`, and the reply is truncated, if they do not fit.
    fn take(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.len + len;
        if self.overflow || end > self.limit {
            self.overflow = true;
            return None;
        }
        let octets = self.out.get_mut(self.len..end);
        self.len = end;
        octets
    }

    /// Copies a part of an answer's image to the place it was made for, or to a later one if it
    /// has no pointers into what is left out, and ages its TTLs.
    fn image(&mut self, answer: &Answer<'_>, part: std::ops::Range<usize>, age: Age) {
        if part.is_empty() {
            return;
        }
        let start = part.start;
        let moved = self.moved;
        let Some(octets) = self.take(part.len()) else { return };
        octets.copy_from_slice(&answer.image[part.clone()]);
        for slot in answer.ttl_slots().filter(|slot| part.contains(slot)) {
            age_ttl(octets, slot - start, age);
        }
        if let Some((name_place, new_base)) = moved {
            let slots = answer.pointer_slots().filter(|slot| part.contains(slot));
            let name_len = usize::from(answer.head().name_len);
            let slots = slots.map(|slot| slot - start);
            let too_far = move_pointers(octets, slots, name_len, name_place, new_base);
            self.overflow |= too_far;
        }
    }

    /// Copies the first `len` octets of an image made for another question. Pointers to that
    /// question's name are led to `name_place`, others move with the image.
    fn moved_image(&mut self, answer: &Answer<'_>, len: usize, age: Age, name_place: usize) {
        let new_base = self.len;
        let Some(octets) = self.take(len) else { return };
        octets.copy_from_slice(&answer.image[..len]);
        for slot in answer.ttl_slots().take_while(|slot| *slot < len) {
            age_ttl(octets, slot, age);
        }
        let slots = answer.pointer_slots().take_while(|slot| *slot < len);
        let name_len = usize::from(answer.head().name_len);
        let too_far = move_pointers(octets, slots, name_len, name_place, new_base);
        self.overflow |= too_far;
    }

    /// Writes the SOA of a denial about another name, `name`, spelled out where it pointed there.
    fn denial_of_other_name(&mut self, denial: &Answer<'_>, age: Age, name: &[u8]) {
        let head = denial.head();
        if head.soa_len == 0 {
            return;
        }
        let start = denial.image.len() - usize::from(head.authority_len);
        let end = start + usize::from(head.soa_len);
        let mut soa = SoaReader { denial, name, place: start };
        let ttl_secs = age.remaining(head.ttl_secs);
        let before = self.len;
        // Owner and the two names of the RDATA are written whole: at most three times 255 octets.
        let whole = (|| {
            soa.copy_name(self)?;
            let fixed = denial.image.get(soa.place..soa.place + 10)?;
            self.take(4)?.copy_from_slice(&fixed[..4]);
            self.take(4)?.copy_from_slice(&ttl_secs.to_be_bytes());
            let rdata_len_place = self.len;
            self.take(2)?;
            soa.place += 10;
            soa.copy_name(self)?;
            soa.copy_name(self)?;
            let numbers = denial.image.get(soa.place..end).filter(|rest| rest.len() == 20)?;
            self.take(20)?.copy_from_slice(numbers);
            let rdata_len = (self.len - rdata_len_place - 2) as u16;
            self.out[rdata_len_place..rdata_len_place + 2]
                .copy_from_slice(&rdata_len.to_be_bytes());
            Some(())
        })();
        match whole {
            Some(()) => self.counts[1] += 1,
            None => self.len = before,
        }
    }

    /// Writes a record with a compressed owner into the answer section.
    pub fn record(&mut self, owner: u16, rtype: Rtype, class: Class, ttl_secs: u32, rdata: &[u8]) {
        if self.put_record(owner, rtype, class, ttl_secs, rdata) {
            self.counts[0] += 1;
        }
    }

    /// Writes a record with a compressed owner into the authority section.
    pub fn authority_record(
        &mut self,
        owner: u16,
        rtype: Rtype,
        class: Class,
        ttl_secs: u32,
        rdata: &[u8],
    ) {
        if self.put_record(owner, rtype, class, ttl_secs, rdata) {
            self.counts[1] += 1;
        }
    }

    fn put_record(
        &mut self,
        owner: u16,
        rtype: Rtype,
        class: Class,
        ttl_secs: u32,
        rdata: &[u8],
    ) -> bool {
        let Ok(rdata_len) = u16::try_from(rdata.len()) else { return false };
        let Some(octets) = self.take(12 + rdata.len()) else { return false };
        octets[..2].copy_from_slice(&owner.to_be_bytes());
        octets[2..4].copy_from_slice(&rtype.0.to_be_bytes());
        octets[4..6].copy_from_slice(&class.0.to_be_bytes());
        octets[6..10].copy_from_slice(&ttl_secs.to_be_bytes());
        octets[10..12].copy_from_slice(&rdata_len.to_be_bytes());
        octets[12..].copy_from_slice(rdata);
        true
    }

    /// Writes one AAAA record of class IN.
    #[inline]
    fn aaaa(&mut self, owner: u16, ttl_secs: u32, address: Ipv6Addr) {
        let owner = match self.moved {
            None => owner,
            Some((name_place, new_base)) => {
                let name_len = self.request.sought_name().len();
                move_pointer(owner, name_len, name_place, new_base).unwrap_or_else(|| {
                    self.overflow = true;
                    owner
                })
            }
        };
        let Some(octets) = self.take(AAAA_RECORD_LEN) else { return };
        // Type 28, class 1, RDATA of 16 octets (RFC 3596 2).
        octets[..2].copy_from_slice(&owner.to_be_bytes());
        octets[2..6].copy_from_slice(&[0, 28, 0, 1]);
        octets[6..10].copy_from_slice(&ttl_secs.to_be_bytes());
        octets[10..12].copy_from_slice(&[0, 16]);
        octets[12..28].copy_from_slice(&address.octets());
        self.counts[0] += 1;
    }

    /// Ends the reply: OPT if the query had one, the header; how many octets it has.
    #[must_use]
    pub fn finish(mut self, info_code: Option<InfoCode>) -> usize {
        if self.overflow {
            self.len = HEADER_LEN + self.request.question.len();
            self.counts = [0; 2];
            self.authentic = false;
        }
        let mut additional = 0_u16;
        if self.request.edns {
            additional = 1;
            let info_code = self.request.alias.and_then(|alias| alias.info_code).or(info_code);
            let info_code =
                info_code.filter(|_| !self.overflow && self.len + EXTENDED_ERROR_LEN <= self.limit);
            self.put_opt(info_code);
        }
        let mut flags = bits::QR | bits::RA | (self.rcode.0 & 0xf);
        for (set, bit) in [
            (self.overflow, bits::TC),
            (self.request.recursion_desired, bits::RD),
            (self.authentic, bits::AD),
            (self.request.checking_disabled, bits::CD),
        ] {
            if set {
                flags |= bit;
            }
        }
        let header = &mut self.out[..HEADER_LEN];
        header[..2].copy_from_slice(&self.request.id.to_be_bytes());
        header[2..4].copy_from_slice(&flags.to_be_bytes());
        header[4..6].copy_from_slice(&1_u16.to_be_bytes());
        header[6..8].copy_from_slice(&self.counts[0].to_be_bytes());
        header[8..10].copy_from_slice(&self.counts[1].to_be_bytes());
        header[10..12].copy_from_slice(&additional.to_be_bytes());
        self.len
    }

    fn put_opt(&mut self, info_code: Option<InfoCode>) {
        let end = self.len + OPT_LEN;
        let opt = &mut self.out[self.len..end];
        opt[..3].copy_from_slice(&[0, 0, 41]);
        opt[3..5].copy_from_slice(&(UDP_PAYLOAD_LEN as u16).to_be_bytes());
        opt[5] = (self.rcode.0 >> 4) as u8;
        opt[6] = 0;
        opt[7..9].copy_from_slice(&[if self.request.dnssec_ok { 0x80 } else { 0 }, 0]);
        opt[9..11].copy_from_slice(&[0, 0]);
        self.len = end;
        if let Some(code) = info_code {
            self.out[end - 1] = EXTENDED_ERROR_LEN as u8;
            let option = &mut self.out[end..end + EXTENDED_ERROR_LEN];
            option[..4].copy_from_slice(&[0, 15, 0, 2]);
            option[4..].copy_from_slice(&code.0.to_be_bytes());
            self.len = end + EXTENDED_ERROR_LEN;
        }
    }
}

/// Leads the pointers at these places of an image to where it lies now; whether one leads too far.
/// The image was made for a name of `name_len` octets, which stands at `name_place` now, and begins
/// at `new_base`.
fn move_pointers(
    octets: &mut [u8],
    slots: impl Iterator<Item = usize>,
    name_len: usize,
    name_place: usize,
    new_base: usize,
) -> bool {
    let mut too_far = false;
    for slot in slots {
        let Some(pointer) = octets.get_mut(slot..slot + 2) else { continue };
        let found = u16::from_be_bytes([pointer[0], pointer[1]]);
        match move_pointer(found, name_len, name_place, new_base) {
            Some(moved) => pointer.copy_from_slice(&moved.to_be_bytes()),
            None => too_far = true,
        }
    }
    too_far
}

/// One pointer; `None` if it would lead too far.
fn move_pointer(pointer: u16, name_len: usize, name_place: usize, new_base: usize) -> Option<u16> {
    let old_name_end = HEADER_LEN + name_len;
    let target = usize::from(pointer & 0x3fff);
    let moved = if target < old_name_end {
        target - HEADER_LEN + name_place
    } else {
        target - (old_name_end + 4) + new_base
    };
    (moved <= 0x3fff).then_some(0xc000 | moved as u16)
}

/// Replaces a TTL in copied octets by what is left of it.
fn age_ttl(octets: &mut [u8], slot: usize, age: Age) {
    let Some(field) = octets.get_mut(slot..slot + 4) else { return };
    let ttl_secs = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
    field.copy_from_slice(&age.remaining(ttl_secs).to_be_bytes());
}

/// Reads the names of an SOA in an image made for another question, pointers resolved.
struct SoaReader<'a> {
    denial: &'a Answer<'a>,
    /// The name of the question the image was made for.
    name: &'a [u8],
    /// The next octet in the image.
    place: usize,
}

impl SoaReader<'_> {
    /// Copies the name at the current place, whole, and steps over it.
    fn copy_name(&mut self, reply: &mut ReplyWriter<'_, '_>) -> Option<()> {
        let image = self.denial.image;
        let old_name_end = HEADER_LEN + self.name.len();
        let base = old_name_end + 4;
        let mut octets = image;
        let mut place = self.place;
        let mut jumped = false;
        let mut copied = 0;
        // A name has at most 127 labels, and a pointer stands behind each at the most.
        for _ in 0..256 {
            let len = *octets.get(place)?;
            match len {
                0 => {
                    reply.take(1)?[0] = 0;
                    if !jumped {
                        self.place = place + 1;
                    }
                    return Some(());
                }
                1..=63 => {
                    let label = octets.get(place..place + 1 + usize::from(len))?;
                    copied += label.len();
                    if copied >= crate::limits::NAME_LEN_MAX {
                        return None;
                    }
                    reply.take(label.len())?.copy_from_slice(label);
                    place += label.len();
                }
                _ => {
                    let low = *octets.get(place + 1)?;
                    let target = usize::from(u16::from_be_bytes([len, low]) & 0x3fff);
                    if !jumped {
                        self.place = place + 2;
                        jumped = true;
                    }
                    // Pointers lead backwards: into the image before here, or to the question.
                    if target < old_name_end {
                        octets = self.name;
                        place = target.checked_sub(HEADER_LEN)?;
                    } else {
                        octets = image;
                        place = target.checked_sub(base)?;
                    }
                }
            }
        }
        None
    }
}

const _: () = assert!(A_RECORD_LEN == 12 + 4);
const _: () = assert!(AAAA_RECORD_LEN == 12 + 16);
