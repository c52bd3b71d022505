//! More than a member can take.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::{Failure, NodeId, ReadLevel};

use crate::harness::{Cluster, increment, status, until, within};

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
        assert!(matches!(refused, Failure::TooLarge { limit, .. } if limit == 128 << 10));
    }
    assert!(only.propose(vec![0; 128 << 10].into()).await.is_ok());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_does_not_cost_the_leader_its_lead() {
    // A turn applies next to nothing, so that applying takes many turns.
    let cluster = Cluster::start_tuned(3, |config, _| {
        config.pace.apply_bytes_per_turn = 1;
        config.replica.batch_bytes_max = 1 << 10;
    })
    .await;
    let leader = cluster.leader().await;
    let node = cluster.member(leader).clone();
    let epoch = status(&node).log.epoch;
    let mut pending: Vec<_> = (0..20_000).map(|_| node.propose("a".into())).collect();
    let last = within(pending.pop().unwrap()).await.unwrap();
    assert_eq!(last.reply, 20_000);
    assert_eq!(
        status(&node).log.epoch,
        epoch,
        "nobody else was elected meanwhile"
    );
    let read = node.read(ReadLevel::Linearizable, |state, _| state.count(b"a"));
    assert_eq!(read.await, Ok(20_000));
    cluster.stop().await;
}
