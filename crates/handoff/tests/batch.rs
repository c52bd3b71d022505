//! The batch queue, polled by hand.
#![cfg(not(loom))]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod common;

use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use common::Alarm;
use quorate_handoff::{BatchReceiver, BatchSender, Closed, PushError, batch_queue};

fn taken<T>(receiver: &mut BatchReceiver<T>) -> Vec<T> {
    let mut batch = Vec::new();
    receiver.take(&mut batch);
    batch
}

#[test]
fn a_take_hands_over_everything_in_order_and_leaves_nothing() {
    let (sender, mut receiver) = batch_queue(10);
    for item in 0..5 {
        sender.push(item, 1).unwrap();
    }
    assert_eq!(taken(&mut receiver), [0, 1, 2, 3, 4]);
    assert_eq!(receiver.take(&mut Vec::new()), 0);
}

#[test]
fn two_buffers_alternate_without_a_new_allocation() {
    let (sender, mut receiver) = batch_queue(64);
    let mut batch = Vec::new();
    let mut buffers = Vec::new();
    for _ in 0..6 {
        for item in 0..64 {
            sender.push(item, 1).unwrap();
        }
        assert_eq!(receiver.take(&mut batch), 64);
        buffers.push(batch.as_ptr());
        batch.clear();
    }
    assert_ne!(buffers[0], buffers[1]);
    assert_eq!(buffers[2..4], buffers[0..2]);
    assert_eq!(buffers[4..6], buffers[0..2]);
}

#[test]
fn a_take_into_a_batch_with_items_appends() {
    let (sender, mut receiver) = batch_queue(10);
    let mut batch = vec![1];
    sender.push(2, 1).unwrap();
    sender.push(3, 1).unwrap();
    assert_eq!(receiver.take(&mut batch), 2);
    assert_eq!(batch, [1, 2, 3]);
}

#[test]
fn weight_is_bounded_to_the_byte_and_freed_by_a_take() {
    let (sender, mut receiver) = batch_queue(10);
    sender.push('a', 4).unwrap();
    assert_eq!(sender.push('b', 7), Err(PushError::Full('b')));
    sender.push('c', 6).unwrap();
    assert_eq!(sender.push('d', 1), Err(PushError::Full('d')));
    assert_eq!(taken(&mut receiver), ['a', 'c']);
    sender.push('e', 10).unwrap();
    assert_eq!(taken(&mut receiver), ['e']);
}

#[test]
fn an_item_without_weight_counts_one_so_that_their_number_is_bounded() {
    let (sender, _receiver) = batch_queue(2);
    sender.push((), 0).unwrap();
    sender.push((), 0).unwrap();
    assert_eq!(sender.push((), 0), Err(PushError::Full(())));
}

#[test]
fn an_item_that_never_fits_is_refused_at_once_also_by_the_push_that_waits() {
    let (mut sender, _receiver) = batch_queue(10);
    sender.push('a', 10).unwrap();
    assert_eq!(sender.push('b', usize::MAX), Err(PushError::TooHeavy('b')));
    let mut context = Context::from_waker(Waker::noop());
    let push = pin!(sender.push_when_room('c', 11));
    assert_eq!(
        push.poll(&mut context),
        Poll::Ready(Err(PushError::TooHeavy('c')))
    );
}

#[test]
fn only_the_push_that_finds_the_consumer_asleep_wakes_it() {
    let (sender, mut receiver) = batch_queue(10);
    let (alarm, waker) = Alarm::new();
    let context = Context::from_waker(&waker);
    sender.push(0, 1).unwrap();
    assert_eq!(receiver.poll_ready(&context), Poll::Ready(Ok(())));
    taken(&mut receiver);
    assert_eq!(receiver.poll_ready(&context), Poll::Pending);
    assert_eq!(alarm.rang(), 0);
    sender.push(1, 1).unwrap();
    sender.push(2, 1).unwrap();
    assert_eq!(alarm.rang(), 1);
    assert_eq!(receiver.poll_ready(&context), Poll::Ready(Ok(())));
}

#[test]
fn the_waker_of_the_latest_poll_is_the_one_woken() {
    let (sender, mut receiver) = batch_queue(10);
    let (before, old) = Alarm::new();
    let (now, new) = Alarm::new();
    assert_eq!(
        receiver.poll_ready(&Context::from_waker(&old)),
        Poll::Pending
    );
    assert_eq!(
        receiver.poll_ready(&Context::from_waker(&new)),
        Poll::Pending
    );
    sender.push(0, 1).unwrap();
    assert_eq!((before.rang(), now.rang()), (0, 1));
}

#[test]
fn a_sender_waits_in_one_place_however_often_its_wait_is_abandoned() {
    let (mut sender, mut receiver) = batch_queue(1);
    sender.push(0, 1).unwrap();
    let alarms: Vec<_> = (0..3).map(|_| Alarm::new()).collect();
    for (_, waker) in &alarms {
        let push = pin!(sender.push_when_room(1, 1));
        assert_eq!(push.poll(&mut Context::from_waker(waker)), Poll::Pending);
    }
    assert_eq!(
        taken(&mut receiver),
        [0],
        "what was abandoned is not queued"
    );
    let rang: Vec<_> = alarms.iter().map(|(alarm, _)| alarm.rang()).collect();
    assert_eq!(rang, [0, 0, 1]);
}

#[test]
fn a_dropped_sender_leaves_no_waker_behind() {
    let (sender, _receiver) = batch_queue(1);
    sender.push(0, 1).unwrap();
    let mut other = sender.clone();
    let (alarm, waker) = Alarm::new();
    let held = Arc::strong_count(&alarm);
    let push = Box::pin(other.push_when_room(1, 1))
        .as_mut()
        .poll(&mut Context::from_waker(&waker));
    assert_eq!(push, Poll::Pending);
    assert_eq!(Arc::strong_count(&alarm), held + 1);
    drop(other);
    assert_eq!(Arc::strong_count(&alarm), held);
}

#[test]
fn a_closed_queue_refuses_pushes_and_still_yields_what_it_holds() {
    let (sender, mut receiver) = batch_queue(10);
    sender.push(1, 1).unwrap();
    receiver.close();
    assert_eq!(sender.push(2, 1), Err(PushError::Closed(2)));
    let context = Context::from_waker(Waker::noop());
    assert_eq!(receiver.poll_ready(&context), Poll::Ready(Ok(())));
    assert_eq!(taken(&mut receiver), [1]);
    assert_eq!(receiver.poll_ready(&context), Poll::Ready(Err(Closed)));
}

#[test]
fn the_last_sender_gone_closes_the_queue_after_its_items() {
    let (sender, mut receiver) = batch_queue(10);
    let other = sender.clone();
    drop(sender);
    let (alarm, waker) = Alarm::new();
    let context = Context::from_waker(&waker);
    assert_eq!(receiver.poll_ready(&context), Poll::Pending);
    other.push(1, 1).unwrap();
    drop(other);
    assert_eq!(alarm.rang(), 1);
    assert_eq!(receiver.poll_ready(&context), Poll::Ready(Ok(())));
    assert_eq!(taken(&mut receiver), [1]);
    assert_eq!(receiver.poll_ready(&context), Poll::Ready(Err(Closed)));
}

#[test]
fn a_dropped_consumer_drops_the_items_and_refuses_more() {
    let (sender, receiver) = batch_queue(10);
    let item = Arc::new(());
    sender.push(Arc::clone(&item), 1).unwrap();
    drop(receiver);
    assert_eq!(Arc::strong_count(&item), 1);
    let refused = sender.push(Arc::clone(&item), 1).unwrap_err();
    assert!(matches!(refused, PushError::Closed(_)));
    assert!(Arc::ptr_eq(&refused.into_item(), &item));
}

/// A task that owns a sender, as a connection's task does: its last waker drops it.
struct Owner(#[expect(dead_code, reason = "held for its drop")] BatchSender<u8>);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_whose_drop_drops_the_other_end_does_not_deadlock() {
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let (sender, mut receiver) = batch_queue(1);
        let mut waiting = sender.clone();
        let owner = |of: &BatchSender<u8>| Waker::from(Arc::new(Owner(of.clone())));
        for _ in 0..2 {
            let waker = owner(&sender);
            assert_eq!(
                receiver.poll_ready(&Context::from_waker(&waker)),
                Poll::Pending
            );
        }
        sender.push(0, 1).unwrap();
        for _ in 0..2 {
            let waker = owner(&sender);
            let push = pin!(waiting.push_when_room(1, 1));
            assert_eq!(push.poll(&mut Context::from_waker(&waker)), Poll::Pending);
        }
        drop(waiting);
        drop(receiver);
        done.send(()).unwrap();
    });
    finished
        .recv_timeout(Duration::from_secs(10))
        .expect("no lock is held while a waker drops");
}
