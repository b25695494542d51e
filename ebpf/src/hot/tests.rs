//! The library half of hot answers, without a kernel.

extern crate std;

use std::vec::Vec;

use super::control::{
    BUCKET_MASK, CLOCK, CONTROL_WORDS, Control, HEARTBEAT, SILENCE_MAX_NS, VALIDITY, clock_word,
    validity_word,
};
use super::entry::{
    BODY_LEN_MAX, ENTRY_WORDS, Found, HASH, NAME_LEN_MAX, Publication, SEQUENCE, TTLS_MAX, key_hash,
};
use super::query::Asked;
use super::reply::{ROOM_LEN, compose, place};
use super::*;

const SECOND_NS: u64 = 1_000_000_000;
const SEED: u64 = 7;
const NAME: &[u8] = b"\x03www\x07example\0";

/// A page with these words.
fn page(heartbeat: u64, clock: u64) -> [u64; CONTROL_WORDS] {
    let mut page = [0; CONTROL_WORDS];
    page[HEARTBEAT] = heartbeat;
    page[CLOCK] = clock;
    page[VALIDITY] = validity_word(3, 1_232);
    page[BUCKET_MASK] = 7;
    page
}

fn control(now_secs: u32) -> Control {
    Control { now_secs, generation: 3, payload_max: 1_232, bucket_mask: 7 }
}

/// A record whose TTL is 300.
const RECORD: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1];
const OPT: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

fn publication() -> Publication<'static> {
    Publication {
        name_hash: crate::hash::name_hash(NAME, SEED),
        name: NAME,
        rtype: 1,
        audience: 2,
        generation: 3,
        made_secs: 100,
        until_secs: 200,
        flags: [0x81, 0x80],
        counts: [0, 1, 0, 0],
        synthesized: true,
        authentic_known: false,
        ttl_places: &[6, 0],
        records: RECORD,
        opt: OPT,
    }
}

/// A room with a query of an untagged frame of IPv4 in it; the length of its message.
fn room(name: &[u8], low_flags: u8, opt: &[u8]) -> ([u8; ROOM_LEN], usize) {
    let mut room = [0; ROOM_LEN];
    let header = [9, 9, 1, low_flags, 0, 1, 0, 0, 0, 0, 0, u8::from(!opt.is_empty())];
    let octets = header.iter().chain(name).chain(&[0, 1, 0, 1]).chain(opt);
    let mut len = 0;
    for octet in octets {
        room[place::DNS + len] = *octet;
        len += 1;
    }
    (room, len)
}

/// What comes of a query; the message of the reply.
fn answer(
    entry: &[u64; ENTRY_WORDS],
    (mut room, len): ([u8; ROOM_LEN], usize),
    audience: u16,
    now_secs: u32,
) -> Result<([u8; ROOM_LEN], usize), Miss> {
    let name_len = NAME.len();
    let control = control(now_secs);
    let asked = Asked::read(&mut room[..], len, name_len, control.payload_max)?;
    let found = Found::read(&entry[..], &mut room[..], &asked, audience, &control)?;
    let reply = compose(&mut room[..], &found, &asked, 42, true)?;
    Ok((room, reply.end))
}

#[test]
fn a_published_reply_is_found_and_given_in_the_spelling_of_the_query() {
    let entry = publication().words().unwrap();
    let (room, end) = answer(&entry, room(b"\x03wWw\x07EXAMPLE\0", 0, OPT), 2, 110).unwrap();
    let message = &room[place::DNS..end];
    assert_eq!(message[..12], [9, 9, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1]);
    assert_eq!(message[12..25], *b"\x03wWw\x07EXAMPLE\0");
    let (records, opt) = message[29..].split_at(RECORD.len());
    assert_eq!(records[6..10], 290_u32.to_be_bytes(), "ten seconds have passed");
    assert_eq!((&records[..6], &records[10..], opt), (&RECORD[..6], &RECORD[10..], OPT));
}

#[test]
fn without_edns_there_is_no_opt_record() {
    let entry = publication().words().unwrap();
    let (room, end) = answer(&entry, room(NAME, 0, &[]), 2, 100).unwrap();
    assert_eq!(room[place::DNS + 11], 0);
    assert_eq!(end - place::DNS, 29 + RECORD.len());
    assert_eq!(room[end - RECORD.len()..end], *RECORD);
}

#[test]
fn an_entry_answers_nothing_but_its_own_question_in_its_own_time() {
    let entry = publication().words().unwrap();
    let plain = || room(NAME, 0, OPT);
    assert!(answer(&entry, plain(), 2, 199).is_ok());
    assert_eq!(answer(&entry, plain(), 2, 200), Err(Miss::Old));
    assert_eq!(answer(&entry, plain(), 1, 150), Err(Miss::Absent), "another audience");
    assert_eq!(answer(&entry, room(b"\x03wwx\x07example\0", 0, OPT), 2, 150), Err(Miss::Absent));
    assert_eq!(answer(&entry, room(NAME, 0x20, OPT), 2, 150), Err(Miss::Authentic));
    let flushed = Publication { generation: 2, ..publication() }.words().unwrap();
    assert_eq!(answer(&flushed, plain(), 2, 150), Err(Miss::Old));
    let without_opt = Publication { opt: &[], ..publication() }.words().unwrap();
    assert_eq!(answer(&without_opt, plain(), 2, 150), Err(Miss::Absent));
    assert!(answer(&without_opt, room(NAME, 0, &[]), 2, 150).is_ok());
}

#[test]
fn an_entry_that_is_being_written_is_not_given() {
    let mut entry = publication().words().unwrap();
    entry[SEQUENCE] = 5;
    assert_eq!(answer(&entry, room(NAME, 0, OPT), 2, 150), Err(Miss::Torn));
}

#[test]
fn only_the_plain_form_is_read() {
    let read = |(mut room, len): ([u8; ROOM_LEN], usize)| {
        Asked::read(&mut room[..], len, NAME.len(), 1_232)
    };
    assert!(read(room(NAME, 0, &[])).is_ok());
    for low_flags in [0x10, 0x40, 0x80, 1] {
        assert_eq!(read(room(NAME, low_flags, &[])), Err(Miss::Form), "flags {low_flags:x}");
    }
    let mut with_do = [0; 11];
    with_do.copy_from_slice(OPT);
    with_do[7] = 0x80;
    assert_eq!(read(room(NAME, 0, &with_do)), Err(Miss::Form));
    let (octets, len) = room(NAME, 0, OPT);
    assert_eq!(read((octets, len - 1)), Err(Miss::Form), "cut");
    assert_eq!(read((octets, len + 1)), Err(Miss::Form), "something behind it");
    // The client's size counts between 512 and ours.
    for (size, limit) in [(0, 512), (900, 900), (4_096, 1_232)] {
        let [high, low] = u16::to_be_bytes(size);
        let opt = [0, 0, 41, high, low, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(room(NAME, 0, &opt)).unwrap().limit, limit);
    }
}

#[test]
fn what_has_no_room_is_not_published() {
    let long = [0; BODY_LEN_MAX + 1];
    assert!(Publication { records: &long, opt: &[], ..publication() }.words().is_none());
    assert!(Publication { name: &long[..NAME_LEN_MAX + 1], ..publication() }.words().is_none());
    assert!(
        Publication { ttl_places: &long[..2 * TTLS_MAX + 2], ..publication() }.words().is_none()
    );
    let place = (RECORD.len() as u16 - 3).to_le_bytes();
    assert!(Publication { ttl_places: &place, ..publication() }.words().is_none());
    let longest = Publication { records: &long[1..], opt: &[], ttl_places: &[], ..publication() };
    assert!(longest.words().is_some());
}

#[test]
fn type_and_audience_are_part_of_the_hash() {
    let hash = key_hash(1, 28, 2);
    assert!(hash != key_hash(1, 1, 2) && hash != key_hash(1, 28, 3) && hash != key_hash(2, 28, 2));
    assert_eq!(publication().words().unwrap()[HASH], key_hash(publication().name_hash, 1, 2));
}

#[test]
fn a_refusal_has_the_question_of_the_query_and_no_records() {
    let refusal = Publication {
        name: &[],
        flags: [0x81, 0x85],
        counts: [0; 4],
        synthesized: false,
        ttl_places: &[],
        records: &[],
        ..publication()
    };
    let refuse = |entry: &[u64; ENTRY_WORDS], (mut room, len): ([u8; ROOM_LEN], usize)| {
        let asked = Asked::read(&mut room[..], len, NAME.len(), 1_232)?;
        let found = Found::refusal(&entry[..], &asked)?;
        let reply = compose(&mut room[..], &found, &asked, 42, true)?;
        Ok((room, reply.end))
    };
    let entry = refusal.words().unwrap();
    let (octets, end) = refuse(&entry, room(NAME, 0x20, OPT)).unwrap();
    let message = &octets[place::DNS..end];
    assert_eq!(message[..12], [9, 9, 0x81, 0x85, 0, 1, 0, 0, 0, 0, 0, 1]);
    assert_eq!((&message[12..25], &message[29..]), (NAME, OPT));
    let (octets, end) = refuse(&entry, room(NAME, 0, &[])).unwrap();
    assert_eq!((octets[place::DNS + 11], end - place::DNS), (0, 29));
    assert_eq!(refuse(&[0; ENTRY_WORDS], room(NAME, 0, &[])), Err(Miss::Client), "nothing is said");
    let without_opt = Publication { opt: &[], ..refusal }.words().unwrap();
    assert_eq!(refuse(&without_opt, room(NAME, 0, OPT)), Err(Miss::Absent));
}

#[test]
fn a_name_is_whole_if_its_labels_end_where_it_does() {
    let mut longest = Vec::new();
    for _ in 0..63 {
        longest.extend(b"\x01a");
    }
    longest.push(0);
    let long_label = [&[64][..], &[b'a'; 64], &[0]].concat();
    for (name, whole) in [
        (NAME, true),
        (&[0], true),
        (&longest[..], true),
        (b"\x04www\x07example\0", false),
        (b"\x03www\x08example\0", false),
        (b"\x7fwww\x07example\0", false),
        (&long_label, false),
    ] {
        let (mut room, len) = room(name, 0, &[]);
        let asked = Asked::read(&mut room[..], len, name.len(), 1_232).unwrap();
        assert_eq!(asked.has_whole_name(&mut room[..]), whole, "{name:x?}");
    }
}

#[test]
fn the_clock_goes_on_between_heartbeats_and_stops_with_them() {
    // A heartbeat at 100 s, when 0.4 s of the engines' second 7 are left.
    let beat = 100 * SECOND_NS;
    let page = page(beat, clock_word(7, beat + 400_000_000));
    let now_secs = |after_ns: u64| Control::read(&page[..], beat + after_ns).map(|c| c.now_secs);
    assert_eq!(now_secs(0), Some(7));
    assert_eq!(now_secs(399_000_000), Some(7));
    assert_eq!(now_secs(401_000_000), Some(8));
    assert_eq!(now_secs(1_402_000_000), Some(9));
    assert_eq!(now_secs(SILENCE_MAX_NS), Some(9));
    assert_eq!(now_secs(SILENCE_MAX_NS + 1), None);
    // The program's clock may be behind.
    let early = Control::read(&page[..], beat - 4_000_000).unwrap();
    assert_eq!(early, control(7));
    assert_eq!(Control::read(&[0; CONTROL_WORDS][..], SECOND_NS), None, "a page of zeros");
}

#[test]
fn every_counter_has_a_place_of_its_own() {
    let mut seen = [false; HotCounter::COUNT];
    let answers = (0..16).flat_map(|rcode| [(true, rcode), (false, rcode)]);
    let answers = answers.map(|(is_ipv4, rcode)| HotCounter::answer(is_ipv4, rcode));
    let misses = Miss::ALL.into_iter().map(HotCounter::miss);
    for counter in answers.chain(misses).chain([HotCounter::SYNTHESIZED, HotCounter::REFUSED]) {
        assert!(!core::mem::replace(&mut seen[counter.get()], true), "{counter:?} twice");
    }
    assert!(seen.iter().all(|place| *place));
}
