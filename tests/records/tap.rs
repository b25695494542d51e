//! dnstap.

use std::collections::BTreeSet;
use std::time::Instant;

use dns64_tests::daemon::free_address;
use dns64_tests::netns::Scratch;
use rustix::process::Signal;

use crate::reader::{At, Message, Reader, are_here};
use crate::world::{Client, PATIENCE, World};

/// The messages of a kind.
fn of<'m>(messages: &'m [Message], kind: &str) -> Vec<&'m Message> {
    messages.iter().filter(|message| message.kind == kind).collect()
}

/// Name, protocol and port of the one who asks.
type Asked = (String, String, u16);

/// What was asked, by whom.
fn asked(messages: &[&Message]) -> BTreeSet<Asked> {
    let asked = messages.iter().map(|message| {
        assert_eq!(message.question.1, "AAAA", "{message:?}");
        (message.question.0.to_lowercase(), message.protocol.clone(), message.query_port)
    });
    asked.collect()
}

#[test]
fn every_query_and_every_answer_of_a_run_reaches_the_reader() {
    if !are_here() {
        return;
    }
    let scratch = Scratch::new();
    let reader = Reader::start(&scratch, &At::Unix("tap.sock"), "tap.fstrm");
    let more = "[dnstap]\nsocket = \"SCRATCH/tap.sock\"\nidentity = \"north-1\"\n";
    let mut world = World::start_in(scratch, more);
    world.daemon.server.wait_for("dnstap has a reader", PATIENCE);

    let mut expected: BTreeSet<Asked> = BTreeSet::new();
    let mut client = Client::new("127.0.0.1", world.address);
    for number in 1..=100 {
        let name = format!("a-192-0-2-{number}.v4.test");
        client.ask(&name);
        // Once more: from the cache.
        client.ask(&name);
        expected.insert((format!("{name}."), "UDP".to_owned(), client.port()));
        let port = client.ask_by_tcp(&name);
        expected.insert((format!("{name}."), "TCP".to_owned(), port));
    }
    client.ask("nx.v4.test");
    expected.insert(("nx.v4.test.".to_owned(), "UDP".to_owned(), client.port()));
    // Refused by the access list.
    let mut stranger = Client::new("127.0.0.9", world.address);
    stranger.ask("a-192-0-2-1.v4.test");
    expected.insert(("a-192-0-2-1.v4.test.".to_owned(), "UDP".to_owned(), stranger.port()));
    // Truncated upstream: asked again by TCP.
    client.ask("a-192-0-2-1--tc.v4.test");
    expected.insert(("a-192-0-2-1--tc.v4.test.".to_owned(), "UDP".to_owned(), client.port()));

    let upstream = world.upstream.local_addr();
    let log = world.stop();
    let messages = reader.finish();
    assert!(messages.iter().all(|message| message.identity == "north-1"), "{log}");

    let (queries, responses) = (of(&messages, "CLIENT_QUERY"), of(&messages, "CLIENT_RESPONSE"));
    assert_eq!((queries.len(), responses.len()), (303, 303), "{log}");
    assert_eq!(asked(&queries), expected);
    assert_eq!(asked(&responses), expected);
    for message in queries.iter().chain(&responses) {
        let ours = (message.response_address.as_str(), message.response_port);
        assert_eq!(ours, ("127.0.0.1", world.address.port()), "{message:?}");
        assert!(!message.query_time.is_empty(), "{message:?}");
    }
    for response in &responses {
        let rcode = match (response.query_address.as_str(), response.question.0.as_str()) {
            ("127.0.0.9", _) => "REFUSED",
            (_, "nx.v4.test.") => "NXDOMAIN",
            _ => "NOERROR",
        };
        assert_eq!(response.rcode, rcode, "{response:?}");
        assert!(response.response_time >= response.query_time, "{response:?}");
        let synthesized = response.records.iter().any(|record| record.contains("2001:db8:64::c0"));
        assert_eq!(synthesized, rcode == "NOERROR", "{response:?}");
    }

    // Each name was asked upstream for AAAA and A, and was answered.
    let forwarded = |kind: &str| {
        let messages = of(&messages, kind);
        for message in &messages {
            let theirs = (message.response_address.as_str(), message.response_port);
            assert_eq!(theirs, ("127.0.0.1", upstream.port()), "{message:?}");
            assert_eq!(message.query_port > 0, message.protocol == "UDP", "{message:?}");
        }
        let asked = messages.iter().map(|message| {
            let (name, rtype) = message.question.clone();
            (name.to_lowercase(), rtype, message.protocol.clone())
        });
        asked.collect::<BTreeSet<_>>()
    };
    let (sent, heard) = (forwarded("FORWARDER_QUERY"), forwarded("FORWARDER_RESPONSE"));
    assert_eq!(sent, heard);
    for number in 1..=100 {
        for rtype in ["AAAA", "A"] {
            let name = format!("a-192-0-2-{number}.v4.test.");
            assert!(sent.contains(&(name, rtype.to_owned(), "UDP".to_owned())), "{number} {rtype}");
        }
    }
    let by_tcp = ("a-192-0-2-1--tc.v4.test.".to_owned(), "A".to_owned(), "TCP".to_owned());
    assert!(sent.contains(&by_tcp), "{sent:?}");
}

#[test]
fn a_reader_that_comes_late_or_again_is_found_by_tcp() {
    if !are_here() {
        return;
    }
    let address = free_address();
    let more = format!("[dnstap]\naddress = \"{address}\"\nmessages = [\"client_response\"]\n");
    let mut world = World::start(&more);
    world.daemon.server.wait_for("dnstap has no reader, and goes on trying", PATIENCE);
    let mut client = Client::new("127.0.0.1", world.address);
    client.ask("a-192-0-2-1.v4.test");
    let mut first = Reader::start(&world.scratch, &At::Tcp(address), "first.fstrm");
    // What was asked before it came is still there.
    world.wait_for_all("dnstap", 1);
    assert_eq!((world.count("dnstap.written"), world.count("dnstap.dropped")), (1, 0));
    let names = |messages: Vec<Message>| {
        messages.into_iter().map(|message| message.question.0).collect::<Vec<_>>()
    };
    first.server.wait_for("processing data frame", PATIENCE);
    assert_eq!(names(first.finish()), ["a-192-0-2-1.v4.test."]);
    // It is seen to have gone before anything is given to it.
    let deadline = Instant::now() + PATIENCE;
    while world.daemon.server.log().matches("dnstap has no reader").count() < 2 {
        assert!(Instant::now() < deadline, "{}", world.daemon.server.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    client.ask("a-192-0-2-2.v4.test");
    let second = Reader::start(&world.scratch, &At::Tcp(address), "second.fstrm");
    world.wait_for_all("dnstap", 2);
    world.stop();
    assert_eq!(names(second.finish()), ["a-192-0-2-2.v4.test."]);
}

#[test]
fn a_reader_that_stops_reading_costs_events_and_no_answers() {
    if !are_here() {
        return;
    }
    let scratch = Scratch::new();
    let reader = Reader::start(&scratch, &At::Unix("tap.sock"), "tap.fstrm");
    let more = "[dnstap]\nsocket = \"SCRATCH/tap.sock\"\n\
                messages = [\"client_query\", \"client_response\"]\n";
    let mut world = World::start_in(scratch, more);
    world.daemon.server.wait_for("dnstap has a reader", PATIENCE);
    let mut client = Client::new("127.0.0.1", world.address);
    client.ask("a-192-0-2-1.v4.test");
    world.wait_for_all("dnstap", 2);
    reader.server.signal(Signal::STOP);
    // More than the lanes of both workers and the buffers of the socket hold.
    let mut asked = 1;
    while world.count("dnstap.dropped") == 0 {
        for _ in 0..4_000 {
            // Each is answered, or this fails.
            assert_eq!(client.ask("a-192-0-2-1.v4.test")[3] & 15, 0);
            asked += 1;
        }
        assert!(asked < 100_000, "nothing is dropped: where does it go?");
    }
    reader.server.signal(Signal::CONT);
    client.ask("a-192-0-2-2.v4.test");
    asked += 1;
    world.wait_for_all("dnstap", 2 * asked);
    let (written, dropped) = (world.count("dnstap.written"), world.count("dnstap.dropped"));
    assert_eq!(written + dropped, 2 * asked, "each event is written or counted");
    assert_eq!(world.count("responses.total"), asked);
    let log = world.stop();
    assert!(log.contains("dnstap: not all could be written"), "{log}");
    let read = reader.finish().len() as u64;
    assert!(read <= written && read > 0, "{read} of {written}");
}

#[test]
fn a_sample_has_its_share_and_queries_with_their_answers() {
    if !are_here() {
        return;
    }
    let scratch = Scratch::new();
    let reader = Reader::start(&scratch, &At::Unix("tap.sock"), "tap.fstrm");
    let more = "[dnstap]\nsocket = \"SCRATCH/tap.sock\"\nsample = 10\n\
                messages = [\"client_query\", \"client_response\"]\n";
    let mut world = World::start_in(scratch, more);
    world.daemon.server.wait_for("dnstap has a reader", PATIENCE);
    let mut client = Client::new("127.0.0.1", world.address);
    for _ in 0..2_000 {
        client.ask("a-192-0-2-1.v4.test");
    }
    world.stop();
    let messages = reader.finish();
    let (queries, responses) = (of(&messages, "CLIENT_QUERY"), of(&messages, "CLIENT_RESPONSE"));
    assert_eq!(queries.len(), responses.len());
    // Chance alone stays within these bounds but once in very many runs.
    assert!((100..=300).contains(&queries.len()), "{} of 2000", queries.len());
}
