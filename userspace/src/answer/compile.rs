//! From an upstream response to a compiled [`Answer`](super::Answer).
//!
//! hickory-proto parses the hostile octets; this module takes from them only what answers the
//! question: the chain that starts at the asked name, the records at its end, and of the authority
//! section the SOA of a denial and DNSSEC proofs. Everything else (NS, glue, records of other
//! names) is left behind, whoever sent it: a forwarder has no use for it, and caching it is how
//! resolvers get poisoned.

use std::fmt;

use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::{Name as MessageName, RData, Record};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

use crate::limits::{CHAIN_LEN_MAX, HEADER_LEN, NAME_LEN_MAX};
use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;
use crate::wire::question::{Class, Rtype};

use super::{AnswerFlags, Head, Outcome, POINTER_TO_QUESTION, write_head};

/// TTL of a denial that came without SOA. RFC 2308 5 would not cache it at all; a few seconds keep
/// a busy name from being asked for by every client.
const TTL_DENIAL_WITHOUT_SOA_SECS: u32 = 5;

/// The EDNS option of an Extended Error (RFC 8914 2).
const OPTION_EXTENDED_ERROR: u16 = 15;

/// Names remembered as targets of compression in one image.
const COMPRESSION_TARGETS_MAX: usize = 64;

/// The last place a compression pointer can name (RFC 1035 4.1.4).
const POINTER_MAX: usize = 0x3fff;

/// The question whose answer is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The name in wire form, letters lower-cased.
    pub name: &'a [u8],
    /// The type.
    pub rtype: Rtype,
    /// The class.
    pub class: Class,
    /// Whether DNSSEC records were asked for, and are kept.
    pub dnssec_ok: bool,
}

/// Bounds on TTLs, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct TtlBounds {
    /// Least TTL of records.
    pub min_secs: u32,
    /// Greatest TTL of records.
    pub max_secs: u32,
    /// Greatest TTL of denials.
    pub max_negative_secs: u32,
}

impl TtlBounds {
    /// A record's TTL within the bounds. A TTL with the top bit set counts as zero (RFC 2181 8).
    fn record(self, ttl_secs: u32) -> u32 {
        let ttl_secs = if ttl_secs > i32::MAX as u32 { 0 } else { ttl_secs };
        ttl_secs.max(self.min_secs).min(self.max_secs)
    }

    /// A denial's TTL: the SOA's own and its MINIMUM, whichever is less (RFC 2308 5).
    fn denial(self, soa_ttl_secs: u32, minimum_secs: u32) -> u32 {
        let ttl_secs = if soa_ttl_secs > i32::MAX as u32 { 0 } else { soa_ttl_secs };
        let ttl_secs = ttl_secs.min(minimum_secs);
        ttl_secs.max(self.min_secs).min(self.max_negative_secs).min(self.max_secs)
    }
}

/// Compiles a response with RCODE NOERROR, NXDOMAIN or YXDOMAIN into `into`.
///
/// # Errors
/// [`CompileError`] if what it says makes no sense as an answer to the question.
pub fn compile(
    message: &Message,
    asked: Asked<'_>,
    bounds: TtlBounds,
    into: &mut Vec<u8>,
) -> Result<(), CompileError> {
    // Only in updates does the parser let records without RDATA pass (RFC 2136 2.4).
    if message.metadata.op_code != OpCode::Query {
        return Err(CompileError::NoQuery);
    }
    let rcode = Rcode(u16::from(message.metadata.response_code));
    let mut image = Image::new(asked.name);
    let mut flags = AnswerFlags::default();
    let mut ttl_secs = u32::MAX;

    let chain = follow_chain(message, asked, bounds, &mut image)?;
    ttl_secs = ttl_secs.min(chain.ttl_secs);
    let chain_len = image.octets.len();

    let owns = |record: &Record| {
        u16::from(record.dns_class) == asked.class.0 && same_name(&record.name, &chain.last)
    };
    let mut rrset_ttl_secs = u32::MAX;
    for record in message.answers.iter().filter(|record| owns(record)) {
        if u16::from(record.record_type()) == asked.rtype.0 {
            rrset_ttl_secs = rrset_ttl_secs.min(bounds.record(record.ttl));
        }
    }
    let mut rrset_count = 0;
    for record in message.answers.iter().filter(|record| owns(record)) {
        if u16::from(record.record_type()) == asked.rtype.0 {
            image.record(Owner::Pointer(chain.owner), record, rrset_ttl_secs)?;
            rrset_count += 1;
        }
    }
    let rrset_len = image.octets.len() - chain_len;

    let mut tail_count = 0;
    if rrset_count > 0 {
        ttl_secs = ttl_secs.min(rrset_ttl_secs);
        for record in message.answers.iter().filter(|record| owns(record)) {
            if covered_type(record) == Some(asked.rtype.0) && asked.rtype != Rtype::RRSIG {
                flags = flags.with(AnswerFlags::SIGNED);
                if asked.dnssec_ok {
                    image.record(Owner::Pointer(chain.owner), record, rrset_ttl_secs)?;
                    tail_count += 1;
                }
            }
        }
    }
    let tail_len = image.octets.len() - chain_len - rrset_len;

    let outcome = match (rcode, rrset_count) {
        (Rcode::NXDOMAIN, _) => Outcome::NxDomain,
        (Rcode::NOERROR, 0) => Outcome::NoData,
        (Rcode::NOERROR, _) => Outcome::Records,
        _ => Outcome::Failure,
    };
    if outcome == Outcome::NxDomain && rrset_count > 0 {
        return Err(CompileError::RecordsInDenial);
    }

    let authority = compile_authority(message, asked, &chain, outcome, bounds, &mut image)?;
    if authority.signed {
        flags = flags.with(AnswerFlags::SIGNED);
    }
    if authority.soa_len > 0 {
        flags = flags.with(AnswerFlags::SOA);
    }
    if message.metadata.authentic_data {
        flags = flags.with(AnswerFlags::AUTHENTIC);
    }
    if outcome != Outcome::Records {
        ttl_secs = ttl_secs.min(authority.denial_ttl_secs);
    }

    let short = |len: usize| u16::try_from(len).map_err(|_| CompileError::TooLong);
    let head = Head {
        outcome,
        flags,
        rcode,
        info_code: info_code(message),
        chain_len: short(chain_len)?,
        chain_count: chain.count,
        rrset_count,
        rrset_len: short(rrset_len)?,
        tail_count,
        tail_len: short(tail_len)?,
        authority_count: authority.count,
        authority_len: short(image.octets.len() - chain_len - rrset_len - tail_len)?,
        soa_len: short(authority.soa_len)?,
        owner: chain.owner,
        name_len: short(asked.name.len())?,
        ttl_secs,
        rrset_ttl_secs: if rrset_count > 0 { rrset_ttl_secs } else { 0 },
        ttl_slots: short(image.ttl_slots.len())?,
        pointer_slots: short(image.pointer_slots.len())?,
    };
    into.clear();
    write_head(&head, into);
    into.extend_from_slice(&image.octets);
    for slot in image.ttl_slots.iter().chain(&image.pointer_slots) {
        into.extend_from_slice(&slot.to_le_bytes());
    }
    Ok(())
}

/// The first Extended Error in the response's OPT record.
#[must_use]
pub fn info_code(message: &Message) -> Option<InfoCode> {
    use hickory_proto::rr::rdata::opt::EdnsOption;

    let options = message.edns.as_ref()?.options();
    options.as_ref().iter().find_map(|(_, option)| {
        let EdnsOption::Unknown(OPTION_EXTENDED_ERROR, data) = option else { return None };
        let (code, _) = data.split_first_chunk::<2>()?;
        Some(InfoCode(u16::from_be_bytes(*code)))
    })
}

/// The chain from the question to the name that has the records.
struct Chain {
    /// The last name, in wire form, lower-cased.
    last: Vec<u8>,
    /// Every name on the way, the asked one first: an SOA must belong to one of them.
    names: Vec<Vec<u8>>,
    /// Compression pointer to the last name.
    owner: u16,
    count: u16,
    ttl_secs: u32,
}

/// Follows CNAME and DNAME from the asked name (RFC 6147 5.1.5) and writes them into the image.
fn follow_chain(
    message: &Message,
    asked: Asked<'_>,
    bounds: TtlBounds,
    image: &mut Image,
) -> Result<Chain, CompileError> {
    let mut chain = Chain {
        last: asked.name.to_vec(),
        names: vec![asked.name.to_vec()],
        owner: POINTER_TO_QUESTION,
        count: 0,
        ttl_secs: u32::MAX,
    };
    // These ask for the links themselves, or for whatever is there.
    if matches!(asked.rtype, Rtype::CNAME | Rtype::ANY) {
        return Ok(chain);
    }
    let in_class = |record: &&Record| u16::from(record.dns_class) == asked.class.0;
    loop {
        let dname = message.answers.iter().filter(in_class).find_map(|record| {
            let target = dname_target(record)?;
            let owner = wire_name(&record.name);
            let below = replace_suffix(&chain.last, &owner, &target)?;
            Some((record, below))
        });
        if let Some((record, _)) = &dname
            && asked.rtype != Rtype::DNAME
        {
            let ttl_secs = bounds.record(record.ttl);
            image.record(Owner::Name, record, ttl_secs)?;
            chain.count += 1;
            chain.ttl_secs = chain.ttl_secs.min(ttl_secs);
            chain.count += signatures(message, asked, &record.name, Rtype::DNAME, ttl_secs, image)?;
        }
        let cname = message.answers.iter().filter(in_class).find_map(|record| {
            let RData::CNAME(target) = &record.data else { return None };
            same_name(&record.name, &chain.last).then_some((record, target))
        });
        let next = match (&cname, &dname) {
            (Some((record, target)), dname) => {
                let next = wire_name(&target.0);
                // RFC 6672 3.4.1: a CNAME beside a DNAME says what the DNAME says, or is a forgery.
                if let Some((_, below)) = dname
                    && *below != next
                {
                    return Err(CompileError::CnameAgainstDname);
                }
                let ttl_secs = bounds.record(record.ttl);
                let rdata = image.record(Owner::Pointer(chain.owner), record, ttl_secs)?;
                chain.owner = image.pointer_at(rdata)?;
                chain.count += 1;
                chain.ttl_secs = chain.ttl_secs.min(ttl_secs);
                chain.count +=
                    signatures(message, asked, &record.name, Rtype::CNAME, ttl_secs, image)?;
                next
            }
            // RFC 6672 3.1: the CNAME follows from the DNAME, with the same TTL.
            (None, Some((record, below))) if asked.rtype != Rtype::DNAME => {
                let ttl_secs = bounds.record(record.ttl);
                let rdata = image.cname(chain.owner, asked.class, ttl_secs, below)?;
                chain.owner = image.pointer_at(rdata)?;
                chain.count += 1;
                below.clone()
            }
            (None, _) => return Ok(chain),
        };
        if chain.names.contains(&next) {
            return Err(CompileError::ChainLoop);
        }
        if chain.names.len() > CHAIN_LEN_MAX {
            return Err(CompileError::ChainTooLong);
        }
        chain.names.push(next.clone());
        chain.last = next;
    }
}

/// Writes the RRSIG records over one RRset of the chain, if they were asked for; how many.
fn signatures(
    message: &Message,
    asked: Asked<'_>,
    owner: &MessageName,
    covered: Rtype,
    ttl_secs: u32,
    image: &mut Image,
) -> Result<u16, CompileError> {
    let mut count = 0;
    if !asked.dnssec_ok {
        return Ok(count);
    }
    for record in &message.answers {
        if record.name == *owner && covered_type(record) == Some(covered.0) {
            image.record(Owner::Name, record, ttl_secs)?;
            count += 1;
        }
    }
    Ok(count)
}

/// What was taken from the authority section.
struct Authority {
    count: u16,
    soa_len: usize,
    denial_ttl_secs: u32,
    signed: bool,
}

/// Takes the SOA of a denial, and with DO the proofs that belong to the same zone.
fn compile_authority(
    message: &Message,
    asked: Asked<'_>,
    chain: &Chain,
    outcome: Outcome,
    bounds: TtlBounds,
    image: &mut Image,
) -> Result<Authority, CompileError> {
    let mut authority = Authority {
        count: 0,
        soa_len: 0,
        denial_ttl_secs: bounds.denial(TTL_DENIAL_WITHOUT_SOA_SECS, TTL_DENIAL_WITHOUT_SOA_SECS),
        signed: false,
    };
    let mut ttl_secs = bounds.max_secs;
    // Beside records that are there, only a wildcard needs proofs (RFC 4035 3.1.3.3).
    let needs_proofs = outcome != Outcome::Records || message.answers.iter().any(is_expanded);
    // The zone that speaks: the owner of the SOA, or the signer of a proof.
    let mut zone: Option<Vec<u8>> = None;
    let above_chain = |owner: &[u8]| chain.names.iter().any(|name| is_same_or_below(name, owner));
    if outcome != Outcome::Records {
        for record in &message.authorities {
            let RData::SOA(soa) = &record.data else { continue };
            let owner = wire_name(&record.name);
            if u16::from(record.dns_class) != asked.class.0 || !above_chain(&owner) {
                continue;
            }
            ttl_secs = bounds.denial(record.ttl, soa.minimum);
            let start = image.octets.len();
            image.record(Owner::Name, record, ttl_secs)?;
            authority.soa_len = image.octets.len() - start;
            authority.denial_ttl_secs = ttl_secs;
            authority.count = 1;
            zone = Some(owner);
            break;
        }
    }
    for record in &message.authorities {
        let rtype = Rtype(u16::from(record.record_type()));
        let proof = match rtype {
            Rtype::NSEC | Rtype::NSEC3 => true,
            Rtype::RRSIG => {
                authority.signed = true;
                let covered = covered_type(record).map(Rtype);
                matches!(covered, Some(Rtype::NSEC | Rtype::NSEC3))
                    || (covered == Some(Rtype::SOA) && authority.soa_len > 0)
            }
            _ => false,
        };
        let owner = wire_name(&record.name);
        // Without an SOA the proof is one of a wildcard, by the zone the last name lies in.
        let in_zone = match &zone {
            Some(zone) => is_same_or_below(&owner, zone),
            None => parent(&owner).is_some_and(above_chain),
        };
        if proof
            && needs_proofs
            && asked.dnssec_ok
            && in_zone
            && u16::from(record.dns_class) == asked.class.0
        {
            image.record(Owner::Name, record, bounds.record(record.ttl).min(ttl_secs))?;
            authority.count += 1;
        }
    }
    Ok(authority)
}

// ---- The image

/// How the owner of a record is written.
enum Owner {
    /// As this compression pointer.
    Pointer(u16),
    /// As the record's own name, compressed where it can be.
    Name,
}

/// The image under construction, with the names it can point to.
struct Image {
    octets: Vec<u8>,
    ttl_slots: Vec<u16>,
    pointer_slots: Vec<u16>,
    /// Where the image starts in the message.
    base: usize,
    /// Lower-cased names and where they stand in the message.
    targets: Vec<(Vec<u8>, u16)>,
}

impl Image {
    fn new(question_name: &[u8]) -> Self {
        let mut image = Self {
            octets: Vec::with_capacity(256),
            ttl_slots: Vec::with_capacity(8),
            pointer_slots: Vec::with_capacity(8),
            base: HEADER_LEN + question_name.len() + 4,
            targets: Vec::with_capacity(8),
        };
        image.remember(question_name, HEADER_LEN);
        image
    }

    /// Remembers a name and each of its parents as targets, `place` being that of the whole name.
    fn remember(&mut self, name: &[u8], place: usize) {
        let mut start = 0;
        while let Some(&len) = name.get(start).filter(|len| **len != 0) {
            let Ok(target) = u16::try_from(place + start) else { return };
            if usize::from(target) > POINTER_MAX || self.targets.len() >= COMPRESSION_TARGETS_MAX {
                return;
            }
            self.targets.push((name[start..].to_ascii_lowercase(), target));
            start += 1 + usize::from(len);
        }
    }

    /// Writes a name, the longest known suffix as a pointer.
    fn name(&mut self, name: &[u8]) -> Result<(), CompileError> {
        let place = self.base + self.octets.len();
        let folded = name.to_ascii_lowercase();
        let mut start = 0;
        while let Some(&len) = folded.get(start).filter(|len| **len != 0) {
            let known = self.targets.iter().find(|(target, _)| *target == folded[start..]);
            if let Some(&(_, target)) = known {
                self.octets.extend_from_slice(&name[..start]);
                self.pointer(0xc000 | target)?;
                self.remember_prefix(&folded, start, place);
                return Ok(());
            }
            start += 1 + usize::from(len);
        }
        self.octets.extend_from_slice(name);
        self.remember_prefix(&folded, start, place);
        Ok(())
    }

    /// Remembers the suffixes of a name that begin before `end`.
    fn remember_prefix(&mut self, folded: &[u8], end: usize, place: usize) {
        let mut start = 0;
        while start < end {
            let full = self.targets.len() >= COMPRESSION_TARGETS_MAX;
            if full || place + start > POINTER_MAX {
                return;
            }
            self.targets.push((folded[start..].to_vec(), (place + start) as u16));
            start += 1 + usize::from(folded[start]);
        }
    }

    fn pointer(&mut self, pointer: u16) -> Result<(), CompileError> {
        let slot = u16::try_from(self.octets.len()).map_err(|_| CompileError::TooLong)?;
        self.pointer_slots.push(slot);
        self.octets.extend_from_slice(&pointer.to_be_bytes());
        Ok(())
    }

    /// A pointer to the name written at this place of the image: to what it points to, if the
    /// name is nothing but a pointer.
    fn pointer_at(&self, place: usize) -> Result<u16, CompileError> {
        match self.octets.get(place..place + 2) {
            Some(&[high, low]) if high >= 0xc0 => Ok(u16::from_be_bytes([high, low])),
            _ => {
                let place = self.base + place;
                if place > POINTER_MAX {
                    return Err(CompileError::TooLong);
                }
                Ok(0xc000 | place as u16)
            }
        }
    }

    /// Writes owner, type, class and TTL.
    fn record_head(
        &mut self,
        owner: Owner,
        name: &MessageName,
        rtype: u16,
        class: u16,
        ttl_secs: u32,
    ) -> Result<(), CompileError> {
        match owner {
            Owner::Pointer(pointer) => self.pointer(pointer)?,
            Owner::Name => self.name(&wire_name_as_received(name))?,
        }
        self.octets.extend_from_slice(&rtype.to_be_bytes());
        self.octets.extend_from_slice(&class.to_be_bytes());
        let slot = u16::try_from(self.octets.len()).map_err(|_| CompileError::TooLong)?;
        self.ttl_slots.push(slot);
        self.octets.extend_from_slice(&ttl_secs.to_be_bytes());
        Ok(())
    }

    /// Writes one record; where its RDATA starts.
    #[allow(clippy::wildcard_enum_match_arm, reason = "every other type is written alike")]
    fn record(
        &mut self,
        owner: Owner,
        record: &Record,
        ttl_secs: u32,
    ) -> Result<usize, CompileError> {
        let rtype = u16::from(record.record_type());
        self.record_head(owner, &record.name, rtype, u16::from(record.dns_class), ttl_secs)?;
        let len_place = self.octets.len();
        self.octets.extend_from_slice(&[0, 0]);
        // Only the types of RFC 1035 may carry compressed names (RFC 3597 4).
        match &record.data {
            RData::A(address) => self.octets.extend_from_slice(&address.octets()),
            RData::AAAA(address) => self.octets.extend_from_slice(&address.octets()),
            RData::CNAME(name) => self.name(&wire_name_as_received(&name.0))?,
            RData::NS(name) => self.name(&wire_name_as_received(&name.0))?,
            // Never compressed: a reverse look-up under a Pref64 moves this record elsewhere.
            RData::PTR(name) => self.octets.extend_from_slice(&wire_name_as_received(&name.0)),
            RData::MX(mx) => {
                self.octets.extend_from_slice(&mx.preference.to_be_bytes());
                self.name(&wire_name_as_received(&mx.exchange))?;
            }
            RData::SOA(soa) => {
                self.name(&wire_name_as_received(&soa.mname))?;
                self.name(&wire_name_as_received(&soa.rname))?;
                self.octets.extend_from_slice(&soa.serial.to_be_bytes());
                for span in [soa.refresh, soa.retry, soa.expire] {
                    self.octets.extend_from_slice(&span.to_be_bytes());
                }
                self.octets.extend_from_slice(&soa.minimum.to_be_bytes());
            }
            other => self.octets.extend_from_slice(&uncompressed_rdata(other)?),
        }
        self.finish_rdata(len_place)
    }

    /// Writes a CNAME that follows from a DNAME; where its RDATA starts.
    fn cname(
        &mut self,
        owner: u16,
        class: Class,
        ttl_secs: u32,
        target: &[u8],
    ) -> Result<usize, CompileError> {
        self.record_head(
            Owner::Pointer(owner),
            &MessageName::root(),
            Rtype::CNAME.0,
            class.0,
            ttl_secs,
        )?;
        let len_place = self.octets.len();
        self.octets.extend_from_slice(&[0, 0]);
        self.name(target)?;
        self.finish_rdata(len_place)
    }

    /// Fills in the RDATA length.
    fn finish_rdata(&mut self, len_place: usize) -> Result<usize, CompileError> {
        let rdata = len_place + 2;
        let len = u16::try_from(self.octets.len() - rdata).map_err(|_| CompileError::TooLong)?;
        self.octets[len_place..rdata].copy_from_slice(&len.to_be_bytes());
        Ok(rdata)
    }
}

// ---- Names of the parsed message

/// RDATA with its names written whole.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other type is written alike")]
pub(super) fn uncompressed_rdata(data: &RData) -> Result<Vec<u8>, CompileError> {
    Ok(match data {
        RData::A(address) => address.octets().to_vec(),
        RData::AAAA(address) => address.octets().to_vec(),
        RData::CNAME(name) => wire_name_as_received(&name.0),
        RData::NS(name) => wire_name_as_received(&name.0),
        RData::PTR(name) => wire_name_as_received(&name.0),
        RData::MX(mx) => {
            [&mx.preference.to_be_bytes()[..], &wire_name_as_received(&mx.exchange)].concat()
        }
        RData::SOA(soa) => {
            let mut rdata = wire_name_as_received(&soa.mname);
            rdata.extend_from_slice(&wire_name_as_received(&soa.rname));
            rdata.extend_from_slice(&soa.serial.to_be_bytes());
            for span in [soa.refresh, soa.retry, soa.expire] {
                rdata.extend_from_slice(&span.to_be_bytes());
            }
            rdata.extend_from_slice(&soa.minimum.to_be_bytes());
            rdata
        }
        other => {
            let mut rdata = Vec::with_capacity(64);
            let mut encoder = BinEncoder::new(&mut rdata);
            encoder.set_name_encoding(NameEncoding::Uncompressed);
            other.emit(&mut encoder).map_err(|_| CompileError::Rdata)?;
            rdata
        }
    })
}

/// A name in wire form with the letter case it came in.
pub(super) fn wire_name_as_received(name: &MessageName) -> Vec<u8> {
    let mut wire = Vec::with_capacity(NAME_LEN_MAX);
    for label in name.iter() {
        // A label has at most 63 octets: the parser refuses others.
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    wire
}

/// A name in wire form, lower-cased.
fn wire_name(name: &MessageName) -> Vec<u8> {
    let mut wire = wire_name_as_received(name);
    wire.make_ascii_lowercase();
    wire
}

/// Whether a parsed name is this lower-cased wire name.
fn same_name(name: &MessageName, folded: &[u8]) -> bool {
    let mut rest = folded;
    for label in name.iter() {
        let Some((&len, after)) = rest.split_first() else { return false };
        let Some((ours, after)) = after.split_at_checked(usize::from(len)) else { return false };
        if !ours.eq_ignore_ascii_case(label) {
            return false;
        }
        rest = after;
    }
    rest == [0]
}

/// The name without its first label; `None` for the root.
fn parent(name: &[u8]) -> Option<&[u8]> {
    let (&len, _) = name.split_first().filter(|(len, _)| **len != 0)?;
    name.get(1 + usize::from(len)..)
}

/// Whether a lower-cased wire name is `zone` or lies below it.
fn is_same_or_below(name: &[u8], zone: &[u8]) -> bool {
    let mut suffix = Some(name);
    while let Some(candidate) = suffix {
        if candidate == zone {
            return true;
        }
        suffix = parent(candidate);
    }
    false
}

/// The name with the suffix `owner` replaced by `target` (RFC 6672 2.2); `None` if it is not
/// strictly below `owner`, or would become too long.
fn replace_suffix(name: &[u8], owner: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let cut = name.len().checked_sub(owner.len())?;
    if cut == 0 || !is_same_or_below(name, owner) || cut + target.len() > NAME_LEN_MAX {
        return None;
    }
    let mut replaced = name.get(..cut)?.to_vec();
    replaced.extend_from_slice(target);
    Some(replaced)
}

/// The target of a DNAME record, lower-cased. The parser leaves this type's RDATA as it came, and
/// RFC 6672 2.1 forbids compression in it.
fn dname_target(record: &Record) -> Option<Vec<u8>> {
    let RData::Unknown { code, rdata } = &record.data else { return None };
    if u16::from(*code) != Rtype::DNAME.0 {
        return None;
    }
    let wire = &rdata.anything[..];
    let (name, rest) = crate::wire::name::Name::split(wire).ok()?;
    rest.is_empty().then(|| name.as_wire().to_ascii_lowercase())
}

/// Whether a record is the signature of one that was made from a wildcard (RFC 4035 5.3.2).
fn is_expanded(record: &Record) -> bool {
    let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else { return false };
    signature.input().num_labels < record.name.num_labels()
}

/// The type an RRSIG record covers; `None` for other records.
fn covered_type(record: &Record) -> Option<u16> {
    let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else { return None };
    Some(u16::from(signature.input().type_covered))
}

// ---- Errors

/// Why a response that parses is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// An OPCODE other than QUERY.
    NoQuery,
    /// The chain comes back to a name it has passed.
    ChainLoop,
    /// The chain has more steps than we follow.
    ChainTooLong,
    /// A CNAME beside a DNAME leads elsewhere than the DNAME says.
    CnameAgainstDname,
    /// NXDOMAIN with records of the asked type at the name.
    RecordsInDenial,
    /// RDATA that cannot be written again.
    Rdata,
    /// Longer than a message can be.
    TooLong,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoQuery => "the OPCODE is not QUERY",
            Self::ChainLoop => "the CNAME chain is a loop",
            Self::ChainTooLong => "the CNAME chain is too long",
            Self::CnameAgainstDname => "a CNAME contradicts the DNAME above it",
            Self::RecordsInDenial => "NXDOMAIN with records of the name",
            Self::Rdata => "RDATA that cannot be written",
            Self::TooLong => "longer than a DNS message",
        })
    }
}

impl std::error::Error for CompileError {}
