//! Warm restart: what the caches know is written to a file, and the next start reads it.
//!
//! The file is written while we run, every `cache.snapshot_interval` seconds, by a task that asks
//! one worker after the other for a page of its cache; and once more at the end, from the caches
//! that the workers leave behind. A start reads it when queries are answered already, page by page,
//! and each worker takes the names that belong to it.
//!
//! What must never come back does not: a flush, and a configuration under which the answers do not
//! hold, end whatever reads or writes the file, and a flush removes it.
#![forbid(unsafe_code)]

pub mod file;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::{debug, info, warn};

use crate::config::{Config, SnapshotSettings};
use crate::daemon::Daemon;
use crate::engine::Engine;
use crate::engine::snapshot::{Page, Restored, Wanted, records};
use crate::orders::Restoring;
use crate::sys::clock::{Clock, real_time_us};

use self::file::{Finished, Header, Reader, Refusal, Writer, Written};

/// How long the last snapshot may take to be made, disk not included: the program ends in time
/// whatever it holds.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// How long after a flush the file is written anew: another flush may follow.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// What ends the name of a file that is being written while we run, and at the end.
const SUFFIXES: [&str; 2] = [".new", ".last"];

/// Octets of caches for one bit of [`Seen`]: sixteen bits for a usual entry.
const OCTETS_PER_BIT: u64 = 16;

/// The most bits of [`Seen`]: 32 MiB of memory.
const SEEN_BITS_MAX: u64 = 1 << 28;

/// Where snapshots stand, and under which configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Where and how often; `None`: no snapshots are made.
    pub settings: Option<SnapshotSettings>,
    /// What the configuration says of answers.
    pub fingerprint: u64,
    /// Octets of all caches.
    pub cache_len: u64,
}

impl Terms {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            settings: config.snapshot.clone(),
            fingerprint: config.cache_fingerprint(),
            cache_len: config.policy.cache.size_bytes,
        }
    }
}

/// Writes and reads snapshots.
#[derive(Debug)]
pub struct Snapshots {
    clock: Clock,
    state: Mutex<State>,
    /// Rung when the terms have changed, or the file is to be written soon.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    terms: Terms,
    /// Counts what makes void all that is being read or written.
    generation: u64,
    /// Whether the file has more than the caches.
    is_restoring: bool,
    /// When answers were forgotten, and the file with them, if it has not been written since.
    flushed: Option<Instant>,
}

impl Snapshots {
    /// Makes snapshots on these terms. `clock` is that of the workers.
    #[must_use]
    pub fn new(terms: Terms, clock: Clock) -> Self {
        let is_restoring = terms.settings.is_some();
        let state = State { terms, generation: 0, is_restoring, flushed: None };
        Self { clock, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Reads the file that is there, and writes it every so often, for ever.
    pub async fn run(&self, daemon: &Daemon) {
        self.restore(daemon).await;
        let mut last = Instant::now();
        loop {
            let Some(due) = self.due(last) else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep(due.saturating_duration_since(Instant::now())) => {
                    self.write(daemon).await;
                    last = Instant::now();
                }
                () = self.changed.notified() => {}
            }
        }
    }

    /// When the file is to be written next, if the last time was then; `None`: not while we run.
    fn due(&self, last: Instant) -> Option<Instant> {
        let state = self.state();
        let interval = state.terms.settings.as_ref()?.interval?;
        Some(state.flushed.map_or(last + interval, |flushed| flushed + FLUSH_WAIT))
    }

    /// Other terms, from now on. Where answers of before do not hold under them, nothing of before
    /// is read or written any more.
    pub fn set(&self, terms: Terms) {
        let mut state = self.state();
        if state.terms == terms {
            return;
        }
        if state.terms.fingerprint != terms.fingerprint {
            state.generation += 1;
            state.is_restoring = false;
        }
        state.terms = terms;
        drop(state);
        self.changed.notify_one();
    }

    /// Answers are about to be forgotten: the file, which may have them, goes, and is written anew
    /// soon.
    pub fn forget(&self) {
        let mut state = self.state();
        state.generation += 1;
        state.is_restoring = false;
        let Some(settings) = &state.terms.settings else { return };
        remove(&settings.file);
        state.flushed.get_or_insert_with(Instant::now);
        drop(state);
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing has happened since that makes void what is under way.
    fn is_current(&self, generation: u64) -> bool {
        self.state().generation == generation
    }

    // ---- Reading

    /// Gives the workers what the file has, if it can be used.
    async fn restore(&self, daemon: &Daemon) {
        let (terms, generation) = {
            let state = self.state();
            (state.terms.clone(), state.generation)
        };
        let Some(SnapshotSettings { file, .. }) = terms.settings else { return };
        let restored = self.restore_from(daemon, &file, terms.fingerprint, generation).await;
        let shown = file.display();
        match restored {
            Ok(Some((restored, age_secs))) => info!(
                file = %shown,
                age_secs,
                restored = restored.taken,
                expired = restored.expired,
                known = restored.left,
                "the cache has the answers of its snapshot again"
            ),
            Ok(None) => debug!(file = %shown, "there is no snapshot of a cache"),
            Err(RestoreError::Superseded) => {
                info!(file = %shown, "the rest of the snapshot is left out: it holds no more");
            }
            Err(RestoreError::Refused(refusal)) => {
                warn!(file = %shown, "the snapshot of the cache is not used: {refusal}");
            }
            Err(RestoreError::Workers(error)) => {
                warn!(file = %shown, "the rest of the snapshot is not read: {error}");
            }
        }
        let mut state = self.state();
        if state.generation == generation {
            state.is_restoring = false;
        }
    }

    async fn restore_from(
        &self,
        daemon: &Daemon,
        path: &Path,
        fingerprint: u64,
        generation: u64,
    ) -> Result<Option<(Restored, u64)>, RestoreError> {
        let path = path.to_owned();
        let Some(mut reader) = blocking(move || Reader::open(&path)).await?? else {
            return Ok(None);
        };
        let elapsed_us = reader.accept(fingerprint, real_time_us())?;
        let as_of = self.clock.now();
        // Rounded up: an answer may end too early, but not too late.
        let elapsed = Duration::from_micros(elapsed_us) + Duration::from_secs(1);
        let mut restored = Restored::default();
        loop {
            let mut octets = Vec::new();
            let read = move || {
                let more = reader.next_page(&mut octets);
                (reader, octets, more)
            };
            let (back, octets, more) = blocking(read).await?;
            reader = back;
            if !more? {
                return Ok(Some((restored, elapsed_us / 1_000_000)));
            }
            if !self.is_current(generation) {
                return Err(RestoreError::Superseded);
            }
            let page = Arc::new(Restoring { octets, elapsed, as_of });
            restored.add(daemon.restore(page).await.map_err(RestoreError::Workers)?);
        }
    }

    // ---- Writing

    /// Writes the file, and says what has become of that.
    async fn write(&self, daemon: &Daemon) {
        let (terms, generation) = {
            let mut state = self.state();
            state.flushed = None;
            (state.terms.clone(), state.generation)
        };
        let Some(SnapshotSettings { file, .. }) = terms.settings.clone() else { return };
        let begun = Instant::now();
        let saved = async {
            let finished = self.collect(daemon, &terms, &file, generation).await?;
            self.publish(finished, generation)
        };
        say(&file, saved.await, begun);
    }

    /// Writes what all workers know.
    async fn collect(
        &self,
        daemon: &Daemon,
        terms: &Terms,
        path: &Path,
        generation: u64,
    ) -> Result<Finished, SaveError> {
        let (path, header, len) = (path.to_owned(), header(terms), terms.cache_len);
        let begin = move || Collector::create(&path, SUFFIXES[0], header, len);
        let mut collector = blocking(begin).await??;
        for wanted in wanted(daemon.workers.len()) {
            for worker in 0..daemon.workers.len() {
                let mut from = Some(0);
                while let Some(bucket) = from {
                    if !self.is_current(generation) {
                        return Err(SaveError::Superseded);
                    }
                    let page = daemon.cache_page(worker, bucket, &wanted).await;
                    let page = page.map_err(SaveError::Workers)?;
                    from = page.next;
                    let add = move || collector.add(&page).map(|()| collector);
                    collector = blocking(add).await??;
                }
            }
            collector.may_be_seen = true;
        }
        Ok(blocking(move || collector.writer.finish()).await??)
    }

    /// Gives a file its name, unless it holds no more.
    fn publish(&self, finished: Finished, generation: u64) -> Result<Written, SaveError> {
        // Held meanwhile, so that a flush comes before or after.
        let state = self.state();
        if state.generation != generation {
            return Err(SaveError::Superseded);
        }
        let written = finished.publish()?;
        drop(state);
        Ok(written)
    }

    /// Writes the file for the last time, from the caches that the workers have left behind.
    /// Nothing else is written from then on.
    pub fn write_last(&self, engines: &[Engine]) {
        let (terms, generation, is_restoring) = {
            let mut state = self.state();
            state.generation += 1;
            (state.terms.clone(), state.generation, state.is_restoring)
        };
        let Some(SnapshotSettings { file, .. }) = terms.settings.clone() else { return };
        if is_restoring {
            info!(file = %file.display(), "the snapshot stays: not all of it has been read");
            return;
        }
        let begun = Instant::now();
        let finished = self.collect_last(engines, &terms, &file, begun);
        let saved = finished.and_then(|finished| self.publish(finished, generation));
        say(&file, saved, begun);
    }

    fn collect_last(
        &self,
        engines: &[Engine],
        terms: &Terms,
        path: &Path,
        begun: Instant,
    ) -> Result<Finished, SaveError> {
        let header = header(terms);
        let mut collector = Collector::create(path, SUFFIXES[1], header, terms.cache_len)?;
        for wanted in wanted(engines.len()) {
            for engine in engines {
                let mut from = Some(0);
                while let Some(bucket) = from {
                    if begun.elapsed() > LAST_WAIT {
                        return Err(SaveError::Late);
                    }
                    let page = engine.cache_page(bucket, &wanted, self.clock.now());
                    from = page.next;
                    collector.add(&page)?;
                }
            }
            collector.may_be_seen = true;
        }
        Ok(collector.writer.finish()?)
    }
}

/// The header of a file that is begun now.
fn header(terms: &Terms) -> Header {
    Header { fingerprint: terms.fingerprint, written_us: real_time_us() }
}

/// What is asked of the workers, one after the other: names that they own, then copies of others.
fn wanted(workers: usize) -> Vec<Arc<Wanted>> {
    let all = [Wanted::Own, Wanted::Foreign];
    let passes = if workers > 1 { all.len() } else { 1 };
    all.into_iter().take(passes).map(Arc::new).collect()
}

/// Does what may wait for a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Removes a file.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        let file = path.display();
        warn!(%file, %error, "the snapshot of forgotten answers cannot be removed");
    }
}

/// Logs what has become of a snapshot.
fn say(path: &Path, saved: Result<Written, SaveError>, begun: Instant) {
    let file = path.display();
    match saved {
        Ok(Written { records, octets }) => {
            let took_ms = begun.elapsed().as_millis() as u64;
            info!(%file, records, octets, took_ms, "the cache is written to its snapshot");
        }
        Err(SaveError::Superseded) => {
            debug!(%file, "a snapshot of the cache is begun anew: it holds no more");
        }
        Err(error @ (SaveError::Workers(_) | SaveError::Late | SaveError::Io(_))) => {
            warn!(%file, "the cache is not written to its snapshot: {error}");
        }
    }
}

/// Writes pages, each answer once.
struct Collector {
    writer: Writer,
    seen: Seen,
    /// Whether what comes may have been written.
    may_be_seen: bool,
}

impl Collector {
    fn create(path: &Path, suffix: &str, header: Header, cache_len: u64) -> io::Result<Self> {
        let writer = Writer::create(path, suffix, header)?;
        Ok(Self { writer, seen: Seen::new(cache_len), may_be_seen: false })
    }

    fn add(&mut self, page: &Page) -> io::Result<()> {
        if !self.may_be_seen {
            page.keys.iter().for_each(|key| {
                self.seen.add(*key);
            });
            return self.writer.add(&page.octets, page.keys.len() as u64);
        }
        let mut octets = Vec::new();
        let mut count = 0;
        for (record, key) in records(&page.octets).zip(&page.keys) {
            if self.seen.add(*key) {
                record.write(&mut octets);
                count += 1;
            }
        }
        self.writer.add(&octets, count)
    }
}

/// Which keys have been written: a bit for each, by its hash. Of sixteen keys one may be taken for
/// another, and that copy is left out.
struct Seen {
    words: Vec<u64>,
    mask: u64,
}

impl Seen {
    fn new(cache_len: u64) -> Self {
        let bits = (cache_len / OCTETS_PER_BIT).clamp(64, SEEN_BITS_MAX).next_power_of_two();
        Self { words: vec![0; (bits / 64) as usize], mask: bits - 1 }
    }

    /// Adds a key; whether it is new.
    fn add(&mut self, key: u64) -> bool {
        // The upper half: names of one worker have much in common in the lower one.
        let bit = key.rotate_right(32) & self.mask;
        let (word, bit) = (&mut self.words[(bit / 64) as usize], 1 << (bit % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// Why a snapshot is not read to its end.
#[derive(Debug)]
enum RestoreError {
    /// It cannot be used.
    Refused(Refusal),
    /// The workers do not take it.
    Workers(String),
    /// Its answers do not hold any more.
    Superseded,
}

impl From<Refusal> for RestoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for RestoreError {
    fn from(error: io::Error) -> Self {
        Self::Refused(Refusal::Io(error))
    }
}

/// Why a snapshot is not written.
#[derive(Debug)]
enum SaveError {
    /// The workers do not give it.
    Workers(String),
    /// What has been written does not hold any more.
    Superseded,
    /// There is no more time.
    Late,
    /// The system cannot write it.
    Io(io::Error),
}

impl From<io::Error> for SaveError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workers(error) => error.fmt(f),
            Self::Superseded => f.write_str("it holds no more"),
            Self::Late => write!(
                f,
                "it takes more than {} seconds, and the program ends; an earlier one stays",
                LAST_WAIT.as_secs()
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}
