//! Reads that ask nobody, for as long as clocks can be trusted. Off unless the config says how far they can.
//!
//! An acceptor that has heard a heartbeat promises nothing to anybody else within an election timeout ([`Pledge`]). Every
//! later ballot's phase 1 needs a member of each phase 2 quorum; so if such a quorum has answered a round of heartbeats
//! that began at *t*, no other ballot gets through phase 1 before *t* + the election timeout, as the slowest leader's and
//! the fastest acceptor's clocks have it. Until then, less the drift, nothing is chosen that this leader did not choose.
//!
//! A lease belongs to one ballot (`RELIABILITY` P15): it ends with it, and a new one begins with none. It does not outlive
//! the configuration under which the quorum counted: others learn from this leader that there is another, after it has
//! left its ballot or counts anew. And a leader that asks another to bid has no lease in that ballot any more, since its
//! word frees acceptors from their pledge, and may arrive late.
//!
//! Who starts anew does not know whom it has answered, and pledges itself to whoever it has promised last.

use alloc::collections::VecDeque;
use core::time::Duration;

use quorate_core::{Instant, Position};

use crate::paxos::Paxos;
use crate::proposer::Proposer;
use crate::{Ballot, PaxosConfig};

/// How far clocks may be trusted. The same on all members, or none has leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// By how many millionths the time on one member's monotonic clock may fall short of that on another's: a leader
    /// takes a lease to be shorter by so much. With one clock twice as fast as another it is half a million.
    pub drift_ppm: u32,
}

impl Lease {
    /// What a clock that is slow shows of `time` on one that is fast, at least.
    fn shorten(self, time: Duration) -> Duration {
        let kept = u128::from(1_000_000u32.saturating_sub(self.drift_ppm));
        let nanos = time.as_nanos() * kept / 1_000_000;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What a leader knows of its lease.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenure {
    /// Rounds of heartbeats that no quorum has answered yet, and when they began.
    begun: VecDeque<(u64, Instant)>,
    /// When the newest began that a quorum has answered.
    since: Option<Instant>,
    /// There is no lease in this ballot any more.
    ended: bool,
}

impl Tenure {
    /// The leader has asked another member to bid.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// A round begins. Those that began an election timeout ago make no lease any more.
    pub(crate) fn begin(&mut self, round: u64, now: Instant, timeout: Duration) {
        let is_old = |(_, begun): &mut (u64, Instant)| now.since(*begun) >= timeout;
        while self.begun.pop_front_if(is_old).is_some() {}
        self.begun.push_back((round, now));
    }

    /// A quorum has answered the rounds up to `round`.
    pub(crate) fn on_answered(&mut self, round: u64) {
        while let Some((_, begun)) = self.begun.pop_front_if(|(begun, _)| *begun <= round) {
            self.since = Some(begun);
        }
    }

    fn holds(&self, now: Instant, lease: Lease, config: &PaxosConfig) -> bool {
        let left = lease.shorten(config.election_timeout);
        let holds = |since: Instant| since + left > now;
        !self.ended && self.since.is_some_and(holds)
    }
}

/// Whom an acceptor has answered: until a certain time it promises nothing to anybody else.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pledge {
    /// The leader's ballot; zero: none.
    to: Ballot,
    until: Option<Instant>,
}

impl Pledge {
    /// After a start: whatever this member answered before, it was in the ballot that it had promised or a lower one.
    pub(crate) fn restored(promised: Ballot, now: Instant, config: &PaxosConfig) -> Self {
        let mut pledge = Self::default();
        pledge.give(promised, now, config);
        pledge
    }

    /// The leader of `ballot` is heard, or this member is that leader.
    pub(crate) fn give(&mut self, ballot: Ballot, now: Instant, config: &PaxosConfig) {
        if config.lease.is_some() {
            (self.to, self.until) = (ballot, Some(now + config.election_timeout));
        }
    }

    /// Whether `ballot` may be promised, which the leader of `released` has asked its proposer to bid for. Another
    /// ballot of the same leader may: it has left the one before.
    pub(crate) fn allows(&self, ballot: Ballot, released: Option<Ballot>, now: Instant) -> bool {
        let over = self.until.is_none_or(|until| now >= until);
        over || ballot.node == self.to.node || released == Some(self.to)
    }

    /// When it is over.
    pub(crate) const fn until(&self) -> Option<Instant> {
        self.until
    }
}

impl Paxos {
    /// From where on a read is linearizable that begins now and asks nobody.
    ///
    /// Everything earlier ballots may have chosen is handed out, as for every read ([`reads`](crate::reads)).
    pub(crate) fn lease_at(&self, now: Instant) -> Option<Position> {
        let (Proposer::Leading(leading), Some(lease)) = (&self.proposer, self.config.lease) else {
            return None;
        };
        let at = self.acceptor.slots.settled();
        let serves = at >= leading.found && !self.makes_way() && leading.stop.is_none();
        let holds = serves && leading.tenure.holds(now, lease, &self.config);
        holds.then_some(at)
    }

    /// After a peer has answered: a quorum may have answered more rounds.
    pub(crate) fn settle_lease(&mut self) {
        let Proposer::Leading(leading) = &mut self.proposer else {
            return;
        };
        if self.config.lease.is_none() {
            return;
        }
        let round = self.roster.phase_2.position(|id| {
            let peer = leading.peers.iter().find(|peer| peer.id == id);
            peer.map_or(u64::MAX, |peer| peer.round)
        });
        leading.tenure.on_answered(round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_core::NodeId;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn ballot(round: u64, node: u64) -> Ballot {
        Ballot {
            round,
            node: NodeId(node),
        }
    }

    fn config() -> PaxosConfig {
        PaxosConfig {
            lease: Some(Lease { drift_ppm: 100_000 }),
            ..PaxosConfig::new(NodeId(1), &[1, 2, 3].map(NodeId))
        }
    }

    #[test]
    fn a_lease_is_counted_from_when_the_round_began_and_shortened_by_the_drift() {
        let (mut tenure, config) = (Tenure::default(), config());
        let lease = config.lease.expect("just set");
        tenure.begin(1, at(0), config.election_timeout);
        tenure.begin(2, at(50), config.election_timeout);
        assert!(!tenure.holds(at(60), lease, &config), "nobody has answered");
        tenure.on_answered(1);
        assert!(tenure.holds(at(269), lease, &config) && !tenure.holds(at(270), lease, &config));
        tenure.on_answered(2);
        assert!(tenure.holds(at(319), lease, &config) && !tenure.holds(at(320), lease, &config));
        tenure.end();
        assert!(!tenure.holds(at(60), lease, &config));
    }

    #[test]
    fn a_pledge_yields_to_time_to_its_leader_and_to_whom_that_leader_asks() {
        let (mut pledge, config) = (Pledge::default(), config());
        assert!(pledge.allows(ballot(9, 2), None, at(0)), "to nobody yet");
        pledge.give(ballot(4, 3), at(0), &config);
        assert!(!pledge.allows(ballot(9, 2), None, at(299)));
        assert!(pledge.allows(ballot(9, 2), None, at(300)));
        assert!(pledge.allows(ballot(9, 3), None, at(1)));
        assert!(pledge.allows(ballot(9, 2), Some(ballot(4, 3)), at(1)));
        assert!(!pledge.allows(ballot(9, 2), Some(ballot(3, 3)), at(1)));
    }
}
