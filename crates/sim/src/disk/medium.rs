//! What a disk is made of: what a read gives, what a loss of power leaves, and what lies between.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};

use quorate_core::Rng;

use super::CallFault;

/// What a medium writes as a whole or not at all.
pub(super) const SECTOR: usize = 512;
/// What stands before the first record of a segment; not a fact about the format, only a place to begin decay.
pub(super) const HEADER: usize = 4096;

/// What of the unsynced survives a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// What was written first, up to some point.
    Prefix,
    /// Any sectors: torn writes.
    Sectors,
}

pub(super) struct Medium {
    pub(super) inodes: Vec<Inode>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    moves: Vec<Move>,
    pub(super) boot: u64,
    pub(super) calls: u64,
    pub(super) planned: Vec<(u64, CallFault)>,
    pub(super) capacity: Option<u64>,
    pub(super) short_reads: bool,
    pub(super) dead: bool,
    rng: Rng,
}

#[derive(Default)]
pub(super) struct Inode {
    pub(super) cached: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) changes: Vec<Change>,
    /// What was durable when it was begun.
    pub(super) begun: Option<Vec<u8>>,
}

#[derive(Clone, Copy)]
pub(super) enum Change {
    Length(usize),
    Bytes { from: usize, to: usize },
}

enum Move {
    Link(String, usize),
    Rename(String, String),
    Unlink(String),
}

/// What is planned for the call at hand.
#[derive(Clone, Copy)]
pub(super) struct Fate(Option<CallFault>);

impl Fate {
    pub(super) fn is(self, fault: CallFault) -> bool {
        self.0 == Some(fault)
    }

    /// Fails a call that is to have no effect.
    pub(super) fn before(self) -> io::Result<()> {
        if self.is(CallFault::Io) {
            return Err(io::Error::other("injected I/O error"));
        }
        Ok(())
    }

    /// Fails a call whose effect nobody lives to see.
    pub(super) fn after(self) -> io::Result<()> {
        if self.is(CallFault::Crash) {
            return Err(io::Error::other("injected loss of power"));
        }
        Ok(())
    }

    /// Fails a call in either way.
    pub(super) fn always(self) -> io::Result<()> {
        self.before()?;
        self.after()
    }
}

impl Medium {
    pub(super) const fn new(rng: Rng) -> Self {
        Self {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            moves: Vec::new(),
            boot: 0,
            calls: 0,
            planned: Vec::new(),
            capacity: None,
            short_reads: false,
            dead: false,
            rng,
        }
    }

    pub(super) fn call(&mut self) -> io::Result<Fate> {
        if self.dead {
            return Err(io::Error::other("the machine has no power"));
        }
        self.calls += 1;
        if self.planned.is_empty() {
            return Ok(Fate(None));
        }
        let due = self.planned.iter().position(|(at, _)| *at <= self.calls);
        let fault = due.map(|index| self.planned.remove(index).1);
        self.dead = fault == Some(CallFault::Crash);
        Ok(Fate(fault))
    }

    pub(super) fn used(&self) -> u64 {
        let bytes = self
            .names
            .values()
            .map(|inode| self.inodes[*inode].cached.len());
        bytes.sum::<usize>() as u64
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn inode(&self, name: &str) -> io::Result<usize> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn cached(&self, inode: usize) -> &[u8] {
        &self.inodes[inode].cached
    }

    pub(super) fn create(&mut self, name: &str, bytes: u64) -> io::Result<usize> {
        let replaced = self.inode(name).map_or(0, |inode| self.cached(inode).len());
        self.ensure_room(bytes.saturating_sub(replaced as u64))?;
        self.inodes.push(Inode {
            cached: vec![0; bytes as usize],
            durable: Vec::new(),
            changes: vec![Change::Length(bytes as usize)],
            begun: None,
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

    /// Writes the first `arrives` bytes of `parts`.
    pub(super) fn write(
        &mut self,
        inode: usize,
        offset: u64,
        parts: &[IoSlice<'_>],
        arrives: usize,
    ) -> io::Result<()> {
        let from = offset as usize;
        let to = from + arrives;
        let length = self.inodes[inode].cached.len();
        self.ensure_room(to.saturating_sub(length) as u64)?;
        let Inode {
            cached, changes, ..
        } = &mut self.inodes[inode];
        if to > length {
            cached.resize(to, 0);
            changes.push(Change::Length(to));
        }
        let mut at = from;
        for part in parts {
            let count = part.len().min(to - at);
            cached[at..at + count].copy_from_slice(&part[..count]);
            at += count;
        }
        changes.push(Change::Bytes { from, to });
        Ok(())
    }

    pub(super) fn sync(&mut self, inode: usize) {
        let inode = &mut self.inodes[inode];
        let changes = std::mem::take(&mut inode.changes);
        let begins = changes.iter().any(|change| inode.is_record(*change));
        for change in changes {
            inode.carry(change);
        }
        if begins && inode.begun.is_none() {
            inode.begun = Some(inode.durable.clone());
        }
    }

    /// The sync failed: the kernel gives the pages up as if they were clean.
    pub(super) fn forget_changes(&mut self, inode: usize) {
        self.inodes[inode].changes.clear();
    }

    /// The pages that are clean are read from the medium again; dirty ones stay.
    pub(super) fn forget_cached(&mut self, inode: usize) {
        let inode = &mut self.inodes[inode];
        let dirty = std::mem::take(&mut inode.changes);
        let mut fresh = inode.durable.clone();
        for change in &dirty {
            match *change {
                Change::Length(length) => fresh.resize(length.max(fresh.len()), 0),
                Change::Bytes { from, to } => {
                    fresh.resize(to.max(fresh.len()), 0);
                    fresh[from..to].copy_from_slice(&inode.cached[from..to]);
                }
            }
        }
        (inode.cached, inode.changes) = (fresh, dirty);
    }

    pub(super) fn sync_names(&mut self) {
        if self.moves.is_empty() {
            return;
        }
        self.moves.clear();
        self.durable_names.clone_from(&self.names);
        self.release();
    }

    pub(super) fn power_loss(&mut self, survival: Survival) {
        let moves = std::mem::take(&mut self.moves);
        let kept = match survival {
            Survival::Nothing => 0,
            Survival::Everything => moves.len(),
            Survival::Prefix | Survival::Sectors => self.rng.below(moves.len() as u64 + 1) as usize,
        };
        for change in moves.into_iter().take(kept) {
            change.apply(&mut self.durable_names);
        }
        for inode in &mut self.inodes {
            inode.power_loss(survival, &mut self.rng);
        }
        self.names.clone_from(&self.durable_names);
        self.release();
        self.boot += 1;
        self.dead = false;
    }

    pub(super) fn wipe(&mut self) {
        let rng = self.rng.fork();
        let boot = self.boot + 1;
        *self = Self {
            boot,
            ..Self::new(rng)
        };
    }

    fn ensure_room(&self, more: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if more > 0 && self.used() + more > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    /// Gives back what no name leads to.
    fn release(&mut self) {
        for (number, inode) in self.inodes.iter_mut().enumerate() {
            let named = |names: &BTreeMap<String, usize>| names.values().any(|n| *n == number);
            if !inode.cached.is_empty() && !named(&self.names) && !named(&self.durable_names) {
                *inode = Inode::default();
            }
        }
    }
}

impl Inode {
    /// Whether this wrote something behind the header.
    fn is_record(&self, change: Change) -> bool {
        matches!(change, Change::Bytes { from, .. }
            if from >= HEADER && self.cached.get(from).is_some_and(|first| *first != 0))
    }

    fn carry(&mut self, change: Change) {
        match change {
            Change::Length(length) => self.durable.resize(length, 0),
            Change::Bytes { from, to } => {
                let to = to.min(self.cached.len());
                if self.durable.len() < to {
                    self.durable.resize(to, 0);
                }
                self.durable[from..to].copy_from_slice(&self.cached[from..to]);
            }
        }
    }

    fn power_loss(&mut self, survival: Survival, rng: &mut Rng) {
        let changes = std::mem::take(&mut self.changes);
        if changes.is_empty() && self.cached == self.durable {
            return;
        }
        let pieces: Vec<Change> = changes.into_iter().flat_map(Change::sectors).collect();
        let prefix = rng.below(pieces.len() as u64 + 1) as usize;
        for (index, piece) in pieces.into_iter().enumerate() {
            let survives = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Prefix => index < prefix,
                Survival::Sectors => rng.one_in(2),
            };
            if survives {
                self.carry(piece);
            }
        }
        self.cached.clone_from(&self.durable);
    }
}

impl Change {
    /// The pieces that survive or are lost on their own.
    fn sectors(self) -> Vec<Self> {
        let Self::Bytes { from, to } = self else {
            return vec![self];
        };
        let first = from / SECTOR;
        let last = to.saturating_sub(1) / SECTOR;
        let piece = |sector: usize| Self::Bytes {
            from: from.max(sector * SECTOR),
            to: to.min((sector + 1) * SECTOR),
        };
        (first..=last).map(piece).collect()
    }
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
