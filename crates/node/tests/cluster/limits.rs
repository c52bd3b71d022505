//! More than a member can take.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::{Failure, NodeId};
use quorate_node::Node;
use quorate_raft::Raft;

use crate::harness::{Cluster, Counters, SLOW, increment, status, until, within};
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
        assert!(matches!(refused, Failure::TooLarge { limit, .. } if limit == 128 << 10));
    }
    assert!(only.propose(vec![0; 128 << 10].into()).await.is_ok());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_does_not_cost_the_leader_its_lead() {
    // A turn applies one batch of sixteen commands, 32 ms; all of them together take three election timeouts and more.
    let cluster = Cluster::start_tuned(3, |config, _| {
        config.pace.apply_bytes_per_turn = 1;
        config.replica.batch_bytes_max = 64;
    })
    .await;
    let leader = cluster.leader().await;
    let node = cluster.member(leader).clone();
    let epoch = status(&node).log.epoch;
    let mut pending: Vec<_> = (0..600).map(|_| node.propose(SLOW.into())).collect();
    let last = within(pending.pop().unwrap()).await.unwrap();
    assert_eq!(last.reply, 600);
    assert_eq!(
        status(&node).log.epoch,
        epoch,
        "nobody else was elected meanwhile"
    );
    cluster.agree().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_bounds_what_is_under_way_to_it() {
    const UNDER_WAY: u64 = 64 << 10;
    let mut cluster = Cluster::start_tuned(0, |config, _| {
        config.pace.journal_bytes_max = UNDER_WAY;
        config.replica.pending_bytes_max = 256 << 10;
    })
    .await;
    cluster.set_voters(1);
    let disk = HookedDisk::default();
    let (config, raft) = cluster.configs(NodeId(1));
    let only = Node::start_on::<_, Raft>(disk.clone(), config, raft, Counters::default);
    let only = only.await.unwrap();
    increment(&only, "a").await.unwrap();
    disk.set_sync_ms(50);
    let command = Bytes::from(vec![b'x'; 1024]);
    let mut answered = (0, 0);
    let mut most = 0;
    let mut status = only.status();
    for _ in 0..20 {
        let fates: Vec<_> = (0..400).map(|_| only.propose(command.clone())).collect();
        // The core has taken all it wants of these once the first of them is answered.
        for fate in fates {
            match within(fate).await {
                Ok(_) => answered.0 += 1,
                Err(Failure::Overloaded { .. }) => answered.1 += 1,
                Err(other) => panic!("{other}"),
            }
            most = most.max(status.borrow_and_update().journal.bytes_under_way);
        }
    }
    // One turn may overshoot by what the replica had taken before.
    assert!(
        most > 0 && most <= UNDER_WAY + (256 << 10) + (64 << 10),
        "{most}"
    );
    assert!(answered.0 > 0 && answered.1 > 0, "{answered:?}");
    disk.set_sync_ms(0);
    increment(&only, "a").await.unwrap();
    only.stop().await;
}
