//! More queries than can be answered: those that need nobody's help are answered still, and memory,
//! files and threads stay what they were.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant};

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::netns::serial;

use crate::client::{Many, addresses, ask, ask_many, read};
use crate::message::rtype;
use crate::responder::{Responder, Settings};

const MISSES: usize = 200_000;
const HITS: usize = 20_000;
const HOT_NAMES: usize = 100;
/// `cache.size` of the test's configuration.
const CACHE_OCTETS: u64 = 16 << 20;
/// What the program may take beside its cache.
const REST_OCTETS: u64 = 64 << 20;

fn hot_name(number: usize) -> String {
    format!("a-198-51-100-{}--ttl3600.hot.test", number % HOT_NAMES)
}

#[test]
fn a_flood_of_random_names_does_not_drown_names_that_are_cached_nor_take_memory() {
    let _machine = serial();
    let listen = "127.0.0.1:0".parse().expect("valid");
    let options = Options { delay_ms: 5, ..Options::default() };
    let upstream = Upstream::start(listen, options).expect("starts");
    let settings = Settings { cache: "size = \"16MiB\"\nprefetch = false", ..Settings::default() };
    let mut responder = Responder::start_with(&[upstream.local_addr()], settings);
    let address = responder.address();
    let assert_memory = |responder: &Responder, when: &str| {
        let resident = responder.resident_octets();
        let limit = CACHE_OCTETS + REST_OCTETS;
        assert!(resident <= limit, "{when}: {} MiB", resident >> 20);
    };
    // Each worker learns the hot names, and opens its sockets.
    ask_many(address, Many::default(), rtype::A, 1_000, |n| format!("a-1-2-3-4.warm{n}.test"));
    for _ in 0..20 {
        ask_many(address, Many::default(), rtype::A, HOT_NAMES, hot_name);
    }
    assert_memory(&responder, "before");
    let (files, threads) = (responder.open_files(), responder.threads());

    let mut peak = 0;
    let hits = thread::scope(|scope| {
        // More at a time than one client may have under way.
        let flood = Many {
            from: Ipv4Addr::new(127, 0, 0, 66),
            window: 1_500,
            patience: Duration::from_secs(3),
        };
        let flood = scope.spawn(move || {
            ask_many(address, flood, rtype::A, MISSES, |n| format!("x{n}.random.test"))
        });
        let hits = scope.spawn(move || {
            let mut outcomes = Vec::with_capacity(HITS);
            let hot = Many { window: 8, patience: Duration::from_secs(2), ..Many::default() };
            // In step with the flood, ten to one, as far as two programs can be.
            for _ in 0..HITS / 500 {
                outcomes.extend(ask_many(address, hot, rtype::A, 500, hot_name));
                thread::sleep(Duration::from_millis(100));
            }
            outcomes
        });
        while !flood.is_finished() {
            peak = peak.max(responder.resident_octets());
            thread::sleep(Duration::from_millis(50));
        }
        let _misses = flood.join().expect("no panic");
        hits.join().expect("no panic")
    });
    let right = hits
        .iter()
        .enumerate()
        .filter(|(number, outcome)| {
            let expected = IpAddr::from([198, 51, 100, (number % 500 % HOT_NAMES) as u8]);
            outcome.reply.clone().is_some_and(|octets| addresses(&read(octets)) == [expected])
        })
        .count();
    assert!(right * 1_000 >= HITS * 999, "{right} of {HITS} hits were answered");
    assert!(peak <= CACHE_OCTETS + REST_OCTETS, "during the flood: {} MiB", peak >> 20);
    assert_memory(&responder, "after");
    assert_eq!(responder.threads(), threads);
    // Retired source ports close after twelve seconds.
    let deadline = Instant::now() + Duration::from_secs(30);
    while responder.open_files() > files {
        assert!(Instant::now() < deadline, "{} files, {files} before", responder.open_files());
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(addresses(&ask(address, &hot_name(7), rtype::A)), [IpAddr::from([198, 51, 100, 7])]);
    responder.assert_alive();
}
