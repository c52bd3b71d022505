//! Three members in one process, by durability, by what lies between the members, and by number of clients.
//!
//! Directories are made in the current one, or where `QUORATE_BENCH_DIR` says: that disk is measured.

use std::time::Duration;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use quorate_benches::cluster::{CLIENTS, Links, Nodes, closed_count};
use quorate_benches::cores::Contender;
use quorate_benches::journal::directory;
use quorate_core::Durability;
use quorate_paxos::Paxos;
use quorate_raft::Raft;
use tokio::runtime::Runtime;

const PAYLOAD: usize = 256;

fn cells<L>(criterion: &mut Criterion, runtime: &Runtime, (durability, links): (Durability, Links))
where
    L: Contender + Send + 'static,
    L::Config: Send + 'static,
{
    let dir = directory();
    let nodes = runtime.block_on(Nodes::start::<L>(3, durability, links, &dir));
    let mut group = criterion.benchmark_group(format!("cluster {durability} {links}"));
    group.sampling_mode(SamplingMode::Flat);
    for clients in CLIENTS {
        // One iteration is a commit of each client.
        group.throughput(Throughput::Elements(clients as u64));
        group.bench_function(
            BenchmarkId::new(L::NAME, format!("{clients} clients")),
            |bencher| {
                bencher.iter_custom(|rounds| {
                    let commits = rounds * clients as u64;
                    runtime.block_on(closed_count(&nodes, clients, PAYLOAD, commits))
                });
            },
        );
    }
    group.finish();
    runtime.block_on(nodes.stop());
}

fn clusters(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    for cluster in [
        (Durability::Memory, Links::Pipes),
        (Durability::Memory, Links::Sockets),
        (Durability::Fsync, Links::Sockets),
    ] {
        cells::<Raft>(criterion, &runtime, cluster);
        cells::<Paxos>(criterion, &runtime, cluster);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = clusters
}
criterion_main!(benches);
