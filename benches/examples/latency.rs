//! How long does one client wait for one durable commit, beside what no cluster can be quicker than: one `fdatasync` of a
//! file written before, and one round trip over loopback? And is it worth while that members sync small writes in their own
//! thread? Rounds alternate.
//!
//! Three members on one disk sync at the same time, and disturb each other: a row of its own says what three bare files do.
//!
//! ```text
//! cargo run --release -p quorate-benches --example latency -- [rounds]
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use quorate_benches::cluster::Apart;
use quorate_benches::journal::directory;
use quorate_benches::raw::{RawFile, RawTcp};
use quorate_benches::rounds::alternate;
use quorate_paxos::Paxos;
use quorate_raft::Raft;

const PAYLOAD: usize = 256;
/// Commits, syncs, and round trips of a round.
const TIMES: usize = 100;
/// How long many clients call in a round.
const ROUND: Duration = Duration::from_millis(100);
/// Longer than a sync takes: the core always syncs by itself.
const HERE: Duration = Duration::from_secs(1);

/// Something to wait for, and how long that took.
struct Waited<'a> {
    name: &'static str,
    wait: Box<dyn FnMut() -> Vec<Duration> + 'a>,
    took: Vec<Duration>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = std::env::args()
        .nth(1)
        .map_or(Ok(20), |text| text.parse())?;
    let homes = [(); 3].map(|()| directory());
    let raw = directory();
    let mut file = RawFile::create(&raw.path().join("raw"), 64 << 20)?;
    let mut three = Three::create(raw.path())?;
    let mut tcp = RawTcp::ping_pong(PAYLOAD)?;
    let raft = Apart::start::<Raft>(&homes[0], HERE);
    let paxos = Apart::start::<Paxos>(&homes[1], HERE);
    let threaded = Apart::start::<Raft>(&homes[2], Duration::ZERO);
    let mut waited = [
        waited("fdatasync", || syncs(&mut file)),
        waited("fdatasync of three files at once", || three.syncs()),
        waited("round trip", || round_trips(&mut tcp)),
        waited("raft", || raft.commits(PAYLOAD, TIMES)),
        waited("paxos", || paxos.commits(PAYLOAD, TIMES)),
        waited("raft, sync by another thread", || {
            threaded.commits(PAYLOAD, TIMES)
        }),
    ];
    for round in 0..=rounds {
        for one in &mut waited {
            let took = (one.wait)();
            // The first is for warming up.
            if round > 0 {
                one.took.extend(took);
            }
        }
    }
    let [file, three, trip] = [0, 1, 2].map(|place: usize| at(&mut waited[place].took, 50));
    let limit = file + trip;
    println!("with three files at once the limit is {:?}", three + trip);
    println!("| | p50, µs | p90, µs | p99, µs | p50 / (fdatasync + round trip) |");
    println!("|---|---|---|---|---|");
    for one in &mut waited {
        let [half, most, worst] = [50, 90, 99].map(|share| at(&mut one.took, share));
        let ratio = half.as_secs_f64() / limit.as_secs_f64();
        let [half, most, worst] = [half, most, worst].map(|time| time.as_micros());
        println!("| {} | {half} | {most} | {worst} | {ratio:.2} |", one.name);
    }
    drop(waited);
    rates(rounds, &raft, &threaded);
    for cluster in [raft, paxos, threaded] {
        cluster.stop();
    }
    Ok(())
}

/// What it does to many clients that the core syncs by itself.
fn rates(rounds: usize, here: &Apart, threaded: &Apart) {
    println!("| clients | raft, commits/s | raft, sync by another thread | ratio |");
    println!("|---|---|---|---|");
    for clients in [1, 16, 64, 256] {
        let rates = alternate(rounds, &mut [here, threaded], |cluster| {
            cluster.rate(clients, PAYLOAD, ROUND)
        });
        let [here, threaded] = [rates[0].median, rates[1].median];
        let ratio = here / threaded;
        println!("| {clients} | {here:.0} | {threaded:.0} | {ratio:.2} |");
    }
}

fn waited<'a>(name: &'static str, wait: impl FnMut() -> Vec<Duration> + 'a) -> Waited<'a> {
    let wait = Box::new(wait);
    let took = Vec::new();
    Waited { name, wait, took }
}

fn syncs(file: &mut RawFile) -> Vec<Duration> {
    let bytes = [7; PAYLOAD];
    let mut one = || {
        let begun = Instant::now();
        file.append(&bytes).expect("the disk writes");
        begun.elapsed()
    };
    (0..TIMES).map(|_| one()).collect()
}

fn round_trips(tcp: &mut RawTcp) -> Vec<Duration> {
    let mut one = || tcp.ask(1).expect("loopback works");
    (0..TIMES).map(|_| one()).collect()
}

/// The time that so many of a hundred are not above.
fn at(times: &mut [Duration], share: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * share / 100]
}

/// Three files that threads of their own write and sync at the same time.
struct Three {
    threads: Vec<(Sender<()>, Receiver<Duration>)>,
}

impl Three {
    fn create(dir: &Path) -> Result<Self, Box<dyn Error>> {
        let thread = |place: usize| {
            let mut file = RawFile::create(&dir.join(place.to_string()), 16 << 20)?;
            let (go, told) = channel::<()>();
            let (tell, took) = channel();
            // It ends with the other ends.
            thread::spawn(move || {
                for () in told {
                    let begun = Instant::now();
                    file.append(&[7; PAYLOAD]).expect("the disk writes");
                    if tell.send(begun.elapsed()).is_err() {
                        return;
                    }
                }
            });
            Ok((go, took))
        };
        let threads: Result<_, std::io::Error> = (0..3).map(thread).collect();
        Ok(Self { threads: threads? })
    }

    fn syncs(&mut self) -> Vec<Duration> {
        let mut all = Vec::with_capacity(3 * TIMES);
        for _ in 0..TIMES {
            for (go, _) in &self.threads {
                go.send(()).expect("the thread lives");
            }
            let took = self.threads.iter().map(|(_, took)| took.recv());
            all.extend(took.map(|took| took.expect("the thread lives")));
        }
        all
    }
}
