//! Reloads while many ask.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dns64_tests::in_process::Query;
use dns64_tests::reply::Reply;

use crate::{World, answer};

/// Reloads of one run.
const RELOADS: usize = 40;

/// The time from one to the next.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a client waits before it counts a reply as lost.
const WAIT: Duration = Duration::from_secs(8);

/// Two configurations that share no prefix, each with two: an answer has both of one, or is mixed.
const CONFIGURATIONS: [[&str; 2]; 2] =
    [["2001:db8:a::/96", "2001:db8:b::/96"], ["2001:db8:c::/96", "2001:db8:d::/96"]];

/// A configuration by its place.
fn configuration(place: usize) -> String {
    let [first, second] = CONFIGURATIONS[place % 2];
    format!("[dns64]\nprefixes = [\"{first}\", \"{second}\"]\n")
}

/// Which configuration an answer of two addresses is of.
fn of(records: &[String]) -> Option<usize> {
    let has = |prefix: &str| {
        let start = format!(" {}", prefix.trim_end_matches("/96"));
        records.iter().any(|record| record.contains(&start))
    };
    let whole = |place: &usize| CONFIGURATIONS[*place].iter().all(|prefix| has(prefix));
    let none = |place: usize| !CONFIGURATIONS[place].iter().any(|prefix| has(prefix));
    (0..2).find(|place| whole(place) && none(1 - place) && records.len() == 2)
}

/// Asks again and again for cached names, new ones and slow ones; how many replies there were.
fn ask_on(world: &World, client: u8, ends: &AtomicBool) -> usize {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, client), 0)).expect("a port is free");
    socket.connect(world.address).expect("loopback");
    socket.set_read_timeout(Some(WAIT)).expect("a valid time");
    let mut replies = 0;
    let mut buffer = vec![0; 4_096];
    for round in 0_usize.. {
        if ends.load(Ordering::Relaxed) {
            break;
        }
        let name = match round % 4 {
            0 | 1 => format!("a-192-0-2-{}--ttl300.v4.test. AAAA", round % 7),
            2 => format!("a-192-0-2-1.n{round}.c{client}.v4.test. AAAA"),
            _ => format!("a-192-0-2-1--d30.n{round}.c{client}.v4.test. AAAA"),
        };
        socket.send(&Query::of(&name).octets()).expect("loopback");
        let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("lost: {name}: {error}"));
        let reply = Reply::parse(buffer[..len].to_vec()).expect("a message");
        let records: Vec<String> = reply.answer.iter().map(|record| record.text.clone()).collect();
        assert!(of(&records).is_some(), "{name}: {records:?}");
        replies += 1;
    }
    replies
}

#[test]
fn forty_reloads_lose_no_reply_and_mix_none() {
    let world = World::start(&configuration(0));
    let ends = AtomicBool::new(false);
    let replies: usize = std::thread::scope(|scope| {
        let (world, ends) = (&world, &ends);
        let clients: Vec<_> =
            (1..=4).map(|client| scope.spawn(move || ask_on(world, client, ends))).collect();
        let mut next = Instant::now();
        for reload in 1..=RELOADS {
            next += PAUSE;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            world.write(&configuration(reload));
            assert_eq!(world.reload()["epoch"], reload);
            // From the reply on nothing is answered by the configuration before.
            let records = answer(&world.send("a-192-0-2-1--ttl300.v4.test. AAAA"));
            assert_eq!(of(&records), Some(reload % 2), "{records:?}");
        }
        ends.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().expect("no reply was lost")).sum()
    });
    assert!(replies > RELOADS * 4, "{replies}");
    // What was given up with an engine has been counted all the same.
    let stats = world.daemon.json("stats");
    let count = |key: &str| stats[key]["total"].as_u64().expect("a count");
    assert_eq!(count("queries"), (replies + RELOADS) as u64);
    assert_eq!(count("responses") + count("drops"), count("queries"));
    assert_eq!(count("drops"), 0, "{stats:#}");
}
