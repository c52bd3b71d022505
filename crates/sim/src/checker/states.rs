//! What members show of themselves: positions in order and monotone, one leader an epoch, equal states.

use std::collections::{BTreeMap, HashMap};

use quorate_core::{Epoch, Position, Status};

use super::{Shown, Verdict, Violation};

pub(super) struct States {
    members: Vec<Seen>,
    /// Who leads an epoch, and in which of its lives.
    leaders: BTreeMap<Epoch, (usize, u64)>,
    /// In which life a member seeks to lead an epoch.
    candidates: BTreeMap<(Epoch, usize), u64>,
    /// The digest after applying a position. Only looked up.
    digests: HashMap<Position, (u64, usize)>,
}

/// The highest that was seen of a member.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Over all lives.
    epoch: Epoch,
    /// In the lives before this one: the last position that it had applied or answered for.
    formerly: Position,
    /// How often it has started.
    life: u64,
    /// In this life: an unreadable snapshot falls back to the one before it, and that entries were forgotten may itself
    /// be forgotten.
    snapshot: Position,
    compacted: Position,
    committed: Position,
    applied: Position,
    /// The last command that it answered for.
    answered: Position,
}

impl States {
    pub(super) fn new(members: usize) -> Self {
        Self {
            members: vec![Seen::default(); members],
            leaders: BTreeMap::new(),
            candidates: BTreeMap::new(),
            digests: HashMap::new(),
        }
    }

    pub(super) fn on_restart(&mut self, host: usize) {
        let seen = &mut self.members[host];
        *seen = Seen {
            epoch: seen.epoch,
            formerly: seen.formerly.max(seen.applied).max(seen.answered),
            life: seen.life + 1,
            ..Seen::default()
        };
    }

    /// True: it is new in this epoch.
    pub(super) fn on_leader(&mut self, host: usize, epoch: Epoch) -> Result<bool, Violation> {
        let life = self.members[host].life;
        let Some((first, in_life)) = self.leaders.get(&epoch).copied() else {
            self.leaders.insert(epoch, (host, life));
            return Ok(true);
        };
        if first != host {
            let what = format!("members {} and {} lead {epoch}", first + 1, host + 1);
            return Err(Violation::new("one leader a term (R1, B6, B7)", what));
        }
        one_life(host, epoch, (in_life, life)).map(|()| false)
    }

    pub(super) fn leads(&self, host: usize, epoch: Epoch) -> bool {
        self.leaders
            .get(&epoch)
            .is_some_and(|(leader, _)| *leader == host)
    }

    pub(super) fn on_candidate(&mut self, host: usize, epoch: Epoch) -> Verdict {
        let life = self.members[host].life;
        let first = *self.candidates.entry((epoch, host)).or_insert(life);
        one_life(host, epoch, (first, life))
    }

    pub(super) fn on_state(&mut self, host: usize, shown: &Shown) -> Verdict {
        let Shown {
            status,
            applied,
            snapshot,
            ..
        } = *shown;
        let order = ordered(&status, applied, snapshot);
        let before = self.members[host];
        let seen = &mut self.members[host];
        let monotone = status.epoch >= seen.epoch
            && status.committed >= seen.committed
            && status.compacted >= seen.compacted
            && applied >= seen.applied
            && snapshot >= seen.snapshot;
        *seen = Seen {
            epoch: seen.epoch.max(status.epoch),
            formerly: seen.formerly,
            life: seen.life,
            snapshot,
            compacted: status.compacted,
            committed: status.committed,
            applied,
            answered: before.answered,
        };
        if !order || !monotone {
            let how = if order {
                "went back"
            } else {
                "are out of order"
            };
            let what = format!("member {} {how}: {shown:?}, before {before:?}", host + 1);
            return Err(Violation::new(
                "positions are ordered and monotone (A4)",
                what,
            ));
        }
        self.on_digest(host, shown)
    }

    pub(super) fn on_reply(&mut self, host: usize, at: Position) {
        let answered = &mut self.members[host].answered;
        *answered = at.max(*answered);
    }

    /// Also what may be old shows no state before what this member has shown, in this life or before it.
    pub(super) fn on_read(&self, host: usize, at: Position) -> Verdict {
        let Seen {
            formerly,
            applied,
            answered,
            ..
        } = self.members[host];
        if at >= applied.max(answered).max(formerly) {
            return Ok(());
        }
        let what = format!(
            "member {} reads at {at}, has applied {applied} and answered {answered}, and {formerly} before it started",
            host + 1
        );
        Err(Violation::new("reads of one member never go back", what))
    }

    fn on_digest(&mut self, host: usize, shown: &Shown) -> Verdict {
        let (digest, first) = *self
            .digests
            .entry(shown.applied)
            .or_insert((shown.digest, host));
        if digest != shown.digest {
            let what = format!(
                "members {} and {} differ after applying {}",
                first + 1,
                host + 1,
                shown.applied
            );
            return Err(Violation::new("equal states at equal positions (A3)", what));
        }
        Ok(())
    }
}

/// What a member sought to lead in one life it never seeks in another.
fn one_life(host: usize, epoch: Epoch, (first, life): (u64, u64)) -> Verdict {
    if first == life {
        return Ok(());
    }
    let what = format!(
        "member {} uses {epoch} in its lives {first} and {life}",
        host + 1
    );
    Err(Violation::new(
        "an epoch is sought in one life (P3, R5)",
        what,
    ))
}

fn ordered(status: &Status, applied: Position, snapshot: Position) -> bool {
    status.compacted <= snapshot
        && snapshot <= applied.max(status.committed)
        && applied <= status.committed
        && status.compacted <= status.committed
        && status.committed <= status.last
        && status.durable <= status.last
}
