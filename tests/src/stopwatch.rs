//! Time as a program has it: without that in which its machine stood still.
//!
//! A host that is short of CPU time, or that moves a virtual machine, lets it stand still for
//! seconds. Clocks go on meanwhile, and a program that answers in time seems late. So a test that
//! bounds a time measures it with a [`Stopwatch`]. It stops while one of the CPUs does nothing for
//! a thread that is to wake up there every few milliseconds.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

/// How often the thread of each CPU wakes up.
const STEP: Duration = Duration::from_millis(20);

/// A thread this late was not just waiting for its turn.
const STANDSTILL_MIN: Duration = Duration::from_millis(100);

/// All CPUs, and since when they are watched.
#[derive(Debug)]
struct Machine {
    since: Instant,
    /// When the thread of each CPU woke up last, in microseconds since the watch began; 0: not yet.
    woke_us: Vec<AtomicU64>,
    /// When one of the CPUs stood still, in microseconds since the watch began.
    standstills: Mutex<Vec<Range<u64>>>,
}

impl Machine {
    /// The one that this is; watched from the first call on.
    fn get() -> &'static Self {
        static MACHINE: OnceLock<Machine> = OnceLock::new();
        static WATCHED: OnceLock<()> = OnceLock::new();
        let machine = MACHINE.get_or_init(|| {
            let count = thread::available_parallelism().map_or(1, usize::from);
            let woke_us = (0..count).map(|_| AtomicU64::new(0)).collect();
            Self { since: Instant::now(), woke_us, standstills: Mutex::default() }
        });
        WATCHED.get_or_init(|| {
            for (number, woke_us) in machine.woke_us.iter().enumerate() {
                thread::spawn(move || machine.watch(number, woke_us));
            }
        });
        machine
    }

    fn now_us(&self) -> u64 {
        self.since.elapsed().as_micros() as u64
    }

    /// What a thread does that wakes up on one CPU for ever.
    fn watch(&self, number: usize, woke_us: &AtomicU64) {
        let mut only = CpuSet::new();
        only.set(number);
        // Where it may not be pinned it sees at least when nothing runs at all.
        let _anywhere = sched_setaffinity(None, &only);
        woke_us.store(self.now_us(), Ordering::Relaxed);
        loop {
            thread::sleep(STEP);
            let mut standstills = self.standstills();
            let now_us = self.now_us();
            let late_us = late_us(now_us - woke_us.load(Ordering::Relaxed));
            if late_us > 0 {
                standstills.push(now_us - late_us..now_us);
            }
            woke_us.store(now_us, Ordering::Relaxed);
        }
    }

    fn standstills(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        self.standstills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long at least one CPU has stood still since a moment.
    fn lost_since(&self, since_us: u64) -> Duration {
        let known = self.standstills();
        let now_us = self.now_us();
        // A thread may have overslept and not have said so yet.
        let woke_us = self.woke_us.iter().map(|woke_us| woke_us.load(Ordering::Relaxed));
        let slept = woke_us.filter(|woke_us| *woke_us > 0);
        let late = slept.map(|woke_us| late_us(now_us.saturating_sub(woke_us)));
        let untold = late.map(|late_us| now_us - late_us..now_us);
        Duration::from_micros(covered(known.iter().cloned().chain(untold).collect(), since_us))
    }
}

/// How much time from a moment on lies in any of these spans.
fn covered(mut spans: Vec<Range<u64>>, from: u64) -> u64 {
    spans.sort_unstable_by_key(|span| span.start);
    let mut counted_to = from;
    let mut sum = 0;
    for Range { start, end } in spans {
        let start = start.max(counted_to);
        sum += end.saturating_sub(start);
        counted_to = counted_to.max(end);
    }
    sum
}

/// How much of a sleep was none of it.
fn late_us(slept_us: u64) -> u64 {
    let late = Duration::from_micros(slept_us).saturating_sub(STEP);
    if late < STANDSTILL_MIN { 0 } else { late.as_micros() as u64 }
}

/// Measures a time, without standstills of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    begin: Instant,
    begin_us: u64,
}

impl Stopwatch {
    /// Begins to measure.
    #[must_use]
    pub fn start() -> Self {
        let begin_us = Machine::get().now_us();
        Self { begin: Instant::now(), begin_us }
    }

    /// For how long the machine has stood still since the start.
    #[must_use]
    pub fn stood_still(&self) -> Duration {
        Machine::get().lost_since(self.begin_us)
    }

    /// How much time there was since the start for anybody to do anything.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begin.elapsed().saturating_sub(self.stood_still())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_much_too_late_is_a_standstill() {
        let micros = |millis: u64| millis * 1_000;
        assert_eq!(late_us(micros(20)), 0);
        assert_eq!(late_us(micros(119)), 0);
        assert_eq!(late_us(micros(1_520)), micros(1_500));
    }

    #[test]
    fn what_two_cpus_lose_at_a_time_is_lost_once() {
        let spans = vec![500..900, 100..300, 200..400, 150..250];
        assert_eq!(covered(spans.clone(), 0), 700);
        assert_eq!(covered(spans.clone(), 350), 450, "only what comes later");
        assert_eq!(covered(spans, 900), 0);
    }

    #[test]
    fn a_stopwatch_goes_on_while_a_thread_sleeps() {
        let watch = Stopwatch::start();
        thread::sleep(Duration::from_millis(300));
        let (elapsed, stood_still) = (watch.elapsed(), watch.stood_still());
        assert!(elapsed + stood_still >= Duration::from_millis(300), "{elapsed:?} {stood_still:?}");
    }
}
