//! The members as this one sees them.

use alloc::vec::Vec;

use quorate_core::{Configuration, NodeId, Position, Quorum, Standing};

use crate::Configured;
use crate::history::History;
use crate::peer::Tap;

/// Who counts, and whom this member has to do with: worked out anew whenever a configuration comes, goes, or is committed.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    own: NodeId,
    history: History,
    /// Of the configuration in force.
    quorum: Quorum,
    /// Every other member of it, and of those before it that may still come back: ascending.
    links: Vec<Link>,
    /// Where the configuration in force stands, if it is not known to be committed.
    open: Option<Position>,
    /// Whether this member has a vote in any of them.
    stands: bool,
}

/// Another member.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) id: NodeId,
    pub(crate) tap: Tap,
}

impl Roster {
    /// The members that a log says which is committed up to `committed`.
    pub(crate) fn new(own: NodeId, history: History, committed: Position) -> Self {
        let (_, configuration) = history.last();
        let mut roster = Self {
            own,
            quorum: majority(configuration),
            history,
            links: Vec::new(),
            open: None,
            stands: false,
        };
        roster.refresh(committed);
        roster
    }

    /// The configuration in force.
    pub(crate) fn configuration(&self) -> &Configuration {
        self.history.last().1
    }

    /// Where it stands in the log; zero: nowhere.
    pub(crate) fn configured(&self) -> Position {
        self.history.last().0
    }

    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    /// Where the configuration in force stands, if it is not known to be committed.
    pub(crate) const fn open(&self) -> Option<Position> {
        self.open
    }

    pub(crate) const fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    pub(crate) fn links_mut(&mut self) -> &mut [Link] {
        &mut self.links
    }

    /// The history and the links, to be looked at and written to at once.
    pub(crate) fn split(&mut self) -> (&History, &mut [Link]) {
        (&self.history, &mut self.links)
    }

    /// Where `id` stands among the links.
    pub(crate) fn slot(&self, id: NodeId) -> Option<usize> {
        self.links.iter().position(|link| link.id == id)
    }

    /// Whether `id` counts in the configuration in force: in either half of it.
    pub(crate) fn votes(&self, id: NodeId) -> bool {
        self.quorum.contains(id)
    }

    /// Whether `id` counts, and goes on to count when the configuration is joint no more.
    pub(crate) fn stays(&self, id: NodeId) -> bool {
        let member = self.configuration().member(id);
        member.is_some_and(|member| member.standing == Standing::Voter)
    }

    /// Whether this member may be primary. One that is left out by a configuration that is not known to be committed still
    /// may: nobody else might have what it takes (Raft thesis, 4.2.2). It counts for nothing then.
    pub(crate) const fn stands(&self) -> bool {
        self.stands
    }

    /// The log goes on with this one at `at`.
    pub(crate) fn append(
        &mut self,
        at: Position,
        configuration: Configuration,
        committed: Position,
    ) {
        self.history.append(at, configuration);
        self.refresh(committed);
    }

    /// The log is cut behind `after`.
    pub(crate) fn truncate(&mut self, after: Position, committed: Position) {
        if self.history.truncate(after) {
            self.refresh(committed);
        }
    }

    /// The log begins behind `base` from now on.
    pub(crate) fn compact(&mut self, base: Position) {
        self.history.compact(base);
    }

    /// The log is dropped, and begins anew where this one is in force.
    pub(crate) fn install(&mut self, base: Option<Configured>, committed: Position) {
        self.history.install(base);
        self.refresh(committed);
    }

    /// Everything up to `committed` is committed. True: so is the configuration in force, and was not before; who is in
    /// none but those before it is nobody any more.
    pub(crate) fn settle(&mut self, committed: Position) -> bool {
        let settled = self.open.is_some_and(|at| at <= committed);
        if settled {
            self.refresh(committed);
        }
        settled
    }

    fn refresh(&mut self, committed: Position) {
        let (at, configuration) = self.history.last();
        self.quorum = majority(configuration);
        self.open = (at > committed).then_some(at);
        let mut possible = self.history.since(committed);
        self.stands = possible.any(|one| one.votes(self.own));
        let members = self
            .history
            .since(committed)
            .flat_map(Configuration::members);
        let mut ids: Vec<_> = members.map(|member| member.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let others = ids.into_iter().filter(|id| *id != self.own);
        let links = others.map(|id| Link {
            id,
            tap: self.slot(id).map_or(Tap::Open, |slot| self.links[slot].tap),
        });
        self.links = links.collect();
    }
}

fn majority(configuration: &Configuration) -> Quorum {
    let quorum = configuration.quorum();
    quorum.expect("somebody votes: that was checked when it was read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_core::{Change, Credit};

    fn ids<const N: usize>(ids: [u64; N]) -> Vec<NodeId> {
        ids.map(NodeId).to_vec()
    }

    fn known(roster: &Roster) -> Vec<NodeId> {
        roster.links().iter().map(|link| link.id).collect()
    }

    /// Member 1 of 1 2 3, where 3 gives way to 4: joint at position 5, simple at 7.
    #[test]
    fn who_leaves_is_known_until_that_is_committed() {
        let three = Configuration::founding(&ids([1, 2, 3]), &ids([4]));
        let (old, new) = (NodeId(3), NodeId(4));
        let target = three.changed(&Change::Replace { old, new });
        let target = target.expect("4 is a learner");
        let joint = three.joint(&target).expect("voters change");
        let mut roster = Roster::new(NodeId(1), History::new(three), Position::ZERO);
        roster.links_mut()[0].tap.grant(Credit::Only(9));
        roster.append(Position(5), joint, Position(4));
        assert!(roster.votes(old) && !roster.stays(old) && roster.stays(new));
        assert!(roster.settle(Position(6)) && !roster.settle(Position(6)));
        roster.append(Position(7), target, Position(6));
        assert!(!roster.votes(old));
        assert_eq!(known(&roster), ids([2, 3, 4]));
        assert!(roster.settle(Position(7)));
        assert_eq!(known(&roster), ids([2, 4]));
        assert_eq!(roster.links()[0].tap, Tap::Metered(9), "what was granted");
    }

    #[test]
    fn who_is_left_out_stands_until_that_is_committed() {
        let three = Configuration::founding(&ids([1, 2, 3]), &[]);
        let two = Configuration::founding(&ids([2, 3]), &[]);
        let mut roster = Roster::new(NodeId(1), History::new(three), Position::ZERO);
        roster.append(Position(5), two, Position(4));
        assert!(roster.stands() && !roster.votes(NodeId(1)));
        assert_eq!(roster.open(), Some(Position(5)));
        roster.settle(Position(5));
        assert!(!roster.stands());
        assert_eq!(roster.open(), None);
    }
}
