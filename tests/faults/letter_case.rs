//! The letters of upstream queries (0x20): random, compared exactly, and given up for a server only
//! when TCP has shown that it does not keep them.

use std::net::{IpAddr, Ipv4Addr};

use dns64_tests::netns::serial;

use crate::client::{addresses, ask};
use crate::hostile::{Heard, Hostile, Say};
use crate::message::{HEADER_LEN, Reply, rtype};
use crate::responder::{Responder, Settings};

const GOOD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// One worker: what is learned of a server is each worker's own.
fn one_worker() -> Settings<'static> {
    Settings { workers: 1, ..Settings::default() }
}

/// A name with letters enough that chance leaves none of 100 without capitals.
fn name(number: usize) -> String {
    format!("lettersinmanyplaces{number}.somewhereelse.test")
}

fn in_lower_case(query: &Heard) -> Vec<u8> {
    let mut octets = Reply::honest(query, GOOD);
    octets[HEADER_LEN..HEADER_LEN + query.question().len() - 4].make_ascii_lowercase();
    octets
}

#[test]
fn names_go_upstream_in_letters_of_random_case() {
    let _machine = serial();
    let upstream = Hostile::start(|query| vec![Say::Send(Reply::honest(query, GOOD))]);
    let responder = Responder::start_with(&[upstream.address()], one_worker());
    for number in 0..100 {
        let reply = ask(responder.address(), &name(number), rtype::A);
        assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)]);
    }
    let heard = upstream.heard();
    assert!(heard.iter().all(Heard::mixes_case));
    assert!(heard.iter().all(|query| !query.by_tcp));
}

#[test]
fn a_server_that_folds_letters_is_asked_by_tcp_once_and_without_random_letters_from_then_on() {
    let _machine = serial();
    let upstream = Hostile::start(|query| vec![Say::Send(in_lower_case(query))]);
    let responder = Responder::start_with(&[upstream.address()], one_worker());
    for number in 0..50 {
        let reply = ask(responder.address(), &name(number), rtype::A);
        assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)], "{number}");
    }
    let heard = upstream.heard();
    let by_tcp = heard.iter().filter(|query| query.by_tcp).count();
    assert_eq!(by_tcp, 1, "TCP shows it once");
    let first = heard.iter().position(|query| query.by_tcp).expect("counted above");
    assert!(heard[first + 1..].iter().all(|query| !query.mixes_case()), "it is known");
}

#[test]
fn a_forgery_in_other_letters_does_not_take_the_letters_away() {
    let _machine = serial();
    // The server keeps letters; an attacker who knows the ID does not know them.
    let upstream = Hostile::start(|query| {
        if query.name.starts_with("attacked") && !query.by_tcp {
            return vec![Say::Send(in_lower_case(query))];
        }
        vec![Say::Send(Reply::honest(query, GOOD))]
    });
    let responder = Responder::start_with(&[upstream.address()], one_worker());
    for number in 0..20 {
        ask(responder.address(), &format!("attacked{number}.test"), rtype::A);
        ask(responder.address(), &name(number), rtype::A);
        let heard = upstream.heard_of(&name(number));
        assert!(heard.iter().all(Heard::mixes_case), "{number}: the letters are given up");
    }
}

#[test]
fn a_truncated_answer_does_not_take_the_letters_away() {
    let _machine = serial();
    let upstream = Hostile::start(|query| {
        if query.name.starts_with("long") && !query.by_tcp {
            return vec![Say::Send(Reply::to(query).truncated().done())];
        }
        vec![Say::Send(Reply::honest(query, GOOD))]
    });
    let responder = Responder::start_with(&[upstream.address()], one_worker());
    for number in 0..5 {
        let reply = ask(responder.address(), &format!("long{number}.test"), rtype::A);
        assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)]);
        ask(responder.address(), &name(number), rtype::A);
        let heard = upstream.heard_of(&name(number));
        assert!(heard.iter().all(Heard::mixes_case), "{number}: the letters are given up");
    }
}
