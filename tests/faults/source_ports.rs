//! What an attacker would have to guess: source port and ID of each upstream query (RFC 5452 9.2),
//! as an upstream server sees them.

use std::collections::BTreeMap;

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::netns::serial;

use crate::client::{Many, ask_many};
use crate::message::rtype;
use crate::responder::Responder;

const NAMES: usize = 20_000;

/// More deviations of chi-square than this are no chance. Its tail is longer than the normal one's,
/// the more so the fewer the bins: with 64 bins this is once in a hundred million runs.
const UNEVEN: f64 = 8.0;
/// The same for eight bins: once in ten million runs.
const UNEVEN_EIGHT: f64 = 10.0;

/// How far counts are from being equal, in standard deviations of chi-square.
fn unevenness(counts: &[u32]) -> f64 {
    let total: u32 = counts.iter().sum();
    let expected = f64::from(total) / counts.len() as f64;
    let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
    let chi_square: f64 = counts.iter().map(square).sum();
    let freedom = counts.len() as f64 - 1.0;
    (chi_square - freedom) / (2.0 * freedom).sqrt()
}

fn histogram(numbers: impl Iterator<Item = u16>, bins: usize) -> Vec<u32> {
    let mut counts = vec![0; bins];
    for number in numbers {
        counts[usize::from(number) * bins / 65_536] += 1;
    }
    counts
}

/// Pearson's coefficient of neighbours, times the square root of their number: about normal with a
/// deviation of 1 if they have nothing to do with each other.
fn neighbours(numbers: &[u16]) -> f64 {
    let mean = numbers.iter().map(|number| f64::from(*number)).sum::<f64>() / numbers.len() as f64;
    let off: Vec<f64> = numbers.iter().map(|number| f64::from(*number) - mean).collect();
    let variance: f64 = off.iter().map(|off| off * off).sum();
    let together: f64 = off.windows(2).map(|pair| pair[0] * pair[1]).sum();
    together / variance * (numbers.len() as f64).sqrt()
}

#[test]
fn ports_and_ids_of_upstream_queries_cannot_be_guessed() {
    let _machine = serial();
    let options = Options { record: true, ..Options::default() };
    let upstream = Upstream::start("127.0.0.1:0".parse().expect("valid"), options).expect("starts");
    let responder = Responder::start(&[upstream.local_addr()]);
    let outcomes = ask_many(responder.address(), Many::default(), rtype::A, NAMES, |number| {
        format!("a-198-51-100-7.n{number}.test")
    });
    assert!(outcomes.iter().all(|outcome| outcome.reply.is_some()), "all are answered");

    let recorded = upstream.recorded();
    assert!(recorded.len() >= NAMES, "{} queries", recorded.len());
    let ids: Vec<u16> = recorded.iter().map(|query| query.id).collect();
    for bins in [64, 4_096] {
        let unevenness = unevenness(&histogram(ids.iter().copied(), bins));
        assert!(unevenness < UNEVEN, "IDs in {bins} bins are {unevenness} deviations uneven");
    }
    // The low octet by itself, which bins of high bits do not show.
    let low = unevenness(&histogram(ids.iter().map(|id| id << 8), 256));
    assert!(low < UNEVEN, "low octets of IDs are {low} deviations uneven");
    let related = neighbours(&ids);
    assert!(related.abs() < 5.0, "IDs of neighbours are {related} deviations related");

    let mut uses = BTreeMap::<u16, u32>::new();
    for query in &recorded {
        *uses.entry(query.peer.port()).or_default() += 1;
    }
    let ports: Vec<u16> = uses.keys().copied().collect();
    assert!(ports.len() >= 64, "only {} ports", ports.len());
    let span = ports[ports.len() - 1] - ports[0];
    assert!(span >= 32_768, "the ports span {span}");
    // Ports start at 1024, which is less than a sixteenth of one of the eight bins' share.
    let unevenness = unevenness(&histogram(ports.iter().copied(), 8));
    assert!(unevenness < UNEVEN_EIGHT, "{} ports are {unevenness} deviations uneven", ports.len());
    let most = uses.values().max().copied().unwrap_or_default();
    assert!(most <= 512, "a port is given up in time, but one was used {most} times");

    // A query has the port of one shortly before it as often as chance has it, whatever worker sent
    // them: each worker draws from 32 sockets. (How far the numbers of neighbours are apart says
    // nothing: the sockets of a worker are few, and their mean is a matter of chance.)
    let expected = recorded.len() / 32;
    for distance in 1..=8 {
        let pairs = recorded.iter().zip(&recorded[distance..]);
        let same = pairs.filter(|(earlier, later)| earlier.peer == later.peer).count();
        assert!(same < expected * 3 / 2, "{same} of {} share a port", recorded.len());
    }
    // Nor does an ID say anything about the port: XOR of independent numbers is even again.
    let mixed = recorded.iter().map(|query| query.id ^ query.peer.port());
    let unevenness = self::unevenness(&histogram(mixed, 256));
    assert!(unevenness < UNEVEN, "ID and port together are {unevenness} deviations uneven");
}
