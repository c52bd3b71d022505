//! The bare protocols: members in one thread, by payload, batch and number of members.

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use quorate_benches::cores::{Contender, Cores, Members, Shape};
use quorate_paxos::Paxos;
use quorate_raft::Raft;
use std::time::Duration;

fn cell<L: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, shape: Shape, parameter: &str) {
    group.throughput(Throughput::Elements(shape.commands()));
    let mut members = Members::<L>::new(shape);
    group.bench_function(BenchmarkId::new(L::NAME, parameter), |bencher| {
        bencher.iter(|| members.round());
    });
}

fn payloads_and_batches(criterion: &mut Criterion) {
    for payload in Shape::PAYLOADS {
        let mut group = criterion.benchmark_group(format!("cores {payload} B"));
        for batch in Shape::BATCHES {
            let shape = Shape::new(payload, batch);
            let parameter = format!("batch {batch}");
            cell::<Raft>(&mut group, shape, &parameter);
            cell::<Paxos>(&mut group, shape, &parameter);
        }
    }
}

fn members(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cores by members, 256 B, batch 16");
    for members in [3, 5, 7] {
        let shape = Shape {
            members,
            ..Shape::new(256, 16)
        };
        let parameter = format!("{members} members");
        cell::<Raft>(&mut group, shape, &parameter);
        cell::<Paxos>(&mut group, shape, &parameter);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = payloads_and_batches, members
}
criterion_main!(benches);
