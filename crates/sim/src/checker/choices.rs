//! What was proposed at each position, what of it is on which disks, and what is chosen: for ever, by a quorum, and never
//! against what an earlier epoch chose.

use std::collections::BTreeSet;

use quorate_core::{Committed, Epoch, Position};

use super::disks::DiskView;
use super::having;
use super::members::Camp;
use super::value::{Held, Value, values};
use super::{Verdict, Violation};
use crate::Rules;
use crate::campaign::CHOSEN_BEHIND_A_HOLE;

/// No position lies so far behind the last one known.
const APART_MAX: u64 = 1 << 21;

pub(super) struct Choices {
    rules: Rules,
    /// The first so many disks count.
    voters: usize,
    /// What is known of 1, 2, 3 …
    places: Vec<Place>,
    /// Up to where somebody has said what is chosen.
    committed: Position,
    /// The epochs in which something of their own was chosen.
    own: BTreeSet<Epoch>,
    pub(super) marks: BTreeSet<&'static str>,
}

/// One position.
#[derive(Default)]
struct Place {
    proposals: Vec<Proposal>,
    chosen: Option<Choice>,
}

/// What stands at a position for one epoch, in any log and any message.
struct Proposal {
    epoch: Epoch,
    value: Value,
    /// In a chained log: the epoch of the entry before it.
    before: Option<Epoch>,
    /// Which disks have ever accepted it in this epoch.
    disks: u16,
}

#[derive(Clone, Copy)]
struct Choice {
    /// In which epoch it was chosen, or, where that is not known, an epoch by which it was.
    epoch: Epoch,
    value: Value,
}

impl Choices {
    pub(super) const fn new(rules: Rules, voters: usize) -> Self {
        Self {
            rules,
            voters,
            places: Vec::new(),
            committed: Position::ZERO,
            own: BTreeSet::new(),
            marks: BTreeSet::new(),
        }
    }

    /// Up to where somebody has said what is chosen.
    pub(super) const fn committed(&self) -> Position {
        self.committed
    }

    /// Whether something that this epoch proposed first is chosen.
    pub(super) fn has_chosen_in(&self, epoch: Epoch) -> bool {
        self.own.contains(&epoch)
    }

    /// The last position that is chosen.
    pub(super) fn chosen(&self) -> Position {
        let last = self.places.iter().rposition(|place| place.chosen.is_some());
        Position(last.map_or(0, |index| index as u64 + 1))
    }

    /// What was chosen last by members that knew of no later epoch than one before `epoch`. A leader of `epoch` has it;
    /// what was chosen later, one that comes late may lack.
    pub(super) fn last_before(&self, epoch: Epoch) -> Option<(Position, Value)> {
        let choices = self.places.iter().map(|place| place.chosen).enumerate();
        let before = |(index, choice): (usize, Option<Choice>)| {
            let choice = choice.filter(|choice| choice.epoch < epoch)?;
            Some((Position(index as u64 + 1), choice.value))
        };
        choices.rev().find_map(before)
    }

    /// The epoch in which what is chosen at a position was first proposed.
    pub(super) fn epoch_at(&self, at: Position) -> Option<Epoch> {
        let place = self.places.get(at.0.checked_sub(1)? as usize)?;
        Some(place.chosen?.value.epoch)
    }

    /// These values are proposed, from `first` on: persisted or sent.
    pub(super) fn on_proposed(&mut self, first: Position, values: &[Held]) -> Verdict {
        let mut before = None;
        for (held, at) in values.iter().zip(first.0..) {
            self.on_proposal(Position(at), *held, before)?;
            before = self.rules.chained.then_some(held.accepted);
        }
        Ok(())
    }

    fn on_proposal(&mut self, at: Position, held: Held, before: Option<Epoch>) -> Verdict {
        let Held { accepted, value } = held;
        let place = self.place(at)?;
        let mut known = place.proposals.iter_mut();
        if let Some(known) = known.find(|proposal| proposal.epoch == accepted) {
            known.before = known.before.or(before);
            let matches = before.is_none_or(|before| known.before == Some(before));
            if known.value == value && matches {
                return Ok(());
            }
            let what = format!("two values at {at} in {accepted}");
            return Err(Violation::new(
                "one position and epoch, one value (R3, P20)",
                what,
            ));
        }
        place.proposals.push(Proposal {
            epoch: accepted,
            value,
            before,
            disks: 0,
        });
        match place.chosen {
            Some(choice) if choice.epoch < accepted && choice.value != value => {
                Err(contradiction(at, accepted, choice.epoch))
            }
            _ => Ok(()),
        }
    }

    /// A disk has accepted this: on it, synced. Where positions are decided one by one, that may choose it.
    pub(super) fn on_stored(&mut self, host: usize, at: Position, held: Held) -> Verdict {
        if self.rules.chained || host >= self.voters {
            return Ok(());
        }
        let enough = self.rules.choosing;
        let mut proposals = self.place(at)?.proposals.iter_mut();
        let stored = proposals.find(|one| one.epoch == held.accepted && one.value == held.value);
        let Some(stored) = stored else {
            return Ok(());
        };
        stored.disks |= 1 << host;
        if (stored.disks.count_ones() as usize) < enough {
            return Ok(());
        }
        self.choose(at, held.accepted, held.value)
    }

    /// A member is told, or tells, that these are chosen, from `first` on.
    pub(super) fn on_learned(&mut self, host: usize, first: Position, values: &[Held]) -> Verdict {
        for (held, at) in values.iter().zip(first.0..) {
            let chosen = self.place(Position(at))?.chosen;
            if chosen.is_none_or(|choice| choice.value != held.value) {
                let other = chosen.map(|choice| choice.value.epoch);
                let what = format!(
                    "member {}: a value of {} at {at}, chosen is one of {other:?}",
                    host + 1,
                    held.value.epoch
                );
                return Err(Violation::new("what is learned is chosen (X5)", what));
            }
        }
        Ok(())
    }

    /// `value` is chosen at `at`, in `epoch` or before it. Every later epoch can only have proposed the same, also
    /// where it did so before the choice was made (P5; Lamport 2001, 2.2, P2b; Ongaro and Ousterhout 2014, 5.4.3).
    fn choose(&mut self, at: Position, epoch: Epoch, value: Value) -> Verdict {
        let place = self.place(at)?;
        match place.chosen {
            Some(choice) if choice.value != value => {
                let what = format!(
                    "at {at} a value of {} is chosen in {epoch}, and one of {} in {}",
                    value.epoch, choice.value.epoch, choice.epoch
                );
                return Err(Violation::new(
                    "what is chosen never changes (A1, P1)",
                    what,
                ));
            }
            Some(choice) if choice.epoch <= epoch => return Ok(()),
            Some(_) | None => {}
        }
        let first = place.chosen.is_none();
        self.own.insert(value.epoch);
        let place = self.place(at)?;
        place.chosen = Some(Choice { epoch, value });
        let mut later = place.proposals.iter();
        let other = later.find(|one| one.epoch > epoch && one.value != value);
        if let Some(other) = other {
            return Err(contradiction(at, other.epoch, epoch));
        }
        let before =
            at.0.checked_sub(2)
                .map(|index| &self.places[index as usize]);
        if first && before.is_some_and(|place| place.chosen.is_none()) {
            self.marks.insert(CHOSEN_BEHIND_A_HOLE);
        }
        Ok(())
    }

    /// A member that is in the epoch `now` says that this is chosen.
    pub(super) fn on_commit(
        &mut self,
        host: usize,
        run: &Committed,
        now: Epoch,
        by: (&[DiskView], Camp),
    ) -> Verdict {
        for (value, at) in values(run.epoch, &run.batch).zip(run.first.0..) {
            let at = Position(at);
            let chosen = self.place(at)?.chosen;
            if let Some(choice) = chosen.filter(|choice| choice.value != value) {
                let what = format!(
                    "at {at} member {} commits a value of {}, chosen was one of {}",
                    host + 1,
                    value.epoch,
                    choice.value.epoch
                );
                return Err(Violation::new(
                    "what is chosen never changes (A1, P1)",
                    what,
                ));
            }
            if at > self.committed.next() {
                let what = format!("member {} commits {at} behind {}", host + 1, self.committed);
                return Err(Violation::new("commits have no gap (law 6)", what));
            }
            if chosen.is_none() {
                self.on_new_commit((host, now), at, value, by)?;
            }
            self.committed = self.committed.max(at);
        }
        Ok(())
    }

    /// A commit shows what is chosen in a chained log; elsewhere disks have shown it before.
    fn on_new_commit(
        &mut self,
        (host, now): (usize, Epoch),
        at: Position,
        value: Value,
        (disks, camp): (&[DiskView], Camp),
    ) -> Verdict {
        let chained = self.rules.chained;
        let having = if chained {
            having(disks, |disk| disk.has(at, value))
        } else {
            let proposals = self.place(at)?.proposals.iter();
            let same = proposals.filter(|one| one.value == value);
            let most = same.max_by_key(|one| one.disks.count_ones());
            most.map_or(0, |most| most.disks)
        };
        if !camp.decides(having) || !chained {
            let what = format!(
                "member {} commits {at}@{}, which is on the disks {having:#b} in one epoch, of {camp:?}",
                host + 1,
                value.epoch,
            );
            return Err(Violation::new(
                "chosen is on a quorum of disks (A5, B10)",
                what,
            ));
        }
        self.choose(at, now, value)
    }

    fn place(&mut self, at: Position) -> Result<&mut Place, Violation> {
        let count = self.places.len() as u64;
        if at == Position::ZERO || at.0 > count + APART_MAX {
            let what = format!("{at}, where there are {count}");
            return Err(Violation::new("positions are near each other", what));
        }
        if at.0 > count {
            self.places.resize_with(at.0 as usize, Place::default);
        }
        Ok(&mut self.places[at.0 as usize - 1])
    }
}

fn contradiction(at: Position, later: Epoch, chosen: Epoch) -> Violation {
    let what = format!("{later} proposes another value at {at} than {chosen} chose");
    Violation::new(
        "what is chosen is proposed by all later epochs (P5, R4)",
        what,
    )
}
