//! A disk whose syncs take longer than they need: for demos and comparisons, and for tests of what waits behind it.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::{Disk, DiskFile};

/// How much longer every sync of a [`SlowDisk`] takes. Clones are handles to the same disk; at first nothing is added.
#[derive(Clone, Debug, Default)]
pub struct Slowness(Arc<AtomicU64>);

impl Slowness {
    /// Every sync that begins from now on takes `delay` longer.
    pub fn set(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos, Ordering::Relaxed);
    }

    /// What is added at the moment.
    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn pass(&self) {
        let delay = self.get();
        if !delay.is_zero() {
            thread::sleep(delay);
        }
    }
}

/// Another disk, made slow on purpose.
#[derive(Clone, Debug)]
pub struct SlowDisk<D> {
    disk: D,
    slowness: Slowness,
}

impl<D: Disk> SlowDisk<D> {
    /// `disk`, as slow as `slowness` says from time to time.
    pub fn new(disk: D, slowness: Slowness) -> Self {
        Self { disk, slowness }
    }

    fn file(&self, file: D::File) -> SlowFile<D::File> {
        let slowness = self.slowness.clone();
        SlowFile { file, slowness }
    }
}

impl<D: Disk> Disk for SlowDisk<D> {
    type File = SlowFile<D::File>;

    fn create(&self, name: &str, bytes: u64) -> io::Result<Self::File> {
        self.disk.create(name, bytes).map(|file| self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        self.disk.open(name).map(|file| self.file(file))
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
        self.slowness.pass();
        self.disk.sync_dir()
    }
}

/// A file of a [`SlowDisk`].
#[derive(Debug)]
pub struct SlowFile<F> {
    file: F,
    slowness: Slowness,
}

impl<F: DiskFile> DiskFile for SlowFile<F> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(offset, parts)
    }

    fn sync(&self) -> io::Result<()> {
        self.slowness.pass();
        self.file.sync()
    }

    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.file.forget_cached()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::MemDisk;

    #[test]
    fn a_sync_takes_longer_from_the_moment_it_is_told_and_not_after() {
        let slowness = Slowness::default();
        let disk = SlowDisk::new(MemDisk::new(), slowness.clone());
        let file = disk.create("a", 0).expect("a file");
        let delay = Duration::from_millis(30);
        slowness.set(delay);
        let begun = Instant::now();
        file.write_at(0, &[IoSlice::new(b"x")]).expect("a write");
        file.sync().expect("a sync");
        disk.sync_dir().expect("a sync");
        assert!(begun.elapsed() >= 2 * delay, "{:?}", begun.elapsed());
        slowness.set(Duration::ZERO);
        assert_eq!(slowness.get(), Duration::ZERO);
        let mut read = [0];
        assert_eq!(file.read_at(0, &mut read).expect("a read"), 1);
        assert_eq!(&read, b"x");
    }
}
