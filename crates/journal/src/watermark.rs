//! The watermark: up to where the log is known to be on the medium, kept beside the records.
//!
//! It is written after every successful sync and never synced itself, so it costs no more than a copy
//! into the page cache. It survives the death of the process always and a loss of power mostly; what it
//! says is true in either case, as it is only ever written after the fact. With it, damage to the very
//! last acknowledged record is told from a torn write (`RELIABILITY` C2). Two slots in two sectors are
//! written in turn.

use std::io::IoSlice;

use quorate_core::Mark;

use crate::disk::read_full;
use crate::error::At;
use crate::format::{Owner, PAGE, Reader, Writer, unseal};
use crate::{Disk, DiskFile, JournalError};

pub(crate) const WATERMARK: &str = "watermark";
const MAGIC: [u8; 8] = *b"QRTWMARK";
const SIZE: usize = 28;
const SECTOR: u64 = 512;

/// The open watermark file and what it says.
pub(crate) struct WatermarkFile<D: Disk> {
    file: D::File,
    log: u64,
    slot: u64,
    pub(crate) durable: Mark,
}

impl<D: Disk> WatermarkFile<D> {
    /// Makes the file of an empty log, durably.
    pub(crate) fn create(disk: &D, owner: &Owner) -> Result<Self, JournalError> {
        let file = disk.create(WATERMARK, PAGE).at("create", WATERMARK)?;
        let mut this = Self {
            file,
            log: owner.log(),
            slot: 0,
            durable: Mark::ZERO,
        };
        this.store(Mark::ZERO)?;
        this.store(Mark::ZERO)?;
        this.file.sync().at("sync", WATERMARK)?;
        disk.sync_dir().at("sync directory of", WATERMARK)?;
        Ok(this)
    }

    /// Reads the higher of the two slots.
    pub(crate) fn open(disk: &D, owner: &Owner) -> Result<Self, JournalError> {
        let file = disk.open(WATERMARK).at("open", WATERMARK)?;
        let mut page = vec![0; 2 * SECTOR as usize];
        read_full(&file, 0, &mut page).at("read", WATERMARK)?;
        let log = owner.log();
        let newest = (0..2)
            .filter_map(|slot| Some((decode(&page[(slot * SECTOR) as usize..], log)?, slot)))
            .max();
        let Some((durable, slot)) = newest else {
            let why = "both slots are damaged: what was acknowledged last is not known";
            return Err(JournalError::corrupt(WATERMARK, 0, None, why));
        };
        Ok(Self {
            file,
            log,
            slot,
            durable,
        })
    }

    /// Notes that the log is on the medium up to `durable`.
    pub(crate) fn store(&mut self, durable: Mark) -> Result<(), JournalError> {
        assert!(durable >= self.durable, "what is on the medium stays there");
        self.slot = 1 - self.slot;
        self.durable = durable;
        let bytes = Writer::default()
            .bytes(&MAGIC)
            .u64(self.log)
            .u64(durable.0)
            .sealed();
        let offset = self.slot * SECTOR;
        self.file
            .write_at(offset, &[IoSlice::new(&bytes)])
            .at("write", WATERMARK)
    }
}

fn decode(slot: &[u8], log: u64) -> Option<Mark> {
    let mut body = Reader(unseal(slot, SIZE)?);
    (body.array() == MAGIC && body.u64() == log).then(|| Mark(body.u64()))
}

#[cfg(test)]
mod tests {
    use quorate_core::{ClusterId, Incarnation, NodeId};

    use super::*;
    use crate::MemDisk;

    #[test]
    fn the_highest_whole_slot_counts_and_none_is_refused() {
        let disk = MemDisk::new();
        let owner = Owner {
            cluster: ClusterId(1),
            member: NodeId(2),
            incarnation: Incarnation(3),
        };
        let mut file = WatermarkFile::create(&disk, &owner).expect("create");
        for mark in [3, 4, 9] {
            file.store(Mark(mark)).expect("store");
        }
        let read = |disk: &MemDisk| WatermarkFile::open(disk, &owner).map(|file| file.durable);
        assert_eq!(read(&disk).expect("whole"), Mark(9));
        let newest = file.slot * SECTOR * 8;
        disk.flip(WATERMARK, newest + 100);
        assert_eq!(read(&disk).expect("one slot is whole"), Mark(4));
        disk.flip(WATERMARK, SECTOR * 8 - newest + 100);
        assert!(read(&disk).is_err());
    }
}
