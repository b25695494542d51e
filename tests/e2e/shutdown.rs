//! The end of the program under load.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use dns64_tests::netns::{Netns, serial};
use dns64_tests::server::Server;
use rustix::process::Signal;

use crate::available;
use crate::message::{has_answer, query, response_id};
use crate::network::{Network, RESPONDER_V6};
use crate::subject::Subject;

/// Queries without an answer at any time.
const OUTSTANDING: usize = 64;
/// Answers before the signal is sent.
const ANSWERS_BEFORE_SIGNAL: usize = 2_000;
/// Most queries in all: each has a name of its own, and an ID.
const MAX_QUERIES: u16 = 20_000;
/// How long the load goes on after the signal, unless the port closes.
const LOAD_AFTER_SIGNAL: Duration = Duration::from_secs(1);
/// How long answers are waited for after the last query.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
/// How long the program may take to end: longer than it lets a client wait.
const END_LIMIT: Duration = Duration::from_secs(10);

/// What a client saw.
struct Seen {
    /// IDs of queries sent before the signal and not answered.
    lost: BTreeSet<u16>,
    /// Number of queries sent before the signal.
    sent_before: usize,
}

/// Asks without a pause, every other time for a name that was asked before; ends the server in the
/// midst of it.
fn ask_through_the_end(client: &Netns, server: &Server) -> Seen {
    client.enter(|| {
        let socket = UdpSocket::bind("[::]:0").expect("a free port");
        socket.connect((RESPONDER_V6, 53)).expect("a route");
        socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a valid time");
        let mut waiting = BTreeSet::new();
        let mut waiting_before = BTreeSet::new();
        let mut answered = 0;
        let mut sent_before = 0;
        let mut signalled: Option<Instant> = None;
        let mut last_sent = Instant::now();
        let mut next_id = 0;
        let mut port_is_open = true;
        loop {
            let goes_on = signalled.is_none_or(|at| at.elapsed() < LOAD_AFTER_SIGNAL);
            while port_is_open && goes_on && waiting.len() < OUTSTANDING && next_id < MAX_QUERIES {
                let name = if next_id % 2 == 0 {
                    "v4only.e2e.test"
                } else {
                    &format!("n{next_id}.e2e.test")
                };
                match socket.send(&query(next_id, name)) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                        port_is_open = false;
                    }
                    Err(error) => panic!("cannot send: {error}"),
                }
                waiting.insert(next_id);
                next_id += 1;
                last_sent = Instant::now();
            }
            let mut reply = [0; 1232];
            match socket.recv(&mut reply) {
                Ok(len) => {
                    let id = response_id(&reply[..len]).expect("a response");
                    // Whoever asks after the signal may be turned away.
                    let is_before = signalled.is_none() || waiting_before.remove(&id);
                    assert!(!is_before || has_answer(&reply[..len]), "an error for query {id}");
                    answered += usize::from(waiting.remove(&id));
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => port_is_open = false,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("cannot receive: {error}"),
            }
            if signalled.is_none() && answered >= ANSWERS_BEFORE_SIGNAL {
                waiting_before.clone_from(&waiting);
                sent_before = usize::from(next_id);
                server.signal(Signal::TERM);
                signalled = Some(Instant::now());
            }
            let is_over = match signalled {
                Some(_) => waiting_before.is_empty() && (!goes_on || !port_is_open),
                None => false,
            };
            if is_over || last_sent.elapsed() > LAST_ANSWERS {
                assert!(signalled.is_some(), "only {answered} answers, {} missing", waiting.len());
                return Seen { lost: waiting_before, sent_before };
            }
        }
    })
}

#[test]
fn sigterm_under_load_loses_no_query_that_was_sent_before() {
    if !available() {
        return;
    }
    let _machine = serial();
    let subject = Subject::from_env();
    let listen = ["[2001:db8:1::53]:53"];
    let mut network = Network::start_with(&subject, &listen, u32::from(MAX_QUERIES));

    let seen = ask_through_the_end(&network.client, &network.responder);
    let status = network.responder.wait(END_LIMIT).expect("the program ends after SIGTERM");
    assert_eq!(status.code(), Some(0), "{}", network.responder.log());
    if subject.is_dns64d() {
        assert!(
            seen.lost.is_empty(),
            "{} of {} queries sent before SIGTERM were never answered: {:?}",
            seen.lost.len(),
            seen.sent_before,
            seen.lost
        );
    }
    // The port is free again: the next instance can start.
    let reply = network.dig(&["v4only.e2e.test", "AAAA"]);
    assert_eq!(reply.status(), "", "something still answers: {}", reply.text);
}
