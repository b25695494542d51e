//! Those who wait: what they wait for, what they do with it, and how they are answered.

use std::time::Duration;

use crate::answer::encode::Request;
use crate::answer::{Answer, AnswerFlags, Outcome, compile_failure};
use crate::cache::Key;
use crate::cache::Times;
use crate::counters::Source;
use crate::limits::{LOOKUP_LIFE, MESSAGE_LEN_MAX, UDP_PLAIN_LEN_MAX};
use crate::reverse::in_addr_arpa;
use crate::time::Moment;
use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;
use crate::wire::name::{Name, fold};
use crate::wire::question::{Class, Rtype};

use super::blocking::Redirected;
use super::cached::{
    Context, FromCache, Judgement, Sought, Staleness, Why, Written, conclude, failure, from_cache,
    judge, write_filtered, write_first, write_reverse,
};
use super::entry::{Entry, Parts, age};
use super::lookup::{LookupId, Path, Subject};
use super::outbox::ReplyNote;
use super::plan::Plan;
use super::waiter::{Asker, Kept, Party, Slot, Waiter, WaiterId};
use super::{Engine, PeerMessage};

/// How long before the budget ends a stale answer is given (RFC 8767 5: client response timer,
/// 1.8 seconds recommended).
const STALE_WAIT: Duration = Duration::from_millis(1_800);

/// The shortest time for which a timer is set.
const TICK: Duration = Duration::from_millis(1);

/// What a waiter can do with the answers it has.
enum Step {
    /// Answer.
    Answer,
    /// Ask for A first.
    AskA,
    /// Wait for what is under way.
    Wait,
}

impl Engine {
    /// Lets a waiter wait for a look-up, which is opened if nobody has. False if there is no room.
    pub(super) fn wait_for(
        &mut self,
        waiter: WaiterId,
        slot: Slot,
        subject: Subject,
        now: Moment,
    ) -> bool {
        let lookup = self.lookups.find(&subject).or_else(|| self.open(subject, false, false, now));
        let Some(lookup) = lookup else { return false };
        self.waiters.join(waiter, slot, lookup, &mut self.lookups);
        true
    }

    /// Sets the waiter's timer to the next thing that time alone decides. Only what lies ahead
    /// counts: what is due has been done.
    pub(super) fn arm_waiter(&mut self, id: WaiterId, now: Moment) {
        let waiter = self.waiters.at(id);
        let Party::Client(_) = waiter.party else {
            // Look-ups end by themselves, and with them those who only wait for them.
            self.waiter_timers.cancel(id.0);
            return;
        };
        let mut due = [
            Some(waiter.waits_since + self.answer_within()),
            Some(waiter.waits_since + self.policy.timing.budget),
            None,
        ];
        if waiter.plan == Plan::Synthesize
            && waiter.answers[0].is_none()
            && let Some(first) = waiter.lookups[0]
        {
            due[2] = Some(if waiter.held {
                self.lookups.at(first).started + self.patience()
            } else {
                waiter.waits_since + self.hold_for(waiter)
            });
        }
        let next = due.into_iter().flatten().filter(|at| *at > now).min();
        self.waiter_timers.set(id.0, next.unwrap_or(now + TICK));
    }

    /// How long a client waits at most.
    fn answer_within(&self) -> Duration {
        if self.policy.cache.serve_stale {
            self.policy.timing.budget.min(STALE_WAIT)
        } else {
            self.policy.timing.budget
        }
    }

    /// A waiter's timer has run out.
    pub(super) fn waiter_due(&mut self, id: WaiterId, now: Moment) {
        if !self.waiters.is_active(id) {
            return;
        }
        let waiter = self.waiters.at(id);
        let waited = now.since(waiter.waits_since);
        if waited >= self.policy.timing.budget {
            self.answer_in_place_of_nothing(id, true, now);
            return;
        }
        if waited >= self.answer_within() && self.answer_in_place_of_nothing(id, false, now) {
            return;
        }
        let waiter = self.waiters.at_mut(id);
        let hold_over = !waiter.held && waiter.plan == Plan::Synthesize;
        waiter.held = true;
        if hold_over && waiter.answers[0].is_none() {
            self.ask_a(id, now);
        }
        if self.waiters.is_active(id) {
            self.step(id, now);
        }
        if self.waiters.is_active(id) {
            self.arm_waiter(id, now);
        }
    }

    /// Gets the A answer for a synthesis: from the cache, or by a look-up.
    fn ask_a(&mut self, id: WaiterId, now: Moment) {
        let waiter = self.waiters.at(id);
        if waiter.answers[1].is_some() || waiter.lookups[1].is_some() {
            return;
        }
        let Some(subject) = self.subject_of(waiter, Rtype::A) else { return };
        if let Some(scripted) = &waiter.script {
            let stale = scripted.is_stale();
            match self.kept(&subject, stale, now) {
                Some(kept) => self.waiters.at_mut(id).answers[1] = Some(kept),
                None => {
                    self.wait_for(id, Slot::Second, subject, now);
                }
            }
            return;
        }
        let now_secs = now.as_secs();
        if let Some(hit) = self.shard.get(&subject.key(), now_secs)
            && let Some(entry) = Entry::read(hit.value)
            && age(hit.times, now_secs, false).is_some()
        {
            let stored_secs = hit.times.stored_secs;
            let kept = Kept { octets: entry.parts.answer.into(), stored_secs, stale: false };
            self.waiters.at_mut(id).answers[1] = Some(kept);
            return;
        }
        self.wait_for(id, Slot::Second, subject, now);
    }

    /// The subject of a waiter's question with this type; `None` for those that are not synthesized
    /// for.
    fn subject_of(&self, waiter: &Waiter, rtype: Rtype) -> Option<Subject> {
        let mut folded = [0; 256];
        let len = match &waiter.party {
            Party::Client(asker) => {
                let request = waiter.request(asker);
                fold(Name::from_wire(request.sought_name()).ok()?, &mut folded)
            }
            Party::Peer(..) => return None,
            Party::Nobody => {
                let lookup = waiter.lookups[0].or(waiter.lookups[1])?;
                let name = self.lookups.at(lookup).subject;
                folded[..name.name().len()].copy_from_slice(name.name());
                name.name().len()
            }
        };
        let name = &folded[..len];
        let name_hash = dns64_ebpf::hash::name_hash(name, self.hash_seed);
        Some(Subject::new(name, rtype, Class::IN, waiter.flags, name_hash))
    }

    /// A look-up has ended with this answer: everybody who waited for it gets it.
    pub(super) fn serve_waiters(
        &mut self,
        lookup: LookupId,
        octets: &[u8],
        times: Option<Times>,
        now: Moment,
    ) {
        let stored_secs = times.map_or(now.as_secs(), |times| times.stored_secs);
        let subject = self.lookups.at(lookup).subject;
        let mut served = std::mem::take(&mut self.served);
        served.clear();
        while let Some((waiter, slot)) = self.waiters.first(lookup, &self.lookups) {
            self.waiters.leave(waiter, slot, &mut self.lookups);
            served.push((waiter, slot));
        }
        self.lookup_timers.cancel(lookup.0);
        self.lookups.close(lookup);
        for (id, slot) in served.drain(..) {
            if !self.waiters.is_active(id) {
                continue;
            }
            match self.waiters.at(id).party {
                Party::Peer(worker, token) => {
                    let octets = octets.into();
                    self.to_peers.push_back((worker, PeerMessage::Answer { token, octets, times }));
                    self.end_waiter(id);
                }
                Party::Client(_) | Party::Nobody => {
                    let kept = Kept { octets: octets.into(), stored_secs, stale: false };
                    self.waiters.at_mut(id).answers[slot as usize] = Some(kept);
                    self.step_with(id, Some(&subject), now);
                    if self.waiters.is_active(id) {
                        self.arm_waiter(id, now);
                    }
                }
            }
        }
        self.served = served;
    }

    /// Does what the waiter's answers allow.
    pub(super) fn step(&mut self, id: WaiterId, now: Moment) {
        self.step_with(id, None, now);
    }

    /// The same, for a look-up of this subject that has just ended.
    fn step_with(&mut self, id: WaiterId, ended: Option<&Subject>, now: Moment) {
        if self.waiters.at(id).script.is_some() && self.show_denial(id, now) {
            return;
        }
        match self.next_step(id, now) {
            Step::Answer => self.answer_waiter(id, now),
            Step::Wait => {}
            Step::AskA => {
                let waiter = self.waiters.at(id);
                let nobody = matches!(waiter.party, Party::Nobody);
                if waiter.lookups[1].is_none() && waiter.answers[1].is_none() {
                    match ended.filter(|_| nobody) {
                        Some(subject) => {
                            let a = super::query::with_type(subject, Rtype::A);
                            self.wait_for(id, Slot::Second, a, now);
                        }
                        None => self.ask_a(id, now),
                    }
                }
                let waiter = self.waiters.at(id);
                match (&waiter.answers[1], waiter.lookups[1]) {
                    (Some(_), _) => self.answer_waiter(id, now),
                    (None, Some(_)) => {}
                    (None, None) => {
                        // No room for the look-up of A.
                        self.answer_in_place_of_nothing(id, true, now);
                    }
                }
            }
        }
    }

    fn next_step(&self, id: WaiterId, now: Moment) -> Step {
        let waiter = self.waiters.at(id);
        if waiter.plan != Plan::Synthesize {
            return if waiter.answers[0].is_some() { Step::Answer } else { Step::Wait };
        }
        let Some(first) = &waiter.answers[0] else {
            // 5.1.3: no answer in time counts as a failure of the AAAA query, and A may be used.
            let given_up = waiter.lookups[0]
                .is_none_or(|lookup| now >= self.lookups.at(lookup).started + self.patience());
            return if given_up && self.may_use_a(waiter) && waiter.answers[1].is_some() {
                Step::Answer
            } else {
                Step::Wait
            };
        };
        let Some(first) = Answer::read(&first.octets) else { return Step::Answer };
        let judged = match &waiter.party {
            Party::Client(asker) => self.judge_for(waiter, asker, &first),
            // For the cache's sake: A is fetched where some client would want it.
            Party::Nobody | Party::Peer(..) => match first.head().outcome {
                Outcome::NoData => Judgement::WantsA(Why::NoData),
                Outcome::Records | Outcome::NxDomain | Outcome::Failure => Judgement::Stands,
            },
        };
        match judged {
            Judgement::Stands | Judgement::StandsFiltered => Step::Answer,
            Judgement::WantsA(_) if waiter.answers[1].is_some() => Step::Answer,
            Judgement::WantsA(_) => Step::AskA,
        }
    }

    /// Whether A may be used where AAAA does not answer (RFC 6147 5.1.3).
    fn may_use_a(&self, waiter: &Waiter) -> bool {
        self.view_of(waiter).trigger == crate::policy::Trigger::Error
    }

    fn judge_for(&self, waiter: &Waiter, asker: &Asker, first: &Answer<'_>) -> Judgement {
        let request = waiter.request(asker);
        let name = request.sought_name();
        let view = self.view_of(waiter);
        let context = Context { view, prefixes: waiter.prefixes, plan: waiter.plan, name };
        judge(&context, first, request.dnssec_ok)
    }

    /// The view by which a waiter's question is answered.
    pub(super) fn view_of<'a>(&'a self, waiter: &'a Waiter) -> &'a crate::policy::View {
        let scripted = waiter.script.as_ref().and_then(|scripted| scripted.view());
        scripted.unwrap_or_else(|| self.policy.view(waiter.view))
    }

    /// Answers a waiter from the answers it has, and lets it go.
    fn answer_waiter(&mut self, id: WaiterId, now: Moment) {
        self.attach_companion(id, now);
        let Party::Client(asker) = self.waiters.at(id).party else {
            self.end_waiter(id);
            return;
        };
        if self.waiters.at(id).script.is_some() {
            self.answer_scripted(id, now);
            return;
        }
        let redirected = self.waiters.at(id).redirected.clone();
        let request =
            Request { alias: redirected.as_deref().map(Redirected::alias), ..asker.request() };
        let source = if redirected.is_some() { Source::Policy } else { Source::Miss };
        let mut out = self.reply_space(request.limit);
        let waiter = self.waiters.at(id);
        let view = self.policy.view(waiter.view);
        let written = write_kept(&mut out, view, waiter, &request, now);
        let may_be_stale = written.rcode == Rcode::SERVFAIL && !has_bogus(waiter);
        let is_done = may_be_stale && self.answer_in_place_of_nothing(id, false, now)
            || self.rule_waiter(id, &mut out, &written, now);
        if !is_done {
            let took = now.since(self.waiters.at(id).arrived);
            self.send_reply(&asker, &out, written, source, took);
            self.end_waiter(id);
        }
        self.reply_space = out;
    }

    /// Space for one reply, given back by its user.
    pub(super) fn reply_space(&mut self, len: usize) -> Vec<u8> {
        let mut space = std::mem::take(&mut self.reply_space);
        space.resize(len.clamp(UDP_PLAIN_LEN_MAX, MESSAGE_LEN_MAX), 0);
        space
    }

    /// Sends a client the reply in `out`, and counts it.
    pub(super) fn send_reply(
        &mut self,
        asker: &Asker,
        out: &[u8],
        written: Written,
        source: Source,
        took: Duration,
    ) {
        let Written { len, rcode, synthesized } = written;
        let note = ReplyNote { source, rcode, synthesized, waited: Some(took) };
        self.outbox.push_reply(asker.client, &out[..len], note);
        if asker.client.channel.is_validator() {
            return;
        }
        self.counters.response(source, rcode);
        self.counters.durations[source as usize].add(took, 1);
        self.counters.synthesized += u64::from(synthesized);
        self.counters.cache_stale += u64::from(source == Source::Stale);
    }

    /// Stores the A answer beside the AAAA answer, so that the next client finds both at once.
    fn attach_companion(&mut self, id: WaiterId, now: Moment) {
        let waiter = self.waiters.at(id);
        if waiter.plan != Plan::Synthesize || waiter.answers.iter().any(Option::is_none) {
            return;
        }
        let Some(aaaa) = self.subject_of(waiter, Rtype::AAAA) else { return };
        self.attach(&aaaa, now);
    }

    /// Puts the cached A answer of a name beside its cached AAAA answer.
    pub(super) fn attach(&mut self, aaaa: &Subject, now: Moment) {
        let now_secs = now.as_secs();
        let a = super::query::with_type(aaaa, Rtype::A);
        let Some(a_hit) = self.shard.peek(&a.key(), now_secs) else { return };
        let Some(a_entry) = Entry::read(a_hit.value).filter(|_| a_hit.times.is_fresh(now_secs))
        else {
            return;
        };
        let Some(aaaa_hit) = self.shard.peek(&aaaa.key(), now_secs) else { return };
        let Some(entry) = Entry::read(aaaa_hit.value) else { return };
        let current = entry.companion.is_some_and(|(_, times)| times == a_hit.times);
        if current || !aaaa_hit.times.is_fresh(now_secs) {
            return;
        }
        let times = aaaa_hit.times;
        let companion = Some((a_entry.parts.answer, a_hit.times));
        Parts { companion, ..entry.parts }.write(&mut self.entry_scratch);
        // An entry too large for the cache is found by its two parts.
        let _too_large = self.shard.insert(&aaaa.key(), &self.entry_scratch, times);
        self.hot.withdraw(aaaa.hash);
    }

    /// Answers a client without the answer it waits for: from the cache past its TTL, or, if
    /// `at_any_rate`, by SERVFAIL. The look-ups go on. False if it was not answered.
    pub(super) fn answer_in_place_of_nothing(
        &mut self,
        id: WaiterId,
        at_any_rate: bool,
        now: Moment,
    ) -> bool {
        if self.waiters.at(id).script.is_some() {
            return self.answer_scripted_in_place_of_nothing(id, at_any_rate, now);
        }
        let waiter = self.waiters.at(id);
        let Party::Client(asker) = waiter.party else {
            if at_any_rate {
                self.end_waiter(id);
            }
            return false;
        };
        let redirected = self.waiters.at(id).redirected.clone();
        let request =
            Request { alias: redirected.as_deref().map(Redirected::alias), ..asker.request() };
        let info_code = self.why_nothing(id);
        let waiter = self.waiters.at(id);
        let plan = waiter.plan;
        let mut folded = [0; 256];
        let name_len = match (plan, Name::from_wire(request.sought_name())) {
            (Plan::Reverse(address, _), _) => fold(in_addr_arpa(address).as_name(), &mut folded),
            (_, Ok(name)) => fold(name, &mut folded),
            (_, Err(_)) => 0,
        };
        let name = &folded[..name_len];
        let fixed = request.question.last_chunk::<4>().copied().unwrap_or_default();
        let rtype = match plan {
            Plan::Reverse(..) => Rtype::PTR.0,
            Plan::Relay | Plan::Synthesize | Plan::Local(_) => {
                u16::from_be_bytes([fixed[0], fixed[1]])
            }
        };
        let class = u16::from_be_bytes([fixed[2], fixed[3]]);
        let name_hash = dns64_ebpf::hash::name_hash(name, self.hash_seed);
        let key = Key::with_hash(name, rtype, class, waiter.flags, name_hash);
        let (view, prefixes) = (waiter.view, waiter.prefixes);
        let mut out = self.reply_space(request.limit);
        let context = Context { view: self.policy.view(view), prefixes, plan, name };
        let staleness = Staleness::Allowed;
        let cached = if self.policy.cache.serve_stale {
            from_cache(
                &mut self.shard,
                &mut self.scratch,
                &mut out,
                &request,
                &context,
                &Sought { first: key, name_hash, now_secs: now.as_secs(), staleness },
            )
        } else {
            FromCache::Missing(Slot::First)
        };
        let answered = match cached {
            FromCache::Reply { written, source: Source::Stale, .. } => {
                Some((written, Source::Stale))
            }
            FromCache::Reply { .. } | FromCache::Missing(_) if at_any_rate => {
                Some((failure(&mut out, &request, Some(info_code)), Source::Miss))
            }
            FromCache::Reply { .. } | FromCache::Missing(_) => None,
        };
        if let Some((written, source)) = answered
            && !self.rule_waiter(id, &mut out, &written, now)
        {
            let took = now.since(self.waiters.at(id).arrived);
            self.send_reply(&asker, &out, written, source, took);
            self.let_go(id);
        }
        self.reply_space = out;
        answered.is_some()
    }

    /// Why a client gets no answer, as an Extended Error.
    pub(super) fn why_nothing(&self, id: WaiterId) -> InfoCode {
        let waiter = self.waiters.at(id);
        let lookup = waiter.lookups.iter().flatten().next();
        let failure = lookup.and_then(|lookup| self.lookups.at(*lookup).failure);
        failure.and_then(|failure| failure.info_code).unwrap_or(InfoCode::NO_REACHABLE_AUTHORITY)
    }

    /// The client has its reply. What it waited for goes on for the cache's sake, unless room is
    /// short.
    fn let_go(&mut self, id: WaiterId) {
        let waiter = self.waiters.at(id);
        let under_way = waiter.lookups.iter().any(Option::is_some);
        if !under_way || self.waiters.is_crowded() || waiter.plan != Plan::Synthesize {
            self.end_waiter(id);
            return;
        }
        if let Party::Client(asker) = &waiter.party
            && !asker.client.channel.is_validator()
        {
            self.load.leave(asker.client.peer.ip());
        }
        self.waiters.abandon(id);
        self.waiter_timers.cancel(id.0);
    }

    /// Lets a waiter go.
    pub(super) fn end_waiter(&mut self, id: WaiterId) {
        if let Party::Client(asker) = &self.waiters.at(id).party
            && !asker.client.channel.is_validator()
        {
            self.load.leave(asker.client.peer.ip());
        }
        self.waiter_timers.cancel(id.0);
        self.waiters.remove(id, &mut self.lookups);
    }

    /// Looks an answer up anew before its TTL is over; nobody waits for it.
    pub(super) fn prefetch(&mut self, subject: Subject, now: Moment) {
        let crowded = self.lookups.len() * 2 > self.policy.limits.inflight as usize;
        if crowded || self.lookups.find(&subject).is_some() {
            return;
        }
        if self.open(subject, true, false, now).is_some() {
            self.counters.prefetches += 1;
        }
    }

    /// Takes a message from another worker.
    pub fn handle_peer(&mut self, message: PeerMessage, now: Moment) {
        match message {
            PeerMessage::Query { from, token, subject, refresh } => {
                self.peer_asks(from, token, subject.0, refresh, now);
            }
            PeerMessage::Answer { token, octets, times } => {
                if let Some(lookup) = self.lookup_of(token) {
                    self.finish(lookup, &octets, times, now);
                }
            }
            PeerMessage::Stale { token, octets, times } => {
                self.keep_stale(token, &octets, times, now)
            }
            PeerMessage::Busy { token } => {
                if let Some(lookup) = self.lookup_of(token) {
                    self.without_owner(lookup, now);
                }
            }
        }
    }

    /// Keeps an owner's answer that is past its TTL, unless there is one of our own.
    fn keep_stale(&mut self, token: u64, octets: &[u8], times: Times, now: Moment) {
        let Some(lookup) = self.lookup_of(token) else { return };
        let subject = self.lookups.at(lookup).subject;
        if self.shard.peek(&subject.key(), now.as_secs()).is_some() {
            return;
        }
        Parts::new(octets).write(&mut self.entry_scratch);
        // What is too large for the cache cannot be given stale.
        let _too_large = self.shard.insert(&subject.key(), &self.entry_scratch, times);
        self.hot.withdraw(subject.hash);
    }

    /// A message could not be delivered to its worker, whose inbox is full.
    pub fn peer_unreachable(&mut self, message: &PeerMessage, now: Moment) {
        // An answer that is lost is asked for again by the worker that waits for it.
        let PeerMessage::Query { token, .. } = message else { return };
        if let Some(lookup) = self.lookup_of(*token) {
            self.without_owner(lookup, now);
        }
    }

    /// The owner does not answer: the look-up is made here.
    pub(super) fn without_owner(&mut self, lookup: LookupId, now: Moment) {
        if matches!(self.lookups.at(lookup).path, Path::Owner(_)) {
            self.lookups.at_mut(lookup).path = Path::Udp;
            self.send_try(lookup, now);
        }
    }

    fn peer_asks(
        &mut self,
        from: crate::datagram::WorkerId,
        token: u64,
        subject: Subject,
        refresh: bool,
        now: Moment,
    ) {
        let now_secs = now.as_secs();
        if let Some(hit) = self.shard.get(&subject.key(), now_secs)
            && hit.times.is_fresh(now_secs)
            && !(refresh && super::cached::nearly_over(hit.times, now_secs))
            && let Some(entry) = Entry::read(hit.value)
        {
            let answer = PeerMessage::Answer {
                token,
                octets: entry.parts.answer.into(),
                times: Some(hit.times),
            };
            self.to_peers.push_back((from, answer));
            return;
        }
        let known = self.shard.peek(&subject.key(), now_secs);
        let entry = known.and_then(|hit| Some((Entry::read(hit.value)?, hit.times)));
        if let Some((entry, times)) = entry
            && !refresh
            && entry.answer.head().outcome != Outcome::Failure
        {
            let stale = PeerMessage::Stale { token, octets: entry.parts.answer.into(), times };
            self.to_peers.push_back((from, stale));
        }
        if let Some((entry, _)) = entry
            && entry.parts.retry_secs > now_secs
        {
            // The last look-up has failed: none is made before its time (RFC 9520 3.2). The asker
            // gives a stale answer, or is told of the failure.
            let mut octets = Vec::new();
            let flags = AnswerFlags::default();
            let info_code = Some(InfoCode::CACHED_ERROR);
            compile_failure(Rcode::SERVFAIL, info_code, flags, 0, &mut octets);
            let octets = octets.into_boxed_slice();
            self.to_peers.push_back((from, PeerMessage::Answer { token, octets, times: None }));
            return;
        }
        let waiter = self.waiters.add(
            Party::Peer(from, token),
            Plan::Relay,
            crate::policy::ViewId::DEFAULT,
            crate::policy::PrefixMask::EMPTY,
            subject.flags,
            now,
        );
        let lookup = self.lookups.find(&subject).or_else(|| self.open(subject, refresh, true, now));
        match (waiter, lookup) {
            (Some(waiter), Some(lookup)) => {
                self.waiters.join(waiter, Slot::First, lookup, &mut self.lookups);
            }
            (waiter, _) => {
                if let Some(waiter) = waiter {
                    self.end_waiter(waiter);
                }
                self.to_peers.push_back((from, PeerMessage::Busy { token }));
            }
        }
    }
}

/// Whether one of the answers is a DNSSEC failure: such a name is not served stale either.
pub(super) fn has_bogus(waiter: &Waiter) -> bool {
    waiter.answers.iter().flatten().any(|kept| {
        let answer = Answer::read(&kept.octets);
        answer.is_some_and(|answer| answer.head().flags.has(AnswerFlags::BOGUS))
    })
}

/// Writes the reply from the answers that a waiter keeps.
pub(super) fn write_kept(
    out: &mut [u8],
    view: &crate::policy::View,
    waiter: &Waiter,
    request: &Request<'_>,
    now: Moment,
) -> Written {
    let answer = |slot: Slot| {
        let kept = waiter.answers[slot as usize].as_ref()?;
        Some((Answer::read(&kept.octets)?, kept.age(now)))
    };
    let (first, second) = (answer(Slot::First), answer(Slot::Second));
    let name = request.sought_name();
    let context = Context { view, prefixes: waiter.prefixes, plan: waiter.plan, name };
    match (waiter.plan, &first, &second) {
        (Plan::Synthesize, None, Some((a, age))) => {
            conclude(out, request, &context, None, Why::Failed, (a, *age))
        }
        (Plan::Synthesize, Some((aaaa, aaaa_age)), second) => {
            match (judge(&context, aaaa, request.dnssec_ok), second) {
                (Judgement::WantsA(why), Some((a, a_age))) => {
                    let first = Some((aaaa, *aaaa_age));
                    conclude(out, request, &context, first, why, (a, *a_age))
                }
                (Judgement::StandsFiltered, _) => {
                    write_filtered(out, request, &context, aaaa, *aaaa_age)
                }
                (Judgement::Stands | Judgement::WantsA(_), _) => {
                    write_first(out, request, aaaa, *aaaa_age)
                }
            }
        }
        (Plan::Reverse(address, mode), Some((ptr, age)), _) => {
            let target = in_addr_arpa(address);
            write_reverse(out, request, target.as_name().as_wire(), ptr, *age, mode)
        }
        (Plan::Relay | Plan::Local(_), Some((answer, age)), _) => {
            write_first(out, request, answer, *age)
        }
        (_, None, _) => failure(out, request, Some(InfoCode::OTHER)),
    }
}

const _: () = assert!(STALE_WAIT.as_millis() < LOOKUP_LIFE.as_millis());
