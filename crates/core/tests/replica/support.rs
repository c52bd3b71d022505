//! A log whose every move is scripted, a state machine that remembers, and a replica of both on a bench.

use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    Batch, BatchBuilder, Carry, Change, Clock, Committed, Configuration, Effect, Effects, Epoch,
    Event, Input, Instant, Label, Life, Mark, Memory, NodeId, Outbox, Output, Parcel, PeerStatus,
    Position, ReadCall, ReadLevel, Record, Rejection, Replica, ReplicaConfig, ReplicatedLog,
    Report, RestoreError, Restored, RoleKind, SessionCall, SnapshotMeta, Status, Ticket, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::scroll::Scroll;

/// A log that does what its messages say; a leader of zero is none.
pub(crate) struct Scripted {
    configuration: Configuration,
    status: Status,
    refuse: Option<Rejection>,
    compacted: Option<Position>,
    /// What was committed may be lost.
    doubt: bool,
    /// Up to where member 3 is.
    matched: Option<(u64, Instant)>,
    /// The last record.
    mark: Mark,
    /// The order to hand over that is not answered.
    handing: Ticket,
    /// Until when it holds a lease.
    lease: Option<Instant>,
}

impl Scripted {
    /// What concerns who the members are.
    fn on_members(&mut self, now: Instant, input: Input<Order>, out: &mut Outbox<Self>) {
        let to = NodeId(99);
        match input {
            Input::Receive {
                message: Order::Members(configuration),
                ..
            } => self.configuration = configuration,
            Input::Receive {
                message: Order::Matched(position),
                ..
            } => self.matched = Some((position, now)),
            Input::Receive {
                message: Order::Reconfigured(ticket),
                ..
            } => out.push(Output::Report(Report::Reconfigured {
                ticket: Ticket(ticket),
                at: self.status.committed,
            })),
            Input::Receive {
                message: Order::Write,
                ..
            } => {
                self.mark = Mark(self.mark.0 + 1);
                out.push(Output::Persist {
                    mark: self.mark,
                    record: Nothing,
                });
            }
            Input::Receive {
                message: Order::HandedOver(answer),
                ..
            } => {
                let ticket = self.handing;
                out.push(Output::Report(match answer {
                    Ok((to, epoch)) => Report::Transferred { ticket, to, epoch },
                    Err(why) => Report::Declined { ticket, why },
                }));
            }
            Input::Transfer { ticket, to: next } => {
                self.handing = ticket;
                out.send(to, Order::Handed(ticket.0, next.map(NodeId::get)));
            }
            Input::Receive {
                message: Order::Lease(until),
                ..
            } => self.lease = Some(Instant::from_nanos(until * 1_000_000)),
            Input::Reconfigure { ticket, change } => match self.refuse.take() {
                Some(why) => out.push(Output::Reject { ticket, why }),
                None => out.send(to, Order::Changed(ticket.0, change)),
            },
            _ => {}
        }
    }

    /// Up to where it was last told to forget.
    pub(crate) fn compacted(&self) -> Option<Position> {
        self.compacted
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Lead(u64),
    Follow(u64, u64),
    Commit(Batch),
    Answer(u64, u64),
    Refuse(Rejection),
    Offer(SnapshotMeta),
    /// Another member needs a snapshot that includes this.
    Want(u64),
    Doubt(bool),
    /// There is a lease until so many milliseconds after the beginning.
    Lease(u64),
    Members(Configuration),
    Matched(u64),
    Reconfigured(u64),
    /// The log writes a record.
    Write,
    /// The log answers the last order to hand over.
    HandedOver(Result<(NodeId, Epoch), Rejection>),
    /// What the log was told to hand over, under which ticket, and to whom.
    Handed(u64, Option<u64>),
    /// What the log was told to change, under which ticket.
    Changed(u64, Change),
    /// These voters are in force from this position on, chosen or not.
    Configure(u64, Vec<u64>),
    /// What the log says: it was asked to propose, or to name a position.
    Proposed(Batch),
    Asked(u64),
}

impl Carry for Order {
    fn batches(&self, visit: &mut dyn FnMut(&Batch)) {
        if let Self::Commit(batch) | Self::Proposed(batch) = self {
            visit(batch);
        }
    }

    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch)) {
        if let Self::Commit(batch) | Self::Proposed(batch) = self {
            visit(batch);
        }
    }
}

impl quorate_core::Message for Order {
    fn is_bulk(&self) -> bool {
        false
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Nothing;

impl Carry for Nothing {
    fn batches(&self, _: &mut dyn FnMut(&Batch)) {}
    fn batches_mut(&mut self, _: &mut dyn FnMut(&mut Batch)) {}
}

impl Record for Nothing {}

impl ReplicatedLog for Scripted {
    type Config = ();
    type Message = Order;
    type Record = Nothing;
    const ELECTS: bool = true;

    /// It was in as many epochs as there are records.
    fn restore((): (), _: Instant, memory: Memory<'_, Nothing>) -> Result<Self, RestoreError> {
        let status = Status {
            role: RoleKind::Follower,
            epoch: Epoch {
                round: memory.durable.0,
                node: NodeId::ZERO,
            },
            leader: None,
            last: Position::ZERO,
            durable: Position::ZERO,
            committed: memory.snapshot.map_or(Position::ZERO, |meta| meta.position),
            compacted: Position::ZERO,
            bytes: 0,
            configured: Position::ZERO,
        };
        Ok(Self {
            configuration: Configuration::founding(&[NodeId(1), NodeId(2)], &[]),
            status,
            refuse: None,
            compacted: None,
            doubt: false,
            matched: None,
            mark: memory.durable,
            handing: Ticket(0),
            lease: None,
        })
    }

    fn peers(&self) -> Vec<PeerStatus> {
        let peer = |(matched, heard)| PeerStatus {
            id: NodeId(3),
            matched: Position(matched),
            heard,
        };
        self.matched.map(peer).into_iter().collect()
    }

    fn step(&mut self, now: Instant, input: Input<Order>, out: &mut Outbox<Self>) {
        let to = NodeId(99);
        match input {
            Input::Receive {
                message: Order::Lead(round),
                ..
            } => {
                self.status.role = RoleKind::Leader;
                self.status.epoch.round = round;
                self.status.leader = Some(NodeId(1));
            }
            Input::Receive {
                message: Order::Follow(round, leader),
                ..
            } => {
                self.status.role = RoleKind::Follower;
                self.status.epoch.round = round;
                self.status.leader = (leader > 0).then_some(NodeId(leader));
            }
            Input::Receive {
                message: Order::Commit(batch),
                ..
            } => {
                let first = self.status.committed.next();
                self.status.committed = first.plus(batch.len() - 1);
                out.push(Output::Commit(Committed {
                    first,
                    epoch: self.status.epoch,
                    batch,
                }));
            }
            Input::Receive {
                message: Order::Answer(ticket, at),
                ..
            } => {
                out.push(Output::ReadReady {
                    ticket: Ticket(ticket),
                    at: Position(at),
                });
            }
            Input::Receive {
                message: Order::Refuse(why),
                ..
            } => self.refuse = Some(why),
            Input::Receive {
                from,
                message: Order::Offer(snapshot),
            } => {
                out.push(Output::Fetch { from, snapshot });
            }
            Input::Receive {
                message: Order::Want(from),
                ..
            } => out.push(Output::Snapshot {
                from: Position(from),
            }),
            Input::Receive {
                message: Order::Doubt(doubt),
                ..
            } => self.doubt = doubt,
            Input::Receive {
                message: Order::Configure(at, voters),
                ..
            } => {
                let voters: Vec<_> = voters.into_iter().map(NodeId).collect();
                self.configuration = Configuration::founding(&voters, &[]);
                self.status.configured = Position(at);
                // What is written anew is not committed.
                let before = at.saturating_sub(1);
                self.status.committed = self.status.committed.min(Position(before));
            }
            Input::Promote { ticket, round, .. } => match round {
                None => out.push(Output::Reject {
                    ticket,
                    why: Rejection::Unsupported,
                }),
                Some(round) => out.push(Output::Report(Report::Promoted {
                    ticket,
                    epoch: Epoch {
                        round,
                        ..Epoch::default()
                    },
                    missing: None,
                })),
            },
            Input::Propose { ticket, batch } => match self.refuse.take() {
                Some(why) => out.push(Output::Reject { ticket, why }),
                None => out.send(to, Order::Proposed(batch)),
            },
            Input::Compact { upto, .. } => self.compacted = Some(upto),
            Input::Read { ticket } => out.send(to, Order::Asked(ticket.0)),
            Input::Fetched { snapshot } => {
                self.status.committed = snapshot.position;
                out.push(Output::Install { snapshot });
            }
            other => self.on_members(now, other, out),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn status(&self) -> Status {
        self.status
    }

    fn lease(&self, now: Instant) -> Option<Position> {
        let holds = self.lease.is_some_and(|until| until > now);
        (holds && self.status.role == RoleKind::Leader).then_some(self.status.committed)
    }

    fn is_sound(&self) -> bool {
        !self.doubt
    }

    fn configuration(&self) -> &Configuration {
        &self.configuration
    }
}

/// One replica, a clock, and what came out since the last look.
pub(crate) struct Bench {
    pub(crate) replica: Replica<Scripted, Scroll>,
    pub(crate) clock: Clock,
    pub(crate) out: Effects<Scripted, Scroll>,
}

impl Bench {
    pub(crate) const LIFE: u64 = 1000;

    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut ReplicaConfig)) -> Self {
        let mut config = ReplicaConfig::new(NodeId(1), Life(Self::LIFE));
        config.retry_interval = Duration::from_millis(100);
        config.request_timeout = Duration::from_secs(1);
        change(&mut config);
        Self::again(config, 0)
    }

    /// A member that was in the epoch of this round before it started again.
    pub(crate) fn again(config: ReplicaConfig, round: u64) -> Self {
        Self::of(config, round, Restored::empty(Scroll::default()))
    }

    /// A member that starts with this snapshot.
    pub(crate) fn from_snapshot(restored: Restored<Scroll>) -> Self {
        Self::of(ReplicaConfig::new(NodeId(1), Life(Self::LIFE)), 0, restored)
    }

    fn of(config: ReplicaConfig, round: u64, restored: Restored<Scroll>) -> Self {
        let memory = Memory {
            records: &mut std::iter::empty(),
            durable: Mark(round),
            snapshot: restored.snapshot(),
            configuration: None,
        };
        let log = Scripted::restore((), Instant::ZERO, memory).unwrap();
        let replica = Replica::new(config, log, restored);
        let clock = Clock {
            now: Instant::ZERO,
            wall: Timestamp(5000),
        };
        Self {
            replica,
            clock,
            out: Vec::new(),
        }
    }

    pub(crate) fn after(&mut self, millis: u64) -> &mut Self {
        self.clock.now = self.clock.now + Duration::from_millis(millis);
        self.clock.wall = self.clock.wall.plus_millis(millis);
        self.replica.step(self.clock, Event::Tick, &mut self.out);
        self.turn()
    }

    pub(crate) fn submit(&mut self, ticket: u64, command: &'static [u8]) -> &mut Self {
        let command = Bytes::from_static(command);
        self.replica
            .submit(self.clock, Ticket(ticket), command, &mut self.out);
        self.turn()
    }

    pub(crate) fn call(
        &mut self,
        ticket: u64,
        call: SessionCall,
        command: &'static [u8],
    ) -> &mut Self {
        let command = Bytes::from_static(command);
        self.replica
            .call(self.clock, Ticket(ticket), call, command, &mut self.out);
        self.turn()
    }

    pub(crate) fn read(&mut self, ticket: u64) -> &mut Self {
        self.read_at(ticket, ReadLevel::Linearizable)
    }

    pub(crate) fn read_at(&mut self, ticket: u64, call: impl Into<ReadCall>) -> &mut Self {
        self.replica
            .read(self.clock, Ticket(ticket), call, &mut self.out);
        self.turn()
    }

    pub(crate) fn promote(&mut self, ticket: u64, round: Option<u64>) -> &mut Self {
        let order = (round, false);
        self.replica
            .promote(self.clock, Ticket(ticket), order, &mut self.out);
        self.turn()
    }

    pub(crate) fn order(&mut self, order: Order) -> &mut Self {
        self.receive(2, Parcel::Log(order))
    }

    pub(crate) fn receive(&mut self, from: u64, parcel: Parcel<Order>) -> &mut Self {
        self.event(Event::Receive {
            from: NodeId(from),
            parcel,
        })
    }

    pub(crate) fn event(&mut self, event: Event<Order>) -> &mut Self {
        self.replica.step(self.clock, event, &mut self.out);
        self.turn()
    }

    pub(crate) fn turn(&mut self) -> &mut Self {
        self.replica.flush(self.clock, &mut self.out);
        while self.replica.apply(u64::MAX, &mut self.out) {}
        self
    }

    /// What came out since the last look, a line each.
    pub(crate) fn seen(&mut self) -> Vec<String> {
        self.out
            .drain(..)
            .map(|effect| format!("{effect:?}"))
            .collect()
    }

    /// The batches handed over since the last look, to the own log or to another member.
    pub(crate) fn handed(&mut self) -> Vec<(u64, u64, Batch)> {
        self.out
            .drain(..)
            .filter_map(|effect| match effect {
                Effect::Send {
                    parcel: Parcel::Log(Order::Proposed(batch)),
                    ..
                } => Some((1, 0, batch)),
                Effect::Send {
                    to,
                    parcel: Parcel::Forward { attempt, batch, .. },
                } => Some((to.0, attempt, batch)),
                _ => None,
            })
            .collect()
    }
}

pub(crate) fn foreign(origin: u64, sequence: u64, commands: &[&[u8]]) -> Batch {
    let mut builder = BatchBuilder::new();
    for command in commands {
        builder.push(command);
    }
    let label = Label {
        origin: NodeId(origin),
        life: Life(5),
        sequence,
        time: Timestamp(0),
    };
    builder.finish(label).unwrap()
}
