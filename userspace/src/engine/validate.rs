//! Answers on their way through the validator, which is no part of the engine: what it is given,
//! what it says, what follows; and what it asks us for.
//!
//! A response that is to be validated is compiled first and kept with its look-up, and its octets
//! go out as [`Destination::Validator`](super::Destination). The verdict comes back through
//! [`Engine::handle_validation`]. On its way to it the validator asks for DS, DNSKEY and NS as a
//! client that sets DO and CD would ([`Engine::handle_validator_query`]), so that keys are looked
//! up, guarded against forgery and cached like everything else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::answer::encode::{Request, write_error};
use crate::answer::mark_secure;
use crate::counters::ValidationResult;
use crate::datagram::{Channel, Client, UpstreamId};
use crate::limits::MESSAGE_LEN_MAX;
use crate::policy::{DnssecMode, PrefixMask, ViewId};
use crate::time::Moment;
use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;
use crate::wire::name::{Name, fold};
use crate::wire::question::{Class, Rtype};

use super::cached::{Context, FromCache, Sought, Staleness, from_cache};
use super::lookup::{Failure, LookupId, Path, Subject, key_flags};
use super::outbox::Destination;
use super::plan::Plan;
use super::waiter::{Asker, Party, Slot, Waiter};
use super::{Engine, Verdict};

/// How long the validator may take. It answers earlier of itself; this is for the case that a
/// message to or from it is lost.
const VALIDATOR_WAIT: Duration = Duration::from_millis(6_000);

/// Names a look-up and its answer to the validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToValidate {
    token: u64,
    round: u8,
}

/// What the validator says of an answer (RFC 4035 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Signed, and the signatures lead to a trust anchor.
    Secure {
        /// Seconds that the signatures let it be used (RFC 4035 5.3.3).
        ttl_max_secs: u32,
    },
    /// It is proved that there is no chain of trust to it.
    Insecure,
    /// There should be a chain of trust, and there is none.
    Bogus(InfoCode),
    /// What is needed to decide could not be had.
    Indeterminate(InfoCode),
}

/// The bits of a query upstream that have to do with DNSSEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueryBits {
    /// DO.
    pub(super) dnssec_ok: bool,
    /// CD.
    pub(super) checking_disabled: bool,
    /// AD.
    pub(super) authentic_data: bool,
}

impl Engine {
    /// The bits with which a subject is asked for upstream.
    ///
    /// Where we validate: DO for the signatures; CD, so that we get what is to be judged and not
    /// SERVFAIL (RFC 4035 3.2.2, RFC 6840 5.9). Else as the client asked, and where the server's
    /// word counts and DO is not set, AD, so that it says whether it vouches for the data (5.7).
    pub(super) fn query_bits(&self, subject: &Subject) -> QueryBits {
        let dnssec_ok = subject.flags & key_flags::DNSSEC_OK != 0;
        let checking_disabled = subject.flags & key_flags::CHECKING_DISABLED != 0;
        match self.policy.dnssec.mode() {
            DnssecMode::Validate => QueryBits {
                dnssec_ok: dnssec_ok
                    || (!checking_disabled
                        && self.policy.dnssec.validates(subject.name(), subject.class)),
                checking_disabled: true,
                authentic_data: false,
            },
            DnssecMode::TrustUpstream => {
                QueryBits { dnssec_ok, checking_disabled, authentic_data: !dnssec_ok }
            }
            DnssecMode::Off => QueryBits { dnssec_ok, checking_disabled, authentic_data: false },
        }
    }

    /// Whether a server's word for a DNSSEC failure counts.
    pub(super) fn heeds_dnssec_failures(&self) -> bool {
        self.policy.dnssec.mode() != DnssecMode::Off
    }

    /// How long A waits for AAAA. Where we validate, the absence of AAAA is proved before A is
    /// asked for (RFC 6147 5.5), so A waits until AAAA is given up.
    pub(super) fn hold_for(&self, waiter: &Waiter) -> Duration {
        if self.policy.dnssec.mode() == DnssecMode::Validate {
            self.patience()
        } else {
            self.policy.view(waiter.view).hold
        }
    }

    /// Hands a response to the validator, and keeps what it comes down to.
    pub(super) fn validate(
        &mut self,
        id: LookupId,
        server: UpstreamId,
        compiled: &[u8],
        response: &[u8],
        now: Moment,
    ) {
        let token = self.token(id);
        self.lookups.ask(id, None);
        let lookup = self.lookups.at_mut(id);
        lookup.path = Path::Validator(server);
        lookup.unproved.clear();
        lookup.unproved.extend_from_slice(compiled);
        lookup.round = lookup.round.wrapping_add(1);
        let subject = ToValidate { token, round: lookup.round };
        self.outbox.push(Destination::Validator(subject), response.len(), |out| {
            out.copy_from_slice(response);
            response.len()
        });
        self.lookup_timers.set(id.0, now + VALIDATOR_WAIT);
    }

    /// Takes what the validator says. Only what it calls secure or insecure is ever used.
    pub fn handle_validation(&mut self, of: ToValidate, validation: Validation, now: Moment) {
        let Some(id) = self.lookup_of(of.token) else { return };
        let lookup = self.lookups.at_mut(id);
        let Path::Validator(server) = lookup.path else { return };
        if lookup.round != of.round {
            return;
        }
        let mut compiled = std::mem::take(&mut lookup.unproved);
        lookup.path = Path::Udp;
        let (result, failure) = match validation {
            Validation::Secure { ttl_max_secs } => {
                mark_secure(&mut compiled, ttl_max_secs);
                (ValidationResult::Secure, None)
            }
            Validation::Insecure => (ValidationResult::Insecure, None),
            Validation::Bogus(code) => (ValidationResult::Bogus, Some(code)),
            Validation::Indeterminate(code) => (ValidationResult::Indeterminate, Some(code)),
        };
        self.counters.validated(result);
        match failure {
            None => {
                let times = self.times_of(&compiled, now);
                self.finish(id, &compiled, times, now);
            }
            Some(code) => self.server_failed(id, server, unproved(code), now),
        }
    }

    /// The validator has not said anything in time.
    pub(super) fn validation_is_late(&mut self, id: LookupId, server: UpstreamId, now: Moment) {
        self.lookups.at_mut(id).path = Path::Udp;
        self.counters.validated(ValidationResult::Indeterminate);
        self.server_failed(id, server, unproved(InfoCode::DNSSEC_INDETERMINATE), now);
    }

    /// Takes a question of the validator: a name in wire form, and a type of the class IN. As
    /// [`Engine::handle_query`]; a reply that has to wait goes to [`Channel::Validator`] with this
    /// number.
    pub fn handle_validator_query(
        &mut self,
        number: u64,
        name: &[u8],
        rtype: Rtype,
        out: &mut [u8],
        now: Moment,
    ) -> Verdict {
        let mut question = name.to_vec();
        question.extend_from_slice(&rtype.0.to_be_bytes());
        question.extend_from_slice(&Class::IN.0.to_be_bytes());
        let request = Request {
            id: 0,
            recursion_desired: true,
            checking_disabled: true,
            wants_authentic: false,
            edns: true,
            dnssec_ok: true,
            limit: out.len().min(MESSAGE_LEN_MAX),
            question: &question,
            alias: None,
        };
        let Ok((parsed, [])) = Name::split(name) else {
            return servfail(out, &request);
        };
        let mut folded = [0; 256];
        let name_len = fold(parsed, &mut folded);
        let name = &folded[..name_len];
        let name_hash = dns64_ebpf::hash::name_hash(name, self.hash_seed);
        let flags = key_flags::DNSSEC_OK | key_flags::CHECKING_DISABLED;
        let subject = Subject::new(name, rtype, Class::IN, flags, name_hash);
        let view = self.policy.view(ViewId::DEFAULT);
        let prefixes = PrefixMask::EMPTY;
        let context = Context { view, prefixes, plan: Plan::Relay, name };
        let sought = Sought {
            first: subject.key(),
            name_hash,
            now_secs: now.as_secs(),
            staleness: Staleness::AfterFailure,
        };
        match from_cache(&mut self.shard, &mut self.scratch, out, &request, &context, &sought) {
            FromCache::Reply { written, .. } => Verdict::Reply { len: written.len },
            FromCache::Missing(_) => {
                let channel = Channel::Validator { question: number };
                let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                let peer = SocketAddr::new(nobody, 0);
                let client = Client { peer, local: nobody, interface: 0, channel };
                let party = Party::Client(Asker::new(client, &request));
                let view = ViewId::DEFAULT;
                let waiter = self.waiters.add(party, Plan::Relay, view, prefixes, flags, now);
                let Some(waiter) = waiter else { return servfail(out, &request) };
                if !self.wait_for(waiter, Slot::First, subject, now) {
                    self.waiters.remove(waiter, &mut self.lookups);
                    return servfail(out, &request);
                }
                self.arm_waiter(waiter, now);
                Verdict::Pending
            }
        }
    }
}

/// SERVFAIL, for a question that is none, or for which there is no room.
fn servfail(out: &mut [u8], request: &Request<'_>) -> Verdict {
    let len = write_error(out, request, Rcode::SERVFAIL, Some(InfoCode::OTHER));
    Verdict::Reply { len }
}

/// The failure of an answer that is not proved. It leads neither to synthesis nor to stale answers.
const fn unproved(code: InfoCode) -> Failure {
    Failure { rcode: Rcode::SERVFAIL, info_code: Some(code), bogus: true }
}
