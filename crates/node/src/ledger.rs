//! The core's account of what it has given to the journal and what of it is durable.

use quorate_core::{Encoded, Mark};
use quorate_journal::{Durability, Entry};

use crate::error::Stopped;
use crate::status::JournalStatus;
use crate::writer::Writer;

/// Gathers the writes of one turn, hands them over at once, and knows how much is under way.
pub(crate) struct Ledger {
    /// None with [`Durability::Memory`]: then what is written counts as durable at once.
    writer: Option<Writer>,
    durability: Durability,
    gathered: Vec<Entry>,
    bytes_max: u64,
    written: Mark,
    durable: Mark,
}

impl Ledger {
    pub(crate) fn new(
        writer: Option<Writer>,
        durability: Durability,
        durable: Mark,
        bytes_max: u64,
    ) -> Self {
        Self {
            writer,
            durability,
            gathered: Vec::new(),
            bytes_max,
            written: durable,
            durable,
        }
    }

    /// Takes a write; it leaves with the next [`Self::hand_over`].
    pub(crate) fn write(&mut self, mark: Mark, encode: impl FnOnce() -> Encoded) {
        self.written = mark;
        if self.writer.is_some() {
            let Encoded { head, bodies } = encode();
            self.gathered.push(Entry { mark, head, bodies });
        }
    }

    /// Gives the journal's thread all that was gathered: one wake-up a turn.
    pub(crate) fn hand_over(&mut self) {
        if let Some(writer) = &self.writer
            && !self.gathered.is_empty()
        {
            writer.append(self.gathered.drain(..));
        }
    }

    pub(crate) fn reclaim(&mut self, below: Mark) {
        self.hand_over();
        if let Some(writer) = &self.writer {
            writer.reclaim(below);
        }
    }

    /// All up to here is durable.
    pub(crate) fn on_durable(&mut self, upto: Mark) {
        self.durable = upto;
    }

    /// Without a journal: what was written since the last call, which counts as durable.
    pub(crate) fn durable_at_once(&mut self) -> Option<Mark> {
        let news = self.writer.is_none() && self.written > self.durable;
        news.then(|| self.durable = self.written)?;
        Some(self.written)
    }

    /// Whether so much is under way that no more is to be taken. What changes that is a rise of the watermark, which
    /// wakes the core.
    pub(crate) fn is_behind(&self) -> bool {
        self.bytes_under_way() > self.bytes_max
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
