//! Why an answer is bogus, as an Extended Error (RFC 8914 4). hickory's validator says that it is;
//! what an operator needs to know is looked for here: in the answer first, then up the chain of
//! trust.

use hickory_proto::dnssec::Proof;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, RRSIG};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::job::Job;
use super::judge::NSEC3_ITERATIONS_MAX;
use super::parts::{Part, signature};
use super::prime::key;
use super::source::Exchange;
use crate::wire::edns::InfoCode;

/// Zones that are looked at on the way up.
const ZONES_MAX: usize = 8;

/// Where now lies with regard to a signature's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Period {
    /// Before its inception.
    NotYet,
    /// Within.
    Now,
    /// Past its expiration.
    Over,
}

impl Period {
    /// Compares with the seconds since 1970, in the arithmetic of serial numbers (RFC 4034 3.1.5).
    pub(super) fn of(signature: &RRSIG, now_secs: u32) -> Self {
        let input = signature.input();
        let since = |secs: u32| now_secs.wrapping_sub(secs).cast_signed();
        if since(input.sig_inception.get()) < 0 {
            Self::NotYet
        } else if since(input.sig_expiration.get()) > 0 {
            Self::Over
        } else {
            Self::Now
        }
    }
}

/// Says why a part is bogus. `judged` is the part with the proofs that hickory's validator has
/// marked; `None` if it has not got so far.
pub(super) async fn explain(
    exchange: &Exchange,
    job: &Job,
    part: &Part,
    judged: Option<&Message>,
    now_secs: u32,
) -> InfoCode {
    let message = judged.unwrap_or(&part.message);
    let bogus = message.all_sections().find(|record| {
        signature(record).is_none()
            && record.proof != Proof::Secure
            && record.proof != Proof::Insecure
    });
    let Some(record) = bogus else {
        return if part.positive { InfoCode::DNSSEC_BOGUS } else { of_denial(part) };
    };
    let (name, rtype) = (record.name.clone(), record.record_type());
    // A validator that has not got so far marks nothing.
    let unmarked = message.all_sections().all(|record| record.proof == Proof::Indeterminate);
    if unmarked && !part.positive && !has_proof(part) {
        return InfoCode::NSEC_MISSING;
    }
    match of_signatures(message, &name, rtype, now_secs) {
        Ok(signer) => {
            let above = up_the_chain(exchange, job, signer, now_secs).await;
            above.unwrap_or(InfoCode::DNSSEC_BOGUS)
        }
        Err(code) => code,
    }
}

/// Why signed records do not prove what they should.
fn of_denial(part: &Part) -> InfoCode {
    let asked = part.query.name();
    let proofs = &part.message.authorities;
    let too_many = |record: &Record| {
        let RData::DNSSEC(DNSSECRData::NSEC3(proof)) = &record.data else { return false };
        proof.iterations() > NSEC3_ITERATIONS_MAX
    };
    if proofs.iter().any(too_many) {
        return InfoCode::UNSUPPORTED_NSEC3_ITERATIONS;
    }
    // It is the very name, and the type is there.
    let is_its_own =
        |record: &Record| record.record_type() == RecordType::NSEC && record.name == *asked;
    if proofs.iter().any(is_its_own) {
        return InfoCode::DNSSEC_BOGUS;
    }
    InfoCode::NSEC_MISSING
}

/// Whether there is anything that could prove an absence.
fn has_proof(part: &Part) -> bool {
    let mut types = part.message.authorities.iter().map(Record::record_type);
    types.any(|rtype| matches!(rtype, RecordType::NSEC | RecordType::NSEC3))
}

/// Who has signed an RRset; or why that is no signature.
fn of_signatures(
    message: &Message,
    name: &Name,
    rtype: RecordType,
    now_secs: u32,
) -> Result<Name, InfoCode> {
    let mut signatures = message
        .all_sections()
        .filter(|record| record.name == *name)
        .filter_map(signature)
        .filter(|signature| signature.input().type_covered == rtype)
        .peekable();
    if signatures.peek().is_none() {
        return Err(InfoCode::RRSIGS_MISSING);
    }
    let mut why = InfoCode::DNSSEC_BOGUS;
    for signature in signatures {
        match Period::of(signature, now_secs) {
            Period::Now => return Ok(signature.input().signer_name.clone()),
            Period::Over => why = InfoCode::SIGNATURE_EXPIRED,
            Period::NotYet => why = InfoCode::SIGNATURE_NOT_YET_VALID,
        }
    }
    Err(why)
}

/// What is wrong with the keys of a zone, or with those of the zones above it.
async fn up_the_chain(
    exchange: &Exchange,
    job: &Job,
    signer: Name,
    now_secs: u32,
) -> Option<InfoCode> {
    let mut zone = signer;
    for _ in 0..ZONES_MAX {
        let query = Query::query(zone.clone(), RecordType::DNSKEY);
        let Ok(message) = exchange.fetch(job, &query).await else {
            return Some(InfoCode::NO_REACHABLE_AUTHORITY);
        };
        let keys: Vec<&DNSKEY> = message.answers.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Some(InfoCode::DNSKEY_MISSING);
        }
        if keys.iter().all(|key| !key.zone_key()) {
            return Some(InfoCode::NO_ZONE_KEY_BIT_SET);
        }
        if let Err(code) = of_signatures(&message, &zone, RecordType::DNSKEY, now_secs) {
            return Some(code);
        }
        if zone.is_root() {
            return None;
        }
        let query = Query::query(zone.clone(), RecordType::DS);
        let Ok(message) = exchange.fetch(job, &query).await else {
            return Some(InfoCode::NO_REACHABLE_AUTHORITY);
        };
        let digests: Vec<&DS> = message.answers.iter().filter_map(digest).collect();
        if digests.is_empty() {
            return None;
        }
        let matches = |digest: &&&DS| {
            let covers = |key: &&DNSKEY| digest.covers(&zone, key).unwrap_or(false);
            keys.iter().any(covers)
        };
        if !digests.iter().any(|digest| matches(&digest)) {
            return Some(InfoCode::DNSKEY_MISSING);
        }
        match of_signatures(&message, &zone, RecordType::DS, now_secs) {
            Ok(parent) if parent != zone && parent.zone_of(&zone) => zone = parent,
            Ok(_) => return None,
            Err(code) => return Some(code),
        }
    }
    None
}

/// The digest that a record is.
fn digest(record: &Record) -> Option<&DS> {
    let RData::DNSSEC(DNSSECRData::DS(digest)) = &record.data else { return None };
    Some(digest)
}
