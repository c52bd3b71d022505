//! What is on each disk, as the simulator sees it: the records whose sync has returned.

mod claims;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_core::{Configuration, Epoch, Mark, NodeId, Position};

use super::choices::Choices;
use super::value::{Held, Value, held};
use super::{Verdict, Violation};
use crate::campaign::{ACCEPTED_AGAIN, ACCEPTED_BEHIND_A_HOLE};
use crate::{Remembered, Run};

/// What a record says, with values reduced to fingerprints.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Promise {
        epoch: Epoch,
        vote: Option<NodeId>,
    },
    Accepted {
        first: Position,
        values: Vec<Held>,
        cuts: bool,
        /// The configurations among them, where they stand, and in which epoch they are accepted.
        configured: Vec<(Position, Epoch, Configuration)>,
    },
    Learned {
        first: Position,
        values: Vec<Held>,
    },
    Chosen {
        upto: Position,
    },
    Base {
        upto: Position,
        keeps: bool,
    },
}

impl From<Remembered> for Said {
    fn from(remembered: Remembered) -> Self {
        match remembered {
            Remembered::Promise { epoch, vote } => Self::Promise { epoch, vote },
            Remembered::Accepted { first, runs, cuts } => Self::Accepted {
                first,
                values: held(&runs).collect(),
                cuts,
                configured: configured(first, &runs),
            },
            Remembered::Learned { first, runs } => Self::Learned {
                first,
                values: held(&runs).collect(),
            },
            Remembered::Chosen { upto } => Self::Chosen { upto },
            Remembered::Base { upto, keeps } => Self::Base { upto, keeps },
        }
    }
}

fn configured(first: Position, runs: &[Run]) -> Vec<(Position, Epoch, Configuration)> {
    let mut at = first;
    let mut all = Vec::new();
    for run in runs {
        if let Some(configuration) = run.batch.configured() {
            all.push((at, run.accepted, configuration));
        }
        at = at.plus(run.batch.len());
    }
    all
}

/// One disk.
pub(super) struct DiskView {
    host: usize,
    chained: bool,
    /// Handed to the journal and not synced.
    flying: VecDeque<(Mark, u64, Vec<Said>)>,
    /// Fingerprints of what was synced and not reclaimed, by mark.
    synced: BTreeMap<Mark, u64>,
    upto: Mark,
    /// What is promised by what was handed to the journal.
    written: Epoch,
    /// What is promised on disk, and who has the vote in it.
    epoch: Epoch,
    vote: Option<NodeId>,
    /// Every vote that ever was on this disk, over all lives.
    votes: BTreeMap<Epoch, NodeId>,
    base: Position,
    /// Up to where a snapshot that is synced stands for what was accepted, whether or not a record says so.
    snapshot: Position,
    /// What is accepted behind the base; none: a hole.
    slots: VecDeque<Option<Held>>,
    /// Up to where there is no hole.
    whole: Position,
    pub(super) marks: BTreeSet<&'static str>,
}

impl DiskView {
    pub(super) fn new(host: usize, chained: bool) -> Self {
        Self {
            host,
            chained,
            flying: VecDeque::new(),
            synced: BTreeMap::new(),
            upto: Mark::ZERO,
            written: Epoch::default(),
            epoch: Epoch::default(),
            vote: None,
            votes: BTreeMap::new(),
            base: Position::ZERO,
            snapshot: Position::ZERO,
            slots: VecDeque::new(),
            whole: Position::ZERO,
            marks: BTreeSet::new(),
        }
    }

    /// A record is on its way to this disk.
    pub(super) fn on_persist(&mut self, mark: Mark, payload: u64, said: Vec<Said>) -> Verdict {
        let last = self.flying.back().map_or(self.upto, |(mark, ..)| *mark);
        if mark != last.next() {
            let what = format!("member {}: mark {mark} follows {last}", self.host + 1);
            return Err(Violation::new("marks rise by one (law 3)", what));
        }
        said.iter().try_for_each(|said| self.fits(said))?;
        self.flying.push_back((mark, payload, said));
        Ok(())
    }

    /// Whether a record honours the promise that was written before it.
    fn fits(&mut self, said: &Said) -> Verdict {
        let written = self.written;
        match said {
            Said::Promise { epoch, .. } if *epoch < written => {
                let what = format!("member {} promises {epoch} after {written}", self.host + 1);
                Err(Violation::new("a promise never goes back (P2, R5)", what))
            }
            Said::Promise { epoch, .. } => {
                self.written = *epoch;
                Ok(())
            }
            Said::Accepted { first, values, .. } => {
                let breaks = |held: &&Held| {
                    held.accepted > written || (!self.chained && held.accepted < written)
                };
                let Some(held) = values.iter().find(breaks) else {
                    return Ok(());
                };
                let what = format!(
                    "member {} promised {written} and accepts {first} in {}",
                    self.host + 1,
                    held.accepted
                );
                Err(Violation::new("accepted as promised (P2, P11)", what))
            }
            Said::Learned { .. } | Said::Chosen { .. } | Said::Base { .. } => Ok(()),
        }
    }

    pub(super) fn on_synced(&mut self, upto: Mark, choices: &mut Choices) -> Verdict {
        while self.flying.front().is_some_and(|(mark, ..)| *mark <= upto) {
            let (mark, payload, said) = self.flying.pop_front().expect("it was just there");
            self.synced.insert(mark, payload);
            for said in said {
                let hint = match &said {
                    Said::Chosen { upto } => *upto,
                    Said::Promise { .. }
                    | Said::Accepted { .. }
                    | Said::Learned { .. }
                    | Said::Base { .. } => Position::ZERO,
                };
                self.learn(said, choices)?;
                if hint > self.whole.max(self.snapshot) {
                    let what = format!(
                        "member {}: record {mark} knows {hint} to be chosen, all is held up to {}",
                        self.host + 1,
                        self.whole
                    );
                    return Err(Violation::new("a hint is never beyond the log (D3)", what));
                }
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

    /// Everything that was synced has to be there, unaltered; what was flying may be. What is left of the records
    /// still says what was promised.
    pub(super) fn on_recovered(
        &mut self,
        snapshot: Position,
        records: Vec<(Mark, u64, Vec<Said>)>,
        choices: &mut Choices,
    ) -> Verdict {
        self.read_back(&records)?;
        let promised = (self.epoch, self.vote);
        // The view begins anew: what was reclaimed on disk, a later record stands for.
        self.flying.clear();
        self.slots.clear();
        (self.base, self.whole, self.upto) = (Position::ZERO, Position::ZERO, Mark::ZERO);
        (self.epoch, self.vote, self.snapshot) = (Epoch::default(), None, snapshot);
        for (mark, payload, said) in records {
            self.upto = mark;
            self.synced.insert(mark, payload);
            for said in said {
                self.learn(said, choices)?;
            }
        }
        self.written = self.epoch;
        let kept = self.epoch > promised.0
            || (self.epoch == promised.0 && (promised.1.is_none() || self.vote == promised.1));
        if kept {
            return Ok(());
        }
        let what = format!(
            "member {} had promised {promised:?}, and knows of {:?} after a restart",
            self.host + 1,
            (self.epoch, self.vote)
        );
        Err(Violation::new(
            "a promise holds over all lives (P2, C6)",
            what,
        ))
    }

    fn read_back(&self, records: &[(Mark, u64, Vec<Said>)]) -> Verdict {
        let found: BTreeMap<Mark, u64> = records
            .iter()
            .map(|(mark, payload, _)| (*mark, *payload))
            .collect();
        let mut all = self.synced.iter();
        let Some((mark, _)) = all.find(|(mark, payload)| found.get(mark) != Some(payload)) else {
            return Ok(());
        };
        let state = if found.contains_key(mark) {
            "altered"
        } else {
            "gone"
        };
        let what = format!(
            "member {}: record {mark} is {state} after a restart",
            self.host + 1
        );
        Err(Violation::new(
            "what was synced is read back (B4, C2)",
            what,
        ))
    }

    /// Whether this disk has `value` at `at`, or a snapshot in its place.
    pub(super) fn has(&self, at: Position, value: Value) -> bool {
        let here = || self.at(at).is_some_and(|held| held.value == value);
        at <= self.base.max(self.snapshot) || here()
    }

    /// Whether this disk has `value` at `at`, once all that is under way is synced.
    pub(super) fn will_have(&self, at: Position, value: Value) -> bool {
        let mut has = self.has(at, value);
        for said in self.flying.iter().flat_map(|(_, _, said)| said) {
            match said {
                Said::Accepted {
                    first,
                    values,
                    cuts,
                    ..
                } if *first <= at => {
                    let held = values.get((at.0 - first.0) as usize);
                    if *cuts || held.is_some() {
                        has = held.is_some_and(|held| held.value == value);
                    }
                }
                Said::Base { upto, keeps } if *upto >= at || !keeps => has = *upto >= at,
                // Who learns does not lead.
                Said::Accepted { .. }
                | Said::Learned { .. }
                | Said::Base { .. }
                | Said::Promise { .. }
                | Said::Chosen { .. } => {}
            }
        }
        has
    }

    /// Whether the vote of this member in `epoch` is on this disk, and for `host`.
    pub(super) fn voted(&self, epoch: Epoch, host: usize) -> bool {
        self.votes.get(&epoch) == Some(&NodeId(host as u64 + 1))
    }

    fn at(&self, at: Position) -> Option<Held> {
        let index = at.0.checked_sub(self.base.0 + 1)?;
        self.slots.get(index as usize).copied().flatten()
    }

    fn learn(&mut self, said: Said, choices: &mut Choices) -> Verdict {
        match said {
            Said::Promise { epoch, vote } => return self.on_promise(epoch, vote),
            Said::Accepted {
                first,
                values,
                cuts,
                ..
            } => {
                let end = first.plus(values.len() as u64);
                for (held, at) in values.into_iter().zip(first.0..) {
                    choices.on_stored(self.host, Position(at), held)?;
                    self.put(Position(at), held);
                }
                if cuts {
                    let kept = end.0.saturating_sub(self.base.0 + 1);
                    self.slots.truncate(kept as usize);
                    self.whole = self.whole.min(self.base.plus(kept));
                }
            }
            Said::Learned { first, values } => {
                for (held, at) in values.into_iter().zip(first.0..) {
                    self.put(Position(at), held);
                }
            }
            Said::Chosen { .. } => {}
            Said::Base { upto, keeps } => {
                let last = self.base.plus(self.slots.len() as u64);
                let gone = if keeps { upto.min(last) } else { last };
                self.slots
                    .drain(..gone.0.saturating_sub(self.base.0) as usize);
                self.base = if keeps { self.base.max(upto) } else { upto };
                self.whole = if keeps { self.whole.max(upto) } else { upto };
            }
        }
        while self.at(self.whole.next()).is_some() {
            self.whole = self.whole.next();
        }
        Ok(())
    }

    fn put(&mut self, at: Position, held: Held) {
        let Some(index) = at.0.checked_sub(self.base.0 + 1) else {
            return;
        };
        let index = index as usize;
        if index > self.slots.len() {
            self.marks.insert(ACCEPTED_BEHIND_A_HOLE);
            self.slots.resize(index, None);
        }
        match self.slots.get_mut(index) {
            None => self.slots.push_back(Some(held)),
            Some(slot) => {
                if slot.is_some_and(|before| before.accepted < held.accepted) {
                    self.marks.insert(ACCEPTED_AGAIN);
                }
                *slot = Some(held);
            }
        }
    }

    fn on_promise(&mut self, epoch: Epoch, vote: Option<NodeId>) -> Verdict {
        if epoch > self.epoch {
            (self.epoch, self.vote) = (epoch, None);
        }
        let Some(vote) = vote else { return Ok(()) };
        self.vote = Some(vote);
        let first = *self.votes.entry(epoch).or_insert(vote);
        if first != vote {
            let what = format!(
                "member {} voted for {first} and {vote} in {epoch}",
                self.host + 1
            );
            return Err(Violation::new(
                "one vote a term over all lives (R5, B1)",
                what,
            ));
        }
        Ok(())
    }
}
