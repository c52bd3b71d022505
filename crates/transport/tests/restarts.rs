//! Members that die, come back, linger, move and leave (`RELIABILITY` N2, N4).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use quorate_core::{Life, NodeId};
use quorate_transport::{Config, Event, Lane, SendError, Transport};

#[tokio::test]
async fn a_killed_peer_comes_back_and_nothing_is_doubled_or_reordered() {
    let (a, _from_b) = Transport::bind(config(1)).await.unwrap();
    let (mut sent, mut port) = (0, LOOPBACK.to_owned());
    for life in 1..=4 {
        let mut config = Config {
            listen: port.clone(),
            ..lived(2, life)
        };
        config.peers.insert(NodeId(1), a.address().to_owned());
        let (b, mut from_a) = Transport::bind(config).await.unwrap();
        port = b.address().to_owned();
        a.set_peer(NodeId(2), b.address());
        connected(&a, 2).await;
        let first = sent;
        let mut last = None;
        while last.is_none_or(|last| last < first + 50) {
            sent += u64::from(a.send(NodeId(2), bulk(sent, 1000)).is_ok());
            while let Some(received) = from_a.try_recv() {
                let number = number(&received);
                assert!(number >= first, "{number} was sent to an earlier life");
                assert!(
                    last.is_none_or(|last| number == last + 1),
                    "{number} after {last:?}"
                );
                last = Some(number);
            }
            tokio::task::yield_now().await;
        }
        // Killed with frames under way in both buffers.
        drop((b, from_a));
        until("the end is seen", || !a.is_connected(NodeId(2), Lane::Bulk)).await;
    }
    let link = a
        .links()
        .into_iter()
        .find(|link| link.lane == Lane::Bulk)
        .unwrap();
    assert_eq!(link.outgoing.connects, 4);
}

#[tokio::test]
async fn what_waits_for_a_connection_is_lost_with_it_and_not_sent_again() {
    let mut narrow = lived(2, 1);
    narrow.bulk.inbox_frames_max = 1;
    let [(a, _from_b), (b, from_a)] = pair_of(config(1), narrow).await;
    let mut taken = 0;
    while a.send(NodeId(2), bulk(taken, 500_000)).is_ok() {
        taken += 1;
        tokio::task::yield_now().await;
    }
    let waiting = a.links()[1].frames_waiting as u64;
    assert!(waiting > 1, "{waiting} frames wait");
    drop((b, from_a));
    until("the end is seen", || !a.is_connected(NodeId(2), Lane::Bulk)).await;
    let link = &a.links()[1];
    assert_eq!((link.frames_waiting, link.bytes_waiting), (0, 0));
    // The one that was refused as full, and all that waited.
    assert_eq!(link.frames_lost, waiting + 1);
    let (b, mut from_a) = Transport::bind(lived(2, 2)).await.unwrap();
    b.set_peer(NodeId(1), a.address());
    a.set_peer(NodeId(2), b.address());
    connected(&a, 2).await;
    a.send(NodeId(2), bulk(taken, 10)).unwrap();
    assert_eq!(number(&next(&mut from_a).await), taken);
}

#[tokio::test]
async fn frames_of_a_past_life_never_follow_those_of_the_next() {
    let (b, mut from_a) = Transport::bind(config(2)).await.unwrap();
    b.set_peer(NodeId(1), "127.0.0.1:1");
    let (mut latest, mut lives) = (Life::ZERO, Vec::new());
    for life in 1..=8 {
        // The earlier life still runs and goes on sending while the next one takes over.
        let (a, incoming) = Transport::bind(lived(1, life)).await.unwrap();
        a.set_peer(NodeId(2), b.address());
        connected(&a, 2).await;
        lives.push((a, incoming));
        for round in 0..400 {
            for (a, _) in &lives {
                let _ = a.send(NodeId(2), bulk(round, 100));
            }
            tokio::task::yield_now().await;
            while let Some(received) = from_a.try_recv() {
                assert!(
                    received.life >= latest,
                    "{:?} after {latest:?}",
                    received.life
                );
                latest = received.life;
            }
        }
        until("the newest is heard", || {
            let _ = lives[life as usize - 1].0.send(NodeId(2), bulk(0, 1));
            while let Some(received) = from_a.try_recv() {
                assert!(received.life >= latest);
                latest = received.life;
            }
            latest == Life(life)
        })
        .await;
    }
    assert!(
        b.count(Event::Replaced) >= 7,
        "each took the seats of the one before"
    );
    assert!(
        b.count(Event::PastLife) >= 1,
        "those that are over tried again"
    );
}

#[tokio::test]
async fn a_peer_can_move_and_can_be_removed() {
    let [(a, mut from_b), (b, mut from_a)] = pair().await;
    let (moved, mut from_a_moved) = Transport::bind(lived(2, 2)).await.unwrap();
    moved.set_peer(NodeId(1), a.address());
    a.set_peer(NodeId(2), moved.address());
    until("the new address is used", || {
        a.is_connected(NodeId(2), Lane::Control)
            && a.send(NodeId(2), control(5)).is_ok()
            && from_a_moved
                .try_recv()
                .is_some_and(|received| number(&received) == 5)
    })
    .await;
    while let Some(received) = from_a.try_recv() {
        assert_eq!(number(&received), 5);
    }
    connected(&moved, 1).await;
    drop(b);
    a.remove_peer(NodeId(2));
    assert_eq!(
        a.send(NodeId(2), control(1)),
        Err(SendError::NoSuchPeer(NodeId(2)))
    );
    assert!(a.links().is_empty());
    until("its own connection is closed too", || {
        !moved.is_connected(NodeId(1), Lane::Control)
    })
    .await;
    assert!(from_b.try_recv().is_none());
    // Back again, it is not taken for new: the life that is over stays over.
    a.set_peer(NodeId(2), "127.0.0.1:1");
    let (past, _incoming) = Transport::bind(lived(2, 1)).await.unwrap();
    past.set_peer(NodeId(1), a.address());
    until("the past life is refused", || a.count(Event::PastLife) > 0).await;
    connected(&moved, 1).await;
}
