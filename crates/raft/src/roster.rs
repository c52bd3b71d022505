//! The members as this one sees them.

use alloc::vec::Vec;

use quorate_core::{Configuration, NodeId, Quorum};

use crate::progress::Tap;
use crate::{ConfigError, RaftConfig};

/// Who decides, and who else there is. Static for now: the quorum is a value, so that a joint one can take its
/// place.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    configuration: Configuration,
    quorum: Quorum,
    /// Every other member, ascending.
    peers: Vec<Seat>,
}

/// Another member.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) id: NodeId,
    pub(crate) voter: bool,
    pub(crate) tap: Tap,
}

impl Roster {
    pub(crate) fn new(config: &RaftConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let quorum = config.quorum()?;
        let others = config.members().filter(|id| *id != config.id);
        let mut peers: Vec<_> = others
            .map(|id| Seat {
                id,
                voter: quorum.contains(id),
                tap: Tap::Open,
            })
            .collect();
        peers.sort_unstable_by_key(|seat| seat.id);
        let configuration = Configuration::founding(&config.voters, &config.learners);
        Ok(Self {
            configuration,
            quorum,
            peers,
        })
    }

    pub(crate) const fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    pub(crate) const fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    pub(crate) fn peers(&self) -> &[Seat] {
        &self.peers
    }

    /// Where `id` stands among the peers.
    pub(crate) fn slot(&self, id: NodeId) -> Option<usize> {
        self.peers.iter().position(|seat| seat.id == id)
    }

    pub(crate) fn tap(&mut self, slot: usize) -> &mut Tap {
        &mut self.peers[slot].tap
    }

    /// Whether `id` is a quorum by itself.
    pub(crate) fn decides_alone(&self, id: NodeId) -> bool {
        self.quorum.reached(|member| member == id)
    }
}
