//! Leadership is handed over: by an operator's order, or because the leader has no vote.
//!
//! ```text
//!  leader 1                                2
//!   │ takes no proposals                   │
//!   ├───── Accept … (what it lacks) ──────►│
//!   │◄──── Accepted (all of it) ───────────┤
//!   ├───── Bid ───────────────────────────►│ bids at once, whatever else it has heard
//!   │◄──── Prepare ────────────────────────┤
//! ```
//! Phase 1 would bring the other whatever it lacks; it waits all the same, so that the time without a leader is short. A Bid
//! that arrives late makes its receiver bid late, which any member may at any time.

use quorate_core::{Instant, NodeId, Output, Position, Rejection, Report, Ticket, Unfit};

use crate::paxos::{Out, Paxos};
use crate::peer::Peer;
use crate::proposer::Proposer;
use crate::{Ballot, Message};

/// A hand-over under way, also after this member has stopped to lead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    /// The order; none: this leader has no vote.
    ticket: Option<Ticket>,
    to: NodeId,
    /// When it is given up.
    pub(crate) until: Instant,
    /// Whether the other has been asked to bid.
    asked: bool,
}

impl Paxos {
    pub(crate) fn on_transfer(
        &mut self,
        now: Instant,
        ticket: Ticket,
        to: Option<NodeId>,
        out: &mut Out,
    ) {
        match self.transferee(now, to) {
            Ok(to) => {
                self.begin_transfer(now, Some(ticket), to);
                self.make_way(now, false, out);
            }
            Err(why) => out.push(Output::Reject { ticket, why }),
        }
    }

    /// Who is to lead, or why nobody is.
    fn transferee(&self, now: Instant, to: Option<NodeId>) -> Result<NodeId, Rejection> {
        let Proposer::Leading(leading) = &self.proposer else {
            return Err(self.not_leader());
        };
        if leading.stop.is_some() {
            return Err(quorate_core::ChangeError::UnderWay.into());
        }
        match to {
            _ if self.transfer.is_some() => Err(Unfit::Busy.into()),
            Some(to) if to == self.config.id => Err(Unfit::Busy.into()),
            Some(to) if !self.roster.votes(to) => Err(Unfit::NoVote(to).into()),
            Some(to) => Ok(to),
            None => self.fittest(now).ok_or(Unfit::NoQuorum.into()),
        }
    }

    /// The voter that is fittest to lead, of those that were heard of late.
    fn fittest(&self, now: Instant) -> Option<NodeId> {
        let timeout = self.config.election_timeout;
        self.preferred(|peer| now.since(peer.heard) < timeout)
    }

    /// The preferred voter, and of several the one that has most.
    fn preferred(&self, fit: impl Fn(&Peer) -> bool) -> Option<NodeId> {
        let Proposer::Leading(leading) = &self.proposer else {
            return None;
        };
        let configuration = self.roster.configuration();
        let priority = |id| configuration.member(id).map_or(0, |member| member.priority);
        let voters = leading
            .peers
            .iter()
            .filter(|peer| self.roster.votes(peer.id));
        let best = voters.filter(|peer| fit(peer));
        let best = best.max_by_key(|peer| (priority(peer.id), peer.matched(), peer.heard));
        best.map(|peer| peer.id)
    }

    /// A voter that has everything that is handed out here.
    pub(crate) fn heir(&self) -> Option<NodeId> {
        let settled = self.acceptor.slots.settled();
        self.preferred(|peer| peer.matched() >= settled)
    }

    /// Whether this member is not to lead on.
    pub(crate) fn makes_way(&self) -> bool {
        self.transfer.is_some() || !self.roster.voter
    }

    fn begin_transfer(&mut self, now: Instant, ticket: Option<Ticket>, to: NodeId) {
        self.transfer = Some(Transfer {
            ticket,
            to,
            until: now + self.config.election_timeout,
            asked: false,
        });
    }

    /// Goes on with handing over: asks the other to bid once it has everything, and at every `beat` again.
    pub(crate) fn make_way(&mut self, now: Instant, beat: bool, out: &mut Out) {
        if self.transfer.is_none()
            && !self.roster.voter
            && let Some(to) = self.fittest(now)
        {
            self.begin_transfer(now, None, to);
        }
        let Some(transfer) = self.transfer.filter(|transfer| beat || !transfer.asked) else {
            return;
        };
        let Some((leading, _, view)) = self.lead_view(now) else {
            return;
        };
        let (to, ballot) = (transfer.to, view.ballot);
        let peer = leading.peers.iter().find(|peer| peer.id == to);
        if peer.is_some_and(|peer| peer.matched() >= view.last) {
            // Its word frees acceptors from what they have pledged to this ballot.
            leading.tenure.end();
            let asked = true;
            self.transfer = Some(Transfer { asked, ..transfer });
            self.ask_to_bid(to, ballot, out);
        }
    }

    pub(crate) fn ask_to_bid(&self, to: NodeId, ballot: Ballot, out: &mut Out) {
        let chosen = self.acceptor.slots.settled();
        out.send(to, Message::Bid { ballot, chosen });
    }

    /// The leader of the promised ballot wants this member to lead.
    pub(crate) fn on_bid(
        &mut self,
        now: Instant,
        (from, ballot): (NodeId, Ballot),
        chosen: Position,
        out: &mut Out,
    ) {
        if !self.follow(now, from, ballot, out) {
            return;
        }
        self.learn(now, ballot, chosen, out);
        let idle = matches!(self.proposer, Proposer::Idle);
        if idle && self.disk.room && self.roster.voter {
            self.campaign(now, Some(ballot), out);
        }
    }

    /// A leader is heard: the hand-over is over, whoever it is.
    pub(crate) fn on_successor(&mut self, ballot: Ballot, out: &mut Out) {
        let Some(Transfer { ticket, .. }) = self.transfer.take() else {
            return;
        };
        if let Some(ticket) = ticket {
            let (to, epoch) = (ballot.node, ballot.epoch());
            out.push(Output::Report(Report::Transferred { ticket, to, epoch }));
        }
    }

    /// This member leads no longer, so that nobody has to take over from it because it has no vote.
    pub(crate) fn leave_off(&mut self) {
        self.transfer.take_if(|transfer| transfer.ticket.is_none());
    }

    /// Gives a hand-over up that takes too long: this member serves again, or tries another.
    pub(crate) fn tick_transfer(&mut self, now: Instant, out: &mut Out) {
        let late = |transfer: &mut Transfer| now >= transfer.until;
        let Some(Transfer { ticket, to, .. }) = self.transfer.take_if(late) else {
            return;
        };
        if let Some(ticket) = ticket {
            let why = Unfit::Silent(to).into();
            out.push(Output::Reject { ticket, why });
        }
    }
}
