//! The one task that owns the replica.
//!
//! A turn: take all that has come, only then read the clock once, hand everything to the replica, let what follows leave, apply
//! a budget of what is committed, tell the clients, publish. Nothing in a turn waits for anything.

use bytes::Bytes;
use quorate_core::{
    Clock, Effects, Event, Failure, Instant, Replica, ReplicatedLog, SessionCall, StateMachine,
};
use quorate_handoff::Ended;
use quorate_transport::Lane;

use crate::clock::Clocks;
use crate::config::Pace;
use crate::door::Arrival;
use crate::error::Stopped;
use crate::inputs::{Appetite, Inputs, Notice};
use crate::orders::{OrderError, Waiter as Waiting};
use crate::outlets::Outlets;
use crate::request::{Digest, Order, PeerProgress, Request, Waiter};
use crate::status::Board;

/// A member at work.
pub(crate) struct Core<L: ReplicatedLog, S: StateMachine> {
    pub(crate) replica: Replica<L, S>,
    pub(crate) inputs: Inputs<L::Message, S>,
    pub(crate) outlets: Outlets<S>,
    pub(crate) board: Board,
    pub(crate) clocks: Clocks,
    pub(crate) limits: Limits,
    pub(crate) moment: Moment,
    pub(crate) scratch: Scratch<L, S>,
}

/// What the config says to the core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) pace: Pace,
    /// Bytes committed and not applied above which no more entries are taken.
    pub(crate) backlog_bytes_max: u64,
}

/// What holds at the moment beside the replica's own state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// Since when it is stopping, and until when it waits for what it has taken.
    stopping_until: Option<Instant>,
    /// When the replica is told that its snapshot could not be taken.
    snapshot_failed_at: Option<Instant>,
    /// Whether there is more to do without anything coming in.
    busy: bool,
    /// Whether the disk is full.
    pub(crate) no_room: bool,
}

/// Buffers that keep their capacity from turn to turn; empty between turns.
pub(crate) struct Scratch<L: ReplicatedLog, S: StateMachine> {
    pub(crate) effects: Effects<L, S>,
    arrivals: Vec<Arrival<L::Message>>,
    requests: Vec<Request<S>>,
    notices: Vec<Notice<L::Message, S>>,
}

impl<L: ReplicatedLog, S: StateMachine> Scratch<L, S> {
    pub(crate) const fn new() -> Self {
        Self {
            effects: Vec::new(),
            arrivals: Vec::new(),
            requests: Vec::new(),
            notices: Vec::new(),
        }
    }
}

impl<L: ReplicatedLog, S: StateMachine> Core<L, S> {
    /// Works until the member is asked to stop or has to.
    pub(crate) async fn run(&mut self) -> Stopped {
        loop {
            if let Err(stopped) = self.turn() {
                return stopped;
            }
            let hurry =
                self.moment.busy || self.inputs.ready(self.appetite(), self.deadline()).await;
            if hurry {
                // Sockets and other tasks of this thread get their turn, however much there is to do here.
                tokio::task::yield_now().await;
            }
        }
    }

    fn turn(&mut self) -> Result<(), Stopped> {
        self.take_in();
        let mut clock = self.clocks.read();
        self.take_durable(clock)?;
        self.take_notices(clock)?;
        self.take_arrivals(clock);
        self.take_requests(clock);
        self.tick_if_due(clock);
        self.replica.flush(clock, &mut self.scratch.effects);
        self.perform(clock);
        self.settle_at_once(&mut clock);
        let budget = self.limits.pace.apply_bytes_per_turn;
        let more = self.replica.apply(budget, &mut self.scratch.effects);
        self.perform(clock);
        self.moment.busy =
            more || self.settle_at_once(&mut clock) || !self.scratch.effects.is_empty();
        self.publish(clock);
        self.stop_if_done(clock)
    }

    /// Takes in all that has come, control before entries, which may be many. The clock is read after that: whatever it
    /// says, nothing of this came later ([`Clock`]), however long this task or its process was kept from going on.
    fn take_in(&mut self) {
        let Appetite { bulk, requests } = self.appetite();
        let (inputs, scratch) = (&mut self.inputs, &mut self.scratch);
        inputs.notices.take(&mut scratch.notices);
        inputs.peers.take(Lane::Control, &mut scratch.arrivals);
        if bulk {
            inputs.peers.take(Lane::Bulk, &mut scratch.arrivals);
        }
        if requests {
            inputs.clients.take(&mut scratch.requests);
        }
    }

    fn take_durable(&mut self, clock: Clock) -> Result<(), Stopped> {
        let Some(durable) = &mut self.inputs.durable else {
            return Ok(());
        };
        match durable.take() {
            Ok(None) => Ok(()),
            Ok(Some(upto)) => {
                if self.outlets.ledger.on_durable(upto) {
                    self.step(clock, Event::Durable { upto });
                }
                Ok(())
            }
            // From here on no mark means anything: nothing is acknowledged any more.
            Err(Ended::Failed | Ended::Closed) => Err(self.outlets.ledger.failure()),
        }
    }

    fn take_notices(&mut self, clock: Clock) -> Result<(), Stopped> {
        let mut notices = std::mem::take(&mut self.scratch.notices);
        for notice in notices.drain(..) {
            match notice {
                Notice::Event(Event::SnapshotFailed) => {
                    let retry = clock.now + self.limits.pace.snapshot_retry;
                    self.moment.snapshot_failed_at = Some(retry);
                    self.outlets.orders.on_snapshot_failed();
                }
                Notice::Event(event) => {
                    self.on_event(clock, event);
                }
                Notice::Loaded(restored) => {
                    let position = restored.snapshot().map(|snapshot| snapshot.position.0);
                    tracing::info!(position, "state replaced by a snapshot");
                    self.replica.loaded(*restored, &mut self.scratch.effects);
                }
                Notice::Failed(stopped) => return Err(stopped),
            }
        }
        self.scratch.notices = notices;
        Ok(())
    }

    fn on_event(&mut self, clock: Clock, event: Event<L::Message>) {
        if let Event::Room { available } = event {
            self.moment.no_room = !available;
            if available {
                tracing::info!("the disk has room again");
            } else {
                tracing::error!("the disk is full: no entries are taken until there is room");
            }
        }
        self.step(clock, event);
    }

    fn take_arrivals(&mut self, clock: Clock) {
        let mut arrivals = std::mem::take(&mut self.scratch.arrivals);
        for (from, parcel) in arrivals.drain(..) {
            self.step(clock, Event::Receive { from, parcel });
        }
        self.scratch.arrivals = arrivals;
    }

    fn take_requests(&mut self, clock: Clock) {
        let mut requests = std::mem::take(&mut self.scratch.requests);
        for request in requests.drain(..) {
            self.on_request(clock, request);
        }
        self.scratch.requests = requests;
    }

    fn on_request(&mut self, clock: Clock, request: Request<S>) {
        match request {
            Request::Write {
                call: None,
                command,
                answer,
            } => {
                let ticket = self.outlets.waiting.insert(Waiter::Write(answer));
                self.replica
                    .submit(clock, ticket, command, &mut self.scratch.effects);
            }
            Request::Write {
                call: Some(call),
                command,
                answer,
            } => self.call(clock, Waiter::Write(answer), call, command),
            Request::Open { ttl, answer } => {
                let call = SessionCall::open(ttl);
                self.call(clock, Waiter::Open(answer), call, Bytes::new());
            }
            Request::Close { session, answer } => {
                let call = SessionCall::Close { session };
                self.call(clock, Waiter::Close(answer), call, Bytes::new());
            }
            Request::Read { call, query } => {
                let ticket = self.outlets.waiting.insert(Waiter::Read(query));
                let effects = &mut self.scratch.effects;
                self.replica.read(clock, ticket, call, effects);
                if !call.level.is_linearizable() {
                    // It may run at once and then has to, before the next call into the replica.
                    self.perform(clock);
                }
            }
            Request::Look { look } => look(self.replica.machine(), self.replica.applied()),
            Request::Digest { answer } => {
                let (applied, digest) = (self.replica.applied(), self.replica.digest());
                // Who no longer waits does not want to know.
                let _ = answer.send(Digest { applied, digest });
            }
            Request::Direct { peer, direction } => {
                self.step(clock, Event::Direct { peer, direction });
            }
            Request::Flows { answer } => {
                // As above.
                let _ = answer.send(self.replica.links());
            }
            Request::Peers { answer } => {
                let peers = self.replica.log().peers().into_iter();
                let progress = peers.map(|peer| PeerProgress::of(&peer, clock.now));
                // As above.
                let _ = answer.send(progress.collect());
            }
            Request::Order(order) => self.on_order(clock, order),
        }
    }

    fn call(&mut self, clock: Clock, waiter: Waiter<S>, call: SessionCall, command: Bytes) {
        let ticket = self.outlets.waiting.insert(waiter);
        let effects = &mut self.scratch.effects;
        self.replica.call(clock, ticket, call, command, effects);
    }

    fn on_order(&mut self, clock: Clock, order: Order) {
        let (orders, effects) = (&mut self.outlets.orders, &mut self.scratch.effects);
        match order {
            Order::Promote {
                round,
                force,
                outcome,
            } => {
                let ticket = orders.take(Waiting::Promote(outcome));
                self.replica.promote(clock, ticket, (round, force), effects);
            }
            Order::Reconfigure { change, outcome } => {
                let ticket = orders.take(Waiting::Reconfigure(outcome));
                self.replica.reconfigure(clock, ticket, change, effects);
            }
            Order::Transfer { to, outcome } => {
                let ticket = orders.take(Waiting::Transfer(outcome));
                self.replica.transfer(clock, ticket, to, effects);
            }
            Order::Snapshot { outcome } => match self.replica.want_snapshot() {
                // Who no longer waits does not want to know.
                None => drop(outcome.send(Err(OrderError::Empty))),
                Some(from) => orders.await_snapshot(from, outcome),
            },
        }
    }

    fn tick_if_due(&mut self, clock: Clock) {
        if self
            .moment
            .snapshot_failed_at
            .take_if(|at| *at <= clock.now)
            .is_some()
        {
            self.step(clock, Event::SnapshotFailed);
        }
        if self
            .replica
            .deadline()
            .is_some_and(|deadline| deadline <= clock.now)
        {
            self.step(clock, Event::Tick);
        }
    }

    fn step(&mut self, clock: Clock, event: Event<L::Message>) {
        self.replica.step(clock, event, &mut self.scratch.effects);
    }

    /// Carries out what the replica wants, in order, and lets the turn's writes and parcels go.
    fn perform(&mut self, clock: Clock) {
        let mut effects = std::mem::take(&mut self.scratch.effects);
        for effect in effects.drain(..) {
            if let Some(event) = self.outlets.perform(effect, &self.replica) {
                self.step(clock, event);
            }
        }
        // What such an event brought about comes with the next call.
        std::mem::swap(&mut self.scratch.effects, &mut effects);
        self.scratch.effects.append(&mut effects);
        self.outlets.send_off(self.replica.open().0);
        self.outlets.members.follow(clock.now);
    }

    /// Without a journal, what was written is durable at once; so is what this task has synced by itself. True: something
    /// was.
    fn settle_at_once(&mut self, clock: &mut Clock) -> bool {
        let Some(upto) = self.outlets.ledger.durable_at_once() else {
            return false;
        };
        if self.inputs.durable.is_some() {
            // A sync took its time, which is to be seen: the replica measures its disk.
            *clock = self.clocks.read();
        }
        self.step(*clock, Event::Durable { upto });
        self.perform(*clock);
        true
    }

    /// What the member has room for.
    fn appetite(&self) -> Appetite {
        let behind = self.outlets.ledger.is_behind();
        let backlog = self.replica.backlog_bytes() > self.limits.backlog_bytes_max;
        Appetite {
            bulk: !behind && !backlog,
            requests: !behind,
        }
    }

    /// When to turn at the latest.
    fn deadline(&self) -> Option<Instant> {
        let Moment {
            stopping_until,
            snapshot_failed_at,
            ..
        } = self.moment;
        let own = [stopping_until, snapshot_failed_at];
        let others = [self.replica.deadline(), self.outlets.members.deadline()];
        own.into_iter().chain(others).flatten().min()
    }

    fn stop_if_done(&mut self, clock: Clock) -> Result<(), Stopped> {
        if !self.inputs.stop.is_raised() {
            return Ok(());
        }
        let grace = self.limits.pace.stop_grace;
        let until = *self.moment.stopping_until.get_or_insert_with(|| {
            // What stands in the queue was taken; nothing further is.
            self.inputs.clients.close();
            tracing::info!("stopping");
            self.moment.busy = true;
            clock.now + grace
        });
        let done = !self.moment.busy && self.outlets.waiting.open() == 0;
        if done || until <= clock.now {
            Err(Stopped::Asked)
        } else {
            Ok(())
        }
    }

    fn publish(&mut self, clock: Clock) {
        self.outlets.orders.on_snapshot(self.replica.snapshot());
        let status = self.outlets.status(
            &self.replica,
            &self.inputs.peers,
            (clock.now, self.moment.no_room),
        );
        self.board.publish(status);
    }

    /// Ends every request that waits, those that were never taken included.
    pub(crate) fn abandon(&mut self) {
        self.inputs.clients.close();
        self.inputs.clients.take(&mut self.scratch.requests);
        for request in self.scratch.requests.drain(..) {
            request.refuse(Failure::Stopped);
        }
        self.scratch.effects.clear();
        self.replica.abandon(&mut self.scratch.effects);
        for effect in std::mem::take(&mut self.scratch.effects) {
            // Only requests are ended: nothing else can fail here.
            let refused = self.outlets.perform(effect, &self.replica);
            debug_assert!(refused.is_none());
        }
    }
}
