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
use crate::wire::question::{Class, Question, Rtype};

use super::blocking::{Redirected, Ruling};
use super::cached::{Context, FromCache, Sought, Staleness, Written, from_cache};
use super::clients::Rate;
use super::entry::Entry;
use super::lookup::{Subject, key_flags};
use super::plan::{Plan, PlanFlags};
use super::ready::{self, Audience, Ready};
use super::scripted::{Scripting, Unruled};
use super::verdict::Kind;
use super::waiter::{Asker, Kept, Party, Slot};
use super::{Engine, ReplyNote, Verdict};

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
        self.synthesized_before = self.counters.synthesized;
        let transport = usize::from(!client.channel.is_udp());
        self.counters.queries[transport][usize::from(client.peer.is_ipv6())] += 1;
        let class = self.classify(&client);
        if class.dropped {
            return self.drop(DropReason::Denied);
        }
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
            let variant = self.script.as_ref().map_or(0, Scripting::likely_variant);
            let hash = |plain| key_of(plain).with_variant(variant).hash();
            let hashes = || ahead.iter().flatten().map(hash);
            let buckets = hashes().fold(0, |sum, hash| sum ^ self.shard.touch_index(hash));
            let entries = hashes().fold(0, |sum, hash| sum ^ self.shard.touch_entry(hash));
            // Or the compiler would see that nobody wants it.
            std::hint::black_box(buckets ^ entries);
        }
    }

    /// Whom the ready replies for clients of a class are for.
    #[inline]
    const fn audience(&self, class: ClientClass) -> Audience {
        Audience { view: class.view, prefixes: class.prefixes, epoch: self.epoch }
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
        let key = self.answer_key(key_of(plain), class);
        let audience = self.audience(class);
        let hit = self.shard.get(&key, now_secs)?;
        let ready = Entry::read_ready(hit.value)?;
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
            let key = key.hash();
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
    pub(super) fn keep_ready(
        &mut self,
        plain: &PlainQuery,
        class: ClientClass,
        reply: &[u8],
        written: Written,
        (now_secs, until_secs): (u32, u32),
    ) {
        let audience = self.audience(class);
        // Made first of all: most replies that cannot be kept show it in their header.
        let seconds = (now_secs, until_secs);
        if ready::make(reply, written, plain, audience, seconds, &mut self.scratch).is_none() {
            return;
        }
        let Some(made) = Ready::read(&self.scratch) else { return };
        let key = self.answer_key(key_of(plain), class);
        let Some(hit) = self.shard.peek(&key, now_secs) else { return };
        let Some(entry) = Entry::read(hit.value) else { return };
        if entry.ready.is_some_and(|ready| !ready.gives_way(&made, now_secs)) {
            return;
        }
        let times = hit.times;
        entry.parts.write_with(&mut self.entry_scratch, &self.scratch);
        // The answers must not go for the sake of a reply.
        if self.shard.takes(&key, &self.entry_scratch) {
            let _fits = self.shard.insert(&key, &self.entry_scratch, times);
            // The kernel knows an earlier one.
            if let Some(generation) = self.hot.is_published(key.hash()) {
                let audience = self.policy.audience(class);
                self.hot.publish(key.hash(), made.publication(plain, audience, generation));
            }
        }
    }

    /// Counts a hit on the answers that a reply for a name under a prefix was made of, which stand
    /// under their own name and have no ready reply for it; publishes the reply if it is hot.
    fn heat_reverse(
        &mut self,
        key_hash: u64,
        asked: &PlainQuery,
        class: ClientClass,
        reply: &[u8],
        written: Written,
        seconds: (u32, u32),
    ) {
        if !self.hot.samples() {
            return;
        }
        let Some(generation) = self.hot.note(key_hash, seconds.0) else { return };
        let audience = self.audience(class);
        if ready::make(reply, written, asked, audience, seconds, &mut self.scratch).is_some()
            && let Some(made) = Ready::read(&self.scratch)
        {
            let audience = self.policy.audience(class);
            self.hot.publish(key_hash, made.publication(asked, audience, generation));
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
        let mut watched = false;
        // What a zone lets pass by TCP must not be found ready by a query that comes by UDP.
        let mut keeps = true;
        if self.policy.rpz.is_for(class.view) && question.class == Class::IN {
            let ruling = self.ruling(request, client, class, (plan, prefixes), out);
            watched = ruling.is_none();
            if let Some((ruling, zone)) = ruling {
                self.counters.ruled(zone);
                if ruling != Ruling::Exempt {
                    return self.enforce(ruling, client, request, class, out, now);
                }
                keeps = client.channel.is_udp();
            }
        }
        let view = self.policy.view(class.view);
        if let Plan::Local(local) = plan {
            let Written { len, rcode, synthesized } = local.write(out, request, view, prefixes);
            self.counters.synthesized += u64::from(synthesized);
            return self.reply(len, Source::Local, rcode);
        }
        let flags = key_flags_of(request.dnssec_ok, request.checking_disabled);
        let flags = self.flags_behind_script(flags, question.class);
        let mut folded = [0; 256];
        let asked = plain;
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
        let unruled = Unruled { client, class, native: (plan, prefixes), request, watched };
        let asked_to_keep = asked.filter(|_| keeps);
        if flags & key_flags::BEHIND_SCRIPT != 0
            && let Some(verdict) = self.rule(&unruled, question, asked_to_keep, key, out, now)
        {
            return verdict;
        }
        let context = Context { view: self.policy.view(class.view), prefixes, plan, name };
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
                if watched
                    && let Some((ruling, zone)) =
                        self.chain_ruling(request, client, class, out, &written)
                {
                    self.counters.ruled(zone);
                    if ruling != Ruling::Exempt {
                        return self.enforce(ruling, client, request, class, out, now);
                    }
                    keeps = client.channel.is_udp();
                }
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
                    && keeps
                    && source == Source::Hit
                    && written.len + EXTENDED_ERROR_LEN <= request.limit
                {
                    let seconds = (now.as_secs(), until_secs);
                    self.keep_ready(plain, class, &out[..written.len], written, seconds);
                }
                if let (Plan::Reverse(..), Some(asked)) = (plan, asked)
                    && keeps
                    && source == Source::Hit
                    && written.len + EXTENDED_ERROR_LEN <= request.limit
                {
                    let seconds = (now.as_secs(), until_secs);
                    self.heat_reverse(
                        key.hash(),
                        asked,
                        class,
                        &out[..written.len],
                        written,
                        seconds,
                    );
                }
                self.reply(written.len, source, written.rcode)
            }
            FromCache::Missing(slot) => {
                self.counters.cache_misses += 1;
                if !request.recursion_desired {
                    // What is not cached would have to be asked for, and that is not wanted.
                    return self.refuse(out, request, InfoCode::NOT_AUTHORITATIVE);
                }
                if flags & key_flags::BEHIND_SCRIPT != 0 {
                    return self.begin_scripted(&unruled, out, now);
                }
                let subject = Subject::new(name, rtype, question.class, flags, name_hash);
                let task = (plan, class, prefixes, watched);
                self.make_wait(client, request, task, subject, slot, out, now)
            }
        }
    }

    /// Answers by the verdict of the script on a question of class IN, or asks the script. `None`
    /// if the answers of the name, which stand under `key`, are for the client as they are.
    fn rule(
        &mut self,
        unruled: &Unruled<'_>,
        question: &Question<'_>,
        plain: Option<&PlainQuery>,
        key: Key<'_>,
        out: &mut [u8],
        now: Moment,
    ) -> Option<Verdict> {
        let Unruled { class, request, .. } = *unruled;
        let now_secs = now.as_secs();
        let mut folded = [0; 256];
        let (name, name_hash) = match plain {
            Some(plain) => (plain.name(), plain.name_hash),
            None => {
                let len = fold(question.name, &mut folded);
                let name = &folded[..len];
                (name, dns64_ebpf::hash::name_hash(name, self.hash_seed))
            }
        };
        let flags = key_flags_of(request.dnssec_ok, request.checking_disabled);
        let asked = Key::with_hash(name, question.rtype.0, question.class.0, flags, name_hash);
        match self.find_verdict(out, request, asked, class, now_secs) {
            // What the script said of a recursive query may have been made by a prefix that others
            // do not get.
            Kind::Reply(written, times)
                if request.recursion_desired
                    || self.policy.view(class.view).recursive_only().is_empty() =>
            {
                self.counters.cache_hits += 1;
                self.counters.synthesized += u64::from(written.synthesized);
                if let Some(plain) = plain
                    && written.len + EXTENDED_ERROR_LEN <= request.limit
                {
                    let times = (times, now_secs);
                    self.keep_ready_verdict(plain, class, &out[..written.len], written, times);
                }
                let behind = flags | key_flags::BEHIND_SCRIPT;
                let subject = Subject::new(name, question.rtype, question.class, behind, name_hash);
                self.renew_behind_script(subject, times, now);
                Some(self.reply(written.len, Source::Hit, written.rcode))
            }
            // The hash of the name in `key` is only wanted for AAAA, whose name is the asked one.
            Kind::Untouched(secs) if self.are_as_ruled(&key, name_hash, secs, now_secs) => None,
            Kind::Unknown | Kind::Untouched(_) | Kind::Reply(..) => {
                self.counters.cache_misses += 1;
                if !request.recursion_desired {
                    return Some(self.refuse(out, request, InfoCode::NOT_AUTHORITATIVE));
                }
                Some(self.begin_scripted(unruled, out, now))
            }
        }
    }

    /// Lets the client wait for what is missing.
    #[allow(clippy::too_many_arguments, reason = "one caller, and each says another thing")]
    pub(super) fn make_wait(
        &mut self,
        client: Client,
        request: &Request<'_>,
        (plan, class, prefixes, watched): (Plan, ClientClass, PrefixMask, bool),
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
        if watched || request.alias.is_some() {
            let waiter = self.waiters.at_mut(waiter);
            waiter.watched = watched;
            waiter.redirected = request.alias.as_ref().map(Redirected::of);
        }
        let waits = match missing {
            Slot::First => self.wait_for(waiter, Slot::First, subject, now),
            Slot::Second => {
                // The cache has copied the AAAA answer to the scratch space.
                let octets = self.scratch.clone().into_boxed_slice();
                let stored_secs = self.stored_secs(&subject, now);
                let kept = Kept { octets, stored_secs, stale: false };
                self.waiters.at_mut(waiter).answers[0] = Some(kept);
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

    pub(super) fn refuse(
        &mut self,
        out: &mut [u8],
        request: &Request<'_>,
        info_code: InfoCode,
    ) -> Verdict {
        let len = write_error(out, request, Rcode::REFUSED, Some(info_code));
        self.reply(len, Source::Policy, Rcode::REFUSED)
    }

    pub(super) fn reply(&mut self, len: usize, source: Source, rcode: Rcode) -> Verdict {
        self.counters.response(source, rcode);
        self.untimed[source as usize] += 1;
        let synthesized = self.counters.synthesized != self.synthesized_before;
        self.note = ReplyNote { source, rcode, synthesized, waited: None };
        Verdict::Reply { len }
    }

    pub(super) fn drop(&mut self, reason: DropReason) -> Verdict {
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
pub(super) fn request<'a>(
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
        alias: None,
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
pub(super) const fn key_flags_of(dnssec_ok: bool, checking_disabled: bool) -> u8 {
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
