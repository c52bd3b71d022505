//! Both pieces under a multi-threaded runtime beside plain threads, as a member uses them.
#![cfg(not(loom))]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::thread;
use std::time::Duration;

use quorate_handoff::{BatchSender, Closed, Ended, batch_queue, watermark};
use tokio::runtime::Handle;
use tokio::time::timeout;

const TASKS: usize = 4;
const THREADS: usize = 2;
const ITEMS: u64 = 20_000;
const WEIGHT_MAX: usize = 64;

/// A hang is a failure too; far beyond what the work takes.
const PATIENCE: Duration = Duration::from_mins(2);

fn weight(n: u64) -> usize {
    (n * 7 % 23) as usize
}

async fn produce(mut sender: BatchSender<(usize, u64)>, of: usize) {
    for n in 0..ITEMS {
        let pushed = match n % 3 {
            0 => sender.push((of, n), weight(n)).is_ok(),
            _ => false,
        };
        if !pushed {
            sender.push_when_room((of, n), weight(n)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_and_threads_hand_over_every_item_once_in_order_within_the_bound() {
    let (sender, mut receiver) = batch_queue(WEIGHT_MAX);
    for of in 0..TASKS {
        tokio::spawn(produce(sender.clone(), of));
    }
    for of in TASKS..TASKS + THREADS {
        let (runtime, sender) = (Handle::current(), sender.clone());
        thread::spawn(move || runtime.block_on(produce(sender, of)));
    }
    drop(sender);
    let mut next = [0; TASKS + THREADS];
    let consume = async {
        let mut batch = Vec::new();
        while receiver.ready().await == Ok(()) {
            assert!(receiver.take(&mut batch) > 0);
            let total: usize = batch.iter().map(|(_, n)| weight(*n).max(1)).sum();
            assert!(total <= WEIGHT_MAX);
            for (of, n) in batch.drain(..) {
                assert_eq!(n, next[of], "in order, none lost, none twice");
                next[of] += 1;
            }
        }
    };
    timeout(PATIENCE, consume)
        .await
        .expect("no wake-up is lost");
    assert_eq!(next, [ITEMS; TASKS + THREADS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_loop_sleeps_on_queue_and_watermark_at_once_and_misses_neither() {
    let (mut sender, mut receiver) = batch_queue(16);
    let (mut publisher, mut observer) = watermark(0);
    let client = tokio::spawn(async move {
        for n in 1..=ITEMS {
            sender.push_when_room(n, 1).await.unwrap();
        }
    });
    let (to_disk, writes) = std::sync::mpsc::sync_channel(16);
    let journal = thread::spawn(move || {
        for mark in writes {
            publisher.publish(mark);
        }
        publisher.close();
    });
    let turns = async {
        let (mut batch, mut durable, mut written) = (Vec::new(), 0, 0);
        // Work enters only once what went before is durable: each side sleeps on the other each time.
        loop {
            tokio::select! {
                mark = observer.risen() => durable = mark.unwrap(),
                ready = receiver.ready(), if durable == written => match ready {
                    Ok(()) => {
                        receiver.take(&mut batch);
                        written = *batch.last().unwrap();
                        to_disk.send(written).unwrap();
                        batch.clear();
                    }
                    Err(Closed) => break,
                },
            }
        }
        assert_eq!((durable, written), (ITEMS, ITEMS));
    };
    timeout(PATIENCE, turns).await.expect("no wake-up is lost");
    drop(to_disk);
    client.await.unwrap();
    journal.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_from_a_busy_thread_rise_strictly_up_to_the_last_one() {
    let (mut publisher, mut observer) = watermark(0);
    thread::spawn(move || {
        for mark in 1..=ITEMS {
            publisher.publish(mark);
            publisher.publish(mark / 2);
        }
        publisher.close();
    });
    let follow = async {
        let mut seen = 0;
        loop {
            match observer.risen().await {
                Ok(mark) => {
                    assert!(mark > seen);
                    seen = mark;
                }
                Err(ended) => break (seen, ended),
            }
        }
    };
    let end = timeout(PATIENCE, follow).await.expect("no wake-up is lost");
    assert_eq!(end, (ITEMS, Ended::Closed));
}
