//! A frame is judged without looking beyond its end, and steered only if its lengths agree.

use dns64::wire::Name;
use dns64_ebpf::abi::{ClientKey, ServiceKey, SteerBy, SteerConfig, SteerMode};
use dns64_ebpf::classify::{DropReason, MAX_FRAME_LEN, Steer, Tables, Verdict, classify};
use dns64_ebpf::hash::name_hash;

/// The seed of the hash of names.
const NAME_SEED: u64 = 0x5eed;

/// Cores to steer to.
const CORES: u16 = 5;

/// Tables of a machine that serves port 53 of every address, and denies every 16th client.
struct EveryAddress(SteerConfig);

impl Tables for EveryAddress {
    fn config(&self) -> &SteerConfig {
        &self.0
    }

    fn serves(&self, service: &ServiceKey) -> bool {
        service.port() == 53
    }

    fn denies(&self, client: &ClientKey) -> bool {
        client.address()[15] & 0xf == 0xf
    }
}

/// Checks octets as a frame, and as the DNS message of a frame.
pub(crate) fn check(bytes: &[u8]) {
    let tables =
        EveryAddress(SteerConfig::new(SteerMode::Xsk, SteerBy::Name, CORES, 0xf10, NAME_SEED));
    check_frame(bytes, &tables);
    if bytes.len() <= MAX_FRAME_LEN - 62 {
        check_message(bytes, &tables);
    }
}

/// What holds for every frame.
fn check_frame(frame: &[u8], tables: &EveryAddress) {
    let verdict = classify(frame, tables);
    assert_eq!(classify(frame, tables), verdict, "a frame is judged one way");
    match verdict {
        Verdict::Pass(_) => {}
        // Dropped is only what is known to be for us, and so has all headers up to UDP.
        Verdict::Drop(_) => assert!(frame.len() >= 14 + 20 + 8),
        Verdict::Steer(steer) => check_steer(frame, &steer, tables),
    }
}

/// What holds for every frame that is steered.
fn check_steer(frame: &[u8], steer: &Steer, tables: &EveryAddress) {
    let [ip, udp, dns, dns_len] = [steer.ip, steer.udp, steer.dns, steer.dns_len].map(usize::from);
    assert!(ip == 14 || ip == 18, "one tag at most");
    let headers_len = if frame[ip] >> 4 == 4 { 20 } else { 40 };
    assert_eq!((udp, dns), (ip + headers_len, udp + 8));
    assert!(dns_len >= 12 && dns + dns_len <= frame.len(), "the message lies within the frame");
    let short = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    assert_eq!(short(udp + 4), 8 + dns_len, "the UDP length");
    let ip_len = if headers_len == 20 { short(ip + 2) - 20 } else { short(ip + 4) };
    assert_eq!(ip_len, 8 + dns_len, "the IP length");
    assert_eq!(short(udp + 2), 53);
    let message = &frame[dns..dns + dns_len];
    assert_eq!(message[2] & 0x80, 0, "responses are never steered");
    assert!(steer.core(&tables.0) < CORES);

    let name = Name::split(&message[12..]).ok().filter(|(_, rest)| rest.len() >= 4);
    let Some((name, _)) = name else { return };
    let plain =
        name.as_wire()[..name.as_wire().len() - 1].iter().all(|octet| (1..128).contains(octet));
    if plain && message[2] & 0x78 == 0 && message[4..6] == [0, 1] {
        assert_eq!(steer.name_hash, Some(name_hash(name.as_wire(), NAME_SEED)));
    }
}

/// A message in a frame without fault comes through whatever it holds, unless it is worthless; with
/// octets behind it, cut, or with a wrong length it never does.
fn check_message(message: &[u8], tables: &EveryAddress) {
    let mut frame = frame_v6(message);
    match classify(&frame[..], tables) {
        Verdict::Steer(steer) => {
            assert_eq!(usize::from(steer.dns_len), message.len());
            check_steer(&frame, &steer, tables);
        }
        Verdict::Drop(DropReason::ShortMessage) => assert!(message.len() < 12),
        Verdict::Drop(DropReason::Response) => assert!(message[2] & 0x80 != 0),
        verdict @ (Verdict::Pass(_) | Verdict::Drop(_)) => {
            panic!("{verdict:?} of a frame without fault")
        }
    }
    let len = frame.len();
    assert!(!matches!(classify(&frame[..len - 1], tables), Verdict::Steer(_)), "cut");
    frame[18] = frame[18].wrapping_add(1);
    assert!(!matches!(classify(&frame[..], tables), Verdict::Steer(_)), "a wrong IP length");
}

/// A message in UDP, IPv6 and Ethernet.
fn frame_v6(message: &[u8]) -> Vec<u8> {
    let udp_len = ((message.len() + 8) as u16).to_be_bytes();
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x86, 0xdd];
    frame.extend_from_slice(&[0x60, 0, 0, 0, udp_len[0], udp_len[1], 17, 64]);
    for host in [1, 2] {
        frame.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    frame.extend_from_slice(&[0xc0, 0, 0, 53, udp_len[0], udp_len[1], 0x12, 0x34]);
    frame.extend_from_slice(message);
    frame
}
