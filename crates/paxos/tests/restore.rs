//! What a journal may say, and what starting from it would break.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use bytes::Bytes;
use quorate_core::{
    Batch, Epoch, Instant, Label, Mark, Memory, NodeId, Position, ReplicatedLog, RestoreError,
    SnapshotMeta,
};
use quorate_paxos::{Ballot, Paxos, PaxosConfig, Record, Value};

fn ballot(round: u64) -> Ballot {
    Ballot {
        round,
        node: NodeId(2),
    }
}

fn promise(round: u64) -> Record {
    Record::Promise {
        ballot: ballot(round),
        chosen: Position(0),
    }
}

fn accept(round: u64, born: u64, first: u64, chosen: u64) -> Record {
    Record::Accept {
        ballot: ballot(round),
        chosen: Position(chosen),
        first: Position(first),
        values: [Value {
            born: ballot(born),
            batch: Batch::one(Label::default(), Bytes::from_static(b"x")),
        }]
        .into_iter()
        .collect(),
    }
}

fn checkpoint(round: u64, base: u64) -> Record {
    Record::Checkpoint {
        promised: ballot(round),
        base: Position(base),
    }
}

fn restore(first: u64, records: &[Record], snapshot: u64) -> Result<Paxos, RestoreError> {
    let ids = [1, 2, 3].map(NodeId);
    let durable = Mark(first + records.len() as u64 - 1);
    let meta = SnapshotMeta {
        position: Position(snapshot),
        epoch: Epoch {
            round: 1,
            node: NodeId(2),
        },
        bytes: 0,
        checksum: 0,
    };
    let memory = Memory {
        records: &mut (first..).map(Mark).zip(records.iter().cloned()),
        durable,
        snapshot: (snapshot > 0).then_some(meta),
        configuration: None,
    };
    Paxos::restore(PaxosConfig::new(ids[0], &ids), Instant::ZERO, memory)
}

#[test]
fn records_that_contradict_each_other_are_refused() {
    let cases: [(&[Record], &str); 8] = [
        (&[promise(2), promise(2)], "does not rise"),
        (&[promise(2), accept(1, 1, 1, 0)], "outside of the promised"),
        (&[accept(1, 1, 1, 0)], "outside of the promised"),
        (
            &[promise(3), accept(3, 1, 1, 0), accept(3, 2, 1, 0)],
            "a second value",
        ),
        (&[promise(1), accept(1, 2, 1, 0)], "no member writes"),
        (&[promise(1), accept(1, 1, 2, 2)], "chosen is missing"),
        (&[promise(1), checkpoint(2, 4)], "another promise"),
        (
            &[promise(1), checkpoint(1, 4), checkpoint(1, 4)],
            "forgets nothing",
        ),
    ];
    for (records, reason) in cases {
        let refused = restore(1, records, 9).expect_err(reason);
        assert!(
            refused.to_string().contains(reason),
            "{refused} for {reason}"
        );
    }
}

#[test]
fn a_journal_without_its_beginning_needs_a_checkpoint_and_its_snapshot() {
    let rest = [accept(2, 1, 5, 0), promise(3)];
    let refused = restore(7, &rest, 9).expect_err("no checkpoint");
    assert!(refused.to_string().contains("beginning is missing"));
    let rest = [accept(2, 1, 5, 0), checkpoint(2, 4), promise(3)];
    let paxos = restore(7, &rest, 4).unwrap();
    let status = paxos.status();
    assert_eq!((status.compacted, status.last), (Position(4), Position(5)));
    assert_eq!(status.epoch, ballot(3).epoch());
    let missing = RestoreError::MissingSnapshot {
        compacted: Position(4),
        snapshot: Position(3),
    };
    assert_eq!(restore(7, &rest, 3).expect_err("too old"), missing);
}

#[test]
fn votes_below_a_snapshot_stay_only_if_they_are_known_to_be_chosen() {
    let votes = [promise(1), accept(1, 1, 1, 0), accept(1, 1, 2, 1)];
    // Slot 1 is known to be chosen; of slot 2 nothing is known but the snapshot.
    assert_eq!(
        restore(1, &votes, 1).unwrap().status().compacted,
        Position(0)
    );
    assert_eq!(
        restore(1, &votes, 2).unwrap().status().compacted,
        Position(2)
    );
}
