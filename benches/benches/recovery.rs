//! What a restart costs: a journal read by length, beside reading a file of that length; a log restored by records;
//! snapshots written and read.
//!
//! What was just written is in the page cache: this is what the processor has to do, not the disk.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use quorate_benches::cores::Contender;
use quorate_benches::journal::{Writer, directory, open};
use quorate_core::{
    BatchBuilder, ClusterId, Epoch, Input, Instant, Label, Mark, Memory, NodeId, Outbox, Output,
    Position, Ticket,
};
use quorate_journal::{FileDisk, SnapshotStore};
use quorate_paxos::Paxos;
use quorate_raft::Raft;

const RECORD: usize = 64 << 10;

fn fill(dir: &Path, bytes: u64) {
    let mut writer = Writer::open(dir, RECORD);
    for _ in 0..bytes / (RECORD as u64 * 16) {
        writer.write(16);
    }
}

fn journals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recovery of a journal");
    group.sampling_mode(SamplingMode::Flat);
    for mebibytes in [16u64, 128] {
        let (bytes, dir) = (mebibytes << 20, directory());
        let (journal, plain) = (dir.path().join("journal"), dir.path().join("plain"));
        fill(&journal, bytes);
        fs::write(&plain, vec![7; bytes as usize]).expect("the disk writes");
        group.throughput(Throughput::Bytes(bytes));
        let parameter = format!("{mebibytes} MiB");
        group.bench_function(BenchmarkId::new("read", &parameter), |bencher| {
            bencher.iter(|| fs::read(&plain).expect("it is there").len());
        });
        group.bench_function(BenchmarkId::new("journal", &parameter), |bencher| {
            bencher.iter(|| {
                let (_journal, records) = open(&journal);
                let read = records.map(|record| record.expect("it is sound"));
                read.map(|(_, payload)| payload.len()).sum::<usize>()
            });
        });
    }
}

/// The records of a leader alone that wrote so many.
fn records<L: Contender>(writes: u64) -> Vec<(Mark, L::Record)> {
    let (mut log, mut outbox, mut now) = (restored::<L>(&[]), Outbox::new(), Instant::ZERO);
    let (mut records, mut proposed) = (Vec::new(), 0);
    while proposed < writes {
        let status = log.status();
        let input = if status.leader.is_some() {
            proposed += 1;
            let mut builder = BatchBuilder::new();
            (0..16).for_each(|_| builder.push(&[7; 256]));
            let batch = builder.finish(Label::default()).expect("commands");
            Input::Propose {
                ticket: Ticket(proposed),
                batch,
            }
        } else {
            now = log.deadline().unwrap_or(now).max(now);
            Input::Tick
        };
        log.step(now, input, &mut outbox);
        while !outbox.is_empty() {
            let mut last = None;
            for output in outbox.drain() {
                if let Output::Persist { mark, record } = output {
                    records.push((mark, record));
                    last = Some(mark);
                }
            }
            if let Some(upto) = last {
                log.step(now, Input::Durable { upto }, &mut outbox);
            }
        }
    }
    records
}

fn restored<L: Contender>(records: &[(Mark, L::Record)]) -> L {
    let id = NodeId(1);
    let memory = Memory {
        durable: records.last().map_or(Mark::ZERO, |(mark, _)| *mark),
        records: &mut records.iter().cloned(),
        snapshot: None,
        configuration: None,
    };
    L::restore(L::config(id, &[id]), Instant::ZERO, memory).expect("its own records")
}

fn log<L: Contender>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("restore, records of 16 commands");
    for count in [1_000, 10_000] {
        let records = records::<L>(count);
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new(L::NAME, count), |bencher| {
            bencher.iter(|| restored::<L>(&records).status().last);
        });
    }
}

fn logs(criterion: &mut Criterion) {
    log::<Raft>(criterion);
    log::<Paxos>(criterion);
}

fn snapshots(criterion: &mut Criterion) {
    const BYTES: u64 = 64 << 20;
    let mut group = criterion.benchmark_group("snapshot of 64 MiB");
    group
        .sampling_mode(SamplingMode::Flat)
        .throughput(Throughput::Bytes(BYTES));
    let dir = directory();
    let disk = FileDisk::open(dir.path()).expect("the directory is new");
    let (store, _) = SnapshotStore::open(disk, ClusterId(1), 1 << 20).expect("it is empty");
    let (chunk, mut position) = (Bytes::from(vec![7; 1 << 20]), Position::ZERO);
    group.bench_function("written, synced, read back", |bencher| {
        bencher.iter(|| {
            position = position.next();
            let mut writer = store
                .write(position, Epoch::default())
                .expect("a newer one");
            for _ in 0..BYTES >> 20 {
                writer.write(&chunk).expect("the disk writes");
            }
            writer.finish().expect("the disk syncs")
        });
    });
    let Some(newest) = store.newest() else { return };
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            let chunks = store.read(&newest).expect("it is there");
            chunks
                .map(|chunk| chunk.expect("it is sound").len())
                .sum::<usize>()
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = journals, logs, snapshots
}
criterion_main!(benches);
