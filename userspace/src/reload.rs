//! Another configuration while we run: `dns64ctl reload`, and SIGHUP.
//!
//! ```text
//!   file ──► Config ──► policy, validator; for each worker    all that can fail or takes time,
//!                       an engine, its sockets, a script      first, beside the workers
//!                              │
//!        1. the kernel gives no published answer any more
//!        2. the XDP program has the new clients
//!        3. each worker puts its new engine in the place of the old one, and publishes anew
//!        4. others see the new configuration
//! ```
//!
//! Until 3 a worker answers by the old configuration, from then on by the new one, but for those
//! who wait: they get what they asked for. A worker stands still for no part of this: what it puts
//! in place is ready, and what has ended is dropped by [`drop_ended`].
//!
//! A file with a mistake changes nothing. What cannot change while we run is refused by its key,
//! and then nothing else changes either.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::cache::Shard;
use crate::config::{self, Change, Config, ConfigErrors, LogLevel};
use crate::daemon::{Daemon, Rules, WORKER_WAIT};
use crate::datagram::{Epoch, InEpoch, WorkerId};
use crate::dnssec::{self, FromValidator};
use crate::engine::{Engine, EngineSettings, HotSettings};
use crate::orders::{Command, RETIRED_MAX, Reconfiguration};
use crate::policy::Policy;
use crate::runtime::{StartError, client_entries, load_script, seed, shard_len, start_validator};
use crate::serving::{Prepared, Serving};
use crate::snapshot::Terms;
use crate::sys::clock::Clock;
use crate::sys::memory::advise_huge_pages;
use crate::transport::inbox::Sender;
use crate::transport::poll::Registry;
use crate::transport::task_inbox::TaskInbox;
use crate::transport::upstream::POOL_LEN;

/// How long workers may take until clients of earlier configurations have been answered.
const RETIRE_WAIT: Duration = Duration::from_secs(5);

/// How often that is looked at, and a worker without room is told again.
const RETRY: Duration = Duration::from_millis(10);

/// How long the validator of an earlier configuration goes on: longer than any client waits.
const VALIDATOR_LIFE: Duration = Duration::from_secs(6);

/// The sockets that are opened ahead for another configuration are one in so many of the files that
/// may be open at most.
const AHEAD_SHARE: u64 = 4;

/// Sets what is logged; whether that has an effect: the environment may have decided.
pub type SetLevel = Box<dyn Fn(LogLevel) -> bool + Send + Sync>;

/// What a reload needs of the running program.
pub struct Parts {
    /// The running program.
    pub daemon: Arc<Daemon>,
    /// The configuration in force.
    pub config: Config,
    /// The workers' inboxes for the validator, by their numbers.
    pub from_validator: Vec<Sender<InEpoch<FromValidator>>>,
    /// The validator, where answers are validated.
    pub validator: Option<dnssec::Service>,
    /// The task that watches the gateways.
    pub watch: JoinHandle<()>,
    /// What workers have for all configurations.
    pub workplaces: Workplaces,
}

/// Puts other configurations in force.
pub struct Reloader {
    daemon: Arc<Daemon>,
    from_validator: Vec<Sender<InEpoch<FromValidator>>>,
    /// The file; `None` where the program runs without one.
    path: Option<PathBuf>,
    set_level: SetLevel,
    workplaces: Arc<Workplaces>,
    /// One reload at a time.
    state: Mutex<State>,
}

/// What is in force.
struct State {
    config: Config,
    /// What is logged now.
    level: LogLevel,
    validator: Option<dnssec::Service>,
    watch: JoinHandle<()>,
}

/// What a reload has changed, or would.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is different.
    pub changes: Vec<Change>,
    /// The keys that stand in the way, because only a new start can change them.
    pub needs_restart: Vec<&'static str>,
    /// Whether the answers in the cache stay.
    pub keeps_cache: bool,
    /// What is accepted but probably not meant.
    pub warnings: Vec<String>,
}

/// What has been made for a configuration before anything changes.
struct Ready {
    config: Config,
    policy: Arc<Policy>,
    validator: Option<dnssec::Service>,
    /// For the workers, by their numbers.
    prepared: Vec<Prepared>,
}

/// What workers have for all configurations.
pub struct Workplaces {
    /// Seed of the hash of names.
    pub hash_seed: u64,
    /// The workers' clock.
    pub clock: Clock,
    /// Handles to the workers' epolls, by their numbers.
    pub registries: Vec<Registry>,
    /// Files that may be open; `None` where that is not known.
    pub open_files_max: Option<u64>,
}

impl Workplaces {
    /// An engine for each worker, and where its sockets are registered.
    fn engines(
        &self,
        policy: &Arc<Policy>,
        keeps_cache: bool,
        epoch: Epoch,
    ) -> impl Iterator<Item = Result<(Engine, Registry), StartError>> {
        let workers = self.registries.len() as u16;
        self.registries.iter().zip(0..).map(move |(registry, number)| {
            let settings = EngineSettings {
                policy: Arc::clone(policy),
                worker: WorkerId(number),
                workers,
                hash_seed: self.hash_seed,
                random_seed: seed()?,
            };
            let len = shard_len(policy, usize::from(workers));
            let cache = (!keeps_cache).then(|| Shard::new_with(len, advise_huge_pages));
            Ok((Engine::successor(settings, epoch, cache), registry.clone()))
        })
    }

    /// Whether all sockets to so many servers may be opened ahead, beside those of the
    /// configuration in force: with few files they are opened one by one as they are needed.
    fn has_files_for(&self, servers: usize) -> bool {
        let sockets = (self.registries.len() * servers * POOL_LEN) as u64;
        self.open_files_max.is_some_and(|files| sockets <= files / AHEAD_SHARE)
    }
}

impl Reloader {
    /// Reloads come from this file.
    #[must_use]
    pub fn new(parts: Parts, path: Option<PathBuf>, set_level: SetLevel) -> Self {
        let Parts { daemon, config, from_validator, validator, watch, workplaces } = parts;
        let level = config.log_level;
        let state = Mutex::new(State { config, level, validator, watch });
        let workplaces = Arc::new(workplaces);
        Self { daemon, from_validator, path, set_level, workplaces, state }
    }

    /// The running program.
    #[must_use]
    pub const fn daemon(&self) -> &Arc<Daemon> {
        &self.daemon
    }

    /// What a reload would change.
    ///
    /// # Errors
    /// If there is no file, or it has mistakes.
    pub async fn preview(&self) -> Result<Outcome, ReloadError> {
        let state = self.state.lock().await;
        let config = self.read().await?;
        Ok(outcome(&state.config, &config))
    }

    /// Reads the file again and puts it in force.
    ///
    /// # Errors
    /// Why everything stays as it was.
    pub async fn reload(&self) -> Result<Outcome, ReloadError> {
        // Whoever has moved the query log's file away may say so by a reload, too.
        self.daemon.records.reopen();
        let result = self.try_to_reload().await;
        let generation = self.daemon.in_force.get().epoch.0;
        self.daemon.reloads.add(generation, &result);
        result
    }

    /// Reads the file again and puts it in force.
    async fn try_to_reload(&self) -> Result<Outcome, ReloadError> {
        let mut state = self.state.lock().await;
        let config = self.read().await?;
        let outcome = outcome(&state.config, &config);
        if !outcome.needs_restart.is_empty() {
            return Err(ReloadError::NeedsRestart(outcome.needs_restart));
        }
        if outcome.changes.is_empty() {
            self.restore_level(&mut state, config.log_level);
            return Ok(outcome);
        }
        self.wait_for_retired().await?;
        let ready = self.prepare(config, outcome.keeps_cache).await?;
        self.apply(&mut state, ready).await?;
        let epoch = self.daemon.in_force.get().epoch.0;
        info!(epoch, changes = outcome.changes.len(), "another configuration is in force");
        Ok(outcome)
    }

    /// Reads the file.
    async fn read(&self) -> Result<Config, ReloadError> {
        let path = self.path.clone().ok_or(ReloadError::NoFile)?;
        let read = tokio::task::spawn_blocking(move || config::load(&path)).await;
        let config = read.map_err(io::Error::other).map_err(ReloadError::System)?;
        config.map_err(ReloadError::Config)
    }

    /// Waits until workers have room for another engine beside those whose clients still wait.
    async fn wait_for_retired(&self) -> Result<(), ReloadError> {
        let has_room = async {
            loop {
                let reports = self.daemon.counted().await.map_err(ReloadError::Workers)?.reports;
                if reports.iter().all(|report| report.retired + 1 < RETIRED_MAX) {
                    return Ok(());
                }
                sleep(RETRY).await;
            }
        };
        let late = || Err(ReloadError::Workers("clients of earlier ones still wait".to_owned()));
        timeout(RETIRE_WAIT, has_room).await.unwrap_or_else(|_| late())
    }

    /// Makes what can fail to be made, and what takes time.
    async fn prepare(&self, config: Config, keeps_cache: bool) -> Result<Ready, ReloadError> {
        let (daemon, workplaces) = (Arc::clone(&self.daemon), Arc::clone(&self.workplaces));
        let workers = self.from_validator.clone();
        let made = tokio::task::spawn_blocking(move || {
            let policy = Arc::new(config.policy());
            let epoch = daemon.in_force.get().epoch.next();
            let (validator, to_validator) = start_validator(epoch, &config, &policy, workers)?;
            let engines = workplaces.engines(&policy, keeps_cache, epoch);
            let prepared = engines.map(|made| {
                let (mut engine, registry) = made?;
                if daemon.hot.is_some() {
                    engine.publish_hot(HotSettings::default());
                }
                let script = load_script(config.script.as_ref(), &daemon.listen)?;
                let random = ChaCha20Rng::from_seed(seed()?);
                let mut serving = Serving::new(engine, registry, random, to_validator.clone());
                if workplaces.has_files_for(policy.upstreams.len()) {
                    serving.upstream.open_ahead(workplaces.clock.now());
                }
                Ok::<_, StartError>(Prepared::new(serving, script.map(Box::new)))
            });
            let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
            Ok(Ready { config, policy, validator, prepared })
        });
        let made = made.await.map_err(io::Error::other).map_err(ReloadError::System)?;
        made.map_err(ReloadError::Start)
    }

    /// Puts a configuration in force.
    async fn apply(&self, state: &mut State, ready: Ready) -> Result<(), ReloadError> {
        let Ready { config, policy, validator, prepared } = ready;
        let daemon = &self.daemon;
        let before = daemon.in_force.get();
        let epoch = before.epoch.next();
        let generation = self.take_from_kernel(&before.policy, &policy).await?;

        // Before any worker has another cache: what is being read or written may not hold in it.
        daemon.snapshots.set(Terms::of(&config));
        state.watch.abort();
        let pools = Arc::new(before.pools.successor(&config.pools));
        let mut done = TaskInbox::new(daemon.workers.len());
        for (worker, mut prepared) in daemon.workers.iter().zip(prepared) {
            prepared.set_pools(pools.tables());
            prepared.publish_as(generation);
            let order = Reconfiguration { prepared, done: done.sender() };
            tell(worker, Command::Reconfigure(Box::new(order))).await;
        }
        let all = async {
            for _ in 0..daemon.workers.len() {
                done.recv().await;
            }
        };
        if timeout(WORKER_WAIT, all).await.is_err() {
            // It has the order, and carries it out before it takes another query.
            warn!("a worker is busy: it has not said yet that it serves the new configuration");
        }
        state.watch = tokio::spawn(Arc::clone(&pools).watch());
        let trust_anchors = config.trust_anchors.clone();
        daemon.records.set_policy(&policy);
        daemon.in_force.set(Rules { epoch, policy, trust_anchors, pools });
        if let Some(service) = std::mem::replace(&mut state.validator, validator) {
            // Those who wait under the earlier configuration may need it.
            tokio::spawn(async move {
                sleep(VALIDATOR_LIFE).await;
                drop(service);
            });
        }
        for warning in &config.warnings {
            warn!("{warning}");
        }
        self.restore_level(state, config.log_level);
        state.config = config;
        Ok(())
    }

    /// Logs as a configuration says, whatever `dns64ctl log-level` has said before.
    fn restore_level(&self, state: &mut State, level: LogLevel) {
        if (self.set_level)(level) {
            state.level = level;
        }
    }

    /// Logs at another level until the next reload; whether that has an effect.
    pub async fn set_log_level(&self, level: LogLevel) -> bool {
        let mut state = self.state.lock().await;
        let is_set = (self.set_level)(level);
        if is_set {
            state.level = level;
        }
        is_set
    }

    /// The level at which is logged, and the one that the configuration names.
    pub async fn log_level(&self) -> (LogLevel, LogLevel) {
        let state = self.state.lock().await;
        (state.level, state.config.log_level)
    }

    /// Has the kernel answer nothing of the configuration before, and know the clients of the one
    /// that comes: the generation under which workers may publish anew.
    async fn take_from_kernel(
        &self,
        before: &Policy,
        after: &Arc<Policy>,
    ) -> Result<Option<u32>, ReloadError> {
        let flusher = self.daemon.hot.clone();
        let payload_max = u16::try_from(after.limits.udp_payload).unwrap_or(u16::MAX);
        let (old, new) = (client_entries(before), client_entries(after));
        let datapath = self.daemon.datapath.clone();
        let written = tokio::task::spawn_blocking(move || {
            let generation = flusher.and_then(|flusher| flusher.flush_for(payload_max));
            if old == new {
                return Ok(generation);
            }
            datapath.set_clients(new).map(|()| generation).inspect_err(|_| {
                // Workers publish nothing that counts until the next reload, so that nobody gets
                // the answers of others whatever the table holds.
                let _no_better = datapath.set_clients(old);
            })
        });
        let written = written.await.map_err(io::Error::other).map_err(ReloadError::System)?;
        written.map_err(ReloadError::Kernel)
    }
}

/// Drops what workers have let go of. To free tables and close sockets takes longer than a worker
/// may stand still, and longer than TCP clients should wait for this thread.
pub async fn drop_ended(mut ended: TaskInbox<Box<Serving>>) {
    loop {
        let serving = ended.recv().await;
        let dropped = tokio::task::spawn_blocking(move || drop(serving));
        let _cannot_fail = dropped.await;
    }
}

/// Gives a worker an order, when it has room for it.
async fn tell(worker: &Sender<Command>, mut order: Command) {
    while let Err(refused) = worker.try_send(order) {
        order = refused;
        sleep(RETRY).await;
    }
}

/// What becomes different with another configuration.
fn outcome(before: &Config, after: &Config) -> Outcome {
    Outcome {
        changes: before.changes(after),
        needs_restart: before.needs_restart(after),
        keeps_cache: before.keeps_cache(after),
        warnings: after.warnings.iter().map(ToString::to_string).collect(),
    }
}

impl Outcome {
    /// For programs: keys are always there, and are never renamed.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let changes = self.changes.iter().map(
            |Change { key, before, after }| json!({ "key": key, "before": before, "after": after }),
        );
        json!({
            "changes": changes.collect::<Vec<_>>(),
            "needs_restart": self.needs_restart,
            "cache": if self.keeps_cache { "kept" } else { "new" },
            "warnings": self.warnings,
        })
    }
}

/// Why a configuration is not put in force.
#[derive(Debug)]
pub enum ReloadError {
    /// The program runs without a file.
    NoFile,
    /// The file has mistakes.
    Config(ConfigErrors),
    /// These keys cannot change while the program runs.
    NeedsRestart(Vec<&'static str>),
    /// What the configuration needs cannot be made.
    Start(StartError),
    /// Workers do not answer in time.
    Workers(String),
    /// The XDP program cannot be told.
    Kernel(String),
    /// The system lacks something.
    System(io::Error),
}

impl ReloadError {
    /// The kind of error in a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::NoFile | Self::Config(_) => "file",
            Self::NeedsRestart(_) => "restart",
            Self::Start(_) => "start",
            Self::Workers(_) => "workers",
            Self::Kernel(_) => "kernel",
            Self::System(_) => "system",
        }
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str(
                "dns64d runs without a configuration file\n  hint: start it with --config FILE",
            ),
            Self::Config(errors) => write!(f, "{errors}"),
            Self::NeedsRestart(keys) => write!(
                f,
                "cannot change while dns64d runs: {}\n  hint: restart it, or put these back; nothing \
                 has changed",
                keys.join(", ")
            ),
            Self::Start(error) => error.fmt(f),
            Self::Workers(error) => write!(f, "workers are busy: {error}; try again"),
            Self::Kernel(error) => write!(f, "the XDP program has no new clients: {error}"),
            Self::System(error) => write!(f, "the system lacks something: {error}"),
        }
    }
}

impl std::error::Error for ReloadError {}
