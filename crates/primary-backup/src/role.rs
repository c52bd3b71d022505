//! The parts a member plays, and every way from one to another.
//!
//! ```text
//!             the operator promotes it, or the primary
//!             hands over; a quorum has answered,              a quorum has agreed, none is ahead
//!             none is ahead                                   (where it is asked at all)
//!  Backup ───────────────────────────────────► Fencing ──────────────────────────► Rising
//!    ▲ ▲ │                                      ▲   │                                 │ its appointment
//!    │ │ └── by force ──────────────────────────┼───┼────────────────────────────►    │ is on disk
//!    │ │        (a primary that starts again) ──┘   │                                 ▼
//!    │ └─────────── another is ahead ───────────────┘                              Primary
//!    └───────────── a higher epoch ◄──────────────────────────────────────────────────┘
//! ```

use alloc::vec::Vec;

use quorate_core::{
    Epoch, Instant, Mark, NodeId, Output, Position, Rejection, SnapshotMeta, Ticket, Unfit,
};
use smallvec::SmallVec;

use crate::epoch::is_same_appointment;
use crate::member::{Out, PrimaryBackup};
use crate::peer::Peer;
use crate::reads::Reads;
use crate::{Configured, Point, Record, Standing};

#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Takes entries from the primary of its epoch, if there is one.
    Backup(Backup),
    /// Has the others agree to its epoch, and hears how far they are.
    Fencing(Campaign),
    /// Waits for its appointment to be on disk.
    Rising(Rising),
    /// Serves.
    Primary(Primary),
}

#[derive(Clone, Debug)]
pub(crate) struct Backup {
    /// The primary of this epoch, once heard and not silent for long.
    pub(crate) leader: Option<NodeId>,
    /// When it was.
    pub(crate) heard: Instant,
    /// Up to where the log is known to agree with that primary's.
    pub(crate) verified: Position,
    /// What was last acknowledged to it.
    pub(crate) acknowledged: Position,
    /// What it offered last: nothing else may replace anything here.
    pub(crate) offered: Option<Offer>,
    /// That nothing of the log fits was told.
    pub(crate) told_lost: bool,
    /// An operator, or the primary, wants this member to be primary, and the others are being asked how far they are.
    pub(crate) asking: Option<Campaign>,
}

/// A snapshot that a primary offers.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) meta: SnapshotMeta,
    /// Whether the primary has seen that what is committed here is not its own.
    pub(crate) lost: bool,
    /// The last configuration that it includes.
    pub(crate) configured: Option<Configured>,
}

/// The way to an epoch of its own.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    pub(crate) cause: Cause,
    pub(crate) epoch: Epoch,
    /// Who has answered, and the last entry of each.
    pub(crate) answers: SmallVec<[(NodeId, Point); 8]>,
    /// When to ask again.
    pub(crate) due: Instant,
    /// When to be content with those who have; none: never.
    pub(crate) deadline: Option<Instant>,
}

/// Why a member seeks to be primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An operator's order.
    Order(Ticket),
    /// It was primary when it stopped.
    Start,
    /// This one hands over.
    Handover(NodeId),
}

impl Cause {
    /// What is to be answered.
    pub(crate) const fn ticket(self) -> Option<Ticket> {
        match self {
            Self::Order(ticket) => Some(ticket),
            Self::Start | Self::Handover(_) => None,
        }
    }

    /// The primary without whose agreement nothing is done.
    pub(crate) const fn former(self) -> Option<NodeId> {
        match self {
            Self::Handover(former) => Some(former),
            Self::Order(_) | Self::Start => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Rising {
    pub(crate) cause: Cause,
    /// The record of its appointment.
    pub(crate) mark: Mark,
    pub(crate) missing: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Primary {
    /// The no-op of this epoch: what is before it is committed with it or later, never by itself (as Raft 5.4.2).
    pub(crate) first_own: Position,
    /// Every other member, in the order of the links.
    pub(crate) peers: Vec<Peer>,
    /// When to make itself heard again.
    pub(crate) heartbeat_due: Instant,
    /// Reads that wait for a quorum to confirm this epoch.
    pub(crate) reads: Reads,
    /// Until when it takes no writes, so that another can catch up and be promoted.
    pub(crate) paused: Option<Instant>,
    /// Who asked for the change of members that is under way.
    pub(crate) change: Option<Ticket>,
    /// Who did not take over when this primary last wanted it to, and when that was given up.
    pub(crate) failed: Option<(NodeId, Instant)>,
}

impl Primary {
    /// What is known of a backup; none: it is this member.
    pub(crate) fn peer(&self, id: NodeId) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.id == id)
    }
}

impl Campaign {
    /// Takes note of an answer; a later one replaces an earlier.
    pub(crate) fn note(&mut self, from: NodeId, last: Point) {
        self.answers.retain(|(member, _)| *member != from);
        self.answers.push((from, last));
    }

    pub(crate) fn has(&self, member: NodeId) -> bool {
        self.answers.iter().any(|(id, _)| *id == member)
    }

    /// Who has more than a log that ends at `own`, and what.
    ///
    /// A primary that goes on need not mind entries of its own appointment that its disk lacks: it cannot have
    /// acknowledged them, for its own disk always counts. Everything before them it has.
    ///
    /// Only who counts is minded: another might have more for ever, and could not be promoted in its place.
    pub(crate) fn ahead(
        &self,
        own: Point,
        counts: impl Fn(NodeId) -> bool,
    ) -> Option<(NodeId, Point)> {
        let minded = |last: &Point| {
            self.cause != Cause::Start || !is_same_appointment(last.epoch, self.epoch)
        };
        let answers = self.answers.iter();
        let ahead = answers.filter(|(id, _)| counts(*id) || self.cause.former() == Some(*id));
        ahead
            .filter(|(_, last)| last.is_ahead_of(own) && minded(last))
            .max_by_key(|(_, last)| (last.epoch, last.position))
            .copied()
    }

    /// When something is to be done even if nothing happens.
    pub(crate) fn wakes(&self) -> Instant {
        self.deadline
            .map_or(self.due, |deadline| self.due.min(deadline))
    }
}

impl Backup {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            leader: None,
            heard: now,
            verified: Position::ZERO,
            acknowledged: Position::ZERO,
            offered: None,
            told_lost: false,
            asking: None,
        }
    }
}

impl PrimaryBackup {
    /// To backup of whoever will be heard in this epoch. Whatever was going on is over, by `why` as far as it concerns
    /// a promotion.
    pub(crate) fn become_backup(&mut self, now: Instant, why: Unfit, out: &mut Out) {
        let next = Role::Backup(Backup::new(now));
        let ticket = match core::mem::replace(&mut self.role, next) {
            Role::Backup(backup) => backup.asking.and_then(|asking| asking.cause.ticket()),
            Role::Fencing(campaign) => campaign.cause.ticket(),
            Role::Rising(rising) => rising.cause.ticket(),
            Role::Primary(primary) => {
                let why = self.not_leader();
                for ticket in primary.reads.into_tickets() {
                    out.push(Output::Reject { ticket, why });
                }
                None
            }
        };
        if let Some(ticket) = ticket {
            let why = why.into();
            out.push(Output::Reject { ticket, why });
        }
    }

    /// To primary of the epoch that its own disk has appointed it for.
    pub(crate) fn become_primary(&mut self, now: Instant, out: &mut Out) {
        let Standing { epoch, appointed } = self.agreed.standing;
        assert!(
            appointed && epoch.node == self.config.id,
            "its own appointment"
        );
        assert!(
            self.agreed.mark <= self.disk.durable(),
            "the appointment is on disk"
        );
        assert!(self.state.void.is_none(), "its state is that of its log");
        self.end_handover(now, out);
        let next = self.log.last().position.next();
        let links = self.roster.links().iter();
        let peers = links.map(|link| Peer::new(link.id, next));
        self.role = Role::Primary(Primary {
            first_own: next,
            peers: peers.collect(),
            heartbeat_due: now + self.config.heartbeat_interval,
            reads: Reads::default(),
            paused: None,
            change: None,
            failed: None,
        });
        self.heartbeat_all(now, out);
        self.append_noops(now, 1, out);
    }

    /// Agrees to a higher epoch, of another member.
    pub(crate) fn adopt(&mut self, now: Instant, epoch: Epoch, out: &mut Out) {
        if let Role::Primary(_) = self.role {
            self.heard_of = Some((self.agreed.standing.epoch, self.log.last().position));
        }
        let appointed = false;
        self.agree(Standing { epoch, appointed }, out);
        self.become_backup(now, Unfit::Stale { known: epoch }, out);
    }

    /// Writes what is agreed to. What was held back under a former epoch is not said any more.
    pub(crate) fn agree(&mut self, standing: Standing, out: &mut Out) {
        let before = self.agreed.standing;
        assert!(
            standing.epoch > before.epoch || (standing.epoch == before.epoch && standing.appointed),
            "epochs rise, and an appointment is not taken back"
        );
        let mark = self.disk.persist(Record::Epoch(standing), out);
        if standing.epoch > before.epoch {
            self.disk.silence();
            self.agreed.entered = mark;
        }
        (self.agreed.standing, self.agreed.mark) = (standing, mark);
    }

    /// Why this member cannot take a request that only a primary can.
    pub(crate) fn not_leader(&self) -> Rejection {
        Rejection::NotLeader {
            leader: self.known_leader(),
            epoch: self.agreed.spoken,
        }
    }

    /// Why a primary takes no request while it hands over.
    pub(crate) const fn nobody_leads(&self) -> Rejection {
        Rejection::NotLeader {
            leader: None,
            epoch: self.agreed.spoken,
        }
    }

    /// Who is primary of the epoch that [`Status`](quorate_core::Status) shows.
    pub(crate) fn known_leader(&self) -> Option<NodeId> {
        if self.agreed.spoken < self.agreed.standing.epoch {
            return None;
        }
        match &self.role {
            Role::Backup(backup) => backup.leader,
            Role::Fencing(_) | Role::Rising(_) => None,
            Role::Primary(_) => Some(self.config.id),
        }
    }
}
