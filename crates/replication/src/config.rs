//! Who is linked, in which direction, and how much may be in the air.

use alloc::vec::Vec;
use core::time::Duration;

use quorate_core::{Direction, Life, NodeId};

/// The config of a [`Linked`](crate::Linked) log: that of the log itself and that of its links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig<C> {
    /// The config of the log. Its own windows stay in force; they ought to be wide.
    pub log: C,
    /// This member.
    pub id: NodeId,
    /// This run of it: higher than that of every run before, and not zero.
    pub life: Life,
    /// All members between which the log's messages go, this one among them or not.
    pub members: Vec<NodeId>,
    /// Members that may pull the chosen prefix from this one ([`Learner`](crate::Learner)).
    pub learners: Vec<NodeId>,
    /// How this member sends to every peer.
    pub direction: Direction,
    /// How it sends to some of them instead.
    pub directions: Vec<(NodeId, Direction)>,
    /// The limits and times of a link.
    pub budget: Budget,
}

/// What a link may hold, and how long its ends wait. One value for all links of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Push: what is on its way to one peer at first, in bytes, until more is known of the link.
    pub window_initial: u64,
    /// Push: the least that the window shrinks to.
    pub window_min: u64,
    /// Push: the most that it grows to. To fill a link it has to be twice its bandwidth × round trip.
    pub window_max: u64,
    /// Messages of entries on their way to one peer.
    pub messages_max: usize,
    /// Pull: what a receiver asks for beyond what is on its disk. Also what it holds while it waits for bodies.
    pub fetch_bytes: u64,
    /// Mixed: a batch of at least so many bytes goes hollow to those of whom its choice does not depend.
    pub hollow_bytes: u64,
    /// Mixed: a batch of at least so many bytes goes hollow to a peer that is behind.
    pub catchup_bytes: u64,
    /// Bytes of bodies lent to one peer that it has not confirmed.
    pub lend_bytes: u64,
    /// Requests for bodies of one peer that wait here for entries still under way.
    pub parked_max: usize,
    /// How long to wait for a body before another holder is asked; doubles with every holder.
    pub body_timeout: Duration,
    /// A peer is behind once it lacks what was chosen so long ago.
    pub behind_after: Duration,
    /// It is restored once it has lacked nothing of that age, or a quarter of it, for so long.
    pub restore_after: Duration,
    /// The least time without a confirmation before the peer is asked what has become of what was sent; doubles.
    pub probe_after: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            window_initial: 1 << 20,
            window_min: 64 << 10,
            window_max: 32 << 20,
            messages_max: 4096,
            fetch_bytes: 4 << 20,
            hollow_bytes: 32 << 10,
            catchup_bytes: 512,
            lend_bytes: 8 << 20,
            parked_max: 64,
            body_timeout: Duration::from_millis(250),
            behind_after: Duration::from_secs(1),
            restore_after: Duration::from_secs(2),
            probe_after: Duration::from_millis(100),
        }
    }
}

impl<C> LinkConfig<C> {
    /// Every link of `id` in one direction, with the default budget and no learners.
    pub fn new(log: C, id: NodeId, life: Life, members: &[NodeId], direction: Direction) -> Self {
        Self {
            log,
            id,
            life,
            members: members.to_vec(),
            learners: Vec::new(),
            direction,
            directions: Vec::new(),
            budget: Budget::default(),
        }
    }

    /// Whether the config can be meant.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), &'static str> {
        if self.life == Life::ZERO {
            return Err("zero is no run's number");
        }
        if self.learners.iter().any(|id| self.members.contains(id)) {
            return Err("a learner is also a member");
        }
        self.budget.validate()
    }

    /// How this member sends to `peer` at the start.
    pub(crate) fn direction_to(&self, peer: NodeId) -> Direction {
        let own = self.directions.iter().find(|(id, _)| *id == peer);
        own.map_or(self.direction, |(_, direction)| *direction)
    }
}

impl Budget {
    /// Whether the budget can be meant.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), &'static str> {
        let faults = [
            (self.window_min == 0, "the least window holds nothing"),
            (
                self.window_min > self.window_initial || self.window_initial > self.window_max,
                "the windows are not in order",
            ),
            (self.messages_max == 0, "no message may be on its way"),
            (self.fetch_bytes == 0, "a receiver may ask for nothing"),
            (
                self.catchup_bytes == 0,
                "a batch without a body has none to fetch",
            ),
            (
                self.catchup_bytes > self.hollow_bytes,
                "who is behind gets larger bodies than others",
            ),
            (
                self.body_timeout.is_zero() || self.probe_after.is_zero(),
                "no time to wait for an answer",
            ),
            (
                self.behind_after.is_zero() || self.restore_after.is_zero(),
                "no time to tell who is behind",
            ),
        ];
        let found = faults.into_iter().find(|(wrong, _)| *wrong);
        found.map_or(Ok(()), |(_, why)| Err(why))
    }

    /// The most that a member can hold for one peer at any time, in bytes, beside one message: what is on its way as
    /// entries, pushed or asked for, and what it has lent.
    pub fn held_max(&self) -> u64 {
        self.window_max.max(self.fetch_bytes) + self.lend_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_reason() {
        type Spoil = fn(&mut LinkConfig<()>);
        let cases: [(Spoil, &str); 7] = [
            (|c| c.life = Life::ZERO, "run's number"),
            (|c| c.learners = [NodeId(2)].into(), "also a member"),
            (|c| c.budget.window_max = 1, "in order"),
            (|c| c.budget.fetch_bytes = 0, "ask for nothing"),
            (|c| c.budget.catchup_bytes = 1 << 30, "larger bodies"),
            (|c| c.budget.probe_after = Duration::ZERO, "no time to wait"),
            (|c| c.budget.behind_after = Duration::ZERO, "who is behind"),
        ];
        let members = [1, 2, 3].map(NodeId);
        let good = LinkConfig::new((), NodeId(1), Life(1), &members, Direction::Auto);
        assert_eq!(good.validate(), Ok(()));
        for (spoil, why) in cases {
            let mut config = good.clone();
            spoil(&mut config);
            let refused = config.validate().expect_err(why);
            assert!(refused.contains(why), "{refused} for {why}");
        }
    }

    #[test]
    fn one_peer_may_be_directed_otherwise() {
        let mut config = LinkConfig::new((), NodeId(1), Life(1), &[], Direction::Push);
        config.directions.push((NodeId(3), Direction::Pull));
        let directions = [2, 3].map(|id| config.direction_to(NodeId(id)));
        assert_eq!(directions, [Direction::Push, Direction::Pull]);
    }
}
