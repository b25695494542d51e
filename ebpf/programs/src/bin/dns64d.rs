//! The programs of dns64d: queries for us are answered here if their answer is published, and else
//! go to the AF_XDP socket of their queue; everything else and everything odd goes to the network
//! stack.
#![no_std]
#![no_main]

use core::cell::Cell;
use core::ptr;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::maps::{Array, HashMap, LpmTrie, PerCpuArray, XskMap};
use aya_ebpf::programs::XdpContext;
use dns64_ebpf::abi::{
    CLIENTS_MAX, ClientEntry, ClientKey, ClientRule, CounterIndex, INTERFACES_MAX, InterfaceEntry,
    QUEUE_GIVEN, QUEUE_LIMIT, QUEUE_SHEDS, QUEUE_WORDS, SERVICES_MAX, ServiceKey, SteerConfig,
    SteerMode, WayBack, XSKS_MAX,
};
use dns64_ebpf::classify::{Steer, Tables, Verdict, classify, name_hash};
use dns64_ebpf::frame::Frame;
use dns64_ebpf_programs::way_back::{self, Way};
use dns64_ebpf_programs::{Packet, add, hot, queue};

/// The configuration: one entry.
#[map]
static CONFIG: Array<SteerConfig> = Array::with_max_entries(1, 0);

/// Where we listen.
#[map]
static SERVICES: HashMap<ServiceKey, u8> = HashMap::with_max_entries(SERVICES_MAX, 0);

/// Who may ask, and as whom. `BPF_F_NO_PREALLOC`, as the kernel demands of tries.
#[map]
static CLIENTS: LpmTrie<ClientKey, ClientEntry> =
    LpmTrie::with_max_entries(CLIENTS_MAX, NO_PREALLOCATION);

/// Where queries are taken, by interface index.
#[map]
static INTERFACES: HashMap<u32, InterfaceEntry> = HashMap::with_max_entries(INTERFACES_MAX, 0);

/// The AF_XDP sockets.
#[map]
static XSKS: XskMap = XskMap::with_max_entries(XSKS_MAX, 0);

/// How many frames the sockets have room for.
#[map]
static QUEUES: Array<[u64; QUEUE_WORDS]> = Array::with_max_entries(XSKS_MAX, MAPPED);

/// What became of the frames.
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(CounterIndex::COUNT, 0);

/// A query for us.
struct Query {
    place: Steer,
    audience: u16,
    /// Where the name begins, 0 if there is none to be hashed, and where the message ends.
    name_at: u16,
    message_end: u16,
}

/// The query that this CPU is at.
#[map]
static QUERY: PerCpuArray<Query> = PerCpuArray::with_max_entries(1, 0);

/// `BPF_F_NO_PREALLOC` of linux/bpf.h.
const NO_PREALLOCATION: u32 = 1;

/// `BPF_F_MMAPABLE` of linux/bpf.h: user space reads and writes without system calls.
const MAPPED: u32 = 1 << 10;

/// The maps as the classifier asks them.
struct Maps {
    config: &'static SteerConfig,
    /// Whose answers the client gets, once the classifier has asked for the client; 0 is nobody's,
    /// [`dns64_ebpf::abi::REFUSED`] none.
    audience: Cell<u16>,
    /// Where the name of the question begins and the message ends, for [`question`].
    name: Cell<(u16, u16)>,
}

impl Tables for Maps {
    #[inline(always)]
    fn config(&self) -> &SteerConfig {
        self.config
    }

    #[inline(always)]
    fn serves(&self, service: &ServiceKey) -> bool {
        SERVICES.get_ptr(service).is_some()
    }

    #[inline(always)]
    fn denies(&self, client: &ClientKey) -> bool {
        let Some(entry) = entry_of(client) else { return false };
        self.audience.set(entry.audience());
        entry.rule() == ClientRule::Drop
    }

    #[inline(always)]
    fn question_name<F: Frame + ?Sized>(&self, _: &F, at: usize, end: usize) -> (u64, u8) {
        self.name.set((at as u16, end as u16));
        (0, 0)
    }
}

/// Hashes and measures the name of the question in [`QUERY`].
///
/// A function of its own, and visible: the verifier looks at its loop once, and not once for each
/// of the ways through the headers that lead here. Not called by the classifier, because there is
/// stack for two functions of this size.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn question(context: *mut xdp_md) -> u32 {
    let (Some(config), Some(query)) = (CONFIG.get(0), QUERY.get_ptr_mut(0)) else { return 0 };
    // SAFETY: the entry is this CPU's.
    let query = unsafe { &mut *query };
    let (at, end) = (usize::from(query.name_at), usize::from(query.message_end));
    if at == 0 {
        return 0;
    }
    let packet = Packet::new(&XdpContext::new(context));
    let (hash, len) = name_hash(&packet, at, end, config.name_seed());
    query.place.name_hash = (len != 0).then_some(hash);
    query.place.name_len = len;
    0
}

/// What the trie says of a client.
#[inline(always)]
fn entry_of(client: &ClientKey) -> Option<ClientEntry> {
    CLIENTS.get(Key::new(ClientKey::ADDRESS_BITS, *client)).copied()
}

/// Judges a frame, counts it, and acts.
#[xdp]
fn steer(context: XdpContext) -> u32 {
    let action = judge(context.ctx);
    if action != STEERED {
        return action;
    }
    question(context.ctx);
    let Some(query) = QUERY.get(0) else { return XDP_PASS };
    take(&context, &mut Packet::new(&context), &query.place, query.audience)
}

/// No action of XDP: a query for us lies in [`QUERY`].
const STEERED: u32 = u32::MAX;

/// Judges a frame and counts it. It gives back the action, or says that there is a query.
///
/// A function of its own, and visible: the verifier looks at what is done with a query once, and
/// not once for each of the hundreds of ways through the classifier.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn judge(context: *mut xdp_md) -> u32 {
    let Some(config) = CONFIG.get(0) else { return XDP_PASS };
    if config.mode() == SteerMode::Off {
        return XDP_PASS;
    }
    let maps = Maps { config, audience: Cell::new(0), name: Cell::new((0, 0)) };
    let verdict = classify(&Packet::new(&XdpContext::new(context)), &maps);
    count(CounterIndex::of(&verdict));
    match verdict {
        Verdict::Pass(_) => XDP_PASS,
        Verdict::Drop(_) => XDP_DROP,
        Verdict::Steer(place) => {
            let Some(query) = QUERY.get_ptr_mut(0) else { return XDP_PASS };
            // SAFETY: the entry is this CPU's.
            unsafe {
                (*query).place = place;
                (*query).audience = maps.audience.get();
                ((*query).name_at, (*query).message_end) = maps.name.get();
            }
            STEERED
        }
    }
}

/// A query for us, whose reply must be able to leave by the way the query came.
#[inline(always)]
fn take(context: &XdpContext, packet: &mut Packet, query: &Steer, audience: u16) -> u32 {
    // SAFETY: the kernel calls the program with a valid context, which outlives the call.
    let interface = unsafe { (*context.ctx).ingress_ifindex };
    // SAFETY: entries are replaced as a whole, and one that is read while that happens is the old
    // one or the new one: both are eight octets, written by one store.
    let Some(interface) = (unsafe { INTERFACES.get(&interface) }) else {
        return pass(CounterIndex::REDIRECT_FAILED);
    };
    let ip = usize::from(query.ip);
    let Some([version]) = packet.octets::<1>(ip) else {
        return pass(CounterIndex::REDIRECT_FAILED);
    };
    let is_ipv4 = version >> 4 == 4;
    match interface.way_back(is_ipv4) {
        WayBack::Same => {}
        WayBack::Lookup => match way_back::ask(context, packet, ip, is_ipv4) {
            Way::Here => {}
            Way::Other => return pass(CounterIndex::OTHER_WAY),
            Way::Unknown => return pass(CounterIndex::WAY_UNKNOWN),
        },
        WayBack::Unknown => return pass(CounterIndex::WAY_UNKNOWN),
    }
    // The reply is known to leave by the way the query came: a hot answer is given here.
    if interface.gives_hot_answers()
        && let Some(action) = hot::answer(context, query, audience)
    {
        return action;
    }
    let Some(socket) = interface.socket(queue(context)) else {
        return pass(CounterIndex::REDIRECT_FAILED);
    };
    match room(socket) {
        Room::ForOne => {}
        Room::None => return pass(CounterIndex::QUEUE_FULL),
        Room::Nowhere => {
            count(CounterIndex::SHED);
            return XDP_DROP;
        }
    }
    match XSKS.redirect(socket, u64::from(XDP_PASS)) {
        Ok(action) => action,
        Err(_) => pass(CounterIndex::REDIRECT_FAILED),
    }
}

/// What room there is for a query.
enum Room {
    /// The socket has room for it, and it counts as given.
    ForOne,
    /// The socket has none: the kernel would drop the frame, and nobody would hear of it.
    None,
    /// Nor has the socket of the network stack: user space cannot answer what it has got.
    Nowhere,
}

/// What room there is at a socket.
#[inline(always)]
fn room(socket: u32) -> Room {
    let Some(queue) = QUEUES.get_ptr_mut(socket) else { return Room::None };
    let queue: *mut u64 = queue.cast();
    // SAFETY: words of the entry, each read and written as a whole.
    let (given, limit) = unsafe {
        (ptr::read_volatile(queue.add(QUEUE_GIVEN)), ptr::read_volatile(queue.add(QUEUE_LIMIT)))
    };
    if given.wrapping_sub(limit) as i64 >= 0 {
        // SAFETY: a word of the entry.
        let sheds = unsafe { ptr::read_volatile(queue.add(QUEUE_SHEDS)) } != 0;
        return if sheds { Room::Nowhere } else { Room::None };
    }
    // In generic mode several cores may be at one queue. By how much they overdraw is less than
    // what user space keeps in reserve.
    // SAFETY: a word of the entry.
    unsafe { add(queue.add(QUEUE_GIVEN), 1) };
    Room::ForOne
}

/// Leaves a query to the network stack, and counts why.
#[inline(always)]
fn pass(reason: CounterIndex) -> u32 {
    count(reason);
    XDP_PASS
}

/// Counts one.
#[inline(always)]
fn count(counter: CounterIndex) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter.get()) {
        // SAFETY: the value is this CPU's, and a program is not interrupted by another of its kind.
        unsafe { *value += 1 };
    }
}
