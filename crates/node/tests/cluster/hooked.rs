//! A disk in memory that a test can make slow, or bad at snapshots alone.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use quorate_journal::{Disk, DiskFile, MemDisk, MemFile};

#[derive(Clone, Default)]
pub(crate) struct HookedDisk {
    disk: MemDisk,
    hooks: Arc<Hooks>,
}

#[derive(Default)]
struct Hooks {
    sync_ms: AtomicU64,
    bad_snapshots: AtomicBool,
}

pub(crate) struct HookedFile {
    file: MemFile,
    hooks: Arc<Hooks>,
}

impl HookedDisk {
    /// Every sync takes so long from now on.
    pub(crate) fn set_sync_ms(&self, millis: u64) {
        self.hooks.sync_ms.store(millis, Ordering::Relaxed);
    }

    /// No snapshot can be begun any more.
    pub(crate) fn spoil_snapshots(&self) {
        self.hooks.bad_snapshots.store(true, Ordering::Relaxed);
    }

    fn hooked(&self, file: MemFile) -> HookedFile {
        HookedFile {
            file,
            hooks: Arc::clone(&self.hooks),
        }
    }
}

impl Disk for HookedDisk {
    type File = HookedFile;

    fn create(&self, name: &str, bytes: u64) -> io::Result<HookedFile> {
        if name.contains("snapshot") && self.hooks.bad_snapshots.load(Ordering::Relaxed) {
            return Err(io::Error::other("bad sector"));
        }
        Ok(self.hooked(self.disk.create(name, bytes)?))
    }

    fn open(&self, name: &str) -> io::Result<HookedFile> {
        Ok(self.hooked(self.disk.open(name)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
}

impl DiskFile for HookedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(offset, parts)
    }

    fn sync(&self) -> io::Result<()> {
        sleep(Duration::from_millis(
            self.hooks.sync_ms.load(Ordering::Relaxed),
        ));
        self.file.sync()
    }

    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.file.forget_cached()
    }
}
