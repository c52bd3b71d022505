//! Whom this member has met: which disk every other member had.
//!
//! A member that comes back with another disk has forgotten its promises. Only those who met it before can tell, so each
//! of them remembers (`RELIABILITY` A7, C7). The file is small and changes once for every new member, so it is written
//! anew each time, under another name first.

use std::collections::BTreeMap;
use std::io::IoSlice;

use quorate_core::{ClusterId, Incarnation, NodeId};

use crate::disk::read_full;
use crate::error::{At, is_full};
use crate::format::{Owner, Reader, VERSION, Writer, unseal};
use crate::{Disk, DiskFile, JournalError};

pub(crate) const PEERS: &str = "peers";
pub(crate) const PEERS_TEMP: &str = "peers.tmp";
const MAGIC: [u8; 8] = *b"QRTPEERS";
/// Magic, version, log, count.
const HEADER: usize = 24;
const ENTRY: usize = 16;
const CHECKSUM: usize = 4;
/// Members remembered at most: one more is not let in.
const MEMBERS_MAX: usize = 4096;

/// The members that this one has met, and their disks; durable before anyone is told.
#[derive(Debug)]
pub struct PeerBook<D: Disk> {
    disk: D,
    log: u64,
    met: BTreeMap<NodeId, Incarnation>,
}

/// What came of meeting a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// It has the disk that is remembered, durably.
    Same,
    /// It was met with this other disk.
    Other(Incarnation),
    /// It cannot be remembered: the disk is full, or too many are.
    NoRoom,
}

impl<D: Disk> PeerBook<D> {
    /// Opens the book of the member that owns this directory; one that is not there is empty.
    ///
    /// # Errors
    /// [`JournalError`] if it cannot be read, is damaged, or belongs to another.
    pub fn open(
        disk: D,
        cluster: ClusterId,
        member: NodeId,
        incarnation: Incarnation,
    ) -> Result<Self, JournalError> {
        let owner = Owner {
            cluster,
            member,
            incarnation,
        };
        let names = disk.list().at("list", "the directory")?;
        let met = if names.iter().any(|name| name == PEERS) {
            // Whoever wrote it may have died before the directory was synced (`RELIABILITY` D4, E2).
            disk.sync_dir().at("sync directory of", PEERS)?;
            read(&disk, owner.log())?
        } else {
            BTreeMap::new()
        };
        Ok(Self {
            disk,
            log: owner.log(),
            met,
        })
    }

    /// The disk that `id` was met with.
    pub fn known(&self, id: NodeId) -> Option<Incarnation> {
        self.met.get(&id).copied()
    }

    /// All members that were met, and their disks.
    pub fn all(&self) -> impl Iterator<Item = (NodeId, Incarnation)> {
        self.met.iter().map(|(id, incarnation)| (*id, *incarnation))
    }

    /// Takes note of a member; durable when this returns.
    ///
    /// # Errors
    /// [`JournalError`] if the disk failed: the member has to stop.
    pub fn meet(&mut self, id: NodeId, incarnation: Incarnation) -> Result<Meeting, JournalError> {
        match self.known(id) {
            Some(known) if known == incarnation => return Ok(Meeting::Same),
            Some(known) => return Ok(Meeting::Other(known)),
            None if self.met.len() >= MEMBERS_MAX => return Ok(Meeting::NoRoom),
            None => {}
        }
        let mut met = self.met.clone();
        met.insert(id, incarnation);
        let bytes = encode(self.log, &met);
        let file = match self.disk.create(PEERS_TEMP, bytes.len() as u64) {
            Ok(file) => file,
            Err(error) if is_full(&error) => return Ok(Meeting::NoRoom),
            Err(error) => return Err(error).at("create", PEERS_TEMP),
        };
        file.write_at(0, &[IoSlice::new(&bytes)])
            .at("write", PEERS_TEMP)?;
        file.sync().at("sync", PEERS_TEMP)?;
        self.disk
            .rename(PEERS_TEMP, PEERS)
            .at("rename", PEERS_TEMP)?;
        self.disk.sync_dir().at("sync directory of", PEERS)?;
        self.met = met;
        Ok(Meeting::Same)
    }
}

fn encode(log: u64, met: &BTreeMap<NodeId, Incarnation>) -> Vec<u8> {
    let header = Writer::default()
        .bytes(&MAGIC)
        .u32(VERSION)
        .u64(log)
        .u32(met.len() as u32);
    let entries = met.iter();
    let all = entries.fold(header, |writer, (id, incarnation)| {
        writer.u64(id.0).u64(incarnation.0)
    });
    all.sealed()
}

fn read<D: Disk>(disk: &D, log: u64) -> Result<BTreeMap<NodeId, Incarnation>, JournalError> {
    let file = disk.open(PEERS).at("open", PEERS)?;
    let length = file.bytes().at("measure", PEERS)? as usize;
    let corrupt = |why: &str| JournalError::corrupt(PEERS, 0, None, why);
    if !(HEADER + CHECKSUM..=HEADER + MEMBERS_MAX * ENTRY + CHECKSUM).contains(&length) {
        return Err(corrupt("the length is out of bounds"));
    }
    let mut bytes = vec![0; length];
    read_full(&file, 0, &mut bytes).at("read", PEERS)?;
    let body = unseal(&bytes, length).ok_or_else(|| corrupt("the checksum is wrong"))?;
    let mut reader = Reader(body);
    if reader.array() != MAGIC {
        return Err(corrupt("this is something else"));
    }
    let found = reader.u32();
    if found != VERSION {
        let (file, known) = (PEERS.to_owned(), VERSION);
        return Err(JournalError::Version { file, found, known });
    }
    if reader.u64() != log {
        return Err(corrupt("it belongs to another member"));
    }
    let count = reader.u32() as usize;
    if HEADER + count * ENTRY + CHECKSUM != length {
        return Err(corrupt("the length is not that of its entries"));
    }
    let entries = (0..count).map(|_| (NodeId(reader.u64()), Incarnation(reader.u64())));
    Ok(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemDisk;

    fn open(disk: &MemDisk) -> Result<PeerBook<MemDisk>, JournalError> {
        PeerBook::open(disk.clone(), ClusterId(1), NodeId(2), Incarnation(3))
    }

    #[test]
    fn who_was_met_is_remembered_over_a_loss_of_power_and_another_disk_is_noticed() {
        let disk = MemDisk::new();
        let mut book = open(&disk).expect("empty");
        assert_eq!(book.known(NodeId(4)), None);
        for (id, incarnation) in [(4, 40), (5, 50), (4, 40)] {
            let met = book.meet(NodeId(id), Incarnation(incarnation));
            assert_eq!(met.expect("the disk works"), Meeting::Same);
        }
        disk.power_loss(|| false);
        let mut book = open(&disk).expect("whole");
        assert_eq!(book.known(NodeId(5)), Some(Incarnation(50)));
        let met = book.meet(NodeId(4), Incarnation(41)).expect("as before");
        assert_eq!(met, Meeting::Other(Incarnation(40)));
    }

    #[test]
    fn a_crash_at_any_call_leaves_the_old_book_or_the_new_one() {
        let disk = MemDisk::new();
        let mut book = open(&disk).expect("empty");
        book.meet(NodeId(4), Incarnation(40)).expect("works");
        for calls in 1.. {
            let spoilt = disk.fork();
            let mut book = open(&spoilt).expect("whole");
            spoilt.fail_call(calls, crate::Fault::Crash);
            let met = book.meet(NodeId(5), Incarnation(50));
            spoilt.power_loss(|| calls % 2 == 0);
            let found = open(&spoilt).expect("old or new");
            assert_eq!(found.known(NodeId(4)), Some(Incarnation(40)));
            if met.is_ok() {
                assert_eq!(found.known(NodeId(5)), Some(Incarnation(50)));
                assert!(calls > 5, "create, write, sync, rename, sync were struck");
                return;
            }
        }
    }

    #[test]
    fn damage_and_the_book_of_another_are_refused() {
        let disk = MemDisk::new();
        let mut book = open(&disk).expect("empty");
        book.meet(NodeId(4), Incarnation(40)).expect("works");
        let other = PeerBook::open(disk.clone(), ClusterId(1), NodeId(2), Incarnation(9));
        assert!(matches!(other, Err(JournalError::Corrupt { .. })));
        for bit in 0..(HEADER + ENTRY + CHECKSUM) as u64 * 8 {
            let spoilt = disk.fork();
            spoilt.flip(PEERS, bit);
            assert!(open(&spoilt).is_err(), "bit {bit}");
        }
    }
}
