//! The program that picks a worker's socket for each datagram: one for each listen address, whose
//! sockets are a group of `SO_REUSEPORT`. What it cannot judge it leaves to the kernel's choice.
#![no_std]
#![no_main]
// For the instruction in `clamp`.
#![feature(asm_experimental_arch)]

use core::arch::asm;
use core::ptr;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::sk_action::SK_PASS;
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_skb_load_bytes_relative};
use aya_ebpf::macros::{map, sk_reuseport};
use aya_ebpf::maps::{Array, PerCpuArray, ReusePortSockArray};
use aya_ebpf::programs::SkReuseportContext;
use dns64_ebpf::abi::{SteerBy, SteerConfig, SteerMode};
use dns64_ebpf::frame::{ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, Frame};
use dns64_ebpf::select::{MESSAGE_LEN_MIN, SelectCounter, owner_of_message, worker_of_flow};
use dns64_ebpf_programs::unaligned;

/// The configuration: one entry.
#[map]
static CONFIG: Array<SteerConfig> = Array::with_max_entries(1, 0);

/// The sockets by worker. User space says how many there are when it loads the program.
#[map]
static SOCKETS: ReusePortSockArray = ReusePortSockArray::with_max_entries(1, 0);

/// What became of the datagrams.
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(SelectCounter::COUNT, 0);

/// Octets of a message that are looked at: its header, the longest name (RFC 1035 2.3.4), type and
/// class.
const MESSAGE_LEN_SEEN: usize = 12 + 255 + 4;

/// Octets of the room for them: more, and a power of two.
const ROOM_LEN: usize = MESSAGE_LEN_SEEN.next_power_of_two();

/// The room.
type Room = [u64; ROOM_LEN / 8];

/// The beginning of the message that this CPU is at.
#[map]
static ROOM: PerCpuArray<Room> = PerCpuArray::with_max_entries(1, 0);

/// Octets of a UDP header, where the program's view of a datagram begins.
const UDP_HEADER_LEN: usize = 8;

/// Offsets are from the IP header (`BPF_HDR_START_NET` of linux/bpf.h).
const FROM_IP_HEADER: u32 = 1;

/// Picks the socket.
#[sk_reuseport]
fn select_worker(context: SkReuseportContext) -> u32 {
    let counter = match worker_of(&context) {
        Some(worker) => match SOCKETS.select_reuseport(&context, u32::from(worker)) {
            Ok(()) => SelectCounter::Chosen,
            Err(_) => SelectCounter::NoSocket,
        },
        None => SelectCounter::Left,
    };
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the value is this CPU's, and the program is not interrupted by itself.
        unsafe { *value += 1 };
    }
    // Without a choice of ours the kernel makes its own.
    SK_PASS
}

/// The worker whose socket is wanted.
#[inline(always)]
fn worker_of(context: &SkReuseportContext) -> Option<u16> {
    let config = CONFIG.get(0)?;
    match (config.mode(), config.by()) {
        (SteerMode::Worker, SteerBy::Name) => by_name(context, config),
        (SteerMode::Worker, SteerBy::Flow) => by_flow(context, config),
        (SteerMode::Off | SteerMode::Xsk, _) => None,
    }
}

/// By the name that the message asks for. It is copied, because the part of a packet that can be
/// read in place may end with its headers.
#[inline(always)]
fn by_name(context: &SkReuseportContext, config: &SteerConfig) -> Option<u16> {
    let room = ROOM.get_ptr_mut(0)?;
    let len = context.len().checked_sub(UDP_HEADER_LEN)?.min(MESSAGE_LEN_SEEN);
    let seen = clamp(len);
    if len < MESSAGE_LEN_MIN || seen == 0 {
        return None;
    }
    let from = UDP_HEADER_LEN as u32;
    // SAFETY: the room is this CPU's, and longer than any number that `clamp` gives back.
    let result = unsafe { bpf_skb_load_bytes(context.as_ptr(), from, room.cast(), seen as u32) };
    if result != 0 {
        return None;
    }
    owner_of_message(&Message(room), len, config)
}

/// A number of octets, at most [`MESSAGE_LEN_SEEN`], whose bound the verifier sees where it is
/// used.
#[inline(always)]
fn clamp(len: usize) -> usize {
    let mut len = len;
    // SAFETY: arithmetic on one register. The mask changes nothing: `len` is less.
    unsafe {
        asm!("{0} &= {1}", inout(reg) len, const ROOM_LEN - 1, options(pure, nomem, nostack));
    }
    len
}

/// The beginning of a message in this CPU's room. What lies behind its end is not its own.
struct Message(*const Room);

impl Frame for Message {
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > ROOM_LEN - N {
            return None;
        }
        let at = self.0.cast::<u8>().wrapping_add(offset);
        // SAFETY: these octets lie in the room, as was compared, and the verifier refuses the
        // program if they do not.
        Some(unsafe { unaligned::load(at as usize) })
    }

    #[inline(always)]
    fn len(&self) -> usize {
        ROOM_LEN
    }
}

/// By addresses and ports.
#[inline(always)]
fn by_flow(context: &SkReuseportContext, config: &SteerConfig) -> Option<u16> {
    let ports: [u8; 4] = load(context, 0)?;
    let [s0, s1, d0, d1] = ports;
    let ports = [u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])];
    let (source, destination) = match u16::from_be(context.eth_protocol() as u16) {
        ETHER_TYPE_IPV4 => (mapped(load_ip(context, 12)?), mapped(load_ip(context, 16)?)),
        ETHER_TYPE_IPV6 => (load_ip(context, 8)?, load_ip(context, 24)?),
        _ => return None,
    };
    Some(worker_of_flow([&source, &destination], ports, config))
}

/// The IPv4-mapped form of an address (RFC 4291 2.5.5.2).
#[inline(always)]
fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// Octets behind the start of the UDP header.
#[inline(always)]
fn load<const N: usize>(context: &SkReuseportContext, offset: u32) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let to = ptr::from_mut(&mut octets).cast();
    // SAFETY: `octets` is ours, and as long as is said.
    let result = unsafe { bpf_skb_load_bytes(context.as_ptr(), offset, to, N as u32) };
    (result == 0).then_some(octets)
}

/// Octets behind the start of the IP header.
#[inline(always)]
fn load_ip<const N: usize>(context: &SkReuseportContext, offset: u32) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let to = ptr::from_mut(&mut octets).cast();
    // SAFETY: `octets` is ours, and as long as is said.
    let result = unsafe {
        bpf_skb_load_bytes_relative(context.as_ptr(), offset, to, N as u32, FROM_IP_HEADER)
    };
    (result == 0).then_some(octets)
}
