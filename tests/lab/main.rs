//! The lab of `dns64bench compare`: it comes up, measures what is so, and goes away, whatever ends
//! it. Needs root and Unbound; what is compared are counts, never speed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dns64_bench::lab::generators::GENERATORS;
use dns64_bench::results::{Comparison, Load, Role, SCHEMA_VERSION, Trial, Workload};
use dns64_tests::netns::{Scratch, available, serial};
use dns64_tests::program::{dns64bench, dns64d};
use rustix::process::{Pid, Signal, kill_process};

/// What the lab is made with, and one peer.
const PROGRAMS: [&str; 6] = ["ip", "ethtool", "taskset", "chrt", "setpriv", "unbound"];
/// A comparison as short as it can be.
const TINY: &str = "compare --quick --no-setup --workloads hit --turns 1 --seconds 0.1";
/// What the lab leaves when it is killed.
const STATE: &str = "/run/dns64bench/state.json";
/// Settings that the lab changes.
const SETTINGS: [&str; 3] = ["rmem_max", "wmem_max", "rmem_default"];
/// How long things may take that take a second.
const LIMIT: Duration = Duration::from_secs(60);

/// A comparison, with its results in this directory.
fn comparison(arguments: &str, out: &Path) -> Command {
    let mut command = Command::new(dns64bench());
    command.args(arguments.split(' ')).arg("--dns64d").arg(dns64d());
    command.arg("--out").arg(out).stdin(Stdio::null());
    command
}

/// What a program said that was to end so.
fn said(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// The results in a directory, as the types read them.
fn results(out: &Path) -> Comparison {
    let text = fs::read_to_string(out.join("compare.json")).expect("results");
    serde_json::from_str(&text).expect("results of the form that the types have")
}

/// Namespaces of the lab that are there.
fn namespaces() -> Vec<String> {
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("dns64bench-")).collect()
}

/// The settings as they are.
fn settings() -> [String; 3] {
    SETTINGS.map(|name| fs::read_to_string(format!("/proc/sys/net/core/{name}")).expect(name))
}

/// Fails if anything of a lab is left.
fn assert_gone(settings_before: &[String; 3]) {
    assert_eq!(namespaces(), Vec::<String>::new());
    assert!(!Path::new(STATE).exists());
    assert!(!Path::new("/run/dns64bench/files").exists());
    assert_eq!(settings(), *settings_before);
}

/// A comparison that measures until it is ended; killed if the test fails before.
struct Endless {
    child: Child,
    _out: Scratch,
}

impl Endless {
    /// Starts one, and waits until it measures.
    fn start() -> Self {
        let out = Scratch::new();
        let arguments =
            "compare --no-setup --servers unbound --workloads hit --turns 1 --seconds 600";
        let mut child =
            comparison(arguments, out.path()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut lines = stderr.lines().map_while(Result::ok);
        let mut seen = Vec::new();
        let answers = lines.any(|line| {
            let answers = line.contains("unbound  answers rightly");
            seen.push(line);
            answers
        });
        let endless = Self { child, _out: out };
        assert!(answers, "{seen:?}");
        endless
    }

    /// Sends a signal, and waits for the end.
    fn end(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        // Ended already, if the test went well.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// What the figures of every trial have to be to each other.
fn assert_adds_up(trial: &Trial) {
    let mut trial = trial.clone();
    let histogram = std::mem::take(&mut trial.latency.histogram);
    assert!(trial.sent > 0, "{trial:?}");
    assert_eq!(trial.sent, trial.completed + trial.late + trial.lost, "{trial:?}");
    assert_eq!(trial.rcodes.values().sum::<u64>(), trial.completed, "{trial:?}");
    assert_eq!(trial.answers + trial.failed + trial.wrong, trial.completed, "{trial:?}");
    assert_eq!(trial.wrong, 0, "{trial:?}");
    assert_eq!(trial.latency.count, trial.completed, "{trial:?}");
    let buckets = histogram.iter().map(|bucket| bucket.count);
    assert_eq!(buckets.sum::<u64>(), trial.latency.count, "{trial:?}");
    // Its packets are received on its account.
    assert!(trial.cpu.server_ns > 0 && trial.cpu.napi_ns > 0, "{trial:?}");
    assert!(trial.rss_bytes > 0, "{trial:?}");
    let cost = trial.cpu.total_ns() as f64 / 1e3 / trial.answers as f64;
    let said = trial.cpu_us_per_answer.expect("there are answers");
    assert!((cost - said).abs() < 1e-6 * cost, "{trial:?}");
    if let Some(rate) = trial.rate_qps {
        assert!(trial.sent as f64 <= (rate * 0.1).ceil() + 1.0, "{trial:?}");
    }
}

/// The same of frames, which are judged in XDP: without latencies.
fn assert_frames_add_up(trial: &Trial) {
    assert_eq!(trial.answers + trial.failed + trial.wrong, trial.completed, "{trial:?}");
    assert!(trial.answers > 0 && trial.wrong == 0, "{trial:?}");
    assert!(trial.completed <= trial.sent, "{trial:?}");
    assert!(trial.cpu.napi_ns > 0, "{trial:?}");
}

#[test]
fn a_tiny_comparison_has_counts_that_add_up_and_leaves_nothing_behind() {
    if !available(&PROGRAMS) {
        return;
    }
    let _machine = serial();
    let before = settings();
    let out = Scratch::new();
    let arguments = format!("{TINY} --servers unbound,echo");
    let output = comparison(&arguments, out.path()).output().expect("it starts");
    said(&output, 0);
    assert_gone(&before);

    let results = results(out.path());
    assert_eq!(results.schema_version, SCHEMA_VERSION);
    let servers: Vec<_> =
        results.servers.iter().map(|server| (server.name.as_str(), server.role)).collect();
    let expected = [("dns64d", Role::Subject), ("unbound", Role::Peer), ("echo", Role::Limit)];
    assert_eq!(servers, expected);
    for server in &results.servers {
        assert_eq!(server.left_out, None);
        assert!(server.version.contains('.') && !server.command.is_empty(), "{server:?}");
        let checks = if server.role == Role::Limit { 0 } else { 6 };
        assert_eq!(server.checks.len(), checks);
        assert!(server.checks.iter().all(|check| check.fault.is_none()), "{server:?}");
    }
    for load in [Load::Saturated, Load::Frames, Load::Equal, Load::Part(80)] {
        for (name, role) in expected {
            let trials: Vec<_> = results
                .trials
                .iter()
                .filter(|trial| (trial.load, trial.server.as_str()) == (load, name))
                .collect();
            let takes_part = role != Role::Limit || load != Load::Part(80);
            assert_eq!(trials.len(), usize::from(takes_part), "{name} {load}");
            match trials.first() {
                Some(trial) if load == Load::Frames => assert_frames_add_up(trial),
                Some(trial) => assert_adds_up(trial),
                None => {}
            }
        }
    }
    assert_eq!(results.trials.len(), 11);
    assert_eq!(results.summary.len(), 11);
    assert!(results.trials.iter().all(|trial| trial.workload == Workload::Hit));
    // Everything was asked before, so nobody asks the upstream.
    assert_eq!(results.trials.iter().map(|trial| trial.upstream_queries).sum::<u64>(), 0);
    assert_eq!(results.ratios.len(), 6, "two servers beside dns64d, three loads with pairs");
    let page = fs::read_to_string(out.path().join("RESULTS.md")).expect("a page");
    assert!(page.contains("| Unbound |") && page.contains("0 were wrong"), "{page}");
}

#[test]
fn cold_names_are_resolved_and_overload_is_offered() {
    if !available(&PROGRAMS) {
        return;
    }
    let _machine = serial();
    let out = Scratch::new();
    let arguments =
        "compare --quick --no-setup --workloads cold --turns 1 --seconds 0.1 --servers dns64d";
    let output = comparison(arguments, out.path()).output().expect("it starts");
    said(&output, 0);
    let results = results(out.path());
    let of = |load| results.trials.iter().find(|trial| trial.load == load).expect("a trial");
    let saturated = of(Load::Saturated);
    assert_adds_up(saturated);
    // AAAA and A for each name.
    assert!(saturated.upstream_queries >= 2 * saturated.answers, "{saturated:?}");
    let offered = of(Load::OVERLOAD).rate_qps.expect("a rate");
    let highest = saturated.answers_per_second;
    assert!(offered > 9.0 * highest && offered <= 10.0 * highest, "{offered} {highest}");
}

#[test]
fn limits_below_sockets_and_generators_are_measured_too() {
    if !available(&PROGRAMS) || !available(&["dnsperf", "kxdpgun"]) {
        return;
    }
    let _machine = serial();
    let out = Scratch::new();
    let arguments = format!("{TINY} --servers echo-xdp,reflect");
    said(&comparison(&arguments, out.path()).output().expect("it starts"), 0);
    let results = results(out.path());
    for name in ["echo-xdp", "reflect"] {
        let server = results.servers.iter().find(|server| server.name == name);
        assert_eq!(server.expect("it was to take part").left_out, None, "{name}");
        let trial = results
            .trials
            .iter()
            .find(|trial| (trial.server.as_str(), trial.load) == (name, Load::Equal));
        let trial = trial.expect("a trial");
        assert!(trial.answers > 0 && trial.cpu.napi_ns > 0, "{trial:?}");
    }
    for generator in GENERATORS {
        let runs = results.generators.iter().filter(|run| run.generator == generator.name);
        let (paced, fastest): (Vec<_>, Vec<_>) = runs.partition(|run| run.rate_qps.is_some());
        assert_eq!(fastest.len(), 1, "{}", generator.name);
        assert_eq!(paced.len(), usize::from(generator.says_lateness()), "{}", generator.name);
        assert!(fastest[0].answered <= fastest[0].sent, "{:?}", fastest[0]);
        assert!(fastest[0].cpu.server_ns > 0 && fastest[0].cpu.napi_ns > 0, "{:?}", fastest[0]);
        assert!(paced.iter().all(|run| run.lateness_p99_us.is_some()), "{paced:?}");
    }
}

#[test]
fn two_workers_and_the_tiers_below_sockets_are_measured_with_frames_too() {
    if !available(&PROGRAMS) {
        return;
    }
    let _machine = serial();
    let out = Scratch::new();
    let arguments = format!("{TINY} --names 300 --servers dns64d-two,dns64d-xdp,dns64d-hot");
    said(&comparison(&arguments, out.path()).output().expect("it starts"), 0);
    let results = results(out.path());
    assert_eq!(results.settings.names, 300);
    for name in ["dns64d-two", "dns64d-xdp", "dns64d-hot"] {
        let server = results.servers.iter().find(|server| server.name == name);
        let server = server.expect("it was to take part");
        assert_eq!((server.role, server.left_out.as_deref()), (Role::Tier, None));
        let frames = results
            .trials
            .iter()
            .find(|trial| (trial.server.as_str(), trial.load) == (name, Load::Frames));
        assert_frames_add_up(frames.expect("a trial"));
    }
}

#[test]
fn a_second_run_is_refused_and_an_interrupt_takes_the_first_down() {
    if !available(&PROGRAMS) {
        return;
    }
    let _machine = serial();
    let before = settings();
    let mut first = Endless::start();
    assert!(!namespaces().is_empty());
    assert_ne!(settings(), before);

    let out = Scratch::new();
    let start = Instant::now();
    let second = comparison(TINY, out.path()).output().expect("it starts");
    let text = said(&second, 2);
    let expected =
        format!("another comparison is running on this machine (process {})", first.child.id());
    assert!(text.contains(&expected), "{text}");
    assert!(start.elapsed() < LIMIT);
    assert!(!namespaces().is_empty(), "the first goes on");

    assert_eq!(first.end(Signal::INT), Some(130));
    assert_gone(&before);
}

#[test]
fn what_a_killed_run_left_behind_is_taken_down_by_the_next() {
    if !available(&PROGRAMS) {
        return;
    }
    let _machine = serial();
    let before = settings();
    let mut killed = Endless::start();
    assert_eq!(killed.end(Signal::KILL), None);
    assert!(!namespaces().is_empty() && Path::new(STATE).exists());
    assert_ne!(settings(), before);

    let out = Scratch::new();
    let arguments = format!("{TINY} --servers echo");
    let text = said(&comparison(&arguments, out.path()).output().expect("it starts"), 0);
    assert!(text.contains("taking down the lab of a run that was killed"), "{text}");
    assert_gone(&before);
}

#[test]
fn a_peer_that_answers_wrongly_is_left_out_with_the_reason() {
    if !available(&PROGRAMS) {
        return;
    }
    let _machine = serial();
    let scratch = Scratch::new();
    // It answers what the upstream would, and synthesizes nothing.
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = -V ] && exec echo Version 0.1\n\
         address=$(sed -n 's/^\tinterface: //p' \"$3\")\n\
         exec {} upstream --listen \"[$address]:53\"\n",
        dns64bench().display()
    );
    let unbound = scratch.write("unbound", &script);
    fs::set_permissions(&unbound, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = comparison(&format!("{TINY} --servers unbound"), scratch.path())
        .env("PATH", format!("{}:{path}", scratch.path().display()))
        .output()
        .expect("it starts");
    said(&output, 0);
    let results = results(scratch.path());
    let reason = results.servers[1].left_out.as_deref().unwrap_or_default();
    assert!(reason.starts_with("it answers wrongly: a-11-255-255-1.check.test AAAA"), "{reason}");
    assert!(results.trials.iter().all(|trial| trial.server == "dns64d"));
    let page = fs::read_to_string(scratch.path().join("RESULTS.md")).expect("a page");
    assert!(page.contains("left out: it answers wrongly"), "{page}");
}

#[test]
fn without_rights_it_says_so_and_exits_with_2() {
    if !available(&PROGRAMS) {
        return;
    }
    let scratch = Scratch::new();
    // Others may not enter every directory that programs are built in.
    let copy = scratch.path().join("dns64bench");
    fs::copy(dns64bench(), &copy).expect("a copy");
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&copy)
        .args(["compare", "--quick"])
        .current_dir("/")
        .output()
        .expect("setpriv starts");
    let text = said(&output, 2);
    assert_eq!(
        text,
        "dns64bench: a comparison makes network namespaces: it needs root (run it with sudo)\n"
    );
}

#[test]
fn wrong_usage_is_refused_before_anything_is_changed() {
    for (arguments, reason) in [
        ("compare --generator-cpu 1 --server-cpu 1", "need a CPU each"),
        ("compare --servers nsd", "no such server"),
        ("compare --seconds 0", "not a number of seconds"),
        ("compare --names 65537", "65537 is not in 1..=65536"),
        ("compare --dns64d /nowhere/dns64d", "/nowhere/dns64d: no such program"),
    ] {
        let output =
            Command::new(dns64bench()).args(arguments.split(' ')).output().expect("it starts");
        let text = said(&output, 2);
        let needs_root = text.contains("needs root");
        assert!(text.contains(reason) || needs_root, "{arguments}: {text}");
    }
}
