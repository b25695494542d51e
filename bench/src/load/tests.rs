//! Runs against the scripted upstream.

use super::*;
use crate::upstream::{self, Upstream};
use dns64::pref64::WELL_KNOWN;

fn options(server: SocketAddr) -> Options {
    Options {
        server,
        carrier: Carrier::Udp,
        xdp: None,
        sources: vec!["127.0.0.1:0".parse().unwrap(); 3],
        threads: 1,
        duration: Some(Duration::from_secs(30)),
        rounds: 1,
        rate: 0,
        spacing: Spacing::Constant,
        outstanding: 20,
        timeout: Duration::from_secs(5),
        buffer_bytes: sockets::BUFFER_BYTES,
        segments: false,
        rules: Rules { prefixes: vec![WELL_KNOWN], by_name: true, alternative: None },
    }
}

fn queries(lines: &[String]) -> Queries {
    let mut encoder = encode::Encoder::new(encode::Encoding::default());
    let text = lines.join("\n");
    input::read(&mut text.as_bytes(), input::Form::TextOrCapture, &mut encoder).unwrap();
    encoder.finish()
}

fn upstream() -> Upstream {
    Upstream::start("127.0.0.1:0".parse().unwrap(), upstream::Options::default()).unwrap()
}

fn run_to_end(queries: &Queries, options: &Options) -> Totals {
    run(queries, options, &AtomicBool::new(false), &mut Nobody).unwrap()
}

#[test]
fn all_answers_are_matched_and_verified() {
    let upstream = upstream();
    let lines: Vec<_> = (0..250).map(|n| format!("a-11-0-0-{n}.v4.test A")).collect();
    for (rate, spacing, threads) in
        [(0, Spacing::Constant, 1), (5_000, Spacing::Constant, 2), (5_000, Spacing::Poisson(1), 3)]
    {
        let options = Options { rate, spacing, threads, ..options(upstream.local_addr()) };
        let totals = run_to_end(&queries(&lines), &options);
        assert_eq!((totals.scheduled, totals.sent), (250, 250));
        assert_eq!((totals.completed, totals.late, totals.lost), (250, 0, 0));
        assert_eq!((totals.verified, totals.wrong()), (250, 0));
        assert_eq!(totals.rcodes[0], 250);
        assert_eq!(totals.latencies.count(), 250);
        assert_eq!(totals.lateness.count(), if rate == 0 { 0 } else { 250 });
    }
    assert_eq!(upstream.counts().udp_queries, 750);
}

#[test]
fn wrong_failed_lost_and_unchecked_answers_are_told_apart() {
    let upstream = upstream();
    let lines = [
        "a-11-0-0-1.v4.test AAAA",
        "a-11-0-0-1--rc2.v4.test AAAA",
        "a-11-0-0-1--loss100.v4.test AAAA",
        "www.v4.test AAAA",
    ]
    .map(str::to_owned);
    let timeout = Duration::from_millis(200);
    let options = Options { timeout, ..options(upstream.local_addr()) };
    let totals = run_to_end(&queries(&lines), &options);
    assert_eq!([totals.wrong(), totals.failed, totals.lost, totals.unchecked], [1; 4]);
    assert_eq!(totals.samples.len(), 1);
}
