//! The journal beside a bare loop of write and `fdatasync` of equal batches, on the same disk.
//!
//! The ratio of the two, from rounds that alternate, is printed before criterion's own figures.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quorate_benches::journal::{Writer, directory};
use quorate_benches::raw::RawFile;
use quorate_benches::rounds::alternate;

const RECORD: usize = 256;
/// Bytes that the journal puts before a record.
const HEADER: usize = 48;
/// Records written before a sync.
const BATCHES: [u64; 3] = [1, 16, 256];
/// As long as a segment: both meet the same disk.
const LENGTH: u64 = 64 << 20;
/// Syncs in a round that alternates.
const SYNCS: u64 = 20;

/// What is measured.
enum Kind {
    Raw(RawFile),
    Journal(Box<Writer>),
}

impl Kind {
    const fn name(&self) -> &'static str {
        match self {
            Self::Raw(_) => "raw",
            Self::Journal(_) => "journal",
        }
    }

    /// Writes `syncs` batches, each of which is on disk before the next; how long that took.
    fn write(&mut self, batch: u64, syncs: u64) -> Duration {
        let bytes = vec![7; (HEADER + RECORD).next_multiple_of(8) * batch as usize];
        let mut took = Duration::ZERO;
        for sync in 0..syncs {
            if let (Self::Journal(writer), 0) = (&mut *self, sync % SYNCS) {
                writer.tidy();
            }
            let begun = Instant::now();
            match self {
                Self::Raw(file) => file.append(&bytes).expect("the disk writes"),
                Self::Journal(writer) => writer.write(batch),
            }
            took += begun.elapsed();
        }
        took
    }
}

fn syncs(criterion: &mut Criterion) {
    let dir = directory();
    let raw = RawFile::create(&dir.path().join("raw"), LENGTH).expect("the disk writes");
    let journal = Writer::open(&dir.path().join("journal"), RECORD);
    let mut kinds = [Kind::Raw(raw), Kind::Journal(Box::new(journal))];
    for batch in BATCHES {
        let rates = alternate(15, &mut kinds, |kind| {
            (batch * SYNCS) as f64 / kind.write(batch, SYNCS).as_secs_f64()
        });
        let [raw, own] = [rates[0].median, rates[1].median];
        let ratio = own / raw;
        println!("journal / raw, {batch} a sync: {own:.0} / {raw:.0} records/s = {ratio:.2}");
    }
    let mut group = criterion.benchmark_group("journal fsync, 256 B records");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch));
        for kind in &mut kinds {
            let id = BenchmarkId::new(kind.name(), format!("{batch} a sync"));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|syncs| kind.write(batch, syncs));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = syncs
}
criterion_main!(benches);
