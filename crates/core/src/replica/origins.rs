//! At most once: which commands of which member's run were applied.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Life, NodeId, Ranges};

/// For each member that ever forwarded a command: its newest run, and which of that run's commands were applied.
///
/// A member that does not hear of its command's fate proposes it again, maybe through another leader, so that the
/// same command may stand in the log several times. All replicas skip all but the first, by the same table,
/// which is part of the replicated state (`RELIABILITY` S1, S2, S6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origins {
    runs: BTreeMap<NodeId, Run>,
}

/// One run of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    life: Life,
    /// Everything below counts as applied.
    floor: u64,
    /// What was applied at or above the floor.
    applied: Ranges,
}

impl Origins {
    /// Gaps kept per run. A member keeps far fewer batches in the air than this; the oldest gap is then given
    /// up: what is missing there will never be applied, and its client was or will be told `Unknown`.
    const GAPS_MAX: usize = 4096;

    /// Marks the commands `start..end` of this run of `origin` as applied, if none of them was before and the run
    /// is not over.
    pub(super) fn admit(&mut self, origin: NodeId, life: Life, start: u64, end: u64) -> Admission {
        let run = self.runs.entry(origin).or_default();
        if life < run.life {
            return Admission::Seen;
        }
        if life > run.life {
            *run = Run {
                life,
                ..Run::default()
            };
        }
        if end <= run.floor {
            return Admission::Seen;
        }
        if start < run.floor || run.applied.overlaps(start, end) {
            return if end - start == 1 {
                Admission::Seen
            } else {
                Admission::Mixed
            };
        }
        run.insert(start, end);
        Admission::Fresh
    }

    /// Whether the command `sequence` of this run of `origin` counts as applied.
    pub(super) fn contains(&self, origin: NodeId, life: Life, sequence: u64) -> bool {
        self.runs.get(&origin).is_some_and(|run| {
            run.life == life && (sequence < run.floor || run.applied.contains(sequence))
        })
    }

    /// A fingerprint of the table.
    pub(super) fn digest(&self) -> u64 {
        let mut digest = 0u64;
        for (origin, run) in &self.runs {
            for number in [origin.0, run.life.0, run.floor] {
                digest = mix(digest, number);
            }
            for (start, end) in run.applied.runs() {
                digest = mix(mix(digest, *start), *end);
            }
        }
        digest
    }
}

/// Whether commands may be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// None of them was applied; all are marked now.
    Fresh,
    /// All of them were, or their run is over.
    Seen,
    /// Some of them were: ask one by one.
    Mixed,
}

impl Run {
    /// What is contiguous from the floor on melts into it; too many gaps push it up.
    fn insert(&mut self, start: u64, end: u64) {
        if start == self.floor && self.applied.is_empty() {
            self.floor = end;
            return;
        }
        self.applied.insert(start, end);
        let mut floor = self.applied.gap(self.floor);
        if self.applied.runs().len() > Origins::GAPS_MAX {
            floor = floor.max(self.applied.runs()[0].1);
        }
        if floor > self.floor {
            self.floor = floor;
            self.applied.remove_below(floor);
        }
    }
}

/// One round of a mixing function over two words.
pub(super) fn mix(seed: u64, word: u64) -> u64 {
    let product =
        u128::from(seed ^ 0x9e37_79b9_7f4a_7c15) * u128::from(word ^ 0xd6e8_feb8_6659_fd93);
    (product as u64) ^ ((product >> 64) as u64).rotate_left(17) ^ word
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: NodeId = NodeId(1);

    fn admit(origins: &mut Origins, life: u64, start: u64, end: u64) -> Admission {
        origins.admit(ORIGIN, Life(life), start, end)
    }

    #[test]
    fn each_command_is_admitted_once_in_any_order() {
        let mut origins = Origins::default();
        assert_eq!(admit(&mut origins, 5, 4, 6), Admission::Fresh);
        assert_eq!(admit(&mut origins, 5, 5, 6), Admission::Seen);
        assert_eq!(
            admit(&mut origins, 5, 0, 4),
            Admission::Fresh,
            "an older one that was late"
        );
        assert_eq!(admit(&mut origins, 5, 0, 4), Admission::Seen);
        assert_eq!(admit(&mut origins, 5, 2, 8), Admission::Mixed);
        assert_eq!(origins.runs[&ORIGIN].floor, 6);
        assert!(
            origins.runs[&ORIGIN].applied.is_empty(),
            "contiguous runs need no table"
        );
    }

    #[test]
    fn a_run_that_is_over_is_never_admitted() {
        let mut origins = Origins::default();
        assert_eq!(admit(&mut origins, 5, 0, 1), Admission::Fresh);
        assert_eq!(admit(&mut origins, 6, 0, 1), Admission::Fresh);
        assert_eq!(admit(&mut origins, 5, 1, 2), Admission::Seen);
        assert!(origins.contains(ORIGIN, Life(6), 0) && !origins.contains(ORIGIN, Life(5), 0));
    }

    #[test]
    fn gaps_are_bounded() {
        let mut origins = Origins::default();
        for n in 1..=2 * Origins::GAPS_MAX as u64 {
            assert_eq!(admit(&mut origins, 1, 2 * n, 2 * n + 1), Admission::Fresh);
        }
        let run = &origins.runs[&ORIGIN];
        assert!(run.applied.runs().len() <= Origins::GAPS_MAX);
        assert_eq!(
            admit(&mut origins, 1, 3, 4),
            Admission::Seen,
            "below the floor"
        );
    }
}
