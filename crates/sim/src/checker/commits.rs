//! What is chosen and what is applied: for ever, everywhere the same, once each, and on a quorum of disks.

use std::collections::HashMap;

use quorate_core::{Committed, Epoch, Position};

use super::disks::{DiskView, Said};
use super::{Value, Verdict, Violation, values};

pub(super) struct Commits {
    /// What is chosen at 1, 2, 3 …
    chosen: Vec<Value>,
    /// In which epoch the member was that first said so.
    known_in: Vec<Epoch>,
    /// Up to where each member has said so.
    upto: Vec<Position>,
    /// What stands at (position, epoch) in any log, and the epoch before it.
    entries: HashMap<(Position, Epoch), (Value, Option<Epoch>)>,
    /// What was applied at a position, and where a command was. Only looked up, never iterated.
    applied: HashMap<Position, u64>,
    places: HashMap<u64, Position>,
}

impl Commits {
    pub(super) fn new(members: usize) -> Self {
        Self {
            chosen: Vec::new(),
            known_in: Vec::new(),
            upto: vec![Position::ZERO; members],
            entries: HashMap::new(),
            applied: HashMap::new(),
            places: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.chosen.len() as u64
    }

    /// What was chosen last by members that knew of no later epoch than one before `epoch`. A leader of `epoch` has it;
    /// what was chosen later, one that comes late may lack.
    pub(super) fn last_before(&self, epoch: Epoch) -> Option<(Position, Value)> {
        let index = self.known_in.iter().rposition(|known| *known < epoch)?;
        Some((Position(index as u64 + 1), self.chosen[index]))
    }

    /// The epoch of what is chosen at a position.
    pub(super) fn epoch_at(&self, at: Position) -> Option<Epoch> {
        let index = at.0.checked_sub(1)?;
        self.chosen.get(index as usize).map(|value| value.epoch)
    }

    /// Entries of one position and one epoch are the same entry, with the same epoch before it.
    pub(super) fn on_entries(&mut self, said: &Said) -> Verdict {
        let Said::Entries { after, values } = said else {
            return Ok(());
        };
        let mut before = None;
        for (value, at) in values.iter().zip(after.0 + 1..) {
            let at = Position(at);
            let found = self
                .entries
                .entry((at, value.epoch))
                .or_insert((*value, before));
            found.1 = found.1.or(before);
            if found.0 != *value || before.is_some_and(|before| found.1 != Some(before)) {
                let what = format!("two entries {at}@{}", value.epoch);
                return Err(Violation::new("logs match (R3)", what));
            }
            before = Some(value.epoch);
        }
        Ok(())
    }

    pub(super) fn on_commit(
        &mut self,
        host: usize,
        run: &Committed,
        now: Epoch,
        disks: &[DiskView],
    ) -> Verdict {
        for (value, at) in values(run.epoch, &run.batch).zip(run.first.0..) {
            let at = Position(at);
            match self.chosen.get(at.0 as usize - 1) {
                Some(chosen) if *chosen == value => {}
                Some(chosen) => {
                    let what = format!(
                        "at {at} member {} commits an entry of {}, chosen was one of {}",
                        host + 1,
                        value.epoch,
                        chosen.epoch
                    );
                    return Err(Violation::new(
                        "what is chosen never changes (A1, P1)",
                        what,
                    ));
                }
                None => self.on_new_commit((host, now), at, value, disks)?,
            }
            self.upto[host] = self.upto[host].max(at);
        }
        Ok(())
    }

    fn on_new_commit(
        &mut self,
        (host, now): (usize, Epoch),
        at: Position,
        value: Value,
        disks: &[DiskView],
    ) -> Verdict {
        if at.0 != self.len() + 1 {
            let what = format!("member {} commits {at} behind {}", host + 1, self.len());
            return Err(Violation::new("commits have no gap (law 6)", what));
        }
        let having = disks.iter().filter(|disk| disk.has(at, value)).count();
        if 2 * having <= disks.len() {
            let what = format!(
                "member {} commits {at}@{}, which is on {having} of {} disks",
                host + 1,
                value.epoch,
                disks.len()
            );
            return Err(Violation::new(
                "chosen is on a quorum of disks (A5, B10)",
                what,
            ));
        }
        self.chosen.push(value);
        self.known_in.push(now);
        Ok(())
    }

    /// A command is applied at one position only, and a position applies one command only.
    pub(super) fn on_applied(&mut self, host: usize, at: Position, command: u64) -> Verdict {
        let first = *self.applied.entry(at).or_insert(command);
        if first != command {
            let what = format!("member {} applies another command at {at}", host + 1);
            return Err(Violation::new("all apply the same (A2)", what));
        }
        let place = *self.places.entry(command).or_insert(at);
        if place != at {
            let what = format!("member {} applies at {at} what stands at {place}", host + 1);
            return Err(Violation::new("a command is applied once (S1, B35)", what));
        }
        if at.0 > self.len() {
            let what = format!(
                "member {} applies {at}, chosen is up to {}",
                host + 1,
                self.len()
            );
            return Err(Violation::new("only what is chosen is applied", what));
        }
        Ok(())
    }
}
