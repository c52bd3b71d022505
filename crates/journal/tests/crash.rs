//! W1, W5 and W6 of the reliability scenarios: crashes and failures at every single disk call.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{History, Step, config, entry, identity, marks, open, payload, script};
use proptest::prelude::*;
use quorate_core::{Incarnation, Mark, Rng};
use quorate_journal::{Durability, Fault, Identity, Journal, JournalError, MemDisk, Room};

/// Runs the script on a disk whose `n`th call fails; `None` if the script makes fewer calls.
fn run_until(n: u64, fault: Fault, durability: Durability) -> Option<(MemDisk, History)> {
    let disk = MemDisk::new();
    let mut history = History::default();
    disk.fail_call(n, fault);
    match history.run(&disk, durability, &script()) {
        Ok(()) if disk.calls() < n => None,
        _ => Some((disk, history)),
    }
}

/// The fates of unsynced pieces to be tried: all of them if they are few, else the extremes and some at
/// random.
fn fates(pieces: usize, seed: u64) -> Vec<Vec<bool>> {
    if pieces <= 4 {
        return (0..1u32 << pieces)
            .map(|mask| (0..pieces).map(|piece| mask >> piece & 1 == 1).collect())
            .collect();
    }
    let mut rng = Rng::new(seed);
    let mut random = |one_in: u64| (0..pieces).map(|_| rng.below(one_in) == 0).collect();
    let half = (0..pieces).map(|piece| piece < pieces / 2).collect();
    let other = (0..pieces).map(|piece| piece >= pieces / 2).collect();
    vec![
        vec![false; pieces],
        vec![true; pieces],
        half,
        other,
        random(2),
        random(2),
        random(8),
    ]
}

fn lose_power(disk: &MemDisk, fate: &[bool]) {
    let mut fate = fate.iter().copied();
    // A directory change that is lost hides the ones behind it, so not every fate is asked for.
    disk.power_loss(|| fate.next().unwrap_or(false));
}

#[test]
fn w1_after_power_is_lost_at_any_call_all_acknowledged_records_are_there() {
    for n in 1.. {
        let Some((disk, history)) = run_until(n, Fault::Crash, Durability::Fsync) else {
            assert!(n > 60, "the script makes more calls than {n}");
            break;
        };
        for fate in fates(disk.unsynced(), n) {
            let disk = disk.fork();
            lose_power(&disk, &fate);
            let (_, recovery) = open(&disk).unwrap_or_else(|e| panic!("call {n}, {fate:?}: {e}"));
            history.check(&recovery);
        }
    }
}

#[test]
fn w1_what_was_cut_never_comes_back_under_what_replaced_it() {
    for n in (1..).step_by(3) {
        let Some((disk, mut history)) = run_until(n, Fault::Crash, Durability::Fsync) else {
            break;
        };
        for (round, fate) in fates(disk.unsynced(), n).into_iter().enumerate() {
            let disk = disk.fork();
            lose_power(&disk, &fate);
            let steps = [Step::Append(300 * round), Step::Append(20), Step::Sync];
            history.run(&disk, Durability::Fsync, &steps).unwrap();
            let acknowledged = history.acknowledged;
            disk.power_loss(|| false);
            let (_, recovery) = open(&disk).unwrap();
            history.check(&recovery);
            assert_eq!(recovery.last.0, acknowledged);
            let Some((_, before)) = run_until(n, Fault::Crash, Durability::Fsync) else {
                unreachable!("it did a moment ago");
            };
            history = before;
        }
    }
}

#[test]
fn w1_buffered_records_survive_the_process_and_never_mislead_after_power_loss() {
    for n in 1.. {
        let Some((disk, history)) = run_until(n, Fault::Crash, Durability::Buffered) else {
            break;
        };
        let killed = disk.fork();
        let (_, recovery) =
            Journal::open(killed, identity(), config(Durability::Buffered)).unwrap();
        history.check(&recovery);
        for fate in fates(disk.unsynced(), n) {
            let disk = disk.fork();
            lose_power(&disk, &fate);
            let (_, recovery) = open(&disk).unwrap_or_else(|e| panic!("call {n}, {fate:?}: {e}"));
            let kept = History {
                acknowledged: 0,
                ..history.clone()
            };
            kept.check(&recovery);
        }
    }
}

#[test]
fn w5_whatever_call_fails_nothing_is_acknowledged_after_it_and_the_error_stays() {
    for n in 1.. {
        let disk = MemDisk::new();
        disk.fail_call(n, Fault::Io);
        let Ok((mut journal, _)) = open(&disk) else {
            disk.power_loss(|| true);
            open(&disk).unwrap();
            continue;
        };
        let mut failed = None;
        for mark in 1..=8 {
            let appended = journal.append(&entry(mark, 1, 20_000));
            let synced = appended.and_then(|()| journal.sync());
            match (synced, &failed) {
                (Ok(durable), None) => assert_eq!(durable, Mark(mark)),
                (Ok(durable), Some(_)) => {
                    panic!("call {n}: {durable} acknowledged after a failure")
                }
                (Err(error), None) => {
                    assert!(error.is_fatal(), "{error}");
                    assert_eq!(error.exit_code(), 74);
                    failed = Some((mark, error.to_string()));
                }
                (Err(error), Some((_, first))) => assert_eq!(&error.to_string(), first),
            }
        }
        let Some((mark, _)) = failed else {
            assert!(disk.calls() < n, "call {n} failed and nobody noticed");
            break;
        };
        let calls = disk.calls();
        assert!(journal.reclaim(Mark(3)).is_err() && journal.make_room().is_err());
        assert!(journal.write().is_err() && journal.close().is_err());
        assert_eq!(
            disk.calls(),
            calls,
            "a journal that failed touches the disk no more"
        );
        for survives in [false, true] {
            let disk = disk.fork();
            disk.power_loss(|| survives);
            let (_, recovery) = open(&disk).unwrap();
            assert!(recovery.last >= Mark(mark - 1));
        }
        // Without a loss of power, the page cache shows what the failed sync never brought to the medium.
        let (_, recovery) = open(&disk).unwrap();
        let last = recovery.last;
        assert!(last >= Mark(mark - 1));
        disk.power_loss(|| false);
        let (_, recovery) = open(&disk).unwrap();
        assert_eq!(recovery.last, last, "call {n}: recovered, and then lost");
    }
}

#[test]
fn w5_the_script_acknowledges_only_what_is_found_again_whichever_call_fails() {
    for n in 1.. {
        let Some((disk, history)) = run_until(n, Fault::Io, Durability::Fsync) else {
            break;
        };
        for survives in [false, true] {
            let disk = disk.fork();
            disk.power_loss(|| survives);
            history.check(&open(&disk).unwrap().1);
        }
    }
}

#[test]
fn w6_recovery_that_crashes_at_any_call_leaves_what_recovery_needs() {
    for crash in (1..).step_by(4) {
        let Some((disk, history)) = run_until(crash, Fault::Crash, Durability::Fsync) else {
            break;
        };
        let fate = fates(disk.unsynced(), crash).pop().unwrap();
        lose_power(&disk, &fate);
        let expected = marks(&open(&disk.fork()).unwrap().1);
        for n in 1.. {
            let disk = disk.fork();
            disk.fail_call(n, Fault::Crash);
            if open(&disk).is_ok() {
                break;
            }
            for fate in fates(disk.unsynced(), n).into_iter().take(5) {
                let disk = disk.fork();
                lose_power(&disk, &fate);
                let (_, recovery) = open(&disk).unwrap_or_else(|e| panic!("{crash}, {n}: {e}"));
                history.check(&recovery);
                assert_eq!(marks(&recovery), expected, "crash at {crash}, then at {n}");
            }
        }
    }
}

/// Starts with this incarnation, for a directory that may be new.
fn start(disk: &MemDisk, incarnation: u64) -> Result<(Incarnation, bool), JournalError> {
    let who = Identity {
        fresh: Some(Incarnation(incarnation)),
        ..identity()
    };
    let (_, recovery) = Journal::open(disk.clone(), who, config(Durability::Fsync))?;
    Ok((recovery.incarnation, recovery.is_new))
}

#[test]
fn w6_first_starts_that_crash_again_and_again_are_followed_by_one_that_does_not() {
    for n in (1..).step_by(2) {
        let first = MemDisk::new();
        first.fail_call(n, Fault::Crash);
        if start(&first, 1).is_ok() {
            assert!(n > 10);
            break;
        }
        lose_power(&first, &vec![true; first.unsynced()]);
        for m in 1.. {
            let second = first.fork();
            second.fail_call(m, Fault::Crash);
            if start(&second, 2).is_ok() {
                break;
            }
            for survives in [false, true] {
                let disk = second.fork();
                disk.power_loss(|| survives);
                let third = start(&disk, 3);
                let (incarnation, is_new) = third.unwrap_or_else(|e| panic!("{n}, {m}: {e}"));
                assert_eq!(is_new, incarnation == Incarnation(3), "{n}, {m}");
                disk.power_loss(|| false);
                assert_eq!(start(&disk, 4).unwrap(), (incarnation, false));
            }
        }
    }
}

#[test]
fn e3_a_full_disk_stops_large_records_keeps_room_for_small_ones_and_recovers() {
    let disk = MemDisk::new();
    disk.set_capacity(Some(2 * common::SEGMENT + 20_000));
    let (mut journal, _) = open(&disk).unwrap();
    let mut mark = 0;
    let error = loop {
        while journal.make_room().unwrap() == Room::Making {}
        match journal.append(&entry(mark + 1, 1, 6000)) {
            Ok(()) => mark = journal.sync().unwrap().0,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, JournalError::NoRoom { .. }), "{error}");
    assert!(!error.is_fatal());
    assert_eq!(journal.room(), Room::Full);
    let large = mark;
    while journal.append(&entry(mark + 1, 1, 100)).is_ok() {
        mark = journal.sync().unwrap().0;
    }
    assert!(
        mark - large >= 8192 / 256,
        "only {} small records fit",
        mark - large
    );
    drop(journal);

    let (mut journal, recovery) = open(&disk).unwrap();
    assert_eq!(
        (recovery.last.0, journal.room()),
        (mark, Room::Full),
        "no crash loop"
    );
    journal.reclaim(Mark(large)).unwrap();
    while journal.make_room().unwrap() == Room::Making {}
    assert_eq!(journal.room(), Room::Ready);
    journal.append(&entry(mark + 1, 1, 6000)).unwrap();
    assert_eq!(journal.sync().unwrap(), Mark(mark + 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn w1_any_script_any_crash_any_survivors(
        sizes in prop::collection::vec((0..30_000usize, 0..6u8), 1..25),
        crash in 15..150u64,
        seed: u64,
    ) {
        let steps: Vec<Step> = sizes.iter().flat_map(|&(size, kind)| match kind {
            0 => vec![Step::Append(size), Step::Append(size / 100), Step::Sync],
            1 => vec![Step::MakeRoom, Step::Append(size / 10)],
            2 => vec![Step::Sync, Step::Reclaim(3)],
            _ => vec![Step::Append(size / 4), Step::Append(size % 512), Step::Append(7), Step::Sync],
        }).collect();
        let disk = MemDisk::new();
        disk.set_short_reads(seed % 2 == 0);
        disk.fail_call(crash, Fault::Crash);
        let mut history = History::default();
        drop(history.run(&disk, Durability::Fsync, &steps));
        let mut rng = Rng::new(seed);
        disk.power_loss(|| rng.below(3) > 0);
        let (mut journal, recovery) = open(&disk).unwrap();
        history.check(&recovery);
        let next = entry(recovery.last.0 + 1, 0, 50);
        journal.append(&next).unwrap();
        journal.sync().unwrap();
        disk.power_loss(|| false);
        let last = open(&disk).unwrap().1.records().last().unwrap().unwrap();
        prop_assert_eq!((last.0, last.1.to_vec()), (next.mark, payload(&next)));
    }
}
