//! Looking at a journal without touching it, and the format that may not change unnoticed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::{config, entry, identity, open, payload};
use quorate_core::{Epoch, Mark, Position};
use quorate_journal::{
    Disk, Durability, FileDisk, Journal, JournalError, MemDisk, Room, SnapshotStore, Stretch,
    inspect,
};

#[test]
fn every_record_is_shown_where_it_stands_and_damage_as_damage() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    for mark in 1..=9 {
        journal.append(&entry(mark, 1, 20_000)).unwrap();
        journal.sync().unwrap();
    }
    let calls = disk.unsynced();
    let inspection = inspect(disk.clone()).unwrap();
    assert_eq!((inspection.first, inspection.watermark), (Mark(1), Mark(9)));
    let rows: Vec<_> = inspection.collect();
    assert_eq!(disk.unsynced(), calls, "nothing was written");
    let records = |rows: &[quorate_journal::Row]| {
        let marks = rows.iter().filter_map(|row| match row.what {
            Stretch::Record { mark, .. } => Some(mark.0),
            Stretch::Damaged { .. } | Stretch::Blank => None,
        });
        marks.collect::<Vec<_>>()
    };
    assert_eq!(records(&rows), (1..=9).collect::<Vec<_>>());
    let aim = rows
        .iter()
        .find(|row| matches!(row.what, Stretch::Record { mark: Mark(5), .. }));
    let aim = aim.unwrap().clone();
    for byte in [9, 1000] {
        let disk = disk.fork();
        disk.flip(&aim.file, (aim.offset + byte) * 8);
        let rows: Vec<_> = inspect(disk.clone()).unwrap().collect();
        assert_eq!(records(&rows), [1, 2, 3, 4, 6, 7, 8, 9]);
        let damaged = rows
            .iter()
            .find(|row| matches!(row.what, Stretch::Damaged { .. }));
        let damaged = damaged.unwrap();
        assert_eq!((&damaged.file, damaged.offset), (&aim.file, aim.offset));
        let JournalError::Corrupt { file, offset, .. } = open(&disk).err().unwrap() else {
            panic!("not refused");
        };
        assert_eq!(
            (file, offset),
            (aim.file.clone(), aim.offset),
            "both name the same place"
        );
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// What the golden files hold. Everything in them is determined.
fn write_golden<D: Disk>(disk: &D) {
    let (mut journal, _) = open(disk).unwrap();
    for (mark, size) in [(1, 0), (2, 1), (3, 100), (4, 2000)] {
        journal.append(&entry(mark, 1, size)).unwrap();
        if mark != 2 {
            journal.sync().unwrap();
        }
    }
    while journal.make_room().unwrap() == Room::Making {}
    journal.close().unwrap();
    let (store, _) = SnapshotStore::open(disk.clone(), identity().cluster, 512).unwrap();
    let epoch = Epoch {
        round: 3,
        node: identity().member,
    };
    let mut writer = store.write(Position(5), epoch).unwrap();
    writer.write(&[42; 600]).unwrap();
    writer.finish().unwrap();
}

/// Trailing zeros say nothing: the files are kept without them.
fn trimmed(contents: &[u8]) -> &[u8] {
    let length = contents
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    &contents[..length]
}

#[test]
fn w7_version_1_is_still_written_as_it_was() {
    let disk = MemDisk::new();
    write_golden(&disk);
    let names = disk.list().unwrap();
    if std::env::var_os("QUORATE_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(golden()).unwrap();
        for name in &names {
            let contents = disk.contents(name).unwrap();
            std::fs::write(golden().join(name), trimmed(&contents)).unwrap();
        }
    }
    assert_eq!(std::fs::read_dir(golden()).unwrap().count(), names.len());
    for name in names {
        let expected = std::fs::read(golden().join(&name)).unwrap();
        assert_eq!(trimmed(&disk.contents(&name).unwrap()), expected, "{name}");
    }
}

#[test]
fn w7_version_1_is_still_read() {
    let dir = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(golden()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let disk = FileDisk::open(dir.path()).unwrap();
    let known = quorate_journal::Identity {
        fresh: None,
        ..identity()
    };
    let (journal, recovery) =
        Journal::open(disk.clone(), known, config(Durability::Fsync)).unwrap();
    assert_eq!((recovery.first, recovery.last), (Mark(1), Mark(4)));
    assert_eq!(
        (recovery.incarnation, recovery.life.0),
        (identity().fresh.unwrap(), 1001)
    );
    for (record, size) in recovery.records().zip([0, 1, 100, 2000]) {
        let (mark, bytes) = record.unwrap();
        assert_eq!(bytes, payload(&entry(mark.0, 1, size)));
    }
    journal.close().unwrap();
    let (store, found) = SnapshotStore::open(disk, identity().cluster, 512).unwrap();
    let newest = found.newest.unwrap();
    assert_eq!((newest.position, newest.bytes), (Position(5), 600));
    assert_eq!(store.read_chunk(&newest, 0, 600).unwrap(), [42; 600][..]);
}
