//! The core's account of what it has given to the journal and what of it is durable.

use std::time::Duration;

use quorate_core::{Encoded, Mark};
use quorate_journal::{Durability, Entry};

use crate::error::Stopped;
use crate::status::JournalStatus;
use crate::writer::Writer;

/// What is little enough to be written by the core itself: mostly the time of the sync, not of the write.
const SMALL_BYTES: u64 = 64 << 10;

/// Gathers the writes of one turn, hands them over at once, and knows how much is under way.
pub(crate) struct Ledger {
    /// None with [`Durability::Memory`]: then what is written counts as durable at once.
    writer: Option<Writer>,
    durability: Durability,
    gathered: Vec<Entry>,
    gathered_bytes: u64,
    gathered_commands: u64,
    crowd: Crowd,
    limits: Limits,
    written: Mark,
    durable: Mark,
    /// Up to where all is durable that was written here, if the replica has not been told.
    news: Option<Mark>,
}

/// How much is written, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes under way above which no more is to be taken.
    pub(crate) bytes_max: u64,
    /// The longest last sync after which the core syncs by itself.
    pub(crate) sync_here_max: Duration,
}

impl Ledger {
    pub(crate) fn new(
        writer: Option<Writer>,
        durability: Durability,
        durable: Mark,
        limits: Limits,
    ) -> Self {
        Self {
            writer,
            durability,
            gathered: Vec::new(),
            gathered_bytes: 0,
            gathered_commands: 0,
            crowd: Crowd(0),
            limits,
            written: durable,
            durable,
            news: None,
        }
    }

    /// Takes a write of so many commands; it leaves with the next [`Self::hand_over`].
    pub(crate) fn write(&mut self, mark: Mark, commands: u64, encode: impl FnOnce() -> Encoded) {
        self.written = mark;
        if self.writer.is_some() {
            let Encoded { head, bodies } = encode();
            let entry = Entry { mark, head, bodies };
            self.gathered_bytes += entry.bytes();
            self.gathered_commands += commands;
            self.gathered.push(entry);
        }
    }

    /// Gives the journal's thread all that was gathered: one wake-up a turn.
    pub(crate) fn hand_over(&mut self) {
        if let Some(writer) = &self.writer
            && !self.gathered.is_empty()
        {
            writer.append(self.gathered.drain(..));
        }
        (self.gathered_bytes, self.gathered_commands) = (0, 0);
    }

    /// Whether so little is under way, with `open` commands of clients here, that the core might write by itself. Where
    /// there are more, others wait for the core meanwhile, and what they want is better written together.
    pub(crate) fn is_small(&mut self, open: usize) -> bool {
        if !self.gathered.is_empty() {
            self.crowd.note(self.gathered_commands.max(open as u64));
        }
        !self.limits.sync_here_max.is_zero()
            && self.gathered_bytes <= SMALL_BYTES
            && self.crowd.is_small()
    }

    /// Writes what was gathered here and now, if the journal's thread has nothing to do and the disk is quick; else gives
    /// it to that thread.
    pub(crate) fn commit_here(&mut self) {
        let Some(writer) = self.writer.as_ref().filter(|_| !self.gathered.is_empty()) else {
            return;
        };
        let patience = self.limits.sync_here_max;
        match writer.commit_here(&mut self.gathered, patience) {
            Some(mark) => {
                (self.durable, self.news) = (mark, Some(mark));
                (self.gathered_bytes, self.gathered_commands) = (0, 0);
            }
            None => self.hand_over(),
        }
    }

    pub(crate) fn reclaim(&mut self, below: Mark) {
        self.hand_over();
        if let Some(writer) = &self.writer {
            writer.reclaim(below);
        }
    }

    /// The journal's thread says that all up to here is durable. False: that is known, for more was written here since.
    pub(crate) fn on_durable(&mut self, upto: Mark) -> bool {
        let news = upto > self.durable;
        self.durable = self.durable.max(upto);
        news
    }

    /// What has become durable in the core itself since the last call: what was written here; without a journal, all that
    /// was written.
    pub(crate) fn durable_at_once(&mut self) -> Option<Mark> {
        if self.writer.is_none() && self.written > self.durable {
            (self.durable, self.news) = (self.written, Some(self.written));
        }
        self.news.take()
    }

    /// Whether so much is under way that no more is to be taken. What changes that is a rise of the watermark, which
    /// wakes the core.
    pub(crate) fn is_behind(&self) -> bool {
        self.bytes_under_way() > self.limits.bytes_max
    }

    fn bytes_under_way(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::bytes_under_way)
    }

    /// Why the journal's thread ended.
    pub(crate) fn failure(&self) -> Stopped {
        let error = self.writer.as_ref().and_then(Writer::failure);
        error.map_or(Stopped::Aborted, Stopped::Journal)
    }

    /// Waits until all that was handed over is durable and the journal's thread is gone.
    pub(crate) async fn close(self) -> Result<(), Stopped> {
        let Some(writer) = self.writer else {
            return Ok(());
        };
        let failed = |error: Option<_>| error.map_or(Stopped::Aborted, Stopped::Journal);
        writer.close().await.map_err(failed)
    }

    pub(crate) fn status(&self, has_room: bool) -> JournalStatus {
        JournalStatus {
            durability: self.durability,
            written: self.written,
            durable: self.durable,
            bytes_under_way: self.bytes_under_way(),
            has_room,
        }
    }
}

/// The most commands at once of late. It fades from write to write: a member that follows gets what many clients want in
/// small portions, too.
#[derive(Debug)]
struct Crowd(u64);

impl Crowd {
    /// At so many commands at once it is even who syncs; at more, the journal's thread wins (`docs/performance.md`).
    const SMALL: u64 = 8;

    /// There was a write of so many.
    fn note(&mut self, commands: u64) {
        self.0 = commands.max(self.0 * 7 / 8);
    }

    const fn is_small(&self) -> bool {
        self.0 <= Self::SMALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_remembered_for_some_writes_and_then_forgotten() {
        let mut crowd = Crowd(0);
        crowd.note(Crowd::SMALL);
        assert!(crowd.is_small());
        crowd.note(64);
        let after = (0..).take_while(|_| {
            crowd.note(1);
            !crowd.is_small()
        });
        assert!((5..50).contains(&after.count()));
    }
}
