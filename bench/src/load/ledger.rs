//! Which answer belongs to which query, what it is worth, and what was lost.
#![forbid(unsafe_code)]

use super::consistency::Seen;
use super::engine::Arrival;
use super::in_flight::{InFlight, Sent, State};
use super::queries::Queries;
use super::totals::{Times, Totals};
use super::verify::{self, Belonging, Fault, Rules, Verdict};
use crate::wire::u16_at;

/// The queries of one thread and what they brought.
pub(super) struct Ledger<'q> {
    /// What is asked.
    queries: &'q Queries,
    /// What is right.
    rules: &'q Rules,
    /// By port.
    ports: Vec<InFlight>,
    /// How many queries wait, at all ports.
    waiting: usize,
    /// Answers that only the server itself could contradict.
    seen: Seen,
    /// What was counted.
    pub(super) totals: Totals,
    /// Latencies since the last look at them, if someone looks.
    pub(super) recent: Option<Times>,
    /// Whether anything at all has come in.
    pub(super) heard: bool,
}

impl<'q> Ledger<'q> {
    /// A ledger of so many ports.
    pub(super) fn new(queries: &'q Queries, rules: &'q Rules, ports: usize) -> Self {
        let mut in_flight = Vec::new();
        in_flight.resize_with(ports, InFlight::default);
        Self {
            queries,
            rules,
            ports: in_flight,
            waiting: 0,
            seen: Seen::default(),
            totals: Totals::default(),
            recent: None,
            heard: false,
        }
    }

    /// How many queries wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The ID that the next query of a port will have; `None` if all are taken.
    pub(super) fn next_id(&self, port: usize) -> Option<u16> {
        self.ports[port].next_id()
    }

    /// Notes that a query leaves with the ID that [`Ledger::next_id`] gave.
    pub(super) fn start(&mut self, port: usize, sent: Sent) {
        self.ports[port].start(sent);
        self.waiting += 1;
        self.totals.sent += 1;
        self.totals.query_bytes += self.queries.query(sent.place as usize).len() as u64;
    }

    /// Notes what came in.
    pub(super) fn take(&mut self, arrival: &Arrival<'_>) {
        self.heard = true;
        let Arrival { port, bytes, at_ns, .. } = *arrival;
        let found = u16_at(bytes, 0).map(|id| (id, self.ports[port].find(id)));
        let (Some((id, found)), true) = (found, verify::is_response(bytes)) else {
            self.totals.unknown += 1;
            return;
        };
        let Some((sent, state)) = found else {
            let fault = if arrival.from_server { Fault::Id } else { Fault::Source };
            self.totals.wrong_answer(fault, &[], bytes);
            return;
        };
        let query = self.queries.query(sent.place as usize);
        if !arrival.from_server {
            self.totals.wrong_answer(Fault::Source, query, bytes);
            return;
        }
        let belonging = verify::belonging(bytes, query);
        if belonging == Belonging::Other {
            // The true answer may still come.
            self.totals.wrong_answer(Fault::Question, query, bytes);
            return;
        }
        match state {
            State::Waiting => {}
            State::Answered => {
                self.totals.duplicates += 1;
                return;
            }
            State::Expired => {
                self.totals.late += 1;
                self.totals.lost -= 1;
                self.ports[port].finish(id);
                self.judge(belonging, query, arrival);
                return;
            }
        }
        self.ports[port].finish(id);
        self.waiting -= 1;
        // An intended time may be a little ahead of the clock.
        let latency_ns = at_ns.saturating_sub(sent.at_ns);
        self.totals.latencies.add(latency_ns);
        if let Some(recent) = &mut self.recent {
            recent.add(latency_ns);
        }
        self.totals.completed += 1;
        self.totals.response_bytes += bytes.len() as u64;
        let code = bytes.get(3).map_or(0, |octet| octet & 0x0f);
        self.totals.rcodes[usize::from(code)] += 1;
        self.judge(belonging, query, arrival);
    }

    /// Counts what an answer to a query is worth.
    fn judge(&mut self, belonging: Belonging, query: &[u8], arrival: &Arrival<'_>) {
        let response = arrival.bytes;
        let verdict = match belonging {
            Belonging::LetterCase => Verdict::Wrong(Fault::LetterCase),
            Belonging::Exact | Belonging::Other => verify::judge(response, query, self.rules),
        };
        match verdict {
            Verdict::Verified => self.totals.verified += 1,
            Verdict::Failed => self.totals.failed += 1,
            Verdict::Unchecked => {
                self.totals.unchecked += 1;
                if self.rules.by_name && self.seen.contradicts(query, response, arrival.at_ns) {
                    self.totals.inconsistent_answer(query, response);
                }
            }
            Verdict::Wrong(fault) => self.totals.wrong_answer(fault, query, response),
        }
    }

    /// Gives up the queries that have waited too long.
    pub(super) fn expire(&mut self, now_ns: u64, timeout_ns: u64) {
        for port in &mut self.ports {
            let lost = port.expire(now_ns, timeout_ns);
            self.totals.lost += lost;
            self.waiting -= lost as usize;
        }
    }
}
