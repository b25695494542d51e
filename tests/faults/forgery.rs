//! Answers with wrong IDs, from the right address to the right port, with the right question: what
//! an attacker sends who guesses (RFC 5452). Seen here from where only the ID is left to guess.

use std::net::{IpAddr, Ipv4Addr};

use dns64_tests::netns::serial;

use crate::client::{addresses, ask};
use crate::hostile::{Heard, Hostile, Say};
use crate::message::{Reply, id_of, rcode, rtype};
use crate::responder::Responder;

const GOOD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const EVIL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
/// Forgeries for each query.
const GUESSES: u16 = 100;

/// The evil answer, with IDs that are all wrong.
fn guesses(query: &Heard) -> Vec<Say> {
    let id = id_of(&query.octets).expect("a query has a header");
    let forged = Reply::honest(query, EVIL);
    (1..=GUESSES)
        .map(|distance| {
            let mut forged = forged.clone();
            forged[..2].copy_from_slice(&id.wrapping_add(distance * 13).to_be_bytes());
            Say::Send(forged)
        })
        .collect()
}

#[test]
fn a_wrong_id_turns_the_query_to_tcp_and_no_forgery_is_believed_or_kept() {
    let _machine = serial();
    // By UDP only forgeries come: the good answer can be had by TCP alone.
    let upstream = Hostile::start(|query| {
        if query.by_tcp { vec![Say::Send(Reply::honest(query, GOOD))] } else { guesses(query) }
    });
    let mut responder = Responder::start(&[upstream.address()]);
    for number in 0..100 {
        let name = format!("n{number}.forged.test");
        let reply = ask(responder.address(), &name, rtype::A);
        assert_eq!(reply.rcode, rcode::NOERROR, "{name}");
        assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)], "{name}");
        let heard = upstream.heard_of(&name);
        let by_tcp = heard.iter().filter(|query| query.by_tcp).count();
        assert_eq!(by_tcp, 1, "{name} is asked by TCP once");
        // Each wrong ID closes a port: an attacker has this many goes, whatever he can send.
        assert!(heard.len() - by_tcp <= 4, "{name} was open to guesses {} times", heard.len() - 1);
    }
    let asked = upstream.heard().len();
    for number in 0..100 {
        let reply = ask(responder.address(), &format!("n{number}.forged.test"), rtype::A);
        assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)], "the cache has the good answer");
    }
    assert_eq!(upstream.heard().len(), asked, "all came from the cache");
    responder.assert_alive();
}

#[test]
fn forgeries_around_the_good_answer_do_not_take_its_place() {
    let _machine = serial();
    let upstream = Hostile::start(|query| {
        let mut says = guesses(query);
        // Once before, once after the forgeries.
        let at = if query.name.starts_with('n') { 0 } else { says.len() };
        says.insert(at, Say::Send(Reply::honest(query, GOOD)));
        if query.by_tcp {
            says = vec![Say::Send(Reply::honest(query, GOOD))];
        }
        says
    });
    let responder = Responder::start(&[upstream.address()]);
    for number in 0..50 {
        for first in ["n", "m"] {
            let name = format!("{first}{number}.forged.test");
            let reply = ask(responder.address(), &name, rtype::AAAA);
            let expected = IpAddr::V6(crate::message::mapped(GOOD));
            assert_eq!(addresses(&reply), [expected], "{name}");
        }
    }
}

#[test]
fn a_flood_of_forgeries_for_names_nobody_asked_changes_nothing() {
    let _machine = serial();
    let upstream = Hostile::start(|query| {
        if query.name != "zz.test" {
            return vec![Say::Send(Reply::honest(query, GOOD))];
        }
        let mut says = Vec::new();
        // In the same datagram stream: answers to questions that are not open.
        for number in 0..200 {
            let mut octets = Reply::honest(query, EVIL);
            // Another first label of the same length: the question is another.
            octets[13] = b'a' + (number % 25) as u8;
            octets[14] = b'0' + (number / 25) as u8;
            says.push(Say::Send(octets));
        }
        says.push(Say::Send(Reply::honest(query, GOOD)));
        says
    });
    let mut responder = Responder::start(&[upstream.address()]);
    let reply = ask(responder.address(), "zz.test", rtype::A);
    assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)]);
    let before = upstream.heard().len();
    // One of the names that were pushed: must be asked for.
    let reply = ask(responder.address(), "a0.test", rtype::A);
    assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)]);
    assert!(upstream.heard().len() > before, "a pushed answer was kept");
    responder.assert_alive();
}
