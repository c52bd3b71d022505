//! Whether what a message says is on its sender's disk.

use quorate_core::Position;

use super::DiskView;
use crate::checker::value::held;
use crate::checker::{Verdict, Violation};
use crate::{Claim, Run};

impl DiskView {
    /// Whether what a message of this member claims is on its disk.
    pub(in crate::checker) fn judge(&self, claim: &Claim) -> Verdict {
        let (holds, what) = match claim {
            Claim::Epoch(epoch) => (*epoch <= self.epoch, "its epoch"),
            Claim::Leads(epoch) | Claim::Seeks(epoch) => {
                (*epoch <= self.epoch, "the epoch that it leads")
            }
            Claim::Vote { epoch, vote } => (
                self.votes.get(epoch) == Some(vote),
                "the vote that it gives",
            ),
            Claim::Holds { upto } => (
                *upto <= self.whole.max(self.snapshot),
                "what it acknowledges",
            ),
            Claim::Accepted { epoch, first, end } => (
                (first.0..end.0).all(|at| {
                    let held = self.at(Position(at));
                    held.is_some_and(|held| held.accepted == *epoch)
                }),
                "what it acknowledges",
            ),
            Claim::Covers { upto } => (*upto <= self.snapshot, "the snapshot that it offers"),
            Claim::Tells { first, end, runs } => return self.tells(*first, *end, runs),
            Claim::Chosen { .. } | Claim::Proposes { .. } | Claim::Teaches { .. } => return Ok(()),
        };
        if holds {
            return Ok(());
        }
        let what = format!(
            "member {} says {claim:?} before {what} is on its disk (epoch {}, whole up to {})",
            self.host + 1,
            self.epoch,
            self.whole
        );
        Err(Violation::new(
            "nothing is said before it is on disk (D1, A6, B2)",
            what,
        ))
    }

    /// Whether `first..end`, none of which is forgotten, holds exactly `runs`.
    fn tells(&self, first: Position, end: Option<Position>, runs: &[(Position, Run)]) -> Verdict {
        let last = self.base.plus(self.slots.len() as u64);
        let end = end.map_or(last.next(), |end| end.min(last.next()));
        let mut at = first;
        // What is forgotten is not empty.
        let mut wrong = (first <= self.base).then_some(first.0);
        for (start, run) in runs {
            let hole = (at.0..start.0).find(|at| self.at(Position(*at)).is_some());
            wrong = wrong.or(hole);
            at = *start;
            for told in held(std::slice::from_ref(run)) {
                wrong = wrong.or((self.at(at) != Some(told)).then_some(at.0));
                at = at.next();
            }
        }
        let hole = (at.0..end.0).find(|at| self.at(Position(*at)).is_some());
        let Some(wrong) = wrong.or(hole) else {
            return Ok(());
        };
        let what = format!(
            "member {} tells from {first} on what its disk does not hold, or not all: at {wrong} there is {:?}",
            self.host + 1,
            self.at(Position(wrong))
        );
        Err(Violation::new(
            "a promise tells what is on disk (A6, P14, C5)",
            what,
        ))
    }
}
