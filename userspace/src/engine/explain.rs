//! Which rule decided: the way of one query, told to people.
//!
//! Nothing is decided here. The functions that decide when queries are answered are called once
//! more, one by one, with the answers that the cache holds, and what each says is put into words.
//! So an explanation is asked for after the query has been answered by the same engine.

use std::fmt::Write as _;

use crate::answer::encode::Request;
use crate::answer::{Answer, Outcome};
use crate::cache::Key;
use crate::datagram::Datagram;
use crate::limits::MESSAGE_LEN_MAX;
use crate::policy::rpz::Decision;
use crate::policy::{ClientClass, PrefixMask, View};
use crate::time::Moment;
use crate::wire::name::{Name, NameBuf, fold};
use crate::wire::query::Query;
use crate::wire::question::{Class, Rtype};

use super::Engine;
use super::blocking::{chain_decision, decide, redirected};
use super::cached::{
    Context, FromCache, Judgement, Sought, Staleness, Why, allowed_prefixes, from_cache, judge,
};
use super::entry::Entry;
use super::plan::{Plan, PlanFlags};
use super::query::{key_flags_of, request};

/// One decision on the way of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What decided: a part of the configuration, or of the query.
    pub by: &'static str,
    /// What it said.
    pub says: String,
}

/// The decisions so far.
#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn add(&mut self, by: &'static str, says: impl Into<String>) {
        self.0.push(Step { by, says: says.into() });
    }
}

impl Engine {
    /// The decisions about a query, in their order, by the answers that are in the cache.
    pub fn explain(&mut self, query: Datagram<'_>, now: Moment) -> Vec<Step> {
        let mut steps = Steps::default();
        let class = self.classify(&query.client);
        match (class.dropped, class.allowed) {
            (true, _) => steps.add("drop", "the client's queries are thrown away"),
            (false, false) => steps.add("allow", "the client may not ask: REFUSED"),
            (false, true) => steps.add("allow", "the client may ask"),
        }
        let Ok(parsed) = Query::parse(query.bytes) else {
            steps.add("query", "it cannot be understood");
            return steps.0;
        };
        if class.allowed {
            let request = request(&parsed, query.client, &self.policy.limits, MESSAGE_LEN_MAX);
            self.explain_allowed(&parsed, &request, class, now, &mut steps);
        }
        steps.0
    }

    /// The decisions about a query whose client may ask.
    fn explain_allowed(
        &mut self,
        query: &Query<'_>,
        request: &Request<'_>,
        class: ClientClass,
        now: Moment,
        steps: &mut Steps,
    ) {
        let question = &query.question;
        let view = self.policy.view(class.view);
        steps.add("view", format!("\"{}\": {}", view.name, prefixes_of(view, class.prefixes)));
        if let Some(pool) =
            view.pool.and_then(|used| self.policy.pools.get(usize::from(used.pool.0)))
        {
            let gateway = prefixes_of(view, class.prefixes);
            steps.add("pool", format!("\"{}\": the client's gateway is {gateway}", pool.name));
        }
        let flags = PlanFlags::of(request);
        let (mut plan, mut prefixes) = Plan::of(question, flags, class, view);
        let is_in = question.class == Class::IN;
        let decision = decide(&self.policy, class.view, request.asked_name(), plan);
        let decision = decision.filter(|_| is_in);
        let mut watched = is_in && self.policy.rpz.is_for(class.view);
        let mut redirect = None;
        if let Some(decision) = decision {
            steps.add("rpz", told(&decision));
            watched = false;
            redirect = redirected(&decision, request);
            if redirect.is_none() && decision.action.is_final() {
                return;
            }
        } else if watched {
            steps.add("rpz", "no zone has a trigger for the name");
        }
        let request = &Request { alias: redirect.as_deref().map(|to| to.alias()), ..*request };
        let sought = request.sought_name();
        if redirect.is_some() {
            (plan, prefixes) = Plan::of_name(sought, question.rtype, flags, class, view);
            steps.add("rpz", format!("{} is looked up in its place", text(sought)));
        }
        let of_name = view.prefixes_for(sought, class.prefixes);
        if of_name != class.prefixes {
            steps.add("domains", format!("for this name: {}", prefixes_of(view, of_name)));
        }
        steps.add(
            "plan",
            plan_in_words(plan, question.rtype, question.class, prefixes, flags, view, sought),
        );
        if matches!(plan, Plan::Local(_)) || !is_in {
            return;
        }
        let mut folded = [0; 256];
        let target;
        let (name, rtype) = match plan {
            Plan::Reverse(address, _) => {
                target = crate::reverse::in_addr_arpa(address);
                (target.as_name(), Rtype::PTR)
            }
            Plan::Relay | Plan::Synthesize | Plan::Local(_) => {
                let Ok(name) = Name::from_wire(sought) else { return };
                (name, question.rtype)
            }
        };
        let name_len = fold(name, &mut folded);
        let name = &folded[..name_len];
        let context = Context { view, prefixes, plan, name };
        self.explain_answers(request, &context, rtype, now, steps);
        if watched
            && let Some(told) = self.chain_told(request, class, plan, prefixes, rtype, name, now)
        {
            steps.add("rpz", told);
        }
    }

    /// What the answers in the cache come to.
    fn explain_answers(
        &self,
        request: &Request<'_>,
        context: &Context<'_>,
        rtype: Rtype,
        now: Moment,
        steps: &mut Steps,
    ) {
        let Some(first) = self.answer_to(request, context.name, rtype, now) else {
            steps.add("answer", format!("there is none for {rtype} in the cache"));
            return;
        };
        let Some(first) = Answer::read(&first) else { return };
        steps.add("answer", format!("{} {rtype}: {}", text(context.name), outcome(&first)));
        if context.plan != Plan::Synthesize {
            return;
        }
        let (view, prefixes) = (context.view, context.prefixes);
        for address in first.ipv6_addresses() {
            if view.is_absent(address, prefixes) {
                steps.add("exclude_aaaa", format!("{address} counts as absent"));
            }
        }
        let why = match judge(context, &first, request.dnssec_ok) {
            Judgement::Stands => {
                steps.add("answer", format!("it stands: {}", why_it_stands(&first)));
                return;
            }
            Judgement::StandsFiltered => {
                steps.add("answer", "it stands, without what counts as absent");
                return;
            }
            Judgement::WantsA(why) => why,
        };
        steps.add("answer", why_a_is_wanted(why));
        let Some(second) = self.answer_to(request, context.name, Rtype::A, now) else {
            steps.add("answer", "there is none for A in the cache");
            return;
        };
        let Some(second) = Answer::read(&second) else { return };
        steps.add("answer", format!("{} A: {}", text(context.name), outcome(&second)));
        let allowed = allowed_prefixes(context, &second, request.dnssec_ok);
        if allowed != prefixes {
            let left = prefixes_of(view, allowed);
            steps.add("break_dnssec", format!("DO is set and the zone is signed: {left}"));
        }
        for address in second.ipv4_addresses() {
            let mapped = view.mapped(address) & allowed;
            for index in mapped.indices() {
                let pref64 = view.prefixes[index].pref64;
                let embedded = pref64.embed(address);
                steps.add("prefixes", format!("{address} under {pref64} is {embedded}"));
            }
            for index in allowed.without(mapped).indices() {
                let pref64 = view.prefixes[index].pref64;
                let why = match pref64.is_well_known() && view.non_global(address) {
                    true => "non_global_ipv4 has it (RFC 6052 3.1)",
                    false => "it is not in `mapped`, or in `exclude_a`",
                };
                steps.add("mapped", format!("{address} is not mapped under {pref64}: {why}"));
            }
        }
    }

    /// What the zones say of the chain of the reply that the cache would give.
    #[allow(clippy::too_many_arguments, reason = "one caller, and each says another thing")]
    fn chain_told(
        &mut self,
        request: &Request<'_>,
        class: ClientClass,
        plan: Plan,
        prefixes: PrefixMask,
        rtype: Rtype,
        name: &[u8],
        now: Moment,
    ) -> Option<String> {
        let view = self.policy.view(class.view);
        let name_hash = dns64_ebpf::hash::name_hash(name, self.hash_seed);
        let flags = key_flags_of(request.dnssec_ok, request.checking_disabled);
        let first = Key::with_hash(name, rtype.0, Class::IN.0, flags, name_hash);
        let (now_secs, staleness) = (now.as_secs(), Staleness::Allowed);
        let mut out = vec![0; MESSAGE_LEN_MAX];
        let cached = from_cache(
            &mut self.shard,
            &mut self.scratch,
            &mut out,
            request,
            &Context { view, prefixes, plan, name },
            &Sought { first, name_hash, now_secs, staleness },
        );
        let FromCache::Reply { written, .. } = cached else { return None };
        let reply = out.get(..written.len)?;
        let decision = chain_decision(&self.policy, class.view, reply, request.question.len())?;
        Some(format!("of the chain: {}", told(&decision)))
    }

    /// The cached answer for a name and type.
    fn answer_to(
        &self,
        request: &Request<'_>,
        name: &[u8],
        rtype: Rtype,
        now: Moment,
    ) -> Option<Vec<u8>> {
        let flags = key_flags_of(request.dnssec_ok, request.checking_disabled);
        let key = Key::new(name, rtype.0, Class::IN.0, flags, self.hash_seed);
        let hit = self.shard.peek(&key, now.as_secs())?;
        Some(Entry::read(hit.value)?.parts.answer.to_vec())
    }
}

/// Prefixes in words.
fn prefixes_of(view: &View, mask: PrefixMask) -> String {
    if !view.enabled {
        return "DNS64 is off".to_owned();
    }
    let mut words = String::new();
    for index in mask.indices() {
        let comma = if words.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _infallible = write!(words, "{comma}{}", view.prefixes[index].pref64);
    }
    if words.is_empty() { "no prefix".to_owned() } else { words }
}

/// A decision of a zone in words.
fn told(decision: &Decision<'_>) -> String {
    format!("{}: {}", decision.zone.name, decision.action.word())
}

/// A plan in words, and if there is no synthesis, why.
fn plan_in_words(
    plan: Plan,
    rtype: Rtype,
    class: Class,
    prefixes: PrefixMask,
    flags: PlanFlags,
    view: &View,
    name: &[u8],
) -> String {
    match plan {
        Plan::Local(local) => format!("answered here: {local:?}"),
        Plan::Reverse(address, _) => format!("the PTR of {address}"),
        Plan::Synthesize => "AAAA, made of A where there is none".to_owned(),
        Plan::Relay => {
            let why = if class != Class::IN {
                "the class is not IN"
            } else if rtype != Rtype::AAAA {
                "the type is not AAAA"
            } else if prefixes.is_empty() {
                "no prefix is for this client, name and query"
            } else if flags.checking_disabled {
                "CD is set (RFC 6147 5.5)"
            } else if view.bypasses(name) {
                "the name is in `bypass`"
            } else {
                "nothing speaks for it"
            };
            format!("passed on without synthesis: {why}")
        }
    }
}

/// What an answer says in words.
fn outcome(answer: &Answer<'_>) -> String {
    let head = answer.head();
    match head.outcome {
        Outcome::Records => format!("{} records", head.rrset_count),
        Outcome::NoData => "no such records".to_owned(),
        Outcome::NxDomain => "no such name".to_owned(),
        Outcome::Failure => match head.info_code {
            Some(code) => format!("failed with {}, EDE {} ({code})", head.rcode, code.0),
            None => format!("failed with {}", head.rcode),
        },
    }
}

/// Why an AAAA answer is the reply.
fn why_it_stands(answer: &Answer<'_>) -> &'static str {
    match answer.head().outcome {
        Outcome::Records => "there are AAAA (RFC 6147 5.1.1)",
        Outcome::NoData => "DO is set and no prefix may break DNSSEC",
        Outcome::NxDomain => "the name does not exist (RFC 6147 5.1.2)",
        Outcome::Failure => "the failure is one of DNSSEC, or `trigger` is \"nodata\"",
    }
}

/// Why A is asked for.
const fn why_a_is_wanted(why: Why) -> &'static str {
    match why {
        Why::NoData => "A is asked for: there is no AAAA (RFC 6147 5.1.6)",
        Why::Excluded => "A is asked for: every AAAA counts as absent (RFC 6147 5.1.4)",
        Why::Ignored => "A is asked for: `ignore_aaaa` or `synth_all` has the name",
        Why::Failed => "A is asked for: AAAA failed (RFC 6147 5.1.2)",
    }
}

/// A name for people.
fn text(name: &[u8]) -> String {
    NameBuf::from_wire(name).map_or_else(|_| "?".to_owned(), |name| name.to_string())
}
