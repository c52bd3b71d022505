//! The commands of this member's own clients, from the door until their fate is known.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::budget::Budget;
use super::{Failure, ReplicaConfig};
use crate::{Batch, BatchBuilder, Epoch, Instant, Kind, Label, Rejection, SessionCall, Ticket};

/// Commands gathered, on their way, and waiting.
///
/// Every command gets the next sequence number when it comes in; batches stand in the queue in that order. A batch
/// that was handed to a leader is handed to the next one when leadership moves, or again when nothing was heard
/// for long: applying it twice is excluded by [`Origins`](super::origins::Origins).
#[derive(Debug)]
pub(super) struct Writes {
    config: ReplicaConfig,
    gathering: BatchBuilder,
    /// What is being gathered: commands of sessions and others make batches of their own.
    kind: Kind,
    tickets: Vec<Ticket>,
    queue: VecDeque<Pending>,
    /// So many batches at the front were handed over in `epoch`.
    handed: usize,
    epoch: Epoch,
    /// When the first of those is to be handed over again, at the earliest.
    again: Option<Instant>,
    /// The number of the next command to come in.
    next: u64,
    /// The number of the next attempt; begins at the life.
    attempt: u64,
    bytes: u64,
    commands: usize,
    pub(super) budget: Budget,
}

/// One batch whose fate is not known yet.
#[derive(Debug)]
struct Pending {
    batch: Batch,
    /// The client of each command; none once it was answered.
    tickets: Vec<Option<Ticket>>,
    open: usize,
    deadline: Instant,
    sent: Option<Sent>,
    /// It was handed over before and that attempt was not refused: it may be in some log.
    maybe: bool,
    /// How long to wait before it is sent again; doubles, up to the request's own time.
    patience: Duration,
}

/// The attempt that is under way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    number: u64,
    /// The leader said no: this attempt had no effect.
    refused: bool,
    again: Option<Instant>,
}

/// A batch to hand to the leader now.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) batch: Batch,
}

impl Writes {
    /// Above this a command travels as a batch of its own, so that its body is not copied.
    const ALONE: usize = 16 * 1024;

    pub(super) fn new(config: &ReplicaConfig) -> Self {
        Self {
            config: config.clone(),
            gathering: BatchBuilder::new(),
            kind: Kind::Commands,
            tickets: Vec::new(),
            queue: VecDeque::new(),
            handed: 0,
            epoch: Epoch::default(),
            again: None,
            next: 0,
            attempt: config.life.0,
            bytes: 0,
            commands: 0,
            budget: Budget::new(config),
        }
    }

    pub(super) fn on_turn(&mut self, now: Instant, led: bool, base: impl FnOnce() -> Duration) {
        let own = Budget::weight(self.commands as u64, self.bytes);
        self.budget.on_turn(now, led, own, base);
    }

    /// Whether another member's commands may be proposed here; if not, when to come again.
    pub(super) fn admit(&mut self, batch: &Batch) -> Result<(), Duration> {
        let own = Budget::weight(self.commands as u64, self.bytes);
        let weight = Budget::weight(batch.len(), batch.bytes());
        self.budget.take(own, weight)
    }

    /// Takes a client's command, in a session or in none, or says why not.
    pub(super) fn submit(
        &mut self,
        now: Instant,
        ticket: Ticket,
        call: Option<SessionCall>,
        command: Bytes,
    ) -> Result<(), Failure> {
        let (bytes, limit) = (command.len() as u64, self.config.command_bytes_max);
        if bytes > limit {
            return Err(Failure::TooLarge { bytes, limit });
        }
        let mut buffer = [0; SessionCall::HEAD_MAX];
        let (kind, head) = match &call {
            None => (Kind::Commands, &[][..]),
            Some(call) => (Kind::Session, call.head(&mut buffer)),
        };
        let bytes = bytes + head.len() as u64;
        let own = Budget::weight(self.commands as u64, self.bytes);
        let weight = Budget::weight(1, bytes);
        let fits = self.commands < self.config.pending_max
            && self.bytes + bytes <= self.config.pending_bytes_max;
        let taken = if fits {
            self.budget.take(own, weight)
        } else {
            Err(self.budget.refuse(own, weight))
        };
        taken.map_err(|retry_after| Failure::Overloaded { retry_after })?;
        self.bytes += bytes;
        self.commands += 1;
        if kind != self.kind || command.len() >= Self::ALONE {
            self.gather(now);
            self.kind = kind;
        }
        if command.len() >= Self::ALONE {
            let command = match call {
                None => command,
                Some(call) => call.before(&command).into(),
            };
            self.enqueue(now, Vec::from([Some(ticket)]), |label| {
                Some(Batch::one(label, command).of_kind(kind))
            });
            return Ok(());
        }
        self.gathering.push_parts(head, &command);
        self.tickets.push(ticket);
        if self.gathering.bytes() as u64 >= self.config.batch_bytes_max {
            self.gather(now);
        }
        Ok(())
    }

    /// Makes a batch of what was gathered.
    pub(super) fn gather(&mut self, now: Instant) {
        let tickets = self.tickets.drain(..).map(Some).collect();
        let mut gathering = core::mem::take(&mut self.gathering);
        let kind = self.kind;
        self.enqueue(now, tickets, |label| {
            Some(gathering.finish(label)?.of_kind(kind))
        });
        self.gathering = gathering;
    }

    fn enqueue(
        &mut self,
        now: Instant,
        tickets: Vec<Option<Ticket>>,
        batch: impl FnOnce(Label) -> Option<Batch>,
    ) {
        let ReplicaConfig {
            id: origin, life, ..
        } = self.config;
        let label = Label {
            origin,
            life,
            sequence: self.next,
            ..Label::default()
        };
        let Some(batch) = batch(label) else { return };
        self.next += batch.len();
        self.queue.push_back(Pending {
            open: tickets.len(),
            tickets,
            batch,
            deadline: now + self.config.request_timeout,
            sent: None,
            maybe: false,
            patience: self.config.retry_interval,
        });
    }

    /// The next batch that is not with the leader of `epoch` yet, or was handed over too long ago. `lossy`: it may
    /// be lost on the way, so that it is handed over again when nothing was heard for long.
    pub(super) fn attempt(&mut self, now: Instant, epoch: Epoch, lossy: bool) -> Option<Attempt> {
        if self.epoch != epoch {
            (self.epoch, self.handed, self.again) = (epoch, 0, None);
        }
        let index = self.overdue(now).or_else(|| {
            let next = self.handed;
            self.queue.get_mut(next)?.patience = self.config.retry_interval;
            self.handed += 1;
            Some(next)
        })?;
        self.attempt += 1;
        let pending = &mut self.queue[index];
        pending.maybe = pending.maybe();
        let again = lossy.then(|| now + pending.patience);
        pending.patience = pending
            .patience
            .saturating_mul(2)
            .min(self.config.request_timeout);
        pending.sent = Some(Sent {
            number: self.attempt,
            refused: false,
            again,
        });
        self.again = earlier(self.again, again);
        Some(Attempt {
            number: self.attempt,
            batch: pending.batch.clone(),
        })
    }

    /// A batch handed over in this epoch that is due again.
    fn overdue(&mut self, now: Instant) -> Option<usize> {
        if self.again? > now {
            return None;
        }
        let again = |pending: &Pending| pending.sent.and_then(|sent| sent.again);
        let handed = self.queue.iter().take(self.handed);
        self.again = handed
            .clone()
            .filter_map(again)
            .filter(|at| *at > now)
            .min();
        let due = handed
            .clone()
            .position(|p| again(p).is_some_and(|at| at <= now))?;
        // There may be more: look again at the next call.
        self.again = Some(now);
        Some(due)
    }

    /// The leader refused an attempt. What no other attempt may have brought into a log fails now, unless another
    /// leader may take it: then it waits for one.
    pub(super) fn on_refused(
        &mut self,
        now: Instant,
        number: u64,
        why: Rejection,
        mut fail: impl FnMut(Ticket, Failure),
    ) {
        let matches = |pending: &Pending| pending.sent.is_some_and(|sent| sent.number == number);
        let Some(index) = self.queue.iter().position(matches) else {
            return;
        };
        let pending = &mut self.queue[index];
        if pending.maybe || matches!(why, Rejection::NotLeader { .. }) {
            let pause = match why {
                Rejection::Overloaded { retry_after } => retry_after,
                _ => self.config.retry_after,
            };
            let again = Some(now + pause.min(self.config.request_timeout));
            pending.sent = pending.sent.map(|sent| Sent {
                refused: true,
                again,
                ..sent
            });
            self.again = earlier(self.again, again);
            return;
        }
        for ticket in pending.tickets.iter().flatten() {
            fail(*ticket, why.into());
        }
        self.forget(index);
    }

    /// The ticket of the command `sequence`, which is answered herewith.
    pub(super) fn settle(&mut self, sequence: u64) -> Option<Ticket> {
        let index = self.queue.partition_point(|p| last(p) < sequence);
        let pending = self.queue.get_mut(index)?;
        let offset = sequence.checked_sub(pending.batch.label().sequence)?;
        let ticket = pending.tickets.get_mut(offset as usize)?.take()?;
        pending.open -= 1;
        if pending.open == 0 {
            self.forget(index);
        }
        Some(ticket)
    }

    /// Fails every command for which `fate` is not known to be open: after a snapshot was installed.
    pub(super) fn settle_if(
        &mut self,
        applied: impl Fn(u64) -> bool,
        mut fail: impl FnMut(Ticket, Failure),
    ) {
        let sequences: Vec<u64> = self
            .queue
            .iter()
            .flat_map(|p| {
                let first = p.batch.label().sequence;
                first..first + p.batch.len()
            })
            .filter(|sequence| applied(*sequence))
            .collect();
        for sequence in sequences {
            if let Some(ticket) = self.settle(sequence) {
                fail(ticket, Failure::Unknown);
            }
        }
    }

    /// Fails what has waited too long. What was never handed over surely was not applied.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        otherwise: Failure,
        mut fail: impl FnMut(Ticket, Failure),
    ) {
        while let Some(pending) = self.queue.front() {
            if pending.deadline > now {
                return;
            }
            let failure = pending.fate(otherwise);
            for ticket in pending.tickets.iter().flatten() {
                fail(*ticket, failure);
            }
            self.forget(0);
        }
    }

    /// Fails everything, the member is stopping.
    pub(super) fn abandon(&mut self, mut fail: impl FnMut(Ticket, Failure)) {
        for ticket in self.tickets.drain(..) {
            fail(ticket, Failure::Stopped);
        }
        self.gathering = BatchBuilder::new();
        for pending in self.queue.drain(..) {
            let failure = pending.fate(Failure::Stopped);
            for ticket in pending.tickets.iter().flatten() {
                fail(*ticket, failure);
            }
        }
        (self.bytes, self.commands, self.handed, self.again) = (0, 0, 0, None);
    }

    /// When something has to be done even if nothing happens. Without a leader nothing can be handed over again.
    pub(super) fn deadline(&self, led: bool) -> Option<Instant> {
        let expiry = self.queue.front().map(|pending| pending.deadline);
        earlier(expiry, self.again.filter(|_| led))
    }

    /// Commands whose fate is open, and their bytes.
    pub(super) const fn open(&self) -> (usize, u64) {
        (self.commands, self.bytes)
    }

    fn forget(&mut self, index: usize) {
        if let Some(pending) = self.queue.remove(index) {
            self.bytes -= pending.batch.bytes();
            self.commands -= pending.tickets.len();
            self.handed -= usize::from(index < self.handed);
        }
    }
}

impl Pending {
    /// Whether any attempt may have brought it into a log.
    fn maybe(&self) -> bool {
        self.maybe || self.sent.is_some_and(|sent| !sent.refused)
    }

    fn fate(&self, untouched: Failure) -> Failure {
        if self.maybe() {
            Failure::Unknown
        } else {
            untouched
        }
    }
}

fn last(pending: &Pending) -> u64 {
    pending.batch.label().sequence + pending.batch.len() - 1
}

/// The earlier of two deadlines.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
