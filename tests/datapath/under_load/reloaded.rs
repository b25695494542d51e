//! Reloads while queries come, in every tier: each query gets one answer, and none is of two
//! configurations.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use dns64_bench::load::verify::Rules;
use dns64_tests::program::dns64d;
use rustix::process::Signal;

use super::load::{PREFIX, prefix, under_bounded_load};
use super::{AUTO, LIMITS, every_query_is_accounted_for};
use crate::faults::wait_for_count;
use crate::message::{AAAA, query};
use crate::network::{Books, LIMIT, Network, V4, V6, stop};

/// Reloads of one run, if `DNS64_RELOADS` does not say otherwise: 600 are a minute of them.
const RELOADS: usize = 15;

/// Time from one to the next, at least.
const PAUSE: Duration = Duration::from_millis(100);

/// Second prefixes: each configuration has one of them beside [`PREFIX`].
const SECOND: [&str; 2] = ["2001:db8:65::/96", "2001:db8:66::/96"];

/// The line of a reload that has come into force.
const IN_FORCE: &str = "another configuration is in force";

/// What is right under one of the configurations.
fn rules(place: usize, alternative: Option<Box<Rules>>) -> Rules {
    let prefixes = vec![prefix(PREFIX), prefix(SECOND[place])];
    Rules { prefixes, by_name: true, alternative }
}

/// The text of a configuration with other prefixes.
fn text(plain: &str, place: usize) -> String {
    let (before, after) =
        (format!("[\"{PREFIX}\"]"), format!("[\"{PREFIX}\", \"{}\"]", SECOND[place]));
    assert!(plain.contains(&before), "{plain}");
    plain.replace(&before, &after)
}

/// Whether a reply has an address that only this configuration makes.
fn is_of(reply: &[u8], place: usize) -> bool {
    let start = [0x20, 1, 0xd, 0xb8, 0, 0x65 + place as u8, 0, 0, 0, 0, 0, 0];
    reply.windows(start.len()).any(|window| window == start)
}

/// Reloads again and again under load; what the program says at its end.
fn reloads_under_load(workers: u32, address: &str, datapath: &str) -> Option<Books> {
    let network = Network::new()?;
    let reloads = std::env::var("DNS64_RELOADS").ok();
    let reloads = reloads.map_or(RELOADS, |count| count.parse().expect("a number of reloads"));
    let config = network.config(workers, datapath, LIMITS);
    let plain = fs::read_to_string(&config).expect("it is there");
    fs::write(&config, text(&plain, 0)).expect("it can be written");
    let mut server = network.responder.spawn(dns64d(), &["--config", &config]);
    server.wait_for(" ready ", LIMIT);
    let question = query(7, "a-11-22-33-44.v4.test", AAAA);
    let either = rules(0, Some(Box::new(rules(1, None))));
    let brought = under_bounded_load(either, &network, address, 8, |load| {
        for number in 1..=reloads {
            let since = Instant::now();
            let answered = load.answered();
            fs::write(&config, text(&plain, number % 2)).expect("it can be written");
            server.signal(Signal::HUP);
            wait_for_count(&server, IN_FORCE, number);
            // From now on nothing is answered by the configuration before.
            let reply = network.ask(address, &question);
            let (new, old) = (is_of(&reply, number % 2), is_of(&reply, 1 - number % 2));
            assert!(new && !old, "after reload {number}: {reply:x?}");
            thread::sleep(PAUSE.saturating_sub(since.elapsed()));
            if load.answered() == answered {
                // The machine had no time for the load: a reload while nobody asks tries nothing.
                load.wait_for_answers(1);
            }
        }
    });
    brought.is_complete();
    let books = stop(server);
    every_query_is_accounted_for(&books);
    assert_eq!(books.get("drops") + books.get("xsk_full"), 0);
    Some(books)
}

#[test]
fn reloads_lose_nothing_and_mix_nothing_by_sockets() {
    let Some(books) = reloads_under_load(2, V6, "mode = \"socket\"") else { return };
    assert_eq!(books.get("xsk_queries") + books.get("kernel_answers"), 0);
}

#[test]
fn reloads_lose_nothing_and_mix_nothing_by_af_xdp() {
    let Some(books) = reloads_under_load(1, V6, AUTO) else { return };
    assert!(books.get("xsk_queries") > 0);
    assert_eq!(books.get("kernel_answers"), 0);
}

#[test]
fn reloads_lose_nothing_and_mix_nothing_inside_xdp() {
    // Generic mode gives hot answers inside the program.
    let generic = format!("{AUTO}\nattach = \"generic\"");
    let Some(books) = reloads_under_load(1, V4, &generic) else { return };
    assert!(books.get("kernel_answers") > 0, "hot answers are given between reloads");
}
