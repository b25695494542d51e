//! What is recorded of single queries: the query log, and dnstap.
//!
//! ```text
//!   worker ── Observer ──► lane, a bounded queue ──► thread "dnstap"    ──► its reader's socket
//!                    └───► lane, a bounded queue ──► thread "query-log" ──► file
//! ```
//!
//! Where nothing is recorded a worker pays one branch a query. Where something is, it copies the
//! message into an event that was made at the start. A writer that cannot keep up, or whose reader
//! has gone, costs events, which are counted, and never an answer.

pub mod dnstap;
pub mod frames;
pub mod lane;
pub mod line;
pub mod observer;
pub mod query_log;
pub mod reader;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use tracing::{info, warn};

use self::lane::{Counts, Lane, Outlet, lane};
pub use self::observer::Observed;
use self::observer::{Observer, Tap};
use self::query_log::LogFile;
use crate::config::{Config, DnstapMessage, DnstapSettings, QueryLogSettings};
use crate::datapath::{DatapathSettings, Mode};
use crate::policy::Policy;
use crate::pref64::Pref64;
use crate::sys::capabilities::{Capabilities, spawn_with};
use crate::sys::clock::Clock;

/// What a writer and those who speak to it share.
#[derive(Debug)]
pub struct Shared {
    /// What has become of events.
    pub counts: Arc<Counts>,
    /// Whether it is to write what is there, and end.
    stop: AtomicBool,
    /// How often it has been told to open its file anew.
    reopens: AtomicU64,
    /// The prefixes that synthesized addresses have.
    prefixes: Mutex<Arc<[Pref64]>>,
}

impl Shared {
    /// What has become of events is counted here.
    fn new(counts: &Arc<Counts>, policy: &Policy) -> Arc<Self> {
        Arc::new(Self {
            counts: Arc::clone(counts),
            stop: AtomicBool::new(false),
            reopens: AtomicU64::new(0),
            prefixes: Mutex::new(prefixes_of(policy)),
        })
    }

    /// Whether the writer is to end.
    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// How often the file is to have been opened anew.
    fn reopens(&self) -> u64 {
        self.reopens.load(Ordering::Acquire)
    }

    /// The prefixes that synthesized addresses have.
    fn prefixes(&self) -> Arc<[Pref64]> {
        Arc::clone(&self.prefixes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Every prefix that somebody gets, the longest first.
fn prefixes_of(policy: &Policy) -> Arc<[Pref64]> {
    let views = policy.views.iter().filter(|view| view.enabled);
    let mut prefixes: Vec<Pref64> =
        views.flat_map(|view| view.prefixes.iter().map(|prefix| prefix.pref64)).collect();
    prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.length().bits()));
    prefixes.dedup();
    prefixes.into()
}

/// What has been recorded and what could not be, for monitoring; and orders to the writers.
#[derive(Clone, Debug)]
pub struct Records {
    /// The events of dnstap.
    pub dnstap: Arc<Counts>,
    /// The lines of the query log.
    pub query_log: Arc<Counts>,
    writer: Option<(Arc<Shared>, Thread)>,
}

impl Records {
    /// Has the query log open its file anew: it has been moved away.
    pub fn reopen(&self) {
        if let Some((shared, thread)) = &self.writer {
            shared.reopens.fetch_add(1, Ordering::AcqRel);
            thread.unpark();
        }
    }

    /// Synthesized addresses have the prefixes of this policy from now on.
    pub fn set_policy(&self, policy: &Policy) {
        if let Some((shared, _)) = &self.writer {
            let prefixes = prefixes_of(policy);
            *shared.prefixes.lock().unwrap_or_else(PoisonError::into_inner) = prefixes;
        }
    }
}

/// A writer's thread and the workers' ends of its lanes.
#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    lanes: Vec<Lane>,
}

impl Writer {
    /// Starts a thread that writes what comes out of a lane for each worker.
    fn start(
        name: &str,
        workers: usize,
        shared: Arc<Shared>,
        run: impl FnOnce(Vec<Outlet>, &Shared) + Send + 'static,
    ) -> io::Result<Self> {
        let (lanes, outlets): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| lane(Arc::clone(&shared.counts))).unzip();
        let theirs = Arc::clone(&shared);
        // Root may write where others may not, too.
        let thread = spawn_with(Capabilities::FILES, name, move || run(outlets, &theirs))?;
        Ok(Self { shared, thread, lanes })
    }

    /// The end of a lane for the next worker.
    fn tap(&mut self, sample: u32, messages: &[DnstapMessage]) -> Option<Tap> {
        let lane = self.lanes.pop()?;
        Some(Tap::new(lane, self.thread.thread().clone(), sample, messages))
    }

    /// Writes what is there, and ends.
    fn stop(self) {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        // It has logged what was wrong, if anything was.
        let _ended = self.thread.join();
    }
}

/// Everything that records.
#[derive(Debug)]
pub struct Recording {
    dnstap: Option<(Writer, DnstapSettings)>,
    query_log: Option<(Writer, QueryLogSettings)>,
    records: Records,
    clock: Clock,
    listen: Vec<SocketAddr>,
    seed: u64,
}

impl Recording {
    /// Starts what the configuration wants, for so many workers that listen on these addresses.
    ///
    /// # Errors
    /// [`RecordError`]: the file cannot be opened, or there is no room for a thread.
    pub fn start(
        config: &Config,
        policy: &Policy,
        workers: usize,
        listen: &[SocketAddr],
        (clock, seed): (Clock, u64),
    ) -> Result<Self, RecordError> {
        let (dnstap_counts, log_counts) = (Arc::default(), Arc::default());
        let query_log = match &config.query_log {
            Some(settings) => {
                let file = LogFile::open(&settings.file)
                    .map_err(|error| RecordError::File(settings.file.clone(), error))?;
                let shared = Shared::new(&log_counts, policy);
                let theirs = settings.clone();
                let run = move |outlets: Vec<Outlet>, shared: &Shared| {
                    query_log::run(file, &theirs, outlets, shared);
                };
                let writer = Writer::start("query-log", workers, shared, run)?;
                let (file, sample) = (settings.file.display(), settings.sample);
                info!(%file, sample, "queries are logged");
                Some((writer, settings.clone()))
            }
            None => None,
        };
        let dnstap = match &config.dnstap {
            Some(settings) => {
                let shared = Shared::new(&dnstap_counts, policy);
                let theirs = settings.clone();
                let run = move |outlets: Vec<Outlet>, shared: &Shared| {
                    reader::run(&theirs, outlets, shared);
                };
                let writer = Writer::start("dnstap", workers, shared, run)?;
                Some((writer, settings.clone()))
            }
            None => None,
        };
        let writer = query_log
            .as_ref()
            .map(|(writer, _)| (Arc::clone(&writer.shared), writer.thread.thread().clone()));
        let records = Records { dnstap: dnstap_counts, query_log: log_counts, writer };
        Ok(Self { dnstap, query_log, records, clock, listen: listen.to_vec(), seed })
    }

    /// What the next worker records with. To be called once for each.
    #[must_use]
    pub fn for_worker(&mut self) -> Observed {
        let dnstap = self
            .dnstap
            .as_mut()
            .and_then(|(writer, settings)| writer.tap(settings.sample, &settings.messages));
        let query_log = self.query_log.as_mut().and_then(|(writer, settings)| {
            writer.tap(settings.sample, &[DnstapMessage::ClientResponse])
        });
        if dnstap.is_none() && query_log.is_none() {
            return Observed::default();
        }
        let listen = self.listen.clone();
        Observed::by(Observer::new(self.clock, listen, self.seed, dnstap, query_log))
    }

    /// What has been recorded, and orders to the writers.
    #[must_use]
    pub const fn records(&self) -> &Records {
        &self.records
    }

    /// Writes what is there, and ends. To be called when the workers have ended.
    pub fn stop(self) {
        let Records { dnstap, query_log, .. } = self.records;
        let dnstap = self.dnstap.map(|(writer, _)| ("dnstap", writer, dnstap));
        let query_log = self.query_log.map(|(writer, _)| ("query log", writer, query_log));
        for (what, writer, counts) in [dnstap, query_log].into_iter().flatten() {
            writer.stop();
            let (written, dropped) = (counts.written(), counts.dropped());
            match dropped {
                0 => info!(written, "{what}: all was written"),
                _ => warn!(written, dropped, "{what}: not all could be written"),
            }
        }
    }
}

/// The data path of a configuration that records queries. What the XDP program answers no worker
/// sees; so where every query is to be recorded, it answers nothing unless it must.
#[must_use]
pub fn datapath_of(config: &Config) -> DatapathSettings {
    let mut settings = config.datapath.clone();
    let of_clients = |dnstap: &DnstapSettings| dnstap.messages.iter().any(|it| it.is_of_client());
    let log = config.query_log.as_ref().map(|log| ("query_log", log.sample));
    let dnstap = config.dnstap.as_ref().filter(|dnstap| of_clients(dnstap));
    let dnstap = dnstap.map(|dnstap| ("dnstap", dnstap.sample));
    let recorders: Vec<(&str, u32)> = log.into_iter().chain(dnstap).collect();
    if recorders.is_empty() || settings.mode == Mode::Socket || settings.interfaces.is_empty() {
        return settings;
    }
    let whole = recorders.iter().find(|(_, sample)| *sample == 1);
    match (settings.hot_answers, whole) {
        (Some(false), _) => {}
        (None, Some((table, _))) => {
            info!("no hot answers inside XDP: [{table}] is to have every query");
            settings.hot_answers = Some(false);
        }
        (Some(true), _) | (None, None) => {
            let tables: Vec<String> = recorders.iter().map(|(it, _)| format!("[{it}]")).collect();
            warn!("hot answers inside XDP are not in {}", tables.join(" and "));
        }
    }
    settings
}

/// Why queries cannot be recorded.
#[derive(Debug)]
pub enum RecordError {
    /// The file of the query log cannot be opened.
    File(PathBuf, io::Error),
    /// There is no room for a thread.
    Thread(io::Error),
}

impl From<io::Error> for RecordError {
    fn from(error: io::Error) -> Self {
        Self::Thread(error)
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(
                f,
                "query_log.file: cannot write to {}: {error}\n  hint: the directory must be there, \
                 and dns64d's user may write in it",
                path.display()
            ),
            Self::Thread(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for RecordError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn hot_answers(text: &str) -> Option<bool> {
        let text = format!(
            "[upstream]\nservers = [\"192.0.2.53\"]\n[datapath]\ninterfaces = [\"eth0\"]\n{text}"
        );
        datapath_of(&parse(&text, "test.toml").expect("a configuration")).hot_answers
    }

    #[test]
    fn who_wants_every_query_gets_no_hot_answers_but_on_demand() {
        let log = "[query_log]\nfile = \"/var/log/queries.log\"\n";
        let tap = "[dnstap]\nsocket = \"/run/tap.sock\"\n";
        assert_eq!(hot_answers(""), None);
        for text in [log, tap] {
            assert_eq!(hot_answers(text), Some(false), "{text}");
            assert_eq!(hot_answers(&format!("{text}sample = 100\n")), None, "{text}");
            assert_eq!(hot_answers(&format!("hot_answers = true\n{text}")), Some(true), "{text}");
        }
        let forwarded = format!("{tap}messages = [\"forwarder_query\"]\n");
        assert_eq!(hot_answers(&forwarded), None, "of clients nothing is recorded");
    }
}
