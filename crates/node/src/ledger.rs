//! The core's account of what it has given to the journal and what of it is durable.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use quorate_core::{Encoded, Mark};
use quorate_handoff::PushError;
use quorate_journal::{Durability, Entry};

use crate::error::Stopped;
use crate::status::JournalStatus;
use crate::writer::{Job, Writer};

/// Gathers the writes of one turn, hands them over at once, and knows how much is under way.
pub(crate) struct Ledger {
    /// None with [`Durability::Memory`]: then what is written counts as durable at once.
    writer: Option<Writer>,
    durability: Durability,
    gathered: Vec<Entry>,
    under_way: VecDeque<(Mark, u64)>,
    bytes: u64,
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
            under_way: VecDeque::new(),
            bytes: 0,
            bytes_max,
            written: durable,
            durable,
        }
    }

    /// Takes a write; it leaves with the next [`Self::hand_over`].
    pub(crate) fn write(&mut self, mark: Mark, encode: impl FnOnce() -> Encoded) {
        self.written = mark;
        if self.writer.is_none() {
            return;
        }
        let Encoded { head, bodies } = encode();
        let entry = Entry { mark, head, bodies };
        let bytes = entry.bytes();
        self.bytes += bytes;
        self.under_way.push_back((mark, bytes));
        self.gathered.push(entry);
    }

    /// Gives the journal's thread all that was gathered: one wake-up a turn.
    pub(crate) fn hand_over(&mut self) {
        if !self.gathered.is_empty() {
            let entries = std::mem::take(&mut self.gathered);
            let weight = entries.iter().map(|entry| entry.bytes() as usize).sum();
            self.push(Job::Write(entries), weight);
        }
    }

    pub(crate) fn reclaim(&mut self, below: Mark) {
        self.hand_over();
        self.push(Job::Reclaim(below), 1);
    }

    fn push(&self, job: Job, weight: usize) {
        let Some(writer) = &self.writer else { return };
        match writer.jobs.push(job, weight) {
            // A thread that is gone has said why; the core learns it with its next turn.
            Ok(()) | Err(PushError::Closed(_)) => {}
            Err(PushError::Full(_) | PushError::TooHeavy(_)) => {
                unreachable!("the queue itself has no bound")
            }
        }
    }

    /// All up to here is durable.
    pub(crate) fn on_durable(&mut self, upto: Mark) {
        self.durable = upto;
        while let Some((_, bytes)) = self.under_way.pop_front_if(|(mark, _)| *mark <= upto) {
            self.bytes -= bytes;
        }
    }

    /// Without a journal: what was written since the last call, which counts as durable.
    pub(crate) fn durable_at_once(&mut self) -> Option<Mark> {
        let news = self.writer.is_none() && self.written > self.durable;
        news.then(|| self.durable = self.written)?;
        Some(self.written)
    }

    /// Whether so much is under way that no more is to be taken.
    pub(crate) const fn is_behind(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// Why the journal's thread ended.
    pub(crate) fn failure(&mut self) -> Stopped {
        let error = self.writer.as_mut().and_then(Writer::failure);
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
        let kept = |writer: &Writer| Mark(writer.kept.load(Ordering::Relaxed));
        JournalStatus {
            durability: self.durability,
            oldest: self.writer.as_ref().map_or(self.written.next(), kept),
            written: self.written,
            durable: self.durable,
            bytes_under_way: self.bytes,
            has_room,
        }
    }
}
