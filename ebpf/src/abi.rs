//! What lies in the BPF maps, and what maps and programs are called.
//!
//! Both sides of the kernel border read these structures from plain memory, so they hold octets
//! only: no padding that could be left uninitialised, no alignment that could differ, numbers in
//! network order as they are in the packets. The assertions under each type make a changed layout
//! stop the build instead of misleading the other side.

use core::mem::size_of;
use core::net::IpAddr;

use crate::classify::{DropReason, PassReason, Verdict};

/// The XDP program of dns64d.
pub const PROGRAM_STEER: &str = "steer";
/// The XDP program that takes datagrams to `AF_XDP` sockets for dns64bench.
pub const PROGRAM_REDIRECT: &str = "redirect";
/// The XDP program that sends queries back for dns64bench.
pub const PROGRAM_REFLECT: &str = "reflect";
/// The XDP program that leaves everything to the network stack.
pub const PROGRAM_PASS: &str = "pass";

/// The `sk_reuseport` program that picks the worker's socket.
pub const PROGRAM_SELECT: &str = "select_worker";
/// The XDP program that takes frames to the CPUs of their workers.
pub const PROGRAM_SPREAD: &str = "spread";

/// Array of one [`SteerConfig`].
pub const MAP_CONFIG: &str = "CONFIG";
/// Hash of [`ServiceKey`]: where we listen.
pub const MAP_SERVICES: &str = "SERVICES";
/// Most services: entries of [`MAP_SERVICES`].
pub const SERVICES_MAX: u32 = 4_096;
/// Longest-prefix-match trie of [`ClientKey`] to [`ClientEntry`]: who may ask, and as whom.
pub const MAP_CLIENTS: &str = "CLIENTS";
/// Most networks of clients: entries of [`MAP_CLIENTS`].
pub const CLIENTS_MAX: u32 = 262_144;
/// Hash of interface index to [`InterfaceEntry`]: where queries are taken.
pub const MAP_INTERFACES: &str = "INTERFACES";
/// Most interfaces: entries of [`MAP_INTERFACES`].
pub const INTERFACES_MAX: u32 = 64;
/// XSKMAP: the `AF_XDP` sockets, those of one interface side by side in the order of its queues.
pub const MAP_XSKS: &str = "XSKS";
/// Most queues that can have an `AF_XDP` socket: entries of [`MAP_XSKS`].
pub const XSKS_MAX: u32 = 256;
/// Array of [`QUEUE_WORDS`] for each place of [`MAP_XSKS`], mapped by user space: how many frames a
/// socket still has room for.
pub const MAP_QUEUES: &str = "QUEUES";
/// Words of an entry of [`MAP_QUEUES`]: two lines of a processor's cache, since two cores write.
pub const QUEUE_WORDS: usize = 16;
/// The word in which the program counts the frames that it has given to the socket.
pub const QUEUE_GIVEN: usize = 0;
/// The word in which user space says at which count the program must stop. Zeros stop it at once.
pub const QUEUE_LIMIT: usize = 8;
/// The word in which user space says what becomes of queries beyond that count: 0, and the network
/// stack gets them; any other number, and they are thrown away.
pub const QUEUE_SHEDS: usize = 9;
/// Array of one [`crate::flow::FlowFilter`]: the datagrams that dns64bench's programs take.
pub const MAP_FILTER: &str = "FILTER";
/// Per-core array of counters by [`CounterIndex`].
pub const MAP_COUNTERS: &str = "COUNTERS";

/// REUSEPORT_SOCKARRAY: the sockets of one listen address, by the number of their worker.
pub const MAP_SOCKETS: &str = "SOCKETS";
/// CPUMAP: the CPUs of the workers, by their number.
pub const MAP_CPUS: &str = "CPUS";
/// Array of numbers of CPUs, by the number of the worker.
pub const MAP_WORKER_CPUS: &str = "WORKER_CPUS";

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
    /// The frame goes to the `AF_XDP` socket of the queue it came by.
    Xsk,
    /// The query goes to its worker: to its CPU, and to its socket.
    Worker,
}

/// What chooses the core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SteerBy {
    /// Addresses and ports.
    #[default]
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
            SteerMode::Xsk => 1,
            SteerMode::Worker => 2,
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
            1 => SteerMode::Xsk,
            2 => SteerMode::Worker,
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

    /// The octets in the map.
    #[must_use]
    pub const fn octets(&self) -> [u8; size_of::<Self>()] {
        let [c0, c1] = self.core_count;
        let [r0, r1, r2, r3] = self.reserved;
        let [f0, f1, f2, f3, f4, f5, f6, f7] = self.flow_seed;
        let [n0, n1, n2, n3, n4, n5, n6, n7] = self.name_seed;
        [
            self.mode, self.by, c0, c1, r0, r1, r2, r3, f0, f1, f2, f3, f4, f5, f6, f7, n0, n1, n2,
            n3, n4, n5, n6, n7,
        ]
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

    /// The octets in the map.
    #[must_use]
    pub fn octets(&self) -> [u8; size_of::<Self>()] {
        let mut octets = [0; size_of::<Self>()];
        octets[..16].copy_from_slice(&self.address);
        octets[16..18].copy_from_slice(&self.port);
        octets
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

/// The audience of clients that may not ask.
pub const REFUSED: u16 = u16::MAX;

/// What becomes of the queries of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRule {
    /// They are refused: inside the program where the entry has the audience [`REFUSED`], else by
    /// user space. So are those of clients that no entry names.
    Refuse,
    /// They are answered.
    Answer,
    /// They are thrown away unseen.
    Drop,
}

/// What the trie says of a client.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientEntry {
    rule: u8,
    reserved: u8,
    audience: [u8; 2],
}

const _: () = assert!(size_of::<ClientEntry>() == 4 && align_of::<ClientEntry>() == 1);

impl ClientEntry {
    /// An entry. Clients of one `audience` get the same answers to the same questions: they have
    /// view and prefixes in common.
    #[must_use]
    pub const fn new(rule: ClientRule, audience: u16) -> Self {
        let rule = match rule {
            ClientRule::Refuse => 0,
            ClientRule::Answer => 1,
            ClientRule::Drop => 2,
        };
        Self { rule, reserved: 0, audience: audience.to_be_bytes() }
    }

    /// What becomes of the client's queries.
    #[must_use]
    pub const fn rule(&self) -> ClientRule {
        match self.rule {
            1 => ClientRule::Answer,
            2 => ClientRule::Drop,
            _ => ClientRule::Refuse,
        }
    }

    /// Whose answers the client gets.
    #[must_use]
    pub const fn audience(&self) -> u16 {
        u16::from_be_bytes(self.audience)
    }

    /// The octets in the map.
    #[must_use]
    pub const fn octets(&self) -> [u8; size_of::<Self>()] {
        let [high, low] = self.audience;
        [self.rule, self.reserved, high, low]
    }
}

/// By which way a reply leaves that is written in the frame of its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayBack {
    /// Nobody knows: such queries are left to the network stack.
    Unknown,
    /// The way it came: every route of the machine leaves by this interface.
    Same,
    /// The routing table is asked for each query; what would leave by another interface is left to
    /// the network stack.
    Lookup,
}

impl WayBack {
    const fn code(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Same => 1,
            Self::Lookup => 2,
        }
    }

    const fn of_code(code: u8) -> Self {
        match code {
            1 => Self::Same,
            2 => Self::Lookup,
            _ => Self::Unknown,
        }
    }
}

/// An interface whose queries go to `AF_XDP` sockets.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceEntry {
    first_socket: [u8; 2],
    queue_count: [u8; 2],
    way_back_v4: u8,
    way_back_v6: u8,
    answers_hot: u8,
    reserved: u8,
}

const _: () = assert!(size_of::<InterfaceEntry>() == 8 && align_of::<InterfaceEntry>() == 1);

impl InterfaceEntry {
    /// An interface whose queues have the sockets from `first_socket` on, and the ways back of
    /// IPv4 and IPv6.
    #[must_use]
    pub const fn new(first_socket: u16, queue_count: u16, v4: WayBack, v6: WayBack) -> Self {
        Self {
            first_socket: first_socket.to_be_bytes(),
            queue_count: queue_count.to_be_bytes(),
            way_back_v4: v4.code(),
            way_back_v6: v6.code(),
            answers_hot: 0,
            reserved: 0,
        }
    }

    /// The same, with hot answers given inside the program.
    #[must_use]
    pub const fn with_hot_answers(self, given: bool) -> Self {
        Self { answers_hot: given as u8, ..self }
    }

    /// Whether hot answers are given inside the program.
    #[must_use]
    pub const fn gives_hot_answers(&self) -> bool {
        self.answers_hot == 1
    }

    /// The place of a queue's socket in [`MAP_XSKS`]; `None` for a queue without one.
    #[must_use]
    pub const fn socket(&self, queue: u32) -> Option<u32> {
        if queue < u16::from_be_bytes(self.queue_count) as u32 {
            Some(u16::from_be_bytes(self.first_socket) as u32 + queue)
        } else {
            None
        }
    }

    /// The way back of a family.
    #[must_use]
    pub const fn way_back(&self, is_ipv4: bool) -> WayBack {
        WayBack::of_code(if is_ipv4 { self.way_back_v4 } else { self.way_back_v6 })
    }

    /// The octets in the map.
    #[must_use]
    pub const fn octets(&self) -> [u8; size_of::<Self>()] {
        let ([f0, f1], [q0, q1]) = (self.first_socket, self.queue_count);
        [f0, f1, q0, q1, self.way_back_v4, self.way_back_v6, self.answers_hot, 0]
    }
}

/// The place of a counter in [`MAP_COUNTERS`]: every frame is counted once by its verdict, and a
/// query that does not reach an `AF_XDP` socket after all once more, by the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterIndex(u32);

impl CounterIndex {
    /// Queries for us.
    pub const STEERED: Self = Self(0);
    /// Those of them without an `AF_XDP` socket to go to, which passed to the stack after all.
    pub const REDIRECT_FAILED: Self = Self(1);
    /// Those whose replies leave by another interface, or whose next hop is not known yet.
    pub const OTHER_WAY: Self = Self(2);
    /// Those whose way back could not be asked for: forwarding is off on the loopback interface.
    pub const WAY_UNKNOWN: Self = Self(3);
    /// Those whose `AF_XDP` socket has no room: user space has fallen behind.
    pub const QUEUE_FULL: Self = Self(4);
    /// Those that were thrown away for the same reason, because nobody could have answered them.
    pub const SHED: Self = Self(5);
    /// Where the reasons to pass begin; those to drop follow.
    const FIRST_PASS: u32 = 6;
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
    extern crate std;

    use core::net::{Ipv4Addr, Ipv6Addr};

    use std::vec;

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
        let octets = config.octets();
        assert_eq!((octets[0], octets[1], octets[8], octets[23]), (1, 1, 0x80, 7));
    }

    #[test]
    fn a_service_lies_in_the_map_as_it_is_looked_up() {
        let octets = ServiceKey::new([7; 16], 0x1234).octets();
        assert_eq!((octets[..16].to_vec(), &octets[16..]), (vec![7; 16], &[0x12, 0x34, 0, 0][..]));
    }

    #[test]
    fn a_client_without_rule_is_left_to_user_space() {
        let entry = ClientEntry { rule: 77, reserved: 0, audience: [1, 2] };
        assert_eq!((entry.rule(), entry.audience()), (ClientRule::Refuse, 258));
        for rule in [ClientRule::Refuse, ClientRule::Answer, ClientRule::Drop] {
            assert_eq!(ClientEntry::new(rule, 3).rule(), rule);
        }
        assert_eq!(ClientEntry::new(ClientRule::Drop, 258).octets(), [2, 0, 1, 2]);
    }

    #[test]
    fn an_interface_has_a_socket_for_each_of_its_queues_and_no_other() {
        let entry = InterfaceEntry::new(300, 2, WayBack::Same, WayBack::Lookup);
        assert_eq!(
            [entry.socket(0), entry.socket(1), entry.socket(2)],
            [Some(300), Some(301), None]
        );
        assert_eq!(entry.way_back(true), WayBack::Same);
        assert_eq!(entry.way_back(false), WayBack::Lookup);
        assert_eq!(entry.octets(), [1, 44, 0, 2, 1, 2, 0, 0]);
        assert!(!entry.gives_hot_answers() && entry.with_hot_answers(true).gives_hot_answers());
        assert_eq!(entry.with_hot_answers(true).octets(), [1, 44, 0, 2, 1, 2, 1, 0]);
        let zeroed = InterfaceEntry { way_back_v4: 9, ..entry };
        assert_eq!(zeroed.way_back(true), WayBack::Unknown);
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
        let all = [
            CounterIndex::STEERED,
            CounterIndex::REDIRECT_FAILED,
            CounterIndex::OTHER_WAY,
            CounterIndex::WAY_UNKNOWN,
            CounterIndex::QUEUE_FULL,
            CounterIndex::SHED,
        ]
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
