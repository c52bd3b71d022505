//! A broken or hostile peer: whatever it says, a member does not panic, does not lose what it chose, and does not grow
//! without bound (R30).
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use quorate_core::{
    Batch, Change, Configuration, Epoch, Input, Instant, Kind, Label, Mark, Member, Memory, NodeId,
    Outbox, Output, Position, Rejection, ReplicatedLog, RoleKind, SnapshotMeta, Ticket, Timestamp,
};
use quorate_raft::{Append, Configured, Lease, Message, Point, Raft, RaftConfig, Run, Term};

/// Numbers where arithmetic breaks, and numbers that nearly fit.
fn number() -> impl Strategy<Value = u64> {
    let edges = [
        u64::MAX,
        u64::MAX - 1,
        u64::MAX / 2,
        u64::MAX / 2 + 1,
        u64::MAX / 4,
        u64::MAX / 4 + 1,
    ];
    prop_oneof![6 => 0..8u64, 1 => proptest::sample::select(edges.to_vec()), 1 => any::<u64>()]
}

fn term() -> impl Strategy<Value = Term> {
    number().prop_map(Term)
}

fn position() -> impl Strategy<Value = Position> {
    number().prop_map(Position)
}

fn point() -> impl Strategy<Value = Point> {
    (position(), term()).prop_map(|(position, term)| Point { position, term })
}

/// Members that follow from one another, joint or not; of some member 1 is none.
fn configuration() -> impl Strategy<Value = Configuration> {
    let half = || proptest::collection::btree_set(1..6u64, 1..4);
    (half(), half(), any::<bool>()).prop_map(|(old, new, joint)| {
        let of = |ids: BTreeSet<u64>| {
            let voters: Vec<_> = ids.into_iter().map(NodeId).collect();
            Configuration::founding(&voters, &[])
        };
        let (old, new) = (of(old), of(new));
        let between = old.joint(&new).filter(|_| joint);
        between.unwrap_or(new)
    })
}

fn run() -> impl Strategy<Value = Run> {
    (term(), number(), 0..8u64, configuration()).prop_map(|(term, sequence, kind, members)| {
        let label = Label {
            sequence,
            ..Label::default()
        };
        let command = Batch::one(label, Bytes::from_static(b"x"));
        let batch = match kind {
            0 | 1 => Batch::noop(Timestamp::ZERO),
            2 | 3 => Batch::configuration(&members),
            // It claims to name members, and does not.
            4 => command.of_kind(Kind::Configuration),
            _ => command,
        };
        Run { term, batch }
    })
}

fn configured() -> impl Strategy<Value = Option<Configured>> {
    let one = (position(), configuration())
        .prop_map(|(at, configuration)| Configured { at, configuration });
    proptest::option::of(one)
}

fn message() -> impl Strategy<Value = Message> {
    let runs = proptest::collection::vec(run(), 0..4);
    prop_oneof![
        (term(), point()).prop_map(|(term, last)| Message::PreVote { term, last }),
        (term(), term(), any::<bool>()).prop_map(|(term, campaign, granted)| {
            Message::PreVoteReply {
                term,
                campaign,
                granted,
            }
        }),
        (term(), point(), any::<bool>()).prop_map(|(term, last, transfer)| {
            Message::RequestVote {
                term,
                last,
                transfer,
            }
        }),
        (term(), point()).prop_map(|(term, last)| Message::TimeoutNow { term, last }),
        (term(), any::<bool>()).prop_map(|(term, granted)| Message::VoteReply { term, granted }),
        (term(), point(), position(), runs).prop_map(|(term, prev, commit, runs)| {
            let runs = runs.into_iter().collect();
            Message::Append(Append {
                term,
                prev,
                commit,
                runs,
            })
        }),
        (term(), position(), position()).prop_map(|(term, verified, matched)| Message::Accepted {
            term,
            verified,
            matched
        }),
        (term(), position(), point()).prop_map(|(term, prev, hint)| Message::Rejected {
            term,
            prev,
            hint
        }),
        (term(), position(), number()).prop_map(|(term, commit, round)| Message::Heartbeat {
            term,
            commit,
            round
        }),
        (term(), number(), position(), position()).prop_map(|(term, round, verified, matched)| {
            Message::HeartbeatReply {
                term,
                round,
                verified,
                matched,
            }
        }),
        (term(), position()).prop_map(|(term, commit)| Message::Commit { term, commit }),
        (term(), point(), number(), configured()).prop_map(|(term, last, node, configured)| {
            let epoch = Epoch {
                round: last.term.0,
                node: NodeId(node / 4),
            };
            let meta = SnapshotMeta {
                position: last.position,
                epoch,
                bytes: 1,
                checksum: 1,
            };
            Message::Snapshot {
                term,
                meta,
                configured,
            }
        }),
        term().prop_map(|term| Message::NewTerm { term }),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    Message(u64, Message),
    Wait(u64),
    Sync,
    Propose,
    Read,
    Reconfigure(Change),
    Transfer(Option<u64>),
    Compact(u64),
    Fetched,
}

fn change() -> impl Strategy<Value = Change> {
    let id = || (1..6u64).prop_map(NodeId);
    prop_oneof![
        id().prop_map(|id| Change::Add(Member::learner(id, ""))),
        id().prop_map(Change::Promote),
        id().prop_map(Change::Demote),
        id().prop_map(Change::Remove),
        (id(), id()).prop_map(|(old, new)| Change::Replace { old, new }),
        (id(), 0..3u8).prop_map(|(id, priority)| Change::Prefer(id, priority)),
        configuration().prop_map(|all| Change::Set(all.settled().members().to_vec())),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (1..6u64, message()).prop_map(|(from, message)| Event::Message(from, message)),
        3 => (0..700u64).prop_map(Event::Wait),
        4 => Just(Event::Sync),
        2 => Just(Event::Propose),
        1 => Just(Event::Read),
        1 => change().prop_map(Event::Reconfigure),
        1 => proptest::option::of(1..6u64).prop_map(Event::Transfer),
        1 => (0..8u64).prop_map(Event::Compact),
        1 => Just(Event::Fetched),
    ]
}

struct Victim {
    raft: Raft,
    now: Instant,
    written: Mark,
    offered: Option<SnapshotMeta>,
    chosen: Position,
    chosen_in: Epoch,
}

impl Victim {
    fn new() -> Self {
        Self::of(RaftConfig::new(NodeId(1), &[1, 2, 3].map(NodeId)))
    }

    fn of(config: RaftConfig) -> Self {
        let memory = Memory {
            records: &mut std::iter::empty(),
            durable: Mark::ZERO,
            snapshot: None,
            configuration: None,
        };
        Self {
            raft: Raft::restore(config, Instant::ZERO, memory).unwrap(),
            now: Instant::ZERO,
            written: Mark::ZERO,
            offered: None,
            chosen: Position::ZERO,
            chosen_in: Epoch::default(),
        }
    }

    fn suffer(&mut self, event: Event) {
        let upto = self.written;
        let ticket = Ticket(1);
        let input = match event {
            Event::Message(from, message) => Input::Receive {
                from: NodeId(from),
                message,
            },
            Event::Wait(ms) => {
                self.now = self.now + Duration::from_millis(ms);
                Input::Tick
            }
            Event::Sync => Input::Durable { upto },
            Event::Propose => {
                let batch = Batch::one(Label::default(), Bytes::from_static(b"mine"));
                Input::Propose { ticket, batch }
            }
            Event::Read => Input::Read { ticket },
            Event::Reconfigure(change) => Input::Reconfigure { ticket, change },
            Event::Transfer(to) => Input::Transfer {
                ticket,
                to: to.map(NodeId),
            },
            Event::Compact(back) => {
                let upto = Position(self.chosen.get().saturating_sub(back));
                let (position, epoch) = (self.chosen, self.chosen_in);
                let snapshot = SnapshotMeta {
                    position,
                    epoch,
                    bytes: 1,
                    checksum: 1,
                };
                Input::Compact { upto, snapshot }
            }
            Event::Fetched => match self.offered.take() {
                Some(snapshot) => Input::Fetched { snapshot },
                None => return,
            },
        };
        let mut outbox = Outbox::new();
        self.raft.step(self.now, input, &mut outbox);
        outbox.drain().for_each(|output| self.take(output));
    }

    fn take(&mut self, output: Output<Message, quorate_raft::Record>) {
        match output {
            Output::Persist { mark, .. } => self.written = mark,
            Output::Commit(committed) => {
                assert_eq!(
                    committed.first,
                    self.chosen.next(),
                    "no gap, nothing taken back"
                );
                (self.chosen, self.chosen_in) = (committed.last(), committed.epoch);
            }
            Output::Install { snapshot } => {
                assert!(snapshot.position > self.chosen);
                (self.chosen, self.chosen_in) = (snapshot.position, snapshot.epoch);
            }
            Output::Fetch { snapshot, .. } => self.offered = Some(snapshot),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_message_makes_a_member_panic(
        events in proptest::collection::vec(event(), 1..150),
        alone: bool,
        leased: bool,
    ) {
        let voters = if alone { 1 } else { 3 };
        let voters: Vec<_> = (1..=voters).map(NodeId).collect();
        let mut config = RaftConfig::new(NodeId(1), &voters);
        config.lease = leased.then_some(Lease { drift_ppm: 1000 });
        let mut victim = Victim::of(config);
        for event in events {
            victim.suffer(event);
            let status = victim.raft.status();
            prop_assert!(status.compacted <= status.committed && status.committed <= status.last);
            prop_assert!(status.configured <= status.last);
            prop_assert!(victim.raft.configuration().is_sane());
            let lease = victim.raft.lease(victim.now);
            prop_assert!(lease.is_none_or(|at| at == status.committed));
        }
    }
}

#[test]
fn absurd_messages_are_counted_and_strangers_are_not_even_heard() {
    let mut victim = Victim::new();
    let absurd = Message::Heartbeat {
        term: Term(u64::MAX),
        commit: Position::ZERO,
        round: 0,
    };
    victim.suffer(Event::Message(9, absurd.clone()));
    assert_eq!(victim.raft.anomalies(), 0);
    victim.suffer(Event::Message(2, absurd));
    assert_eq!(victim.raft.anomalies(), 1);
    assert_eq!(victim.raft.status().epoch, Epoch::default());
}

/// A snapshot ends at 10@5; the message begins before it, in terms that such a log cannot have behind it.
#[test]
fn an_append_that_denies_what_is_compacted_changes_nothing() {
    let mut victim = Victim::new();
    let meta = SnapshotMeta {
        position: Position(10),
        epoch: Term(5).epoch(),
        bytes: 1,
        checksum: 1,
    };
    let term = Term(6);
    let configured = None;
    let offer = Message::Snapshot {
        term,
        meta,
        configured,
    };
    victim.suffer(Event::Message(2, offer));
    victim.suffer(Event::Fetched);
    let batch = Batch::noop(Timestamp::ZERO);
    let run = Run {
        term: Term(1),
        batch,
    };
    let append = Append {
        term,
        prev: Point {
            position: Position(5),
            term: Term(1),
        },
        commit: Position::ZERO,
        runs: vec![run; 7].into_iter().collect(),
    };
    victim.suffer(Event::Message(2, Message::Append(append)));
    assert_eq!(victim.raft.anomalies(), 1);
    assert_eq!(victim.raft.status().last, Position(10));
}

/// A batch that claims to say who the members are has to say it, in one position: else the message is counted, and nothing of
/// it taken.
#[test]
fn members_that_cannot_be_are_not_taken() {
    let mut victim = Victim::new();
    let (term, commit) = (Term(1), Position::ZERO);
    let claim =
        Batch::one(Label::default(), Bytes::from_static(b"us")).of_kind(Kind::Configuration);
    let run = Run { term, batch: claim };
    let append = Append {
        term,
        prev: Point::START,
        commit,
        runs: [run].into_iter().collect(),
    };
    victim.suffer(Event::Message(2, Message::Append(append)));
    let meta = SnapshotMeta {
        position: Position(10),
        epoch: term.epoch(),
        bytes: 1,
        checksum: 1,
    };
    let offer = |at, voters: &[u64]| {
        let voters: Vec<_> = voters.iter().copied().map(NodeId).collect();
        let configuration = Configuration::founding(&voters, &[]);
        Message::Snapshot {
            term,
            meta,
            configured: Some(Configured {
                at: Position(at),
                configuration,
            }),
        }
    };
    victim.suffer(Event::Message(2, offer(11, &[1, 2])));
    victim.suffer(Event::Message(2, offer(0, &[1, 2])));
    victim.suffer(Event::Message(2, offer(9, &[])));
    assert_eq!(victim.raft.anomalies(), 4);
    victim.suffer(Event::Message(2, offer(9, &[1, 2])));
    victim.suffer(Event::Fetched);
    assert_eq!(victim.raft.status().configured, Position(9));
    assert_eq!(victim.raft.configuration().to_string(), "1 2");
}

/// Who proposes members by the way of commands does not get around the rules of changing them.
#[test]
fn members_are_changed_by_order_only() {
    let mut victim = Victim::of(RaftConfig::new(NodeId(1), &[NodeId(1)]));
    victim.suffer(Event::Wait(0));
    victim.suffer(Event::Sync);
    victim.suffer(Event::Sync);
    assert_eq!(victim.raft.status().role, RoleKind::Leader);
    let batch = Batch::configuration(&Configuration::founding(&[NodeId(2)], &[]));
    let mut outbox = Outbox::new();
    let ticket = Ticket(7);
    let input = Input::Propose { ticket, batch };
    victim.raft.step(victim.now, input, &mut outbox);
    let why = outbox.drain().find_map(|output| match output {
        Output::Reject { why, .. } => Some(why),
        _ => None,
    });
    assert_eq!(why, Some(Rejection::Unsupported));
}
