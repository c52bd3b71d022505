//! The contract of what is replicated.

use core::fmt::{self, Debug};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Position, Timestamp};

/// A deterministic state machine: the same commands in the same order give the same state and replies.
///
/// Time and randomness reach it only through the log: [`At::time`] is log time, which never goes back and is the
/// same on every member. Reads need no method here: a driver hands out `&Self` when the state is fresh
/// enough for the level asked for.
pub trait StateMachine: Sized + Send + 'static {
    /// What a command answers.
    type Reply: Clone + Debug + Serialize + DeserializeOwned + Send + 'static;
    /// The state at one position, detached from the machine.
    type Snapshot: SnapshotSource;

    /// Carries out one command. A command that makes no sense answers so; it cannot fail.
    fn apply(&mut self, at: At, command: &[u8]) -> Self::Reply;

    /// Log time has advanced without a command: whatever expires by time, expires.
    fn advance(&mut self, _time: Timestamp) {}

    /// When log time should next advance even if no command comes: the earliest expiry.
    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    /// The state as of now, without stopping: taking it is cheap, reading it out happens elsewhere, while
    /// further commands are applied.
    fn snapshot(&self) -> Self::Snapshot;

    /// The state that a snapshot's stream describes, from its chunks in order.
    ///
    /// # Errors
    /// [`MalformedSnapshot`] if the stream is not one that [`SnapshotSource`] wrote.
    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot>;

    /// A fingerprint of the state: equal states give equal digests on every member. Cheap: it is kept up to date
    /// by `apply`, not computed here.
    fn digest(&self) -> u64;
}

/// Where and when a command is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The command's position in the log.
    pub position: Position,
    /// Log time: never goes back.
    pub time: Timestamp,
}

/// A snapshot as a stream of chunks, read out on whatever thread writes it.
pub trait SnapshotSource: Send + 'static {
    /// The next chunk of about `bytes_max` bytes (a chunk may be larger only if one indivisible item is); none at
    /// the end. Never empty.
    fn next_chunk(&mut self, bytes_max: usize) -> Option<Bytes>;
}

/// A stream that is not a snapshot of this state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedSnapshot(pub &'static str);

impl fmt::Display for MalformedSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed snapshot: {}", self.0)
    }
}

impl core::error::Error for MalformedSnapshot {}
