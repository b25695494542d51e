//! The open loop: latency from the intended time, so that a server that stalls cannot hide it.

use std::time::Duration;

use dns64_bench::upstream::{Options, Upstream};

use crate::liar::{Liar, Reply};
use crate::program::{load, names};

#[test]
fn a_stall_is_charged_to_every_query_that_was_due_in_it() {
    // At 200 queries a second, 80 are due while the server sleeps; a closed loop would send one.
    let liar = Liar::start(|asked| {
        if asked.before == 20 {
            std::thread::sleep(Duration::from_millis(400));
        }
        Reply::Now(vec![asked.answer])
    });
    let outcome = load(liar.address, "--json -Q 200 -n 4 -t 5", &names(50, ""));
    let json = outcome.json();
    assert_eq!(json["loop"], "open");
    assert_eq!(outcome.numbers(["scheduled", "sent", "completed", "lost"]), [200, 200, 200, 0]);
    // 200 in a second; 80 of them, 40 per cent, waited from 0 to 400 ms: a tenth of all, the
    // unluckiest, at least 300 ms.
    assert!(json["latency_us"]["p90"].as_f64() >= Some(250_000.0), "{json:#}");
    assert!(json["latency_us"]["max"].as_f64() >= Some(390_000.0), "{json:#}");

    let liar = Liar::start(|asked| {
        if asked.before == 20 {
            std::thread::sleep(Duration::from_millis(400));
        }
        Reply::Now(vec![asked.answer])
    });
    let outcome = load(liar.address, "--json -q 1 -n 4", &names(50, ""));
    let json = outcome.json();
    assert_eq!((json["loop"].as_str(), json["lateness_us"].is_null()), (Some("closed"), true));
    assert!(json["latency_us"]["max"].as_f64() >= Some(390_000.0), "{json:#}");
    assert!(json["latency_us"]["p99"].as_f64() < Some(250_000.0), "{json:#}");
}

#[test]
fn the_generators_own_lateness_is_reported_and_poisson_times_repeat_with_their_seed() {
    let upstream = Upstream::start("127.0.0.1:0".parse().expect("an address"), Options::default())
        .expect("loopback has free ports");
    let server = upstream.local_addr();
    let arguments =
        "--json --generate mix:0,0,100,0,0 --queries 500 -Q 2000 --poisson --seed 7 -n 1";
    let outcome = load(server, arguments, "");
    let json = outcome.json();
    assert_eq!((json["spacing"].as_str(), json["seed"].as_u64()), (Some("poisson"), Some(7)));
    assert_eq!(outcome.numbers(["sent", "completed", "verified"]), [500, 500, 500]);
    assert!(json["lateness_us"]["p50"].as_f64() > Some(0.0));
    assert!(json["lateness_us"]["max"].as_f64() >= json["lateness_us"]["p99"].as_f64());
    // 500 exponential gaps of half a millisecond: a quarter of a second, give or take an eighth.
    assert!(json["run_time_s"].as_f64() > Some(0.2), "{json:#}");
}

#[test]
fn an_open_loop_goes_on_while_nothing_is_answered() {
    let silent = Liar::start(|_| Reply::Now(Vec::new()));
    let outcome = load(silent.address, "--json -Q 1000 -l 0.5 -t 0.2", &names(20, ""));
    let [scheduled, sent, lost] = outcome.numbers(["scheduled", "sent", "lost"]);
    // On a busy machine the generator itself may not send all, and says so.
    assert_eq!((scheduled, lost), (500, sent));
    assert!(sent > 300, "{sent}");
    // dnsperf's limit of queries in flight, where it is asked for, and its price.
    let outcome = load(silent.address, "--json -Q 1000 -q 10 -l 0.5 -t 5", &names(20, ""));
    assert_eq!(outcome.numbers(["scheduled", "sent"]), [500, 10]);
}
