//! Everything is bounded, and what is beyond the bound is refused by name (law 7).
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use bytes::Bytes;
use quorate_core::{
    Batch, Change, ChangeError, Input, Instant, Label, Mark, Memory, NodeId, Outbox, Output,
    Position, Rejection, ReplicatedLog, RoleKind, SnapshotMeta, Ticket, WriteAck,
};
use quorate_primary_backup::{
    Append, Holding, Message, Point, PrimaryBackup, PrimaryBackupConfig, Record, Run, appoint,
};

type Outputs = Vec<Output<Message, Record>>;

/// A primary of two, whose backup answers only where a test makes it.
struct Primary {
    log: PrimaryBackup,
    written: Mark,
}

impl Primary {
    fn new(write_ack: WriteAck, change: impl FnOnce(&mut PrimaryBackupConfig)) -> Self {
        let mut config = PrimaryBackupConfig::new(NodeId(1), &[NodeId(1), NodeId(2)]);
        config.write_ack = write_ack;
        change(&mut config);
        let memory = Memory {
            records: &mut std::iter::empty(),
            durable: Mark::ZERO,
            snapshot: None,
            configuration: None,
        };
        let log = PrimaryBackup::restore(config, Instant::ZERO, memory).unwrap();
        let written = Mark::ZERO;
        let mut primary = Self { log, written };
        primary.step(Input::Tick);
        primary.sync();
        let epoch = appoint(1, NodeId(1)).unwrap();
        primary.hear(Message::Position {
            epoch,
            asked: epoch,
            last: Point::START,
        });
        assert_eq!(primary.log.status().role, RoleKind::Leader);
        primary
    }

    fn step(&mut self, input: Input<Message>) -> Outputs {
        let mut outbox = Outbox::new();
        self.log.step(Instant::ZERO, input, &mut outbox);
        let outputs: Vec<_> = outbox.drain().collect();
        for output in &outputs {
            if let Output::Persist { mark, .. } = output {
                self.written = *mark;
            }
        }
        outputs
    }

    fn hear(&mut self, message: Message) -> Outputs {
        let from = NodeId(2);
        self.step(Input::Receive { from, message })
    }

    fn sync(&mut self) {
        let upto = self.written;
        self.step(Input::Durable { upto });
    }

    /// The backup has everything up to `position`.
    fn confirm(&mut self, position: u64) -> Outputs {
        self.sync();
        let (verified, matched) = (Position(position), Position(position));
        self.hear(Message::Accepted {
            epoch: self.log.status().epoch,
            holding: Holding {
                verified,
                matched,
                void: None,
            },
        })
    }

    fn send(&mut self, bytes: usize) -> Outputs {
        let batch = Batch::one(Label::default(), Bytes::from(vec![0; bytes]));
        let ticket = Ticket(1);
        self.step(Input::Propose { ticket, batch })
    }

    /// Proposes one command of so many bytes; the rejection, if any.
    fn propose(&mut self, bytes: usize) -> Option<Rejection> {
        rejection(&self.send(bytes))
    }
}

fn rejection(outputs: &Outputs) -> Option<Rejection> {
    outputs.iter().find_map(|output| match output {
        Output::Reject { why, .. } => Some(*why),
        _ => None,
    })
}

fn appends(outputs: &Outputs) -> usize {
    let is_append = |output: &&Output<_, _>| {
        matches!(
            output,
            Output::Send {
                message: Message::Append(_),
                ..
            }
        )
    };
    outputs.iter().filter(is_append).count()
}

#[test]
fn what_is_not_committed_is_bounded_and_a_commit_makes_room() {
    let mut primary = Primary::new(WriteAck::Quorum, |config| {
        config.uncommitted_bytes_max = 4096;
    });
    let huge = primary.propose(5000);
    assert!(matches!(
        huge,
        Some(Rejection::TooLarge { limit: 4096, .. })
    ));
    let taken = (0..9).find(|_| primary.propose(1000).is_some()).unwrap();
    assert_eq!(taken, 4096 / (1000 + 68));
    assert!(matches!(
        primary.propose(1000),
        Some(Rejection::Overloaded { .. })
    ));
    primary.confirm(4);
    assert_eq!(primary.propose(1000), None);
}

/// Where memory commits, nothing is ever uncommitted: what waits for the disk is bounded all the same.
#[test]
fn what_waits_for_the_own_disk_is_bounded_and_a_sync_makes_room() {
    let mut primary = Primary::new(WriteAck::None, |config| {
        config.uncommitted_bytes_max = 4096;
    });
    let taken = (0..9).find(|_| primary.propose(1000).is_some()).unwrap();
    assert_eq!(taken, (4096 - 68) / (1000 + 68));
    assert_eq!(primary.log.status().committed, primary.log.status().last);
    primary.sync();
    assert_eq!(primary.propose(1000), None);
}

#[test]
fn the_log_is_bounded_and_compaction_makes_room() {
    let mut primary = Primary::new(WriteAck::Quorum, |config| {
        config.uncommitted_bytes_max = 4096;
        config.log_bytes_max = 8192;
    });
    let mut last = 1;
    while primary.propose(1000).is_none() {
        last += 1;
        primary.confirm(last);
    }
    let status = primary.log.status();
    assert!(status.bytes <= 8192);
    let snapshot = SnapshotMeta {
        position: Position(last),
        epoch: status.epoch,
        bytes: 1,
        checksum: 1,
    };
    let upto = Position(last);
    primary.step(Input::Compact { upto, snapshot });
    assert_eq!(primary.log.status().bytes, 0);
    assert_eq!(primary.propose(1000), None);
}

#[test]
fn a_log_that_would_stay_full_forgets_all_that_its_snapshot_covers() {
    let mut primary = Primary::new(WriteAck::Quorum, |config| {
        config.uncommitted_bytes_max = 4096;
        config.log_bytes_max = 8192;
    });
    let mut last = 1;
    while primary.propose(1000).is_none() {
        last += 1;
        primary.confirm(last);
    }
    let snapshot = SnapshotMeta {
        position: Position(last),
        epoch: primary.log.status().epoch,
        bytes: 1,
        checksum: 1,
    };
    let upto = Position::ZERO;
    primary.step(Input::Compact { upto, snapshot });
    assert_eq!(primary.log.status().compacted, Position(last));
    assert_eq!(primary.propose(1000), None);
}

#[test]
fn waiting_reads_are_bounded() {
    let mut primary = Primary::new(WriteAck::Quorum, |config| config.reads_max = 3);
    let ticket = Ticket(1);
    for _ in 0..3 {
        assert_eq!(rejection(&primary.step(Input::Read { ticket })), None);
    }
    let refused = rejection(&primary.step(Input::Read { ticket }));
    assert!(matches!(refused, Some(Rejection::Overloaded { .. })));
}

#[test]
fn what_is_on_its_way_is_bounded_in_messages_and_in_bytes() {
    let mut primary = Primary::new(WriteAck::One, |config| config.window.messages = 2);
    primary.confirm(1);
    let sent: Vec<_> = (0..4).map(|_| appends(&primary.send(10))).collect();
    assert_eq!(sent, [1, 1, 0, 0]);
    // An answer opens the window; what waited leaves together.
    assert_eq!(appends(&primary.confirm(2)), 1);

    let mut primary = Primary::new(WriteAck::One, |config| config.window.bytes = 1000);
    primary.confirm(1);
    let sent: Vec<_> = (0..4).map(|_| appends(&primary.send(600))).collect();
    assert_eq!(sent, [1, 1, 0, 0]);
}

/// What a backup has committed may be lost, until it has compared its log with the present primary's.
#[test]
fn a_backup_answers_for_its_primary_only_when_it_has_checked_its_log() {
    let mut backup = Primary::new(WriteAck::One, |_| {});
    assert!(backup.log.is_sound(), "a primary's log is its own");
    backup.send(10);
    backup.sync();
    let before = backup.log.status();
    assert_eq!(before.committed, Position(2));
    let epoch = appoint(2, NodeId(2)).unwrap();
    let zero = Position::ZERO;
    backup.hear(Message::Heartbeat {
        epoch,
        commit: zero,
        last: zero,
        round: 0,
    });
    backup.sync();
    assert_eq!(backup.log.status().leader, Some(NodeId(2)));
    assert!(!backup.log.is_sound(), "it may hold what is lost");
    let prev = Point {
        position: Position(2),
        epoch: before.epoch,
    };
    backup.hear(Message::Append(Append {
        epoch,
        prev,
        commit: zero,
        runs: [].into_iter().collect(),
    }));
    assert!(backup.log.is_sound(), "the logs agree");
}

/// A change of members is what may unblock a full log: it is taken beyond every budget. There is one at a time.
#[test]
fn a_change_of_members_is_taken_by_a_log_that_is_full() {
    let mut primary = Primary::new(WriteAck::Quorum, |config| {
        config.uncommitted_bytes_max = 1024;
    });
    primary.confirm(1);
    while primary.propose(100).is_none() {}
    let ticket = Ticket(2);
    let change = Change::Remove(NodeId(2));
    let order = Input::Reconfigure { ticket, change };
    assert_eq!(rejection(&primary.step(order.clone())), None);
    assert!(primary.log.configuration().is_joint());
    let refused = Some(Rejection::Change(ChangeError::UnderWay));
    assert_eq!(rejection(&primary.step(order)), refused);
}

/// Where the others are, and when they were heard; nothing of those who do not lead.
#[test]
fn a_primary_knows_where_its_backups_are() {
    let mut primary = Primary::new(WriteAck::One, |_| {});
    primary.send(10);
    primary.confirm(2);
    let peers = primary.log.peers();
    let known: Vec<_> = peers.iter().map(|peer| (peer.id, peer.matched)).collect();
    assert_eq!(known, [(NodeId(2), Position(2))]);
    let epoch = appoint(2, NodeId(2)).unwrap();
    primary.hear(Message::Fence { epoch });
    assert!(primary.log.peers().is_empty());
}

/// What is committed by less than a quorum may be lost: it is handed to no learner as chosen.
#[test]
fn only_what_a_quorum_has_is_handed_on_as_chosen() {
    for level in WriteAck::EVERY {
        let mut primary = Primary::new(level, |_| {});
        primary.send(10);
        primary.confirm(2);
        assert_eq!(primary.log.status().committed, Position(2));
        let chosen = primary.log.chosen(Position(2), 1 << 20);
        assert_eq!(chosen.is_some(), level >= WriteAck::Quorum, "{level}");
        assert!(primary.log.held(Position(2), 1 << 20).is_some());
    }
}

/// What the primary of `round` sends behind `prev`: entries of 1000 bytes, each of its round.
fn append(round: u64, prev: (u64, u64), commit: u64, rounds: &[u64]) -> Message {
    let epoch = |round| appoint(round, NodeId(2)).unwrap();
    let run = |round: &u64| Run {
        epoch: epoch(*round),
        batch: Batch::one(Label::default(), Bytes::from(vec![0; 1000])),
    };
    let start = Point::START.epoch;
    Message::Append(Append {
        epoch: epoch(round),
        prev: Point {
            position: Position(prev.0),
            epoch: if prev.1 == 0 { start } else { epoch(prev.1) },
        },
        commit: Position(commit),
        runs: rounds.iter().map(run).collect(),
    })
}

/// A backup with four entries of round 2, none of them known to be committed, and no room for more.
fn full() -> Primary {
    let mut backup = Primary::new(WriteAck::Quorum, |config| {
        config.uncommitted_bytes_max = 2048;
        config.log_bytes_max = 4096;
    });
    backup.hear(append(2, (0, 0), 0, &[2; 4]));
    backup.sync();
    assert!(backup.log.status().bytes >= 4096);
    backup
}

fn persists(outputs: &Outputs) -> usize {
    let is_append = |output: &&Output<_, Record>| match output {
        Output::Persist { record, .. } => matches!(record, Record::Append { .. }),
        _ => false,
    };
    outputs.iter().filter(is_append).count()
}

#[test]
fn a_full_log_takes_nothing_more_but_learns_what_of_it_is_committed() {
    let mut backup = full();
    let outputs = backup.hear(append(3, (4, 2), 6, &[3, 3]));
    assert_eq!(persists(&outputs), 0);
    let status = backup.log.status();
    assert_eq!((status.last, status.committed), (Position(4), Position(4)));
}

#[test]
fn a_full_log_replaces_what_its_primary_contradicts_and_grows_no_longer() {
    let mut backup = full();
    let outputs = backup.hear(append(3, (2, 2), 5, &[3, 3, 3]));
    assert_eq!(persists(&outputs), 1);
    let status = backup.log.status();
    assert_eq!((status.last, status.committed), (Position(4), Position(4)));
    backup.sync();
    let outputs = backup.hear(append(3, (9, 3), 9, &[3]));
    let asks = |output: &Output<_, _>| match output {
        Output::Send { message, .. } => matches!(message, Message::Missing(_)),
        _ => false,
    };
    assert!(outputs.iter().any(asks), "{outputs:?}");
}

#[test]
fn without_room_on_disk_nothing_is_written_but_what_agrees_is_known_to() {
    let mut backup = full();
    backup.step(Input::Room { available: false });
    backup.hear(append(3, (0, 0), 9, &[2, 2, 3]));
    let outputs = backup.hear(Message::Heartbeat {
        epoch: appoint(3, NodeId(2)).unwrap(),
        commit: Position(9),
        last: Position(9),
        round: 1,
    });
    assert_eq!(persists(&outputs), 0);
    let status = backup.log.status();
    assert_eq!((status.last, status.committed), (Position(4), Position(2)));
}
