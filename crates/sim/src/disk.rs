//! A disk that loses what was not synced, fills up, fails on command, and decays.

mod decay;
mod medium;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::rc::Rc;

use quorate_core::Rng;
use quorate_journal::{Disk, DiskFile};

pub use medium::Survival;
use medium::{Fate, Medium};

/// What happens in one call to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallFault {
    /// It fails with an I/O error. A write arrives by half. After a failed sync the page cache still shows what
    /// the medium will never get (Rebello et al., ATC'20).
    Io,
    /// The machine loses power in it: the call may have had any effect that an unsynced one can have, and no
    /// later call does anything until the machine is up again.
    Crash,
}

/// What time does to data at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rot {
    /// One bit flips.
    Flip,
    /// A sector is overwritten by another one: what a misdirected write leaves behind.
    Stray,
    /// A sector reads as zeros.
    Zeros,
    /// A whole file is gone.
    Lost,
    /// A file is there and empty.
    Empty,
    /// A segment that is not the newest is as it was when it was begun.
    Old,
}

impl Rot {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Flip,
        Self::Stray,
        Self::Zeros,
        Self::Lost,
        Self::Empty,
        Self::Old,
    ];
}

/// One directory of a member, in memory. Clones are handles to the same one.
///
/// The model: a write is visible at once and survives the process, but survives a loss of power only once its
/// file is synced; until then any of its 512-byte sectors may, as [`Survival`] says. Names survive in order:
/// some first part of the creations, renames and removals since the last sync of the directory.
#[derive(Clone)]
pub(crate) struct SimDisk {
    medium: Rc<RefCell<Medium>>,
}

/// An open file. It is dead after a loss of power.
#[derive(Clone)]
pub(crate) struct SimFile {
    medium: Rc<RefCell<Medium>>,
    inode: usize,
    boot: u64,
}

impl SimDisk {
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            medium: Rc::new(RefCell::new(Medium::new(rng))),
        }
    }

    /// Makes the `n`th call from now on (the next one is 1) fail so, once.
    pub(crate) fn plan(&self, n: u64, fault: CallFault) {
        let mut medium = self.medium.borrow_mut();
        let at = medium.calls + n.max(1);
        medium.planned.push((at, fault));
    }

    /// No planned failure is left.
    pub(crate) fn repair(&self) {
        let mut medium = self.medium.borrow_mut();
        medium.planned.clear();
        medium.capacity = None;
        medium.short_reads = false;
    }

    /// No more space than is in use now, and `spare` bytes; none: as much as anyone wants.
    pub(crate) fn limit(&self, spare: Option<u64>) {
        let mut medium = self.medium.borrow_mut();
        medium.capacity = spare.map(|spare| medium.used() + spare);
    }

    pub(crate) fn short_reads(&self, short: bool) {
        self.medium.borrow_mut().short_reads = short;
    }

    /// Whether the machine died in a call ([`CallFault::Crash`]).
    pub(crate) fn is_dead(&self) -> bool {
        self.medium.borrow().dead
    }

    /// The machine loses power and comes back.
    pub(crate) fn power_loss(&self, survival: Survival) {
        self.medium.borrow_mut().power_loss(survival);
    }

    /// How many bytes all files hold.
    pub(crate) fn used(&self) -> u64 {
        self.medium.borrow().used()
    }

    /// Lets something decay: any file, but nothing in the last half of what was ever written to a segment. Says what
    /// was done; none: there is nothing old enough.
    pub(crate) fn rot(&self, rot: Rot, rng: &mut Rng) -> Option<String> {
        self.medium.borrow_mut().rot(rot, rng)
    }

    /// Forgets everything: another disk was put in.
    pub(crate) fn wipe(&self) {
        self.medium.borrow_mut().wipe();
    }

    fn file(&self, inode: usize) -> SimFile {
        SimFile {
            medium: Rc::clone(&self.medium),
            inode,
            boot: self.medium.borrow().boot,
        }
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk")
            .field("used", &self.used())
            .finish()
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn create(&self, name: &str, bytes: u64) -> io::Result<SimFile> {
        let mut medium = self.medium.borrow_mut();
        let fate = medium.call()?;
        fate.before()?;
        let inode = medium.create(name, bytes)?;
        fate.after()?;
        drop(medium);
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let mut medium = self.medium.borrow_mut();
        medium.call()?.always()?;
        let inode = medium.inode(name)?;
        drop(medium);
        Ok(self.file(inode))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut medium = self.medium.borrow_mut();
        medium.call()?.always()?;
        Ok(medium.names())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut medium = self.medium.borrow_mut();
        let fate = medium.call()?;
        fate.before()?;
        medium.rename(from, to)?;
        fate.after()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut medium = self.medium.borrow_mut();
        let fate = medium.call()?;
        fate.before()?;
        medium.remove(name)?;
        fate.after()
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut medium = self.medium.borrow_mut();
        medium.call()?.always()?;
        medium.sync_names();
        Ok(())
    }
}

impl SimFile {
    fn call(&self) -> io::Result<(std::cell::RefMut<'_, Medium>, Fate)> {
        let mut medium = self.medium.borrow_mut();
        if medium.boot != self.boot {
            return Err(io::Error::other("the machine was restarted"));
        }
        let fate = medium.call()?;
        Ok((medium, fate))
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let (medium, fate) = self.call()?;
        fate.always()?;
        let cached = medium.cached(self.inode);
        let rest = cached.get(offset as usize..).unwrap_or_default();
        let mut count = rest.len().min(buffer.len());
        if medium.short_reads && count > 1 {
            count /= 2;
        }
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let (mut medium, fate) = self.call()?;
        let whole: usize = parts.iter().map(|part| part.len()).sum();
        let arrives = if fate.is(CallFault::Io) {
            whole / 2
        } else {
            whole
        };
        medium.write(self.inode, offset, parts, arrives)?;
        fate.always()
    }

    fn sync(&self) -> io::Result<()> {
        let (mut medium, fate) = self.call()?;
        if fate.is(CallFault::Io) {
            medium.forget_changes(self.inode);
        }
        fate.always()?;
        medium.sync(self.inode);
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        let (medium, fate) = self.call()?;
        fate.always()?;
        Ok(medium.cached(self.inode).len() as u64)
    }

    fn forget_cached(&self) -> io::Result<()> {
        let (mut medium, fate) = self.call()?;
        fate.always()?;
        medium.forget_cached(self.inode);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
