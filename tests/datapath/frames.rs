//! Frames that no ordinary client sends, and the frames of replies.

use dns64_ebpf::checksum::Sum;

use crate::message::{AAAA, answer_count, query};
use crate::network::{Network, V4, V6, XDP, stop};
use crate::wire::{Wire, frame, message_of};

const NAME: &str = "a-11-22-33-44.v4.test";

/// Asks for a name until its answer is in the cache.
fn warm(network: &Network, name: &str) {
    for server in [V4, V6] {
        network.ask(server, &query(1, name, AAAA));
    }
}

#[test]
fn replies_of_every_length_have_right_checksums() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, XDP);
    let mut names = Vec::new();
    for addresses in [1, 3, 5] {
        let words: Vec<String> = (0..addresses).map(|n| format!("a-11-0-0-{n}")).collect();
        for padding in 1..=63 {
            names.push(format!("{}.{}.v4.test", words.join("--"), "p".repeat(padding)));
        }
    }
    for name in &names {
        warm(&network, name);
    }
    let mut wire = Wire::open(&network);
    let mut lengths = std::collections::BTreeSet::new();
    for (name, id) in names.iter().zip(100_u16..) {
        for is_ipv4 in [false, true] {
            wire.send(&frame(is_ipv4, 4_000, &query(id, name, AAAA)));
            let reply = message_of(&wire.receive(), is_ipv4, 4_000);
            assert_eq!(reply[..2], id.to_be_bytes());
            assert!(answer_count(&reply) >= 1);
            lengths.insert(reply.len());
        }
    }
    // Three runs of lengths, even and odd ones.
    assert!(lengths.len() >= 150, "{lengths:?}");
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("xsk_strays"), 0);
}

#[test]
fn a_tagged_query_gets_a_tagged_reply() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, XDP);
    warm(&network, NAME);
    let mut wire = Wire::open(&network);
    for is_ipv4 in [false, true] {
        let mut tagged = frame(is_ipv4, 4_000, &query(5, NAME, AAAA));
        tagged.splice(12..12, [0x81, 0, 0, 7]);
        wire.send(&tagged);
        let mut reply = wire.receive();
        let tag: Vec<u8> = reply.splice(12..16, []).collect();
        assert_eq!(tag, [0x81, 0, 0, 7]);
        assert_eq!(answer_count(&message_of(&reply, is_ipv4, 4_000)), 1);
    }
    stop(server).balance();
}

#[test]
fn what_is_odd_is_answered_by_the_network_stack() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, XDP);
    warm(&network, NAME);
    let before = 2;
    let mut wire = Wire::open(&network);
    for odd in [
        with_ipv4_options(&frame(true, 4_000, &query(7, NAME, AAAA))),
        with_destination_options(&frame(false, 4_000, &query(7, NAME, AAAA))),
    ] {
        wire.send(&odd);
        assert_eq!(reply_id(&wire.receive()), 7);
    }
    for fragment in in_two_fragments(&frame(true, 4_000, &query(8, NAME, AAAA))) {
        wire.send(&fragment);
    }
    assert_eq!(reply_id(&wire.receive()), 8);
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("queries"), before + 3);
    assert_eq!(books.get("xsk_queries"), before, "the odd ones came by the sockets");
}

#[test]
fn what_is_broken_is_not_answered() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, XDP);
    warm(&network, NAME);
    let mut wire = Wire::open(&network);
    for is_ipv4 in [false, true] {
        let good = frame(is_ipv4, 4_000, &query(9, NAME, AAAA));
        let mut bad_checksum = good.clone();
        let last = bad_checksum.len() - 1;
        bad_checksum[last] ^= 1;
        wire.send(&bad_checksum);
        let mut response = query(9, NAME, AAAA);
        response[2] |= 0x80;
        wire.send(&frame(is_ipv4, 4_000, &response));
        wire.send(&frame(is_ipv4, 4_000, &[0; 11]));
        wire.send(&frame(is_ipv4, 0, &query(9, NAME, AAAA)));
        // The good one behind them is answered, and nothing else.
        wire.send(&good);
        assert_eq!(answer_count(&message_of(&wire.receive(), is_ipv4, 4_000)), 1);
    }
    wire.nothing_comes();
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("xsk_strays"), 2, "wrong checksums");
    assert_eq!(books.get("kernel_drops"), 6);
}

/// The ID of the message in a frame that came from the network stack, which leaves checksums to
/// hardware that is not there.
fn reply_id(frame: &[u8]) -> u16 {
    let datagram = dns64_ebpf::flow::Datagram::read(frame).expect("a datagram");
    u16::from_be_bytes([frame[datagram.message()], frame[datagram.message() + 1]])
}

/// Writes length and checksum of an IPv4 header at its usual place.
fn finish_ipv4(frame: &mut [u8]) {
    let header_len = usize::from(frame[14] & 15) * 4;
    let total_len = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&total_len.to_be_bytes());
    frame[24..26].fill(0);
    let sum = Sum::new().octets(&*frame, 14, header_len).expect("a header").checksum();
    frame[24..26].copy_from_slice(&sum);
}

/// The frame with four octets of IPv4 options that say nothing.
fn with_ipv4_options(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.splice(34..34, [1, 1, 1, 0]);
    frame[14] = 0x46;
    finish_ipv4(&mut frame);
    frame
}

/// The frame with an IPv6 Destination Options header that holds padding.
fn with_destination_options(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.splice(54..54, [17, 0, 1, 4, 0, 0, 0, 0]);
    frame[20] = 60;
    let payload_len = (frame.len() - 54) as u16;
    frame[18..20].copy_from_slice(&payload_len.to_be_bytes());
    frame
}

/// The frame's IPv4 packet in two fragments, the first of which has 24 octets of UDP.
fn in_two_fragments(frame: &[u8]) -> [Vec<u8>; 2] {
    let mut first = frame[..34 + 24].to_vec();
    let mut second = [&frame[..34], &frame[34 + 24..]].concat();
    first[18..22].copy_from_slice(&[0x12, 0x34, 0x20, 0]);
    second[18..22].copy_from_slice(&[0x12, 0x34, 0, 3]);
    finish_ipv4(&mut first);
    finish_ipv4(&mut second);
    [first, second]
}
