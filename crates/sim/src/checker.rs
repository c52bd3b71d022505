//! What must be true after every event, judged by what the simulator sees: disks, messages, commits, applied
//! commands, states. Nothing here asks the code that it checks; only the vocabulary (ids, batches) is shared.

mod applied;
mod choices;
mod disks;
mod freshness;
mod members;
mod states;
mod value;

use std::collections::BTreeSet;
use std::fmt;

use quorate_core::{Committed, Configuration, Epoch, Mark, NodeId, Position, RoleKind, Status};

use crate::{Claim, Remembered, Rules};
use applied::Applied;
use choices::Choices;
use disks::{DiskView, Said};
use members::Members;
use states::States;

pub(crate) use freshness::Freshness;
pub(crate) use value::{fingerprint, stir};

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
    rules: Rules,
    members: Members,
    disks: Vec<DiskView>,
    choices: Choices,
    applied: Applied,
    states: States,
}

impl Checkers {
    /// Of so many hosts the first so many are members from the start, and the first so many of those vote.
    pub(crate) fn new((hosts, members, voters): (usize, usize, usize), rules: Rules) -> Self {
        let disk = |host| DiskView::new(host, rules.chained);
        Self {
            rules,
            members: Members::new((hosts, members, voters), rules),
            disks: (0..hosts).map(disk).collect(),
            choices: Choices::new(rules, voters),
            applied: Applied::default(),
            states: States::new(hosts),
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
        let said: Vec<Said> = said.into_iter().map(Said::from).collect();
        for said in &said {
            match said {
                Said::Accepted { first, values, .. } => self.choices.on_proposed(*first, values)?,
                Said::Chosen { upto } => self.is_chosen(host, *upto)?,
                Said::Learned { first, values } => self.choices.on_learned(host, *first, values)?,
                Said::Promise { .. } | Said::Base { .. } => {}
            }
            let own = |epoch| self.choices.has_chosen_in(epoch);
            let committed = self.choices.committed();
            self.members.on_persist(host, said, own, committed)?;
        }
        self.disks[host].on_persist(mark, payload, said)
    }

    /// The disk says that everything up to `upto` is synced.
    pub(crate) fn on_synced(&mut self, host: usize, upto: Mark) -> Verdict {
        self.disks[host].on_synced(upto, &mut self.choices)
    }

    /// The journal may remove what lies below `below`.
    pub(crate) fn on_reclaimed(&mut self, host: usize, below: Mark) {
        self.disks[host].on_reclaimed(below);
    }

    /// A snapshot is on the member's disk, synced and read back.
    pub(crate) fn on_snapshot(&mut self, host: usize, upto: Position) {
        self.disks[host].on_snapshot(upto);
        self.members.on_snapshot(host, upto);
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
            (mark, payload, said.into_iter().map(Said::from).collect())
        });
        let records: Vec<(Mark, u64, Vec<Said>)> = records.collect();
        let said = records.iter().flat_map(|(_, _, said)| said);
        self.members.on_recovered(host, snapshot, said);
        self.disks[host].on_recovered(snapshot, records, &mut self.choices)
    }

    /// A message leaves.
    pub(crate) fn on_claims(&mut self, host: usize, claims: &[Claim]) -> Verdict {
        for claim in claims {
            self.disks[host].judge(claim)?;
            match claim {
                Claim::Leads(epoch) => self.on_leader(host, *epoch)?,
                Claim::Seeks(epoch) => self.states.on_candidate(host, *epoch)?,
                Claim::Chosen { upto } => self.is_chosen(host, *upto)?,
                Claim::Teaches { first, runs } => {
                    let values: Vec<_> = value::held(runs).collect();
                    self.choices.on_learned(host, *first, &values)?;
                }
                Claim::Proposes { first, runs } => {
                    let values: Vec<_> = value::held(runs).collect();
                    self.choices.on_proposed(*first, &values)?;
                }
                Claim::Vote { .. } if !self.members.ever_votes(host) => {
                    return Err(no_vote(host, "gives a vote"));
                }
                Claim::Epoch(_)
                | Claim::Vote { .. }
                | Claim::Holds { .. }
                | Claim::Accepted { .. }
                | Claim::Tells { .. }
                | Claim::Covers { .. } => {}
            }
        }
        Ok(())
    }

    /// Who says that something is chosen has seen it being so.
    fn is_chosen(&self, host: usize, upto: Position) -> Verdict {
        if upto <= self.choices.committed() {
            return Ok(());
        }
        let what = format!(
            "member {} says that all up to {upto} is chosen, known is {}",
            host + 1,
            self.choices.committed()
        );
        Err(Violation::new(
            "what is said to be chosen is (D3, R8, P8)",
            what,
        ))
    }

    /// Who leads was elected by enough members whose votes are on disk; in a chained log it has all that is chosen.
    fn on_leader(&mut self, host: usize, epoch: Epoch) -> Verdict {
        if !self.states.on_leader(host, epoch)? {
            return Ok(());
        }
        if !self.members.ever_votes(host) {
            return Err(no_vote(host, "leads"));
        }
        let votes = having(&self.disks, |disk| disk.voted(epoch, host));
        let camp = self.members.in_force(host).sized(self.rules.electing);
        if !camp.decides(votes) {
            let what = format!(
                "member {} leads {epoch} by the votes {votes:#b} on disk, of {camp:?}",
                host + 1
            );
            return Err(Violation::new("a quorum elects (R1, B6, P4)", what));
        }
        if !self.rules.chained {
            return Ok(());
        }
        match self.choices.last_before(epoch) {
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
        let camp = self.members.in_force(host).sized(self.rules.choosing);
        self.choices
            .on_commit(host, run, now, (&self.disks, camp))?;
        if let Some(configuration) = run.batch.configured() {
            self.members.on_chosen(run.first, &configuration);
        }
        Ok(())
    }

    /// A host comes that was not there; its own config names these.
    pub(crate) fn on_founded(&mut self, host: usize, voters: &[NodeId]) {
        self.members.on_founded(host, voters);
    }

    /// A member acts by a configuration that stands at `at`.
    pub(crate) fn on_configured(
        &self,
        host: usize,
        at: Position,
        configuration: &Configuration,
    ) -> Verdict {
        self.members.on_configured(host, at, configuration)
    }

    /// An operator is told that members have changed.
    pub(crate) fn on_reconfigured(&self, host: usize, at: Position) -> Verdict {
        self.members.on_reconfigured(host, at)
    }

    /// Whether these hosts are enough, whatever configuration comes to be in force.
    pub(crate) fn can_decide(&self, with: u16) -> bool {
        self.members.can_decide(with)
    }

    /// Whether this member is known to lead, or to have led, this epoch.
    pub(crate) fn leads(&self, member: NodeId, epoch: Epoch) -> bool {
        self.states.leads(member.0 as usize - 1, epoch)
    }

    pub(crate) fn on_applied(&mut self, host: usize, at: Position, command: u64) -> Verdict {
        let chosen = self.choices.committed();
        self.applied.on_applied(host, (at, command), chosen)
    }

    /// What was applied anywhere, in order: where, and the command's fingerprint.
    pub(crate) fn applied(&self) -> Vec<(Position, u64)> {
        self.applied.sequence()
    }

    /// A member answers a client whose command stands at `at`.
    pub(crate) fn on_reply(&mut self, host: usize, at: Position) {
        self.states.on_reply(host, at);
    }

    /// A member answers a read, of whatever level, from the state that ends at `at`.
    pub(crate) fn on_read(&self, host: usize, at: Position) -> Verdict {
        self.states.on_read(host, at)
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
            let own = self.choices.epoch_at(upto) == Some(epoch);
            if committed && self.rules.chained && !own {
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
        self.choices.committed().0
    }

    /// The last position that is chosen, whether or not anybody has said so.
    pub(crate) fn chosen(&self) -> Position {
        self.choices.chosen()
    }

    /// The rare states that were seen.
    pub(crate) fn marks(&self) -> BTreeSet<&'static str> {
        let disks = self.disks.iter().flat_map(|disk| &disk.marks);
        let all = disks.chain(&self.choices.marks).chain(&self.members.marks);
        all.copied().collect()
    }
}

/// The disks of which this holds, one bit each.
fn having(disks: &[DiskView], holds: impl Fn(&DiskView) -> bool) -> u16 {
    let all = disks.iter().enumerate();
    all.fold(0, |bits, (host, disk)| {
        bits | u16::from(holds(disk)) << host
    })
}

/// Learners count for nothing.
fn no_vote(host: usize, what: &str) -> Violation {
    let what = format!("member {} has no vote and {what}", host + 1);
    Violation::new("learners have no vote (R23)", what)
}

/// What a member shows of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) status: Status,
    pub(crate) applied: Position,
    pub(crate) snapshot: Position,
    pub(crate) digest: u64,
}

#[cfg(test)]
mod tests;
