//! The limits of a replica.

use core::time::Duration;

use super::HealthConfig;
use crate::{Life, NodeId};

/// Who a replica is, and its limits. Everything that waits in it is bounded by one of these (law 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// This member.
    pub id: NodeId,
    /// This run of it: higher than that of every run before.
    pub life: Life,
    /// How long a client's request may take; then a write ends as [`Failure::Unknown`](crate::Failure::Unknown)
    /// if it was ever handed to a leader, and as [`Failure::NotLeader`](crate::Failure::NotLeader) otherwise.
    pub request_timeout: Duration,
    /// How long to wait for an answer from another member before asking again; for writes it doubles each time.
    pub retry_interval: Duration,
    /// How long what is taken may wait for what was taken before, about: less is taken where it would be longer.
    pub queueing: Duration,
    /// What a refused client is told to wait at least, and what this member itself waits after a refusal.
    pub retry_after: Duration,
    /// Bytes of this member's clients' commands in the air.
    pub pending_bytes_max: u64,
    /// Commands, and reads, of this member's clients in the air.
    pub pending_max: usize,
    /// Bytes of one command.
    pub command_bytes_max: u64,
    /// Bytes at which gathered commands become a batch even within one turn.
    pub batch_bytes_max: u64,
    /// Bytes committed and not yet applied above which no further command is proposed here.
    pub backlog_bytes_max: u64,
    /// Bytes applied between two snapshots. The log keeps what two snapshots span.
    pub snapshot_every_bytes: u64,
    /// Bytes of one piece of a snapshot on the wire.
    pub chunk_bytes: u32,
    /// Members to which this one sends snapshots at once; others ask again, or elsewhere.
    pub snapshot_receivers_max: usize,
    /// Bytes of snapshots sent in a second, to all members together; zero: as many as they ask for.
    pub snapshot_bytes_per_second: u64,
    /// When a leader gives way by itself.
    pub health: HealthConfig,
}

impl ReplicaConfig {
    /// The defaults for this run of this member.
    pub const fn new(id: NodeId, life: Life) -> Self {
        Self {
            id,
            life,
            request_timeout: Duration::from_secs(5),
            retry_interval: Duration::from_secs(1),
            queueing: Duration::from_millis(250),
            retry_after: Duration::from_millis(50),
            pending_bytes_max: 64 << 20,
            pending_max: 64 * 1024,
            command_bytes_max: 8 << 20,
            batch_bytes_max: 256 << 10,
            backlog_bytes_max: 64 << 20,
            snapshot_every_bytes: 64 << 20,
            chunk_bytes: 256 << 10,
            snapshot_receivers_max: 4,
            snapshot_bytes_per_second: 0,
            health: HealthConfig::DEFAULT,
        }
    }
}
