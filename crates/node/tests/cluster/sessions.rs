//! Clients whose commands are applied exactly once, whatever becomes of members and links.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::{Failure, NodeId, ReadLevel, SessionError};
use quorate_node::{Session, SessionConfig};
use quorate_transport::{Direction, Fault};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::harness::{Cluster, Counters, Member, count, within};

fn config() -> SessionConfig {
    SessionConfig {
        patience: Duration::from_millis(300),
        ..SessionConfig::default()
    }
}

fn cut(cluster: &Cluster, id: NodeId) {
    for other in cluster.members.keys().filter(|other| **other != id) {
        for direction in [Direction::Out, Direction::In] {
            let faults = cluster.member(id).faults();
            faults.set(*other, direction, Fault::cut());
        }
    }
}

/// Counts up until told to stop; the answer says each time that nothing was missed and nothing counted twice.
async fn client(session: Session<Counters>, name: Bytes, deadline: Instant) -> (Bytes, u64) {
    let mut counted = 0;
    while Instant::now() < deadline {
        let applied = within(session.propose(name.clone())).await.unwrap();
        counted += 1;
        assert_eq!(applied.reply, counted, "{name:?}");
    }
    session.close().await.unwrap();
    (name, counted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_of_sessions_add_up_though_leaders_are_cut_off_and_stopped() {
    let mut cluster = Cluster::start(3).await;
    cluster.leader().await;
    let members: Vec<Member> = cluster.members.values().cloned().collect();
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut clients = JoinSet::new();
    for number in 0..6 {
        let mut members = members.clone();
        members.rotate_left(number % 3);
        let session = within(Session::open(members, config())).await.unwrap();
        let name = Bytes::from(format!("client {number}"));
        clients.spawn(client(session, name, deadline));
    }
    for _ in 0..2 {
        sleep(Duration::from_millis(300)).await;
        let leader = cluster.leader().await;
        cut(&cluster, leader);
        // Long enough for another to lead, and for clients of this one to turn away with their commands in doubt.
        sleep(Duration::from_millis(900)).await;
        cluster.member(leader).faults().clear_all();
    }
    let leader = cluster.leader().await;
    cluster.stop_member(leader).await;
    let tallies = clients.join_all().await;
    let total: u64 = tallies.iter().map(|(_, counted)| counted).sum();
    assert!(total > 60, "only {total} in all");
    let other = cluster.member(cluster.leader().await);
    let counts = other.read(ReadLevel::Linearizable, |state, _| state.counts());
    let counts = within(counts).await.unwrap();
    for (name, counted) in tallies {
        assert_eq!(counts.get(&name), Some(&counted), "{name:?}");
    }
    cluster.agree().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_retry_is_answered_from_what_is_kept_by_any_member() {
    let cluster = Cluster::start(3).await;
    cluster.leader().await;
    let [one, two, three] = [1, 2, 3].map(|id| cluster.member(NodeId(id)).clone());
    let id = within(one.open_session(Duration::from_mins(1)))
        .await
        .unwrap();
    let first = within(one.propose_in((id, 1, 0), "a".into()))
        .await
        .unwrap();
    for member in [&two, &three, &one] {
        let again = within(member.propose_in((id, 1, 0), "a".into()))
            .await
            .unwrap();
        assert_eq!(again, first);
    }
    assert_eq!(count(&two, ReadLevel::Linearizable, "a").await.0, 1);
    let second = within(two.propose_in((id, 2, 1), "a".into()))
        .await
        .unwrap();
    // A member that has not applied that yet still has the first reply.
    let applied = ReadLevel::Local.after(second.position);
    within(three.read(applied, |_, _| ())).await.unwrap();
    let gone = within(three.propose_in((id, 1, 0), "a".into())).await;
    assert_eq!(gone, Err(SessionError::Forgotten.into()));
    within(three.close_session(id)).await.unwrap();
    let closed = within(one.propose_in((id, 3, 2), "a".into())).await;
    assert_eq!(closed, Err(SessionError::Expired.into()));
    assert_eq!(count(&one, ReadLevel::Linearizable, "a").await.0, 2);
    cluster.agree().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_session_that_has_expired_is_opened_anew_when_nothing_is_in_doubt() {
    let cluster = Cluster::start(1).await;
    let only = cluster.member(NodeId(1)).clone();
    let short = SessionConfig {
        ttl: Duration::from_millis(200),
        ..SessionConfig::default()
    };
    let session = within(Session::open(vec![only.clone()], short))
        .await
        .unwrap();
    let first = session.id();
    assert_eq!(within(session.propose("a".into())).await.unwrap().reply, 1);
    // Nobody calls: log time has to go on by itself until the session is gone.
    within(async {
        loop {
            let gone = only.propose_in((first, 9, 0), "b".into());
            if gone.await == Err(SessionError::Expired.into()) {
                return;
            }
            sleep(Duration::from_millis(250)).await;
        }
    })
    .await;
    assert_eq!(within(session.propose("a".into())).await.unwrap().reply, 2);
    assert_ne!(session.id(), first);
    cluster.stop().await;
    let stopped = within(session.propose("a".into())).await;
    assert_eq!(stopped.map(|applied| applied.reply), Err(Failure::Stopped));
}
