//! `dns64bench capacity` through the real programs on loopback: a real `dns64d` behind a gate that
//! lets a known number of each trial's questions through, so that its capacity is known by
//! construction and not by any clock.

mod gate;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use dns64_tests::netns::Scratch;
use dns64_tests::program::{dns64bench, dns64d};
use dns64_tests::server::Server;
use serde_json::Value;

use gate::Gate;

/// How long the responder may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Seconds of a trial.
const SECONDS: f64 = 0.5;

/// An address on loopback whose port nobody has, for UDP and TCP.
fn free_address() -> SocketAddr {
    for _ in 0..16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free for both");
}

/// A `dns64d` whose upstream is yet to be started.
struct Responder {
    address: SocketAddr,
    upstream: SocketAddr,
    _server: Server,
    _scratch: Scratch,
}

impl Responder {
    fn start() -> Self {
        let (address, upstream) = (free_address(), free_address());
        let scratch = Scratch::new();
        let config = format!(
            "listen = [\"{address}\"]\nworkers = 1\n[upstream]\nservers = [\"{upstream}\"]\n\
             [datapath]\nmode = \"socket\"\n"
        );
        let config = scratch.write("dns64d.toml", &config);
        let mut command = Command::new(dns64d());
        command.arg("--config").arg(config).stdin(Stdio::null());
        let mut server = Server::start("dns64d", command);
        server.wait_for("ready", START_LIMIT);
        Self { address, upstream, _server: server, _scratch: scratch }
    }

    /// Runs `capacity` against an address that leads to this responder.
    fn capacity(&self, server: SocketAddr, more: &[&str]) -> Output {
        let mut command = Command::new(dns64bench());
        command
            .args(["capacity", "-s", &server.ip().to_string(), "-p", &server.port().to_string()])
            .args(["--upstream-listen", &self.upstream.to_string(), "--json"])
            // A machine that does other things too shall not make a good trial fail.
            .args(["--seconds", &SECONDS.to_string(), "--queue-ms", "1000", "--retries", "3"])
            .args(more);
        command.output().expect("it starts")
    }
}

/// What was written to standard output.
fn json(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a count"))
}

/// Questions to the upstream for each of those that were sent.
fn asked_upstream(cell: &Value) -> f64 {
    cell["upstream_questions"].as_f64().expect("the upstream is ours")
}

#[test]
fn the_rate_of_a_server_of_known_capacity_is_found() {
    let responder = Responder::start();
    // 300 questions of each trial for new names, and as many for cached ones, are 1,200 a second.
    let gate = Gate::before(responder.address, 300);
    let shares = ["--cached", "50", "--cached-names", "50"];
    let search = ["--start", "400", "--precision", "5", "--repeat", "1", "--max-rate", "2000"];
    let outcome = json(&responder.capacity(gate.address(), &[&shares[..], &search].concat()));
    let cell = &outcome["cells"][0];
    let rate = count(&cell["rates_qps"][0]);
    assert!((1_140..=1_200).contains(&rate), "{cell:#}");
    assert_eq!(cell["limited_by"], "server");
    assert_eq!(cell["rate_qps"]["median"].as_f64(), Some(rate as f64));
    for trial in cell["trials"].as_array().expect("trials") {
        assert_eq!(trial["wrong"], 0);
        if count(&trial["rate_qps"]) > 1_200 {
            // On a busy machine the tester may also be too slow to send them all.
            assert!(trial["failure"] == "lost" || trial["failure"] == "unsent", "{trial}");
            assert!(count(&trial["answered"]) < count(&trial["sent"]), "{trial}");
        }
    }
    // AAAA and A of new names, and nothing that was asked between trials.
    assert!(asked_upstream(cell) <= 1.0, "{cell:#}");
    assert!(count(&outcome["self_test"]["rate_qps"]) >= 4_400, "2 (1 + 0.1) of 2,000");
}

#[test]
fn the_knee_is_found_where_a_few_answers_are_lost() {
    let responder = Responder::start();
    let gate = Gate::before(responder.address, 300);
    // One of 300 to 333 questions may be lost: ten per cent.
    let knee = ["--find-knee", "--knee-loss", "10"];
    let search = ["--start", "550", "--precision", "2", "--repeat", "1", "--max-rate", "2000"];
    let outcome = json(&responder.capacity(gate.address(), &[&knee[..], &search].concat()));
    let cell = &outcome["cells"][0];
    let rate = count(&cell["rates_qps"][0]);
    assert!((650..=667).contains(&rate), "{cell:#}");
}

#[test]
fn a_server_that_does_all_is_limited_by_what_was_allowed_and_cached_names_stay_cached() {
    let responder = Responder::start();
    let shares = ["--cached", "0,100", "--cached-names", "50", "--repeat", "2"];
    let search = ["--start", "100", "--max-rate", "400"];
    let outcome = json(&responder.capacity(responder.address, &[&shares[..], &search].concat()));
    assert_eq!(outcome["schema_version"], 1);
    let [cold, hot] = [0, 1].map(|place| &outcome["cells"][place]);
    for cell in [cold, hot] {
        assert_eq!(cell["limited_by"], "max_rate");
        assert_eq!(cell["rates_qps"], serde_json::json!([400, 400]));
    }
    assert!(asked_upstream(cold) >= 2.0, "AAAA and A of every name: {cold:#}");
    assert!(asked_upstream(hot) < 0.1, "cached: {hot:#}");
}

#[test]
fn another_prefix_is_a_wrong_answer() {
    let responder = Responder::start();
    let output = responder.capacity(responder.address, &["--prefix", "2001:db8:64::/96"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("wrong answer from the server") && error.contains("--prefix"),
        "{error}"
    );
}

#[test]
fn a_server_that_is_not_there_is_a_refusal_that_says_where() {
    let responder = Responder::start();
    let nobody = free_address();
    let output = responder.capacity(nobody, &[]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains(&format!("no good answer from the server at {nobody}")), "{error}");
    // So is an upstream's address that someone else has.
    let taken = UdpSocket::bind(responder.upstream).expect("it is free again");
    let output = responder.capacity(responder.address, &[]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("the upstream cannot listen on"), "{error}");
    drop(taken);
}
