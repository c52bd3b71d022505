//! From whom a learner pulls, and how far it has asked.
//!
//! Learners stand in a row, by their ids: each pulls from the one before it, the first from a voter. Nobody asks
//! anyone behind itself, and nobody feeds anyone before itself, so there can be no cycle (`RELIABILITY` X11). When its
//! source falls silent, it asks the one before that, and so on, and at last the voters; as soon as a better source is
//! heard again it turns back to that.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use quorate_core::{Instant, Mark, NodeId, Position};

use super::LearnerConfig;
use crate::frame::Pull;

#[derive(Clone, Debug)]
pub(crate) struct Pulling {
    /// Whom to ask, the best first.
    sources: Vec<NodeId>,
    /// Whom it asks.
    current: usize,
    stream: u64,
    /// Where the stream began.
    from: Position,
    /// Bytes of the stream that came, with the write after which they are done.
    came: VecDeque<(Mark, u64)>,
    /// Bytes of the stream that are on disk.
    done: u64,
    /// Bytes that were asked for.
    granted: u64,
    /// When to ask again, whatever comes.
    again: Instant,
    /// Questions since it was last answered.
    silent: u32,
    /// Something came since the last question.
    moved: bool,
    /// A leader that it turned away from, because others can feed it as well.
    spared: Option<NodeId>,
    /// How many of the sources are learners.
    learners: usize,
}

impl Pulling {
    /// Questions without an answer before another source is asked.
    const SILENT_MAX: u32 = 3;

    pub(crate) fn new(config: &LearnerConfig, now: Instant) -> Self {
        Self {
            sources: config.sources(),
            current: 0,
            stream: 0,
            from: Position::ZERO,
            came: VecDeque::new(),
            done: 0,
            granted: 0,
            again: now,
            silent: 0,
            moved: false,
            spared: None,
            learners: config.sources().len() - config.voters.len(),
        }
    }

    pub(crate) const fn deadline(&self) -> Instant {
        self.again
    }

    pub(crate) const fn stream(&self) -> u64 {
        self.stream
    }

    pub(crate) fn source(&self) -> NodeId {
        self.sources[self.current]
    }

    /// Whether it is heard at all.
    pub(crate) const fn is_heard(&self) -> bool {
        self.stream > 0 && self.silent < Self::SILENT_MAX
    }

    /// Whether `from` would be a better source.
    pub(crate) fn is_better(&self, from: NodeId) -> bool {
        self.better_ones().any(|id| id == from)
    }

    /// Sources that stand before the one it asks. Among voters none is better than another.
    fn better_ones(&self) -> impl Iterator<Item = NodeId> {
        let count = self.current.min(self.learners);
        self.sources[..count].iter().copied()
    }

    /// Turns to another voter if it asks the leader, who has enough to do: once, for the others may be down.
    pub(crate) fn spare(&mut self, leader: Option<NodeId>) -> bool {
        let asked = leader == Some(self.source()) && leader != self.spared;
        let voters = self.sources.len() - self.learners;
        if !asked || voters < 2 {
            return false;
        }
        self.spared = leader;
        let next = (self.current - self.learners + 1) % voters;
        self.current = self.learners + next;
        self.silent = 0;
        true
    }

    /// Asks for nothing: a sign of life at most.
    pub(crate) const fn none(&self, from: Position) -> Pull {
        Pull {
            stream: self.stream,
            from,
            grant: 0,
        }
    }

    /// Begins anew with this source.
    pub(crate) fn turn_to(&mut self, from: NodeId) {
        let found = self.sources.iter().position(|id| *id == from);
        self.current = found.unwrap_or(self.current);
        self.silent = 0;
    }

    /// The source has answered.
    pub(crate) const fn on_heard(&mut self) {
        self.silent = 0;
    }

    /// A page came: so many bytes of the stream by now, written by `mark`.
    pub(crate) fn on_page(&mut self, sent: u64, mark: Mark) {
        self.moved = true;
        self.came.push_back((mark, sent));
    }

    /// A new stream that begins at `from`.
    pub(crate) fn begin(&mut self, from: Position, ahead: u64) -> Pull {
        self.stream += 1;
        self.from = from;
        self.came.clear();
        (self.done, self.granted, self.moved) = (0, 0, false);
        self.extend(ahead)
    }

    /// The stream goes on: `ahead` bytes beyond what is on disk.
    fn extend(&mut self, ahead: u64) -> Pull {
        self.granted = self.granted.max(self.done.saturating_add(ahead));
        Pull {
            stream: self.stream,
            from: self.from,
            grant: self.granted,
        }
    }

    /// What is on disk now lets more be asked for; not for every page anew.
    pub(crate) fn on_durable(&mut self, durable: Mark, ahead: u64) -> Option<Pull> {
        while let Some((mark, sent)) = self.came.front().copied() {
            if mark > durable {
                break;
            }
            self.done = self.done.max(sent);
            self.came.pop_front();
        }
        let grown = self.done.saturating_add(ahead).saturating_sub(self.granted);
        (self.stream > 0 && grown >= ahead.div_ceil(2)).then(|| self.extend(ahead))
    }

    /// Time to ask again: the same source, or the next if it is silent. `next` is what is wanted next; `missing`: it is
    /// known to be chosen.
    pub(crate) fn on_tick(
        &mut self,
        now: Instant,
        config: &LearnerConfig,
        next: Position,
        missing: bool,
    ) -> Option<Pull> {
        if now < self.again {
            return None;
        }
        self.again = now + config.refresh;
        let lost = missing && !self.moved && self.came.is_empty();
        self.silent += 1;
        self.moved = false;
        if self.silent > Self::SILENT_MAX {
            self.current = (self.current + 1) % self.sources.len();
            self.silent = 1;
            return Some(self.begin(next, config.budget.fetch_bytes));
        }
        if self.stream == 0 || lost {
            return Some(self.begin(next, config.budget.fetch_bytes));
        }
        Some(self.extend(config.budget.fetch_bytes))
    }

    /// A better source to try, one at a time.
    pub(crate) fn better(&self) -> Option<NodeId> {
        self.better_ones().next()
    }
}
