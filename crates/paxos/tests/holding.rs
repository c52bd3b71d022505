//! What a member tells of what it holds: what is chosen, to anyone; what is held, to those who know what they look for.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use quorate_core::{
    BatchBuilder, Input, Instant, Label, Mark, Memory, NodeId, Outbox, Output, Position,
    ReplicatedLog, SnapshotMeta, Ticket,
};
use quorate_paxos::{Paxos, PaxosConfig};

struct Alone {
    log: Paxos,
    out: Outbox<Paxos>,
    now: Instant,
    written: Mark,
}

impl Alone {
    /// A cluster of one that leads.
    fn new() -> Self {
        let memory = Memory {
            records: &mut [].into_iter(),
            durable: Mark::ZERO,
            snapshot: None,
            configuration: None,
        };
        let config = PaxosConfig::new(NodeId(1), &[NodeId(1)]);
        let log = Paxos::restore(config, Instant::ZERO, memory).unwrap();
        let mut alone = Self {
            now: log.deadline().unwrap(),
            log,
            out: Outbox::new(),
            written: Mark::ZERO,
        };
        alone.step(Input::Tick);
        alone.sync();
        alone.sync();
        alone
    }

    fn step(&mut self, input: Input<<Paxos as ReplicatedLog>::Message>) {
        self.log.step(self.now, input, &mut self.out);
        for output in self.out.drain() {
            if let Output::Persist { mark, .. } = output {
                self.written = mark;
            }
        }
    }

    fn sync(&mut self) {
        let upto = self.written;
        self.step(Input::Durable { upto });
    }

    /// Five commands of 1000 bytes. Returns the position of the first.
    fn propose(&mut self) -> Position {
        let mut builder = BatchBuilder::new();
        for _ in 0..5 {
            builder.push(&[7; 1000]);
        }
        let first = self.log.status().last.next();
        let batch = builder.finish(Label::default()).unwrap();
        let ticket = Ticket(1);
        self.step(Input::Propose { ticket, batch });
        first
    }
}

#[test]
fn what_is_chosen_is_told_from_what_is_only_held() {
    let mut alone = Alone::new();
    let chosen = alone.propose();
    alone.sync();
    let open = alone.propose();
    let log = &alone.log;
    assert_eq!(log.status().committed, open.prev());

    let run = log.chosen(chosen.next(), u64::MAX).unwrap();
    assert_eq!((run.first, run.batch.len()), (chosen.next(), 4));
    assert_eq!(run.epoch, log.status().epoch);
    assert_eq!(log.chosen(open, u64::MAX), None);
    assert_eq!(log.chosen(open.plus(5), u64::MAX), None);

    let (epoch, batch) = log.held(open.plus(3), u64::MAX).unwrap();
    assert_eq!((epoch, batch.len()), (log.status().epoch, 2));
    assert_eq!(log.held(open.plus(5), u64::MAX), None);
    let (_, whole) = log.held(chosen, u64::MAX).unwrap();
    assert_eq!(
        whole.slice(1, 5).body().as_ptr(),
        run.batch.body().as_ptr(),
        "shared"
    );
}

#[test]
fn a_run_is_cut_to_what_is_asked_for_and_never_to_nothing() {
    let mut alone = Alone::new();
    let first = alone.propose();
    alone.sync();
    let length = |bytes| alone.log.chosen(first, bytes).unwrap().batch.len();
    assert_eq!((length(0), length(2_500), length(1 << 20)), (1, 2, 5));
    let (_, held) = alone.log.held(first, 3_500).unwrap();
    assert_eq!(held.len(), 3);
}

#[test]
fn what_is_forgotten_is_neither_chosen_nor_held() {
    let mut alone = Alone::new();
    let (first, second) = (alone.propose(), alone.propose());
    alone.sync();
    let epoch = alone.log.status().epoch;
    let upto = second.prev();
    let snapshot = SnapshotMeta {
        position: upto,
        epoch,
        bytes: 1,
        checksum: 1,
    };
    alone.step(Input::Compact { upto, snapshot });
    assert_eq!(alone.log.status().compacted, upto);
    for at in [Position::ZERO, Position(1), first, upto] {
        assert_eq!(
            (alone.log.chosen(at, 1), alone.log.held(at, 1)),
            (None, None)
        );
    }
    assert!(alone.log.chosen(second, 1).is_some() && alone.log.held(second, 1).is_some());
}
