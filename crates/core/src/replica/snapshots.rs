//! When to take a snapshot, and the fetching of one from another member.

use core::time::Duration;

use alloc::vec::Vec;

use bytes::Bytes;

use super::ReplicaConfig;
use crate::{Instant, NodeId, Position, SnapshotMeta};

/// What the replica knows of its snapshots.
#[derive(Debug)]
pub(super) struct Snapshots {
    every: u64,
    /// Bytes applied since the newest snapshot.
    since: u64,
    taking: bool,
    /// The last one could not be written: not before then is another tried.
    again: Option<Instant>,
    /// The log wants one that includes this position.
    wanted: Option<Position>,
    newest: Option<SnapshotMeta>,
    /// Where the one before it ends: nobody needs what it covers.
    covered: Position,
    pub(super) fetch: Option<Fetch>,
}

impl Snapshots {
    pub(super) const fn new(config: &ReplicaConfig, newest: Option<SnapshotMeta>) -> Self {
        Self {
            every: config.snapshot_every_bytes,
            since: 0,
            taking: false,
            again: None,
            wanted: None,
            newest,
            covered: Position::ZERO,
            fetch: None,
        }
    }

    /// So many bytes were applied.
    pub(super) const fn on_applied(&mut self, bytes: u64) {
        self.since += bytes;
    }

    /// The log wants a snapshot that includes `from`, for another member.
    pub(super) fn demand(&mut self, from: Position) {
        let there = self.newest.is_some_and(|newest| newest.position >= from);
        self.wanted = (!there).then_some(from);
    }

    /// An operator wants one of the state at `applied`. Returns the position that it is going to include, or already does.
    pub(super) fn order(&mut self, applied: Position) -> Option<Position> {
        if applied == Position::ZERO {
            return None;
        }
        self.demand(self.wanted.unwrap_or_default().max(applied));
        Some(applied)
    }

    /// Whether one of the state at `applied` is due; it counts as being taken from now on.
    pub(super) fn begin(&mut self, applied: Position) -> bool {
        let wanted = self.wanted.is_some_and(|from| from <= applied);
        let idle = !self.taking && self.again.is_none();
        let due = idle && (wanted || self.since >= self.every);
        if due {
            (self.taking, self.since) = (true, 0);
        }
        due
    }

    /// One was taken. Returns the last position that nobody needs any more: what the snapshot before it covers,
    /// which stays as a second line of defence (`RELIABILITY` C8, D6).
    pub(super) fn on_stored(&mut self, snapshot: SnapshotMeta) -> Option<Position> {
        self.taking = false;
        if self
            .newest
            .is_some_and(|newest| newest.position >= snapshot.position)
        {
            return None;
        }
        self.wanted = self.wanted.filter(|from| *from > snapshot.position);
        let previous = self.newest.replace(snapshot);
        self.covered = previous.map_or(Position::ZERO, |previous| previous.position);
        Some(self.covered)
    }

    /// The last position that nobody needs any more, as it was when the newest one was stored.
    pub(super) const fn covered(&self) -> Position {
        self.covered
    }

    /// One could not be written. It is tried again then, without waiting for more to be applied: a log that could
    /// forget nothing meanwhile may be full, and nothing more will be.
    pub(super) fn on_failed(&mut self, again: Instant) {
        self.taking = false;
        self.since = self.since.max(self.every);
        self.again = Some(again);
    }

    /// Time has passed.
    pub(super) fn on_tick(&mut self, now: Instant) {
        self.again = self.again.filter(|again| *again > now);
    }

    /// When one is to be tried again.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.again
    }

    /// The state was replaced by this one.
    pub(super) fn on_installed(&mut self, snapshot: SnapshotMeta) {
        (self.newest, self.since, self.fetch) = (Some(snapshot), 0, None);
        self.covered = Position::ZERO;
        self.wanted = None;
    }

    /// The newest one that is durable here.
    pub(super) const fn newest(&self) -> Option<SnapshotMeta> {
        self.newest
    }
}

/// A snapshot on its way here: the receiver asks for each piece, so that the sender keeps no state, and a lost
/// piece or a new connection costs one repeated question.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) snapshot: SnapshotMeta,
    from: NodeId,
    /// The disk has said what it has of it.
    ready: bool,
    /// Stored here, from the start, without a gap.
    stored: u64,
    /// Handed to the disk.
    arrived: u64,
    /// Asked for.
    asked: u64,
    again: Option<Instant>,
    /// Questions without an answer since the last piece.
    silent: u32,
    /// Who has said that it does not have this snapshot.
    lacking: Vec<NodeId>,
}

/// What a fetch wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// This piece.
    Ask(Piece),
    /// Nothing until something arrives or time passes.
    Later,
    /// Another sender, if there may be one: this one is silent.
    Turn,
    /// No more: nobody has answered for long.
    GiveUp,
}

/// A piece to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) from: NodeId,
    pub(super) snapshot: SnapshotMeta,
    pub(super) offset: u64,
    pub(super) length: u32,
}

impl Fetch {
    /// Pieces on their way or on their way to the disk at once.
    const PIECES: u64 = 4;
    /// After so many questions in a row without an answer another sender is asked…
    const SILENT_TURN: u32 = 3;
    /// …and after so many it is given up; the log will offer one again.
    const SILENT_MAX: u32 = 12;

    pub(super) const fn new(snapshot: SnapshotMeta, from: NodeId) -> Self {
        Self {
            snapshot,
            from,
            ready: false,
            stored: 0,
            arrived: 0,
            asked: 0,
            again: None,
            silent: 0,
            lacking: Vec::new(),
        }
    }

    /// `from` offers it: it is asked from here on, unless another sends just now.
    pub(super) fn on_offer(&mut self, from: NodeId) {
        self.lacking.retain(|id| *id != from);
        if self.from != from && (self.silent > 0 || self.arrived == 0) {
            (self.from, self.silent) = (from, 0);
        }
    }

    /// `from` does not have it. True: it was the one that is asked.
    pub(super) fn on_lack(&mut self, from: NodeId) -> bool {
        if !self.lacking.contains(&from) {
            self.lacking.push(from);
        }
        self.from == from
    }

    /// Asks another of these from here on, from where the gap is: whoever comes next, the first behind the last, and may
    /// have it. False: there is none.
    pub(super) fn turn(&mut self, members: &(impl Iterator<Item = NodeId> + Clone)) -> bool {
        let may = |id: &NodeId| *id != self.from && !self.lacking.contains(id);
        let mut behind = members.clone().filter(|id| *id > self.from).filter(may);
        let Some(next) = behind.next().or_else(|| members.clone().find(may)) else {
            return false;
        };
        (self.from, self.again, self.asked) = (next, None, self.arrived);
        true
    }

    /// So much is stored. The first report says where to begin.
    pub(super) fn on_stored(&mut self, upto: u64) {
        self.ready = true;
        self.stored = self.stored.max(upto);
        self.arrived = self.arrived.max(upto);
        self.asked = self.asked.max(upto);
    }

    /// A piece came; returned if it is the one that the disk needs next.
    pub(super) fn on_piece(
        &mut self,
        now: Instant,
        offset: u64,
        data: Bytes,
        patience: Duration,
    ) -> Option<Bytes> {
        let fits = offset == self.arrived
            && !data.is_empty()
            && data.len() as u64 <= self.snapshot.bytes - offset;
        if !fits {
            return None;
        }
        self.arrived += data.len() as u64;
        self.asked = self.asked.max(self.arrived);
        self.silent = 0;
        self.again = (self.arrived < self.asked).then(|| now + patience);
        Some(data)
    }

    /// The next piece to ask for, if any.
    pub(super) fn ask(&mut self, now: Instant, chunk: u32, patience: Duration) -> Question {
        if self.again.is_some_and(|again| again <= now) {
            // The answer is lost: ask again from where the gap is.
            self.silent += 1;
            self.again = None;
            self.asked = self.arrived;
            if self.silent > Self::SILENT_MAX {
                return Question::GiveUp;
            }
            if self.silent.is_multiple_of(Self::SILENT_TURN) {
                return Question::Turn;
            }
        }
        let flying = (self.asked - self.stored).div_ceil(u64::from(chunk));
        if !self.ready || self.asked >= self.snapshot.bytes || flying >= Self::PIECES {
            return Question::Later;
        }
        let rest = self.snapshot.bytes - self.asked;
        let length = u32::try_from(rest).unwrap_or(u32::MAX).min(chunk);
        let piece = Piece {
            from: self.from,
            snapshot: self.snapshot,
            offset: self.asked,
            length,
        };
        self.asked += u64::from(length);
        self.again = Some(now + patience);
        Question::Ask(piece)
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.again
    }
}
