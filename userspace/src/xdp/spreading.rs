//! The interfaces whose queries are taken to the CPUs of their workers, while we run.
//!
//! As [`super::watch`] does for `AF_XDP`, a thread looks whether each program is still attached,
//! and tries again where it is not. Without the program queries reach the same sockets, and the
//! CPUs of the receive queues do the network stack's work.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use dns64_ebpf::abi::SteerConfig;
use tracing::{info, warn};

use super::ladder::{Step, Tier};
use super::netlink::Changes;
use super::spread::{Spread, SpreadCounts};
use super::watch::{
    FIRST_TRY, InterfaceTier, NEXT_TRY, SharedTiers, TICK, Tiers, log_step, our_services,
};
use super::{Attached, ModeWanted, XdpMode, interface};
use crate::datapath::{Attach, DatapathSettings, Mode};
use crate::sys::capabilities::{Capabilities, spawn_with};

/// Where we listen, and who serves.
#[derive(Clone, Debug)]
pub struct Workers {
    /// The addresses that the sockets are bound to.
    pub listen: Vec<SocketAddr>,
    /// What the programs are told: what queries are steered by, how many workers there are, seeds.
    pub config: SteerConfig,
    /// The CPU of each worker; empty where that is not known.
    pub cpus: Vec<u32>,
}

/// The running thread, if there is an interface for it. Stop it before the workers.
#[derive(Debug, Default)]
pub struct Spreading {
    tiers: SharedTiers,
    running: Option<(Sender<()>, JoinHandle<SpreadCounts>)>,
}

/// Whether the configuration has interfaces whose queries are to be taken to other CPUs.
#[must_use]
pub fn is_wanted(settings: &DatapathSettings) -> bool {
    settings.mode == Mode::Socket && !settings.interfaces.is_empty()
}

/// Tries every interface, and says every step. The program knows no services, so everything passes
/// meanwhile, and it is gone again at the end.
#[must_use]
pub fn try_all(settings: &DatapathSettings, workers: &Workers) -> Vec<Step> {
    let mut steps = Vec::new();
    match load(workers) {
        Ok(mut spread) => {
            for name in &settings.interfaces {
                let (attached, said) = attach(&mut spread, name, settings.attach, workers);
                drop(attached);
                steps.extend(said);
            }
        }
        Err(refusal) => {
            for name in &settings.interfaces {
                steps.extend(refused(name, refusal.clone()));
            }
        }
    }
    steps
}

impl Spreading {
    /// Starts, if the configuration wants it. What does not work is logged: sockets answer.
    #[must_use]
    pub fn start(settings: &DatapathSettings, workers: Workers) -> Self {
        if !is_wanted(settings) {
            return Self::default();
        }
        let spread = match load(&workers) {
            Ok(spread) => spread,
            Err(refusal) => {
                let tiers = SharedTiers::default();
                let refused_at = |name: &String| InterfaceTier {
                    interface: name.clone(),
                    tier: Tier::Socket,
                    queues: 0,
                    refusal: refusal.clone(),
                };
                tiers.set(Tiers(settings.interfaces.iter().map(refused_at).collect()));
                for name in &settings.interfaces {
                    refused(name, refusal.clone()).iter().for_each(log_step);
                }
                return Self { tiers, running: None };
            }
        };
        let now = Instant::now();
        let place = |name: &String| Place {
            name: name.clone(),
            attached: None,
            next_try: now,
            last_try: now,
            said: Vec::new(),
        };
        let mut watch = Watch {
            spread,
            attach: settings.attach,
            workers,
            places: settings.interfaces.iter().map(place).collect(),
            tiers: SharedTiers::default(),
        };
        watch.refresh_services();
        for at in 0..watch.places.len() {
            watch.try_at(at);
        }
        let tiers = watch.tiers.clone();
        let (stop, stopped) = channel();
        let thread = spawn_with(Capabilities::XDP, "datapath", move || watch.run(&stopped));
        match thread {
            Ok(thread) => Self { tiers, running: Some((stop, thread)) },
            Err(error) => {
                warn!(%error, "cannot start a thread: queries stay on the CPUs of their queues");
                Self::default()
            }
        }
    }

    /// The tier of each interface.
    #[must_use]
    pub const fn tiers(&self) -> &SharedTiers {
        &self.tiers
    }

    /// Detaches the programs; what they have counted.
    #[must_use]
    pub fn stop(mut self) -> Option<SpreadCounts> {
        let (stop, thread) = self.running.take()?;
        drop(stop);
        // A thread that has panicked has detached everything, too.
        Some(thread.join().unwrap_or_default())
    }
}

/// Loads the program.
fn load(workers: &Workers) -> Result<Spread, String> {
    if workers.cpus.is_empty() {
        return Err("the system does not say which CPUs we may use".to_owned());
    }
    Spread::load(&workers.config, &workers.cpus).map_err(|error| error.to_string())
}

/// The steps of an interface that stays as it is.
fn refused(name: &str, refusal: String) -> [Step; 2] {
    let step = |tier, refusal| Step { interface: name.to_owned(), tier, refusal };
    [step(Tier::CpuMap, Some(refusal)), step(Tier::Socket, None)]
}

/// Puts the program on an interface, if it has fewer queues than there are workers; what is to be
/// said of it.
fn attach(
    spread: &mut Spread,
    name: &str,
    wanted: Attach,
    workers: &Workers,
) -> (Option<(u32, Attached)>, Vec<Step>) {
    let found = (|| {
        let index = interface::index_of(name).map_err(|error| error.to_string())?;
        if !interface::is_up(name) {
            return Err(format!("{name} is down; ip link set dev {name} up"));
        }
        let (queues, count) = (interface::queue_count(name), workers.cpus.len());
        if queues as usize >= count {
            return Err(format!(
                "{name} spreads queries over {queues} queues by itself, and there are {count} \
                 workers; it is of use for fewer queues than workers"
            ));
        }
        let mode = match wanted {
            Attach::Native => ModeWanted::Only(XdpMode::Native),
            Attach::Generic => ModeWanted::Only(XdpMode::Generic),
            Attach::Auto if interface::has_device(name) => ModeWanted::Any,
            // What comes by a virtual cable may be without checksums, which the sender has left to
            // hardware. A frame that changes its CPU in the driver loses the note that says so.
            Attach::Auto => ModeWanted::Only(XdpMode::Generic),
        };
        let attached = spread.attach(name, mode).map_err(|error| error.to_string())?;
        Ok((index, attached))
    })();
    match found {
        Ok(place) => {
            let step = Step { interface: name.to_owned(), tier: Tier::CpuMap, refusal: None };
            (Some(place), vec![step])
        }
        Err(refusal) => (None, refused(name, refusal).into()),
    }
}

/// An interface of the configuration.
struct Place {
    name: String,
    /// Its index, and the program on it.
    attached: Option<(u32, Attached)>,
    /// When the next try is due, and when the last one was.
    next_try: Instant,
    last_try: Instant,
    /// What was said last.
    said: Vec<Step>,
}

/// The thread.
struct Watch {
    spread: Spread,
    attach: Attach,
    workers: Workers,
    places: Vec<Place>,
    tiers: SharedTiers,
}

impl Watch {
    /// Watches until the other end of the channel is gone.
    fn run(mut self, stopped: &Receiver<()>) -> SpreadCounts {
        let changes = Changes::listen().ok();
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
            // Without a socket that hears of changes everything may have changed.
            let changed = changes.as_ref().is_none_or(|changes| changes.take().something);
            if changed {
                self.refresh_services();
            }
            for at in 0..self.places.len() {
                self.look_at(at, changed);
            }
        }
        self.places.clear();
        self.spread.counts().unwrap_or_default()
    }

    /// Tells the program our addresses.
    fn refresh_services(&mut self) {
        let services = our_services(&self.workers.listen);
        if let Err(error) = self.spread.set_services(&services) {
            warn!(%error, "queries for new addresses stay on the CPUs of their queues");
        }
    }

    /// Looks whether the program is still on an interface and of use there, and tries again where
    /// it is not.
    fn look_at(&mut self, at: usize, changed: bool) {
        let place = &mut self.places[at];
        let Some((index, attached)) = &place.attached else {
            if changed {
                // Perhaps what was in the way is gone.
                place.next_try = place.next_try.min(place.last_try + FIRST_TRY);
            }
            if Instant::now() >= place.next_try {
                self.try_at(at);
            }
            return;
        };
        let reason = if !attached.is_on(*index) {
            "the XDP program was detached by somebody else, or the interface is gone"
        } else if interface::name_of(*index)
            .is_some_and(|name| interface::queue_count(&name) as usize >= self.workers.cpus.len())
        {
            "it has as many queues as there are workers now"
        } else {
            return;
        };
        warn!(interface = place.name, reason, "queries stay on the CPUs of their queues");
        place.attached = None;
        place.last_try = Instant::now();
        place.next_try = place.last_try + FIRST_TRY;
        place.said.clear();
        self.publish();
    }

    /// Tries to put the program on an interface.
    fn try_at(&mut self, at: usize) {
        let name = self.places[at].name.clone();
        let (attached, said) = attach(&mut self.spread, &name, self.attach, &self.workers);
        let place = &mut self.places[at];
        if place.said != said {
            said.iter().for_each(log_step);
        }
        if let Some((_, attached)) = &attached
            && attached.mode() == XdpMode::Generic
            && self.attach == Attach::Auto
            && !interface::has_device(&name)
        {
            info!(
                "{name}: the program is in the network stack; attach = \"native\" has it in the \
                 driver, where a virtual cable needs senders that compute checksums (ethtool -K \
                 <other end> tx off)"
            );
        }
        place.said = said;
        place.attached = attached;
        place.last_try = Instant::now();
        place.next_try = place.last_try + NEXT_TRY;
        self.publish();
    }

    /// Says where each interface is.
    fn publish(&self) {
        let tier_of = |place: &Place| {
            let (tier, queues) = match &place.attached {
                Some(_) => (Tier::CpuMap, interface::queue_count(&place.name) as u16),
                None => (Tier::Socket, 0),
            };
            let refusals: Vec<&str> =
                place.said.iter().filter_map(|step| step.refusal.as_deref()).collect();
            InterfaceTier {
                interface: place.name.clone(),
                tier,
                queues,
                refusal: refusals.join("; "),
            }
        };
        self.tiers.set(Tiers(self.places.iter().map(tier_of).collect()));
    }
}
