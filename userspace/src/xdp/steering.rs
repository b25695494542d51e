//! The program of dns64d in the kernel, and what its maps tell it.
//!
//! It is loaded once and attached to every interface of the data path. The maps say which services
//! are ours and which `AF_XDP` sockets the queues of an interface have; without an entry for the
//! interface everything passes to the network stack, so that is set last and removed first.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use aya::maps::{Array, HashMap, PerCpuArray, XskMap};
use dns64_ebpf::abi::{
    self, CounterIndex, InterfaceEntry, SteerBy, SteerConfig, SteerMode, WayBack,
};
use dns64_ebpf::classify::{DropReason, PassReason};
use dns64_ebpf::hot::MAP_TABLE;

use super::hot::{HOT_ENTRIES, entries_of};
use super::services::Services;
use super::{Attached, ModeWanted, Object, Program, QueueRoom, XdpError};

/// By which way replies leave, by family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaysBack {
    /// Replies to clients of IPv4.
    pub v4: WayBack,
    /// Replies to clients of IPv6.
    pub v6: WayBack,
}

/// The loaded program.
#[derive(Debug)]
pub struct Steering {
    pub(super) program: Program,
    /// What the map of services holds.
    services: Services,
    /// The interfaces on which hot answers are given inside the program.
    hot: BTreeSet<u32>,
    /// Which places of the map of sockets are taken: first place and count.
    taken: Vec<(u16, u16)>,
}

impl Steering {
    /// Loads the program. It is on no interface, and knows no services yet. The seeds are random
    /// numbers of this start.
    ///
    /// # Errors
    /// Without rights, or where the verifier refuses.
    pub fn load(flow_seed: u64, name_seed: u64) -> Result<Self, XdpError> {
        Self::load_with(flow_seed, name_seed, HOT_ENTRIES)
    }

    /// As [`Steering::load`], with so many entries in the table of hot answers, rounded up to a
    /// power of two.
    ///
    /// # Errors
    /// As [`Steering::load`].
    pub fn load_with(flow_seed: u64, name_seed: u64, entries: u32) -> Result<Self, XdpError> {
        // One more for the refusal.
        let entries = (MAP_TABLE, entries_of(entries) + 1);
        let mut program = Program::load_with(Object::Dns64d, abi::PROGRAM_STEER, &[entries])?;
        let config = SteerConfig::new(SteerMode::Xsk, SteerBy::Flow, 1, flow_seed, name_seed);
        let mut map: Array<_, [u8; size_of::<SteerConfig>()]> = program.map(abi::MAP_CONFIG)?;
        map.set(0, config.octets(), 0).map_err(|error| XdpError::of_map(WRITE, error))?;
        Ok(Self { program, services: Services::default(), hot: BTreeSet::new(), taken: Vec::new() })
    }

    /// The program, with its maps.
    #[must_use]
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// Says where we listen: addresses and ports, none of them a wildcard. Those of an earlier call
    /// that are not among them are forgotten. More than [`abi::SERVICES_MAX`] do not fit: the
    /// network stack serves the rest.
    ///
    /// # Errors
    /// If the map cannot be written.
    pub fn set_services(&mut self, services: &BTreeSet<SocketAddr>) -> Result<(), XdpError> {
        self.services.set(&mut self.program, services)
    }

    /// Attaches the program to an interface. Everything passes until [`Self::open`].
    ///
    /// # Errors
    /// If there is no such interface, another program is attached, or the driver refuses.
    pub fn attach(&mut self, name: &str, wanted: ModeWanted) -> Result<Attached, XdpError> {
        self.program.attach(name, wanted)
    }

    /// Finds places for the sockets of an interface with so many queues; the first of them. `None`
    /// if the map is full.
    pub fn reserve(&mut self, queue_count: u16) -> Option<u16> {
        let mut first = 0;
        // In the order of their places, so that the first gap that is wide enough is found.
        for (taken, count) in &self.taken {
            if first + queue_count <= *taken {
                break;
            }
            first = taken + count;
        }
        if u32::from(first) + u32::from(queue_count) > abi::XSKS_MAX {
            return None;
        }
        self.taken.push((first, queue_count));
        self.taken.sort_unstable();
        Some(first)
    }

    /// Puts a socket where the program finds it. It is there for as long as it is open.
    ///
    /// # Errors
    /// If it is no bound socket.
    pub fn insert_socket(&mut self, place: u16, socket: impl AsFd) -> Result<(), XdpError> {
        let mut map: XskMap<_> = self.program.map(abi::MAP_XSKS)?;
        map.set(u32::from(place), socket.as_fd().as_raw_fd(), 0)
            .map_err(|error| XdpError::of_map("put an AF_XDP socket into a BPF map", error))
    }

    /// How many frames the socket at a place has room for: for whoever serves its queue. Without
    /// it, and before it says so, the program leaves the queries of this queue to the network
    /// stack.
    ///
    /// # Errors
    /// If the map cannot be mapped into memory.
    pub fn queue_room(&mut self, place: u16) -> Result<QueueRoom, XdpError> {
        let map = self.program.memory(abi::MAP_QUEUES, QueueRoom::WORDS)?;
        Ok(QueueRoom::new(map, place))
    }

    /// Says whether hot answers are given inside the program on an interface, from its next
    /// [`Steering::open`] on. At first they are not.
    pub fn set_hot_answers(&mut self, interface: u32, given: bool) {
        if given {
            self.hot.insert(interface);
        } else {
            self.hot.remove(&interface);
        }
    }

    /// From now on queries of an interface go to the sockets from `first` on.
    ///
    /// # Errors
    /// If the map cannot be written.
    pub fn open(
        &mut self,
        interface: u32,
        first: u16,
        queue_count: u16,
        ways: WaysBack,
    ) -> Result<(), XdpError> {
        let entry = InterfaceEntry::new(first, queue_count, ways.v4, ways.v6)
            .with_hot_answers(self.hot.contains(&interface));
        let mut map: HashMap<_, u32, [u8; size_of::<InterfaceEntry>()]> =
            self.program.map(abi::MAP_INTERFACES)?;
        map.insert(interface, entry.octets(), 0).map_err(|error| XdpError::of_map(WRITE, error))
    }

    /// From now on everything of an interface passes to the network stack, and the places of its
    /// sockets are free.
    pub fn close(&mut self, interface: u32, first: u16) {
        if let Ok(mut map) = self.program.map::<HashMap<_, u32, [u8; 8]>>(abi::MAP_INTERFACES) {
            // There only if it was opened.
            let _absent = map.remove(&interface);
        }
        self.taken.retain(|(taken, _)| *taken != first);
    }

    /// What the program has counted, over all CPUs.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn counts(&mut self) -> Result<KernelCounts, XdpError> {
        let map: PerCpuArray<_, u64> = self.program.map(abi::MAP_COUNTERS)?;
        let mut counts = KernelCounts::default();
        for index in 0..CounterIndex::COUNT {
            let values =
                map.get(&index, 0).map_err(|error| XdpError::of_map("read a BPF map", error))?;
            counts.0[index as usize] = values.iter().sum();
        }
        Ok(counts)
    }
}

/// What we were about to do.
const WRITE: &str = "write a BPF map";

/// What became of frames in the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelCounts([u64; CounterIndex::COUNT as usize]);

impl Default for KernelCounts {
    fn default() -> Self {
        Self([0; CounterIndex::COUNT as usize])
    }
}

impl KernelCounts {
    fn at(&self, index: CounterIndex) -> u64 {
        self.0[index.get() as usize]
    }

    /// Queries for us.
    #[must_use]
    pub fn steered(&self) -> u64 {
        self.at(CounterIndex::STEERED)
    }

    /// Queries for us whose `AF_XDP` socket had no room, and which the network stack got instead.
    #[must_use]
    pub fn diverted(&self) -> u64 {
        self.at(CounterIndex::QUEUE_FULL)
    }

    /// Queries for us that were thrown away because no socket had room.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.at(CounterIndex::SHED)
    }

    /// Queries for us that the network stack got all the same, by the reason: no socket, another
    /// way back, an unknown way back.
    #[must_use]
    pub fn left_to_stack(&self) -> [u64; 3] {
        [CounterIndex::REDIRECT_FAILED, CounterIndex::OTHER_WAY, CounterIndex::WAY_UNKNOWN]
            .map(|index| self.at(index))
    }

    /// Frames that were left to the network stack for a reason.
    #[must_use]
    pub fn passed(&self, reason: PassReason) -> u64 {
        self.at(CounterIndex::of_pass(reason))
    }

    /// Queries that were thrown away for a reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.at(CounterIndex::of_drop(reason))
    }

    /// Queries that were thrown away.
    #[must_use]
    pub fn drops_total(&self) -> u64 {
        DropReason::ALL.into_iter().map(|reason| self.dropped(reason)).sum()
    }
}
