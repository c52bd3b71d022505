//! The head: who the log belongs to, which run this is, and where the log begins.
//!
//! Two checksummed copies, each on a page of its own, written one after the other with a sync between them:
//! at every moment at least one of them is whole, and the damage of one does no harm.

use std::io::IoSlice;

use quorate_core::{ClusterId, Incarnation, Life, Mark, NodeId};

use crate::disk::read_full;
use crate::error::At;
use crate::format::{Owner, PAGE, Reader, VERSION, Writer, unseal};
use crate::{Disk, DiskFile, JournalError};

pub(crate) const HEAD: &str = "head";
pub(crate) const HEAD_TEMP: &str = "head.tmp";
const MAGIC: [u8; 8] = *b"QRTHEAD\0";
const SIZE: usize = 84;

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Rises with every copy written; the highest whole copy counts.
    pub(crate) sequence: u64,
    pub(crate) owner: Owner,
    pub(crate) life: Life,
    /// The oldest segment that still counts; zero as long as there has never been one.
    pub(crate) first_generation: u64,
    /// The first record in it, and what it links to.
    pub(crate) first_mark: Mark,
    pub(crate) first_link: u32,
}

/// The open head file and what it says.
pub(crate) struct HeadFile<D: Disk> {
    file: D::File,
    pub(crate) head: Head,
}

impl<D: Disk> HeadFile<D> {
    /// Makes the head: durable, then visible.
    pub(crate) fn create(disk: &D, head: Head) -> Result<Self, JournalError> {
        let file = disk.create(HEAD_TEMP, 2 * PAGE).at("create", HEAD_TEMP)?;
        let mut this = Self { file, head };
        this.store(head)?;
        disk.rename(HEAD_TEMP, HEAD).at("rename", HEAD_TEMP)?;
        disk.sync_dir().at("sync directory of", HEAD)?;
        Ok(this)
    }

    /// Reads the newest whole copy.
    pub(crate) fn open(disk: &D) -> Result<Self, JournalError> {
        let file = disk.open(HEAD).at("open", HEAD)?;
        let mut pages = vec![0; 2 * PAGE as usize];
        read_full(&file, 0, &mut pages).at("read", HEAD)?;
        let copies = pages.chunks(PAGE as usize).map(decode);
        let mut newest: Option<Head> = None;
        for copy in copies.collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            if newest.is_none_or(|other| copy.sequence > other.sequence) {
                newest = Some(copy);
            }
        }
        let head = newest.ok_or_else(|| {
            let why =
                "both copies of the head are damaged: what this member has promised may be lost";
            JournalError::corrupt(HEAD, 0, None, why)
        })?;
        Ok(Self { file, head })
    }

    /// Writes both copies, the older one first. The sequence is the head's own affair.
    pub(crate) fn store(&mut self, head: Head) -> Result<(), JournalError> {
        let mut sequence = self.head.sequence;
        for _ in 0..2 {
            sequence += 1;
            self.head = Head { sequence, ..head };
            let copy = encode(&self.head);
            let offset = sequence % 2 * PAGE;
            self.file
                .write_at(offset, &[IoSlice::new(&copy)])
                .at("write", HEAD)?;
            self.file.sync().at("sync", HEAD)?;
        }
        Ok(())
    }
}

fn encode(head: &Head) -> Vec<u8> {
    Writer::default()
        .bytes(&MAGIC)
        .u32(VERSION)
        .u64(head.sequence)
        .u64(head.owner.cluster.0)
        .u64(head.owner.member.0)
        .u64(head.owner.incarnation.0)
        .u64(head.life.0)
        .u64(head.first_generation)
        .u64(head.first_mark.0)
        .u32(head.first_link)
        .u64(0)
        .sealed()
}

/// One copy, `None` if it is damaged. A whole one of another version is an error.
fn decode(page: &[u8]) -> Result<Option<Head>, JournalError> {
    let Some(body) = unseal(page, SIZE) else {
        return Ok(None);
    };
    let mut body = Reader(body);
    if body.array() != MAGIC {
        return Ok(None);
    }
    let found = body.u32();
    if found != VERSION {
        return Err(JournalError::Version {
            file: HEAD.to_owned(),
            found,
            known: VERSION,
        });
    }
    Ok(Some(Head {
        sequence: body.u64(),
        owner: Owner {
            cluster: ClusterId(body.u64()),
            member: NodeId(body.u64()),
            incarnation: Incarnation(body.u64()),
        },
        life: Life(body.u64()),
        first_generation: body.u64(),
        first_mark: Mark(body.u64()),
        first_link: body.u32(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemDisk;

    #[test]
    fn one_damaged_copy_does_no_harm_and_two_are_refused() {
        let disk = MemDisk::new();
        let head = Head {
            sequence: 0,
            owner: Owner {
                cluster: ClusterId(1),
                member: NodeId(2),
                incarnation: Incarnation(3),
            },
            life: Life(4),
            first_generation: 5,
            first_mark: Mark(6),
            first_link: 7,
        };
        assert_eq!(encode(&head).len(), SIZE);
        HeadFile::create(&disk, head).expect("create");
        for copy in 0..2u64 {
            for byte in 0..SIZE as u64 {
                let spoilt = disk.fork();
                spoilt.flip(HEAD, (copy * PAGE + byte) * 8 + byte % 8);
                let found = HeadFile::open(&spoilt)
                    .expect("the other copy is whole")
                    .head;
                assert_eq!(
                    Head {
                        sequence: 0,
                        ..found
                    },
                    head
                );
            }
        }
        disk.flip(HEAD, 80);
        disk.flip(HEAD, PAGE * 8 + 80);
        assert!(HeadFile::open(&disk).is_err());
    }
}
