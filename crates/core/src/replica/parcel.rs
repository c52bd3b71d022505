//! What replicas say to each other.

use serde::{Deserialize, Serialize};

use super::{Health, Rest};
use crate::{Batch, Carry, Epoch, Message, Position, Rejection, SnapshotMeta};

/// What replicas say to each other: the log's own messages and, beside them, what any log needs around it.
///
/// Numbers of attempts and rounds begin at the sender's [`Life`](crate::Life), so that an answer to a former life
/// never matches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Parcel<M> {
    /// A message of the log.
    Log(M),
    /// Commands of the sender's clients, for the leader to propose.
    Forward {
        /// The epoch in which the sender believes that the receiver leads.
        epoch: Epoch,
        /// Rises with every forward of this sender: the receiver takes none twice, nor an older one after a newer.
        attempt: u64,
        /// The commands.
        batch: Batch,
    },
    /// The commands of a forward were refused: this attempt had and will have no effect.
    Refused {
        /// Which.
        attempt: u64,
        /// Why.
        why: Rejection,
    },
    /// From which position on is a read linearizable that begins now?
    ReadAt {
        /// Echoed in the answer.
        round: u64,
        /// Whether a leader's lease is enough for the answer.
        lease: bool,
    },
    /// The answer to [`Parcel::ReadAt`].
    ReadFrom {
        /// The question.
        round: u64,
        /// Whether it was answered by the leader's lease alone.
        leased: bool,
        /// The position, or why not.
        answer: Result<Position, Rejection>,
    },
    /// Send this piece of a snapshot.
    ChunkRequest {
        /// Which.
        snapshot: SnapshotMeta,
        /// From which byte on.
        offset: u64,
        /// How many bytes at most.
        length: u32,
    },
    /// A piece of a snapshot.
    Chunk {
        /// Which.
        snapshot: SnapshotMeta,
        /// From which byte on.
        offset: u64,
        /// The bytes as the one command of a batch; none: the sender does not have that snapshot.
        data: Option<Batch>,
    },
    /// So is the sender, a voter, as it measures itself; how long the answer takes is the length of the way.
    Health {
        /// Echoed in the answer.
        round: u64,
        /// How it is.
        health: Health,
        /// How long leadership has to rest where it is.
        rest: Rest,
    },
    /// The answer to [`Parcel::Health`], of the same kind.
    HealthSeen {
        /// The question.
        round: u64,
        /// How the sender is.
        health: Health,
        /// How long leadership has to rest where it is.
        rest: Rest,
    },
}

impl<M: Message> Parcel<M> {
    /// Whether it carries entries or state, and so must never stand before votes and heartbeats in a queue.
    pub fn is_bulk(&self) -> bool {
        match self {
            Self::Log(message) => message.is_bulk(),
            Self::Forward { .. } | Self::Chunk { .. } => true,
            Self::Refused { .. }
            | Self::ReadAt { .. }
            | Self::ReadFrom { .. }
            | Self::ChunkRequest { .. }
            | Self::Health { .. }
            | Self::HealthSeen { .. } => false,
        }
    }
}

impl<M: Carry> Carry for Parcel<M> {
    fn batches(&self, visit: &mut dyn FnMut(&Batch)) {
        match self {
            Self::Log(message) => message.batches(visit),
            Self::Forward { batch, .. }
            | Self::Chunk {
                data: Some(batch), ..
            } => visit(batch),
            _ => {}
        }
    }

    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch)) {
        match self {
            Self::Log(message) => message.batches_mut(visit),
            Self::Forward { batch, .. }
            | Self::Chunk {
                data: Some(batch), ..
            } => visit(batch),
            _ => {}
        }
    }
}
