//! Every interleaving, up to a bound on preemptions, of the batch queue. Run by `cargo xtask loom`.
#![cfg(loom)]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use loom::future::block_on;
use loom::thread;
use quorate_handoff::{BatchReceiver, Closed, PushError, batch_queue};

/// Enough for every mistake tried against these tests; where three threads sleep and wake one another
/// a third preemption costs a minute, so that one is checked with two.
const PREEMPTIONS_MAX: usize = 3;

fn check(model: impl Fn() + Sync + Send + 'static) {
    check_within(PREEMPTIONS_MAX, model);
}

fn check_within(preemptions_max: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions_max);
    builder.check(model);
}

/// Sleeps and takes until the queue is closed; every batch fits within `count_max`.
fn drain<T>(receiver: &mut BatchReceiver<T>, count_max: usize) -> Vec<T> {
    let mut all = Vec::new();
    let mut batch = Vec::new();
    while block_on(receiver.ready()) == Ok(()) {
        let count = receiver.take(&mut batch);
        assert!(count > 0, "ready means that there is something");
        assert_eq!(count, batch.len());
        assert!(count <= count_max, "never more than the capacity");
        all.append(&mut batch);
    }
    all
}

fn of_sender(all: &[(u8, u8)], sender: u8) -> Vec<u8> {
    all.iter()
        .filter(|(of, _)| *of == sender)
        .map(|(_, item)| *item)
        .collect()
}

#[test]
fn a_sleeping_consumer_gets_every_item_once_and_in_the_order_of_its_sender() {
    check(|| {
        let (first, mut receiver) = batch_queue(8);
        let second = first.clone();
        let one = thread::spawn(move || {
            first.push((1, 0), 1).unwrap();
            first.push((1, 1), 1).unwrap();
        });
        let two = thread::spawn(move || {
            second.push((2, 0), 1).unwrap();
        });
        let all = drain(&mut receiver, 8);
        assert_eq!(of_sender(&all, 1), [0, 1]);
        assert_eq!(of_sender(&all, 2), [0]);
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn a_sender_that_waits_for_room_is_woken_by_the_take_and_capacity_holds() {
    check(|| {
        let (mut sender, mut receiver) = batch_queue(1);
        let pusher = thread::spawn(move || {
            block_on(sender.push_when_room(1, 1)).unwrap();
            block_on(sender.push_when_room(2, 1)).unwrap();
        });
        assert_eq!(drain(&mut receiver, 1), [1, 2]);
        pusher.join().unwrap();
    });
}

#[test]
fn a_take_wakes_every_sender_that_waits_and_they_share_the_room_in_turn() {
    check_within(PREEMPTIONS_MAX - 1, || {
        let (mut first, mut receiver) = batch_queue(1);
        let mut second = first.clone();
        first.push(0, 1).unwrap();
        let one = thread::spawn(move || block_on(first.push_when_room(1, 1)).unwrap());
        let two = thread::spawn(move || block_on(second.push_when_room(2, 1)).unwrap());
        let mut all = drain(&mut receiver, 1);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn two_senders_never_share_the_last_place() {
    check(|| {
        let (first, mut receiver) = batch_queue(3);
        let second = first.clone();
        let one = thread::spawn(move || first.push(1, 2).is_ok());
        let two = thread::spawn(move || second.push(2, 2).is_ok());
        let pushed = [one.join().unwrap(), two.join().unwrap()];
        assert_eq!(pushed.iter().filter(|ok| **ok).count(), 1);
        assert_eq!(drain(&mut receiver, 1).len(), 1);
    });
}

#[test]
fn the_last_sender_to_go_wakes_the_consumer() {
    check(|| {
        let (first, mut receiver) = batch_queue::<u8>(1);
        let second = first.clone();
        let one = thread::spawn(move || drop(first));
        let two = thread::spawn(move || drop(second));
        assert_eq!(block_on(receiver.ready()), Err(Closed));
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn closing_wakes_a_sender_that_waits_and_hands_its_item_back() {
    check(|| {
        let (mut sender, mut receiver) = batch_queue(1);
        sender.push(0, 1).unwrap();
        let waiter = thread::spawn(move || block_on(sender.push_when_room(1, 1)));
        receiver.close();
        assert_eq!(waiter.join().unwrap(), Err(PushError::Closed(1)));
        assert_eq!(drain(&mut receiver, 1), [0]);
    });
}

#[test]
fn dropping_the_consumer_wakes_a_sender_that_waits() {
    check(|| {
        let (mut sender, receiver) = batch_queue(1);
        sender.push(0, 1).unwrap();
        let waiter = thread::spawn(move || block_on(sender.push_when_room(1, 1)));
        drop(receiver);
        assert_eq!(waiter.join().unwrap(), Err(PushError::Closed(1)));
    });
}

#[test]
fn an_item_pushed_while_the_consumer_closes_is_either_taken_or_handed_back() {
    check(|| {
        let (sender, mut receiver) = batch_queue(2);
        let pusher = thread::spawn(move || sender.push(1, 1));
        receiver.close();
        let all = drain(&mut receiver, 1);
        match pusher.join().unwrap() {
            Ok(()) => assert_eq!(all, [1]),
            Err(refused) => {
                assert_eq!(refused, PushError::Closed(1));
                assert!(all.is_empty());
            }
        }
    });
}
