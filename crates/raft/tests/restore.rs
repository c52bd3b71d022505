//! What a member makes of what its journal holds: it starts, or it says why it must not.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use bytes::Bytes;
use quorate_core::{
    Batch, Instant, Label, Mark, Memory, NodeId, Position, ReplicatedLog, RestoreError,
    SnapshotMeta,
};
use quorate_raft::{Point, Raft, RaftConfig, Record, Run, Term};

fn point(position: u64, term: u64) -> Point {
    let (position, term) = (Position(position), Term(term));
    Point { position, term }
}

fn vote(term: u64, voted_for: u64) -> Record {
    let (term, voted_for) = (Term(term), Some(NodeId(voted_for)));
    Record::Vote { term, voted_for }
}

/// One entry of `term` behind `prev`.
fn append(prev: Point, term: u64) -> Record {
    let batch = Batch::one(Label::default(), Bytes::from_static(b"x"));
    let term = Term(term);
    let runs = [Run { term, batch }].into_iter().collect();
    Record::Append { prev, runs }
}

/// In term 1 the member has voted for itself.
fn compacted(term: u64, base: Point) -> Record {
    let voted_for = (term == 1).then_some(NodeId(1));
    let term = Term(term);
    Record::Compacted {
        term,
        voted_for,
        base,
        configured: None,
    }
}

fn snapshot(position: u64, term: u64) -> SnapshotMeta {
    SnapshotMeta {
        position: Position(position),
        epoch: Term(term).epoch(),
        bytes: 1,
        checksum: 1,
    }
}

fn restore(
    first: u64,
    records: &[Record],
    snapshot: Option<SnapshotMeta>,
) -> Result<Raft, RestoreError> {
    let marks = (first..).map(Mark);
    let memory = Memory {
        records: &mut marks.zip(records.iter().cloned()),
        durable: Mark(first + records.len() as u64 - 1),
        snapshot,
        configuration: None,
    };
    Raft::restore(config(), Instant::ZERO, memory)
}

fn config() -> RaftConfig {
    RaftConfig::new(NodeId(1), &[NodeId(1), NodeId(2), NodeId(3)])
}

fn refusal(first: u64, records: &[Record]) -> &'static str {
    match restore(first, records, None) {
        Err(RestoreError::Contradiction { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_memory_is_a_first_start() {
    let status = restore(1, &[], None).unwrap().status();
    assert_eq!((status.last, status.epoch.round), (Position::ZERO, 0));
}

#[test]
fn records_that_contradict_one_another_are_refused() {
    let start = point(0, 0);
    let cases: [(&[Record], &str); 6] = [
        (&[vote(2, 1), vote(1, 1)], "the term goes back"),
        (&[vote(1, 1), vote(1, 2)], "a second vote"),
        (&[vote(1, 1), append(point(3, 1), 1)], "not there"),
        (&[vote(1, 1), append(start, 2)], "out of order"),
        (
            &[vote(2, 1), append(start, 2), append(point(1, 2), 1)],
            "out of order",
        ),
        (&[vote(1, 1), compacted(1, point(4, 1))], "never there"),
    ];
    for (records, why) in cases {
        assert!(refusal(1, records).contains(why), "{why}");
    }
}

/// `KNOWN_BUGS` B3: what is not there is not taken for term zero.
#[test]
fn a_journal_without_its_head_is_refused_unless_a_record_says_what_it_was() {
    let rest = [append(point(3, 1), 1)];
    assert!(refusal(5, &rest).contains("the beginning is missing"));
    let tail = [append(point(3, 1), 1), compacted(2, point(3, 1))];
    let raft = restore(5, &tail, Some(snapshot(3, 1))).unwrap();
    let status = raft.status();
    assert_eq!((status.compacted, status.last), (Position(3), Position(4)));
    assert_eq!(status.epoch, Term(2).epoch());
}

#[test]
fn a_gap_between_marks_is_refused() {
    let records = [(Mark(1), vote(1, 1)), (Mark(3), vote(2, 1))];
    let memory = Memory {
        records: &mut records.into_iter(),
        durable: Mark(3),
        snapshot: None,
        configuration: None,
    };
    let refused = Raft::restore(config(), Instant::ZERO, memory).unwrap_err();
    assert!(refused.to_string().contains("marks do not rise by one"));
}

/// `RELIABILITY` C8: never start empty when the log begins later.
#[test]
fn a_log_that_begins_behind_every_snapshot_is_refused() {
    let records = [
        vote(1, 1),
        append(point(0, 0), 1),
        compacted(1, point(1, 1)),
    ];
    let missing = RestoreError::MissingSnapshot {
        compacted: Position(1),
        snapshot: Position(0),
    };
    assert_eq!(restore(1, &records, None).unwrap_err(), missing);
    restore(1, &records, Some(snapshot(1, 1))).unwrap();
    let other = restore(1, &records, Some(snapshot(1, 2))).unwrap_err();
    assert!(other.to_string().contains("another term"));
}

#[test]
fn an_impossible_config_is_refused() {
    let memory = Memory {
        records: &mut std::iter::empty(),
        durable: Mark::ZERO,
        snapshot: None,
        configuration: None,
    };
    let nobody = RaftConfig::new(NodeId(1), &[]);
    let refused = Raft::restore(nobody, Instant::ZERO, memory).unwrap_err();
    assert_eq!(refused, RestoreError::Config("no voter"));
}
