//! One thread of a run: sends what is due, takes what comes, gives up what is late.
#![forbid(unsafe_code)]

use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::clock::{Clock, ns_of};
use super::engine::{BATCH_MAX, Engine};
use super::in_flight::Sent;
use super::ledger::Ledger;
use super::queries::Queries;
use super::schedule::Schedule;
use super::totals::{Times, Totals};

/// The shortest sleep of an open loop: for less it stays awake, since a sleep lasts some tens of
/// microseconds at least.
const SLEEP_MIN_NS: u64 = 20_000;

/// How long after the end of an open loop its last queries are still sent.
const CATCH_UP_NS: u64 = 50_000_000;

/// How often lost queries are looked for.
const EXPIRY_TICK_NS: u64 = 5_000_000;

/// How often the latencies of the progress bar are written.
const RECENT_TICK_NS: u64 = 500_000_000;

/// What became of a query that was to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pushed {
    /// It leaves with the next flush.
    Taken,
    /// None is due yet.
    NoneDue,
    /// The port has no ID or the engine no room.
    NoRoom,
}

/// What a thread says of itself while it runs.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Queries sent.
    pub(super) sent: AtomicU64,
    /// Queries answered in time.
    pub(super) completed: AtomicU64,
    /// Queries not answered in time.
    pub(super) lost: AtomicU64,
    /// Wrong answers.
    pub(super) wrong: AtomicU64,
    /// The 99th percentile of the last half second, in nanoseconds.
    pub(super) p99_ns: AtomicU64,
}

/// What a thread is to do.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The time of the run.
    pub(super) clock: Clock,
    /// When queries are sent.
    pub(super) schedule: Schedule,
    /// When the first query is sent, and when no more are.
    pub(super) start_ns: u64,
    /// See `start_ns`; `u64::MAX`: the queries end first.
    pub(super) end_ns: u64,
    /// The place of the first query, and the step from one to the next: how many threads there are.
    pub(super) first: u64,
    /// See `first`.
    pub(super) step: u64,
    /// How many queries to send at most.
    pub(super) sent_max: u64,
    /// How many may wait.
    pub(super) outstanding: usize,
    /// When a query counts as lost.
    pub(super) timeout: Duration,
    /// How long late answers are waited for after the last query is given up.
    pub(super) grace: Duration,
    /// Whether someone looks at [`Progress::p99_ns`].
    pub(super) watched: bool,
}

/// A thread at work.
pub(super) struct Worker<'q, E> {
    /// What carries the queries.
    engine: E,
    /// What to do.
    task: Task,
    /// What is asked.
    queries: &'q Queries,
    /// What became of it.
    ledger: Ledger<'q>,
    /// The place of the next query; counted on over all rounds.
    next: u64,
    /// The port of the next batch.
    port: usize,
    /// When the queries of this batch were to be sent.
    batch: [u64; BATCH_MAX],
    /// How many there are.
    batch_len: usize,
    /// The engine has no room, or no port has an ID.
    full: bool,
}

impl<'q, E: Engine> Worker<'q, E> {
    /// A thread that is ready to start.
    pub(super) fn new(engine: E, task: Task, queries: &'q Queries, mut ledger: Ledger<'q>) -> Self {
        ledger.recent = task.watched.then(Times::default);
        let next = task.first;
        Self {
            engine,
            task,
            queries,
            ledger,
            next,
            port: 0,
            batch: [0; BATCH_MAX],
            batch_len: 0,
            full: false,
        }
    }

    /// Runs to the end, or until told to stop: until the time is over or the queries are through,
    /// and all answers are there or lost.
    pub(super) fn run(
        mut self,
        progress: &Progress,
        stop: &AtomicBool,
        unanswered: &(dyn Fn() -> io::Result<()> + Sync),
    ) -> io::Result<Totals> {
        let clock = self.task.clock;
        let timeout_ns = ns_of(self.task.timeout);
        let mut next_expiry = self.task.start_ns + EXPIRY_TICK_NS;
        let mut next_recent = self.task.start_ns + RECENT_TICK_NS;
        // What the schedule holds is sent also if it is a little late.
        let catch_up_ns = if self.task.schedule.is_open() { CATCH_UP_NS } else { 0 };
        let last_send_ns = self.task.end_ns.saturating_add(catch_up_ns);
        // A sleep may else last 50 us longer than wanted; without it, it does.
        let _either_way = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let mut probed = false;
        // All threads start together.
        std::thread::sleep(Duration::from_nanos(self.task.start_ns.saturating_sub(clock.now_ns())));
        loop {
            let now_ns = clock.now_ns();
            let stopped = stop.load(Ordering::Relaxed);
            let sending = !stopped && now_ns < last_send_ns && self.may_send();
            if sending {
                self.send_due(now_ns)?;
            } else if stopped || self.ledger.waiting() == 0 && self.is_over(now_ns) {
                break;
            }
            if now_ns >= next_expiry {
                self.ledger.expire(now_ns, timeout_ns);
                next_expiry = now_ns + EXPIRY_TICK_NS;
                if !probed && !self.ledger.heard && self.ledger.totals.lost > 0 {
                    probed = true;
                    unanswered()?;
                }
                if now_ns >= next_recent {
                    self.publish_recent(progress);
                    next_recent = now_ns + RECENT_TICK_NS;
                }
            }
            let wait = self.time_to_next(clock.now_ns(), next_expiry, sending);
            self.receive(wait)?;
            self.publish(progress);
        }
        self.ledger.totals.run_time =
            Duration::from_nanos(clock.now_ns().saturating_sub(self.task.start_ns));
        self.finish(stop)?;
        self.publish(progress);
        Ok(self.ledger.totals)
    }

    /// Waits for late answers, and closes the books.
    fn finish(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let clock = self.task.clock;
        let end_ns = clock.now_ns().saturating_add(ns_of(self.task.grace));
        while self.ledger.totals.lost > 0 && !stop.load(Ordering::Relaxed) {
            let now_ns = clock.now_ns();
            if now_ns >= end_ns {
                break;
            }
            self.receive(Duration::from_nanos((end_ns - now_ns).min(EXPIRY_TICK_NS)))?;
        }
        let waiting = self.ledger.waiting();
        let totals = &mut self.ledger.totals;
        totals.interrupted = waiting as u64;
        totals.carried = self.engine.carried();
        totals.scheduled = totals.sent;
        if self.task.schedule.is_open() && !stop.load(Ordering::Relaxed) {
            // What the schedule still held when the time was over.
            let left = self.task.schedule.count_before(self.task.end_ns);
            totals.scheduled += left.min(self.task.sent_max - totals.sent);
        }
        Ok(())
    }

    /// Whether all queries are sent or the time is over; the last of a schedule leaves before that.
    fn is_over(&self, now_ns: u64) -> bool {
        self.ledger.totals.sent >= self.task.sent_max || now_ns >= self.task.end_ns
    }

    /// Whether there are queries left.
    fn may_send(&self) -> bool {
        self.ledger.totals.sent < self.task.sent_max
            && self.task.schedule.next_ns(0) < self.task.end_ns
    }

    /// Sends what may be sent by now, batch by batch.
    fn send_due(&mut self, now_ns: u64) -> io::Result<()> {
        let room = self.task.outstanding.saturating_sub(self.ledger.waiting()) as u64;
        let mut left = room.min(self.task.sent_max - self.ledger.totals.sent);
        let mut refusals = 0;
        while left > 0 && refusals < self.engine.ports() {
            let Some(port) = self.port_with_room() else { break };
            let mut pushed = Pushed::Taken;
            while left > 0 && self.batch_len < BATCH_MAX {
                pushed = self.push(port, now_ns);
                if pushed != Pushed::Taken {
                    break;
                }
                left -= 1;
            }
            if self.batch_len > 0 {
                self.flush()?;
            }
            match pushed {
                Pushed::NoneDue => {
                    self.full = false;
                    return Ok(());
                }
                Pushed::NoRoom => refusals += 1,
                Pushed::Taken => {}
            }
        }
        // Queries are due and cannot leave, or as many wait as may.
        self.full = left > 0;
        Ok(())
    }

    /// The port whose turn it is, or the next that has an ID to give.
    fn port_with_room(&mut self) -> Option<usize> {
        let ports = self.engine.ports();
        for _ in 0..ports {
            let port = self.port;
            self.port = (port + 1) % ports;
            if self.ledger.next_id(port).is_some() {
                return Some(port);
            }
        }
        None
    }

    /// Adds a query to the batch.
    fn push(&mut self, port: usize, now_ns: u64) -> Pushed {
        let at_ns = self.task.schedule.next_ns(now_ns);
        if at_ns > now_ns || at_ns >= self.task.end_ns {
            return Pushed::NoneDue;
        }
        let Some(id) = self.ledger.next_id(port) else { return Pushed::NoRoom };
        let place = (self.next % self.queries.len() as u64) as u32;
        if !self.engine.push(port, id, self.queries.query(place as usize)) {
            return Pushed::NoRoom;
        }
        self.ledger.start(port, Sent { place, at_ns });
        self.task.schedule.advance();
        self.next += self.task.step;
        self.batch[self.batch_len] = at_ns;
        self.batch_len += 1;
        Pushed::Taken
    }

    /// Gives the batch to the network, and notes how late it is.
    fn flush(&mut self) -> io::Result<()> {
        self.engine.flush()?;
        if self.task.schedule.is_open() {
            let now_ns = self.task.clock.now_ns();
            for at_ns in &self.batch[..self.batch_len] {
                self.ledger.totals.lateness.add(now_ns.saturating_sub(*at_ns));
            }
        }
        self.batch_len = 0;
        Ok(())
    }

    /// Takes what comes within this time.
    fn receive(&mut self, timeout: Duration) -> io::Result<()> {
        let Self { engine, ledger, task, .. } = self;
        engine.receive(task.clock, timeout, |arrival| ledger.take(&arrival))
    }

    /// How long there is nothing to do but wait for answers.
    fn time_to_next(&self, now_ns: u64, next_expiry: u64, sending: bool) -> Duration {
        let mut next_ns = next_expiry;
        let room = !self.full && self.ledger.waiting() < self.task.outstanding;
        if sending && room && self.may_send() {
            next_ns = next_ns.min(self.task.schedule.next_ns(now_ns));
        }
        match next_ns.saturating_sub(now_ns) {
            ..SLEEP_MIN_NS => Duration::ZERO,
            nanos => Duration::from_nanos(nanos),
        }
    }

    /// Says how far the run is.
    fn publish(&self, progress: &Progress) {
        let totals = &self.ledger.totals;
        progress.sent.store(totals.sent, Ordering::Relaxed);
        progress.completed.store(totals.completed, Ordering::Relaxed);
        progress.lost.store(totals.lost + totals.late, Ordering::Relaxed);
        progress.wrong.store(totals.wrong(), Ordering::Relaxed);
    }

    /// Says what latencies were like lately.
    fn publish_recent(&mut self, progress: &Progress) {
        if let Some(recent) = &mut self.ledger.recent {
            progress.p99_ns.store(recent.quantile_ns(0.99), Ordering::Relaxed);
            recent.clear();
        }
    }
}
