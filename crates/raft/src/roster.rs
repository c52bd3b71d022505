//! The members as this one sees them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use quorate_core::{Configuration, NodeId, Position, Quorum, Standing};

use crate::history::{Configured, History};
use crate::progress::Tap;
use crate::{ConfigError, RaftConfig, Run};

/// Steps of priority that make a difference at the most.
const HANDICAP_MAX: u32 = 3;

/// Who decides, and who else there is: worked out from the log, anew whenever a configuration comes, goes, or is chosen.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    id: NodeId,
    history: History,
    /// Of the configuration in force.
    quorum: Quorum,
    /// Every other member of it, and of those before it that may still come back: ascending.
    peers: Vec<Seat>,
    /// Where the configuration in force stands, if it is not known to be chosen.
    open: Option<Position>,
    /// Whether this member votes in any of them.
    stands: bool,
    /// How many steps of priority the voters of the highest one are above this member.
    handicap: u32,
}

/// Another member.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) id: NodeId,
    /// Whether it votes in the configuration in force.
    pub(crate) voter: bool,
    pub(crate) tap: Tap,
}

impl Roster {
    /// Before the log says anything.
    pub(crate) fn new(config: &RaftConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let founding = Configuration::founding(&config.voters, &config.learners);
        let mut roster = Self {
            id: config.id,
            history: History::new(founding),
            quorum: config.quorum()?,
            peers: Vec::new(),
            open: None,
            stands: false,
            handicap: 0,
        };
        roster.refresh(Position::ZERO);
        Ok(roster)
    }

    /// The configuration in force.
    pub(crate) fn configuration(&self) -> &Configuration {
        self.history.current().1
    }

    /// Where it stands in the log; zero: in the config.
    pub(crate) fn configured(&self) -> Position {
        self.history.current().0
    }

    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    /// Where the configuration in force stands, if it is not known to be chosen.
    pub(crate) const fn open(&self) -> Option<Position> {
        self.open
    }

    pub(crate) const fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    pub(crate) fn peers(&self) -> &[Seat] {
        &self.peers
    }

    /// Whether `id` counts in the configuration in force.
    pub(crate) fn votes(&self, id: NodeId) -> bool {
        self.quorum.contains(id)
    }

    /// Whether this member may seek to lead. One that is left out by a configuration that is not known to be chosen
    /// still may: nobody else might have what it takes (thesis 4.2.2). Its own vote then counts nowhere.
    pub(crate) const fn stands(&self) -> bool {
        self.stands
    }

    /// How many priorities there are among the voters above that of this member; a few at the most.
    pub(crate) const fn handicap(&self) -> u32 {
        self.handicap
    }

    /// Where `id` stands among the peers.
    pub(crate) fn slot(&self, id: NodeId) -> Option<usize> {
        self.peers.iter().position(|seat| seat.id == id)
    }

    pub(crate) fn tap(&mut self, slot: usize) -> &mut Tap {
        &mut self.peers[slot].tap
    }

    /// Who was a member where, and the peers.
    pub(crate) fn parts(&mut self) -> (&History, &mut [Seat]) {
        (&self.history, &mut self.peers)
    }

    /// Whether `id` is a quorum by itself.
    pub(crate) fn decides_alone(&self, id: NodeId) -> bool {
        self.quorum.reached(|member| member == id)
    }

    /// The log has a configuration at `at`, behind all before it.
    pub(crate) fn append(
        &mut self,
        at: Position,
        configuration: Configuration,
        committed: Position,
    ) {
        self.history.append(at, configuration);
        self.refresh(committed);
    }

    /// The log goes on with these behind `prev`.
    pub(crate) fn extend(&mut self, prev: Position, runs: &[Run], committed: Position) {
        if self.history.extend(prev, runs) {
            self.refresh(committed);
        }
    }

    /// The log was cut behind `after`.
    pub(crate) fn truncate(&mut self, after: Position, committed: Position) {
        if self.history.truncate(after) {
            self.refresh(committed);
        }
    }

    /// The log was dropped and begins anew behind what is chosen, where `configured` is in force.
    pub(crate) fn install(&mut self, configured: Option<Configured>, committed: Position) {
        self.history.install(configured);
        self.refresh(committed);
    }

    /// The log begins behind `base`.
    pub(crate) fn compact(&mut self, base: Position) {
        self.history.compact(base);
    }

    /// What the journal says is taken over.
    pub(crate) fn restore(&mut self, history: History, committed: Position) {
        self.history = history;
        self.refresh(committed);
    }

    /// Everything up to `committed` is chosen. True: so is the configuration in force, and was not before; who is in
    /// none but those before it is no peer any more.
    pub(crate) fn settle(&mut self, committed: Position) -> bool {
        let settled = self.open.is_some_and(|at| at <= committed);
        if settled {
            self.refresh(committed);
        }
        settled
    }

    fn refresh(&mut self, committed: Position) {
        let (at, current) = self.history.current();
        let quorum = current.quorum().expect("somebody votes: it was checked");
        self.open = (at > committed).then_some(at);
        self.stands = self.history.since(committed).any(|one| one.votes(self.id));
        self.handicap = handicap(current, self.id);
        let recent = self.history.since(committed);
        let mut ids: Vec<_> = recent
            .flat_map(Configuration::members)
            .map(|member| member.id)
            .filter(|id| *id != self.id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let seats = ids.into_iter().map(|id| Seat {
            id,
            voter: quorum.contains(id),
            tap: match self.slot(id) {
                Some(slot) => self.peers[slot].tap,
                None => Tap::Open,
            },
        });
        self.peers = seats.collect();
        self.quorum = quorum;
    }
}

/// How many different priorities voters have above that of `id`: it waits longer before it seeks to lead, by so many
/// steps, but not for ever.
fn handicap(configuration: &Configuration, id: NodeId) -> u32 {
    let Some(own) = configuration.member(id) else {
        return 0;
    };
    let voters = configuration.members().iter();
    let voters = voters.filter(|member| member.standing == Standing::Voter);
    let higher = voters.map(|member| member.priority);
    let higher: BTreeSet<_> = higher.filter(|priority| *priority > own.priority).collect();
    (higher.len() as u32).min(HANDICAP_MAX)
}
