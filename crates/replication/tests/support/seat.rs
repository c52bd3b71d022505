//! One member with its disk and its state machine, whatever log it runs.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::{
    Batch, Committed, Epoch, Input, Instant, Life, LinkEvent, LinkStatus, Mark, Memory, NodeId,
    Outbox, Output, Position, ReplicatedLog, Rng, SnapshotMeta, Status, Ticket, decode, encode,
};
use quorate_replication::Frame;

/// What a member wants of the world.
pub enum Wish<M> {
    Send(NodeId, Frame<M>),
    /// There is something to sync.
    Wrote(String),
    Commit(Committed),
    Fetch(NodeId, SnapshotMeta),
    Installed(SnapshotMeta),
    Rejected(Ticket),
    Ready(Ticket, Position),
    Link(LinkEvent),
}

/// A member as the world sees it.
pub trait Seat<M> {
    fn start(&mut self, now: Instant);
    /// Loses its memory, and what is not synced.
    fn crash(&mut self);
    fn step(&mut self, now: Instant, input: Input<Frame<M>>, wishes: &mut Vec<Wish<M>>);
    /// Everything written is on disk now; the mark of the last.
    fn sync(&mut self) -> Mark;
    fn is_up(&self) -> bool;
    fn deadline(&self) -> Option<Instant>;
    fn status(&self) -> Status;
    fn links(&self) -> Vec<LinkStatus>;
    fn state(&self) -> State;
    fn life(&self) -> Life;
    /// Takes a snapshot of its state; the log may forget what the one before it covers.
    fn snapshot(&mut self) -> Option<(Position, SnapshotMeta)>;
    fn find(&self, meta: &SnapshotMeta) -> Option<State>;
    /// A snapshot has come from elsewhere.
    fn store(&mut self, meta: SnapshotMeta, state: State);
    /// Holds bytes of what is chosen from a position on.
    fn chosen(&self, at: Position) -> Option<Committed>;
}

/// What the state machine holds: everything up to `position`, as a chain of hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub position: Position,
    pub epoch: Epoch,
    pub digest: u64,
}

impl State {
    fn apply(&mut self, run: &Committed) {
        assert_eq!(run.first, self.position.next(), "commits leave no gap");
        for hash in hashes(&run.batch) {
            self.digest = Rng::new(self.digest ^ hash).next();
        }
        (self.position, self.epoch) = (run.last(), run.epoch);
    }
}

/// One hash for every position of a batch.
pub fn hashes(batch: &Batch) -> Vec<u64> {
    if batch.is_noop() {
        return vec![1];
    }
    let word = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    };
    let mix = |hash: u64, chunk: &[u8]| (hash ^ word(chunk)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let body = |(number, body): (u64, &[u8])| {
        let seed = (number ^ 0xcbf2).wrapping_mul(31) + body.len() as u64;
        body.chunks(8)
            .fold(seed, |hash, chunk| mix(hash.rotate_left(23), chunk))
    };
    batch.commands().map(body).collect()
}

pub struct Host<T: ReplicatedLog> {
    id: u64,
    config: Box<dyn Fn(Life) -> T::Config>,
    life: Life,
    log: Option<T>,
    journal: BTreeMap<Mark, Bytes>,
    last: Mark,
    synced: Mark,
    state: State,
    snapshots: Vec<(SnapshotMeta, State)>,
    outbox: Outbox<T>,
}

impl<T: ReplicatedLog> Host<T> {
    pub fn new(id: u64, config: impl Fn(Life) -> T::Config + 'static) -> Self {
        Self {
            id,
            config: Box::new(config),
            life: Life::ZERO,
            log: None,
            journal: BTreeMap::new(),
            last: Mark::ZERO,
            synced: Mark::ZERO,
            state: State::default(),
            snapshots: Vec::new(),
            outbox: Outbox::new(),
        }
    }

    fn log(&self) -> &T {
        self.log.as_ref().expect("it is up")
    }
}

impl<M, T> Seat<M> for Host<T>
where
    T: ReplicatedLog<Message = Frame<M>, Record: std::fmt::Display>,
    Frame<M>: quorate_core::Message,
{
    fn start(&mut self, now: Instant) {
        let newest = self.snapshots.last().copied();
        self.state = newest.map_or(State::default(), |(_, state)| state);
        self.life = self.life.next();
        let records = self.journal.iter();
        let mut records = records.map(|(mark, record)| {
            let record = decode(record.clone()).expect("what was written is read");
            (*mark, record)
        });
        let memory = Memory {
            records: &mut records,
            durable: self.synced,
            snapshot: newest.map(|(meta, _)| meta),
            configuration: None,
        };
        let log = T::restore((self.config)(self.life), now, memory);
        self.log = Some(log.unwrap_or_else(|error| panic!("{} restarts: {error}", self.id)));
    }

    fn crash(&mut self) {
        self.log = None;
        self.outbox = Outbox::new();
        self.journal.retain(|mark, _| *mark <= self.synced);
        self.last = self.synced;
    }

    fn step(&mut self, now: Instant, input: Input<Frame<M>>, wishes: &mut Vec<Wish<M>>) {
        let log = self.log.as_mut().expect("it is up");
        log.step(now, input, &mut self.outbox);
        for output in self.outbox.drain() {
            match output {
                Output::Persist { mark, record } => {
                    assert_eq!(mark, self.last.next(), "marks rise by one");
                    self.last = mark;
                    self.journal.insert(mark, encode(&record).to_bytes());
                    wishes.push(Wish::Wrote(record.to_string()));
                }
                Output::Send { to, message } => wishes.push(Wish::Send(to, message)),
                Output::Commit(run) => {
                    self.state.apply(&run);
                    wishes.push(Wish::Commit(run));
                }
                Output::ReadReady { ticket, at } => wishes.push(Wish::Ready(ticket, at)),
                Output::Reject { ticket, .. } => wishes.push(Wish::Rejected(ticket)),
                Output::Fetch { from, snapshot } => wishes.push(Wish::Fetch(from, snapshot)),
                Output::Install { snapshot } => {
                    let stored = self.snapshots.iter().find(|(meta, _)| *meta == snapshot);
                    self.state = stored.expect("what was fetched is here").1;
                    wishes.push(Wish::Installed(snapshot));
                }
                Output::Reclaim { below } => self.journal = self.journal.split_off(&below),
                Output::Link(event) => wishes.push(Wish::Link(event)),
                Output::Snapshot { .. } | Output::Report(_) => {}
            }
        }
        let status = log.status();
        assert!(status.compacted <= status.committed && status.committed <= status.last);
        assert!(status.durable <= status.last);
    }

    fn sync(&mut self) -> Mark {
        self.synced = self.last;
        self.synced
    }

    fn is_up(&self) -> bool {
        self.log.is_some()
    }

    fn deadline(&self) -> Option<Instant> {
        self.log.as_ref()?.deadline()
    }

    fn status(&self) -> Status {
        self.log().status()
    }

    fn links(&self) -> Vec<LinkStatus> {
        self.log().links()
    }

    fn state(&self) -> State {
        self.state
    }

    fn life(&self) -> Life {
        self.life
    }

    fn snapshot(&mut self) -> Option<(Position, SnapshotMeta)> {
        let covered = |(meta, _): &(SnapshotMeta, State)| meta.position;
        let before = self.snapshots.last().map_or(Position::ZERO, covered);
        if self.state.position <= before {
            return None;
        }
        let meta = SnapshotMeta {
            position: self.state.position,
            epoch: self.state.epoch,
            bytes: self.id,
            checksum: self.state.digest as u32,
        };
        self.snapshots.push((meta, self.state));
        if self.snapshots.len() > 2 {
            self.snapshots.remove(0);
        }
        Some((before, meta))
    }

    fn find(&self, meta: &SnapshotMeta) -> Option<State> {
        let found = self.snapshots.iter().find(|(known, _)| known == meta);
        found.map(|(_, state)| *state)
    }

    fn store(&mut self, meta: SnapshotMeta, state: State) {
        self.snapshots.push((meta, state));
        self.snapshots.sort_by_key(|(meta, _)| meta.position);
    }

    fn chosen(&self, at: Position) -> Option<Committed> {
        self.log().chosen(at, u64::MAX)
    }
}
