//! Votes: asked for, given, counted (Raft 5.2, 5.4.1, 6; thesis 4.2.3, 9.6).
//!
//! A vote is given by any member to any other: who asks may have a newer configuration than who answers, and may need
//! just this vote. It is counted by the configuration of the one that asks.

use core::cmp::Ordering;

use quorate_core::{Instant, NodeId};

use crate::raft::{Out, Raft};
use crate::role::Role;
use crate::{Message, Point, Term};

impl Raft {
    /// Asks every other voter of the configuration in force.
    pub(crate) fn ask_voters(&mut self, question: &Message, out: &mut Out) {
        for slot in 0..self.roster.peers().len() {
            let seat = &self.roster.peers()[slot];
            if seat.voter {
                self.send(seat.id, question.clone(), out);
            }
        }
    }

    /// Answers honestly and changes nothing. A no carries the term, so that an asker who lags behind catches up
    /// and is not refused for ever (`KNOWN_BUGS` B37).
    pub(crate) fn on_pre_vote(
        &mut self,
        now: Instant,
        from: NodeId,
        term: Term,
        last: Point,
        out: &mut Out,
    ) {
        let campaign = term.next();
        let granted = campaign > self.hard.term
            && !self.hears_other_leader(now, from)
            && last.covers(self.log.last());
        let reply = Message::PreVoteReply {
            term: self.hard.term,
            campaign,
            granted,
        };
        self.send(from, reply, out);
    }

    /// Gives this term's vote, or not. A higher term is adopted in the same record; but while a leader is heard,
    /// whoever wants to depose it is not even listened to (vote stickiness), except for a `transfer`: that leader wants
    /// to go.
    pub(crate) fn on_request_vote(
        &mut self,
        now: Instant,
        from: NodeId,
        (term, last, transfer): (Term, Point, bool),
        out: &mut Out,
    ) {
        let deposes = term > self.hard.term && !transfer;
        if deposes && self.hears_other_leader(now, from) {
            return;
        }
        let complete = last.covers(self.log.last());
        let granted = match term.cmp(&self.hard.term) {
            Ordering::Greater => {
                self.promise(term, complete.then_some(from), out);
                self.become_follower(now, None, out);
                complete
            }
            Ordering::Equal => complete && self.vote_again(now, from, out),
            Ordering::Less => false,
        };
        if granted {
            self.timer.touch(now);
        }
        let term = self.hard.term;
        self.send(from, Message::VoteReply { term, granted }, out);
    }

    /// The vote of the current term, if it is still there or already theirs.
    fn vote_again(&mut self, now: Instant, from: NodeId, out: &mut Out) -> bool {
        match &self.role {
            Role::Follower(follower) if follower.leader.is_some() => false,
            Role::Follower(_) | Role::PreCandidate(_) => {
                let free = self.hard.vote.is_none();
                if free {
                    self.promise(self.hard.term, Some(from), out);
                    self.become_follower(now, None, out);
                }
                free || self.hard.vote == Some(from)
            }
            // Both have voted for themselves.
            Role::Candidate(_) | Role::Leader(_) => false,
        }
    }

    pub(crate) fn on_pre_vote_reply(
        &mut self,
        now: Instant,
        from: NodeId,
        campaign: Term,
        granted: bool,
        out: &mut Out,
    ) {
        match &self.role {
            Role::PreCandidate(_) if granted && campaign == self.hard.term.next() => {
                self.on_grant(now, from, out);
            }
            Role::PreCandidate(_) | Role::Follower(_) | Role::Candidate(_) | Role::Leader(_) => {}
        }
    }

    pub(crate) fn on_vote_reply(
        &mut self,
        now: Instant,
        from: NodeId,
        granted: bool,
        out: &mut Out,
    ) {
        match &self.role {
            Role::Candidate(_) if granted => self.on_grant(now, from, out),
            Role::Candidate(_) | Role::PreCandidate(_) | Role::Follower(_) | Role::Leader(_) => {}
        }
    }

    /// Counts a yes, and moves on if that makes a quorum. A candidate's own yes is one only once it is on disk.
    pub(crate) fn on_grant(&mut self, now: Instant, from: NodeId, out: &mut Out) {
        let on_disk = self.hard.mark <= self.disk.durable();
        let quorum = self.roster.quorum();
        match &mut self.role {
            Role::PreCandidate(ballots) => {
                ballots.grant(from);
                // The last term there is has no successor.
                if self.hard.term < Term::MAX && quorum.reached(|member| ballots.has(member)) {
                    self.become_candidate(now, false, out);
                }
            }
            Role::Candidate(ballots) => {
                if from != self.config.id || on_disk {
                    ballots.grant(from);
                }
                if on_disk && quorum.reached(|member| ballots.has(member)) {
                    self.become_leader(now, out);
                }
            }
            Role::Follower(_) | Role::Leader(_) => {}
        }
    }

    /// Whether a leader was heard so recently that an election cannot be called for. If it is the asker itself, it
    /// leads no more.
    fn hears_other_leader(&self, now: Instant, asker: NodeId) -> bool {
        if self.is_pledged(now, asker) {
            return true;
        }
        match &self.role {
            Role::Follower(follower) => {
                follower.leader.is_some_and(|leader| leader != asker)
                    && self.timer.silence(now) < self.config.election_timeout
            }
            Role::PreCandidate(_) | Role::Candidate(_) => false,
            // It steps down by itself when it stops hearing a quorum.
            Role::Leader(_) => true,
        }
    }
}
