//! Which configuration governs which slot, as far as everything before is chosen.

use std::collections::BTreeMap;

use quorate_core::{Configuration, NodeId, Quorum};
use quorate_paxos::{Ballot, Quorums};

/// A configuration from its place in the log on.
pub struct Era {
    /// The slot of the configuration; zero: it is the founders'.
    pub at: u64,
    pub configuration: Configuration,
    /// The first era of the row in which the same members voted.
    root: u64,
    phase_1: Quorum,
    phase_2: Quorum,
}

pub struct Eras {
    sizes: Option<Quorums>,
    /// Ascending; the first is the founders'.
    all: Vec<Era>,
    /// Under which configuration each ballot was bid for.
    bids: BTreeMap<Ballot, u64>,
}

impl Eras {
    pub fn new(founders: Configuration, sizes: Option<Quorums>) -> Self {
        let first = era(0, 0, founders, sizes);
        Self {
            sizes,
            all: vec![first],
            bids: BTreeMap::new(),
        }
    }

    pub fn last(&self) -> &Era {
        self.all.last().unwrap()
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// A configuration is chosen, and everything before it.
    pub fn push(&mut self, at: u64, configuration: Configuration) {
        let before = self.last();
        let same = before.configuration.voters() == configuration.voters();
        let root = if same { before.root } else { at };
        self.all.push(era(at, root, configuration, self.sizes));
    }

    /// The configuration that stands at `at`.
    pub fn standing(&self, at: u64) -> Option<&Era> {
        self.all.iter().find(|era| era.at == at)
    }

    fn governing(&self, slot: u64) -> &Era {
        let before = self.all.partition_point(|era| era.at < slot);
        &self.all[before - 1]
    }

    /// A bid that a crash has undone before it was spoken may be made again.
    pub fn on_bid(&mut self, ballot: Ballot, configured: u64) {
        self.bids.insert(ballot, configured);
    }

    fn bid(&self, ballot: Ballot) -> &Era {
        let at = self.bids.get(&ballot).expect("somebody bid for it");
        self.standing(*at).expect("bids are under what is chosen")
    }

    /// P4: whether those who accepted in `ballot` choose in `slot`: a phase 2 quorum of the configuration that governs
    /// the slot, in a ballot whose phase 1 asked the same voters. Any other count says nothing.
    pub fn chosen(&self, slot: u64, ballot: Ballot, accepted: impl Fn(NodeId) -> bool) -> bool {
        let era = self.governing(slot);
        self.bid(ballot).root == era.root && era.phase_2.reached(accepted)
    }

    /// Whether those who promised `ballot` or a later one may have let it lead.
    pub fn elected(&self, ballot: Ballot, promised: impl Fn(NodeId) -> bool) -> bool {
        self.bid(ballot).phase_1.reached(promised)
    }

    /// The stop-sign: whether `ballot` may propose behind the configuration in slot `stop`.
    pub fn may_pass(&self, ballot: Ballot, stop: u64) -> bool {
        let bid = self.bid(ballot);
        stop <= bid.at || self.standing(stop).is_some_and(|era| era.root == bid.root)
    }
}

fn era(at: u64, root: u64, configuration: Configuration, sizes: Option<Quorums>) -> Era {
    let voters = configuration.voters();
    let majority = voters.len() / 2 + 1;
    let (first, second) = sizes.map_or((majority, majority), |s| (s.phase_1, s.phase_2));
    let (phase_1, phase_2) = Quorum::flexible(&voters, first, second).expect("they intersect");
    Era {
        at,
        configuration,
        root,
        phase_1,
        phase_2,
    }
}
