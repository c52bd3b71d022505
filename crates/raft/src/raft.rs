//! The member itself: its door, the term rule, and the one place where words leave it.

use alloc::vec::Vec;

use quorate_core::{
    Batch, Committed, Configuration, Epoch, Input, Instant, Mark, Memory, NodeId, Outbox, Output,
    PeerStatus, Position, Rejection, ReplicatedLog, RestoreError, RoleKind, Status,
};

use crate::disk::Disk;
use crate::lease::Pledge;
use crate::role::{Role, Timer};
use crate::roster::Roster;
use crate::snapshots::Snapshots;
use crate::transfer::Transfer;
use crate::{Log, Message, RaftConfig, Record, Term};

pub(crate) type Out = Outbox<Raft>;

/// One member of a Raft cluster.
#[derive(Clone, Debug)]
pub struct Raft {
    pub(crate) config: RaftConfig,
    pub(crate) roster: Roster,
    pub(crate) hard: HardState,
    pub(crate) log: Log,
    pub(crate) role: Role,
    pub(crate) timer: Timer,
    pub(crate) disk: Disk,
    pub(crate) snapshots: Snapshots,
    /// Leadership that this member is giving up.
    pub(crate) transfer: Option<Transfer>,
    /// With leases: whom this member has heard.
    pub(crate) pledge: Option<Pledge>,
    pub(crate) anomalies: u64,
}

/// Term and vote.
#[derive(Clone, Debug)]
pub(crate) struct HardState {
    pub(crate) term: Term,
    pub(crate) vote: Option<NodeId>,
    /// The record that holds them.
    pub(crate) mark: Mark,
    /// The first record of this term: the vote may follow later, in a record of its own.
    pub(crate) entered: Mark,
    /// The last term that is on disk, and so may be spoken of.
    pub(crate) spoken: Term,
}

impl Raft {
    /// How many messages were ignored because no member of this config that follows Raft can have said them.
    /// Anything but zero tells of a broken or hostile peer, or of two members with the same id.
    pub const fn anomalies(&self) -> u64 {
        self.anomalies
    }

    /// Whether this member may seek to lead.
    pub(crate) fn may_campaign(&self) -> bool {
        self.disk.room && self.roster.stands()
    }

    /// Says `message`, as soon as the term it is said in is on disk.
    pub(crate) fn send(&mut self, to: NodeId, message: Message, out: &mut Out) {
        if self.hard.mark <= self.disk.durable() {
            self.assert_kept(to, &message);
            out.send(to, message);
        } else {
            self.disk.hold(self.hard.mark, to, message);
        }
    }

    /// `RELIABILITY` D1: whatever is promised is on disk.
    fn assert_kept(&self, to: NodeId, message: &Message) {
        let durable = self.disk.durable();
        assert!(self.hard.entered <= durable, "the term is on disk");
        let voted = self.hard.vote.filter(|_| self.hard.mark <= durable);
        match message {
            Message::VoteReply { granted: true, .. } => {
                assert_eq!(voted, Some(to), "the vote is on disk");
            }
            Message::RequestVote { .. } => {
                assert_eq!(voted, Some(self.config.id), "the own vote is on disk");
            }
            Message::Accepted { matched, .. } | Message::HeartbeatReply { matched, .. } => {
                assert!(
                    *matched <= self.log.durable(),
                    "what is acknowledged is on disk"
                );
            }
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::VoteReply { granted: false, .. }
            | Message::Append(_)
            | Message::Rejected { .. }
            | Message::Heartbeat { .. }
            | Message::Commit { .. }
            | Message::Snapshot { .. }
            | Message::TimeoutNow { .. }
            | Message::NewTerm { .. } => {}
        }
    }

    fn on_tick(&mut self, now: Instant, out: &mut Out) {
        let due = self.may_campaign() && now >= self.patience();
        match &self.role {
            Role::Leader(_) => self.tick_leader(now, out),
            // Its vote is still being written: a new term would only make the slow disk slower.
            Role::Candidate(_) if due && self.hard.mark > self.disk.durable() => {
                self.timer.restart(now, self.config.election_timeout);
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) if due => {
                self.become_pre_candidate(now, out);
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
    }

    /// The term rule comes first: a later term makes a follower, an earlier one is told so.
    fn on_message(&mut self, now: Instant, from: NodeId, message: Message, out: &mut Out) {
        let slot = self.roster.slot(from);
        let stranger = slot.is_none();
        if stranger && (from == self.config.id || !message.is_heard_from_strangers()) {
            return;
        }
        if !message.is_sane() {
            self.anomalies += u64::from(!stranger);
            return;
        }
        let term = message.term();
        match &message {
            // A pre-vote promises nothing, so its term binds nobody; a vote brings its term in its own record.
            Message::PreVote { .. } | Message::RequestVote { .. } => {}
            // Who would vote for a later term may well be behind this one.
            Message::PreVoteReply { .. } if term < self.hard.term => {}
            _ if term < self.hard.term => return self.on_stale(from, &message, out),
            _ if term > self.hard.term => self.adopt(now, term, out),
            _ => {}
        }
        match message {
            Message::PreVote { term, last } => self.on_pre_vote(now, from, term, last, out),
            Message::RequestVote {
                term,
                last,
                transfer,
            } => self.on_request_vote(now, from, (term, last, transfer), out),
            Message::PreVoteReply {
                campaign, granted, ..
            } => self.on_pre_vote_reply(now, from, campaign, granted, out),
            Message::VoteReply { granted, .. } => self.on_vote_reply(now, from, granted, out),
            Message::Append(append) => self.on_append(now, from, append, out),
            Message::Heartbeat { commit, round, .. } => {
                self.on_heartbeat(now, from, commit, round, out);
            }
            Message::Commit { commit, .. } => self.on_commit(now, from, commit, out),
            Message::Snapshot {
                meta, configured, ..
            } => self.on_snapshot(now, from, meta, configured, out),
            Message::Accepted {
                verified, matched, ..
            } => {
                if let Some(slot) = slot {
                    self.on_accepted(now, slot, verified, matched, out);
                }
            }
            Message::Rejected { prev, hint, .. } => {
                if let Some(slot) = slot {
                    self.on_rejected(now, slot, prev, hint, out);
                }
            }
            Message::HeartbeatReply {
                round,
                verified,
                matched,
                ..
            } => {
                if let Some(slot) = slot {
                    self.on_heartbeat_reply(now, slot, (round, verified, matched), out);
                }
            }
            Message::TimeoutNow { last, .. } => self.on_timeout_now(now, from, last, out),
            Message::NewTerm { .. } => {}
        }
    }

    /// A former leader learns that its term is over; former answers mean nothing any more (R10).
    fn on_stale(&mut self, from: NodeId, message: &Message, out: &mut Out) {
        match message {
            Message::Append(_)
            | Message::Heartbeat { .. }
            | Message::Commit { .. }
            | Message::Snapshot { .. } => {
                let term = self.hard.term;
                self.send(from, Message::NewTerm { term }, out);
            }
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::RequestVote { .. }
            | Message::VoteReply { .. }
            | Message::Accepted { .. }
            | Message::Rejected { .. }
            | Message::HeartbeatReply { .. }
            | Message::TimeoutNow { .. }
            | Message::NewTerm { .. } => {}
        }
    }

    fn on_durable(&mut self, now: Instant, upto: Mark, out: &mut Out) {
        self.disk.on_durable(upto, out);
        if self.hard.entered <= self.disk.durable() {
            self.hard.spoken = self.hard.term;
        }
        let grown = self.log.on_durable(self.disk.durable());
        while let Some((to, message)) = self.disk.released() {
            self.assert_kept(to, &message);
            out.send(to, message);
        }
        match &self.role {
            Role::Follower(_) if grown => self.acknowledge(out),
            Role::Follower(_) | Role::PreCandidate(_) => {}
            Role::Candidate(_) => self.on_grant(now, self.config.id, out),
            Role::Leader(_) => self.after_progress(now, None, out),
        }
    }

    fn on_room(&mut self, now: Instant, available: bool, out: &mut Out) {
        self.disk.room = available;
        match &self.role {
            Role::Follower(_) if available => self.timer.touch(now),
            Role::Follower(_) => {}
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) if available => {}
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => {
                self.become_follower(now, None, out);
            }
        }
    }
}

impl ReplicatedLog for Raft {
    type Config = RaftConfig;
    type Message = Message;
    type Record = Record;
    const ELECTS: bool = true;

    fn restore(
        config: RaftConfig,
        now: Instant,
        memory: Memory<'_, Record>,
    ) -> Result<Self, RestoreError> {
        crate::restore::restore(config, now, memory)
    }

    fn step(&mut self, now: Instant, input: Input<Message>, out: &mut Outbox<Self>) {
        if self.snapshots.unwritten {
            self.write_installed(out);
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
            Input::Reconfigure { ticket, change } => self.on_reconfigure(now, ticket, &change, out),
            Input::Transfer { ticket, to } => self.on_transfer(now, ticket, to, out),
            Input::Promote { ticket, .. } => {
                let why = Rejection::Unsupported;
                out.push(Output::Reject { ticket, why });
            }
            Input::Compact { upto, snapshot } => self.on_compact(upto, snapshot, out),
            Input::Fetched { snapshot } => self.on_fetched(snapshot, out),
        }
        self.settle_transfer(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        let own = match &self.role {
            Role::Leader(leader) => (!leader.peers.is_empty()).then_some(leader.heartbeat_due),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                self.may_campaign().then(|| self.patience())
            }
        };
        let transfer = self.transfer.as_ref().map(|transfer| transfer.until);
        own.into_iter().chain(transfer).min()
    }

    fn status(&self) -> Status {
        Status {
            role: match &self.role {
                Role::Leader(_) => RoleKind::Leader,
                Role::PreCandidate(_) | Role::Candidate(_) => RoleKind::Candidate,
                Role::Follower(_) if self.roster.votes(self.config.id) => RoleKind::Follower,
                Role::Follower(_) => RoleKind::Learner,
            },
            epoch: self.epoch(),
            leader: self.known_leader(),
            last: self.log.last().position,
            durable: self.log.durable(),
            committed: self.log.committed(),
            compacted: self.log.base().position,
            bytes: self.log.bytes(),
            configured: self.roster.configured(),
        }
    }

    fn configuration(&self) -> &Configuration {
        self.roster.configuration()
    }

    fn peers(&self) -> Vec<PeerStatus> {
        let Role::Leader(leader) = &self.role else {
            return Vec::new();
        };
        let peers = leader.peers.iter();
        peers
            .map(|peer| PeerStatus {
                id: peer.id,
                matched: peer.matched,
                heard: peer.heard,
            })
            .collect()
    }

    fn lease(&self, now: Instant) -> Option<Position> {
        self.leased(now)
    }

    fn chosen(&self, at: Position, bytes_max: u64) -> Option<Committed> {
        let (run, first) = (self.log.run_at(at, bytes_max)?, at);
        let known = (self.log.committed().get() + 1).checked_sub(at.get())?;
        let batch = match known {
            0 => return None,
            known if known < run.batch.len() => run.batch.slice(0, known),
            _ => run.batch,
        };
        let epoch = run.term.epoch();
        Some(Committed {
            first,
            epoch,
            batch,
        })
    }

    fn held(&self, at: Position, bytes_max: u64) -> Option<(Epoch, Batch)> {
        let run = self.log.run_at(at, bytes_max)?;
        Some((run.term.epoch(), run.batch))
    }
}
