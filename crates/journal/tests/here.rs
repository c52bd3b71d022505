//! Commits in the caller's own thread, beside those of the journal's thread.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::mpsc::{Receiver, channel};
use std::thread::yield_now;
use std::time::Duration;

use common::{entry, marks, open};
use quorate_core::Mark;
use quorate_journal::{
    Disk, Event, Fault, JournalError, JournalThread, MemDisk, SlowDisk, Slowness,
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

/// Tries until the journal's thread sleeps.
fn insist(thread: &JournalThread, mark: u64, size: usize) -> Mark {
    let mut entries = vec![entry(mark, 1, size)];
    loop {
        if let Some(durable) = thread.commit_here(&mut entries, LONG) {
            return durable;
        }
        assert_eq!(entries.len(), 1, "what is not done is left");
        yield_now();
    }
}

#[test]
fn records_committed_here_and_there_are_found_again_in_their_order() {
    let disk = MemDisk::new();
    let (thread, events) = spawn(&disk);
    let mut mark = 0;
    // Several segments, so that the thread has to make room behind those that are written here.
    for size in [10, 3000, 20_000].repeat(30) {
        mark += 1;
        assert_eq!(insist(&thread, mark, size), Mark(mark));
        thread.append([entry(mark + 1, 1, 500)]).unwrap();
        let mut entries = vec![entry(mark + 2, 1, size)];
        match thread.commit_here(&mut entries, LONG) {
            Some(durable) => assert_eq!(durable, Mark(mark + 2), "all before is durable, too"),
            None => thread.append(entries).unwrap(),
        }
        mark += 2;
    }
    assert_eq!(thread.stop().unwrap(), Mark(mark));
    let told = events.iter().filter_map(|event| match event {
        Event::Durable(mark) => Some(mark),
        Event::Room(_) => None,
        Event::Failed(error) => panic!("{error}"),
    });
    assert!(told.is_sorted(), "marks only rise");
    disk.power_loss(|| false);
    let (_, recovery) = open(&disk).unwrap();
    assert_eq!(marks(&recovery), (1..=mark).collect::<Vec<_>>());
}

#[test]
fn what_is_committed_here_survives_a_loss_of_power_at_once() {
    let disk = MemDisk::new();
    let (thread, _events) = spawn(&disk);
    assert_eq!(insist(&thread, 1, 500), Mark(1));
    let after = disk.fork();
    after.power_loss(|| false);
    assert_eq!(open(&after).unwrap().1.last, Mark(1));
    drop(thread);
}

#[test]
fn e1_a_failure_here_is_told_once_by_the_thread_and_nothing_after_it_becomes_durable() {
    for n in 1..=3 {
        let disk = MemDisk::new();
        let (thread, events) = spawn(&disk);
        insist(&thread, 1, 10);
        disk.fail_call(n, Fault::Io);
        let (mut mark, mut durable) = (1, Mark(1));
        // The first calls are those of this thread, for the other one sleeps.
        let refused = loop {
            let mut entries = vec![entry(mark + 1, 1, 500)];
            if let Some(upto) = thread.commit_here(&mut entries, LONG) {
                (mark, durable) = (mark + 1, upto);
            } else if let Err(error) = thread.append(entries) {
                break error;
            } else {
                mark += 1;
                yield_now();
            }
        };
        assert_eq!(refused.exit_code(), 74);
        let mut late = vec![entry(mark + 1, 1, 1)];
        assert_eq!(thread.commit_here(&mut late, LONG), None);
        thread.stop().unwrap_err();
        let told: Vec<Event> = events.iter().collect();
        assert!(matches!(told[..], [Event::Failed(_)]), "{told:?}");
        disk.power_loss(|| false);
        assert!(open(&disk).unwrap().1.last >= durable);
    }
}

#[test]
fn a_disk_that_became_slow_holds_the_caller_up_once() {
    const DELAY: Duration = Duration::from_millis(20);
    let slowness = Slowness::default();
    let (thread, events) = spawn(&SlowDisk::new(MemDisk::new(), slowness.clone()));
    insist(&thread, 1, 10);
    slowness.set(DELAY);
    insist(&thread, 2, 10);
    let mut entries = vec![entry(3, 1, 10)];
    assert_eq!(thread.commit_here(&mut entries, DELAY / 2), None);
    thread.append(entries).unwrap();
    let told = events.recv_timeout(LONG).unwrap();
    assert!(matches!(told, Event::Durable(Mark(3))), "{told:?}");
    slowness.set(Duration::ZERO);
    thread.append([entry(4, 1, 10)]).unwrap();
    let told = events.recv_timeout(LONG).unwrap();
    assert!(matches!(told, Event::Durable(Mark(4))), "{told:?}");
    assert_eq!(insist(&thread, 5, 10), Mark(5));
}

#[test]
fn a_full_disk_is_left_to_the_thread() {
    let disk = MemDisk::new();
    disk.set_capacity(Some(common::SEGMENT * 2));
    let (thread, _events) = spawn(&disk);
    let mut entries = vec![entry(1, 1, 10)];
    assert_eq!(thread.commit_here(&mut entries, LONG), None);
    assert_eq!(entries.len(), 1);
    thread.append(entries).unwrap();
    assert_eq!(thread.stop().unwrap(), Mark(1));
}

#[test]
fn a_record_that_does_not_fit_here_waits_for_room_in_the_thread() {
    let disk = MemDisk::new();
    let (thread, events) = spawn(&disk);
    insist(&thread, 1, 10);
    disk.set_capacity(Some(0));
    let mut mark = 1;
    let error = loop {
        let mut entries = vec![entry(mark + 1, 1, 30_000)];
        mark += 1;
        if thread.commit_here(&mut entries, LONG).is_none() {
            thread.append(entries).unwrap();
        }
        if mark == 20 {
            break thread.stop().unwrap_err();
        }
    };
    assert!(matches!(error, JournalError::NoRoom { .. }), "{error}");
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Room(false)))
    );
}
