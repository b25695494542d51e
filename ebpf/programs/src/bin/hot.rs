//! Hot answers alone.
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use dns64_ebpf::abi::{ClientKey, ServiceKey, SteerBy, SteerConfig, SteerMode};
use dns64_ebpf::classify::{Tables, Verdict, classify};
use dns64_ebpf::frame::Frame;
use dns64_ebpf_programs::{Packet, hot};

static CONFIG: SteerConfig = SteerConfig::new(SteerMode::Xsk, SteerBy::Name, 1, 7, 7);

struct Maps;

impl Tables for Maps {
    #[inline(always)]
    fn config(&self) -> &SteerConfig {
        &CONFIG
    }

    #[inline(always)]
    fn serves(&self, service: &ServiceKey) -> bool {
        service.port() == 53
    }

    #[inline(always)]
    fn denies(&self, _: &ClientKey) -> bool {
        false
    }
}

/// Steer.
#[xdp]
fn steer(context: XdpContext) -> u32 {
    let packet = Packet::new(&context);
    let verdict = classify(&packet, &Maps);
    match verdict {
        Verdict::Steer(query) => {
            let source = if query.udp - query.ip == 20 { query.udp - 5 } else { query.udp - 17 };
            let audience = match packet.octets::<1>(usize::from(source)) {
                Some([last]) => u16::from(last),
                None => 0,
            };
            hot::answer(&context, &query, audience).unwrap_or(XDP_PASS)
        }
        _ => XDP_PASS,
    }
}

/// Classification alone.
#[xdp]
fn classify_only(context: XdpContext) -> u32 {
    let packet = Packet::new(&context);
    let verdict = classify(&packet, &Maps);
    match verdict {
        Verdict::Steer(query) => (query.name_hash.unwrap_or(0) as u32) & 1,
        _ => XDP_PASS,
    }
}
