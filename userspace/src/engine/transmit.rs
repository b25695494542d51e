//! Look-ups on their way out: opened, tried, tried again, handed to their owner, turned to TCP.

use std::time::Duration;

use rand_core::Rng;

use crate::datagram::{SourcePort, UpstreamId};
use crate::limits::{HEADER_LEN, LOOKUP_LIFE, NAME_LEN_MAX, UDP_PAYLOAD_LEN};
use crate::policy::GroupId;
use crate::time::Moment;
use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;

use super::lookup::{Failure, Lookup, LookupId, Path, Subject};
use super::outbox::{Destination, TryHandle};
use super::upstream::LetterCase;
use super::validate::QueryBits;
use super::{Engine, PeerMessage, PeerSubject};

/// How long the owner of a name may take before we ask upstream ourselves. It answers from its
/// cache at once, or fails after [`LOOKUP_LIFE`].
const OWNER_WAIT: Duration = Duration::from_millis(10_500);

/// How long an answer by TCP is waited for.
const TCP_WAIT: Duration = Duration::from_millis(1_500);

/// Octets of the longest query: header, name, type and class, OPT.
const QUERY_LEN_MAX: usize = HEADER_LEN + NAME_LEN_MAX + 4 + 11;

/// What one query by UDP adds to the credit for turning to TCP on suspicion, and what one turn
/// costs: one in ten may.
const TCP_CREDIT_PER_QUERY: u32 = 1;
const TCP_CREDIT_PER_TURN: u32 = 10;

/// Turns that can be saved up.
const TCP_CREDIT_MAX: u32 = 1_000;

impl Engine {
    /// Opens a look-up and starts it: at the owner of the name, or upstream if that is us or the
    /// look-up is `for_peer`. `None` if the table is full.
    pub(super) fn open(
        &mut self,
        subject: Subject,
        refresh: bool,
        for_peer: bool,
        now: Moment,
    ) -> Option<LookupId> {
        let group = self.policy.servers_for(subject.name());
        let mut letters = [0; 32];
        self.random.fill_bytes(&mut letters);
        let lookup = self.lookups.open(subject, group, letters, now)?;
        let owner = self.owner(subject.name_hash);
        if owner == self.worker || for_peer {
            self.send_try(lookup, now);
        } else {
            self.counters.to_owner += 1;
            let opened = self.lookups.at_mut(lookup);
            opened.path = Path::Owner(owner);
            opened.refresh = refresh;
            let token = self.token(lookup);
            let subject = PeerSubject(subject);
            let query = PeerMessage::Query { from: self.worker, token, subject, refresh };
            self.to_peers.push_back((owner, query));
            self.lookup_timers.set(lookup.0, now + OWNER_WAIT);
        }
        Some(lookup)
    }

    /// Sends the next try of a look-up and sets its timer.
    pub(super) fn send_try(&mut self, id: LookupId, now: Moment) {
        let lookup = self.lookups.at(id);
        let tries_made = lookup.tries_made;
        let group = &self.policy.group(lookup.group).servers;
        let choice = self.upstreams.choose(group, lookup.failed, now, &mut self.random);
        self.send_udp(id, choice.server, now);
        if let Some(probe) = choice.probe {
            self.send_udp(id, probe, now);
        }
        self.await_answer(id, choice.server, tries_made, now);
    }

    /// Sets the timer of a look-up that has just asked a server, having made so many tries before.
    pub(super) fn await_answer(
        &mut self,
        id: LookupId,
        server: UpstreamId,
        tries_made: u32,
        now: Moment,
    ) {
        let started = self.lookups.at(id).started;
        let timing = self.policy.timing;
        let mut wait = self.upstreams.wait(server, tries_made, timing.timeout);
        let age = now.since(started);
        if age >= timing.budget {
            // The client has its answer: what goes on for the cache's sake goes on slowly.
            wait = wait.max(age / 4);
        }
        self.lookup_timers.set(id.0, (now + wait).min(started + LOOKUP_LIFE));
        self.lookups.ask(id, Some(server));
    }

    /// Sends one query by UDP.
    pub(super) fn send_udp(&mut self, id: LookupId, server: UpstreamId, now: Moment) {
        let message_id = self.random.next_u32() as u16;
        let avoid = self.lookups.at(id).latest_try().and_then(|sent| sent.port);
        let index = self.lookups.add_try(id, message_id, server, now);
        let generation = self.lookups.at(id).generation;
        let handle = TryHandle { lookup: id, generation, index };
        let fold = self.folds_letters(server);
        let lookup = self.lookups.at(id);
        let bits = self.query_bits(&lookup.subject);
        self.outbox.push(Destination::Upstream { server, handle, avoid }, QUERY_LEN_MAX, |out| {
            write_query(out, message_id, lookup, bits, fold)
        });
        self.counters.upstream_udp += 1;
        self.upstreams.asked(server);
        self.tcp_credit = (self.tcp_credit + TCP_CREDIT_PER_QUERY).min(TCP_CREDIT_MAX);
    }

    /// Asks a server again by TCP.
    pub(super) fn send_tcp(&mut self, id: LookupId, server: UpstreamId, now: Moment) {
        let message_id = self.random.next_u32() as u16;
        let token = self.token(id);
        let fold = self.folds_letters(server);
        let lookup = self.lookups.at_mut(id);
        lookup.path = Path::Tcp(server);
        lookup.tcp_edns = lookup.edns;
        let lookup = self.lookups.at(id);
        let bits = self.query_bits(&lookup.subject);
        let to = Destination::UpstreamTcp { server, token, timeout: TCP_WAIT };
        self.outbox.push(to, QUERY_LEN_MAX, |out| write_query(out, message_id, lookup, bits, fold));
        self.counters.upstream_tcp += 1;
        self.upstreams.asked(server);
        self.lookups.ask(id, Some(server));
        // The transport reports a time-out of its own; this one is for the case that it does not.
        self.lookup_timers.set(id.0, now + TCP_WAIT + TCP_WAIT);
    }

    /// Turns a look-up to TCP because somebody seems to guess at its answer. Turns are bounded: an
    /// attacker must not be able to make us give up UDP altogether. Beyond the bound, and after the
    /// third suspicion, the query is repeated by UDP from another port.
    pub(super) fn turn_to_tcp(&mut self, id: LookupId, server: UpstreamId, now: Moment) {
        if matches!(self.lookups.at(id).path, Path::Tcp(_) | Path::Validator(_)) {
            return;
        }
        self.lookups.at_mut(id).suspicions += 1;
        let suspicions = self.lookups.at(id).suspicions;
        if self.tcp_credit >= TCP_CREDIT_PER_TURN || suspicions > 3 {
            self.tcp_credit = self.tcp_credit.saturating_sub(TCP_CREDIT_PER_TURN);
            self.send_tcp(id, server, now);
        } else {
            self.send_udp(id, server, now);
        }
    }

    /// Whether a server is sent lower-case names: it does not keep letter case, so that random
    /// letters protect nothing and would only make its answers look forged.
    pub(super) fn folds_letters(&mut self, server: UpstreamId) -> bool {
        let server = self.upstreams.server_mut(server);
        server.is_some_and(|server| server.letter_case == LetterCase::Changed)
    }

    /// The transport has sent a try from this port.
    pub fn sent(&mut self, handle: TryHandle, port: SourcePort) {
        let TryHandle { lookup, generation, index } = handle;
        if let Some(lookup) = self.lookups.current(lookup.0, generation) {
            self.lookups.try_mut(lookup, index).port = Some(port);
        }
    }

    /// The transport could not send a try: another is made soon.
    pub fn not_sent(&mut self, handle: TryHandle, now: Moment) {
        let TryHandle { lookup, generation, index } = handle;
        let Some(lookup) = self.lookups.current(lookup.0, generation) else { return };
        let failed = self.lookups.try_mut(lookup, index);
        failed.open = false;
        let server = failed.server;
        self.upstreams.refused(server, now);
        self.retry_soon(lookup, now);
    }

    /// Tries again in a moment, or later the more tries there were.
    pub(super) fn retry_soon(&mut self, id: LookupId, now: Moment) {
        let lookup = self.lookups.at(id);
        let wait = Duration::from_millis(10) * lookup.tries_made.min(25);
        if lookup.path == Path::Udp {
            self.lookup_timers.set(id.0, (now + wait).min(lookup.started + LOOKUP_LIFE));
        }
    }

    /// A look-up's timer has run out.
    pub(super) fn lookup_due(&mut self, id: LookupId, now: Moment) {
        let lookup = self.lookups.at(id);
        let path = lookup.path;
        if now.since(lookup.started) >= LOOKUP_LIFE && !matches!(path, Path::Owner(_)) {
            let failure = lookup.failure.unwrap_or(Failure {
                rcode: Rcode::SERVFAIL,
                info_code: Some(InfoCode::NO_REACHABLE_AUTHORITY),
                bogus: false,
            });
            self.fail(id, failure, now);
            return;
        }
        match path {
            Path::Owner(_) => self.without_owner(id, now),
            Path::Validator(server) => self.validation_is_late(id, server, now),
            Path::Tcp(server) => {
                self.lookups.at_mut(id).path = Path::Udp;
                self.server_failed(id, server, silence(), now);
            }
            Path::Udp => {
                if let Some(last) = self.lookups.at(id).latest_try().copied() {
                    self.counters.upstream_timeouts += 1;
                    self.upstreams.lost(last.server, last.sent, now);
                }
                self.send_try(id, now);
            }
        }
    }

    /// The servers of a group.
    pub(super) fn group_place(&self, group: GroupId, server: UpstreamId) -> Option<usize> {
        self.policy.group(group).servers.iter().position(|member| *member == server)
    }
}

/// The failure of a server that does not answer.
pub(super) const fn silence() -> Failure {
    Failure { rcode: Rcode::SERVFAIL, info_code: Some(InfoCode::NETWORK_ERROR), bogus: false }
}

/// Writes a query: RD set, and these bits.
fn write_query(
    out: &mut [u8],
    message_id: u16,
    lookup: &Lookup,
    bits: QueryBits,
    fold_letters: bool,
) -> usize {
    let subject = &lookup.subject;
    let QueryBits { dnssec_ok, checking_disabled, authentic_data } = bits;
    let flags = 0x0100_u16 | u16::from(checking_disabled) << 4 | u16::from(authentic_data) << 5;
    let name = subject.name();
    let question_end = HEADER_LEN + name.len() + 4;
    out[..2].copy_from_slice(&message_id.to_be_bytes());
    out[2..4].copy_from_slice(&flags.to_be_bytes());
    out[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(lookup.edns)]);
    write_letters(name, &lookup.letters, fold_letters, &mut out[HEADER_LEN..]);
    out[question_end - 4..question_end - 2].copy_from_slice(&subject.rtype.0.to_be_bytes());
    out[question_end - 2..question_end].copy_from_slice(&subject.class.0.to_be_bytes());
    if !lookup.edns {
        return question_end;
    }
    let opt = &mut out[question_end..question_end + 11];
    opt.copy_from_slice(&[0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 0]);
    opt[3..5].copy_from_slice(&(UDP_PAYLOAD_LEN as u16).to_be_bytes());
    if dnssec_ok {
        opt[7] = 0x80;
    }
    question_end + 11
}

/// Writes a name with the letter case that the bits say.
pub(super) fn write_letters(name: &[u8], letters: &[u8; 32], fold: bool, out: &mut [u8]) {
    for (index, (to, octet)) in out.iter_mut().zip(name).enumerate() {
        let upper = !fold && letters[index / 8 % 32] >> (index % 8) & 1 == 1;
        // Length octets are at most 63 and no letters.
        *to = if upper { octet.to_ascii_uppercase() } else { *octet };
    }
}
