//! What one answer costs an engine, without sockets: nanoseconds of one thread.
//!
//! Queries go through all names in an order without pattern, in batches of 64 as a worker takes
//! them; making the queries is not measured. The largest cache takes 2.5 GiB.
//!
//!   cargo bench -p dns64-bench --bench hit_path
//!   cargo bench -p dns64-bench --bench hit_path -- 'hit/1000/'
#![allow(missing_docs, reason = "a macro writes the public items")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Bencher, BenchmarkId, Criterion, criterion_group, criterion_main};
use dns64::answer::Answer;
use dns64::answer::compile::{Asked, TtlBounds, compile};
use dns64::limits::BATCH_LEN;
use dns64::wire::{Class, Rtype};
use dns64_bench::engine::{Filled, Kind, Query};
use hickory_proto::op::Message;

/// Names in the cache: what fits the second-level cache, the third, neither, and the largest.
const NAMES: [u32; 4] = [1_000, 64_000, 512_000, 4_000_000];

/// Whether a batch is loaded ahead of its answers.
#[derive(Clone, Copy)]
enum Ahead {
    Touched,
    Untouched,
}

/// Measures answers, `iterations` of them in batches.
fn answers(bencher: &mut Bencher<'_>, filled: &mut Filled, ahead: Ahead) {
    bencher.iter_custom(|iterations| {
        let batches = iterations.div_ceil(BATCH_LEN as u64);
        let mut spent = Duration::ZERO;
        for _ in 0..batches {
            filled.draw();
            let start = Instant::now();
            filled.read_ahead(matches!(ahead, Ahead::Touched));
            black_box(filled.answer());
            spent += start.elapsed();
        }
        // What was measured is whole batches.
        spent.mul_f64(iterations as f64 / (batches * BATCH_LEN as u64) as f64)
    });
}

/// Synthesized AAAA from caches of several sizes.
fn hits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit");
    for names in NAMES {
        // Filling takes long: it is done only if one of the two is measured.
        let mut filled = None;
        for (label, ahead) in [("touched", Ahead::Touched), ("untouched", Ahead::Untouched)] {
            let id = BenchmarkId::new(names.to_string(), label);
            group.bench_function(id, |bencher| {
                let filled = filled.get_or_insert_with(|| Filled::new(Kind::Synthesized, names));
                answers(bencher, filled, ahead);
            });
        }
    }
    group.finish();
}

/// The other kinds of replies, from a small cache.
fn kinds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kind");
    for (label, kind) in [
        ("native", Kind::Native),
        ("ptr", Kind::Reverse),
        ("nxdomain", Kind::Denied),
        ("formerr", Kind::Error),
    ] {
        group.bench_function(label, |bencher| {
            let names = if kind == Kind::Error { 0 } else { 1_000 };
            answers(bencher, &mut Filled::new(kind, names), Ahead::Untouched);
        });
    }
    group.finish();
}

/// Parts: reading a query, compiling a response; and all of a cold answer.
fn parts(criterion: &mut Criterion) {
    let query = Query::new(Kind::Synthesized, 7);
    criterion.bench_function("parse", |bencher| {
        bencher.iter(|| dns64::wire::Query::parse(black_box(query.octets())).is_ok());
    });

    let mut response = query.octets()[..query.octets().len() - 11].to_vec();
    let name = response[12..response.len() - 4].to_vec();
    let type_place = response.len() - 4;
    response[type_place..type_place + 2].copy_from_slice(&[0, 1]);
    response[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]);
    for host in [33, 34] {
        response.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02");
        response.push(host);
    }
    let asked = Asked { name: &name, rtype: Rtype::A, class: Class::IN, dnssec_ok: false };
    let bounds = TtlBounds { min_secs: 0, max_secs: 86_400, max_negative_secs: 3_600 };
    let mut compiled = Vec::new();
    criterion.bench_function("compile", |bencher| {
        bencher.iter(|| {
            let message = Message::from_vec(black_box(&response)).expect("a good response");
            compile(&message, asked, bounds, &mut compiled).expect("an answer");
            Answer::read(&compiled).map(|answer| answer.compiled_len())
        });
    });

    let mut filled = Filled::with_room(Kind::Synthesized, 1, 64 << 20);
    let mut number = 0;
    criterion.bench_function("cold", |bencher| {
        bencher.iter(|| {
            filled.fill(number);
            number = number.wrapping_add(1);
        });
    });
}

criterion_group!(benches, parts, kinds, hits);
criterion_main!(benches);
