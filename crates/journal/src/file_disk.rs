//! The real disk: one directory of the file system, locked against a second process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use rustix::io::Errno;

use crate::error::{At, JournalError};
use crate::{Disk, DiskFile};

/// Parts that one `pwritev` takes (Linux's `IOV_MAX`).
const PARTS_MAX: usize = 1024;

/// The file whose lock stands for the directory.
const LOCK: &str = "lock";

/// A directory of the file system. The first handle locks it; the lock goes with the last clone, or
/// with the process.
#[derive(Clone, Debug)]
pub struct FileDisk {
    dir: Arc<PathBuf>,
    lock: Option<Arc<File>>,
}

impl FileDisk {
    /// Opens `dir`, makes it if it is missing, and locks it for this process.
    ///
    /// # Errors
    /// [`JournalError::Locked`] if another process (or another handle of this one) holds it.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let dir = dir.into();
        let shown = dir.display().to_string();
        make_dir(&dir).at("create directory", &shown)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(LOCK))
            .at("open", LOCK)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(JournalError::Locked { dir: shown }),
            Err(error) => return Err(io::Error::from(error)).at("lock", LOCK),
        }
        Ok(Self {
            dir: Arc::new(dir),
            lock: Some(Arc::new(lock)),
        })
    }

    /// Looks at `dir` without locking or changing it: every call that would change something fails.
    pub fn read_only(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: Arc::new(dir.into()),
            lock: None,
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn writable(&self) -> io::Result<()> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }
}

/// Makes a directory and every missing parent, each one durable in the one above.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    make_dir(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    File::open(parent)?.sync_all()
}

impl Disk for FileDisk {
    type File = File;

    fn create(&self, name: &str, bytes: u64) -> io::Result<File> {
        self.writable()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.dir.join(name))?;
        if bytes > 0 {
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
                // No such call on this file system: the length at least is there, and the journal writes
                // every byte of a segment before it relies on it.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(bytes)?,
                other => other?,
            }
        }
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(self.lock.is_some())
            .open(self.dir.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&*self.dir)? {
            // Names that are no UTF-8 are not the journal's.
            if let Ok(name) = entry?.file_name().into_string()
                && name != LOCK
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.writable()?;
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.writable()?;
        File::open(&*self.dir)?.sync_all()
    }
}

impl DiskFile for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_at(&self, mut offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut parts = parts.to_vec();
        let mut rest = &mut parts[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let some = &rest[..rest.len().min(PARTS_MAX)];
            match rustix::io::pwritev(self, some, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn bytes(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn forget_cached(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(self, 0, None, Advice::DontNeed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_handle_on_the_directory_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("a/b");
        let first = FileDisk::open(&path).expect("first");
        let clone = first.clone();
        drop(first);
        let second = FileDisk::open(&path).expect_err("a clone still holds the lock");
        assert!(matches!(second, JournalError::Locked { .. }), "{second}");
        assert_eq!(second.exit_code(), 78);
        drop(clone);
        FileDisk::open(&path).expect("the lock went with the last clone");
    }

    #[test]
    fn a_write_of_more_parts_than_the_kernel_takes_arrives_whole() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let disk = FileDisk::open(dir.path()).expect("open");
        let file = disk.create("x", 10).expect("create");
        let bytes: Vec<u8> = (0..5000u32).map(|i| i as u8).collect();
        let parts: Vec<IoSlice<'_>> = bytes.chunks(2).map(IoSlice::new).collect();
        DiskFile::write_at(&file, 7, &parts).expect("write");
        let mut back = vec![1; 5007];
        assert_eq!(
            crate::disk::read_full(&file, 0, &mut back).expect("read"),
            5007
        );
        assert_eq!(back[..7], [0; 7]);
        assert_eq!(back[7..], bytes);
    }

    #[test]
    fn a_read_only_disk_changes_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        FileDisk::open(dir.path())
            .expect("open")
            .create("x", 1)
            .expect("create");
        let disk = FileDisk::read_only(dir.path());
        assert_eq!(disk.list().expect("list"), ["x"]);
        assert!(disk.create("y", 0).is_err());
        assert!(disk.remove("x").is_err());
        assert!(disk.rename("x", "y").is_err());
        let file = disk.open("x").expect("open");
        assert!(DiskFile::write_at(&file, 0, &[IoSlice::new(b"1")]).is_err());
    }
}
