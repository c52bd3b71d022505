//! Raft, from scratch, as a deterministic replicated log.
//!
//! [`Raft`] is one member. It implements [`ReplicatedLog`](quorate_core::ReplicatedLog): what happens goes in through
//! [`step`](quorate_core::ReplicatedLog::step), what is to be done comes out, and it neither waits nor fails in
//! between. It has no clock, no thread, no socket and no file.
//!
//! # The protocol, from the top
//!
//! **One leader a term.** Time is cut into [`Term`]s. In each, every voter gives at most one vote, and a quorum makes a
//! leader; so there is at most one. A member that hears no leader for a random time first asks whether it *would* be
//! elected ([`Message::PreVote`]); only then does it enter the next term, vote for itself, and ask in earnest
//! ([`Message::RequestVote`]). Whoever hears a leader does not help to depose it. A leader that hears no quorum steps
//! down by itself.
//!
//! **One log, the leader's.** The leader appends what is proposed and sends it on at once ([`Append`]); its own disk and
//! those of its followers write at the same time. An append names the entry before it ([`Point`]): a follower takes it
//! only if it has that entry, so two logs that agree in one point agree in all before it. Where a follower's log says
//! something else, it answers with a hint, and the leader goes back to where both agree: one round trip for whole terms,
//! not for single entries. What the leader no longer has, it replaces by the offer of a snapshot.
//!
//! **Chosen is what a quorum has on disk.** Followers acknowledge what is on their disks ([`Message::Accepted`]), the
//! leader counts itself by the same measure, and what a quorum has is committed: but only up to an entry of the leader's
//! own term, which is why each term begins with a no-op. A vote goes only to a log that is at least as complete as the
//! voter's, so every later leader has all that was ever committed.
//!
//! **Reads without the log.** A leader that has committed in its term answers a read from its commit, once a round of
//! heartbeats begun after the read shows that a quorum still follows it.
//!
//! **Members change in the log.** Who votes is an entry like any other, in force as soon as it is in the log. From one set of
//! voters to another the way leads through a configuration that needs majorities of both. A leader can hand over
//! ([`Message::TimeoutNow`]), and may answer reads by a [`Lease`] if clocks can be trusted.
//!
//! # Invariants
//!
//! - Term and vote are one record. Nothing is said in a term before that record is on disk: [`Message`]s wait in a
//!   gate, and an assertion that is alive in release builds stands where they leave it.
//! - `matched` in an acknowledgement is never beyond what is on the sender's disk. Durability is known by the mark of
//!   the write, never by position and term, so a late completion cannot confirm what replaced the entry.
//! - What was committed is never cut (asserted), and an append that agrees with the log never cuts anything.
//! - A follower's commit never passes the last entry that it has checked against this leader's log.
//! - Appending is all that a leader does to its own log.
//! - The configuration in force is the last one in the log; it goes and comes with its entry. A leader appends another only when
//!   that one is chosen, and something of its own term.
//! - A vote, an acknowledgement, an answer counts by the configuration of the one who counts.
//! - Nobody votes within an election timeout of hearing another leader if there are leases, whatever happens in between.
//! - The commit is not on disk. After a start it is where the snapshot ends, and is learned again.
//! - Nothing here grows without bound: entries by weight, messages under way by the window, messages held back by one
//!   of a kind for each peer, reads by number.
//! - A message that no member can have sent changes nothing and is counted ([`Raft::anomalies`]).
//!
//! # Where to read
//!
//! | file | what it tells |
//! |---|---|
//! | `raft.rs` | the door, the term rule, the one place where words leave |
//! | `role.rs` | the four parts and every way between them |
//! | `election.rs` | votes: asked for, given, counted |
//! | `replication.rs`, `progress.rs` | the leader's side: proposing, counting, what each peer is sent |
//! | `append.rs` | the follower's side |
//! | `reads.rs` | linearizable reads |
//! | `membership.rs`, `history.rs`, `roster.rs` | who the members are, at every position and now; how that changes |
//! | `transfer.rs` | leadership handed over |
//! | `lease.rs` | reads by the clock |
//! | `log.rs` | the log in memory, in runs |
//! | `restore.rs`, `record.rs`, `disk.rs` | what is remembered, and what waits for it |
//! | `message.rs` | the words, with a chart of who says them when |
//!
//! The sections of the paper (Ongaro and Ousterhout, extended version) and of Ongaro's thesis are named where a rule
//! comes from them; `tests/scripts` plays each of them as a trace.
//!
//! # Three members in memory
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use quorate_core::{
//!     Batch, Input, Instant, Label, Mark, Memory, NodeId, Outbox, Output, ReplicatedLog, Ticket,
//! };
//! use quorate_raft::{Raft, RaftConfig};
//!
//! let ids = [NodeId(1), NodeId(2), NodeId(3)];
//! let mut members: Vec<Raft> = ids
//!     .iter()
//!     .map(|id| {
//!         let memory = Memory {
//!             records: &mut std::iter::empty(),
//!             durable: Mark::ZERO,
//!             snapshot: None,
//!             configuration: None,
//!         };
//!         Raft::restore(RaftConfig::new(*id, &ids), Instant::ZERO, memory)
//!     })
//!     .collect::<Result<_, _>>()?;
//!
//! // The first to time out is elected; its first entry is the no-op of its term.
//! let first = (0..3).min_by_key(|member| members[*member].deadline()).expect("three members");
//! let now = members[first].deadline().expect("a follower waits for its leader");
//! let command = Batch::one(Label::default(), "hello".into());
//! let mut inputs = VecDeque::from([(first, Input::Tick)]);
//! let (mut outbox, mut proposed, mut chosen) = (Outbox::new(), false, Vec::new());
//! while let Some((member, input)) = inputs.pop_front() {
//!     members[member].step(now, input, &mut outbox);
//!     for output in outbox.drain() {
//!         match output {
//!             // This disk is quick: whatever is written is on it at once.
//!             Output::Persist { mark, .. } => {
//!                 inputs.push_back((member, Input::Durable { upto: mark }));
//!             }
//!             Output::Send { to, message } => {
//!                 let from = ids[member];
//!                 inputs.push_back((to.get() as usize - 1, Input::Receive { from, message }));
//!             }
//!             Output::Commit(committed) if !committed.batch.is_noop() => {
//!                 chosen.push((member, committed.batch.command(0).to_vec()));
//!             }
//!             _ => {}
//!         }
//!     }
//!     if inputs.is_empty() && !proposed {
//!         proposed = true;
//!         let (ticket, batch) = (Ticket(1), command.clone());
//!         inputs.push_back((first, Input::Propose { ticket, batch }));
//!     }
//! }
//! chosen.sort();
//! let everywhere = [0, 1, 2].map(|member| (member, b"hello".to_vec()));
//! assert_eq!(chosen, everywhere);
//! # Ok::<(), quorate_core::RestoreError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod append;
mod config;
mod disk;
mod election;
mod history;
mod lease;
mod log;
#[cfg(test)]
mod log_model;
mod membership;
mod message;
mod progress;
mod raft;
mod reads;
mod record;
mod replication;
mod restore;
mod role;
mod roster;
mod snapshots;
mod term;
mod transfer;

pub use config::{ConfigError, RaftConfig};
pub use history::Configured;
pub use lease::Lease;
pub(crate) use log::Log;
pub use message::{Append, Message, Run};
pub use raft::Raft;
pub use record::Record;
pub use term::{Point, Term};
