//! Learners: members without a vote that pull what is chosen, from any member and from one another.
//!
//! ```text
//!   leader ──► follower                     a page: what is chosen, and nothing else
//!                 │ ▲
//!            Page │ │ Pull (waits at the source until there is something)
//!                 ▼ │
//!             learner 11 ──► learner 12 ──► learner 13 …      the leader feeds none of them
//! ```
//! What is chosen is the same on every member for ever, so it does not matter from whom it comes, in how many pieces, or
//! whether that member leads (`RELIABILITY` X5): nothing that a source holds beyond is ever sent. A page that does not
//! follow what is held is dropped, and a new stream begins where it should have.

mod config;
mod prefix;
mod pulling;
mod record;
mod restore;

use alloc::vec::Vec;
use core::marker::PhantomData;

use quorate_core::{
    Batch, Committed, Configuration, Epoch, Input, Instant, Life, Mark, Memory, NodeId, Outbox,
    Output, Position, Rejection, ReplicatedLog, RestoreError, RoleKind, SnapshotMeta, Status,
};
use smallvec::SmallVec;

pub use self::config::LearnerConfig;
use self::prefix::Prefix;
use self::pulling::Pulling;
pub use self::record::LearnedRecord;
use crate::feed::Feed;
use crate::frame::{Body, Frame, Head, Page, Pull};
use crate::sending::UNCOUNTED;

type Out<L> = Outbox<Learner<L>>;

/// A copy without a vote, of a log `L` whose voters are [`Linked`](crate::Linked).
///
/// It speaks the voters' frames, keeps a journal of its own, and drives a state machine like any member. Writes and reads
/// are for whoever leads: it answers them with who that is.
pub struct Learner<L> {
    config: LearnerConfig,
    configuration: Configuration,
    prefix: Prefix,
    disk: Disk,
    heard: Heard,
    pulling: Pulling,
    feeds: Vec<Feed>,
    newest: Option<SnapshotMeta>,
    /// What is to be made up for with the first step.
    resume: Option<Resume>,
    log: PhantomData<fn() -> L>,
}

#[derive(Clone, Copy, Debug)]
struct Disk {
    last: Mark,
    durable: Mark,
    /// Once the first is on disk, records below the second may go.
    reclaim: Option<(Mark, Mark)>,
    room: bool,
}

/// What a start has left to do.
#[derive(Clone, Copy, Debug)]
struct Resume {
    /// From here on what is held was chosen before, and is not in the snapshot: it is to be handed out.
    from: Position,
    /// The journal has yet to learn that the snapshot was installed.
    unwritten: bool,
}

/// What is known of who leads.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// The highest epoch heard of, and the record that says so.
    epoch: Epoch,
    mark: Mark,
    /// The highest that is on disk, and so may be shown.
    spoken: Epoch,
    leader: Option<NodeId>,
    /// The furthest that anything was said to be chosen.
    committed: Position,
}

impl<L: ReplicatedLog> Learner<L> {
    /// From whom it pulls now.
    pub fn source(&self) -> NodeId {
        self.pulling.source()
    }

    fn persist(&mut self, record: LearnedRecord, out: &mut Out<L>) -> Mark {
        self.disk.last = self.disk.last.next();
        let mark = self.disk.last;
        out.push(Output::Persist { mark, record });
        mark
    }

    /// Says something to a member, whose run is `run` if that was heard.
    fn say(&self, to: NodeId, run: Life, body: Body<L::Message>, out: &mut Out<L>) {
        let head = Head {
            life: self.config.life,
            heard: run,
            ..UNCOUNTED
        };
        out.send(to, Frame { head, body });
    }

    fn pull(&self, pull: Pull, out: &mut Out<L>) {
        self.say(self.pulling.source(), Life::ZERO, Body::Pull(pull), out);
    }

    fn begin(&mut self, out: &mut Out<L>) {
        let ahead = self.config.budget.fetch_bytes;
        let pull = self.pulling.begin(self.prefix.last().next(), ahead);
        self.pull(pull, out);
    }

    fn on_tick(&mut self, now: Instant, out: &mut Out<L>) {
        let last = self.prefix.last();
        let missing = self.heard.committed > last && self.takes_more();
        if let Some(pull) = self
            .pulling
            .on_tick(now, &self.config, last.next(), missing)
        {
            self.pull(pull, out);
            if let Some(better) = self.pulling.better() {
                // Asks for nothing but a sign of life.
                let pull = self.pulling.none(pull.from);
                self.say(better, Life::ZERO, Body::Pull(pull), out);
            }
        }
        if !self.pulling.is_heard() {
            self.heard.leader = None;
        }
    }

    fn on_frame(&mut self, now: Instant, from: NodeId, frame: Frame<L::Message>, out: &mut Out<L>) {
        let Frame { head, body } = frame;
        match body {
            Body::Page(page) if head.heard == self.config.life => self.on_page(from, page, out),
            Body::Pull(pull) => {
                let ahead = self.config.budget.fetch_bytes;
                if let Some(feed) = self.feeds.iter_mut().find(|feed| feed.id == from) {
                    feed.on_pull(now, head.life, pull, ahead);
                }
            }
            // Nothing of the log itself is for a learner.
            Body::Page(_)
            | Body::Carried(_)
            | Body::Hollow { .. }
            | Body::Probe
            | Body::Ask(_)
            | Body::Lend { .. } => {}
        }
    }

    fn on_page(&mut self, from: NodeId, page: Page, out: &mut Out<L>) {
        if self.pulling.is_better(from) {
            self.pulling.turn_to(from);
            return self.begin(out);
        }
        if from != self.pulling.source() {
            if !page.runs.is_empty() {
                // A former source goes on: it is asked for nothing any more.
                let pull = self.pulling.none(self.prefix.last().next());
                self.say(from, Life::ZERO, Body::Pull(pull), out);
            }
            return;
        }
        if page.stream != self.pulling.stream() {
            return;
        }
        self.pulling.on_heard();
        self.on_news(&page, out);
        if let Some(snapshot) = page.gone.filter(|meta| meta.position > self.prefix.last()) {
            return out.push(Output::Fetch { from, snapshot });
        }
        if page.runs.is_empty() || !self.takes_more() {
            return;
        }
        if page.first > self.prefix.last().next() {
            // A page was lost.
            return self.begin(out);
        }
        let (sent, mark) = (page.sent, self.append(page, out));
        self.pulling.on_page(sent, mark);
        if self.pulling.spare(self.heard.leader) {
            self.begin(out);
        }
    }

    /// Whether it may hold more: what comes when it may not counts as lost.
    const fn takes_more(&self) -> bool {
        self.disk.room && self.prefix.bytes() < self.config.log_bytes_max
    }

    /// Appends what is new in a page. Returns the write after which all of it is on disk.
    fn append(&mut self, page: Page, out: &mut Out<L>) -> Mark {
        let (mut at, first) = (page.first, self.prefix.last().next());
        let (mut fresh, mark) = (SmallVec::new(), self.disk.last.next());
        for (epoch, batch) in page.runs {
            let news = self.prefix.news(at, &batch);
            at = at.plus(batch.len());
            if let Some(batch) = news {
                let run = self.prefix.push(epoch, batch.clone(), mark);
                out.push(Output::Commit(run.clone()));
                fresh.push((epoch, batch));
            }
        }
        if fresh.is_empty() {
            return self.disk.last;
        }
        let runs = fresh;
        self.persist(LearnedRecord::Chosen { first, runs }, out)
    }

    fn on_news(&mut self, page: &Page, out: &mut Out<L>) {
        self.heard.committed = self.heard.committed.max(page.committed);
        if page.epoch > self.heard.epoch {
            let epoch = page.epoch;
            self.heard.epoch = epoch;
            self.heard.mark = self.persist(LearnedRecord::Heard { epoch }, out);
            self.heard.leader = None;
        }
        if page.epoch == self.heard.epoch {
            self.heard.leader = page.leader;
        }
    }

    fn on_durable(&mut self, upto: Mark, out: &mut Out<L>) {
        self.disk.durable = self.disk.durable.max(upto);
        if self.heard.mark <= self.disk.durable {
            self.heard.spoken = self.heard.epoch;
        }
        if let Some((mark, below)) = self.disk.reclaim
            && mark <= self.disk.durable
        {
            self.disk.reclaim = None;
            out.push(Output::Reclaim { below });
        }
        let ahead = self.config.budget.fetch_bytes;
        if let Some(pull) = self.pulling.on_durable(self.disk.durable, ahead)
            && self.takes_more()
        {
            self.pull(pull, out);
        }
    }

    fn on_compact(&mut self, upto: Position, snapshot: SnapshotMeta, out: &mut Out<L>) {
        self.newest = Some(snapshot);
        self.forget(upto.min(snapshot.position), out);
        if self.prefix.bytes() > self.config.log_bytes_max / 2 {
            // It could come to a stop: all that the snapshot covers goes.
            self.forget(snapshot.position, out);
        }
    }

    fn forget(&mut self, upto: Position, out: &mut Out<L>) {
        let upto = upto.min(self.prefix.last());
        if upto > self.prefix.base() {
            self.rebase(upto, out);
        }
    }

    fn on_fetched(&mut self, snapshot: SnapshotMeta, out: &mut Out<L>) {
        if snapshot.position > self.prefix.last() {
            self.newest = Some(snapshot);
            self.rebase(snapshot.position, out);
            out.push(Output::Install { snapshot });
            self.begin(out);
        }
    }

    fn rebase(&mut self, upto: Position, out: &mut Out<L>) {
        let epoch = self.heard.epoch;
        let mark = self.persist(LearnedRecord::Base { upto, epoch }, out);
        self.prefix.forget(upto);
        self.disk.reclaim = Some((mark, self.prefix.oldest_mark().unwrap_or(mark)));
    }

    fn not_leader(&self) -> Rejection {
        let Status { leader, epoch, .. } = self.status();
        Rejection::NotLeader { leader, epoch }
    }

    /// Makes up for what this start has left to do.
    fn resume(&mut self, out: &mut Out<L>) {
        let Some(Resume { from, unwritten }) = self.resume.take() else {
            return;
        };
        if unwritten {
            self.rebase(self.prefix.base(), out);
        }
        let mut at = from;
        while let Some(run) = self.prefix.run_at(at) {
            at = run.last().next();
            out.push(Output::Commit(run));
        }
    }

    fn feed(&mut self, now: Instant, out: &mut Out<L>) {
        let status = self.status();
        let mut feeds = core::mem::take(&mut self.feeds);
        let patience = crate::Linked::<L>::LEARNER_PATIENCE;
        for feed in feeds.iter_mut().filter(|feed| feed.is_live(now, patience)) {
            while let Some(page) = feed.page(self, &status, self.newest) {
                self.say(feed.id, feed.life, Body::Page(page), out);
            }
        }
        self.feeds = feeds;
    }
}

impl<L: ReplicatedLog> ReplicatedLog for Learner<L> {
    type Config = LearnerConfig;
    type Message = Frame<L::Message>;
    type Record = LearnedRecord;
    const ELECTS: bool = L::ELECTS;

    fn restore(
        config: LearnerConfig,
        now: Instant,
        memory: Memory<'_, LearnedRecord>,
    ) -> Result<Self, RestoreError> {
        restore::restore(config, now, memory)
    }

    fn step(&mut self, now: Instant, input: Input<Self::Message>, out: &mut Outbox<Self>) {
        self.resume(out);
        match input {
            Input::Tick => self.on_tick(now, out),
            Input::Receive { from, message } => self.on_frame(now, from, message, out),
            Input::Propose { ticket, .. } | Input::Read { ticket } => {
                let why = self.not_leader();
                out.push(Output::Reject { ticket, why });
            }
            Input::Promote { ticket, .. }
            | Input::Reconfigure { ticket, .. }
            | Input::Transfer { ticket, .. } => {
                let why = Rejection::Unsupported;
                out.push(Output::Reject { ticket, why });
            }
            Input::Durable { upto } => self.on_durable(upto, out),
            Input::Room { available } => self.disk.room = available,
            Input::Compact { upto, snapshot } => self.on_compact(upto, snapshot, out),
            Input::Fetched { snapshot } => self.on_fetched(snapshot, out),
            Input::Credit { .. } | Input::Direct { .. } => {}
        }
        self.feed(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.pulling.deadline())
    }

    fn status(&self) -> Status {
        let last = self.prefix.last();
        Status {
            role: RoleKind::Learner,
            epoch: self.heard.spoken,
            leader: self
                .heard
                .leader
                .filter(|_| self.heard.spoken == self.heard.epoch),
            last,
            durable: self.prefix.durable(self.disk.durable),
            committed: last,
            compacted: self.prefix.base(),
            bytes: self.prefix.bytes(),
            configured: Position::ZERO,
        }
    }

    fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    fn chosen(&self, at: Position, bytes_max: u64) -> Option<Committed> {
        let mut run = self.prefix.run_at(at)?;
        let end = run.batch.fit(0, bytes_max);
        if end < run.batch.len() {
            run.batch = run.batch.slice(0, end);
        }
        Some(run)
    }

    fn held(&self, at: Position, bytes_max: u64) -> Option<(Epoch, Batch)> {
        let run = self.chosen(at, bytes_max)?;
        Some((run.epoch, run.batch))
    }
}
