//! Verdicts: what the cache keeps of what a script has said; see [`super::scripted`].

use crate::answer::encode::{Age, Request, write_error, write_native};
use crate::answer::records::{self, PlainRecord, Section};
use crate::answer::{Answer, AnswerFlags, compile_failure};
use crate::cache::{Key, Times};
use crate::limits::MESSAGE_LEN_MAX;
use crate::policy::ClientClass;
use crate::time::Moment;
use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;
use crate::wire::name::{Name, fold};
use crate::wire::plain::PlainQuery;
use crate::wire::question::{Class, Rtype};

use super::Engine;
use super::cached::{Written, nearly_over};
use super::entry::{Entry, Parts};
use super::lookup::Subject;
use super::script::Made;
use super::scripted::Scripted;

/// Seconds for which a verdict without records is kept, where nothing else bounds it.
const TTL_WITHOUT_RECORDS_SECS: u32 = 60;

/// What the cache holds of a question for an audience.
pub(super) enum Kind {
    /// Nothing.
    Unknown,
    /// The answers are for the client as they are, if they are no younger than this second.
    Untouched(u32),
    /// The answer of the script, which has been written.
    Reply(Written, Times),
}

impl Engine {
    /// Looks for the verdict of a question of class IN, and writes the reply if it is one.
    pub(super) fn find_verdict(
        &mut self,
        out: &mut [u8],
        request: &Request<'_>,
        key: Key<'_>,
        class: ClientClass,
        now_secs: u32,
    ) -> Kind {
        let Some(scripting) = &self.script else { return Kind::Unknown };
        let Some(variant) = scripting.variant(&self.policy, class) else { return Kind::Unknown };
        let key = key.with_variant(variant);
        let Some(hit) = self.shard.get(&key, now_secs) else { return Kind::Unknown };
        let Some(entry) = Entry::read(hit.value) else { return Kind::Unknown };
        if !hit.times.is_fresh(now_secs) {
            return Kind::Unknown;
        }
        let head = entry.answer.head();
        if head.flags.has(AnswerFlags::UNTOUCHED) {
            return Kind::Untouched(hit.times.stored_secs);
        }
        let age = Age::Secs(now_secs.saturating_sub(hit.times.stored_secs));
        let len = write_native(out, request, &entry.answer, age, false, head.info_code);
        let synthesized = head.info_code == Some(InfoCode::SYNTHESIZED);
        Kind::Reply(Written { len, rcode: head.rcode, synthesized }, hit.times)
    }

    /// Whether the answers of a question are those that a verdict was said of: none of them has
    /// been stored later.
    pub(super) fn are_as_ruled(
        &self,
        first: &Key<'_>,
        name_hash: u64,
        ruled_secs: u32,
        now_secs: u32,
    ) -> bool {
        let Some(hit) = self.shard.peek(first, now_secs) else { return false };
        let Some(entry) = Entry::read(hit.value) else { return false };
        let second_secs = match entry.companion {
            Some((_, times)) => times.stored_secs,
            None if first.rtype == Rtype::AAAA.0 => {
                let a = Key::with_hash(first.name, Rtype::A.0, first.class, first.flags, name_hash);
                self.shard.peek(&a, now_secs).map_or(0, |hit| hit.times.stored_secs)
            }
            None => 0,
        };
        hit.times.stored_secs <= ruled_secs && second_secs <= ruled_secs
    }

    /// Looks up anew what the script's answer to a question was made from, if that is about to end.
    pub(super) fn renew_behind_script(&mut self, subject: Subject, times: Times, now: Moment) {
        let now_secs = now.as_secs();
        if !self.policy.cache.prefetch || !nearly_over(times, now_secs) {
            return;
        }
        let a = (subject.rtype == Rtype::AAAA).then(|| super::query::with_type(&subject, Rtype::A));
        for subject in [Some(subject), a].into_iter().flatten() {
            let hit = self.shard.peek(&subject.key(), now_secs);
            if hit.is_some_and(|hit| nearly_over(hit.times, now_secs)) {
                self.prefetch(subject, now);
            }
        }
    }

    /// Writes what a script has made.
    pub(super) fn write_made(
        &mut self,
        out: &mut [u8],
        request: &Request<'_>,
        made: &Made,
    ) -> Written {
        let records = made.records.as_deref().unwrap_or_default();
        let len = write_records(out, request, made.rcode, records, None, &mut self.compiled);
        Written { len, rcode: made.rcode, synthesized: false }
    }

    /// Keeps what a script has made.
    pub(super) fn keep_made(
        &mut self,
        request: &Request<'_>,
        scripted: &Scripted,
        made: &Made,
        synthesized: bool,
        bound: Option<u32>,
        now: Moment,
    ) {
        let records = made.records.as_deref().unwrap_or_default();
        let kept = records.iter().filter(|record| record.section != Section::Additional);
        let least = kept.map(|record| record.ttl_secs).min().unwrap_or(TTL_WITHOUT_RECORDS_SECS);
        let ttl_secs = bound.map_or(least, |bound| bound.min(least));
        let is_answer = matches!(made.rcode, Rcode::NOERROR | Rcode::NXDOMAIN);
        let ttl_secs = if is_answer { ttl_secs } else { 0 };
        let mut compiled = std::mem::take(&mut self.compiled);
        let info_code = synthesized.then_some(InfoCode::SYNTHESIZED);
        if compile(request, made.rcode, records, info_code, ttl_secs, &mut compiled) {
            self.keep_verdict(request, scripted, &compiled, ttl_secs, now);
        }
        self.compiled = compiled;
    }

    /// Keeps that a script has left the answers as they are.
    pub(super) fn keep_untouched(
        &mut self,
        request: &Request<'_>,
        scripted: &Scripted,
        ttl_secs: u32,
        now: Moment,
    ) {
        let mut note = std::mem::take(&mut self.compiled);
        compile_failure(Rcode::NOERROR, None, AnswerFlags::UNTOUCHED, ttl_secs, &mut note);
        self.keep_verdict(request, scripted, &note, ttl_secs, now);
        self.compiled = note;
    }

    /// Keeps a verdict, if it may be kept.
    fn keep_verdict(
        &mut self,
        request: &Request<'_>,
        scripted: &Scripted,
        compiled: &[u8],
        ttl_secs: u32,
        now: Moment,
    ) {
        let ttl_secs = ttl_secs.min(self.policy.cache.max_ttl_secs);
        if scripted.varies || ttl_secs == 0 {
            return;
        }
        let Some(scripting) = &self.script else { return };
        let Some(variant) = scripting.variant(&self.policy, scripted.class) else { return };
        let Ok((name, fixed)) = Name::split(request.question) else { return };
        let mut folded = [0; 256];
        let len = fold(name, &mut folded);
        let name = &folded[..len];
        let rtype = u16::from_be_bytes([fixed[0], fixed[1]]);
        let hash = dns64_ebpf::hash::name_hash(name, self.hash_seed);
        let key = Key::with_hash(name, rtype, Class::IN.0, key_flags_of(request), hash);
        let key = key.with_variant(variant);
        let stored_secs = now.as_secs();
        let expires_secs = stored_secs.saturating_add(ttl_secs);
        let times = Times { stored_secs, expires_secs, stale_until_secs: expires_secs };
        Parts::new(compiled).write(&mut self.entry_scratch);
        // What is too large is asked of the script again.
        let _too_large = self.shard.insert(&key, &self.entry_scratch, times);
        self.hot.withdraw(key.hash());
    }

    /// Keeps the reply from a verdict ready for the next query in the same form.
    pub(super) fn keep_ready_verdict(
        &mut self,
        plain: &PlainQuery,
        class: ClientClass,
        reply: &[u8],
        written: Written,
        (times, now_secs): (Times, u32),
    ) {
        let until_secs = super::cached::renewal_secs(times);
        self.keep_ready(plain, class, reply, written, (now_secs, until_secs));
    }
}

/// Compiles records for a request's question; false if they are too long.
fn compile(
    request: &Request<'_>,
    rcode: Rcode,
    records: &[PlainRecord],
    info_code: Option<InfoCode>,
    ttl_secs: u32,
    into: &mut Vec<u8>,
) -> bool {
    let question_name = request.question.get(..request.question.len() - 4).unwrap_or_default();
    let made = records::Made { question_name, rcode, info_code, class: Class::IN, ttl_secs };
    records::compile(&made, records, into).is_ok() && into.len() <= MESSAGE_LEN_MAX
}

/// Writes a reply of these records; SERVFAIL if they are too long for any message.
pub(super) fn write_records(
    out: &mut [u8],
    request: &Request<'_>,
    rcode: Rcode,
    records: &[PlainRecord],
    info_code: Option<InfoCode>,
    space: &mut Vec<u8>,
) -> usize {
    let compiled = compile(request, rcode, records, info_code, 0, space);
    match Answer::read(space).filter(|_| compiled) {
        Some(answer) => write_native(out, request, &answer, Age::Secs(0), false, info_code),
        None => write_error(out, request, Rcode::SERVFAIL, Some(InfoCode::OTHER)),
    }
}

/// The flags of the keys for a request.
pub(super) fn key_flags_of(request: &Request<'_>) -> u8 {
    super::query::key_flags_of(request.dnssec_ok, request.checking_disabled)
}
