//! Members that come back without their disk (`RELIABILITY` A7, C7; B21).

use quorate_core::{Failure, NodeId};
use quorate_node::Stopped;

use crate::harness::{Cluster, increment, increment_surely, status, within};

/// Stops a follower and erases its directory.
async fn wipe(cluster: &mut Cluster) -> NodeId {
    let victim = cluster.follower().await;
    cluster.stop_member(victim).await;
    std::fs::remove_dir_all(cluster.dir(victim)).unwrap();
    victim
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_member_is_refused_under_its_old_name_and_ends_with_code_66() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    increment_surely(cluster.member(leader), "a").await;
    cluster.agree().await;
    let victim = wipe(&mut cluster).await;

    let fresh = cluster.start_member(victim).await.unwrap();
    let end = within(fresh.stopped()).await;
    let Stopped::Wiped { by } = end else {
        panic!("{end}")
    };
    assert_ne!(by, victim);
    assert_eq!(end.exit_code(), 66);
    assert!(end.to_string().contains("rejoin under a new id"), "{end}");
    assert_eq!(status(&fresh).applied.0, 0, "nobody has told it anything");
    cluster.members.remove(&victim);
    increment_surely(cluster.member(leader), "a").await;
    cluster.agree().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_member_does_not_make_up_a_quorum_and_members_remember_over_restarts() {
    let mut cluster = Cluster::start(3).await;
    increment_surely(cluster.member(cluster.leader().await), "a").await;
    cluster.agree().await;
    let victim = wipe(&mut cluster).await;
    let rest: Vec<_> = cluster.members.keys().copied().collect();
    for id in &rest {
        cluster.stop_member(*id).await;
    }
    // One that remembers, and one that forgot: together they would be a majority.
    cluster.start_member(rest[0]).await.unwrap();
    let fresh = cluster.start_member(victim).await.unwrap();
    assert!(matches!(
        within(fresh.stopped()).await,
        Stopped::Wiped { .. }
    ));
    cluster.members.remove(&victim);
    let alone = increment(cluster.member(rest[0]), "a").await;
    assert!(
        matches!(alone, Err(Failure::NotLeader { .. } | Failure::Unknown)),
        "{alone:?}"
    );
    cluster.start_member(rest[1]).await.unwrap();
    increment_surely(cluster.member(rest[0]), "a").await;
    cluster.agree().await;
    cluster.stop().await;
}
