//! The elector: who ought to lead, so that somebody does and two do not bid for ever.
//!
//! Safety never rests on it; Paxos is safe with any number of proposers. It answers one question, *may I bid now?*, with
//! three conditions:
//! 1. No leader was heard of for a while, a while drawn anew each time (`RELIABILITY` P10, `KNOWN_BUGS` B40). Heard of
//!    means: it was heard, or a peer that heard it says so, and it hears a quorum itself.
//! 2. This member is connected to a quorum, both ways: each of these peers says that it hears this member. A member that
//!    is not would raise ballots for nothing. Only those are said to be heard who might lead: voters, and who knows of a
//!    later configuration; so whoever was removed is connected to nobody.
//! 3. The disk has room.
//!
//! Partial connectivity (`OmniPaxos`, `EuroSys` 2023, section 2; its elector is section 5.2) then heals by itself:
//! a leader that lost its quorum stops saying that it leads (quorum loss); whoever still has one bids, also with the
//! shortest log, because phase 1 brings it what it lacks (constrained election); and where a leader is only heard
//! of, its hearers' gossip keeps others from deposing it in turns (chained).
//!
//! Who is preferred bids first: a member waits an election timeout longer for each priority above its own that a voter
//! has, three of them at most.
//!
//! Gossip is believed at first hand only: who hears a leader says so, who hears it said does not repeat it. So news of
//! a leader dies with the leader.

use alloc::vec::Vec;
use core::time::Duration;

use quorate_core::{Instant, NodeId, Position, Rng};
use smallvec::SmallVec;

use crate::roster::Roster;
use crate::{Ballot, PaxosConfig};

#[derive(Clone, Debug)]
pub(crate) struct Elector {
    peers: Vec<Peer>,
    /// The leader of the promised ballot, once it was heard.
    pub(crate) leader: Option<Ballot>,
    /// When that leader was last heard.
    leader_heard: Instant,
    /// Since when nobody was heard of that leads.
    since: Instant,
    patience: Duration,
    /// The wait was over, but nothing could be done before this.
    not_before: Instant,
    /// When to gossip next.
    pub(crate) beat_due: Instant,
    /// The highest round heard of.
    highest: u64,
    /// How many election timeouts longer it waits than others might.
    handicap: u32,
    /// It is a member no more, and those who are have a leader: it has nothing more to say.
    retired: bool,
    rng: Rng,
}

#[derive(Clone, Debug)]
struct Peer {
    id: NodeId,
    votes: bool,
    heard: Option<Instant>,
    /// When it last said that it hears this member.
    hears_me: Option<Instant>,
    /// The configuration that it has in force, as it last said.
    configured: Position,
}

impl Elector {
    pub(crate) fn new(config: &PaxosConfig, roster: &Roster, now: Instant) -> Self {
        let mut elector = Self {
            peers: Vec::new(),
            leader: None,
            leader_heard: now,
            since: now,
            patience: Duration::ZERO,
            not_before: now,
            beat_due: now,
            highest: 0,
            handicap: 0,
            retired: false,
            rng: Rng::new(config.seed ^ config.id.get().wrapping_mul(0xd134_2543_de82_ef95)),
        };
        elector.enter(config.id, roster);
        elector
    }

    /// Another configuration is in force. What is known of who stays is kept.
    pub(crate) fn enter(&mut self, me: NodeId, roster: &Roster) {
        let known = core::mem::take(&mut self.peers);
        let peers = roster.others.iter().map(|(id, _)| {
            let known = known.iter().find(|peer| peer.id == *id);
            Peer {
                id: *id,
                votes: roster.votes(*id),
                heard: known.and_then(|peer| peer.heard),
                hears_me: known.and_then(|peer| peer.hears_me),
                configured: known.map_or(Position::ZERO, |peer| peer.configured),
            }
        });
        self.peers = peers.collect();
        (self.handicap, self.retired) = (roster.handicap(me), false);
    }

    /// Begins a new wait for a leader, of a length of its own.
    pub(crate) fn wait(&mut self, now: Instant, least: Duration) {
        self.since = now;
        self.patience =
            self.rng.duration(least, least.saturating_mul(2)) + least.saturating_mul(self.handicap);
    }

    /// Somebody leads, or may be about to.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.since = now;
    }

    /// The wait is over, but nothing can be done before `until`. The patience stays what was drawn: however long nobody
    /// could lead, the next leader that falls silent is waited for no longer than any other.
    pub(crate) fn postpone(&mut self, until: Instant) {
        (self.leader, self.not_before) = (None, until);
    }

    /// When the wait is over.
    pub(crate) fn deadline(&self) -> Instant {
        (self.since + self.patience).max(self.not_before)
    }

    /// The leader of `ballot` speaks.
    pub(crate) fn on_leader(&mut self, now: Instant, ballot: Ballot) {
        (self.leader, self.leader_heard, self.since) = (Some(ballot), now, now);
        // A leader tells those who are members, so that this one must be one again.
        self.retired = false;
    }

    /// A ballot exists.
    pub(crate) fn on_round(&mut self, ballot: Ballot) {
        self.highest = self.highest.max(ballot.round);
    }

    /// A round above every one heard of and `promised`; none: there is none.
    pub(crate) fn bid(&self, promised: Ballot) -> Option<u64> {
        let highest = self.highest.max(promised.round);
        (highest < Ballot::ROUND_MAX).then(|| highest + 1)
    }

    /// Anything at all from a peer.
    pub(crate) fn on_heard(&mut self, now: Instant, from: NodeId) {
        if let Some(peer) = self.peer(from) {
            peer.heard = Some(now);
        }
    }

    pub(crate) fn on_gossip(
        &mut self,
        now: Instant,
        from: NodeId,
        (promised, configured): (Ballot, Position),
        hears_me: bool,
        follows: Option<Ballot>,
    ) {
        self.on_round(promised);
        if let Some(peer) = self.peer(from) {
            peer.configured = peer.configured.max(configured);
            if hears_me {
                peer.hears_me = Some(now);
            }
        }
        if follows.is_some() {
            self.since = now;
        }
    }

    /// Has nothing more to say, or has again.
    pub(crate) const fn retire(&mut self, retired: bool) {
        self.retired = retired;
    }

    /// Whether it has nothing more to say.
    pub(crate) const fn is_retired(&self) -> bool {
        self.retired
    }

    /// Whom this member has heard within three beats, of those who might lead it where `configured` is in force.
    pub(crate) fn hears(
        &self,
        now: Instant,
        beat: Duration,
        configured: Position,
    ) -> SmallVec<[NodeId; 8]> {
        let fresh = |peer: &&Peer| is_fresh(peer.heard, now, beat);
        let might = |peer: &&Peer| peer.votes || peer.configured > configured;
        let heard = self.peers.iter().filter(fresh).filter(might);
        heard.map(|peer| peer.id).collect()
    }

    /// Whether this member and a quorum hear each other.
    pub(crate) fn is_connected(&self, now: Instant, config: &PaxosConfig, roster: &Roster) -> bool {
        let beat = config.heartbeat_interval;
        let hears = |id: NodeId| {
            let peer = self.peers.iter().find(|peer| peer.id == id);
            peer.map_or(id == config.id, |peer| {
                is_fresh(peer.heard, now, beat) && is_fresh(peer.hears_me, now, beat)
            })
        };
        roster.phase_1.reached(hears) && roster.phase_2.reached(hears)
    }

    /// The leader that was heard within three beats.
    pub(crate) fn follows(&self, now: Instant, beat: Duration) -> Option<Ballot> {
        let fresh = is_fresh(Some(self.leader_heard), now, beat);
        self.leader.filter(|_| fresh)
    }

    fn peer(&mut self, id: NodeId) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.id == id)
    }
}

/// Three beats: one may be late, one may be lost.
fn is_fresh(heard: Option<Instant>, now: Instant, beat: Duration) -> bool {
    heard.is_some_and(|heard| now.since(heard) <= beat.saturating_mul(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_time_without_a_quorum_does_not_lengthen_the_next_wait() {
        let config = PaxosConfig::new(NodeId(1), &[1, 2, 3].map(NodeId));
        let (timeout, beat) = (config.election_timeout, config.heartbeat_interval);
        let roster = Roster::new(&config, None).expect("three voters");
        let mut now = Instant::ZERO;
        let mut elector = Elector::new(&config, &roster, now);
        elector.wait(now, timeout);
        for _ in 0..1000 {
            now = elector.deadline();
            elector.postpone(now + beat);
        }
        assert_eq!(elector.deadline(), now + beat);
        elector.touch(now);
        assert!(elector.deadline() <= now + timeout * 2);
        let ballot = Ballot {
            round: 1,
            node: NodeId(2),
        };
        elector.on_leader(now, ballot);
        assert!(elector.deadline() <= now + timeout * 2);
    }
}
