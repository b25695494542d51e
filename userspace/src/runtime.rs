//! Assembly: in which order everything starts, and how it ends.
//!
//! Sockets are bound before anything else, so that an operator's mistake shows at once. Each worker
//! thread makes its own cache, so that the memory lies near its CPU, and only when all are ready
//! does anybody read a query.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use dns64_ebpf::abi::{ClientEntry, ClientRule};
use ipnet::IpNet;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::cache::Shard;
use crate::config::Config;
use crate::counters::{Counters, Source};
use crate::datagram::WorkerId;
use crate::engine::{Engine, EngineSettings, HotSettings};
use crate::policy::{ClientClass, Policy};
use crate::publisher::{self, HotOrders, Publisher};
use crate::sys::clock::Clock;
use crate::sys::memory::advise_huge_pages;
use crate::sys::open_files::{self, OpenFiles};
use crate::transport::af_xdp::XskQueue;
use crate::transport::inbox::Sender;
use crate::transport::socket::{BindError, SocketTransport, open_all};
use crate::transport::task_inbox::TaskInbox;
use crate::transport::tcp::server::{self, TcpCounters, TcpQueries, TcpSettings};
use crate::transport::tcp::upstream as tcp_upstream;
use crate::wire::header::Rcode;
use crate::worker::{Command, Inboxes, Outlets, Worker};
use crate::xdp::hot::HotTable;
use crate::xdp::watch::{Around, Datapath, DatapathError, Deliver, NewQueue, Order, Tiers};

/// Messages that one inbox holds.
const INBOX_LEN: usize = 4_096;

/// The smallest cache of one worker.
const SHARD_LEN_MIN: u64 = 256 << 10;

/// How long workers may take to end: longer than any of them waits for those it serves.
const JOIN_WAIT: Duration = Duration::from_secs(4);

/// A responder that answers.
pub struct Server {
    workers: Vec<JoinHandle<()>>,
    commands: Vec<Sender<Command>>,
    ended: mpsc::UnboundedReceiver<(WorkerId, io::Result<Counters>)>,
    housekeeping: Housekeeping,
    datapath: Datapath,
    publisher: Option<Publisher>,
    addresses: Vec<SocketAddr>,
    policy: Arc<Policy>,
}

/// What the housekeeping runtime does besides waiting.
struct Housekeeping {
    runtime: Runtime,
    tasks: tokio::task::JoinSet<()>,
}

impl Server {
    /// Starts everything and returns when queries are answered. `runtime` is that of
    /// [`housekeeping`].
    ///
    /// # Errors
    /// [`StartError`]: an address cannot be bound, or the system lacks something.
    pub fn start(config: &Config, runtime: Runtime) -> Result<Self, StartError> {
        let open_files = open_files::raise_limit().unwrap_or_else(|error| {
            warn!(%error, "the limit of open files stays as it is");
            OpenFiles { before: None, after: None }
        });
        let policy = Arc::new(config.policy());
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let count = config.workers.map_or_else(|| cores.len().clamp(1, 256), usize::from);
        let transports = open_all(&config.listen, count)?;
        let addresses: Vec<SocketAddr> =
            transports.first().map(|first| first.local_addresses().to_vec()).unwrap_or_default();
        let listeners = server::listen(&addresses)?;

        let tcp_replies = TaskInbox::new(INBOX_LEN);
        let upstream_queries = TaskInbox::new(INBOX_LEN);
        let inboxes = (0..count)
            .map(|_| Inboxes::new(INBOX_LEN))
            .collect::<io::Result<Vec<_>>>()
            .map_err(StartError::System)?;
        let peers: Vec<_> = inboxes.iter().map(|inbox| inbox.peers.sender()).collect();
        let commands: Vec<_> = inboxes.iter().map(|inbox| inbox.commands.sender()).collect();
        let tcp_queries = inboxes.iter().map(|inbox| inbox.tcp.sender()).collect();
        let upstream_replies = inboxes.iter().map(|inbox| inbox.upstream_tcp.sender()).collect();

        let (ready, all_ready) = std::sync::mpsc::channel();
        let (end, ended) = mpsc::unbounded_channel();
        let unfinished = Arc::new(AtomicUsize::new(count));
        let clock = Clock::start();
        let hash_seed = u64::from_le_bytes(seed()?);
        let wants_hot = config.datapath.hot_answers != Some(false);
        let hot = (wants_hot && !config.datapath.interfaces.is_empty()).then(publisher::orders);
        let mut workers = Vec::with_capacity(count);
        for (index, (inbox, sockets)) in inboxes.into_iter().zip(transports).enumerate() {
            let parts = WorkerParts {
                id: WorkerId(index as u16),
                settings: EngineSettings {
                    policy: Arc::clone(&policy),
                    worker: WorkerId(index as u16),
                    workers: count as u16,
                    hash_seed,
                    random_seed: seed()?,
                },
                port_seed: seed()?,
                clock,
                sockets,
                inboxes: inbox,
                outlets: Outlets {
                    peers: peers.clone(),
                    tcp_replies: tcp_replies.sender(),
                    upstream_tcp: upstream_queries.sender(),
                    unfinished: Arc::clone(&unfinished),
                    hot: hot.clone(),
                },
                core: cores.get(index % cores.len().max(1)).copied(),
                ready: ready.clone(),
            };
            let end = end.clone();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    let id = parts.id;
                    let result = parts.run();
                    // Nobody listens any more when the program ends without waiting.
                    let _ended = end.send((id, result));
                })
                .map_err(StartError::System)?;
            workers.push(thread);
        }
        drop(ready);
        for _ in 0..count {
            // A worker that cannot start ends, and the channel with the last of them.
            all_ready.recv().map_err(|_| {
                StartError::System(io::Error::other("a worker could not be started"))
            })?;
        }

        let settings = tcp_settings(&policy, open_files.after);
        let counters = Arc::new(TcpCounters::default());
        let queries = TcpQueries::new(tcp_queries);
        let mut tasks = tokio::task::JoinSet::new();
        let serve = async move {
            if let Err(error) =
                server::serve(listeners, settings, queries, tcp_replies, counters).await
            {
                warn!(%error, "TCP clients are not served");
            }
        };
        tasks.spawn_on(serve, runtime.handle());
        tasks.spawn_on(tcp_upstream::run(upstream_queries, upstream_replies), runtime.handle());
        let housekeeping = Housekeeping { runtime, tasks };
        // Last, so that nothing is taken from the sockets before somebody answers it.
        let around = Around {
            listen: addresses.clone(),
            workers: count,
            seeds: (u64::from_le_bytes(seed()?), hash_seed),
            clients: client_entries(&policy),
            payload_max: u16::try_from(policy.limits.udp_payload).unwrap_or(u16::MAX),
        };
        let mut datapath = Datapath::start(&config.datapath, around, deliver_to(commands.clone()))?;
        let publisher = start_publisher(datapath.take_hot_table(), hot, clock)?;
        Ok(Self { workers, commands, ended, housekeeping, datapath, publisher, addresses, policy })
    }

    /// The addresses that queries are taken on, with the ports that were chosen for port 0.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The tier of each interface.
    #[must_use]
    pub fn tiers(&self) -> Tiers {
        self.datapath.tiers()
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The policy that is in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Serves until `stop` is done, then answers those who wait and ends. Says what was counted.
    ///
    /// # Errors
    /// If a worker has ended by itself: a fault of the program or the system.
    pub fn run_until(mut self, stop: impl Future<Output = ()>) -> io::Result<Counters> {
        let Housekeeping { runtime, tasks } = &mut self.housekeeping;
        let _tasks = tasks;
        let (ended, commands) = (&mut self.ended, &self.commands);
        runtime.block_on(async {
            tokio::select! {
                () = stop => {}
                early = ended.recv() => {
                    let Some((WorkerId(id), result)) = early else { return Ok(()) };
                    let cause = result.err().map_or_else(String::new, |error| format!(": {error}"));
                    return Err(io::Error::other(format!("worker {id} has ended{cause}")));
                }
            }
            Ok(())
        })?;
        // First of all, so that what comes now finds a socket.
        if let Some(publisher) = self.publisher.take() {
            let counts = publisher.stop();
            info!(
                published = counts.published,
                full = counts.full,
                withdrawn = counts.withdrawn,
                "hot answers"
            );
        }
        let (kernel, hot) = self.datapath.stop();
        let mut counters = Counters { kernel_drops: kernel.drops_total(), ..Counters::default() };
        for (is_ipv4, rcode, count) in hot.all_answers() {
            counters.answered_by_kernel(is_ipv4, Rcode(u16::from(rcode)), count);
        }
        counters.synthesized += hot.synthesized();
        runtime.block_on(async {
            for command in commands {
                // A full inbox of orders can only hold the same order.
                let _full = command.try_send(Command::Stop);
            }
        });
        let workers = self.workers.len();
        runtime.block_on(async {
            let all = async {
                for _ in 0..workers {
                    if let Some((_, Ok(counts))) = ended.recv().await {
                        counters.add(&counts);
                    }
                }
            };
            if tokio::time::timeout(JOIN_WAIT, all).await.is_err() {
                warn!("a worker does not end; leaving without it");
            }
            // Replies that the workers have made in the end are still on their way to TCP clients.
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        Ok(counters)
    }
}

/// The runtime for all that is not on the path of a hit: TCP, signals. It is made first, so that
/// signals are listened to before anything can be asked of us.
///
/// # Errors
/// Where there is no file descriptor left for it.
pub fn housekeeping() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// What gives the orders of the data path to the workers. A queue that finds a worker's inbox full
/// is closed with its order, and its queries come by the sockets.
fn deliver_to(commands: Vec<Sender<Command>>) -> Deliver {
    Box::new(move |worker, order| {
        let command = match order {
            Order::Open(queue) => {
                let NewQueue { id, interface, mtu, socket } = *queue;
                Command::OpenQueue(Box::new(XskQueue::new(id, interface, mtu, socket)))
            }
            Order::Close(id) => Command::CloseQueue(id),
        };
        if commands.get(worker).is_none_or(|inbox| inbox.try_send(command).is_err()) {
            warn!(worker, "the worker has no room for an order");
        }
    })
}

/// What the program is told of clients: who gets answers from it, and which.
fn client_entries(policy: &Policy) -> Vec<(IpNet, ClientEntry)> {
    let entry = |class: ClientClass| match policy.audience(class) {
        0 => ClientEntry::new(ClientRule::Refuse, 0),
        audience => ClientEntry::new(ClientRule::Answer, audience),
    };
    policy.client_networks().map(|(network, class)| (network, entry(class))).collect()
}

/// Starts the publisher, if there is a table to be written.
fn start_publisher(
    table: Option<HotTable>,
    orders: Option<HotOrders>,
    clock: Clock,
) -> Result<Option<Publisher>, StartError> {
    let (Some(table), Some(orders)) = (table, orders) else { return Ok(None) };
    Publisher::start(table, orders, clock).map(Some).map_err(StartError::System)
}

/// Everything a worker's thread starts with.
struct WorkerParts {
    id: WorkerId,
    settings: EngineSettings,
    port_seed: [u8; 32],
    clock: Clock,
    sockets: SocketTransport,
    inboxes: Inboxes,
    outlets: Outlets,
    core: Option<core_affinity::CoreId>,
    ready: std::sync::mpsc::Sender<()>,
}

impl WorkerParts {
    /// The worker's life.
    fn run(self) -> io::Result<Counters> {
        if let Some(core) = self.core
            && !core_affinity::set_for_current(core)
        {
            warn!(worker = self.id.0, core = core.id, "cannot be pinned to its CPU");
        }
        let total = self.settings.policy.cache.size_bytes;
        let share = (total / u64::from(self.settings.workers)).max(SHARD_LEN_MIN);
        let share = usize::try_from(share).map_err(io::Error::other)?;
        let shard = Shard::new_with(share, advise_huge_pages);
        let mut engine = Engine::new(self.settings, shard);
        if self.outlets.hot.is_some() {
            engine.publish_hot(HotSettings::default());
        }
        let random = ChaCha20Rng::from_seed(self.port_seed);
        let worker = Worker::new(
            self.id,
            engine,
            self.clock,
            self.sockets,
            random,
            self.inboxes,
            self.outlets,
        )?;
        // The other end is gone only if another worker has failed to start.
        let _gone = self.ready.send(());
        drop(self.ready);
        worker.run()
    }
}

/// The limits of TCP clients in the transport's words. They get half of the files that may be open
/// at most: without the others there would be no source ports, and no answers for anybody.
fn tcp_settings(policy: &Policy, open_files_max: Option<u64>) -> TcpSettings {
    let limits = &policy.limits;
    let half = open_files_max.map_or(u64::MAX, |files| files / 2);
    let connections_max = u64::from(limits.tcp_clients).min(half);
    if connections_max < u64::from(limits.tcp_clients) {
        warn!(connections_max, "limits.tcp_clients is lowered: the limit of open files is too low");
    }
    TcpSettings {
        connections_max: connections_max as usize,
        connections_per_client_max: limits.tcp_per_client as usize,
        queries_per_connection_max: limits.tcp_pipeline as usize,
        idle_timeout: Duration::from_millis(u64::from(limits.tcp_idle_ms)),
        ..TcpSettings::default()
    }
}

/// Octets from the system's random generator.
fn seed<const N: usize>() -> Result<[u8; N], StartError> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets)
        .map_err(|error| StartError::System(io::Error::other(error.to_string())))?;
    Ok(octets)
}

/// Logs what was counted, at the end.
pub fn log_counters(counters: &Counters) {
    info!(
        queries = counters.queries_total(),
        responses = counters.responses_total(),
        drops = counters.drops_total(),
        synthesized = counters.synthesized,
        cache_hits = counters.cache_hits,
        upstream_queries = counters.upstream_udp + counters.upstream_tcp,
        xsk_queries = counters.xsk_queries,
        xsk_replies = counters.xsk_replies,
        xsk_strays = counters.xsk_strays,
        xsk_full = counters.xsk_full,
        kernel_drops = counters.kernel_drops,
        kernel_answers = counters.responses_from(Source::Kernel),
        unsent = counters.unsent,
        "stopped"
    );
}

// ---- Errors

/// Why the responder does not start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be bound.
    Bind(BindError),
    /// The data path that the configuration insists on is not to be had.
    Datapath(DatapathError),
    /// The system lacks something.
    System(io::Error),
}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<DatapathError> for StartError {
    fn from(error: DatapathError) -> Self {
        Self::Datapath(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Datapath(error) => error.fmt(f),
            Self::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
