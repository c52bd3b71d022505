//! The codec beside what the machine does with the same bytes: copying them, and their crc32c.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quorate_core::{BatchBuilder, Label, Position, decode, encode};
use quorate_raft::{Append, Message, Point, Run, Term};

/// An append of one batch: the message that carries nearly all bytes.
fn message(payload: usize, commands: usize) -> Message {
    let mut builder = BatchBuilder::new();
    (0..commands).for_each(|_| builder.push(&vec![7; payload]));
    let batch = builder.finish(Label::default()).expect("commands");
    Message::Append(Append {
        term: Term(3),
        prev: Point {
            position: Position(1_000_000),
            term: Term(3),
        },
        commit: Position(999_999),
        runs: [Run {
            term: Term(3),
            batch,
        }]
        .into_iter()
        .collect(),
    })
}

fn codec(criterion: &mut Criterion) {
    for (payload, commands) in [(16, 1), (256, 16), (256, 256), (4096, 16)] {
        let message = message(payload, commands);
        let wire = encode(&message).to_bytes();
        let mut group = criterion.benchmark_group("codec");
        group.throughput(Throughput::Bytes(wire.len() as u64));
        let parameter = format!("{commands} x {payload} B");
        group.bench_function(BenchmarkId::new("encode", &parameter), |bencher| {
            bencher.iter(|| encode(black_box(&message)));
        });
        group.bench_function(BenchmarkId::new("decode", &parameter), |bencher| {
            bencher.iter(|| decode::<Message>(black_box(&wire).clone()).expect("its own bytes"));
        });
        group.bench_function(BenchmarkId::new("memcpy", &parameter), |bencher| {
            bencher.iter(|| Bytes::copy_from_slice(black_box(&wire)));
        });
        group.bench_function(BenchmarkId::new("crc32c", &parameter), |bencher| {
            bencher.iter(|| crc32c::crc32c(black_box(&wire)));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    targets = codec
}
criterion_main!(benches);
