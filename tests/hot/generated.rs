//! Frames made up by the hundred thousand: good ones, odd ones and broken ones. The kernel's
//! verdict on each is that of the classifier in this process, for the same reason; and what the
//! program answers is what the engine says.

use std::collections::BTreeMap;

use dns64_ebpf::checksum::Sum;
use dns64_ebpf::classify::{DropReason, MAX_FRAME_LEN, PassReason, Verdict, classify};
use dns64_ebpf::hot::Miss;

use crate::frames::{Edns, Numbers, Query, assert_checksums, datagram, frame, replied};
use crate::world::{HostTables, World};
use crate::{A, AAAA, NAMES, XDP_DROP, XDP_PASS, XDP_TX, client, counts, first};

/// All of them.
const FRAMES: usize = 100_000;

/// After so many frames the kernel's counters must be those of the classifier here.
const BOOKED_EVERY: usize = 200;

/// Times that every reason to pass or drop must have been found at least.
const EACH_REASON: u64 = 20;

/// Frames that the kernel runs no program on (`ETH_HLEN`), or has no room for in one page.
const FRAME_LENGTHS: std::ops::RangeInclusive<usize> = 14..=3_000;

/// Verdicts by their words.
type Tally = BTreeMap<String, u64>;

#[test]
fn a_hundred_thousand_frames_get_the_verdict_of_the_classifier_and_the_reply_of_the_engine() {
    let Some(mut world) = World::new(1 << 10) else { return };
    for name in NAMES {
        for rtype in [A, AAAA] {
            let _published = world.heat(first(), &Query::new(name, rtype).message());
        }
    }
    let tables = HostTables::new();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut tally, mut answered) = (Tally::new(), 0);
    let mut number = 0;
    while number < FRAMES {
        let framed = generated(&mut numbers);
        if !FRAME_LENGTHS.contains(&framed.len()) {
            continue;
        }
        number += 1;
        let verdict = classify(&framed[..], &tables);
        let run = world.run(&framed);
        match (verdict, run.action) {
            (Verdict::Steer(_), XDP_TX) => {
                answered += 1;
                let (client, message) = datagram(&framed).expect("steered, so it is one");
                let reply = world.ask(client, &message).expect("the kernel knows a reply");
                assert_eq!(run.frame, replied(&framed, &reply), "frame {number}: {framed:x?}");
                assert_checksums(&run.frame);
            }
            (Verdict::Steer(_) | Verdict::Pass(_), XDP_PASS) | (Verdict::Drop(_), XDP_DROP) => {
                assert_eq!(run.frame, framed, "frame {number}");
            }
            (verdict, action) => {
                panic!("frame {number}: {verdict:?}, action {action}: {framed:x?}")
            }
        }
        *tally.entry(words(&verdict)).or_default() += 1;
        if number % BOOKED_EVERY == 0 {
            assert_eq!(
                booked(&mut world),
                tally,
                "between {BOOKED_EVERY} frames and frame {number}"
            );
        }
    }
    let counts = counts(&mut world);
    eprintln!("{answered} of {FRAMES} frames answered");
    for (verdict, count) in &tally {
        eprintln!("  {verdict}: {count}");
    }
    for reason in Miss::ALL {
        eprintln!("  not answered, {reason}: {}", counts.misses(reason));
    }
    assert!(answered > FRAMES / 8, "{answered} answered");
    let pass = PassReason::ALL.map(|reason| words(&Verdict::Pass(reason)));
    let drop = DropReason::ALL.map(|reason| words(&Verdict::Drop(reason)));
    for words in pass.iter().chain(&drop) {
        assert!(tally.get(words).is_some_and(|count| *count >= EACH_REASON), "{words}: {tally:?}");
    }
    for reason in [Miss::Form, Miss::Absent, Miss::Client] {
        assert!(counts.misses(reason) > 100, "{reason}");
    }
}

/// A verdict without its places.
fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass(reason) => format!("pass: {reason}"),
        Verdict::Drop(reason) => format!("drop: {reason}"),
        Verdict::Steer(_) => "steer".to_owned(),
    }
}

/// The verdicts that the kernel has counted.
fn booked(world: &mut World) -> Tally {
    let counts = world.steering.counts().expect("the maps are there");
    let pass = PassReason::ALL.map(|reason| (Verdict::Pass(reason), counts.passed(reason)));
    let drop = DropReason::ALL.map(|reason| (Verdict::Drop(reason), counts.dropped(reason)));
    let verdicts = pass.into_iter().chain(drop).map(|(verdict, count)| (words(&verdict), count));
    let steered = ("steer".to_owned(), counts.steered());
    verdicts.chain([steered]).filter(|(_, count)| *count > 0).collect()
}

/// Clients: of both views, unknown ones, and those whose queries are dropped.
const CLIENTS: [&str; 14] = [
    "[2001:db8:1::7]:40000",
    "192.0.2.7:40000",
    "[2001:db8:1::8]:1",
    "192.0.2.99:65535",
    "[2001:db8:2::7]:40000",
    "192.0.2.200:40000",
    "[2001:db9::7]:40000",
    "198.51.100.1:53",
    "[2001:db8:dead::1]:40000",
    "192.0.2.65:40000",
    "[2001:db8:dead:7::1]:40000",
    "192.0.2.70:40000",
    "[2001:db8::53]:53",
    "192.0.2.53:53",
];

/// A frame: half of them whole, the others with something done to them.
fn generated(numbers: &mut Numbers) -> Vec<u8> {
    let message = message(numbers);
    let clients = if numbers.once_in(4) { CLIENTS.len() } else { 4 };
    let from = client(CLIENTS[numbers.below(clients as u64) as usize]);
    let tag = numbers.once_in(8).then(|| numbers.below(1 << 16) as u16);
    let mut framed = frame(from, &message, tag);
    if numbers.once_in(2) {
        return framed;
    }
    let ip = if tag.is_some() { 18 } else { 14 };
    for _ in 0..=numbers.below(2) {
        damage(&mut framed, ip, from.is_ipv4(), numbers);
    }
    framed
}

/// A message: a query of any form, sometimes with octets too many, too few or wrong.
fn message(numbers: &mut Numbers) -> Vec<u8> {
    let name: String = if numbers.once_in(8) {
        format!("four{}.other{}.example", numbers.below(9), numbers.below(100))
    } else {
        NAMES[numbers.below(NAMES.len() as u64) as usize].to_owned()
    };
    let upper = numbers.below(1 << 30);
    let name = name
        .char_indices()
        .map(|(at, c)| if upper >> (at % 30) & 1 == 1 { c.to_ascii_uppercase() } else { c })
        .collect::<String>();
    let mut query = Query::new(&name, [A, AAAA, AAAA, AAAA, 16][numbers.below(5) as usize]);
    query.id = numbers.below(1 << 16) as u16;
    if numbers.once_in(8) {
        query.flags ^= 1 << numbers.below(16);
    }
    query.edns = match numbers.below(16) {
        0..6 => Edns::None,
        6..12 => Edns::Plain(numbers.below(5_000) as u16),
        12 => Edns::Plain(512),
        13 => Edns::Odd([0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]),
        _ => {
            let mut octets = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
            octets[numbers.below(11) as usize] ^= 1 << numbers.below(8);
            Edns::Odd(octets)
        }
    };
    let mut message = query.message();
    match numbers.below(32) {
        0 | 1 => message.extend((0..numbers.below(40)).map(|octet| octet as u8)),
        2 | 3 => message.truncate(numbers.below(message.len() as u64) as usize),
        4..7 => {
            let at = numbers.below(message.len() as u64) as usize;
            message[at] ^= 1 << numbers.below(8);
        }
        7 => message.resize(numbers.below(1_400) as usize, 0),
        8 => message = (0..numbers.below(300)).map(|_| numbers.below(256) as u8).collect(),
        _ => {}
    }
    message
}

/// Does something to a frame whose IP header lies at `ip`, or did before it was damaged.
fn damage(framed: &mut Vec<u8>, ip: usize, is_ipv4: bool, numbers: &mut Numbers) {
    let udp = ip + if is_ipv4 { 20 } else { 40 };
    if framed.len() < udp + 20 {
        return;
    }
    let any = |numbers: &mut Numbers, len: usize| numbers.below(len as u64) as usize;
    match numbers.below(20) {
        // Anywhere.
        0 => {
            for _ in 0..=numbers.below(3) {
                let at = any(numbers, framed.len());
                framed[at] ^= 1 << numbers.below(8);
            }
        }
        1 if numbers.once_in(4) => framed.truncate(14 + any(numbers, 4)),
        1 => framed.truncate(any(numbers, framed.len())),
        2 => framed.extend((0..numbers.below(60)).map(|octet| octet as u8)),
        3 => framed.resize(MAX_FRAME_LEN - 2 + numbers.below(8) as usize, 0),
        // Ethernet.
        4 => framed[0] |= 1,
        5 => {
            let tag = [[0x88, 0xa8], [0x81, 0x00]][any(numbers, 2)];
            framed.splice(12..12, [tag[0], tag[1], 0, 9]);
        }
        6 => framed[ip - 1] = numbers.below(256) as u8,
        // IP.
        7 if is_ipv4 => {
            framed.splice(udp..udp, [1, 1, 1, 0]);
            framed[ip] += 1;
            finish_ipv4(framed, ip);
        }
        7 => {
            // Hop-by-Hop, Routing, Fragment, ESP, AH, Destination Options.
            framed[ip + 6] = [0, 43, 44, 50, 51, 60][any(numbers, 6)];
            framed.splice(udp..udp, [17, 0, 1, 4, 0, 0, 0, 0]);
            finish_ipv6(framed, ip);
        }
        8 if is_ipv4 => {
            let flags = [[0x20, 0], [0, 1], [0x40, 0], [0x80, 0], [0x3f, 0xff]][any(numbers, 5)];
            framed[ip + 6..ip + 8].copy_from_slice(&flags);
            finish_ipv4(framed, ip);
        }
        9 => {
            let protocol = [6, 1, 58, 136, 17][any(numbers, 5)];
            framed[ip + if is_ipv4 { 9 } else { 6 }] = protocol;
            repair(framed, ip, is_ipv4);
        }
        10 => {
            // The length of the IP packet, more or less than there is.
            let at = ip + if is_ipv4 { 2 } else { 4 };
            let most = if numbers.once_in(2) { 80 } else { 1_600 };
            let length = numbers.below(most) as u16;
            framed[at..at + 2].copy_from_slice(&length.to_be_bytes());
            repair(framed, ip, is_ipv4);
        }
        11 => {
            let first = ip + if is_ipv4 { 12 } else { 8 };
            match numbers.below(6) {
                // Nobody, ourselves, many.
                0 => framed[first..udp - (udp - first) / 2].fill(0),
                1 if is_ipv4 => framed[first] = 127,
                1 => {
                    framed[first..first + 16].fill(0);
                    framed[first + 15] = 1;
                }
                2 => framed[first] = 0xff,
                3 if is_ipv4 => framed[first] = 224,
                // ::ffff:0:0/96 as the source.
                3 | 4 if !is_ipv4 => {
                    framed[first..first + 10].fill(0);
                    framed[first + 10..first + 12].fill(0xff);
                }
                // The destination is the source.
                _ => {
                    let half = (udp - first) / 2;
                    framed.copy_within(first + half..first + 2 * half, first);
                }
            }
            repair(framed, ip, is_ipv4);
        }
        12 => {
            let at = udp - 1 - any(numbers, if is_ipv4 { 4 } else { 16 });
            framed[at] ^= 1 << numbers.below(8);
            repair(framed, ip, is_ipv4);
        }
        // UDP.
        13 => framed[udp..udp + 2].fill(0),
        14 => framed[udp + 3] = numbers.below(256) as u8,
        15 | 16 => {
            let most = if numbers.once_in(2) { 24 } else { 200 };
            let length = numbers.below(most) as u16;
            framed[udp + 4..udp + 6].copy_from_slice(&length.to_be_bytes());
        }
        17 => framed[udp + 6..udp + 8].fill(0),
        // DNS.
        18 => framed[udp + 10] |= 0x80,
        _ => framed[udp + 8 + any(numbers, 12)] = numbers.below(256) as u8,
    }
}

/// Makes an IPv4 header right again where there is one.
fn repair(framed: &mut [u8], ip: usize, is_ipv4: bool) {
    if is_ipv4 {
        write_checksum(framed, ip);
    }
}

/// Writes length and checksum of an IPv4 header.
fn finish_ipv4(framed: &mut [u8], ip: usize) {
    let total_len = (framed.len() - ip) as u16;
    framed[ip + 2..ip + 4].copy_from_slice(&total_len.to_be_bytes());
    write_checksum(framed, ip);
}

/// Writes the checksum of an IPv4 header, if it lies in the frame.
fn write_checksum(framed: &mut [u8], ip: usize) {
    framed[ip + 10..ip + 12].fill(0);
    let header_len = usize::from(framed[ip] & 15) * 4;
    if let Some(sum) = Sum::new().octets(&*framed, ip, header_len) {
        framed[ip + 10..ip + 12].copy_from_slice(&sum.checksum());
    }
}

/// Writes the length of an IPv6 packet.
fn finish_ipv6(framed: &mut [u8], ip: usize) {
    let payload_len = (framed.len() - ip - 40) as u16;
    framed[ip + 4..ip + 6].copy_from_slice(&payload_len.to_be_bytes());
}
