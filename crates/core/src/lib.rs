//! The vocabulary and the contracts of Quorate: replicated logs as deterministic state machines.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod id;
mod snapshot;
mod time;

pub use id::{ClusterId, Epoch, Incarnation, Life, Mark, NodeId, Position, Ticket};
pub use snapshot::SnapshotMeta;
pub use time::{Instant, Timestamp};
