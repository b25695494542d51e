//! Responses from upstream: which are ours, which are to be trusted, what they come down to, and
//! how long that is remembered.

use hickory_proto::op::Message;

use crate::answer::compile::{Asked, TtlBounds, compile, info_code};
use crate::answer::{Answer, AnswerFlags, Outcome, compile_failure, forget_authentic};
use crate::cache::Times;
use crate::counters::Suspect;
use crate::datagram::{SourcePort, UpstreamId};
use crate::limits::HEADER_LEN;
use crate::policy::DnssecMode;
use crate::time::Moment;
use crate::wire::edns::InfoCode;
use crate::wire::header::{Header, Opcode, Rcode};
use crate::wire::name::{Name, fold};
use crate::wire::question::{Class, Rtype};

use super::Engine;
use super::entry::{Entry, Parts};
use super::lookup::{Failure, LookupId, NONE, Path, Subject, key_flags};
use super::transmit::{silence, write_letters};
use super::upstream::LetterCase;

/// How long a failure is remembered at first; twice as long for each in a row (RFC 9520 3.2).
const FAILURE_TTL_SECS: u32 = 2;

/// How long a failure is remembered at most.
const FAILURE_TTL_MAX_SECS: u32 = 30;

/// How long after its end a failure is still known, so that the next one in a row is told as such.
const FAILURE_MEMORY_SECS: u32 = 60;

/// Why an upstream server could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFailure {
    /// Its host says that nobody listens.
    Refused,
    /// The connection could not be made, or broke.
    Broken,
    /// No response in time.
    Timeout,
}

impl Engine {
    /// Takes a datagram that came from an upstream server to one of our ports.
    pub fn handle_response(
        &mut self,
        from: UpstreamId,
        port: SourcePort,
        bytes: &[u8],
        now: Moment,
    ) {
        let Some(header) = response_header(bytes) else {
            self.counters.suspect(Suspect::Malformed);
            return;
        };
        // RFC 5452 9.1: address, port, ID and question must all be those of one open query.
        let candidate = self.lookups.with_id(header.id).find(|(lookup, index)| {
            self.lookups
                .at(*lookup)
                .tries()
                .get(*index)
                .is_some_and(|sent| sent.open && sent.server == from && sent.port == Some(port))
        });
        let Some((lookup, index)) = candidate else {
            self.suspect_guess(from, port, bytes, now);
            return;
        };
        let fold_letters = self.folds_letters(from);
        match self.question_of(lookup, bytes, fold_letters) {
            Match::Exact => {}
            Match::OtherCase if fold_letters => {}
            Match::OtherCase => {
                // Either somebody guesses, or the server does not keep letter case. TCP will tell.
                self.counters.suspect(Suspect::Case);
                self.turn_to_tcp(lookup, from, now);
                return;
            }
            Match::Other => {
                self.counters.suspect(Suspect::Question);
                return;
            }
        }
        let sent = *self.lookups.try_mut(lookup, index);
        self.upstreams.answered(from, Some(now.since(sent.sent)), now);
        if matches!(self.lookups.at(lookup).path, Path::Validator(_)) {
            // An answer has come; this one answers another try.
            self.lookups.try_mut(lookup, index).open = false;
            return;
        }
        if header.flags.tc() {
            self.lookups.try_mut(lookup, index).open = false;
            if !matches!(self.lookups.at(lookup).path, Path::Tcp(_)) {
                self.send_tcp(lookup, from, now);
            }
            return;
        }
        match Message::from_vec(bytes) {
            Ok(message) => {
                self.lookups.try_mut(lookup, index).open = false;
                self.take(lookup, from, (&message, bytes), sent.edns, now);
            }
            Err(_) => {
                // Not the end of the wait: the good answer may still come, and TCP asks for it.
                self.counters.suspect(Suspect::Malformed);
                self.turn_to_tcp(lookup, from, now);
            }
        }
    }

    /// An upstream server's host says that nobody listens on its port.
    pub fn handle_refused(&mut self, server: UpstreamId, port: SourcePort, now: Moment) {
        self.upstreams.refused(server, now);
        let mut open = Vec::new();
        for (id, lookup) in self.lookups.iter() {
            let concerned = lookup.path == Path::Udp
                && lookup.latest_try().is_some_and(|sent| {
                    sent.open && sent.server == server && sent.port == Some(port)
                });
            if concerned {
                open.push(id);
            }
        }
        for id in open {
            self.retry_soon(id, now);
        }
    }

    /// Takes the outcome of a query by TCP.
    pub fn handle_tcp_response(
        &mut self,
        token: u64,
        response: Result<&[u8], TransportFailure>,
        now: Moment,
    ) {
        let Some(lookup) = self.lookup_of(token) else { return };
        let Path::Tcp(server) = self.lookups.at(lookup).path else { return };
        self.lookups.at_mut(lookup).path = Path::Udp;
        let Ok(bytes) = response else {
            self.server_failed(lookup, server, silence(), now);
            return;
        };
        let message = response_header(bytes)
            .filter(|header| !header.flags.tc())
            .and_then(|_| Message::from_vec(bytes).ok());
        let fold_letters = self.folds_letters(server);
        let matched = self.question_of(lookup, bytes, fold_letters);
        let (Some(message), Match::Exact | Match::OtherCase) = (message, matched) else {
            self.counters.suspect(Suspect::Malformed);
            let failure = Failure { info_code: Some(InfoCode::OTHER), ..silence() };
            self.server_failed(lookup, server, failure, now);
            return;
        };
        self.upstreams.answered(server, None, now);
        if matched == Match::OtherCase
            && let Some(server) = self.upstreams.server_mut(server)
        {
            server.letter_case = LetterCase::Changed;
        }
        let with_edns = self.lookups.at(lookup).tcp_edns;
        self.take(lookup, server, (&message, bytes), with_edns, now);
    }

    /// A response that answers no open query: perhaps somebody tries IDs. The first wrong one on
    /// an open port makes us turn to TCP, so that the attacker has no second try (RFC 5452 9).
    fn suspect_guess(&mut self, from: UpstreamId, port: SourcePort, bytes: &[u8], now: Moment) {
        let Some(subject) = self.subject_in(bytes) else {
            self.counters.suspect(Suspect::Unexpected);
            return;
        };
        // DO and CD are not in the question: one of four keys.
        let guessed = (0..4).find_map(|flags| {
            let subject = Subject::new(
                subject.name(),
                subject.rtype,
                subject.class,
                flags,
                subject.name_hash,
            );
            let lookup = self.lookups.find(&subject)?;
            let aimed = |sent: &super::lookup::Try| {
                sent.open && sent.server == from && sent.port == Some(port)
            };
            self.lookups.at(lookup).tries().iter().any(aimed).then_some(lookup)
        });
        let Some(lookup) = guessed else {
            self.counters.suspect(Suspect::Unexpected);
            return;
        };
        self.counters.suspect(Suspect::Id);
        // Nothing that comes to the port any more is believed.
        for index in 0..self.lookups.at(lookup).tries().len() {
            let sent = self.lookups.try_mut(lookup, index);
            if sent.server == from && sent.port == Some(port) {
                sent.open = false;
            }
        }
        self.turn_to_tcp(lookup, from, now);
    }

    /// The question of a message as a subject.
    fn subject_in(&self, bytes: &[u8]) -> Option<Subject> {
        let (name, rest) = Name::split(bytes.get(HEADER_LEN..)?).ok()?;
        let (fixed, _) = rest.split_first_chunk::<4>()?;
        let mut folded = [0; 256];
        let len = fold(name, &mut folded);
        let name = &folded[..len];
        let name_hash = dns64_ebpf::hash::name_hash(name, self.hash_seed);
        let rtype = Rtype(u16::from_be_bytes([fixed[0], fixed[1]]));
        let class = Class(u16::from_be_bytes([fixed[2], fixed[3]]));
        Some(Subject::new(name, rtype, class, 0, name_hash))
    }

    /// How the question of a response compares with the one that was sent.
    fn question_of(&self, lookup: LookupId, bytes: &[u8], fold_letters: bool) -> Match {
        let lookup = self.lookups.at(lookup);
        let subject = &lookup.subject;
        let name = subject.name();
        let Some(question) = bytes.get(HEADER_LEN..HEADER_LEN + name.len() + 4) else {
            return Match::Other;
        };
        let (theirs, fixed) = question.split_at(name.len());
        let rtype = subject.rtype.0.to_be_bytes();
        let class = subject.class.0.to_be_bytes();
        if fixed != [rtype[0], rtype[1], class[0], class[1]] || !theirs.eq_ignore_ascii_case(name) {
            return Match::Other;
        }
        let mut ours = [0; 256];
        write_letters(name, &lookup.letters, fold_letters, &mut ours);
        if theirs == &ours[..name.len()] { Match::Exact } else { Match::OtherCase }
    }

    /// Takes a response, parsed and as it came, to an open query, which had an OPT record or not.
    fn take(
        &mut self,
        id: LookupId,
        server: UpstreamId,
        (message, bytes): (&Message, &[u8]),
        with_edns: bool,
        now: Moment,
    ) {
        let rcode = Rcode(u16::from(message.metadata.response_code));
        let lookup = self.lookups.at(id);
        if !matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN | Rcode::YXDOMAIN) {
            if rcode == Rcode::FORMERR && with_edns && message.edns.is_none() {
                // RFC 6891 7: a server from before EDNS. It is asked again without, once: of
                // several queries with OPT each is refused.
                if lookup.edns {
                    self.lookups.at_mut(id).edns = false;
                    self.send_udp(id, server, now);
                }
                if self.lookups.at(id).path == Path::Udp {
                    self.await_answer(id, server, 0, now);
                }
                return;
            }
            let info_code = info_code(message);
            let bogus = info_code.is_some_and(is_dnssec_failure) && self.heeds_dnssec_failures();
            self.server_failed(id, server, Failure { rcode, info_code, bogus }, now);
            return;
        }
        let subject = lookup.subject;
        let cache = &self.policy.cache;
        let bounds = TtlBounds {
            min_secs: cache.min_ttl_secs,
            max_secs: cache.max_ttl_secs,
            max_negative_secs: cache.max_negative_ttl_secs,
        };
        let asked = Asked {
            name: subject.name(),
            rtype: subject.rtype,
            class: subject.class,
            dnssec_ok: subject.flags & key_flags::DNSSEC_OK != 0,
        };
        let mut compiled = std::mem::take(&mut self.compiled);
        match compile(message, asked, bounds, &mut compiled) {
            Ok(())
                if self.policy.dnssec.validates(subject.name(), subject.class)
                    && subject.flags & key_flags::CHECKING_DISABLED == 0 =>
            {
                forget_authentic(&mut compiled);
                self.validate(id, server, &compiled, bytes, now);
            }
            Ok(()) => {
                if self.policy.dnssec.mode() != DnssecMode::TrustUpstream {
                    forget_authentic(&mut compiled);
                }
                let times = self.times_of(&compiled, now);
                self.finish(id, &compiled, times, now);
            }
            Err(_) => {
                let failure = Failure {
                    rcode: Rcode::SERVFAIL,
                    info_code: Some(InfoCode::INVALID_DATA),
                    bogus: false,
                };
                self.server_failed(id, server, failure, now);
            }
        }
        self.compiled = compiled;
    }

    /// How long a compiled answer may be kept; `None` if not at all.
    pub(super) fn times_of(&self, compiled: &[u8], now: Moment) -> Option<Times> {
        let answer = Answer::read(compiled)?;
        let ttl_secs = answer.head().ttl_secs;
        if ttl_secs == 0 {
            return None;
        }
        let cache = &self.policy.cache;
        let stored_secs = now.as_secs();
        let expires_secs = stored_secs.saturating_add(ttl_secs);
        let stale_secs = if cache.serve_stale { cache.max_stale_secs } else { 0 };
        let stale_until_secs = expires_secs.saturating_add(stale_secs);
        Some(Times { stored_secs, expires_secs, stale_until_secs })
    }

    /// A server has failed a look-up: the next one is asked, and after the last it has failed. A
    /// DNSSEC failure is final: another server that does not validate must not undo it. Where we
    /// validate, another server may have a better answer; if none has, it is a DNSSEC failure that
    /// we report.
    pub(super) fn server_failed(
        &mut self,
        id: LookupId,
        server: UpstreamId,
        failure: Failure,
        now: Moment,
    ) {
        let group = self.lookups.at(id).group;
        let place = self.group_place(group, server);
        let members = self.policy.group(group).servers.len().min(32);
        let lookup = self.lookups.at_mut(id);
        let failure = lookup.failure.filter(|earlier| earlier.bogus).unwrap_or(failure);
        let is_final = failure.bogus && self.policy.dnssec.mode() != DnssecMode::Validate;
        lookup.failure = Some(failure);
        if let Some(place) = place.filter(|place| *place < 32) {
            lookup.failed |= 1 << place;
        }
        let failed = lookup.failed.count_ones() as usize;
        if is_final || failed >= members {
            self.fail(id, failure, now);
        } else if lookup.path == Path::Udp {
            self.send_try(id, now);
        }
    }

    /// A look-up has failed. That is remembered (RFC 9520); an older answer stays, to be served
    /// stale, and nobody is asked again for as long.
    pub(super) fn fail(&mut self, id: LookupId, failure: Failure, now: Moment) {
        self.counters.lookup_failures += 1;
        let subject = self.lookups.at(id).subject;
        let now_secs = now.as_secs();
        let known = self.shard.peek(&subject.key(), now_secs);
        let entry = known.and_then(|hit| Some((Entry::read(hit.value)?, hit.times)));
        let failures = entry.map_or(0, |(entry, _)| entry.parts.failures);
        let ttl_secs = (FAILURE_TTL_SECS << failures.min(8)).min(FAILURE_TTL_MAX_SECS);
        let failures = failures.saturating_add(1);
        let flags = if failure.bogus { AnswerFlags::BOGUS } else { AnswerFlags::default() };
        let mut compiled = std::mem::take(&mut self.compiled);
        compile_failure(failure.rcode, failure.info_code, flags, ttl_secs, &mut compiled);
        // What is past its TTL is not served in place of what does not validate.
        let good = entry.filter(|(entry, times)| {
            entry.answer.head().outcome != Outcome::Failure
                && !(failure.bogus && times.expires_secs <= now_secs)
        });
        let until_secs = now_secs.saturating_add(ttl_secs);
        let times = match good {
            Some((entry, times)) => {
                let parts = Parts { retry_secs: until_secs, failures, ..entry.parts };
                parts.write(&mut self.entry_scratch);
                times
            }
            None => {
                let parts = Parts { retry_secs: until_secs, failures, ..Parts::new(&compiled) };
                parts.write(&mut self.entry_scratch);
                Times {
                    stored_secs: now_secs,
                    expires_secs: until_secs,
                    stale_until_secs: until_secs.saturating_add(FAILURE_MEMORY_SECS),
                }
            }
        };
        let _too_large = self.shard.insert(&subject.key(), &self.entry_scratch, times);
        self.hot.withdraw(subject.hash);
        self.serve_waiters(id, &compiled, None, now);
        self.compiled = compiled;
    }

    /// A look-up has an answer: it is stored, and everybody who waits gets it.
    pub(super) fn finish(
        &mut self,
        id: LookupId,
        compiled: &[u8],
        times: Option<Times>,
        now: Moment,
    ) {
        let subject = self.lookups.at(id).subject;
        if let Some(times) = times {
            Parts::new(compiled).write(&mut self.entry_scratch);
            // An answer too large for the cache is given to those who wait, and asked for again.
            let _too_large = self.shard.insert(&subject.key(), &self.entry_scratch, times);
            self.hot.withdraw(subject.hash);
            if subject.rtype == Rtype::A && self.lookups.at(id).waiters == NONE {
                // A renewed A answer belongs beside the AAAA answer it is used with.
                let aaaa = super::query::with_type(&subject, Rtype::AAAA);
                self.attach_if_used(&aaaa, now);
            }
        }
        self.serve_waiters(id, compiled, times, now);
    }

    /// Renews the A answer beside an AAAA answer, if there is one.
    fn attach_if_used(&mut self, aaaa: &Subject, now: Moment) {
        let hit = self.shard.peek(&aaaa.key(), now.as_secs());
        let used = hit
            .and_then(|hit| Entry::read(hit.value))
            .is_some_and(|entry| entry.companion.is_some());
        if used {
            self.attach(aaaa, now);
        }
    }
}

/// How a response's question compares with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    /// Octet for octet.
    Exact,
    /// But for letter case.
    OtherCase,
    /// Not at all.
    Other,
}

/// The header of a message that can be a response to a query.
fn response_header(bytes: &[u8]) -> Option<Header> {
    let header = Header::parse(bytes)?;
    let is_response =
        header.flags.qr() && header.flags.opcode() == Opcode::QUERY && header.counts.questions == 1;
    is_response.then_some(header)
}

/// Whether an Extended Error says that validation failed (RFC 8914 4.7 to 4.13).
fn is_dnssec_failure(code: InfoCode) -> bool {
    (InfoCode::DNSSEC_BOGUS.0..=InfoCode::NSEC_MISSING.0).contains(&code.0)
}
