//! A follower behind 1 MB/s, 64 MB of load.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate::core::{Direction, NodeId};
use quorate::replication::Budget;
use quorate::transport::{Direction as Way, Fault};
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::load::{self, Outcome, Until};
use crate::{DIRECTIONS, verdict};

const BYTES: usize = 16 << 10;
const WRITES: u64 = (64 << 20) / BYTES as u64;
const CLIENTS: usize = 16;
const SLOW: u64 = 1_000_000;
/// A run with the slow follower and one without, so often.
const ROUNDS: usize = 3;

/// What a run with the slow follower has shown.
struct Seen {
    outcome: Outcome,
    /// The most held for it on its link, and the most that waited for its socket.
    held: (u64, u64),
    caught_up: Duration,
    equal: bool,
    /// What was in force on its link, in this order.
    flows: Vec<String>,
}

/// Whether everything kept its bound.
pub(crate) async fn run() -> bool {
    println!(
        "one follower behind {SLOW} B/s, 64 MB in commands of 16 KiB, {CLIENTS} clients, 3 members, raft, fsync; medians of {ROUNDS}"
    );
    println!(
        "{:<6} {:>9} {:>9} {:>7} {:>12} {:>12} {:>10}  flows",
        "", "p50 free", "p50 slow", "ratio", "held (MB)", "socket (MB)", "caught up"
    );
    let bound = Budget::default().held_max();
    let mut holds = true;
    for direction in DIRECTIONS {
        let (mut ratios, mut free, mut slow) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = None;
        for _ in 0..ROUNDS {
            let without = undisturbed(direction).await;
            let with = disturbed(direction).await;
            free.push(without.median());
            slow.push(with.outcome.median());
            ratios.push(slow[slow.len() - 1].as_secs_f64() / free[free.len() - 1].as_secs_f64());
            seen = Some(with);
        }
        let seen = seen.expect("there is a round");
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ROUNDS / 2];
        let switched = direction != Direction::Auto || seen.flows == ["push", "pull", "push"];
        let fine = ratio <= 1.2 && seen.held.0 <= bound && seen.equal && switched;
        holds &= fine;
        println!(
            "{:<6} {:>9.2?} {:>9.2?} {ratio:>7.2} {:>12.2} {:>12.2} {:>10.2?}  {} {}",
            direction.name(),
            median(&mut free),
            median(&mut slow),
            seen.held.0 as f64 / 1e6,
            seen.held.1 as f64 / 1e6,
            seen.caught_up,
            seen.flows.join(" "),
            verdict(fine)
        );
    }
    println!("bound of what may be held: {:.1} MB\n", bound as f64 / 1e6);
    holds
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn undisturbed(direction: Direction) -> Outcome {
    let cluster = Cluster::start(direction, 0).await;
    let leader = cluster.leader().await;
    let outcome = load::run(
        &cluster.members[leader..=leader],
        CLIENTS,
        BYTES,
        Until::Writes(WRITES),
    )
    .await;
    cluster.stop().await;
    outcome
}

async fn disturbed(direction: Direction) -> Seen {
    let cluster = Arc::new(Cluster::start(direction, 0).await);
    let leader = cluster.leader().await;
    let victim = NodeId((leader as u64 + 1) % 3 + 1);
    let faults = cluster.members[leader].faults();
    faults.set(victim, Way::Out, Fault::bandwidth(SLOW));
    let watched = Arc::new(Mutex::new(Watched::default()));
    let watching = watch(Arc::clone(&cluster), leader, victim, Arc::clone(&watched));
    let watching = tokio::spawn(watching);
    let members = &cluster.members[leader..=leader];
    let outcome = load::run(members, CLIENTS, BYTES, Until::Writes(WRITES)).await;
    // The load is over sooner than a peer counts as behind.
    sleep(2 * Budget::default().behind_after).await;
    cluster.members[leader].faults().clear(victim, Way::Out);
    let (caught_up, equal) = cluster.settled().await;
    // Long enough to be restored.
    sleep(Budget::default().restore_after + Duration::from_millis(500)).await;
    watching.abort();
    // It may be in the middle of a look.
    let _ = watching.await;
    let Watched { held, flows } =
        std::mem::take(&mut *watched.lock().expect("nobody panics with it"));
    if let Ok(cluster) = Arc::try_unwrap(cluster) {
        cluster.stop().await;
    }
    Seen {
        outcome,
        held,
        caught_up,
        equal,
        flows,
    }
}

#[derive(Default)]
struct Watched {
    held: (u64, u64),
    flows: Vec<String>,
}

/// Looks at the link again and again.
async fn watch(cluster: Arc<Cluster>, leader: usize, victim: NodeId, watched: Arc<Mutex<Watched>>) {
    loop {
        let (flying, waiting) = cluster.held(leader, victim).await;
        let flow = cluster.flow(leader, victim).await.flow.to_string();
        {
            let mut watched = watched.lock().expect("nobody panics with it");
            watched.held = (watched.held.0.max(flying), watched.held.1.max(waiting));
            if watched.flows.last() != Some(&flow) {
                watched.flows.push(flow);
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
}
