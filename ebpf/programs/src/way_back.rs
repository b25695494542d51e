//! By which interface a reply leaves: the routing table's word.

use aya_ebpf::bindings::{
    BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as BpfFibLookup,
};
use aya_ebpf::helpers::generated::bpf_fib_lookup;
use aya_ebpf::programs::XdpContext;
use dns64_ebpf::frame::{Frame, FrameMut, PROTOCOL_UDP};

use crate::Packet;

/// Address families of Linux (`AF_INET`, `AF_INET6`).
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The index of the loopback interface: a reply comes from this machine.
const LOOPBACK: u32 = 1;

/// Where the reply to a query goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out by the interface that the query came by.
    Here,
    /// By another interface, to nobody, or to a neighbour whose address is not known yet.
    Other,
    /// The kernel does not say: forwarding is off on the loopback interface.
    Unknown,
}

/// Asks the routing table where the reply to the query at `ip` goes. Where that is the way here,
/// the next hop's Ethernet address is put in the place of the sender's: it is where the reply is
/// sent when addresses are swapped.
#[inline(always)]
pub fn ask(context: &XdpContext, packet: &mut Packet, ip: usize, is_ipv4: bool) -> Way {
    // SAFETY: the structure consists of integers and unions of them: all zeros is a value.
    let mut lookup: BpfFibLookup = unsafe { core::mem::zeroed() };
    let filled =
        if is_ipv4 { fill_v4(packet, ip, &mut lookup) } else { fill_v6(packet, ip, &mut lookup) };
    if filled.is_none() {
        return Way::Other;
    }
    lookup.l4_protocol = PROTOCOL_UDP;
    lookup.ifindex = LOOPBACK;
    // SAFETY: the context is the program's, and the structure is ours and of the size that is said.
    let result = unsafe {
        bpf_fib_lookup(context.ctx.cast(), &raw mut lookup, size_of::<BpfFibLookup>() as i32, 0)
    };
    if result == i64::from(BPF_FIB_LKUP_RET_FWD_DISABLED) {
        return Way::Unknown;
    }
    // SAFETY: as in `crate::queue`.
    let came_by = unsafe { (*context.ctx).ingress_ifindex };
    if result != i64::from(BPF_FIB_LKUP_RET_SUCCESS) || lookup.ifindex != came_by {
        return Way::Other;
    }
    match packet.set_octets(6, lookup.dmac) {
        Some(()) => Way::Here,
        None => Way::Other,
    }
}

#[inline(always)]
fn fill_v4(packet: &Packet, ip: usize, lookup: &mut BpfFibLookup) -> Option<()> {
    lookup.family = AF_INET;
    lookup.__bindgen_anon_3.ipv4_src = u32::from_ne_bytes(packet.octets(ip + 16)?);
    lookup.__bindgen_anon_4.ipv4_dst = u32::from_ne_bytes(packet.octets(ip + 12)?);
    Some(())
}

#[inline(always)]
fn fill_v6(packet: &Packet, ip: usize, lookup: &mut BpfFibLookup) -> Option<()> {
    lookup.family = AF_INET6;
    lookup.__bindgen_anon_3.ipv6_src = words(packet.octets(ip + 24)?);
    lookup.__bindgen_anon_4.ipv6_dst = words(packet.octets(ip + 8)?);
    Some(())
}

/// An IPv6 address as the kernel's structure has it.
#[inline(always)]
fn words(address: [u8; 16]) -> [u32; 4] {
    let (words, _) = address.as_chunks::<4>();
    let mut result = [0; 4];
    for (to, from) in result.iter_mut().zip(words) {
        *to = u32::from_ne_bytes(*from);
    }
    result
}
