//! How members end.

use std::thread;
use std::time::{Duration, Instant};

use quorate_core::{Failure, NodeId, ReadLevel};
use quorate_journal::{FileDisk, JournalError};
use quorate_node::{Node, StartError, Stopped};
use quorate_raft::Raft;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::sleep;

use crate::harness::{Cluster, Counters, increment, until, within};

fn runtimes() -> [Runtime; 2] {
    let current = Builder::new_current_thread().enable_all().build().unwrap();
    let multi = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    [current, multi]
}

#[test]
fn a_stopped_member_leaves_nothing_running_and_its_directory_free() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let metrics = Handle::current().metrics();
            let before = metrics.num_alive_tasks();
            let cluster = Cluster::start(3).await;
            increment(cluster.member(cluster.leader().await), "a")
                .await
                .unwrap();
            assert!(metrics.num_alive_tasks() > before);
            let members = cluster.members.values().cloned().collect::<Vec<_>>();
            for member in &members {
                member.stop().await;
                assert!(matches!(member.stopped().await, Stopped::Asked));
            }
            // Handles are still there; the tasks are not. The last task may be returning just now.
            within(async {
                while metrics.num_alive_tasks() > before {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            for id in cluster.members.keys() {
                drop(FileDisk::open(cluster.dir(*id)).unwrap());
            }
        });
    }
}

#[tokio::test]
async fn requests_in_flight_are_answered_when_their_member_stops() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let others: Vec<_> = cluster
        .members
        .keys()
        .copied()
        .filter(|id| *id != leader)
        .collect();
    for other in others {
        cluster.stop_member(other).await;
    }
    let node = cluster.member(leader).clone();
    let writes: Vec<_> = (0..100).map(|_| node.propose("a".into())).collect();
    let reads: Vec<_> = (0..100)
        .map(|_| node.read(ReadLevel::Linearizable, |_, _| ()))
        .collect();
    let asked = Instant::now();
    within(node.stop()).await;
    assert!(asked.elapsed() < Duration::from_secs(10));
    for write in writes {
        // The old leader may have taken them into its log.
        let failure = within(write).await.unwrap_err();
        assert!(
            matches!(
                failure,
                Failure::Unknown | Failure::Stopped | Failure::NotLeader { .. }
            ),
            "{failure}"
        );
    }
    for read in reads {
        let failure = within(read).await.unwrap_err();
        assert!(
            matches!(failure, Failure::Stopped | Failure::NotLeader { .. }),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn what_a_healthy_member_has_taken_it_finishes_before_it_stops() {
    let cluster = Cluster::start(3).await;
    let node = cluster.member(cluster.leader().await).clone();
    increment(&node, "a").await.unwrap();
    let writes: Vec<_> = (0..500).map(|_| node.propose("a".into())).collect();
    node.stop().await;
    for (expected, write) in (2..).zip(writes) {
        assert_eq!(write.await.unwrap().reply, expected);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_member_without_handles_stops_by_itself() {
    let mut cluster = Cluster::start(1).await;
    let dir = cluster.dir(NodeId(1));
    let used = FileDisk::open(&dir).unwrap_err();
    assert!(matches!(used, JournalError::Locked { .. }));
    drop(cluster.members.remove(&NodeId(1)));
    within(async {
        while FileDisk::open(&dir).is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_members_cannot_share_a_directory() {
    let cluster = Cluster::start(1).await;
    let (config, raft) = cluster.configs(NodeId(1));
    let error = Node::start::<Raft>(config, raft, Counters::default)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StartError::Journal(JournalError::Locked { .. })),
        "{error}"
    );
    assert_eq!(error.exit_code(), 78);
    cluster.stop().await;
}

#[tokio::test]
async fn a_member_that_fails_to_start_leaves_nothing_running() {
    let mut cluster = Cluster::start(1).await;
    let taken = cluster.member(NodeId(1)).address().to_owned();
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let (mut config, raft) = cluster.configs(NodeId(1));
    config.data_dir = cluster.dir(NodeId(9));
    config.listen = taken;
    let error = Node::start::<Raft>(config.clone(), raft.clone(), Counters::default).await;
    assert!(matches!(error.unwrap_err(), StartError::Bind(_)));
    assert_eq!(metrics.num_alive_tasks(), before);
    // The directory is free, too.
    config.listen = "127.0.0.1:0".to_owned();
    let node = Node::start::<Raft>(config, raft, Counters::default)
        .await
        .unwrap();
    node.stop().await;
    cluster.stop_member(NodeId(1)).await;
}

#[tokio::test]
async fn a_query_that_panics_ends_the_member_and_nobody_waits_for_ever() {
    let cluster = Cluster::start(1).await;
    let node = cluster.member(NodeId(1)).clone();
    increment(&node, "a").await.unwrap();
    let metrics = Handle::current().metrics();
    let panicking = node.read(ReadLevel::Local, |_, _| -> u64 { panic!("on purpose") });
    let behind = node.propose("a".into());
    assert_eq!(within(panicking).await, Err(Failure::Stopped));
    assert_eq!(within(behind).await, Err(Failure::Unknown));
    let stopped = within(node.stopped()).await;
    assert!(matches!(stopped, Stopped::Aborted));
    assert_eq!(stopped.exit_code(), 70);
    assert_eq!(increment(&node, "a").await, Err(Failure::Stopped));
    within(async {
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn a_member_whose_runtime_goes_is_aborted_and_says_so() {
    let [runtime, other] = runtimes();
    let cluster = runtime.block_on(Cluster::start(1));
    let node = cluster.member(NodeId(1)).clone();
    runtime.block_on(until(&node, |status| status.log.leader.is_some()));
    drop(runtime);
    other.block_on(async {
        assert!(matches!(within(node.stopped()).await, Stopped::Aborted));
        assert_eq!(increment(&node, "a").await, Err(Failure::Stopped));
    });
    // What was written is kept. The directory becomes free when the member's own threads have ended, for which nobody
    // waits where the runtime itself is gone.
    drop(node);
    let dir = cluster.dir(NodeId(1));
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = FileDisk::open(&dir) {
        assert!(Instant::now() < deadline, "{error}");
        thread::park_timeout(Duration::from_millis(5));
    }
}
