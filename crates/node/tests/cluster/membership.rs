//! Members that come and go while others write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quorate_core::{
    Change, ChangeError, Failure, Member as Seat, NodeId, ReadLevel, RoleKind, Wish,
};
use quorate_node::{Node, OrderError};
use quorate_raft::Raft;
use tokio::time::sleep;

use crate::harness::{
    Cluster, Counters, Member, PATIENCE, count, increment, increment_surely, status, until, within,
};

/// Starts a member that joins, as its operator would: told of the founders, and a learner.
async fn join(cluster: &mut Cluster, id: NodeId) -> Member {
    let (config, mut raft) = cluster.configs(id);
    raft.learners = vec![id];
    let node = Node::start::<Raft>(config, raft, Counters::default);
    let node = node.await.unwrap();
    cluster.members.insert(id, node.clone());
    node
}

/// The member that leads, whether a member that joins follows it yet or not.
async fn leading(cluster: &Cluster) -> NodeId {
    within(async {
        loop {
            let statuses = cluster.members.values().map(status);
            let led = statuses.filter(|status| status.log.role == RoleKind::Leader);
            if let Some(leader) = led.max_by_key(|status| status.log.epoch) {
                return leader.id;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Orders a change of whoever leads, until it is carried out.
async fn change(cluster: &Cluster, change: Change) {
    let end = Instant::now() + PATIENCE;
    loop {
        let leader = cluster.member(leading(cluster).await);
        match within(leader.reconfigure(change.clone())).await {
            // Or it came about although the leader that took it has gone.
            Ok(_)
            | Err(OrderError::Change(
                ChangeError::Unknown(_)
                | ChangeError::Known(_)
                | ChangeError::NotLearner(_)
                | ChangeError::Unchanged,
            )) => return,
            Err(error) => assert!(Instant::now() < end, "{change:?}: {error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Adds a member, waits until it has everything, and gives it a vote.
async fn grow(cluster: &mut Cluster, id: NodeId) {
    let node = join(cluster, id).await;
    let member = Seat::learner(id, node.address());
    change(cluster, Change::Add(member)).await;
    let behind = status(cluster.member(leading(cluster).await)).log.committed;
    until(&node, |status| status.applied >= behind).await;
    assert_eq!(status(&node).log.role, RoleKind::Learner);
    change(cluster, Change::Promote(id)).await;
}

/// Writes through a member until told to stop; how many writes were acknowledged, how many may have been applied beside
/// them, and the longest time without one.
async fn write(member: Member, stop: Arc<AtomicBool>) -> (u64, u64, Duration) {
    let (mut acknowledged, mut unknown, mut gap, mut last) = (0, 0, Duration::ZERO, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        match increment(&member, "n").await {
            Ok(_) => {
                acknowledged += 1;
                gap = gap.max(last.elapsed());
                last = Instant::now();
            }
            Err(Failure::Unknown) => unknown += 1,
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
    (acknowledged, unknown, gap)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_from_three_to_five_and_shrinks_to_three_others_under_load() {
    let mut cluster = Cluster::start(3).await;
    cluster.leader().await;
    let stop = Arc::<AtomicBool>::default();
    // Through a member that stays.
    let writer = tokio::spawn(write(cluster.member(NodeId(3)).clone(), Arc::clone(&stop)));
    for id in [4, 5].map(NodeId) {
        grow(&mut cluster, id).await;
    }
    let configuration = status(cluster.member(cluster.leader().await)).configuration;
    assert_eq!(configuration.to_string(), "1 2 3 4 5");
    for id in [1, 2].map(NodeId) {
        change(&cluster, Change::Remove(id)).await;
        let gone = cluster.members.remove(&id).unwrap();
        gone.stop().await;
    }
    let leader = cluster.leader().await;
    assert!(leader > NodeId(2));
    sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    let (acknowledged, unknown, gap) = within(writer).await.unwrap();
    let (counted, _) = count(cluster.member(leader), ReadLevel::Linearizable, "n").await;
    assert!(acknowledged > 0);
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&counted),
        "{counted} counted, {acknowledged} acknowledged, {unknown} unknown"
    );
    // A leader that is removed hands over; if that fails, a timer runs out, which is at most twice the timeout.
    let election = 2 * cluster.configs(NodeId(3)).1.election_timeout;
    assert!(gap < election, "{gap:?} without a write");
    cluster.agree().await;
    // Nobody has links to who is gone.
    within(async {
        while cluster
            .members
            .values()
            .any(|member| member.links().iter().any(|link| link.peer < NodeId(3)))
        {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_and_a_member_without_a_vote_does_not_get_it() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let other = cluster.follower().await;
    let node = join(&mut cluster, NodeId(4)).await;
    let seat = Seat::learner(NodeId(4), node.address());
    change(&cluster, Change::Add(seat)).await;
    let refused = within(cluster.member(leader).transfer(Some(NodeId(4)))).await;
    assert!(matches!(refused, Err(OrderError::Unfit(_))), "{refused:?}");
    let done = within(cluster.member(leader).transfer(Some(other))).await;
    assert_eq!(done.unwrap().to, other);
    assert_eq!(cluster.leader().await, other);
    let refused = within(cluster.member(leader).transfer(None)).await;
    assert!(
        matches!(refused, Err(OrderError::NotLeader { leader: Some(to), .. }) if to == other),
        "{refused:?}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn learners_that_wish_for_a_vote_or_a_place_get_it_by_themselves() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.member(cluster.leader().await).clone();
    for _ in 0..20 {
        increment(&leader, "n").await.unwrap();
    }
    let wishes = [
        (4, Wish::Vote, "1 2 3 4"),
        (5, Wish::Replace(NodeId(2)), "1 3 4 5"),
    ];
    for (id, wish, members) in wishes {
        let node = join(&mut cluster, NodeId(id)).await;
        let seat = Seat::learner(NodeId(id), node.address()).wishing(wish);
        change(&cluster, Change::Add(seat)).await;
        until(&node, |status| status.configuration.to_string() == members).await;
    }
    let gone = cluster.members.remove(&NodeId(2)).unwrap();
    gone.stop().await;
    let leader = cluster.member(leading(&cluster).await).clone();
    assert_eq!(increment_surely(&leader, "n").await.reply, 21);
    cluster.agree().await;
    cluster.stop().await;
}
