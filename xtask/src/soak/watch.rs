//! What goes on beside the load all the time: snapshots, and looking at what the members take.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::usage::{Sample, disk, memory};
use crate::cluster::orders::take_snapshot;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(2);
/// So many failures are told word for word.
const TOLD: usize = 5;

/// A member that runs and has a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Its id.
    pub(crate) id: u16,
    /// Its process.
    pub(crate) pid: u32,
    /// Where its clients reach it.
    pub(crate) address: String,
    /// Its folder.
    pub(crate) dir: PathBuf,
}

/// What was seen and done so far.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// What the members took.
    pub(crate) samples: Vec<Sample>,
    /// Snapshots that became durable when they were asked for.
    pub(crate) snapshots: u64,
    /// Snapshots that were asked for and did not, though their member was there all the time.
    pub(crate) failed: u64,
    /// What the first of those were told.
    pub(crate) failures: Vec<String>,
}

/// Tasks that end when this is dropped.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    seats: Mutex<Vec<Seat>>,
    seen: Mutex<Seen>,
}

impl Watch {
    /// Looks from now on, and lets every member take a snapshot so often.
    pub(crate) fn start(seats: Vec<Seat>, snapshots: Duration) -> Self {
        let shared = Arc::new(Shared {
            seats: Mutex::new(seats),
            seen: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&shared).look());
        tasks.spawn(Arc::clone(&shared).take_snapshots(snapshots));
        Self { shared, tasks }
    }

    /// These are the members from now on.
    pub(crate) fn set(&self, seats: Vec<Seat>) {
        *lock(&self.shared.seats) = seats;
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        lock(&self.shared.seen).clone()
    }

    /// Looks and takes no more.
    pub(crate) fn stop(mut self) -> Seen {
        self.tasks.abort_all();
        self.seen()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole after every line here, so a panic elsewhere spoils nothing.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    async fn look(self: Arc<Self>) {
        let began = Instant::now();
        let mut ticks = interval(LOOK);
        loop {
            ticks.tick().await;
            let seats = lock(&self.seats).clone();
            let at = began.elapsed();
            let taken = tokio::task::spawn_blocking(move || {
                let each = seats
                    .iter()
                    .map(|seat| (seat.id, memory(seat.pid), disk(&seat.dir)));
                each.collect::<Vec<_>>()
            });
            let taken = taken
                .await
                .expect("looking neither panics nor is cancelled");
            lock(&self.seen).samples.extend(sample(at, &taken));
        }
    }

    async fn take_snapshots(self: Arc<Self>, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut asked = JoinSet::new();
            for seat in lock(&self.seats).clone() {
                asked.spawn(async move { (take_snapshot(&seat.address).await, seat) });
            }
            while let Some(taken) = asked.join_next().await {
                let (taken, seat) = taken.expect("asking neither panics nor is cancelled");
                self.note(&seat, taken);
            }
        }
    }

    fn note(&self, seat: &Seat, taken: anyhow::Result<()>) {
        let there = lock(&self.seats).contains(seat);
        let mut seen = lock(&self.seen);
        match taken {
            Ok(()) => seen.snapshots += 1,
            // Who was killed meanwhile takes none.
            Err(_) if !there => {}
            Err(error) => {
                seen.failed += 1;
                if seen.failures.len() < TOLD {
                    seen.failures.push(format!("member {}: {error:#}", seat.id));
                }
            }
        }
    }
}

fn sample(at: Duration, taken: &[(u16, f64, f64)]) -> Option<Sample> {
    // A member that was killed just now shows no memory.
    let (_, elder_memory, elder_disk) = *taken.first().filter(|(_, memory, _)| *memory > 0.0)?;
    let most = |of: fn(&(u16, f64, f64)) -> f64| taken.iter().map(of).fold(0.0, f64::max);
    Some(Sample {
        at,
        elder_memory,
        elder_disk,
        most_memory: most(|taken| taken.1),
        most_disk: most(|taken| taken.2),
    })
}
