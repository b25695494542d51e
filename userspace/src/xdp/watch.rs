//! The data path while we run: climbs the ladder at start, and again whenever something has thrown
//! an interface down.
//!
//! A thread of its own looks several times a second whether each program is still attached, and
//! hears from the kernel when links, addresses and routes change. Whatever happens, the network
//! stack has the traffic meanwhile, because the sockets stay bound in every mode: nothing here is
//! needed for an answer, only for a fast one.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dns64_ebpf::abi::ClientEntry;
use ipnet::IpNet;
use tracing::{info, warn};

use super::delivery::Delivery;
use super::hot::{EntryWords, HotCounts, HotTable};
use super::ladder::{Climbed, Step, Tier, climb, ways_back};
use super::netlink::{self, Changes, Heard};
use super::steering::{KernelCounts, Steering, WaysBack};
use super::{Attached, QueueRoom, interface};
use crate::datapath::{DatapathSettings, Mode};
use crate::sys::capabilities::{Capabilities, spawn_with};
use crate::sys::xsk::Xsk;

/// How often programs and interfaces are looked at.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// How long after a fall the first try is made, and how long after each try the next.
pub(super) const FIRST_TRY: Duration = Duration::from_secs(1);
pub(super) const NEXT_TRY: Duration = Duration::from_secs(5);

/// How long a start that insists on XDP waits for the queues of a process before us, and how often
/// it looks.
const RELEASE_WAIT: Duration = Duration::from_secs(1);
const RELEASE_POLL: Duration = Duration::from_millis(100);

/// A queue for a worker.
#[derive(Debug)]
pub struct NewQueue {
    /// Its number: no two of a run have the same.
    pub id: u32,
    /// The index of its interface.
    pub interface: u32,
    /// Octets of the longest IP packet of the interface.
    pub mtu: usize,
    /// Its socket.
    pub socket: Xsk,
    /// Where the program is told how much can come.
    pub room: QueueRoom,
}

/// What workers are told.
#[derive(Debug)]
pub enum Order {
    /// Serve this queue.
    Open(Box<NewQueue>),
    /// The packets of this queue's interface have so many octets at most from now on.
    Mtu(u32, usize),
    /// Answer what has come by this queue, and close it.
    Close(u32),
}

/// Gives an order to a worker.
pub type Deliver = Box<dyn FnMut(usize, Order) + Send>;

/// Where we listen, and who serves.
#[derive(Clone, Debug)]
pub struct Around {
    /// The addresses that the sockets are bound to.
    pub listen: Vec<SocketAddr>,
    /// How many workers there are.
    pub workers: usize,
    /// Random numbers of this start: the seeds of the hashes of flows and of names.
    pub seeds: (u64, u64),
    /// What becomes of the queries of clients.
    pub clients: Vec<(IpNet, ClientEntry)>,
    /// The reply to those who may not ask; `None`: workers refuse them.
    pub refusal: Option<EntryWords>,
    /// The longest reply by UDP in octets.
    pub payload_max: u16,
}

/// How high an interface has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceTier {
    /// The interface.
    pub interface: String,
    /// Its tier.
    pub tier: Tier,
    /// Its queues that are served so; 0 at the sockets.
    pub queues: u16,
    /// Why it is not higher; empty if nothing was in the way.
    pub refusal: String,
}

/// The tier of each interface: what the log and `dns64ctl status` show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tiers(pub Vec<InterfaceTier>);

impl Tiers {
    /// These, or if there are none, those.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        if self.0.is_empty() { others } else { self }
    }
}

impl fmt::Display for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "{}", Tier::Socket);
        }
        for (index, place) in self.0.iter().enumerate() {
            let InterfaceTier { interface, tier, queues, refusal: _ } = place;
            let gap = if index == 0 { "" } else { " " };
            match tier {
                Tier::Socket => write!(f, "{gap}{interface}:{tier}")?,
                Tier::CpuMap | Tier::ZeroCopy | Tier::NativeCopy | Tier::GenericCopy => {
                    write!(f, "{gap}{interface}:{tier}:{queues}")?;
                }
            }
        }
        Ok(())
    }
}

/// The running data path. Stop it before the workers.
#[derive(Debug)]
pub struct Datapath {
    view: DatapathView,
    hot: Option<HotTable>,
    running: Option<JoinHandle<Counted>>,
}

/// What programs have counted: what became of frames, and the answers they gave.
pub type Counted = (KernelCounts, HotCounts);

/// The tiers as they are now, for whoever asks.
#[derive(Clone, Debug, Default)]
pub struct SharedTiers(Arc<Mutex<Tiers>>);

impl SharedTiers {
    /// The tier of each interface now.
    #[must_use]
    pub fn get(&self) -> Tiers {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what they are from now on.
    pub(super) fn set(&self, tiers: Tiers) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tiers;
    }
}

/// What others may see of the data path while it runs.
#[derive(Clone, Debug)]
pub struct DatapathView {
    tiers: SharedTiers,
    /// Asks the thread; `None` where there is none.
    thread: Option<Sender<Ask>>,
}

/// What the thread is asked; without anybody who could ask, it ends.
#[derive(Debug)]
enum Ask {
    /// What has been counted so far.
    Counts(Sender<Counted>),
    /// To say what becomes of the queries of clients from now on.
    SetClients(Vec<(IpNet, ClientEntry)>, Sender<Result<(), String>>),
    /// To end.
    Stop,
}

impl DatapathView {
    /// The tier of each interface.
    #[must_use]
    pub fn tiers(&self) -> Tiers {
        self.tiers.get()
    }

    /// What the programs have counted so far: nothing if there are none. Waits for the thread, for
    /// some milliseconds mostly.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let Some(thread) = &self.thread else { return Counted::default() };
        let (reply, counted) = channel();
        // Once the thread has ended, its counts are in the hands of whoever has stopped it.
        let _ended = thread.send(Ask::Counts(reply));
        counted.recv().unwrap_or_default()
    }
}

impl DatapathView {
    /// Says what becomes of the queries of clients from now on. While this changes, some of them
    /// are left to workers.
    ///
    /// # Errors
    /// If the program's table cannot be written; what stands in it then is of both.
    pub fn set_clients(&self, clients: Vec<(IpNet, ClientEntry)>) -> Result<(), String> {
        let Some(thread) = &self.thread else { return Ok(()) };
        let (done, result) = channel();
        // Once the thread has ended no program is attached.
        let _ended = thread.send(Ask::SetClients(clients, done));
        result.recv().unwrap_or(Ok(()))
    }
}

/// Why there is no data path, though the configuration insists on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatapathError(String);

impl fmt::Display for DatapathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "datapath.mode is \"xdp\", and that does not work here: {}; with mode = \"auto\" the \
             sockets would answer",
            self.0
        )
    }
}

impl std::error::Error for DatapathError {}

/// Tries every interface, and says every step. The program takes nothing meanwhile, and everything
/// is closed again at the end.
#[must_use]
pub fn try_all(settings: &DatapathSettings) -> Vec<Step> {
    let mut steps = Vec::new();
    if settings.mode == Mode::Socket {
        return steps;
    }
    let mut steering = match Steering::load(0, 0) {
        Ok(steering) => steering,
        Err(error) => {
            for interface in &settings.interfaces {
                let refused = |tier, refusal| Step { interface: interface.clone(), tier, refusal };
                steps.push(refused(Tier::GenericCopy, Some(error.to_string())));
                steps.push(refused(Tier::Socket, None));
            }
            return steps;
        }
    };
    for interface in &settings.interfaces {
        let climbed =
            climb(&mut steering, interface, settings.attach, &mut |step| steps.push(step));
        drop(climbed);
    }
    steps
}

impl Datapath {
    /// Climbs as high as the machine lets us, and stays there.
    ///
    /// # Errors
    /// With [`Mode::Xdp`], if one of the interfaces stays at the sockets.
    pub fn start(
        settings: &DatapathSettings,
        around: Around,
        deliver: Deliver,
    ) -> Result<Self, DatapathError> {
        let tiers = SharedTiers::default();
        let view = DatapathView { tiers: tiers.clone(), thread: None };
        let without = Self { view, hot: None, running: None };
        if settings.mode == Mode::Socket {
            return Ok(without);
        }
        if settings.interfaces.is_empty() {
            info!("queries come by sockets: datapath.interfaces names no interface for XDP");
            return Ok(without);
        }
        let mut steering = match Steering::load(around.seeds.0, around.seeds.1) {
            Ok(steering) => steering,
            Err(error) if settings.mode == Mode::Xdp => {
                return Err(DatapathError(error.to_string()));
            }
            Err(error) => {
                warn!("queries come by sockets: {error}");
                let refused = |interface: &String| InterfaceTier {
                    interface: interface.clone(),
                    tier: Tier::Socket,
                    queues: 0,
                    refusal: error.to_string(),
                };
                tiers.set(Tiers(settings.interfaces.iter().map(refused).collect()));
                return Ok(without);
            }
        };
        let hot = hot_table(&mut steering, &around);
        let places = settings.interfaces.iter().map(|name| Place::new(name)).collect();
        let mut watch = Watch {
            steering,
            settings: settings.clone(),
            around,
            deliver,
            places,
            next_queue: 0,
            tiers,
        };
        watch.refresh_services();
        for at in 0..watch.places.len() {
            let mut refusal = watch.climb(at, Talk::Always);
            // What a process before us has left is cleared away by the kernel in its own time.
            let deadline = Instant::now() + RELEASE_WAIT;
            while refusal.is_some() && settings.mode == Mode::Xdp && Instant::now() < deadline {
                std::thread::sleep(RELEASE_POLL);
                refusal = watch.climb(at, Talk::IfNew);
            }
            if let Some(refusal) = refusal
                && settings.mode == Mode::Xdp
            {
                watch.fall_all();
                return Err(DatapathError(refusal));
            }
        }
        let tiers = watch.tiers.clone();
        let (ask, asked) = channel();
        let thread = spawn_with(Capabilities::XDP, "datapath", move || watch.run(&asked))
            .map_err(|error| DatapathError(format!("cannot start a thread: {error}")))?;
        let view = DatapathView { tiers, thread: Some(ask) };
        Ok(Self { view, hot, running: Some(thread) })
    }

    /// What others may see of it.
    #[must_use]
    pub const fn view(&self) -> &DatapathView {
        &self.view
    }

    /// The table of hot answers, for whoever publishes them; the first who asks gets it.
    pub fn take_hot_table(&mut self) -> Option<HotTable> {
        self.hot.take()
    }

    /// Detaches the programs and has all queues closed; what the programs have counted.
    pub fn stop(mut self) -> Counted {
        let Some(thread) = self.running.take() else { return Counted::default() };
        if let Some(ask) = &self.view.thread {
            // It has ended already if it cannot be asked to.
            let _ended = ask.send(Ask::Stop);
        }
        // A thread that has panicked has detached everything, too.
        thread.join().unwrap_or_default()
    }
}

/// Whether every try is told, or only what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Talk {
    Always,
    IfNew,
}

/// An interface of the configuration.
#[derive(Debug)]
struct Place {
    name: String,
    open: Option<Open>,
    /// When the next try is due, and when the last one was.
    next_try: Instant,
    last_try: Instant,
    /// What was said last of why it stays at the sockets.
    refusal: String,
}

/// An interface whose queues are served.
#[derive(Debug)]
struct Open {
    tier: Tier,
    index: u32,
    first: u16,
    mtu: usize,
    attached: Attached,
    /// Number and worker of each queue.
    queues: Vec<(u32, usize)>,
    ways: WaysBack,
    delivery: Delivery,
}

impl Place {
    fn new(name: &str) -> Self {
        let now = Instant::now();
        Self {
            name: name.to_owned(),
            open: None,
            next_try: now,
            last_try: now,
            refusal: String::new(),
        }
    }
}

/// The thread.
struct Watch {
    steering: Steering,
    settings: DatapathSettings,
    around: Around,
    deliver: Deliver,
    places: Vec<Place>,
    next_queue: u32,
    tiers: SharedTiers,
}

impl Watch {
    /// Watches until it is told to stop.
    fn run(mut self, asked: &Receiver<Ask>) -> Counted {
        let changes = Changes::listen().ok();
        if changes.is_none() {
            warn!("changes of addresses and routes are noticed by asking for them");
        }
        let mut next_look = Instant::now() + TICK;
        loop {
            match asked.recv_timeout(next_look.saturating_duration_since(Instant::now())) {
                Ok(Ask::Counts(reply)) => {
                    // Whoever asked may have gone.
                    let _gone = reply.send(self.counts());
                    continue;
                }
                Ok(Ask::SetClients(clients, done)) => {
                    let written = self.steering.set_clients(clients.iter().copied());
                    self.around.clients = clients;
                    let _gone = done.send(written.map_err(|error| error.to_string()));
                    continue;
                }
                Ok(Ask::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => next_look = Instant::now() + TICK,
            }
            // Without a socket that hears of changes everything may have changed.
            let unheard = || Heard { something: true, ..Heard::default() };
            let heard = changes.as_ref().map_or_else(unheard, Changes::take);
            if heard.something {
                self.refresh_services();
            }
            for at in 0..self.places.len() {
                self.look_at(at, &heard);
            }
        }
        self.fall_all();
        self.counts()
    }

    /// What the programs have counted so far.
    fn counts(&mut self) -> Counted {
        let hot = HotTable::counts(&mut self.steering).unwrap_or_default();
        (self.steering.counts().unwrap_or_default(), hot)
    }

    /// Tells the program our addresses.
    fn refresh_services(&mut self) {
        let services = our_services(&self.around.listen);
        if let Err(error) = self.steering.set_services(&services) {
            warn!(%error, "new addresses are served by sockets");
        }
    }

    /// Looks whether an interface is still where it was, and tries again where it is not.
    fn look_at(&mut self, at: usize, heard: &Heard) {
        let place = &mut self.places[at];
        let Some(open) = &place.open else {
            if heard.something {
                // Perhaps what was in the way is gone.
                place.next_try = place.next_try.min(place.last_try + FIRST_TRY);
            }
            if Instant::now() >= place.next_try {
                let _said = self.climb(at, Talk::IfNew);
            }
            return;
        };
        if let Some(reason) = reason_to_fall(&place.name, open, heard) {
            warn!(interface = place.name, reason, "queries of this interface come by sockets");
            self.fall(at);
            // Said already; the next try says what is in its way if that is something else.
            self.places[at].refusal = reason.to_owned();
            self.publish();
            return;
        }
        if heard.something {
            self.refresh_mtu(at);
            self.refresh_ways(at);
        }
        self.refresh_delivery(at);
    }

    /// Tells the program whether what it sends arrives, if that has changed: the other end of a
    /// virtual cable is not ours, and nobody tells us what happens there.
    fn refresh_delivery(&mut self, at: usize) {
        let place = &mut self.places[at];
        let Some(open) = &mut place.open else { return };
        let delivery = Delivery::of(open.tier, open.index, &place.name);
        if delivery == open.delivery {
            return;
        }
        open.delivery = delivery;
        let wanted = self.settings.hot_answers;
        let (index, first, ways) = (open.index, open.first, open.ways);
        let count = open.queues.len() as u16;
        self.steering.set_hot_answers(index, delivery.gives_hot_answers(wanted));
        if let Err(error) = self.steering.open(index, first, count, ways) {
            warn!(interface = place.name, %error, "queries come by sockets");
            self.fall(at);
        } else if wanted != Some(false) {
            match delivery.refusal(wanted) {
                Some(refusal) => warn!("{}: no hot answers inside XDP: {refusal}", place.name),
                None => info!("{}: hot answers inside XDP", place.name),
            }
        }
    }

    /// Tells the workers how long the packets of an interface are, if that has changed.
    fn refresh_mtu(&mut self, at: usize) {
        let place = &mut self.places[at];
        let Some(open) = &mut place.open else { return };
        let Some(name) = interface::name_of(open.index) else { return };
        let mtu = interface::mtu(&name);
        if mtu == open.mtu {
            return;
        }
        open.mtu = mtu;
        info!(interface = place.name, mtu, "the longest packet has changed");
        for (id, worker) in &open.queues {
            (self.deliver)(*worker, Order::Mtu(*id, mtu));
        }
    }

    /// Tells the program by which ways replies leave, if that has changed.
    fn refresh_ways(&mut self, at: usize) {
        let Some(open) = &mut self.places[at].open else { return };
        let ways = ways_back(open.index);
        if ways == open.ways {
            return;
        }
        open.ways = ways;
        let count = open.queues.len() as u16;
        // The old ways would let replies leave by the wrong interface: better none.
        if let Err(error) = self.steering.open(open.index, open.first, count, ways) {
            warn!(interface = self.places[at].name, %error, "queries come by sockets");
            self.fall(at);
        } else {
            warn_of_forwarding(&self.places[at].name, ways);
        }
    }

    /// Tries to get an interface above the sockets; why it did not work.
    fn climb(&mut self, at: usize, talk: Talk) -> Option<String> {
        let name = self.places[at].name.clone();
        let mut steps = Vec::new();
        let climbed = climb(&mut self.steering, &name, self.settings.attach, &mut |step| {
            steps.push(step);
        });
        let refusals: Vec<&str> = steps.iter().filter_map(|step| step.refusal.as_deref()).collect();
        let refusal = refusals.join("; ");
        let place = &mut self.places[at];
        if talk == Talk::Always || climbed.is_some() || place.refusal != refusal {
            for step in &steps {
                log_step(step);
            }
        }
        place.refusal.clone_from(&refusal);
        place.last_try = Instant::now();
        place.next_try = place.last_try + NEXT_TRY;
        let opened = climbed.is_some();
        if let Some(climbed) = climbed {
            self.open(at, climbed);
        }
        self.publish();
        (!opened).then_some(refusal)
    }

    /// Gives the queues of an interface to the workers, and then the queries to the queues.
    fn open(&mut self, at: usize, climbed: Climbed) {
        let Climbed { tier, index, first, attached, sockets } = climbed;
        let mtu = interface::mtu(&self.places[at].name);
        let ways = ways_back(index);
        let mut queues = Vec::with_capacity(sockets.len());
        for (place, socket) in (first..).zip(sockets) {
            let (id, worker) = (self.next_queue, usize::from(place) % self.around.workers);
            self.next_queue += 1;
            let room = match self.steering.queue_room(place) {
                Ok(room) => room,
                Err(error) => {
                    // The program gives nothing to a socket that nobody says anything about.
                    warn!(%error, "queries of a queue come by sockets");
                    queues.push((id, worker));
                    continue;
                }
            };
            let queue = NewQueue { id, interface: index, mtu, socket, room };
            (self.deliver)(worker, Order::Open(Box::new(queue)));
            queues.push((id, worker));
        }
        let count = queues.len() as u16;
        let name = &self.places[at].name;
        warn_of_forwarding(name, ways);
        let delivery = Delivery::of(tier, index, name);
        let wanted = self.settings.hot_answers;
        if wanted != Some(false)
            && let Some(refusal) = delivery.refusal(wanted)
        {
            warn!("{name}: no hot answers inside XDP: {refusal}");
        }
        self.steering.set_hot_answers(index, delivery.gives_hot_answers(wanted));
        if let Err(error) = self.steering.open(index, first, count, ways) {
            warn!(interface = name, %error, "queries come by sockets");
        }
        self.places[at].open =
            Some(Open { tier, index, first, mtu, attached, queues, ways, delivery });
    }

    /// Takes an interface down to the sockets.
    fn fall(&mut self, at: usize) {
        let place = &mut self.places[at];
        let Some(open) = place.open.take() else { return };
        self.steering.close(open.index, open.first);
        drop(open.attached);
        for (id, worker) in open.queues {
            (self.deliver)(worker, Order::Close(id));
        }
        place.last_try = Instant::now();
        place.next_try = place.last_try + FIRST_TRY;
        place.refusal.clear();
        self.publish();
    }

    fn fall_all(&mut self) {
        for at in 0..self.places.len() {
            self.fall(at);
        }
    }

    /// Says where each interface is.
    fn publish(&self) {
        let tier_of = |place: &Place| {
            let (tier, queues) = match &place.open {
                Some(open) => (open.tier, open.queues.len() as u16),
                None => (Tier::Socket, 0),
            };
            let (interface, refusal) = (place.name.clone(), place.refusal.clone());
            InterfaceTier { interface, tier, queues, refusal }
        };
        self.tiers.set(Tiers(self.places.iter().map(tier_of).collect()));
    }
}

/// The table of hot answers; nothing is answered inside the program without it.
fn hot_table(steering: &mut Steering, around: &Around) -> Option<HotTable> {
    let made = steering.set_clients(around.clients.iter().copied());
    match made.and_then(|()| HotTable::new(steering)) {
        Ok(mut table) => {
            table.set_payload_max(around.payload_max);
            if let Some(refusal) = &around.refusal {
                table.set_refusal(refusal);
            }
            Some(table)
        }
        Err(error) => {
            warn!(%error, "hot answers are given by workers");
            None
        }
    }
}

/// Logs one step of the ladder.
pub(super) fn log_step(step: &Step) {
    if step.refusal.is_none() && step.tier == Tier::Socket {
        warn!("{step}");
    } else {
        info!("{step}");
    }
}

/// Says what is missing where the program must ask the routing table and may not.
fn warn_of_forwarding(name: &str, ways: WaysBack) {
    use dns64_ebpf::abi::WayBack;

    for (way, family) in [(ways.v4, "ipv4"), (ways.v6, "ipv6")] {
        let file = format!("/proc/sys/net/{family}/conf/lo/forwarding");
        let off = std::fs::read_to_string(&file).is_ok_and(|text| text.trim() == "0");
        if way == WayBack::Lookup && off {
            warn!(
                "{name}: replies over {family} may leave by several interfaces, and the kernel \
                 tells XDP programs the way only if net.{family}.conf.lo.forwarding is 1; until \
                 then these queries come by sockets"
            );
        }
    }
}

/// Why an interface has fallen, if it has. It is followed by its index, whatever its name is now.
fn reason_to_fall(wanted: &str, open: &Open, heard: &Heard) -> Option<&'static str> {
    let Some(name) = interface::name_of(open.index) else { return Some("the interface is gone") };
    if heard.gone.contains(&open.index) {
        // Its sockets are dead, though its index and perhaps its program are back.
        return Some("the interface was gone");
    }
    if !open.attached.is_on(open.index) {
        return Some("the XDP program was detached by somebody else");
    }
    if name != wanted && interface::index_of(wanted).is_ok() {
        return Some("another interface has its name now");
    }
    let same_count = interface::queue_count(&name) as usize == open.queues.len();
    (!same_count).then_some("the number of its queues has changed")
}

/// [`services_of`] what the kernel says of this machine's addresses.
pub(super) fn our_services(listen: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let ours = netlink::addresses().unwrap_or_default();
    // Where the kernel does not say, the sockets are bound to it.
    services_of(listen, &ours, |address| netlink::has_local_route(address).unwrap_or(true))
}

/// Where we listen: each address of the machine for a wildcard address, and no wildcards. An
/// address that the machine has no more is not served, though sockets are still bound to it.
fn services_of(
    listen: &[SocketAddr],
    ours: &[IpAddr],
    is_ours: impl Fn(IpAddr) -> bool,
) -> BTreeSet<SocketAddr> {
    // Those of one link only are not among the addresses, and have no route without their link.
    let is_of_a_link =
        |address| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let mut services = BTreeSet::new();
    for service in listen {
        if service.ip().is_unspecified() {
            let same_family = ours.iter().filter(|address| address.is_ipv4() == service.is_ipv4());
            services.extend(same_family.map(|address| SocketAddr::new(*address, service.port())));
        } else if let address = service.ip()
            && (ours.contains(&address) || is_of_a_link(address) || is_ours(address))
        {
            services.insert(SocketAddr::new(address, service.port()));
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_the_addresses_of_its_family() {
        let listen = ["0.0.0.0:53", "[2001:db8::1]:5353"].map(|text| text.parse().unwrap());
        let ours = ["192.0.2.1", "2001:db8::2", "192.0.2.2"].map(|text| text.parse().unwrap());
        let services: Vec<String> =
            services_of(&listen, &ours, |_| true).iter().map(ToString::to_string).collect();
        assert_eq!(services, ["192.0.2.1:53", "192.0.2.2:53", "[2001:db8::1]:5353"]);
    }

    #[test]
    fn a_listed_address_is_served_while_the_machine_has_it() {
        let listen = ["192.0.2.1:53", "192.0.2.7:53", "192.0.2.9:53", "[fe80::1]:53"];
        let listen = listen.map(|text| text.parse().unwrap());
        let (ours, routed) = (["192.0.2.1".parse().unwrap()], IpAddr::from([192, 0, 2, 7]));
        let services: Vec<String> = services_of(&listen, &ours, |address| address == routed)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(services, ["192.0.2.1:53", "192.0.2.7:53", "[fe80::1]:53"]);
    }

    #[test]
    fn the_tiers_are_one_word_an_interface() {
        assert_eq!(Tiers::default().to_string(), "socket");
        let of = |name: &str, tier, queues| InterfaceTier {
            interface: name.to_owned(),
            tier,
            queues,
            refusal: String::new(),
        };
        let tiers = Tiers(vec![of("eth0", Tier::NativeCopy, 2), of("eth1", Tier::Socket, 0)]);
        assert_eq!(tiers.to_string(), "eth0:xdp-native-copy:2 eth1:socket");
    }
}
