//! A follower behind 1 MB/s, 256 MB of load.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate::core::{Direction, Flow, NodeId};
use quorate::replication::Budget;
use quorate::transport::{Direction as Way, Fault};
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::load::{self, Outcome, Spread, Until};
use crate::{directions, verdict};

/// Large enough to go hollow by `mixed`.
const BYTES: usize = 64 << 10;
/// Long enough for the follower to be behind while the load lasts.
const WRITES: u64 = (256 << 20) / BYTES as u64;
const CLIENTS: usize = 16;
const SLOW: u64 = 1_000_000;
/// A run with the slow follower between two without, so often.
const ROUNDS: usize = 5;
/// How often the link is looked at.
const LOOK: Duration = Duration::from_millis(10);

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

/// A run with the slow follower and the two around it.
struct Round {
    free: [Outcome; 2],
    slow: Seen,
}

impl Round {
    async fn run(direction: Direction) -> Self {
        let before = undisturbed(direction).await;
        let slow = disturbed(direction).await;
        let free = [before, undisturbed(direction).await];
        Self { free, slow }
    }

    /// The percentile without the slow follower, and with it.
    fn percentiles(&self, percent: usize) -> [f64; 2] {
        let [before, after] = self.free.each_ref().map(|free| free.percentile(percent));
        let slow = self.slow.outcome.percentile(percent);
        [(before + after) / 2, slow].map(|time| time.as_secs_f64())
    }

    /// How many times the percentile with the slow follower is that without.
    fn ratio(&self, percent: usize) -> f64 {
        let [free, slow] = self.percentiles(percent);
        slow / free
    }

    /// The same ratio of the two runs without it: what the machine does by itself.
    fn noise(&self) -> f64 {
        let [before, after] = self.free.each_ref().map(|free| free.percentile(50));
        after.as_secs_f64() / before.as_secs_f64()
    }
}

/// Whether everything kept its bound.
pub(crate) async fn run() -> bool {
    println!(
        "one follower behind {SLOW} B/s, 256 MB in commands of 64 KiB, {CLIENTS} clients, 3 members, raft, fsync\n\
         medians (least to most) of {ROUNDS} rounds: a run with it between two without; noise: the same of these two"
    );
    println!(
        "{:<6} {:>8} {:>8}  {:<18} {:<18} {:<18} {:>9} {:>11} {:>9}  flows",
        "",
        "p50 free",
        "p50 slow",
        "ratio",
        "of p99",
        "noise",
        "held (MB)",
        "socket (MB)",
        "caught up"
    );
    let mut holds = true;
    for direction in directions() {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(Round::run(direction).await);
        }
        holds &= report(direction, &rounds);
    }
    let bound = Budget::default().held_max();
    println!("bound of what may be held: {:.1} MB\n", bound as f64 / 1e6);
    holds
}

/// Whether all rounds of a direction kept their bounds, the ratio in the middle.
fn report(direction: Direction, rounds: &[Round]) -> bool {
    let of = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let ratio = of(&|round| round.ratio(50));
    let most = |value: &dyn Fn(&Seen) -> u64| rounds.iter().map(|round| value(&round.slow)).max();
    let held = most(&|seen| seen.held.0).unwrap_or_default();
    let socket = most(&|seen| seen.held.1).unwrap_or_default();
    let caught_up = rounds.iter().map(|round| round.slow.caught_up).max();
    let kept = |Seen { equal, flows, .. }: &Seen| {
        *equal && (direction != Direction::Auto || *flows == ["push", "pull", "push"])
    };
    let kept = rounds.iter().all(|round| kept(&round.slow));
    let fine = ratio.middle <= 1.2 && held <= Budget::default().held_max() && kept;
    println!(
        "{:<6} {:>5.1} ms {:>5.1} ms  {:<18} {:<18} {:<18} {:>9.2} {:>11.2} {:>9.2?}  {}  {}",
        direction.name(),
        of(&|round| round.percentiles(50)[0]).middle * 1e3,
        of(&|round| round.percentiles(50)[1]).middle * 1e3,
        ratio.to_string(),
        of(&|round| round.ratio(99)).to_string(),
        of(&Round::noise).to_string(),
        held as f64 / 1e6,
        socket as f64 / 1e6,
        caught_up.unwrap_or_default(),
        flows(rounds),
        verdict(fine)
    );
    fine
}

/// What was in force on its link, and if it was not the same in all rounds, each of them.
fn flows(rounds: &[Round]) -> String {
    let mut all: Vec<_> = rounds
        .iter()
        .map(|round| round.slow.flows.join(" "))
        .collect();
    all.dedup();
    all.join(", ")
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
    // The load may be over before a peer counts as behind.
    sleep(2 * Budget::default().behind_after).await;
    cluster.members[leader].faults().clear(victim, Way::Out);
    let (caught_up, equal) = cluster.settled().await;
    restored(&cluster, leader, victim).await;
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

/// Waits until the link is as it was at first, or for much longer than that may take; and for a look more.
async fn restored(cluster: &Cluster, leader: usize, victim: NodeId) {
    let end = Instant::now() + 5 * Budget::default().restore_after;
    let behind = [Flow::Pull, Flow::Catchup];
    loop {
        let link = cluster.flow(leader, victim).await;
        let adapts = matches!(link.direction, Direction::Mixed | Direction::Auto);
        if !adapts || !behind.contains(&link.flow) || Instant::now() > end {
            break;
        }
        sleep(10 * LOOK).await;
    }
    sleep(10 * LOOK).await;
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
        sleep(LOOK).await;
    }
}
