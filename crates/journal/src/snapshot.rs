//! Snapshots as files beside the segments: written under a temporary name, synced, read back, and only then
//! given their name; the newest and one older are kept.

mod error;
mod file;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quorate_core::{ClusterId, Epoch, Position, SnapshotMeta};

use crate::Disk;
use file::SnapshotFile;

pub use error::SnapshotError;
pub use file::SnapshotChunks;
pub use write::{Incoming, SnapshotWriter};

/// The usual size of a snapshot's chunks.
pub const CHUNK_BYTES: u32 = 256 << 10;
/// The largest chunk: what a reader allocates before it knows whether the file is sound.
const CHUNK_BYTES_MAX: u32 = 16 << 20;

const ENDING: &str = ".snapshot";
const PART_ENDING: &str = ".snapshot.part";
const TEMP_ENDING: &str = ".snapshot.tmp";
/// How many snapshots are kept: the newest and one older (`RELIABILITY` D6).
const KEPT: usize = 2;

/// Whether a file of this name is a complete snapshot.
pub(crate) fn is_snapshot(name: &str) -> bool {
    name.ends_with(ENDING)
}

/// The snapshots in a directory. Clones are handles to the same store, to be used from several threads; one
/// directory has one store.
#[derive(Clone)]
pub struct SnapshotStore<D: Disk> {
    disk: D,
    cluster: ClusterId,
    chunk: u32,
    index: Arc<Mutex<Index>>,
}

/// What is there, newest first.
#[derive(Default)]
struct Index {
    kept: Vec<Kept>,
    /// What stays beside.
    held: Vec<SnapshotMeta>,
    temps: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    name: String,
    meta: SnapshotMeta,
}

/// What was found when the store was opened.
#[derive(Clone, Debug, Default)]
pub struct SnapshotsFound {
    /// The newest sound snapshot.
    pub newest: Option<SnapshotMeta>,
    /// What was wrong with those that are not sound, the newest first.
    pub corrupt: Vec<SnapshotError>,
}

impl<D: Disk> SnapshotStore<D> {
    /// Opens the store: removes what was abandoned, and checks the newest snapshot as a whole; if it is not
    /// sound, the older one.
    ///
    /// # Errors
    /// [`SnapshotError::AllCorrupt`] if there are snapshots and none is sound: the caller must not start as
    /// though there were none (`RELIABILITY` C8).
    pub fn open(
        disk: D,
        cluster: ClusterId,
        chunk_bytes: u32,
    ) -> Result<(Self, SnapshotsFound), SnapshotError> {
        if !(512..=CHUNK_BYTES_MAX).contains(&chunk_bytes) {
            return Err(SnapshotError::ChunkBytes(chunk_bytes));
        }
        let this = Self {
            disk,
            cluster,
            chunk: chunk_bytes,
            index: Arc::default(),
        };
        let names = this
            .disk
            .list()
            .map_err(SnapshotError::io("list", "the directory"))?;
        for temp in names.iter().filter(|name| name.ends_with(TEMP_ENDING)) {
            this.disk
                .remove(temp)
                .map_err(SnapshotError::io("remove", temp))?;
        }
        if names.iter().any(|name| is_snapshot(name)) {
            // Its writer may have died before the directory was synced: then only the cache knows the name, and what
            // is forgotten because of the snapshot would be gone with it (`RELIABILITY` D4, E2).
            this.disk
                .sync_dir()
                .map_err(SnapshotError::io("sync", "the directory"))?;
        }
        let mut found = SnapshotsFound::default();
        for name in names.iter().rev().filter(|name| is_snapshot(name)) {
            match this.inspect(name, found.newest.is_none()) {
                Ok(meta) => {
                    found.newest = found.newest.or(Some(meta));
                    let name = name.clone();
                    this.lock().kept.push(Kept { name, meta });
                }
                Err(error) => {
                    tracing::error!(%error, "a snapshot is not sound");
                    found.corrupt.push(error);
                }
            }
        }
        if found.newest.is_none() && !found.corrupt.is_empty() {
            return Err(SnapshotError::AllCorrupt(found.corrupt));
        }
        Ok((this, found))
    }

    /// The name of the snapshot in a file, checked as a whole or only at its ends.
    fn inspect(&self, name: &str, whole: bool) -> Result<SnapshotMeta, SnapshotError> {
        let file = SnapshotFile::<D>::open(&self.disk, name, self.cluster)?;
        if whole {
            file.verify()?;
        }
        Ok(file.meta)
    }

    /// The newest snapshot.
    pub fn newest(&self) -> Option<SnapshotMeta> {
        self.lock().kept.first().map(|kept| kept.meta)
    }

    /// All snapshots kept, newest first.
    pub fn list(&self) -> Vec<SnapshotMeta> {
        self.lock().kept.iter().map(|kept| kept.meta).collect()
    }

    /// From now on these stay, too, however old they are: others are fetching them.
    pub fn hold(&self, held: Vec<SnapshotMeta>) {
        self.lock().held = held;
    }

    /// Begins a snapshot of the state at `position`.
    ///
    /// # Errors
    /// [`SnapshotError::Stale`] if a newer one is there, [`SnapshotError::Full`] if the disk is full.
    pub fn write(
        &self,
        position: Position,
        epoch: Epoch,
    ) -> Result<SnapshotWriter<D>, SnapshotError> {
        SnapshotWriter::begin(self.clone(), position, epoch)
    }

    /// Begins to receive the snapshot `meta` from a peer, or goes on where a former run has stopped; what was received of
    /// any other is given up.
    pub fn receive(&self, meta: SnapshotMeta) -> Result<Incoming<D>, SnapshotError> {
        Incoming::begin(self.clone(), meta)
    }

    /// The stream of a snapshot, one checked chunk after the other.
    pub fn read(&self, meta: &SnapshotMeta) -> Result<SnapshotChunks<D>, SnapshotError> {
        Ok(SnapshotChunks::new(self.file(meta)?))
    }

    /// `len` bytes of the stream from `offset` on, fewer at its end, none behind it. All chunks that it
    /// touches are checked.
    pub fn read_chunk(
        &self,
        meta: &SnapshotMeta,
        offset: u64,
        len: usize,
    ) -> Result<Bytes, SnapshotError> {
        self.file(meta)?.range(offset, len)
    }

    fn file(&self, meta: &SnapshotMeta) -> Result<SnapshotFile<D>, SnapshotError> {
        let name = {
            let index = self.lock();
            let kept = index.kept.iter().find(|kept| kept.meta == *meta);
            kept.ok_or(SnapshotError::Gone(*meta))?.name.clone()
        };
        match SnapshotFile::open(&self.disk, &name, self.cluster) {
            // It was replaced between the two.
            Err(SnapshotError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Err(SnapshotError::Gone(*meta))
            }
            other => other,
        }
    }

    /// Adds a durable snapshot to the index and removes what is not kept.
    fn keep(&self, name: String, meta: SnapshotMeta) {
        let mut index = self.lock();
        index
            .kept
            .retain(|kept| kept.meta.position != meta.position);
        index.kept.insert(0, Kept { name, meta });
        index
            .kept
            .sort_by_key(|kept| std::cmp::Reverse(kept.meta.position));
        let Index { kept, held, .. } = &mut *index;
        let mut rank = 0;
        kept.retain(|kept| {
            rank += 1;
            rank <= KEPT || held.contains(&kept.meta)
        });
        let names = self.disk.list().unwrap_or_default();
        for name in names.iter().filter(|name| is_snapshot(name)) {
            if index.kept.iter().any(|kept| kept.name == *name) {
                continue;
            }
            // What stays is only wasted room: the next snapshot tries again.
            if let Err(error) = self.disk.remove(name) {
                tracing::warn!(%error, name, "cannot remove an old snapshot");
            }
        }
    }

    /// A temporary name that no other writer of this store has.
    fn temp(&self) -> String {
        let mut index = self.lock();
        index.temps += 1;
        format!("{:x}{TEMP_ENDING}", index.temps)
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
