//! The vocabulary and the contracts of Quorate: replicated logs as deterministic state machines.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod batch;
mod codec;
mod gate;
mod id;
mod log;
mod machine;
mod quorum;
mod ranges;
mod replica;
mod rng;
mod snapshot;
mod time;
mod window;

pub use batch::{Batch, BatchBuilder, Label};
pub use codec::{Carry, DecodeError, Encoded, decode, encode};
pub use gate::Gate;
pub use id::{ClusterId, Epoch, Incarnation, Life, Mark, NodeId, Position, Ticket};
pub use log::{
    Committed, Credit, Input, Memory, Message, Outbox, Output, Record, Rejection, ReplicatedLog,
    RestoreError, RoleKind, Status,
};
pub use machine::{At, MalformedSnapshot, SnapshotSource, StateMachine};
pub use quorum::{Quorum, QuorumError};
pub use ranges::Ranges;
pub use replica::{
    Clock, Effect, Effects, Event, Failure, Image, Parcel, ReadLevel, Replica, ReplicaConfig,
    Restored,
};
pub use rng::Rng;
pub use snapshot::SnapshotMeta;
pub use time::{Instant, Timestamp};
pub use window::{Limit, Window};
