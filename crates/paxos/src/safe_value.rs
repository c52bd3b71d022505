//! What a proposer may propose, given what a quorum has voted for (Paxos Made Simple, 2.2, P2c).

use alloc::vec::Vec;

use quorate_core::Position;

use crate::{Ballot, Value, Vote};

/// Two acceptors voted for different values in one ballot: one of them does not follow Paxos (`RELIABILITY` P20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TwoValues;

/// The value that one slot must get: that of the highest ballot in which a quorum's member voted. None: nobody
/// voted, so nothing can have been chosen, and any value will do.
pub(crate) fn safe_value<'a>(
    votes: impl IntoIterator<Item = &'a Vote>,
) -> Result<Option<&'a Vote>, TwoValues> {
    let mut best: Option<&Vote> = None;
    for vote in votes {
        match best {
            Some(known) if known.ballot == vote.ballot => {
                if known.value.born != vote.value.born {
                    return Err(TwoValues);
                }
            }
            Some(known) if known.ballot > vote.ballot => {}
            Some(_) | None => best = Some(vote),
        }
    }
    Ok(best)
}

/// A run of slots behind phase 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Some member of the quorum voted: this value it must be.
    Bound(Position, Value),
    /// Nobody voted in `first..end`: no-ops.
    Free(Position, Position),
}

/// The safe value of every slot from `from` to the last one voted for, run by run.
///
/// `reports` has one entry for each member of the quorum: what it voted for, ascending and disjoint. Boundaries of any
/// report cut the slots into pieces in which every report says one thing; each piece is decided once.
pub(crate) fn safe_values(from: Position, reports: &[&[Vote]]) -> Result<Vec<Slot>, TwoValues> {
    let all = || reports.iter().flat_map(|report| report.iter());
    let mut cuts: Vec<Position> = all().flat_map(|vote| [vote.first, vote.end()]).collect();
    cuts.push(from);
    cuts.retain(|cut| *cut >= from);
    cuts.sort_unstable();
    cuts.dedup();
    let mut cursors: Vec<&[Vote]> = reports.to_vec();
    let mut slots = Slots::default();
    for piece in cuts.windows(2) {
        let (first, end) = (piece[0], piece[1]);
        for cursor in &mut cursors {
            let passed = cursor.iter().take_while(|vote| vote.end() <= first).count();
            *cursor = &cursor[passed..];
        }
        let here = cursors.iter().filter_map(|cursor| cursor.first());
        let best = safe_value(here.filter(|vote| vote.first <= first))?;
        slots.push(first, end, best);
    }
    Ok(slots.finish())
}

/// Melts pieces together again that come from one vote, or from none.
#[derive(Default)]
struct Slots<'a> {
    done: Vec<Slot>,
    running: Option<(Position, Position, Option<&'a Vote>)>,
}

impl<'a> Slots<'a> {
    fn push(&mut self, first: Position, end: Position, vote: Option<&'a Vote>) {
        let same = |known: Option<&Vote>| match (known, vote) {
            (Some(known), Some(vote)) => core::ptr::eq(known, vote),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        match &mut self.running {
            Some((_, running, known)) if same(*known) => *running = end,
            _ => {
                self.flush();
                self.running = Some((first, end, vote));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((first, end, vote)) = self.running.take() {
            self.done.push(match vote {
                None => Slot::Free(first, end),
                Some(vote) => {
                    let skip = vote.first.get();
                    let value = vote.value.part(first.get() - skip, end.get() - skip);
                    Slot::Bound(first, value)
                }
            });
        }
    }

    fn finish(mut self) -> Vec<Slot> {
        self.flush();
        self.done
    }
}

/// Whether a report is one that an acceptor can give before `ballot`: ascending and disjoint runs in
/// `from..end`, of earlier ballots.
pub(crate) fn is_report(votes: &[Vote], from: Position, end: Position, ballot: Ballot) -> bool {
    let mut at = from;
    votes.iter().all(|vote| {
        let ordered = vote.first >= at && vote.first <= end;
        let fits = ordered && vote.value.slots() <= end.get() - vote.first.get();
        if fits {
            at = vote.end();
        }
        fits && vote.ballot.is_used() && vote.ballot < ballot && vote.value.is_sane(vote.ballot)
    })
}
