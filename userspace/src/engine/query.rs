//! A query comes in: answered from the cache or here and now, refused, or made to wait.

use crate::answer::encode::{Request, write_error, write_truncated};
use crate::cache::Key;
use crate::counters::{DropReason, Source};
use crate::datagram::{Client, Datagram};
use crate::limits::UDP_PAYLOAD_LEN;
use crate::policy::{ClientClass, Limits, PrefixMask};
use crate::reverse::in_addr_arpa;
use crate::time::Moment;
use crate::wire::edns::InfoCode;
use crate::wire::error::ParseError;
use crate::wire::header::Rcode;
use crate::wire::name::{Name, fold};
use crate::wire::query::{Query, QueryError};
use crate::wire::question::Rtype;

use super::cached::{Context, FromCache, Sought, Staleness, Written, from_cache};
use super::clients::Rate;
use super::lookup::{Subject, key_flags};
use super::plan::{Plan, PlanFlags};
use super::waiter::{Asker, Kept, Party, Slot};
use super::{Engine, Verdict};

impl Engine {
    /// Takes a query and the time. A reply that can be given at once is written into `out`, which
    /// holds at least 512 octets and bounds the reply.
    pub fn handle_query(&mut self, query: Datagram<'_>, out: &mut [u8], now: Moment) -> Verdict {
        let Datagram { bytes, client } = query;
        let transport = usize::from(!client.channel.is_udp());
        self.counters.queries[transport][usize::from(client.peer.is_ipv6())] += 1;
        let class = self.policy.classify(client.peer.ip());
        let query = match Query::parse(bytes) {
            Ok(query) => query,
            Err(error) => return self.answer_fault(bytes, &error, class, out),
        };
        let request = request(&query, client, &self.policy.limits, out.len());
        if !class.allowed {
            return self.refuse(out, &request, InfoCode::PROHIBITED);
        }
        if client.channel.is_udp() {
            match self.load.rate(client.peer.ip(), now) {
                Rate::Within => {}
                Rate::Over => return self.drop(DropReason::Rate),
                Rate::Slip => {
                    let len = write_truncated(out, &request);
                    return self.reply(len, Source::Policy, Rcode::NOERROR);
                }
            }
        }
        // RRSIG is no less of an amplifier than ANY, and QTYPEs from 128 are operations, not data
        // (RFC 6895 3.1); zone transfers are not for a forwarder.
        let rtype = query.question.rtype;
        if rtype == Rtype::RRSIG || (rtype.is_meta() && rtype != Rtype::ANY) {
            return self.refuse(out, &request, InfoCode::NOT_SUPPORTED);
        }
        self.resolve(&query, &request, client, class, out, now)
    }

    /// Answers a query that is well-formed and allowed.
    fn resolve(
        &mut self,
        query: &Query<'_>,
        request: &Request<'_>,
        client: Client,
        class: ClientClass,
        out: &mut [u8],
        now: Moment,
    ) -> Verdict {
        let question = &query.question;
        let view = self.policy.view(class.view);
        let flags = PlanFlags {
            recursion_desired: request.recursion_desired,
            checking_disabled: request.checking_disabled,
        };
        let (plan, prefixes) = Plan::of(question, flags, class, view);
        if let Plan::Local(local) = plan {
            let Written { len, rcode, synthesized } = local.write(out, request, view, prefixes);
            self.counters.synthesized += u64::from(synthesized);
            return self.reply(len, Source::Local, rcode);
        }
        let mut folded = [0; 256];
        let (name_len, rtype) = match plan {
            Plan::Reverse(address, _) => {
                let target = in_addr_arpa(address);
                (fold(target.as_name(), &mut folded), Rtype::PTR)
            }
            Plan::Relay | Plan::Synthesize | Plan::Local(_) => {
                (fold(question.name, &mut folded), question.rtype)
            }
        };
        let name = &folded[..name_len];
        let flags = key_flags_of(request);
        let name_hash = dns64_ebpf::hash::name_hash(name, self.hash_seed);
        let key = Key::with_hash(name, rtype.0, question.class.0, flags, name_hash);
        let context = Context { view, prefixes, plan, name };
        let staleness = Staleness::AfterFailure;
        let cached = from_cache(
            &mut self.shard,
            &mut self.scratch,
            out,
            request,
            &context,
            &Sought { first: key, name_hash, now_secs: now.as_secs(), staleness },
        );
        match cached {
            FromCache::Reply { written, source, renew } => {
                self.counters.synthesized += u64::from(written.synthesized);
                match source {
                    Source::Stale => self.counters.cache_stale += 1,
                    Source::Hit | Source::Miss | Source::Local | Source::Policy => {
                        self.counters.cache_hits += 1;
                    }
                }
                if let Some(slot) = renew
                    && self.policy.cache.prefetch
                {
                    let rtype = if slot == Slot::First { rtype } else { Rtype::A };
                    let subject = Subject::new(name, rtype, question.class, flags, name_hash);
                    self.prefetch(subject, now);
                }
                self.reply(written.len, source, written.rcode)
            }
            FromCache::Missing(slot) => {
                self.counters.cache_misses += 1;
                if !request.recursion_desired {
                    // What is not cached would have to be asked for, and that is not wanted.
                    return self.refuse(out, request, InfoCode::NOT_AUTHORITATIVE);
                }
                let subject = Subject::new(name, rtype, question.class, flags, name_hash);
                self.make_wait(client, request, (plan, class, prefixes), subject, slot, out, now)
            }
        }
    }

    /// Lets the client wait for what is missing.
    #[allow(clippy::too_many_arguments, reason = "one caller, and each says another thing")]
    fn make_wait(
        &mut self,
        client: Client,
        request: &Request<'_>,
        (plan, class, prefixes): (Plan, ClientClass, PrefixMask),
        subject: Subject,
        missing: Slot,
        out: &mut [u8],
        now: Moment,
    ) -> Verdict {
        if !self.load.enter(client.peer.ip()) {
            let len = write_error(out, request, Rcode::SERVFAIL, Some(InfoCode::OTHER));
            return self.reply(len, Source::Policy, Rcode::SERVFAIL);
        }
        let party = Party::Client(Asker::new(client, request));
        let flags = subject.flags;
        let waiter = self.waiters.add(party, plan, class.view, prefixes, flags, now);
        let Some(waiter) = waiter else {
            self.load.leave(client.peer.ip());
            let len = write_error(out, request, Rcode::SERVFAIL, Some(InfoCode::OTHER));
            return self.reply(len, Source::Policy, Rcode::SERVFAIL);
        };
        let waits = match missing {
            Slot::First => self.wait_for(waiter, Slot::First, subject, now),
            Slot::Second => {
                // The cache has copied the AAAA answer to the scratch space.
                let octets = self.scratch.clone().into_boxed_slice();
                let stored_secs = self.stored_secs(&subject, now);
                self.waiters.at_mut(waiter).answers[0] = Some(Kept { octets, stored_secs });
                let a = with_type(&subject, Rtype::A);
                self.wait_for(waiter, Slot::Second, a, now)
            }
        };
        if !waits {
            self.waiters.remove(waiter, &mut self.lookups);
            self.load.leave(client.peer.ip());
            let len = write_error(out, request, Rcode::SERVFAIL, Some(InfoCode::OTHER));
            return self.reply(len, Source::Policy, Rcode::SERVFAIL);
        }
        self.arm_waiter(waiter, now);
        Verdict::Pending
    }

    /// Answers a query that cannot be understood, if its sender may ask at all.
    fn answer_fault(
        &mut self,
        bytes: &[u8],
        error: &QueryError<'_>,
        class: ClientClass,
        out: &mut [u8],
    ) -> Verdict {
        if error.kind == ParseError::ShortHeader {
            return self.drop(DropReason::Short);
        }
        if error.kind == ParseError::NotAQuery {
            return self.drop(DropReason::NotAQuery);
        }
        if !class.allowed {
            return self.drop(DropReason::Malformed);
        }
        match (error.write_reply(bytes, UDP_PAYLOAD_LEN as u16, out), error.rcode) {
            (Some(len), Some(rcode)) => self.reply(len, Source::Local, rcode),
            _ => self.drop(DropReason::Malformed),
        }
    }

    fn refuse(&mut self, out: &mut [u8], request: &Request<'_>, info_code: InfoCode) -> Verdict {
        let len = write_error(out, request, Rcode::REFUSED, Some(info_code));
        self.reply(len, Source::Policy, Rcode::REFUSED)
    }

    fn reply(&mut self, len: usize, source: Source, rcode: Rcode) -> Verdict {
        self.counters.response(source, rcode);
        Verdict::Reply { len }
    }

    fn drop(&mut self, reason: DropReason) -> Verdict {
        self.counters.dropped(reason);
        Verdict::Drop(reason)
    }

    /// The second in which the cached answer of this subject was stored.
    fn stored_secs(&self, subject: &Subject, now: Moment) -> u32 {
        let hit = self.shard.peek(&subject.key(), now.as_secs());
        hit.map_or(now.as_secs(), |hit| hit.times.stored_secs)
    }

    /// Loads what a query will need from the cache, so that a batch waits for memory once and not
    /// for each query. The value is of no meaning; it keeps the loads from being left out.
    #[must_use]
    pub fn touch(&self, hash: u64) -> u32 {
        self.shard.touch_index(hash)
    }

    /// The second step of [`Engine::touch`]: the entry itself.
    #[must_use]
    pub fn touch_entry(&self, hash: u64) -> u32 {
        self.shard.touch_entry(hash)
    }

    /// The hash under which the cache will look for the answer to a query: a guess from its first
    /// octets, good for loading memory ahead and for nothing else.
    #[must_use]
    pub fn hash_ahead(&self, query: &[u8]) -> Option<u64> {
        let (name, rest) = Name::split(query.get(crate::limits::HEADER_LEN..)?).ok()?;
        let (fixed, _) = rest.split_first_chunk::<4>()?;
        let rtype = u16::from_be_bytes([fixed[0], fixed[1]]);
        let class = u16::from_be_bytes([fixed[2], fixed[3]]);
        let name_hash = dns64_ebpf::hash::name_hash(name.as_wire(), self.hash_seed);
        Some(Key::with_hash(name.as_wire(), rtype, class, 0, name_hash).hash())
    }
}

/// What of a query decides the form of the reply.
fn request<'a>(
    query: &Query<'a>,
    client: Client,
    limits: &Limits,
    buffer_len: usize,
) -> Request<'a> {
    let limit = if client.channel.is_udp() {
        query.udp_limit(limits.udp_payload as usize)
    } else {
        buffer_len
    };
    let flags = query.header.flags;
    Request {
        id: query.header.id,
        recursion_desired: flags.rd(),
        checking_disabled: flags.cd(),
        wants_authentic: flags.ad(),
        edns: query.opt.is_some(),
        dnssec_ok: query.dnssec_ok(),
        limit: limit.min(buffer_len),
        question: query.question_octets(),
    }
}

/// The flags of the key for a request.
fn key_flags_of(request: &Request<'_>) -> u8 {
    let mut flags = 0;
    if request.dnssec_ok {
        flags |= key_flags::DNSSEC_OK;
    }
    if request.checking_disabled {
        flags |= key_flags::CHECKING_DISABLED;
    }
    flags
}

/// The same subject with another type.
pub(super) fn with_type(subject: &Subject, rtype: Rtype) -> Subject {
    Subject::new(subject.name(), rtype, subject.class, subject.flags, subject.name_hash)
}
