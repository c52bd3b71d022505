//! A journal on a real disk, in a directory of its own.

use std::env;
use std::path::Path;

use bytes::Bytes;
use quorate_core::{ClusterId, Incarnation, Mark, NodeId};
use quorate_journal::{Entry, FileDisk, Identity, Journal, JournalConfig, Records, Room};
use tempfile::TempDir;

/// A directory on the disk that is measured: in the current one, or where `QUORATE_BENCH_DIR` says.
///
/// # Panics
/// If none can be made there.
pub fn directory() -> TempDir {
    let base = env::var_os("QUORATE_BENCH_DIR").unwrap_or_else(|| ".".into());
    TempDir::new_in(base).expect("a directory can be made")
}

/// A journal that is written batch by batch.
pub struct Writer {
    journal: Journal<FileDisk>,
    head: Bytes,
}

impl Writer {
    /// Records kept when the rest is reclaimed.
    const KEPT: u64 = 1000;

    /// A journal in `dir`, new or not, for records of `record` bytes.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn open(dir: &Path, record: usize) -> Self {
        Self {
            journal: open(dir).0,
            head: vec![7; record].into(),
        }
    }

    /// Appends `records` records and waits until they are on disk.
    ///
    /// # Panics
    /// If the disk fails.
    pub fn write(&mut self, records: u64) {
        for _ in 0..records {
            let entry = Entry {
                mark: self.journal.last().next(),
                head: self.head.clone(),
                ..Entry::default()
            };
            self.journal.append(&entry).expect("the disk writes");
        }
        self.journal.sync().expect("the disk syncs");
    }

    /// Does what a journal's thread does while nothing else waits: makes a spare segment, drops old ones.
    ///
    /// # Panics
    /// If the disk fails.
    pub fn tidy(&mut self) {
        while self.journal.make_room().expect("the disk has room") == Room::Making {}
        let below = Mark(self.journal.last().0.saturating_sub(Self::KEPT));
        self.journal.reclaim(below).expect("the disk removes");
    }
}

/// Opens the journal in `dir`; what it holds.
///
/// # Panics
/// If it cannot be opened.
pub fn open(dir: &Path) -> (Journal<FileDisk>, Records<FileDisk>) {
    let identity = Identity {
        cluster: ClusterId(1),
        member: NodeId(1),
        fresh: Some(Incarnation(1)),
        unix_micros: 1,
    };
    let disk = FileDisk::open(dir).expect("the directory is usable");
    let config = JournalConfig::default();
    let (journal, recovery) = Journal::open(disk, identity, config).expect("it is sound");
    (journal, recovery.records())
}
