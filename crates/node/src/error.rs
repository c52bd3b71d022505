//! Why a member does not start, and why it ends.

use quorate_core::{DecodeError, MalformedSnapshot, Mark, NodeId, RestoreError, SnapshotMeta};
use quorate_journal::{JournalError, SnapshotError};
use quorate_transport::BindError;

use crate::config::ConfigError;

/// Why a member did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config cannot be meant.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The snapshots cannot be used.
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    /// A snapshot is whole, but not one of this state machine.
    #[error("snapshot at position {}: {why}", snapshot.position)]
    MalformedSnapshot {
        /// Which.
        snapshot: SnapshotMeta,
        /// What is wrong.
        why: MalformedSnapshot,
    },
    /// A record in the journal is whole, but not one of this protocol in this version.
    #[error("record {mark} in the journal of {dir} is not a record of this log: {source}")]
    Record {
        /// Where the journal is.
        dir: String,
        /// Which record.
        mark: Mark,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The records do not add up to a log.
    #[error("the journal of {dir} does not add up: {source}")]
    Restore {
        /// Where the journal is.
        dir: String,
        /// Why.
        source: RestoreError,
    },
    /// The address for other members cannot be listened at.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The machine gives no further thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// Code of the log or of the state machine panicked, or the runtime is shutting down.
    #[error("recovery did not finish: {0}")]
    Panicked(String),
}

impl StartError {
    /// The exit code for a process that is this member, after `sysexits.h`.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Bind(BindError::Config(_))
            | Self::Restore {
                source: RestoreError::Config(_),
                ..
            } => 78,
            Self::Journal(error) => error.exit_code(),
            Self::Snapshots(error) => error.exit_code(),
            Self::Record { .. } | Self::Restore { .. } | Self::MalformedSnapshot { .. } => 65,
            Self::Bind(BindError::Listen { .. }) => 69,
            Self::Thread(_) => 71,
            Self::Panicked(_) => 70,
        }
    }
}

/// Why a member ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stopped {
    /// It was asked to, or its last handle was dropped; all that was written is durable.
    #[error("stopped as asked")]
    Asked,
    /// Its journal failed (`RELIABILITY` E1).
    #[error(transparent)]
    Journal(JournalError),
    /// Its snapshots failed, likewise.
    #[error(transparent)]
    Snapshots(SnapshotError),
    /// A snapshot is whole, but not one of this state machine.
    #[error("snapshot at position {}: {why}", snapshot.position)]
    MalformedSnapshot {
        /// Which.
        snapshot: SnapshotMeta,
        /// What is wrong.
        why: MalformedSnapshot,
    },
    /// Another member has met this one with another disk: what was promised from that disk is forgotten, so this one must
    /// not speak under its name (`RELIABILITY` C7).
    #[error(
        "wiped: member {by} has met this member with another disk, and what it promised from that one is forgotten: \
         rejoin under a new id with --join"
    )]
    Wiped {
        /// Who says so.
        by: NodeId,
    },
    /// Its code panicked, or the runtime was shut down under it.
    #[error("the member's task ended before its time")]
    Aborted,
}

impl Stopped {
    /// The exit code for a process that is this member, after `sysexits.h`: 0 if it was asked to, 74 if the
    /// disk failed, 65 for what is not what was written, 66 if its disk is not the one that it had.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Asked => 0,
            Self::Journal(error) => error.exit_code(),
            Self::Snapshots(error) => error.exit_code(),
            Self::MalformedSnapshot { .. } => 65,
            Self::Wiped { .. } => 66,
            Self::Aborted => 70,
        }
    }
}
