//! Two members and the links between them, over sockets and in memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::*;
use quorate_core::{ClusterId, Life, NodeId};
use quorate_transport::{
    Config, ConfigError, Event, Frame, HandshakeError, Lane, LinkError, MemoryNetwork, Refusal,
    SendError, Transport,
};
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn payloads_arrive_whole_and_in_order_over_tcp() {
    let [(a, _from_b), (_b, mut from_a)] = pair().await;
    for number in 0..200 {
        a.send(NodeId(2), bulk(number, number as usize * 97))
            .unwrap();
    }
    for expected in 0..200 {
        let received = next(&mut from_a).await;
        assert_eq!((received.from, received.life), (NodeId(1), Life(1)));
        assert_eq!(number(&received), expected);
        assert_eq!(received.payload.len(), 8 + expected as usize * 97);
        assert!(received.payload[8..].iter().all(|byte| *byte == 0xab));
    }
}

#[tokio::test]
async fn a_network_in_memory_has_the_same_face() {
    let [(a, mut from_b), (b, mut from_a)] = memory_pair().await;
    a.send(NodeId(2), bulk(1, 300_000)).unwrap();
    b.send(NodeId(1), control(2)).unwrap();
    assert_eq!(next(&mut from_a).await.payload.len(), 300_008);
    assert_eq!(number(&next(&mut from_b).await), 2);
    assert_eq!(
        a.send(NodeId(9), control(0)),
        Err(SendError::NoSuchPeer(NodeId(9)))
    );
    assert_eq!(
        a.send(NodeId(1), control(0)),
        Err(SendError::NoSuchPeer(NodeId(1)))
    );
    assert_eq!(a.shutdown(LONG).await, 0);
    assert!(
        timeout(LONG, from_b.recv()).await.unwrap().is_none(),
        "the end of what arrives"
    );
    assert_eq!(a.send(NodeId(2), control(0)), Err(SendError::Stopped));
}

#[tokio::test]
async fn a_frame_on_a_resting_link_is_written_before_send_returns() {
    let [(a, _from_b), (_b, mut from_a)] = pair().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    a.send(NodeId(2), control(1)).unwrap();
    // Nothing else has run on this single thread since.
    let link = a
        .links()
        .into_iter()
        .find(|link| link.lane == Lane::Control)
        .unwrap();
    assert_eq!((link.frames_sent, link.frames_waiting), (1, 0));
    assert_eq!(number(&next(&mut from_a).await), 1);
}

#[tokio::test]
async fn what_is_too_long_or_has_nowhere_to_go_is_refused_by_name() {
    let (a, _incoming) = Transport::bind(config(1)).await.unwrap();
    a.set_peer(NodeId(2), "127.0.0.1:1");
    assert_eq!(a.send(NodeId(2), control(1)), Err(SendError::NotConnected));
    let long = Frame::new(Lane::Control, vec![0; (1 << 20) + 1]);
    let refused = SendError::TooLong {
        length: (1 << 20) + 1,
        most: 1 << 20,
    };
    assert_eq!(a.send(NodeId(2), long), Err(refused));
    until("the dial failed", || a.count(Event::DialFailed) > 2).await;
    let link = &a.links()[0];
    assert!(
        matches!(link.outgoing.last_error, Some(LinkError::Dial { .. })),
        "{link:?}"
    );
    assert_eq!((link.frames_lost, link.outgoing.connects), (2, 0));
}

#[tokio::test]
async fn absurd_configs_are_refused_with_the_reason() {
    let mut absurd = config(1);
    absurd.bulk.outbox_bytes_max = 10;
    assert!(matches!(
        absurd.check(),
        Err(ConfigError::Lane {
            lane: Lane::Bulk,
            ..
        })
    ));
    assert!(Transport::bind(absurd).await.is_err());
    let mut absurd = config(1);
    absurd.timing.silence_max = absurd.timing.beat_every;
    assert!(matches!(absurd.check(), Err(ConfigError::Timing(_))));
    let taken = Transport::bind(config(1)).await.unwrap();
    let absurd = Config {
        listen: taken.0.address().to_owned(),
        ..config(2)
    };
    assert!(
        Transport::bind(absurd)
            .await
            .unwrap_err()
            .to_string()
            .contains("cannot listen")
    );
}

#[tokio::test]
async fn a_name_that_others_would_not_hear_is_refused_at_the_start() {
    let network = MemoryNetwork::new();
    let named = Config::new(CLUSTER, NodeId(1), "member 1");
    let refused = network.bind(named).await.unwrap_err().to_string();
    assert!(refused.contains("advertise"), "{refused}");
}

/// The refusal that the dialling side gets, and the event that the other side counts.
async fn refused(dialler: Config, wanted: u64, known: &[u64]) -> (LinkError, Transport) {
    let (b, _incoming) = Transport::bind(config(2)).await.unwrap();
    for peer in known {
        b.set_peer(NodeId(*peer), "127.0.0.1:1");
    }
    let (a, _incoming) = Transport::bind(dialler).await.unwrap();
    a.set_peer(NodeId(wanted), b.address());
    let error = || a.links()[0].outgoing.last_error.clone();
    until("the handshake failed", || error().is_some()).await;
    assert_eq!(
        a.send(NodeId(wanted), control(1)),
        Err(SendError::NotConnected)
    );
    (error().unwrap(), b)
}

#[tokio::test]
async fn wrong_cluster_wrong_member_and_strangers_are_refused_counted_and_told_why() {
    let refusal = |refusal| LinkError::Handshake(HandshakeError::Refused(refusal));
    let stranger = Config {
        cluster: ClusterId(8),
        ..config(1)
    };
    let (error, b) = refused(stranger, 2, &[1]).await;
    assert_eq!(error, refusal(Refusal::WrongCluster));
    assert!(b.count(Event::WrongCluster) >= 1);
    let (error, b) = refused(config(1), 3, &[1]).await;
    assert_eq!(error, refusal(Refusal::WrongMember));
    assert!(b.count(Event::WrongMember) >= 1);
    let (error, b) = refused(config(1), 2, &[]).await;
    assert_eq!(error, refusal(Refusal::UnknownMember));
    assert!(b.count(Event::WrongMember) >= 1);
    let (b, _incoming) = Transport::bind(config(2)).await.unwrap();
    b.set_peer(NodeId(2), b.address());
    assert!(b.links().is_empty(), "this member is not its own peer");
}

#[tokio::test]
async fn an_outbox_is_bounded_in_frames_too() {
    let mut narrow = config(1);
    narrow.control.outbox_frames_max = 10;
    narrow.timing.direct_gap = LONG;
    let [(a, _from_b), (_b, mut from_a)] = pair_of(narrow, config(2)).await;
    // Nothing else runs on this thread between the sends: the first is written, ten wait.
    let outcomes: Vec<_> = (0..20)
        .map(|count| a.send(NodeId(2), control(count)))
        .collect();
    let taken = outcomes
        .iter()
        .take_while(|outcome| outcome.is_ok())
        .count();
    assert_eq!(taken, 11);
    let mut refused = outcomes[taken..].iter();
    assert!(refused.all(|outcome| *outcome == Err(SendError::Full)));
    for expected in 0..taken as u64 {
        assert_eq!(number(&next(&mut from_a).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn beats_keep_an_idle_link_up() {
    let [(a, _from_b), (b, _from_a)] = memory_pair().await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!((a.count(Event::Silent), b.count(Event::Silent)), (0, 0));
    let mut links = a.links().into_iter().chain(b.links());
    assert!(links.all(|link| link.outgoing.connects == 1 && link.bytes_sent >= 600 * 16));
}

#[tokio::test]
async fn shutdown_writes_what_waits_and_leaves_no_task() {
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    let [(a, from_b), (b, mut from_a)] = pair().await;
    for number in 0..2000 {
        a.send(NodeId(2), bulk(number, 10_000)).unwrap();
    }
    let reading = tokio::spawn(async move {
        let mut count = 0;
        while from_a.recv().await.is_some() {
            count += 1;
        }
        count
    });
    assert_eq!(a.shutdown(LONG).await, 0);
    b.shutdown(LONG).await;
    assert_eq!(reading.await.unwrap(), 2000);
    drop((a, b, from_b));
    let after = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(after, before);
}

#[tokio::test]
async fn shutdown_is_bounded_when_the_other_side_takes_nothing() {
    let mut narrow = config(2);
    narrow.bulk.frame_bytes_max = 1 << 16;
    narrow.bulk.inbox_bytes_max = 1 << 16;
    narrow.bulk.inbox_frames_max = 1;
    let [(a, _from_b), (_b, _from_a)] = pair_of(config(1), narrow).await;
    let mut taken = 0;
    while a.send(NodeId(2), bulk(taken, 60_000)).is_ok() {
        taken += 1;
    }
    let begun = Instant::now();
    let lost = a.shutdown(Duration::from_millis(200)).await;
    assert!(lost > 0 && lost <= taken, "{lost} of {taken} lost");
    assert!(begun.elapsed() < Duration::from_secs(5));
}
