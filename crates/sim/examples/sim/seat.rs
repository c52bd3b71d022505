//! A member of a cluster with links: one that votes, or one that only learns. One type of log for both.

use quorate_core::{
    Batch, Carry, Committed, Configuration, Epoch, Input, Instant, LinkStatus, Memory, Outbox,
    Output, PeerStatus, Position, ReplicatedLog, RestoreError, Status,
};
use quorate_replication::{Frame, LearnedRecord, Learner, LearnerConfig, LinkConfig, Linked};
use serde::{Deserialize, Serialize};

/// A voter or a learner.
pub(crate) enum Seat<L: ReplicatedLog> {
    Voter(Box<Linked<L>>, Outbox<Linked<L>>),
    Learner(Box<Learner<L>>, Outbox<Learner<L>>),
}

/// What it is, and how.
pub(crate) enum SeatConfig<C> {
    Voter(Box<LinkConfig<C>>),
    Learner(Box<LearnerConfig>),
}

/// What it remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum SeatRecord<R> {
    Log(R),
    Learned(LearnedRecord),
}

impl<R: quorate_core::Record> quorate_core::Record for SeatRecord<R> {}

impl<R: Carry> Carry for SeatRecord<R> {
    fn batches(&self, visit: &mut dyn FnMut(&Batch)) {
        match self {
            Self::Log(record) => record.batches(visit),
            Self::Learned(record) => record.batches(visit),
        }
    }

    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch)) {
        match self {
            Self::Log(record) => record.batches_mut(visit),
            Self::Learned(record) => record.batches_mut(visit),
        }
    }
}

/// Runs the same expression on whichever log it is.
macro_rules! either {
    ($seat:expr, $log:ident => $what:expr) => {
        match $seat {
            Seat::Voter($log, _) => $what,
            Seat::Learner($log, _) => $what,
        }
    };
}

impl<L: ReplicatedLog> ReplicatedLog for Seat<L> {
    type Config = SeatConfig<L::Config>;
    type Message = Frame<L::Message>;
    type Record = SeatRecord<L::Record>;
    const ELECTS: bool = L::ELECTS;

    fn restore(
        config: Self::Config,
        now: Instant,
        memory: Memory<'_, Self::Record>,
    ) -> Result<Self, RestoreError> {
        let Memory {
            records,
            durable,
            snapshot,
            configuration,
        } = memory;
        Ok(match config {
            SeatConfig::Voter(config) => {
                let mut records = records.map(|(mark, record)| match record {
                    SeatRecord::Log(record) => (mark, record),
                    SeatRecord::Learned(_) => panic!("a learner's record in a voter's journal"),
                });
                let memory = Memory {
                    records: &mut records,
                    durable,
                    snapshot,
                    configuration,
                };
                let log = Linked::restore(*config, now, memory)?;
                Self::Voter(Box::new(log), Outbox::new())
            }
            SeatConfig::Learner(config) => {
                let mut records = records.map(|(mark, record)| match record {
                    SeatRecord::Learned(record) => (mark, record),
                    SeatRecord::Log(_) => panic!("a voter's record in a learner's journal"),
                });
                let memory = Memory {
                    records: &mut records,
                    durable,
                    snapshot,
                    configuration,
                };
                let log = Learner::restore(*config, now, memory)?;
                Self::Learner(Box::new(log), Outbox::new())
            }
        })
    }

    fn step(&mut self, now: Instant, input: Input<Self::Message>, out: &mut Outbox<Self>) {
        match self {
            Self::Voter(log, outbox) => {
                log.step(now, input, outbox);
                outbox
                    .drain()
                    .for_each(|output| out.push(recorded(output, SeatRecord::Log)));
            }
            Self::Learner(log, outbox) => {
                log.step(now, input, outbox);
                outbox
                    .drain()
                    .for_each(|output| out.push(recorded(output, SeatRecord::Learned)));
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        either!(self, log => log.deadline())
    }

    fn status(&self) -> Status {
        either!(self, log => log.status())
    }

    fn configuration(&self) -> &Configuration {
        either!(self, log => log.configuration())
    }

    fn peers(&self) -> Vec<PeerStatus> {
        either!(self, log => log.peers())
    }

    fn lease(&self, now: Instant) -> Option<Position> {
        either!(self, log => log.lease(now))
    }

    fn chosen(&self, at: Position, bytes_max: u64) -> Option<Committed> {
        either!(self, log => log.chosen(at, bytes_max))
    }

    fn held(&self, at: Position, bytes_max: u64) -> Option<(Epoch, Batch)> {
        either!(self, log => log.held(at, bytes_max))
    }

    fn is_sound(&self) -> bool {
        either!(self, log => log.is_sound())
    }

    fn links(&self) -> Vec<LinkStatus> {
        either!(self, log => log.links())
    }
}

/// The same output with another type of record.
fn recorded<M, R, S>(output: Output<M, R>, of: impl FnOnce(R) -> S) -> Output<M, S> {
    match output {
        Output::Persist { mark, record } => Output::Persist {
            mark,
            record: of(record),
        },
        Output::Send { to, message } => Output::Send { to, message },
        Output::Commit(run) => Output::Commit(run),
        Output::ReadReady { ticket, at } => Output::ReadReady { ticket, at },
        Output::Reject { ticket, why } => Output::Reject { ticket, why },
        Output::Fetch { from, snapshot } => Output::Fetch { from, snapshot },
        Output::Install { snapshot } => Output::Install { snapshot },
        Output::Reclaim { below } => Output::Reclaim { below },
        Output::Link(event) => Output::Link(event),
        Output::Snapshot { from } => Output::Snapshot { from },
        Output::Report(report) => Output::Report(report),
    }
}
