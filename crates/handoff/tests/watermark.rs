//! The watermark, polled by hand.
#![cfg(not(loom))]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use common::Alarm;
use quorate_handoff::{Ended, watermark};

#[test]
fn the_mark_only_rises_and_each_rise_is_seen_once() {
    let (mut publisher, mut observer) = watermark(5);
    assert_eq!(observer.observe(), Ok(None));
    publisher.publish(4);
    publisher.publish(5);
    assert_eq!(observer.observe(), Ok(None));
    publisher.publish(8);
    publisher.publish(7);
    assert_eq!(observer.observe(), Ok(Some(8)));
    assert_eq!(observer.observe(), Ok(None));
}

#[test]
fn only_a_rise_wakes_and_only_once_for_each_sleep() {
    let (mut publisher, mut observer) = watermark(5);
    let (alarm, waker) = Alarm::new();
    let context = Context::from_waker(&waker);
    assert_eq!(observer.poll_risen(&context), Poll::Pending);
    publisher.publish(5);
    assert_eq!(alarm.rang(), 0);
    publisher.publish(6);
    publisher.publish(7);
    assert_eq!(alarm.rang(), 1);
    assert_eq!(observer.poll_risen(&context), Poll::Ready(Ok(7)));
    assert_eq!(observer.poll_risen(&context), Poll::Pending);
}

#[test]
fn an_orderly_end_comes_after_the_last_mark_and_wakes() {
    let (mut publisher, mut observer) = watermark(0);
    let (alarm, waker) = Alarm::new();
    let context = Context::from_waker(&waker);
    assert_eq!(observer.poll_risen(&context), Poll::Pending);
    publisher.publish(1);
    assert_eq!(observer.poll_risen(&context), Poll::Ready(Ok(1)));
    assert_eq!(observer.poll_risen(&context), Poll::Pending);
    publisher.publish(2);
    publisher.close();
    assert_eq!(alarm.rang(), 2);
    assert_eq!(observer.poll_risen(&context), Poll::Ready(Ok(2)));
    assert_eq!(
        observer.poll_risen(&context),
        Poll::Ready(Err(Ended::Closed))
    );
}

#[test]
fn a_failure_overtakes_a_mark_not_yet_seen_and_wakes() {
    let (publisher, mut observer) = watermark(0);
    let (alarm, waker) = Alarm::new();
    let context = Context::from_waker(&waker);
    assert_eq!(observer.poll_risen(&context), Poll::Pending);
    publisher.fail();
    assert_eq!(alarm.rang(), 1);
    assert_eq!(
        observer.poll_risen(&context),
        Poll::Ready(Err(Ended::Failed))
    );

    let (mut publisher, mut observer) = watermark(0);
    publisher.publish(1);
    publisher.fail();
    assert_eq!(observer.observe(), Err(Ended::Failed));
}

#[test]
fn a_publisher_lost_to_a_panic_has_failed() {
    let (publisher, mut observer) = watermark(0);
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _publisher = publisher;
        panic!("the journal thread dies");
    }));
    assert!(panicked.is_err());
    assert_eq!(observer.observe(), Err(Ended::Failed));
}
