//! A run: sends in the kernel, gives up what was not answered, and counts.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dns64::sys::clock::monotonic_ns;
use dns64::sys::shared_map::SharedMap;
use dns64::xdp::{Attached, LiveFrames, ModeWanted, Object, Program, interface};
use dns64_ebpf::abi::mapped;
use dns64_ebpf::flood::slot::{FRAME_WORDS, SHAPE, SLOT_WORDS};
use dns64_ebpf::flood::state::{self, STATE_WORDS};
use dns64_ebpf::flood::{
    MAP_SAMPLES, MAP_SLOTS, MAP_STATE, MAP_WAITING, PROGRAM_CHECK, PROGRAM_SEND, SAMPLE_WORDS,
    SAMPLES_MAX, Words, read_sample_word,
};
use dns64_ebpf::flow::{Endpoints, FlowFilter};
use dns64_ebpf::headers::IpEndpoints;

use super::pace::{RATE_MAX, Schedule};
use super::{FIRST_PORT, FloodError, Options, Outcome, PORTS_MAX, QUERIES_MAX, sample, slots};
use crate::load::queries::Queries;
use crate::route;

/// How long a system call is to take. The kernel waits for all its CPUs before and after it, which
/// takes many milliseconds; meanwhile nobody looks at the time-out.
const CALL: Duration = Duration::from_millis(150);

/// Frames of the first system call, and of any.
const FIRST_FRAMES: u32 = 32_768;
const FRAMES_MIN: u32 = 4_096;
const FRAMES_MAX: u32 = 1 << 24;

/// Frames until they are handed to the driver at the latest. A ring of veth has room for 256.
const BATCH_FRAMES: u32 = 64;

/// Where less than one frame of so many became a query, the server is slower than the programs
/// ask: they pause.
const IDLE_SHARE: u64 = 64;

/// How long they pause then, and how often the last answers are looked for.
const PAUSE: Duration = Duration::from_micros(50);

/// The longest sleep: how late a signal is seen at most.
const NAP_MAX: Duration = Duration::from_millis(20);

/// How much longer than the time-out user space waits before it gives a query up: the clock of the
/// programs goes by ticks of up to 10 ms.
const MARGIN_NS: u64 = 20_000_000;

/// [`super::run`].
pub(super) fn run(
    queries: &Queries,
    options: &Options,
    stop: &AtomicBool,
    begins: impl FnOnce(),
) -> Result<Outcome, FloodError> {
    check(queries, options).map_err(FloodError::Refused)?;
    let mut flood = Flood::open(queries, options)?;
    if !options.lead_in.is_zero() {
        flood.send(options, options.lead_in, monotonic_ns(), stop)?;
        flood.wait_for_the_last(options.timeout, monotonic_ns());
        // What still waits belongs to nobody: its answers come too late.
        flood.give_up(u64::MAX, 0);
    }
    begins();
    let before = flood.counts();
    let start_ns = monotonic_ns();
    flood.send(options, options.duration, start_ns, stop)?;
    let sent_ns = monotonic_ns();
    flood.wait_for_the_last(options.timeout, sent_ns);
    let mut outcome = flood.counts().since(&before);
    outcome.samples = flood.samples(queries);
    outcome.sending_time = Duration::from_nanos(sent_ns - start_ns);
    outcome.run_time = Duration::from_nanos(monotonic_ns() - start_ns);
    Ok(outcome)
}

/// How many frames take so long, if so many took `spent_ns`.
fn frames_in(wanted_ns: u64, frames: u32, spent_ns: u64) -> u32 {
    let count = u128::from(frames) * u128::from(wanted_ns) / u128::from(spent_ns.max(1));
    u32::try_from(count).unwrap_or(FRAMES_MAX).clamp(FRAMES_MIN, FRAMES_MAX)
}

/// What cannot be done, said before anything is.
fn check(queries: &Queries, options: &Options) -> Result<(), String> {
    let count = queries.len();
    if count == 0 || count > QUERIES_MAX {
        return Err(format!("{count} queries: a flood has from 1 to {QUERIES_MAX}, in turn"));
    }
    if options.ports == 0 || options.ports > PORTS_MAX {
        return Err(format!("{} source ports: there are {PORTS_MAX}", options.ports));
    }
    match options.rate {
        Some(rate) if rate == 0 || rate > RATE_MAX => {
            return Err(format!("a rate of {rate}: from 1 to {RATE_MAX} queries a second"));
        }
        None if options.outstanding == 0 => {
            return Err("a closed loop with no query in flight sends none".to_owned());
        }
        _ => {}
    }
    if options.source.is_ipv4() != options.server.is_ipv4() {
        let (source, server) = (options.source, options.server);
        return Err(format!("{source} cannot ask {server}: they are of two families"));
    }
    Ok(())
}

/// The programs and their memory.
struct Flood {
    program: Program,
    interface: u32,
    state: SharedMap,
    waiting: SharedMap,
    samples: SharedMap,
    /// What live frames hold at first: a query, so that most keep their length.
    frame: Vec<u8>,
    _attached: Attached,
}

/// What was counted, from the lead-in on.
struct Counts {
    sent: u64,
    settled: u64,
    right: u64,
    wrong: u64,
    failed: u64,
    late: u64,
    foreign: u64,
}

impl Counts {
    /// What came to it after an earlier moment, at which no query was in flight.
    fn since(&self, before: &Self) -> Outcome {
        let sent = self.sent - before.sent;
        Outcome {
            sent,
            right: self.right - before.right,
            wrong: self.wrong - before.wrong,
            failed: self.failed - before.failed,
            lost: sent.saturating_sub(self.settled - before.settled),
            late: self.late - before.late,
            foreign: self.foreign - before.foreign,
            ..Outcome::default()
        }
    }
}

/// The words of the page.
#[derive(Clone, Copy)]
struct Page<'m>(&'m [AtomicU64]);

impl Words for Page<'_> {
    fn word(self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }
}

impl Page<'_> {
    fn set(self, index: usize, value: u64) {
        self.0[index].store(value, Ordering::Relaxed);
    }
}

impl Flood {
    /// Loads the programs, fills their memory, and attaches the judge.
    fn open(queries: &Queries, options: &Options) -> Result<Self, FloodError> {
        let index = interface::index_of(&options.interface)?;
        let server = options.server;
        let route = route::find(index, server.ip()).map_err(|error| {
            FloodError::Refused(format!("{} by {}: {error}", server.ip(), options.interface))
        })?;
        let source = if options.source.is_unspecified() { route.source } else { options.source };
        let ends = IpEndpoints {
            source: mapped(source),
            source_port: 0,
            destination: mapped(server.ip()),
            destination_port: server.port(),
        };
        let count = slots::slot_count(queries.len(), wanted_slots(options));
        let entries = [(MAP_SLOTS, count as u32), (MAP_WAITING, count as u32)];
        let mut program = Program::load_with(Object::Bench, PROGRAM_CHECK, &entries)?;
        program.also_load(PROGRAM_SEND)?;
        let memory = program.memory(MAP_SLOTS, count * SLOT_WORDS)?;
        slots::fill(memory.words(), queries, &route.ethernet, &ends, &options.expect)
            .map_err(FloodError::Refused)?;
        program.set_filter(&answers_to(server, &ends, options.ports))?;
        let flood = Self {
            interface: index,
            state: program.memory(MAP_STATE, STATE_WORDS)?,
            waiting: program.memory(MAP_WAITING, count)?,
            samples: program.memory(MAP_SAMPLES, SAMPLES_MAX as usize * SAMPLE_WORDS)?,
            frame: first_frame(memory.words()),
            _attached: program.attach(&options.interface, ModeWanted::Any)?,
            program,
        };
        let outstanding = if is_unlimited(options) { 0 } else { options.outstanding.min(count) };
        for (word, value) in [
            (state::COUNT, count as u64),
            (state::PORTS, u64::from(options.ports)),
            (state::FIRST_PORT, u64::from(FIRST_PORT)),
            (state::OUTSTANDING, outstanding as u64),
            (state::IS_IPV4, u64::from(server.is_ipv4())),
            (state::TIMEOUT_NS, ns_of(options.timeout)),
            (state::LAST, u64::MAX),
        ] {
            flood.page().set(word, value);
        }
        Ok(flood)
    }

    fn page(&self) -> Page<'_> {
        Page(self.state.words())
    }

    /// Sends for so long, or until `stop` is set.
    fn send(
        &mut self,
        options: &Options,
        duration: Duration,
        start_ns: u64,
        stop: &AtomicBool,
    ) -> Result<(), FloodError> {
        let before = self.page().word(state::SENT);
        let schedule = options.rate.map(|rate| Schedule::new(rate, start_ns));
        if let Some(schedule) = schedule {
            self.page().set(state::LAST, before + schedule.total(duration));
        }
        // What was held up at the end of an open loop may still follow.
        let more = if schedule.is_some() { duration / 10 } else { Duration::ZERO };
        let end_ns = start_ns.saturating_add(ns_of(duration + more));
        let timeout_ns = ns_of(options.timeout);
        let mut next_sweep_ns = start_ns;
        let mut call_frames = FIRST_FRAMES;
        loop {
            let now_ns = monotonic_ns();
            let sent = self.page().word(state::SENT);
            let through = sent >= self.page().word(state::LAST);
            if now_ns >= end_ns || through || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if self.page().word(state::OUTSTANDING) > 0 && now_ns >= next_sweep_ns {
                self.give_up(now_ns, timeout_ns);
                next_sweep_ns = now_ns + timeout_ns / 8;
            }
            let frames = match schedule {
                Some(schedule) => {
                    let done = sent - before;
                    let pace = schedule.pace(now_ns, done);
                    self.page().set(state::BASE_NS, now_ns);
                    self.page().set(state::BASE_DUE, before + pace.due);
                    self.page().set(state::STEP, pace.step);
                    match schedule.nap(now_ns, done) {
                        None => call_frames,
                        Some(Duration::ZERO) => {
                            pace.due.saturating_sub(done).clamp(1, u64::from(BATCH_FRAMES)) as u32
                        }
                        Some(nap) => {
                            thread::sleep(nap.min(NAP_MAX));
                            continue;
                        }
                    }
                }
                None => call_frames,
            };
            let batch = BATCH_FRAMES.min(frames);
            let Self { interface, frame, .. } = self;
            let live = LiveFrames { interface: *interface, frame, count: frames, batch };
            self.program.run_live(PROGRAM_SEND, &live).map_err(|error| match sent {
                0 => FloodError::Xdp(error),
                _ => FloodError::Running(error),
            })?;
            let spent_ns = monotonic_ns() - now_ns;
            let left_ns = end_ns.saturating_sub(now_ns + spent_ns);
            if frames >= FRAMES_MIN {
                call_frames = frames_in(ns_of(CALL).min(left_ns), frames, spent_ns);
            }
            let done = self.page().word(state::SENT) - sent;
            if schedule.is_none() && done * IDLE_SHARE < u64::from(frames) {
                thread::sleep(PAUSE);
            }
        }
    }

    /// Gives up the queries that have waited for longer than the time-out.
    fn give_up(&self, now_ns: u64, timeout_ns: u64) {
        let mut given_up = 0;
        for word in self.waiting.words() {
            let since_ns = word.load(Ordering::Relaxed);
            let age_ns = now_ns.saturating_sub(since_ns);
            let over = since_ns != 0 && age_ns > timeout_ns + MARGIN_NS;
            let (relaxed, expected) = (Ordering::Relaxed, since_ns);
            if over && word.compare_exchange(expected, 0, relaxed, relaxed).is_ok() {
                given_up += 1;
            }
        }
        let page = self.page();
        page.set(state::GIVEN_UP, page.word(state::GIVEN_UP) + given_up);
    }

    /// Waits until all answers are there, or the last query's time is over.
    fn wait_for_the_last(&self, timeout: Duration, sent_ns: u64) {
        let end_ns = sent_ns + ns_of(timeout) + MARGIN_NS;
        while state::in_flight(self.page()) > 0 && monotonic_ns() < end_ns {
            thread::sleep(PAUSE);
        }
    }

    /// What was counted so far.
    fn counts(&self) -> Counts {
        let page = self.page();
        Counts {
            sent: page.word(state::SENT),
            settled: state::settled(page),
            right: page.word(state::RIGHT),
            wrong: page.word(state::WRONG) + page.word(state::STRAY),
            failed: page.word(state::FAILED),
            late: page.word(state::LATE),
            foreign: page.word(state::FOREIGN),
        }
    }

    /// The wrong answers that were kept.
    fn samples(&self, queries: &Queries) -> Vec<String> {
        let samples = self.samples.words().chunks_exact(SAMPLE_WORDS);
        let read = samples.filter_map(|words| {
            let words: Vec<u64> = words.iter().map(|word| word.load(Ordering::Acquire)).collect();
            let (code, len) = read_sample_word(words[0])?;
            let octets: Vec<u8> = words[1..].iter().flat_map(|word| word.to_ne_bytes()).collect();
            let slots = self.waiting.words().len();
            Some(sample::describe(code, &octets[..len], queries, slots))
        });
        read.collect()
    }
}

/// Whether an open loop has any number of queries in flight: more than there are IDs.
fn is_unlimited(options: &Options) -> bool {
    options.rate.is_some() && (options.outstanding == 0 || options.outstanding > QUERIES_MAX)
}

/// How many slots there should be: so many that none is needed again before it has its answer or
/// is late, where there is room for so many.
fn wanted_slots(options: &Options) -> usize {
    let open = options.rate.unwrap_or(0) as f64 * options.timeout.as_secs_f64();
    let open = open.ceil() as usize;
    let closed = if is_unlimited(options) { 0 } else { options.outstanding.saturating_mul(2) };
    closed.max(open).min(QUERIES_MAX)
}

/// Takes what the server sends to our ports.
fn answers_to(server: SocketAddr, ends: &IpEndpoints, ports: u16) -> FlowFilter {
    let there = Endpoints::new(mapped(server.ip()), 128, server.port(), server.port());
    let here = Endpoints::new(ends.source, 128, FIRST_PORT, FIRST_PORT + (ports - 1));
    FlowFilter::new(there, here)
}

/// The frame of the first slot.
fn first_frame(slots: &[AtomicU64]) -> Vec<u8> {
    let words = slots[..FRAME_WORDS].iter().map(|word| word.load(Ordering::Relaxed));
    let mut frame: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
    frame.truncate((slots[SHAPE].load(Ordering::Relaxed) & 0xff) as usize);
    frame
}

fn ns_of(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX >> 1).min(u64::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_frames_that_take_its_time() {
        assert_eq!(frames_in(150_000_000, 32_768, 3_276_800), 1_500_000);
        assert_eq!(frames_in(0, 32_768, 3_276_800), FRAMES_MIN);
        assert_eq!(frames_in(u64::MAX, 32_768, 0), FRAMES_MAX);
    }
}
