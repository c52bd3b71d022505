//! One member with a simulated disk, state machine and snapshots. Messages and records go through their encodings.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::{
    Committed, Configuration, Epoch, Input, Instant, Mark, Memory, Outbox, Output, Position,
    ReplicatedLog, RestoreError, SnapshotMeta, decode, encode,
};
use quorate_paxos::{Message, Paxos, PaxosConfig, Record};

use crate::image::{Image, hashes, mix};

pub type Out = Output<Message, Record>;

/// What was applied, as one digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub position: Position,
    pub epoch: Epoch,
    pub digest: u64,
    pub configured: Option<(Position, Configuration)>,
}

impl State {
    pub fn apply(&mut self, run: &Committed) {
        assert_eq!(run.first, self.position.next(), "handed out without a gap");
        for hash in hashes(&run.batch) {
            self.digest = mix(self.digest ^ hash);
        }
        (self.position, self.epoch) = (run.last(), run.epoch);
        if let Some(configuration) = run.batch.configured() {
            self.configured = Some((self.position, configuration));
        }
    }
}

pub struct Member {
    pub config: PaxosConfig,
    /// None: it is down.
    pub paxos: Option<Paxos>,
    /// What is in the journal, encoded; beyond `synced` it may be lost.
    pub journal: BTreeMap<Mark, Bytes>,
    pub written: Mark,
    pub synced: Mark,
    /// What all that is written amounts to, and what is on disk.
    pub memory: Image,
    pub disk: Image,
    /// Durable snapshots, oldest first.
    pub snapshots: Vec<(SnapshotMeta, State)>,
    pub state: State,
}

impl Member {
    pub fn new(config: PaxosConfig) -> Self {
        Self {
            config,
            paxos: None,
            journal: BTreeMap::new(),
            written: Mark::ZERO,
            synced: Mark::ZERO,
            memory: Image::default(),
            disk: Image::default(),
            snapshots: Vec::new(),
            state: State::default(),
        }
    }

    pub fn start(&mut self, now: Instant) -> Result<(), RestoreError> {
        let newest = self.snapshots.last().cloned();
        let snapshot = newest.as_ref().map(|(meta, _)| *meta);
        self.state = newest.map(|(_, state)| state).unwrap_or_default();
        let records = self.journal.iter();
        let mut records =
            records.map(|(mark, bytes)| (*mark, decode(bytes.clone()).expect("a record")));
        let memory = Memory {
            records: &mut records,
            durable: self.synced,
            snapshot,
            configuration: self.state.configured.clone(),
        };
        self.paxos = Some(Paxos::restore(self.config.clone(), now, memory)?);
        Ok(())
    }

    /// Stops it; of what is not synced, the records up to `survivors` happen to be on disk.
    pub fn crash(&mut self, survivors: Mark) {
        self.paxos = None;
        self.sync(survivors);
        self.journal.retain(|mark, _| *mark <= survivors);
        self.written = self.synced;
        self.memory = self.disk.clone();
    }

    /// Everything up to `upto` is on disk; hands over what newly is.
    pub fn sync(&mut self, upto: Mark) -> Vec<Record> {
        let fresh = self.journal.range(self.synced.next()..);
        let fresh = fresh.take_while(|(mark, _)| **mark <= upto);
        let records: Vec<Record> = fresh
            .map(|(_, bytes)| decode(bytes.clone()).expect("a record"))
            .collect();
        for record in &records {
            self.disk.apply(record);
        }
        self.synced = self.synced.max(upto);
        records
    }

    /// One step; what concerns disk and state machine is done, all is handed back.
    pub fn step(&mut self, now: Instant, input: Input<Message>) -> Vec<Out> {
        let paxos = self.paxos.as_mut().expect("only a running member steps");
        let mut outbox = Outbox::new();
        paxos.step(now, input, &mut outbox);
        let outputs: Vec<_> = outbox.drain().collect();
        for output in &outputs {
            match output {
                Output::Persist { mark, record } => self.write(*mark, record),
                Output::Commit(run) => self.state.apply(run),
                Output::Install { snapshot } => {
                    let mut known = self.snapshots.iter();
                    let found = known.find(|(meta, _)| meta == snapshot);
                    let (_, state) = found.expect("only what was fetched is installed");
                    assert!(state.position > self.state.position, "it leads ahead");
                    self.state = state.clone();
                }
                _ => {}
            }
        }
        outputs
    }

    fn write(&mut self, mark: Mark, record: &Record) {
        assert_eq!(mark, self.written.next(), "marks rise by one");
        self.written = mark;
        self.memory.apply(record);
        let bytes = encode(record).to_bytes();
        let read: Record = decode(bytes.clone()).expect("a record");
        assert_eq!(&read, record, "a record survives its encoding");
        self.journal.insert(mark, bytes);
    }

    /// A snapshot of the present state.
    pub fn snapshot(&self) -> (SnapshotMeta, State) {
        let meta = SnapshotMeta {
            position: self.state.position,
            epoch: self.state.epoch,
            bytes: self.config.id.get(),
            checksum: self.state.digest as u32,
        };
        (meta, self.state.clone())
    }

    /// A snapshot is durable here; the two newest are kept.
    pub fn keep(&mut self, snapshot: (SnapshotMeta, State)) {
        self.snapshots.push(snapshot);
        self.snapshots.sort_by_key(|(meta, _)| meta.position);
        let excess = self.snapshots.len().saturating_sub(2);
        self.snapshots.drain(..excess);
    }
}
