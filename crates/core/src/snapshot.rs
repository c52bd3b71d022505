//! What a snapshot is called: enough to fetch it, check it, and join the log behind it.

use serde::{Deserialize, Serialize};

use crate::{Epoch, Position};

/// The name of one complete, durable snapshot: the state after applying everything up to `position`.
///
/// Two members that took a snapshot at the same position hold the same state, but maybe not the same bytes;
/// `bytes` and `checksum` therefore belong to the name, so that a fetch continues only what it began
/// (`RELIABILITY` R25, C8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// The last position that the state includes.
    pub position: Position,
    /// The epoch in which the entry at `position` was proposed: what log matching needs there.
    pub epoch: Epoch,
    /// The length of the stream in bytes.
    pub bytes: u64,
    /// CRC-32C of the whole stream.
    pub checksum: u32,
}
