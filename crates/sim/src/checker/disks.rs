//! What is on each disk, as the simulator sees it: the records whose sync has returned.

use std::collections::{BTreeMap, VecDeque};

use quorate_core::{Epoch, Mark, NodeId, Position};

use super::{Value, Verdict, Violation, values};
use crate::{Claim, Remembered};

/// What a record says, with entries reduced to fingerprints.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Promise { epoch: Epoch, vote: Option<NodeId> },
    Entries { after: Position, values: Vec<Value> },
    Base { upto: Position, keeps: bool },
}

impl From<Remembered> for Said {
    fn from(remembered: Remembered) -> Self {
        match remembered {
            Remembered::Promise { epoch, vote } => Self::Promise { epoch, vote },
            Remembered::Base { upto, keeps } => Self::Base { upto, keeps },
            Remembered::Entries { after, runs } => Self::Entries {
                after,
                values: runs
                    .iter()
                    .flat_map(|(epoch, batch)| values(*epoch, batch))
                    .collect(),
            },
        }
    }
}

/// One disk.
pub(super) struct DiskView {
    member: NodeId,
    /// Handed to the journal and not synced.
    flying: VecDeque<(Mark, u64, Vec<Said>)>,
    /// Fingerprints of what was synced and not reclaimed, by mark.
    synced: BTreeMap<Mark, u64>,
    upto: Mark,
    epoch: Epoch,
    /// Every vote that ever was on this disk, over all lives.
    votes: BTreeMap<Epoch, NodeId>,
    base: Position,
    /// Up to where a snapshot that is synced stands for the entries, whether or not a record says so.
    snapshot: Position,
    /// The entries behind the base.
    entries: VecDeque<Value>,
}

impl DiskView {
    pub(super) fn new(member: NodeId) -> Self {
        Self {
            member,
            flying: VecDeque::new(),
            synced: BTreeMap::new(),
            upto: Mark::ZERO,
            epoch: Epoch::default(),
            votes: BTreeMap::new(),
            base: Position::ZERO,
            snapshot: Position::ZERO,
            entries: VecDeque::new(),
        }
    }

    pub(super) fn on_persist(&mut self, mark: Mark, payload: u64, said: Vec<Said>) -> Verdict {
        let last = self.flying.back().map_or(self.upto, |(mark, ..)| *mark);
        if mark != last.next() {
            let what = format!("{}: mark {mark} follows {last}", self.member);
            return Err(Violation::new("marks rise by one (law 3)", what));
        }
        self.flying.push_back((mark, payload, said));
        Ok(())
    }

    pub(super) fn on_synced(&mut self, upto: Mark) -> Verdict {
        while self.flying.front().is_some_and(|(mark, ..)| *mark <= upto) {
            let (mark, payload, said) = self.flying.pop_front().expect("it was just there");
            self.synced.insert(mark, payload);
            for said in said {
                self.learn(said)?;
            }
        }
        self.upto = self.upto.max(upto);
        Ok(())
    }

    pub(super) fn on_reclaimed(&mut self, below: Mark) {
        self.synced = self.synced.split_off(&below);
    }

    pub(super) fn on_snapshot(&mut self, upto: Position) {
        self.snapshot = self.snapshot.max(upto);
    }

    /// Everything that was synced has to be there, unaltered; what was flying may be.
    pub(super) fn on_recovered(
        &mut self,
        snapshot: Position,
        records: Vec<(Mark, u64, Vec<Said>)>,
    ) -> Verdict {
        self.snapshot = snapshot;
        self.flying.clear();
        let found: BTreeMap<Mark, u64> = records
            .iter()
            .map(|(mark, payload, _)| (*mark, *payload))
            .collect();
        for (mark, payload) in &self.synced {
            if found.get(mark) != Some(payload) {
                let state = if found.contains_key(mark) {
                    "altered"
                } else {
                    "gone"
                };
                let what = format!("{}: record {mark} is {state} after a restart", self.member);
                return Err(Violation::new(
                    "what was synced is read back (B4, C2)",
                    what,
                ));
            }
        }
        // The view begins anew: what was reclaimed on disk, a later record stands for.
        (self.base, self.upto) = (Position::ZERO, Mark::ZERO);
        self.entries.clear();
        for (mark, payload, said) in records {
            self.upto = mark;
            self.synced.insert(mark, payload);
            for said in said {
                self.learn(said)?;
            }
        }
        Ok(())
    }

    /// Whether this disk has `value` at `at`, or a snapshot in its place.
    pub(super) fn has(&self, at: Position, value: Value) -> bool {
        at <= self.base.max(self.snapshot) || self.at(at) == Some(value)
    }

    /// Whether this disk has `value` at `at`, once all that is under way is synced.
    pub(super) fn will_have(&self, at: Position, value: Value) -> bool {
        let mut has = self.has(at, value);
        for said in self.flying.iter().flat_map(|(_, _, said)| said) {
            match said {
                Said::Entries { after, values } if *after < at => {
                    has = values.get((at.0 - after.0 - 1) as usize) == Some(&value);
                }
                Said::Base { upto, keeps } if *upto >= at || !keeps => has = *upto >= at,
                Said::Entries { .. } | Said::Base { .. } | Said::Promise { .. } => {}
            }
        }
        has
    }

    /// Whether the vote of this member in `epoch` is on this disk, and for `host`.
    pub(super) fn voted(&self, epoch: Epoch, host: usize) -> bool {
        self.votes.get(&epoch) == Some(&NodeId(host as u64 + 1))
    }

    /// Whether what a message of this member claims is on its disk.
    pub(super) fn judge(&self, claim: &Claim) -> Verdict {
        let (holds, what) = match claim {
            Claim::Epoch(epoch) => (*epoch <= self.epoch, "its epoch"),
            Claim::Leads(epoch) => (*epoch <= self.epoch, "the epoch that it leads"),
            Claim::Vote { epoch, vote } => (
                self.votes.get(epoch) == Some(vote),
                "the vote that it gives",
            ),
            Claim::Holds { upto } => (
                *upto <= self.last().max(self.snapshot),
                "what it acknowledges",
            ),
        };
        if holds {
            return Ok(());
        }
        let what = format!(
            "{} says {claim:?} before {what} is on its disk (epoch {}, last {})",
            self.member,
            self.epoch,
            self.last()
        );
        Err(Violation::new(
            "nothing is said before it is on disk (D1, A6, B2)",
            what,
        ))
    }

    fn at(&self, at: Position) -> Option<Value> {
        let index = at.0.checked_sub(self.base.0 + 1)?;
        self.entries.get(index as usize).copied()
    }

    fn last(&self) -> Position {
        self.base.plus(self.entries.len() as u64)
    }

    fn learn(&mut self, said: Said) -> Verdict {
        match said {
            Said::Promise { epoch, vote } => self.on_promise(epoch, vote)?,
            Said::Entries { after, values } => {
                if self.entries.is_empty() && after > self.base {
                    // The records before these were reclaimed.
                    self.base = after;
                }
                let Some(kept) = after.0.checked_sub(self.base.0) else {
                    let skipped = (self.base.0 - after.0) as usize;
                    self.entries = values.into_iter().skip(skipped).collect();
                    return Ok(());
                };
                self.entries.truncate(kept as usize);
                self.entries.extend(values);
            }
            Said::Base { upto, keeps: true } if upto <= self.last() => {
                let gone = upto.0.saturating_sub(self.base.0);
                self.entries.drain(..gone as usize);
                self.base = self.base.max(upto);
            }
            Said::Base { upto, .. } => {
                self.entries.clear();
                self.base = upto;
            }
        }
        Ok(())
    }

    fn on_promise(&mut self, epoch: Epoch, vote: Option<NodeId>) -> Verdict {
        self.epoch = self.epoch.max(epoch);
        let Some(vote) = vote else { return Ok(()) };
        let first = *self.votes.entry(epoch).or_insert(vote);
        if first != vote {
            let what = format!("{} voted for {first} and {vote} in {epoch}", self.member);
            return Err(Violation::new(
                "one vote a term over all lives (R5, B1)",
                what,
            ));
        }
        Ok(())
    }
}
