//! Snapshots, by name.

use quorate_core::{Position, SnapshotMeta};
use smallvec::SmallVec;

use crate::Configured;

#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshots {
    /// The newest that is durable here.
    pub(crate) newest: Option<SnapshotMeta>,
    /// The last few that were offered and asked for: the newest at the end.
    offered: SmallVec<[Offered; 1]>,
    /// The journal has yet to learn that the log begins behind the newest.
    pub(crate) unwritten: bool,
}

/// A snapshot that may be on its way here.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    snapshot: SnapshotMeta,
    /// The last configuration that it includes, by the word of the leader that offered it.
    pub(crate) configured: Option<Configured>,
}

impl Snapshots {
    /// A fetch that was begun may still be completed after a few later offers.
    const OFFERED_MAX: usize = 4;

    pub(crate) fn new(newest: Option<SnapshotMeta>, unwritten: bool) -> Self {
        Self {
            newest,
            offered: SmallVec::new(),
            unwritten,
        }
    }

    /// Takes note of a durable snapshot.
    pub(crate) fn learn(&mut self, snapshot: SnapshotMeta) {
        let position = |meta: &SnapshotMeta| meta.position;
        if self.newest.as_ref().map_or(Position::ZERO, position) < snapshot.position {
            self.newest = Some(snapshot);
        }
    }

    /// Takes note of an offer that is taken up.
    pub(crate) fn expect(&mut self, snapshot: SnapshotMeta, configured: Option<Configured>) {
        self.offered.retain(|one| one.snapshot != snapshot);
        if self.offered.len() >= Self::OFFERED_MAX {
            self.offered.remove(0);
        }
        self.offered.push(Offered {
            snapshot,
            configured,
        });
    }

    /// The offer of this snapshot, if it is remembered; then all are forgotten.
    pub(crate) fn take_offer(&mut self, snapshot: &SnapshotMeta) -> Option<Offered> {
        let is_it = |one: &Offered| one.snapshot == *snapshot;
        let index = self.offered.iter().position(is_it)?;
        let offered = self.offered.swap_remove(index);
        self.offered.clear();
        Some(offered)
    }
}
