//! Every interleaving, up to a bound on preemptions, of the watermark. Run by `cargo xtask loom`.
#![cfg(loom)]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use loom::future::block_on;
use loom::thread;
use quorate_handoff::{Ended, Observer, watermark};

const PREEMPTIONS_MAX: usize = 4;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(model);
}

/// Sleeps until the end; the marks seen rise strictly.
fn follow(observer: &mut Observer, start: u64) -> (u64, Ended) {
    let mut seen = start;
    loop {
        match block_on(observer.risen()) {
            Ok(mark) => {
                assert!(mark > seen, "a mark never repeats or falls");
                seen = mark;
            }
            Err(ended) => return (seen, ended),
        }
    }
}

#[test]
fn a_sleeping_observer_sees_the_last_mark_and_then_the_end() {
    check(|| {
        let (mut publisher, mut observer) = watermark(0);
        let journal = thread::spawn(move || {
            publisher.publish(2);
            publisher.publish(1);
            publisher.publish(3);
            publisher.close();
        });
        assert_eq!(follow(&mut observer, 0), (3, Ended::Closed));
        journal.join().unwrap();
    });
}

#[test]
fn a_mark_wakes_the_observer_while_the_publisher_lives_on() {
    check(|| {
        let (mut publisher, mut observer) = watermark(0);
        let journal = thread::spawn(move || {
            publisher.publish(1);
            publisher
        });
        assert_eq!(block_on(observer.risen()), Ok(1));
        drop(journal.join().unwrap());
    });
}

#[test]
fn a_failure_wakes_the_observer_and_stays_the_end() {
    check(|| {
        let (mut publisher, mut observer) = watermark(0);
        let journal = thread::spawn(move || {
            publisher.publish(1);
            publisher.fail();
        });
        let (seen, ended) = follow(&mut observer, 0);
        assert!(seen <= 1);
        assert_eq!(ended, Ended::Failed);
        journal.join().unwrap();
        assert_eq!(observer.observe(), Err(Ended::Failed));
    });
}

#[test]
fn a_publisher_that_vanishes_has_failed() {
    check(|| {
        let (publisher, mut observer) = watermark(0);
        let journal = thread::spawn(move || drop(publisher));
        assert_eq!(block_on(observer.risen()), Err(Ended::Failed));
        journal.join().unwrap();
    });
}
