//! What can go wrong, sorted by what the operator has to do about it.

use std::io;
use std::sync::Arc;

use quorate_core::{ClusterId, Mark, NodeId};

/// Why the journal refuses. The same error is handed out again and again once it is fatal.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed. Nothing is acknowledged any more, and nothing is tried again (`RELIABILITY` E1).
    #[error("journal I/O failed: cannot {action} {file}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file, relative to the journal's directory.
        file: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// What is on disk is not what was written. Nothing was cut, nothing was skipped (`RELIABILITY` C3).
    #[error(
        "journal is corrupt: {file} at byte {offset}{}: {why}; refusing to start, nothing was changed there: \
         restore this member from its peers as a new incarnation, or the file from a copy",
        match mark { Some(mark) => format!(" (mark {mark})"), None => String::new() }
    )]
    Corrupt {
        /// The file, relative to the journal's directory.
        file: String,
        /// Where in the file the damage begins, in bytes.
        offset: u64,
        /// The record that should stand there, if it is a record.
        mark: Option<Mark>,
        /// What is wrong with it.
        why: String,
    },
    /// A file was written by a version of the format that this program does not know.
    #[error("{file} has format version {found}, this program reads up to version {known}")]
    Version {
        /// The file, relative to the journal's directory.
        file: String,
        /// The version it names.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The directory belongs to another member or another cluster (`RELIABILITY` C7).
    #[error(
        "the directory belongs to member {found_member} of cluster {found_cluster}, \
         configured is member {member} of cluster {cluster}"
    )]
    WrongIdentity {
        /// The configured cluster.
        cluster: ClusterId,
        /// The configured member.
        member: NodeId,
        /// The cluster on disk.
        found_cluster: ClusterId,
        /// The member on disk.
        found_member: NodeId,
    },
    /// The directory holds no journal and the caller did not allow to make one.
    #[error(
        "there is no journal here, and this member is expected to have one: \
         a member whose disk was lost joins as a new incarnation"
    )]
    Missing,
    /// Another process holds the directory.
    #[error("{dir} is in use by another process")]
    Locked {
        /// The directory.
        dir: String,
    },
    /// The configuration makes no sense.
    #[error("journal configuration: {0}")]
    Config(String),
    /// A record is larger than the configuration allows. Nothing was queued.
    #[error("a record of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Its payload.
        bytes: u64,
        /// The limit of [`JournalConfig::record_bytes_max`](crate::JournalConfig::record_bytes_max).
        limit: u64,
    },
    /// Marks rise by one; this one does not. Nothing was queued.
    #[error("the next mark is {expected}, not {found}")]
    OutOfOrder {
        /// The mark that is next.
        expected: Mark,
        /// The mark given.
        found: Mark,
    },
    /// The disk is full: no spare segment could be made, and what is left is reserved for small records
    /// (`RELIABILITY` E3). Nothing was queued; it may be tried again after
    /// [`Journal::make_room`](crate::Journal::make_room).
    #[error("no room for a record of {bytes} bytes: the disk is full")]
    NoRoom {
        /// What the record takes on disk.
        bytes: u64,
    },
}

impl JournalError {
    /// Whether the journal is done for: it answers every later call with this error, and the member has
    /// to stop.
    pub const fn is_fatal(&self) -> bool {
        !matches!(
            self,
            Self::TooLarge { .. } | Self::OutOfOrder { .. } | Self::NoRoom { .. }
        )
    }

    /// The process exit code of a member that stops for this reason: 74 for the disk, 65 for data that is
    /// not what was written, 78 for configuration, 70 for a bug of the caller.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. } | Self::NoRoom { .. } => 74,
            Self::Corrupt { .. } | Self::Version { .. } => 65,
            Self::WrongIdentity { .. } | Self::Missing | Self::Locked { .. } | Self::Config(_) => {
                78
            }
            Self::TooLarge { .. } | Self::OutOfOrder { .. } => 70,
        }
    }

    pub(crate) fn corrupt(
        file: &str,
        offset: u64,
        mark: Option<Mark>,
        why: impl Into<String>,
    ) -> Self {
        Self::Corrupt {
            file: file.to_owned(),
            offset,
            mark,
            why: why.into(),
        }
    }
}

/// Names the file and the attempt of a failed disk call.
pub(crate) trait At<T> {
    fn at(self, action: &'static str, file: &str) -> Result<T, JournalError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, file: &str) -> Result<T, JournalError> {
        self.map_err(|source| JournalError::Io {
            action,
            file: file.to_owned(),
            source: Arc::new(source),
        })
    }
}

/// Whether a failed call means that the disk is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
