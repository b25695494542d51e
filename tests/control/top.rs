//! `dns64ctl top`: what it lists is what was asked meanwhile, by whom and with what outcome.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dns64_tests::cases::Transport;
use dns64_tests::client::exchange;
use dns64_tests::daemon::{Daemon, dns64ctl};
use dns64_tests::netns::Scratch;
use dns64_tests::program::directory;
use serde_json::Value;

use crate::{PATIENCE, configuration, upstream};

/// A name that would clear a terminal and end a line if it were printed as it is.
const HOSTILE: [&[u8]; 3] = [b"a\x1b[2J\n\"", b"v4", b"test"];

/// A question of type AAAA.
fn question(labels: &[&[u8]]) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in labels {
        query.push(label.len() as u8);
        query.extend(*label);
    }
    query.extend([0, 0, 28, 0, 1]);
    query
}

fn ask(server: SocketAddr, source: &str, query: &[u8], transport: Transport) {
    let source: IpAddr = source.parse().expect("an address");
    exchange(query, source, server, transport, PATIENCE).expect("a reply");
}

/// Asks again and again as long as something runs; what that gives.
fn while_asking<T: Send>(round: impl Fn() + Sync, run: impl FnOnce() -> T + Send) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                round();
            }
        });
        let result = run();
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// What a command has printed, which must have gone well.
fn printed(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The lines of a list by what they are about.
fn find<'a>(list: &'a Value, key: &str, wanted: &str) -> &'a Value {
    let lines = list.as_array().expect("a list");
    let found = lines.iter().find(|line| line[key] == wanted);
    found.unwrap_or_else(|| panic!("{wanted} is not in {list:#}"))
}

#[test]
fn the_lists_have_who_asks_most_and_what_and_who_is_refused_or_dropped() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (address, config) = configuration(&upstream);
    let config = format!("allow = [\"127.0.0.0/29\"]\ndrop = [\"127.0.0.16/32\"]\n{config}");
    let daemon = Daemon::start(&scratch, None, &config);
    let often = question(&[b"a-192-0-2-1", b"v4", b"test"]);
    let other_case = question(&[b"A-192-0-2-1", b"V4", b"TEST"]);
    let seldom = question(&[b"a-192-0-2-2", b"v4", b"test"]);
    let hostile = question(&HOSTILE);
    let round = || {
        ask(address, "127.0.0.1", &often, Transport::Udp);
        ask(address, "127.0.0.1", &other_case, Transport::Tcp);
        ask(address, "127.0.0.1", &often, Transport::Udp);
        ask(address, "127.0.0.2", &seldom, Transport::Udp);
        ask(address, "127.0.0.3", &hostile, Transport::Udp);
        ask(address, "127.0.0.9", &often, Transport::Udp);
        let dropped = UdpSocket::bind("127.0.0.16:0").expect("a port");
        dropped.send_to(&often, address).expect("it is sent");
    };
    let (json, text, ends) = while_asking(round, || {
        thread::scope(|scope| {
            let json = scope.spawn(|| printed(daemon.ctl(&["top", "--seconds", "2", "--json"])));
            let text = scope.spawn(|| printed(daemon.ctl(&["top", "--seconds", "2"])));
            let ends = &["top", "--seconds", "2", "--labels", "2", "--names", "--json"];
            let ends = scope.spawn(|| printed(daemon.ctl(ends)));
            let joined = (json.join(), text.join(), ends.join());
            (joined.0.expect("JSON"), joined.1.expect("text"), joined.2.expect("JSON"))
        })
    });
    let top: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(top["seconds"], 2.0);
    assert_eq!(top["names"][0]["name"], "a-192-0-2-1.v4.test.");
    assert_eq!(
        (&top["names"][0]["type"], &top["names"][0]["class"]),
        (&"AAAA".into(), &"IN".into())
    );
    find(&top["names"], "name", "a-192-0-2-2.v4.test.");
    find(&top["names"], "name", r#"a\027[2j\010".v4.test."#);
    assert_eq!(top["clients"][0]["network"], "127.0.0.1/32");
    let refused = find(&top["clients"], "network", "127.0.0.9/32");
    assert!(number(&refused["count"]) > 0, "{refused}");
    assert_eq!((&refused["refused"], &refused["dropped"]), (&refused["count"], &0.into()));
    let dropped = find(&top["clients"], "network", "127.0.0.16/32");
    assert_eq!((&dropped["dropped"], &dropped["refused"]), (&dropped["count"], &0.into()));
    assert_eq!((&top["dropped"], &top["refused"]), (&dropped["count"], &refused["count"]));
    for list in ["names", "clients"] {
        let lines = top[list].as_array().expect("a list");
        let sum: u64 = lines.iter().map(|line| number(&line["count"])).sum();
        assert_eq!(sum, number(&top["queries"]), "each query is in one line: {top:#}");
        assert!(lines.iter().all(|line| line["error"] == 0), "there are few: {top:#}");
        let rate = number(&lines[0]["count"]) as f64 / 2.0;
        assert!((lines[0]["rate"].as_f64().expect("a number") - rate).abs() < 1e-9, "{top:#}");
    }
    assert!(text.contains(r#"a\027[2j\010".v4.test. AAAA"#), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(text.lines().any(|line| line.contains("127.0.0.16, ") && line.ends_with("dropped")));
    let ends: Value = serde_json::from_str(&ends).expect("JSON");
    assert_eq!(
        (&ends["names"][0]["name"], &ends["names"][0]["type"]),
        (&"v4.test.".into(), &Value::Null)
    );
    assert_eq!((&ends["names"][0]["count"], &ends["clients"]), (&ends["queries"], &Value::Null));
}

#[test]
fn four_may_look_at_a_time_and_who_has_gone_makes_room() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (_, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    let look = || {
        let mut stream = UnixStream::connect(&daemon.socket).expect("the socket is there");
        stream.set_read_timeout(Some(PATIENCE)).expect("a valid time");
        stream.write_all(b"{\"command\":\"top\",\"seconds\":4}\n").expect("it is read");
        stream
    };
    let lookers: Vec<UnixStream> = (0..6).map(|_| look()).collect();
    let replies: Vec<Value> = lookers
        .into_iter()
        .map(|stream| {
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).expect("a reply");
            serde_json::from_str(&line).expect("JSON")
        })
        .collect();
    let errors: Vec<&str> = replies.iter().filter_map(|reply| reply["error"].as_str()).collect();
    assert_eq!(errors.len(), 2, "{replies:?}");
    assert!(errors.iter().all(|error| error.contains("4 others are looking")), "{errors:?}");
    (0..4).for_each(|_| drop(look()));
    let deadline = Instant::now() + PATIENCE;
    while !daemon.ctl(&["top", "--seconds", "1"]).status.success() {
        assert!(Instant::now() < deadline, "their time is up");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn who_follows_gets_a_line_of_json_after_each_interval() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (_, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    let mut follower = Command::new(directory().join("dns64ctl"))
        .args(["top", "--follow", "--seconds", "1", "--clients", "--json", "--socket"])
        .arg(&daemon.socket)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines().take(2);
    for line in lines {
        let top: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        assert_eq!((&top["seconds"], &top["names"]), (&1.0.into(), &Value::Null));
        assert_eq!(top["clients"], Value::Array(Vec::new()), "nobody asks");
    }
    follower.kill().expect("it runs");
    follower.wait().expect("it ends");
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    for arguments in [
        &["top", "--seconds", "0"][..],
        &["top", "--seconds", "61"],
        &["top", "--count", "1025"],
        &["top", "--names", "--clients"],
        &["top", "--clients", "--labels", "2"],
        &["top", "--ipv6-prefix-length", "129"],
    ] {
        let output = dns64ctl(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
}
