//! Reads of every level, from every member.

use std::time::Duration;

use quorate_core::{Failure, NodeId, ReadLevel, ReadStamp};
use quorate_raft::Lease;
use quorate_transport::{Direction, Fault};
use tokio::time::sleep;

use crate::harness::{Cluster, Member, Tune, increment, increment_surely, within};

const BOUNDED: ReadLevel = ReadLevel::Bounded(Duration::from_millis(200));

/// Leases, and requests that fail soon.
const LEASED: Tune = |config, raft| {
    raft.lease = Some(Lease { drift_ppm: 10_000 });
    config.replica.request_timeout = Duration::from_millis(500);
};

async fn count(
    member: &Member,
    level: ReadLevel,
    name: &'static [u8],
) -> Result<(u64, ReadStamp), Failure> {
    within(member.read(level, move |state, stamp| (state.count(name), stamp))).await
}

fn is_too_stale<T>(answer: &Result<T, Failure>) -> bool {
    matches!(answer, Err(Failure::TooStale { .. }))
}

/// Cuts a member off from all others, or takes that back.
fn cut_off(cluster: &Cluster, member: NodeId, cut: bool) {
    let faults = cluster.member(member).faults();
    for peer in cluster.members.keys().filter(|peer| **peer != member) {
        for way in [Direction::In, Direction::Out] {
            if cut {
                faults.set(*peer, way, Fault::cut());
            } else {
                faults.clear(*peer, way);
            }
        }
    }
}

#[tokio::test]
async fn a_read_of_any_level_sees_on_any_member_the_write_that_it_comes_after() {
    let cluster = Cluster::start_tuned(3, LEASED).await;
    cluster.leader().await;
    let levels = [
        ReadLevel::Linearizable,
        ReadLevel::Lease,
        BOUNDED,
        ReadLevel::Local,
    ];
    for round in 1..=12 {
        let writer = cluster.member(NodeId(1 + round % 3));
        let at = increment_surely(writer, "a").await.position;
        for member in cluster.members.values() {
            for level in levels {
                let read = member.read(level.after(at), |state, stamp| (state.count(b"a"), stamp));
                let (seen, stamp) = within(read).await.unwrap();
                assert!(seen >= round && stamp.applied >= at, "{stamp} saw {seen}");
                assert_eq!(level.is_linearizable(), stamp.level.is_linearizable());
            }
        }
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_lease_is_good_for_reads_through_any_member_and_none_is_old_after_a_transfer() {
    let cluster = Cluster::start_tuned(3, LEASED).await;
    let mut leased = 0;
    for round in 0..8 {
        let leader = cluster.leader().await;
        // Whoever led keeps nothing that it could answer by; a transfer that comes to nothing is none of this test.
        let _ = within(cluster.member(leader).transfer(None)).await;
        for id in [1, 2, 3] {
            increment_surely(cluster.member(NodeId(id)), "a").await;
        }
        for member in cluster.members.values() {
            let (seen, stamp) = count(member, ReadLevel::Lease, b"a").await.unwrap();
            assert!(
                seen >= 3 * (round + 1),
                "{stamp} saw {seen} in round {round}"
            );
            leased += u64::from(stamp.level == ReadLevel::Lease);
        }
    }
    assert!(leased > 0, "no lease was ever held");
    cluster.stop().await;
}

#[tokio::test]
async fn a_member_that_is_cut_off_refuses_what_may_be_too_old_and_shows_the_rest() {
    let cluster = Cluster::start_tuned(3, LEASED).await;
    let id = cluster.follower().await;
    let follower = cluster.member(id);
    increment(follower, "a").await.unwrap();
    let (seen, stamp) = count(follower, BOUNDED, b"a").await.unwrap();
    assert!(
        seen == 1
            && stamp
                .behind
                .is_some_and(|behind| behind <= Duration::from_millis(200))
    );
    cut_off(&cluster, id, true);
    sleep(Duration::from_millis(250)).await;
    let refused = count(follower, BOUNDED, b"a").await;
    assert!(is_too_stale(&refused), "{refused:?}");
    let (seen, stamp) = count(follower, ReadLevel::Local, b"a").await.unwrap();
    assert_eq!((seen, stamp.behind), (1, None));
    assert!(count(follower, ReadLevel::Lease, b"a").await.is_err());
    cut_off(&cluster, id, false);
    within(async { while count(follower, BOUNDED, b"a").await.is_err() {} }).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_cluster_that_was_stopped_shows_nothing_before_it_has_what_it_had() {
    let mut cluster = Cluster::start_tuned(3, LEASED).await;
    let leader = cluster.leader().await;
    for _ in 0..100 {
        increment(cluster.member(leader), "a").await.unwrap();
    }
    cluster.agree().await;
    for id in [1, 2, 3] {
        cluster.stop_member(NodeId(id)).await;
    }
    let one = cluster.start_member(NodeId(1)).await.unwrap();
    let alone = count(&one, ReadLevel::Local, b"a").await;
    assert!(is_too_stale(&alone), "{alone:?}");
    let looked = within(one.inspect(|state, _| state.count(b"a"))).await;
    assert!(looked.unwrap() <= 100, "whoever wants to may look");
    for id in [2, 3] {
        cluster.start_member(NodeId(id)).await.unwrap();
    }
    for member in cluster.members.values() {
        let seen = within(async {
            loop {
                match count(member, ReadLevel::Local, b"a").await {
                    Ok((seen, _)) => return seen,
                    Err(failure) => assert!(is_too_stale::<()>(&Err(failure)), "{failure}"),
                }
            }
        });
        assert_eq!(seen.await, 100);
    }
    cluster.stop().await;
}
