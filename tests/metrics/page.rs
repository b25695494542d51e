//! The status page in a real browser: what it shows is what `/metrics` and `/status.json` say, it
//! stays text and keeps to itself, is good on a phone, and says when nobody answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use dns64_tests::browser::{Browser, available};
use dns64_tests::cases::Transport;
use dns64_tests::daemon::{START_LIMIT, spawn};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::scrape::{get, send};
use crate::{Monitored, PATIENCE, upstream};

/// Text that would become an element and run a program, were it HTML.
const NASTY: &str = "<img/src=x/onerror=alert(1)></script><script>throw`1`</script>\"'&";

/// Finds a cell by the row's name and the column's; `null` if it is not there.
const CELL: &str = r#"(id, row, column) => {
  const table = document.getElementById(id);
  const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent);
  const found = [...table.querySelectorAll("tbody tr")].find((line) => line.children[0].textContent === row);
  return found?.children[heads.indexOf(column)] ?? null;
}"#;

/// Gets the status.
fn status(address: SocketAddr) -> Value {
    let response = get(address, "/status.json");
    assert_eq!(response.status, 200, "{}", response.body);
    serde_json::from_str(&response.body).expect("JSON")
}

/// Opens the page of an address, and waits until it has shown something.
fn opened(address: SocketAddr) -> Browser {
    let mut browser = Browser::start();
    browser.open(&format!("http://{address}/"));
    browser.wait_until(&said("Ready"), PATIENCE);
    browser
}

/// Whether the page says so of the state.
fn said(text: &str) -> String {
    format!("document.getElementById('state')?.textContent.startsWith({text:?}) ?? false")
}

/// The number behind a cell.
fn value(browser: &mut Browser, table: &str, row: &str, column: &str) -> f64 {
    let text = browser
        .evaluate(&format!("({CELL})({table:?}, {row:?}, {column:?})?.dataset.value ?? 'none'"));
    let text = text.as_str().expect("a text");
    text.parse().unwrap_or_else(|_| panic!("{table}, {row}, {column}: {text}"))
}

/// The number behind a value of a list, by its name.
fn listed(browser: &mut Browser, list: &str, name: &str) -> f64 {
    let expression = format!(
        "[...document.querySelectorAll('#{list} dt')].find((term) => term.textContent === {name:?})\
         ?.parentNode.querySelectorAll('dd')[{list:?} === 'tiles' ? 0 : \
         [...document.querySelectorAll('#{list} dt')].findIndex((term) => term.textContent === \
         {name:?})].dataset.value ?? 'none'"
    );
    let text = browser.evaluate(&expression);
    let text = text.as_str().expect("a text");
    text.parse().unwrap_or_else(|_| panic!("{list}, {name}: {text}"))
}

/// A percentile in microseconds of a histogram in `/metrics`, interpolated within its bound.
fn percentile(buckets: &[(f64, f64)], share: f64) -> f64 {
    let wanted = share * buckets.last().expect("buckets").1;
    let mut before = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= wanted && *count > before.1 {
            return before.0 + (bound - before.0) * (wanted - before.1) / (count - before.1);
        }
        before = (*bound, *count);
    }
    panic!("no percentile of {buckets:?}");
}

/// Compares the page with what is counted, which must not change meanwhile.
fn assert_shows(browser: &mut Browser, monitored: &Monitored) {
    let scrape = monitored.scrape();
    let status = status(monitored.metrics);
    for source in ["hit", "stale", "miss", "local", "policy", "kernel"] {
        let label = ("source", source);
        let responses = scrape.sum_with("dns64_responses_total", label);
        assert_eq!(value(browser, "table-sources", source, "Responses"), responses, "{source}");
        assert_eq!(status["stats"]["responses"][source]["total"].as_f64(), Some(responses));
    }
    for reason in ["short", "denied", "rate", "overload"] {
        let drops = scrape.value("dns64_drops_total", &[("reason", reason)]);
        assert_eq!(value(browser, "table-drops", reason, "Queries"), drops, "{reason}");
    }
    let rcode = scrape.sum_with("dns64_responses_total", ("rcode", "NOERROR"));
    assert_eq!(value(browser, "table-rcodes", "NOERROR", "Responses"), rcode);
    let queries = scrape.sum("dns64_queries_total");
    assert_eq!(listed(browser, "tiles", "Queries since the start"), queries);
    assert_eq!(status["stats"]["queries"]["total"].as_f64(), Some(queries));
    for (name, metric) in [("Entries", "dns64_cache_entries"), ("Memory", "dns64_cache_bytes")] {
        assert_eq!(listed(browser, "cache-facts", name), scrape.sum(metric), "{name}");
    }
    for server in status["upstreams"]["list"].as_array().expect("a list") {
        let server = server["server"].as_str().expect("a server");
        let label = [("upstream", server)];
        for (column, metric) in [
            ("Queries", "dns64_upstream_queries_total"),
            ("Time-outs", "dns64_upstream_timeouts_total"),
            ("In flight", "dns64_upstream_inflight"),
        ] {
            let counted = scrape.value(metric, &label);
            assert_eq!(value(browser, "table-upstreams", server, column), counted, "{column}");
        }
        let rtt_us = scrape.value("dns64_upstream_rtt_seconds", &label) * 1e6;
        let shown = value(browser, "table-upstreams", server, "Round trip");
        assert!((shown - rtt_us).abs() < 0.01, "{shown} {rtt_us}");
        let state = browser
            .evaluate(&format!("({CELL})('table-upstreams', {server:?}, 'State').textContent"));
        assert_eq!(state, "up");
    }
    let bounds = status["durations"]["bounds_us"].as_array().expect("bounds");
    for source in ["hit", "miss"] {
        let buckets: Vec<(f64, f64)> = bounds
            .iter()
            .map(|bound| {
                let bound_us = bound.as_f64().expect("a number");
                let le = (bound_us / 1e6).to_string();
                let le = if le.contains('.') { le } else { format!("{le}.0") };
                let labels = [("source", source), ("le", le.as_str())];
                (bound_us, scrape.value("dns64_response_duration_seconds_bucket", &labels))
            })
            .collect();
        for (column, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            let expected = percentile(&buckets, share);
            let shown = value(browser, "table-sources", source, column);
            assert!((shown - expected).abs() < 0.01 * expected, "{source} {column} {shown}");
        }
    }
    let workers = status["stats"]["workers"].as_array().expect("a list");
    for (number, worker) in workers.iter().enumerate() {
        let shown = value(browser, "table-workers", &number.to_string(), "Queries");
        assert_eq!(Some(shown), worker["queries"].as_f64());
    }
    let generation = scrape.sum("dns64_config_generation");
    assert_eq!(listed(browser, "facts", "Configuration"), generation);
}

/// Waits until the page has all these queries, and nothing is under way any more.
fn wait_for(browser: &mut Browser, queries: u32) {
    let tile = |name: &str| {
        format!(
            "[...document.querySelectorAll('#tiles div')].find((tile) => \
             tile.firstChild.textContent === {name:?}).lastChild.dataset.value"
        )
    };
    let (all, open) = (tile("Queries since the start"), tile("Look-ups in flight"));
    browser.wait_until(&format!("{all} === '{queries}' && {open} === '0'"), PATIENCE);
}

#[test]
fn the_page_shows_what_is_counted_and_follows_it() {
    if !available() {
        return;
    }
    let upstream = upstream();
    let cache = "[cache]\nprefetch = false\n";
    let mut monitored = Monitored::start(&[upstream.local_addr()], cache);
    let ask_all = |names: std::ops::Range<u32>| {
        for number in names {
            let name = format!("a-192-0-2-{number}.v4.test");
            monitored.ask("127.0.0.1", &name, Transport::Udp);
            monitored.ask("127.0.0.1", &name, Transport::Tcp);
        }
    };
    ask_all(1..11);
    monitored.ask("127.0.0.2", "a-192-0-2-1.v4.test", Transport::Udp);
    let mut browser = opened(monitored.metrics);
    wait_for(&mut browser, 21);
    assert_shows(&mut browser, &monitored);
    // A burst, while the page is open.
    ask_all(1..61);
    wait_for(&mut browser, 141);
    assert_shows(&mut browser, &monitored);
    let drawn = "[...document.querySelectorAll('figure svg')].map((svg) => \
                 svg.querySelectorAll('path').length)";
    browser.wait_until(&format!("({drawn}).join() === '1,1,2'"), PATIENCE);
    let reading = "document.querySelector('#chart-rate .reading').textContent";
    browser.wait_until(&format!("/highest [1-9]/.test({reading})"), PATIENCE);
    browser.picture("desktop.png");

    // Another configuration, and one that is refused.
    let text = std::fs::read_to_string(&monitored.config).expect("it is there");
    std::fs::write(&monitored.config, text.replace("2001:db8:64::", "2001:db8:65::"))
        .expect("it can be written");
    monitored.server.signal(Signal::HUP);
    browser.wait_until(&cell("table-reloads", 0, 1, "applied"), PATIENCE);
    std::fs::write(&monitored.config, text.replace("workers = 2", "workers = 3"))
        .expect("it can be written");
    monitored.server.signal(Signal::HUP);
    browser.wait_until(&cell("table-reloads", 0, 1, "refused"), PATIENCE);
    let why = "only a new start can change workers";
    browser.wait_until(&cell("table-reloads", 0, 4, why), PATIENCE);
    browser.wait_until(&cell("table-views", 0, 1, "2001:db8:65::/96"), PATIENCE);
    assert_eq!(listed(&mut browser, "facts", "Configuration"), 1.0);
    let scrape = monitored.scrape();
    assert_eq!(scrape.value("dns64_config_reloads_total", &[("result", "refused")]), 1.0);

    let seen = browser.seen();
    assert_eq!(seen.errors, Vec::<String>::new());
    let home = format!("http://{}/", monitored.metrics);
    assert!(seen.requests.len() > 5, "{:?}", seen.requests);
    assert!(seen.requests.iter().all(|url| url.starts_with(&home)), "{:?}", seen.requests);

    // The server goes, and comes back with nothing counted.
    monitored.server.signal(Signal::TERM);
    monitored.server.wait(PATIENCE).expect("it ends");
    browser.wait_until(&said("No answer since"), PATIENCE);
    browser.wait_until("document.getElementById('age').hidden === false", PATIENCE);
    browser.picture("gone.png");
    std::fs::write(&monitored.config, text).expect("it can be written");
    monitored.server = spawn(None, &monitored.config);
    monitored.server.wait_for("ready", START_LIMIT);
    browser.wait_until(&said("Ready"), PATIENCE);
    wait_for(&mut browser, 0);
    browser.wait_until("document.getElementById('age').hidden", PATIENCE);
}

/// Whether a cell has a text.
fn cell(table: &str, row: usize, column: usize, text: &str) -> String {
    format!(
        "document.querySelector('#{table} tbody')?.children[{row}]?.children[{column}]\
         ?.textContent === {text:?}"
    )
}

#[test]
fn what_operators_have_named_is_shown_as_text() {
    if !available() {
        return;
    }
    let upstream = upstream();
    let pool = NASTY.split('"').next().expect("the part in front of the quote");
    let more = format!(
        "[[pool]]\nname = '{pool}'\nprefixes = [\"2001:db8:641::/96\", \"2001:db8:642::/96\"]\n\
         [[view]]\nname = '''{NASTY}'''\nclients = [\"2001:db8:1::/48\"]\n\
         dns64 = {{ pool = '{pool}' }}\n"
    );
    let monitored = Monitored::start(&[upstream.local_addr()], &more);
    let mut browser = opened(monitored.metrics);
    browser.wait_until(&cell("table-views", 1, 0, NASTY), PATIENCE);
    browser.wait_until(&cell("table-gateways", 1, 1, pool), PATIENCE);
    let prefixes =
        format!("2001:db8:641::/96, 2001:db8:642::/96 (one of the pool {pool} for each client)");
    browser.wait_until(&cell("table-views", 1, 1, &prefixes), PATIENCE);
    let made = browser.evaluate("document.querySelectorAll('img, body script').length");
    assert_eq!(made, 0);
    assert_eq!(browser.seen().errors, Vec::<String>::new());
}

#[test]
fn a_phone_shows_hundreds_of_servers_and_views_without_being_scrolled_sideways() {
    if !available() {
        return;
    }
    let upstream = upstream();
    let forwards = (0..40).map(|zone| {
        let servers: Vec<String> =
            (1..=8).map(|server| format!("\"[2001:db8:{zone:x}::{server}]:5353\"")).collect();
        let servers = servers.join(", ");
        format!("[[forward]]\nzone = \"zone{zone}.example\"\nservers = [{servers}]\n")
    });
    let views = (0..300).map(|view| {
        let dns64 = format!("{{ prefixes = [\"2001:db8:{view:x}::/96\"] }}");
        format!(
            "[[view]]\nname = \"a-view-with-a-name-that-is-rather-long-{view}\"\n\
             clients = [\"2001:db8:ffff:{view:x}::/64\"]\ndns64 = {dns64}\n"
        )
    });
    let more: String = forwards.chain(views).collect();
    let monitored = Monitored::start(&[upstream.local_addr()], &more);
    let mut browser = Browser::start();
    browser.resize(360, 800);
    browser.open(&format!("http://{}/", monitored.metrics));
    browser.wait_until(&said("Ready"), PATIENCE);
    let rows = |table: &str| format!("document.querySelectorAll('#{table} tbody tr').length");
    assert_eq!(browser.evaluate(&rows("table-upstreams")), 321);
    assert_eq!(browser.evaluate(&rows("table-views")), 301);
    for dark in [false, true] {
        browser.set_dark(dark);
        let width = browser.evaluate("document.scrollingElement.scrollWidth");
        assert_eq!(width, 360, "dark: {dark}");
        let ground = browser.evaluate("getComputedStyle(document.documentElement).backgroundColor");
        assert_eq!(ground, if dark { "rgb(18, 24, 30)" } else { "rgb(255, 255, 255)" });
        browser.picture(if dark { "phone-dark.png" } else { "phone.png" });
    }
    // It goes on while all of this is shown, and the rows are still the same elements.
    browser.evaluate("window.row = document.querySelector('#table-upstreams tbody tr'); 0");
    let uptime = "Number(document.querySelectorAll('#facts dd')[1].dataset.value)";
    let first = browser.evaluate(uptime).as_f64().expect("a number");
    browser.wait_until(&format!("{uptime} > {first} + 3000"), PATIENCE);
    assert_eq!(browser.evaluate("window.row.isConnected"), true);
    assert_eq!(browser.seen().errors, Vec::<String>::new());
}

#[test]
fn who_hears_the_page_gets_names_for_all_it_has() {
    if !available() {
        return;
    }
    let upstream = upstream();
    let monitored = Monitored::start(&[upstream.local_addr()], "");
    let mut browser = opened(monitored.metrics);
    for (what, expression) in [
        (
            "tables with a caption",
            "[...document.querySelectorAll('table')].every((it) => it.caption?.textContent)",
        ),
        (
            "heads with a scope",
            "[...document.querySelectorAll('thead th')].every((it) => it.scope === 'col')",
        ),
        (
            "rows with a head",
            "[...document.querySelectorAll('tbody tr')].every((it) => it.children[0].scope === 'row')",
        ),
        (
            "regions with a name",
            "[...document.querySelectorAll('[role=region]')].every((it) => document.getElementById(it.getAttribute('aria-labelledby'))?.textContent)",
        ),
        (
            "drawings with a name",
            "[...document.querySelectorAll('svg')].every((it) => it.getAttribute('role') === 'img' && it.getAttribute('aria-label'))",
        ),
        (
            "a state that is read out",
            "document.getElementById('state').getAttribute('aria-live') === 'polite'",
        ),
        ("a language", "document.documentElement.lang === 'en'"),
        (
            "links that lead somewhere",
            "[...document.querySelectorAll('nav a')].every((it) => document.querySelector(it.getAttribute('href')))",
        ),
        ("a field with a label", "document.getElementById('span').labels.length === 1"),
    ] {
        assert_eq!(browser.evaluate(expression), true, "{what}");
    }
    // What is said changes only with the state: it would be read out every time.
    browser.evaluate(
        "window.said = 0; new MutationObserver(() => { window.said += 1; })\
         .observe(document.getElementById('state'), { childList: true, characterData: true, \
         subtree: true }); 0",
    );
    let uptime = "Number(document.querySelectorAll('#facts dd')[1].dataset.value)";
    let first = browser.evaluate(uptime).as_f64().expect("a number");
    browser.wait_until(&format!("{uptime} > {first} + 3000"), PATIENCE);
    assert_eq!(browser.evaluate("window.said"), 0);
    // Who looks elsewhere asks less.
    browser.evaluate(
        "window.pauses = []; window.wait = window.setTimeout; \
         window.setTimeout = (what, ms) => { window.pauses.push(ms); return window.wait(what, ms); };
         Object.defineProperty(document, 'hidden', { configurable: true, get: () => true }); 0",
    );
    browser.wait_until("window.pauses.at(-1) === 20000", PATIENCE);
    browser.evaluate(
        "delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); 0",
    );
    browser.wait_until("window.pauses.at(-1) === 2000", PATIENCE);
    assert_eq!(browser.seen().errors, Vec::<String>::new());
}

/// Stands between browser and server, and puts a script into the page, as somebody could who has
/// found a hole.
struct Injector {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
}

impl Injector {
    fn start(server: SocketAddr, with_policy: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                thread::spawn(move || inject(stream, server, with_policy));
            }
        });
        Self { address, ends }
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Wakes it up.
        let _ended = TcpStream::connect(self.address);
    }
}

/// Passes on one request, and what comes back with a script in it.
fn inject(mut client: TcpStream, server: SocketAddr, with_policy: bool) {
    let mut request = Vec::new();
    let mut octets = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        match client.read(&mut octets) {
            Ok(0) | Err(_) => return,
            Ok(len) => request.extend(&octets[..len]),
        }
    }
    let mut upstream = TcpStream::connect(server).expect("it listens");
    upstream.write_all(&request).expect("it reads");
    let mut response = Vec::new();
    upstream.read_to_end(&mut response).expect("a response that ends");
    let mut response = String::from_utf8(response).expect("text");
    let script = "<script>window.owned = 1</script>";
    let image = "<img src=/status.svg onload='window.owned = 2'>";
    response = response.replace("</head>", &format!("{script}</head>"));
    response = response.replace("</header>", &format!("{image}</header>"));
    if let Some((head, body)) = response.split_once("\r\n\r\n") {
        let lines = head.split("\r\n").map(|line| match line.split_once(": ") {
            Some(("content-length", _)) => format!("content-length: {}", body.len()),
            Some(("content-security-policy", _)) if !with_policy => "x-policy: none".to_owned(),
            _ => line.to_owned(),
        });
        let head: Vec<String> = lines.collect();
        response = format!("{}\r\n\r\n{body}", head.join("\r\n"));
    }
    // The browser may have gone.
    let _gone = client.write_all(response.as_bytes());
}

#[test]
fn a_script_that_somebody_puts_into_the_page_does_not_run() {
    if !available() {
        return;
    }
    let upstream = upstream();
    let monitored = Monitored::start(&[upstream.local_addr()], "");
    // Without the policy it would: the test would be worth nothing otherwise.
    let unguarded = Injector::start(monitored.metrics, false);
    let mut browser = opened(unguarded.address);
    browser.wait_until("window.owned === 2", PATIENCE);
    browser.seen();

    let injector = Injector::start(monitored.metrics, true);
    browser.open(&format!("http://{}/", injector.address));
    browser.wait_until(&said("Ready"), PATIENCE);
    browser.wait_until("document.querySelector('img')?.complete === true", PATIENCE);
    assert_eq!(browser.evaluate("typeof window.owned"), "undefined");
    let seen = browser.seen();
    let refused = seen.errors.iter().filter(|error| error.contains("Content Security Policy"));
    assert!(refused.count() >= 2, "{:?}", seen.errors);
    // Nor can a script make HTML of text, or ask somebody else.
    let made = "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'made'; } \
                catch (error) { return error.name; } })()";
    assert_eq!(browser.evaluate(made), "TypeError");
    let other = format!(
        "fetch('http://{}/health', {{ mode: 'no-cors' }}).then(() => 'read', () => 'refused')",
        monitored.metrics
    );
    assert_eq!(browser.evaluate(&other), "refused");
}

#[test]
fn the_page_is_served_with_what_keeps_it_to_itself() {
    let upstream = upstream();
    let monitored = Monitored::start(&[upstream.local_addr()], "");
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/status.js", "text/javascript; charset=utf-8"),
        ("/status.css", "text/css; charset=utf-8"),
        ("/status.svg", "image/svg+xml"),
        ("/status.json", "application/json"),
    ] {
        let response = get(monitored.metrics, path);
        assert_eq!((response.status, response.header("content-type")), (200, Some(kind)), "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(response.header(name), Some(value), "{path}");
        }
        let policy = response.header("content-security-policy").expect("a policy");
        let parts: Vec<&str> = policy.split("; ").collect();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(parts.contains(&part), "{path}: {part}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        let end = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let head = send(monitored.metrics, format!("HEAD {path} {end}").as_bytes());
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        let post = send(monitored.metrics, format!("POST {path} {end}").as_bytes());
        assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")), "{path}");
    }
    // Whoever keeps a connection to the page open would take the place of somebody who scrapes.
    let mut stream = TcpStream::connect(monitored.metrics).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a valid time");
    stream.write_all(b"GET /status.json HTTP/1.1\r\nHost: x\r\n\r\n").expect("it is read");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("it ends");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[test]
fn the_status_has_what_is_documented() {
    let upstream = upstream();
    let server = upstream.local_addr().to_string();
    let monitored = Monitored::start(&[upstream.local_addr()], "");
    monitored.ask("127.0.0.1", "a-192-0-2-1.v4.test", Transport::Udp);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        let status = status(monitored.metrics);
        if status["stats"]["responses"]["total"] == 1 {
            break status;
        }
        assert!(Instant::now() < deadline, "{status:#}");
    };
    let keys: Vec<&String> = status.as_object().expect("an object").keys().collect();
    let readme = include_str!("../../README.md");
    for key in &keys {
        assert!(readme.contains(&format!("| `{key}` |")), "README.md does not name {key}");
    }
    assert_eq!(status["schema"], dns64::metrics::status::SCHEMA);
    assert_eq!((&status["state"], &status["reason"]), (&json!("ready"), &Value::Null));
    assert_eq!(status["status"]["pid"], monitored.server.pid().as_raw_nonzero().get());
    assert_eq!(status["configuration"]["generation"], 0);
    assert_eq!(status["upstreams"]["list"][0]["server"], server);
    assert_eq!((&status["upstreams"]["total"], &status["upstreams"]["up"]), (&json!(1), &json!(1)));
    let counts = status["durations"]["sources"]["miss"]["counts"].as_array().expect("counts");
    assert_eq!(counts.iter().filter_map(Value::as_u64).sum::<u64>(), 1);
    assert_eq!(
        counts.len(),
        status["durations"]["bounds_us"].as_array().expect("bounds").len() + 1
    );
}

#[test]
fn without_the_page_there_are_only_counters() {
    let upstream = upstream();
    let monitored = Monitored::start(&[upstream.local_addr()], "page = false\n");
    for path in ["/", "/status.json", "/status.js", "/status.css", "/status.svg"] {
        let response = get(monitored.metrics, path);
        assert_eq!(response.status, 404, "{path}");
        assert_eq!(response.header("content-security-policy"), None, "{path}");
    }
    assert_eq!(get(monitored.metrics, "/metrics").status, 200);
}
