//! One literal frame for each class, what becomes of it, and what no frame may do.

extern crate std;

use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::abi::SteerMode;

/// A query for `WwW.example.org.` AAAA over IPv4.
const PLAIN_V4: [u8; 75] = [
    // Ethernet
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, // IPv4
    0x08, 0x00, // 198.51.100.7 -> 192.0.2.53, DF
    0x45, 0x00, 0x00, 0x3d, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x11, 0x31, 0xfa, 0xc6, 0x33, 0x64, 0x07,
    0xc0, 0x00, 0x02, 0x35, // UDP: 54321 -> 53
    0xd4, 0x31, 0x00, 0x35, 0x00, 0x29, 0xc4, 0x6e, // DNS: ID 0x1234, RD, one question
    0x12, 0x34, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    // WwW.example.org. AAAA IN
    0x03, 0x57, 0x77, 0x57, 0x07, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x03, 0x6f, 0x72, 0x67,
    0x00, 0x00, 0x1c, 0x00, 0x01,
];

/// The same query over IPv6.
const PLAIN_V6: [u8; 95] = [
    // Ethernet
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, // IPv6
    0x86, 0xdd, // 2001:db8:1::7 -> 2001:db8::53
    0x60, 0x00, 0x00, 0x00, 0x00, 0x29, 0x11, 0x40, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x01, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x53, // UDP: 54321 -> 53
    0xd4, 0x31, 0x00, 0x35, 0x00, 0x29, 0x55, 0x12, // DNS: ID 0x1234, RD, one question
    0x12, 0x34, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    // WwW.example.org. AAAA IN
    0x03, 0x57, 0x77, 0x57, 0x07, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x03, 0x6f, 0x72, 0x67,
    0x00, 0x00, 0x1c, 0x00, 0x01,
];

const IP: usize = 14;
const UDP_V4: usize = 34;
const UDP_V6: usize = 54;
const DNS_V4: usize = 42;
const DNS_V6: usize = 62;

const OUR_V4: [u8; 16] = mapped([192, 0, 2, 53]);
const OUR_V6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];
const DENIED: [u8; 4] = [203, 0, 113, 66];
const FLOW_SEED: u64 = 0x0123_4567_89ab_cdef;
const NAME_SEED: u64 = 0xfedc_ba98_7654_3210;

/// Port 53 of two addresses, and one denied client.
struct TwoServices(SteerConfig);

impl TwoServices {
    fn new() -> Self {
        Self(SteerConfig::new(SteerMode::Xsk, SteerBy::Name, 4, FLOW_SEED, NAME_SEED))
    }
}

impl Tables for TwoServices {
    fn config(&self) -> &SteerConfig {
        &self.0
    }

    fn serves(&self, service: &ServiceKey) -> bool {
        *service == ServiceKey::new(OUR_V4, 53) || *service == ServiceKey::new(OUR_V6, 53)
    }

    fn denies(&self, client: &ClientKey) -> bool {
        client.address() == mapped(DENIED)
    }
}

fn verdict_of(frame: &[u8]) -> Verdict {
    classify(frame, &TwoServices::new())
}

fn steer_of(frame: &[u8]) -> Steer {
    match verdict_of(frame) {
        Verdict::Steer(steer) => steer,
        other @ (Verdict::Pass(_) | Verdict::Drop(_)) => panic!("not steered: {other:?}"),
    }
}

/// The frame with other octets from `at` on.
fn patched(frame: &[u8], at: usize, octets: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[at..at + octets.len()].copy_from_slice(octets);
    frame
}

/// The frame with further octets before the one at `at`.
fn inserted(frame: &[u8], at: usize, octets: &[u8]) -> Vec<u8> {
    let mut longer = frame.to_vec();
    longer.splice(at..at, octets.iter().copied());
    longer
}

/// The untagged IPv4 frame with the right header checksum.
fn summed(mut frame: Vec<u8>) -> Vec<u8> {
    frame[IP + 10..IP + 12].fill(0);
    let (words, _) = frame[IP..IP + 20].as_chunks::<2>();
    let sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[IP + 10..IP + 12].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// The IPv4 frame with `dns` as its message, and all lengths right.
fn with_message(dns: &[u8]) -> Vec<u8> {
    let mut frame = PLAIN_V4[..DNS_V4].to_vec();
    frame.extend_from_slice(dns);
    let udp_len = (8 + dns.len()) as u16;
    frame = patched(&frame, UDP_V4 + 4, &udp_len.to_be_bytes());
    summed(patched(&frame, IP + 2, &(20 + udp_len).to_be_bytes()))
}

/// A query for a name in wire form.
fn query_for(name: &[u8]) -> Vec<u8> {
    let mut dns = PLAIN_V4[DNS_V4..DNS_V4 + 12].to_vec();
    dns.extend_from_slice(name);
    dns.extend_from_slice(&[0, 28, 0, 1]);
    with_message(&dns)
}

/// Frames with the names of their classes, and what becomes of them. `None`: steered.
fn frames() -> Vec<(&'static str, Vec<u8>, Option<Verdict>)> {
    use DropReason as D;
    use PassReason as P;
    let pass = |reason| Some(Verdict::Pass(reason));
    let drop = |reason| Some(Verdict::Drop(reason));
    let v4 = |at, octets: &[u8]| patched(&PLAIN_V4, at, octets);
    let v6 = |at, octets: &[u8]| patched(&PLAIN_V6, at, octets);
    let source_v4 = |octets: &[u8]| summed(v4(IP + 12, octets));
    let tag: [u8; 4] = [0x81, 0, 0x20, 0x64];
    let tagged = inserted(&PLAIN_V4, 12, &tag);
    let mut frames = std::vec![
        ("plain IPv4", PLAIN_V4.to_vec(), None),
        ("plain IPv6", PLAIN_V6.to_vec(), None),
        ("IPv4 padded to 80 octets", inserted(&PLAIN_V4, 75, &[0; 5]), None),
        ("one tag, IPv4", tagged.clone(), None),
        ("one tag, IPv6", inserted(&PLAIN_V6, 12, &tag), None),
        ("IPv4 without a UDP checksum", v4(UDP_V4 + 6, &[0, 0]), None),
        ("NOTIFY", v4(DNS_V4 + 2, &[0x21, 0]), None),
        ("unassigned opcode", v6(DNS_V6 + 2, &[0x79, 0]), None),
        ("no question", v4(DNS_V4 + 4, &[0, 0]), None),
        ("a header alone", with_message(&PLAIN_V4[DNS_V4..DNS_V4 + 12]), None),
        ("source port 53", v4(UDP_V4, &[0, 53]), None),
        ("two customer tags", inserted(&tagged, 12, &tag), pass(P::StackedTags)),
        ("service tag", inserted(&tagged, 12, &[0x88, 0xa8, 0, 1]), pass(P::StackedTags)),
        ("old service tag", inserted(&tagged, 12, &[0x91, 0, 0, 1]), pass(P::StackedTags)),
        ("ARP", v4(12, &[0x08, 0x06]), pass(P::NotIp)),
        ("IEEE 802.3 length", v4(12, &[0, 61]), pass(P::NotIp)),
        ("Ethernet broadcast", v4(0, &[0xff; 6]), pass(P::Group)),
        ("Ethernet multicast", v6(0, &[0x33, 0x33, 0, 0, 0, 1]), pass(P::Group)),
        ("version 6 behind the type of IPv4", v4(IP, &[0x65]), pass(P::IpHeader)),
        ("version 4 behind the type of IPv6", v6(IP, &[0x45]), pass(P::IpHeader)),
        ("IHL of four words", v4(IP, &[0x44]), pass(P::IpHeader)),
        ("IHL beyond the frame", v4(IP, &[0x4f])[..70].to_vec(), pass(P::IpHeader)),
        ("wrong IPv4 header checksum", v4(IP + 8, &[63]), pass(P::IpHeader)),
        (
            "IPv4 options",
            summed(patched(
                &inserted(&PLAIN_V4, UDP_V4, &[0x94, 4, 0, 0]),
                IP,
                &[0x46, 0, 0, 0x41]
            )),
            pass(P::Ipv4Options),
        ),
        ("first fragment", v4(IP + 6, &[0x20, 0]), pass(P::Fragment)),
        ("middle fragment", v4(IP + 6, &[0x20, 0xb9]), pass(P::Fragment)),
        ("last fragment", v4(IP + 6, &[0, 0xb9]), pass(P::Fragment)),
        ("last fragment far behind", v4(IP + 6, &[0x1f, 0xff]), pass(P::Fragment)),
        ("TCP over IPv4", v4(IP + 9, &[6]), pass(P::NotUdp)),
        ("ICMPv6", v6(IP + 6, &[58]), pass(P::NotUdp)),
        ("no next header", v6(IP + 6, &[59]), pass(P::NotUdp)),
        ("IPv4 longer than the frame", v4(IP + 2, &[0, 62]), pass(P::IpLength)),
        ("IPv4 shorter than its header", v4(IP + 2, &[0, 19]), pass(P::IpLength)),
        ("IPv4 too short for UDP", v4(IP + 2, &[0, 27]), pass(P::IpLength)),
        ("IPv6 longer than the frame", v6(IP + 4, &[0, 42]), pass(P::IpLength)),
        ("IPv6 without payload", v6(IP + 4, &[0, 0]), pass(P::IpLength)),
        (
            "source ::ffff:198.51.100.7",
            v6(IP + 8, &mapped([198, 51, 100, 7])),
            pass(P::MappedAddress)
        ),
        ("destination ::ffff:192.0.2.53", v6(IP + 24, &OUR_V4), pass(P::MappedAddress)),
        ("other port", v4(UDP_V4 + 2, &[0, 54]), pass(P::NotOurs)),
        ("other address", v6(IP + 24 + 15, &[0x54]), pass(P::NotOurs)),
        ("to an IPv4 group", v4(IP + 16, &[224, 0, 0, 251]), pass(P::NotOurs)),
        ("to IPv4 broadcast", v4(IP + 16, &[255; 4]), pass(P::NotOurs)),
        (
            "other people's response",
            patched(&v4(UDP_V4 + 2, &[0, 54]), DNS_V4 + 2, &[0x80]),
            pass(P::NotOurs)
        ),
        ("IPv6 without a UDP checksum", v6(UDP_V6 + 6, &[0, 0]), pass(P::NoChecksum)),
        ("UDP shorter than IPv4", v4(UDP_V4 + 4, &[0, 40]), pass(P::UdpSurplus)),
        ("UDP longer than IPv4", v4(UDP_V4 + 4, &[0, 42]), drop(D::UdpLength)),
        ("UDP longer than IPv6", v6(UDP_V6 + 4, &[0xff, 0xff]), drop(D::UdpLength)),
        ("UDP shorter than its header", v6(UDP_V6 + 4, &[0, 7]), drop(D::UdpLength)),
        ("UDP length 0", v4(UDP_V4 + 4, &[0, 0]), drop(D::UdpLength)),
        ("source port 0", v4(UDP_V4, &[0, 0]), drop(D::Source)),
        ("from 0.0.0.0", source_v4(&[0; 4]), drop(D::Source)),
        ("from 127.0.0.1", source_v4(&[127, 0, 0, 1]), drop(D::Source)),
        ("from an IPv4 group", source_v4(&[239, 1, 2, 3]), drop(D::Source)),
        ("from IPv4 broadcast", source_v4(&[255; 4]), drop(D::Source)),
        ("from ::", v6(IP + 8, &[0; 16]), drop(D::Source)),
        ("from ::1", v6(IP + 8, &1_u128.to_be_bytes()), drop(D::Source)),
        ("from an IPv6 group", v6(IP + 8, &[0xff, 2]), drop(D::Source)),
        ("from our address", source_v4(&[192, 0, 2, 53]), drop(D::OwnSource)),
        ("from our IPv6 address", v6(IP + 8, &OUR_V6), drop(D::OwnSource)),
        ("from a denied client", source_v4(&DENIED), drop(D::DeniedClient)),
        (
            "eleven octets of DNS",
            with_message(&PLAIN_V4[DNS_V4..DNS_V4 + 11]),
            drop(D::ShortMessage)
        ),
        ("no DNS", with_message(&[]), drop(D::ShortMessage)),
        ("response over IPv4", v4(DNS_V4 + 2, &[0x81, 0x80]), drop(D::Response)),
        ("response over IPv6", v6(DNS_V6 + 2, &[0x80, 0]), drop(D::Response)),
        ("jumbo", inserted(&PLAIN_V4, 75, &[0; MAX_FRAME_LEN - 75 + 1]), pass(P::Jumbo)),
        ("longest judged", inserted(&PLAIN_V4, 75, &[0; MAX_FRAME_LEN - 75]), None),
        ("empty", Vec::new(), pass(P::Short)),
        ("thirteen octets", PLAIN_V4[..13].to_vec(), pass(P::Short)),
        ("IPv4 header cut", PLAIN_V4[..33].to_vec(), pass(P::IpHeader)),
        ("UDP header cut", PLAIN_V4[..41].to_vec(), pass(P::IpLength)),
    ];
    for header in [0, 43, 50, 51, 60, 135, 139, 140, 253, 254] {
        frames.push(("extension header", v6(IP + 6, &[header]), pass(P::ExtensionHeader)));
    }
    frames.push(("fragment header", v6(IP + 6, &[44]), pass(P::Fragment)));
    frames
}

#[test]
fn each_class_of_frame_meets_its_verdict() {
    for (class, frame, expected) in frames() {
        match (verdict_of(&frame), expected) {
            (Verdict::Steer(_), None) => {}
            (verdict, Some(expected)) => assert_eq!(verdict, expected, "{class}"),
            (verdict, None) => panic!("{class}: not steered but {verdict:?}"),
        }
    }
}

#[test]
fn every_reason_has_a_frame() {
    let verdicts: Vec<Verdict> = frames().iter().map(|(_, frame, _)| verdict_of(frame)).collect();
    for reason in PassReason::ALL {
        assert!(verdicts.contains(&Verdict::Pass(reason)), "no frame passes for {reason}");
    }
    for reason in DropReason::ALL {
        assert!(verdicts.contains(&Verdict::Drop(reason)), "no frame is dropped for {reason}");
    }
}

#[test]
fn reasons_are_numbered_in_order_and_named_once() {
    let names: Vec<&str> = PassReason::ALL
        .map(PassReason::name)
        .into_iter()
        .chain(DropReason::ALL.map(DropReason::name))
        .collect();
    for (place, reason) in PassReason::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), place);
    }
    for (place, reason) in DropReason::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), place);
    }
    for (place, name) in names.iter().enumerate() {
        assert!(!names[..place].contains(name), "{name} twice");
    }
}

#[test]
fn offsets_follow_the_headers() {
    let steer = steer_of(&PLAIN_V4);
    assert_eq!((steer.ip, steer.udp, steer.dns, steer.dns_len), (14, 34, 42, 33));
    let steer = steer_of(&PLAIN_V6);
    assert_eq!((steer.ip, steer.udp, steer.dns, steer.dns_len), (14, 54, 62, 33));
    let steer = steer_of(&inserted(&PLAIN_V6, 12, &[0x81, 0, 0, 1]));
    assert_eq!((steer.ip, steer.udp, steer.dns, steer.dns_len), (18, 58, 66, 33));
}

#[test]
fn the_name_hash_is_the_one_of_user_space_in_every_letter_case() {
    let expected = hash::name_hash(b"\x03www\x07example\x03org\0", NAME_SEED);
    assert_eq!(steer_of(&PLAIN_V4).name_hash, Some(expected));
    assert_eq!(steer_of(&PLAIN_V6).name_hash, Some(expected));
}

#[test]
fn names_of_every_length_are_hashed_as_user_space_does() {
    for name_len in 1..=MAX_NAME_LEN {
        // Labels of up to 63 octets until the root label alone is left.
        let mut name = Vec::new();
        while name.len() + 1 < name_len {
            let label = (name_len - name.len() - 2).min(63);
            if label == 0 {
                break;
            }
            name.push(label as u8);
            name.resize(name.len() + label, b'x');
        }
        name.push(0);
        let steer = steer_of(&query_for(&name));
        assert_eq!(steer.name_hash, Some(hash::name_hash(&name, NAME_SEED)), "{name_len}");
    }
}

#[test]
fn names_that_cannot_be_hashed_are_steered_by_flow() {
    let mut too_long = Vec::new();
    for label_len in [63, 63, 63, 62] {
        too_long.push(label_len);
        too_long.resize(too_long.len() + usize::from(label_len), b'x');
    }
    too_long.push(0);
    assert_eq!(too_long.len(), 256);
    let mut longer = too_long.clone();
    longer.splice(0..0, too_long[..252].iter().copied());
    let without_end = with_message(&PLAIN_V4[DNS_V4..DNS_V4 + 28]);
    let frames = [
        query_for(b"\xc0\x0c"),
        query_for(b"\x07pointer\xc0\x0c"),
        query_for(b"\x02\xc3\xa9\0"),
        query_for(&too_long),
        query_for(&longer),
        without_end.clone(),
        // A zero octet in the padding of the frame is no end of a name.
        inserted(&without_end, without_end.len(), &[0; 9]),
        patched(&PLAIN_V4, DNS_V4 + 2, &[0x21, 0]),
        patched(&PLAIN_V4, DNS_V4 + 4, &[0, 2]),
    ];
    let config = TwoServices::new().0;
    for frame in frames {
        let steer = steer_of(&frame);
        assert_eq!(steer.name_hash, None, "{frame:?}");
        assert_eq!(steer.core(&config), share(steer.flow_hash, 4));
    }
}

#[test]
fn a_flow_keeps_its_hash_and_another_seed_changes_it() {
    let hash = steer_of(&PLAIN_V4).flow_hash;
    assert_eq!(steer_of(&query_for(b"\x01a\0")).flow_hash, hash, "the message does not matter");
    assert_ne!(steer_of(&patched(&PLAIN_V4, UDP_V4 + 1, &[0x32])).flow_hash, hash);
    let seeded = TwoServices(SteerConfig::new(SteerMode::Xsk, SteerBy::Flow, 4, 1, NAME_SEED));
    match classify(&PLAIN_V4[..], &seeded) {
        Verdict::Steer(steer) => assert_ne!(steer.flow_hash, hash),
        other @ (Verdict::Pass(_) | Verdict::Drop(_)) => panic!("{other:?}"),
    }
}

#[test]
fn flows_and_names_spread_over_all_cores() {
    let config = TwoServices::new().0;
    let mut by_name = [0; 4];
    let mut by_flow = [0; 4];
    for number in 0..1000_u16 {
        let digits = std::format!("{number:03}");
        let name = [b"\x03", digits.as_bytes(), b"\x04test\0"].concat();
        by_name[usize::from(steer_of(&query_for(&name)).core(&config))] += 1;
        let frame = patched(&PLAIN_V6, UDP_V6, &(1024 + number).to_be_bytes());
        by_flow[usize::from(share(steer_of(&frame).flow_hash, 4))] += 1;
    }
    for count in by_name.into_iter().chain(by_flow) {
        assert!((150..350).contains(&count), "by name {by_name:?}, by flow {by_flow:?}");
    }
}

#[test]
fn shares_reach_from_zero_to_the_last_core() {
    assert_eq!((share(0, 3), share(u64::MAX, 3)), (0, 2));
    assert_eq!((share(u64::MAX, 0), share(u64::MAX, 1), share(u64::MAX, u16::MAX)), (0, 0, 65534));
}

#[test]
fn no_beginning_of_a_frame_leads_outside_it() {
    for (class, frame, _) in frames() {
        for len in 0..=frame.len() {
            assert_offsets_inside(&frame[..len], class);
        }
    }
}

/// Classifies, and if the frame is steered, checks that every part of it is there.
fn assert_offsets_inside(frame: &[u8], class: &str) {
    let Verdict::Steer(steer) = verdict_of(frame) else { return };
    let [ip, udp, dns, dns_len] = [steer.ip, steer.udp, steer.dns, steer.dns_len].map(usize::from);
    assert!(ip == 14 || ip == 18, "{class}: {steer:?}");
    assert!(udp == ip + 20 || udp == ip + 40, "{class}: {steer:?}");
    assert!(dns == udp + 8 && dns_len >= 12, "{class}: {steer:?}");
    assert!(dns + dns_len <= frame.len(), "{class}: {steer:?} of {} octets", frame.len());
    assert_eq!(frame[dns + 2] & 0x80, 0, "{class}: a response");
}

proptest! {
    #[test]
    fn mutated_frames_are_judged_without_panic_and_within_bounds(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let all = frames();
        let (class, mut frame, _) = which.get(&all).clone();
        if !frame.is_empty() {
            for (at, octet) in changes {
                let at = at.index(frame.len().min(128));
                frame[at] = octet;
            }
            assert_offsets_inside(&frame, class);
            frame.truncate(cut.index(frame.len()));
        }
        assert_offsets_inside(&frame, class);
    }

    #[test]
    fn arbitrary_octets_are_judged_without_panic(
        frame in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        assert_offsets_inside(&frame, "arbitrary");
    }

    #[test]
    fn arbitrary_messages_hash_like_user_space_or_not_at_all(
        message in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut dns = PLAIN_V4[DNS_V4..DNS_V4 + 12].to_vec();
        dns.extend_from_slice(&message);
        let end = message.iter().position(|octet| *octet == 0);
        if let Some(hash) = steer_of(&with_message(&dns)).name_hash {
            let end = end.expect("a hashed name has an end");
            prop_assert_eq!(hash, hash::name_hash(&message[..=end], NAME_SEED));
        }
    }
}
