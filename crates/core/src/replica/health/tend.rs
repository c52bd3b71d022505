//! What a replica does with what it knows of everybody's health.

use core::cmp::Reverse;

use super::{HandOverAnswer, HandOverReason, Health, Rest, Watch};
use crate::replica::event::{Effect, Effects};
use crate::replica::wishes::Wishes;
use crate::replica::{Parcel, Replica};
use crate::{Epoch, Input, Instant, NodeId, Rejection, ReplicatedLog, StateMachine, Ticket};

impl<L: ReplicatedLog, S: StateMachine> Replica<L, S> {
    /// How this member is, as it measures itself.
    pub fn health(&self, now: Instant) -> Health {
        self.health.own(now, self.log.configuration())
    }

    /// Once in a while: tells the other voters how this one is and, as the leader, looks whether another is to lead.
    pub(in crate::replica) fn tend_health(&mut self, now: Instant, out: &mut Effects<L, S>) {
        self.note_leadership(now);
        if self.health.next.is_none_or(|next| next > now) {
            return;
        }
        self.health.next = None;
        let voters = self.log.configuration().voters();
        if !voters.contains(&self.config.id) {
            return;
        }
        self.tell_health(now, &voters, out);
        let preferring = self.leads() && L::ELECTS && self.may_prefer(&voters);
        if self.health.disk.is_waiting() || self.health.watch.amiss.is_some() || preferring {
            self.health.next = Some(now + self.health.config.every);
        }
        if self.leads() && L::ELECTS {
            self.watch_itself(now, out);
        }
    }

    /// A new leader rests first.
    fn note_leadership(&mut self, now: Instant) {
        let health = &mut self.health;
        let led = (self.leading.status.role == crate::RoleKind::Leader)
            .then_some(self.leading.status.epoch);
        if health.config.every.is_zero() || health.watch.epoch == led {
            return;
        }
        (health.watch.epoch, health.watch.amiss) = (led, None);
        if led.is_some() {
            // An order of a former epoch that is not answered will not be.
            health.watch.ordered = None;
            health.calm.on_leader(now, &health.config);
            health.next.get_or_insert(now + health.config.every);
        }
    }

    fn tell_health(&mut self, now: Instant, voters: &[NodeId], out: &mut Effects<L, S>) {
        let own = self.health(now);
        let health = &mut self.health;
        health.links.retain(voters);
        health.told.retain(|id, _| voters.contains(id));
        let patience = health.patience();
        for to in voters.iter().filter(|id| **id != self.config.id) {
            let parcel = Parcel::Health {
                round: health.links.ask(now, *to, patience),
                health: own,
                rest: health.calm.told(now),
            };
            out.push(Effect::Send { to: *to, parcel });
        }
    }

    pub(in crate::replica) fn on_health(
        &mut self,
        now: Instant,
        (from, round): (NodeId, u64),
        (health, rest): (Health, Rest),
        out: &mut Effects<L, S>,
    ) {
        self.hear_health(now, from, health, rest);
        let parcel = Parcel::HealthSeen {
            round,
            health: self.health(now),
            rest: self.health.calm.told(now),
        };
        out.push(Effect::Send { to: from, parcel });
    }

    pub(in crate::replica) fn on_health_seen(
        &mut self,
        now: Instant,
        (from, round): (NodeId, u64),
        (health, rest): (Health, Rest),
    ) {
        self.health.links.on_answer(now, from, round);
        self.hear_health(now, from, health, rest);
    }

    fn hear_health(&mut self, now: Instant, from: NodeId, health: Health, rest: Rest) {
        if self.log.configuration().votes(from) {
            self.health.told.insert(from, (health, now));
            let config = self.health.config;
            self.health.calm.hear(now, rest, &config);
        }
    }

    /// Whether some voter has a higher priority.
    fn may_prefer(&self, voters: &[NodeId]) -> bool {
        let own = self.priority(self.config.id);
        voters.iter().any(|id| self.priority(*id) > own)
    }

    fn priority(&self, id: NodeId) -> u8 {
        let member = self.log.configuration().member(id);
        member.map_or(0, |member| member.priority)
    }

    /// Hands over if the same has been amiss for long enough and leadership has rested.
    fn watch_itself(&mut self, now: Instant, out: &mut Effects<L, S>) {
        let found = self.successor(now);
        let since = match (self.health.watch.amiss, found) {
            (Some((before, since)), Some((reason, _))) if before == reason => since,
            _ => now,
        };
        self.health.watch.amiss = found.map(|(reason, _)| (reason, since));
        let Some((why, to)) = found else { return };
        let health = &mut self.health;
        let early = now.since(since) < health.config.sustained || health.calm.rests(now);
        let orders = health.watch.ordered.is_some() || self.log.configuration().is_joint();
        if early || orders {
            return;
        }
        health.calm.on_hand_over(now, &health.config);
        health.watch.amiss = None;
        let ticket = self.next_ticket();
        self.health.watch.ordered = Some((ticket, to, why));
        let answer = HandOverAnswer::Ordered;
        out.push(Effect::HandOver { to, why, answer });
        let to = Some(to);
        self.step_log(now, Input::Transfer { ticket, to }, out);
    }

    /// Who ought to lead instead of this member, and why: a voter that has what is committed, but for what is under way, was
    /// heard of late, and is well. What is slow goes before what is preferred.
    fn successor(&self, now: Instant) -> Option<(HandOverReason, NodeId)> {
        let own = self.health(now);
        let committed = self.leading.status.committed;
        let priority = self.priority(self.config.id);
        let voters = self.log.configuration().voters();
        let candidates = self.log.peers().into_iter().filter_map(|peer| {
            let (health, at) = *self.health.told.get(&peer.id)?;
            let lag = committed.0.saturating_sub(peer.matched.0);
            let near = lag <= Wishes::LAG_MAX && self.health.is_new(now, peer.heard);
            let fit = near && self.health.is_new(now, at) && voters.contains(&peer.id);
            let preferred = self.priority(peer.id) > priority;
            let why = self.health.against(own, health, preferred && fit)?;
            fit.then_some((why, peer, health))
        });
        let best = candidates.max_by_key(|(why, peer, health)| {
            let slow = *why != HandOverReason::Priority;
            let quick = (Reverse(health.disk), Reverse(health.link));
            (slow, self.priority(peer.id), quick, Reverse(peer.id))
        });
        best.map(|(why, peer, _)| (why, peer.id))
    }

    /// What became of a hand-over of this leader's own. False: `ticket` names none.
    pub(in crate::replica) fn on_hand_over_answer(
        &mut self,
        ticket: Ticket,
        answer: Result<(NodeId, Epoch), Rejection>,
        out: &mut Effects<L, S>,
    ) -> bool {
        let Watch { ordered, .. } = &mut self.health.watch;
        let Some((_, to, why)) = ordered.take_if(|(ordered, ..)| *ordered == ticket) else {
            return false;
        };
        let (to, answer) = match answer {
            Ok((leader, epoch)) => (leader, HandOverAnswer::Done(epoch)),
            Err(rejection) => (to, HandOverAnswer::Refused(rejection)),
        };
        out.push(Effect::HandOver { to, why, answer });
        true
    }
}
