//! What can go wrong with a snapshot.

use std::io;
use std::sync::Arc;

use quorate_core::{Position, SnapshotMeta};

use crate::error::is_full;

/// Why a snapshot cannot be written, read or received.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The disk failed.
    #[error("snapshot I/O failed: cannot {action} {file}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file, relative to the directory.
        file: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The disk is full. What was written of the snapshot is removed; it may be tried again later.
    #[error("the disk is full: cannot {action} {file}")]
    Full {
        /// What was attempted.
        action: &'static str,
        /// The file, relative to the directory.
        file: String,
    },
    /// What is on disk is not what was written.
    #[error("snapshot {file} is corrupt at byte {offset}: {why}")]
    Corrupt {
        /// The file, relative to the directory.
        file: String,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// There are snapshots, and none is sound.
    #[error("none of the {} snapshots is sound; the newest: {}", .0.len(), .0[0])]
    AllCorrupt(Vec<SnapshotError>),
    /// The snapshot was replaced by newer ones: whoever fetches it has to begin again with the newest.
    #[error("the snapshot at position {} is gone", .0.position)]
    Gone(SnapshotMeta),
    /// A newer snapshot is there already.
    #[error("a snapshot at position {newest} is there already, {position} is older")]
    Stale {
        /// Where the newest one is.
        newest: Position,
        /// Where this one would be.
        position: Position,
    },
    /// What was received is not the snapshot that was announced. It is removed.
    #[error("the snapshot received is not the one announced: {0}")]
    Mismatch(String),
    /// Chunks have 512 bytes to 16 MiB.
    #[error("chunk_bytes is {0}, allowed is 512 to 16777216")]
    ChunkBytes(u32),
}

impl SnapshotError {
    /// Whether the member has to stop: the disk failed, or the state is lost.
    pub const fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Io { .. } | Self::AllCorrupt(_) | Self::ChunkBytes(_)
        )
    }

    /// The process exit code of a member that stops for this reason, as in
    /// [`JournalError::exit_code`](crate::JournalError::exit_code).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. } | Self::Full { .. } => 74,
            Self::Corrupt { .. } | Self::AllCorrupt(_) | Self::Mismatch(_) => 65,
            Self::ChunkBytes(_) => 78,
            Self::Gone(_) | Self::Stale { .. } => 70,
        }
    }

    /// Names the file and the attempt of a failed disk call.
    pub(super) fn io(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let file = file.to_owned();
            if is_full(&source) {
                Self::Full { action, file }
            } else {
                let source = Arc::new(source);
                Self::Io {
                    action,
                    file,
                    source,
                }
            }
        }
    }

    pub(super) fn corrupt(file: &str, offset: u64, why: impl Into<String>) -> Self {
        Self::Corrupt {
            file: file.to_owned(),
            offset,
            why: why.into(),
        }
    }
}
