//! Multi-Paxos, from scratch, as a deterministic replicated log.
//!
//! [`Paxos`] is one member's share: a pure state machine behind
//! [`ReplicatedLog`](quorate_core::ReplicatedLog). It does no I/O, reads no clock and draws no randomness of its own.
//!
//! # The protocol, top-down
//! A log is a row of **slots**, each decided by one instance of Paxos. A member is four agents at once, and this type is
//! their product, not a choice between roles:
//!
//! - The **acceptor** has a memory of two things: the ballot it *promised*, one for all slots, and for each slot what it
//!   last *accepted* and in which ballot. A [`Ballot`] is a round and a member, totally ordered and never used twice.
//! - The **proposer** bids with a ballot above all it knows. Phase 1 asks the acceptors to promise it, for all open slots
//!   at once, and to say what they accepted there. When a quorum has, the proposer may propose in every slot for as
//!   long as its ballot lasts: where somebody accepted something, the value of the highest ballot (it may be chosen
//!   already); where nobody did, what it likes. Phase 2 asks to accept, slot by slot, in any order.
//! - The **learner** counts: a value that a phase 2 quorum accepted in one ballot is *chosen*, for ever. Slots are chosen
//!   in any order; a slot that is not while later ones are is a *hole*. What is handed out has no holes.
//! - The **elector** picks who ought to bid. Safety does not rest on it.
//!
//! # Laws
//! 1. A promise is on disk before any word of its ballot leaves, the proposer's own too. An acceptance is acknowledged
//!    when it is on disk, and the proposer counts its own no sooner.
//! 2. Every phase 1 quorum shares a member with every phase 2 quorum. [`PaxosConfig`] refuses sizes that need not.
//! 3. A slot that was forgotten is answered with a snapshot, never with silence that looks like "nothing accepted".
//! 4. "Chosen up to *n*" is believed of slots that are held in the very ballot of who says so.
//! 5. One ballot, one slot, one value. A second one is a bug here or a broken peer there: an assertion here, an ignored
//!    message ([`Paxos::anomalies`]) there.
//!
//! # A run, complete
//! Three members in one thread. A disk is a queue of marks, the network another queue.
//!
//! ```
//! use quorate_core::{
//!     Batch, Input, Instant, Label, Memory, NodeId, Outbox, Output, ReplicatedLog, RoleKind, Ticket,
//! };
//! use quorate_paxos::{Paxos, PaxosConfig};
//!
//! let ids = [1, 2, 3].map(NodeId);
//! let mut now = Instant::ZERO;
//! let mut members = ids.map(|id| {
//!     let memory = Memory { records: &mut [].into_iter(), durable: 0.into(), snapshot: None, configuration: None };
//!     Paxos::restore(PaxosConfig::new(id, &ids), now, memory).expect("an empty memory")
//! });
//!
//! // What has still to happen, and to whom.
//! let mut agenda = std::collections::VecDeque::new();
//! let mut handed_out = [0, 0, 0];
//! let mut proposed = false;
//! while handed_out != [1, 1, 1] {
//!     let (member, input) = agenda.pop_front().unwrap_or_else(|| {
//!         // Nothing to do: the clock goes on to the next deadline.
//!         let due = |index: &usize| members[*index].deadline();
//!         let next = (0..3).min_by_key(due).expect("three members");
//!         now = now.max(members[next].deadline().expect("it has peers"));
//!         (next, Input::Tick)
//!     });
//!     let mut out = Outbox::new();
//!     members[member].step(now, input, &mut out);
//!     if !proposed && members[member].status().role == RoleKind::Leader {
//!         let batch = Batch::one(Label::default(), "hello".into());
//!         agenda.push_back((member, Input::Propose { ticket: Ticket(1), batch }));
//!         proposed = true;
//!     }
//!     for output in out.drain() {
//!         match output {
//!             // A real driver writes the record first.
//!             Output::Persist { mark, .. } => {
//!                 agenda.push_back((member, Input::Durable { upto: mark }));
//!             }
//!             Output::Send { to, message } => {
//!                 let from = ids[member];
//!                 agenda.push_back((to.get() as usize - 1, Input::Receive { from, message }));
//!             }
//!             Output::Commit(run) => {
//!                 assert_eq!(run.batch.command(0), b"hello");
//!                 handed_out[member] += run.batch.len();
//!             }
//!             other => panic!("{other:?} does not happen here"),
//!         }
//!     }
//! }
//! ```
//!
//! Sources: Lamport, *The Part-Time Parliament* (1998) and *Paxos Made Simple* (2001); Chandra, Griesemer, Redstone,
//! *Paxos Made Live* (2007); van Renesse, Altinbuken, *Paxos Made Moderately Complex* (2015); Howard, Malkhi, Spiegelman,
//! *Flexible Paxos* (2016); Ng, Haridi, Carbone, *Omni-Paxos* (2023). What is built, and how it compares with Raft, is in
//! `docs/paxos.md`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod acceptor;
mod ballot;
mod config;
mod disk;
mod elector;
mod following;
mod leading;
mod learner;
mod lease;
mod message;
#[cfg(test)]
mod model_tests;
mod paxos;
mod peer;
mod proposer;
mod reads;
mod reconfiguring;
mod record;
mod restore;
mod roster;
mod safe_value;
mod slots;
mod snapshots;
mod transfer;

pub use ballot::{Ballot, Value, Vote};
pub use config::{ConfigError, PaxosConfig, Quorums};
pub use lease::Lease;
pub use message::{Accepted, Message, Offer, Promise};
pub use paxos::Paxos;
pub use record::Record;
