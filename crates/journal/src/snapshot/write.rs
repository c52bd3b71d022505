//! Writing a snapshot: our own, or one that a peer sends.

use std::io::IoSlice;

use quorate_core::{Epoch, Position, SnapshotMeta};

use super::file::{CHUNK_HEADER, Header, SnapshotFile, chunk_header, footer, seed};
use super::{ENDING, PART_ENDING, SnapshotError, SnapshotStore};
use crate::disk::read_full;
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
    /// What is written stays for the next run, if it is not finished in this one.
    stays: bool,
}

impl<D: Disk> SnapshotWriter<D> {
    pub(super) fn begin(
        store: SnapshotStore<D>,
        position: Position,
        epoch: Epoch,
    ) -> Result<Self, SnapshotError> {
        let temp = store.temp();
        Self::begin_as(store, (position, epoch), temp, |disk, temp| {
            disk.create(temp, 0)
        })
    }

    /// Continues the file of this name, or begins it; either way it stays when this is dropped.
    fn continued(
        store: SnapshotStore<D>,
        meta: &SnapshotMeta,
        part: String,
        there: bool,
    ) -> Result<Self, SnapshotError> {
        let named = (meta.position, meta.epoch);
        let mut this = if there {
            Self::begin_as(store, named, part, D::open)?
        } else {
            Self::begin_as(store, named, part, |disk, part| disk.create(part, 0))?
        };
        this.stays = true;
        if there {
            this.take_up(meta.bytes)?;
        }
        Ok(this)
    }

    /// Takes what a former run has written, chunk by chunk, as far as it is whole. What is not synced is not believed less:
    /// the end syncs it all and reads it back. The end of the stream is left to come, so that something is.
    fn take_up(&mut self, bytes: u64) -> Result<(), SnapshotError> {
        let chunk = self.store.chunk as usize;
        let mut buffer = vec![0; CHUNK_HEADER + chunk];
        while self.meta.bytes + (chunk as u64) < bytes {
            let count = read_full(&self.file, self.offset, &mut buffer);
            let count = count.map_err(SnapshotError::io("read", &self.temp))?;
            let (head, data) = buffer.split_at(CHUNK_HEADER);
            let whole = count == buffer.len() && head == chunk_header(self.seed, self.chunks, data);
            if !whole {
                break;
            }
            self.meta.checksum = crc32c::crc32c_append(self.meta.checksum, data);
            self.meta.bytes += chunk as u64;
            self.offset += buffer.len() as u64;
            self.chunks += 1;
        }
        Ok(())
    }

    fn begin_as(
        store: SnapshotStore<D>,
        (position, epoch): (Position, Epoch),
        temp: String,
        open: impl FnOnce(&D, &str) -> std::io::Result<D::File>,
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
        let opened = open(&store.disk, &temp);
        let file = opened.map_err(SnapshotError::io("create", &temp))?;
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
            stays: false,
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
        if !self.stays {
            drop(self.store.disk.remove(&self.temp));
        }
    }
}

/// What a snapshot is called that has not come in full: by all that tells it from others.
fn part_name(meta: &SnapshotMeta) -> String {
    let SnapshotMeta {
        position,
        epoch,
        bytes,
        checksum,
    } = meta;
    let (round, node) = (epoch.round, epoch.node.0);
    format!(
        "{:016x}-{round:x}-{node:x}-{bytes:x}-{checksum:08x}{PART_ENDING}",
        position.0
    )
}

/// A snapshot that a peer sends in pieces. What has come of it stays when this is dropped, or the process ends, and the
/// next one of the same name goes on there.
pub struct Incoming<D: Disk> {
    writer: SnapshotWriter<D>,
    meta: SnapshotMeta,
}

impl<D: Disk> Incoming<D> {
    /// Begins to receive `meta`, or goes on where a former run has stopped.
    pub(super) fn begin(
        store: SnapshotStore<D>,
        meta: SnapshotMeta,
    ) -> Result<Self, SnapshotError> {
        let part = part_name(&meta);
        let names = store.disk.list();
        let names = names.map_err(SnapshotError::io("list", "the directory"))?;
        let parts = names.iter().filter(|name| name.ends_with(PART_ENDING));
        for other in parts.filter(|name| **name != part) {
            let removed = store.disk.remove(other);
            removed.map_err(SnapshotError::io("remove", other))?;
        }
        let there = names.contains(&part);
        let writer = SnapshotWriter::continued(store, &meta, part, there)?;
        Ok(Self { writer, meta })
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
            let written = self.writer.write(&bytes[(upto - offset) as usize..]);
            // A disk that is full gets its room back.
            self.writer.stays = written.is_ok();
            written?;
        }
        Ok(self.received_upto())
    }

    /// Compares the whole with what was announced and makes it visible, as [`SnapshotWriter::finish`] does.
    pub fn finish(mut self) -> Result<SnapshotMeta, SnapshotError> {
        // What is not what it ought to be is of no use to the next run either.
        self.writer.stays = false;
        let received = self.writer.meta;
        if received != self.meta {
            let why = format!("{received:?} instead of {:?}", self.meta);
            return Err(SnapshotError::Mismatch(why));
        }
        self.writer.finish()
    }
}
