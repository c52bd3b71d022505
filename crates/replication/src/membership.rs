//! Links follow the configuration of the log: whoever joins gets one, whoever leaves loses it.

use alloc::vec::Vec;

use quorate_core::{Configuration, Direction, Instant, Life, NodeId, ReplicatedLog};
use smallvec::SmallVec;

use crate::linked::{Linked, Peer};
use crate::sink::Sink;
use crate::source::Source;

/// Who is linked, and how whoever joins will be.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    id: NodeId,
    /// The configuration that the links follow.
    known: Configuration,
    /// How this member sends to whoever joins, unless its own entry says otherwise.
    direction: Direction,
    directions: Vec<(NodeId, Direction)>,
    /// Members that were heard although the configuration does not name them, the oldest first.
    strangers: Vec<NodeId>,
}

impl Roster {
    /// Strangers with a link at once; one more takes the place of the oldest.
    const STRANGERS_MAX: usize = 16;

    pub(crate) fn new(
        id: NodeId,
        known: Configuration,
        direction: Direction,
        directions: Vec<(NodeId, Direction)>,
    ) -> Self {
        Self {
            id,
            known,
            direction,
            directions,
            strangers: Vec::new(),
        }
    }

    /// Every link is directed so, and whoever joins, too.
    pub(crate) fn direct_all(&mut self, direction: Direction) {
        self.direction = direction;
        self.directions.clear();
    }

    fn direction_to(&self, peer: NodeId) -> Direction {
        let own = self.directions.iter().find(|(id, _)| *id == peer);
        own.map_or(self.direction, |(_, direction)| *direction)
    }
}

impl<L: ReplicatedLog> Linked<L> {
    /// Lets the links follow the configuration, if it is another one.
    pub(crate) fn follow(&mut self, now: Instant) {
        if *self.log.configuration() == self.roster.known {
            return;
        }
        let next = self.log.configuration().clone();
        let before = core::mem::replace(&mut self.roster.known, next.clone());
        let gone = |id| before.contains(id) && !next.contains(id);
        self.peers.retain(|peer| !gone(peer.id));
        self.roster.strangers.retain(|id| !next.contains(*id));
        for member in next.members() {
            self.link(now, member.id);
        }
        self.name.needed = next.voters().len() / 2;
    }

    fn link(&mut self, now: Instant, id: NodeId) {
        let fed = self.feeds.iter().any(|feed| feed.id == id);
        if id == self.roster.id || fed || self.index(id).is_some() {
            return;
        }
        let direction = self.roster.direction_to(id);
        let source = Source::new(id, direction, &self.name.budget, now);
        let at = self.peers.partition_point(|peer| peer.id < id);
        self.peers.insert(at, Peer::new(id, source));
    }

    /// A member is heard that has no link. This one may be behind, and learn only from it who the members are; so it gets
    /// one, by which it is answered and by which what it sends is confirmed.
    pub(crate) fn link_stranger(&mut self, now: Instant, id: NodeId) -> Option<usize> {
        // One that only pulls what is chosen is fed, not linked.
        if id == self.roster.id || self.feeds.iter().any(|feed| feed.id == id) {
            return None;
        }
        if self.roster.strangers.len() >= Roster::STRANGERS_MAX {
            let oldest = self.roster.strangers.remove(0);
            self.peers.retain(|peer| peer.id != oldest);
        }
        self.roster.strangers.push(id);
        self.link(now, id);
        self.index(id)
    }
}

impl<M> Peer<M> {
    pub(crate) fn new(id: NodeId, source: Source) -> Self {
        Self {
            id,
            life: Life::ZERO,
            source,
            sink: Sink::new(),
            barren: Instant::ZERO,
            lent: Instant::ZERO,
            control: SmallVec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::{Input, Memory, Outbox};
    use quorate_raft::{Raft, RaftConfig};

    use super::*;
    use crate::LinkConfig;
    use crate::frame::{Body, Frame};
    use crate::sending::UNCOUNTED;

    fn linked(linked: &[u64], voters: &[u64]) -> Linked<Raft> {
        let ids = |ids: &[u64]| ids.iter().map(|id| NodeId(*id)).collect::<Vec<_>>();
        let raft = RaftConfig::new(NodeId(1), &ids(voters));
        let config = LinkConfig::new(raft, NodeId(1), Life(1), &ids(linked), Direction::Auto);
        let memory = Memory {
            records: &mut [].into_iter(),
            durable: 0.into(),
            snapshot: None,
            configuration: None,
        };
        Linked::restore(config, Instant::ZERO, memory).expect("a sound config")
    }

    fn peers(member: &Linked<Raft>) -> Vec<u64> {
        member.links().iter().map(|link| link.peer.0).collect()
    }

    #[test]
    fn whom_the_log_names_is_linked_and_whom_it_does_not_is_not() {
        let mut member = linked(&[1, 2, 9], &[1, 2, 3]);
        member.step(Instant::ZERO, Input::Tick, &mut Outbox::new());
        assert_eq!(peers(&member), [2, 3]);
        let directions = member.links().into_iter().map(|link| link.direction);
        assert!(directions.into_iter().all(|way| way == Direction::Auto));
        assert_eq!(member.name.needed, 1);
    }

    #[test]
    fn who_is_heard_and_not_known_is_linked_in_a_bounded_number() {
        let mut member = linked(&[1, 2], &[1, 2]);
        for from in (100..140).map(NodeId) {
            let body = Body::Carried(SmallVec::new());
            let message = Frame {
                head: UNCOUNTED,
                body,
            };
            let input = Input::Receive { from, message };
            member.step(Instant::ZERO, input, &mut Outbox::new());
        }
        assert_eq!(peers(&member).len(), 1 + Roster::STRANGERS_MAX);
        assert!(peers(&member).contains(&139), "the newest");
    }
}
