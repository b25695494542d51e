//! What monitoring gets from the real program by HTTP: whether the books balance, whether the text
//! is what Prometheus reads, whether the status page shows the same, and what becomes of requests
//! that are none.

mod page;
mod scrape;
mod shipped;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::cases::Transport;
use dns64_tests::client::exchange;
use dns64_tests::daemon::{START_LIMIT, free_address, spawn};
use dns64_tests::netns::Scratch;
use dns64_tests::program::dns64d;
use dns64_tests::server::Server;

use crate::scrape::{Response, Scrape, get, send};

/// How long anything may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections at a time: [`dns64::metrics::CONNECTIONS_MAX`].
const CONNECTIONS_MAX: usize = dns64::metrics::CONNECTIONS_MAX;

/// How long the head of a request may take to come, with room for a busy machine.
const HEAD_LIMIT: Duration = Duration::from_secs(15);

/// A running `dns64d` with monitoring.
struct Monitored {
    server: Server,
    queries: SocketAddr,
    metrics: SocketAddr,
    config: PathBuf,
    _scratch: Scratch,
}

impl Monitored {
    /// Starts the program with these servers, and more at the end of its configuration.
    fn start(servers: &[SocketAddr], more: &str) -> Self {
        let scratch = Scratch::new();
        let (queries, metrics) = (free_address(), free_address());
        let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
        let text = format!(
            "listen = [\"{queries}\"]\nworkers = 2\nallow = [\"127.0.0.0/31\"]\n\
             drop = [\"127.0.0.3\"]\n[upstream]\nservers = [{}]\ntimeout_ms = 100\n\
             [dns64]\nprefixes = [\"2001:db8:64::/96\"]\n[datapath]\nmode = \"socket\"\n\
             [metrics]\nlisten = \"{metrics}\"\n{more}",
            servers.join(", ")
        );
        let config = scratch.write("dns64d.toml", &text);
        let mut server = spawn(None, &config);
        server.wait_for("ready", START_LIMIT);
        Self { server, queries, metrics, config, _scratch: scratch }
    }

    fn scrape(&self) -> Scrape {
        let response = get(self.metrics, "/metrics");
        assert_eq!(response.status, 200, "{}", self.server.log());
        Scrape::read(&response.body)
    }

    /// Asks AAAA of a name and waits for the reply.
    fn ask(&self, source: &str, name: &str, transport: Transport) {
        let source = source.parse().expect("an address");
        exchange(&query(name), source, self.queries, transport, PATIENCE).expect("a reply");
    }
}

fn upstream() -> Upstream {
    let listen = "127.0.0.1:0".parse().expect("an address");
    Upstream::start(listen, Options::default()).expect("a free port")
}

/// A query for AAAA.
fn query(name: &str) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 28, 0, 1]);
    query
}

#[test]
fn the_books_balance_and_every_way_of_a_query_has_its_count() {
    let upstream = upstream();
    let monitored = Monitored::start(&[upstream.local_addr()], "");
    let before = monitored.scrape();
    assert_eq!(before.sum("dns64_queries_total"), 0.0);
    for number in 1..=10 {
        let name = format!("a-192-0-2-{number}.v4.test");
        monitored.ask("127.0.0.1", &name, Transport::Udp);
        monitored.ask("127.0.0.1", &name, Transport::Tcp);
    }
    // Refused, and thrown away; the second is shown by the first that comes after it.
    let dropped = UdpSocket::bind("127.0.0.3:0").expect("an address of the loopback");
    dropped.send_to(&query("a-192-0-2-1.v4.test"), monitored.queries).expect("loopback takes it");
    monitored.ask("127.0.0.2", "a-192-0-2-1.v4.test", Transport::Udp);
    let deadline = Instant::now() + PATIENCE;
    let after = loop {
        let scrape = monitored.scrape();
        if scrape.sum("dns64_queries_total") >= 22.0 {
            break scrape;
        }
        assert!(Instant::now() < deadline, "a query is missing");
    };
    let by = |labels: &[(&str, &str)]| after.value("dns64_queries_total", labels);
    assert_eq!(by(&[("transport", "udp"), ("family", "ipv4")]), 12.0);
    assert_eq!(by(&[("transport", "tcp"), ("family", "ipv4")]), 10.0);
    assert_eq!(after.value("dns64_drops_total", &[("reason", "denied")]), 1.0);
    let refused = [("rcode", "REFUSED"), ("source", "policy")];
    assert_eq!(after.value("dns64_responses_total", &refused), 1.0);
    let answered = ["hit", "miss"].map(|source| {
        after.value("dns64_responses_total", &[("rcode", "NOERROR"), ("source", source)])
    });
    assert_eq!(answered.iter().sum::<f64>(), 20.0);
    assert!(answered[1] >= 10.0, "{answered:?}");
    assert_eq!(
        after.sum("dns64_queries_total"),
        after.sum("dns64_responses_total")
            + after.sum("dns64_drops_total")
            + after.sum("dns64_clients_waiting")
    );
    assert_eq!(after.sum("dns64_synthesized_answers_total"), 20.0);
    assert_eq!(after.sum("dns64_workers"), 2.0);

    // Every response is timed.
    for source in ["hit", "miss", "policy", "local", "stale"] {
        let label = ("source", source);
        let count = after.value("dns64_response_duration_seconds_count", &[label]);
        assert_eq!(count, after.sum_with("dns64_responses_total", label), "{source}");
        let all = [label, ("le", "+Inf")];
        assert_eq!(after.value("dns64_response_duration_seconds_bucket", &all), count);
    }
    let missed = [("source", "miss")];
    let seconds = after.value("dns64_response_duration_seconds_sum", &missed);
    assert!(seconds > 0.0 && seconds < 20.0 * PATIENCE.as_secs_f64(), "{seconds}");

    let server = upstream.local_addr().to_string();
    let label = [("upstream", server.as_str())];
    assert_eq!(after.value("dns64_upstream_state", &label), 1.0);
    assert!(after.value("dns64_upstream_queries_total", &label) >= 20.0);
    assert!(after.value("dns64_upstream_rtt_seconds", &label) > 0.0);
}

#[test]
fn names_and_addresses_that_clients_send_are_never_among_the_metrics() {
    let upstream = upstream();
    let monitored = Monitored::start(&[upstream.local_addr()], "");
    for name in ["nosuchword-dns64_evil.v4.test", "a-192-0-2-9--x\"}\n# EOF.v4.test"] {
        monitored.ask("127.0.0.1", name, Transport::Udp);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    for octets in [&b"\0"[..], &[0xff; 200], b"GET /metrics HTTP/1.1\r\n\r\n"] {
        socket.send_to(octets, monitored.queries).expect("loopback takes it");
    }
    monitored.ask("127.0.0.1", "a-192-0-2-1.v4.test", Transport::Udp);
    let body = get(monitored.metrics, "/metrics").body;
    let scrape = Scrape::read(&body);
    assert!(scrape.sum("dns64_queries_total") >= 3.0);
    for word in ["evil", "v4.test", "127.0.0.3"] {
        assert!(!body.contains(word), "{word}: {body}");
    }
}

#[test]
fn readiness_ends_with_the_last_server_and_health_does_not() {
    let upstream = upstream();
    let server = upstream.local_addr();
    let monitored = Monitored::start(&[server], "");
    assert_eq!(get(monitored.metrics, "/ready").status, 200);
    drop(upstream);
    let silent = UdpSocket::bind(server).expect("the port is free again");
    let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    while get(monitored.metrics, "/ready").status == 200 {
        assert!(Instant::now() < deadline, "a server that is silent counts as up");
        // Both workers must have asked it in vain.
        number += 1;
        let query = query(&format!("a-192-0-2-1--ttl{number}.v4.test"));
        client.send_to(&query, monitored.queries).expect("loopback takes it");
    }
    let response = get(monitored.metrics, "/ready");
    assert_eq!((response.status, response.body.as_str()), (503, "no upstream server answers\n"));
    assert_eq!(get(monitored.metrics, "/health").status, 200);
    let label = server.to_string();
    let scrape = monitored.scrape();
    assert_eq!(scrape.value("dns64_upstream_state", &[("upstream", &label)]), 0.0);
    assert!(scrape.value("dns64_upstream_timeouts_total", &[("upstream", &label)]) >= 3.0);
    drop(silent);
}

#[test]
fn look_ups_are_counted_at_the_server_that_they_wait_for_until_they_end() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let server = silent.local_addr().expect("it has one");
    let monitored = Monitored::start(&[server], "");
    let label = server.to_string();
    let label = [("upstream", label.as_str())];
    let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    client.send_to(&query("a-192-0-2-1.v4.test"), monitored.queries).expect("loopback takes it");
    let deadline = Instant::now() + 2 * PATIENCE;
    // AAAA, and A after a while. Both are given up in the end.
    for wanted in [2.0, 0.0] {
        loop {
            let waiting = monitored.scrape().value("dns64_upstream_inflight", &label);
            if waiting == wanted {
                break;
            }
            assert!(Instant::now() < deadline, "{waiting} and never {wanted}");
        }
    }
}

#[test]
fn other_paths_and_methods_are_refused() {
    let upstream = upstream();
    let monitored = Monitored::start(&[upstream.local_addr()], "");
    let status = |request: &str| send(monitored.metrics, request.as_bytes()).status;
    let end = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for path in ["/index.html", "/metrics/", "/../etc/passwd", "/metricsx", "//metrics"] {
        assert_eq!(status(&format!("GET {path} {end}")), 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let response = send(monitored.metrics, format!("{method} /metrics {end}").as_bytes());
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD")));
    }
    let head = send(monitored.metrics, format!("HEAD /metrics {end}").as_bytes());
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(status(&format!("GET /metrics?name[]=x {end}")), 200, "a question is no path");
    let response = get(monitored.metrics, "/metrics");
    let kind = response.header("content-type");
    assert_eq!(kind, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

#[test]
fn what_is_no_request_or_never_ends_costs_its_connection_and_nothing_else() {
    let upstream = upstream();
    let monitored = Monitored::start(&[upstream.local_addr()], "");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(5_000));
    for octets in
        [b"\x16\x03\x01\x02\x00" as &[u8], b"hello\r\n\r\n", long.as_bytes(), many.as_bytes()]
    {
        let mut stream = TcpStream::connect(monitored.metrics).expect("it listens");
        stream.set_read_timeout(Some(HEAD_LIMIT)).expect("a valid time");
        // It may be closed before it has read all of it.
        let _broken = stream.write_all(octets);
        let mut said = Vec::new();
        let _reset = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    // More than there may be, all of them silent: those beyond are closed at once, and the others
    // when their time is over.
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS_MAX + 8)
        .map(|_| TcpStream::connect(monitored.metrics).expect("the backlog has room"))
        .collect();
    let mut closed = 0;
    for stream in &mut streams {
        stream.set_read_timeout(Some(HEAD_LIMIT)).expect("a valid time");
        let read = stream.read(&mut [0; 512]);
        closed += usize::from(read.is_ok());
    }
    assert_eq!(closed, streams.len(), "nobody is left waiting");
    monitored.ask("127.0.0.1", "a-192-0-2-1.v4.test", Transport::Udp);
    assert_eq!(get(monitored.metrics, "/health").status, 200);
}

#[test]
fn an_address_that_is_taken_is_refused_at_the_start() {
    let upstream = upstream();
    let monitored = Monitored::start(&[upstream.local_addr()], "");
    let scratch = Scratch::new();
    let text = format!(
        "listen = [\"{}\"]\n[upstream]\nservers = [\"192.0.2.1\"]\n[datapath]\nmode = \"socket\"\n\
         [metrics]\nlisten = \"{}\"\n",
        free_address(),
        monitored.metrics
    );
    let config = scratch.write("dns64d.toml", &text);
    let output = Command::new(dns64d())
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .output()
        .expect("it can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("metrics.listen: cannot listen on {}", monitored.metrics)));
}

/// A response without a body has one all the same, of no octets.
#[test]
fn a_response_is_read_in_its_parts() {
    let response = Response::read(b"HTTP/1.1 405 Method Not Allowed\r\nallow: GET\r\n\r\nno\n");
    assert_eq!((response.status, response.header("allow")), (405, Some("GET")));
    assert_eq!(response.body, "no\n");
}
