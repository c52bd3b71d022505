//! Clients that write.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quorate::core::Failure;
use quorate::node::Node;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::Tally;

/// What a load came to.
pub(crate) struct Outcome {
    pub(crate) took: Duration,
    pub(crate) acknowledged: u64,
    /// Writes of which nobody knows whether they took place.
    pub(crate) unknown: u64,
    /// Times from asking to acknowledgement, ascending.
    latencies: Vec<Duration>,
}

impl Outcome {
    /// The time below which so many of a hundred writes were acknowledged.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let place = self.latencies.len() * percent / 100;
        self.latencies.get(place).copied().unwrap_or_default()
    }

    pub(crate) fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.took.as_secs_f64()
    }
}

/// When a load ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Writes(u64),
    Over(Duration),
}

/// `clients` clients of `member`, each with one write of `bytes` bytes in flight.
pub(crate) async fn run(
    members: &[Node<Tally>],
    clients: usize,
    bytes: usize,
    until: Until,
) -> Outcome {
    let left = Arc::new(AtomicU64::new(match until {
        Until::Writes(count) => count,
        Until::Over(_) => u64::MAX,
    }));
    let began = Instant::now();
    let end = match until {
        Until::Over(time) => Some(began + time),
        Until::Writes(_) => None,
    };
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let (member, left) = (members[client % members.len()].clone(), Arc::clone(&left));
        tasks.spawn(one(member, bytes, client as u64, left, end));
    }
    let mut outcome = Outcome {
        took: Duration::ZERO,
        acknowledged: 0,
        unknown: 0,
        latencies: Vec::new(),
    };
    while let Some(done) = tasks.join_next().await {
        let (latencies, unknown) = done.expect("a client ends by itself");
        outcome.acknowledged += latencies.len() as u64;
        outcome.unknown += unknown;
        outcome.latencies.extend(latencies);
    }
    outcome.took = began.elapsed();
    outcome.latencies.sort_unstable();
    outcome
}

async fn one(
    member: Node<Tally>,
    bytes: usize,
    client: u64,
    left: Arc<AtomicU64>,
    end: Option<Instant>,
) -> (Vec<Duration>, u64) {
    let (mut latencies, mut unknown) = (Vec::new(), 0);
    let mut body = vec![0; bytes.max(16)];
    body[..8].copy_from_slice(&client.to_le_bytes());
    let more = |left: u64| left.checked_sub(1);
    while end.is_none_or(|end| Instant::now() < end)
        && left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    {
        body[8..16].copy_from_slice(&(latencies.len() as u64).to_le_bytes());
        let command = Bytes::copy_from_slice(&body);
        let asked = Instant::now();
        loop {
            match member.propose(command.clone()).await {
                Ok(_) => latencies.push(asked.elapsed()),
                Err(Failure::Unknown) => unknown += 1,
                // Surely not applied: once more.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
            }
            break;
        }
    }
    (latencies, unknown)
}

/// The middle of some figures, the least and the most.
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) middle: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<_> = figures.collect();
        figures.sort_by(f64::total_cmp);
        Self {
            least: figures[0],
            middle: figures[figures.len() / 2],
            most: figures[figures.len() - 1],
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            least,
            middle,
            most,
        } = self;
        write!(f, "{middle:.2} ({least:.2}-{most:.2})")
    }
}
