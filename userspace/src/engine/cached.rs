//! From cached answers to a reply: the decisions of RFC 6147 5.1 and 5.3.1, without a look-up.
//!
//! The same decisions serve replies made when a look-up ends: [`judge`] says whether an AAAA
//! answer stands or A is wanted, [`conclude`] makes the reply of both.

use std::cell::Cell;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::answer::encode::{
    Age, NewRrset, Request, write_empty, write_error, write_native, write_reverse_cname,
    write_reverse_denial, write_reverse_direct, write_synthesized, write_without_excluded,
};
use crate::answer::{Answer, AnswerFlags, Outcome};
use crate::cache::Key;
use crate::cache::{Shard, Times};
use crate::counters::Source;
use crate::limits::TTL_WITHOUT_SOA_SECS;
use crate::policy::{PrefixMask, PtrMode, Trigger, View};
use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;
use crate::wire::question::{Class, Rtype};

use super::entry::{Entry, age};
use super::plan::Plan;
use super::waiter::Slot;

/// An answer is renewed when this part of its life is left.
const PREFETCH_PART: u32 = 10;

/// What a reply is made with besides the answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'p> {
    /// The client's view.
    pub(super) view: &'p View,
    /// The prefixes that may be used.
    pub(super) prefixes: PrefixMask,
    /// What is done with the answers.
    pub(super) plan: Plan,
    /// The name of what is looked up, lower-cased wire form: for a reverse look-up the one in
    /// in-addr.arpa.
    pub(super) name: &'p [u8],
}

/// When an answer past its TTL may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Staleness {
    /// Only while a failed refresh forbids another (RFC 8767 5, failure recheck timer).
    AfterFailure,
    /// At once: nothing better will come in time.
    Allowed,
}

/// What is looked for in the cache, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought<'k> {
    /// The key of the question; for a reverse look-up that of the in-addr.arpa name.
    pub(super) first: Key<'k>,
    /// The hash of the key's name.
    pub(super) name_hash: u64,
    /// The second it is now.
    pub(super) now_secs: u32,
    /// When an answer past its TTL may be used.
    pub(super) staleness: Staleness,
}

/// A reply that has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// Octets of the reply.
    pub(super) len: usize,
    /// Its RCODE.
    pub(super) rcode: Rcode,
    /// Whether it has synthesized AAAA.
    pub(super) synthesized: bool,
}

/// What the cache made of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FromCache {
    /// The reply is written.
    Reply {
        /// The reply.
        written: Written,
        /// Fresh or stale.
        source: Source,
        /// The answer that should be renewed.
        renew: Option<Slot>,
        /// Before this second the answers are what they are now, and need not be renewed.
        until_secs: u32,
    },
    /// An answer is missing. For [`Slot::Second`] the first has been copied to the scratch space.
    Missing(Slot),
}

/// Looks for the answers in the cache and writes the reply.
///
/// `scratch` is space for one answer.
pub(super) fn from_cache(
    shard: &mut Shard,
    scratch: &mut Vec<u8>,
    out: &mut [u8],
    request: &Request<'_>,
    context: &Context<'_>,
    sought: &Sought<'_>,
) -> FromCache {
    let Sought { first, name_hash, now_secs, staleness } = sought;
    let (now_secs, staleness) = (*now_secs, *staleness);
    let missing = FromCache::Missing(Slot::First);
    let Some(hit) = shard.get(first, now_secs) else { return missing };
    let times = hit.times;
    let Some(entry) = Entry::read(hit.value) else { return missing };
    let stale = staleness == Staleness::Allowed || entry.parts.retry_secs > now_secs;
    let Some(first_age) = age(times, now_secs, stale) else { return missing };
    let answer = entry.answer;
    if first_age == Age::Stale && answer.head().outcome == Outcome::Failure {
        return missing;
    }
    let reply_until = |written, age: Age, renew, until_secs| FromCache::Reply {
        written,
        source: if age == Age::Stale { Source::Stale } else { Source::Hit },
        renew,
        until_secs,
    };
    let first_until_secs = renewal_secs(times);
    let reply = |written, age, renew| reply_until(written, age, renew, first_until_secs);
    // A refresh that has failed is not tried again before its time (RFC 9520 3.2).
    let may_renew = entry.parts.retry_secs <= now_secs;
    let renew_first = (may_renew && nearly_over(times, now_secs)).then_some(Slot::First);
    let why = match context.plan {
        Plan::Synthesize => match judge(context, &answer, request.dnssec_ok) {
            Judgement::Stands => {
                return reply(
                    write_first(out, request, &answer, first_age),
                    first_age,
                    renew_first,
                );
            }
            Judgement::StandsFiltered => {
                let written = write_filtered(out, request, context, &answer, first_age);
                return reply(written, first_age, renew_first);
            }
            Judgement::WantsA(why) => why,
        },
        Plan::Relay => {
            return reply(write_first(out, request, &answer, first_age), first_age, renew_first);
        }
        Plan::Reverse(_, mode) => {
            let written = write_reverse(out, request, context.name, &answer, first_age, mode);
            return reply(written, first_age, renew_first);
        }
        Plan::Local(_) => return missing,
    };
    if let Some((companion, companion_times)) = entry.companion
        && let Some(second_age) = age(companion_times, now_secs, stale)
    {
        let second = (&companion, second_age);
        let written = conclude(out, request, context, Some((&answer, first_age)), why, second);
        let oldest = older(first_age, second_age);
        let renew_second = nearly_over(companion_times, now_secs).then_some(Slot::Second);
        let until_secs = first_until_secs.min(renewal_secs(companion_times));
        return reply_until(written, oldest, renew_first.or(renew_second), until_secs);
    }
    // The A answer stands under its own key, if anywhere. The cache lends one entry at a time.
    scratch.clear();
    scratch.extend_from_slice(entry.parts.answer);
    let a_key = Key::with_hash(first.name, Rtype::A.0, first.class, first.flags, *name_hash);
    let missing = FromCache::Missing(Slot::Second);
    let Some(answer) = Answer::read(scratch) else { return missing };
    let Some(hit) = shard.get(&a_key, now_secs) else { return missing };
    let second_times = hit.times;
    let Some(second) = Entry::read(hit.value) else { return missing };
    let stale = staleness == Staleness::Allowed || second.parts.retry_secs > now_secs;
    let Some(second_age) = age(second_times, now_secs, stale) else { return missing };
    if second_age == Age::Stale && second.answer.head().outcome == Outcome::Failure {
        return missing;
    }
    let may_renew = second.parts.retry_secs <= now_secs;
    let second = (&second.answer, second_age);
    let written = conclude(out, request, context, Some((&answer, first_age)), why, second);
    let renew_second = (may_renew && nearly_over(second_times, now_secs)).then_some(Slot::Second);
    let until_secs = first_until_secs.min(renewal_secs(second_times));
    let oldest = older(first_age, second_age);
    reply_until(written, oldest, renew_first.or(renew_second), until_secs)
}

/// Whether an answer should be renewed now that it is asked for.
pub(super) fn nearly_over(times: Times, now_secs: u32) -> bool {
    (renewal_secs(times)..times.expires_secs).contains(&now_secs)
}

/// The second from which an answer should be renewed when it is asked for.
pub(super) fn renewal_secs(times: Times) -> u32 {
    let life_secs = times.expires_secs.saturating_sub(times.stored_secs);
    times.expires_secs - life_secs / PREFETCH_PART
}

/// Stale if either is.
fn older(first: Age, second: Age) -> Age {
    if first == Age::Stale { first } else { second }
}

// ---- Judging an AAAA answer

/// Why A is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There is no AAAA (RFC 6147 5.1.6).
    NoData,
    /// Every AAAA counts as absent (5.1.4).
    Excluded,
    /// The AAAA of this name are not wanted; they are given back if there is no A.
    Ignored,
    /// The AAAA query failed (5.1.2, 5.1.3).
    Failed,
}

/// What an AAAA answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is the reply.
    Stands,
    /// It is the reply without the AAAA that count as absent.
    StandsFiltered,
    /// A is wanted.
    WantsA(Why),
}

/// Judges an AAAA answer (RFC 6147 5.1.1 to 5.1.6).
pub(super) fn judge(context: &Context<'_>, aaaa: &Answer<'_>, dnssec_ok: bool) -> Judgement {
    let view = context.view;
    let head = aaaa.head();
    match head.outcome {
        Outcome::Records if view.ignores_aaaa(context.name) => Judgement::WantsA(Why::Ignored),
        Outcome::Records if view.excludes_nothing() => Judgement::Stands,
        Outcome::Records => {
            let is_absent = |address: &Ipv6Addr| view.is_absent(*address, context.prefixes);
            let absent = aaaa.ipv6_addresses().filter(is_absent).count();
            if absent == 0 {
                Judgement::Stands
            } else if absent == usize::from(head.rrset_count) {
                Judgement::WantsA(Why::Excluded)
            } else {
                Judgement::StandsFiltered
            }
        }
        Outcome::NoData if allowed_prefixes(context, aaaa, dnssec_ok).is_empty() => {
            Judgement::Stands
        }
        Outcome::NoData => Judgement::WantsA(Why::NoData),
        // 5.1.2: RCODE 3 is the end of it.
        Outcome::NxDomain => Judgement::Stands,
        // 5.5(2): a denial that does not validate must not lead to synthesis.
        Outcome::Failure if head.flags.has(AnswerFlags::BOGUS) => Judgement::Stands,
        Outcome::Failure if view.trigger == Trigger::Nodata => Judgement::Stands,
        // 5.1.2: every other RCODE counts as an empty answer.
        Outcome::Failure => Judgement::WantsA(Why::Failed),
    }
}

/// The prefixes that may be used with this answer: a client that asks for DNSSEC data of a signed
/// zone only gets those that may break it (BIND's break-dnssec).
pub(super) fn allowed_prefixes(
    context: &Context<'_>,
    answer: &Answer<'_>,
    dnssec_ok: bool,
) -> PrefixMask {
    if dnssec_ok && answer.head().flags.has(AnswerFlags::SIGNED) {
        context.prefixes & context.view.break_dnssec()
    } else {
        context.prefixes
    }
}

// ---- Writing replies

/// Writes the answer to the question as it is, or its failure.
pub(super) fn write_first(
    out: &mut [u8],
    request: &Request<'_>,
    answer: &Answer<'_>,
    age: Age,
) -> Written {
    let head = answer.head();
    // RFC 6672 3: YXDOMAIN, a name made too long by a DNAME, is an answer like any other.
    if head.outcome == Outcome::Failure && head.rcode != Rcode::YXDOMAIN {
        return failure(out, request, head.info_code);
    }
    let info_code = age.info_code(head.rcode);
    let authentic = age != Age::Stale && head.flags.has(AnswerFlags::AUTHENTIC);
    let len = write_native(out, request, answer, age, authentic, info_code);
    Written { len, rcode: head.rcode, synthesized: false }
}

/// Writes an AAAA answer without the addresses that count as absent.
pub(super) fn write_filtered(
    out: &mut [u8],
    request: &Request<'_>,
    context: &Context<'_>,
    aaaa: &Answer<'_>,
    age: Age,
) -> Written {
    let is_absent = |address| context.view.is_absent(address, context.prefixes);
    let len = write_without_excluded(out, request, aaaa, age, is_absent);
    Written { len, rcode: Rcode::NOERROR, synthesized: false }
}

/// Writes SERVFAIL.
pub(super) fn failure(
    out: &mut [u8],
    request: &Request<'_>,
    info_code: Option<InfoCode>,
) -> Written {
    let len = write_error(out, request, Rcode::SERVFAIL, info_code);
    Written { len, rcode: Rcode::SERVFAIL, synthesized: false }
}

/// Writes the reply made of both answers (RFC 6147 5.1.6, 5.1.7, 5.4). `first` is `None` if the
/// AAAA query has been given up.
pub(super) fn conclude(
    out: &mut [u8],
    request: &Request<'_>,
    context: &Context<'_>,
    first: Option<(&Answer<'_>, Age)>,
    why: Why,
    second: (&Answer<'_>, Age),
) -> Written {
    let (a, a_age) = second;
    let empty = |out: &mut [u8]| {
        let denial = first.filter(|_| why == Why::NoData);
        let len = write_empty(out, request, second, denial);
        Written { len, rcode: Rcode::NOERROR, synthesized: false }
    };
    // Where AAAA were there but not wanted, they are better than nothing.
    let give_back = |out: &mut [u8]| {
        let (aaaa, age) = first?;
        (why == Why::Ignored).then(|| write_first(out, request, aaaa, age))
    };
    match a.head().outcome {
        // An absence of AAAA that nobody has proved is no ground for synthesis in a zone that could
        // have proved it: whoever keeps the AAAA answer from us must gain nothing (RFC 6147 5.5).
        Outcome::Records if why == Why::Failed && a.head().flags.has(AnswerFlags::SECURE) => {
            let said = first.and_then(|(aaaa, _)| aaaa.head().info_code);
            failure(out, request, said.or(Some(InfoCode::DNSSEC_INDETERMINATE)))
        }
        Outcome::Records => {
            let prefixes = allowed_prefixes(context, a, request.dnssec_ok);
            // Asked several times of each address, and most names have one: the last is remembered.
            let last: Cell<Option<(Ipv4Addr, u32)>> = Cell::new(None);
            let mapped = |address| match last.get() {
                Some((known, mask)) if known == address => mask,
                Some(_) | None => {
                    let mask = (context.view.mapped(address) & prefixes).0;
                    last.set(Some((address, mask)));
                    mask
                }
            };
            if a.ipv4_addresses().all(|address| mapped(address) == 0) {
                return give_back(out).unwrap_or_else(|| match (first, why) {
                    (Some((aaaa, age)), Why::NoData) if prefixes.is_empty() => {
                        write_first(out, request, aaaa, age)
                    }
                    _ => empty(out),
                });
            }
            let rrset = synthesized_ttl(first, why, second, context.view.ttl_max_secs());
            let pref64 = |index: usize| context.view.prefixes[index].pref64;
            let len = write_synthesized(out, request, a, a_age, rrset, mapped, pref64);
            Written { len, rcode: Rcode::NOERROR, synthesized: true }
        }
        Outcome::NoData => match (give_back(out), why, first) {
            (Some(written), _, _) => written,
            // 5.4 over 5.1.6: "no data" would assert that there is no AAAA, which nobody has said.
            (None, Why::Failed, first) => {
                failure(out, request, first.and_then(|(aaaa, _)| aaaa.head().info_code))
            }
            // The denial that brought an SOA is the one a client can cache.
            (None, Why::NoData, Some((aaaa, age)))
                if !a.head().flags.has(AnswerFlags::SOA)
                    && aaaa.head().flags.has(AnswerFlags::SOA) =>
            {
                write_unsigned(out, request, aaaa, age)
            }
            (None, _, _) => write_unsigned(out, request, a, a_age),
        },
        // 5.1.6: an error of the A query is the basis of the reply.
        Outcome::NxDomain => {
            give_back(out).unwrap_or_else(|| write_unsigned(out, request, a, a_age))
        }
        Outcome::Failure => {
            give_back(out).unwrap_or_else(|| failure(out, request, a.head().info_code))
        }
    }
}

/// Writes a denial without AD: it answers another question than the one it was asked for.
fn write_unsigned(out: &mut [u8], request: &Request<'_>, answer: &Answer<'_>, age: Age) -> Written {
    let rcode = answer.head().rcode;
    let len = write_native(out, request, answer, age, false, age.info_code(rcode));
    Written { len, rcode, synthesized: false }
}

/// TTL of synthesized records (RFC 6147 5.1.7): no longer than the A records live, nor the denial
/// of AAAA (its SOA's TTL and MINIMUM, RFC 2308 5), nor 600 seconds where there was no SOA, nor
/// what the pool of the view says. Also whether any of it is stale.
fn synthesized_ttl(
    first: Option<(&Answer<'_>, Age)>,
    why: Why,
    second: (&Answer<'_>, Age),
    ttl_max_secs: u32,
) -> NewRrset {
    let (a, a_age) = second;
    let a_ttl_secs = a_age.remaining(a.head().rrset_ttl_secs);
    let denial =
        first.filter(|(aaaa, _)| why == Why::NoData && aaaa.head().flags.has(AnswerFlags::SOA));
    let bound_secs = match denial {
        Some((aaaa, age)) => age.remaining(aaaa.head().ttl_secs),
        None => TTL_WITHOUT_SOA_SECS,
    };
    let stale = a_age == Age::Stale || first.is_some_and(|(_, age)| age == Age::Stale);
    let ttl_secs = a_ttl_secs.min(bound_secs).min(ttl_max_secs);
    let ttl_secs = if stale { Age::Stale.remaining(ttl_secs) } else { ttl_secs };
    let is_secure = |answer: &Answer<'_>| answer.head().flags.has(AnswerFlags::SECURE);
    let proved = why == Why::NoData && first.is_some_and(|(aaaa, _)| is_secure(aaaa));
    NewRrset { ttl_secs, stale, secure: !stale && proved && is_secure(a) }
}

/// Writes the reply for a name under a prefix (RFC 6147 5.3.1).
pub(super) fn write_reverse(
    out: &mut [u8],
    request: &Request<'_>,
    target: &[u8],
    ptr: &Answer<'_>,
    age: Age,
    mode: PtrMode,
) -> Written {
    let head = ptr.head();
    let len = match (head.outcome, mode) {
        (Outcome::Records, PtrMode::Cname) => {
            write_reverse_cname(out, request, target, ptr, age, Class::IN)
        }
        (Outcome::Records, PtrMode::Direct | PtrMode::Off) => {
            write_reverse_direct(out, request, ptr, age, Class::IN)
        }
        // 5.3.1: no CNAME to a name without PTR.
        (Outcome::NoData | Outcome::NxDomain, _) => {
            write_reverse_denial(out, request, target, ptr, age)
        }
        (Outcome::Failure, _) => return failure(out, request, head.info_code),
    };
    Written { len, rcode: head.rcode, synthesized: false }
}
