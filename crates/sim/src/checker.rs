//! What must be true after every event, judged by what the simulator sees: disks, messages, commits, applied
//! commands, states. Nothing here asks the code that it checks; only the vocabulary (ids, batches) is shared.

mod commits;
mod disks;
mod states;

use std::fmt;

use quorate_core::{Batch, Committed, Epoch, Mark, NodeId, Position, RoleKind, Status};

use crate::{Claim, Remembered};
use commits::Commits;
use disks::DiskView;
use states::States;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name, with the letter of `RELIABILITY` where there is one.
    pub invariant: &'static str,
    /// What was seen instead.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self {
            invariant,
            what: what.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

pub(crate) type Verdict = Result<(), Violation>;

/// All checkers of one run.
pub(crate) struct Checkers {
    disks: Vec<DiskView>,
    commits: Commits,
    states: States,
    /// Leaders are elected, complete, and commit what is their own.
    elected: bool,
}

impl Checkers {
    pub(crate) fn new(members: &[NodeId], elected: bool) -> Self {
        Self {
            disks: members
                .iter()
                .map(|member| DiskView::new(*member))
                .collect(),
            commits: Commits::new(members.len()),
            states: States::new(members.len()),
            elected,
        }
    }

    /// A record was handed to the journal. `payload` is its fingerprint as bytes.
    pub(crate) fn on_persist(
        &mut self,
        host: usize,
        mark: Mark,
        payload: u64,
        said: Vec<Remembered>,
    ) -> Verdict {
        let said: Vec<disks::Said> = said.into_iter().map(disks::Said::from).collect();
        for entries in &said {
            self.commits.on_entries(entries)?;
        }
        self.disks[host].on_persist(mark, payload, said)
    }

    /// The disk says that everything up to `upto` is synced.
    pub(crate) fn on_synced(&mut self, host: usize, upto: Mark) -> Verdict {
        self.disks[host].on_synced(upto)
    }

    /// The journal may remove what lies below `below`.
    pub(crate) fn on_reclaimed(&mut self, host: usize, below: Mark) {
        self.disks[host].on_reclaimed(below);
    }

    /// A snapshot is on the member's disk, synced and read back.
    pub(crate) fn on_snapshot(&mut self, host: usize, upto: Position) {
        self.disks[host].on_snapshot(upto);
    }

    /// The member starts again, with this snapshot and these records from its disk.
    pub(crate) fn on_recovered(
        &mut self,
        host: usize,
        snapshot: Position,
        records: Vec<(Mark, u64, Vec<Remembered>)>,
    ) -> Verdict {
        self.states.on_restart(host);
        let records = records.into_iter().map(|(mark, payload, said)| {
            (
                mark,
                payload,
                said.into_iter().map(disks::Said::from).collect(),
            )
        });
        self.disks[host].on_recovered(snapshot, records.collect())
    }

    /// A message leaves.
    pub(crate) fn on_claims(&mut self, host: usize, claims: &[Claim]) -> Verdict {
        for claim in claims {
            self.disks[host].judge(claim)?;
            if let Claim::Leads(epoch) = claim {
                self.on_leader(host, *epoch)?;
            }
        }
        Ok(())
    }

    /// Who leads was elected by a quorum whose votes are on disk, and has all that is chosen.
    fn on_leader(&mut self, host: usize, epoch: Epoch) -> Verdict {
        if !self.states.on_leader(host, epoch)? || !self.elected {
            return Ok(());
        }
        let votes = self.disks.iter().filter(|disk| disk.voted(epoch, host));
        let votes = votes.count();
        if 2 * votes <= self.disks.len() {
            let what = format!("member {} leads {epoch} by {votes} votes on disk", host + 1);
            return Err(Violation::new("a quorum elects (R1, B6)", what));
        }
        match self.commits.last_before(epoch) {
            Some((at, value)) if !self.disks[host].will_have(at, value) => {
                let what = format!(
                    "member {} leads {epoch} without what is chosen at {at}",
                    host + 1
                );
                Err(Violation::new("a leader has all that is chosen (R4)", what))
            }
            _ => Ok(()),
        }
    }

    /// A member that is in the epoch `now` says that this is chosen.
    pub(crate) fn on_commit(&mut self, host: usize, now: Epoch, run: &Committed) -> Verdict {
        self.commits.on_commit(host, run, now, &self.disks)
    }

    pub(crate) fn on_applied(&mut self, host: usize, at: Position, command: u64) -> Verdict {
        self.commits.on_applied(host, at, command)
    }

    /// What a member shows after a step, in which it may have `committed` something.
    pub(crate) fn on_state(&mut self, host: usize, shown: &Shown, committed: bool) -> Verdict {
        let Status {
            role,
            epoch,
            committed: upto,
            ..
        } = shown.status;
        if role == RoleKind::Leader {
            self.on_leader(host, epoch)?;
            if committed && self.elected && self.commits.epoch_at(upto) != Some(epoch) {
                let what = format!("member {} leads {epoch} and commits {upto}", host + 1);
                return Err(Violation::new(
                    "counting commits only what is of this term (R6, B8)",
                    what,
                ));
            }
        }
        self.states.on_state(host, shown)
    }

    /// How many positions are known to be chosen.
    pub(crate) fn committed(&self) -> u64 {
        self.commits.len()
    }
}

/// What a member shows of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) status: Status,
    pub(crate) applied: Position,
    pub(crate) snapshot: Position,
    pub(crate) digest: u64,
}

/// What stands at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    epoch: Epoch,
    print: u64,
}

/// The values of a batch, one a position.
fn values(epoch: Epoch, batch: &Batch) -> impl Iterator<Item = Value> + '_ {
    let label = batch.label();
    let seed = [
        label.origin.0,
        label.life.0,
        label.time.0,
        u64::from(batch.is_noop()),
    ]
    .into_iter()
    .fold(1, stir);
    let noop = batch.is_noop().then_some(Value { epoch, print: seed });
    let commands = batch.commands().map(move |(sequence, command)| Value {
        epoch,
        print: fingerprint(stir(seed, sequence), command),
    });
    noop.into_iter().chain(commands)
}

/// A fingerprint of bytes, for comparison only.
pub(crate) fn fingerprint(seed: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let print = words
        .iter()
        .fold(stir(seed, bytes.len() as u64), |print, word| {
            stir(print, u64::from_le_bytes(*word))
        });
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    stir(print, u64::from_le_bytes(last))
}

/// One round of a mixing function.
pub(crate) const fn stir(print: u64, word: u64) -> u64 {
    let mixed = (print ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests;
