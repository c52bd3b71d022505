//! Members that come and go.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::{Failure, NodeId, ReadLevel};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::harness::{Cluster, Member, count, increment, increment_surely, status, within};

#[tokio::test]
async fn when_the_leader_stops_the_others_serve_within_a_bounded_time() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    increment(cluster.member(leader), "a").await.unwrap();
    cluster.stop_member(leader).await;
    let gone = Instant::now();
    let other = cluster.members.values().next().unwrap();
    // Not `increment_surely`: the member itself holds the command until there is a leader.
    assert_eq!(increment(other, "a").await.unwrap().reply, 2);
    // Ten election timeouts; the machine has two cores and runs other tests.
    assert!(
        gone.elapsed() < Duration::from_secs(6),
        "{:?}",
        gone.elapsed()
    );
    cluster.agree().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_restart_of_all_members_keeps_everything() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    for _ in 0..100 {
        increment(cluster.member(leader), "a").await.unwrap();
    }
    let before = cluster.agree().await;
    let lives: Vec<_> = cluster
        .members
        .values()
        .map(|node| status(node).life)
        .collect();
    let ids: Vec<_> = cluster.members.keys().copied().collect();
    for id in &ids {
        cluster.stop_member(*id).await;
    }
    for id in &ids {
        cluster.start_member(*id).await.unwrap();
    }
    let leader = cluster.leader().await;
    assert_eq!(
        count(cluster.member(leader), ReadLevel::Linearizable, "a")
            .await
            .0,
        100
    );
    let after = cluster.agree().await;
    assert!(after.applied >= before.applied);
    for (node, before) in cluster.members.values().zip(lives) {
        assert!(status(node).life > before, "every run is a later life");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_member_that_was_away_catches_up() {
    let mut cluster = Cluster::start(3).await;
    let follower = cluster.follower().await;
    cluster.stop_member(follower).await;
    let leader = cluster.member(cluster.leader().await).clone();
    for _ in 0..300 {
        increment_surely(&leader, "a").await;
    }
    let back = cluster.start_member(follower).await.unwrap();
    cluster.agree().await;
    assert_eq!(count(&back, ReadLevel::Local, "a").await.0, 300);
    cluster.stop().await;
}

/// What one client knows of its own counter.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    unknown: u64,
}

/// Counts up until told to stop, and checks every answer against what it knows.
async fn client(
    members: tokio::sync::watch::Receiver<Vec<Member>>,
    name: Bytes,
    deadline: Instant,
) -> (Bytes, Tally) {
    let mut tally = Tally::default();
    let mut turn = 0;
    while Instant::now() < deadline {
        let member = {
            let members = members.borrow();
            members[turn % members.len()].clone()
        };
        turn += 1;
        match within(member.propose(name.clone())).await {
            Ok(applied) => {
                tally.acknowledged += 1;
                let most = tally.acknowledged + tally.unknown;
                assert!(
                    (tally.acknowledged..=most).contains(&applied.reply),
                    "{tally:?} {applied:?}"
                );
            }
            Err(Failure::Unknown) => tally.unknown += 1,
            Err(Failure::TooLarge { .. } | Failure::NoRoom) => panic!("neither is the case"),
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
    (name, tally)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_increment_counts_exactly_once_while_leaders_go() {
    let mut cluster = Cluster::start(3).await;
    cluster.leader().await;
    let all = |cluster: &Cluster| cluster.members.values().cloned().collect::<Vec<_>>();
    let (publish, members) = tokio::sync::watch::channel(all(&cluster));
    let deadline = Instant::now() + Duration::from_secs(4);
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let name = Bytes::from(format!("client {number}"));
        clients.spawn(client(members.clone(), name, deadline));
    }
    let mut stopped = 0;
    while Instant::now() + Duration::from_secs(1) < deadline {
        sleep(Duration::from_millis(200)).await;
        let leader = cluster.leader().await;
        cluster.stop_member(leader).await;
        stopped += 1;
        publish.send_replace(all(&cluster));
        sleep(Duration::from_millis(200)).await;
        cluster.start_member(leader).await.unwrap();
        publish.send_replace(all(&cluster));
    }
    assert!(stopped >= 2, "leaders went {stopped} times");
    let tallies = clients.join_all().await;
    let leader = cluster.leader().await;
    let counts = cluster
        .member(leader)
        .read(ReadLevel::Linearizable, |state, _| state.counts());
    let counts = counts.await.unwrap();
    let mut acknowledged = 0;
    for (name, tally) in tallies {
        let count = counts.get(&name).copied().unwrap_or(0);
        let most = tally.acknowledged + tally.unknown;
        assert!(
            (tally.acknowledged..=most).contains(&count),
            "{name:?} {tally:?} {count}"
        );
        acknowledged += tally.acknowledged;
    }
    assert!(acknowledged > 100, "only {acknowledged} were acknowledged");
    cluster.agree().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_member_cut_off_is_not_missed_and_catches_up_when_it_is_back() {
    use quorate_transport::{Direction, Fault};
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let others: Vec<NodeId> = cluster
        .members
        .keys()
        .copied()
        .filter(|id| *id != leader)
        .collect();
    for other in &others {
        for direction in [Direction::Out, Direction::In] {
            cluster
                .member(leader)
                .faults()
                .set(*other, direction, Fault::cut());
        }
    }
    let lonely = cluster.member(leader).propose("lonely".into());
    // The others elect one of themselves; what they are asked meanwhile waits for that.
    assert_eq!(
        increment(cluster.member(others[0]), "a")
            .await
            .unwrap()
            .reply,
        1
    );
    assert!(
        status(cluster.member(others[0]))
            .log
            .leader
            .is_some_and(|now| now != leader)
    );
    cluster.member(leader).faults().clear_all();
    // At most once, wherever it was proposed: the old leader hands it to the new one.
    assert_eq!(within(lonely).await.unwrap().reply, 1);
    assert_eq!(
        count(cluster.member(leader), ReadLevel::Linearizable, "a")
            .await
            .0,
        1
    );
    cluster.agree().await;
    cluster.stop().await;
}
