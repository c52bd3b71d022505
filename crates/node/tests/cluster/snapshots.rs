//! Snapshots, and what is compacted behind them.

use std::path::Path;

use quorate_core::{NodeId, ReadLevel, SnapshotMeta};
use quorate_node::{Node, NodeConfig, StartError};
use quorate_raft::{Raft, RaftConfig};

use crate::harness::{Cluster, Counters, Member, count, increment_surely, status, until, within};

fn often(config: &mut NodeConfig, raft: &mut RaftConfig) {
    config.replica.snapshot_every_bytes = 64 << 10;
    raft.append_bytes_max = 64 << 10;
}

/// Names that are long enough for a few of them to fill a snapshot's interval.
fn long_name(number: usize) -> bytes::Bytes {
    format!("{number:08}{}", "x".repeat(4000)).into()
}

async fn fill(member: &Member, commands: usize) {
    for first in (0..commands).step_by(50) {
        let pending: Vec<_> = (first..first + 50)
            .map(|number| member.propose(long_name(number % 97)))
            .collect();
        for fate in pending {
            fate.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_for_long_fetches_a_snapshot() {
    let mut cluster = Cluster::start_tuned(3, often).await;
    let follower = cluster.follower().await;
    let left = cluster.stop_member(follower).await;
    let last = status(&left).log.last;
    drop(left);
    let leader = cluster.member(cluster.leader().await).clone();
    fill(&leader, 500).await;
    until(&leader, |status| status.log.compacted > last).await;
    let back = cluster.start_member(follower).await.unwrap();
    cluster.agree().await;
    let status = status(&back);
    assert!(
        status.log.compacted > last,
        "it has not replayed what was compacted: {status:?}"
    );
    assert!(status.snapshot.is_some());
    // It counts again: with another member gone, the two of them are a quorum.
    let third = cluster
        .members
        .keys()
        .copied()
        .find(|id| *id != follower && cluster.member(*id).address() != leader.address());
    cluster.stop_member(third.unwrap()).await;
    increment_surely(&back, "a").await;
    cluster.agree().await;
    cluster.stop().await;
}

/// A transfer takes about two seconds; so much is applied meanwhile that many newer snapshots are taken.
fn slowly(config: &mut NodeConfig, raft: &mut RaftConfig) {
    often(config, raft);
    config.replica.snapshot_bytes_per_second = 200_000;
}

/// A member that was away for so long that it needs a snapshot, just started again, and who leads.
async fn behind(cluster: &mut Cluster) -> (Member, NodeId) {
    let follower = cluster.follower().await;
    let last = status(&cluster.stop_member(follower).await).log.last;
    let leader = cluster.leader().await;
    fill(cluster.member(leader), 500).await;
    until(cluster.member(leader), |status| status.log.compacted > last).await;
    (cluster.start_member(follower).await.unwrap(), leader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_takes_longer_than_snapshots_are_apart_ends_all_the_same() {
    let mut cluster = Cluster::start_tuned(3, slowly).await;
    let (back, leader) = behind(&mut cluster).await;
    let leader = cluster.member(leader).clone();
    let begun = status(&leader).snapshot;
    let goal = status(&leader).log.committed;
    let load = async {
        loop {
            fill(&leader, 50).await;
        }
    };
    tokio::select! {
        () = load => {}
        () = until(&back, |status| status.applied >= goal) => {}
    }
    let newest = status(&leader).snapshot;
    // A snapshot's interval is sixteen commands.
    let at = |taken: Option<SnapshotMeta>| taken.map_or(0, |taken| taken.position.0);
    assert!(at(newest) > at(begun) + 100, "{begun:?}, {newest:?}");
    cluster.agree().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_whose_sender_stops_ends_by_another() {
    let mut cluster = Cluster::start_tuned(3, slowly).await;
    let (back, leader) = behind(&mut cluster).await;
    let goal = status(cluster.member(leader)).log.committed;
    let dir = cluster.dir(status(&back).id);
    within(async {
        while received(&dir) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(status(&back).applied < goal);
    cluster.stop_member(leader).await;
    until(&back, |status| status.applied >= goal).await;
    increment_surely(&back, "a").await;
    cluster.agree().await;
    cluster.stop().await;
}

/// Bytes of a snapshot that is on its way.
fn received(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let parts = files.filter(|file| file.file_name().to_string_lossy().ends_with(".part"));
    parts
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_from_the_snapshot_and_the_log_behind_it() {
    let mut cluster = Cluster::start_tuned(3, often).await;
    let leader = cluster.member(cluster.leader().await).clone();
    fill(&leader, 300).await;
    increment_surely(&leader, "a").await;
    until(&leader, |status| status.log.compacted.0 > 0).await;
    let before = cluster.agree().await;
    drop(leader);
    let ids: Vec<_> = cluster.members.keys().copied().collect();
    for id in &ids {
        cluster.stop_member(*id).await;
    }
    for id in &ids {
        let member = cluster.start_member(*id).await.unwrap();
        assert!(
            status(&member)
                .snapshot
                .is_some_and(|snapshot| snapshot.position.0 > 0)
        );
    }
    let leader = cluster.member(cluster.leader().await);
    assert_eq!(count(leader, ReadLevel::Linearizable, "a").await.0, 1);
    let after = cluster.agree().await;
    assert!(after.applied >= before.applied);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_segments_go_once_a_snapshot_covers_them() {
    let mut cluster = Cluster::start_tuned(1, often).await;
    let only = cluster.member(NodeId(1)).clone();
    until(&only, |status| status.log.leader.is_some()).await;
    // Ten segments' worth; each is 1 MiB.
    fill(&only, 2500).await;
    let dir = cluster.dir(NodeId(1));
    // The last snapshots are still being written, and with them comes what lets the last segments go.
    within(async {
        while segments(&dir) > 5 {
            fill(&only, 50).await;
        }
    })
    .await;
    cluster.stop_member(NodeId(1)).await;
    assert!((1..=5).contains(&segments(&dir)));
}

fn segments(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".segment")).count()
}

#[tokio::test]
async fn a_snapshot_of_another_state_machine_is_refused_with_code_65() {
    /// The same commands, another state.
    struct Other;
    impl quorate_core::StateMachine for Other {
        type Reply = u64;
        type Snapshot = crate::harness::Copied;
        fn apply(&mut self, _: quorate_core::At, _: &[u8]) -> u64 {
            0
        }
        fn snapshot(&self) -> Self::Snapshot {
            quorate_core::StateMachine::snapshot(&Counters::default())
        }
        fn restore(
            _: &mut dyn Iterator<Item = bytes::Bytes>,
        ) -> Result<Self, quorate_core::MalformedSnapshot> {
            Err(quorate_core::MalformedSnapshot("counters are not for me"))
        }
        fn digest(&self) -> u64 {
            0
        }
    }
    let mut cluster = Cluster::start_tuned(1, often).await;
    let only = cluster.member(NodeId(1)).clone();
    until(&only, |status| status.log.leader.is_some()).await;
    fill(&only, 100).await;
    until(&only, |status| status.snapshot.is_some()).await;
    cluster.stop_member(NodeId(1)).await;
    let (config, raft) = cluster.configs(NodeId(1));
    let error = Node::start::<Raft>(config, raft, || Other)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StartError::MalformedSnapshot { .. }),
        "{error}"
    );
    assert_eq!(error.exit_code(), 65);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_ordered_is_durable_when_the_order_is_answered() {
    let mut cluster = Cluster::start(1).await;
    let only = cluster.member(NodeId(1)).clone();
    let applied = increment_surely(&only, "a").await;
    let taken = within(only.snapshot()).await.unwrap();
    assert!(taken.position >= applied.position);
    let again = within(only.snapshot()).await.unwrap();
    assert_eq!(again, taken, "nothing has happened since");
    cluster.stop_member(NodeId(1)).await;
    let back = cluster.start_member(NodeId(1)).await.unwrap();
    assert_eq!(status(&back).snapshot, Some(taken));
    cluster.stop().await;
}
