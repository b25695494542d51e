//! Queries behind a script: when its hooks are called, and what is kept of what they said.
//!
//! Where there is a script, what comes from upstream stands in the cache under keys of its own
//! ([`key_flags::BEHIND_SCRIPT`]), out of reach for queries. What queries find, in the same way as
//! without a script, is a *verdict*: either an answer that the script has made or changed, or a
//! note that it left the answers as they are. A verdict is for one audience (a view with its
//! prefixes) and holds no longer than the answers it was said of; ready replies stand beside it.
//! So a hit never runs a script, and nothing is answered that a script has not seen. No verdict is
//! kept where the script has looked at who asks, or has said that the answer varies.
//!
//! ```text
//!  no verdict ─► preresolve ─► look-ups ─► nodata or nxdomain ─► synthesis ─► postresolve
//!                    │                          │                                │
//!                    ├─ a reply ────────────────┼────────────────────────────────┼─► verdict
//!                    └─ a follow-up ─► look-ups ◄┘                               │
//!                                         └──────────────────────────────────────┘
//! ```
//!
//! A follow-up is a question of its own: the waiter asks it in the client's place, by the native
//! ways, and its reply is put behind the records that the script gave.

use std::fmt;
use std::sync::Arc;

use crate::answer::encode::{Age, Request, write_error};
use crate::answer::records::{self, PlainRecord, Section};
use crate::answer::{Answer, AnswerFlags, Outcome};
use crate::cache::Key;
use crate::counters::{DropReason, Source};
use crate::datagram::{Channel, Client};
use crate::limits::MESSAGE_LEN_MAX;
use crate::policy::{
    AddressList, ClientClass, Policy, PrefixMask, PrefixSettings, PtrMode, View, ViewSettings,
};
use crate::pref64::Pref64;
use crate::reverse::{ReverseV6, parse_ip6_arpa};
use crate::time::Moment;
use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;
use crate::wire::name::{Name, NameBuf, fold};
use crate::wire::question::{Class, Question, Rtype};

use super::blocking;
use super::cached::{Context, Judgement, Why, Written, failure, judge};
use super::entry::{Entry, age};
use super::lookup::{Subject, key_flags};
use super::outbox::ReplyNote;
use super::plan::{Plan, PlanFlags};
use super::script::{
    Decision, Followup, Hook, Made, Memory, Ruling, Script, ScriptCall, Validation,
};
use super::settle::{has_bogus, write_kept};
use super::verdict::{key_flags_of, write_records};
use super::waiter::{Asker, Kept, Party, Slot, WaiterId};
use super::{Engine, Verdict};

/// Views made for prefixes that scripts have named; past it they are forgotten and made anew.
const VIEWS_MAX: usize = 256;

/// The script of an engine, and what belongs to it.
pub(super) struct Scripting {
    script: Box<dyn Script>,
    /// The audience with number n has variant `base + n`.
    base: u16,
    /// A view for each prefix that the script has named.
    views: Vec<(Pref64, Arc<View>)>,
    /// The variant of every client, if all get the same answers.
    sole_variant: Option<u16>,
}

impl fmt::Debug for Scripting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripting").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Scripting {
    /// A script whose verdicts stand under variants above `base`, for so many audiences.
    fn new(script: Box<dyn Script>, base: u16, audiences: u16) -> Self {
        let sole_variant = (audiences == 1).then_some(base + 1);
        Self { script, base, views: Vec::new(), sole_variant }
    }

    /// The variant under which most queries will find their answers.
    #[inline]
    pub(super) fn likely_variant(&self) -> u16 {
        self.sole_variant.unwrap_or(0)
    }

    /// The variant of the keys of verdicts for clients of this class; `None` where none are kept.
    #[inline]
    pub(super) fn variant(&self, policy: &Policy, class: ClientClass) -> Option<u16> {
        let audience = policy.audience(class);
        if audience == 0 { None } else { self.base.checked_add(audience) }
    }

    /// The view by which a follow-up is answered: one prefix, every IPv4 address under it and no
    /// AAAA but those, since the script has decided already.
    fn view(&mut self, prefix: Pref64) -> Arc<View> {
        if let Some((_, view)) = self.views.iter().find(|(known, _)| *known == prefix) {
            return Arc::clone(view);
        }
        if self.views.len() >= VIEWS_MAX {
            self.views.clear();
        }
        let view = Arc::new(View::new(&ViewSettings {
            name: "script".to_owned(),
            prefixes: vec![PrefixSettings::new(prefix)],
            exclude_aaaa: AddressList::any(),
            non_global_ipv4: AddressList::default(),
            ..ViewSettings::default()
        }));
        self.views.push((prefix, Arc::clone(&view)));
        view
    }
}

/// How far a query has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The native answers are being gathered; `nodata` and `nxdomain` have not been called.
    Native,
    /// They have been called, and let it pass.
    Seen,
    /// The look-up of a follow-up, which native hooks do not see.
    Following,
}

/// What a waiter knows of the script's part in its query.
#[derive(Clone)]
pub(super) struct Scripted {
    /// The query; the waiter's may be that of a follow-up.
    original: Asker,
    /// The class of the client.
    pub(super) class: ClientClass,
    stage: Stage,
    memory: Memory,
    /// Whether the verdict must not be kept.
    pub(super) varies: bool,
    /// Whether a hook has changed something.
    changed: bool,
    /// Whether `postresolve` is to be called: not for what `preresolve` has answered.
    postresolve: bool,
    /// The records that come before those of the follow-up, if they do not stand alone.
    given: Option<Vec<PlainRecord>>,
    /// The view by which a follow-up is answered.
    view: Option<Arc<View>>,
    /// Whether answers past their TTL may be used.
    stale: bool,
    /// Whether the chain of the reply is to be shown to the policy zones.
    watched: bool,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted")
            .field("stage", &self.stage)
            .field("varies", &self.varies)
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}

impl Scripted {
    /// The view in place of the client's.
    pub(super) fn view(&self) -> Option<&View> {
        self.view.as_deref()
    }

    /// Whether answers past their TTL may be used.
    pub(super) const fn is_stale(&self) -> bool {
        self.stale
    }
}

/// A query that no verdict was found for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unruled<'a> {
    /// The client.
    pub(super) client: Client,
    /// Its class.
    pub(super) class: ClientClass,
    /// What would be done without a script, and by which prefixes.
    pub(super) native: (Plan, PrefixMask),
    /// The query.
    pub(super) request: &'a Request<'a>,
    /// Whether the chain of the reply is to be shown to the policy zones.
    pub(super) watched: bool,
}

impl Engine {
    /// Begins to call a script, or another one, or none. What was said before counts no more.
    ///
    /// Where hot answers are published, those that have been must be taken back too: call
    /// [`Engine::flush_hot`].
    pub fn set_script(&mut self, script: Option<Box<dyn Script>>) {
        let audiences = self.policy.audiences();
        // Verdicts of earlier scripts stand under numbers that are not used again, until none are
        // left.
        let base = if u32::from(self.next_variant) + u32::from(audiences) < u32::from(u16::MAX) {
            self.next_variant
        } else {
            self.shard.clear();
            0
        };
        self.next_variant = base + audiences;
        self.script = script.map(|script| Scripting::new(script, base, audiences));
        for (_, waiter) in self.waiters.iter_mut() {
            if let Some(scripted) = &mut waiter.script {
                scripted.memory = None;
                scripted.varies = true;
            }
        }
    }

    /// The key under which a query of the plain form is answered.
    #[inline]
    pub(super) fn answer_key<'k>(&self, key: Key<'k>, class: ClientClass) -> Key<'k> {
        match &self.script {
            None => key,
            Some(scripting) => {
                key.with_variant(scripting.variant(&self.policy, class).unwrap_or(0))
            }
        }
    }

    /// The flags of keys for what is behind the script.
    pub(super) fn flags_behind_script(&self, flags: u8, class: Class) -> u8 {
        if self.script.is_some() && class == Class::IN {
            flags | key_flags::BEHIND_SCRIPT
        } else {
            flags
        }
    }

    /// Begins a query that no verdict is kept of.
    pub(super) fn begin_scripted(
        &mut self,
        unruled: &Unruled<'_>,
        out: &mut [u8],
        now: Moment,
    ) -> Verdict {
        let Unruled { client, class, native: (plan, prefixes), request, watched } = *unruled;
        let mut scripted = Scripted {
            original: Asker::new(client, request),
            class,
            stage: Stage::Native,
            memory: None,
            varies: false,
            changed: false,
            postresolve: true,
            given: None,
            view: None,
            stale: false,
            watched,
        };
        let call = ScriptCall {
            hook: Hook::Preresolve,
            request,
            client: &client,
            rcode: Rcode::NOERROR,
            reply: &[],
            validation: Validation::Indeterminate,
        };
        let decision = self.call(&call, &mut scripted);
        let mut follow = None;
        match decision {
            Decision::Pass => {}
            Decision::Drop => return self.drop(DropReason::Script),
            Decision::Answer(made) => {
                let written = self.write_made(out, request, &made);
                match self.zones_on_scripted(&scripted, out, &written) {
                    None => self.keep_made(request, &scripted, &made, false, None, now),
                    Some(blocking::Ruling::Exempt) => {}
                    Some(ruling) => {
                        return self.enforce(ruling, client, request, class, out, now);
                    }
                }
                return self.reply(written.len, Source::Policy, written.rcode);
            }
            Decision::Follow(followup, made) => {
                scripted.postresolve = false;
                follow = Some((followup, made));
            }
        }
        let refused = |engine: &mut Self, out: &mut [u8]| {
            let len = write_error(out, request, Rcode::SERVFAIL, Some(InfoCode::OTHER));
            engine.reply(len, Source::Policy, Rcode::SERVFAIL)
        };
        if !self.load.enter(client.peer.ip()) {
            return refused(self, out);
        }
        let party = Party::Client(scripted.original);
        let flags = key_flags_of(request) | key_flags::BEHIND_SCRIPT;
        let Some(id) = self.waiters.add(party, plan, class.view, prefixes, flags, now) else {
            self.load.leave(client.peer.ip());
            return refused(self, out);
        };
        self.waiters.at_mut(id).script = Some(Box::new(scripted));
        match follow {
            None => self.gather(id, now),
            Some((followup, made)) => self.follow(id, *followup, made, now),
        }
        Verdict::Pending
    }

    /// Calls a hook, if the script has it.
    fn call(&mut self, call: &ScriptCall<'_>, scripted: &mut Scripted) -> Decision {
        let Some(scripting) = &mut self.script else { return Decision::Pass };
        if !scripting.script.has(call.hook) {
            return Decision::Pass;
        }
        self.counters.script_calls += 1;
        let Ruling { decision, varies, failed } = scripting.script.call(call, &mut scripted.memory);
        self.counters.script_errors += u64::from(failed);
        scripted.varies |= varies | failed;
        if decision != Decision::Pass {
            self.counters.script_changes += 1;
            scripted.changed = true;
        }
        decision
    }

    /// Gets the first answer of the waiter's question, from the cache or by a look-up, and goes on.
    fn gather(&mut self, id: WaiterId, now: Moment) {
        let waiter = self.waiters.at_mut(id);
        waiter.answers = [None, None];
        waiter.held = false;
        let stale = waiter.script.as_ref().is_some_and(|scripted| scripted.stale);
        let Some(subject) = self.first_subject(id) else {
            self.answer_in_place_of_nothing(id, true, now);
            return;
        };
        if let Some(kept) = self.kept(&subject, stale, now) {
            self.waiters.at_mut(id).answers[0] = Some(kept);
        } else if !self.wait_for(id, Slot::First, subject, now) {
            self.answer_in_place_of_nothing(id, true, now);
            return;
        }
        self.step(id, now);
        if self.waiters.is_active(id) {
            self.arm_waiter(id, now);
        }
    }

    /// The answer that the cache has of a subject.
    pub(super) fn kept(&mut self, subject: &Subject, stale: bool, now: Moment) -> Option<Kept> {
        let now_secs = now.as_secs();
        let hit = self.shard.get(&subject.key(), now_secs)?;
        let entry = Entry::read(hit.value)?;
        let stale = stale || entry.parts.retry_secs > now_secs;
        let age = age(hit.times, now_secs, stale)?;
        if age == Age::Stale && entry.answer.head().outcome == Outcome::Failure {
            return None;
        }
        Some(Kept {
            octets: entry.parts.answer.into(),
            stored_secs: hit.times.stored_secs,
            stale: age == Age::Stale,
        })
    }

    /// What is looked up first for the waiter's question.
    fn first_subject(&self, id: WaiterId) -> Option<Subject> {
        let waiter = self.waiters.at(id);
        let Party::Client(asker) = &waiter.party else { return None };
        let request = asker.request();
        let (name, fixed) = Name::split(request.question).ok()?;
        let rtype = Rtype(u16::from_be_bytes(*fixed.first_chunk::<2>()?));
        let mut folded = [0; 256];
        let (len, rtype) = match waiter.plan {
            Plan::Reverse(address, _) => {
                let name = crate::reverse::in_addr_arpa(address);
                (fold(name.as_name(), &mut folded), Rtype::PTR)
            }
            Plan::Relay | Plan::Synthesize | Plan::Local(_) => (fold(name, &mut folded), rtype),
        };
        let name = &folded[..len];
        let name_hash = dns64_ebpf::hash::name_hash(name, self.hash_seed);
        Some(Subject::new(name, rtype, Class::IN, waiter.flags, name_hash))
    }

    /// Calls `nodata` or `nxdomain` if the first answer is there and is one. True if that has
    /// changed what is to be done.
    pub(super) fn show_denial(&mut self, id: WaiterId, now: Moment) -> bool {
        let waiter = self.waiters.at(id);
        let Some(scripted) = waiter.script.as_ref() else { return false };
        if scripted.stage != Stage::Native {
            return false;
        }
        let Some(kept) = &waiter.answers[0] else { return false };
        let Some(answer) = Answer::read(&kept.octets) else { return false };
        let Party::Client(asker) = waiter.party else { return false };
        let head = answer.head();
        let request = asker.request();
        let hook = match head.outcome {
            Outcome::NoData => Some(Hook::Nodata),
            Outcome::NxDomain => Some(Hook::Nxdomain),
            // What counts as absent is no data (RFC 6147 5.1.4).
            Outcome::Records if waiter.plan == Plan::Synthesize => {
                let name = request.question.get(..request.question.len() - 4).unwrap_or_default();
                let view = self.policy.view(waiter.view);
                let context = Context { view, prefixes: waiter.prefixes, plan: waiter.plan, name };
                let judged = judge(&context, &answer, request.dnssec_ok);
                (judged == Judgement::WantsA(Why::Excluded)).then_some(Hook::Nodata)
            }
            Outcome::Records | Outcome::Failure => None,
        };
        let mut scripted = scripted.clone();
        scripted.stage = Stage::Seen;
        let wanted = hook.filter(|hook| self.has_hook(*hook));
        let Some(hook) = wanted else {
            self.waiters.at_mut(id).script = Some(scripted);
            return false;
        };
        let request = Request { limit: MESSAGE_LEN_MAX, ..request };
        let mut out = std::mem::take(&mut self.script_space);
        out.resize(MESSAGE_LEN_MAX, 0);
        let written = match head.outcome {
            Outcome::Records => {
                let len = write_error(&mut out, &request, Rcode::NOERROR, None);
                Written { len, rcode: Rcode::NOERROR, synthesized: false }
            }
            Outcome::NoData | Outcome::NxDomain | Outcome::Failure => {
                write_kept(&mut out, self.policy.view(waiter.view), waiter, &request, now)
            }
        };
        let validation = validation_of(&answer);
        let call = ScriptCall {
            hook,
            request: &request,
            client: &asker.client,
            rcode: written.rcode,
            reply: &out[..written.len],
            validation,
        };
        let decision = self.call(&call, &mut scripted);
        self.waiters.at_mut(id).script = Some(scripted);
        if let Decision::Answer(made) = decision {
            self.conclude_scripted(id, &out, written, Some(made), now);
            self.script_space = out;
            return true;
        }
        self.script_space = out;
        match decision {
            Decision::Drop => self.drop_waiter(id),
            Decision::Follow(followup, made) => self.follow(id, *followup, made, now),
            Decision::Pass | Decision::Answer(_) => return false,
        }
        true
    }

    fn has_hook(&self, hook: Hook) -> bool {
        self.script.as_ref().is_some_and(|scripting| scripting.script.has(hook))
    }

    /// Asks what a script wants to be asked, in the place of the client's question.
    fn follow(&mut self, id: WaiterId, followup: Followup, made: Made, now: Moment) {
        for slot in [Slot::First, Slot::Second] {
            self.waiters.leave(id, slot, &mut self.lookups);
        }
        let Some(mut scripted) = self.waiters.at(id).script.clone() else { return };
        let original = scripted.original;
        let asked = original.request();
        let records = made.records.clone().unwrap_or_default();
        let Ok((asked_name, fixed)) = Name::split(asked.question) else { return };
        let asked_type = Rtype(u16::from_be_bytes([fixed[0], fixed[1]]));
        scripted.stage = Stage::Following;
        scripted.view = None;
        let mut prefixes = PrefixMask::EMPTY;
        let question = match &followup {
            Followup::Aaaa(name, prefix) => {
                scripted.view = self.script.as_mut().map(|scripting| scripting.view(*prefix));
                prefixes = PrefixMask::of([0]);
                Some((name.clone(), Rtype::AAAA, Plan::Synthesize))
            }
            Followup::Ptr(name, prefix) => match parse_ip6_arpa(name.as_name()) {
                ReverseV6::Address(address) => prefix.extract(address).map(|address| {
                    (name.clone(), Rtype::PTR, Plan::Reverse(address, PtrMode::Cname))
                }),
                ReverseV6::Partial { .. }
                | ReverseV6::Below(_)
                | ReverseV6::Malformed { .. }
                | ReverseV6::NotReverse => None,
            },
            Followup::Cname => {
                let name = end_of_chain(asked_name, &records);
                let question =
                    Question { name: name.as_name(), rtype: asked_type, class: Class::IN };
                let flags = PlanFlags {
                    recursion_desired: true,
                    checking_disabled: asked.checking_disabled,
                };
                let view = self.policy.view(scripted.class.view);
                let (plan, usable) = Plan::of(&question, flags, scripted.class, view);
                prefixes = usable;
                let plan = match plan {
                    // Such names are asked for like any other here.
                    Plan::Local(_) => Plan::Relay,
                    Plan::Relay | Plan::Synthesize | Plan::Reverse(..) => plan,
                };
                Some((name, asked_type, plan))
            }
        };
        let Some((name, rtype, plan)) = question else {
            // No address under the prefix has this name.
            self.waiters.at_mut(id).script = Some(scripted);
            let made = Made { rcode: Rcode::NXDOMAIN, records: Some(records) };
            let nothing = Written { len: 0, rcode: Rcode::NXDOMAIN, synthesized: false };
            self.conclude_scripted(id, &[], nothing, Some(made), now);
            return;
        };
        let answers_by_itself = records.iter().all(|record| record.section != Section::Answer)
            && rtype == asked_type
            && name.as_name().eq_ignore_case(asked_name);
        scripted.given = if answers_by_itself {
            None
        } else {
            Some(records.into_iter().filter(|made| made.section == Section::Answer).collect())
        };
        let mut asker = original;
        if scripted.given.is_some() {
            asker = original.asking(name.as_name(), rtype);
        }
        let waiter = self.waiters.at_mut(id);
        waiter.party = Party::Client(asker);
        waiter.plan = plan;
        waiter.prefixes = prefixes;
        waiter.script = Some(scripted);
        self.gather(id, now);
    }

    /// Answers the waiter's question, which may be a follow-up, from the answers it has.
    pub(super) fn answer_scripted(&mut self, id: WaiterId, now: Moment) {
        let Party::Client(asker) = self.waiters.at(id).party else { return };
        // What is too long for the client must not be lost to the script.
        let request = Request { limit: MESSAGE_LEN_MAX, ..asker.request() };
        let mut out = std::mem::take(&mut self.script_space);
        out.resize(MESSAGE_LEN_MAX, 0);
        let waiter = self.waiters.at(id);
        let written = write_kept(&mut out, self.view_of(waiter), waiter, &request, now);
        let may_be_stale = written.rcode == Rcode::SERVFAIL && !has_bogus(waiter);
        if !(may_be_stale && self.answer_scripted_in_place_of_nothing(id, false, now)) {
            self.conclude_scripted(id, &out, written, None, now);
        }
        self.script_space = out;
    }

    /// Ends a scripted query. `message` begins with the reply so far, to the waiter's question, and
    /// `made` is what a hook has made of it.
    fn conclude_scripted(
        &mut self,
        id: WaiterId,
        message: &[u8],
        written: Written,
        made: Option<Made>,
        now: Moment,
    ) {
        let message = &message[..written.len];
        let waiter = self.waiters.at(id);
        let Some(mut scripted) = waiter.script.clone() else { return };
        let original = scripted.original;
        let request = original.request();
        let mut made = made;
        // What the script gave comes first, then what its follow-up found.
        if let Some(given) = scripted.given.take() {
            let records = given.into_iter().chain(records::read(message)).collect();
            made = Some(Made { rcode: written.rcode, records: Some(records) });
        }
        if scripted.postresolve && self.has_hook(Hook::Postresolve) {
            let first = self.waiters.at(id).answers[0].as_ref();
            let first = first.and_then(|kept| Answer::read(&kept.octets));
            let validation = first.map_or(Validation::Indeterminate, |it| validation_of(&it));
            let rcode = made.as_ref().map_or(written.rcode, |made| made.rcode);
            // The script sees what hooks before it have made.
            let seen = made.as_ref().and_then(|made| made.records.as_ref()).map(|records| {
                let request = Request { limit: MESSAGE_LEN_MAX, ..request };
                let mut seen = vec![0; MESSAGE_LEN_MAX];
                let len =
                    write_records(&mut seen, &request, rcode, records, None, &mut self.compiled);
                seen.truncate(len);
                seen
            });
            let call = ScriptCall {
                hook: Hook::Postresolve,
                request: &request,
                client: &original.client,
                rcode,
                reply: seen.as_deref().unwrap_or(message),
                validation,
            };
            match self.call(&call, &mut scripted) {
                Decision::Pass => {}
                Decision::Drop => {
                    self.drop_waiter(id);
                    return;
                }
                // Its answer is not shown to the hook again.
                Decision::Follow(followup, after) => {
                    scripted.postresolve = false;
                    self.waiters.at_mut(id).script = Some(scripted);
                    let records = after.records.or_else(|| made.and_then(|made| made.records));
                    self.follow(id, *followup, Made { rcode: after.rcode, records }, now);
                    return;
                }
                Decision::Answer(after) => {
                    let before = made.and_then(|made| made.records);
                    made = Some(Made { rcode: after.rcode, records: after.records.or(before) });
                }
            }
        }
        let bound = self.answers_hold_secs(id, now);
        let mut out = self.reply_space(request.limit);
        let untouched = made.is_none() && !scripted.changed;
        let synthesized = written.synthesized;
        let stale = scripted.stale || self.has_stale(id);
        let mut given = None;
        let written = if untouched && message.len() <= request.limit {
            out[..message.len()].copy_from_slice(message);
            written
        } else {
            let rcode = made.as_ref().map_or(written.rcode, |made| made.rcode);
            let records = made.and_then(|made| made.records);
            let records = records.unwrap_or_else(|| records::read(message));
            let info_code = match (stale, synthesized) {
                (true, _) => Age::Stale.info_code(rcode),
                (false, true) => Some(InfoCode::SYNTHESIZED),
                (false, false) => None,
            };
            let len =
                write_records(&mut out, &request, rcode, &records, info_code, &mut self.compiled);
            given = Some(Made { rcode, records: Some(records) });
            Written { len, rcode, synthesized }
        };
        let ruling = self.zones_on_scripted(&scripted, &mut out, &written);
        if ruling.is_none() {
            match (bound, given) {
                (Some(secs), _) if untouched => {
                    self.keep_untouched(&request, &scripted, secs, now);
                }
                (bound, Some(made)) if !untouched => {
                    self.keep_made(&request, &scripted, &made, synthesized, bound, now);
                }
                _ => {}
            }
        }
        match ruling {
            None | Some(blocking::Ruling::Exempt) => {
                let source = if stale { Source::Stale } else { Source::Miss };
                let took = now.since(self.waiters.at(id).arrived);
                self.send_reply(&original, &out, written, source, took);
                self.end_waiter(id);
            }
            Some(ruling) => {
                self.end_waiter(id);
                self.enforce_late(ruling, &original, scripted.class, &mut out, now);
            }
        }
        self.reply_space = out;
    }

    /// What the policy zones make of the chain of a scripted reply; `None` if they have no trigger
    /// for it. With one there is no verdict to keep: it would be found without being shown to them.
    fn zones_on_scripted(
        &mut self,
        scripted: &Scripted,
        out: &mut [u8],
        written: &Written,
    ) -> Option<blocking::Ruling> {
        if !scripted.watched {
            return None;
        }
        let Scripted { original, class, .. } = scripted;
        let request = original.request();
        let (ruling, zone) = self.chain_ruling(&request, original.client, *class, out, written)?;
        self.counters.ruled(zone);
        Some(ruling)
    }

    /// For how many seconds the answers that a waiter has hold; `None` if one of them does not.
    fn answers_hold_secs(&self, id: WaiterId, now: Moment) -> Option<u32> {
        let mut bound: Option<u32> = None;
        for kept in self.waiters.at(id).answers.iter().flatten() {
            let head = Answer::read(&kept.octets)?.head();
            if kept.stale || head.outcome == Outcome::Failure {
                return Some(0);
            }
            let left = kept.age(now).remaining(head.ttl_secs);
            bound = Some(bound.map_or(left, |bound| bound.min(left)));
        }
        bound
    }

    fn has_stale(&self, id: WaiterId) -> bool {
        self.waiters.at(id).answers.iter().flatten().any(|kept| kept.stale)
    }

    /// A client has waited long enough: what is past its TTL may be used, and if there is nothing
    /// of the kind it is told so, if `at_any_rate`. False if it waits on.
    pub(super) fn answer_scripted_in_place_of_nothing(
        &mut self,
        id: WaiterId,
        at_any_rate: bool,
        now: Moment,
    ) -> bool {
        let waiter = self.waiters.at_mut(id);
        let Some(scripted) = &mut waiter.script else { return false };
        let is_new = !scripted.stale;
        if is_new && self.policy.cache.serve_stale {
            scripted.stale = true;
            self.use_stale(id, now);
        }
        if !self.waiters.is_active(id) {
            return true;
        }
        if !at_any_rate {
            return false;
        }
        let Party::Client(asker) = self.waiters.at(id).party else { return false };
        let info_code = self.why_nothing(id);
        let mut out = [0; 512];
        let written = failure(&mut out, &asker.request(), Some(info_code));
        let waiter = self.waiters.at_mut(id);
        waiter.answers = [None, None];
        if let Some(scripted) = &mut waiter.script {
            // Neither stale nor to be kept.
            scripted.stale = false;
            scripted.varies = true;
        }
        self.conclude_scripted(id, &out, written, None, now);
        true
    }

    /// Takes what the cache has past its TTL in place of what is waited for.
    fn use_stale(&mut self, id: WaiterId, now: Moment) {
        let Some(first) = self.first_subject(id) else { return };
        let a = super::query::with_type(&first, Rtype::A);
        for (slot, subject) in [(Slot::First, first), (Slot::Second, a)] {
            let waiter = self.waiters.at(id);
            let is_wanted = waiter.answers[slot as usize].as_ref().is_none_or(|kept| {
                let answer = Answer::read(&kept.octets);
                answer.is_none_or(|answer| {
                    let head = answer.head();
                    head.outcome == Outcome::Failure && !head.flags.has(AnswerFlags::BOGUS)
                })
            });
            let is_used = slot == Slot::First || waiter.plan == Plan::Synthesize;
            if is_wanted
                && is_used
                && let Some(kept) = self.kept(&subject, true, now)
            {
                self.waiters.leave(id, slot, &mut self.lookups);
                self.waiters.at_mut(id).answers[slot as usize] = Some(kept);
            }
        }
        self.step(id, now);
    }

    /// Gives a waiting client no reply.
    fn drop_waiter(&mut self, id: WaiterId) {
        self.counters.dropped(DropReason::Script);
        if let Party::Client(asker) = self.waiters.at(id).party
            && matches!(asker.client.channel, Channel::Tcp { .. })
        {
            // An empty reply frees the query's place on its connection.
            self.outbox.push_reply(asker.client, &[], ReplyNote::default());
        }
        self.end_waiter(id);
    }
}

/// What the upstream server says of an answer's authenticity.
fn validation_of(answer: &Answer<'_>) -> Validation {
    let flags = answer.head().flags;
    if flags.has(AnswerFlags::BOGUS) {
        Validation::Bogus
    } else if flags.has(AnswerFlags::AUTHENTIC) {
        Validation::Secure
    } else {
        Validation::Indeterminate
    }
}

/// The name that the CNAME records lead to from this one.
fn end_of_chain(name: Name<'_>, records: &[PlainRecord]) -> NameBuf {
    let mut end = NameBuf::from(name);
    for _ in 0..records.len() {
        let next = records.iter().find(|record| {
            record.rtype == Rtype::CNAME && record.name.as_name().eq_ignore_case(end.as_name())
        });
        let Some(target) = next.and_then(|record| NameBuf::from_wire(&record.rdata).ok()) else {
            break;
        };
        end = target;
    }
    end
}
