//! Texts of zones that nobody has written with care.

use dns64::policy::rpz::{RpzZone, Unsupported, scan};
use proptest::prelude::*;

/// The name of the zone, `rpz.`, in wire form.
const APEX: &[u8] = b"\x03rpz\0";

/// Pieces that zones are made of, and some that they are not.
const PIECES: [&str; 34] = [
    "a",
    "@",
    "*",
    "b.c",
    " ",
    "\t",
    "\n",
    "\n",
    "\r\n",
    "(",
    ")",
    "\"",
    ";",
    "\\",
    "\\065",
    "\\300",
    "CNAME ",
    " CNAME .\n",
    " CNAME *.\n",
    "rpz-drop.",
    "A",
    "192.0.2.1",
    "AAAA",
    "TXT",
    "IN",
    "CH",
    "60",
    "$ORIGIN ",
    "$TTL ",
    "$INCLUDE x",
    "TYPE65280 \\# 1 00",
    "rpz-ip",
    "\0",
    "\u{e4}",
];

/// Reads a text; whether it has no mistakes.
fn is_good(text: &[u8]) -> bool {
    let mut zone = RpzZone::new("rpz.", None, None);
    let scanned = scan(text, APEX, Unsupported::Refuse, &mut zone);
    let lines = text.iter().filter(|octet| **octet == b'\n').count() + 1;
    assert!(scanned.faults.len() <= 20, "{}", scanned.faults.len());
    for fault in &scanned.faults {
        assert!((1..=lines).contains(&fault.line), "{fault:?}");
        assert!(!fault.message.is_empty());
    }
    scanned.faults.is_empty()
}

proptest! {
    #[test]
    fn no_octets_lead_to_a_panic(octets: Vec<u8>) {
        is_good(&octets);
    }

    #[test]
    fn no_pieces_of_zones_lead_to_a_panic(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..40),
    ) {
        is_good(pieces.concat().as_bytes());
    }

    #[test]
    fn a_mistake_does_not_hide_the_triggers_around_it(before in 0_usize..50, after in 0_usize..50) {
        let line = |number: usize| format!("host{number} CNAME .\n");
        let text: String = (0..before).map(line).collect::<String>()
            + "wrong A x\n"
            + &(before..before + after).map(line).collect::<String>();
        let mut zone = RpzZone::new("rpz.", None, None);
        let scanned = scan(text.as_bytes(), APEX, Unsupported::Refuse, &mut zone);
        prop_assert_eq!(zone.len(), before + after);
        prop_assert_eq!(scanned.faults.len(), 1);
        prop_assert_eq!(scanned.faults[0].line, before + 1);
    }
}

#[test]
fn the_example_has_one_trigger_of_each_kind() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../userspace/example.zone");
    let text = std::fs::read(path).unwrap();
    let mut zone = RpzZone::new("block.rpz.", None, None);
    let scanned = scan(&text, b"\x05block\x03rpz\0", Unsupported::Refuse, &mut zone);
    assert_eq!(scanned.faults, []);
    assert_eq!(zone.len(), 8);
}

#[test]
fn a_quarter_of_a_million_names_is_read_in_the_memory_of_sixty_octets_each() {
    let mut text = String::new();
    for number in 0..250_000 {
        use std::fmt::Write as _;
        let _infallible = writeln!(text, "x{number:06}.blocked.example CNAME .");
    }
    let mut zone = RpzZone::new("rpz.", None, None);
    let scanned = scan(text.as_bytes(), APEX, Unsupported::Refuse, &mut zone);
    assert_eq!(scanned.faults, []);
    assert_eq!(zone.len(), 250_000);
    assert!(zone.memory() < 15_000_000, "{} octets", zone.memory());
}
