//! Clients of a cluster in one process, each of which waits for an answer before it asks again.

mod apart;
mod nodes;
mod tally;

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

pub use self::apart::Apart;
pub use self::nodes::{Links, Nodes};
pub use self::tally::Tally;

/// Clients that are measured.
pub const CLIENTS: [usize; 5] = [1, 64, 256, 1024, 4096];

/// What a client sees of a cluster.
pub trait Service: Clone + Send + Sync + 'static {
    /// Hands a command in and waits until it is committed and applied where it was handed in.
    ///
    /// # Panics
    /// If that fails: the figures would be those of something else.
    fn commit(&self, command: Bytes) -> impl Future<Output = ()> + Send;
}

/// `clients` tasks commit commands of `payload` bytes, one after the other, for `time`. Commits a second.
///
/// # Panics
/// If a client does.
pub async fn closed_loop<S: Service>(
    service: &S,
    clients: usize,
    payload: usize,
    time: Duration,
) -> f64 {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        tasks.spawn(client(service.clone(), payload, begun + time));
    }
    let mut commits = 0;
    while let Some(done) = tasks.join_next().await {
        commits += done.expect("a client ends by itself");
    }
    commits as f64 / begun.elapsed().as_secs_f64()
}

/// The same for a number of commits in all, at least one a client; how long they took.
///
/// # Panics
/// If a client does.
pub async fn closed_count<S: Service>(
    service: &S,
    clients: usize,
    payload: usize,
    commits: u64,
) -> Duration {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for client in 0..clients as u64 {
        let share = commits / clients as u64 + u64::from(client < commits % clients as u64);
        let service = service.clone();
        tasks.spawn(async move {
            for _ in 0..share {
                service.commit(command(payload)).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a client ends by itself");
    }
    begun.elapsed()
}

async fn client<S: Service>(service: S, payload: usize, until: Instant) -> u64 {
    let mut commits = 0;
    loop {
        service.commit(command(payload)).await;
        commits += 1;
        if Instant::now() >= until {
            return commits;
        }
    }
}

/// A fresh one each time, as it comes from a connection.
fn command(payload: usize) -> Bytes {
    vec![7; payload].into()
}
