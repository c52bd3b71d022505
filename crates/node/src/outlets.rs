//! Where effects go: the journal, the links, the snapshots, the clients. Nothing here waits.

use quorate_core::{
    Carry, Effect, Event, HandOverAnswer, HandOverReason, Incarnation, Instant, Life, Message,
    NodeId, Parcel, Replica, ReplicatedLog, Report, StateMachine, encode,
};
use quorate_transport::{Frame, Lane, Transport};

use crate::archive::{Archive, Crowded, Task};
use crate::door::Hall;
use crate::gate::CloseOnDrop;
use crate::ledger::Ledger;
use crate::members::Members;
use crate::orders::Orders;
use crate::request::{Applied, Waiter, tell};
use crate::status::{HealthStatus, Load, NodeStatus};
use crate::waiting::Waiting;

/// All that leaves the core.
pub(crate) struct Outlets<S: StateMachine> {
    pub(crate) name: Name,
    pub(crate) ledger: Ledger,
    pub(crate) archive: Archive<S::Snapshot>,
    pub(crate) transport: Transport,
    pub(crate) members: Members,
    /// Lets go of the directory.
    pub(crate) _gate: CloseOnDrop,
    pub(crate) waiting: Waiting<Waiter<S>>,
    /// Frames of this turn; they leave after the turn's writes are with the journal.
    pub(crate) frames: Vec<(NodeId, Frame)>,
    pub(crate) lost: Lost,
    /// How often a link took another direction since the start.
    pub(crate) link_changes: u64,
    /// How often this leader gave way by itself, and why.
    pub(crate) health: HealthStatus,
    /// What operators wait for.
    pub(crate) orders: Orders,
    /// Entries that this member had carried out and that were lost.
    pub(crate) losses: Losses,
}

/// Entries carried out here that the present leader does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    known: u64,
    uncounted: u64,
}

/// Who this is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) life: Life,
}

/// What did not get through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lost {
    parcels: u64,
    pieces: u64,
}

impl<S: StateMachine> Outlets<S> {
    /// Carries out one effect. What comes back is the event that says that it cannot be.
    pub(crate) fn perform<L: ReplicatedLog>(
        &mut self,
        effect: Effect<L, S>,
        replica: &Replica<L, S>,
    ) -> Option<Event<L::Message>> {
        match effect {
            Effect::Persist { mark, record } => {
                let mut commands = 0;
                record.batches(&mut |batch| commands += batch.len());
                self.ledger.write(mark, commands, || encode(&record));
            }
            Effect::Send { to, parcel } => self.gather(to, &parcel),
            Effect::Reclaim { below } => self.ledger.reclaim(below),
            Effect::Link(event) => {
                self.link_changes += 1;
                tracing::info!(link = %event, "link changed");
            }
            Effect::Configured(configuration) => self.members.on_configured(configuration),
            Effect::Wish { member, answer } => {
                tracing::info!(learner = %member, ?answer, "a learner wishes for a vote");
            }
            Effect::HandOver { to, why, answer } => self.on_hand_over(to, why, answer),
            Effect::Report(report) => self.on_report(report),
            Effect::Reply { ticket, at, reply } => {
                if let Some(Waiter::Write(answer)) = self.waiting.take(ticket) {
                    let position = at;
                    tell(answer, Ok(Applied { position, reply }));
                }
            }
            Effect::Opened { ticket, session } => {
                if let Some(Waiter::Open(answer)) = self.waiting.take(ticket) {
                    tell(answer, Ok(session));
                }
            }
            Effect::Closed { ticket } => {
                if let Some(Waiter::Close(answer)) = self.waiting.take(ticket) {
                    tell(answer, Ok(()));
                }
            }
            Effect::Fail { ticket, failure } => {
                if let Some(waiter) = self.waiting.take(ticket) {
                    waiter.fail(failure);
                }
            }
            Effect::Read { ticket, stamp } => {
                if let Some(Waiter::Read(query)) = self.waiting.take(ticket) {
                    query(Ok((replica.machine(), stamp)));
                }
            }
            Effect::TakeSnapshot { .. }
            | Effect::ReadChunk { .. }
            | Effect::Receive { .. }
            | Effect::WriteChunk { .. }
            | Effect::Load { .. } => return self.archive(effect),
        }
        None
    }

    fn on_hand_over(&mut self, to: NodeId, why: HandOverReason, answer: HandOverAnswer) {
        tracing::warn!(%to, reason = %why, ?answer, "this leader gives way by itself");
        if let HandOverAnswer::Done(_) = answer {
            self.health.hand_overs += 1;
            self.health.last = Some((to, why));
        }
    }

    fn on_report(&mut self, report: Report) {
        tracing::warn!(?report, "the log reports");
        if let Report::Lost { .. } = report {
            match report.lost() {
                Some(count) => self.losses.known += count,
                None => self.losses.uncounted += 1,
            }
        }
        self.orders.on_report(report);
    }

    /// Hands a snapshot's matter to the thread that sees to them.
    fn archive<L: ReplicatedLog>(&mut self, effect: Effect<L, S>) -> Option<Event<L::Message>> {
        let (task, refusal) = match effect {
            Effect::TakeSnapshot {
                position,
                epoch,
                image,
                held,
            } => {
                let task = Task::Take {
                    position,
                    epoch,
                    image,
                    held,
                };
                (task, Some(Event::SnapshotFailed))
            }
            Effect::ReadChunk {
                to,
                snapshot,
                offset,
                length,
            } => {
                let task = Task::Read {
                    to,
                    snapshot,
                    offset,
                    length,
                };
                // Whoever asked asks again.
                self.lost.pieces += u64::from(self.archive.push(task).is_err());
                return None;
            }
            Effect::Receive { snapshot } => {
                let failed = Event::FetchFailed { snapshot };
                (Task::Receive { snapshot }, Some(failed))
            }
            Effect::WriteChunk {
                snapshot,
                offset,
                data,
            } => {
                let task = Task::Write {
                    snapshot,
                    offset,
                    data,
                };
                (task, Some(Event::FetchFailed { snapshot }))
            }
            Effect::Load { snapshot } => (Task::Load { snapshot }, None),
            _ => unreachable!("the caller hands over what concerns snapshots"),
        };
        match (self.archive.push(task), refusal) {
            (Ok(()), _) => None,
            (Err(Crowded), Some(refusal)) => Some(refusal),
            (Err(Crowded), None) => panic!("a state to be loaded is always taken"),
        }
    }

    fn gather<M: Message>(&mut self, to: NodeId, parcel: &Parcel<M>) {
        let lane = if parcel.is_bulk() {
            Lane::Bulk
        } else {
            Lane::Control
        };
        self.frames.push((to, Frame::of(lane, encode(parcel))));
    }

    /// Lets the turn's writes and frames go. The writes first, if another thread sees to them: the disk is slower than the
    /// network. The frames first, if this one does: a frame may leave before what it carries is durable here (law 2).
    ///
    /// `open`: so many commands of clients here wait for an answer.
    pub(crate) fn send_off(&mut self, open: usize) {
        let small = self.ledger.is_small(open);
        if !small {
            self.ledger.hand_over();
        }
        for (to, frame) in self.frames.drain(..) {
            self.lost.parcels += u64::from(self.transport.send(to, frame).is_err());
        }
        if small {
            self.ledger.commit_here();
        }
    }

    pub(crate) fn status<L: ReplicatedLog>(
        &self,
        replica: &Replica<L, S>,
        hall: &Hall<L::Message>,
        (now, no_room): (Instant, bool),
    ) -> NodeStatus {
        let (commands_open, command_bytes_open, reads_open) = replica.open();
        let Name {
            id,
            incarnation,
            life,
        } = self.name;
        NodeStatus {
            id,
            incarnation,
            life,
            log: replica.status(),
            configuration: self.members.configuration(),
            applied: replica.applied(),
            snapshot: replica.snapshot(),
            journal: self.ledger.status(!no_room),
            load: Load {
                commands_open,
                command_bytes_open,
                reads_open,
                backlog_bytes: replica.backlog_bytes(),
                parcels_lost: self.lost.parcels,
                parcels_malformed: hall.malformed(),
                pieces_refused: self.lost.pieces,
            },
            leader_changes: 0,
            link_changes: self.link_changes,
            health: HealthStatus {
                measured: replica.health(now),
                ..self.health
            },
            entries_lost: (self.losses.uncounted == 0).then_some(self.losses.known),
        }
    }
}
