//! The load generator: sends queries over UDP, and verifies each answer by the rule of the names
//! that say their own answer.
//!
//! With a rate it is an open loop: queries leave on a fixed schedule, and a latency counts from the
//! moment its query was *to be* sent, so that a server that stalls cannot hide it by holding up
//! the schedule. Without a rate it is a closed loop: a query leaves for each one that comes back or
//! is lost, which shows the server's capacity and says little about latency.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use dns64::datagram::{Channel, Client};
use dns64::limits::BATCH_LEN;
use dns64::pref64::Pref64;
use dns64::sys::clock::Clock;
use dns64::sys::mmsg::{MessageBatch, ReplyBatch};
use dns64::time::Moment;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::socket::connect_udp;
use crate::wire::u16_at;

use in_flight::{InFlight, Sent};
use latency::Latencies;
use queries::Queries;
use verify::Verdict;

pub mod in_flight;
pub mod latency;
pub mod queries;
pub mod report;
pub mod verify;

/// The shortest sleep of the open loop: queries that become due within it leave together.
const TICK: Duration = Duration::from_micros(50);

/// How often lost queries are looked for.
const EXPIRY_TICK: Duration = Duration::from_millis(5);

/// The most queries in flight on one socket, by the size of the ID.
pub const OUTSTANDING_MAX: usize = 65_000;

/// Whether answers are compared with what the names say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// ID and question only.
    Form,
    /// The answer too.
    Answer,
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who is asked.
    pub server: SocketAddr,
    /// How long queries are sent.
    pub duration: Duration,
    /// How often the queries are gone through at most; 0: as often as the time allows.
    pub rounds: u32,
    /// Queries a second; 0 is a closed loop.
    pub rate: u32,
    /// The most queries in flight.
    pub outstanding: usize,
    /// How many sockets, and so how many source ports; at least 1.
    pub sockets: usize,
    /// When a query counts as lost.
    pub timeout: Duration,
    /// The NAT64 prefix of the server.
    pub prefix: Pref64,
    /// Whether answers are compared with what the names say.
    pub check: Check,
}

/// What a run brought.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Queries sent.
    pub sent: u64,
    /// Queries answered in time.
    pub completed: u64,
    /// Queries not answered in time.
    pub lost: u64,
    /// Responses to no query in flight: too late, twice, or forged.
    pub unexpected: u64,
    /// Answers by RCODE.
    pub rcodes: [u64; 16],
    /// Answers that are what the name says.
    pub verified: u64,
    /// Answers that are something else.
    pub wrong: u64,
    /// Failures and truncated answers.
    pub failed: u64,
    /// Answers that could not be checked.
    pub unchecked: u64,
    /// Octets of all queries.
    pub query_bytes: u64,
    /// Octets of all answers.
    pub response_bytes: u64,
    /// Times from the moment a query was to be sent to its answer.
    pub latencies: Latencies,
    /// From the first query to the last answer or loss.
    pub run_time: Duration,
    /// The first wrong answer.
    pub first_wrong: Option<Vec<u8>>,
}

/// Runs until the time is over, the queries are through, and all answers are there or lost.
///
/// # Errors
/// Where sockets or epoll fail.
pub fn run(queries: Queries, options: Options) -> io::Result<Totals> {
    let mut generator = Generator::new(queries, options)?;
    generator.run()?;
    Ok(generator.totals)
}

/// A run's state.
struct Generator {
    /// What is sent.
    queries: Queries,
    /// How.
    options: Options,
    /// How many are sent at most.
    sent_max: u64,
    /// The run's time.
    clock: Clock,
    /// The sockets.
    sockets: Vec<UdpSocket>,
    /// What waits for an answer, by socket.
    in_flight: Vec<InFlight>,
    /// How many queries wait, of all sockets.
    waiting: usize,
    /// The socket that sends the next batch.
    turn: usize,
    /// Waits for answers.
    epoll: rustix::fd::OwnedFd,
    /// Answers.
    inbox: MessageBatch,
    /// Queries.
    outbox: ReplyBatch,
    /// What the run brought so far.
    totals: Totals,
}

impl Generator {
    /// Opens the sockets.
    fn new(queries: Queries, options: Options) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut sockets = Vec::new();
        for place in 0..options.sockets.max(1) {
            let socket = connect_udp(options.server)?;
            let data = epoll::EventData::new_u64(place as u64);
            epoll::add(&epoll, &socket, data, epoll::EventFlags::IN)?;
            sockets.push(socket);
        }
        let sent_max = match options.rounds {
            0 => u64::MAX,
            rounds => u64::from(rounds) * queries.len() as u64,
        };
        let in_flight = sockets.iter().map(|_| InFlight::default()).collect();
        Ok(Self {
            queries,
            options,
            sent_max,
            clock: Clock::start(),
            sockets,
            in_flight,
            waiting: 0,
            turn: 0,
            epoll,
            inbox: MessageBatch::new(),
            outbox: ReplyBatch::new(),
            totals: Totals::default(),
        })
    }

    /// The whole run.
    fn run(&mut self) -> io::Result<()> {
        let start = self.clock.now();
        let end = start + self.options.duration;
        let mut next_expiry = start + EXPIRY_TICK;
        let mut events = Vec::with_capacity(self.sockets.len());
        loop {
            let now = self.clock.now();
            let sending = now < end && self.totals.sent < self.sent_max;
            if sending {
                self.send_due(start, now);
            } else if self.waiting == 0 {
                self.totals.run_time = now.since(start);
                return Ok(());
            }
            if now >= next_expiry {
                self.expire(now);
                next_expiry = now + EXPIRY_TICK;
            }
            events.clear();
            let timeout = self.time_to_next(start, self.clock.now(), sending);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let data = event.data;
                self.receive(data.u64() as usize);
            }
        }
    }

    /// Sends what may be sent by now.
    fn send_due(&mut self, start: Moment, now: Moment) {
        let room = self.options.outstanding.saturating_sub(self.waiting) as u64;
        let left = self.sent_max - self.totals.sent;
        let mut count = room.min(left);
        let rate = u64::from(self.options.rate);
        if rate > 0 {
            let scheduled = now.since(start).as_micros() as u64 * rate / 1_000_000 + 1;
            count = count.min(scheduled.saturating_sub(self.totals.sent));
        }
        while count > 0 {
            let batch_len = count.min(BATCH_LEN as u64);
            if !self.send_batch(batch_len, start, now) {
                return;
            }
            count -= batch_len;
        }
    }

    /// Sends a batch by one socket; `false` if it has no ID left.
    fn send_batch(&mut self, batch_len: u64, start: Moment, now: Moment) -> bool {
        let turn = self.turn;
        self.turn = (turn + 1) % self.sockets.len();
        let local = match self.options.server {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let channel = Channel::Udp { socket: turn as u16 };
        let server = Client { peer: self.options.server, local, interface: 0, channel };
        let mut ids_left = true;
        for _ in 0..batch_len {
            let place = (self.totals.sent % self.queries.len() as u64) as u32;
            let at_us = match u64::from(self.options.rate) {
                0 => now.as_micros(),
                rate => start.as_micros() + self.totals.sent * 1_000_000 / rate,
            } as u32;
            let Some(id) = self.in_flight[turn].start(Sent { place, at_us }) else {
                ids_left = false;
                break;
            };
            let query = self.queries.with_id(place as usize, id);
            self.totals.query_bytes += query.len() as u64;
            // There is room, for the batch was empty; a query that is not sent counts as lost.
            let _kept = self.outbox.push(&server, query);
            self.totals.sent += 1;
            self.waiting += 1;
        }
        let sockets = &self.sockets;
        self.outbox.flush(|place| sockets.get(usize::from(place)).map(AsFd::as_fd));
        ids_left
    }

    /// Takes the answers that wait at a socket.
    fn receive(&mut self, place: usize) {
        loop {
            // An error is one of a query sent before (ICMP), which will count as lost.
            let received = self.inbox.recv(self.sockets[place].as_fd(), place as u16).unwrap_or(0);
            let now_us = self.clock.now().as_micros() as u32;
            for slot in 0..received {
                let response = self.inbox.datagram(slot).bytes;
                let in_flight = &mut self.in_flight[place];
                let taken = take_answer(response, &self.queries, in_flight);
                let Some(sent) = taken else {
                    self.totals.unexpected += 1;
                    continue;
                };
                self.waiting -= 1;
                // An intended time may be a little ahead of the clock.
                let age_us = (now_us.wrapping_sub(sent.at_us) as i32).max(0) as u32;
                self.totals.latencies.add(age_us);
                self.totals.count(response, &self.options);
            }
            if received < BATCH_LEN {
                return;
            }
        }
    }

    /// Counts the queries that have waited too long.
    fn expire(&mut self, now: Moment) {
        let timeout_us = self.options.timeout.as_micros() as u32;
        for in_flight in &mut self.in_flight {
            let lost = in_flight.expire(now.as_micros() as u32, timeout_us);
            self.totals.lost += lost;
            self.waiting -= lost as usize;
        }
    }

    /// How long there is nothing to do but wait for answers.
    fn time_to_next(&self, start: Moment, now: Moment, sending: bool) -> Timespec {
        let mut span = EXPIRY_TICK;
        if sending && self.options.rate > 0 && self.waiting < self.options.outstanding {
            let due_us = self.totals.sent * 1_000_000 / u64::from(self.options.rate);
            let due = start + Duration::from_micros(due_us);
            span = span.min(due.since(now)).max(TICK);
        }
        Timespec { tv_sec: 0, tv_nsec: i64::from(span.subsec_nanos()) }
    }
}

/// Takes the query that this is the answer to out of those in flight.
fn take_answer(response: &[u8], queries: &Queries, in_flight: &mut InFlight) -> Option<Sent> {
    let id = u16_at(response, 0)?;
    let sent = in_flight.peek(id)?;
    if !verify::is_response_to(response, queries.query(sent.place as usize)) {
        return None;
    }
    in_flight.finish(id);
    Some(sent)
}

impl Totals {
    /// Counts an answer.
    fn count(&mut self, response: &[u8], options: &Options) {
        self.completed += 1;
        self.response_bytes += response.len() as u64;
        let code = response.get(3).map_or(0, |octet| octet & 0x0f);
        self.rcodes[usize::from(code)] += 1;
        let verdict = match options.check {
            Check::Form => Verdict::Unchecked,
            Check::Answer => verify::judge(response, &options.prefix),
        };
        match verdict {
            Verdict::Verified => self.verified += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Unchecked => self.unchecked += 1,
            Verdict::Wrong => {
                self.wrong += 1;
                self.first_wrong.get_or_insert_with(|| response.to_vec());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{self, Upstream};
    use dns64::pref64::WELL_KNOWN;

    fn options(server: SocketAddr) -> Options {
        Options {
            server,
            duration: Duration::from_secs(30),
            rounds: 1,
            rate: 0,
            outstanding: 20,
            sockets: 3,
            timeout: Duration::from_secs(5),
            prefix: WELL_KNOWN,
            check: Check::Answer,
        }
    }

    fn queries(lines: &[String]) -> Queries {
        Queries::read(lines.join("\n").as_bytes(), None).unwrap()
    }

    fn upstream() -> Upstream {
        Upstream::start("127.0.0.1:0".parse().unwrap(), upstream::Options::default()).unwrap()
    }

    #[test]
    fn all_answers_are_matched_and_verified() {
        let upstream = upstream();
        let lines: Vec<_> = (0..250).map(|n| format!("a-11-0-0-{n}.v4.test A")).collect();
        for rate in [0, 5_000] {
            let options = Options { rate, ..options(upstream.local_addr()) };
            let totals = run(queries(&lines), options).unwrap();
            assert_eq!((totals.sent, totals.completed, totals.lost), (250, 250, 0));
            assert_eq!((totals.verified, totals.wrong), (250, 0));
            assert_eq!(totals.rcodes[0], 250);
        }
        assert_eq!(upstream.counts().udp_queries, 500);
    }

    #[test]
    fn wrong_failed_lost_and_unchecked_answers_are_told_apart() {
        let upstream = upstream();
        let lines = [
            "a-11-0-0-1.v4.test AAAA",
            "a-11-0-0-1--rc2.v4.test AAAA",
            "a-11-0-0-1--loss100.v4.test AAAA",
            "www.v4.test AAAA",
        ]
        .map(str::to_owned);
        let timeout = Duration::from_millis(200);
        let options = Options { timeout, ..options(upstream.local_addr()) };
        let totals = run(queries(&lines), options).unwrap();
        assert_eq!([totals.wrong, totals.failed, totals.lost, totals.unchecked], [1; 4]);
        assert!(totals.first_wrong.is_some());
    }

    #[test]
    fn a_response_to_another_question_is_not_taken() {
        let lines = ["a.test A", "b.test A"].map(str::to_owned);
        let queries = queries(&lines);
        let mut in_flight = InFlight::default();
        in_flight.start(Sent { place: 0, at_us: 0 });
        let mut response = queries.query(1).to_vec();
        response[2] |= 0x80;
        assert_eq!(take_answer(&response, &queries, &mut in_flight), None);
        let mut response = queries.query(0).to_vec();
        assert_eq!(take_answer(&response, &queries, &mut in_flight), None, "a query");
        response[2] |= 0x80;
        assert!(take_answer(&response, &queries, &mut in_flight).is_some());
        assert_eq!(take_answer(&response, &queries, &mut in_flight), None, "the second time");
    }
}
