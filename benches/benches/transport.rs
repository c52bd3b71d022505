//! The transport beside bare TCP on loopback: a stream in one direction, and round trips.
//!
//! Each end has a thread and a runtime of its own, as two members have. The ratio of the two, from rounds that
//! alternate, is printed before criterion's own figures.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quorate_benches::pair::Pair;
use quorate_benches::raw::RawTcp;
use quorate_benches::rounds::alternate;

const SIZES: [usize; 2] = [64, 4096];
/// Frames of a stream in a round that alternates.
const FRAMES: u64 = 50_000;
/// Round trips in one.
const ASKED: u64 = 1_000;

/// What is measured.
enum Kind {
    Tcp(RawTcp),
    Transport(Pair),
}

impl Kind {
    const fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Transport(_) => "transport",
        }
    }

    fn both(size: usize, echo: bool) -> [Self; 2] {
        let tcp = if echo {
            RawTcp::ping_pong(size)
        } else {
            RawTcp::stream(size)
        };
        let tcp = tcp.expect("loopback works");
        [Self::Tcp(tcp), Self::Transport(Pair::new(size, echo))]
    }

    fn pour(&mut self, frames: u64) -> Duration {
        match self {
            Self::Tcp(tcp) => tcp.pour(frames).expect("loopback works"),
            Self::Transport(pair) => pair.pour(frames),
        }
    }

    fn ask(&mut self, rounds: u64) -> Duration {
        match self {
            Self::Tcp(tcp) => tcp.ask(rounds).expect("loopback works"),
            Self::Transport(pair) => pair.ask(rounds),
        }
    }
}

fn measure(
    criterion: &mut Criterion,
    what: &str,
    echo: bool,
    units: u64,
    work: fn(&mut Kind, u64) -> Duration,
) {
    for size in SIZES {
        let mut kinds = Kind::both(size, echo);
        let rates = alternate(9, &mut kinds, |kind| {
            units as f64 / work(kind, units).as_secs_f64()
        });
        let [tcp, own] = [rates[0].median, rates[1].median];
        println!(
            "transport / tcp, {what} {size} B: {own:.0} / {tcp:.0} a second = {:.2}",
            own / tcp
        );
        let mut group = criterion.benchmark_group(format!("transport {what}"));
        group.throughput(Throughput::Elements(1));
        for kind in &mut kinds {
            let id = BenchmarkId::new(kind.name(), format!("{size} B"));
            group.bench_function(id, |bencher| bencher.iter_custom(|count| work(kind, count)));
        }
    }
}

fn links(criterion: &mut Criterion) {
    measure(criterion, "stream", false, FRAMES, Kind::pour);
    measure(criterion, "round trip", true, ASKED, Kind::ask);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = links
}
criterion_main!(benches);
