//! The control socket: `dns64ctl` against the real program on loopback, and what others may send
//! it.

mod top;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::cases::Transport;
use dns64_tests::client::exchange;
use dns64_tests::daemon::{Daemon, START_LIMIT, dns64ctl, free_address, spawn};
use dns64_tests::netns::Scratch;
use rustix::process::Signal;
use serde_json::{Value, json};

/// How long anything may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of names that say their own answer.
fn upstream() -> Upstream {
    Upstream::start("127.0.0.1:0".parse().expect("an address"), Options::default())
        .expect("a free port")
}

/// A configuration that asks this server.
fn configuration(upstream: &Upstream) -> (SocketAddr, String) {
    let address = free_address();
    let text = format!(
        "listen = [\"{address}\"]\nworkers = 2\n[upstream]\nservers = [\"{}\"]\n\
         [dns64]\nprefixes = [\"2001:db8:64::/96\"]\n[cache]\nsize = \"4MiB\"\n\
         [datapath]\nmode = \"socket\"\n",
        upstream.local_addr()
    );
    (address, text)
}

/// Asks AAAA of a name and expects a reply.
fn ask(server: SocketAddr, name: &str, transport: Transport) {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 28, 0, 1]);
    let source = "127.0.0.1".parse().expect("an address");
    exchange(&query, source, server, transport, PATIENCE).expect("a reply");
}

/// Sends octets to the socket and reads the first line that comes back.
fn talk(daemon: &Daemon, octets: &[u8]) -> Value {
    let mut stream = UnixStream::connect(&daemon.socket).expect("the socket is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("a valid time");
    stream.write_all(octets).expect("it is read");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a reply");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[test]
fn the_status_says_who_runs_and_how_queries_come_in() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (address, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    let status = daemon.json("status");
    assert_eq!(status["pid"], daemon.server.pid().as_raw_nonzero().get());
    assert_eq!(status["listen"], json!([address.to_string()]));
    assert_eq!(status["workers"], 2);
    assert_eq!(status["steering"], json!({ "by": "flow", "refusal": null }));
    assert_eq!(status["views"][0]["prefixes"], json!(["2001:db8:64::/96"]));
    assert_eq!(status["upstreams"], json!([upstream.local_addr().to_string()]));
    assert!(status["uptime_seconds"].is_u64() && status["version"].is_string(), "{status}");

    let output = daemon.ctl(&["status"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("view       default: 2001:db8:64::/96\n"), "{text}");
    assert!(text.contains("tier       socket\n"), "{text}");
}

#[test]
fn the_counters_of_all_workers_add_up_to_what_was_asked() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (address, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    for number in 1..=20 {
        let name = format!("a-192-0-2-{number}.v4.test");
        ask(address, &name, Transport::Udp);
        ask(address, &name, Transport::Tcp);
    }
    let stats = daemon.json("stats");
    assert_eq!(stats["queries"]["total"], 40);
    assert_eq!(stats["queries"]["udp"]["ipv4"], 20);
    assert_eq!(stats["queries"]["tcp"]["ipv4"], 20);
    assert_eq!(stats["responses"]["total"], 40);
    assert_eq!(stats["drops"]["total"], 0);
    assert_eq!(stats["synthesized"], 40);
    assert_eq!(stats["responses"]["miss"]["NOERROR"], stats["cache"]["misses"]);
    let workers = stats["workers"].as_array().expect("a list");
    let sum: u64 = workers.iter().filter_map(|worker| worker["queries"].as_u64()).sum();
    assert_eq!((workers.len(), sum), (2, 40));
    assert!(stats["cache"]["entries"].as_u64() >= Some(20), "{stats}");

    let output = daemon.ctl(&["stats"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.lines().any(|line| line == "queries.total 40"), "{text}");
}

#[test]
fn a_look_up_names_the_servers_of_the_zone_and_how_they_fare() {
    let (upstream, of_zone) = (upstream(), upstream());
    let scratch = Scratch::new();
    let (address, config) = configuration(&upstream);
    let server = of_zone.local_addr().to_string();
    let forward = format!("[[forward]]\nzone = \"corp.v4.test.\"\nservers = [\"{server}\"]\n");
    let daemon = Daemon::start(&scratch, None, &format!("{config}\n{forward}"));
    ask(address, "a-192-0-2-1.Corp.v4.test", Transport::Udp);
    let look_up = |name: &str| {
        let output = daemon.ctl(&["lookup", name, "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let inside = look_up("www.corp.V4.test");
    assert_eq!(
        inside["zone"].as_str().map(|zone| zone.trim_end_matches('.')),
        Some("corp.V4.test")
    );
    assert_eq!(inside["servers"][0]["server"], server);
    assert_eq!(
        (&inside["servers"][0]["up"], inside["servers"].as_array().map(Vec::len)),
        (&json!(true), Some(1))
    );
    assert!(inside["servers"][0]["queries"].as_u64() >= Some(2), "{inside}");
    assert!(inside["servers"][0]["rtt_us"].is_u64(), "{inside}");
    let outside = look_up("v4.test");
    assert_eq!(outside["zone"], Value::Null);
    assert_eq!(outside["servers"][0]["server"], upstream.local_addr().to_string());
    assert_eq!(outside["servers"][0]["rtt_us"], Value::Null, "nobody has asked it");

    let text =
        String::from_utf8_lossy(&daemon.ctl(&["lookup", "www.corp.v4.test"]).stdout).into_owned();
    assert!(text.contains(&server) && text.contains("[[forward]]"), "{text}");
    let refused = daemon.ctl(&["lookup", "a..b"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

#[test]
fn the_log_level_is_another_until_the_next_reload() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (_, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    assert_eq!(daemon.json("log-level"), json!({ "level": "info", "configured": "info" }));
    let said = |arguments: &[&str]| {
        let output = daemon.ctl(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(said(&["log-level", "error"]), "error, until the next reload, which sets info\n");
    said(&["reload"]);
    assert_eq!(said(&["log-level"]), "info, as the configuration says\n");
    let text = std::fs::read_to_string(&daemon.config).expect("a file");
    std::fs::write(&daemon.config, text.replace("2001:db8:64::", "2001:db8:65::")).expect("a file");
    said(&["log-level", "error"]);
    said(&["reload"]);
    assert!(daemon.server.log().contains("another configuration is in force"));
    assert_eq!(said(&["log-level"]), "info, as the configuration says\n");
    let refused = daemon.ctl(&["log-level", "loud"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("error, warn, info"), "{refused:?}");
}

#[test]
fn what_is_flushed_is_asked_for_again_and_nothing_else() {
    let options = Options { record: true, ..Options::default() };
    let upstream =
        Upstream::start("127.0.0.1:0".parse().expect("an address"), options).expect("a free port");
    let scratch = Scratch::new();
    let (address, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    // Often, so that every worker has a copy.
    let ask_all = || {
        for name in ["a-192-0-2-1.one.test", "a-192-0-2-1.two.test", "a-192-0-2-1.b.two.test"] {
            (0..20).for_each(|_| ask(address, name, Transport::Udp));
        }
    };
    ask_all();
    // A question counts once: on a busy machine it may be asked a second time before its answer.
    let asked_since = |before: usize| {
        let asked = upstream.recorded().split_off(before);
        let questions = asked.into_iter().map(|query| (query.name.to_lowercase(), query.qtype));
        questions.collect::<BTreeSet<_>>().len()
    };
    assert_eq!(asked_since(0), 6, "AAAA and A of each");
    for (arguments, again) in [
        (&["flush", "A-192-0-2-1.one.test"][..], 2),
        (&["flush", "a-192-0-2-1.one.test.", "a"], 2),
        (&["flush", "a-192-0-2-1.one.test", "TXT"], 0),
        (&["flush", "--zone", "two.test"], 4),
        (&["flush", "two.test"], 0),
        (&["flush", "--all"], 6),
    ] {
        let before = upstream.recorded().len();
        let output = daemon.ctl(arguments);
        assert!(output.status.success(), "{output:?}");
        let none = output.stdout == b"0 answers are forgotten\n";
        assert_eq!(none, again == 0, "{output:?}");
        ask_all();
        assert_eq!(asked_since(before), again, "{arguments:?}");
    }
    for (arguments, code, said) in [
        (&["flush"][..], 2, "required"),
        (&["flush", "a.test", "QUERTY"], 2, "QUERTY is no record type"),
        (&["flush", "a..test"], 1, "a..test"),
    ] {
        let output = daemon.ctl(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

/// The lines of JSON that a dump prints.
fn dumped(daemon: &Daemon, arguments: &[&str]) -> Vec<Value> {
    let output = daemon.ctl(&[&["dump-cache", "--json"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    let lines = output.stdout.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a line is JSON")).collect()
}

/// The names and types in a dump, each once.
fn names(answers: &[Value]) -> BTreeSet<(String, String)> {
    let text = |answer: &Value, key: &str| answer[key].as_str().expect("a text").to_owned();
    answers.iter().map(|answer| (text(answer, "name"), text(answer, "type"))).collect()
}

#[test]
fn a_dump_has_every_answer_of_the_caches_and_only_those_that_are_meant() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (address, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    let name = |number: usize| format!("a-192-0-2-{}--ttl{}.v4.test", number % 250, 1_000 + number);
    for number in 0..1_000 {
        ask(address, &name(number), Transport::Udp);
    }
    ask(address, "nx.b.v4.test", Transport::Udp);
    ask(address, "rc2.c.v4.test", Transport::Udp);
    let all = dumped(&daemon, &[]);
    let there = names(&all);
    for number in 0..1_000 {
        for rtype in ["AAAA", "A"] {
            assert!(there.contains(&(name(number) + ".", rtype.to_owned())), "{number} {rtype}");
        }
    }
    let one = dumped(&daemon, &["A-192-0-2-7--ttl1007.v4.test", "AAAA"]);
    assert_eq!(names(&one).len(), 1);
    let answer = &one[0];
    assert_eq!((&answer["outcome"], &answer["class"]), (&json!("nodata"), &json!("IN")));
    assert_eq!(
        (&answer["do"], &answer["cd"], &answer["stale"]),
        (&json!(false), &json!(false), &json!(false))
    );
    assert!(answer["ttl"].as_u64().is_some_and(|ttl| (1..=60).contains(&ttl)), "{answer}");
    let with_a = one.iter().find(|answer| answer["companion"].is_object()).expect("its A");
    let record = &with_a["companion"]["records"][0];
    assert_eq!((&record["type"], &record["data"]), (&json!("A"), &json!("192.0.2.7")));
    let below = names(&dumped(&daemon, &["--zone", "b.v4.test"]));
    assert_eq!(below.len(), 1, "{below:?}");
    assert_eq!(dumped(&daemon, &["nx.b.v4.test"])[0]["outcome"], "nxdomain");
    assert_eq!(dumped(&daemon, &["rc2.c.v4.test", "AAAA"])[0]["outcome"], "failure");
    assert_eq!(dumped(&daemon, &["no.such.test"]), Vec::<Value>::new());

    let output = daemon.ctl(&["dump-cache", "--zone", "v4.test"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let mut addressed = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with(';')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, ttl, "IN", "A", data] = fields[..] else { panic!("{line}") };
        assert!(ttl.parse::<u32>().is_ok_and(|ttl| ttl < 2_000), "{line}");
        assert!(data.starts_with("192.0.2."), "{line}");
        addressed.insert(name);
    }
    assert_eq!(addressed.len(), 1_000, "each name has an A record");
    assert!(text.contains("; nx.b.v4.test. IN AAAA: NXDOMAIN; upstream; worker "), "{text}");
    for (arguments, code, said) in [
        (&["dump-cache", "a.test", "QUERTY"][..], 2, "QUERTY is no record type"),
        (&["dump-cache", "a..test"], 1, "a..test"),
        (&["dump-cache", "a.test", "--zone", "test"], 2, "cannot be used with"),
    ] {
        let output = daemon.ctl(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(said), "{error}");
    }
    let line = br#"{"command":"dump-cache","scope":"all","worker":77}"#;
    let reply = talk(&daemon, &[line, &b"\n"[..]].concat());
    assert!(reply["error"].as_str().is_some_and(|error| error.contains("no worker 77")), "{reply}");
    let line = br#"{"command":"dump-cache","scope":"all","worker":1,"from":4294967295}"#;
    let reply = talk(&daemon, &[line, &b"\n"[..]].concat());
    assert_eq!(reply["result"], json!({ "answers": [], "next": null }));
}

#[test]
fn queries_are_answered_while_the_cache_is_dumped_again_and_again() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (address, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    ask(address, "a-192-0-2-1--ttl5000.v4.test", Transport::Udp);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            for number in 1_000..2_000 {
                let name = format!("a-192-0-2-1--ttl{number}.v4.test");
                ask(address, &name, Transport::Udp);
            }
        });
        let mut dumps = 0;
        while !asking.is_finished() || dumps == 0 {
            let there = names(&dumped(&daemon, &["--zone", "v4.test"]));
            let stays = ("a-192-0-2-1--ttl5000.v4.test.".to_owned(), "A".to_owned());
            assert!(there.contains(&stays), "what is there all the while is in every dump");
            dumps += 1;
        }
    });
    assert_eq!(daemon.json("stats")["drops"]["total"], 0);
}

#[test]
fn the_socket_is_found_by_the_configuration_and_has_its_mode() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (_, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    let config = daemon.config.to_string_lossy();
    let output = dns64ctl(&["status", "--config", &config]);
    assert!(output.status.success(), "{output:?}");
    let mode = fs::metadata(&daemon.socket).expect("the socket is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn the_exit_code_says_whether_the_question_or_the_answer_was_wrong() {
    let scratch = Scratch::new();
    let nowhere = scratch.path().join("none.sock");
    let output = dns64ctl(&["status", "--socket", &nowhere.to_string_lossy()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("none.sock") && said.contains("hint: "), "{said}");
    let without = scratch.write("without.toml", "[upstream]\nservers = [\"192.0.2.53\"]\n");
    let output = dns64ctl(&["stats", "--config", &without.to_string_lossy()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("without.toml") && said.contains("[control]"), "{said}");
    assert_eq!(dns64ctl(&["halt"]).status.code(), Some(2));
}

#[test]
fn what_is_no_request_gets_an_error_and_the_next_one_its_reply() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (_, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    for line in [&b"hello\n"[..], b"{}\n", b"\xff\xfe\n", b"{\"command\":\"halt\"}\n", b"\n"] {
        let reply = talk(&daemon, line);
        assert_eq!(reply["schema"], 1);
        assert!(reply["error"].is_string(), "{reply}");
    }
    // Two requests on one connection, the first of them wrong.
    let mut stream = UnixStream::connect(&daemon.socket).expect("the socket is there");
    stream.write_all(b"no\n{\"command\":\"status\"}\n").expect("it is read");
    let lines: Vec<String> =
        BufReader::new(stream).lines().take(2).map(|line| line.expect("a line")).collect();
    assert!(lines[0].contains("error") && lines[1].contains("result"), "{lines:?}");
}

#[test]
fn a_line_without_end_is_refused_and_closed() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (_, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    let mut stream = UnixStream::connect(&daemon.socket).expect("the socket is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("a valid time");
    stream.write_all(&vec![b'a'; 64 << 10]).expect("it is read");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply and the end");
    assert!(reply.contains("one line of at most 65536 octets"), "{reply}");
    assert!(daemon.ctl(&["status"]).status.success());
}

#[test]
fn silent_connections_do_not_keep_others_out_for_ever() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (_, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    let silent: Vec<UnixStream> =
        (0..16).map(|_| UnixStream::connect(&daemon.socket).expect("taken in")).collect();
    // Each of them has been taken in once the one after the last is told that there is no place.
    let reply = talk(&daemon, b"");
    assert!(reply["error"].as_str().is_some_and(|error| error.contains("16 connections")));
    drop(silent);
    let mut tries = (0..200).map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        daemon.ctl(&["status"]).status.success()
    });
    assert!(tries.any(|served| served), "their places are free again");
}

#[test]
fn a_second_program_does_not_take_the_socket_of_the_first() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (first_address, config) = configuration(&upstream);
    let daemon = Daemon::start(&scratch, None, &config);
    let text = fs::read_to_string(&daemon.config).expect("the file is there");
    let other = text.replace(&first_address.to_string(), &free_address().to_string());
    let other = scratch.write("other.toml", &other);
    let mut second = spawn(None, &other);
    let status = second.wait(START_LIMIT).expect("it ends");
    let log = second.final_log();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("control.socket: ") && log.contains("another process answers"), "{log}");
    assert!(daemon.ctl(&["status"]).status.success(), "the first is not disturbed");
}

#[test]
fn what_a_killed_program_has_left_is_replaced_and_the_end_leaves_nothing() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let (_, config) = configuration(&upstream);
    let mut daemon = Daemon::start(&scratch, None, &config);
    daemon.server.signal(Signal::KILL);
    assert!(daemon.server.wait(PATIENCE).is_some());
    assert!(daemon.socket.exists());
    let mut daemon = Daemon::start(&scratch, None, &config);
    assert!(daemon.ctl(&["status"]).status.success());
    daemon.server.signal(Signal::TERM);
    let status = daemon.server.wait(PATIENCE).expect("it ends");
    assert!(status.success());
    assert!(!daemon.socket.exists());
}
