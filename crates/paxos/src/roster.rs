//! The members as this one sees them: those of the configuration in force, which is the last one that was handed out.

use alloc::vec;
use alloc::vec::Vec;

use quorate_core::{Configuration, NodeId, Position, Quorum, Standing};

use crate::peer::Tap;
use crate::{ConfigError, PaxosConfig, Quorums};

#[derive(Clone, Debug)]
pub(crate) struct Roster {
    me: NodeId,
    sizes: Option<Quorums>,
    /// The configurations in the log and where they stand, ascending: the last is in force, the first was when the newest
    /// snapshot ends. Position zero: the config's own.
    history: Vec<(Position, Configuration)>,
    /// Who has to promise before one of them leads.
    pub(crate) phase_1: Quorum,
    /// Who has to accept before a value is chosen.
    pub(crate) phase_2: Quorum,
    /// Whether this member counts.
    pub(crate) voter: bool,
    /// Every other member, ascending, and what it may be sent.
    pub(crate) others: Vec<(NodeId, Tap)>,
}

impl Roster {
    /// The members of the config, or those of the configuration that the log says instead.
    pub(crate) fn new(
        config: &PaxosConfig,
        configured: Option<(Position, Configuration)>,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let (phase_1, phase_2) = config.quorums()?;
        let founding = Configuration::founding(&config.voters, &config.learners);
        let mut roster = Self {
            me: config.id,
            sizes: config.quorums,
            history: vec![(Position::ZERO, founding)],
            voter: phase_1.contains(config.id),
            phase_1,
            phase_2,
            others: Vec::new(),
        };
        roster.seat();
        if let Some((at, configuration)) = configured {
            roster.enter(at, configuration);
            roster.forget(at);
        }
        Ok(roster)
    }

    /// The configuration in force.
    pub(crate) fn configuration(&self) -> &Configuration {
        &self.last().1
    }

    /// Where it stands in the log; zero: it is the config's own.
    pub(crate) fn configured(&self) -> Position {
        self.last().0
    }

    fn last(&self) -> &(Position, Configuration) {
        self.history.last().expect("one is in force")
    }

    /// The configuration in force at `position`, not before the newest snapshot's end; none: the log has said nothing up
    /// to there.
    pub(crate) fn at(&self, position: Position) -> Option<&(Position, Configuration)> {
        let before = self.history.partition_point(|(at, _)| *at <= position);
        let found = self.history[..before].last();
        found.filter(|(at, _)| *at > Position::ZERO)
    }

    /// No earlier position than `position` will be asked for.
    pub(crate) fn forget(&mut self, position: Position) {
        let before = self.history.partition_point(|(at, _)| *at <= position);
        self.history.drain(..before.saturating_sub(1));
    }

    /// A configuration of the log is in force now. True: the same members vote as before.
    pub(crate) fn enter(&mut self, at: Position, configuration: Configuration) -> bool {
        let voters = self.configuration().voters();
        self.history.push((at, configuration));
        let (phase_1, phase_2) = quorums(self.configuration(), self.sizes);
        (self.phase_1, self.phase_2) = (phase_1, phase_2);
        self.voter = self.votes(self.me);
        self.seat();
        voters == self.configuration().voters()
    }

    /// Whether a configuration has quorums of the sizes in the config, if those are said.
    pub(crate) fn fits(&self, configuration: &Configuration) -> bool {
        sized(configuration, self.sizes).is_some()
    }

    /// Gives every other member its place. Who was there before keeps what it may be sent.
    fn seat(&mut self) {
        let known = core::mem::take(&mut self.others);
        let tap = |id: NodeId| known.iter().find(|(other, _)| *other == id);
        let members = self.configuration().members().iter();
        let others = members.filter(|member| member.id != self.me);
        let seated = others.map(|member| {
            let (id, known) = (member.id, tap(member.id));
            (id, known.map_or_else(Tap::default, |(_, tap)| *tap))
        });
        self.others = seated.collect();
    }

    /// Where `id` stands among the others.
    pub(crate) fn index(&self, id: NodeId) -> Option<usize> {
        self.others.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    /// Whether `id` counts.
    pub(crate) fn votes(&self, id: NodeId) -> bool {
        self.phase_1.contains(id)
    }

    /// Whether `id` needs nobody else.
    pub(crate) fn decides_alone(&self, id: NodeId) -> bool {
        let alone = |member| member == id;
        self.phase_1.reached(alone) && self.phase_2.reached(alone)
    }

    /// How many different priorities voters have above that of `id`, at most [`HANDICAP_MAX`]; and that for who has no
    /// vote.
    pub(crate) fn handicap(&self, id: NodeId) -> u32 {
        let configuration = self.configuration();
        let Some(own) = configuration.member(id).filter(|_| self.votes(id)) else {
            return HANDICAP_MAX;
        };
        let voters = configuration.members().iter();
        let voters = voters.filter(|member| member.standing == Standing::Voter);
        let mut higher: Vec<u8> = voters.map(|member| member.priority).collect();
        higher.retain(|priority| *priority > own.priority);
        higher.sort_unstable();
        higher.dedup();
        (higher.len() as u32).min(HANDICAP_MAX)
    }
}

/// How many election timeouts longer a member may have to wait before it bids, so that others bid first.
const HANDICAP_MAX: u32 = 3;

/// Who decides in phase 1 and in phase 2. Nobody proposes members whom the config's sizes do not fit; who is told such
/// a thing all the same has another config than the others, and goes by majorities.
fn quorums(configuration: &Configuration, sizes: Option<Quorums>) -> (Quorum, Quorum) {
    let majorities = || sized(configuration, None).expect("a configuration has voters");
    sized(configuration, sizes).unwrap_or_else(majorities)
}

fn sized(configuration: &Configuration, sizes: Option<Quorums>) -> Option<(Quorum, Quorum)> {
    let voters = configuration.voters();
    let majority = voters.len() / 2 + 1;
    let Quorums { phase_1, phase_2 } = sizes.unwrap_or(Quorums {
        phase_1: majority,
        phase_2: majority,
    });
    Quorum::flexible(&voters, phase_1, phase_2).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_core::{Change, Member};

    fn roster(sizes: Option<Quorums>) -> Roster {
        let mut config = PaxosConfig::new(NodeId(1), &[1, 2, 3].map(NodeId));
        config.quorums = sizes;
        Roster::new(&config, None).expect("three voters")
    }

    fn changed(roster: &Roster, change: &Change) -> Configuration {
        roster.configuration().changed(change).expect("a change")
    }

    #[test]
    fn the_past_is_known_back_to_the_newest_snapshot() {
        let mut roster = roster(None);
        for (at, priority) in [(4, 1), (8, 2), (12, 3)] {
            let next = changed(&roster, &Change::Prefer(NodeId(1), priority));
            assert!(roster.enter(Position(at), next), "the same voters");
        }
        let at = |roster: &Roster, position| roster.at(Position(position)).map(|(at, _)| at.get());
        assert_eq!((at(&roster, 3), at(&roster, 4)), (None, Some(4)));
        roster.forget(Position(9));
        assert_eq!((at(&roster, 9), at(&roster, 12)), (Some(8), Some(12)));
        assert_eq!(roster.configured(), Position(12));
    }

    #[test]
    fn sizes_that_do_not_fit_are_noticed_and_never_used() {
        let sizes = Quorums {
            phase_1: 3,
            phase_2: 1,
        };
        let mut roster = roster(Some(sizes));
        let learner = Change::Add(Member::learner(NodeId(4), ""));
        let grown = changed(&roster, &learner);
        assert!(roster.fits(&grown) && roster.enter(Position(1), grown));
        let four = changed(&roster, &Change::Promote(NodeId(4)));
        assert!(!roster.fits(&four));
        assert!(!roster.enter(Position(2), four), "another voter");
        let has = |ids: &'static [u64]| move |id: NodeId| ids.contains(&id.get());
        assert!(roster.phase_2.reached(has(&[1, 2, 4])) && !roster.phase_2.reached(has(&[1, 2])));
    }

    #[test]
    fn who_is_less_preferred_waits_longer_and_who_has_no_vote_longest() {
        let mut roster = roster(None);
        for (at, (id, priority)) in (1..).zip([(1, 7), (2, 200)]) {
            let next = changed(&roster, &Change::Prefer(NodeId(id), priority));
            roster.enter(Position(at), next);
        }
        let all = [1, 2, 3, 9].map(|id| roster.handicap(NodeId(id)));
        assert_eq!(all, [1, 0, 2, HANDICAP_MAX]);
    }
}
