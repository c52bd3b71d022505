//! What a disk owes while nothing fails; and that a journal on it finds again what it wrote.

use std::io::{ErrorKind, IoSlice};

use bytes::Bytes;
use quorate_core::{ClusterId, Incarnation, Mark, NodeId};
use quorate_journal::{Disk, DiskFile, Entry, Identity, Journal, JournalConfig};

/// Checks the contract of [`Disk`] and [`DiskFile`] on empty disks made by `make`.
///
/// # Panics
/// With what does not hold.
pub fn disk<D: Disk>(make: impl Fn() -> D) {
    files(&make());
    names(&make());
    journal(&make());
}

fn files<D: Disk>(disk: &D) {
    let file = disk.create("a", 100).expect("create");
    assert_eq!(
        file.bytes().expect("bytes"),
        100,
        "a new file has the length asked for"
    );
    assert_eq!(whole(&file), vec![0; 100], "and reads as zeros");
    let parts = [
        IoSlice::new(b"one"),
        IoSlice::new(b""),
        IoSlice::new(b"two"),
    ];
    file.write_at(98, &parts).expect("write");
    assert_eq!(
        &whole(&file)[98..],
        b"onetwo",
        "parts are written one after the other, the file grows"
    );
    file.sync().expect("sync");
    file.forget_cached().expect("forget");
    let again = disk.open("a").expect("open");
    assert_eq!(
        whole(&again),
        whole(&file),
        "two handles see the same file, also past the cache"
    );
    let mut behind = [0; 8];
    assert_eq!(
        file.read_at(104, &mut behind).expect("read"),
        0,
        "behind the end there is nothing"
    );
    disk.create("a", 3).expect("create again");
    assert_eq!(
        whole(&disk.open("a").expect("open")),
        vec![0; 3],
        "a new file replaces the old one"
    );
}

fn names<D: Disk>(disk: &D) {
    let missing = disk
        .open("none")
        .map(drop)
        .expect_err("there is no such file");
    assert_eq!(
        missing.kind(),
        ErrorKind::NotFound,
        "what is missing is not found"
    );
    for name in ["b", "a", "c"] {
        disk.create(name, 1).expect("create");
    }
    assert_eq!(
        disk.list().expect("list"),
        ["a", "b", "c"],
        "names are sorted"
    );
    let file = disk.open("a").expect("open");
    file.write_at(0, &[IoSlice::new(b"x")]).expect("write");
    disk.rename("a", "b").expect("rename");
    assert_eq!(
        whole(&disk.open("b").expect("open")),
        b"x",
        "a rename replaces what bears the name"
    );
    disk.remove("c").expect("remove");
    disk.sync_dir().expect("sync");
    assert_eq!(disk.list().expect("list"), ["b"]);
}

fn journal<D: Disk>(disk: &D) {
    let identity = Identity {
        cluster: ClusterId(1),
        member: NodeId(2),
        fresh: Some(Incarnation(3)),
        unix_micros: 4,
    };
    let limits = JournalConfig {
        segment_bytes: 64 << 10,
        record_bytes_max: 32 << 10,
        reserve_bytes: 8 << 10,
        ..JournalConfig::default()
    };
    let records: Vec<Bytes> = (0..200u32)
        .map(|n| vec![n as u8; (n * 7) as usize + 1].into())
        .collect();
    let (mut journal, _) = Journal::open(disk.clone(), identity, limits).expect("a new journal");
    for (record, mark) in records.iter().zip(1..) {
        let entry = Entry {
            mark: Mark(mark),
            head: record.clone(),
            ..Entry::default()
        };
        journal.append(&entry).expect("append");
    }
    let last = Mark(records.len() as u64);
    assert_eq!(
        journal.sync().expect("sync"),
        last,
        "all that was appended is durable"
    );
    drop(journal);
    let known = Identity {
        fresh: None,
        ..identity
    };
    let (_, recovery) = Journal::open(disk.clone(), known, limits).expect("the same journal");
    let found = recovery
        .records()
        .map(|record| record.expect("a sound record").1);
    assert_eq!(
        found.collect::<Vec<_>>(),
        records,
        "what was durable is found again"
    );
}

fn whole<F: DiskFile>(file: &F) -> Vec<u8> {
    let mut bytes = vec![0; file.bytes().expect("bytes") as usize];
    let mut done = 0;
    while done < bytes.len() {
        let count = file.read_at(done as u64, &mut bytes[done..]).expect("read");
        assert!(count > 0, "a read gives something before the end");
        done += count;
    }
    bytes
}
