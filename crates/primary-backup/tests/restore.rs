//! What a member makes of what its journal holds: it starts, or it says why it must not.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use bytes::Bytes;
use quorate_core::{
    Batch, Configuration, Epoch, Instant, Kind, Label, Mark, Memory, NodeId, Position,
    ReplicatedLog, RestoreError, RoleKind, SnapshotMeta,
};
use quorate_primary_backup::{
    Configured, Point, PrimaryBackup, PrimaryBackupConfig, Record, Run, Standing, appoint,
};

fn epoch(round: u64) -> Epoch {
    appoint(round, NodeId(2)).unwrap()
}

fn point(position: u64, round: u64) -> Point {
    if round == 0 {
        return Point::START;
    }
    let (position, epoch) = (Position(position), epoch(round));
    Point { position, epoch }
}

fn standing(round: u64) -> Standing {
    let (epoch, appointed) = (epoch(round), false);
    Standing { epoch, appointed }
}

fn agreed(round: u64) -> Record {
    Record::Epoch(standing(round))
}

/// One entry of `round` behind `prev`.
fn append(prev: Point, round: u64) -> Record {
    entry(
        prev,
        round,
        Batch::one(Label::default(), Bytes::from_static(b"x")),
    )
}

fn entry(prev: Point, round: u64, batch: Batch) -> Record {
    let epoch = epoch(round);
    let runs = [Run { epoch, batch }].into_iter().collect();
    Record::Append { prev, runs }
}

fn compacted(round: u64, base: Point) -> Record {
    Record::Compacted {
        standing: standing(round),
        base,
        configured: None,
    }
}

fn snapshot(position: u64, round: u64) -> SnapshotMeta {
    SnapshotMeta {
        position: Position(position),
        epoch: epoch(round),
        bytes: 1,
        checksum: 1,
    }
}

/// Two of these vote; the others follow.
fn members(learners: u64) -> Configuration {
    let learners: Vec<_> = (3..3 + learners).map(NodeId).collect();
    Configuration::founding(&[1, 2].map(NodeId), &learners)
}

/// The entry of `round` behind `prev` says who the members are.
fn configure(prev: Point, round: u64, learners: u64) -> Record {
    entry(prev, round, Batch::configuration(&members(learners)))
}

fn restore(
    first: u64,
    records: &[Record],
    snapshot: Option<SnapshotMeta>,
) -> Result<PrimaryBackup, RestoreError> {
    restore_with(first, records, snapshot.map(|snapshot| (snapshot, None)))
}

fn restore_with(
    first: u64,
    records: &[Record],
    state: Option<(SnapshotMeta, Option<(Position, Configuration)>)>,
) -> Result<PrimaryBackup, RestoreError> {
    let (snapshot, configuration) = state.unzip();
    let marks = (first..).map(Mark);
    let memory = Memory {
        records: &mut marks.zip(records.iter().cloned()),
        durable: Mark(first + records.len() as u64 - 1),
        snapshot,
        configuration: configuration.flatten(),
    };
    PrimaryBackup::restore(config(), Instant::ZERO, memory)
}

/// Member 1, never primary by itself.
fn config() -> PrimaryBackupConfig {
    let mut config = PrimaryBackupConfig::new(NodeId(1), &[NodeId(1), NodeId(2), NodeId(3)]);
    config.primary = NodeId(3);
    config
}

fn refusal(first: u64, records: &[Record]) -> &'static str {
    match restore(first, records, None) {
        Err(RestoreError::Contradiction { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_memory_is_a_first_start() {
    let log = restore(1, &[], None).unwrap();
    let status = log.status();
    assert_eq!(
        (status.last, status.epoch),
        (Position::ZERO, Epoch::default())
    );
    assert_eq!(log.deadline(), None, "it waits to be spoken to");
}

#[test]
fn the_first_primary_and_whoever_was_primary_go_on_at_once() {
    let memory = |records| Memory {
        records,
        durable: Mark::ZERO,
        snapshot: None,
        configuration: None,
    };
    let mut first = config();
    first.primary = NodeId(1);
    let nothing = &mut std::iter::empty();
    let log = PrimaryBackup::restore(first, Instant::ZERO, memory(nothing)).unwrap();
    assert_eq!(log.deadline(), Some(Instant::ZERO));
    let mine = |appointed| {
        let epoch = appoint(4, NodeId(1)).unwrap();
        Record::Epoch(Standing { epoch, appointed })
    };
    let log = restore(1, &[mine(true)], None).unwrap();
    assert_eq!(log.deadline(), Some(Instant::ZERO));
    // A promotion that was not finished is not.
    assert_eq!(restore(1, &[mine(false)], None).unwrap().deadline(), None);
}

#[test]
fn records_that_contradict_one_another_are_refused() {
    let foreign = Record::Epoch(Standing {
        appointed: true,
        ..standing(1)
    });
    let nobody = Batch::one(Label::default(), "nobody".into()).of_kind(Kind::Configuration);
    let later = Record::Installed {
        standing: standing(1),
        base: point(4, 1),
        configured: Some(Configured {
            at: Position(5),
            configuration: members(0),
        }),
    };
    let cases: [(&[Record], &str); 9] = [
        (&[agreed(2), agreed(1)], "the epoch goes back"),
        (&[foreign.clone(), agreed(1)], "taken back"),
        (&[foreign], "of another member"),
        (&[agreed(1), append(point(3, 1), 1)], "not there"),
        (&[agreed(1), append(Point::START, 2)], "out of order"),
        (
            &[agreed(2), append(Point::START, 2), append(point(1, 2), 1)],
            "out of order",
        ),
        (&[agreed(1), compacted(1, point(4, 1))], "never there"),
        (
            &[agreed(1), entry(Point::START, 1, nobody)],
            "no log can have",
        ),
        (&[agreed(1), later], "no log can have"),
    ];
    for (records, why) in cases {
        assert!(refusal(1, records).contains(why), "{why}");
    }
}

/// `KNOWN_BUGS` B3: what is not there is not taken for nothing.
#[test]
fn a_journal_without_its_head_is_refused_unless_a_record_says_what_it_was() {
    let rest = [append(point(3, 1), 1)];
    assert!(refusal(5, &rest).contains("the beginning is missing"));
    let tail = [append(point(3, 1), 1), compacted(2, point(3, 1))];
    let log = restore(5, &tail, Some(snapshot(3, 1))).unwrap();
    let status = log.status();
    assert_eq!((status.compacted, status.last), (Position(3), Position(4)));
    assert_eq!(status.epoch, epoch(2));
}

/// `RELIABILITY` C8: never start empty when the log begins later.
#[test]
fn a_log_that_begins_behind_every_snapshot_is_refused() {
    let records = [
        agreed(1),
        append(Point::START, 1),
        compacted(1, point(1, 1)),
    ];
    let missing = RestoreError::MissingSnapshot {
        compacted: Position(1),
        snapshot: Position(0),
    };
    assert_eq!(restore(1, &records, None).unwrap_err(), missing);
    restore(1, &records, Some(snapshot(1, 1))).unwrap();
}

/// A snapshot and a log that do not fit: whichever is of the later epoch is right, and a log that a snapshot continues
/// is continued.
#[test]
fn a_snapshot_that_the_log_has_left_behind_makes_the_state_void() {
    let records = [
        agreed(2),
        append(Point::START, 1),
        append(point(1, 1), 2),
        append(point(2, 2), 2),
    ];
    let start = |position, round| {
        let log = restore(1, &records, Some(snapshot(position, round))).unwrap();
        (
            log.is_void(),
            log.status().last.get(),
            log.status().committed.get(),
        )
    };
    assert_eq!(start(1, 1), (false, 3, 1), "the log has it");
    assert_eq!(start(3, 1), (true, 3, 0), "the log was cut since");
    assert_eq!(start(9, 1), (true, 3, 0), "likewise, far beyond");
    assert_eq!(
        start(9, 2),
        (false, 9, 9),
        "memory was ahead of the journal"
    );
    assert_eq!(start(2, 3), (false, 2, 2), "a later primary's");
}

fn known(log: &PrimaryBackup) -> (u64, usize) {
    let members = log.configuration().members().len();
    (log.status().configured.get(), members)
}

/// The last configuration in the log is in force, whatever a snapshot of an earlier place says, and with a cut the one
/// before comes back.
#[test]
fn the_last_configuration_in_the_log_is_in_force_again() {
    let written = [
        agreed(2),
        configure(Point::START, 1, 1),
        append(point(1, 1), 1),
        configure(point(2, 1), 1, 2),
    ];
    assert_eq!(known(&restore(1, &[], None).unwrap()), (0, 3), "the config");
    assert_eq!(known(&restore(1, &written, None).unwrap()), (3, 4));
    let early = Some((snapshot(2, 1), Some((Position(1), members(1)))));
    assert_eq!(known(&restore_with(1, &written, early).unwrap()), (3, 4));
    let cut = [&written[..], &[append(point(2, 1), 2)]].concat();
    assert_eq!(known(&restore(1, &cut, None).unwrap()), (1, 3));
    let cut = [&written[..], &[append(Point::START, 2)]].concat();
    assert_eq!(known(&restore(1, &cut, None).unwrap()), (0, 3));
}

/// Where the log has forgotten the entry, its record says what it said; also for a cut back to there.
#[test]
fn what_a_log_has_forgotten_its_records_say() {
    let forgotten = |learners| Record::Compacted {
        standing: standing(2),
        base: point(2, 1),
        configured: Some(Configured {
            at: Position(1),
            configuration: members(learners),
        }),
    };
    let records = [
        append(point(1, 1), 1),
        configure(point(2, 1), 1, 2),
        forgotten(1),
    ];
    let state = |position, round, learners| {
        let meta = snapshot(position, round);
        let at = if learners == 1 { 1 } else { 3 };
        Some((meta, Some((Position(at), members(learners)))))
    };
    let log = restore_with(5, &records, state(3, 1, 2)).unwrap();
    assert_eq!(known(&log), (3, 4));
    let cut = [&records[..], &[append(point(2, 1), 2)]].concat();
    let log = restore_with(5, &cut, state(2, 1, 1)).unwrap();
    assert_eq!(known(&log), (1, 3));
    // A state that the log was cut below says what is lost.
    let log = restore_with(5, &cut, state(3, 1, 2)).unwrap();
    assert!(log.is_void());
    assert_eq!(known(&log), (1, 3));
}

/// A snapshot that is newer than the log says who the members are; that it says nothing means that the config still counts.
#[test]
fn a_snapshot_ahead_of_the_log_says_who_the_members_are() {
    let records = [agreed(2), configure(Point::START, 1, 1)];
    let ahead = |configured| Some((snapshot(9, 2), configured));
    let told = Some((Position(7), members(2)));
    let log = restore_with(1, &records, ahead(told)).unwrap();
    assert_eq!(known(&log), (7, 4));
    let log = restore_with(1, &records, ahead(None)).unwrap();
    assert_eq!(known(&log), (0, 3));
}

/// Who joins later is started with the present voters and itself as a learner, and goes by that until its log says
/// otherwise.
#[test]
fn a_member_without_a_vote_is_a_learner_and_never_begins_by_itself() {
    let mut config = config();
    (config.id, config.learners) = (NodeId(4), vec![NodeId(4)]);
    let memory = Memory {
        records: &mut std::iter::empty(),
        durable: Mark::ZERO,
        snapshot: None,
        configuration: None,
    };
    let log = PrimaryBackup::restore(config, Instant::ZERO, memory).unwrap();
    assert_eq!(log.status().role, RoleKind::Learner);
    assert_eq!(log.deadline(), None);
    assert_eq!(log.configuration().to_string(), "1 2 3 +4");
    assert!(log.peers().is_empty());
}

#[test]
fn an_impossible_config_is_refused() {
    let memory = Memory {
        records: &mut std::iter::empty(),
        durable: Mark::ZERO,
        snapshot: None,
        configuration: None,
    };
    let nobody = PrimaryBackupConfig::new(NodeId(1), &[]);
    let refused = PrimaryBackup::restore(nobody, Instant::ZERO, memory).unwrap_err();
    assert_eq!(refused, RestoreError::Config("no voter"));
}
