//! Pieces of snapshots for other members: to how many at once, and how fast.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::ReplicaConfig;
use crate::{Instant, NodeId, Position, SnapshotMeta};

/// A member that has not asked for so long is not being served any more.
const IDLE: Duration = Duration::from_secs(5);
/// What a member has asked for stays for so long after its last question, unless it has arrived before: it may come back and
/// go on, and after the last piece it reads the state back before it asks for the log behind.
const HELD: Duration = Duration::from_mins(1);
/// Pieces that wait for their turn; what goes beyond is asked for again.
const WAITING_MAX: usize = 256;

/// What is being sent of this member's snapshots.
#[derive(Debug)]
pub(super) struct Serving {
    receivers_max: usize,
    /// Bytes a second; zero: as many as are asked for.
    rate: u64,
    /// What may leave, in bytes; below zero after a piece that was larger. Up to a tenth of a second's worth is saved.
    purse: i64,
    /// When the purse was filled last.
    filled: Instant,
    /// Who is being served, or was a short while ago.
    receivers: BTreeMap<NodeId, Receiver>,
    waiting: VecDeque<Asked>,
}

/// A member that fetches a snapshot.
#[derive(Clone, Copy, Debug)]
struct Receiver {
    asked: Instant,
    snapshot: SnapshotMeta,
}

/// A piece that a member has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) to: NodeId,
    pub(super) snapshot: SnapshotMeta,
    pub(super) offset: u64,
    pub(super) length: u32,
}

impl Serving {
    pub(super) const fn new(config: &ReplicaConfig) -> Self {
        Self {
            receivers_max: config.snapshot_receivers_max,
            rate: config.snapshot_bytes_per_second,
            purse: 0,
            filled: Instant::ZERO,
            receivers: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Takes note of a question. One too many is passed over: whoever asked turns to another member, or asks again.
    pub(super) fn ask(&mut self, now: Instant, asked: Asked) {
        self.receivers.retain(|_, to| to.asked + HELD > now);
        let receivers = self.receivers.iter();
        let others = receivers.filter(|(id, to)| **id != asked.to && to.asked + IDLE > now);
        let crowded = others.count() >= self.receivers_max;
        if crowded || self.waiting.len() >= WAITING_MAX {
            return;
        }
        let receiver = Receiver {
            asked: now,
            snapshot: asked.snapshot,
        };
        self.receivers.insert(asked.to, receiver);
        if !self.waiting.contains(&asked) {
            self.waiting.push_back(asked);
        }
    }

    /// Takes note of who is as far as the snapshot that it fetched. Who does not lead cannot know, and has nothing to keep for one
    /// that does not ask any more: the log behind comes from the leader.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        leads: bool,
        is_at: impl Fn(NodeId, Position) -> bool,
    ) {
        let kept = if leads { HELD } else { IDLE };
        self.receivers
            .retain(|id, to| to.asked + kept > now && !is_at(*id, to.snapshot.position));
    }

    /// A piece could not be read: that snapshot is not here any more, and there is nothing to hold for who asked for it.
    pub(super) fn lack(&mut self, to: NodeId, snapshot: SnapshotMeta) {
        let lacks = |one: &Receiver| one.snapshot == snapshot;
        if self.receivers.get(&to).is_some_and(lacks) {
            self.receivers.remove(&to);
        }
    }

    /// What is being fetched: neither it nor the log behind it may go, or the fetch would be in vain.
    pub(super) fn held(&self) -> Vec<SnapshotMeta> {
        let mut held: Vec<SnapshotMeta> = Vec::new();
        for receiver in self.receivers.values() {
            if !held.contains(&receiver.snapshot) {
                held.push(receiver.snapshot);
            }
        }
        held
    }

    /// The next piece that may leave now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Asked> {
        if self.rate == 0 {
            return self.waiting.pop_front();
        }
        let earned = u128::from(self.rate) * now.since(self.filled).as_nanos() / 1_000_000_000;
        if earned > 0 {
            // What is left of a byte is lost, not the time of a slow rate: less than one byte a call.
            let earned = i64::try_from(earned).unwrap_or(i64::MAX);
            let most = i64::try_from(self.rate / 10).unwrap_or(i64::MAX).max(1);
            (self.purse, self.filled) = (self.purse.saturating_add(earned).min(most), now);
        }
        if self.purse <= 0 {
            return None;
        }
        let asked = self.waiting.pop_front()?;
        self.purse -= i64::from(asked.length);
        Some(asked)
    }

    /// When the next piece may leave.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        let lacking = u128::from(self.purse.min(0).unsigned_abs()) + 1;
        let nanos = lacking * 1_000_000_000 / u128::from(self.rate.max(1)) + 1;
        Some(self.filled + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoch, Life};

    fn serving(receivers: usize, rate: u64) -> Serving {
        Serving::new(&ReplicaConfig {
            snapshot_receivers_max: receivers,
            snapshot_bytes_per_second: rate,
            ..ReplicaConfig::new(NodeId(1), Life(1))
        })
    }

    fn piece(to: u64, offset: u64) -> Asked {
        Asked {
            to: NodeId(to),
            snapshot: SnapshotMeta {
                position: Position(1),
                epoch: Epoch::default(),
                bytes: 1 << 20,
                checksum: 0,
            },
            offset,
            length: 1000,
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn no_more_members_are_served_at_once_than_the_config_says() {
        let mut serving = serving(2, 0);
        for to in [2, 3, 4] {
            serving.ask(at(0), piece(to, 0));
        }
        let served: Vec<_> = core::iter::from_fn(|| serving.next(at(0))).collect();
        assert_eq!(served, [piece(2, 0), piece(3, 0)]);
        serving.ask(at(4000), piece(2, 1000));
        serving.ask(at(6000), piece(4, 0));
        assert_eq!(serving.next(at(6000)), Some(piece(2, 1000)));
        assert_eq!(serving.next(at(6000)), Some(piece(4, 0)), "3 has gone");
    }

    #[test]
    fn what_is_being_fetched_is_held_until_it_has_arrived_or_nobody_has_asked_for_long() {
        let mut serving = serving(4, 0);
        let snapshot = piece(2, 0).snapshot;
        serving.ask(at(0), piece(2, 0));
        serving.ask(at(0), piece(3, 0));
        serving.settle(at(50_000), true, |_, _| false);
        assert_eq!(serving.held(), [snapshot]);
        serving.settle(at(50_000), true, |id, _| id == NodeId(2));
        assert_eq!(serving.held(), [snapshot], "3 is not there yet");
        serving.settle(at(60_000), true, |_, _| false);
        assert_eq!(serving.held(), [], "3 has not asked for a minute");
        serving.ask(at(60_000), piece(3, 0));
        serving.settle(at(64_000), false, |_, _| false);
        assert_eq!(serving.held(), [snapshot]);
        serving.settle(at(66_000), false, |_, _| false);
        assert_eq!(serving.held(), [], "another leads");
    }

    #[test]
    fn a_snapshot_that_is_not_here_any_more_is_not_held() {
        let mut serving = serving(4, 0);
        let snapshot = piece(2, 0).snapshot;
        let position = Position(9);
        serving.ask(at(0), piece(2, 0));
        serving.lack(
            NodeId(2),
            SnapshotMeta {
                position,
                ..snapshot
            },
        );
        assert_eq!(serving.held(), [snapshot], "it has turned to another");
        serving.lack(NodeId(2), snapshot);
        assert_eq!(serving.held(), []);
    }

    #[test]
    fn no_more_bytes_leave_in_a_second_than_the_config_says() {
        let mut serving = serving(9, 10_000);
        let (mut sent, mut now, mut offset) = (0, at(1000), 0);
        while now < at(11_000) {
            for to in 2..5 {
                serving.ask(now, piece(to, offset));
            }
            offset += 1000;
            while let Some(asked) = serving.next(now) {
                sent += u64::from(asked.length);
            }
            now = serving.deadline().expect("more waits");
        }
        assert!((99_000..=103_000).contains(&sent), "{sent} in ten seconds");
    }

    #[test]
    fn what_is_asked_for_twice_waits_once_and_the_queue_is_bounded() {
        let mut serving = serving(1, 1);
        for offset in 0..1000 {
            serving.ask(at(0), piece(2, offset));
            serving.ask(at(0), piece(2, offset));
        }
        assert_eq!(serving.waiting.len(), WAITING_MAX);
    }
}
