//! Listening in: a log that notes what it commits, and a state machine that notes what it applies.
//!
//! Both do nothing else; what runs is the log and the machine themselves.

use std::cell::RefCell;

use bytes::Bytes;
use quorate_core::{
    At, Batch, Committed, Configuration, Epoch, Input, Instant, LinkStatus, MalformedSnapshot,
    Memory, Outbox, Output, PeerStatus, Position, ReplicatedLog, RestoreError, StateMachine,
    Status, Timestamp,
};

use crate::checker::fingerprint;

/// A log, and what it has committed since anyone asked.
pub(crate) struct TappedLog<L: ReplicatedLog> {
    log: L,
    outbox: Outbox<L>,
    commits: RefCell<Vec<Committed>>,
}

impl<L: ReplicatedLog> TappedLog<L> {
    pub(crate) fn take_commits(&self) -> Vec<Committed> {
        self.commits.take()
    }
}

impl<L: ReplicatedLog> ReplicatedLog for TappedLog<L> {
    type Config = L::Config;
    type Message = L::Message;
    type Record = L::Record;
    const ELECTS: bool = L::ELECTS;

    fn restore(
        config: L::Config,
        now: Instant,
        memory: Memory<'_, L::Record>,
    ) -> Result<Self, RestoreError> {
        Ok(Self {
            log: L::restore(config, now, memory)?,
            outbox: Outbox::new(),
            commits: RefCell::default(),
        })
    }

    fn step(&mut self, now: Instant, input: Input<L::Message>, out: &mut Outbox<Self>) {
        self.log.step(now, input, &mut self.outbox);
        for output in self.outbox.drain() {
            if let Output::Commit(run) = &output {
                self.commits.get_mut().push(run.clone());
            }
            out.push(output);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.log.deadline()
    }

    fn status(&self) -> Status {
        self.log.status()
    }

    fn configuration(&self) -> &Configuration {
        self.log.configuration()
    }

    fn peers(&self) -> Vec<PeerStatus> {
        self.log.peers()
    }

    fn lease(&self, now: Instant) -> Option<Position> {
        self.log.lease(now)
    }

    fn chosen(&self, at: Position, bytes_max: u64) -> Option<Committed> {
        self.log.chosen(at, bytes_max)
    }

    fn held(&self, at: Position, bytes_max: u64) -> Option<(Epoch, Batch)> {
        self.log.held(at, bytes_max)
    }

    fn is_sound(&self) -> bool {
        self.log.is_sound()
    }

    fn links(&self) -> Vec<LinkStatus> {
        self.log.links()
    }
}

/// A state machine, and what it has applied since anyone asked: where, and a fingerprint of the command.
pub(crate) struct TappedMachine<S> {
    machine: S,
    applied: RefCell<Vec<(Position, u64)>>,
}

impl<S> TappedMachine<S> {
    pub(crate) fn new(machine: S) -> Self {
        Self {
            machine,
            applied: RefCell::default(),
        }
    }

    pub(crate) const fn machine(&self) -> &S {
        &self.machine
    }

    pub(crate) fn take_applied(&self) -> Vec<(Position, u64)> {
        self.applied.take()
    }
}

impl<S: StateMachine> StateMachine for TappedMachine<S> {
    type Reply = S::Reply;
    type Snapshot = S::Snapshot;

    fn apply(&mut self, at: At, command: &[u8]) -> S::Reply {
        self.applied
            .get_mut()
            .push((at.position, fingerprint(0, command)));
        self.machine.apply(at, command)
    }

    fn advance(&mut self, time: Timestamp) {
        self.machine.advance(time);
    }

    fn wakeup(&self) -> Option<Timestamp> {
        self.machine.wakeup()
    }

    fn snapshot(&self) -> S::Snapshot {
        self.machine.snapshot()
    }

    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
        S::restore(chunks).map(Self::new)
    }

    fn digest(&self) -> u64 {
        self.machine.digest()
    }
}
