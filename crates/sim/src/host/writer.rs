//! The journal's turn, in two steps so that a crash can come between: write all that waits, sync it.

use quorate_core::{Mark, ReplicatedLog, StateMachine};
use quorate_journal::{JournalError, Room};

use super::{Exit, Process};

/// What a sync brought about.
pub(crate) struct Written {
    /// Up to where everything is synced, if it was.
    pub(crate) synced: Option<Mark>,
    /// Whether there is room, if that has changed.
    pub(crate) room: Option<bool>,
}

impl<L: ReplicatedLog, S: StateMachine> Process<L, S> {
    /// Gives the journal all that it has room for, and has it written.
    pub(crate) fn write(&mut self) -> Result<(), Exit> {
        while let Some(entry) = self.queue.front() {
            match self.journal.append(entry) {
                Ok(()) => {}
                Err(JournalError::NoRoom { .. }) => break,
                Err(error) => return Err(error.into()),
            }
            self.queue.pop_front();
        }
        Ok(self.journal.write()?)
    }

    /// Syncs what was written, forgets what may be, and sees to the next segment.
    pub(crate) fn sync(&mut self) -> Result<Written, Exit> {
        let dirty = self.journal.is_dirty();
        let synced = if dirty {
            Some(self.journal.sync()?)
        } else {
            None
        };
        if let Some(below) = self.reclaim.take() {
            self.journal.reclaim(below)?;
        }
        match self.journal.room() {
            Room::Making if !dirty || self.journal.is_late() => drop(self.journal.make_room()?),
            Room::Full => drop(self.journal.make_room()?),
            Room::Making | Room::Ready => {}
        }
        let room = self.journal.room() != Room::Full;
        let changed = room != self.room;
        self.room = room;
        Ok(Written {
            synced,
            room: changed.then_some(room),
        })
    }

    /// Whether the journal has something to do.
    pub(crate) fn has_work(&self) -> bool {
        !self.queue.is_empty() || self.reclaim.is_some() || self.journal.room() != Room::Ready
    }

    /// Whether the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        self.journal.room() == Room::Full
    }
}
