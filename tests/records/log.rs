//! The query log.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use dns64_tests::daemon::{free_address, spawn};
use dns64_tests::netns::Scratch;
use rustix::process::Signal;
use serde_json::Value;

use crate::world::{Client, PATIENCE, World, configuration};

/// The lines of a file.
fn lines(world: &World, file: &str) -> Vec<String> {
    let path = world.scratch.path().join(file);
    let text = fs::read_to_string(&path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn every_reply_is_a_line_with_what_came_of_the_query() {
    let more = "[query_log]\nfile = \"SCRATCH/queries.log\"\n";
    let mut world = World::start(more);
    let mut client = Client::new("127.0.0.1", world.address);
    client.ask("a-192-0-2-1.v4.test");
    let port = client.ask_by_tcp("a-192-0-2-1.v4.test");
    client.ask("nx.v4.test");
    client.ask("ipv4only.arpa");
    let mut stranger = Client::new("127.0.0.9", world.address);
    stranger.ask("a-192-0-2-1.v4.test");
    world.stop();
    let lines = lines(&world, "queries.log");
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
    let ours = format!("127.0.0.1#{}", client.port());
    let theirs = format!("127.0.0.9#{}", stranger.port());
    let tcp = format!("127.0.0.1#{port}");
    let under = "2001:db8:64::/96";
    for wanted in [
        [&ours, "udp", "a-192-0-2-1.v4.test.", "AAAA", "NOERROR", "miss", under],
        [&tcp, "tcp", "a-192-0-2-1.v4.test.", "AAAA", "NOERROR", "hit", under],
        [&ours, "udp", "nx.v4.test.", "AAAA", "NXDOMAIN", "miss", "-"],
        [&ours, "udp", "ipv4only.arpa.", "AAAA", "NOERROR", "local", under],
        [&theirs, "udp", "a-192-0-2-1.v4.test.", "AAAA", "REFUSED", "policy", "-"],
    ] {
        // Each worker has a cache: by TCP it may be the other one that is asked.
        let is_like = |row: &&Vec<&str>| {
            let told = [row[1], row[2], row[3], row[4], row[5], row[6], row[8]];
            let source = told[5] == wanted[5] || (told[1] == "tcp" && told[5] == "miss");
            source && told[..5] == wanted[..5] && told[6] == wanted[6]
        };
        let row = rows.iter().find(is_like).unwrap_or_else(|| panic!("{wanted:?}: {lines:#?}"));
        assert!(row[0].len() == 27 && row[0].ends_with('Z'), "{row:?}");
        let seconds: f64 = row[7].parse().expect("a number");
        assert!((0.0..30.0).contains(&seconds), "{row:?}");
    }
}

#[test]
fn no_name_can_forge_a_line_and_no_anonymous_client_is_named() {
    let more = "[query_log]\nfile = \"SCRATCH/queries.log\"\nformat = \"json\"\nanonymise = true\n";
    let mut world = World::start(more);
    let mut client = Client::new("127.0.0.1", world.address);
    client.ask("a\n{\"time\":\"forged\"} \u{1b}[2J.v4.test");
    world.stop();
    let lines = lines(&world, "queries.log");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let line: Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(line["name"], "a\\010{\"time\":\"forged\"}\\032\\027[2J.v4.test.");
    assert_eq!(line["client"], "127.0.0.0/24");
    assert!(!lines[0].contains(&client.port().to_string()), "{lines:?}");
    assert_eq!((&line["transport"], &line["type"]), (&"udp".into(), &"AAAA".into()));
}

#[test]
fn a_file_that_is_moved_away_is_made_anew_on_a_signal_and_no_line_is_lost() {
    let more = "[query_log]\nfile = \"SCRATCH/queries.log\"\n";
    let mut world = World::start(more);
    let mut client = Client::new("127.0.0.1", world.address);
    let path = |name: &str| world.scratch.path().join(name);
    let (current, before, first) = (path("queries.log"), path("queries.1"), path("queries.2"));
    let is_there = |path: &std::path::Path| {
        let deadline = Instant::now() + PATIENCE;
        while !path.exists() {
            assert!(Instant::now() < deadline, "{} is not made", path.display());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    client.ask("a-192-0-2-1.v4.test");
    fs::rename(&current, &first).unwrap();
    world.daemon.server.signal(Signal::USR1);
    is_there(&current);
    client.ask("a-192-0-2-2.v4.test");
    fs::rename(&current, &before).unwrap();
    world.daemon.server.signal(Signal::HUP);
    is_there(&current);
    client.ask("a-192-0-2-3.v4.test");
    world.stop();
    let mut names = BTreeMap::new();
    for (number, file) in ["queries.2", "queries.1", "queries.log"].into_iter().enumerate() {
        for line in lines(&world, file) {
            let name = line.split(' ').nth(3).unwrap_or_default().to_owned();
            assert_eq!(names.insert(name, number), None, "twice: {line}");
        }
    }
    let expected = (1..=3).map(|number| (format!("a-192-0-2-{number}.v4.test."), number - 1));
    assert_eq!(names, expected.collect());
}

#[test]
fn a_full_disk_costs_lines_and_no_answers() {
    let mut world = World::start("[query_log]\nfile = \"/dev/full\"\n");
    let mut client = Client::new("127.0.0.1", world.address);
    for number in 1..=50 {
        assert_eq!(client.ask(&format!("a-192-0-2-{number}.v4.test"))[3] & 15, 0);
    }
    world.wait_for_all("query_log", 50);
    assert_eq!((world.count("query_log.written"), world.count("query_log.dropped")), (0, 50));
    let log = world.stop();
    assert_eq!(log.matches("lines of the query log are lost").count(), 1, "{log}");
}

#[test]
fn a_file_that_cannot_be_made_is_refused_at_the_start() {
    let scratch = Scratch::new();
    let (listen, upstream) = (free_address(), free_address());
    let more = "[query_log]\nfile = \"/nowhere/queries.log\"\n";
    let text = configuration(listen, upstream, scratch.path(), more);
    let config = scratch.write("dns64d.toml", &text);
    let mut server = spawn(None, &config);
    let status = server.wait(PATIENCE).expect("it ends");
    let log = server.final_log();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("query_log.file: cannot write to /nowhere/queries.log"), "{log}");
    assert!(log.contains("hint: the directory must be there"), "{log}");
}
