//! The vocabulary and the contracts of Quorate: replicated logs as deterministic state machines.
//!
//! - [`ReplicatedLog`]: one member's share of a replicated log. One door in ([`Input`]), one door out
//!   ([`Output`]), eight laws. Raft and Multi-Paxos are two of them.
//! - [`StateMachine`]: what is replicated.
//! - [`Replica`]: a log and a state machine, with clients' writes and reads, at-most-once, log time and snapshots
//!   in between. This is what a driver runs; the tokio node and a simulator run the very same one.
//! - the vocabulary that protocols share: [`Batch`], [`Quorum`], [`Gate`], [`Window`], [`Ranges`], [`Rng`],
//!   [`Epoch`], [`Mark`], and the codec ([`encode`], [`decode`]).
//!
//! Nothing here does any I/O, reads a clock, starts a thread or draws randomness of its own.
//!
//! # What is replicated
//! A state machine is the only thing that most users write:
//!
//! ```
//! use bytes::Bytes;
//! use quorate_core::{At, MalformedSnapshot, Position, SnapshotSource, StateMachine, Timestamp};
//!
//! /// Adds up what it is told.
//! #[derive(Default)]
//! struct Counter(u64);
//!
//! /// The sum in one chunk.
//! struct Sum(Option<Bytes>);
//!
//! impl SnapshotSource for Sum {
//!     fn next_chunk(&mut self, _bytes_max: usize) -> Option<Bytes> {
//!         self.0.take()
//!     }
//! }
//!
//! impl StateMachine for Counter {
//!     type Reply = u64;
//!     type Snapshot = Sum;
//!
//!     fn apply(&mut self, _at: At, command: &[u8]) -> u64 {
//!         self.0 += command.iter().map(|byte| u64::from(*byte)).sum::<u64>();
//!         self.0
//!     }
//!
//!     fn snapshot(&self) -> Sum {
//!         Sum(Some(Bytes::copy_from_slice(&self.0.to_le_bytes())))
//!     }
//!
//!     fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
//!         let sum = chunks.next().ok_or(MalformedSnapshot("no sum"))?;
//!         let sum = sum[..].try_into().map_err(|_| MalformedSnapshot("the sum has eight bytes"))?;
//!         Ok(Self(u64::from_le_bytes(sum)))
//!     }
//!
//!     fn digest(&self) -> u64 {
//!         self.0
//!     }
//! }
//!
//! let mut counter = Counter::default();
//! let at = At { position: Position(1), time: Timestamp(0) };
//! assert_eq!(counter.apply(at, &[1, 2, 3]), 6);
//!
//! let mut snapshot = counter.snapshot();
//! counter.apply(At { position: Position(2), ..at }, &[4]);
//! let mut chunks = std::iter::from_fn(|| snapshot.next_chunk(1024));
//! assert_eq!(Counter::restore(&mut chunks)?.digest(), 6);
//! # Ok::<(), MalformedSnapshot>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod ack;
mod batch;
mod codec;
mod configuration;
mod durability;
mod gate;
mod id;
mod link;
mod log;
mod machine;
mod policy;
mod quorum;
mod ranges;
mod replica;
mod report;
mod rng;
mod search;
mod session;
mod snapshot;
mod time;
mod window;

pub use ack::{UnknownWriteAck, WriteAck};
pub use batch::{Batch, BatchBuilder, Hollow, Kind, Label};
pub use codec::{Carry, DecodeError, Encoded, decode, encode};
pub use configuration::{Change, ChangeError, Configuration, Member, Standing, Wish};
pub use durability::{Durability, UnknownDurability};
pub use gate::Gate;
pub use id::{ClusterId, Epoch, Incarnation, Life, Mark, NodeId, Position, SessionId, Ticket};
pub use link::{Direction, Flow, LinkEvent, LinkReason, LinkStatus, UnknownDirection};
pub use log::{
    Committed, Credit, Input, Memory, Message, Outbox, Output, PeerStatus, Record, Rejection,
    ReplicatedLog, RestoreError, RoleKind, Status,
};
pub use machine::{At, MalformedSnapshot, SnapshotSource, StateMachine};
pub use policy::{Policy, PolicyError, Protocol};
pub use quorum::{Quorum, QuorumError};
pub use ranges::Ranges;
pub use replica::{
    Clock, Effect, Effects, Event, Failure, HandOverAnswer, HandOverReason, Health, HealthConfig,
    Image, Parcel, ReadCall, ReadLevel, ReadStamp, Replica, ReplicaConfig, Rest, Restored,
    UnknownReadLevel, WishAnswer,
};
pub use report::{Report, Unfit};
pub use rng::Rng;
pub use search::partition_from_end;
pub use session::{SessionCall, SessionError};
pub use snapshot::SnapshotMeta;
pub use time::{Instant, Timestamp};
pub use window::{Limit, Window};
