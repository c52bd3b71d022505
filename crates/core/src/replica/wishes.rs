//! Learners that wish to vote, and get their vote by themselves once they have caught up.

use core::time::Duration;

use super::event::{Effect, Effects};
use super::{Replica, WishAnswer};
use crate::{
    Change, Configuration, Input, Instant, NodeId, Position, Rejection, ReplicatedLog, Standing,
    StateMachine, Ticket, Wish,
};

/// What the leader knows of the learner whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// When to look again; none: nobody wishes anything.
    next: Option<Instant>,
    /// Who is close behind, and since when.
    close: Option<(NodeId, Instant)>,
    /// The order that is under way: the log's name for it, and whose wish it is.
    ordered: Option<(Ticket, NodeId)>,
}

impl Wishes {
    /// Positions that a learner may be behind what is committed, and counts as caught up.
    pub(super) const LAG_MAX: u64 = 4096;
    /// How long it has to stay so close.
    const AFTER: Duration = Duration::from_secs(1);
    /// How often to look.
    const EVERY: Duration = Duration::from_millis(250);

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// The order that `ticket` names is answered herewith: whose wish it was.
    fn answer(&mut self, ticket: Ticket) -> Option<NodeId> {
        let (_, member) = self.ordered.take_if(|(ordered, _)| *ordered == ticket)?;
        self.close = None;
        Some(member)
    }
}

impl<L: ReplicatedLog, S: StateMachine> Replica<L, S> {
    /// As the leader: orders the change that a learner wishes for, once it has been close behind for a while; one at a
    /// time, again and again until it comes about.
    pub(super) fn grant_wishes(&mut self, now: Instant, out: &mut Effects<L, S>) {
        let configuration = self.log.configuration();
        if !self.leads() || !wishing(configuration).any(|_| true) {
            self.wishes = Wishes::default();
            return;
        }
        if self.wishes.next.is_some_and(|next| next > now) {
            return;
        }
        self.wishes.next = Some(now + Wishes::EVERY);
        if self.wishes.ordered.is_some() || configuration.is_joint() {
            return;
        }
        let Some((member, wish)) = self.closest(now) else {
            self.wishes.close = None;
            return;
        };
        let since = match self.wishes.close {
            Some((close, since)) if close == member => since,
            _ => now,
        };
        self.wishes.close = Some((member, since));
        if now.since(since) < Wishes::AFTER {
            return;
        }
        let change = match wish {
            Wish::Replace(old) if self.log.configuration().contains(old) => {
                Change::Replace { old, new: member }
            }
            Wish::Replace(_) | Wish::Vote => Change::Promote(member),
        };
        let ticket = self.next_ticket();
        self.wishes.ordered = Some((ticket, member));
        let answer = WishAnswer::Ordered;
        out.push(Effect::Wish { member, answer });
        self.step_log(now, Input::Reconfigure { ticket, change }, out);
    }

    /// The learner that is close behind: the one of before, or the first.
    fn closest(&self, now: Instant) -> Option<(NodeId, Wish)> {
        let committed = self.leading.status.committed;
        let peers = self.log.peers();
        let close = |id: NodeId| {
            let peer = peers.iter().find(|peer| peer.id == id);
            peer.is_some_and(|peer| {
                let lag = committed.0.saturating_sub(peer.matched.0);
                lag <= Wishes::LAG_MAX && now.since(peer.heard) <= Wishes::AFTER
            })
        };
        let mut all = wishing(self.log.configuration()).filter(|(id, _)| close(*id));
        let before = self.wishes.close.map(|(id, _)| id);
        let first = all.next()?;
        let again = core::iter::once(first)
            .chain(all)
            .find(|(id, _)| Some(*id) == before);
        Some(again.unwrap_or(first))
    }

    /// What became of an order that was given for a learner. False: it is none of those.
    pub(super) fn on_wish_answer(
        &mut self,
        ticket: Ticket,
        answer: Result<Position, Rejection>,
        out: &mut Effects<L, S>,
    ) -> bool {
        let Some(member) = self.wishes.answer(ticket) else {
            return false;
        };
        let answer = answer.map_or_else(WishAnswer::Refused, WishAnswer::Granted);
        out.push(Effect::Wish { member, answer });
        true
    }
}

/// Who wishes what.
fn wishing(configuration: &Configuration) -> impl Iterator<Item = (NodeId, Wish)> {
    let learners = configuration.members().iter();
    learners
        .filter(|member| member.standing == Standing::Learner)
        .filter_map(|member| Some((member.id, member.wish?)))
}
