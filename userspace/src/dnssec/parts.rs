//! A response in parts that can be judged each for itself: the links of a CNAME chain, which may
//! lie in as many zones, and what its last name has or has not.
//!
//! Only what an answer is made of goes on: RRsets at the names of the chain with at most
//! [`SIGNATURES_MAX`] signatures each, and the proofs of the zone that denies. So the work that a
//! response can cause is bounded before any of it is done.

use hickory_proto::dnssec::rdata::{DNSSECRData, RRSIG};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::limits::CHAIN_LEN_MAX;

/// Signatures of one RRset that are looked at: a zone that changes its algorithm has a few.
pub(super) const SIGNATURES_MAX: usize = 8;

/// Records of one RRset of keys or digests that are looked at.
pub(super) const KEYS_MAX: usize = 32;

/// Proofs (NSEC or NSEC3) of one part. A denial needs four at most (RFC 7129).
pub(super) const PROOFS_MAX: usize = 8;

/// DNAME (RFC 6672), whose RDATA the parser leaves as it came.
const DNAME: u16 = 39;

/// A part.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// What it answers.
    pub(super) query: Query,
    /// The response that would say it.
    pub(super) message: Message,
    /// Whether it says that there is something.
    pub(super) positive: bool,
}

/// Why a response cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Its chain is a loop, or longer than we follow.
    Chain,
    /// It has more keys or proofs than we look at, or more zones that deny.
    TooMany,
    /// There is nothing in it.
    Empty,
}

/// Takes a response to this question apart.
pub(super) fn split(response: &Message, query: &Query) -> Result<Vec<Part>, Unfit> {
    let mut parts = Vec::new();
    let mut name = query.name().clone();
    let rtype = query.query_type();
    while let Some((link, next)) = link(response, &name, rtype)? {
        parts.push(link);
        if parts.len() > CHAIN_LEN_MAX || parts.iter().any(|part| *part.query.name() == next) {
            return Err(Unfit::Chain);
        }
        name = next;
    }
    // The name that a DNAME would lead to is too long: there is nothing more.
    if response.metadata.response_code != ResponseCode::YXDomain {
        parts.push(last(response, &name, rtype)?);
    }
    // There is nothing that could be judged, and so nothing that could be good.
    if parts.is_empty() {
        return Err(Unfit::Empty);
    }
    Ok(parts)
}

/// The DNAME or CNAME that leads on from a name, and where to.
fn link(response: &Message, name: &Name, rtype: RecordType) -> Result<Option<(Part, Name)>, Unfit> {
    // These ask for the links themselves, or for whatever is there.
    if matches!(rtype, RecordType::CNAME | RecordType::ANY) {
        return Ok(None);
    }
    // A CNAME beside a DNAME is made from it and not signed (RFC 6672 5.3.1).
    for record in &response.answers {
        let Some(target) = dname_target(record) else { continue };
        if u16::from(rtype) != DNAME
            && record.name != *name
            && record.name.zone_of(name)
            && let Some(next) = replace_suffix(name, &record.name, &target)
        {
            let dname = RecordType::from(DNAME);
            let part =
                positive(response, &record.name, dname, Query::query(record.name.clone(), dname))?;
            return Ok(Some((part, next)));
        }
    }
    for record in &response.answers {
        let RData::CNAME(target) = &record.data else { continue };
        if record.name == *name {
            let query = Query::query(name.clone(), rtype);
            let part = positive(response, name, RecordType::CNAME, query)?;
            return Ok(Some((part, target.0.clone())));
        }
    }
    Ok(None)
}

/// What the last name has, or the denial of it.
fn last(response: &Message, name: &Name, rtype: RecordType) -> Result<Part, Unfit> {
    let query = Query::query(name.clone(), rtype);
    if response.answers.iter().any(|record| is_of(record, name, rtype)) {
        return positive(response, name, rtype, query);
    }
    let mut message = empty(&query, response.metadata.response_code);
    let zone = response.authorities.iter().find_map(|record| {
        (record.record_type() == RecordType::SOA && record.name.zone_of(name))
            .then(|| record.name.clone())
    });
    // What is kept of a denial is the first SOA. No other must be judged in its place.
    let mut soas =
        response.authorities.iter().filter(|record| record.record_type() == RecordType::SOA);
    if soas.any(|record| Some(&record.name) != zone.as_ref()) {
        return Err(Unfit::TooMany);
    }
    if let Some(zone) = &zone {
        let soa = rrset(&response.authorities, zone, RecordType::SOA);
        message.insert_authorities(soa);
    }
    // Without an SOA the proofs of whatever zone the name is in are taken.
    let zone = zone.unwrap_or_else(Name::root);
    message.authorities.extend(proofs(response, &zone)?);
    Ok(Part { query, message, positive: false })
}

/// The part of an RRset that is there.
fn positive(
    response: &Message,
    name: &Name,
    rtype: RecordType,
    query: Query,
) -> Result<Part, Unfit> {
    let mut message = empty(&query, ResponseCode::NoError);
    message.insert_answers(rrset(&response.answers, name, rtype));
    // RFC 4035 5.3.4: of a wildcard it must be proved that nothing nearer exists.
    let signatures = message.answers.iter().filter_map(signature);
    let wildcard = signatures
        .filter(|signature| signature.input().num_labels < name.num_labels())
        .map(|signature| signature.input().signer_name.clone())
        .find(|signer| signer.zone_of(name));
    if let Some(zone) = wildcard {
        message.insert_authorities(proofs(response, &zone)?);
    }
    Ok(Part { query, message, positive: true })
}

/// The NSEC and NSEC3 records of a zone, with their signatures.
fn proofs(response: &Message, zone: &Name) -> Result<Vec<Record>, Unfit> {
    let mut records = Vec::new();
    let mut count = 0;
    for rtype in [RecordType::NSEC, RecordType::NSEC3] {
        let mut names: Vec<&Name> = Vec::new();
        for record in &response.authorities {
            if record.record_type() == rtype
                && zone.zone_of(&record.name)
                && !names.contains(&&record.name)
            {
                names.push(&record.name);
            }
        }
        count += names.len();
        if count > PROOFS_MAX {
            return Err(Unfit::TooMany);
        }
        for name in names {
            records.extend(rrset(&response.authorities, name, rtype));
        }
    }
    Ok(records)
}

/// The records of an RRset with the signatures that are looked at.
fn rrset(section: &[Record], name: &Name, rtype: RecordType) -> Vec<Record> {
    let records = section.iter().filter(|record| is_of(record, name, rtype)).cloned();
    let signatures = section.iter().filter(|record| {
        record.name == *name && signature(record).is_some_and(|of| of.input().type_covered == rtype)
    });
    records.chain(signatures.take(SIGNATURES_MAX).cloned()).collect()
}

/// A response to a question of the validator, without what it has no use for. How many signatures
/// there are in it.
pub(super) fn trim(response: &Message, query: &Query) -> Result<(Message, usize), Unfit> {
    let mut message = empty(query, response.metadata.response_code);
    let (name, rtype) = (query.name(), query.query_type());
    let answers = rrset(&response.answers, name, rtype);
    if answers.iter().filter(|record| record.record_type() == rtype).count() > KEYS_MAX {
        return Err(Unfit::TooMany);
    }
    if answers.is_empty() && rtype != RecordType::NS {
        let denial = last(response, name, rtype)?;
        message.insert_authorities(denial.message.authorities);
    }
    message.insert_answers(answers);
    let signatures = message.all_sections().filter(|record| signature(record).is_some()).count();
    Ok((message, signatures))
}

/// A response of nothing.
fn empty(query: &Query, rcode: ResponseCode) -> Message {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.metadata.response_code = rcode;
    message.add_query(query.clone());
    message
}

/// Whether a record belongs to this RRset.
fn is_of(record: &Record, name: &Name, rtype: RecordType) -> bool {
    record.record_type() == rtype && record.name == *name
}

/// The signature that a record is.
pub(super) fn signature(record: &Record) -> Option<&RRSIG> {
    let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else { return None };
    Some(signature)
}

/// The target of a DNAME.
fn dname_target(record: &Record) -> Option<Name> {
    let RData::Unknown { code, rdata } = &record.data else { return None };
    if u16::from(*code) != DNAME {
        return None;
    }
    Name::read(&mut BinDecoder::new(&rdata.anything)).ok()
}

/// The name with the suffix `owner` replaced (RFC 6672 2.2); `None` if it would be too long.
fn replace_suffix(name: &Name, owner: &Name, target: &Name) -> Option<Name> {
    let kept = name.iter().count().checked_sub(owner.iter().count())?;
    Name::from_labels(name.iter().take(kept).chain(target.iter())).ok()
}
