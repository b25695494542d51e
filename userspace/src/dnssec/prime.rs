//! Priming: from trust anchors to the keys that the zones have now.
//!
//! hickory's validator begins with whole keys, and the operator's file may hold digests of them.
//! So the keys of each zone with an anchor are fetched, and believed if one that an anchor covers
//! has signed all of them (RFC 4035 5.2). That is repeated every few minutes.

use hickory_net::NetError;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG};
use hickory_proto::dnssec::{TrustAnchors as HickoryAnchors, Verifier};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{DNSClass, LowerName, Name, RData, Record, RecordType};

use super::anchors::{Anchor, TrustAnchors};
use super::explain::Period;
use super::job::Job;
use super::parts::signature;
use super::source::Exchange;
use crate::wire::edns::InfoCode;

/// Keys to begin with.
pub(super) struct Keys {
    /// The keys of the zones that could be primed.
    pub(super) anchors: HickoryAnchors,
    /// The zones that could not, and why: nothing in them can be judged.
    pub(super) failed: Vec<(Name, InfoCode)>,
}

/// Fetches the keys of every zone with an anchor.
pub(super) async fn prime(
    exchange: &Exchange,
    job: &Job,
    anchors: &TrustAnchors,
    now_secs: u32,
) -> Keys {
    let mut keys = Keys { anchors: HickoryAnchors::empty(), failed: Vec::new() };
    for (zone, of_zone) in &anchors.zones {
        let query = Query::query(zone.clone(), RecordType::DNSKEY);
        let response = exchange.fetch(job, &query).await;
        match trusted(zone, of_zone, response, now_secs) {
            Ok(found) => {
                for key in found {
                    keys.anchors.insert_with_name(key.public_key(), LowerName::from(zone));
                }
            }
            Err(code) => keys.failed.push((zone.clone(), code)),
        }
    }
    keys
}

/// The keys of a zone, if one that an anchor covers has signed them.
fn trusted(
    zone: &Name,
    anchors: &[Anchor],
    response: Result<Message, NetError>,
    now_secs: u32,
) -> Result<Vec<DNSKEY>, InfoCode> {
    let message = response.map_err(|_| InfoCode::NO_REACHABLE_AUTHORITY)?;
    let records: Vec<&Record> =
        message.answers.iter().filter(|record| key(record).is_some()).collect();
    let keys = || records.iter().filter_map(|record| key(record));
    let covered: Vec<&DNSKEY> =
        keys().filter(|key| anchors.iter().any(|anchor| anchor.covers(zone, key))).collect();
    if covered.is_empty() {
        return Err(InfoCode::DNSKEY_MISSING);
    }
    let signatures: Vec<&RRSIG> = message.answers.iter().filter_map(signature).collect();
    if signatures.is_empty() {
        return Err(InfoCode::RRSIGS_MISSING);
    }
    let mut why = InfoCode::DNSSEC_BOGUS;
    for signature in signatures {
        let input = signature.input();
        match Period::of(signature, now_secs) {
            Period::Over => why = InfoCode::SIGNATURE_EXPIRED,
            Period::NotYet => why = InfoCode::SIGNATURE_NOT_YET_VALID,
            Period::Now => {
                let good = covered.iter().any(|key| {
                    key.algorithm() == input.algorithm
                        && key.calculate_key_tag().is_ok_and(|tag| tag == input.key_tag)
                        && input.signer_name == *zone
                        && key
                            .verify_rrsig(zone, DNSClass::IN, signature, records.iter().copied())
                            .is_ok()
                });
                if good {
                    return Ok(keys()
                        .filter(|key| key.zone_key() && !key.revoke())
                        .cloned()
                        .collect());
                }
            }
        }
    }
    Err(why)
}

/// The key that a record is.
pub(super) fn key(record: &Record) -> Option<&DNSKEY> {
    let RData::DNSSEC(DNSSECRData::DNSKEY(key)) = &record.data else { return None };
    Some(key)
}
