//! Assembly: in which order everything starts, and how it ends.
//!
//! Sockets are bound before anything else, so that an operator's mistake shows at once. Each worker
//! thread makes its own cache, so that the memory lies near its CPU, and only when all are ready
//! does anybody read a query.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dns64_ebpf::abi::{
    CLIENTS_MAX, ClientEntry, ClientRule, REFUSED, SteerBy, SteerConfig, SteerMode,
};
use dns64_ebpf::classify;
use ipnet::IpNet;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::cache::Shard;
use crate::config::{Config, MetricsSettings};
use crate::control::listen::{ControlListener, ListenError, SocketFile};
use crate::control::server as control;
use crate::counters::{Counters, DropReason, Source, ValidationResult};
use crate::daemon::{Daemon, InForce, Rules};
use crate::datagram::{Epoch, InEpoch, WorkerId};
use crate::datapath::{DatapathSettings, Mode};
use crate::dnssec;
use crate::engine::{Engine, EngineSettings, HotSettings, refusal};
use crate::metrics;
use crate::observe::{self, RecordError, Recording};
use crate::orders::Command;
use crate::policy::{ClientClass, DnssecMode, Policy};
use crate::pools::Pools;
use crate::publisher::{self, HotOrders, Publisher};
use crate::reload::{self, Reloader, SetLevel};
use crate::reload_log::ReloadLog;
use crate::script::{LuaScript, ScriptError, ScriptSource};
use crate::sys::capabilities::{Capabilities, keep_at_most};
use crate::sys::clock::Clock;
use crate::sys::memory::advise_huge_pages;
use crate::sys::open_files::{self, OpenFiles};
use crate::transport::af_xdp::XskQueue;
use crate::transport::inbox::Sender;
use crate::transport::passed::{PassedError, PassedSockets};
use crate::transport::socket::{BindError, SocketTransport, open_all_but};
use crate::transport::task_inbox::{TaskInbox, TaskSender};
use crate::transport::tcp::server::{self, TcpCounters, TcpQueries, TcpSettings};
use crate::transport::tcp::upstream as tcp_upstream;
use crate::watchdog;
use crate::wire::header::Rcode;
use crate::worker::{Inboxes, Outlets, Worker};
use crate::xdp::compact;
use crate::xdp::hot::HotTable;
use crate::xdp::ladder::Step;
use crate::xdp::select::{Selection, Steered};
use crate::xdp::spreading::{self, Spreading, Workers};
use crate::xdp::watch::{
    Around, Counted, Datapath, DatapathError, Deliver, NewQueue, Order, Tiers,
};

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
    selection: Option<Selection>,
    steered: Steered,
    recording: Recording,
    spreading: Spreading,
    publisher: Option<Publisher>,
    /// Has the validator, which ends when it is dropped, after the workers.
    reloader: Arc<Reloader>,
    addresses: Vec<SocketAddr>,
    policy: Arc<Policy>,
    /// Removes the file of the control socket at the end.
    _control: Option<SocketFile>,
}

/// Where other configurations come from while we run.
pub struct ConfigSource {
    /// The file; `None`: nowhere.
    pub path: Option<PathBuf>,
    /// Sets what is logged.
    pub set_level: SetLevel,
}

impl Default for ConfigSource {
    /// No file.
    fn default() -> Self {
        Self { path: None, set_level: Box::new(|_| false) }
    }
}

/// What the housekeeping runtime does besides waiting.
struct Housekeeping {
    runtime: Runtime,
    tasks: tokio::task::JoinSet<()>,
}

impl Server {
    /// Starts everything and returns when queries are answered. `runtime` is that of
    /// [`housekeeping`]; other configurations come from `source`, and sockets that were opened by
    /// others are in `passed`.
    ///
    /// # Errors
    /// [`StartError`]: an address cannot be bound, or the system lacks something.
    pub fn start(
        config: &Config,
        source: ConfigSource,
        mut passed: PassedSockets,
        runtime: Runtime,
    ) -> Result<Self, StartError> {
        let open_files = open_files::raise_limit().unwrap_or_else(|error| {
            warn!(%error, "the limit of open files stays as it is");
            OpenFiles { before: None, after: None }
        });
        let policy = Arc::new(config.policy());
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let count = worker_count(config, &cores);
        let passed_udp = passed.take_udp(&config.listen, count)?;
        let transports = open_all_but(passed_udp, &config.listen, count)?;
        let addresses: Vec<SocketAddr> =
            transports.first().map(|first| first.local_addresses().to_vec()).unwrap_or_default();
        let listeners = server::listen(&addresses, &mut passed)?;
        passed.all_taken()?;
        warn_of_shared(&transports, count);
        let control = config.control.as_ref().map(ControlListener::bind).transpose()?;
        let metrics = config.metrics.map(listen_for_metrics).transpose()?;
        let hash_seed = u64::from_le_bytes(seed()?);
        let flow_seed = u64::from_le_bytes(seed()?);
        let by = config.datapath.steering;
        let workers = Workers {
            listen: addresses.clone(),
            config: SteerConfig::new(SteerMode::Worker, by, count as u16, flow_seed, hash_seed),
            cpus: cpus_of_workers(&cores, count),
        };
        let (selection, steered) = steer(&config.datapath, &workers.config, &transports);

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

        let from_validator: Vec<_> = inboxes.iter().map(|inbox| inbox.validator.sender()).collect();
        let (validator, to_validator) =
            start_validator(Epoch::default(), config, &policy, Vec::clone(&from_validator))?;

        let (ready, all_ready) = std::sync::mpsc::channel();
        let (end, ended) = mpsc::unbounded_channel();
        let unfinished = Arc::new(AtomicUsize::new(count));
        let clock = Clock::start();
        let datapath_settings = observe::datapath_of(config);
        let wants_hot = datapath_settings.hot_answers != Some(false)
            && datapath_settings.mode != Mode::Socket
            && !datapath_settings.interfaces.is_empty();
        let hot = wants_hot.then(publisher::orders);
        let sample_seed = u64::from_le_bytes(seed()?);
        let mut recording =
            Recording::start(config, &policy, count, &addresses, (clock, sample_seed))?;
        let mut threads = Vec::with_capacity(count);
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
                script: load_script(config.script.as_ref(), &addresses)?,
                outlets: Outlets {
                    peers: peers.clone(),
                    tcp_replies: tcp_replies.sender(),
                    upstream_tcp: upstream_queries.sender(),
                    validator: to_validator.clone(),
                    unfinished: Arc::clone(&unfinished),
                    hot: hot.clone(),
                    observed: recording.for_worker(),
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
            threads.push(thread);
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
        // Last, so that nothing is taken from the sockets before somebody answers it.
        let around = Around {
            listen: addresses.clone(),
            workers: count,
            seeds: (flow_seed, hash_seed),
            clients: client_entries(&policy),
            refusal: refusal(),
            payload_max: u16::try_from(policy.limits.udp_payload).unwrap_or(u16::MAX),
        };
        if hot.is_some() && policy.limits.rate > 0 {
            info!(
                "what is asked for often is answered by workers: the XDP program does not count \
                 what each client asks; limits.rate = 0 lets it answer"
            );
        }
        let mut datapath =
            Datapath::start(&datapath_settings, around, deliver_to(commands.clone()))?;
        // Of no use where the kernel's own choice of a socket would undo it.
        let spreading = match &selection {
            Some(_) => Spreading::start(&config.datapath, workers),
            None => Spreading::default(),
        };
        let publisher = start_publisher(datapath.take_hot_table(), hot, clock)?;
        let pools = Arc::new(Pools::new(&config.pools, commands.clone()));
        let watch = runtime.spawn(Arc::clone(&pools).watch());
        let daemon = Arc::new(Daemon {
            started: Instant::now(),
            listen: addresses.clone(),
            steered: steered.clone(),
            in_force: InForce::new(Rules {
                epoch: Epoch::default(),
                policy: Arc::clone(&policy),
                trust_anchors: config.trust_anchors.clone(),
                pools,
            }),
            workers: commands.clone(),
            datapath: datapath.view().clone(),
            spreading: spreading.tiers().clone(),
            hot: publisher.as_ref().and_then(Publisher::flusher),
            records: recording.records().clone(),
            reloads: ReloadLog::default(),
            lookers: Daemon::places_for_lookers(),
        });
        let parts = reload::Parts {
            daemon: Arc::clone(&daemon),
            config: config.clone(),
            from_validator,
            validator,
            watch,
        };
        let reloader = Arc::new(Reloader::new(parts, source.path, source.set_level));
        if let Some(patience) = sd_notify::watchdog_enabled() {
            tasks.spawn_on(watchdog::feed(Arc::clone(&daemon), patience), runtime.handle());
        }
        if let Some((listener, page)) = metrics {
            let serve = serve_metrics(listener, page, Arc::clone(&daemon));
            tasks.spawn_on(serve, runtime.handle());
        }
        let control = control.map(|listener| {
            let (listener, file) = listener.into_parts();
            tasks.spawn_on(serve_control(listener, Arc::clone(&reloader)), runtime.handle());
            file
        });
        let housekeeping = Housekeeping { runtime, tasks };
        Ok(Self {
            workers: threads,
            commands,
            ended,
            housekeeping,
            datapath,
            selection,
            steered,
            recording,
            spreading,
            publisher,
            reloader,
            addresses,
            policy,
            _control: control,
        })
    }

    /// The addresses that queries are taken on, with the ports that were chosen for port 0.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The tier of each interface.
    #[must_use]
    pub fn tiers(&self) -> Tiers {
        self.datapath.view().tiers().and(self.spreading.tiers().get())
    }

    /// What decides which worker's socket gets a query.
    #[must_use]
    pub const fn steered(&self) -> &Steered {
        &self.steered
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// What puts another configuration in force.
    #[must_use]
    pub const fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// The policy of the start.
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
        if let Some(counts) = self.spreading.stop() {
            info!(
                moved = counts.moved,
                here = counts.here,
                left = counts.left,
                no_cpu = counts.no_cpu,
                "queries on their way to CPUs"
            );
        }
        let mut counters = kernel_counters(&self.datapath.stop());
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
                    if let Some((WorkerId(worker), Ok(counts))) = ended.recv().await {
                        let (queries, handed_over) = (counts.queries_total(), counts.to_owner);
                        info!(worker, queries, handed_over, "worker ended");
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
        self.recording.stop();
        if let Some(counts) = self.selection.as_mut().and_then(|selection| selection.counts().ok())
        {
            info!(
                chosen = counts.chosen,
                left = counts.left,
                no_socket = counts.no_socket,
                "queries on their way to sockets"
            );
        }
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
                let NewQueue { id, interface, mtu, socket, room } = *queue;
                let queue = XskQueue::new(id, interface, mtu, socket).with_room(room);
                Command::OpenQueue(Box::new(queue))
            }
            Order::Mtu(id, mtu) => Command::SetMtu(id, mtu),
            Order::Close(id) => Command::CloseQueue(id),
        };
        if commands.get(worker).is_none_or(|inbox| inbox.try_send(command).is_err()) {
            warn!(worker, "the worker has no room for an order");
        }
    })
}

/// Says which addresses have fewer sockets than there are workers.
fn warn_of_shared(transports: &[SocketTransport], workers: usize) {
    for (address, sockets) in transports.first().into_iter().flat_map(SocketTransport::shared) {
        warn!(
            %address,
            sockets,
            workers,
            "fewer sockets were passed than there are workers, who read them together: \
             ReusePort=yes and a line of ListenDatagram= for each worker gives each its own"
        );
    }
}

/// Has the kernel pick the sockets that the configuration wants. Where queries are steered by flow
/// the kernel does so by itself; but what chooses a CPU by flow and what chooses a socket must
/// choose alike.
fn steer(
    settings: &DatapathSettings,
    config: &SteerConfig,
    transports: &[SocketTransport],
) -> (Option<Selection>, Steered) {
    let wanted = settings.steering;
    if wanted == SteerBy::Flow && !spreading::is_wanted(settings) {
        return (None, Steered { wanted, refusal: None });
    }
    if let Some((address, _)) = transports.first().and_then(|first| first.shared().next()) {
        let refusal = format!("workers share the sockets of {address} that systemd has passed");
        let steered = Steered { wanted, refusal: Some(refusal) };
        warn!("{steered}");
        return (None, steered);
    }
    let places = transports.first().map_or(0, SocketTransport::len);
    let groups: Vec<Vec<_>> = (0..places as u16)
        .map(|place| transports.iter().filter_map(|sockets| sockets.socket(place)).collect())
        .collect();
    let selection = Selection::attach(config, &groups);
    let steered = Steered::of(wanted, &selection);
    match &steered.refusal {
        Some(_) => warn!("{steered}"),
        None => info!("{steered}"),
    }
    (selection.ok(), steered)
}

/// Tries the interfaces whose queries are to be taken to the CPUs of their workers, as many as a
/// start would have; every step.
#[must_use]
pub fn spread_steps(config: &Config) -> Vec<Step> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let count = worker_count(config, &cores);
    let by = config.datapath.steering;
    let workers = Workers {
        listen: Vec::new(),
        config: SteerConfig::new(SteerMode::Worker, by, count as u16, 0, 0),
        cpus: cpus_of_workers(&cores, count),
    };
    spreading::try_all(&config.datapath, &workers)
}

/// How many workers there are: one for each CPU if nothing else is said.
fn worker_count(config: &Config, cores: &[core_affinity::CoreId]) -> usize {
    config.workers.map_or_else(|| cores.len().clamp(1, 256), usize::from)
}

/// The CPU that each worker is pinned to; empty where that is not known.
fn cpus_of_workers(cores: &[core_affinity::CoreId], workers: usize) -> Vec<u32> {
    cores.iter().cycle().take(workers).map(|core| core.id as u32).collect()
}

/// What the program is told of clients: who gets answers from it, and which.
pub(crate) fn client_entries(policy: &Policy) -> Vec<(IpNet, ClientEntry)> {
    let entry = |class: ClientClass| match policy.audience(class) {
        _ if class.dropped => ClientEntry::new(ClientRule::Drop, 0),
        _ if !class.allowed => ClientEntry::new(ClientRule::Refuse, REFUSED),
        // One of more audiences than there are numbers: workers answer it.
        0 => ClientEntry::new(ClientRule::Refuse, 0),
        audience => ClientEntry::new(ClientRule::Answer, audience),
    };
    let networks = policy.client_networks().map(|(network, class)| (network, entry(class)));
    let networks: Vec<_> = networks.collect();
    let few = compact(&networks);
    // Of networks that lie in each other none may be left out; of others the rest is left to us.
    if few.len() <= CLIENTS_MAX as usize { few } else { networks }
}

/// Takes commands until the end.
async fn serve_control(listener: std::os::unix::net::UnixListener, reloader: Arc<Reloader>) {
    if let Err(error) = control::serve(listener, reloader).await {
        warn!(%error, "no commands are taken");
    }
}

/// Listens where monitoring asks; whether the status page is there too.
fn listen_for_metrics(settings: MetricsSettings) -> Result<(TcpListener, bool), StartError> {
    let MetricsSettings { listen, page } = settings;
    let listener = TcpListener::bind(listen).map_err(|error| StartError::Metrics(listen, error))?;
    let address = listener.local_addr().unwrap_or(listen);
    info!(%address, page, "monitoring may ask for /metrics, /health and /ready");
    Ok((listener, page))
}

/// Answers monitoring until the end.
async fn serve_metrics(listener: TcpListener, page: bool, daemon: Arc<Daemon>) {
    if let Err(error) = metrics::server::serve(listener, page, daemon).await {
        warn!(%error, "monitoring is not answered");
    }
}

/// Starts the validator, if answers are validated here; the way to it.
pub(crate) fn start_validator(
    epoch: Epoch,
    config: &Config,
    policy: &Policy,
    workers: Vec<Sender<InEpoch<dnssec::FromValidator>>>,
) -> Result<(Option<dnssec::Service>, Option<TaskSender<dnssec::ToValidator>>), StartError> {
    if policy.dnssec.mode() != DnssecMode::Validate {
        return Ok((None, None));
    }
    let inbox = TaskInbox::new(INBOX_LEN);
    let sender = inbox.sender();
    let settings = dnssec::Settings {
        epoch,
        anchors: config.trust_anchors.clone(),
        policy: policy.dnssec.clone(),
        workers,
    };
    let service = dnssec::Service::start(settings, inbox).map_err(StartError::System)?;
    Ok((Some(service), Some(sender)))
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

/// A script in a state of its own, for one worker. `addresses` are those that queries come in on.
pub(crate) fn load_script(
    script: Option<&ScriptSource>,
    addresses: &[SocketAddr],
) -> Result<Option<LuaScript>, StartError> {
    let Some(script) = script else { return Ok(None) };
    let script = ScriptSource { listen: addresses.to_vec(), ..script.clone() };
    LuaScript::load(&script).map(Some).map_err(StartError::Script)
}

/// What XDP programs have counted, in the counters of workers.
pub(crate) fn kernel_counters((kernel, hot): &Counted) -> Counters {
    let mut counters = Counters { xsk_diverted: kernel.diverted(), ..Counters::default() };
    for reason in classify::DropReason::ALL {
        counters.dropped_by_kernel(drop_reason(reason), kernel.dropped(reason));
    }
    counters.dropped_by_kernel(DropReason::Overload, kernel.shed());
    for (is_ipv4, rcode, count) in hot.all_answers() {
        counters.answered_by_kernel(is_ipv4, Rcode(u16::from(rcode)), count);
    }
    counters.cache_hits += hot.answers_total() - hot.refused();
    counters.synthesized += hot.synthesized();
    counters
}

/// The reason of user space for a drop of the XDP program.
const fn drop_reason(reason: classify::DropReason) -> DropReason {
    use classify::DropReason as Kernel;
    match reason {
        Kernel::UdpLength | Kernel::Source | Kernel::OwnSource => DropReason::Datagram,
        Kernel::DeniedClient => DropReason::Denied,
        Kernel::ShortMessage => DropReason::Short,
        Kernel::Response => DropReason::NotAQuery,
    }
}

/// Octets of the cache of one worker of so many.
pub(crate) fn shard_len(policy: &Policy, workers: usize) -> usize {
    let share = (policy.cache.size_bytes / workers.max(1) as u64).max(SHARD_LEN_MIN);
    usize::try_from(share).unwrap_or(usize::MAX)
}

/// Everything a worker's thread starts with.
struct WorkerParts {
    id: WorkerId,
    settings: EngineSettings,
    port_seed: [u8; 32],
    clock: Clock,
    sockets: SocketTransport,
    inboxes: Inboxes,
    script: Option<LuaScript>,
    outlets: Outlets,
    core: Option<core_affinity::CoreId>,
    ready: std::sync::mpsc::Sender<()>,
}

impl WorkerParts {
    /// The worker's life.
    fn run(self) -> io::Result<Counters> {
        keep_at_most(Capabilities::NONE);
        if let Some(core) = self.core
            && !core_affinity::set_for_current(core)
        {
            warn!(worker = self.id.0, core = core.id, "cannot be pinned to its CPU");
        }
        let share = shard_len(&self.settings.policy, usize::from(self.settings.workers));
        let shard = Shard::new_with(share, advise_huge_pages);
        let mut engine = Engine::new(self.settings, shard);
        if let Some(script) = self.script {
            engine.set_script(Some(Box::new(script)));
        }
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
pub(crate) fn seed<const N: usize>() -> Result<[u8; N], StartError> {
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
        handed_over = counters.to_owner,
        upstream_queries = counters.upstream_udp + counters.upstream_tcp,
        secure = counters.validations_with(ValidationResult::Secure),
        insecure = counters.validations_with(ValidationResult::Insecure),
        bogus = counters.validations_with(ValidationResult::Bogus),
        indeterminate = counters.validations_with(ValidationResult::Indeterminate),
        xsk_queries = counters.xsk_queries,
        xsk_replies = counters.xsk_replies,
        xsk_strays = counters.xsk_strays,
        xsk_full = counters.xsk_full,
        xsk_ring_full = counters.xsk_ring_full,
        xsk_fill_empty = counters.xsk_fill_empty,
        xsk_diverted = counters.xsk_diverted,
        denied = counters.drops_for(DropReason::Denied),
        refused = counters.responses_with(Rcode::REFUSED),
        script_calls = counters.script_calls,
        script_changes = counters.script_changes,
        script_errors = counters.script_errors,
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
    /// A socket that systemd has passed cannot be used.
    Passed(PassedError),
    /// The data path that the configuration insists on is not to be had.
    Datapath(DatapathError),
    /// The script cannot run.
    Script(ScriptError),
    /// The control socket that the configuration wants is not to be had.
    Control(ListenError),
    /// The address for monitoring cannot be bound.
    Metrics(SocketAddr, io::Error),
    /// Queries cannot be recorded.
    Record(RecordError),
    /// The system lacks something.
    System(io::Error),
}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<PassedError> for StartError {
    fn from(error: PassedError) -> Self {
        Self::Passed(error)
    }
}

impl From<DatapathError> for StartError {
    fn from(error: DatapathError) -> Self {
        Self::Datapath(error)
    }
}

impl From<RecordError> for StartError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<ListenError> for StartError {
    fn from(error: ListenError) -> Self {
        Self::Control(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Passed(error) => error.fmt(f),
            Self::Datapath(error) => error.fmt(f),
            Self::Script(error) => error.fmt(f),
            Self::Control(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::Metrics(address, error) => write!(
                f,
                "metrics.listen: cannot listen on {address}: {error}\n  hint: another program may \
                 have this port, or no interface this address"
            ),
            Self::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
