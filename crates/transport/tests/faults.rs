//! Faults on a link, put on and taken off while it runs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::*;
use quorate_core::NodeId;
use quorate_transport::{Direction, Fault, Frame, Incoming, Lane, SendError, Transport};
use tokio::time::{Instant, sleep, timeout};

async fn silent(incoming: &mut Incoming) -> bool {
    timeout(Duration::from_secs(5), incoming.recv())
        .await
        .is_err()
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_one_way_and_heals() {
    let [(a, mut from_b), (b, mut from_a)] = memory_pair().await;
    a.faults().set(NodeId(2), Direction::Out, Fault::cut());
    assert_eq!(
        a.send(NodeId(2), control(1)),
        Ok(()),
        "the sender does not notice"
    );
    b.send(NodeId(1), control(2)).unwrap();
    assert_eq!(number(&next(&mut from_b).await), 2);
    assert!(silent(&mut from_a).await);
    a.faults().clear(NodeId(2), Direction::Out);
    a.send(NodeId(2), control(3)).unwrap();
    assert_eq!(number(&next(&mut from_a).await), 3);
    // The same road, cut by its other end.
    b.faults().set(NodeId(1), Direction::In, Fault::cut());
    a.send(NodeId(2), control(4)).unwrap();
    assert!(silent(&mut from_a).await);
    b.faults().clear_all();
    a.send(NodeId(2), control(5)).unwrap();
    assert_eq!(number(&next(&mut from_a).await), 5);
    assert_eq!(a.links()[0].frames_faulted + b.links()[0].frames_faulted, 2);
    assert_eq!(
        a.links()[0].outgoing.connects,
        1,
        "the link itself stood all the time"
    );
}

#[tokio::test(start_paused = true)]
async fn loss_takes_about_its_share_and_the_seed_decides_which() {
    let mut survivors = Vec::new();
    for _ in 0..2 {
        let [(a, _from_b), (_b, mut from_a)] = memory_pair().await;
        a.faults().set(NodeId(2), Direction::Out, Fault::loss(0.25));
        for count in 0..4000 {
            a.send(NodeId(2), control(count)).unwrap();
        }
        a.faults().clear_all();
        a.send(NodeId(2), control(9999)).unwrap();
        let mut arrived = Vec::new();
        while arrived.last() != Some(&9999) {
            arrived.push(number(&next(&mut from_a).await));
        }
        assert!(
            (2800..3200).contains(&arrived.len()),
            "{} of 4000",
            arrived.len()
        );
        assert!(arrived.is_sorted());
        survivors.push(arrived);
    }
    assert_eq!(survivors[0], survivors[1]);
}

async fn delayed(a: &Transport, from_a: &mut Incoming, least: Duration) {
    let begun = Instant::now();
    for count in 0..10 {
        a.send(NodeId(2), control(count)).unwrap();
    }
    for expected in 0..10 {
        assert_eq!(number(&next(from_a).await), expected);
    }
    let took = begun.elapsed();
    assert!(
        took >= least && took < least + Duration::from_millis(100),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_delay_keeps_the_order_and_adds_up_over_both_ends() {
    let [(a, _from_b), (b, mut from_a)] = memory_pair().await;
    let (fifty, hundred) = (Duration::from_millis(50), Duration::from_millis(100));
    a.faults()
        .set(NodeId(2), Direction::Out, Fault::delay(hundred));
    delayed(&a, &mut from_a, hundred).await;
    let jittered = Fault {
        delay: (fifty, fifty * 2),
        ..Fault::default()
    };
    b.faults().set(NodeId(1), Direction::In, jittered);
    delayed(&a, &mut from_a, hundred + fifty).await;
    a.faults().clear_all();
    delayed(&a, &mut from_a, fifty).await;
}

#[tokio::test(start_paused = true)]
async fn bandwidth_is_what_it_is_set_to() {
    let [(a, _from_b), (_b, mut from_a)] = memory_pair().await;
    a.faults()
        .set(NodeId(2), Direction::Out, Fault::bandwidth(100_000));
    let begun = Instant::now();
    for count in 0..20 {
        a.send(NodeId(2), bulk(count, 10_000 - 8 - 16)).unwrap();
    }
    for expected in 0..20 {
        assert_eq!(number(&next(&mut from_a).await), expected);
    }
    let took = begun.elapsed().as_secs_f64();
    assert!(
        (1.99..2.1).contains(&took),
        "200 kB at 100 kB/s took {took} s"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_bounded_and_goes_on_in_order_when_released() {
    let [(a, _from_b), (b, mut from_a)] = memory_pair().await;
    a.faults().set(NodeId(2), Direction::Out, Fault::hold());
    let megabyte = || Frame::new(Lane::Control, vec![0; (1 << 20) - 16]);
    for _ in 0..4 {
        a.send(NodeId(2), megabyte()).unwrap();
    }
    assert_eq!(
        a.send(NodeId(2), megabyte()),
        Err(SendError::Full),
        "four MiB may wait"
    );
    assert!(silent(&mut from_a).await);
    a.faults().clear_all();
    for _ in 0..4 {
        assert_eq!(next(&mut from_a).await.payload.len(), (1 << 20) - 16);
    }
    // Held where it arrives: the reader keeps no more than an outbox, then the sender waits.
    b.faults().set(NodeId(1), Direction::In, Fault::hold());
    let mut taken = 0;
    while taken < 100 && a.send(NodeId(2), megabyte()).is_ok() {
        taken += 1;
        sleep(Duration::from_millis(10)).await;
    }
    assert!((8..=10).contains(&taken), "{taken} MiB on their way");
    assert!(silent(&mut from_a).await);
    b.faults().clear_all();
    for _ in 0..taken {
        assert_eq!(next(&mut from_a).await.payload.len(), (1 << 20) - 16);
    }
    assert_eq!(a.links()[0].outgoing.connects, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_full_slow_link_left_in_the_read_buffer_follows_at_once_when_it_heals() {
    let [(a, _from_b), (b, mut from_a)] = memory_pair_of(|config| {
        if config.node == NodeId(2) {
            config.control.outbox_frames_max = 5;
        }
    })
    .await;
    b.faults().set(NodeId(1), Direction::In, Fault::hold());
    for count in 0..20 {
        a.send(NodeId(2), control(count)).unwrap();
    }
    // Shorter than a beat, which would be one more reason to look into the buffer.
    sleep(Duration::from_millis(10)).await;
    assert!(from_a.try_recv().is_none());
    b.faults().clear_all();
    let begun = Instant::now();
    for expected in 0..20 {
        assert_eq!(number(&next(&mut from_a).await), expected);
    }
    assert!(
        begun.elapsed() < Duration::from_millis(100),
        "{:?}",
        begun.elapsed()
    );
}
