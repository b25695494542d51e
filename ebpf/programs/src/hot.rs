//! Answers given inside the program: the glue between `dns64_ebpf::hot`, its maps and the packet.

use core::arch::asm;
use core::ptr;

use aya_ebpf::bindings::xdp_action::XDP_TX;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::{
    bpf_ktime_get_coarse_ns, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_load_bytes,
    bpf_xdp_store_bytes,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use aya_ebpf::programs::XdpContext;
use dns64_ebpf::abi::REFUSED;
use dns64_ebpf::checksum::Sum;
use dns64_ebpf::classify::Steer;
use dns64_ebpf::frame::{Frame, FrameMut};
use dns64_ebpf::hot::control::{CONTROL_WORDS, Control};
use dns64_ebpf::hot::entry::{
    ENTRY_WORDS, Found, HASH, USED, WAYS, Words, first_of_bucket, key_hash, refusal_index,
};
use dns64_ebpf::hot::query::{Asked, MESSAGE_LEN_MAX};
use dns64_ebpf::hot::reply::{self, ROOM_LEN, Room, place};
use dns64_ebpf::hot::{HotCounter, Miss, ROOM_SPARE_LEN, ROOM_WORD, STATE_WORDS};

use crate::unaligned;

/// `BPF_F_MMAPABLE` of linux/bpf.h: user space writes without system calls.
const MAPPED: u32 = 1 << 10;

/// The published replies. User space says how many entries there are when it loads the program.
#[map]
static HOT_TABLE: Array<[u64; ENTRY_WORDS]> = Array::with_max_entries(WAYS, MAPPED);

/// The control page.
#[map]
static HOT_CONTROL: Array<[u64; CONTROL_WORDS]> = Array::with_max_entries(1, MAPPED);

/// Counters of each core, and its room for one frame.
#[map]
static HOT_STATE: PerCpuArray<[u64; STATE_WORDS]> = PerCpuArray::with_max_entries(1, 0);

/// How far a packet grows at its head. The kernel leaves at least 256 octets in front of a packet,
/// and keeps some of them: on veth 216 were there.
const HEAD_GROWTH_MAX: i32 = 192;

/// Words in shared memory.
#[derive(Clone, Copy)]
struct Shared(*const u64);

impl Words for Shared {
    #[inline(always)]
    fn word(self, index: usize) -> u64 {
        // SAFETY: callers stay within the entry or page, and the verifier refuses the program if
        // they do not. User space may be writing the word: it is read as a whole, once.
        unsafe { ptr::read_volatile(self.0.add(index)) }
    }

    /// Makes the address depend on what was read, which every processor waits for. It costs two
    /// additions where a barrier would cost a dozen.
    #[inline(always)]
    fn after(self, seen: u64) -> Self {
        let mut address = self.0 as u64;
        // SAFETY: arithmetic on two registers, of which the second is zero when it is added.
        unsafe {
            asm!(
                "{seen} &= 0",
                "{address} += {seen}",
                seen = inout(reg) seen => _,
                address = inout(reg) address,
                options(nostack),
            );
        }
        Self(address as *const u64)
    }
}

/// This core's room for one frame.
struct RoomAt(*mut u8);

impl RoomAt {
    /// The address of octets of the room.
    #[inline(always)]
    fn at(&self, offset: usize) -> usize {
        // The mask is for the verifier: the library does not leave the room, as its tests show,
        // where that is not masked but fails.
        self.0.wrapping_add(masked::<ROOM_MASK>(offset)) as usize
    }
}

/// All ones below [`ROOM_LEN`].
const ROOM_MASK: u64 = ROOM_LEN as u64 - 1;

/// An offset whose bound the verifier sees where it is used.
#[inline(always)]
fn masked<const MASK: u64>(offset: usize) -> usize {
    let mut offset = offset;
    // SAFETY: arithmetic on one register.
    unsafe {
        asm!("{0} &= {1}", inout(reg) offset, const MASK, options(pure, nomem, nostack));
    }
    offset
}

/// A length that is not 0, whose bounds the verifier sees where it is used: that of Linux 6.1 does
/// not learn from a comparison with 0 that a length is another.
#[inline(always)]
fn at_least_one<const MASK: u64>(len: usize) -> usize {
    masked::<MASK>(len.wrapping_sub(1)) + 1
}

impl Frame for RoomAt {
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        // SAFETY: the state has 16 octets behind the room, and `N` is at most 8.
        Some(unsafe { unaligned::load(self.at(offset)) })
    }

    #[inline(always)]
    fn len(&self) -> usize {
        ROOM_LEN
    }
}

impl FrameMut for RoomAt {
    #[inline(always)]
    fn set_octets<const N: usize>(&mut self, offset: usize, octets: [u8; N]) -> Option<()> {
        // SAFETY: as in `octets`; the room is this core's.
        unsafe { unaligned::store(self.at(offset), octets) };
        Some(())
    }
}

impl Room for RoomAt {
    #[inline(always)]
    fn forget(&mut self, number: usize) -> usize {
        let parked = self.0.wrapping_add(PARKED_AT).cast::<usize>();
        // SAFETY: a word of the state that nothing else uses. What is read from memory is news to
        // the verifier.
        unsafe {
            ptr::write_volatile(parked, number);
            ptr::read_volatile(parked)
        }
    }

    #[inline(always)]
    fn sum_words(&mut self, len: usize) -> Sum {
        Sum::of_state(hot_sum(len as u64))
    }

    #[inline(always)]
    fn age_ttls(&mut self, body_at: usize, ttls: usize, age_secs: u32) {
        hot_age(body_at as u64, ttls as u64, u64::from(age_secs));
    }
}

/// Ages the TTLs in the room of this core, in a function of its own as [`hot_answer`] is.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hot_age(body_at: u64, ttls: u64, age_secs: u64) -> u64 {
    let Some(state) = HOT_STATE.get_ptr_mut(0) else { return 0 };
    let mut room = State(state.cast()).room();
    reply::age_ttls(&mut room, body_at as usize, ttls as usize, age_secs as u32);
    0
}

/// The sum over the room of this core, in a function of its own as [`hot_answer`] is.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hot_sum(len: u64) -> u64 {
    let Some(state) = HOT_STATE.get_ptr_mut(0) else { return 0 };
    reply::sum_words(&mut State(state.cast()).room(), len as usize).state()
}

/// A word behind the room.
const PARKED_AT: usize = ROOM_LEN + ROOM_SPARE_LEN - 8;

/// The state of this core.
#[derive(Clone, Copy)]
struct State(*mut u64);

impl State {
    #[inline(always)]
    fn count(self, counter: HotCounter) {
        // SAFETY: counters are the first words of the state, which is this core's.
        unsafe { *self.0.add(counter.get()) += 1 };
    }

    #[inline(always)]
    fn room(self) -> RoomAt {
        // SAFETY: the room lies within the state.
        RoomAt(unsafe { self.0.add(ROOM_WORD) }.cast())
    }
}

/// Answers a query from the published replies for an audience, or refuses it; `None`, and the
/// packet is as it was, if that cannot be done.
#[inline(always)]
pub fn answer(context: &XdpContext, query: &Steer, audience: u16) -> Option<u32> {
    let query_and_audience = u64::from(audience) << 48
        | u64::from(query.dns_len) << 32
        | u64::from(query.dns) << 16
        | u64::from(query.name_len) << 8
        | u64::from(query.udp - query.ip == 20);
    let action = hot_answer(context.ctx, query_and_audience, query.name_hash.unwrap_or(0));
    (action != NOT_ANSWERED).then_some(action)
}

/// No action of XDP.
const NOT_ANSWERED: u32 = u32::MAX;

/// A function of its own, and visible: the verifier looks at it once, and not once for each of the
/// hundreds of ways through the classifier that lead here.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hot_answer(context: *mut xdp_md, query: u64, name_hash: u64) -> u32 {
    let Some(state) = HOT_STATE.get_ptr_mut(0) else { return NOT_ANSWERED };
    let state = State(state.cast());
    match try_answer(&XdpContext::new(context), query, name_hash, state) {
        Ok(action) => action,
        Err(miss) => {
            state.count(HotCounter::miss(miss));
            NOT_ANSWERED
        }
    }
}

#[inline(always)]
fn try_answer(context: &XdpContext, query: u64, name_hash: u64, state: State) -> Result<u32, Miss> {
    let (is_ipv4, name_len) = (query & 1 != 0, (query >> 8 & 0xff) as usize);
    let (message_at, message_len) =
        ((query >> 16 & 0x7f) as usize, (query >> 32 & 0xffff) as usize);
    let audience = (query >> 48) as u16;

    if audience == 0 {
        return Err(Miss::Client);
    }
    let page = HOT_CONTROL.get_ptr(0).ok_or(Miss::Asleep)?;
    // SAFETY: the helper has no conditions. It is some milliseconds behind, and much cheaper.
    let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
    let control = Control::read(Shared(page.cast()), now_ns).ok_or(Miss::Asleep)?;

    if message_len > MESSAGE_LEN_MAX || message_at > place::DNS {
        return Err(Miss::Form);
    }
    let mut room = state.room();
    let copied = at_least_one::<0xff>(message_at + message_len);
    let start = masked::<0x7f>(place::DNS - message_at);
    // SAFETY: at most 256 octets into a room of 1,024, from 127 on at the latest.
    let loaded =
        unsafe { bpf_xdp_load_bytes(context.ctx, 0, room.0.add(start).cast(), copied as u32) };
    if loaded != 0 {
        return Err(Miss::Form);
    }
    let asked = Asked::read(&mut room, message_len, name_len, control.payload_max)?;

    let (entry, found) = if audience == REFUSED {
        if !asked.has_whole_name(&mut room) {
            return Err(Miss::Form);
        }
        let index = refusal_index(control.bucket_mask);
        let entry: *const u64 = HOT_TABLE.get_ptr(index).ok_or(Miss::Client)?.cast();
        (entry, Found::refusal(Shared(entry), &asked)?)
    } else {
        let hash = key_hash(name_hash, asked.rtype, audience);
        let first = first_of_bucket(hash, control.bucket_mask);
        let entry = pick(first, hash).ok_or(Miss::Absent)?;
        (entry, Found::read(Shared(entry), &mut room, &asked, audience, &control)?)
    };
    let reply = reply::compose(&mut room, &found, &asked, message_at, is_ipv4)?;
    // SAFETY: the word is the program's. It is written when user space has cleared it, and not for
    // every query: all cores read this line.
    unsafe {
        let used = entry.cast_mut().add(USED);
        if ptr::read_volatile(used) == 0 {
            ptr::write_volatile(used, 1);
        }
    }
    send(context, &room, reply.start, reply.end)?;
    state.count(HotCounter::answer(is_ipv4, reply.rcode));
    if reply.synthesized {
        state.count(HotCounter::SYNTHESIZED);
    }
    if audience == REFUSED {
        state.count(HotCounter::REFUSED);
    }
    Ok(XDP_TX)
}

/// The entry of a bucket with this hash.
#[inline(always)]
fn pick(first: u32, hash: u64) -> Option<*const u64> {
    for way in 0..WAYS {
        let entry: *const u64 = HOT_TABLE.get_ptr(first + way)?.cast();
        if Shared(entry).word(HASH) == hash {
            return Some(entry);
        }
    }
    None
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

/// Puts the octets of the room from `start` to `end` in the place of the packet.
#[inline(always)]
fn send(context: &XdpContext, room: &RoomAt, start: usize, end: usize) -> Result<(), Miss> {
    let start = masked::<0x7f>(start);
    let len = at_least_one::<0x3ff>(end - start);
    if start + len > ROOM_LEN {
        return Err(Miss::Headroom);
    }
    let growth = len as i32 - packet_len(context) as i32;
    // Behind a packet on veth there may be no room at all, before it there always is some.
    // SAFETY: both helpers refuse what does not fit, and then change nothing.
    let changed = unsafe {
        if growth <= HEAD_GROWTH_MAX {
            bpf_xdp_adjust_head(context.ctx, -growth)
        } else {
            bpf_xdp_adjust_tail(context.ctx, growth)
        }
    };
    if changed != 0 {
        return Err(Miss::Headroom);
    }
    // SAFETY: `len` octets of the room. It cannot fail: the packet has as many now.
    let _stored =
        unsafe { bpf_xdp_store_bytes(context.ctx, 0, room.0.add(start).cast(), len as u32) };
    Ok(())
}
