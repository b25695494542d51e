//! The resolver behind the responder fails: silently, or with its port closed.

use std::thread;
use std::time::{Duration, Instant};

use dns64_tests::netns::serial;
use dns64_tests::stopwatch::Stopwatch;
use rustix::process::Signal;

use crate::available;
use crate::dig::Reply;
use crate::network::Network;
use crate::subject::Subject;

/// How long a client waits at most for any answer.
const ANSWER_LIMIT: Duration = Duration::from_millis(2_500);
/// How soon after its return the resolver must be in use again.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// Time to live of `brief.e2e.test.`
const BRIEF_TTL: Duration = Duration::from_secs(1);

/// The program under test if it is ours. Others wait longer, and show nothing.
fn dns64d() -> Option<Subject> {
    let subject = Subject::from_env();
    if !subject.is_dns64d() {
        eprintln!("skipped: other responders fail in other ways");
        return None;
    }
    Some(subject)
}

/// The reply says in time that there is no answer, and why: No Reachable Authority or Network Error
/// (RFC 8914 4.23, 4.24).
fn assert_failure_is_explained(network: &Network, question: [&str; 2]) {
    let reply = in_time(network, question);
    assert_eq!(reply.status(), "SERVFAIL", "{}", reply.text);
    assert!(reply.has_extended_error(22) || reply.has_extended_error(23), "{}", reply.text);
}

/// The reply to a question, which must not be late.
fn in_time(network: &Network, question: [&str; 2]) -> Reply {
    let watch = Stopwatch::start();
    let reply = network.dig(&question);
    let took = Duration::from_millis(reply.query_time_ms()).saturating_sub(watch.stood_still());
    assert!(took <= ANSWER_LIMIT, "{}", reply.text);
    reply
}

/// Asks until there is an answer.
fn assert_recovers(network: &Network, name: &str) {
    let deadline = Instant::now() + RECOVERY_LIMIT;
    loop {
        let reply = network.dig(&[name, "AAAA"]);
        if reply.status() == "NOERROR" && !reply.data("AAAA").is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{name} is not answered: {}", reply.text);
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_silent_upstream_leads_to_stale_answers_and_explained_failures() {
    if !available() {
        return;
    }
    let Some(subject) = dns64d() else { return };
    let _machine = serial();
    let network = Network::start(&subject);
    let reply = network.dig(&["brief.e2e.test", "AAAA"]);
    assert_eq!(reply.data("AAAA"), ["2001:db8:64::c633:6453"], "{}", reply.text);
    let asked = Instant::now();

    network.resolver.signal(Signal::STOP);
    assert_failure_is_explained(&network, ["v4only.e2e.test", "AAAA"]);
    assert_failure_is_explained(&network, ["dual.e2e.test", "A"]);

    // Nothing tells when an answer has expired but the time.
    thread::sleep((BRIEF_TTL + Duration::from_secs(1)).saturating_sub(asked.elapsed()));
    let reply = in_time(&network, ["brief.e2e.test", "AAAA"]);
    assert_eq!(reply.status(), "NOERROR", "{}", reply.text);
    assert_eq!(reply.data("AAAA"), ["2001:db8:64::c633:6453"], "{}", reply.text);
    assert!(reply.answer.iter().all(|record| record.ttl_secs <= 30), "{}", reply.text);
    // Stale Answer (RFC 8767, RFC 8914 4.4).
    assert!(reply.has_extended_error(3), "{}", reply.text);

    network.resolver.signal(Signal::CONT);
    assert_recovers(&network, "v4only.e2e.test");
    assert_recovers(&network, "dual.e2e.test");
}

#[test]
fn a_resolver_that_ends_is_used_again_when_it_is_back() {
    if !available() {
        return;
    }
    let Some(subject) = dns64d() else { return };
    let _machine = serial();
    let mut network = Network::start(&subject);
    assert_recovers(&network, "dual.e2e.test");

    network.resolver.signal(Signal::KILL);
    let ended = network.resolver.wait(Duration::from_secs(5));
    assert!(ended.is_some(), "the resolver survives SIGKILL");
    assert_failure_is_explained(&network, ["v4only.e2e.test", "AAAA"]);

    network.restart_resolver();
    assert_recovers(&network, "v4only.e2e.test");
}
