//! Hot answers given by the XDP program, which the kernel runs on frames made up here
//! (`BPF_PROG_TEST_RUN`), against the engine: the program says what the engine says, octet by
//! octet, or leaves the frame as it was.
//!
//! Needs root; nothing is attached to any interface.

mod checksums;
mod frames;
mod generated;
mod growth;
mod refusal;
mod world;

use std::net::SocketAddr;
use std::time::Duration;

use dns64_ebpf::hot::Miss;

use crate::frames::{Edns, Query, assert_checksums, datagram, frame, replied};
use crate::world::World;

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

const A: u16 = 1;
const AAAA: u16 = 28;

/// The bound of what the verifier may have to look at.
const VERIFIED_INSTRUCTIONS_MAX: u32 = 50_000;

/// Names by what is said of them; see `world::respond`.
const NAMES: [&str; 9] = [
    "four1.example",
    "four2.a-longer-name.example",
    "four9.example",
    "six1.example",
    "six3.example",
    "nx.example",
    "no.example",
    "four3.abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz.example",
    "four8.x.example",
];

fn client(text: &str) -> SocketAddr {
    text.parse().expect("made to be right")
}

/// A client of the first view, over IPv6.
fn first() -> SocketAddr {
    client("[2001:db8:1::7]:40000")
}

/// A client of the other view, over IPv6.
fn other() -> SocketAddr {
    client("[2001:db8:2::7]:40000")
}

/// Checks that the program answers a frame as the engine does.
fn assert_answers(world: &mut World, query: &[u8]) {
    let (client, message) = datagram(query).expect("made to be right");
    let reply = world.ask(client, &message).expect("made to be right");
    let run = world.run(query);
    assert_eq!(run.action, XDP_TX, "{message:x?}");
    assert_eq!(run.frame, replied(query, &reply));
    assert_checksums(&run.frame);
}

/// Checks that the program leaves a frame alone, for this reason.
fn assert_passes(world: &mut World, query: &[u8], reason: Miss) {
    let before = counts(world).misses(reason);
    let run = world.run(query);
    assert_eq!((run.action, &run.frame[..]), (XDP_PASS, query));
    assert_eq!(counts(world).misses(reason), before + 1, "{reason}");
}

fn counts(world: &mut World) -> dns64::xdp::hot::HotCounts {
    dns64::xdp::hot::HotTable::counts(&mut world.steering).expect("made to be right")
}

#[test]
fn the_verifier_has_little_to_do() {
    let Some(world) = World::new(16) else { return };
    let Some(count) = world.steering.program().verified_instructions() else { return };
    eprintln!("{count} instructions verified");
    assert!(count < VERIFIED_INSTRUCTIONS_MAX, "{count} instructions verified");
}

#[test]
fn every_form_of_a_plain_query_gets_the_reply_of_the_engine() {
    let Some(mut world) = World::new(1 << 10) else { return };
    for name in NAMES {
        for (v6, v4) in [(first(), "192.0.2.7:4000"), (other(), "192.0.2.200:4000")] {
            for rtype in [A, AAAA] {
                let query = Query::new(name, rtype);
                if !world.heat(v6, &query.message()) {
                    continue;
                }
                for client in [v6, client(v4)] {
                    for tag in [None, Some(7)] {
                        for edns in [Edns::None, Edns::Plain(512), Edns::Plain(4_096)] {
                            let name = name.to_uppercase();
                            let query = Query { edns, id: 0xabcd, name, ..query.clone() };
                            assert_answers(&mut world, &frame(client, &query.message(), tag));
                        }
                    }
                }
                // The other audience has an entry of its own, and the cache one place for both.
                world.now = world.now + Duration::from_secs(4_000);
                world.beat();
            }
        }
    }
    assert!(counts(&mut world).answers_total() > 100);
}

#[test]
fn ttls_fall_and_an_answer_ends_when_it_should_be_renewed() {
    let Some(mut world) = World::new(1 << 10) else { return };
    let query = Query::new("six3.example", AAAA).message();
    assert!(world.heat(first(), &query));
    let framed = frame(first(), &query, None);
    for secs in [1, 2, 300, 100] {
        world.now = world.now + Duration::from_secs(secs);
        world.beat();
        let run = world.run(&framed);
        assert_eq!(run.action, XDP_TX);
        assert_answers(&mut world, &framed);
    }
    world.now = world.now + Duration::from_secs(3_600);
    world.beat();
    assert_passes(&mut world, &framed, Miss::Old);
}

#[test]
fn nothing_is_answered_two_seconds_after_the_last_sign_of_life() {
    let Some(mut world) = World::new(1 << 10) else { return };
    let query = Query::new("four1.example", AAAA).message();
    assert!(world.heat(first(), &query));
    let framed = frame(first(), &query, None);
    assert_eq!(world.run(&framed).action, XDP_TX);
    let past = dns64::sys::clock::monotonic_ns() - 2_010_000_000;
    world.table.beat(world.now.as_secs(), 1_000_000_000, past);
    assert_passes(&mut world, &framed, Miss::Asleep);
    world.beat();
    assert_answers(&mut world, &framed);
    world.table.silence();
    assert_passes(&mut world, &framed, Miss::Asleep);
}

#[test]
fn a_flush_makes_all_that_is_published_count_no_more() {
    let Some(mut world) = World::new(1 << 10) else { return };
    let query = Query::new("six3.example", AAAA).message();
    assert!(world.heat(first(), &query));
    let framed = frame(first(), &query, None);
    assert_answers(&mut world, &framed);
    world.table.flush();
    assert_passes(&mut world, &framed, Miss::Old);
    world.beat();
    assert_passes(&mut world, &framed, Miss::Old);
}

#[test]
fn the_answer_for_one_view_never_reaches_a_client_of_another() {
    let Some(mut world) = World::new(1 << 10) else { return };
    let query = Query::new("four1.example", AAAA).message();
    assert!(world.heat(first(), &query));
    assert_answers(&mut world, &frame(first(), &query, None));
    assert_passes(&mut world, &frame(other(), &query, None), Miss::Absent);
    assert_passes(&mut world, &frame(client("192.0.2.200:53"), &query, None), Miss::Absent);
    // Who may not ask is refused by user space.
    assert_passes(&mut world, &frame(client("[2001:db9::1]:53"), &query, None), Miss::Client);
    assert_passes(&mut world, &frame(client("198.51.100.1:53"), &query, None), Miss::Client);
}

#[test]
fn an_answer_that_is_withdrawn_or_being_written_is_not_given() {
    let Some(mut world) = World::new(2) else { return };
    let query = Query::new("six1.example", AAAA).message();
    assert!(world.heat(first(), &query));
    let framed = frame(first(), &query, None);
    let hash = world.table.begin_write_for_test(0);
    let hash = if hash == 0 { world.table.begin_write_for_test(1) } else { hash };
    assert_passes(&mut world, &framed, Miss::Torn);
    world.table.withdraw(hash);
    assert_passes(&mut world, &framed, Miss::Absent);
}

#[test]
fn the_counters_balance() {
    let Some(mut world) = World::new(1 << 10) else { return };
    let query = Query::new("four2.a-longer-name.example", AAAA).message();
    let missing = Query::new("nx.example", A).message();
    assert!(world.heat(first(), &query) && world.heat(first(), &missing));
    let v4 = client("192.0.2.7:999");
    for (from, message) in [(first(), &query), (v4, &query), (v4, &missing)] {
        assert_eq!(world.run(&frame(from, message, None)).action, XDP_TX);
    }
    let counts = counts(&mut world);
    assert_eq!([counts.answers(false, 0), counts.answers(true, 0)], [1, 1]);
    assert_eq!([counts.answers(false, 3), counts.answers(true, 3)], [0, 1]);
    assert_eq!((counts.answers_total(), counts.synthesized()), (3, 2));
    assert_eq!(world.steering.counts().expect("made to be right").steered(), 3);
}

#[test]
fn what_a_packet_costs() {
    const RUNS: usize = 20_000;
    let Some(mut world) = World::new(1 << 10) else { return };
    let query = Query::new("four1.example", AAAA);
    assert!(world.heat(first(), &query.message()));
    for (what, client) in [("IPv6", first()), ("IPv4", client("192.0.2.7:4000"))] {
        let framed = frame(client, &query.message(), None);
        // One run each, since the reply is not a query: the time of a call is in it.
        let mut times: Vec<Duration> = (0..RUNS).map(|_| world.run(&framed).duration).collect();
        times.sort_unstable();
        eprintln!("a hot answer, {what}: {} ns", times[RUNS / 2].as_nanos());
    }
    let absent = Query::new("four1.absent.example", AAAA).message();
    let framed = frame(first(), &absent, None);
    let run = world.steering.program().run_on(&framed, 200_000).expect("made to be right");
    eprintln!("not published: {} ns", run.duration.as_nanos());
    let not_ours = frame(first(), &[0; 4], None);
    let run = world.steering.program().run_on(&not_ours, 200_000).expect("made to be right");
    eprintln!("too short: {} ns", run.duration.as_nanos());
}
