//! A disk in memory that loses what was not synced, fills up, fails on command, and lets a test spoil it.

mod state;

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Disk, DiskFile};
use state::{Inode, State};

/// What a planned failure does ([`MemDisk::fail_call`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails with an I/O error. A write arrives by half; after a sync, what was unsynced is
    /// still to be read until the cache is forgotten or the power lost, but never reaches the medium.
    Io,
    /// The call fails because the disk is full. Nothing of it happens.
    Full,
    /// The process dies in this call: it takes effect as far as nothing was synced by it, and every
    /// later call fails until [`MemDisk::power_loss`] or [`MemDisk::thaw`].
    Crash,
}

/// A directory in memory. Clones are handles to the same one; [`fork`](Self::fork) copies it.
///
/// The model: a write is visible at once and survives the process, but survives a loss of power only
/// once its file is synced; until then any subset of its 512-byte sectors may. Creations, renames and
/// removals survive in order, any prefix of those since the last [`Disk::sync_dir`]. All of it is
/// deterministic: what survives is for the caller to say.
#[derive(Clone, Default)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
}

/// A file of a [`MemDisk`]. It is dead after a loss of power.
#[derive(Clone)]
pub struct MemFile {
    disk: MemDisk,
    inode: usize,
    boot: u64,
}

impl MemDisk {
    /// An empty directory without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the sum of all files' lengths; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Makes reads give less than asked for, as they may.
    pub fn set_short_reads(&self, short: bool) {
        self.lock().short_reads = short;
    }

    /// Makes the `n`th call from now on (the next one is 1) fail, once.
    pub fn fail_call(&self, n: u64, fault: Fault) {
        let mut state = self.lock();
        state.plan = Some((state.calls + n, fault));
    }

    /// How many calls there have been, of all kinds.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Makes every call fail until [`thaw`](Self::thaw).
    pub fn freeze(&self) {
        self.lock().frozen = true;
    }

    /// Undoes [`freeze`](Self::freeze), and the freeze after [`Fault::Crash`]: the process restarts,
    /// the machine went on.
    pub fn thaw(&self) {
        self.lock().frozen = false;
    }

    /// How many pieces could be lost now: sectors, lengths and directory changes that are not synced.
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced()
    }

    /// Loses power: `survives` is asked once for every unsynced piece. Directory changes are asked
    /// first, in order, up to the first that does not survive. Every open file is dead afterwards,
    /// planned failures are forgotten.
    pub fn power_loss(&self, mut survives: impl FnMut() -> bool) {
        self.lock().power_loss(&mut survives);
    }

    /// A copy with a life of its own, unsynced state included, planned failures excluded.
    pub fn fork(&self) -> Self {
        let mut state = self.lock().clone();
        state.plan = None;
        state.frozen = false;
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// What a read of the whole file gives.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let inode = *state.names.get(name)?;
        Some(state.inodes[inode].cached.clone())
    }

    /// Replaces a file or makes one, durably: how a test spoils a disk.
    pub fn set_contents(&self, name: &str, contents: Vec<u8>) {
        let mut state = self.lock();
        let inode = Inode {
            durable: contents.clone(),
            cached: contents,
            changes: Vec::new(),
        };
        state.inodes.push(inode);
        let inode = state.inodes.len() - 1;
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// Flips one bit of a file, on the medium as well as in the cache and under open files.
    ///
    /// # Panics
    /// If there is no such file or no such bit.
    pub fn flip(&self, name: &str, bit: u64) {
        let mut state = self.lock();
        let inode = *state.names.get(name).expect("a file to flip a bit of");
        state.inodes[inode].flip((bit / 8) as usize, 1 << (bit % 8));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let files = state
            .names
            .iter()
            .map(|(name, inode)| (name, state.inodes[*inode].cached.len()));
        f.debug_map().entries(files).finish()
    }
}

impl Disk for MemDisk {
    type File = MemFile;

    fn create(&self, name: &str, bytes: u64) -> io::Result<MemFile> {
        let mut state = self.lock();
        let fate = state.call()?;
        fate.before()?;
        let inode = state.create(name, bytes)?;
        fate.after()?;
        Ok(MemFile {
            disk: self.clone(),
            inode,
            boot: state.boot,
        })
    }

    fn open(&self, name: &str) -> io::Result<MemFile> {
        let mut state = self.lock();
        state.call()?.always()?;
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(MemFile {
            disk: self.clone(),
            inode,
            boot: state.boot,
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.lock();
        state.call()?.always()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        let fate = state.call()?;
        fate.before()?;
        state.rename(from, to)?;
        fate.after()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        let fate = state.call()?;
        fate.before()?;
        state.remove(name)?;
        fate.after()
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?.always()?;
        state.sync_dir();
        Ok(())
    }
}

impl MemFile {
    /// The disk's state, if this file has not died with a loss of power.
    fn live(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.boot == self.boot {
            Ok(state)
        } else {
            Err(io::Error::other("the machine was restarted"))
        }
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.live()?;
        state.call()?.always()?;
        let short = state.short_reads;
        let cached = &state.inodes[self.inode].cached;
        let rest = cached.get(offset as usize..).unwrap_or_default();
        let mut count = rest.len().min(buffer.len());
        if short && count > 1 {
            count /= 2;
        }
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut state = self.live()?;
        let fate = state.call()?;
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        if fate.fault() == Some(Fault::Io) {
            bytes.truncate(bytes.len() / 2);
            state.write(self.inode, offset, bytes)?;
        }
        fate.before()?;
        let bytes = parts.iter().flat_map(|part| part.iter().copied()).collect();
        state.write(self.inode, offset, bytes)?;
        fate.after()
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.live()?;
        let fate = state.call()?;
        if fate.fault() == Some(Fault::Io) {
            state.inodes[self.inode].changes.clear();
        }
        fate.always()?;
        state.inodes[self.inode].sync();
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        let mut state = self.live()?;
        state.call()?.always()?;
        Ok(state.inodes[self.inode].cached.len() as u64)
    }

    fn forget_cached(&self) -> io::Result<()> {
        let mut state = self.live()?;
        state.call()?.always()?;
        state.inodes[self.inode].forget();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
