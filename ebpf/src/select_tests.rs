//! What is steered by name goes to the owner of the name, whichever way the query comes.

extern crate std;

use core::net::IpAddr;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::abi::{ClientKey, ServiceKey, SteerMode, mapped};
use crate::classify::{Tables, Verdict, classify};
use crate::hash::name_hash;
use crate::headers::{self, EthernetAddresses, IpEndpoints};

const FLOW_SEED: u64 = 0x0123_4567_89ab_cdef;
const NAME_SEED: u64 = 0xfedc_ba98_7654_3210;

/// Octets of type and class behind each name.
const AAAA_IN: [u8; 4] = [0, 28, 0, 1];

fn config(by: SteerBy, workers: u16) -> SteerConfig {
    SteerConfig::new(SteerMode::Worker, by, workers, FLOW_SEED, NAME_SEED)
}

/// Every address and port is ours.
struct Everywhere(SteerConfig);

impl Tables for Everywhere {
    fn config(&self) -> &SteerConfig {
        &self.0
    }

    fn serves(&self, service: &ServiceKey) -> bool {
        service.port() == 53
    }

    fn denies(&self, _: &ClientKey) -> bool {
        false
    }
}

/// A query for a name in wire form, with these octets behind its question.
fn query(name: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for part in [name, &AAAA_IN, rest] {
        message.extend_from_slice(part);
    }
    message
}

/// A message in a frame from a port of a client.
fn frame(is_ipv4: bool, port: u16, message: &[u8]) -> Vec<u8> {
    let at = headers::message_offset(is_ipv4);
    let mut room = vec![0; at + message.len()];
    room[at..].copy_from_slice(message);
    let (source, destination) = endpoints(is_ipv4);
    let ends = IpEndpoints { source, source_port: port, destination, destination_port: 53 };
    let ethernet =
        EthernetAddresses { source: [2, 0, 0, 0, 0, 2], destination: [2, 0, 0, 0, 0, 1] };
    let len = headers::write(&mut room[..], &ethernet, &ends, message.len()).unwrap();
    room.truncate(len);
    room
}

/// The client's address and ours.
fn endpoints(is_ipv4: bool) -> ([u8; 16], [u8; 16]) {
    let address = |v4: [u8; 4], v6: u16| match is_ipv4 {
        true => mapped(IpAddr::from(v4)),
        false => mapped(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, v6])),
    };
    (address([192, 0, 2, 2], 2), address([192, 0, 2, 53], 0x53))
}

fn worker_of_frame(frame: &[u8], config: SteerConfig) -> Option<u16> {
    match classify(frame, &Everywhere(config)) {
        Verdict::Steer(query) => query.worker(&config),
        other @ (Verdict::Pass(_) | Verdict::Drop(_)) => panic!("{other:?}"),
    }
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let label = prop::collection::vec(1_u8..128, 1..=63);
    prop::collection::vec(label, 0..=3).prop_map(|labels| {
        let mut name = Vec::new();
        for label in labels {
            name.push(label.len() as u8);
            name.extend(label);
        }
        name.push(0);
        name
    })
}

proptest! {
    #[test]
    fn cpu_socket_and_cache_of_a_name_are_one_workers(
        name in names(),
        upper in any::<bool>(),
        rest in prop::collection::vec(any::<u8>(), 0..80),
        workers in 1_u16..=256,
        is_ipv4 in any::<bool>(),
        port in 1_u16..,
    ) {
        let config = config(SteerBy::Name, workers);
        let owned = owner(name_hash(&name, NAME_SEED), workers);
        prop_assert!(owned < workers);
        let asked = if upper { name.to_ascii_uppercase() } else { name };
        let message = query(&asked, &rest);
        prop_assert_eq!(owner_of_message(&message[..], message.len(), &config), Some(owned));
        prop_assert_eq!(worker_of_frame(&frame(is_ipv4, port, &message), config), Some(owned));
    }

    #[test]
    fn cpu_and_socket_of_a_flow_are_one_workers(
        workers in 1_u16..=256,
        is_ipv4 in any::<bool>(),
        port in 1_u16..,
        name in names(),
    ) {
        let config = config(SteerBy::Flow, workers);
        let (source, destination) = endpoints(is_ipv4);
        let worker = worker_of_flow([&source, &destination], [port, 53], &config);
        prop_assert!(worker < workers);
        let frame = frame(is_ipv4, port, &query(&name, b""));
        prop_assert_eq!(worker_of_frame(&frame, config), Some(worker));
    }

    #[test]
    fn no_octets_lead_to_a_worker_that_is_not_there(
        message in prop::collection::vec(any::<u8>(), 0..400),
        len in 0_usize..400,
        workers in 1_u16..=256,
    ) {
        let worker = owner_of_message(&message[..], len, &config(SteerBy::Name, workers));
        prop_assert!(worker.is_none_or(|worker| worker < workers));
    }
}

#[test]
fn what_asks_for_no_name_is_left_to_others() {
    let config = config(SteerBy::Name, 4);
    let good = query(b"\x03www\x07example\x03org\0", b"");
    let of = |message: &[u8]| owner_of_message(message, message.len(), &config);
    assert!(of(&good).is_some());
    let patched = |at: usize, octet: u8| {
        let mut message = good.clone();
        message[at] = octet;
        message
    };
    assert_eq!(of(&patched(2, 0x81)), None, "a response");
    assert_eq!(of(&patched(2, 4 << 3)), None, "NOTIFY");
    assert_eq!(of(&patched(5, 0)), None, "no question");
    assert_eq!(of(&patched(5, 2)), None, "two questions");
    assert_eq!(of(&patched(12, 0xc0)), None, "a compression pointer");
    assert_eq!(of(&patched(14, 0x80)), None, "an octet that could be one");
    for len in 0..good.len() {
        assert_eq!(of(&good[..len]), None, "cut to {len} octets");
        assert_eq!(owner_of_message(&good[..], len, &config), None, "{len} octets are the message");
    }
    assert_eq!(of(&query(&[b'a'; 300], b"")), None, "a name without an end");
}

#[test]
fn the_longest_name_is_seen_whole() {
    let mut name = Vec::new();
    for len in [63, 63, 63, 61] {
        name.push(len);
        name.extend(vec![b'x'; usize::from(len)]);
    }
    name.push(0);
    assert_eq!(name.len(), 255);
    let message = query(&name, &[9; 100]);
    let config = config(SteerBy::Name, 250);
    let owned = owner(name_hash(&name, NAME_SEED), 250);
    assert_eq!(owner_of_message(&message[..], message.len(), &config), Some(owned));
}

#[test]
fn what_lies_behind_the_message_does_not_matter() {
    let mut octets = query(b"\x05other\x07example\x03org\0", &[7; 60]);
    let short = query(b"\x01a\0", b"");
    octets[..short.len()].copy_from_slice(&short);
    let config = config(SteerBy::Name, 250);
    let owned = owner(name_hash(b"\x01a\0", NAME_SEED), 250);
    assert_eq!(owner_of_message(&octets[..], short.len(), &config), Some(owned));
    assert_eq!(owner_of_message(&octets[..], short.len() - 1, &config), None, "its class is cut");
}

#[test]
fn many_names_are_shared_evenly() {
    for workers in [2_u16, 3, 8, 64] {
        let mut counts = vec![0_u32; usize::from(workers)];
        let total = 40_000_u32;
        for number in 0..total {
            let label = std::format!("host-{number}");
            let mut name = vec![label.len() as u8];
            name.extend(label.as_bytes());
            name.extend(b"\x07example\x03org\0");
            counts[usize::from(owner(name_hash(&name, NAME_SEED), workers))] += 1;
        }
        let expected = f64::from(total) / f64::from(workers);
        let chi_square: f64 =
            counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        // Its mean is the degrees of freedom, its variance twice that: five deviations.
        let freedom = f64::from(workers - 1);
        let bound = freedom + 5.0 * (2.0 * freedom).sqrt();
        assert!(chi_square < bound, "{workers} workers: {chi_square} of {bound}: {counts:?}");
    }
}
