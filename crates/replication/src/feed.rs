//! Feeding learners: pages of what is chosen, as far as they asked, at once and as it comes.

use core::time::Duration;

use quorate_core::{Epoch, Instant, Life, NodeId, Position, ReplicatedLog, SnapshotMeta, Status};
use smallvec::SmallVec;

use crate::frame::{CHARGE, Page, Pull};

/// What one learner is fed.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pub(crate) id: NodeId,
    /// The learner's run.
    pub(crate) life: Life,
    stream: u64,
    /// Where the next page begins.
    next: Position,
    sent: u64,
    grant: u64,
    /// It waits for an answer, whatever that is.
    asked: bool,
    told: (Epoch, Option<NodeId>),
    /// When it was last heard.
    heard: Instant,
}

impl Feed {
    /// Bytes of one page.
    const PAGE: u64 = 256 << 10;

    pub(crate) fn new(id: NodeId) -> Self {
        Self {
            id,
            life: Life::ZERO,
            stream: 0,
            next: Position(1),
            sent: 0,
            grant: 0,
            asked: false,
            told: (Epoch::default(), None),
            heard: Instant::ZERO,
        }
    }

    /// The learner asks. What comes from a former life, or of a stream that is over, is not believed.
    /// At most `ahead` bytes beyond what was sent are taken from one request.
    pub(crate) fn on_pull(&mut self, now: Instant, life: Life, pull: Pull, ahead: u64) {
        if (life, pull.stream) < (self.life, self.stream) {
            return;
        }
        if (life, pull.stream) > (self.life, self.stream) {
            (self.life, self.stream) = (life, pull.stream);
            (self.next, self.sent, self.grant) = (pull.from.max(Position(1)), 0, 0);
        }
        let most = self.sent.saturating_add(ahead);
        self.grant = self.grant.max(pull.grant.min(most));
        (self.asked, self.heard) = (true, now);
    }

    /// Whether it has asked within `patience`: a learner that left is not fed for ever.
    pub(crate) fn is_live(&self, now: Instant, patience: Duration) -> bool {
        self.life > Life::ZERO && now.since(self.heard) < patience
    }

    /// The next page, if there is anything to say.
    pub(crate) fn page<L: ReplicatedLog>(
        &mut self,
        log: &L,
        status: &Status,
        newest: Option<SnapshotMeta>,
    ) -> Option<Page> {
        let mut runs = SmallVec::new();
        let (first, mut bytes) = (self.next, CHARGE);
        let most = self.grant.saturating_sub(self.sent).min(Self::PAGE);
        while bytes < most && self.next <= status.committed {
            let Some(run) = log.chosen(self.next, most - bytes) else {
                break;
            };
            bytes += run.batch.bytes();
            self.next = run.last().next();
            runs.push((run.epoch, run.batch));
        }
        let news = (status.epoch, status.leader);
        // Who has nobody above itself is no source, and does not pass for one.
        let asked = self.asked && status.leader.is_some();
        if runs.is_empty() && !asked && self.told == news {
            return None;
        }
        if !runs.is_empty() {
            self.sent += bytes;
        }
        (self.asked, self.told) = (false, news);
        Some(Page {
            stream: self.stream,
            first,
            runs,
            sent: self.sent,
            committed: status.committed,
            epoch: status.epoch,
            leader: status.leader,
            gone: newest.filter(|_| self.next <= status.compacted),
        })
    }
}
