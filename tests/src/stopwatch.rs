//! Time as a program has it: without that in which its machine stood still.
//!
//! A host that is short of CPU time, or that moves a virtual machine, lets it stand still for
//! seconds. Clocks go on meanwhile, and a program that answers in time seems late. So a test that
//! bounds a time measures it with a [`Stopwatch`]. It stops while one of the CPUs does nothing for
//! a thread that is to wake up there every few milliseconds.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

/// How often the thread of each CPU wakes up.
const STEP: Duration = Duration::from_millis(20);

/// A thread this late was not just waiting for its turn.
const STANDSTILL_MIN: Duration = Duration::from_millis(100);

/// What is known of one CPU.
#[derive(Debug, Default)]
struct Cpu {
    /// When its thread woke up last, in microseconds since the watch began.
    woke_us: AtomicU64,
    /// How long it has stood still, in microseconds.
    lost_us: AtomicU64,
}

/// All CPUs, and since when they are watched.
#[derive(Debug)]
struct Machine {
    since: Instant,
    cpus: Vec<Cpu>,
}

impl Machine {
    /// The one that this is; watched from the first call on.
    fn get() -> &'static Self {
        static MACHINE: OnceLock<Machine> = OnceLock::new();
        static WATCHED: OnceLock<()> = OnceLock::new();
        let machine = MACHINE.get_or_init(|| {
            let count = thread::available_parallelism().map_or(1, usize::from);
            let cpus = (0..count).map(|_| Cpu::default()).collect();
            Self { since: Instant::now(), cpus }
        });
        WATCHED.get_or_init(|| {
            for (number, cpu) in machine.cpus.iter().enumerate() {
                thread::spawn(move || machine.watch(number, cpu));
            }
        });
        machine
    }

    fn now_us(&self) -> u64 {
        self.since.elapsed().as_micros() as u64
    }

    /// What a thread does that wakes up on one CPU for ever.
    fn watch(&self, number: usize, cpu: &Cpu) {
        let mut only = CpuSet::new();
        only.set(number);
        // Where it may not be pinned it sees at least when nothing runs at all.
        let _anywhere = sched_setaffinity(None, &only);
        cpu.woke_us.store(self.now_us(), Ordering::Relaxed);
        loop {
            thread::sleep(STEP);
            let now_us = self.now_us();
            let late_us = late_us(now_us - cpu.woke_us.load(Ordering::Relaxed));
            // What is counted twice for a moment is so much patience more, not less.
            cpu.lost_us.fetch_add(late_us, Ordering::Relaxed);
            cpu.woke_us.store(now_us, Ordering::Relaxed);
        }
    }

    /// For how long CPUs have stood still, one or several of them. What needs all of them waits for
    /// the sum.
    fn lost(&self) -> Duration {
        let now_us = self.now_us();
        let lost_us = self.cpus.iter().map(|cpu| {
            let woke_us = cpu.woke_us.load(Ordering::Relaxed);
            // The thread may have overslept and not have said so yet.
            let untold_us = if woke_us == 0 { 0 } else { late_us(now_us.saturating_sub(woke_us)) };
            cpu.lost_us.load(Ordering::Relaxed) + untold_us
        });
        Duration::from_micros(lost_us.sum())
    }
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
    lost_before: Duration,
}

impl Stopwatch {
    /// Begins to measure.
    #[must_use]
    pub fn start() -> Self {
        let lost_before = Machine::get().lost();
        Self { begin: Instant::now(), lost_before }
    }

    /// For how long the machine has stood still since the start.
    #[must_use]
    pub fn stood_still(&self) -> Duration {
        Machine::get().lost().saturating_sub(self.lost_before)
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
    fn a_stopwatch_goes_on_while_a_thread_sleeps() {
        let watch = Stopwatch::start();
        thread::sleep(Duration::from_millis(300));
        let (elapsed, stood_still) = (watch.elapsed(), watch.stood_still());
        assert!(elapsed + stood_still >= Duration::from_millis(300), "{elapsed:?} {stood_still:?}");
    }
}
