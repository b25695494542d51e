//! Upstream servers that fall silent, die, come back, or lie behind a line that loses messages.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::netns::serial;
use dns64_tests::proxy::LossyProxy;
use dns64_tests::stopwatch::Stopwatch;
use rustix::process::Signal;

use crate::client::{Many, Outcome, addresses, ask, ask_many, exchange, has_extended_error, read};
use crate::hostile::{Hostile, Say};
use crate::message::{Reply, mapped, query, rcode, rtype};
use crate::responder::{Responder, Settings};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const GOOD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// `budget_ms` and half a second for a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_millis(2_500);

fn good() -> Hostile {
    Hostile::start(|query| vec![Say::Send(Reply::honest(query, GOOD))])
}

fn is_good(outcome: &Outcome) -> bool {
    outcome.reply.clone().is_some_and(|octets| {
        let reply = read(octets);
        let found = addresses(&reply);
        found == [IpAddr::V4(GOOD)] || found == [IpAddr::V6(mapped(GOOD))]
    })
}

#[test]
fn one_silent_server_of_three_is_noticed_by_no_client_and_left_alone_soon() {
    let _machine = serial();
    let (first, silent, third) = (good(), Hostile::silent(), good());
    let responder = Responder::start(&[first.address(), silent.address(), third.address()]);
    let watch = Stopwatch::start();
    // One after the other at first, then many at a time.
    let slowly = Many { window: 4, ..Many::default() };
    let mut outcomes =
        ask_many(responder.address(), slowly, rtype::AAAA, 300, |n| format!("s{n}.test"));
    outcomes.extend(ask_many(responder.address(), Many::default(), rtype::AAAA, 2_000, |n| {
        format!("m{n}.test")
    }));
    let bad = outcomes.iter().filter(|outcome| !is_good(outcome)).count();
    assert_eq!(bad, 0, "of {} answers", outcomes.len());
    let slowest = outcomes.iter().map(|outcome| outcome.took).max().unwrap_or_default();
    assert!(slowest < ANSWER_LIMIT, "{slowest:?}");

    // It counts as down by now, in each of two workers: one probe a second from each is all.
    let before = (silent.heard().len(), Instant::now());
    let outcomes = ask_many(responder.address(), Many::default(), rtype::A, 3_000, |n| {
        format!("later{n}.test")
    });
    assert!(outcomes.iter().all(is_good));
    let probes = silent.heard().len() - before.0;
    let allowed = 2 * (before.1.elapsed().as_secs() as usize + 2);
    assert!(
        probes <= allowed,
        "{probes} queries to a dead server in {:?} ({} before, in {:?})",
        before.1.elapsed(),
        before.0,
        watch.elapsed()
    );
}

#[test]
fn one_closed_server_of_three_is_noticed_by_no_client() {
    let _machine = serial();
    let (first, third) = (good(), good());
    let closed = Hostile::silent().address();
    let responder = Responder::start(&[first.address(), closed, third.address()]);
    let outcomes = ask_many(responder.address(), Many::default(), rtype::AAAA, 2_000, |n| {
        format!("n{n}.test")
    });
    let bad = outcomes.iter().filter(|outcome| !is_good(outcome)).count();
    assert_eq!(bad, 0, "of {} answers", outcomes.len());
}

#[test]
fn a_program_that_was_stopped_longer_than_its_budget_still_asks_for_a() {
    let _machine = serial();
    // Nothing is said of AAAA, so that A is asked for when that has been waited for.
    let server = Hostile::start(|query| match query.qtype {
        rtype::A => vec![Say::Send(Reply::honest(query, GOOD))],
        _ => Vec::new(),
    });
    let responder =
        Responder::start_with(&[server.address()], Settings { workers: 1, ..Settings::default() });
    let asking = thread::scope(|scope| {
        let octets = query(0x5a5a, "stopped.test", rtype::AAAA);
        let address = responder.address();
        let asking = scope.spawn(move || exchange(address, &octets, PATIENCE));
        let deadline = Instant::now() + PATIENCE;
        while !server.heard().iter().any(|query| query.name == "stopped.test") {
            assert!(Instant::now() < deadline, "AAAA is not asked for");
            thread::sleep(Duration::from_millis(1));
        }
        responder.signal(Signal::STOP);
        // The budget is 2 s.
        thread::sleep(Duration::from_secs(3));
        responder.signal(Signal::CONT);
        asking.join()
    });
    let reply = read(asking.expect("it runs").expect("it is answered"));
    assert_eq!(addresses(&reply), [IpAddr::V6(mapped(GOOD))], "{reply:?}");
}

#[test]
fn when_all_are_silent_clients_get_old_answers_or_are_told_why_and_all_is_well_when_they_return() {
    let _machine = serial();
    let alive = Arc::new(AtomicBool::new(true));
    let server = || {
        let alive = Arc::clone(&alive);
        Hostile::start(move |query| {
            if !alive.load(Ordering::Relaxed) {
                return Vec::new();
            }
            vec![Say::Send(Reply::to(query).with_address(query, GOOD, 1).done())]
        })
    };
    let servers = [server(), server(), server()];
    let addresses_of = servers.iter().map(Hostile::address).collect::<Vec<_>>();
    let responder = Responder::start(&addresses_of);
    let reply = ask(responder.address(), "old.test", rtype::A);
    assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)]);
    alive.store(false, Ordering::Relaxed);
    // Only time makes an answer old.
    thread::sleep(Duration::from_millis(2_100));

    let watch = Stopwatch::start();
    let reply = ask(responder.address(), "old.test", rtype::A);
    assert!(watch.elapsed() < ANSWER_LIMIT, "{:?}", watch.elapsed());
    assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)], "{reply:?}");
    assert!(has_extended_error(&reply, 3), "Stale Answer: {reply:?}");
    assert!(reply.answer.iter().all(|record| record.wire.ttl_secs <= 30), "{reply:?}");

    for qtype in [rtype::A, rtype::AAAA] {
        let watch = Stopwatch::start();
        let reply = ask(responder.address(), "new.test", qtype);
        assert!(watch.elapsed() < ANSWER_LIMIT, "{:?}", watch.elapsed());
        assert_eq!(reply.rcode, rcode::SERVFAIL);
        let explained = has_extended_error(&reply, 22) || has_extended_error(&reply, 23);
        assert!(explained, "No Reachable Authority or Network Error: {reply:?}");
    }

    alive.store(true, Ordering::Relaxed);
    // A failure is remembered for a few seconds, a dead server probed once a second.
    let deadline = Instant::now() + Duration::from_secs(30);
    while addresses(&ask(responder.address(), "new.test", rtype::A)).is_empty() {
        assert!(Instant::now() < deadline, "no recovery");
        thread::sleep(Duration::from_millis(100));
    }
    let reply = ask(responder.address(), "newer.test", rtype::AAAA);
    assert_eq!(addresses(&reply), [IpAddr::V6(mapped(GOOD))]);
}

#[test]
fn silence_of_all_servers_makes_no_storm_of_queries() {
    let _machine = serial();
    let silent = Hostile::silent();
    let responder = Responder::start(&[silent.address()]);
    for _ in 0..3 {
        let reply = ask(responder.address(), "quiet.test", rtype::A);
        assert_eq!(reply.rcode, rcode::SERVFAIL);
    }
    // Ten seconds are the life of a look-up; tries slow down in it.
    let heard = silent.heard().len();
    assert!(heard <= 40, "{heard} queries for one name");
}

#[test]
fn a_line_that_loses_a_fifth_in_each_direction_costs_less_than_one_answer_in_a_thousand() {
    let _machine = serial();
    let listen = "127.0.0.1:0".parse().expect("valid");
    let upstream = Upstream::start(listen, Options::default()).expect("starts");
    let proxy = LossyProxy::start(upstream.local_addr(), 20, 0x5eed).expect("starts");
    // Without a TCP port behind it, and with no stale answers to hide behind.
    let settings = Settings { cache: "serve_stale = false", ..Settings::default() };
    let mut responder = Responder::start_with(&[proxy.address()], settings);
    let many = Many { window: 100, ..Many::default() };
    let outcomes = ask_many(responder.address(), many, rtype::AAAA, 3_000, |number| {
        format!("a-198-51-100-7.n{number}.test")
    });
    assert!(proxy.lost() > 1_000, "only {} messages were lost", proxy.lost());
    let right = outcomes.iter().filter(|o| is_good(o) && o.took < ANSWER_LIMIT).count();
    assert!(right >= 2_997, "{right} of 3000 answered in time");
    responder.assert_alive();
}
