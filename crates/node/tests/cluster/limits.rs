//! More than a member can take.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::{Failure, NodeId, ReadLevel};
use quorate_node::Node;
use quorate_raft::Raft;

use crate::harness::{
    Cluster, Counters, SLOW, count, increment, increment_surely, status, until, within,
};
use crate::hooked::HookedDisk;

#[tokio::test]
async fn what_exceeds_the_budget_is_refused_at_once_and_not_kept() {
    // One of three: nothing can ever be decided, so everything that is taken stays.
    let mut cluster = Cluster::start_tuned(3, |config, _| {
        config.replica.pending_bytes_max = 1 << 20;
        config.replica.request_timeout = Duration::from_millis(1500);
    })
    .await;
    for id in [NodeId(2), NodeId(3)] {
        cluster.stop_member(id).await;
    }
    let only = cluster.member(NodeId(1)).clone();
    let began = Instant::now();
    let mut waiting = Vec::new();
    let mut overloaded = 0;
    for _ in 0..4000 {
        let mut fate = Box::pin(only.propose(Bytes::from(vec![b'x'; 4096])));
        let now = tokio::time::timeout(Duration::from_micros(100), &mut fate).await;
        match now {
            Err(_) => waiting.push(fate),
            Ok(Err(Failure::Overloaded { retry_after })) => {
                assert!(retry_after > Duration::ZERO);
                overloaded += 1;
            }
            Ok(other) => panic!("{other:?}"),
        }
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    // Twice the budget: once in the queue, once in the replica.
    assert!(
        waiting.len() <= 2 * (1 << 20) / 4096,
        "{} wait",
        waiting.len()
    );
    assert!(overloaded >= 3000, "{overloaded} were refused");
    assert!(status(&only).load.command_bytes_open <= 1 << 20);
    // What was taken ends, too, as what it is: no leader ever took it, or the old one may have.
    for fate in waiting {
        let failure = within(fate).await.unwrap_err();
        assert!(
            matches!(
                failure,
                Failure::NotLeader { .. } | Failure::Unknown | Failure::Overloaded { .. }
            ),
            "{failure}"
        );
    }
    until(&only, |status| status.load.commands_open == 0).await;
    assert_eq!(status(&only).load.command_bytes_open, 0);
    cluster.stop().await;
}

#[tokio::test]
async fn a_command_over_the_limit_is_refused_by_its_size() {
    let cluster = Cluster::start(1).await;
    let only = cluster.member(NodeId(1));
    increment(only, "a").await.unwrap();
    for bytes in [(128 << 10) + 1, 100 << 20] {
        let refused = only.propose(vec![0; bytes].into()).await.unwrap_err();
        let (bytes, limit) = (bytes as u64, 128 << 10);
        assert_eq!(refused, Failure::TooLarge { bytes, limit });
    }
    assert!(only.propose(vec![0; 128 << 10].into()).await.is_ok());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_does_not_hold_up_anything_else() {
    // A turn applies one batch of sixteen commands, 32 ms; all of them together take two seconds.
    let cluster = Cluster::start_tuned(1, |config, _| {
        config.pace.apply_bytes_per_turn = 1;
        config.replica.batch_bytes_max = 64;
    })
    .await;
    let node = cluster.member(cluster.leader().await).clone();
    let epoch = status(&node).log.epoch;
    let mut pending: Vec<_> = (0..1000).map(|_| node.propose(SLOW.into())).collect();
    let mut last = Box::pin(pending.pop().unwrap());
    let mut longest = Duration::ZERO;
    let applied = loop {
        let asked = Instant::now();
        count(&node, ReadLevel::Local, "slow").await;
        longest = longest.max(asked.elapsed());
        if let Ok(applied) = tokio::time::timeout(Duration::from_millis(10), &mut last).await {
            break applied.unwrap();
        }
    };
    assert_eq!(applied.reply, 1000);
    assert!(
        longest < Duration::from_secs(1),
        "a read had to wait for {longest:?}"
    );
    assert_eq!(
        status(&node).log.epoch,
        epoch,
        "nobody else was elected meanwhile"
    );
    cluster.agree().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_slow_disk_takes_no_more_than_it_may_have_under_way() {
    const LIMIT: u64 = 1 << 20;
    let mut cluster = Cluster::start_tuned(0, |config, _| {
        config.pace.journal_bytes_max = LIMIT;
        config.replica.pending_bytes_max = LIMIT;
    })
    .await;
    cluster.set_voters(3);
    let mut disks = Vec::new();
    for id in [1, 2, 3].map(NodeId) {
        let (config, raft) = cluster.configs(id);
        disks.push(HookedDisk::default());
        let disk = disks[disks.len() - 1].clone();
        let node = Node::start_on::<_, Raft>(disk, config, raft, Counters::default);
        cluster.introduce(id, node.await.unwrap());
    }
    let leader = cluster.leader().await;
    let node = cluster.member(leader).clone();
    increment(&node, "a").await.unwrap();
    // The others commit without its disk: nothing but its own limit holds it back.
    disks[leader.0 as usize - 1].set_sync_ms(1000);
    let command = Bytes::from(vec![b'x'; 64 << 10]);
    let until = Instant::now() + Duration::from_secs(3);
    let (mut taken, mut refused, mut most) = (0, 0, 0);
    while Instant::now() < until {
        match within(node.propose(command.clone())).await {
            Ok(_) => taken += 1,
            Err(Failure::Overloaded { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        most = most.max(status(&node).journal.bytes_under_way);
    }
    assert!(
        most > LIMIT,
        "the limit was reached: {taken} taken, {refused} refused, {most}"
    );
    // A turn that began below the limit may add what the queue held, at most.
    assert!(
        most <= 2 * LIMIT + (64 << 10),
        "{most} bytes were under way"
    );
    disks[leader.0 as usize - 1].set_sync_ms(0);
    increment_surely(&node, "a").await;
    cluster.agree().await;
    cluster.stop().await;
}
