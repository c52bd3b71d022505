//! The production way up: journal, newest snapshot, log, replica.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    ClusterId, HealthConfig, Incarnation, Life, Mark, Memory, NodeId, Position, Replica,
    ReplicaConfig, ReplicatedLog, RestoreError, Restored, StateMachine, decode,
};
use quorate_journal::{
    Identity, Journal, JournalConfig, Recovery, SnapshotError, SnapshotStore, SnapshotsFound,
};

use super::{Exit, Host, Process};
use crate::checker::fingerprint;
use crate::disk::SimDisk;
use crate::tap::TappedMachine;
use crate::{Moment, plan::Plan};

/// The cluster that every member belongs to.
const CLUSTER: ClusterId = ClusterId(0x51);
/// Small segments: a run goes through several.
const SEGMENT_BYTES: u64 = 64 << 10;

/// What a start needs beside the host.
pub(crate) struct StartConfig<'a, C> {
    pub(crate) id: NodeId,
    /// The config of the log, once it is known which run this is.
    pub(crate) log: &'a dyn Fn(Life) -> C,
    pub(crate) plan: &'a Plan,
}

/// What a start found.
pub(crate) struct Started<R> {
    /// The records on disk with their fingerprints.
    pub(crate) records: Vec<(Mark, u64, R)>,
    /// Whether something torn was cut off.
    pub(crate) cut: bool,
    /// Where the snapshot ends that was loaded; zero: none was.
    pub(crate) snapshot: Position,
}

impl<L: ReplicatedLog, S: StateMachine> Host<L, S> {
    /// Starts the process, as the node does it.
    pub(crate) fn start(
        &mut self,
        now: Moment,
        config: &StartConfig<'_, L::Config>,
        empty: S,
    ) -> Result<Started<L::Record>, Exit> {
        let StartConfig { id, log, plan } = *config;
        self.run += 1;
        let identity = Identity {
            cluster: CLUSTER,
            member: id,
            fresh: (!self.born).then_some(Incarnation(id.0 << 32 | self.run)),
            unix_micros: self.clock.wall(now).as_millis() * 1_000,
        };
        let limits = JournalConfig {
            segment_bytes: SEGMENT_BYTES,
            record_bytes_max: SEGMENT_BYTES / 2,
            reserve_bytes: SEGMENT_BYTES / 8,
            ..JournalConfig::default()
        };
        let (journal, recovery) = Journal::open(self.disk.clone(), identity, limits)?;
        self.born = true;
        let chunk = plan.around.chunk_bytes;
        let (snapshots, found) = SnapshotStore::open(self.disk.clone(), CLUSTER, chunk)?;
        let restored = restore(&snapshots, empty)?;
        let snapshot = restored
            .snapshot()
            .map_or(Position::ZERO, |meta| meta.position);
        let records = read::<L::Record>(&recovery)?;
        let memory = Memory {
            records: &mut records
                .iter()
                .map(|(mark, _, record)| (*mark, record.clone())),
            durable: recovery.last,
            snapshot: restored.snapshot(),
            configuration: restored.configuration().cloned(),
        };
        let local = self.clock.monotonic(now);
        let log = ReplicatedLog::restore(log(recovery.life), local, memory)
            .map_err(|error: RestoreError| refusal(&error, &found))?;
        self.process = Some(Process {
            replica: Replica::new(replica_config(id, &recovery, plan), log, restored),
            told: recovery.last,
            room: true,
            journal,
            snapshots,
            queue: VecDeque::new(),
            busy: false,
            reclaim: None,
            taking: None,
            incoming: None,
            applying: false,
            errands: Moment::START,
        });
        Ok(Started {
            records,
            cut: !recovery.cut.is_empty(),
            snapshot,
        })
    }
}

/// The state of the newest sound snapshot, or the empty one.
fn restore<S: StateMachine>(
    snapshots: &SnapshotStore<SimDisk>,
    empty: S,
) -> Result<Restored<TappedMachine<S>>, Exit> {
    let Some(newest) = snapshots.newest() else {
        return Ok(Restored::empty(TappedMachine::new(empty)));
    };
    super::store::load(snapshots, newest)
}

/// Why the log did not start. If a snapshot could not be read, the next start may read it, and the older one that was
/// taken in its place is not what the log begins behind.
fn refusal(error: &RestoreError, found: &SnapshotsFound) -> Exit {
    let unread = |error: &SnapshotError| matches!(error, SnapshotError::Io { .. });
    match error {
        RestoreError::MissingSnapshot { .. } if found.corrupt.iter().any(unread) => {
            Exit::Disk(error.to_string())
        }
        _ => Exit::Refused(error.to_string()),
    }
}

/// Every record, through the production codec.
fn read<R: quorate_core::Record>(
    recovery: &Recovery<SimDisk>,
) -> Result<Vec<(Mark, u64, R)>, Exit> {
    let decoded = |(mark, payload): (Mark, Bytes)| {
        let print = fingerprint(mark.0, &payload);
        let record = decode(payload).map_err(|error| Exit::Refused(error.to_string()))?;
        Ok((mark, print, record))
    };
    recovery.records().map(|record| decoded(record?)).collect()
}

fn replica_config(id: NodeId, recovery: &Recovery<SimDisk>, plan: &Plan) -> ReplicaConfig {
    let around = &plan.around;
    ReplicaConfig {
        request_timeout: around.request_timeout,
        retry_interval: around.retry_interval,
        pending_max: around.pending_max,
        pending_bytes_max: around.pending_bytes,
        backlog_bytes_max: around.backlog_bytes,
        batch_bytes_max: around.batch_bytes,
        snapshot_every_bytes: around.snapshot_every,
        chunk_bytes: around.chunk_bytes,
        health: health(plan.limits.election_timeout),
        ..ReplicaConfig::new(id, recovery.life)
    }
}

/// A run is short: what takes minutes with the defaults takes seconds.
fn health(election_timeout: Duration) -> HealthConfig {
    HealthConfig {
        every: election_timeout / 2,
        sustained: election_timeout * 3,
        hold_off: election_timeout * 5,
        hold_off_max: election_timeout * 100,
        ..HealthConfig::DEFAULT
    }
}
