//! Reloads while queries come, in every tier: nothing is lost, and no answer is of two
//! configurations.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use dns64_bench::load::verify::Rules;
use dns64_tests::program::dns64d;
use rustix::process::Signal;

use super::load::{PREFIX, prefix, under_load_by};
use super::{AUTO, LIMITS, every_query_is_accounted_for};
use crate::faults::wait_for_count;
use crate::network::{Books, LIMIT, Network, V4, V6, stop};

/// Reloads of one run, if `DNS64_RELOADS` does not say otherwise: 600 are a minute of them.
const RELOADS: usize = 15;

/// Time from one to the next.
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

/// Reloads again and again under load; what the program says at its end.
fn reloads_under_load(workers: u32, address: &str, datapath: &str) -> Option<Books> {
    let network = Network::new()?;
    let reloads = std::env::var("DNS64_RELOADS").ok().and_then(|count| count.parse().ok());
    let reloads = reloads.unwrap_or(RELOADS);
    let config = network.config(workers, datapath, LIMITS);
    let plain = fs::read_to_string(&config).expect("it is there");
    fs::write(&config, text(&plain, 0)).expect("it can be written");
    let mut server = network.responder.spawn(dns64d(), &["--config", &config]);
    server.wait_for(" ready ", LIMIT);
    let either = rules(0, Some(Box::new(rules(1, None))));
    let brought = under_load_by(either, &network, address, 8, |load| {
        for number in 1..=reloads {
            let since = Instant::now();
            fs::write(&config, text(&plain, number % 2)).expect("it can be written");
            server.signal(Signal::HUP);
            wait_for_count(&server, IN_FORCE, number);
            thread::sleep(PAUSE.saturating_sub(since.elapsed()));
        }
        load.wait_for_answers(load.rate() / 2);
    });
    brought.is_right(Duration::ZERO);
    let books = stop(server);
    every_query_is_accounted_for(&books);
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
