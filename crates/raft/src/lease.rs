//! Reads without asking anybody, while clocks can be trusted (thesis 6.4.1). Off unless the config says how far.
//!
//! A member that has heard a leader votes for nobody else for an election timeout ([`Pledge`]). A quorum that has answered a
//! round of heartbeats begun at *t* has heard it after *t*; so nobody else is elected before *t* + the election timeout, by
//! the slowest leader's and the fastest voter's clock. Until then, less the drift, this leader's commit is the newest there
//! is.
//!
//! Who starts anew does not know whom it has heard, and votes for nobody for an election timeout. A leader that asks
//! another to take over has no lease in that term any more: its word sets voters free, and may arrive late.

use alloc::collections::VecDeque;
use core::time::Duration;

use quorate_core::{Instant, NodeId, Position};

use crate::raft::Raft;
use crate::role::Role;

/// How far clocks may be trusted. The same on all members, or none has leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// By how many millionths one member's monotonic clock may run faster than another's. Twice as fast is half a
    /// million: what counts is by how much the leader has to shorten the time.
    pub drift_ppm: u32,
}

impl Lease {
    /// What is left of `time` on the slowest clock when it is over on the fastest.
    fn shorten(self, time: Duration) -> Duration {
        let kept = u128::from(1_000_000u32.saturating_sub(self.drift_ppm));
        let nanos = time.as_nanos() * kept / 1_000_000;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A leader's lease.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenure {
    /// Rounds of heartbeats that no quorum has answered yet, and when they began.
    begun: VecDeque<(u64, Instant)>,
    /// When the newest began that a quorum has answered.
    since: Option<Instant>,
    /// There is none in this term any more.
    ended: bool,
}

impl Tenure {
    /// A quorum of other members counts from now on.
    pub(crate) fn restart(&mut self) {
        self.since = None;
        self.begun.clear();
    }

    /// The leader wants to go.
    pub(crate) const fn end(&mut self) {
        self.ended = true;
    }

    /// A round begins.
    pub(crate) fn begin(&mut self, round: u64, now: Instant, patience: Duration) {
        let is_old = |(_, begun): &(u64, Instant)| now.since(*begun) >= patience;
        while self.begun.front().is_some_and(is_old) {
            self.begun.pop_front();
        }
        self.begun.push_back((round, now));
    }

    /// A quorum has answered everything up to `round`.
    fn on_answered(&mut self, round: u64) {
        while let Some((_, begun)) = self.begun.pop_front_if(|(begun, _)| *begun <= round) {
            self.since = Some(begun);
        }
    }
}

/// To whom this member is loyal: it votes for nobody else within an election timeout, whatever becomes of terms and roles
/// meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Pledge {
    /// The leader that was heard last; none: not known any more.
    to: Option<NodeId>,
    at: Instant,
}

impl Pledge {
    /// Of a member that may have had one before it started.
    pub(crate) const fn unknown(now: Instant) -> Self {
        Self { to: None, at: now }
    }
}

impl Raft {
    /// A leader was heard.
    pub(crate) const fn pledge(&mut self, now: Instant, leader: NodeId) {
        if let Some(pledge) = &mut self.pledge {
            (pledge.to, pledge.at) = (Some(leader), now);
        }
    }

    /// Whether this member may not vote for `asker` yet.
    pub(crate) fn is_pledged(&self, now: Instant, asker: NodeId) -> bool {
        self.pledge.as_ref().is_some_and(|pledge| {
            pledge.to != Some(asker) && now.since(pledge.at) < self.config.election_timeout
        })
    }

    /// After peers have answered: up to where a quorum has.
    pub(crate) fn renew(&mut self) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if self.config.lease.is_none() {
            return;
        }
        let peers = &leader.peers;
        let answered = |id| {
            let peer = peers.iter().find(|peer| peer.id == id);
            peer.map_or(u64::MAX, |peer| peer.round)
        };
        let round = self.roster.quorum().position(answered);
        leader.lease.on_answered(round);
    }

    /// From which position on a read is linearizable that begins now.
    pub(crate) fn leased(&self, now: Instant) -> Option<Position> {
        let (Role::Leader(leader), Some(config)) = (&self.role, self.config.lease) else {
            return None;
        };
        let committed = self.log.committed();
        if leader.lease.ended || committed < leader.first_own {
            return None;
        }
        // Nobody is elected without its vote.
        let alone = self.roster.decides_alone(self.config.id);
        let time = config.shorten(self.config.election_timeout);
        let holds = |since: Instant| since + time > now;
        (alone || leader.lease.since.is_some_and(holds)).then_some(committed)
    }
}
