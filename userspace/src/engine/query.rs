//! A query comes in: answered from the cache or here and now, refused, or made to wait.

use crate::answer::encode::{EXTENDED_ERROR_LEN, Request, write_error, write_truncated};
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
use crate::wire::name::fold;
use crate::wire::plain::PlainQuery;
use crate::wire::query::{Query, QueryError};
use crate::wire::question::Rtype;

use super::cached::{Context, FromCache, Sought, Staleness, Written, from_cache};
use super::clients::Rate;
use super::entry::Entry;
use super::lookup::{Subject, key_flags};
use super::plan::{Plan, PlanFlags};
use super::ready::{self, Audience};
use super::waiter::{Asker, Kept, Party, Slot};
use super::{Engine, Verdict};

impl Engine {
    /// Takes a query and the time. A reply that can be given at once is written into `out`, which
    /// holds at least 512 octets and bounds the reply.
    pub fn handle_query(&mut self, query: Datagram<'_>, out: &mut [u8], now: Moment) -> Verdict {
        let plain = PlainQuery::read(query.bytes, self.hash_seed);
        self.handle_query_ahead(query, plain.as_ref(), out, now)
    }

    /// As [`Engine::handle_query`], for a query that [`Engine::read_ahead`] has read.
    pub fn handle_query_ahead(
        &mut self,
        query: Datagram<'_>,
        plain: Option<&PlainQuery>,
        out: &mut [u8],
        now: Moment,
    ) -> Verdict {
        let Datagram { bytes, client } = query;
        let transport = usize::from(!client.channel.is_udp());
        self.counters.queries[transport][usize::from(client.peer.is_ipv6())] += 1;
        let class = self.policy.classify(client.peer.ip());
        let rate = if class.allowed && client.channel.is_udp() {
            self.load.rate(client.peer.ip(), now)
        } else {
            Rate::Within
        };
        if let Some(plain) = plain
            && class.allowed
            && rate == Rate::Within
            && let Some(verdict) = self.answer_ready(query, plain, class, out, now)
        {
            return verdict;
        }
        let query = match Query::parse(bytes) {
            Ok(_) if rate == Rate::Over => return self.drop(DropReason::Rate),
            Err(_) if rate != Rate::Within => return self.drop(DropReason::Rate),
            Ok(query) => query,
            Err(error) => return self.answer_fault(bytes, &error, class, out),
        };
        let request = request(&query, client, &self.policy.limits, out.len());
        if !class.allowed {
            return self.refuse(out, &request, InfoCode::PROHIBITED);
        }
        if rate == Rate::Slip {
            let len = write_truncated(out, &request);
            return self.reply(len, Source::Policy, Rcode::NOERROR);
        }
        // RRSIG is no less of an amplifier than ANY, and QTYPEs from 128 are operations, not data
        // (RFC 6895 3.1); zone transfers are not for a forwarder.
        let rtype = query.question.rtype;
        if rtype == Rtype::RRSIG || (rtype.is_meta() && rtype != Rtype::ANY) {
            return self.refuse(out, &request, InfoCode::NOT_SUPPORTED);
        }
        // What was read ahead is right if it ends where the name does.
        let plain = plain.filter(|plain| plain.question_len() == query.question_octets().len());
        self.resolve(&query, plain, &request, client, class, out, now)
    }

    /// Reads a batch of queries ahead, for [`Engine::handle_query_ahead`].
    ///
    /// With `touch` it also loads what they will need of the cache: first all buckets, then all
    /// entries, so that the processor waits for memory twice a batch and not twice a query. Worth
    /// its while when the cache is larger than the processor's.
    pub fn read_ahead<'q>(
        &self,
        queries: impl Iterator<Item = &'q [u8]>,
        touch: bool,
        ahead: &mut Vec<Option<PlainQuery>>,
    ) {
        ahead.clear();
        ahead.extend(queries.map(|query| PlainQuery::read(query, self.hash_seed)));
        if touch {
            let hashes = || ahead.iter().flatten().map(|plain| key_of(plain).hash());
            let buckets = hashes().fold(0, |sum, hash| sum ^ self.shard.touch_index(hash));
            let entries = hashes().fold(0, |sum, hash| sum ^ self.shard.touch_entry(hash));
            // Or the compiler would see that nobody wants it.
            std::hint::black_box(buckets ^ entries);
        }
    }

    /// Answers from the ready reply of the name, if it has one for such a query.
    #[inline]
    fn answer_ready(
        &mut self,
        query: Datagram<'_>,
        plain: &PlainQuery,
        class: ClientClass,
        out: &mut [u8],
        now: Moment,
    ) -> Option<Verdict> {
        let now_secs = now.as_secs();
        let hit = self.shard.get(&key_of(plain), now_secs)?;
        let ready = Entry::read_ready(hit.value)?;
        let audience = Audience { view: class.view, prefixes: class.prefixes };
        if !ready.is_for(audience, now_secs) {
            return None;
        }
        let limit = if query.client.channel.is_udp() {
            plain.udp_limit(self.policy.limits.udp_payload as usize)
        } else {
            out.len()
        };
        let written = ready.write(out, query.bytes, plain, limit, now_secs)?;
        if self.hot.samples() {
            let key = key_of(plain).hash();
            if let Some(generation) = self.hot.note(key, now_secs) {
                let audience = self.policy.audience(class);
                self.hot.publish(key, ready.publication(plain, audience, generation));
            }
        }
        self.counters.cache_hits += 1;
        self.counters.synthesized += u64::from(written.synthesized);
        Some(self.reply(written.len, Source::Hit, written.rcode))
    }

    /// Keeps a reply that was just made for a plain query, so that the next one is answered from
    /// it. `until_secs` is how long its answers hold.
    fn keep_ready(
        &mut self,
        plain: &PlainQuery,
        class: ClientClass,
        reply: &[u8],
        written: Written,
        (now_secs, until_secs): (u32, u32),
    ) {
        let key = key_of(plain);
        let audience = Audience { view: class.view, prefixes: class.prefixes };
        let Some(hit) = self.shard.peek(&key, now_secs) else { return };
        let Some(entry) = Entry::read(hit.value) else { return };
        // The first audience keeps its place: others would only take turns.
        if entry
            .ready
            .is_some_and(|ready| !ready.is_over(now_secs) && !ready.is_for(audience, now_secs))
        {
            return;
        }
        let times = hit.times;
        let mut made = false;
        entry.parts.write_with(&mut self.entry_scratch, |into| {
            let seconds = (now_secs, until_secs);
            made = ready::make(reply, written, plain, audience, seconds, into);
        });
        // The answers must not go for the sake of a reply.
        if made && self.shard.takes(&key, &self.entry_scratch) {
            let _fits = self.shard.insert(&key, &self.entry_scratch, times);
            // The kernel knows an earlier one.
            if let Some(generation) = self.hot.is_published(key.hash())
                && let Some(ready) = Entry::read_ready(&self.entry_scratch)
            {
                let audience = self.policy.audience(class);
                self.hot.publish(key.hash(), ready.publication(plain, audience, generation));
            }
        }
    }

    /// Answers a query that is well-formed and allowed.
    #[allow(clippy::too_many_arguments, reason = "one caller, and each says another thing")]
    fn resolve(
        &mut self,
        query: &Query<'_>,
        plain: Option<&PlainQuery>,
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
        let flags = key_flags_of(request.dnssec_ok, request.checking_disabled);
        let mut folded = [0; 256];
        // A ready reply stands under the name that was asked for, and is found by it.
        let plain = plain.filter(|_| !matches!(plan, Plan::Reverse(..)));
        let (name, rtype, name_hash) = match (plan, plain) {
            (Plan::Reverse(address, _), _) => {
                let name_len = fold(in_addr_arpa(address).as_name(), &mut folded);
                let name = &folded[..name_len];
                (name, Rtype::PTR, dns64_ebpf::hash::name_hash(name, self.hash_seed))
            }
            (_, Some(plain)) => (plain.name(), question.rtype, plain.name_hash),
            (_, None) => {
                let name_len = fold(question.name, &mut folded);
                let name = &folded[..name_len];
                let name_hash = dns64_ebpf::hash::name_hash(name, self.hash_seed);
                (name, question.rtype, name_hash)
            }
        };
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
            FromCache::Reply { written, source, renew, until_secs } => {
                self.counters.synthesized += u64::from(written.synthesized);
                match source {
                    Source::Stale => self.counters.cache_stale += 1,
                    Source::Hit
                    | Source::Miss
                    | Source::Local
                    | Source::Policy
                    | Source::Kernel => {
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
                // With room for an Extended Error nothing was left out of the reply.
                if let Some(plain) = plain
                    && source == Source::Hit
                    && written.len + EXTENDED_ERROR_LEN <= request.limit
                {
                    let seconds = (now.as_secs(), until_secs);
                    self.keep_ready(plain, class, &out[..written.len], written, seconds);
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

/// The key under which the answer to a plain query stands.
#[inline]
fn key_of(plain: &PlainQuery) -> Key<'_> {
    let flags = key_flags_of(plain.dnssec_ok, plain.checking_disabled);
    Key::with_hash(plain.name(), plain.rtype, plain.class, flags, plain.name_hash)
}

/// The flags of the key for a query with these bits.
const fn key_flags_of(dnssec_ok: bool, checking_disabled: bool) -> u8 {
    let mut flags = 0;
    if dnssec_ok {
        flags |= key_flags::DNSSEC_OK;
    }
    if checking_disabled {
        flags |= key_flags::CHECKING_DISABLED;
    }
    flags
}

/// The same subject with another type.
pub(super) fn with_type(subject: &Subject, rtype: Rtype) -> Subject {
    Subject::new(subject.name(), rtype, subject.class, subject.flags, subject.name_hash)
}
