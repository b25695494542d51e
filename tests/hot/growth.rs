//! Large configurations: they are loaded, and answers from them are as right as from small ones.

use std::fmt::Write as _;

use dns64_ebpf::hot::Miss;

use crate::frames::{Query, assert_checksums, datagram, frame, replied};
use crate::world::World;
use crate::{AAAA, XDP_PASS, XDP_TX, assert_answers, assert_passes, client, counts, first};

/// Names that are hot at a time, and entries for them: buckets hold two each.
const NAMES: u32 = 1 << 16;
const ENTRIES: u32 = 1 << 17;

/// Networks of clients: in each of so many /48, the one half may ask and the other may not.
const HALVES: u32 = 50_000;

/// Views with a prefix each: as many as a configuration may have.
const VIEWS: u32 = 1_000;

fn name(number: u32) -> String {
    format!("four1.n{number}.example")
}

#[test]
fn sixty_four_thousand_hot_names_are_answered_inside_xdp() {
    let Some(mut world) = World::new(ENTRIES) else { return };
    for number in 0..NAMES {
        let _published = world.heat(first(), &Query::new(&name(number), AAAA).message());
        if number % 1_024 == 0 {
            world.beat();
        }
    }
    world.beat();
    let mut answered = 0;
    for number in 0..NAMES {
        let query = frame(first(), &Query::new(&name(number), AAAA).message(), None);
        let run = world.run(&query);
        if run.action == XDP_PASS {
            // Two others have its bucket.
            assert_eq!(run.frame, query);
            continue;
        }
        assert_eq!(run.action, XDP_TX, "{}", name(number));
        answered += 1;
        // The engine has forgotten most of them, and asks again.
        if number % 64 == 0 {
            let (client, message) = datagram(&query).expect("made to be right");
            let reply = world.ask(client, &message).expect("a reply");
            assert_eq!(run.frame, replied(&query, &reply), "{}", name(number));
            assert_checksums(&run.frame);
        }
    }
    assert_eq!(counts(&mut world).answers_total(), answered);
    // Of as many names as buckets of two nine in ten have a place.
    assert!(answered > u64::from(NAMES / 20 * 17), "{answered} of {NAMES}");
    // The size of the table is nothing that the verifier has to look at.
    let Some(small) = World::new(16) else { return };
    let verified = |world: &World| world.steering.program().verified_instructions();
    assert_eq!(verified(&small), verified(&world));
}

#[test]
fn a_hundred_thousand_networks_are_looked_up_as_user_space_does() {
    let mut allow = String::new();
    for number in 0..HALVES {
        write!(allow, "\"2001:db8:{number:x}::/49\", ").expect("memory");
    }
    let configuration = format!(
        "allow = [{allow}\"192.0.2.0/25\"]\n[upstream]\nservers = [\"203.0.113.53\"]\n\
         [dns64]\nprefixes = [\"64:ff9b::/96\"]\n"
    );
    let Some(mut world) = World::of(&configuration, 16) else { return };
    let message = Query::new("four1.example", AAAA).message();
    assert!(world.heat(client("[2001:db8:7::1]:4000"), &message));
    for number in (0..HALVES + 1_000).step_by(37) {
        let lower = frame(client(&format!("[2001:db8:{number:x}:7fff::1]:4000")), &message, None);
        if number < HALVES {
            assert_answers(&mut world, &lower);
        } else {
            assert_refused(&mut world, &lower);
        }
        let upper = frame(client(&format!("[2001:db8:{number:x}:8000::1]:4000")), &message, None);
        assert_refused(&mut world, &upper);
    }
    assert_answers(&mut world, &frame(client("192.0.2.127:4000"), &message, None));
    assert_refused(&mut world, &frame(client("192.0.2.128:4000"), &message, None));
}

#[test]
fn a_thousand_prefixes_are_given_to_a_thousand_views() {
    let mut views = String::new();
    for number in 0..VIEWS {
        writeln!(
            views,
            "[[view]]\nname = \"v{number}\"\nclients = [\"2001:db8:{number:x}::/48\"]\n\
             dns64 = {{ prefixes = [\"2001:db8:ff00:{number:x}::/96\"] }}"
        )
        .expect("memory");
    }
    let configuration = format!(
        "allow = [\"2001:db8::/32\"]\n[upstream]\nservers = [\"203.0.113.53\"]\n\
         [dns64]\nprefixes = [\"64:ff9b::/96\"]\n{views}"
    );
    let Some(mut world) = World::of(&configuration, 64 * VIEWS) else { return };
    let from = |view: u32| client(&format!("[2001:db8:{view:x}::7]:4000"));
    for view in 0..VIEWS {
        let message = Query::new(&name(view), AAAA).message();
        assert!(world.heat(from(view), &message), "view {view}");
        let query = frame(from(view), &message, None);
        assert_answers(&mut world, &query);
        let prefix = format!("2001:db8:ff00:{view:x}::").parse::<std::net::Ipv6Addr>();
        let prefix = &prefix.expect("made to be right").octets()[..12];
        let reply = world.run(&query).frame;
        assert!(reply.windows(prefix.len()).any(|octets| octets == prefix), "view {view}");
        // Nobody else gets it.
        let other = frame(from((view + 1) % VIEWS), &message, None);
        assert_passes(&mut world, &other, Miss::Absent);
    }
    assert!(counts(&mut world).answers_total() > u64::from(VIEWS));
}

/// Checks that the program gives no answer to a client, to whom the engine says REFUSED.
fn assert_refused(world: &mut World, query: &[u8]) {
    let before = counts(world).misses(Miss::Client);
    let run = world.run(query);
    assert_eq!((run.action, &run.frame[..]), (XDP_PASS, query));
    assert_eq!(counts(world).misses(Miss::Client), before + 1);
    let (client, message) = datagram(query).expect("made to be right");
    let reply = world.ask(client, &message).expect("a refusal");
    assert_eq!(reply[3] & 15, 5);
}
