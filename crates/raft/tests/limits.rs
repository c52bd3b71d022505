//! Everything is bounded, and what is beyond the bound is refused by name (law 7).
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use bytes::Bytes;
use quorate_core::{
    Batch, Input, Instant, Label, Mark, Memory, NodeId, Outbox, Output, Position, Rejection,
    ReplicatedLog, SnapshotMeta, Ticket,
};
use quorate_raft::{Append, Message, Point, Raft, RaftConfig, Run, Term};

/// A leader of two, whose follower answers only where a test makes it.
struct Leader {
    raft: Raft,
    now: Instant,
    written: Mark,
}

impl Leader {
    /// One that has not stood for election: a follower so far.
    fn silent(change: impl FnOnce(&mut RaftConfig)) -> Self {
        let mut config = RaftConfig::new(NodeId(1), &[NodeId(1), NodeId(2)]);
        change(&mut config);
        let memory = Memory {
            records: &mut std::iter::empty(),
            durable: Mark::ZERO,
            snapshot: None,
            configuration: None,
        };
        let raft = Raft::restore(config, Instant::ZERO, memory).unwrap();
        let now = raft.deadline().unwrap();
        let written = Mark::ZERO;
        Self { raft, now, written }
    }

    fn new(change: impl FnOnce(&mut RaftConfig)) -> Self {
        let mut leader = Self::silent(change);
        leader.step(Input::Tick);
        leader.hear(Message::PreVoteReply {
            term: Term(0),
            campaign: Term(1),
            granted: true,
        });
        leader.sync();
        leader.hear(Message::VoteReply {
            term: Term(1),
            granted: true,
        });
        leader
    }

    fn step(&mut self, input: Input<Message>) -> Vec<Output<Message, quorate_raft::Record>> {
        let mut outbox = Outbox::new();
        self.raft.step(self.now, input, &mut outbox);
        let outputs: Vec<_> = outbox.drain().collect();
        for output in &outputs {
            if let Output::Persist { mark, .. } = output {
                self.written = *mark;
            }
        }
        outputs
    }

    fn hear(&mut self, message: Message) -> Vec<Output<Message, quorate_raft::Record>> {
        let from = NodeId(2);
        self.step(Input::Receive { from, message })
    }

    fn sync(&mut self) {
        let upto = self.written;
        self.step(Input::Durable { upto });
    }

    /// The follower has everything up to `position`.
    fn confirm(&mut self, position: u64) -> Vec<Output<Message, quorate_raft::Record>> {
        self.sync();
        let (verified, matched) = (Position(position), Position(position));
        self.hear(Message::Accepted {
            term: Term(1),
            verified,
            matched,
        })
    }

    /// Proposes one command of so many bytes; the rejection, if any.
    fn propose(&mut self, bytes: usize) -> Option<Rejection> {
        let batch = Batch::one(Label::default(), Bytes::from(vec![0; bytes]));
        let ticket = Ticket(1);
        rejection(&self.step(Input::Propose { ticket, batch }))
    }
}

fn rejection(outputs: &[Output<Message, quorate_raft::Record>]) -> Option<Rejection> {
    outputs.iter().find_map(|output| match output {
        Output::Reject { why, .. } => Some(*why),
        _ => None,
    })
}

fn appends(outputs: &[Output<Message, quorate_raft::Record>]) -> usize {
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
fn what_is_not_chosen_is_bounded_and_a_commit_makes_room() {
    let mut leader = Leader::new(|config| config.uncommitted_bytes_max = 4096);
    let limit = 4096;
    let huge = leader.propose(5000);
    assert!(matches!(
        huge,
        Some(Rejection::TooLarge { limit: 4096, .. })
    ));
    let taken = (0..9).find(|_| leader.propose(1000).is_some()).unwrap();
    assert_eq!(taken, limit / (1000 + 68));
    assert!(matches!(
        leader.propose(1000),
        Some(Rejection::Overloaded { .. })
    ));
    leader.confirm(4);
    assert_eq!(leader.propose(1000), None);
}

#[test]
fn the_log_is_bounded_and_compaction_makes_room() {
    let mut leader = Leader::new(|config| {
        config.uncommitted_bytes_max = 4096;
        config.log_bytes_max = 8192;
    });
    let mut last = 1;
    while leader.propose(1000).is_none() {
        last += 1;
        leader.confirm(last);
    }
    assert!(leader.raft.status().bytes <= 8192);
    let snapshot = SnapshotMeta {
        position: Position(last),
        epoch: Term(1).epoch(),
        bytes: 1,
        checksum: 1,
    };
    let upto = Position(last);
    leader.step(Input::Compact { upto, snapshot });
    assert_eq!(leader.raft.status().bytes, 0);
    assert_eq!(leader.propose(1000), None);
}

#[test]
fn a_log_that_would_stay_full_forgets_all_that_its_snapshot_covers() {
    let mut leader = Leader::new(|config| {
        config.uncommitted_bytes_max = 4096;
        config.log_bytes_max = 8192;
    });
    let mut last = 1;
    while leader.propose(1000).is_none() {
        last += 1;
        leader.confirm(last);
    }
    let snapshot = SnapshotMeta {
        position: Position(last),
        epoch: Term(1).epoch(),
        bytes: 1,
        checksum: 1,
    };
    let upto = Position::ZERO;
    leader.step(Input::Compact { upto, snapshot });
    assert_eq!(leader.raft.status().compacted, Position(last));
    assert_eq!(leader.propose(1000), None);
}

#[test]
fn waiting_reads_are_bounded() {
    let mut leader = Leader::new(|config| config.reads_max = 3);
    let ticket = Ticket(1);
    for _ in 0..3 {
        assert_eq!(rejection(&leader.step(Input::Read { ticket })), None);
    }
    let refused = rejection(&leader.step(Input::Read { ticket }));
    assert!(matches!(refused, Some(Rejection::Overloaded { .. })));
}

#[test]
fn what_is_on_its_way_is_bounded_in_messages_and_in_bytes() {
    let mut leader = Leader::new(|config| config.window.messages = 2);
    leader.confirm(1);
    let sent: Vec<_> = (0..4).map(|_| leader.propose_and_count(10)).collect();
    assert_eq!(sent, [1, 1, 0, 0]);
    // An answer opens the window; what waited leaves together.
    assert_eq!(appends(&leader.confirm(2)), 1);

    let mut leader = Leader::new(|config| config.window.bytes = 1000);
    leader.confirm(1);
    let sent: Vec<_> = (0..4).map(|_| leader.propose_and_count(600)).collect();
    assert_eq!(sent, [1, 1, 0, 0]);
}

impl Leader {
    /// Appends that leave with a proposal of so many bytes.
    fn propose_and_count(&mut self, bytes: usize) -> usize {
        let batch = Batch::one(Label::default(), Bytes::from(vec![0; bytes]));
        let ticket = Ticket(1);
        appends(&self.step(Input::Propose { ticket, batch }))
    }
}

/// What a leader of `term` sends behind `prev`: entries of 1000 bytes, each with its term.
fn append(term: u64, prev: (u64, u64), commit: u64, terms: &[u64]) -> Message {
    let run = |term: &u64| Run {
        term: Term(*term),
        batch: Batch::one(Label::default(), Bytes::from(vec![0; 1000])),
    };
    Message::Append(Append {
        term: Term(term),
        prev: Point {
            position: Position(prev.0),
            term: Term(prev.1),
        },
        commit: Position(commit),
        runs: terms.iter().map(run).collect(),
    })
}

/// A follower with four entries of term 1, none of them known to be chosen, and no room for more.
fn full() -> Leader {
    let mut follower = Leader::silent(|config| {
        config.uncommitted_bytes_max = 2048;
        config.log_bytes_max = 4096;
    });
    follower.hear(append(1, (0, 0), 0, &[1; 4]));
    follower.sync();
    assert!(follower.raft.status().bytes >= 4096);
    follower
}

fn persists(outputs: &[Output<Message, quorate_raft::Record>]) -> usize {
    let is_append = |output: &&Output<_, quorate_raft::Record>| {
        matches!(
            output,
            Output::Persist {
                record: quorate_raft::Record::Append { .. },
                ..
            }
        )
    };
    outputs.iter().filter(is_append).count()
}

#[test]
fn a_full_log_takes_nothing_more_but_learns_what_of_it_is_chosen() {
    let mut follower = full();
    let outputs = follower.hear(append(2, (4, 1), 6, &[2, 2]));
    assert_eq!(persists(&outputs), 0);
    let status = follower.raft.status();
    assert_eq!((status.last, status.committed), (Position(4), Position(4)));
}

#[test]
fn a_full_log_replaces_what_its_leader_contradicts_and_grows_no_longer() {
    let mut follower = full();
    let outputs = follower.hear(append(2, (2, 1), 5, &[2, 2, 2]));
    assert_eq!(persists(&outputs), 1);
    let status = follower.raft.status();
    assert_eq!((status.last, status.committed), (Position(4), Position(4)));
    follower.sync();
    let outputs = follower.hear(append(2, (9, 2), 9, &[2]));
    let asks = |output: &Output<_, _>| {
        matches!(
            output,
            Output::Send {
                message: Message::Rejected { .. },
                ..
            }
        )
    };
    assert!(outputs.iter().any(asks), "{outputs:?}");
}

#[test]
fn without_room_on_disk_nothing_is_written_but_what_agrees_is_known_to() {
    let mut follower = full();
    follower.step(Input::Room { available: false });
    follower.hear(append(2, (0, 0), 9, &[1, 1, 2]));
    let outputs = follower.hear(Message::Heartbeat {
        term: Term(2),
        commit: Position(9),
        round: 1,
    });
    assert_eq!(persists(&outputs), 0);
    let status = follower.raft.status();
    assert_eq!((status.last, status.committed), (Position(4), Position(2)));
}
