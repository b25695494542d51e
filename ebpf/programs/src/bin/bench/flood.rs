//! The flood: queries made of live frames, and the judgement of their answers, as
//! `dns64_ebpf::flood` has it.

use core::arch::asm;
use core::ptr;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::{
    bpf_ktime_get_coarse_ns, bpf_ktime_get_ns, bpf_xdp_adjust_tail, bpf_xdp_load_bytes,
    bpf_xdp_store_bytes,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use aya_ebpf::programs::XdpContext;
use dns64_ebpf::flood::judge::{Message, Verdict, judge};
use dns64_ebpf::flood::slot::{SLOT_WORDS, Slot, frame_len, udp_checksum};
use dns64_ebpf::flood::state::{
    COUNT, FAILED, FIRST_PORT, FOREIGN, IS_IPV4, LATE, NEXT_PORT, NEXT_SLOT, OUTSTANDING, PORTS,
    RIGHT, SAMPLED, SENT, STATE_WORDS, STRAY, TIMEOUT_NS, WRONG, may_send,
};
use dns64_ebpf::flood::{SAMPLE_LEN_MAX, SAMPLE_WORDS, SAMPLES_MAX, SLOTS_MAX, Words, sample_word};
use dns64_ebpf::flow::{Datagram, FlowFilter};
use dns64_ebpf::frame::{Frame, FrameMut, Udp};
use dns64_ebpf::headers::message_offset;
use dns64_ebpf_programs::{Packet, unaligned};

/// `BPF_F_MMAPABLE` of linux/bpf.h: user space reads and writes without system calls.
const MAPPED: u32 = 1 << 10;

/// Queries and their answers. User space says how many there are when it loads the programs.
#[map]
static FLOOD_SLOTS: Array<[u64; SLOT_WORDS]> = Array::with_max_entries(1, MAPPED);

/// When the query of each slot was sent.
#[map]
static FLOOD_WAITING: Array<u64> = Array::with_max_entries(1, MAPPED);

/// The page.
#[map]
static FLOOD_STATE: Array<[u64; STATE_WORDS]> = Array::with_max_entries(1, MAPPED);

/// Some of the wrong answers.
#[map]
static FLOOD_SAMPLES: Array<[u64; SAMPLE_WORDS]> = Array::with_max_entries(SAMPLES_MAX, MAPPED);

/// Words in shared memory.
#[derive(Clone, Copy)]
struct Shared(*mut u64);

impl Shared {
    #[inline(always)]
    fn set(self, index: usize, value: u64) {
        // SAFETY: as in `word`; each word has one writer.
        unsafe { ptr::write_volatile(self.0.add(index), value) };
    }

    /// Adds one. Several CPUs may be doing so.
    #[inline(always)]
    fn count(self, index: usize) {
        // The library has no atomic additions for this target; the instruction is there.
        // SAFETY: as in `word`, and everyone who writes these words does so by atomic additions.
        unsafe {
            asm!(
                "lock *(u64 *)({at} + 0) += {one}",
                at = in(reg) self.0.add(index),
                one = in(reg) 1_u64,
                options(nostack),
            );
        }
    }
}

impl Words for Shared {
    #[inline(always)]
    fn word(self, index: usize) -> u64 {
        // SAFETY: callers stay within the value, and the verifier refuses the program if they do
        // not. Others may be writing the word: it is read as a whole, once.
        unsafe { ptr::read_volatile(self.0.add(index)) }
    }
}

impl Slot for Shared {
    #[inline(always)]
    fn octets(self, at: usize) -> [u8; 8] {
        // The mask changes nothing: the frame ends before.
        let at = self.0.cast::<u8>().wrapping_add(masked::<0xff>(at)) as usize;
        // SAFETY: a slot has more than eight octets behind its first 255.
        unsafe { unaligned::load(at) }
    }
}

/// A number whose bound the verifier sees where it is used.
#[inline(always)]
fn masked<const MASK: u64>(number: usize) -> usize {
    let mut number = number;
    // SAFETY: arithmetic on one register.
    unsafe {
        asm!("{0} &= {1}", inout(reg) number, const MASK, options(pure, nomem, nostack));
    }
    number
}

/// Octets of the packet. Left to itself the compiler adds to the address of the end, which the
/// verifier forbids; it allows the difference.
#[inline(always)]
fn packet_len(context: &XdpContext) -> usize {
    let mut len = context.data_end();
    // SAFETY: arithmetic on two registers.
    unsafe {
        asm!("{0} -= {1}", inout(reg) len, in(reg) context.data(), options(pure, nomem, nostack));
    }
    len
}

/// Milliseconds behind, and cheap.
#[inline(always)]
fn coarse_now_ns() -> u64 {
    // SAFETY: the helper has no conditions.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// Makes the next query of a live frame, whatever it holds; `None` if none may be sent now.
///
/// There is one sender, on one CPU: its words need no atomic access.
#[inline(always)]
pub fn send(context: &XdpContext) -> Option<()> {
    let state = Shared(FLOOD_STATE.get_ptr_mut(0)?.cast());
    // SAFETY: the helper has no conditions.
    if !may_send(state, || unsafe { bpf_ktime_get_ns() }) {
        return None;
    }
    let number = state.word(NEXT_SLOT);
    let waiting = Shared(FLOOD_WAITING.get_ptr_mut(number as u32)?);
    let skipped = state.word(OUTSTANDING) > 0 && waiting.word(0) != 0;
    let port = state.word(NEXT_PORT);
    advance(state, number, port);
    if skipped {
        // Its last query still waits, and another answer could not be told from that one's.
        return None;
    }
    let slot = Shared(FLOOD_SLOTS.get_ptr_mut(number as u32)?.cast());
    let is_ipv4 = state.word(IS_IPV4) == 1;
    write(context, slot, is_ipv4, (state.word(FIRST_PORT) + port) as u16)?;
    waiting.set(0, coarse_now_ns() | 1);
    state.set(SENT, state.word(SENT) + 1);
    Some(())
}

/// Goes on to the next slot and port. A slot does not get the same port in each round.
#[inline(always)]
fn advance(state: Shared, slot: u64, port: u64) {
    let ports = state.word(PORTS);
    let mut next_port = port + 1;
    let mut next_slot = slot + 1;
    if next_slot >= state.word(COUNT) {
        next_slot = 0;
        next_port += 1;
    }
    if next_port >= ports {
        next_port = if next_port == ports + 1 && ports > 1 { 1 } else { 0 };
    }
    state.set(NEXT_SLOT, next_slot);
    state.set(NEXT_PORT, next_port);
}

/// Puts a slot's frame in the place of the packet.
#[inline(always)]
fn write(context: &XdpContext, slot: Shared, is_ipv4: bool, source_port: u16) -> Option<()> {
    let len = masked::<0xff>(frame_len(slot));
    let growth = len as i32 - packet_len(context) as i32;
    // SAFETY: the helper refuses what does not fit, and then changes nothing.
    if growth != 0 && unsafe { bpf_xdp_adjust_tail(context.ctx, growth) } != 0 {
        return None;
    }
    if len == 0 {
        return None;
    }
    // SAFETY: the first 255 octets of a slot are its frame.
    if unsafe { bpf_xdp_store_bytes(context.ctx, 0, slot.0.cast(), len as u32) } != 0 {
        return None;
    }
    let mut packet = Packet::new(context);
    let udp_at = message_offset(is_ipv4) - Udp::HEADER_LEN;
    packet.set_octets(udp_at, source_port.to_be_bytes())?;
    packet.set_octets(udp_at + 6, udp_checksum(slot, source_port))
}

/// Judges what comes to our ports, and counts it; what is nobody's business here goes on to the
/// network stack.
#[inline(always)]
pub fn check(context: &XdpContext, filter: &FlowFilter) -> u32 {
    let packet = Packet::new(context);
    let Ok(datagram) = Datagram::read(&packet) else { return XDP_PASS };
    if !filter.takes_destination(&datagram) {
        return XDP_PASS;
    }
    let Some(state) = FLOOD_STATE.get_ptr_mut(0) else { return XDP_PASS };
    let state = Shared(state.cast());
    if !filter.takes(&datagram) {
        state.count(FOREIGN);
        return XDP_DROP;
    }
    let Some(message) = Message::of(&datagram) else {
        state.count(STRAY);
        return XDP_DROP;
    };
    let Some(id) = packet.number(message.at) else { return XDP_DROP };
    let place = (message.at as u64) << 32 | (message.len as u64) << 16 | u64::from(id);
    let place = place | u64::from(message.is_ipv4) << 48;
    let code = flood_judge(context.ctx, place) as u32;
    settle(state, id, code);
    if code > Verdict::Failed.code() {
        flood_sample(context.ctx, place, u64::from(code));
    }
    XDP_DROP
}

/// Counts an answer.
#[inline(always)]
fn settle(state: Shared, id: u16, code: u32) {
    if !Verdict::belongs(code) {
        return state.count(STRAY);
    }
    let Some(waiting) = FLOOD_WAITING.get_ptr_mut(u32::from(id)) else { return };
    let waiting = Shared(waiting);
    let since_ns = waiting.word(0);
    let age_ns = coarse_now_ns().wrapping_sub(since_ns);
    if since_ns == 0 || (age_ns as i64) > state.word(TIMEOUT_NS) as i64 {
        let wrong = code > Verdict::Failed.code();
        return state.count(if wrong { STRAY } else { LATE });
    }
    waiting.set(0, 0);
    state.count(match code {
        0 => RIGHT,
        1 => FAILED,
        _ => WRONG,
    });
}

/// The message that a `place` means, and its ID.
#[inline(always)]
fn unpack(place: u64) -> (Message, u32) {
    let message = Message {
        at: (place >> 32 & 0x7f) as usize,
        len: (place >> 16 & 0xffff) as usize,
        is_ipv4: place >> 48 & 1 == 1,
    };
    (message, place as u32 & 0xffff)
}

/// The code of the verdict on a message. A function of its own, and visible: the verifier looks at
/// it once, and not once for each of the ways through the headers that lead here.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn flood_judge(context: *mut xdp_md, place: u64) -> u64 {
    let (message, id) = unpack(place);
    let unknown = u64::from(Verdict::Id.code());
    let Some(state) = FLOOD_STATE.get_ptr_mut(0) else { return unknown };
    let count = Shared(state.cast()).word(COUNT);
    if u64::from(id) >= count || id >= SLOTS_MAX {
        return unknown;
    }
    let Some(slot) = FLOOD_SLOTS.get_ptr_mut(id) else { return unknown };
    let packet = Packet::new(&XdpContext::new(context));
    u64::from(judge(&packet, message, Shared(slot.cast())).code())
}

/// Keeps a wrong answer, if there is room for one more.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn flood_sample(context: *mut xdp_md, place: u64, code: u64) -> u64 {
    let (message, _) = unpack(place);
    let Some(state) = FLOOD_STATE.get_ptr_mut(0) else { return 0 };
    let state = Shared(state.cast());
    let taken = state.word(SAMPLED);
    if taken >= u64::from(SAMPLES_MAX) {
        return 0;
    }
    state.count(SAMPLED);
    let Some(sample) = FLOOD_SAMPLES.get_ptr_mut(taken as u32) else { return 0 };
    let len = if message.len > SAMPLE_LEN_MAX { SAMPLE_LEN_MAX } else { message.len };
    let len = masked::<{ SAMPLE_LEN_MAX as u64 }>(len);
    if len == 0 {
        return 0;
    }
    let sample = Shared(sample.cast());
    // SAFETY: at most 511 octets, behind the first word of a sample.
    let loaded = unsafe {
        let room = sample.0.add(1);
        bpf_xdp_load_bytes(context, message.at as u32, room.cast(), len as u32)
    };
    if loaded == 0 {
        sample.set(0, sample_word(code as u32, len));
    }
    0
}
