//! `include`: which files are read, in which order, what they may say, and where a mistake is.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::daemon::{Daemon, free_address};
use dns64_tests::in_process::Query;
use dns64_tests::netns::Scratch;
use dns64_tests::reply::Reply;
use serde_json::{Value, json};

use super::{check, files, refusal};

/// The beginning of a first file.
const FIRST: &str = "include = [\"conf.d/*.toml\"]\n[upstream]\nservers = [\"192.0.2.53\"]\n";

/// The names of views of a configuration that is accepted, and the files that it is from.
fn accepted(scratch: &Scratch) -> (Vec<String>, Vec<String>) {
    let output = check(scratch.path(), &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["ok"], true, "{report:#}");
    let texts = |list: &Value, key: Option<&str>| {
        let list = list.as_array().expect("a list").iter();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        list.map(|value| text(key.map_or(value, |key| &value[key]))).collect()
    };
    let summary = &report["summary"];
    (texts(&summary["views"], Some("name")), texts(&summary["included"], None))
}

/// A view with a prefix of its own.
fn view(name: &str, network: u8) -> String {
    format!("[[view]]\nname = \"{name}\"\nclients = [\"10.{network}.0.0/16\"]\n")
}

// ---- What is read

#[test]
fn files_are_read_in_the_order_of_their_names_and_are_one_configuration() {
    let scratch = files(&[
        ("dns64d.toml", &format!("{FIRST}{}", view("first", 1))),
        ("conf.d/20-south.toml", &view("south", 3)),
        ("conf.d/10-north.toml", &format!("[dns64]\nhold_ms = 7\n{}", view("north", 2))),
        // These are none of the files that are meant.
        ("conf.d/.hidden.toml", "no = 1"),
        ("conf.d/30-off.toml.bak", "no = 1"),
        ("conf.d/README", "no = 1"),
        ("conf.d/deeper/40.toml", "no = 1"),
    ]);
    let (views, included) = accepted(&scratch);
    assert_eq!(views, ["default", "first", "north", "south"]);
    assert_eq!(included, ["conf.d/10-north.toml", "conf.d/20-south.toml"]);
    let output = check(scratch.path(), &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("included  conf.d/10-north.toml\n"), "{said}");
}

#[test]
fn the_list_decides_which_comes_first_and_a_file_is_read_once() {
    let list =
        "include = [\"conf.d/20.toml\", \"conf.d/*.toml\", \"*.toml\", \"./conf.d/10.toml\"]\n";
    let scratch = files(&[
        ("dns64d.toml", list),
        ("conf.d/10.toml", &view("ten", 1)),
        ("conf.d/20.toml", &view("twenty", 2)),
        ("more.toml", &view("more", 3)),
    ]);
    let (views, included) = accepted(&scratch);
    assert_eq!(views, ["default", "twenty", "ten", "more"]);
    assert_eq!(included, ["conf.d/20.toml", "conf.d/10.toml", "more.toml"]);
}

#[test]
fn a_directory_may_be_empty_and_a_table_may_be_in_several_files() {
    let scratch = files(&[("dns64d.toml", FIRST), ("conf.d/README", "")]);
    assert_eq!(accepted(&scratch).1.len(), 0);
    let scratch = files(&[
        ("dns64d.toml", &format!("{FIRST}[limits]\nrate = 10\n")),
        ("conf.d/a.toml", "limits = { rate_slip = 3 }\n[upstream]\nbudget_ms = 3000\n"),
        ("conf.d/b.toml", "[limits]\nrate_burst = 30\n"),
    ]);
    assert_eq!(accepted(&scratch).1.len(), 2);
    // Each of them counts: without the rate of the first the burst would mean nothing.
    let output = check(scratch.path(), &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["warnings"], json!([]));
}

#[test]
fn a_relative_path_starts_at_the_file_that_it_is_in() {
    let anchor = format!(". IN DS 1 13 2 {}\n", "00".repeat(32));
    let scratch = files(&[
        ("dns64d.toml", FIRST),
        (
            "conf.d/rules.toml",
            "[[rpz]]\nname = \"block.\"\nfile = \"zone\"\n[script]\nfile = \"hooks.lua\"\n\
             [dnssec]\nmode = \"validate\"\ntrust_anchors = \"anchors\"\n",
        ),
        ("conf.d/zone", "bad.example.block. 300 IN CNAME .\n"),
        ("conf.d/hooks.lua", "function preresolve(dq) return false end\n"),
        ("conf.d/anchors", &anchor),
    ]);
    let _accepted = accepted(&scratch);
    let output = check(scratch.path(), &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("rpz       block.: 1 triggers"), "{said}");
    assert!(said.contains("script    conf.d/hooks.lua"), "{said}");
}

// ---- What is refused

#[test]
fn every_mistake_is_told_with_the_file_and_place_that_it_is_at() {
    let scratch = files(&[
        ("dns64d.toml", &format!("{FIRST}[log]\nlevel = \"loud\"\n")),
        ("conf.d/a.toml", "# A remark.\n[limits]\nrate = \"fast\"\nspeed = 1\n"),
        (
            "conf.d/b.toml",
            "[[view]]\nname = \"\u{e4}\"\n[[forward]]\nzone = \"a..b\"\nservers = []\n",
        ),
    ]);
    assert_eq!(
        refusal(&scratch),
        [
            "dns64d.toml:5:9: log.level: \"loud\" is not one of \"error\", \"warn\", \"info\", \
             \"debug\", \"trace\"",
            "conf.d/a.toml:3:8: limits.rate: expected a whole number, found a string",
            "conf.d/a.toml:4:1: limits.speed: unknown key",
            "  hint: known here: udp_payload, inflight, inflight_per_client, tcp_clients, \
             tcp_per_client, tcp_idle_ms, tcp_pipeline, rate, rate_burst, rate_slip",
            "conf.d/b.toml:1:1: view[0].clients: this key is missing",
            "conf.d/b.toml:4:8: forward[0].zone: \"a..b\" is not a domain name: a label of a \
             domain name is empty",
            "  hint: write it as in \"corp.example.\"; \".\" is the root",
            "conf.d/b.toml:5:11: forward[0].servers: there is no server to ask",
        ]
    );
    let output = check(scratch.path(), &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let error = &report["errors"][1];
    assert_eq!((&error["file"], &error["line"]), (&json!("conf.d/a.toml"), &json!(3)));
}

#[test]
fn a_warning_names_the_file_too() {
    let scratch =
        files(&[("dns64d.toml", FIRST), ("conf.d/a.toml", "\n[limits]\nrate_burst = 30\n")]);
    let output = check(scratch.path(), &[]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stderr);
    let warning =
        "warning: conf.d/a.toml:3:14: limits.rate_burst: this means nothing without a rate";
    assert!(said.contains(warning), "{said}");
}

#[test]
fn a_key_with_two_values_is_refused_with_both_places() {
    let scratch = files(&[
        ("dns64d.toml", &format!("{FIRST}[dns64]\nprefixes = [\"64:ff9b::/96\"]\nhold_ms = 1\n")),
        ("conf.d/a.toml", "listen = [\"127.0.0.1:53\"]\n[dns64]\n  hold_ms = 2\n"),
        ("conf.d/b.toml", "listen = [\"[::1]:53\"]\ndns64 = { prefixes = [] }\n[log]\n"),
        ("conf.d/c.toml", "log = 3\n[[upstream]]\n"),
    ]);
    let hint = "  hint: keep it in one of the files";
    let said = refusal(&scratch);
    let errors: Vec<&str> = said.iter().map(String::as_str).filter(|line| *line != hint).collect();
    assert_eq!(
        errors,
        [
            "conf.d/a.toml:3:3: dns64.hold_ms: this key has its value at dns64d.toml:6:1",
            "conf.d/b.toml:1:1: listen: this key has its value at conf.d/a.toml:1:1",
            "conf.d/b.toml:2:11: dns64.prefixes: this key has its value at dns64d.toml:5:1",
            "conf.d/c.toml:1:1: log: this key has its value at conf.d/b.toml:3:2",
            "conf.d/c.toml:2:3: upstream: this key has its value at dns64d.toml:2:2",
        ]
    );
}

#[test]
fn lists_that_are_empty_or_of_other_than_tables_are_values_like_others() {
    for (first, second, goes_on) in [
        ("drop = []", "drop = []", false),
        ("drop = [\"192.0.2.1\"]", "drop = [\"192.0.2.2\"]", false),
        ("dns64.prefixes = [\"2001:db8::/96\"]", "dns64.prefixes = [\"2001:db9::/96\"]", false),
        (
            "[[dns64.prefixes]]\nprefix = \"2001:db8::/96\"",
            "[[dns64.prefixes]]\nprefix = \"2001:db9::/96\"",
            true,
        ),
    ] {
        let scratch = files(&[
            ("dns64d.toml", "include = [\"a.toml\", \"b.toml\"]\n"),
            ("a.toml", first),
            ("b.toml", second),
        ]);
        let output = check(scratch.path(), &[]);
        assert_eq!(output.status.success(), goes_on, "{second}: {output:?}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_where_it_is_named() {
    let scratch = files(&[("conf.d/ok.toml", ""), ("sub/README", "")]);
    fs::create_dir(scratch.path().join("conf.d/dir.toml")).expect("a directory");
    fs::write(scratch.path().join("latin.toml"), b"# \xe4\n").expect("a file");
    let fifo = scratch.path().join("fifo.toml");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a pipe");
    std::os::unix::fs::symlink("nowhere", scratch.path().join("sub/dangling.toml"))
        .expect("a link");
    for (list, place, why) in [
        (
            "[\"gone.toml\"]",
            "1:12: include[0]",
            "gone.toml cannot be read: No such file or directory",
        ),
        ("[\n  \"latin.toml\"]", "2:3: include[0]", "latin.toml is not UTF-8 text"),
        ("[\"conf.d/*.toml\"]", "1:12: include[0]", "conf.d/dir.toml is no file"),
        ("[\"fifo.toml\"]", "1:12: include[0]", "fifo.toml is no file"),
        ("[\"sub/*.toml\"]", "1:12: include[0]", "sub/dangling.toml cannot be read: No such file"),
        (
            "[\"nowhere/*.toml\"]",
            "1:12: include[0]",
            "nowhere cannot be read: No such file or directory",
        ),
        ("[\"*/a.toml\"]", "1:12: include[0]", "a pattern for directories"),
        ("[\"a[b.toml\"]", "1:12: include[0]", "\"a[b.toml\" is no pattern"),
        ("[\"/\"]", "1:12: include[0]", "\"/\" names no file"),
        ("[7]", "1:12: include[0]", "expected a string, found an integer"),
        ("\"conf.d/*.toml\"", "1:11: include", "expected an array, found a string"),
    ] {
        scratch.write("dns64d.toml", &format!("include = {list}\n"));
        let said = refusal(&scratch);
        let expected = format!("dns64d.toml:{place}: {why}");
        assert!(said[0].starts_with(&expected), "{list}: {said:?}");
    }
}

#[test]
fn an_included_file_includes_no_others() {
    let scratch = files(&[
        ("dns64d.toml", FIRST),
        ("conf.d/a.toml", "workers = 1\ninclude = [\"b.toml\"]\n"),
    ]);
    assert_eq!(
        refusal(&scratch),
        [
            "conf.d/a.toml:2:1: include: a file that is included includes no others",
            "  hint: name the files in the first one",
        ]
    );
}

#[test]
fn mistakes_of_syntax_are_told_of_every_file() {
    let scratch = files(&[
        ("dns64d.toml", FIRST),
        ("conf.d/a.toml", "workers = \n"),
        ("conf.d/b.toml", "[log]\nlevel = info\n"),
    ]);
    let said = refusal(&scratch);
    assert!(said.iter().any(|line| line.starts_with("conf.d/a.toml:1:")), "{said:?}");
    assert!(said.iter().any(|line| line.starts_with("conf.d/b.toml:2:")), "{said:?}");
}

// ---- While it runs

/// How long a reply may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The AAAA of a name that has an A alone.
fn synthesized(server: SocketAddr) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.connect(server).expect("loopback");
    socket.set_read_timeout(Some(PATIENCE)).expect("a valid time");
    let question = "a-192-0-2-1--ttl300.v4.test. AAAA";
    socket.send(&Query::of(question).octets()).expect("loopback");
    let mut buffer = vec![0; 4_096];
    let len = socket.recv(&mut buffer).expect("a reply in time");
    buffer.truncate(len);
    let reply = Reply::parse(buffer).expect("a message");
    reply.answer.iter().map(|record| record.text.clone()).collect()
}

#[test]
fn a_reload_takes_up_files_that_are_new_and_lets_go_of_those_that_are_gone() {
    let upstream = Upstream::start("127.0.0.1:0".parse().expect("an address"), Options::default())
        .expect("a free port");
    let address = free_address();
    let scratch = files(&[("conf.d/README", "")]);
    let text = format!(
        "include = [\"conf.d/*.toml\"]\nlisten = [\"{address}\"]\nworkers = 2\n[upstream]\n\
         servers = [\"{}\"]\n[datapath]\nmode = \"socket\"\n",
        upstream.local_addr()
    );
    let daemon = Daemon::start(&scratch, None, &text);
    assert!(synthesized(address).ends_with("64:ff9b::c000:201"));

    scratch.write("conf.d/site.toml", "[dns64]\nprefixes = [\"2001:db8:1::/96\"]\n");
    let output = daemon.ctl(&["reload", "--diff"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("dns64.prefixes\n  + [\"2001:db8:1::/96\"]"), "{said}");
    assert!(synthesized(address).ends_with("64:ff9b::c000:201"), "it was only asked what would be");
    assert!(daemon.ctl(&["reload"]).status.success());
    assert!(synthesized(address).ends_with("2001:db8:1::c000:201"));

    // A mistake in one of the files changes nothing, wherever it is.
    scratch.write("conf.d/twice.toml", "# Again.\n[dns64]\nprefixes = [\"2001:db8:2::/96\"]\n");
    let output = daemon.ctl(&["reload"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let conflict = "twice.toml:3:1: dns64.prefixes: this key has its value at";
    assert!(said.contains(conflict) && said.contains("site.toml:2:1"), "{said}");
    assert!(synthesized(address).ends_with("2001:db8:1::c000:201"));

    fs::remove_file(scratch.path().join("conf.d/site.toml")).expect("it is there");
    assert!(daemon.ctl(&["reload"]).status.success());
    assert!(synthesized(address).ends_with("2001:db8:2::c000:201"));
}
