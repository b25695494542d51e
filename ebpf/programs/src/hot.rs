//! Answers given inside the program: the glue between `dns64_ebpf::hot`, its maps and the packet.

use core::arch::asm;
use core::ptr;

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_TX};
use aya_ebpf::helpers::generated::{
    bpf_ktime_get_coarse_ns, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_load_bytes,
    bpf_xdp_store_bytes,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use aya_ebpf::programs::XdpContext;
use dns64_ebpf::classify::Steer;
use dns64_ebpf::frame::{Frame, FrameMut};
use dns64_ebpf::hot::control::{CONTROL_WORDS, Control};
use dns64_ebpf::hot::entry::{
    ENTRY_WORDS, Found, HASH, USED, WAYS, Words, first_of_bucket, key_hash,
};
use dns64_ebpf::hot::query::{Asked, MESSAGE_LEN_MAX};
use dns64_ebpf::hot::reply::{self, ROOM_LEN, Room, place};
use dns64_ebpf::hot::{HotCounter, Miss, PARKED_WORD, ROOM_WORD, STATE_WORDS};

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
    fn at(&self, offset: usize) -> *mut u8 {
        // The mask is for the verifier: the library does not leave the room, as its tests show,
        // where that is not masked but fails.
        self.0.wrapping_add(masked::<ROOM_MASK>(offset))
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

impl Frame for RoomAt {
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        // SAFETY: the state has 16 octets behind the room, and `N` is at most 8.
        Some(unsafe { self.at(offset).cast::<[u8; N]>().read_unaligned() })
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
        unsafe { self.at(offset).cast::<[u8; N]>().write_unaligned(octets) };
        Some(())
    }
}

impl Room for RoomAt {}

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

    /// Writes a number to memory and reads it again. What the verifier knew of it is forgotten, and
    /// with it the ways in which the program came here: it need not look at what follows once for
    /// each of them.
    #[inline(always)]
    fn forget(self, word: usize, number: u64) -> u64 {
        // SAFETY: the parked words lie within the state.
        unsafe {
            let parked = self.0.add(PARKED_WORD + word);
            ptr::write_volatile(parked, number);
            ptr::read_volatile(parked)
        }
    }
}

/// Answers a query from the published replies for an audience; `None`, and the packet is as it was,
/// if that cannot be done.
#[inline(always)]
pub fn answer(context: &XdpContext, query: &Steer, audience: u16) -> Option<u32> {
    let state = State(HOT_STATE.get_ptr_mut(0)?.cast());
    match try_answer(context, query, audience, state) {
        Ok(action) => Some(action),
        Err(miss) => {
            state.count(HotCounter::miss(miss));
            None
        }
    }
}

#[inline(always)]
fn try_answer(
    context: &XdpContext,
    query: &Steer,
    audience: u16,
    state: State,
) -> Result<u32, Miss> {
    let name_hash = query.name_hash.ok_or(Miss::Form)?;
    let is_ipv4 = query.udp - query.ip == 20;
    let known = u64::from(query.dns_len) << 32
        | u64::from(query.dns) << 16
        | u64::from(query.name_len) << 8
        | u64::from(is_ipv4);
    let known = state.forget(0, known);
    let name_hash = state.forget(1, name_hash);
    let (is_ipv4, name_len) = (known & 1 != 0, (known >> 8 & 0xff) as usize);
    let (message_at, message_len) = ((known >> 16 & 0x7f) as usize, (known >> 32) as usize);

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
    let copied = masked::<0xff>(message_at + message_len);
    let start = masked::<0x7f>(place::DNS - message_at);
    if copied == 0 {
        return Err(Miss::Form);
    }
    // SAFETY: at most 255 octets into a room of 1,024, from 127 on at the latest.
    let loaded = unsafe {
        bpf_xdp_load_bytes(context.ctx, 0, room.0.add(start).cast(), copied as u32)
    };
    if loaded != 0 {
        return Err(Miss::Form);
    }
    let asked = Asked::read(&room, message_len, name_len, control.payload_max)?;

    let hash = key_hash(name_hash, asked.rtype, audience);
    let first = first_of_bucket(hash, control.bucket_mask);
    let entry = pick(first, hash).ok_or(Miss::Absent)?;
    let found = Found::read(Shared(entry), &room, &asked, audience, &control)?;
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

/// Puts the octets of the room from `start` to `end` in the place of the packet.
#[inline(always)]
fn send(context: &XdpContext, room: &RoomAt, start: usize, end: usize) -> Result<(), Miss> {
    let start = masked::<0x7f>(start);
    let len = masked::<0x3ff>(end - start);
    if len == 0 || start + len > ROOM_LEN {
        return Err(Miss::Headroom);
    }
    let growth = len as i32 - (context.data_end() - context.data()) as i32;
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
    // SAFETY: `len` octets of the room, and the packet has as many now.
    let stored =
        unsafe { bpf_xdp_store_bytes(context.ctx, 0, room.0.add(start).cast(), len as u32) };
    debug_assert!(stored == 0);
    let _ = (stored, XDP_ABORTED);
    Ok(())
}
