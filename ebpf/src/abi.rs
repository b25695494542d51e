//! What lies in the BPF maps, and what maps and programs are called.
//!
//! Both sides of the kernel border read these structures from plain memory, so they hold octets
//! only: no padding that could be left uninitialised, no alignment that could differ, numbers in
//! network order as they are in the packets. The assertions under each type make a changed layout
//! stop the build instead of misleading the other side.

use core::mem::size_of;
use core::net::IpAddr;

use crate::classify::{DropReason, PassReason, Verdict};

/// The XDP program.
pub const PROGRAM_STEER: &str = "steer";
/// The XDP program that takes datagrams to `AF_XDP` sockets for dns64bench.
pub const PROGRAM_REDIRECT: &str = "redirect";
/// The XDP program that sends queries back for dns64bench.
pub const PROGRAM_REFLECT: &str = "reflect";
/// The XDP program that leaves everything to the network stack.
pub const PROGRAM_PASS: &str = "pass";
/// The program that chooses among the sockets of a reuseport group.
pub const PROGRAM_SELECT_WORKER: &str = "select_worker";

/// Array of one [`SteerConfig`].
pub const MAP_CONFIG: &str = "CONFIG";
/// Hash of [`ServiceKey`]: where we listen.
pub const MAP_SERVICES: &str = "SERVICES";
/// Longest-prefix-match trie of [`ClientKey`]: whose queries are dropped.
pub const MAP_DENIED: &str = "DENIED";
/// CPUMAP: the cores that frames are steered to.
pub const MAP_CPUS: &str = "CPUS";
/// XSKMAP: the `AF_XDP` sockets by queue.
pub const MAP_XSKS: &str = "XSKS";
/// Most queues of an interface that can have an `AF_XDP` socket: entries of [`MAP_XSKS`].
pub const XSKS_MAX: u32 = 256;
/// Array of one [`crate::flow::FlowFilter`]: the datagrams that dns64bench's programs take.
pub const MAP_FILTER: &str = "FILTER";
/// Sockets of a reuseport group by the core that serves them.
pub const MAP_WORKERS: &str = "WORKERS";
/// Per-core array of counters by [`CounterIndex`].
pub const MAP_COUNTERS: &str = "COUNTERS";

/// An address as maps hold it: IPv4 in its IPv4-mapped form (RFC 4291 2.5.5.2), so that one map
/// serves both families.
#[must_use]
pub const fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// What the program does with a frame that is a query for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteerMode {
    /// Everything passes to the network stack.
    Off,
    /// The frame goes to a core's network stack by CPUMAP.
    Cpu,
    /// The frame goes to the `AF_XDP` socket of the queue it came by.
    Xsk,
}

/// What chooses the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteerBy {
    /// Addresses and ports.
    Flow,
    /// The question's name where it can be hashed, else the flow.
    Name,
}

/// The configuration of the programs, one for all cores.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteerConfig {
    mode: u8,
    by: u8,
    core_count: [u8; 2],
    reserved: [u8; 4],
    flow_seed: [u8; 8],
    name_seed: [u8; 8],
}

const _: () = assert!(size_of::<SteerConfig>() == 24 && align_of::<SteerConfig>() == 1);

impl SteerConfig {
    /// A configuration for `core_count` cores. The seeds are random numbers of this start.
    #[must_use]
    pub const fn new(
        mode: SteerMode,
        by: SteerBy,
        core_count: u16,
        flow_seed: u64,
        name_seed: u64,
    ) -> Self {
        let mode = match mode {
            SteerMode::Off => 0,
            SteerMode::Cpu => 1,
            SteerMode::Xsk => 2,
        };
        let by = match by {
            SteerBy::Flow => 0,
            SteerBy::Name => 1,
        };
        Self {
            mode,
            by,
            core_count: core_count.to_be_bytes(),
            reserved: [0; 4],
            flow_seed: flow_seed.to_be_bytes(),
            name_seed: name_seed.to_be_bytes(),
        }
    }

    /// What to do with queries for us. A zeroed map, and anything unknown, means nothing.
    #[must_use]
    pub const fn mode(&self) -> SteerMode {
        match self.mode {
            1 => SteerMode::Cpu,
            2 => SteerMode::Xsk,
            _ => SteerMode::Off,
        }
    }

    /// What chooses the core.
    #[must_use]
    pub const fn by(&self) -> SteerBy {
        match self.by {
            1 => SteerBy::Name,
            _ => SteerBy::Flow,
        }
    }

    /// Number of cores to steer to; 0 is taken as 1.
    #[must_use]
    pub const fn core_count(&self) -> u16 {
        u16::from_be_bytes(self.core_count)
    }

    /// Seed of the hash of addresses and ports.
    #[must_use]
    pub const fn flow_seed(&self) -> u64 {
        u64::from_be_bytes(self.flow_seed)
    }

    /// Seed of the hash of names.
    #[must_use]
    pub const fn name_seed(&self) -> u64 {
        u64::from_be_bytes(self.name_seed)
    }
}

/// An address and UDP port that we listen on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceKey {
    address: [u8; 16],
    port: [u8; 2],
    reserved: [u8; 2],
}

const _: () = assert!(size_of::<ServiceKey>() == 20 && align_of::<ServiceKey>() == 1);

impl ServiceKey {
    /// The key of an address in its [`mapped`] form and a port.
    #[must_use]
    pub const fn new(address: [u8; 16], port: u16) -> Self {
        Self { address, port: port.to_be_bytes(), reserved: [0; 2] }
    }

    /// The address, in its [`mapped`] form.
    #[must_use]
    pub const fn address(&self) -> [u8; 16] {
        self.address
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        u16::from_be_bytes(self.port)
    }
}

/// A client, or a network of clients, in the trie: the octets behind the prefix length that the
/// kernel's `struct bpf_lpm_trie_key` starts with.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey {
    address: [u8; 16],
}

const _: () = assert!(size_of::<ClientKey>() == 16 && align_of::<ClientKey>() == 1);

impl ClientKey {
    /// Prefix length to look a single client up with.
    pub const ADDRESS_BITS: u32 = 128;

    /// The key of an address in its [`mapped`] form.
    #[must_use]
    pub const fn new(address: [u8; 16]) -> Self {
        Self { address }
    }

    /// The address, in its [`mapped`] form.
    #[must_use]
    pub const fn address(&self) -> [u8; 16] {
        self.address
    }

    /// The length in the trie of a network with `prefix_len` bits: IPv4 prefixes lie behind the 96
    /// bits of the mapped form. `prefix_len` is at most 32 for IPv4 and 128 for IPv6.
    #[must_use]
    pub const fn trie_prefix_len(network: IpAddr, prefix_len: u8) -> u32 {
        match network {
            IpAddr::V4(_) => 96 + prefix_len as u32,
            IpAddr::V6(_) => prefix_len as u32,
        }
    }
}

/// The place of a counter in [`MAP_COUNTERS`]: every frame is counted once by its verdict, and a
/// redirect that the kernel refused once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterIndex(u32);

impl CounterIndex {
    /// Frames steered.
    pub const STEERED: Self = Self(0);
    /// Frames steered whose redirect failed, so that they passed to the stack after all.
    pub const REDIRECT_FAILED: Self = Self(1);
    /// Where the reasons to pass begin; those to drop follow.
    const FIRST_PASS: u32 = 2;
    const FIRST_DROP: u32 = Self::FIRST_PASS + PassReason::COUNT as u32;
    /// Number of counters: the size of the map.
    pub const COUNT: u32 = Self::FIRST_DROP + DropReason::COUNT as u32;

    /// The counter of a verdict.
    #[must_use]
    pub const fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Steer(_) => Self::STEERED,
            Verdict::Pass(reason) => Self::of_pass(*reason),
            Verdict::Drop(reason) => Self::of_drop(*reason),
        }
    }

    /// The counter of a reason to pass.
    #[must_use]
    pub const fn of_pass(reason: PassReason) -> Self {
        Self(Self::FIRST_PASS + reason.index() as u32)
    }

    /// The counter of a reason to drop.
    #[must_use]
    pub const fn of_drop(reason: DropReason) -> Self {
        Self(Self::FIRST_DROP + reason.index() as u32)
    }

    /// The index into the map.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn a_zeroed_configuration_steers_nothing() {
        let zeroed = SteerConfig::new(SteerMode::Off, SteerBy::Flow, 0, 0, 0);
        assert_eq!(
            zeroed,
            SteerConfig {
                mode: 0,
                by: 0,
                core_count: [0; 2],
                reserved: [0; 4],
                flow_seed: [0; 8],
                name_seed: [0; 8]
            }
        );
        let unknown = SteerConfig { mode: 77, ..zeroed };
        assert_eq!(unknown.mode(), SteerMode::Off);
    }

    #[test]
    fn a_configuration_gives_back_what_it_was_made_of() {
        let config = SteerConfig::new(SteerMode::Xsk, SteerBy::Name, 513, 1 << 63, 7);
        assert_eq!(config.mode(), SteerMode::Xsk);
        assert_eq!(config.by(), SteerBy::Name);
        assert_eq!(config.core_count(), 513);
        assert_eq!((config.flow_seed(), config.name_seed()), (1 << 63, 7));
        assert_eq!(config.core_count, [2, 1], "numbers are in network order");
    }

    #[test]
    fn ipv4_lies_under_its_mapped_prefix() {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(mapped(address), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
        assert_eq!(ClientKey::trie_prefix_len(address, 24), 120);
        assert_eq!(ClientKey::trie_prefix_len(IpAddr::V6(Ipv6Addr::LOCALHOST), 64), 64);
    }

    #[test]
    fn every_counter_has_a_place_of_its_own() {
        let mut seen = [false; CounterIndex::COUNT as usize];
        let all = [CounterIndex::STEERED, CounterIndex::REDIRECT_FAILED]
            .into_iter()
            .chain(PassReason::ALL.map(CounterIndex::of_pass))
            .chain(DropReason::ALL.map(CounterIndex::of_drop));
        for counter in all {
            let place = &mut seen[counter.get() as usize];
            assert!(!*place, "{counter:?} twice");
            *place = true;
        }
        assert!(seen.iter().all(|place| *place));
    }
}
