//! The programs of dns64bench: they take datagrams to AF_XDP sockets, send them back, make queries
//! of live frames and judge the answers, or stand where veth wants a program to stand.
#![no_std]
#![no_main]
// For single instructions in `flood`.
#![feature(asm_experimental_arch)]

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, XskMap};
use aya_ebpf::programs::XdpContext;
use dns64_ebpf::abi::XSKS_MAX;
use dns64_ebpf::flow::{Datagram, FlowFilter};
use dns64_ebpf::headers;
use dns64_ebpf_programs::{Packet, queue};

mod flood;

/// Which datagrams are meant: one entry.
#[map]
static FILTER: Array<FlowFilter> = Array::with_max_entries(1, 0);

/// The AF_XDP sockets by queue.
#[map]
static XSKS: XskMap = XskMap::with_max_entries(XSKS_MAX, 0);

/// Leaves everything to the network stack. veth delivers packets that its other end sends from XDP
/// only if there is a program.
#[xdp]
fn pass(_: XdpContext) -> u32 {
    XDP_PASS
}

/// Takes the datagrams of the filter to the AF_XDP socket of their queue; where there is none they
/// go on to the network stack.
#[xdp]
fn redirect(context: XdpContext) -> u32 {
    let packet = Packet::new(&context);
    if filtered(&packet).is_none() {
        return XDP_PASS;
    }
    match XSKS.redirect(queue(&context), u64::from(XDP_PASS)) {
        Ok(action) | Err(action) => action,
    }
}

/// Sends the queries of the filter back with QR set.
#[xdp]
fn reflect(context: XdpContext) -> u32 {
    let mut packet = Packet::new(&context);
    match reflected(&mut packet) {
        Some(_) => XDP_TX,
        None => XDP_PASS,
    }
}

/// Makes queries of live frames (`BPF_F_TEST_XDP_LIVE_FRAMES`), and sends them by the interface
/// that the frames say they came by. It is never attached.
#[xdp]
fn flood_send(context: XdpContext) -> u32 {
    match flood::send(&context) {
        Some(()) => XDP_TX,
        None => XDP_DROP,
    }
}

/// Judges the answers.
#[xdp]
fn flood_check(context: XdpContext) -> u32 {
    match FILTER.get(0) {
        Some(filter) => flood::check(&context, filter),
        None => XDP_PASS,
    }
}

/// The datagram in a packet, if it is one of the filter's.
#[inline(always)]
fn filtered(packet: &Packet) -> Option<Datagram> {
    let filter = FILTER.get(0)?;
    let datagram = Datagram::read(packet).ok()?;
    filter.takes(&datagram).then_some(datagram)
}

/// Turns a query into a response without answer. Whatever cannot be one has not been changed.
#[inline(always)]
fn reflected(packet: &mut Packet) -> Option<usize> {
    let query = filtered(packet)?;
    headers::reflect(packet, &query)
}
