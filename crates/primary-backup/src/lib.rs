//! Primary-backup without consensus, as a deterministic replicated log: the baseline that the others are compared with.
//!
//! [`PrimaryBackup`] is one member. It implements [`ReplicatedLog`](quorate_core::ReplicatedLog): what happens goes in
//! through [`step`](quorate_core::ReplicatedLog::step), what is to be done comes out, and it neither waits nor fails in
//! between. It has no clock, no thread, no socket and no file.
//!
//! **Nobody is elected.** An operator says who is primary. If the primary is gone, nothing is written until the operator
//! promotes a backup; and how much is lost by that depends on the [`WriteAck`](quorate_core::WriteAck) level and on whom
//! the operator chose. [`PrimaryBackup::claim`] says it in one sentence; `docs/primary-backup.md` says it exactly.
//!
//! # The protocol, from the top
//!
//! **One primary an epoch.** An appointment is a round given to a member; the first is the config's. Each start of an
//! appointed primary is an [`Epoch`](quorate_core::Epoch) of its own ([`appoint`], [`Named`]), because a primary that
//! stops cannot know how much it had said and not yet written. Epochs are totally ordered; a member takes nothing of a
//! lower one than it has agreed to, on disk. So two members that were promoted by mistake, even in the same round, never
//! both count on the same backups.
//!
//! **One log, the primary's.** It appends what is proposed and sends it on at once ([`Append`]); its own disk and those of
//! the backups write at the same time. An append names the entry before it ([`Point`]). A backup without that entry says
//! what it has ([`Missing`]), and the primary goes on from where both agree. What it no longer has, it replaces by the offer
//! of a snapshot.
//!
//! **Committed is what the level says.** In the primary's memory; on its disk; on a quorum of disks, its own among them; on
//! every disk. Because its own disk always counts (except with `none`), a primary that starts again has all that it ever
//! acknowledged. An entry of a former epoch is never committed by itself, only with one of the present epoch. A backup
//! commits what the primary says is committed, as far as it has checked its log against the primary's.
//!
//! **Promotion.** [`Input::Promote`](quorate_core::Input::Promote) asks the others how far they are
//! ([`Message::Inquire`]), while the primary, if there still is one, pauses; then has them agree to the new epoch
//! ([`Message::Fence`]); then serves. It is refused if another has more, and with `quorum` if no quorum answers. By force
//! it asks nobody. [`Report::Promoted`](quorate_core::Report::Promoted) says how much is known to be missing.
//!
//! **What was carried out cannot be taken back.** A backup, or a former primary, may have committed entries that the new
//! primary lacks. It cuts them from its log and takes part in replication at once; but its state is *void*: nothing is
//! committed to it until a snapshot from beyond its last position has replaced it. The primary has such a snapshot taken
//! ([`Output::Snapshot`](quorate_core::Output::Snapshot)), and fills its log with no-ops up to there if it must. The loss is
//! [reported](quorate_core::Report::Lost), with its count where the log still shows where the histories part.
//!
//! **Members** stand in the log: the last [configuration](quorate_core::Configuration) there is in force, committed or not,
//! and goes when its entry is cut. Where voters change, the primary goes through a joint configuration (Raft, extended
//! version, section 6), and `quorum` and `all` count both halves of it. Learners are fed and count nowhere. Promotions ask
//! whom the configuration in force of the asking member names.
//!
//! **Handing over.** [`Input::Transfer`](quorate_core::Input::Transfer) has the primary stop, wait until another has all of its
//! log, and tell it to take over ([`Message::Handover`]): by a promotion that also needs the word of the primary, so that
//! nothing is lost at any level. A primary that is left out by a change of members does so by itself.
//!
//! **Reads.** With `quorum` and `all`, a round of heartbeats shows that a quorum still follows. With `none` and `one` it
//! would show nothing, so the primary answers from itself: one that is fenced, and has not heard of it, answers old.
//!
//! # Invariants
//!
//! - Nothing is said in an epoch before it is on disk; nothing is said as primary before the appointment is.
//! - Entries of one position and one epoch are the same entry, on every member, for ever.
//! - `matched` in a [`Holding`] is never beyond what is on the sender's disk.
//! - No configuration is appended by a primary before the one before is committed, and one of its own epoch is.
//! - What counts is counted by the configuration in force when it is counted.
//! - Nothing committed is cut without a report, and nothing is committed to a void state.
//! - Only a snapshot that the primary of the present epoch offered replaces anything.
//! - Nothing here grows without bound.
//! - A message that no member can have sent changes nothing and is counted ([`PrimaryBackup::anomalies`]).
//!
//! # Where to read
//!
//! | file | what it tells |
//! |---|---|
//! | `epoch.rs` | appointments and starts; places that know their epoch |
//! | `member.rs` | the door, the rule of epochs, the one place where words leave |
//! | `role.rs` | the four parts and every way between them |
//! | `promotion.rs` | how a member becomes primary, or goes on as one |
//! | `handover.rs` | how a primary has another take its place |
//! | `membership.rs` | how members change |
//! | `history.rs`, `roster.rs` | the configurations that the log shows; who counts, and who else there is |
//! | `primary.rs`, `peer.rs` | the primary's side: proposing, counting, what each backup is sent |
//! | `backup.rs` | the backup's side: what is taken, what is given up, what replaces a state |
//! | `reads.rs` | reads |
//! | `log.rs` | the log in memory, in runs |
//! | `restore.rs`, `record.rs`, `disk.rs` | what is remembered, and what waits for it |
//! | `message.rs` | the words, with a chart of who says them when |
//!
//! # Three members in memory
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use quorate_core::{
//!     Batch, Input, Instant, Label, Mark, Memory, NodeId, Outbox, Output, ReplicatedLog, Ticket,
//!     WriteAck,
//! };
//! use quorate_primary_backup::{PrimaryBackup, PrimaryBackupConfig};
//!
//! let ids = [NodeId(1), NodeId(2), NodeId(3)];
//! let mut members: Vec<PrimaryBackup> = ids
//!     .iter()
//!     .map(|id| {
//!         let memory = Memory {
//!             records: &mut std::iter::empty(),
//!             durable: Mark::ZERO,
//!             snapshot: None,
//!             configuration: None,
//!         };
//!         let mut config = PrimaryBackupConfig::new(*id, &ids);
//!         config.write_ack = WriteAck::All;
//!         PrimaryBackup::restore(config, Instant::ZERO, memory)
//!     })
//!     .collect::<Result<_, _>>()?;
//!
//! // Member 1 is the first primary: its first look at the clock begins its epoch.
//! let command = Batch::one(Label::default(), "hello".into());
//! let mut inputs = VecDeque::from([(0, Input::Tick)]);
//! let (mut outbox, mut proposed, mut committed) = (Outbox::new(), false, Vec::new());
//! while let Some((member, input)) = inputs.pop_front() {
//!     members[member].step(Instant::ZERO, input, &mut outbox);
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
//!             Output::Commit(run) if !run.batch.is_noop() => {
//!                 committed.push((member, run.batch.command(0).to_vec()));
//!             }
//!             _ => {}
//!         }
//!     }
//!     if inputs.is_empty() && !proposed {
//!         proposed = true;
//!         let (ticket, batch) = (Ticket(1), command.clone());
//!         inputs.push_back((0, Input::Propose { ticket, batch }));
//!     }
//! }
//! committed.sort();
//! let everywhere = [0, 1, 2].map(|member| (member, b"hello".to_vec()));
//! assert_eq!(committed, everywhere);
//! assert!(members[0].claim().contains("every member's disk"));
//! # Ok::<(), quorate_core::RestoreError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod backup;
mod config;
mod disk;
mod epoch;
mod handover;
mod history;
mod log;
mod member;
mod membership;
mod message;
mod peer;
mod primary;
mod promotion;
mod reads;
mod record;
mod restore;
mod role;
mod roster;

pub use config::{ConfigError, PrimaryBackupConfig};
pub use epoch::{Named, Point, ROUND_MAX, STARTS, appoint, appointment};
pub use history::Configured;
pub(crate) use log::Log;
pub use member::PrimaryBackup;
pub use message::{Append, Holding, Message, Missing, Run};
pub use record::{Record, Standing};
