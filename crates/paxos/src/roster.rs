//! The members as this one sees them.

use alloc::vec::Vec;

use quorate_core::{Configuration, NodeId, Quorum};

use crate::peer::Tap;
use crate::{ConfigError, PaxosConfig};

#[derive(Clone, Debug)]
pub(crate) struct Roster {
    pub(crate) configuration: Configuration,
    /// Who has to promise before one of them leads.
    pub(crate) phase_1: Quorum,
    /// Who has to accept before a value is chosen.
    pub(crate) phase_2: Quorum,
    /// Every other member, ascending, and what it may be sent.
    pub(crate) others: Vec<(NodeId, Tap)>,
}

impl Roster {
    pub(crate) fn new(config: &PaxosConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let (phase_1, phase_2) = config.quorums()?;
        let others = config.members().filter(|id| *id != config.id);
        let mut others: Vec<_> = others.map(|id| (id, Tap::default())).collect();
        others.sort_unstable_by_key(|(id, _)| *id);
        Ok(Self {
            configuration: Configuration::founding(&config.voters, &config.learners),
            phase_1,
            phase_2,
            others,
        })
    }

    /// Where `id` stands among the others.
    pub(crate) fn index(&self, id: NodeId) -> Option<usize> {
        self.others.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    /// Whether `id` needs nobody else.
    pub(crate) fn decides_alone(&self, id: NodeId) -> bool {
        let alone = |member| member == id;
        self.phase_1.reached(alone) && self.phase_2.reached(alone)
    }
}
