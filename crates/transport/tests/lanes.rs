//! Control overtakes bulk, and slow consumers push back instead of filling memory (`RELIABILITY` N1, N3).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use common::*;
use quorate_core::NodeId;
use quorate_transport::{Config, Frame, Lane, Received, SendError, Sink, Transport};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_overtakes_a_frame_of_64_mib() {
    let [(a, _from_b), (_b, mut from_a)] = pair().await;
    let body = vec![7u8; (64 << 20) - 8];
    a.send(
        NodeId(2),
        Frame::new(Lane::Bulk, vec![0; 8]).with_body(body),
    )
    .unwrap();
    for count in 0..20 {
        a.send(NodeId(2), control(count)).unwrap();
    }
    for expected in 0..20 {
        let received = next(&mut from_a).await;
        assert_eq!(received.lane, Lane::Control, "bulk came first");
        assert_eq!(number(&received), expected);
    }
    assert_eq!(next(&mut from_a).await.payload.len(), 64 << 20);
}

#[tokio::test]
async fn control_passes_while_bulk_is_stuck_behind_a_slow_consumer() {
    let mut narrow = config(2);
    narrow.bulk.inbox_frames_max = 1;
    let [(a, _from_b), (b, mut from_a)] = pair_of(config(1), narrow).await;
    while a.send(NodeId(2), bulk(0, 200_000)).is_ok() {}
    until("the bulk lane stands still", || {
        let link = &b.links()[1];
        link.frames_received == 2
    })
    .await;
    // Nobody has taken anything yet; heartbeats still go from end to end.
    for count in 0..100 {
        let begun = Instant::now();
        a.send(NodeId(2), control(count)).unwrap();
        until("the heartbeat is here", || {
            b.links()[0].frames_received == count + 1
        })
        .await;
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    for expected in 0..100 {
        assert_eq!(number(&next(&mut from_a).await), expected);
    }
    assert_eq!(next(&mut from_a).await.lane, Lane::Bulk);
}

#[tokio::test]
async fn a_slow_consumer_bounds_memory_from_end_to_end_and_loses_nothing_it_was_promised() {
    const FRAME: usize = 10_000;
    let bounded = |node| {
        let mut config = config(node);
        config.bulk.frame_bytes_max = 1 << 16;
        config.bulk.outbox_bytes_max = 1 << 20;
        config.bulk.inbox_bytes_max = 1 << 18;
        config
    };
    let [(a, _from_b), (b, mut from_a)] = pair_of(bounded(1), bounded(2)).await;
    let (mut taken, mut refused) = (0, 0);
    while refused < 2000 {
        match a.send(NodeId(2), bulk(taken, FRAME - 8)) {
            Ok(()) => taken += 1,
            Err(SendError::Full) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        let sent = &a.links()[1];
        assert!(
            sent.bytes_waiting <= 1 << 20,
            "{} bytes wait",
            sent.bytes_waiting
        );
        // What the reader has taken off the socket: the inbox, and the one that does not fit.
        let held = b.links()[1].bytes_received;
        assert!(held <= (1 << 18) + FRAME as u64, "{held} bytes held");
        if refused % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for expected in 0..taken {
        assert_eq!(number(&next(&mut from_a).await), expected);
    }
    assert_eq!(a.links()[1].frames_lost, refused);
}

/// A sink that has room for so many, and counts.
struct Counting {
    room: AtomicUsize,
    taken: AtomicUsize,
    pauses: AtomicUsize,
    stops: AtomicUsize,
}

impl Sink for Counting {
    fn poll_deliver(
        &self,
        _context: &mut Context<'_>,
        slot: &mut Option<Received>,
    ) -> Poll<ControlFlow<()>> {
        if self.taken.load(Ordering::SeqCst) == self.room.load(Ordering::SeqCst) {
            return Poll::Ready(ControlFlow::Break(()));
        }
        slot.take();
        self.taken.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(ControlFlow::Continue(()))
    }

    fn on_pause(&self) {
        self.pauses.fetch_add(1, Ordering::SeqCst);
    }

    fn on_stop(&self) {
        self.stops.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_sink_is_fed_by_the_reader_and_may_close_the_connection() {
    let count = || AtomicUsize::new(0);
    let sink = Arc::new(Counting {
        room: AtomicUsize::new(500),
        taken: count(),
        pauses: count(),
        stops: count(),
    });
    let b = Transport::bind_with(config(2), sink.clone()).await.unwrap();
    let (a, _incoming) = Transport::bind(Config { ..config(1) }).await.unwrap();
    b.set_peer(NodeId(1), a.address());
    a.set_peer(NodeId(2), b.address());
    connected(&a, 2).await;
    for number in 0..500 {
        a.send(NodeId(2), control(number)).unwrap();
    }
    until("all are taken", || sink.taken.load(Ordering::SeqCst) == 500).await;
    let pauses = sink.pauses.load(Ordering::SeqCst);
    assert!(
        (1..250).contains(&pauses),
        "{pauses} pauses: many are handed over at once"
    );
    a.send(NodeId(2), control(500)).unwrap();
    until("the sink closed it", || {
        a.links()[0].outgoing.last_error.is_some()
    })
    .await;
    assert_eq!(sink.taken.load(Ordering::SeqCst), 500);
    b.shutdown(LONG).await;
    drop(b);
    assert!(sink.stops.load(Ordering::SeqCst) >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_at_once_lose_nothing_and_keep_their_order() {
    const EACH: u64 = 20_000;
    let [(a, _from_b), (_b, mut from_a)] = pair().await;
    let sender = |name: u64| {
        let a = a.clone();
        // Threads without a runtime: a send needs none.
        std::thread::spawn(move || {
            for count in 0..EACH {
                let frame =
                    || Frame::new(Lane::Control, (name << 32 | count).to_le_bytes().to_vec());
                while a.send(NodeId(2), frame()) == Err(SendError::Full) {
                    std::thread::yield_now();
                }
            }
        })
    };
    let senders: Vec<_> = (0..4).map(sender).collect();
    let mut next_of = [0; 4];
    for _ in 0..4 * EACH {
        let number = number(&next(&mut from_a).await);
        let (name, count) = ((number >> 32) as usize, number & u64::from(u32::MAX));
        assert_eq!(count, next_of[name], "of sender {name}");
        next_of[name] += 1;
    }
    assert!(senders.into_iter().all(|thread| thread.join().is_ok()));
}
