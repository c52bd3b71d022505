//! One machine: a disk, two clocks, and the process that runs on it, or none.

mod start;
mod store;
mod writer;

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_core::{
    Image, Mark, Position, Record, Replica, ReplicatedLog, SnapshotMeta, StateMachine,
};
use quorate_journal::{Entry, Incoming, Journal, JournalError, SnapshotError, SnapshotStore};

use crate::Moment;
use crate::clock::MemberClock;
use crate::disk::SimDisk;
use crate::tap::{TappedLog, TappedMachine};

pub(crate) use start::{StartConfig, Started};
pub(crate) use store::Back;
pub(crate) use writer::Written;

/// A machine.
pub(crate) struct Host<L: ReplicatedLog, S: StateMachine> {
    pub(crate) disk: SimDisk,
    pub(crate) clock: MemberClock,
    pub(crate) process: Option<Process<L, S>>,
    /// Rises with every start: what a former run asked for does not concern the next.
    pub(crate) run: u64,
    /// Its directory was made: it never starts with an empty one again (`RELIABILITY` C7).
    pub(crate) born: bool,
    /// Something on its disk decayed, or the disk was changed: it may refuse to start.
    pub(crate) spoilt: bool,
    /// It has refused to start, and stays away.
    pub(crate) refused: bool,
    /// It stands still until then.
    pub(crate) paused: Moment,
    /// Where the configuration stands that it is known to act by; none: that is to be looked at.
    pub(crate) configured: Option<Position>,
    /// When its next tick is on the agenda.
    pub(crate) wake: Option<Moment>,
    /// Ticks in a row that left a deadline behind that had passed.
    pub(crate) idle_ticks: u32,
    /// How much longer its syncs take.
    pub(crate) slow: std::time::Duration,
}

/// A running member.
pub(crate) struct Process<L: ReplicatedLog, S: StateMachine> {
    pub(crate) replica: Replica<TappedLog<L>, TappedMachine<S>>,
    pub(crate) journal: Journal<SimDisk>,
    pub(crate) snapshots: SnapshotStore<SimDisk>,
    pub(crate) queue: VecDeque<Entry>,
    /// The journal is writing or syncing.
    pub(crate) busy: bool,
    pub(crate) reclaim: Option<Mark>,
    pub(crate) room: bool,
    /// The highest mark that the replica was told of.
    pub(crate) told: Mark,
    pub(crate) taking: Option<Taking<S>>,
    pub(crate) incoming: Option<Incoming<SimDisk>>,
    /// What is committed and not applied waits for its turn.
    pub(crate) applying: bool,
    /// When the last errand that was given ends: one thread does them, in their order.
    pub(crate) errands: Moment,
}

/// A snapshot to be written.
pub(crate) struct Taking<S: StateMachine> {
    pub(crate) position: Position,
    pub(crate) epoch: quorate_core::Epoch,
    pub(crate) image: Image<S::Snapshot>,
}

/// Why a process ends.
#[derive(Clone, Debug)]
pub(crate) enum Exit {
    /// The disk failed: it may work again after a restart.
    #[allow(dead_code, reason = "read in traces, through Debug")]
    Disk(String),
    /// What is on disk is not what was written, or not there: it does not start again.
    Refused(String),
}

impl From<JournalError> for Exit {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Io { .. } | JournalError::NoRoom { .. } => Self::Disk(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<SnapshotError> for Exit {
    fn from(error: SnapshotError) -> Self {
        match &error {
            SnapshotError::Io { .. } | SnapshotError::Full { .. } => Self::Disk(error.to_string()),
            // A read that fails counts as corrupt (`RELIABILITY` E4); the next start may read it.
            SnapshotError::AllCorrupt(all)
                if all
                    .iter()
                    .any(|one| matches!(one, SnapshotError::Io { .. })) =>
            {
                Self::Disk(error.to_string())
            }
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl<L: ReplicatedLog, S: StateMachine> Host<L, S> {
    pub(crate) fn new(disk: SimDisk, clock: MemberClock) -> Self {
        Self {
            disk,
            clock,
            process: None,
            run: 0,
            born: false,
            spoilt: false,
            refused: false,
            paused: Moment::START,
            configured: None,
            wake: None,
            idle_ticks: 0,
            slow: std::time::Duration::ZERO,
        }
    }

    /// What came of calls to the disk. If the machine lost power in one, no process is left to see it, whatever the
    /// code made of the error.
    pub(crate) fn unless_dead<T>(&self, outcome: Result<T, Exit>) -> Result<T, Exit> {
        match outcome {
            Ok(_) if self.disk.is_dead() => Err(Exit::Disk("the machine lost power".to_owned())),
            outcome => outcome,
        }
    }

    /// Ends the process, if there is one.
    pub(crate) fn kill(&mut self) -> bool {
        self.run += 1;
        self.wake = None;
        self.configured = None;
        self.paused = Moment::START;
        self.process.take().is_some()
    }
}

/// A record as an entry of the journal, and its fingerprint.
pub(crate) fn entry<R: Record>(mark: Mark, record: &R) -> (Entry, u64) {
    let encoded = quorate_core::encode(record);
    let print = crate::checker::fingerprint(mark.0, &encoded.to_bytes());
    let entry = Entry {
        mark,
        head: encoded.head,
        bodies: encoded.bodies,
    };
    (entry, print)
}

/// What one event asks of a host's files beyond the journal.
pub(crate) enum Errand {
    /// Write the snapshot that is being taken.
    Take,
    /// Read a piece of one.
    Read {
        to: quorate_core::NodeId,
        snapshot: SnapshotMeta,
        offset: u64,
        length: u32,
    },
    /// Make ready to receive one.
    Receive(SnapshotMeta),
    /// Store a piece of one.
    Write {
        snapshot: SnapshotMeta,
        offset: u64,
        data: Bytes,
    },
    /// Put one in the place of the state.
    Load(SnapshotMeta),
}
