//! Push, pull and mixed replication: adapters over any replicated log, and learners.
//!
//! [`Linked`] makes of a [`ReplicatedLog`](quorate_core::ReplicatedLog) another one whose links have a
//! [`Direction`](quorate_core::Direction), chosen by a config and changed while running
//! ([`Input::Direct`](quorate_core::Input::Direct)). [`Learner`] is a copy without a vote that pulls what is chosen.
//!
//! ```
//! use quorate_core::{
//!     Direction, Flow, Input, Instant, Life, Memory, NodeId, Outbox, ReplicatedLog,
//! };
//! use quorate_raft::{Raft, RaftConfig};
//! use quorate_replication::{LinkConfig, Linked};
//!
//! let ids = [1, 2, 3].map(NodeId);
//! let raft = RaftConfig::new(ids[0], &ids);
//! let config = LinkConfig::new(raft, ids[0], Life(1), &ids, Direction::Push);
//! let memory = Memory { records: &mut [].into_iter(), durable: 0.into(), snapshot: None, configuration: None };
//! let mut member = Linked::<Raft>::restore(config, Instant::ZERO, memory)?;
//!
//! // From here on member 3 is sent only what it asks for.
//! let order = Input::Direct { peer: Some(ids[2]), direction: Direction::Pull };
//! member.step(Instant::ZERO, order, &mut Outbox::new());
//! let flows: Vec<_> = member.links().iter().map(|link| link.flow).collect();
//! assert_eq!(flows, [Flow::Push, Flow::Pull]);
//! # Ok::<(), quorate_core::RestoreError>(())
//! ```
//!
//! # How it works
//!
//! **Credit.** The log holds what a peer lacks; it sends bulk as far as it has credit
//! ([`Credit::Only`](quorate_core::Credit::Only)), and control always. Who gives the credit is the whole difference: by push
//! the sender's window, by pull the receiver's grant.
//!
//! **Counters.** Every frame begins with a [`Head`]: how much the sender has sent, and of what it received, how much is done
//! (on its disk, or lost on the way) and how much more may come. All are cumulative and fenced by the runs of both ends,
//! so a lost, repeated, late or stale frame does no harm. The acknowledgement of the log travels in the same frame: it
//! is the next fetch.
//!
//! **Hollow messages.** By mixed, large bodies travel by another road: the message goes without them, the receiver borrows
//! them from any member that holds them, and gives the message to its log when it is whole.
//!
//! **Safety** is the log's own affair: messages are delayed, dropped, repeated and carried by another road, never altered or
//! invented. What the tests are about is that everything arrives in the end, and within the [`Budget`].
//!
//! # Invariants
//!
//! - Nothing is held for a peer beyond [`Budget::held_max`] and one message: a source keeps numbers, not entries.
//! - `done` is never beyond what is on this disk or known to be lost, in the order of arrival.
//! - Messages of bulk reach the log in the order in which they arrived, whichever of them had to wait for bodies.
//! - A body reaches the log only under its own label, with its own lengths and fingerprint.
//! - A learner holds, hands out and passes on nothing that is not chosen; no learner asks one with a higher id.
//! - An idle link is silent but for the log's own control.
//!
//! # Where to read
//!
//! | file | what it tells |
//! |---|---|
//! | `frame.rs` | the words, with a chart |
//! | `linked.rs` | the door, and what follows from every step |
//! | `sending.rs`, `source.rs`, `flight.rs`, `pace.rs` | the sending end: what may leave, and how much a link takes |
//! | `lag.rs` | who is behind |
//! | `receiving.rs`, `sink.rs` | the receiving end: what is done |
//! | `hollow.rs`, `carriers.rs`, `borrow.rs` | bodies: taken out, carried by others, found again |
//! | `feed.rs`, `learner/` | learners, and who feeds them |
//!
//! What each way costs, and which to choose when, is in `docs/replication.md`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod borrow;
mod carriers;
mod config;
mod feed;
mod flight;
mod frame;
mod hollow;
mod lag;
mod learner;
mod linked;
mod membership;
mod pace;
mod receiving;
mod sending;
mod sink;
mod source;

pub use config::{Budget, LinkConfig};
pub use frame::{Body, Frame, Head, Page, Pull, Void, Want};
pub use learner::{LearnedRecord, Learner, LearnerConfig};
pub use linked::Linked;
