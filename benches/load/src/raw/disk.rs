//! A file written and synced in a loop.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file, written full of zeros before and synced, so that a write changes data and no table.
#[derive(Debug)]
pub struct RawFile {
    file: File,
    length: u64,
    at: u64,
}

impl RawFile {
    /// Makes it at `path`, of `length` bytes.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn create(path: &Path, length: u64) -> io::Result<Self> {
        let file = File::create(path)?;
        let zeros = vec![0; 1 << 20];
        let mut at = 0;
        while at < length {
            let part = (length - at).min(zeros.len() as u64);
            file.write_all_at(&zeros[..part as usize], at)?;
            at += part;
        }
        file.sync_all()?;
        Ok(Self {
            file,
            length,
            at: 0,
        })
    }

    /// Writes `bytes` behind those before, from the beginning again where they do not fit, and waits for
    /// `fdatasync`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.at + bytes.len() as u64 > self.length {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        self.file.sync_data()
    }
}
