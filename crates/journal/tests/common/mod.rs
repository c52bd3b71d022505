//! A small workload over a disk that may fail at any call, and what has to hold afterwards.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "every test file uses its part")]
#![allow(unreachable_pub, reason = "shared by test files, public to none")]

use bytes::Bytes;
use quorate_core::{ClusterId, Incarnation, Mark, NodeId};
use quorate_journal::{
    Disk, Durability, Entry, Identity, Journal, JournalConfig, JournalError, MemDisk, Recovery,
};

pub const SEGMENT: u64 = 64 << 10;

pub fn identity() -> Identity {
    Identity {
        cluster: ClusterId(7),
        member: NodeId(2),
        fresh: Some(Incarnation(99)),
        unix_micros: 1000,
    }
}

pub fn config(durability: Durability) -> JournalConfig {
    JournalConfig {
        durability,
        segment_bytes: SEGMENT,
        record_bytes_max: 40 << 10,
        reserve_bytes: 8 << 10,
    }
}

pub fn open<D: Disk>(disk: &D) -> Result<(Journal<D>, Recovery<D>), JournalError> {
    Journal::open(disk.clone(), identity(), config(Durability::Fsync))
}

/// A payload that names its mark and the life in which it was written.
pub fn entry(mark: u64, life: u64, size: usize) -> Entry {
    let mut head = format!("{mark}/{life}/{size}:").into_bytes();
    let body: Vec<u8> = (0..size).map(|i| (mark as usize * 31 + i) as u8).collect();
    head.resize(head.len() + 3, b'.');
    Entry {
        mark: Mark(mark),
        head: head.into(),
        bodies: [Bytes::from(body)].into_iter().collect(),
    }
}

pub fn payload(entry: &Entry) -> Vec<u8> {
    let bodies = entry.bodies.iter().flatten();
    entry.head.iter().chain(bodies).copied().collect()
}

/// One thing to do with the journal.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Append(usize),
    Sync,
    MakeRoom,
    /// Reclaims all but the last so many records.
    Reclaim(u64),
}

/// What a run got to know before it ended.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every record given to the journal, whatever became of it, by mark from 1.
    pub appended: Vec<Vec<u8>>,
    pub acknowledged: u64,
    pub reclaimed: u64,
    pub life: u64,
}

impl History {
    /// Opens the journal and does `steps` until something fails.
    pub fn run(
        &mut self,
        disk: &MemDisk,
        durability: Durability,
        steps: &[Step],
    ) -> Result<(), JournalError> {
        let (mut journal, recovery) = Journal::open(disk.clone(), identity(), config(durability))?;
        self.life = recovery.life.0;
        for step in steps {
            match *step {
                Step::Append(size) => {
                    let mark = journal.last().0 + 1;
                    let entry = entry(mark, recovery.life.0, size);
                    self.appended.truncate(mark as usize - 1);
                    self.appended.push(payload(&entry));
                    journal.append(&entry)?;
                }
                Step::Sync => self.acknowledged = journal.sync()?.0,
                Step::MakeRoom => drop(journal.make_room()?),
                Step::Reclaim(keep) => {
                    let below = self.acknowledged.saturating_sub(keep) + 1;
                    self.reclaimed = self.reclaimed.max(below - 1);
                    journal.reclaim(Mark(below))?;
                }
            }
        }
        Ok(())
    }

    /// What must hold for a journal that was opened after the run.
    pub fn check(&self, recovery: &Recovery<MemDisk>) {
        let (first, last) = (recovery.first.0, recovery.last.0);
        assert!(
            last >= self.acknowledged,
            "{last} < {} acknowledged",
            self.acknowledged
        );
        assert!(
            first <= self.reclaimed + 1,
            "{first} begins behind {}",
            self.reclaimed
        );
        assert!(
            recovery.life.0 > self.life,
            "life {} did not rise",
            recovery.life
        );
        let mut mark = first;
        for record in recovery.records() {
            let (found, payload) = record.unwrap();
            assert_eq!(found.0, mark);
            assert_eq!(payload, self.appended[mark as usize - 1], "mark {mark}");
            mark += 1;
        }
        assert_eq!(mark, last + 1);
    }
}

pub fn marks<D: Disk>(recovery: &Recovery<D>) -> Vec<u64> {
    recovery
        .records()
        .map(|record| record.unwrap().0.0)
        .collect()
}

/// A script that fills several segments, in batches of several records, with reclaims between them.
pub fn script() -> Vec<Step> {
    use Step::{Append, MakeRoom, Reclaim, Sync};
    vec![
        Append(10),
        Sync,
        Append(900),
        Append(3000),
        Append(1),
        Sync,
        Append(30_000),
        Sync,
        Append(5_000),
        Append(25_000),
        Append(700),
        Sync,
        MakeRoom,
        MakeRoom,
        Append(30_000),
        Append(38_000),
        Sync,
        MakeRoom,
        MakeRoom,
        Reclaim(2),
        Append(2_000),
        Append(200),
        Sync,
        Append(35_000),
        Append(20),
        Append(40),
        Sync,
        Reclaim(0),
        MakeRoom,
        Append(0),
        Append(1500),
        Append(600),
        Sync,
    ]
}
