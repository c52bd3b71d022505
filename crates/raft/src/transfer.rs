//! Handing leadership over (thesis 3.10).
//!
//! ```text
//! operator        leader                         target                      others
//!    │ Transfer     │ takes no more proposals       │                           │
//!    ├─────────────►│ Append … (what is missing)    │                           │
//!    │              ├──────────────────────────────►│                           │
//!    │              │             Accepted: has all │                           │
//!    │              │◄──────────────────────────────┤                           │
//!    │              │ TimeoutNow                    │                           │
//!    │              ├──────────────────────────────►│ (term+1, own vote to disk)│
//!    │              │ RequestVote, for the transfer │                           │
//!    │              │◄──────────────────────────────┼──────────────────────────►│
//!    │  Transferred │ hears the new leader          │                           │
//!    │◄─────────────┤                               │                           │
//! ```
//! Safety rests on none of this: the target is elected like any other, only without asking first and without the voters'
//! loyalty to a leader that wants to go. A `TimeoutNow` that comes late names a last entry that the target's log has
//! left behind, unless nothing happened in between.

use core::cmp::Reverse;

use quorate_core::{Epoch, Instant, NodeId, Output, Rejection, Report, Standing, Ticket, Unfit};

use crate::raft::{Out, Raft};
use crate::role::Role;
use crate::{Message, Point, Term};

/// Leadership on its way to another member.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    /// Who asked for it; none: the leader goes because it has no vote any more.
    ticket: Option<Ticket>,
    to: NodeId,
    /// The term that ends with it.
    term: Term,
    /// When it is given up.
    pub(crate) until: Instant,
    /// The target was told at least once.
    told: bool,
}

impl Raft {
    pub(crate) fn on_transfer(
        &mut self,
        now: Instant,
        ticket: Ticket,
        to: Option<NodeId>,
        out: &mut Out,
    ) {
        match self.target(now, to) {
            Ok(to) => self.hand_over(now, Some(ticket), to, out),
            Err(why) => out.push(Output::Reject { ticket, why }),
        }
    }

    /// Who is to lead, or why nobody.
    fn target(&self, now: Instant, to: Option<NodeId>) -> Result<NodeId, Rejection> {
        if !matches!(self.role, Role::Leader(_)) {
            return Err(self.not_leader());
        }
        if self.transfer.is_some() || to == Some(self.config.id) {
            return Err(Unfit::Busy.into());
        }
        match to {
            Some(id) if self.is_incoming(id) => Ok(id),
            Some(id) => Err(Unfit::NoVote(id).into()),
            None => Ok(self.fittest(now).ok_or(Unfit::NoQuorum)?),
        }
    }

    /// Whether `id` votes and is to go on voting.
    fn is_incoming(&self, id: NodeId) -> bool {
        let member = self.roster.configuration().member(id);
        member.is_some_and(|member| member.standing == Standing::Voter)
    }

    /// Of the voters that were heard of late the one of the highest priority; of several the one that has most.
    fn fittest(&self, now: Instant) -> Option<NodeId> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let patience = self.config.election_timeout;
        let configuration = self.roster.configuration();
        let priority = |id| configuration.member(id).map(|member| member.priority);
        let peers = leader.peers.iter();
        let alive =
            peers.filter(|peer| self.is_incoming(peer.id) && now.since(peer.heard) < patience);
        let fittest = alive.max_by_key(|peer| (priority(peer.id), peer.matched, Reverse(peer.id)));
        fittest.map(|peer| peer.id)
    }

    /// A leader without a vote goes as soon as somebody can take over.
    pub(crate) fn retire(&mut self, now: Instant, out: &mut Out) {
        match self.fittest(now) {
            // One that an operator wants is as good.
            Some(_) if self.transfer.is_some() => self.urge(now, out),
            Some(to) => self.hand_over(now, None, to, out),
            None => self.become_follower(now, None, out),
        }
    }

    fn hand_over(&mut self, now: Instant, ticket: Option<Ticket>, to: NodeId, out: &mut Out) {
        self.transfer = Some(Transfer {
            ticket,
            to,
            term: self.hard.term,
            until: now + self.config.election_timeout,
            told: false,
        });
        if let Role::Leader(leader) = &mut self.role {
            leader.lease.end();
        }
        self.urge(now, out);
    }

    /// After the target may have advanced.
    pub(crate) fn urge_once(&mut self, now: Instant, out: &mut Out) {
        if self
            .transfer
            .as_ref()
            .is_some_and(|transfer| !transfer.told)
        {
            self.urge(now, out);
        }
    }

    /// Tells the target to take over, if it has everything.
    pub(crate) fn urge(&mut self, now: Instant, out: &mut Out) {
        let (Role::Leader(leader), Some(transfer)) = (&self.role, &mut self.transfer) else {
            return;
        };
        let last = self.log.last();
        let target = leader.peer(transfer.to);
        let ready = target.is_some_and(|target| target.matched >= last.position);
        if !ready || now >= transfer.until {
            return;
        }
        transfer.told = true;
        let (to, term) = (transfer.to, self.hard.term);
        self.send(to, Message::TimeoutNow { term, last }, out);
        if self.is_left_out() {
            self.become_follower(now, None, out);
        }
    }

    /// The leader wants this member to lead: at once, without asking who would vote for it.
    pub(crate) fn on_timeout_now(
        &mut self,
        now: Instant,
        from: NodeId,
        last: Point,
        out: &mut Out,
    ) {
        let asked = match &self.role {
            Role::Follower(follower) => follower.leader == Some(from),
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => false,
        };
        let able = self.may_campaign() && self.hard.term < Term::MAX;
        if asked && able && self.log.last() == last {
            self.become_candidate(now, true, out);
        }
    }

    /// After every step in which a transfer is under way: whether it is over.
    pub(crate) fn settle_transfer(&mut self, now: Instant, out: &mut Out) {
        let Some(transfer) = &self.transfer else {
            return;
        };
        let leads = matches!(self.role, Role::Leader(_));
        let goes_on = leads && self.hard.term == transfer.term && now < transfer.until;
        if goes_on {
            return;
        }
        let (ticket, to) = (transfer.ticket, transfer.to);
        let answer = match self.known_leader().filter(|_| !leads) {
            Some(leader) => ticket.map(|ticket| Report::Transferred {
                ticket,
                to: leader,
                epoch: self.hard.term.epoch(),
            }),
            // It gave way and waits to hear to whom.
            None if !leads && ticket.is_some() && now < transfer.until => return,
            None => ticket.map(|ticket| Report::Declined {
                ticket,
                why: Unfit::Silent(to).into(),
            }),
        };
        self.transfer = None;
        if let Some(report) = answer {
            out.push(Output::Report(report));
        }
        if leads && self.is_left_out() {
            self.become_follower(now, None, out);
        }
    }

    /// As one that does not lead, though nobody else is known to.
    pub(crate) fn handing_over(&self) -> Rejection {
        Rejection::NotLeader {
            leader: None,
            epoch: self.epoch(),
        }
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.hard.spoken.epoch()
    }
}
