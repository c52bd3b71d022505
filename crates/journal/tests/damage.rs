//! W2, W3, W4 and W7 of the reliability scenarios: files that are not what was written.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{SEGMENT, config, entry, identity, marks, open, payload};
use quorate_core::{ClusterId, Incarnation, Mark, NodeId};
use quorate_journal::{
    Disk, Durability, Identity, Journal, JournalConfig, JournalError, MemDisk, Recovery, Stretch,
    inspect,
};

const PAGE: u64 = 4096;

/// A journal of `records` records of so many bytes, each synced by itself.
fn written(records: u64, size: usize) -> MemDisk {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    for mark in 1..=records {
        journal.append(&entry(mark, 1, size)).unwrap();
        assert_eq!(journal.sync().unwrap(), Mark(mark));
    }
    disk
}

fn segments(disk: &MemDisk) -> Vec<String> {
    let names = disk.list().unwrap();
    names
        .into_iter()
        .filter(|name| name.ends_with(".segment"))
        .collect()
}

/// The records as they were written, or a refusal.
fn identical_or_refused(disk: &MemDisk, records: u64, size: usize, what: &str) -> bool {
    match open(disk) {
        Ok((_, recovery)) => {
            check_identical(&recovery, records, size, what);
            true
        }
        Err(error) => {
            assert_eq!(error.exit_code(), 65, "{what}: {error}");
            false
        }
    }
}

fn check_identical(recovery: &Recovery<MemDisk>, records: u64, size: usize, what: &str) {
    assert_eq!(recovery.last.0, records, "{what}");
    for record in recovery.records() {
        let (mark, bytes) = record.unwrap();
        assert_eq!(bytes, payload(&entry(mark.0, 1, size)), "{what}");
    }
}

#[test]
fn w2_every_bit_flipped_gives_identical_records_or_a_refusal() {
    let disk = written(3, 20);
    let first = segments(&disk)[0].clone();
    let mut refused = 0;
    let places = [
        (first.as_str(), 0, 64),
        (first.as_str(), PAGE, 3 * 88 + 60),
        ("head", 0, 90),
        ("head", PAGE, 90),
        ("watermark", 0, 40),
        ("watermark", 512, 40),
    ];
    for (file, from, bytes) in places {
        for bit in from * 8..(from + bytes) * 8 {
            let disk = disk.fork();
            disk.flip(file, bit);
            refused += u32::from(!identical_or_refused(
                &disk,
                3,
                20,
                &format!("{file} bit {bit}"),
            ));
        }
    }
    // All of the segment's header and of three records but their padding.
    let record = 48 + payload(&entry(1, 1, 20)).len() as u32;
    assert_eq!(refused, (64 + 3 * record) * 8);
}

#[test]
fn w2_the_refusal_names_file_offset_and_mark() {
    let disk = written(3, 100);
    let file = segments(&disk)[0].clone();
    let second = PAGE + 48 + (payload(&entry(1, 1, 100)).len() as u64).next_multiple_of(8);
    disk.flip(&file, (second + 60) * 8);
    let error = open(&disk).err().unwrap();
    let JournalError::Corrupt { offset, mark, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*offset, *mark), (second, Some(Mark(2))));
    let text = error.to_string();
    for part in [file, format!("byte {second}"), "mark 2".to_owned()] {
        assert!(text.contains(&part), "{text}");
    }
}

#[test]
fn c2_the_last_acknowledged_record_is_not_taken_for_a_torn_one() {
    let disk = written(3, 100);
    let file = segments(&disk)[0].clone();
    let contents = disk.contents(&file).unwrap();
    let last = contents.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    disk.flip(&file, last * 8);
    let error = open(&disk).err().unwrap();
    assert!(
        matches!(
            error,
            JournalError::Corrupt {
                mark: Some(Mark(3)),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn c3_when_power_loss_took_the_watermark_later_records_still_witness_the_middle() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    let old = disk.contents("watermark").unwrap();
    for mark in 1..=9 {
        journal.append(&entry(mark, 1, 20_000)).unwrap();
        journal.sync().unwrap();
    }
    disk.set_contents("watermark", old);
    let rows: Vec<_> = inspect(disk.clone()).unwrap().collect();
    for row in rows {
        let Stretch::Record { mark, .. } = row.what else {
            continue;
        };
        for byte in [9, 1000] {
            let disk = disk.fork();
            disk.flip(&row.file, (row.offset + byte) * 8);
            let opened = open(&disk);
            if mark < Mark(9) {
                let error = opened.err().unwrap();
                let JournalError::Corrupt { file, offset, .. } = &error else {
                    panic!("{error}");
                };
                assert_eq!((file, *offset), (&row.file, row.offset));
            } else {
                // Nothing is left that knows of the last one: it looks like a torn write.
                assert_eq!(opened.unwrap().1.last, Mark(8));
            }
        }
    }
}

#[test]
fn c2_what_was_not_acknowledged_is_cut_and_reported() {
    let disk = written(3, 100);
    let (mut journal, _) = open(&disk).unwrap();
    journal.append(&entry(4, 1, 2000)).unwrap();
    journal.append(&entry(5, 1, 10)).unwrap();
    journal.write().unwrap();
    drop(journal);
    let file = segments(&disk)[0].clone();
    let start = {
        let record = payload(&entry(1, 1, 100)).len() as u64;
        PAGE + 3 * (48 + record.next_multiple_of(8))
    };
    disk.flip(&file, (start + 1000) * 8);
    let (_, recovery) = open(&disk).unwrap();
    check_identical(&recovery, 3, 100, "torn");
    let [cut] = &recovery.cut[..] else {
        panic!("one cut, not {:?}", recovery.cut);
    };
    assert_eq!(
        (cut.file.as_str(), cut.offset, cut.records),
        (file.as_str(), start, 2)
    );
    assert!(cut.bytes > 2000);
    let (_, again) = open(&disk).unwrap();
    assert_eq!(
        (again.cut.len(), again.last),
        (0, recovery.last),
        "recovering twice is recovering once"
    );
}

#[test]
fn w3_every_truncation_gives_identical_records_or_a_refusal() {
    let disk = written(3, 20);
    let first = segments(&disk)[0].clone();
    for name in disk.list().unwrap() {
        let contents = disk.contents(&name).unwrap();
        // Every byte where there are records or headers, some elsewhere.
        let dense = if name == first { 4000..4800 } else { 0..700 };
        let lengths = dense.chain((0..contents.len()).step_by(997));
        for length in lengths.filter(|length| *length < contents.len()) {
            let disk = disk.fork();
            disk.set_contents(&name, contents[..length].to_vec());
            let kept = identical_or_refused(&disk, 3, 20, &format!("{name} cut to {length}"));
            if name == first {
                let record = 48 + payload(&entry(1, 1, 20)).len();
                let needed = PAGE as usize + 2 * record.next_multiple_of(8) + record;
                assert_eq!(kept, length >= needed, "{name} cut to {length}");
            }
        }
    }
}

#[test]
fn w3_a_tail_cut_in_what_was_not_acknowledged_is_made_whole_again() {
    let disk = written(3, 20);
    let name = segments(&disk)[0].clone();
    let mut contents = disk.contents(&name).unwrap();
    contents.truncate(PAGE as usize + 2000);
    disk.set_contents(&name, contents);
    let (mut journal, recovery) = open(&disk).unwrap();
    assert_eq!(recovery.cut.len(), 1);
    for mark in 4..200 {
        journal.append(&entry(mark, 1, 900)).unwrap();
        journal.sync().unwrap();
    }
    disk.power_loss(|| false);
    assert_eq!(open(&disk).unwrap().1.last, Mark(199));
}

/// Four segments and more of records.
fn long() -> MemDisk {
    written(12, 20_000)
}

#[test]
fn w4_swapped_duplicate_zero_and_missing_segments_are_refused() {
    let disk = long();
    let names = segments(&disk);
    assert!(names.len() >= 4, "{names:?}");
    for (a, first) in names.iter().enumerate() {
        for second in &names[a + 1..] {
            let one = disk.contents(first).unwrap();
            let other = disk.contents(second).unwrap();
            let swapped = disk.fork();
            swapped.set_contents(first, other.clone());
            swapped.set_contents(second, one.clone());
            assert!(!identical_or_refused(&swapped, 12, 20_000, "swapped"));
            let doubled = disk.fork();
            doubled.set_contents(second, one);
            assert!(!identical_or_refused(&doubled, 12, 20_000, "doubled"));
        }
        let zero = disk.fork();
        zero.set_contents(first, vec![0; SEGMENT as usize]);
        assert!(!identical_or_refused(&zero, 12, 20_000, "zero"));
        let empty = disk.fork();
        empty.set_contents(first, Vec::new());
        assert!(!identical_or_refused(&empty, 12, 20_000, "empty"));
        let missing = disk.fork();
        missing.remove(first).unwrap();
        assert!(!identical_or_refused(&missing, 12, 20_000, "missing"));
    }
}

#[test]
fn w4_an_old_copy_of_any_segment_is_refused() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    let mut copies = Vec::new();
    for mark in 1..=12 {
        journal.append(&entry(mark, 1, 20_000)).unwrap();
        journal.sync().unwrap();
        for name in segments(&disk) {
            copies.push((name.clone(), disk.contents(&name).unwrap()));
        }
    }
    let mut refused = 0;
    for (name, old) in copies {
        let changed = disk.contents(&name).unwrap() != old;
        let disk = disk.fork();
        disk.set_contents(&name, old);
        assert_eq!(identical_or_refused(&disk, 12, 20_000, &name), !changed);
        refused += u32::from(changed);
    }
    assert!(refused >= 8);
}

#[test]
fn d5_a_record_of_an_abandoned_tail_is_refused_behind_the_one_that_replaced_it() {
    let disk = written(2, 50);
    let tails = [1, 2].map(|life| {
        let disk = disk.fork();
        let (mut journal, _) = open(&disk).unwrap();
        for mark in 3..=4 {
            journal.append(&entry(mark, life, 50)).unwrap();
            journal.sync().unwrap();
        }
        disk
    });
    let [abandoned, current] = &tails;
    let row = inspect(current.clone())
        .unwrap()
        .find(|row| matches!(row.what, Stretch::Record { mark: Mark(4), .. }))
        .unwrap();
    let stale = row.offset as usize..(row.offset + row.bytes) as usize;
    let mut contents = current.contents(&row.file).unwrap();
    contents[stale.clone()].copy_from_slice(&abandoned.contents(&row.file).unwrap()[stale]);
    current.set_contents(&row.file, contents);
    let error = open(current).err().unwrap();
    let JournalError::Corrupt { offset, why, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*offset, row.offset);
    assert!(why.contains("does not follow"), "{why}");
}

#[test]
fn w4_files_of_another_member_or_incarnation_are_refused() {
    let disk = long();
    for (member, fresh) in [(3, 99), (2, 98)] {
        let other = MemDisk::new();
        let who = Identity {
            member: NodeId(member),
            fresh: Some(Incarnation(fresh)),
            ..identity()
        };
        let (mut journal, _) =
            Journal::open(other.clone(), who, config(Durability::Fsync)).unwrap();
        for mark in 1..=12 {
            journal.append(&entry(mark, 1, 20_000)).unwrap();
            journal.sync().unwrap();
        }
        for name in segments(&disk)
            .iter()
            .map(String::as_str)
            .chain(["watermark", "head"])
        {
            let disk = disk.fork();
            disk.set_contents(name, other.contents(name).unwrap());
            assert!(
                open(&disk).is_err(),
                "{name} of member {member}, incarnation {fresh}"
            );
        }
    }
}

#[test]
fn b31_a_reclaimed_segment_that_comes_back_does_not_count() {
    let disk = long();
    let (mut journal, _) = open(&disk).unwrap();
    let name = segments(&disk)[0].clone();
    let old = disk.contents(&name).unwrap();
    let first = journal.reclaim(Mark(8)).unwrap();
    assert!(first > Mark(1) && first <= Mark(8), "{first}");
    assert!(!segments(&disk).contains(&name));
    disk.set_contents(&name, old);
    let (_, recovery) = open(&disk).unwrap();
    assert_eq!(recovery.first, first);
    assert_eq!(marks(&recovery), (first.0..=12).collect::<Vec<_>>());
    assert!(!segments(&disk).contains(&name));
}

#[test]
fn c6_a_journal_without_its_head_or_its_watermark_is_refused() {
    for name in ["head", "watermark"] {
        let disk = written(1, 1);
        disk.remove(name).unwrap();
        let error = open(&disk).err().unwrap();
        assert!(
            matches!(&error, JournalError::Corrupt { file, .. } if file == name),
            "{error}"
        );
    }
}

#[test]
fn c6_an_old_head_is_refused() {
    let disk = MemDisk::new();
    let (journal, _) = Journal::open(disk.clone(), identity(), config(Durability::Memory)).unwrap();
    drop(journal);
    let blank = disk.contents("head").unwrap();
    let disk = long();
    let (mut journal, _) = open(&disk).unwrap();
    let old = disk.contents("head").unwrap();
    journal.reclaim(Mark(10)).unwrap();
    for head in [blank, old] {
        let disk = disk.fork();
        disk.set_contents("head", head);
        assert_eq!(open(&disk).err().unwrap().exit_code(), 65);
    }
}

#[test]
fn c7_the_wrong_member_the_wrong_cluster_and_a_missing_directory_are_refused() {
    let disk = written(1, 1);
    let with = |change: fn(&mut Identity)| {
        let mut who = identity();
        change(&mut who);
        Journal::open(disk.fork(), who, config(Durability::Fsync))
            .err()
            .unwrap()
    };
    for error in [
        with(|who| who.member = NodeId(3)),
        with(|who| who.cluster = ClusterId(8)),
    ] {
        assert!(
            matches!(error, JournalError::WrongIdentity { .. }),
            "{error}"
        );
        assert_eq!(error.exit_code(), 78);
    }
    let who = Identity {
        fresh: None,
        ..identity()
    };
    let missing = Journal::open(MemDisk::new(), who, config(Durability::Fsync))
        .err()
        .unwrap();
    assert!(matches!(missing, JournalError::Missing), "{missing}");
    Journal::open(disk, who, config(Durability::Fsync))
        .expect("an existing one needs no incarnation");
}

#[test]
fn the_life_rises_with_every_start_and_with_the_clock_after_a_wipe() {
    let disk = MemDisk::new();
    let lives: Vec<u64> = (0..3).map(|_| open(&disk).unwrap().1.life.0).collect();
    assert_eq!(lives, [1000, 1001, 1002]);
    let later = Identity {
        unix_micros: 5000,
        ..identity()
    };
    for disk in [disk, MemDisk::new()] {
        let (journal, recovery) = Journal::open(disk, later, config(Durability::Fsync)).unwrap();
        assert_eq!((recovery.life.0, journal.life().0), (5000, 5000));
    }
}

#[test]
fn memory_keeps_nothing_and_never_hides_a_log() {
    let disk = MemDisk::new();
    let memory = config(Durability::Memory);
    let (mut journal, recovery) = Journal::open(disk.clone(), identity(), memory).unwrap();
    assert!(recovery.is_new);
    journal.append(&entry(1, 1, 30_000)).unwrap();
    assert_eq!(journal.sync().unwrap(), Mark(1));
    assert_eq!(disk.list().unwrap(), ["head"]);
    drop(journal);
    let who = Identity {
        fresh: Some(Incarnation(100)),
        ..identity()
    };
    let (journal, recovery) = Journal::open(disk.clone(), who, memory).unwrap();
    assert_eq!((recovery.last, recovery.is_new), (Mark(0), true));
    assert_eq!(
        journal.incarnation(),
        Incarnation(100),
        "what it promised is forgotten"
    );
    drop(journal);
    drop(open(&disk).unwrap());
    let error = Journal::open(disk, identity(), memory).err().unwrap();
    assert!(matches!(error, JournalError::Config(_)), "{error}");
}

#[test]
fn a_caller_that_breaks_the_rules_is_told_and_nothing_is_lost() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    for wrong in [0, 2] {
        let error = journal.append(&entry(wrong, 1, 1)).unwrap_err();
        assert!(matches!(error, JournalError::OutOfOrder { .. }), "{error}");
    }
    let error = journal.append(&entry(1, 1, 41 << 10)).unwrap_err();
    assert!(matches!(error, JournalError::TooLarge { .. }), "{error}");
    journal.append(&entry(1, 1, 1)).unwrap();
    assert_eq!(journal.sync().unwrap(), Mark(1));
}

#[test]
fn segments_of_another_size_than_configured_are_read_and_replaced() {
    let disk = long();
    let grown = JournalConfig {
        segment_bytes: 4 * SEGMENT,
        record_bytes_max: 200 << 10,
        ..config(Durability::Fsync)
    };
    let (mut journal, recovery) = Journal::open(disk.clone(), identity(), grown).unwrap();
    check_identical(&recovery, 12, 20_000, "another size");
    for mark in 13..16 {
        journal.append(&entry(mark, 1, 150_000)).unwrap();
        journal.sync().unwrap();
    }
    drop(journal);
    let shrunk = config(Durability::Fsync);
    let (_, recovery) = Journal::open(disk, identity(), shrunk).unwrap();
    assert_eq!(marks(&recovery), (1..16).collect::<Vec<_>>());
}
