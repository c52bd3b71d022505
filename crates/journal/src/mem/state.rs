//! What a [`MemDisk`](super::MemDisk) is made of: the visible state, the durable one, and what lies
//! between.

use std::collections::BTreeMap;
use std::io;

use super::Fault;

/// What a medium writes as a whole or not at all.
const SECTOR: u64 = 512;

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) inodes: Vec<Inode>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    /// Directory changes since the last sync of the directory.
    moves: Vec<Move>,
    /// Rises with every loss of power, so that files opened before are known to be dead.
    pub(super) boot: u64,
    pub(super) calls: u64,
    pub(super) plan: Option<(u64, Fault)>,
    pub(super) frozen: bool,
    pub(super) capacity: Option<u64>,
    pub(super) short_reads: bool,
}

/// A file without its name.
#[derive(Clone, Default)]
pub(super) struct Inode {
    /// What a read gives.
    pub(super) cached: Vec<u8>,
    /// What a loss of power leaves.
    pub(super) durable: Vec<u8>,
    /// What the next sync brings from the one to the other.
    pub(super) changes: Vec<Change>,
}

#[derive(Clone)]
pub(super) enum Change {
    Length(usize),
    Write { offset: u64, bytes: Vec<u8> },
}

#[derive(Clone)]
enum Move {
    Link(String, usize),
    Rename(String, String),
    Unlink(String),
}

/// What is planned for the call at hand.
#[derive(Clone, Copy)]
pub(super) struct Fate(Option<Fault>);

impl Fate {
    pub(super) fn fault(self) -> Option<Fault> {
        self.0
    }

    /// Fails a call that is to have no effect.
    pub(super) fn before(self) -> io::Result<()> {
        match self.0 {
            None | Some(Fault::Crash) => Ok(()),
            Some(Fault::Io) => Err(io::Error::other("injected I/O error")),
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    /// Fails a call whose effect the process does not live to see.
    pub(super) fn after(self) -> io::Result<()> {
        match self.0 {
            Some(Fault::Crash) => Err(io::Error::other("injected crash")),
            None | Some(Fault::Io | Fault::Full) => Ok(()),
        }
    }

    /// Fails a call whose effect nobody could tell from none: a read, or a sync that may have happened for
    /// some pieces, as any unsynced piece may survive.
    pub(super) fn always(self) -> io::Result<()> {
        self.before()?;
        self.after()
    }
}

impl State {
    /// Counts a call and says what becomes of it.
    pub(super) fn call(&mut self) -> io::Result<Fate> {
        if self.frozen {
            return Err(io::Error::other("the disk is frozen"));
        }
        self.calls += 1;
        match self.plan {
            Some((at, fault)) if at == self.calls => {
                self.plan = None;
                self.frozen = fault == Fault::Crash;
                Ok(Fate(Some(fault)))
            }
            _ => Ok(Fate(None)),
        }
    }

    pub(super) fn create(&mut self, name: &str, bytes: u64) -> io::Result<usize> {
        let replaced = self
            .names
            .get(name)
            .map_or(0, |old| self.inodes[*old].cached.len());
        self.ensure_room(bytes.saturating_sub(replaced as u64))?;
        let length = bytes as usize;
        self.inodes.push(Inode {
            cached: vec![0; length],
            durable: Vec::new(),
            changes: vec![Change::Length(length)],
        });
        let inode = self.inodes.len() - 1;
        self.names.insert(name.to_owned(), inode);
        self.moves.push(Move::Link(name.to_owned(), inode));
        Ok(inode)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.names.insert(to.to_owned(), inode);
        self.moves
            .push(Move::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        self.moves.push(Move::Unlink(name.to_owned()));
        Ok(())
    }

    pub(super) fn write(&mut self, inode: usize, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        let length = self.inodes[inode].cached.len() as u64;
        self.ensure_room(end.saturating_sub(length))?;
        let change = Change::Write { offset, bytes };
        change.apply(&mut self.inodes[inode].cached);
        self.inodes[inode].changes.push(change);
        Ok(())
    }

    fn ensure_room(&self, more: u64) -> io::Result<()> {
        let used: usize = self
            .names
            .values()
            .map(|inode| self.inodes[*inode].cached.len())
            .sum();
        match self.capacity {
            Some(capacity) if more > 0 && used as u64 + more > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn sync_dir(&mut self) {
        self.durable_names = self.names.clone();
        self.moves.clear();
        let used: Vec<usize> = self.names.values().copied().collect();
        for (number, inode) in self.inodes.iter_mut().enumerate() {
            if !used.contains(&number) {
                *inode = Inode::default();
            }
        }
    }

    pub(super) fn unsynced(&self) -> usize {
        let changes = self.inodes.iter().flat_map(|inode| &inode.changes);
        self.moves.len() + changes.map(|change| change.pieces().count()).sum::<usize>()
    }

    pub(super) fn power_loss(&mut self, survives: &mut dyn FnMut() -> bool) {
        for change in std::mem::take(&mut self.moves) {
            if !survives() {
                break;
            }
            change.apply(&mut self.durable_names);
        }
        for inode in &mut self.inodes {
            for change in std::mem::take(&mut inode.changes) {
                for piece in change.pieces().filter(|_| survives()) {
                    piece.apply(&mut inode.durable);
                }
            }
            inode.cached.clone_from(&inode.durable);
        }
        self.names = self.durable_names.clone();
        self.boot += 1;
        self.plan = None;
        self.frozen = false;
    }
}

impl Inode {
    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn forget(&mut self) {
        self.cached.clone_from(&self.durable);
        for change in &self.changes {
            change.apply(&mut self.cached);
        }
    }
}

impl Inode {
    /// Flips bits of a byte wherever it is kept.
    pub(super) fn flip(&mut self, byte: usize, bits: u8) {
        self.cached[byte] ^= bits;
        if let Some(byte) = self.durable.get_mut(byte) {
            *byte ^= bits;
        }
        for change in &mut self.changes {
            if let Change::Write { offset, bytes } = change
                && let Some(at) = byte.checked_sub(*offset as usize)
                && let Some(byte) = bytes.get_mut(at)
            {
                *byte ^= bits;
            }
        }
    }
}

impl Change {
    fn apply(&self, contents: &mut Vec<u8>) {
        match self {
            Self::Length(length) => contents.resize(*length, 0),
            Self::Write { offset, bytes } => {
                let start = *offset as usize;
                let end = start + bytes.len();
                if contents.len() < end {
                    contents.resize(end, 0);
                }
                contents[start..end].copy_from_slice(bytes);
            }
        }
    }

    /// The parts of this change that survive or are lost each by itself.
    fn pieces(&self) -> Box<dyn Iterator<Item = Self> + '_> {
        match self {
            Self::Length(_) => Box::new(std::iter::once(self.clone())),
            Self::Write { offset, bytes } => Box::new(sectors(*offset, bytes)),
        }
    }
}

fn sectors(mut offset: u64, mut bytes: &[u8]) -> impl Iterator<Item = Change> {
    std::iter::from_fn(move || {
        let count = (SECTOR - offset % SECTOR).min(bytes.len() as u64);
        let (piece, rest) = bytes.split_at(count as usize);
        let change = Change::Write {
            offset,
            bytes: piece.to_vec(),
        };
        offset += count;
        bytes = rest;
        (count > 0).then_some(change)
    })
}

impl Move {
    fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, inode) => {
                names.insert(name, inode);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
            Self::Unlink(name) => {
                names.remove(&name);
            }
        }
    }
}
