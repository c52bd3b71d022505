//! A log, a state machine, and what every pair of them needs in between.
//!
//! [`Replica`] is what a driver runs: the tokio node and the simulator run the very same one. It adds to any
//! [`ReplicatedLog`], without knowing which:
//!
//! - **any member serves any client**: commands are handed to whoever leads, reads ask it for a position;
//! - **at most once**: every command has a number; what is handed over again after a leader change, or arrives
//!   twice, is applied once ([`Label`](crate::Label));
//! - **honest failures**: a request ends with a reply, with a failure that says "surely not", or with
//!   [`Failure::Unknown`];
//! - **log time**, snapshots with compaction behind them, and the fetching of a snapshot from another member.
//!
//! Applying is a verb of its own, [`Replica::apply`], with a budget: a driver applies between its other duties, so
//! that a backlog does not hold up heartbeats.

mod config;
mod event;
mod image;
mod origins;
mod reads;
mod snapshots;
mod writes;

use alloc::collections::{BTreeMap, VecDeque};
use core::fmt::{self, Debug};

use bytes::Bytes;

pub use self::config::ReplicaConfig;
pub use self::event::{Clock, Effect, Effects, Event, Failure, Parcel, ReadLevel};
use self::image::Bookkeeping;
pub use self::image::{Image, Restored};
use self::origins::{Admission, mix};
use self::reads::Reads;
use self::snapshots::{Fetch, Piece, Question, Snapshots};
use self::writes::{Writes, earlier};
use crate::{
    At, Batch, Committed, Epoch, Input, Instant, Label, NodeId, Outbox, Output, Position,
    Rejection, ReplicatedLog, RoleKind, SnapshotMeta, StateMachine, Status, Ticket,
};

/// One member: its share of a log `L`, and the state `S` that the log drives.
pub struct Replica<L: ReplicatedLog, S: StateMachine> {
    config: ReplicaConfig,
    log: L,
    state: State<S>,
    backlog: Backlog,
    writes: Writes,
    reads: Reads,
    snapshots: Snapshots,
    leading: Leading,
    outbox: Outbox<L>,
}

/// What has been applied.
struct State<S> {
    machine: S,
    bookkeeping: Bookkeeping,
    applied: Position,
    /// The epoch of the entry at `applied`.
    epoch: Epoch,
    /// The snapshot that is to replace all this, while it is being read back.
    loading: Option<SnapshotMeta>,
}

/// What is committed and not yet applied.
#[derive(Debug, Default)]
struct Backlog {
    runs: VecDeque<Committed>,
    bytes: u64,
}

/// What this member knows of the leadership, its own or another's.
#[derive(Debug)]
struct Leading {
    /// The status of the log after the last step.
    status: Status,
    /// The newest attempt of each member that forwarded commands to this one.
    attempts: BTreeMap<NodeId, u64>,
    /// Names for what is asked of the log; begins at the life.
    ticket: Ticket,
    /// When this leader may propose another advance of log time.
    advance: Option<Instant>,
}

impl<L: ReplicatedLog, S: StateMachine> Replica<L, S> {
    /// The replica of a restored log and the state of the snapshot that it was restored with.
    pub fn new(config: ReplicaConfig, log: L, restored: Restored<S>) -> Self {
        let snapshot = restored.snapshot;
        let state = State {
            machine: restored.machine,
            bookkeeping: restored.bookkeeping,
            applied: snapshot.map_or(Position::ZERO, |snapshot| snapshot.position),
            epoch: snapshot.map_or(Epoch::default(), |snapshot| snapshot.epoch),
            loading: None,
        };
        let leading = Leading {
            status: log.status(),
            attempts: BTreeMap::new(),
            ticket: Ticket(config.life.0),
            advance: None,
        };
        Self {
            writes: Writes::new(&config),
            reads: Reads::new(&config),
            snapshots: Snapshots::new(&config, snapshot),
            config,
            log,
            state,
            backlog: Backlog::default(),
            leading,
            outbox: Outbox::new(),
        }
    }

    /// Takes a client's command; its fate is one [`Effect::Reply`] or [`Effect::Fail`] under `ticket`. It leaves
    /// with the next [`Self::flush`].
    pub fn submit(
        &mut self,
        clock: Clock,
        ticket: Ticket,
        command: Bytes,
        out: &mut Effects<L, S>,
    ) {
        if let Err(failure) = self.writes.submit(clock.now, ticket, command) {
            out.push(Effect::Fail { ticket, failure });
        }
    }

    /// Takes a client's read; its fate is one [`Effect::Read`] or [`Effect::Fail`] under `ticket`. It leaves with the
    /// next [`Self::flush`].
    pub fn read(&mut self, ticket: Ticket, level: ReadLevel, out: &mut Effects<L, S>) {
        let local = level == ReadLevel::Local && self.state.loading.is_none();
        if local {
            out.push(Effect::Read { ticket });
        } else if let Err(failure) = self.reads.submit(ticket) {
            out.push(Effect::Fail { ticket, failure });
        }
    }

    /// Sends off what was submitted since the last call: once a turn, after all of the turn's requests and events.
    pub fn flush(&mut self, clock: Clock, out: &mut Effects<L, S>) {
        self.writes.gather(clock.now);
        self.reads.gather(clock.now);
        self.hand_over(clock, out);
        self.ask(clock.now, out);
        self.advance_time(clock, out);
        self.fetch_on(clock.now, out);
    }

    /// Takes one event.
    pub fn step(&mut self, clock: Clock, event: Event<L::Message>, out: &mut Effects<L, S>) {
        let now = clock.now;
        match event {
            Event::Tick => self.on_tick(now, out),
            Event::Receive { from, parcel } => self.on_parcel(clock, from, parcel, out),
            Event::Durable { upto } => self.step_log(now, Input::Durable { upto }, out),
            Event::Room { available } => self.step_log(now, Input::Room { available }, out),
            Event::SnapshotStored { snapshot } => self.on_snapshot_stored(now, snapshot, out),
            Event::SnapshotFailed => self.snapshots.on_failed(),
            Event::ChunkRead {
                to,
                snapshot,
                offset,
                data,
            } => {
                let data = data.map(|data| Batch::one(Label::default(), data));
                out.push(Effect::Send {
                    to,
                    parcel: Parcel::Chunk {
                        snapshot,
                        offset,
                        data,
                    },
                });
            }
            Event::Received { snapshot, upto } => {
                if let Some(fetch) = self.fetch_of(snapshot) {
                    fetch.on_stored(upto);
                }
            }
            Event::Fetched { snapshot } => {
                self.snapshots.fetch = None;
                self.step_log(now, Input::Fetched { snapshot }, out);
            }
            Event::FetchFailed { snapshot } => {
                if self.fetch_of(snapshot).is_some() {
                    self.snapshots.fetch = None;
                }
            }
        }
    }

    /// Applies what is committed, up to about `bytes_max` bytes of commands. True: there is more.
    pub fn apply(&mut self, bytes_max: u64, out: &mut Effects<L, S>) -> bool {
        let mut bytes = 0;
        while bytes < bytes_max && self.state.loading.is_none() {
            let Some(run) = self.backlog.runs.pop_front() else {
                break;
            };
            let weight = run.batch.weight();
            self.backlog.bytes -= weight;
            bytes += weight;
            self.apply_run(&run, out);
            self.snapshots.on_applied(weight);
        }
        self.reads.ready(self.applied_for_reads(), |ticket| {
            out.push(Effect::Read { ticket });
        });
        if self.state.loading.is_none() && self.snapshots.begin() {
            out.push(Effect::TakeSnapshot {
                position: self.state.applied,
                epoch: self.state.epoch,
                image: Image::new(&self.state.bookkeeping, self.state.machine.snapshot()),
            });
        }
        self.state.loading.is_none() && !self.backlog.runs.is_empty()
    }

    /// The state of [`Effect::Load`], read back.
    pub fn loaded(&mut self, restored: Restored<S>, out: &mut Effects<L, S>) {
        if self.state.loading != restored.snapshot {
            return;
        }
        let Some(snapshot) = restored.snapshot else {
            return;
        };
        self.state = State {
            machine: restored.machine,
            bookkeeping: restored.bookkeeping,
            applied: snapshot.position,
            epoch: snapshot.epoch,
            loading: None,
        };
        // What it contains of this member's own commands was applied, but its replies are not in it.
        let ReplicaConfig { id, life, .. } = self.config;
        let origins = &self.state.bookkeeping.origins;
        self.writes.settle_if(
            |sequence| origins.contains(id, life, sequence),
            |ticket, failure| out.push(Effect::Fail { ticket, failure }),
        );
    }

    /// Fails every request that waits: the member is stopping.
    pub fn abandon(&mut self, out: &mut Effects<L, S>) {
        self.writes
            .abandon(|ticket, failure| out.push(Effect::Fail { ticket, failure }));
        self.reads
            .abandon(|ticket, failure| out.push(Effect::Fail { ticket, failure }));
    }

    /// When to call [`Self::step`] with [`Event::Tick`] at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let requests = earlier(self.writes.deadline(), self.reads.deadline());
        let fetch = self.snapshots.fetch.as_ref().and_then(Fetch::deadline);
        earlier(
            earlier(requests, self.log.deadline()),
            earlier(fetch, self.leading.advance),
        )
    }

    /// The state as of [`Self::applied`].
    pub const fn machine(&self) -> &S {
        &self.state.machine
    }

    /// The last position applied.
    pub const fn applied(&self) -> Position {
        self.state.applied
    }

    /// A fingerprint of the replicated state: equal at equal [`Self::applied`] on every member.
    pub fn digest(&self) -> u64 {
        let Bookkeeping { time, origins } = &self.state.bookkeeping;
        mix(mix(self.state.machine.digest(), origins.digest()), time.0)
    }

    /// The newest snapshot that is durable here.
    pub const fn snapshot(&self) -> Option<SnapshotMeta> {
        self.snapshots.newest()
    }

    /// The log's own status.
    pub const fn status(&self) -> Status {
        self.leading.status
    }

    /// The log.
    pub const fn log(&self) -> &L {
        &self.log
    }

    /// Commands of this member's clients whose fate is open, their bytes, and reads that wait.
    pub const fn open(&self) -> (usize, u64, usize) {
        let (commands, bytes) = self.writes.open();
        (commands, bytes, self.reads.open())
    }

    /// Bytes committed and not yet applied.
    pub const fn backlog_bytes(&self) -> u64 {
        self.backlog.bytes
    }

    // --- the log -----------------------------------------------------------------------------------------

    fn step_log(&mut self, now: Instant, input: Input<L::Message>, out: &mut Effects<L, S>) {
        let rejected = self.feed(now, input, out);
        debug_assert!(rejected.is_none(), "only proposals and reads are rejected");
    }

    /// One step of the log; its outputs become effects, except for the rejection of a proposal, which is returned.
    fn feed(
        &mut self,
        now: Instant,
        input: Input<L::Message>,
        out: &mut Effects<L, S>,
    ) -> Option<Rejection> {
        let proposal = match &input {
            Input::Propose { ticket, .. } => Some(*ticket),
            _ => None,
        };
        let mut outbox = core::mem::take(&mut self.outbox);
        self.log.step(now, input, &mut outbox);
        let mut rejected = None;
        for output in outbox.drain() {
            match output {
                Output::Reject { ticket, why } if Some(ticket) == proposal => rejected = Some(why),
                output => self.on_output(now, output, out),
            }
        }
        self.outbox = outbox;
        self.on_status();
        rejected
    }

    fn on_output(
        &mut self,
        now: Instant,
        output: Output<L::Message, L::Record>,
        out: &mut Effects<L, S>,
    ) {
        match output {
            Output::Persist { mark, record } => out.push(Effect::Persist { mark, record }),
            Output::Send { to, message } => {
                out.push(Effect::Send {
                    to,
                    parcel: Parcel::Log(message),
                });
            }
            Output::Commit(run) => {
                self.backlog.bytes += run.batch.weight();
                self.backlog.runs.push_back(run);
            }
            Output::ReadReady { ticket, at } => self.on_read_answer(now, ticket, Ok(at), out),
            Output::Reject { ticket, why } => self.on_read_answer(now, ticket, Err(why), out),
            Output::Fetch { from, snapshot } => self.on_fetch(from, snapshot, out),
            Output::Install { snapshot } => self.on_install(snapshot, out),
            Output::Reclaim { below } => out.push(Effect::Reclaim { below }),
        }
    }

    fn on_status(&mut self) {
        let status = self.log.status();
        let before = core::mem::replace(&mut self.leading.status, status);
        if (before.epoch, before.role) != (status.epoch, status.role) {
            self.reads.forget_questions();
            self.leading.advance = None;
        }
    }

    fn on_tick(&mut self, now: Instant, out: &mut Effects<L, S>) {
        self.step_log(now, Input::Tick, out);
        let failure = self.no_leader();
        let mut fail = |ticket, failure| out.push(Effect::Fail { ticket, failure });
        self.writes.expire(now, failure, &mut fail);
        self.reads.expire(now, failure, &mut fail);
    }

    fn no_leader(&self) -> Failure {
        let Status { leader, epoch, .. } = self.leading.status;
        Failure::NotLeader { leader, epoch }
    }

    fn leads(&self) -> bool {
        self.leading.status.role == RoleKind::Leader
    }

    fn next_ticket(&mut self) -> Ticket {
        self.leading.ticket = self.leading.ticket.next();
        self.leading.ticket
    }

    // --- parcels -----------------------------------------------------------------------------------------

    fn on_parcel(
        &mut self,
        clock: Clock,
        from: NodeId,
        parcel: Parcel<L::Message>,
        out: &mut Effects<L, S>,
    ) {
        let now = clock.now;
        match parcel {
            Parcel::Log(message) => self.step_log(now, Input::Receive { from, message }, out),
            Parcel::Forward {
                epoch,
                attempt,
                batch,
            } => {
                self.on_forward(clock, (from, epoch, attempt), batch, out);
            }
            Parcel::Refused { attempt, why } => self.on_refused(now, attempt, why, out),
            Parcel::ReadAt { round } => self.on_question(now, from, round, out),
            Parcel::ReadFrom { round, answer } => self.reads.on_answer(now, round, answer),
            Parcel::ChunkRequest {
                snapshot,
                offset,
                length,
            } => {
                let length = length.min(self.config.chunk_bytes);
                out.push(Effect::ReadChunk {
                    to: from,
                    snapshot,
                    offset,
                    length,
                });
            }
            Parcel::Chunk {
                snapshot,
                offset,
                data,
            } => {
                self.on_chunk(now, snapshot, offset, data, out);
            }
        }
    }

    /// Another member's clients' commands. Each attempt counts once, and only in the epoch it was meant for, so that
    /// a repeated or late parcel cannot undo a refusal.
    fn on_forward(
        &mut self,
        clock: Clock,
        (from, epoch, attempt): (NodeId, Epoch, u64),
        batch: Batch,
        out: &mut Effects<L, S>,
    ) {
        let newest = self.leading.attempts.entry(from).or_default();
        if attempt <= *newest || batch.label().origin != from {
            return;
        }
        *newest = attempt;
        let refused = if self.leading.status.epoch == epoch && self.leads() {
            self.propose(clock, batch, out)
        } else {
            let Status { leader, epoch, .. } = self.leading.status;
            Some(Rejection::NotLeader { leader, epoch })
        };
        if let Some(why) = refused {
            out.push(Effect::Send {
                to: from,
                parcel: Parcel::Refused { attempt, why },
            });
        }
    }

    fn propose(
        &mut self,
        clock: Clock,
        batch: Batch,
        out: &mut Effects<L, S>,
    ) -> Option<Rejection> {
        if self.backlog.bytes > self.config.backlog_bytes_max {
            return Some(Rejection::Overloaded {
                retry_after: self.config.retry_after,
            });
        }
        let ticket = self.next_ticket();
        self.feed(
            clock.now,
            Input::Propose {
                ticket,
                batch: batch.stamped(clock.wall),
            },
            out,
        )
    }

    fn on_refused(&mut self, now: Instant, attempt: u64, why: Rejection, out: &mut Effects<L, S>) {
        let fail = |ticket, failure| out.push(Effect::Fail { ticket, failure });
        self.writes.on_refused(now, attempt, why, fail);
    }

    /// Hands what waits to whoever leads.
    fn hand_over(&mut self, clock: Clock, out: &mut Effects<L, S>) {
        while let Some(leader) = self.leading.status.leader {
            let epoch = self.leading.status.epoch;
            let here = leader == self.config.id;
            let Some(attempt) = self.writes.attempt(clock.now, epoch, !here) else {
                return;
            };
            if !here {
                let parcel = Parcel::Forward {
                    epoch,
                    attempt: attempt.number,
                    batch: attempt.batch,
                };
                out.push(Effect::Send { to: leader, parcel });
            } else if let Some(why) = self.propose(clock, attempt.batch, out) {
                self.on_refused(clock.now, attempt.number, why, out);
            }
        }
    }

    // --- reads -------------------------------------------------------------------------------------------

    /// Asks whoever leads from where on reads may be answered.
    fn ask(&mut self, now: Instant, out: &mut Effects<L, S>) {
        while let Some(leader) = self.leading.status.leader {
            let Some(round) = self.reads.ask(now, self.leading.status.epoch) else {
                return;
            };
            if leader == self.config.id {
                self.on_question(now, leader, round, out);
            } else {
                out.push(Effect::Send {
                    to: leader,
                    parcel: Parcel::ReadAt { round },
                });
            }
        }
    }

    fn on_question(&mut self, now: Instant, from: NodeId, round: u64, out: &mut Effects<L, S>) {
        let ticket = self.next_ticket();
        if self.reads.on_question(ticket, from, round) {
            self.step_log(now, Input::Read { ticket }, out);
            return;
        }
        let why = Rejection::Overloaded {
            retry_after: self.config.retry_after,
        };
        self.answer(now, from, round, Err(why), out);
    }

    fn on_read_answer(
        &mut self,
        now: Instant,
        ticket: Ticket,
        answer: Result<Position, Rejection>,
        out: &mut Effects<L, S>,
    ) {
        if let Some((from, round)) = self.reads.asked_by(ticket) {
            self.answer(now, from, round, answer, out);
        }
    }

    fn answer(
        &mut self,
        now: Instant,
        to: NodeId,
        round: u64,
        answer: Result<Position, Rejection>,
        out: &mut Effects<L, S>,
    ) {
        if to == self.config.id {
            self.reads.on_answer(now, round, answer);
        } else {
            out.push(Effect::Send {
                to,
                parcel: Parcel::ReadFrom { round, answer },
            });
        }
    }

    /// While a snapshot is being loaded no read is answered: the state is about to jump.
    fn applied_for_reads(&self) -> Position {
        if self.state.loading.is_some() {
            Position::ZERO
        } else {
            self.state.applied
        }
    }

    // --- applying ----------------------------------------------------------------------------------------

    fn apply_run(&mut self, run: &Committed, out: &mut Effects<L, S>) {
        assert_eq!(
            run.first,
            self.state.applied.next(),
            "commits are gap-free and in order"
        );
        let Label {
            origin,
            life,
            sequence,
            time,
        } = run.batch.label();
        let book = &mut self.state.bookkeeping;
        if time > book.time {
            book.time = time;
            self.state.machine.advance(time);
        }
        if !run.batch.is_noop() {
            let end = sequence + run.batch.len();
            match book.origins.admit(origin, life, sequence, end) {
                Admission::Fresh => self.apply_commands(run, |_| true, out),
                Admission::Seen => {}
                Admission::Mixed => {
                    let mut origins = core::mem::take(&mut book.origins);
                    let fresh = |n| origins.admit(origin, life, n, n + 1) == Admission::Fresh;
                    self.apply_commands(run, fresh, out);
                    self.state.bookkeeping.origins = origins;
                }
            }
        }
        (self.state.applied, self.state.epoch) = (run.last(), run.epoch);
    }

    fn apply_commands(
        &mut self,
        run: &Committed,
        mut fresh: impl FnMut(u64) -> bool,
        out: &mut Effects<L, S>,
    ) {
        let Label { origin, life, .. } = run.batch.label();
        let own = origin == self.config.id && life == self.config.life;
        let time = self.state.bookkeeping.time;
        let mut position = run.first;
        for (sequence, command) in run.batch.commands() {
            if fresh(sequence) {
                let reply = self.state.machine.apply(At { position, time }, command);
                if let Some(ticket) = own.then(|| self.writes.settle(sequence)).flatten() {
                    out.push(Effect::Reply {
                        ticket,
                        at: position,
                        reply,
                    });
                }
            }
            position = position.next();
        }
    }

    /// The leader lets log time go on when something is due and no command brings it along.
    fn advance_time(&mut self, clock: Clock, out: &mut Effects<L, S>) {
        let due = |at| at <= clock.wall && at > self.state.bookkeeping.time;
        let waiting = self.leading.advance.is_some_and(|again| again > clock.now);
        if !self.leads() || waiting {
            return;
        }
        self.leading.advance = match self.state.machine.wakeup() {
            Some(at) if due(at) => {
                // If it is refused, it is tried again like one that was taken.
                self.propose(clock, Batch::noop(clock.wall), out);
                Some(clock.now + self.config.retry_interval)
            }
            Some(at) if at > clock.wall => {
                let ahead = core::time::Duration::from_millis(at.0 - clock.wall.0);
                Some(clock.now + ahead.min(self.config.retry_interval))
            }
            Some(_) | None => None,
        };
    }

    // --- snapshots ---------------------------------------------------------------------------------------

    fn on_snapshot_stored(
        &mut self,
        now: Instant,
        snapshot: SnapshotMeta,
        out: &mut Effects<L, S>,
    ) {
        if let Some(upto) = self.snapshots.on_stored(snapshot) {
            self.step_log(now, Input::Compact { upto, snapshot }, out);
        }
    }

    fn on_fetch(&mut self, from: NodeId, snapshot: SnapshotMeta, out: &mut Effects<L, S>) {
        let known = self
            .snapshots
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.snapshot == snapshot);
        if known || self.state.loading.is_some() {
            return;
        }
        self.snapshots.fetch = Some(Fetch::new(snapshot, from));
        out.push(Effect::Receive { snapshot });
    }

    fn on_chunk(
        &mut self,
        now: Instant,
        snapshot: SnapshotMeta,
        offset: u64,
        data: Option<Batch>,
        out: &mut Effects<L, S>,
    ) {
        let patience = self.config.retry_interval;
        let Some(fetch) = self.fetch_of(snapshot) else {
            return;
        };
        let Some(data) = data else {
            self.snapshots.fetch = None;
            return;
        };
        if let Some(data) = fetch.on_piece(now, offset, data.body(), patience) {
            out.push(Effect::WriteChunk {
                snapshot,
                offset,
                data,
            });
        }
    }

    /// Asks for what the fetch under way needs next.
    fn fetch_on(&mut self, now: Instant, out: &mut Effects<L, S>) {
        let (chunk, patience) = (self.config.chunk_bytes, self.config.retry_interval);
        while let Some(fetch) = &mut self.snapshots.fetch {
            match fetch.ask(now, chunk, patience) {
                Question::Ask(piece) => {
                    let Piece {
                        from,
                        snapshot,
                        offset,
                        length,
                    } = piece;
                    let parcel = Parcel::ChunkRequest {
                        snapshot,
                        offset,
                        length,
                    };
                    out.push(Effect::Send { to: from, parcel });
                }
                Question::Later => return,
                Question::GiveUp => self.snapshots.fetch = None,
            }
        }
    }

    fn fetch_of(&mut self, snapshot: SnapshotMeta) -> Option<&mut Fetch> {
        self.snapshots
            .fetch
            .as_mut()
            .filter(|fetch| fetch.snapshot == snapshot)
    }

    fn on_install(&mut self, snapshot: SnapshotMeta, out: &mut Effects<L, S>) {
        assert!(
            snapshot.position > self.state.applied,
            "an installed snapshot leads ahead"
        );
        self.backlog = Backlog::default();
        self.snapshots.on_installed(snapshot);
        self.state.loading = Some(snapshot);
        out.push(Effect::Load { snapshot });
    }
}

impl<L: ReplicatedLog, S: StateMachine> Debug for Replica<L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("id", &self.config.id)
            .field("status", &self.leading.status)
            .field("applied", &self.state.applied)
            .finish_non_exhaustive()
    }
}
