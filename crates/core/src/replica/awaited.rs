//! Reads that are fresh enough and wait until this member has applied what they must include.

use alloc::collections::BTreeMap;

use super::ReadStamp;
use crate::{Instant, Position, Ticket};

/// A read that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) ticket: Ticket,
    /// What its answer will be stamped with, but for the position.
    pub(super) stamp: ReadStamp,
    pub(super) after: Position,
    pub(super) deadline: Instant,
}

/// Such reads, by what they wait for and by how long. As many as reads may be open.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    by_position: BTreeMap<(Position, u64), Waiting>,
    by_deadline: BTreeMap<(Instant, u64), Position>,
    next: u64,
}

impl Awaited {
    pub(super) fn insert(&mut self, read: Waiting) {
        self.next += 1;
        self.by_position.insert((read.after, self.next), read);
        self.by_deadline
            .insert((read.deadline, self.next), read.after);
    }

    /// One that waits no longer, now that `applied` is.
    pub(super) fn next_ready(&mut self, applied: Position) -> Option<Waiting> {
        let first = self.by_position.first_entry()?;
        let (after, number) = *first.key();
        if after > applied {
            return None;
        }
        let read = first.remove();
        self.by_deadline.remove(&(read.deadline, number));
        Some(read)
    }

    /// One that has waited too long.
    pub(super) fn next_expired(&mut self, now: Instant) -> Option<Waiting> {
        let first = self.by_deadline.first_entry()?;
        let (deadline, number) = *first.key();
        if deadline > now {
            return None;
        }
        let after = first.remove();
        self.by_position.remove(&(after, number))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let first = self.by_deadline.first_key_value();
        first.map(|((deadline, _), _)| *deadline)
    }
}
