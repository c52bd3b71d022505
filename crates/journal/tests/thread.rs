//! The journal's thread: group commit, room, failure, stopping; with real threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::{config, entry, identity, marks, open};
use quorate_core::Mark;
use quorate_journal::{
    Disk, Durability, Event, Fault, FileDisk, Journal, JournalError, JournalThread, MemDisk,
};

const LONG: Duration = Duration::from_secs(30);

fn spawn<D>(disk: &D) -> (JournalThread, Receiver<Event>)
where
    D: Disk + Send + 'static,
    D::File: Send,
{
    let (journal, _) = open(disk).unwrap();
    let (send, events) = channel();
    let thread = JournalThread::spawn(journal, move |event| drop(send.send(event))).unwrap();
    (thread, events)
}

/// Waits until `upto` is durable and checks that the marks only rise.
fn wait_durable(events: &Receiver<Event>, upto: u64) {
    let mut last = Mark(0);
    while last < Mark(upto) {
        match events.recv_timeout(LONG).unwrap() {
            Event::Durable(mark) => {
                assert!(mark > last, "{mark} after {last}");
                last = mark;
            }
            Event::Room(_) => {}
            Event::Failed(error) => panic!("{error}"),
        }
    }
    assert_eq!(last, Mark(upto));
}

#[test]
fn what_is_durable_is_told_in_order_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(dir.path()).unwrap();
    let (thread, events) = spawn(&disk);
    let mut mark = 0;
    for size in [10, 3000, 20_000, 1] {
        for _ in 0..50 {
            let entries = (1..=4).map(|n| entry(mark + n, 1, size));
            thread.append(entries).unwrap();
            mark += 4;
        }
    }
    wait_durable(&events, mark);
    assert_eq!(thread.queued_bytes(), 0);
    thread.reclaim(Mark(mark - 10));
    assert_eq!(thread.stop().unwrap(), Mark(mark));
    let (_, recovery) = open(&disk).unwrap();
    assert!(recovery.first > Mark(1), "reclaimed");
    assert_eq!(
        marks(&recovery),
        (recovery.first.0..=mark).collect::<Vec<_>>()
    );
}

#[test]
fn stopping_and_dropping_drain_what_is_queued() {
    for stop in [true, false] {
        let disk = MemDisk::new();
        let (thread, _events) = spawn(&disk);
        thread
            .append((1..=100).map(|mark| entry(mark, 1, 500)))
            .unwrap();
        if stop {
            assert_eq!(thread.stop().unwrap(), Mark(100));
        } else {
            drop(thread);
        }
        disk.power_loss(|| false);
        assert_eq!(open(&disk).unwrap().1.last, Mark(100));
    }
}

#[test]
fn buffered_records_are_on_the_medium_after_a_graceful_stop() {
    let disk = MemDisk::new();
    let buffered = config(Durability::Buffered);
    let (journal, _) = Journal::open(disk.clone(), identity(), buffered).unwrap();
    let thread = JournalThread::spawn(journal, |_| {}).unwrap();
    thread.append([entry(1, 1, 500)]).unwrap();
    thread.stop().unwrap();
    disk.power_loss(|| false);
    assert_eq!(open(&disk).unwrap().1.last, Mark(1));
}

#[test]
fn e1_a_failure_is_told_once_and_nothing_after_it_becomes_durable() {
    for n in 1..12 {
        let disk = MemDisk::new();
        let (thread, events) = spawn(&disk);
        thread.append([entry(1, 1, 10)]).unwrap();
        wait_durable(&events, 1);
        disk.fail_call(n, Fault::Io);
        let mut mark = 2;
        // Until the failure is noticed; the spare segment alone does not take so many calls.
        while thread.append([entry(mark, 1, 20_000)]).is_ok() {
            mark += 1;
            assert!(mark < 10_000, "call {n} failed and nobody noticed");
            std::thread::yield_now();
        }
        let refused = thread.append([entry(mark, 1, 1)]).unwrap_err();
        let stopped = thread.stop().unwrap_err();
        assert_eq!(refused.exit_code(), 74);
        assert_eq!(stopped.to_string(), refused.to_string());
        let all: Vec<Event> = events.iter().collect();
        let (last, before) = all.split_last().unwrap();
        assert!(matches!(last, Event::Failed(_)), "{last:?}");
        assert!(
            before
                .iter()
                .all(|event| !matches!(event, Event::Failed(_)))
        );
        let durable = before.iter().filter_map(|event| match event {
            Event::Durable(mark) => Some(*mark),
            Event::Room(_) | Event::Failed(_) => None,
        });
        let durable = durable.max().unwrap_or(Mark(1));
        disk.power_loss(|| false);
        assert!(open(&disk).unwrap().1.last >= durable);
    }
}

#[test]
fn e3_on_a_full_disk_the_thread_waits_and_goes_on_when_there_is_room() {
    let disk = MemDisk::new();
    disk.set_capacity(Some(common::SEGMENT * 2));
    let (thread, events) = spawn(&disk);
    assert!(matches!(
        events.recv_timeout(LONG).unwrap(),
        Event::Room(false)
    ));
    thread
        .append((1..=10).map(|mark| entry(mark, 1, 20_000)))
        .unwrap();
    wait_durable(&events, 2);
    disk.set_capacity(None);
    loop {
        match events.recv_timeout(LONG).unwrap() {
            Event::Durable(Mark(10)) => break,
            Event::Durable(_) | Event::Room(true) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(thread.stop().unwrap(), Mark(10));
}

#[test]
fn a_thread_that_is_stopped_on_a_full_disk_says_what_it_could_not_write() {
    let disk = MemDisk::new();
    disk.set_capacity(Some(common::SEGMENT * 2));
    let (thread, events) = spawn(&disk);
    thread
        .append((1..=10).map(|mark| entry(mark, 1, 20_000)))
        .unwrap();
    let error = thread.stop().unwrap_err();
    assert!(matches!(error, JournalError::NoRoom { .. }), "{error}");
    let failed = events
        .iter()
        .filter(|event| matches!(event, Event::Failed(_)))
        .count();
    assert_eq!(failed, 1);
}
