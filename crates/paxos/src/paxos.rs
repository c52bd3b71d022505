//! The member itself: all its agents, its door, and the one place where words leave it.

use alloc::vec::Vec;

use quorate_core::{
    Batch, Committed, Configuration, Epoch, Input, Instant, Mark, Memory, NodeId, Outbox, Output,
    Position, Ranges, Rejection, ReplicatedLog, RestoreError, RoleKind, Status,
};
use smallvec::SmallVec;

use crate::acceptor::Acceptor;
use crate::disk::{Disk, Owed};
use crate::elector::Elector;
use crate::learner::Learner;
use crate::message::{Accepted, Promise};
use crate::proposer::Proposer;
use crate::roster::Roster;
use crate::snapshots::Snapshots;
use crate::{Ballot, Message, PaxosConfig, Record, Value};

pub(crate) type Out = Outbox<Paxos>;

/// One member of a Multi-Paxos cluster: an acceptor, a proposer, a learner and an elector, all at once.
#[derive(Clone, Debug)]
pub struct Paxos {
    pub(crate) config: PaxosConfig,
    pub(crate) roster: Roster,
    pub(crate) acceptor: Acceptor,
    pub(crate) proposer: Proposer,
    pub(crate) learner: Learner,
    pub(crate) elector: Elector,
    pub(crate) disk: Disk,
    pub(crate) snapshots: Snapshots,
    /// The newest round of reads heard of in the promised ballot.
    pub(crate) round: u64,
    pub(crate) anomalies: u64,
}

impl Paxos {
    /// How many messages were ignored because no member of this config that follows Paxos can have said them.
    /// Anything but zero tells of a broken or hostile peer, or of two members with the same id.
    pub const fn anomalies(&self) -> u64 {
        self.anomalies
    }

    /// The slots that this member knows to be chosen and cannot hand out yet, because a hole lies before them. As
    /// half-open runs.
    pub const fn chosen_ahead(&self) -> &Ranges {
        self.learner.ahead()
    }

    /// Promises `ballot`, for this member's own proposer or for another's. Whatever its own was doing is outbid.
    pub(crate) fn promise(&mut self, now: Instant, ballot: Ballot, out: &mut Out) {
        if !matches!(self.proposer, Proposer::Idle) {
            self.step_down(now, out);
        }
        let chosen = self.acceptor.slots.settled();
        let mark = self.disk.write(Record::Promise { ballot, chosen }, out);
        self.acceptor.promise(ballot, mark);
        self.disk.forgive();
        self.elector.on_round(ballot);
        (self.elector.leader, self.round) = (None, 0);
    }

    /// Accepts values in the promised ballot, as its proposer or by its proposer's word.
    pub(crate) fn accept(&mut self, first: Position, values: SmallVec<[Value; 1]>, out: &mut Out) {
        let mark = self.disk.next();
        self.acceptor.accept(first, &values, mark);
        let record = Record::Accept {
            ballot: self.acceptor.promised(),
            chosen: self.acceptor.slots.settled(),
            first,
            values,
        };
        self.disk.write(record, out);
    }

    /// Gives an answer, as soon as the promise it speaks of is on disk.
    pub(crate) fn answer(&mut self, to: NodeId, answer: Owed, out: &mut Out) {
        if self.acceptor.is_spoken() {
            self.say(to, answer, out);
        } else {
            self.disk.owe(self.acceptor.promised_mark(), to, answer);
        }
    }

    /// Says what is owed. Nothing passes here before the promise is on disk (`RELIABILITY` D1).
    fn say(&self, to: NodeId, answer: Owed, out: &mut Out) {
        let promised = self.acceptor.promised();
        assert!(self.acceptor.is_spoken(), "the promise is on disk");
        let chosen = self.acceptor.slots.settled();
        match answer {
            Owed::Promise(ballot, at) => {
                assert_eq!(ballot, promised, "what is owed was promised");
                if let Some(message) = self.piece(at) {
                    out.send(to, message);
                }
            }
            Owed::Accepted => {
                let taken = Accepted::runs(self.acceptor.taken(), chosen);
                out.send(
                    to,
                    Message::Accepted(Accepted {
                        ballot: promised,
                        round: self.round,
                        chosen,
                        taken,
                    }),
                );
            }
            Owed::Nack => out.send(to, Message::Nack { promised }),
        }
    }

    /// The piece of the promise that begins at `at`. What is forgotten is never left out as though it were empty
    /// (P14); none: the promised ballot is past phase 1.
    fn piece(&self, at: Position) -> Option<Message> {
        let slots = &self.acceptor.slots;
        let budget = self.config.append_bytes_max;
        let (mut votes, mut next) = self.acceptor.votes(at, budget)?;
        let forgotten = (at <= slots.base()).then(|| {
            (votes, next) = (Vec::new(), None);
            let newest = self.snapshots.newest;
            newest.expect("what is forgotten is in a snapshot")
        });
        Some(Message::Promise(Promise {
            ballot: self.acceptor.promised(),
            at,
            next,
            votes,
            chosen: slots.settled(),
            forgotten,
        }))
    }

    fn on_message(&mut self, now: Instant, from: NodeId, message: Message, out: &mut Out) {
        let Some(index) = self.roster.index(from) else {
            return;
        };
        if !message.is_sane(from) {
            self.anomalies += 1;
            return;
        }
        self.elector.on_heard(now, from);
        match message {
            Message::Prepare { ballot, at } => self.on_prepare(now, from, ballot, at, out),
            Message::Promise(promise) => self.on_promise(now, from, promise, out),
            Message::Accept {
                ballot,
                chosen,
                first,
                values,
            } => self.on_accept(now, (from, ballot, chosen), first, values, out),
            Message::Accepted(accepted) => self.on_accepted(now, index, &accepted, out),
            Message::Nack { promised } => self.on_nack(now, promised, out),
            Message::Chosen { ballot, upto } => {
                if self.follow(now, from, ballot, out) {
                    self.learn(ballot, upto, out);
                }
            }
            Message::Heartbeat {
                ballot,
                chosen,
                round,
            } => {
                if self.follow(now, from, ballot, out) {
                    self.round = self.round.max(round);
                    self.learn(ballot, chosen, out);
                    self.answer(from, Owed::Accepted, out);
                }
            }
            Message::Snapshot { ballot, meta } => {
                if self.follow(now, from, ballot, out) {
                    self.on_offer(from, meta, out);
                }
            }
            Message::Gossip {
                promised,
                hears,
                follows,
            } => {
                let me = hears.contains(&self.config.id);
                self.elector.on_gossip(now, from, (promised, me), follows);
            }
        }
    }

    /// A ballot is outbid. Only the own one matters; the round is remembered for the next bid.
    fn on_nack(&mut self, now: Instant, promised: Ballot, out: &mut Out) {
        self.elector.on_round(promised);
        if promised > self.acceptor.promised() && !matches!(self.proposer, Proposer::Idle) {
            self.step_down(now, out);
        }
    }

    fn on_tick(&mut self, now: Instant, out: &mut Out) {
        let beat = now >= self.elector.beat_due;
        if beat {
            self.elector.beat_due = now + self.config.heartbeat_interval;
        }
        match &self.proposer {
            Proposer::Leading(_) => self.tick_leader(now, beat, out),
            Proposer::Preparing(_) => self.tick_preparing(now, beat, out),
            Proposer::Idle if now < self.elector.deadline() => {}
            Proposer::Idle if self.may_campaign(now) => self.campaign(now, out),
            Proposer::Idle => self.elector.postpone(self.elector.beat_due),
        }
        if beat {
            self.gossip(now, out);
        }
    }

    /// Says whom this member hears, and whether there is a leader.
    fn gossip(&self, now: Instant, out: &mut Out) {
        let beat = self.config.heartbeat_interval;
        let follows = match &self.proposer {
            Proposer::Leading(_) => Some(self.acceptor.promised()),
            Proposer::Preparing(_) => None,
            Proposer::Idle => self.elector.follows(now, beat),
        };
        let message = Message::Gossip {
            promised: self.acceptor.spoken(),
            hears: self.elector.hears(now, beat),
            follows: follows.filter(|_| self.acceptor.is_spoken()),
        };
        for (peer, _) in &self.roster.others {
            out.send(*peer, message.clone());
        }
    }

    /// Whether a bid of this member could succeed.
    fn may_campaign(&self, now: Instant) -> bool {
        let quorums = [&self.roster.phase_1, &self.roster.phase_2];
        self.is_eligible() && self.elector.is_connected(now, &self.config, quorums)
    }

    fn is_eligible(&self) -> bool {
        self.disk.room && self.roster.phase_1.contains(self.config.id)
    }

    fn on_durable(&mut self, now: Instant, upto: Mark, out: &mut Out) {
        let spoken = self.acceptor.is_spoken();
        self.disk.on_durable(upto, out);
        let grown = self.acceptor.on_durable(self.disk.durable());
        while let Some((to, answer)) = self.disk.due() {
            self.say(to, answer, out);
        }
        if !spoken && self.acceptor.is_spoken() {
            self.on_promised(now, out);
        }
        match &self.proposer {
            Proposer::Leading(_) => self.advance(now, None, out),
            Proposer::Idle | Proposer::Preparing(_) if grown => {
                if let Some(leader) = self.elector.leader {
                    self.answer(leader.node, Owed::Accepted, out);
                }
            }
            Proposer::Idle | Proposer::Preparing(_) => {}
        }
    }

    fn on_room(&mut self, now: Instant, available: bool, out: &mut Out) {
        self.disk.room = available;
        let active = !matches!(self.proposer, Proposer::Idle);
        if active && !available {
            self.step_down(now, out);
        }
    }

    /// Why this member cannot take what only a leader can.
    pub(crate) fn not_leader(&self) -> Rejection {
        Rejection::NotLeader {
            leader: self.known_leader(),
            epoch: self.acceptor.spoken().epoch(),
        }
    }

    /// Who leads the ballot that [`Status`] shows.
    pub(crate) fn known_leader(&self) -> Option<NodeId> {
        let leader = self.elector.leader?;
        (leader == self.acceptor.spoken()).then_some(leader.node)
    }
}

impl ReplicatedLog for Paxos {
    type Config = PaxosConfig;
    type Message = Message;
    type Record = Record;

    fn restore(
        config: PaxosConfig,
        now: Instant,
        memory: Memory<'_, Record>,
    ) -> Result<Self, RestoreError> {
        crate::restore::restore(config, now, memory)
    }

    fn step(&mut self, now: Instant, input: Input<Message>, out: &mut Outbox<Self>) {
        if self.snapshots.restored {
            self.resume(out);
        }
        match input {
            Input::Tick => self.on_tick(now, out),
            Input::Receive { from, message } => self.on_message(now, from, message, out),
            Input::Propose { ticket, batch } => self.on_propose(now, ticket, batch, out),
            Input::Read { ticket } => self.on_read(now, ticket, out),
            Input::Durable { upto } => self.on_durable(now, upto, out),
            Input::Room { available } => self.on_room(now, available, out),
            Input::Credit { peer, credit } => self.on_credit(now, peer, credit, out),
            Input::Direct { .. } => {}
            Input::Promote { ticket, .. }
            | Input::Reconfigure { ticket, .. }
            | Input::Transfer { ticket, .. } => {
                let why = Rejection::Unsupported;
                out.push(Output::Reject { ticket, why });
            }
            Input::Compact { upto, snapshot } => self.on_compact(upto, snapshot, out),
            Input::Fetched { snapshot } => self.on_fetched(now, snapshot, out),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let beat = (!self.roster.others.is_empty()).then_some(self.elector.beat_due);
        let idle = matches!(self.proposer, Proposer::Idle) && self.is_eligible();
        let bid = idle.then(|| self.elector.deadline());
        beat.into_iter().chain(bid).min()
    }

    fn status(&self) -> Status {
        let slots = &self.acceptor.slots;
        Status {
            role: match &self.proposer {
                Proposer::Leading(_) => RoleKind::Leader,
                Proposer::Preparing(_) => RoleKind::Candidate,
                Proposer::Idle if self.roster.phase_1.contains(self.config.id) => {
                    RoleKind::Follower
                }
                Proposer::Idle => RoleKind::Learner,
            },
            epoch: self.acceptor.spoken().epoch(),
            leader: self.known_leader(),
            last: slots.last(),
            durable: self.acceptor.durable(),
            committed: slots.settled(),
            compacted: slots.base(),
            bytes: slots.bytes(),
            configured: Position::ZERO,
        }
    }

    fn configuration(&self) -> &Configuration {
        &self.roster.configuration
    }

    fn chosen(&self, at: Position, bytes_max: u64) -> Option<Committed> {
        let slots = &self.acceptor.slots;
        let value = slots.run_at(at, slots.settled(), bytes_max)?;
        Some(Committed {
            first: at,
            epoch: value.born.epoch(),
            batch: value.batch,
        })
    }

    fn held(&self, at: Position, bytes_max: u64) -> Option<(Epoch, Batch)> {
        let slots = &self.acceptor.slots;
        let value = slots.run_at(at, slots.last(), bytes_max)?;
        Some((value.born.epoch(), value.batch))
    }
}
