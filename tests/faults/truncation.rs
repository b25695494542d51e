//! Answers that do not fit: the whole comes by TCP, if TCP is to be had.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use dns64_tests::netns::serial;
use dns64_tests::stopwatch::Stopwatch;

use crate::client::{addresses, ask};
use crate::hostile::{Hostile, Say};
use crate::message::{Reply, mapped, rcode, rtype};
use crate::responder::Responder;

const GOOD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const BUDGET: Duration = Duration::from_millis(2_500);

#[test]
fn truncated_answers_are_asked_for_by_tcp_once() {
    let _machine = serial();
    let upstream = Hostile::start(|query| {
        if query.by_tcp {
            return vec![Say::Send(Reply::honest(query, GOOD))];
        }
        // What a truncated answer does bring is not to be used (RFC 2181 9).
        let cut = Reply::to(query).answer(&query.name, rtype::A, 300, &[203, 0, 113, 66]);
        vec![Say::Send(cut.truncated().done())]
    });
    let responder = Responder::start(&[upstream.address()]);
    for number in 0..50 {
        let name = format!("n{number}.test");
        let reply = ask(responder.address(), &name, rtype::AAAA);
        assert_eq!(addresses(&reply), [IpAddr::V6(mapped(GOOD))], "{name}");
        let by_tcp = upstream.heard_of(&name).iter().filter(|query| query.by_tcp).count();
        assert_eq!(by_tcp, 2, "AAAA and A");
    }
}

#[test]
fn where_tcp_is_refused_another_server_answers() {
    let _machine = serial();
    let stubborn =
        Hostile::without_tcp(|query| vec![Say::Send(Reply::to(query).truncated().done())]);
    let good = Hostile::start(|query| vec![Say::Send(Reply::honest(query, GOOD))]);
    let responder = Responder::start(&[stubborn.address(), good.address()]);
    for number in 0..30 {
        let reply = ask(responder.address(), &format!("n{number}.test"), rtype::A);
        assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)]);
    }
    assert!(!stubborn.heard().is_empty(), "both servers are asked");
}

#[test]
fn where_tcp_is_refused_and_there_is_no_other_server_the_client_is_told_in_time() {
    let _machine = serial();
    let stubborn =
        Hostile::without_tcp(|query| vec![Say::Send(Reply::to(query).truncated().done())]);
    let mut responder = Responder::start(&[stubborn.address()]);
    let watch = Stopwatch::start();
    let reply = ask(responder.address(), "long.test", rtype::A);
    assert_eq!(reply.rcode, rcode::SERVFAIL);
    assert!(watch.elapsed() < BUDGET, "{:?}", watch.elapsed());
    responder.assert_alive();
}

#[test]
fn a_server_that_truncates_over_tcp_too_is_left_after_one_try() {
    let _machine = serial();
    let upstream = Hostile::start(|query| vec![Say::Send(Reply::to(query).truncated().done())]);
    let responder = Responder::start(&[upstream.address()]);
    let watch = Stopwatch::start();
    let reply = ask(responder.address(), "loop.test", rtype::A);
    assert_eq!(reply.rcode, rcode::SERVFAIL);
    assert!(watch.elapsed() < BUDGET, "{:?}", watch.elapsed());
    let by_tcp = upstream.heard().iter().filter(|query| query.by_tcp).count();
    assert!(by_tcp <= 2, "{by_tcp} queries by TCP");
}
