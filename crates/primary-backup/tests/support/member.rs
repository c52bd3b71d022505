//! One member with a disk, a state machine and snapshots, all simulated. Every message and record goes through its
//! encoding.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::{
    Committed, Configuration, Epoch, Input, Instant, Mark, Memory, Outbox, Output, Position,
    ReplicatedLog, RestoreError, SnapshotMeta, decode, encode,
};
use quorate_primary_backup::{Configured, Message, PrimaryBackup, PrimaryBackupConfig, Record};

use crate::image::Image;

pub type Out = Output<Message, Record>;

/// What the state machine holds: everything up to `position`, as a chain of hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub position: Position,
    pub epoch: Epoch,
    pub digest: u64,
    /// The hash of every entry.
    pub entries: Vec<u64>,
    /// The last configuration among them, and where it stands.
    pub configured: Option<Configured>,
}

impl State {
    pub fn apply(&mut self, committed: &Committed) {
        assert_eq!(
            committed.first,
            self.position.next(),
            "commits leave no gap"
        );
        for hash in hashes(&committed.batch) {
            self.digest = mix(self.digest ^ hash);
            self.entries.push(hash);
        }
        if let Some(configuration) = committed.batch.configured() {
            let at = committed.first;
            self.configured = Some(Configured { at, configuration });
        }
        self.position = committed.last();
        self.epoch = committed.epoch;
    }

    /// The snapshot of this state that member `owner` would take.
    pub fn meta(&self, owner: u64) -> SnapshotMeta {
        SnapshotMeta {
            position: self.position,
            epoch: self.epoch,
            bytes: owner,
            checksum: self.digest as u32,
        }
    }
}

/// One hash for every entry of a batch.
pub fn hashes(batch: &quorate_core::Batch) -> Vec<u64> {
    if batch.is_noop() {
        return vec![mix(7)];
    }
    let hash = |body: &[u8]| {
        body.iter()
            .fold(1, |hash, byte| mix(hash ^ u64::from(*byte)))
    };
    batch
        .commands()
        .map(|(number, body)| mix(hash(body) ^ number))
        .collect()
}

pub fn mix(value: u64) -> u64 {
    quorate_core::Rng::new(value).next()
}

pub struct Member {
    pub config: PrimaryBackupConfig,
    /// None while it is down.
    pub log: Option<PrimaryBackup>,
    /// Encoded records, as written.
    pub journal: BTreeMap<Mark, Bytes>,
    /// The highest mark ever written that was not lost.
    pub last: Mark,
    /// What is truly on disk.
    pub synced: Mark,
    /// What all records written so far amount to.
    pub written: Image,
    /// What those on disk amount to.
    pub durable: Image,
    /// Durable snapshots, oldest first.
    pub snapshots: Vec<(SnapshotMeta, State)>,
    pub state: State,
    /// The log wants a snapshot that includes this.
    pub wanted: Option<Position>,
    /// The configurations that the log showed before the last step.
    pub before: Vec<Configured>,
}

impl Member {
    pub fn new(config: PrimaryBackupConfig) -> Self {
        Self {
            config,
            log: None,
            journal: BTreeMap::new(),
            last: Mark::ZERO,
            synced: Mark::ZERO,
            written: Image::default(),
            durable: Image::default(),
            snapshots: Vec::new(),
            state: State::default(),
            wanted: None,
            before: Vec::new(),
        }
    }

    /// Who the members are, as all that is written says.
    pub fn configuration(&self) -> Configuration {
        let last = self.written.configured.last();
        last.map_or(self.config.founding(), |last| last.configuration.clone())
    }

    pub fn id(&self) -> u64 {
        self.config.id.get()
    }

    /// Starts from what is on disk.
    pub fn start(&mut self, now: Instant) -> Result<(), RestoreError> {
        let (meta, state) = match self.snapshots.last() {
            Some((meta, state)) => (Some(*meta), state.clone()),
            None => (None, State::default()),
        };
        let configured = state.configured.clone();
        self.state = state;
        self.wanted = None;
        let journal = self.journal.iter();
        let mut records =
            journal.map(|(mark, bytes)| (*mark, decode(bytes.clone()).expect("an encoded record")));
        let memory = Memory {
            records: &mut records,
            durable: self.synced,
            snapshot: meta,
            configuration: configured.map(|one| (one.at, one.configuration)),
        };
        self.log = Some(PrimaryBackup::restore(self.config.clone(), now, memory)?);
        Ok(())
    }

    /// Stops it at once: of what is not synced, only what lies below `survivors` was written.
    pub fn crash(&mut self, survivors: Mark) {
        assert!(survivors >= self.synced);
        self.log = None;
        self.journal.retain(|mark, _| *mark <= survivors);
        self.sync(survivors.min(self.last));
        self.last = self.synced;
        self.written = self.durable.clone();
    }

    /// Everything up to `upto` is on disk.
    pub fn sync(&mut self, upto: Mark) {
        if upto <= self.synced {
            return;
        }
        let range = self.synced.next()..=upto;
        for (_, bytes) in self.journal.range(range) {
            self.durable
                .apply(&decode(bytes.clone()).expect("an encoded record"));
        }
        self.synced = upto;
    }

    /// One step; what concerns disk and state machine is carried out, all is handed back.
    pub fn step(&mut self, now: Instant, input: Input<Message>) -> Vec<Out> {
        let log = self.log.as_mut().expect("only a running member steps");
        self.before.clone_from(&self.written.configured);
        let mut outbox = Outbox::new();
        log.step(now, input, &mut outbox);
        let outputs: Vec<_> = outbox.drain().collect();
        for output in &outputs {
            match output {
                Output::Persist { mark, record } => self.write(*mark, record),
                Output::Commit(committed) => self.state.apply(committed),
                Output::Install { snapshot } => self.install(*snapshot),
                Output::Snapshot { from } => self.wanted = Some(*from),
                Output::Send { .. }
                | Output::ReadReady { .. }
                | Output::Reject { .. }
                | Output::Fetch { .. }
                | Output::Reclaim { .. }
                | Output::Link(_)
                | Output::Report(_) => {}
            }
        }
        outputs
    }

    /// A snapshot that the log wants and that can be taken now.
    pub fn due_snapshot(&mut self) -> Option<(SnapshotMeta, State)> {
        let newest = self.snapshots.last().map(|(meta, _)| meta.position);
        self.wanted = self
            .wanted
            .filter(|from| newest.is_none_or(|newest| newest < *from));
        self.wanted.filter(|from| *from <= self.state.position)?;
        self.wanted = None;
        Some((self.state.meta(self.id()), self.state.clone()))
    }

    pub fn add_snapshot(&mut self, meta: SnapshotMeta, state: State) {
        self.snapshots.push((meta, state));
        self.snapshots.sort_by_key(|(meta, _)| meta.position);
        let excess = self.snapshots.len().saturating_sub(2);
        self.snapshots.drain(..excess);
    }

    fn write(&mut self, mark: Mark, record: &Record) {
        assert_eq!(mark, self.last.next(), "marks rise by one");
        self.last = mark;
        self.written.apply(record);
        let bytes = encode(record).to_bytes();
        let decoded: Record = decode(bytes.clone()).expect("an encoded record");
        assert_eq!(&decoded, record, "a record survives its encoding");
        self.journal.insert(mark, bytes);
    }

    fn install(&mut self, snapshot: SnapshotMeta) {
        let found = self.snapshots.iter().find(|(meta, _)| *meta == snapshot);
        let (_, state) = found.expect("only what was fetched is installed");
        assert!(
            state.position > self.state.position,
            "the state never goes back"
        );
        self.state = state.clone();
    }
}
