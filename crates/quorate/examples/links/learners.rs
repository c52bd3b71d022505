//! Ten learners, and what they cost the leader.

use quorate::core::Direction;

use crate::cluster::Cluster;
use crate::load::{self, Until};
use crate::verdict;

const BYTES: usize = 4 << 10;
const WRITES: u64 = (32 << 20) / BYTES as u64;
const CLIENTS: usize = 32;

/// Whether ten learners cost no more than half of what two followers do.
pub(crate) async fn run() -> bool {
    println!(
        "bytes that the leader hands to its sockets, 32 MB in commands of 4 KiB, 3 members, raft, mixed, fsync"
    );
    let (alone, _) = sent(0).await;
    let (with, equal) = sent(10).await;
    let ratio = with / alone;
    let holds = ratio <= 1.5 && equal;
    println!(
        "two followers {:.1} MB, two followers and ten learners {:.1} MB, ratio {ratio:.2}, all equal: {equal}  {}\n",
        alone / 1e6,
        with / 1e6,
        verdict(holds)
    );
    holds
}

async fn sent(learners: u64) -> (f64, bool) {
    let cluster = Cluster::start(Direction::Mixed, learners).await;
    let leader = cluster.leader().await;
    let before = cluster.sent(leader);
    load::run(
        &cluster.members[leader..=leader],
        CLIENTS,
        BYTES,
        Until::Writes(WRITES),
    )
    .await;
    let (_, equal) = cluster.settled().await;
    let sent = cluster.sent(leader) - before;
    cluster.stop().await;
    (sent as f64, equal)
}
