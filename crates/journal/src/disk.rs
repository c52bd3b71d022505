//! A whole disk, reduced to the few calls that a journal needs: one directory of files.
//!
//! The journal calls nothing else, holds no clock and starts no thread; whoever implements these two
//! traits decides what a write costs and what a crash leaves behind. [`FileDisk`](crate::FileDisk) is
//! the real one, [`MemDisk`](crate::MemDisk) the one that fails on purpose.

use std::io::{self, IoSlice};

/// One directory. Clones are handles to the same directory.
pub trait Disk: Clone {
    /// An open file of this disk.
    type File: DiskFile;

    /// Makes `name`, empty of whatever was there before, with `bytes` bytes of space that are the
    /// file's own and read as zeros. Fails with [`io::ErrorKind::StorageFull`] if there is no such
    /// space.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Self::File>;

    /// Opens `name` for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// The names of all files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives a file another name, replacing what bears it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every creation, rename and removal so far survive a crash.
    fn sync_dir(&self) -> io::Result<()>;
}

/// One open file.
pub trait DiskFile {
    /// Reads at `offset`; may read less than asked, zero only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all parts one after the other from `offset` on; all or an error. Grows the file if it must.
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// Makes what was written to this file, and its length, survive a crash (`fdatasync`).
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    fn bytes(&self) -> io::Result<u64>;

    /// Forgets what is cached of this file, so that the next read comes from the medium. After a sync that
    /// failed, the cache may show what the medium never got (`RELIABILITY` E2).
    fn forget_cached(&self) -> io::Result<()>;
}

/// Reads from `offset` until `buffer` is full or the file ends; gives the bytes read.
pub(crate) fn read_full(file: &impl DiskFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        let count = file.read_at(offset + done as u64, &mut buffer[done..])?;
        if count == 0 {
            break;
        }
        done += count;
    }
    Ok(done)
}
