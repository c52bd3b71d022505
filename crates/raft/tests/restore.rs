//! What a member makes of what its journal holds: it starts, or it says why it must not.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use bytes::Bytes;
use quorate_core::{
    Batch, Configuration, Instant, Label, Mark, Memory, NodeId, Position, ReplicatedLog,
    RestoreError, SnapshotMeta,
};
use quorate_raft::{Configured, Point, Raft, RaftConfig, Record, Run, Term};

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

/// Three voters become two at `at`; the append stands behind `prev`.
fn change(prev: Point, term: u64) -> Record {
    let batch = Batch::configuration(&two());
    let term = Term(term);
    let runs = [Run { term, batch }].into_iter().collect();
    Record::Append { prev, runs }
}

fn two() -> Configuration {
    Configuration::founding(&[1, 2].map(NodeId), &[])
}

/// What a record or a snapshot says of the members.
fn named(at: u64) -> Configured {
    let (at, configuration) = (Position(at), two());
    Configured { at, configuration }
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

/// `KNOWN_BUGS` B20: who the members are is found again wherever the log says it, and rolled back with it.
#[test]
fn the_last_configuration_in_the_log_is_in_force_after_a_restart() {
    let raft = restore(1, &[vote(1, 1), append(point(0, 0), 1)], None).unwrap();
    assert_eq!(raft.status().configured, Position::ZERO);
    assert_eq!(raft.configuration().to_string(), "1 2 3");
    let mut records = vec![
        vote(1, 1),
        append(point(0, 0), 1),
        change(point(1, 1), 1),
        append(point(2, 1), 1),
    ];
    let raft = restore(1, &records, None).unwrap();
    assert_eq!(raft.status().configured, Position(2));
    assert_eq!(raft.configuration().to_string(), "1 2");
    records.extend([vote(2, 2), append(point(1, 1), 2)]);
    let raft = restore(1, &records, None).unwrap();
    assert_eq!(raft.configuration().to_string(), "1 2 3", "it was cut");
}

/// Records and snapshot have to agree on who the members are.
#[test]
fn what_is_compacted_still_names_the_members() {
    let forget = |base, configured| Record::Compacted {
        term: Term(1),
        voted_for: Some(NodeId(1)),
        base,
        configured,
    };
    let log = [
        vote(1, 1),
        append(point(0, 0), 1),
        change(point(1, 1), 1),
        append(point(2, 1), 1),
    ];
    let with = |record| [&log[..], &[record]].concat();
    let whole = with(forget(point(3, 1), Some(named(2))));
    let saved = Some(snapshot(3, 1));
    let start = |first: u64, records: &[Record], named: Option<Configured>| {
        let marks = (first..).map(Mark);
        let memory = Memory {
            records: &mut marks.zip(records.iter().cloned()),
            durable: Mark(first + records.len() as u64 - 1),
            snapshot: saved,
            configuration: named.map(|one| (one.at, one.configuration)),
        };
        let raft = Raft::restore(config(), Instant::ZERO, memory);
        raft.map(|raft| raft.status().configured)
    };
    assert_eq!(start(1, &whole, Some(named(2))), Ok(Position(2)));
    // The same without its beginning.
    assert_eq!(start(8, &whole[3..], Some(named(2))), Ok(Position(2)));
    let refused = |records: &[Record], told| start(1, records, told).unwrap_err().to_string();
    for told in [None, Some(named(1))] {
        assert!(refused(&whole, told).contains("names other members"));
    }
    for record in [None, Some(named(1))] {
        let other = with(forget(point(3, 1), record));
        assert!(refused(&other, Some(named(2))).contains("named other members"));
    }
    for impossible in [Some(named(4)), Some(named(0))] {
        let other = with(forget(point(3, 1), impossible));
        assert!(refused(&other, Some(named(2))).contains("cannot be"));
    }
}

/// A crash came between the fetched snapshot and its record.
#[test]
fn a_snapshot_beyond_the_log_says_who_the_members_are() {
    let records = [vote(1, 1), append(point(0, 0), 1)];
    let memory = Memory {
        records: &mut (1..).map(Mark).zip(records),
        durable: Mark(2),
        snapshot: Some(snapshot(9, 1)),
        configuration: Some((Position(7), two())),
    };
    let raft = Raft::restore(config(), Instant::ZERO, memory).unwrap();
    assert_eq!(raft.status().configured, Position(7));
    assert_eq!(raft.configuration(), &two());
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
