//! The parts a member plays, and every way from one to another.
//!
//! ```text
//!              times out            a quorum would vote      a quorum voted, own vote on disk
//!  Follower ──────────────► PreCandidate ──────────► Candidate ──────────────► Leader
//!     ▲ ▲                        │                       │                        │
//!     │ └── hears the leader ────┘                       │                        │
//!     ├──── hears the leader of its term ────────────────┘                        │
//!     └──── a higher term · no room · no quorum within an election timeout ───────┘
//! ```

use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use quorate_core::{Instant, NodeId, Output, Position, Rejection, Rng, Ticket};
use smallvec::SmallVec;

use crate::lease::Tenure;
use crate::progress::Peer;
use crate::raft::{Out, Raft};
use crate::reads::Reads;
use crate::roster::Seat;
use crate::{Message, Record, Term};

#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Takes entries from a leader, if there is one. Learners are always this.
    Follower(Follower),
    /// Asks who would vote for it. Its term is not touched.
    PreCandidate(Ballots),
    /// Asks for votes in its term. Its own vote counts once it is on disk.
    Candidate(Ballots),
    /// Leads its term.
    Leader(Leader),
}

#[derive(Clone, Debug)]
pub(crate) struct Follower {
    /// Who leads this term, once known.
    pub(crate) leader: Option<NodeId>,
    /// Up to where the log is known to agree with that leader's: what is chosen always does (5.4.3).
    pub(crate) verified: Position,
    /// What was last acknowledged to it.
    pub(crate) acknowledged: Position,
}

/// Who said yes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ballots {
    granted: SmallVec<[NodeId; 8]>,
}

impl Ballots {
    /// Counts a yes, once.
    pub(crate) fn grant(&mut self, from: NodeId) {
        if !self.has(from) {
            self.granted.push(from);
        }
    }

    /// Whether `member` said yes.
    pub(crate) fn has(&self, member: NodeId) -> bool {
        self.granted.contains(&member)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Leader {
    /// The no-op of this term: only from here on does counting replicas commit (5.4.2).
    pub(crate) first_own: Position,
    /// Every other member, in the order of the roster.
    pub(crate) peers: Vec<Peer>,
    /// When to make itself heard again.
    pub(crate) heartbeat_due: Instant,
    /// Reads that wait for a quorum to confirm this leadership.
    pub(crate) reads: Reads,
    pub(crate) lease: Tenure,
    /// Who asked for the change of members that is under way; none: none is, or a former leader began it.
    pub(crate) change: Option<Ticket>,
}

impl Leader {
    /// Gives every one of `seats` its place, in their order. Of those that are new nothing is known but that they seem
    /// alive, and they are sent what follows from `next` on.
    pub(crate) fn seat(&mut self, seats: &[Seat], next: Position, now: Instant) {
        let mut known = mem::take(&mut self.peers);
        let seats = seats.iter();
        let peers = seats.map(
            |seat| match known.iter().position(|peer| peer.id == seat.id) {
                Some(index) => known.swap_remove(index),
                None => Peer::new(seat.id, next, now),
            },
        );
        self.peers = peers.collect();
    }
}

/// The election timer: one deadline behind whatever was heard last, drawn anew each time it has run out.
#[derive(Clone, Debug)]
pub(crate) struct Timer {
    since: Instant,
    timeout: Duration,
    rng: Rng,
}

impl Timer {
    pub(crate) fn new(now: Instant, rng: Rng) -> Self {
        Self {
            since: now,
            timeout: Duration::ZERO,
            rng,
        }
    }

    /// Something was heard that puts an election off.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.since = now;
    }

    /// Begins a new wait between `least` and twice that, of a length of its own (`KNOWN_BUGS` B40).
    pub(crate) fn restart(&mut self, now: Instant, least: Duration) {
        self.since = now;
        self.timeout = self.rng.duration(least, least.saturating_mul(2));
    }

    /// When the wait is over.
    pub(crate) fn deadline(&self) -> Instant {
        self.since + self.timeout
    }

    /// How long ago something was heard.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        now.since(self.since)
    }
}

impl Raft {
    /// To follower within the same term, or in a term just adopted.
    pub(crate) fn become_follower(&mut self, now: Instant, leader: Option<NodeId>, out: &mut Out) {
        assert_ne!(leader, Some(self.config.id), "nobody follows itself");
        let committed = self.log.committed();
        let next = Role::Follower(Follower {
            leader,
            verified: committed,
            acknowledged: Position::ZERO,
        });
        let before = mem::replace(&mut self.role, next);
        if !matches!(before, Role::Follower(_)) || leader.is_some() {
            self.await_leader(now);
        }
        if let Role::Leader(leader) = before {
            if let Some(transfer) = &mut self.transfer {
                // An election may take a few tries.
                transfer.until = now + self.config.election_timeout.saturating_mul(4);
            }
            let why = self.not_leader();
            for ticket in leader.reads.into_tickets() {
                out.push(Output::Reject { ticket, why });
            }
        }
    }

    /// To pre-candidate, from any part but leader: the term stays.
    pub(crate) fn become_pre_candidate(&mut self, now: Instant, out: &mut Out) {
        assert!(
            !matches!(self.role, Role::Leader(_)),
            "a leader steps down first"
        );
        assert!(self.may_campaign(), "no vote or no room");
        self.timer.restart(now, self.config.election_timeout);
        self.role = Role::PreCandidate(Ballots::default());
        let (term, last) = (self.hard.term, self.log.last());
        self.ask_voters(&Message::PreVote { term, last }, out);
        self.on_grant(now, self.config.id, out);
    }

    /// To candidate of the next term: term and own vote in one record, and not a word before it is on disk. For a
    /// `transfer`, if the leader wants it.
    pub(crate) fn become_candidate(&mut self, now: Instant, transfer: bool, out: &mut Out) {
        assert!(
            transfer || matches!(self.role, Role::PreCandidate(_)),
            "pre-vote comes first"
        );
        self.timer.restart(now, self.config.election_timeout);
        self.role = Role::Candidate(Ballots::default());
        self.promise(self.hard.term.next(), Some(self.config.id), out);
        let (term, last) = (self.hard.term, self.log.last());
        let question = Message::RequestVote {
            term,
            last,
            transfer,
        };
        self.ask_voters(&question, out);
    }

    /// To leader of the term it campaigned in.
    pub(crate) fn become_leader(&mut self, now: Instant, out: &mut Out) {
        assert!(
            matches!(self.role, Role::Candidate(_)),
            "only a candidate is elected"
        );
        assert!(
            self.hard.vote == Some(self.config.id) && self.hard.mark <= self.disk.durable(),
            "its own vote is on disk"
        );
        let last = self.log.last().position;
        let mut leader = Leader {
            first_own: last.next(),
            peers: Vec::new(),
            heartbeat_due: now + self.config.heartbeat_interval,
            reads: Reads::default(),
            lease: Tenure::default(),
            change: None,
        };
        leader.seat(self.roster.peers(), last.next(), now);
        self.role = Role::Leader(leader);
        // Control first: it stops other elections even where bulk has to wait.
        self.beat(now, out);
        self.append_noop(now, out);
    }

    /// Adopts a higher term without voting in it.
    pub(crate) fn adopt(&mut self, now: Instant, term: Term, out: &mut Out) {
        self.promise(term, None, out);
        self.become_follower(now, None, out);
    }

    /// Writes term and vote. What was held back under the former term is not said any more.
    pub(crate) fn promise(&mut self, term: Term, vote: Option<NodeId>, out: &mut Out) {
        let hard = &self.hard;
        assert!(
            term > hard.term || (term == hard.term && (hard.vote.is_none() || hard.vote == vote)),
            "terms rise and a vote is given once"
        );
        let record = Record::Vote {
            term,
            voted_for: vote,
        };
        let mark = self.disk.persist(record, out);
        if term > self.hard.term {
            self.disk.silence();
            self.hard.entered = mark;
        }
        (self.hard.term, self.hard.vote, self.hard.mark) = (term, vote, mark);
    }

    /// Why this member cannot take a request that only a leader can.
    pub(crate) fn not_leader(&self) -> Rejection {
        Rejection::NotLeader {
            leader: self.known_leader(),
            epoch: self.epoch(),
        }
    }

    /// Who leads the term that [`Status`](quorate_core::Status) shows.
    pub(crate) fn known_leader(&self) -> Option<NodeId> {
        if self.hard.spoken < self.hard.term {
            return None;
        }
        match &self.role {
            Role::Follower(follower) => follower.leader,
            Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.config.id),
        }
    }

    /// Waits anew for a leader. Who is a quorum by itself has none to wait for, unless it may owe one its loyalty.
    pub(crate) fn await_leader(&mut self, now: Instant) {
        let alone = self.roster.decides_alone(self.config.id) && self.config.lease.is_none();
        let least = if alone {
            Duration::ZERO
        } else {
            self.config.election_timeout
        };
        self.timer.restart(now, least);
    }

    /// When this member seeks to lead if it hears nothing: the lower its priority, the later, by the configuration in
    /// force.
    pub(crate) fn patience(&self) -> Instant {
        let step = self.config.election_timeout;
        self.timer.deadline() + step.saturating_mul(self.roster.handicap())
    }
}
