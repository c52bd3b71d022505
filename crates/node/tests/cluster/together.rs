//! A healthy cluster.

use quorate_core::{ClusterId, Failure, NodeId, ReadLevel};
use quorate_journal::Durability;
use quorate_node::{Node, NodeConfig};
use quorate_raft::{Raft, RaftConfig};

use crate::harness::{Cluster, Counters, count, increment, status, until};

#[tokio::test]
async fn three_members_commit_and_every_one_of_them_reads_it() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    for round in 1..=20 {
        let applied = increment(cluster.member(leader), "a").await.unwrap();
        assert_eq!(applied.reply, round);
        for member in cluster.members.values() {
            let (count, at) = count(member, ReadLevel::Linearizable, "a").await;
            assert_eq!(count, round);
            assert!(at >= applied.position);
        }
    }
    let digest = cluster.agree().await;
    let status = status(cluster.member(leader));
    assert_eq!(status.applied, digest.applied);
    assert_eq!(status.configuration.voters(), [1, 2, 3].map(NodeId));
    assert_eq!(status.journal.durability, Durability::Fsync);
    assert_eq!(status.load.commands_open, 0);
    assert_eq!(status.load.parcels_malformed, 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_serves_writes_and_reads_as_its_own() {
    let cluster = Cluster::start(3).await;
    let follower = cluster.member(cluster.follower().await).clone();
    for round in 1..=20 {
        assert_eq!(increment(&follower, "a").await.unwrap().reply, round);
        assert_eq!(
            count(&follower, ReadLevel::Linearizable, "a").await.0,
            round
        );
    }
    cluster.agree().await;
    cluster.stop().await;
}

#[tokio::test]
async fn the_order_of_calls_is_the_order_of_proposals() {
    let cluster = Cluster::start(3).await;
    for id in [cluster.leader().await, cluster.follower().await] {
        let member = cluster.member(id);
        let before = count(member, ReadLevel::Linearizable, "a").await.0;
        // Called in order, awaited the other way round.
        let mut pending: Vec<_> = (0..200).map(|_| member.propose("a".into())).collect();
        for expected in (before + 1..=before + 200).rev() {
            let applied = pending.pop().unwrap().await.unwrap();
            assert_eq!(applied.reply, expected);
        }
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_cluster_of_one_commits_alone() {
    let cluster = Cluster::start(1).await;
    let only = cluster.member(NodeId(1)).clone();
    until(&only, |status| status.log.leader == Some(NodeId(1))).await;
    for round in 1..=50 {
        assert_eq!(increment(&only, "a").await.unwrap().reply, round);
    }
    assert_eq!(count(&only, ReadLevel::Linearizable, "a").await.0, 50);
    assert_eq!(count(&only, ReadLevel::Local, "a").await.0, 50);
    cluster.stop().await;
}

#[tokio::test]
async fn without_a_journal_nothing_is_written_and_all_else_works() {
    let mut nodes: Vec<Node<Counters>> = Vec::new();
    let voters = [NodeId(1), NodeId(2), NodeId(3)];
    for id in voters {
        let mut config = NodeConfig::in_memory(ClusterId(1), id);
        let known = nodes.iter().zip(voters);
        config.peers = known
            .map(|(node, id)| (id, node.address().to_owned()))
            .collect();
        let raft = RaftConfig::new(id, &voters);
        let node = Node::start::<Raft>(config, raft, Counters::default)
            .await
            .unwrap();
        for other in &nodes {
            other.set_peer(id, node.address());
        }
        nodes.push(node);
    }
    until(&nodes[0], |status| status.log.leader.is_some()).await;
    for round in 1..=20 {
        assert_eq!(
            increment(&nodes[round % 3], "a").await.unwrap().reply,
            round as u64
        );
    }
    let status = status(&nodes[0]);
    assert_eq!(status.journal.durability, Durability::Memory);
    assert_eq!(status.journal.durable, status.journal.written);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_cancelled_request_changes_nothing_for_the_others() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.member(cluster.leader().await).clone();
    for _ in 0..100 {
        drop(leader.propose("dropped".into()));
        drop(leader.read(ReadLevel::Linearizable, |_, _| unreachable!("nobody waits")));
    }
    assert_eq!(increment(&leader, "a").await.unwrap().reply, 1);
    // Handed in by the call, so applied although nobody waits.
    assert_eq!(
        count(&leader, ReadLevel::Linearizable, "dropped").await.0,
        100
    );
    until(&leader, |status| {
        status.load.commands_open == 0 && status.load.reads_open == 0
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_stopped_member_refuses_everything_at_once() {
    let cluster = Cluster::start(1).await;
    let only = cluster.member(NodeId(1)).clone();
    increment(&only, "a").await.unwrap();
    cluster.stop().await;
    assert_eq!(increment(&only, "a").await, Err(Failure::Stopped));
    let read = only.read(ReadLevel::Local, |_, _| ());
    assert_eq!(read.await, Err(Failure::Stopped));
    assert_eq!(only.digest().await, Err(Failure::Stopped));
    assert_eq!(only.stopped().await.exit_code(), 0);
}
