//! The running program, as those see it who ask how it is: the control socket, monitoring and the
//! watchdog.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::cache::Scope;
use crate::counters::{Counters, Source};
use crate::counting::{COUNTINGS_MAX, Counting};
use crate::datagram::Epoch;
use crate::dnssec::TrustAnchors;
use crate::engine::snapshot::{Page, Restored, Wanted};
use crate::observe::Records;
use crate::orders::{Command, Report, Restoring};
use crate::policy::Policy;
use crate::pools::Pools;
use crate::publisher::Flusher;
use crate::reload_log::ReloadLog;
use crate::runtime::{kernel_counters, seed};
use crate::snapshot::Snapshots;
use crate::top::{Ranking, Settings, Tally};
use crate::transport::inbox::Sender;
use crate::transport::task_inbox::{TaskInbox, TaskSender};
use crate::xdp::select::Steered;
use crate::xdp::watch::{DatapathView, SharedTiers};

/// How long all workers together may take to say what they have counted.
pub const WORKER_WAIT: Duration = Duration::from_secs(2);

/// Handles to the parts of the running program.
pub struct Daemon {
    /// When it began to answer.
    pub started: Instant,
    /// The addresses that queries are taken on.
    pub listen: Vec<SocketAddr>,
    /// What decides which worker's socket gets a query.
    pub steered: Steered,
    /// The configuration that is in force.
    pub in_force: InForce,
    /// The workers, by their numbers.
    pub workers: Vec<Sender<Command>>,
    /// The data path.
    pub datapath: DatapathView,
    /// The interfaces whose queries are taken to other CPUs.
    pub spreading: SharedTiers,
    /// What makes all that the kernel was given to answer count no more; `None` where it answers
    /// nothing.
    pub hot: Option<Flusher>,
    /// What is recorded of queries.
    pub records: Records,
    /// What has become of reloads.
    pub reloads: ReloadLog,
    /// What a restart will find of the caches.
    pub snapshots: Arc<Snapshots>,
    /// Places for those who look who asks most.
    pub lookers: Semaphore,
}

/// Who has asked most, and for what, for a time.
#[derive(Debug)]
pub struct Top {
    /// Of the queries that workers have had.
    pub ranking: Ranking,
    /// Queries that the XDP programs have answered meanwhile: nobody knows for whom.
    pub kernel_answers: u64,
    /// Queries that they have dropped meanwhile.
    pub kernel_drops: u64,
}

/// A configuration, as others ask for it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Its number.
    pub epoch: Epoch,
    /// What it says.
    pub policy: Arc<Policy>,
    /// Where chains of trust begin.
    pub trust_anchors: TrustAnchors,
    /// The pools of gateways.
    pub pools: Arc<Pools>,
}

/// The configuration that is in force.
#[derive(Debug)]
pub struct InForce(Mutex<Arc<Rules>>);

impl InForce {
    /// This configuration is in force.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self(Mutex::new(Arc::new(rules)))
    }

    /// The configuration that is in force now.
    #[must_use]
    pub fn get(&self) -> Arc<Rules> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another one is in force from now on.
    pub fn set(&self, rules: Rules) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}

/// What has been counted so far.
#[derive(Debug)]
pub struct Counted {
    /// The configuration under which.
    pub rules: Arc<Rules>,
    /// By all workers and the XDP programs together.
    pub counters: Counters,
    /// What each worker says, by their numbers.
    pub reports: Vec<Report>,
}

impl Daemon {
    /// What has been counted so far.
    ///
    /// # Errors
    /// If a worker does not answer in time.
    pub async fn counted(&self) -> Result<Counted, String> {
        let mut reports = self.reports().await?;
        reports.sort_by_key(|report| report.worker);
        let mut counters = self.counted_by_kernel().await;
        let rules = self.in_force.get();
        for report in &mut reports {
            if report.epoch != rules.epoch {
                // Halfway in a reload: whose servers and zones these are nobody can say.
                report.upstreams.clear();
                report.counters.rpz.clear();
            }
            counters.add(&report.counters);
        }
        Ok(Counted { rules, counters, reports })
    }

    /// What the XDP programs have counted so far.
    async fn counted_by_kernel(&self) -> Counters {
        let datapath = self.datapath.clone();
        // Its thread may be busy with an interface, and TCP clients must not wait for that.
        let counted = tokio::task::spawn_blocking(move || datapath.counted()).await;
        kernel_counters(&counted.unwrap_or_default())
    }

    /// Places for as many as may look at a time.
    #[must_use]
    pub const fn places_for_lookers() -> Semaphore {
        Semaphore::const_new(COUNTINGS_MAX)
    }

    /// Has all workers count who asks, and for what, for so long.
    ///
    /// # Errors
    /// If too many look already, or a worker does not answer in time.
    pub async fn top(&self, settings: Settings, lasts: Duration) -> Result<Top, String> {
        let _place = self.lookers.try_acquire().map_err(|_| {
            format!("{COUNTINGS_MAX} others are looking: try again when one has its result")
        })?;
        let before = self.counted_by_kernel().await;
        let seed = u64::from_le_bytes(seed().map_err(|error| error.to_string())?);
        let order = |done| {
            let tally = Box::new(Tally::new(settings, seed));
            Command::Count(Counting { tally, lasts, done })
        };
        let tallies = self.ask_all_for(lasts, order).await?;
        let after = self.counted_by_kernel().await;
        // Many workers have many names, and TCP clients must not wait until they are sorted.
        let ranking = tokio::task::spawn_blocking(move || {
            Ranking::of(tallies.into_iter().map(|tally| *tally).collect())
        });
        Ok(Top {
            ranking: ranking.await.map_err(|error| error.to_string())?,
            // An interface that has gone meanwhile has taken its counts along.
            kernel_answers: after
                .responses_from(Source::Kernel)
                .saturating_sub(before.responses_from(Source::Kernel)),
            kernel_drops: after.kernel_drops.saturating_sub(before.kernel_drops),
        })
    }

    /// Has all workers forget answers, and the kernel what it was given of any; how many answers
    /// there were.
    ///
    /// # Errors
    /// If a worker does not answer in time.
    pub async fn flush(&self, scope: Scope) -> Result<u64, String> {
        self.snapshots.forget();
        let scope = Arc::new(scope);
        let mut flushed = 0;
        // Twice: the first to forget may learn it anew from one that has not yet forgotten.
        for _ in 0..2 {
            let order = |reply| Command::Flush(Arc::clone(&scope), reply);
            flushed += self.ask_all(order).await?.iter().sum::<u64>();
        }
        if let Some(hot) = self.hot.clone() {
            let taken = tokio::task::spawn_blocking(move || hot.flush()).await;
            if let Ok(Some(generation)) = taken {
                for worker in &self.workers {
                    // One without room goes on to publish for the old generation, which counts no
                    // more.
                    let _full = worker.try_send(Command::FlushHot(generation));
                }
            }
        }
        Ok(flushed)
    }

    /// A page of a worker's cache, from a bucket on.
    ///
    /// # Errors
    /// If there is no such worker, or it does not answer in time.
    pub async fn cache_page(
        &self,
        worker: usize,
        from: u32,
        wanted: &Arc<Wanted>,
    ) -> Result<Page, String> {
        let inbox = self.workers.get(worker).ok_or_else(|| format!("no worker {worker}"))?;
        let mut reply = TaskInbox::new(1);
        inbox
            .try_send(Command::ShowCache(from, Arc::clone(wanted), reply.sender()))
            .map_err(|_| format!("worker {worker} has no room for an order: try again"))?;
        let late = |_| format!("worker {worker} has not answered in time");
        timeout(WORKER_WAIT, reply.recv()).await.map_err(late)
    }

    /// Has each worker take the answers that belong to it.
    ///
    /// # Errors
    /// If a worker does not answer in time.
    pub async fn restore(&self, page: Arc<Restoring>) -> Result<Restored, String> {
        let order = |reply| Command::Restore(Arc::clone(&page), reply);
        let mut restored = Restored::default();
        self.ask_all(order).await?.into_iter().for_each(|one| restored.add(one));
        Ok(restored)
    }

    /// What each worker has counted, in the order in which they answer.
    ///
    /// # Errors
    /// If one of them does not answer in time.
    async fn reports(&self) -> Result<Vec<Report>, String> {
        self.ask_all(Command::Report).await
    }

    /// Gives all workers an order; their replies, in the order in which they come.
    async fn ask_all<T>(&self, order: impl Fn(TaskSender<T>) -> Command) -> Result<Vec<T>, String> {
        self.ask_all_for(Duration::ZERO, order).await
    }

    /// Gives all workers an order that takes so long.
    async fn ask_all_for<T>(
        &self,
        lasts: Duration,
        order: impl Fn(TaskSender<T>) -> Command,
    ) -> Result<Vec<T>, String> {
        let mut inbox = TaskInbox::new(self.workers.len());
        for (number, worker) in self.workers.iter().enumerate() {
            worker
                .try_send(order(inbox.sender()))
                .map_err(|_| format!("worker {number} has no room for an order: try again"))?;
        }
        let mut replies = Vec::with_capacity(self.workers.len());
        let all = async {
            while replies.len() < self.workers.len() {
                replies.push(inbox.recv().await);
            }
        };
        if timeout(lasts + WORKER_WAIT, all).await.is_err() {
            let (there, wanted) = (replies.len(), self.workers.len());
            return Err(format!("only {there} of {wanted} workers have answered in time"));
        }
        Ok(replies)
    }
}
