//! From what the disk holds to a replica that can go on.

use std::hash::{BuildHasher, RandomState};

use quorate_core::{
    Configuration, Incarnation, Life, Mark, Memory, Position, Replica, ReplicatedLog, Restored,
    SnapshotMeta, StateMachine, decode,
};
use quorate_journal::{
    CHUNK_BYTES, Cut, Disk, Identity, Journal, JournalError, PeerBook, Recovery, SnapshotStore,
};

use crate::archive;
use crate::clock::{Clocks, unix_time};
use crate::config::NodeConfig;
use crate::error::StartError;
use crate::outlets::Name;

/// A member as it was, ready to go on.
pub(crate) struct Recovered<D: Disk, L: ReplicatedLog, S: StateMachine> {
    pub(crate) name: Name,
    pub(crate) replica: Replica<L, S>,
    pub(crate) store: SnapshotStore<D>,
    /// None if nothing is to be written.
    pub(crate) journal: Option<Journal<D>>,
    /// The last record in it.
    pub(crate) durable: Mark,
    /// Whom this member has met; none if nothing is to be written.
    pub(crate) book: Option<PeerBook<D>>,
}

/// The config of the log, once it is known which run of the member this is.
pub(crate) type LogConfig<L> = Box<dyn FnOnce(Life) -> <L as ReplicatedLog>::Config + Send>;

/// What is started, beside its config.
pub(crate) struct Seed<L: ReplicatedLog, F> {
    pub(crate) log: LogConfig<L>,
    pub(crate) empty: F,
    pub(crate) clocks: Clocks,
}

/// Reads all that is there; takes as long as that takes.
pub(crate) fn recover<D, L, S, F>(
    disk: D,
    config: &NodeConfig,
    seed: Seed<L, F>,
) -> Result<Recovered<D, L, S>, StartError>
where
    D: Disk,
    L: ReplicatedLog,
    S: StateMachine,
    F: FnOnce() -> S,
{
    let Seed { log, empty, clocks } = seed;
    let opened = open_journal(&disk, config)?;
    let (store, found) = SnapshotStore::open(disk.clone(), config.cluster, CHUNK_BYTES)?;
    let restored = match found.newest {
        Some(snapshot) => load_state(&store, snapshot)?,
        None => Restored::empty(empty()),
    };
    let unix_micros = unix_time().as_micros() as u64;
    let (incarnation, life) = match &opened {
        Some((_, recovery)) => (recovery.incarnation, recovery.life),
        None => (fresh_incarnation(), Life(unix_micros)),
    };
    let durable = opened
        .as_ref()
        .map_or(Mark::ZERO, |(_, recovery)| recovery.last);
    let known = (found.newest, restored.configuration().cloned());
    let log = restore_log::<D, L>(config, log(life), &clocks, opened.as_ref(), known)?;
    let book = opened
        .as_ref()
        .map(|_| PeerBook::open(disk, config.cluster, config.id, incarnation))
        .transpose()?;
    let mut limits = config.replica.clone();
    (limits.id, limits.life) = (config.id, life);
    say(opened.as_ref(), found.newest);
    Ok(Recovered {
        name: Name {
            id: config.id,
            incarnation,
            life,
        },
        replica: Replica::new(limits, log, restored),
        store,
        journal: opened.map(|(journal, _)| journal),
        durable,
        book,
    })
}

type Opened<D> = (Journal<D>, Recovery<D>);

fn open_journal<D: Disk>(disk: &D, config: &NodeConfig) -> Result<Option<Opened<D>>, JournalError> {
    if !config.keeps() {
        return Ok(None);
    }
    let identity = Identity {
        cluster: config.cluster,
        member: config.id,
        fresh: config.may_create.then(fresh_incarnation),
        unix_micros: unix_time().as_micros() as u64,
    };
    Journal::open(disk.clone(), identity, config.journal).map(Some)
}

fn load_state<D: Disk, S: StateMachine>(
    store: &SnapshotStore<D>,
    snapshot: SnapshotMeta,
) -> Result<Restored<S>, StartError> {
    archive::load(store, snapshot)?.map_err(|why| StartError::MalformedSnapshot { snapshot, why })
}

/// Hands the records to the log as they come off the disk. One that cannot be read or is none of this log's ends it
/// all: to go on with those before it would be to forget promises.
fn restore_log<D: Disk, L: ReplicatedLog>(
    config: &NodeConfig,
    log: L::Config,
    clocks: &Clocks,
    opened: Option<&Opened<D>>,
    (snapshot, configuration): (Option<SnapshotMeta>, Option<(Position, Configuration)>),
) -> Result<L, StartError> {
    let dir = || config.data_dir.display().to_string();
    let mut failed = None;
    let recorded = opened
        .into_iter()
        .flat_map(|(_, recovery)| recovery.records());
    let mut records = recorded.map_while(|record| {
        let decoded = record
            .map_err(StartError::Journal)
            .and_then(|(mark, payload)| {
                let record = decode(payload);
                let record = record.map_err(|source| StartError::Record {
                    dir: dir(),
                    mark,
                    source,
                });
                Ok((mark, record?))
            });
        decoded.map_err(|error| failed = Some(error)).ok()
    });
    let memory = Memory {
        records: &mut records,
        durable: opened.map_or(Mark::ZERO, |(_, recovery)| recovery.last),
        snapshot,
        configuration,
    };
    let restored = L::restore(log, clocks.now(), memory);
    drop(records);
    if let Some(error) = failed {
        return Err(error);
    }
    restored.map_err(|source| StartError::Restore { dir: dir(), source })
}

/// Random enough to be told from every other: the standard library's hashers are seeded by the system.
pub(crate) fn fresh_incarnation() -> Incarnation {
    Incarnation(RandomState::new().hash_one(unix_time()))
}

fn say<D: Disk>(opened: Option<&Opened<D>>, snapshot: Option<SnapshotMeta>) {
    let position = snapshot.map(|snapshot| snapshot.position.0);
    let Some((_, recovery)) = opened else {
        tracing::info!("starts without a journal: what it learns is gone when it ends");
        return;
    };
    let Recovery {
        life,
        first,
        last,
        is_new,
        cut,
        ..
    } = recovery;
    tracing::info!(%life, is_new, %first, %last, snapshot = position, "recovered");
    for Cut {
        file,
        offset,
        bytes,
        records,
    } in cut
    {
        tracing::warn!(
            file,
            offset,
            bytes,
            records,
            "cut a torn tail: writes that were never acknowledged"
        );
    }
}
