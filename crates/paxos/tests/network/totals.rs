//! What happened in the runs: a test that provokes nothing proves nothing.

use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Totals {
    counts: BTreeMap<&'static str, u64>,
    pub longest_recovery: Duration,
}

impl Totals {
    pub fn count(&mut self, what: &'static str, n: u64) {
        *self.counts.entry(what).or_default() += n;
    }

    pub fn of(&self, what: &'static str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    pub fn add(&mut self, other: &Self) {
        for (what, n) in &other.counts {
            self.count(what, *n);
        }
        self.longest_recovery = self.longest_recovery.max(other.longest_recovery);
    }

    pub fn assert_provoked(&self, seeds: u64) {
        if seeds < 100 {
            return;
        }
        for (what, least) in [
            ("chosen", 20),
            ("leaders", 2),
            ("crashes", 1),
            ("reads", 1),
            ("early", 1),
            ("carried", 1),
            ("configurations", 2),
            ("leases", 1),
        ] {
            assert!(self.of(what) > least * seeds, "{what}: {self:?}");
        }
        for what in [
            "fetches",
            "installs",
            "reclaims",
            "lost",
            "nacks",
            "pages",
            "forgotten",
            "behind",
            "reconfigured",
            "under way",
            "too early",
            "no quorums",
            "transferred",
            "given up",
            "asked to bid",
            "strangers",
        ] {
            assert!(self.of(what) > 0, "{what}: {self:?}");
        }
    }
}
