//! Does the state machine stand still while a snapshot of it is written? A store of a million keys, on which one command
//! after the other is applied, in turns with nothing beside, with a thread beside that writes as many bytes of nothing to disk
//! and reads them back, and with one that does so with the store's snapshot. What the second takes is the machine's doing; what
//! the third takes beyond it is the snapshot's: on the clock, and of the processor.
//!
//! ```text
//! cargo run --release -p quorate-benches --example pause -- [keys] [rounds]
//! ```

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_benches::rounds::thread_time;
use quorate_core::{At, ClusterId, Epoch, Position, SnapshotSource, StateMachine, Timestamp};
use quorate_journal::{FileDisk, SnapshotError, SnapshotStore};
use quorate_kv::store::{Expiry, KvSnapshot, Only, Raw};
use quorate_kv::{Command, KvStore};
use quorate_load::Latency;

/// Bytes that are asked of the state at once, as the node does.
const CHUNK_BYTES: usize = 256 << 10;
const VALUE_BYTES: usize = 100;
/// The target: no longer than this beyond the longest without.
const PAUSE_MAX: Duration = Duration::from_millis(10);

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse());
    let keys: u64 = numbers.next().unwrap_or(Ok(1_000_000))?;
    let rounds: u64 = numbers.next().unwrap_or(Ok(10))?;
    let dir = tempfile::tempdir_in(".")?;
    let disk = FileDisk::open(dir.path())?;
    let (files, _) = SnapshotStore::open(disk, ClusterId(1), CHUNK_BYTES as u32)?;
    let mut bench = Bench::filled(keys);
    println!("{keys} keys with {VALUE_BYTES} bytes each, {rounds} rounds\n");
    println!("| round | beside | commands | p99.9 | longest | most of the processor |");
    println!("|---|---|---|---|---|---|");
    let mut longest = [const { Vec::new() }; 3];
    for round in 1..=rounds {
        let with = bench.beside(&files, 2 * round, |store| Source::Store(store.snapshot()))?;
        let bytes = files.newest().map_or(0, |newest| newest.bytes);
        let other = bench.beside(&files, 2 * round + 1, |_| Source::Nothing(bytes))?;
        let alone = bench.apply(|commands| commands < with.commands);
        for (name, course, longest) in ["nothing", "other bytes", "its snapshot"]
            .into_iter()
            .zip([alone, other, with])
            .zip(&mut longest)
            .map(|((name, course), longest)| (name, course, longest))
        {
            println!("| {round} | {name} | {course} |");
            longest.push(course.longest);
        }
    }
    let [alone, other, with] = longest.map(middle);
    let beyond = with.saturating_sub(other);
    let verdict = if beyond <= PAUSE_MAX {
        "holds"
    } else {
        "is missed"
    };
    println!(
        "\nthe longest of a round, in the middle: {alone:.1?} beside nothing, {other:.1?} beside other bytes, {with:.1?} \
         beside its snapshot: at most {PAUSE_MAX:?} beyond {verdict}"
    );
    Ok(())
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// What is written.
enum Source {
    Store(KvSnapshot),
    /// So many zeros.
    Nothing(u64),
}

impl SnapshotSource for Source {
    fn next_chunk(&mut self, bytes_max: usize) -> Option<Bytes> {
        match self {
            Self::Store(snapshot) => snapshot.next_chunk(bytes_max),
            Self::Nothing(0) => None,
            Self::Nothing(left) => {
                let bytes = bytes_max.min(*left as usize);
                *left -= bytes as u64;
                Some(Bytes::from(vec![0; bytes]))
            }
        }
    }
}

/// Writes a snapshot, as a member's thread does.
fn write(
    files: &SnapshotStore<FileDisk>,
    mut snapshot: Source,
    position: Position,
) -> Result<(), SnapshotError> {
    let mut writer = files.write(position, Epoch::default())?;
    while let Some(chunk) = snapshot.next_chunk(CHUNK_BYTES) {
        writer.write(&chunk)?;
    }
    writer.finish().map(drop)
}

struct Bench {
    store: KvStore,
    keys: u64,
    drawn: u64,
}

impl Bench {
    fn filled(keys: u64) -> Self {
        let mut bench = Self {
            store: KvStore::new(),
            keys,
            drawn: 1,
        };
        for key in 0..keys {
            bench.set(key);
        }
        bench
    }

    fn set(&mut self, key: u64) {
        let name = format!("key:{key}");
        let command = Command::Set {
            key: Raw(name.as_bytes()),
            value: Raw(&[7; VALUE_BYTES]),
            only: Only::Always,
            expiry: Expiry::Never,
            get: false,
        };
        let at = At {
            position: Position(1),
            time: Timestamp(1),
        };
        self.store.apply(at, &command.encode());
    }

    /// Sets keys at random while a thread writes this.
    fn beside(
        &mut self,
        files: &SnapshotStore<FileDisk>,
        position: u64,
        source: impl Fn(&KvStore) -> Source,
    ) -> Result<Course, SnapshotError> {
        let (source, files) = (source(&self.store), files.clone());
        let writer = thread::spawn(move || write(&files, source, Position(position)));
        let course = self.apply(|commands| commands < 1000 || !writer.is_finished());
        writer.join().expect("the writer does not panic")?;
        Ok(course)
    }

    /// Sets keys at random as long as told.
    fn apply(&mut self, mut goes_on: impl FnMut(u64) -> bool) -> Course {
        let mut course = Course::default();
        while goes_on(course.commands) {
            // A multiplicative generator (Lehmer 1951): any order of the keys will do.
            self.drawn = self.drawn.wrapping_mul(0xda94_2042_e4dd_58b5);
            let key = (self.drawn >> 16) % self.keys;
            let (begun, used) = (Instant::now(), thread_time());
            self.set(key);
            let used = thread_time().saturating_sub(used);
            course.record(begun.elapsed(), used);
        }
        course
    }
}

/// How long commands took.
#[derive(Default)]
struct Course {
    commands: u64,
    latency: Latency,
    longest: Duration,
    /// The most that one took of the processor.
    used: Duration,
}

impl Course {
    fn record(&mut self, latency: Duration, used: Duration) {
        self.commands += 1;
        self.latency.record(latency);
        self.longest = self.longest.max(latency);
        self.used = self.used.max(used);
    }
}

impl std::fmt::Display for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let p999 = self.latency.at(0.999).unwrap_or_default();
        let (commands, longest, used) = (self.commands, self.longest, self.used);
        write!(f, "{commands} | {p999} µs | {longest:.1?} | {used:.1?}")
    }
}
