//! A planned change of the primary, by its own word: nothing is lost, at any level.
//!
//! The primary takes nothing more, so that its log stands still; waits until its successor has all of it on disk; and tells
//! it so ([`Message::Handover`]). The successor then goes the way of a promotion without force, by the next round, but for
//! one thing: nothing is done without the agreement of the primary that hands over, beside all that a promotion needs. So the
//! primary has stopped for sure before the successor serves, also where one disk or none acknowledges writes. Only where a
//! quorum acknowledges, one that has agreed to the new epoch makes up for a primary that is not heard any more.
//!
//! If the successor has not taken over within the patience, the primary serves again, unless it has agreed to the new epoch
//! already: then it has promised not to, and if the successor does not make it, an operator has to promote one. An order to
//! take over that comes late is good only for a log that has not grown since; whoever follows it loses nothing either.

use core::cmp::Reverse;

use quorate_core::{Instant, NodeId, Output, Position, Rejection, Report, Ticket, Unfit};

use crate::member::{Out, PrimaryBackup};
use crate::role::{Cause, Role};
use crate::{Message, Point};

/// What a primary wants, and what it waits to see when it is primary no more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handover {
    /// Who asked for it; none: this primary is left out of the configuration.
    ticket: Option<Ticket>,
    to: NodeId,
    /// Whether it was told since it has everything.
    told: bool,
    until: Instant,
}

impl PrimaryBackup {
    pub(crate) fn on_transfer(
        &mut self,
        now: Instant,
        ticket: Ticket,
        to: Option<NodeId>,
        out: &mut Out,
    ) {
        match self.successor(now, to) {
            Ok(to) => self.hand_over(now, Some(ticket), to, out),
            Err(why) => out.push(Output::Reject { ticket, why }),
        }
    }

    /// Who is to be primary next, or why nobody.
    fn successor(&self, now: Instant, to: Option<NodeId>) -> Result<NodeId, Rejection> {
        if !matches!(self.role, Role::Primary(_)) {
            return Err(self.not_leader());
        }
        let to = to.or_else(|| self.fittest(now));
        let Some(to) = to.filter(|to| *to != self.config.id && self.handover.is_none()) else {
            return Err(Unfit::Busy.into());
        };
        if self.roster.stays(to) {
            Ok(to)
        } else {
            Err(Unfit::NoVote(to).into())
        }
    }

    /// The voter that is best suited to be primary: not the one that has just failed, one that is there, of the highest
    /// priority, that has most.
    fn fittest(&self, now: Instant) -> Option<NodeId> {
        let Role::Primary(primary) = &self.role else {
            return None;
        };
        let failed = primary.failed.map(|(id, _)| id);
        let there = |heard: Option<Instant>| {
            heard.is_some_and(|heard| now.since(heard) < self.config.patience)
        };
        let configuration = self.roster.configuration();
        let peers = primary.peers.iter();
        let voters = peers.filter(|peer| self.roster.stays(peer.id));
        let best = voters.max_by_key(|peer| {
            let priority = configuration.member(peer.id).map(|member| member.priority);
            let fresh = failed != Some(peer.id);
            (
                fresh,
                there(peer.heard),
                priority,
                peer.matched,
                Reverse(peer.id),
            )
        });
        best.map(|peer| peer.id)
    }

    /// Takes no proposals from now on.
    fn hand_over(&mut self, now: Instant, ticket: Option<Ticket>, to: NodeId, out: &mut Out) {
        self.handover = Some(Handover {
            ticket,
            to,
            told: false,
            until: now + self.config.patience,
        });
        self.tell_successor(out);
    }

    /// A primary that counts for nothing any more wants another in its place, and tries again until there is one.
    pub(crate) fn leave(&mut self, now: Instant, out: &mut Out) {
        let Role::Primary(primary) = &self.role else {
            return;
        };
        let patience = self.config.patience;
        let rests = primary.failed.filter(|(_, at)| now.since(*at) < patience);
        if self.handover.is_none()
            && rests.is_none()
            && let Some(to) = self.fittest(now)
        {
            self.hand_over(now, None, to, out);
        }
    }

    /// Tells the successor to take over, once, if it has everything.
    pub(crate) fn tell_successor(&mut self, out: &mut Out) {
        let (Some(handover), Role::Primary(primary)) = (&mut self.handover, &self.role) else {
            return;
        };
        let last = self.log.last();
        let peer = primary.peer(handover.to);
        let complete = peer.is_some_and(|peer| peer.is_complete(last.position));
        if complete && !handover.told {
            handover.told = true;
            let epoch = self.agreed.standing.epoch;
            out.send(handover.to, Message::Handover { epoch, last });
        }
    }

    /// What was said may be lost: it is said again.
    pub(crate) fn tell_successor_again(&mut self, out: &mut Out) {
        if let Some(handover) = &mut self.handover {
            handover.told = false;
        }
        self.tell_successor(out);
    }

    /// The primary wants this member in its place.
    pub(crate) fn on_handover(&mut self, now: Instant, from: NodeId, last: Point, out: &mut Out) {
        if !self.follow(now, from, last.position, out) || self.log.last() != last {
            return;
        }
        // If it cannot, it says nothing: the primary serves again when its patience ends.
        if let Ok(epoch) = self.admit(None, false) {
            self.inquire(now, Cause::Handover(from), epoch, out);
        }
    }

    /// Tells a former primary that may be no member any more who is primary now.
    pub(crate) fn greet(&mut self, former: NodeId, out: &mut Out) {
        if self.roster.slot(former).is_none() {
            let heartbeat = Message::Heartbeat {
                epoch: self.agreed.standing.epoch,
                commit: Position::ZERO,
                last: self.log.last().position,
                round: 0,
            };
            self.send(former, heartbeat, out);
        }
    }

    /// This former primary hears its successor.
    pub(crate) fn handed_over(&mut self, to: NodeId, out: &mut Out) {
        let ticket = self.handover.take().and_then(|handover| handover.ticket);
        if let Some(ticket) = ticket {
            let epoch = self.agreed.standing.epoch;
            out.push(Output::Report(Report::Transferred { ticket, to, epoch }));
        }
    }

    /// When a hand-over is given up, if one is under way.
    pub(crate) fn handover_ends(&self) -> Option<Instant> {
        self.handover.map(|handover| handover.until)
    }

    pub(crate) fn tick_handover(&mut self, now: Instant, out: &mut Out) {
        if self.handover_ends().is_some_and(|until| until <= now) {
            self.end_handover(now, out);
        }
    }

    /// Nobody has taken over.
    pub(crate) fn end_handover(&mut self, now: Instant, out: &mut Out) {
        let Some(Handover { ticket, to, .. }) = self.handover.take() else {
            return;
        };
        if let Role::Primary(primary) = &mut self.role {
            primary.failed = Some((to, now));
        }
        if let Some(ticket) = ticket {
            let why = Unfit::Silent(to).into();
            out.push(Output::Reject { ticket, why });
        }
    }
}
