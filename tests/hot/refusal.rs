//! Refusals given by the program, against those of the engine; and what makes all void.

use std::time::{Duration, Instant};

use dns64::engine::{HotOrder, refusal};
use dns64::publisher::{self, Publisher};
use dns64::sys::clock::Clock;
use dns64_ebpf::abi::{ClientEntry, ClientRule, REFUSED};
use dns64_ebpf::hot::Miss;

use crate::frames::{Edns, Query, frame};
use crate::world::World;
use crate::{
    A, AAAA, NAMES, XDP_PASS, XDP_TX, assert_answers, assert_passes, client, counts, first,
};

/// Has the program refuse all clients that may not ask.
fn refuse(world: &mut World) {
    let strangers = ["2001:db9::/32", "198.51.100.0/24"].map(|network| {
        let network = network.parse().expect("made to be right");
        (network, ClientEntry::new(ClientRule::Refuse, REFUSED))
    });
    world.steering.set_clients(strangers).expect("made to be right");
    world.table.set_refusal(&refusal().expect("it has room"));
}

#[test]
fn every_form_of_a_plain_query_is_refused_with_the_octets_of_the_engine() {
    let Some(mut world) = World::new(1 << 4) else { return };
    refuse(&mut world);
    let before = counts(&mut world).refused();
    let mut asked = 0;
    let longest = ["a"; 63].join(".");
    for name in NAMES.into_iter().chain([&longest[..]]) {
        for from in ["[2001:db9::7]:40000", "198.51.100.7:53"] {
            for (rtype, tag) in [(A, None), (AAAA, Some(7)), (12, None), (250, None)] {
                for edns in [Edns::None, Edns::Plain(512), Edns::Plain(4_096)] {
                    for flags in [0x100, 0x120] {
                        let name = name.to_uppercase();
                        let query = Query { edns, id: 0xabcd, flags, name, rtype };
                        assert_answers(&mut world, &frame(client(from), &query.message(), tag));
                        asked += 1;
                    }
                }
            }
        }
    }
    assert_eq!(counts(&mut world).refused() - before, asked);
}

#[test]
fn what_is_no_name_is_not_refused_but_left_to_user_space() {
    let Some(mut world) = World::new(1 << 4) else { return };
    refuse(&mut world);
    let stranger = client("[2001:db9::7]:40000");
    // The first label says that it is longer, shorter, and no label.
    for len in [5, 3, 8, 64, 127] {
        let mut message = Query::new("four.example", A).message();
        message[12] = len;
        assert_passes(&mut world, &frame(stranger, &message, None), Miss::Form);
    }
    let message = Query::new("four.example", A).message();
    assert_answers(&mut world, &frame(stranger, &message, None));
    // Without a word of what a refusal looks like nobody is refused.
    world.table.set_refusal(&[0; dns64_ebpf::hot::entry::ENTRY_WORDS]);
    assert_passes(&mut world, &frame(stranger, &message, None), Miss::Client);
}

#[test]
fn replies_for_names_under_a_prefix_and_denials_are_those_of_the_engine() {
    const PTR: u16 = 12;
    let Some(mut world) = World::new(1 << 10) else { return };
    // 64:ff9b::198.51.100.1, and 203.0.113.9 likewise.
    let under =
        |last: &str| format!("{last}.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa");
    let names = [(under("1.0.4.6.3.3.6.c"), PTR), (under("9.0.1.7.0.0.b.c"), PTR)];
    let denials =
        [("nx.example", AAAA), ("nx.example", A), ("no.example", AAAA), ("no.example", A)];
    let denials = denials.map(|(name, rtype)| (name.to_owned(), rtype));
    for (name, rtype) in names.into_iter().chain(denials) {
        let query = Query::new(&name, rtype);
        assert!(world.heat(first(), &query.message()), "{name} {rtype}");
        for edns in [Edns::None, Edns::Plain(512), Edns::Plain(4_096)] {
            let query = Query { edns, name: name.to_uppercase(), ..query.clone() };
            assert_answers(&mut world, &frame(first(), &query.message(), None));
            assert_answers(&mut world, &frame(client("192.0.2.7:999"), &query.message(), Some(9)));
        }
        let other = frame(crate::other(), &query.message(), None);
        assert_passes(&mut world, &other, Miss::Absent);
    }
}

#[test]
fn after_a_flush_only_publications_of_the_new_generation_are_given() {
    let Some(mut world) = World::new(1 << 4) else { return };
    let query = Query::new("six1.example", AAAA).message();
    assert!(world.heat(first(), &query));
    let framed = frame(first(), &query, None);
    let entry = world.published.pop().expect("it is hot");
    let World { table, steering, .. } = world;
    let action = || steering.program().run_on(&framed, 1).expect("made to be right").action;
    let orders = publisher::orders();
    let publisher = Publisher::start(table, orders.clone(), Clock::start()).expect("a thread");
    let flusher = publisher.flusher().expect("it runs");
    assert_eq!(action(), XDP_TX);
    assert_eq!(flusher.flush(), Some(2));
    assert_eq!(action(), XDP_PASS, "at once");
    // A worker that has not heard of it yet.
    orders.push(HotOrder::Publish(entry)).expect("there is room");
    while !orders.is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(flusher.flush(), Some(3), "the order before it is carried out");
    assert_eq!(action(), XDP_PASS);
    let mut renewed = entry;
    renewed[dns64_ebpf::hot::entry::END] += 2;
    orders.push(HotOrder::Publish(renewed)).expect("there is room");
    let deadline = Instant::now() + Duration::from_secs(20);
    while action() != XDP_TX {
        assert!(Instant::now() < deadline, "it is not given");
    }
    assert_eq!(publisher.stop().published, 1);
    assert_eq!((flusher.flush(), action()), (None, XDP_PASS));
}
