//! A log, a state machine, and what every pair of them needs in between.
//!
//! [`Replica`] is what a driver runs: the tokio node and the simulator run the very same one. It adds to any
//! [`ReplicatedLog`], without knowing which:
//!
//! - **any member serves any client**: commands are handed to whoever leads, reads ask it for a position;
//! - **reads as fresh as asked**, each at its own [level](crate::ReadLevel), each answer with a stamp that says what it stands for;
//! - **at most once**: every command has a number; what is handed over again after a leader change, or arrives
//!   twice, is applied once ([`Label`](crate::Label));
//! - **exactly once**, for clients that number their commands in a session ([`SessionCall`](crate::SessionCall)):
//!   whatever is sent again is answered from what is kept, on any member;
//! - **honest failures**: a request ends with a reply, with a failure that says "surely not", or with
//!   [`Failure::Unknown`];
//! - **log time**, snapshots with compaction behind them, and the fetching of a snapshot from another member.
//!
//! Applying is a verb of its own, [`Replica::apply`], with a budget: a driver applies between its other duties, so
//! that a backlog does not hold up heartbeats.

mod apply;
mod asking;
mod awaited;
mod between;
mod budget;
mod calls;
mod config;
mod event;
mod failure;
mod health;
mod image;
mod level;
mod orders;
mod origins;
mod parcel;
mod reads;
mod serving;
mod sessions;
mod snapshots;
mod wishes;
mod writes;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt::{self, Debug};

use bytes::Bytes;

use self::apply::{Backlog, State};
pub use self::config::ReplicaConfig;
pub use self::event::{Clock, Effect, Effects, Event, WishAnswer};
pub use self::failure::Failure;
use self::health::Healths;
pub use self::health::{HandOverAnswer, HandOverReason, Health, HealthConfig, Rest};
use self::image::Bookkeeping;
pub use self::image::{Image, Restored};
pub use self::level::{ReadCall, ReadLevel, ReadStamp, UnknownReadLevel};
use self::orders::{Order, Orders};
use self::origins::mix;
pub use self::parcel::Parcel;
use self::reads::Reads;
use self::serving::Serving;
use self::snapshots::{Fetch, Snapshots};
use self::wishes::Wishes;
use self::writes::{Writes, earlier};
use crate::{
    Batch, Configuration, Epoch, Input, Instant, Label, LinkStatus, NodeId, Outbox, Output,
    Position, Rejection, ReplicatedLog, Report, RoleKind, SessionCall, SnapshotMeta, StateMachine,
    Status, Ticket,
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
    wishes: Wishes,
    serving: Serving,
    health: Healths,
    leading: Leading,
    outbox: Outbox<L>,
}

/// What this member knows of the leadership, its own or another's.
#[derive(Debug)]
struct Leading {
    /// The status of the log after the last step.
    status: Status,
    /// The highest epoch that a former life can have led.
    former: Epoch,
    /// The newest attempt of each member that forwarded commands to this one.
    attempts: BTreeMap<NodeId, u64>,
    /// Names for what is asked of the log; begins at the life.
    ticket: Ticket,
    /// Whether the journal has room for entries.
    room: bool,
    /// When this leader may propose another advance of log time.
    advance: Option<Instant>,
    /// Orders of operators that are not answered yet.
    orders: Orders,
    /// The configuration that the driver knows of.
    told: Configuration,
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
        // Whoever has never heard of an epoch has never applied anything.
        let is_new = log.status().epoch == Epoch::default() && snapshot.is_none();
        let leading = Leading {
            status: log.status(),
            former: log.status().epoch,
            attempts: BTreeMap::new(),
            ticket: Ticket(config.life.0),
            room: true,
            advance: None,
            orders: Orders::default(),
            told: log.configuration().clone(),
        };
        Self {
            writes: Writes::new(&config),
            reads: Reads::new(&config, is_new),
            snapshots: Snapshots::new(&config, snapshot),
            wishes: Wishes::default(),
            serving: Serving::new(&config),
            health: Healths::new(&config),
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
        self.take(clock, ticket, None, command, out);
    }

    fn take(
        &mut self,
        clock: Clock,
        ticket: Ticket,
        call: Option<SessionCall>,
        command: Bytes,
        out: &mut Effects<L, S>,
    ) {
        // Whoever leads might take it, but this member could not hear of its fate: it takes no entries.
        let taken = if self.leading.room {
            self.writes.submit(clock.now, ticket, call, command)
        } else {
            Err(Failure::NoRoom)
        };
        if let Err(failure) = taken {
            out.push(Effect::Fail { ticket, failure });
        }
    }

    /// How the log sends to each peer, where something other than its own window decides that.
    pub fn links(&self) -> Vec<LinkStatus> {
        self.log.links()
    }

    /// Sends off what was submitted since the last call: once a turn, after all of the turn's requests and events.
    pub fn flush(&mut self, clock: Clock, out: &mut Effects<L, S>) {
        self.measure(clock.now);
        self.writes.gather(clock.now);
        self.reads.gather(clock.now);
        self.hand_over(clock, out);
        self.ask(clock.now, out);
        self.advance_time(clock, out);
        self.grant_wishes(clock.now, out);
        self.tend_health(clock.now, out);
        self.fetch_on(clock.now, out);
        self.serve(clock.now, out);
    }

    /// How fast commands are completed.
    fn measure(&mut self, now: Instant) {
        let led = self.leading.status.leader.is_some();
        let (health, configuration) = (&self.health, self.log.configuration());
        let base = || health.own(now, configuration).of_a_write();
        self.writes.on_turn(now, led, base);
    }

    /// Takes one event.
    pub fn step(&mut self, clock: Clock, event: Event<L::Message>, out: &mut Effects<L, S>) {
        let now = clock.now;
        match event {
            Event::Tick => self.on_tick(now, out),
            Event::Receive { from, parcel } => self.on_parcel(clock, from, parcel, out),
            Event::Durable { upto } => {
                self.health.on_durable(now, upto);
                self.step_log(now, Input::Durable { upto }, out);
            }
            Event::Room { available } => {
                self.leading.room = available;
                self.step_log(now, Input::Room { available }, out);
            }
            Event::Direct { peer, direction } => {
                self.step_log(now, Input::Direct { peer, direction }, out);
            }
            Event::SnapshotStored { snapshot } => self.on_snapshot_stored(now, snapshot, out),
            Event::SnapshotFailed => self.snapshots.on_failed(now + self.config.retry_interval),
            Event::ChunkRead {
                to,
                snapshot,
                offset,
                data,
            } => {
                if data.is_none() {
                    self.on_lack_here(now, to, snapshot, out);
                }
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

    /// Fails every request that waits: the member is stopping.
    pub fn abandon(&mut self, out: &mut Effects<L, S>) {
        self.writes
            .abandon(|ticket, failure| out.push(Effect::Fail { ticket, failure }));
        self.reads
            .abandon(|ticket, failure| out.push(Effect::Fail { ticket, failure }));
    }

    /// When to call [`Self::step`] with [`Event::Tick`], and [`Self::flush`] after it, at the latest. After both it lies
    /// ahead.
    pub fn deadline(&self) -> Option<Instant> {
        let led = self.leading.status.leader.is_some();
        let requests = earlier(self.writes.deadline(led), self.reads.deadline(led));
        let fetch = self.snapshots.fetch.as_ref().and_then(Fetch::deadline);
        let snapshot = earlier(fetch, self.snapshots.deadline());
        earlier(
            earlier(requests, self.log.deadline()),
            earlier(
                earlier(snapshot, self.serving.deadline()),
                earlier(
                    self.leading.advance,
                    earlier(self.wishes.deadline(), self.health.deadline()),
                ),
            ),
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
        let Bookkeeping {
            time,
            origins,
            configured,
            sessions,
        } = &self.state.bookkeeping;
        // A configuration is named by its place in the log.
        let configured = configured.as_ref().map_or(0, |(at, _)| at.get());
        let machine = mix(self.state.machine.digest(), origins.digest());
        mix(mix(mix(machine, sessions.digest()), time.0), configured)
    }

    /// The newest snapshot that is durable here.
    pub const fn snapshot(&self) -> Option<SnapshotMeta> {
        self.snapshots.newest()
    }

    /// The log's own status.
    pub const fn status(&self) -> Status {
        self.leading.status
    }

    /// Who the members are. A change is an [`Effect::Configured`].
    pub fn configuration(&self) -> &Configuration {
        self.log.configuration()
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
        self.on_status(out);
        rejected
    }

    fn on_output(
        &mut self,
        now: Instant,
        output: Output<L::Message, L::Record>,
        out: &mut Effects<L, S>,
    ) {
        match output {
            Output::Persist { mark, record } => {
                self.health.on_persist(now, mark);
                out.push(Effect::Persist { mark, record });
            }
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
            Output::Reject { ticket, why } => match self.leading.orders.answer(ticket) {
                Some(ticket) => out.push(Effect::Report(Report::Declined { ticket, why })),
                None if self.on_wish_answer(ticket, Err(why), out) => {}
                None if self.on_hand_over_answer(ticket, Err(why), out) => {}
                None => self.on_read_answer(now, ticket, Err(why), out),
            },
            Output::Fetch { from, snapshot } => self.on_fetch(from, snapshot, out),
            Output::Install { snapshot } => self.on_install(snapshot, out),
            Output::Reclaim { below } => out.push(Effect::Reclaim { below }),
            Output::Link(event) => out.push(Effect::Link(event)),
            Output::Snapshot { from } => self.snapshots.demand(from),
            Output::Report(report) => self.on_report(report, out),
        }
    }

    fn on_status(&mut self, out: &mut Effects<L, S>) {
        let status = self.log.status();
        let before = core::mem::replace(&mut self.leading.status, status);
        if (before.epoch, before.role) != (status.epoch, status.role) {
            self.reads.forget_questions();
            self.wishes = Wishes::default();
            self.writes.budget.on_leadership();
            self.leading.advance = None;
            // The next leader may complete what this one began.
            let undecided = self.leading.orders.give_up(Order::Reconfigure);
            out.extend(undecided.map(|ticket| Effect::Report(Report::Undecided { ticket })));
        }
        // One that is not chosen yet, or is lost with what was committed by less than a quorum, may be replaced by another
        // in its place, within one step.
        let open = before.configured > before.committed.min(status.committed);
        let moved = before.configured != status.configured || open;
        if moved && self.leading.told != *self.log.configuration() {
            self.leading.told = self.log.configuration().clone();
            out.push(Effect::Configured(self.leading.told.clone()));
        }
    }

    fn on_tick(&mut self, now: Instant, out: &mut Effects<L, S>) {
        self.snapshots.on_tick(now);
        self.step_log(now, Input::Tick, out);
        let failure = self.no_leader();
        let mut fail = |ticket, failure| out.push(Effect::Fail { ticket, failure });
        self.writes.expire(now, failure, &mut fail);
        let applied = self.state.applied;
        self.reads.expire(now, applied, failure, &mut fail);
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
