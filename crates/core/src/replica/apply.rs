//! Applying what is committed: once each, in order, in log time; and the snapshots of the result.

use super::Replica;
use super::config::ReplicaConfig;
use super::event::{Clock, Effect, Effects};
use super::image::{Bookkeeping, Image, Restored};
use super::origins::Admission;
use crate::{
    At, Batch, Committed, Epoch, Input, Instant, Kind, Label, NodeId, Position, ReplicatedLog,
    SnapshotMeta, StateMachine, Ticket,
};
use alloc::collections::VecDeque;

/// What has been applied.
pub(super) struct State<S> {
    pub(super) machine: S,
    pub(super) bookkeeping: Bookkeeping,
    pub(super) applied: Position,
    /// The epoch of the entry at `applied`.
    pub(super) epoch: Epoch,
    /// The snapshot that is to replace all this, while it is being read back.
    pub(super) loading: Option<SnapshotMeta>,
}

/// What is committed and not yet applied.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) runs: VecDeque<Committed>,
    pub(super) bytes: u64,
}

impl<L: ReplicatedLog, S: StateMachine> Replica<L, S> {
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
            self.writes.budget.on_applied(&run.batch);
            self.snapshots.on_applied(weight);
        }
        self.reads.ready(self.applied_for_reads(), |ticket, stamp| {
            out.push(Effect::Read { ticket, stamp });
        });
        if self.state.loading.is_none() && self.snapshots.begin(self.state.applied) {
            out.push(Effect::TakeSnapshot {
                position: self.state.applied,
                epoch: self.state.epoch,
                image: Image::new(&self.state.bookkeeping, self.state.machine.snapshot()),
                held: self.serving.held(),
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

    pub(super) fn apply_run(&mut self, run: &Committed, out: &mut Effects<L, S>) {
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
            book.sessions.expire(time);
            self.state.machine.advance(time);
        }
        match run.batch.kind() {
            Kind::Noop => {}
            Kind::Configuration => {
                let configuration = run.batch.configured();
                let configuration = configuration.expect("a configuration was checked when read");
                book.configured = Some((run.first, configuration));
            }
            Kind::Commands | Kind::Session => {
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
        }
        (self.state.applied, self.state.epoch) = (run.last(), run.epoch);
    }

    pub(super) fn apply_commands(
        &mut self,
        run: &Committed,
        mut fresh: impl FnMut(u64) -> bool,
        out: &mut Effects<L, S>,
    ) {
        let Label { origin, life, .. } = run.batch.label();
        let own = origin == self.config.id && life == self.config.life;
        let of_sessions = run.batch.kind() == Kind::Session;
        let mut at = At {
            position: run.first,
            time: self.state.bookkeeping.time,
        };
        for (sequence, command) in run.batch.commands() {
            if fresh(sequence) {
                let ticket = own.then(|| self.writes.settle(sequence)).flatten();
                if of_sessions {
                    self.apply_call(at, command, ticket, out);
                } else {
                    self.apply_command(at, command, ticket, out);
                }
            }
            at.position = at.position.next();
        }
    }

    fn apply_command(
        &mut self,
        at: At,
        command: &[u8],
        ticket: Option<Ticket>,
        out: &mut Effects<L, S>,
    ) {
        let reply = self.state.machine.apply(at, command);
        let at = at.position;
        if let Some(ticket) = ticket {
            out.push(Effect::Reply { ticket, at, reply });
        }
    }

    /// The leader lets log time go on when something is due and no command brings it along.
    pub(super) fn advance_time(&mut self, clock: Clock, out: &mut Effects<L, S>) {
        let due = |at| at <= clock.wall && at > self.state.bookkeeping.time;
        let waiting = self.leading.advance.is_some_and(|again| again > clock.now);
        if !self.leads() || waiting {
            return;
        }
        let sessions = self.state.bookkeeping.sessions.wakeup();
        let wakeup = sessions.into_iter().chain(self.state.machine.wakeup());
        self.leading.advance = match wakeup.min() {
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

    /// Sees to it that there is a snapshot of the state as it is now. Returns the position that it is going to include: it is
    /// there once [`Self::snapshot`] is at that position or behind it. None: nothing was applied yet.
    pub fn want_snapshot(&mut self) -> Option<Position> {
        self.snapshots.order(self.state.applied)
    }

    pub(super) fn on_snapshot_stored(
        &mut self,
        now: Instant,
        snapshot: SnapshotMeta,
        out: &mut Effects<L, S>,
    ) {
        let (leads, peers) = (self.leads(), self.log.peers());
        self.serving.settle(now, leads, |id, position| {
            let mut peers = peers.iter();
            peers.any(|peer| peer.id == id && peer.matched >= position)
        });
        if let Some(upto) = self.snapshots.on_stored(snapshot) {
            self.compact(now, (upto, snapshot), out);
        }
    }

    /// A member was offered a snapshot that is not here any more. As long as the log is held for it, the log offers
    /// the very same again.
    pub(super) fn on_lack_here(
        &mut self,
        now: Instant,
        to: NodeId,
        snapshot: SnapshotMeta,
        out: &mut Effects<L, S>,
    ) {
        self.serving.lack(to, snapshot);
        let newest = self.snapshots.newest();
        if let Some(newest) = newest.filter(|newest| newest.position > snapshot.position) {
            self.compact(now, (self.snapshots.covered(), newest), out);
        }
    }

    fn compact(
        &mut self,
        now: Instant,
        (upto, snapshot): (Position, SnapshotMeta),
        out: &mut Effects<L, S>,
    ) {
        // Who fetches an older one needs the log behind that.
        let held = self.serving.held();
        let held = held.iter().map(|snapshot| snapshot.position).min();
        let upto = held.map_or(upto, |held| held.min(upto));
        self.step_log(now, Input::Compact { upto, snapshot }, out);
    }

    pub(super) fn on_install(&mut self, snapshot: SnapshotMeta, out: &mut Effects<L, S>) {
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
