//! Writing a snapshot: our own, or one that a peer sends.

use std::io::IoSlice;

use quorate_core::{Epoch, Position, SnapshotMeta};

use super::file::{Header, SnapshotFile, chunk_header, footer, seed};
use super::{ENDING, SnapshotError, SnapshotStore};
use crate::{Disk, DiskFile};

/// A snapshot that is being written. Dropped before it is [finished](Self::finish), it leaves nothing.
pub struct SnapshotWriter<D: Disk> {
    store: SnapshotStore<D>,
    file: D::File,
    temp: String,
    /// What is written so far; `bytes` includes what waits in `pending`.
    meta: SnapshotMeta,
    seed: u32,
    chunks: u32,
    offset: u64,
    pending: Vec<u8>,
}

impl<D: Disk> SnapshotWriter<D> {
    pub(super) fn begin(
        store: SnapshotStore<D>,
        position: Position,
        epoch: Epoch,
    ) -> Result<Self, SnapshotError> {
        if let Some(newest) = store.newest()
            && newest.position > position
        {
            return Err(SnapshotError::Stale {
                newest: newest.position,
                position,
            });
        }
        let header = Header {
            cluster: store.cluster,
            position,
            epoch,
            chunk: store.chunk,
        };
        let header = header.encode();
        let temp = store.temp();
        let file = store
            .disk
            .create(&temp, 0)
            .map_err(SnapshotError::io("create", &temp))?;
        let mut this = Self {
            file,
            temp,
            meta: SnapshotMeta {
                position,
                epoch,
                bytes: 0,
                checksum: 0,
            },
            seed: seed(&header),
            chunks: 0,
            offset: 0,
            pending: Vec::with_capacity(store.chunk as usize),
            store,
        };
        this.put(&[IoSlice::new(&header)])?;
        Ok(this)
    }

    /// Adds to the stream.
    ///
    /// # Errors
    /// [`SnapshotError::Full`] if the disk is full: drop the writer, which gives the room back.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), SnapshotError> {
        self.meta.checksum = crc32c::crc32c_append(self.meta.checksum, bytes);
        self.meta.bytes += bytes.len() as u64;
        let chunk = self.store.chunk as usize;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(chunk - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == chunk {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Completes the snapshot: synced, read back from the medium and checked as a whole, given its
    /// name, the directory synced. Only then is it the newest, and may the log before it be trimmed.
    pub fn finish(mut self) -> Result<SnapshotMeta, SnapshotError> {
        self.flush()?;
        let foot = footer(self.seed, self.meta.bytes, self.meta.checksum);
        self.put(&[IoSlice::new(&foot)])?;
        let temp = self.temp.clone();
        self.file.sync().map_err(SnapshotError::io("sync", &temp))?;
        self.file
            .forget_cached()
            .map_err(SnapshotError::io("forget the cache of", &temp))?;
        let disk = &self.store.disk;
        let written = SnapshotFile::<D>::open(disk, &temp, self.store.cluster)?;
        written.verify()?;
        if written.meta != self.meta {
            let why = "it is another snapshot than was written";
            return Err(SnapshotError::corrupt(&temp, 0, why));
        }
        let SnapshotMeta {
            position, checksum, ..
        } = self.meta;
        let name = format!("{:016x}-{checksum:08x}{ENDING}", position.0);
        disk.rename(&temp, &name)
            .map_err(SnapshotError::io("rename", &temp))?;
        disk.sync_dir()
            .map_err(SnapshotError::io("sync directory of", &name))?;
        self.store.keep(name, self.meta);
        Ok(self.meta)
    }

    fn flush(&mut self) -> Result<(), SnapshotError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let data = std::mem::take(&mut self.pending);
        let head = chunk_header(self.seed, self.chunks, &data);
        self.put(&[IoSlice::new(&head), IoSlice::new(&data)])?;
        self.chunks += 1;
        self.pending = data;
        self.pending.clear();
        Ok(())
    }

    fn put(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SnapshotError> {
        let written = self.file.write_at(self.offset, parts);
        written.map_err(SnapshotError::io("write", &self.temp))?;
        self.offset += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        Ok(())
    }
}

impl<D: Disk> Drop for SnapshotWriter<D> {
    fn drop(&mut self) {
        // After the rename there is no such file; on a disk that failed, the next start removes it.
        drop(self.store.disk.remove(&self.temp));
    }
}

/// A snapshot that a peer sends in pieces.
pub struct Incoming<D: Disk> {
    writer: SnapshotWriter<D>,
    meta: SnapshotMeta,
}

impl<D: Disk> Incoming<D> {
    pub(super) fn new(writer: SnapshotWriter<D>, meta: SnapshotMeta) -> Self {
        Self { writer, meta }
    }

    /// Which snapshot this is to become.
    pub fn meta(&self) -> SnapshotMeta {
        self.meta
    }

    /// How far the stream has been received without a gap: where to continue.
    pub fn received_upto(&self) -> u64 {
        self.writer.meta.bytes
    }

    /// Whether all of it has been received.
    pub fn is_complete(&self) -> bool {
        self.received_upto() == self.meta.bytes
    }

    /// Takes a piece of the stream and gives [`received_upto`](Self::received_upto). What is known
    /// already is skipped, what would leave a gap is not taken.
    ///
    /// # Errors
    /// [`SnapshotError::Mismatch`] if the piece goes beyond the end that was announced.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<u64, SnapshotError> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.meta.bytes {
            let why = format!("a piece ends at {end} of {} bytes", self.meta.bytes);
            return Err(SnapshotError::Mismatch(why));
        }
        let upto = self.received_upto();
        if offset <= upto && upto < end {
            self.writer.write(&bytes[(upto - offset) as usize..])?;
        }
        Ok(self.received_upto())
    }

    /// Compares the whole with what was announced and makes it visible, as [`SnapshotWriter::finish`] does.
    pub fn finish(self) -> Result<SnapshotMeta, SnapshotError> {
        let received = self.writer.meta;
        if received != self.meta {
            let why = format!("{received:?} instead of {:?}", self.meta);
            return Err(SnapshotError::Mismatch(why));
        }
        self.writer.finish()
    }
}
