extern crate std;

use core::net::IpAddr;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::judge::{Message, Verdict, judge};
use super::slot::{ADDRESSES, Expected, FRAME_WORDS, RECORD, SHAPE, SLOT_WORDS, Slot};
use super::state::{self, STATE_WORDS, may_send, step_of};
use super::{Words, read_sample_word, sample_word};
use crate::abi::mapped;
use crate::flow::Datagram;
use crate::headers::{self, EthernetAddresses, IpEndpoints, message_offset};

/// `www.test AAAA IN`.
const QUESTION: &[u8] = b"\x03www\x04test\x00\x00\x1c\x00\x01";
const FIRST: [u8; 16] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 1];
const SECOND: [u8; 16] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 2];

#[derive(Clone, Copy)]
struct Memory<'m>(&'m [u64]);

impl Words for Memory<'_> {
    fn word(self, index: usize) -> u64 {
        self.0[index]
    }
}

impl Slot for Memory<'_> {
    fn octets(self, at: usize) -> [u8; 8] {
        let octets: Vec<u8> = self.0.iter().flat_map(|word| word.to_ne_bytes()).collect();
        octets[at..at + 8].try_into().unwrap()
    }
}

fn frame_of(message: &[u8], is_ipv4: bool) -> Vec<u8> {
    let address = |text: &str| mapped(text.parse::<IpAddr>().unwrap());
    let [source, destination] =
        if is_ipv4 { ["192.0.2.1", "192.0.2.53"] } else { ["2001:db8::1", "2001:db8::53"] };
    let ends = IpEndpoints {
        source: address(source),
        source_port: 53,
        destination: address(destination),
        destination_port: 61_000,
    };
    let mut frame = vec![0; message_offset(is_ipv4) + message.len()];
    frame[message_offset(is_ipv4)..].copy_from_slice(message);
    let ethernet = EthernetAddresses { source: [2; 6], destination: [4; 6] };
    headers::write(&mut frame[..], &ethernet, &ends, message.len()).unwrap();
    frame
}

fn slot(addresses: &[[u8; 16]], is_ipv4: bool) -> [u64; SLOT_WORDS] {
    let mut query = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    query.extend(QUESTION);
    let mut frame = frame_of(&query, is_ipv4);
    let shape = Expected {
        question_len: QUESTION.len(),
        checked: true,
        rcode: 0,
        records: addresses.len(),
        rtype: 28,
        data_len: 16,
        ttl_max_secs: 300,
    };
    let mut words = [0; SLOT_WORDS];
    words[SHAPE..=RECORD].copy_from_slice(&shape.words(frame.len()));
    frame.resize(8 * FRAME_WORDS, 0);
    let data = addresses.as_flattened();
    for (word, octets) in words.iter_mut().zip(frame.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*octets);
    }
    for (word, octets) in words[ADDRESSES..].iter_mut().zip(data.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*octets);
    }
    words
}

/// An answer with these addresses and TTL.
fn answer(addresses: &[[u8; 16]], ttl_secs: u32) -> Vec<u8> {
    let mut message = b"\x00\x07\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    message[7] = addresses.len() as u8;
    message.extend(QUESTION);
    for address in addresses {
        message.extend(b"\xc0\x0c\x00\x1c\x00\x01");
        message.extend(ttl_secs.to_be_bytes());
        message.extend(b"\x00\x10");
        message.extend(address);
    }
    message
}

fn verdict_on(message: &[u8], expected: &[[u8; 16]]) -> Verdict {
    let verdicts = [true, false].map(|is_ipv4| {
        let frame = frame_of(message, is_ipv4);
        let place = Message::of(&Datagram::read(&frame[..]).unwrap()).unwrap();
        judge(&frame[..], place, Memory(&slot(expected, is_ipv4)))
    });
    assert_eq!(verdicts[0], verdicts[1]);
    verdicts[0]
}

#[test]
fn what_the_slot_says_is_right_in_any_order() {
    assert_eq!(verdict_on(&answer(&[FIRST], 300), &[FIRST]), Verdict::Right);
    assert_eq!(verdict_on(&answer(&[SECOND, FIRST], 1), &[FIRST, SECOND]), Verdict::Right);
    assert_eq!(verdict_on(&answer(&[], 1), &[]), Verdict::Right);
}

#[test]
fn an_address_too_many_too_few_or_twice_is_wrong() {
    assert_eq!(verdict_on(&answer(&[SECOND], 300), &[FIRST]), Verdict::Address);
    assert_eq!(verdict_on(&answer(&[FIRST, FIRST], 300), &[FIRST, SECOND]), Verdict::Address);
    assert_eq!(verdict_on(&answer(&[FIRST, SECOND], 300), &[FIRST]), Verdict::Records);
    assert_eq!(verdict_on(&answer(&[], 300), &[FIRST]), Verdict::Records);
}

#[test]
fn a_ttl_may_be_that_of_a_stale_answer_or_less_than_the_names() {
    assert_eq!(verdict_on(&answer(&[FIRST], 301), &[FIRST]), Verdict::Ttl);
    let mut short = slot(&[FIRST], true);
    short[RECORD] = short[RECORD] & !0xffff_ffff | 5;
    for (ttl_secs, verdict) in [(5, Verdict::Right), (6, Verdict::Ttl), (30, Verdict::Right)] {
        let frame = frame_of(&answer(&[FIRST], ttl_secs), true);
        let place = Message::of(&Datagram::read(&frame[..]).unwrap()).unwrap();
        assert_eq!(judge(&frame[..], place, Memory(&short)), verdict, "TTL {ttl_secs}");
    }
}

#[test]
fn every_octet_of_the_question_and_the_records_counts() {
    let right = answer(&[FIRST, SECOND], 300);
    let records_at = 12 + QUESTION.len();
    for at in (12..right.len()).chain([4, 5, 6, 7]) {
        // A TTL may fall: the last octet of 300 does here.
        if at >= records_at && (at - records_at) % 28 == 9 {
            continue;
        }
        let mut wrong = right.clone();
        wrong[at] ^= 0x20;
        let verdict = verdict_on(&wrong, &[FIRST, SECOND]);
        let belongs = Verdict::belongs(verdict.code());
        assert_ne!(verdict, Verdict::Right, "octet {at}");
        assert_eq!(belongs, at >= records_at || matches!(at, 6 | 7), "octet {at}: {verdict:?}");
    }
}

#[test]
fn failures_and_truncated_answers_are_no_untruths() {
    for (at, octet) in [(3, 0x82), (3, 0x85), (2, 0x83)] {
        let mut failed = answer(&[], 0);
        failed[at] = octet;
        assert_eq!(verdict_on(&failed, &[FIRST]), Verdict::Failed, "{octet:#x}");
    }
    let unread = b"\x00\x07\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00";
    assert_eq!(verdict_on(unread, &[FIRST]), Verdict::Failed);
}

#[test]
fn a_query_is_no_response_and_a_denial_no_address() {
    let mut query = answer(&[FIRST], 300);
    query[2] = 0x01;
    assert_eq!(verdict_on(&query, &[FIRST]), Verdict::Header);
    let mut denial = answer(&[], 0);
    denial[3] = 0x83;
    assert_eq!(verdict_on(&denial, &[FIRST]), Verdict::Rcode);
}

#[test]
fn a_response_that_is_cut_is_wrong_wherever() {
    let right = answer(&[FIRST], 300);
    for len in 12..right.len() {
        let verdict = verdict_on(&right[..len], &[FIRST]);
        assert!(verdict.code() > Verdict::Failed.code(), "{len} octets: {verdict:?}");
    }
}

#[test]
fn codes_are_places_and_samples_carry_them() {
    for (place, verdict) in Verdict::ALL.into_iter().enumerate() {
        assert_eq!(verdict.code() as usize, place);
        assert_eq!(read_sample_word(sample_word(verdict.code(), 511)), Some((place as u32, 511)));
    }
    assert_eq!(read_sample_word(0), None);
}

fn page(set: &[(usize, u64)]) -> [u64; STATE_WORDS] {
    let mut words = [0; STATE_WORDS];
    words[state::LAST] = u64::MAX;
    for (word, value) in set {
        words[*word] = *value;
    }
    words
}

#[test]
fn a_schedule_lets_go_as_many_as_are_due() {
    let step = step_of(1_000_000);
    let words = |sent| {
        page(&[
            (state::BASE_NS, 500),
            (state::BASE_DUE, 10),
            (state::STEP, step),
            (state::SENT, sent),
        ])
    };
    assert!(may_send(Memory(&words(9)), || 500));
    assert!(!may_send(Memory(&words(10)), || 1_499), "a microsecond has not passed");
    assert!(may_send(Memory(&words(10)), || 1_502));
}

#[test]
fn a_closed_loop_waits_for_answers_and_forgets_what_is_given_up() {
    let words = |right, given_up| {
        page(&[
            (state::OUTSTANDING, 4),
            (state::SENT, 10),
            (state::RIGHT, right),
            (state::GIVEN_UP, given_up),
        ])
    };
    let now = || panic!("there is no schedule");
    assert!(!may_send(Memory(&words(6, 0)), now));
    assert!(may_send(Memory(&words(7, 0)), now));
    assert!(may_send(Memory(&words(6, 1)), now));
}

#[test]
fn nothing_is_sent_beyond_the_last() {
    assert!(!may_send(Memory(&page(&[(state::LAST, 3), (state::SENT, 3)])), || 0));
    assert!(may_send(Memory(&page(&[(state::LAST, 3), (state::SENT, 2)])), || 0));
}

proptest! {
    #[test]
    fn no_message_makes_the_judge_read_beyond_its_end(
        message in proptest::collection::vec(any::<u8>(), 12..200),
        set_qr: bool,
    ) {
        let mut message = message;
        if set_qr {
            message[2..6].copy_from_slice(&[0x81, 0x80, 0, 1]);
        }
        prop_assert_ne!(verdict_on(&message, &[FIRST]), Verdict::Right);
    }
}
