//! The member itself: all its agents, its door, and the one place where words leave it.

use alloc::vec::Vec;

use quorate_core::{
    Batch, Committed, Configuration, Epoch, Input, Instant, Mark, Memory, NodeId, Outbox, Output,
    PeerStatus, Position, Ranges, Rejection, ReplicatedLog, RestoreError, RoleKind, Status,
};
use smallvec::SmallVec;

use crate::acceptor::Acceptor;
use crate::disk::{Disk, Owed};
use crate::elector::Elector;
use crate::learner::Learner;
use crate::message::{Accepted, Promise};
use crate::peer::Peer;
use crate::proposer::Proposer;
use crate::roster::Roster;
use crate::snapshots::Snapshots;
use crate::transfer::Transfer;
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
    /// The hand-over that this member has begun.
    pub(crate) transfer: Option<Transfer>,
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
            Owed::Fetch => {
                if let Some(snapshot) = self.snapshots.wanted(chosen) {
                    out.push(Output::Fetch { from: to, snapshot });
                }
            }
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
            let newest = self.snapshots.newest.clone();
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
        if !message.is_sane(from) {
            self.anomalies += 1;
            return;
        }
        self.elector.on_heard(now, from);
        match message {
            Message::Prepare {
                ballot,
                at,
                configured,
                released,
            } => self.on_prepare(now, from, (ballot, at), (configured, released), out),
            Message::Promise(promise) => self.on_promise(now, from, promise, out),
            Message::Accept {
                ballot,
                chosen,
                first,
                values,
            } => self.on_accept(now, (from, ballot, chosen), first, values, out),
            Message::Accepted(accepted) => {
                if let Some(index) = self.roster.index(from) {
                    self.on_accepted(now, index, &accepted, out);
                }
            }
            Message::Nack { promised } => self.on_nack(now, from, promised, out),
            Message::Chosen { ballot, upto } => {
                if self.follow(now, from, ballot, out) {
                    self.learn(now, ballot, upto, out);
                }
            }
            Message::Bid { ballot, chosen } => self.on_bid(now, (from, ballot), chosen, out),
            Message::Heartbeat {
                ballot,
                chosen,
                round,
            } => {
                if self.follow(now, from, ballot, out) {
                    self.round = self.round.max(round);
                    self.acceptor.pledge.give(ballot, now, &self.config);
                    self.learn(now, ballot, chosen, out);
                    self.answer(from, Owed::Accepted, out);
                }
            }
            Message::Snapshot { ballot, offer } => {
                if self.follow(now, from, ballot, out) {
                    self.on_offer(from, offer, out);
                }
            }
            Message::Gossip {
                promised,
                configured,
                hears,
                follows,
                answer,
            } => {
                let me = hears.contains(&self.config.id);
                let known = (promised, configured);
                self.elector.on_gossip(now, from, known, me, follows);
                if configured >= self.roster.configured() {
                    let led = follows.is_some_and(|leader| leader.node != self.config.id);
                    self.on_standing(now, answer && led, out);
                }
                if !answer {
                    self.answer_stranger(now, from, configured, out);
                }
            }
        }
    }

    /// A ballot is outbid. Only the own one matters; the round is remembered for the next bid.
    fn on_nack(&mut self, now: Instant, from: NodeId, promised: Ballot, out: &mut Out) {
        if self.roster.index(from).is_none() {
            return;
        }
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
            Proposer::Idle if self.may_campaign(now) => self.campaign(now, None, out),
            Proposer::Idle => self.elector.postpone(self.elector.beat_due),
        }
        self.tick_transfer(now, out);
        if beat && !self.elector.is_retired() {
            let message = self.gossip(now);
            for (peer, _) in &self.roster.others {
                out.send(*peer, message.clone());
            }
        }
    }

    /// Whom this member hears, and whether there is a leader.
    fn gossip(&self, now: Instant) -> Message {
        let beat = self.config.heartbeat_interval;
        let configured = self.roster.configured();
        let follows = match &self.proposer {
            Proposer::Leading(_) => Some(self.acceptor.promised()),
            Proposer::Preparing(_) => None,
            Proposer::Idle => self.elector.follows(now, beat),
        };
        Message::Gossip {
            promised: self.acceptor.spoken(),
            configured,
            hears: self.elector.hears(now, beat, configured),
            follows: follows.filter(|_| self.acceptor.is_spoken()),
            answer: false,
        }
    }

    /// Who knows no fewer configurations than this member takes it for a member, or for none while others have a leader.
    fn on_standing(&mut self, now: Instant, gone: bool, out: &mut Out) {
        match &self.proposer {
            Proposer::Idle => self.elector.retire(gone),
            Proposer::Preparing(_) if gone => {
                self.step_down(now, out);
                self.elector.retire(true);
            }
            // It hands over in time, or is outbid.
            Proposer::Preparing(_) | Proposer::Leading(_) => {}
        }
    }

    /// Tells who is no member here whether the members have a leader; and, if it is ahead in configurations, that it is
    /// heard: it may have to bid, since it knows the members and they do not know themselves yet.
    fn answer_stranger(&self, now: Instant, from: NodeId, configured: Position, out: &mut Out) {
        if self.roster.index(from).is_some() || from == self.config.id {
            return;
        }
        let mut message = self.gossip(now);
        if let Message::Gossip { hears, answer, .. } = &mut message {
            *answer = true;
            if configured > self.roster.configured() {
                hears.push(from);
            }
        }
        out.send(from, message);
    }

    /// Whether a bid of this member could succeed.
    fn may_campaign(&self, now: Instant) -> bool {
        let bound = self.acceptor.pledge.until();
        self.is_eligible()
            && bound.is_none_or(|until| now >= until)
            && self.elector.is_connected(now, &self.config, &self.roster)
    }

    /// Whether it may lead. A member without a vote may, for those who have one and do not know yet: all others refuse it
    /// their promise, and say that they do not hear it. Before the log has named any members it has no such knowledge.
    fn is_eligible(&self) -> bool {
        let knows = self.roster.configured() > Position::ZERO;
        self.disk.room && !self.elector.is_retired() && (self.roster.voter || knows)
    }

    fn on_durable(&mut self, now: Instant, upto: Mark, out: &mut Out) {
        let spoken = self.acceptor.is_spoken();
        self.disk.on_durable(upto, out);
        let grown = self.acceptor.on_durable(self.disk.durable());
        while let Some((to, answer)) = self.disk.due() {
            self.say(to, answer, out);
        }
        if !spoken && self.acceptor.is_spoken() {
            self.deliver(now, out);
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

    /// Why this member cannot take what only a leader can. One that leads and does not take it expects to be another, or
    /// to lead another ballot, soon.
    pub(crate) fn not_leader(&self) -> Rejection {
        let leads = matches!(self.proposer, Proposer::Leading(_));
        Rejection::NotLeader {
            leader: self.known_leader().filter(|_| !leads),
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
    const ELECTS: bool = true;

    fn restore(
        config: PaxosConfig,
        now: Instant,
        memory: Memory<'_, Record>,
    ) -> Result<Self, RestoreError> {
        crate::restore::restore(config, now, memory)
    }

    fn step(&mut self, now: Instant, input: Input<Message>, out: &mut Outbox<Self>) {
        if self.snapshots.restored {
            self.resume(now, out);
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
            Input::Promote { ticket, .. } => {
                let why = Rejection::Unsupported;
                out.push(Output::Reject { ticket, why });
            }
            Input::Reconfigure { ticket, change } => {
                self.on_reconfigure(now, ticket, &change, out);
            }
            Input::Transfer { ticket, to } => self.on_transfer(now, ticket, to, out),
            Input::Compact { upto, snapshot } => self.on_compact(upto, snapshot, out),
            Input::Fetched { snapshot } => self.on_fetched(now, snapshot, out),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let beat = !self.elector.is_retired() && !self.roster.others.is_empty();
        let beat = beat.then_some(self.elector.beat_due);
        let idle = matches!(self.proposer, Proposer::Idle) && self.is_eligible();
        let bid = idle.then(|| self.elector.deadline());
        let late = self.transfer.map(|transfer| transfer.until);
        beat.into_iter().chain(bid).chain(late).min()
    }

    fn status(&self) -> Status {
        let slots = &self.acceptor.slots;
        Status {
            role: match &self.proposer {
                Proposer::Leading(_) => RoleKind::Leader,
                Proposer::Preparing(_) => RoleKind::Candidate,
                Proposer::Idle if self.roster.voter => RoleKind::Follower,
                Proposer::Idle => RoleKind::Learner,
            },
            epoch: self.acceptor.spoken().epoch(),
            leader: self.known_leader(),
            last: slots.last(),
            durable: self.acceptor.durable(),
            committed: slots.settled(),
            compacted: slots.base(),
            bytes: slots.bytes(),
            configured: self.roster.configured(),
        }
    }

    fn configuration(&self) -> &Configuration {
        self.roster.configuration()
    }

    fn peers(&self) -> Vec<PeerStatus> {
        match &self.proposer {
            Proposer::Leading(leading) => leading.peers.iter().map(Peer::status).collect(),
            Proposer::Idle | Proposer::Preparing(_) => Vec::new(),
        }
    }

    fn lease(&self, now: Instant) -> Option<Position> {
        self.lease_at(now)
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
