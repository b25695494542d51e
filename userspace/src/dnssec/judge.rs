//! The verdict on a response, from what hickory's validator says of its parts.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_net::dnssec::DnssecDnsHandle;
use hickory_net::xfer::{DnsHandle, FirstAnswer};
use hickory_net::{DnsError, NetError};
use hickory_proto::dnssec::Proof;
use hickory_proto::op::{DnsRequestOptions, Message};
use hickory_proto::rr::{Name, RecordType};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::anchors::TrustAnchors;
use super::explain::explain;
use super::job::{JOB, Job};
use super::parts::{Part, signature, split};
use super::prime::prime;
use super::source::{Exchange, Source};
use crate::engine::Validation;
use crate::policy::DnssecPolicy;
use crate::wire::edns::InfoCode;
use crate::wire::question::Class;

/// Rounds of NSEC3 above which a zone counts as unsigned (RFC 9276 3.2): no honest zone has any.
const NSEC3_ITERATIONS_INSECURE: u16 = 50;

/// Rounds of NSEC3 above which nothing is computed at all.
pub(super) const NSEC3_ITERATIONS_MAX: u16 = 150;

/// How long the keys of the trust anchors are used until they are fetched again.
const KEYS_LIFE: Duration = Duration::from_secs(300);

/// How soon they are fetched again if that has failed.
const KEYS_RETRY: Duration = Duration::from_secs(2);

/// RRsets whose verdict is remembered.
const REMEMBERED_MAX: usize = 16_384;

/// How long a signature that was good is not checked again.
const GOOD_LIFE: Duration = Duration::from_secs(300);

/// How long one that was not is not checked again.
const BAD_LIFE: Duration = Duration::from_secs(5);

/// Judges responses.
pub(super) struct Judge {
    exchange: Arc<Exchange>,
    anchors: TrustAnchors,
    policy: DnssecPolicy,
    primed: Mutex<Option<Arc<Primed>>>,
}

/// A validator with keys to begin with.
struct Primed {
    validator: DnssecDnsHandle<Source>,
    /// Zones whose anchors have no keys, and why.
    failed: Vec<(Name, InfoCode)>,
    until: Instant,
}

impl Judge {
    /// A judge with these trust anchors and negative trust anchors.
    pub(super) fn new(
        exchange: Arc<Exchange>,
        anchors: TrustAnchors,
        policy: DnssecPolicy,
    ) -> Self {
        Self { exchange, anchors, policy, primed: Mutex::new(None) }
    }

    /// Says whether a response may be used. All that it takes is asked for in the name of `job`.
    pub(super) async fn judge(&self, job: &Arc<Job>, bytes: &[u8]) -> Validation {
        let bogus = Validation::Bogus(InfoCode::DNSSEC_BOGUS);
        let Ok(response) = Message::from_vec(bytes) else { return bogus };
        let [query] = response.queries.as_slice() else { return bogus };
        let Ok(parts) = split(&response, query) else {
            debug!(%query, "too much of everything in an answer");
            return bogus;
        };
        let signatures = |part: &Part| part.message.all_sections().filter_map(signature).count();
        if !job.may_check(parts.iter().map(signatures).sum()) {
            return bogus;
        }
        let primed = self.primed(job).await;
        let mut verdict = Validation::Secure { ttl_max_secs: u32::MAX };
        for part in &parts {
            let of_part = self.judge_part(job, &primed, part).await;
            verdict = match (verdict, of_part) {
                (Validation::Secure { ttl_max_secs: one }, Validation::Secure { ttl_max_secs }) => {
                    Validation::Secure { ttl_max_secs: ttl_max_secs.min(one) }
                }
                (_, Validation::Bogus(_) | Validation::Indeterminate(_)) => {
                    debug!(query = %part.query, ?of_part, spent = ?job.spent(), "not to be used");
                    return of_part;
                }
                // RFC 4035 3.2.3: all of it, or it is not secure.
                (Validation::Insecure, _) | (_, Validation::Insecure) => Validation::Insecure,
                (unused, Validation::Secure { .. }) => unused,
            };
        }
        verdict
    }

    /// The validator, with keys that are not too old.
    async fn primed(&self, job: &Job) -> Arc<Primed> {
        // Who comes while they are fetched waits for them.
        let mut primed = self.primed.lock().await;
        if let Some(primed) = primed.as_ref().filter(|primed| Instant::now() < primed.until) {
            return Arc::clone(primed);
        }
        let keys = prime(&self.exchange, job, &self.anchors, now_secs()).await;
        for (zone, why) in &keys.failed {
            warn!(%zone, %why, "no key of the zone fits its trust anchors");
        }
        let life = if keys.failed.is_empty() { KEYS_LIFE } else { KEYS_RETRY };
        let source = Source(Arc::clone(&self.exchange));
        let validator = DnssecDnsHandle::with_trust_anchor(source, Arc::new(keys.anchors))
            .nsec3_iteration_limits(Some(NSEC3_ITERATIONS_INSECURE), Some(NSEC3_ITERATIONS_MAX))
            .validation_cache_size(REMEMBERED_MAX)
            .positive_validation_ttl(Duration::ZERO..=GOOD_LIFE)
            .negative_validation_ttl(Duration::ZERO..=BAD_LIFE);
        let new = Arc::new(Primed { validator, failed: keys.failed, until: Instant::now() + life });
        *primed = Some(Arc::clone(&new));
        new
    }

    /// Judges one part.
    async fn judge_part(&self, job: &Arc<Job>, primed: &Primed, part: &Part) -> Validation {
        let name = part.query.name();
        if !self.policy.validates(&wire(name), Class::IN) {
            return Validation::Insecure;
        }
        if let Some((_, why)) = primed.failed.iter().find(|(zone, _)| zone.zone_of(name)) {
            return Validation::Indeterminate(*why);
        }
        job.set_part(part.query.clone(), part.message.clone());
        let options = DnsRequestOptions::default();
        let lookup =
            async { primed.validator.lookup(part.query.clone(), options).first_answer().await };
        let result = JOB.scope(Arc::clone(job), lookup).await;
        let now_secs = now_secs();
        let judged = match &result {
            Ok(message) => match marks(part, message) {
                Proof::Secure => {
                    return Validation::Secure { ttl_max_secs: life_secs(message, now_secs) };
                }
                Proof::Insecure => return Validation::Insecure,
                Proof::Bogus | Proof::Indeterminate => Some(&**message),
            },
            Err(NetError::Dns(DnsError::Nsec { proof: Proof::Insecure, .. })) => {
                return Validation::Insecure;
            }
            Err(NetError::Dns(DnsError::Nsec { response, .. })) => Some(&***response),
            Err(error) => {
                debug!(query = %part.query, %error, "no verdict");
                None
            }
        };
        if job.is_exhausted() {
            return Validation::Bogus(InfoCode::DNSSEC_BOGUS);
        }
        if job.has_failed() {
            return Validation::Indeterminate(InfoCode::NO_REACHABLE_AUTHORITY);
        }
        Validation::Bogus(explain(&self.exchange, job, part, judged, now_secs).await)
    }
}

/// What the marks on the records of a part come down to.
fn marks(part: &Part, message: &Message) -> Proof {
    let proofs = |records: &[hickory_proto::rr::Record]| -> Vec<Proof> {
        let signed = records.iter().filter(|record| signature(record).is_none());
        signed.map(|record| record.proof).collect()
    };
    let of = if part.positive { proofs(&message.answers) } else { proofs(&message.authorities) };
    let all = |proof| of.iter().all(|found| *found == proof);
    if of.iter().any(|proof| matches!(proof, Proof::Bogus | Proof::Indeterminate)) {
        return Proof::Bogus;
    }
    // hickory's validator lets a denial without any record pass only where there is no chain.
    if of.is_empty() && !part.positive {
        return Proof::Insecure;
    }
    let has_proof = part.positive
        || message
            .authorities
            .iter()
            .any(|record| matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3));
    if !of.is_empty() && all(Proof::Secure) && has_proof { Proof::Secure } else { Proof::Insecure }
}

/// For how long the signatures of a part are good, and what they say of its TTL (RFC 4035 5.3.3).
fn life_secs(message: &Message, now_secs: u32) -> u32 {
    let used = message.all_sections().filter(|record| record.proof == Proof::Secure);
    used.filter_map(signature).fold(u32::MAX, |least, signature| {
        let input = signature.input();
        let left = input.sig_expiration.get().wrapping_sub(now_secs);
        least.min(left).min(input.original_ttl)
    })
}

/// Seconds since 1970, as signatures count them (RFC 4034 3.1.5).
fn now_secs() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() as u32
}

/// A name in wire form, lower-cased.
fn wire(name: &Name) -> Vec<u8> {
    let mut wire = Vec::with_capacity(crate::limits::NAME_LEN_MAX);
    for label in name.iter() {
        // A label has at most 63 octets: the parser refuses others.
        wire.push(label.len() as u8);
        wire.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    wire.push(0);
    wire
}
