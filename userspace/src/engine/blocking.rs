//! Response policy zones at work: queries whose name, or a name their answer's chain leads to, the
//! operator has a rule for.
//!
//! The asked name is looked at before anything else is done with the query: before local answers,
//! the cache and DNS64. For a name under a prefix the name in in-addr.arpa is looked at too, since
//! that is the name whose PTR is given. What an answer's chain leads to is looked at when the reply
//! is written, on its way to the client and before it is kept ready: so no tier ever has a reply
//! that a zone forbids, and those that are ready need no second look.
//!
//! | rule | here |
//! |---|---|
//! | A without AAAA, and the client is synthesized for | AAAA are made of the A, by its prefixes |
//! | AAAA | are given as they are: `exclude_aaaa` is about the world's data |
//! | CNAME | the target is looked up and synthesized for; no zone is asked about it |
//! | passthru | the name and all that its chain leads to are left alone |

use std::net::Ipv4Addr;

use crate::answer::POINTER_TO_QUESTION;
use crate::answer::encode::{Alias, ReplyWriter, Request, write_error, write_truncated};
use crate::cache::Key;
use crate::counters::{DropReason, Source};
use crate::datagram::Client;
use crate::limits::{HEADER_LEN, SYNTHESIZED_RECORDS_MAX};
use crate::policy::rpz::{Action, Decision, LocalRecord};
use crate::policy::{ClientClass, Policy, PrefixMask, View, ViewId};
use crate::reverse::in_addr_arpa;
use crate::time::Moment;
use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;
use crate::wire::name::{Name, NameBuf, decompress, fold};
use crate::wire::question::{Class, Rtype};

use super::cached::{Context, FromCache, Sought, Staleness, Written, from_cache};
use super::local::soa_rdata;
use super::lookup::Subject;
use super::plan::{Plan, PlanFlags};
use super::query::key_flags_of;
use super::waiter::{Asker, Party, WaiterId};
use super::{Engine, Verdict};

/// The most names of a chain that are looked at: no answer has a longer one.
const CHAIN_MAX: usize = 64;

/// What a rule makes of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// The reply is written.
    Written(Written),
    /// There is no reply.
    Dropped,
    /// The name is left alone, and with it what its chain leads to.
    Exempt,
    /// The name is an alias.
    Redirect(Box<Redirected>),
}

/// An alias that a rule has made of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirected {
    /// The name that it is an alias of, in wire form.
    target: Vec<u8>,
    /// TTL of the CNAME.
    ttl_secs: u32,
    /// The Extended Error of the reply.
    info_code: Option<InfoCode>,
}

impl Redirected {
    /// As the reply needs it.
    pub(super) fn alias(&self) -> Alias<'_> {
        let Self { target, ttl_secs, info_code } = self;
        Alias { target, ttl_secs: *ttl_secs, info_code: *info_code }
    }

    /// Of a reply's alias.
    pub(super) fn of(alias: &Alias<'_>) -> Box<Self> {
        let Alias { target, ttl_secs, info_code } = *alias;
        Box::new(Self { target: target.to_vec(), ttl_secs, info_code })
    }
}

/// What a ruling depends on besides the rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'p> {
    /// The client's view.
    pub(super) view: &'p View,
    /// The prefixes by which AAAA may be made; none if the client is not synthesized for.
    pub(super) prefixes: PrefixMask,
    /// Whether the query came by UDP.
    pub(super) by_udp: bool,
}

impl Engine {
    /// What the zones make of a query that has not been answered yet, and the place of the zone
    /// that decides.
    pub(super) fn ruling(
        &self,
        request: &Request<'_>,
        client: Client,
        class: ClientClass,
        (plan, prefixes): (Plan, PrefixMask),
        out: &mut [u8],
    ) -> Option<(Ruling, usize)> {
        let synthesizes = plan == Plan::Synthesize;
        let circumstances = Circumstances {
            view: self.policy.view(class.view),
            prefixes: if synthesizes { prefixes } else { PrefixMask::EMPTY },
            by_udp: client.channel.is_udp(),
        };
        let decision = decide(&self.policy, class.view, request.asked_name(), plan)?;
        Some((carry_out(&decision, out, request, &circumstances), decision.rank))
    }

    /// What the zones make of the chain of a reply; `None` if they leave it alone.
    pub(super) fn chain_ruling(
        &self,
        request: &Request<'_>,
        client: Client,
        class: ClientClass,
        out: &mut [u8],
        written: &Written,
    ) -> Option<(Ruling, usize)> {
        let policy = &self.policy;
        let reply = out.get(..written.len)?;
        let decision = chain_decision(policy, class.view, reply, request.question.len())?;
        let view = policy.view(class.view);
        let (plan, prefixes) = Plan::of_name(
            request.asked_name(),
            request.asked_type(),
            PlanFlags::of(request),
            class,
            view,
        );
        let circumstances = Circumstances {
            view,
            prefixes: if plan == Plan::Synthesize { prefixes } else { PrefixMask::EMPTY },
            by_udp: client.channel.is_udp(),
        };
        Some((carry_out(&decision, out, request, &circumstances), decision.rank))
    }

    /// Does what a ruling says to a query. Not for [`Ruling::Exempt`].
    pub(super) fn enforce(
        &mut self,
        ruling: Ruling,
        client: Client,
        request: &Request<'_>,
        class: ClientClass,
        out: &mut [u8],
        now: Moment,
    ) -> Verdict {
        match ruling {
            Ruling::Written(Written { len, rcode, synthesized }) => {
                self.counters.synthesized += u64::from(synthesized);
                self.reply(len, Source::Policy, rcode)
            }
            Ruling::Redirect(redirected) => {
                let request = Request { alias: Some(redirected.alias()), ..*request };
                self.seek(client, &request, class, out, now)
            }
            Ruling::Dropped | Ruling::Exempt => self.drop(DropReason::Rpz),
        }
    }

    /// Looks for the answer under the name that a ruling has made the asked one an alias of.
    fn seek(
        &mut self,
        client: Client,
        request: &Request<'_>,
        class: ClientClass,
        out: &mut [u8],
        now: Moment,
    ) -> Verdict {
        let view = self.policy.view(class.view);
        let (target, rtype) = (request.sought_name(), request.asked_type());
        let Ok(target) = Name::from_wire(target) else { return self.drop(DropReason::Rpz) };
        let mut folded = [0; 256];
        let name_len = fold(target, &mut folded);
        let name = &folded[..name_len];
        let (plan, prefixes) = Plan::of_name(name, rtype, PlanFlags::of(request), class, view);
        let name_hash = dns64_ebpf::hash::name_hash(name, self.hash_seed);
        let flags = key_flags_of(request.dnssec_ok, request.checking_disabled);
        let first = Key::with_hash(name, rtype.0, Class::IN.0, flags, name_hash);
        let (now_secs, staleness) = (now.as_secs(), Staleness::AfterFailure);
        let cached = from_cache(
            &mut self.shard,
            &mut self.scratch,
            out,
            request,
            &Context { view, prefixes, plan, name },
            &Sought { first, name_hash, now_secs, staleness },
        );
        match cached {
            FromCache::Reply { written, .. } => {
                self.counters.cache_hits += 1;
                self.counters.synthesized += u64::from(written.synthesized);
                self.reply(written.len, Source::Policy, written.rcode)
            }
            FromCache::Missing(_) if !request.recursion_desired => {
                self.counters.cache_misses += 1;
                self.refuse(out, request, InfoCode::NOT_AUTHORITATIVE)
            }
            FromCache::Missing(slot) => {
                self.counters.cache_misses += 1;
                let subject = Subject::new(name, rtype, Class::IN, flags, name_hash);
                let task = (plan, class, prefixes, false);
                self.make_wait(client, request, task, subject, slot, out, now)
            }
        }
    }

    /// What the zones make of a reply that a client has waited for. True if the client has had what
    /// they rule; its reply is then not sent.
    pub(super) fn rule_waiter(
        &mut self,
        id: WaiterId,
        out: &mut [u8],
        written: &Written,
        now: Moment,
    ) -> bool {
        let waiter = self.waiters.at(id);
        let (Party::Client(asker), true) = (waiter.party, waiter.watched) else { return false };
        let request = asker.request();
        let class = self.classify(&asker.client);
        let ruling = self.chain_ruling(&request, asker.client, class, out, written);
        let Some((ruling, zone)) = ruling else { return false };
        self.counters.ruled(zone);
        if ruling == Ruling::Exempt {
            return false;
        }
        self.end_waiter(id);
        self.enforce_late(ruling, &asker, class, out, now);
        true
    }

    /// Does what a ruling says to a query whose client has waited. Not for [`Ruling::Exempt`].
    pub(super) fn enforce_late(
        &mut self,
        ruling: Ruling,
        asker: &Asker,
        class: ClientClass,
        out: &mut [u8],
        now: Moment,
    ) {
        let request = asker.request();
        self.synthesized_before = self.counters.synthesized;
        let verdict = self.enforce(ruling, asker.client, &request, class, out, now);
        if let Verdict::Reply { len } = verdict {
            self.outbox.push_reply(asker.client, &out[..len], self.note);
        }
    }
}

/// What the first zone with a trigger says of a query's name, or of the name in in-addr.arpa that
/// is looked up for it.
pub(super) fn decide<'p>(
    policy: &'p Policy,
    view: ViewId,
    name: &[u8],
    plan: Plan,
) -> Option<Decision<'p>> {
    let decision = policy.rpz.decide(view, name);
    match (decision, plan) {
        (None, Plan::Reverse(address, _)) => {
            policy.rpz.decide(view, in_addr_arpa(address).as_name().as_wire())
        }
        (decision, _) => decision,
    }
}

/// What the zones say of the first name of a reply's chain that they have a trigger for.
pub(super) fn chain_decision<'p>(
    policy: &'p Policy,
    view: ViewId,
    reply: &[u8],
    question_len: usize,
) -> Option<Decision<'p>> {
    let mut targets = chain(reply, question_len);
    targets.find_map(|target| policy.rpz.decide(view, target.as_wire()))
}

/// The targets of the CNAME records at the start of a reply's answer section.
fn chain(reply: &[u8], question_len: usize) -> impl Iterator<Item = NameBuf> + '_ {
    let mut place = HEADER_LEN + question_len;
    let answers = reply.get(6..8).map_or(0, |count| u16::from_be_bytes([count[0], count[1]]));
    (0..usize::from(answers).min(CHAIN_MAX))
        .map_while(move |_| {
            let (_, fixed_place) = decompress(reply, place).ok()?;
            let fixed = reply.get(fixed_place..)?.first_chunk::<10>()?;
            let rdata_place = fixed_place + 10;
            place = rdata_place + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
            match Rtype(u16::from_be_bytes([fixed[0], fixed[1]])) {
                Rtype::CNAME => decompress(reply, rdata_place).ok().map(|(name, _)| Some(name)),
                // Between the links of a chain stand what they were made of and their signatures.
                Rtype::DNAME | Rtype::RRSIG => Some(None),
                _ => None,
            }
        })
        .flatten()
}

/// Does what a zone says.
fn carry_out(
    decision: &Decision<'_>,
    out: &mut [u8],
    request: &Request<'_>,
    circumstances: &Circumstances<'_>,
) -> Ruling {
    let zone = decision.zone;
    match decision.action {
        Action::Passthru => Ruling::Exempt,
        Action::TcpOnly if !circumstances.by_udp => Ruling::Exempt,
        Action::TcpOnly => {
            let len = write_truncated(out, request);
            Ruling::Written(Written { len, rcode: Rcode::NOERROR, synthesized: false })
        }
        Action::Drop => Ruling::Dropped,
        Action::Nxdomain => Ruling::Written(deny(out, request, Rcode::NXDOMAIN, decision)),
        Action::NoData => Ruling::Written(deny(out, request, Rcode::NOERROR, decision)),
        Action::Data(data) => {
            let records = zone.records(data);
            Ruling::Written(give(out, request, records, decision, circumstances))
        }
        Action::Redirect(_) => alias(out, request, decision),
    }
}

/// The alias that a decision makes of the asked name, if it does.
pub(super) fn redirected(
    decision: &Decision<'_>,
    request: &Request<'_>,
) -> Option<Box<Redirected>> {
    let Action::Redirect(redirect) = decision.action else { return None };
    let redirect = decision.zone.redirect(redirect)?;
    let target = redirect.target_of(request.asked_name())?;
    let info_code = decision.zone.info_code;
    Some(Box::new(Redirected { target, ttl_secs: redirect.ttl_secs, info_code }))
}

/// Makes an alias of the asked name.
fn alias(out: &mut [u8], request: &Request<'_>, decision: &Decision<'_>) -> Ruling {
    let info_code = decision.zone.info_code;
    let Some(redirected) = redirected(decision, request) else {
        // As for a DNAME whose target is too long (RFC 6672 2.2).
        let len = write_error(out, request, Rcode::YXDOMAIN, info_code);
        return Ruling::Written(Written { len, rcode: Rcode::YXDOMAIN, synthesized: false });
    };
    if matches!(request.asked_type(), Rtype::CNAME | Rtype::ANY) {
        let request = Request { alias: Some(redirected.alias()), ..*request };
        let len = ReplyWriter::new(out, &request, Rcode::NOERROR).finish(info_code);
        return Ruling::Written(Written { len, rcode: Rcode::NOERROR, synthesized: false });
    }
    Ruling::Redirect(redirected)
}

/// Denies the name or its records, with an SOA by which the denial is cached (RFC 2308 5).
fn deny(out: &mut [u8], request: &Request<'_>, rcode: Rcode, decision: &Decision<'_>) -> Written {
    let zone = decision.zone;
    let mut reply = ReplyWriter::new(out, request, rcode);
    let ttl_secs = zone.negative_ttl_secs;
    let soa = soa_rdata(0, ttl_secs);
    reply.authority_record(POINTER_TO_QUESTION, Rtype::SOA, Class::IN, ttl_secs, &soa);
    Written { len: reply.finish(zone.info_code), rcode, synthesized: false }
}

/// Gives the zone's own records of the asked type, AAAA made of its A, or a denial.
fn give(
    out: &mut [u8],
    request: &Request<'_>,
    records: &[LocalRecord],
    decision: &Decision<'_>,
    circumstances: &Circumstances<'_>,
) -> Written {
    let asked = request.asked_type();
    let wanted = |record: &&LocalRecord| asked == Rtype::ANY || record.rtype == asked;
    let mut reply = ReplyWriter::new(out, request, Rcode::NOERROR);
    let mut given = 0;
    for LocalRecord { rtype, ttl_secs, rdata } in records.iter().filter(wanted) {
        reply.record(POINTER_TO_QUESTION, *rtype, Class::IN, *ttl_secs, rdata);
        given += 1;
    }
    let made = match (asked, given) {
        (Rtype::AAAA, 0) => synthesize(&mut reply, records, circumstances),
        _ => 0,
    };
    if given + made == 0 {
        return deny(out, request, Rcode::NOERROR, decision);
    }
    let info_code = decision.zone.info_code.or_else(|| (made > 0).then_some(InfoCode::SYNTHESIZED));
    Written { len: reply.finish(info_code), rcode: Rcode::NOERROR, synthesized: made > 0 }
}

/// Writes the AAAA of a zone's A records; how many.
fn synthesize(
    reply: &mut ReplyWriter<'_, '_>,
    records: &[LocalRecord],
    circumstances: &Circumstances<'_>,
) -> usize {
    let Circumstances { view, prefixes, .. } = *circumstances;
    let addresses = || {
        records.iter().filter(|record| record.rtype == Rtype::A).filter_map(|record| {
            let octets = <[u8; 4]>::try_from(&*record.rdata).ok()?;
            Some((Ipv4Addr::from(octets), record.ttl_secs))
        })
    };
    let ttl_secs = addresses().map(|(_, ttl_secs)| ttl_secs).min().unwrap_or(0);
    let ttl_secs = ttl_secs.min(view.ttl_max_secs());
    let mut made = 0;
    for index in prefixes.indices() {
        for (address, _) in addresses() {
            if view.mapped(address).has(index) && made < SYNTHESIZED_RECORDS_MAX {
                let embedded = view.prefixes[index].pref64.embed(address).octets();
                reply.record(POINTER_TO_QUESTION, Rtype::AAAA, Class::IN, ttl_secs, &embedded);
                made += 1;
            }
        }
    }
    made
}
