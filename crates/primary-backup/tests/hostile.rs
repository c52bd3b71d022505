//! A broken or hostile peer: whatever it says, a member does not panic, does not take back what it committed but by
//! replacing its state, and does not grow without bound (R30).
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use quorate_core::{
    Batch, Change, Configuration, Epoch, Input, Instant, Kind, Label, Mark, Member, Memory, NodeId,
    Outbox, Output, Position, Rejection, ReplicatedLog, SnapshotMeta, Ticket, Timestamp, WriteAck,
};
use quorate_primary_backup::{
    Append, Configured, Holding, Message, Missing, Point, PrimaryBackup, PrimaryBackupConfig, Run,
    STARTS, appoint,
};

/// Numbers where arithmetic breaks, and numbers that nearly fit.
fn number() -> impl Strategy<Value = u64> {
    let edges = [
        u64::MAX,
        u64::MAX - 1,
        u64::MAX / 4,
        u64::MAX / 4 + 1,
        1 << 40,
    ];
    prop_oneof![6 => 0..8u64, 1 => proptest::sample::select(edges.to_vec()), 1 => any::<u64>()]
}

/// Mostly epochs that there can be, of few members.
fn epoch() -> impl Strategy<Value = Epoch> {
    let likely = (0..4u64, 0..2u64, 0..4u64).prop_map(|(round, start, node)| Epoch {
        round: round * STARTS + start,
        node: NodeId(node),
    });
    let wild = (number(), 0..4u64).prop_map(|(round, node)| Epoch {
        round,
        node: NodeId(node),
    });
    prop_oneof![8 => likely, 1 => wild]
}

fn position() -> impl Strategy<Value = Position> {
    number().prop_map(Position)
}

fn point() -> impl Strategy<Value = Point> {
    (position(), epoch()).prop_map(|(position, epoch)| {
        let nowhere = position == Position::ZERO;
        let epoch = if nowhere { Epoch::default() } else { epoch };
        Point { position, epoch }
    })
}

/// Some of four members, with a vote or without, or on the way from some to others.
fn configuration() -> impl Strategy<Value = Configuration> {
    (1..16u8, 0..16u8, proptest::option::of(1..16u8)).prop_map(|(voters, learners, next)| {
        let ids = |set: u8| (1..5u64).filter(move |id| set >> (id - 1) & 1 == 1);
        let simple = |voters: u8| {
            let learners = learners & !voters;
            let voters: Vec<_> = ids(voters).map(NodeId).collect();
            let learners: Vec<_> = ids(learners).map(NodeId).collect();
            Configuration::founding(&voters, &learners)
        };
        let before = simple(voters);
        let joint = next.and_then(|next| before.joint(&simple(next)));
        joint.unwrap_or(before)
    })
}

fn change() -> impl Strategy<Value = Change> {
    let id = || (0..6u64).prop_map(NodeId);
    let standing = (id(), any::<bool>()).prop_map(|(id, votes)| {
        if votes {
            Member::voter(id, "")
        } else {
            Member::learner(id, "")
        }
    });
    let members = proptest::collection::vec(standing, 0..5);
    prop_oneof![
        2 => id().prop_map(|id| Change::Add(Member::learner(id, ""))),
        2 => id().prop_map(Change::Promote),
        1 => id().prop_map(Change::Demote),
        2 => id().prop_map(Change::Remove),
        1 => (id(), id()).prop_map(|(old, new)| Change::Replace { old, new }),
        1 => (id(), any::<u8>()).prop_map(|(id, priority)| Change::Prefer(id, priority)),
        2 => members.prop_map(Change::Set),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    let command = number().prop_map(|sequence| {
        let label = Label {
            sequence,
            ..Label::default()
        };
        Batch::one(label, Bytes::from_static(b"x"))
    });
    let batch = prop_oneof![
        3 => command,
        2 => Just(Batch::noop(Timestamp::ZERO)),
        2 => configuration().prop_map(|members| Batch::configuration(&members)),
        1 => Just(Batch::one(Label::default(), "no members".into()).of_kind(Kind::Configuration)),
    ];
    (epoch(), batch).prop_map(|(epoch, batch)| Run { epoch, batch })
}

fn configured() -> impl Strategy<Value = Option<Configured>> {
    let known = (position(), configuration());
    let known = known.prop_map(|(at, configuration)| Configured { at, configuration });
    proptest::option::of(known)
}

fn holding() -> impl Strategy<Value = Holding> {
    let void = proptest::option::of(position());
    (position(), position(), void).prop_map(|(verified, matched, void)| Holding {
        verified,
        matched,
        void,
    })
}

fn message() -> impl Strategy<Value = Message> {
    let runs = proptest::collection::vec(run(), 0..4);
    prop_oneof![
        (epoch(), point(), position(), runs).prop_map(|(epoch, prev, commit, runs)| {
            let runs = runs.into_iter().collect();
            Message::Append(Append {
                epoch,
                prev,
                commit,
                runs,
            })
        }),
        (epoch(), position(), position(), number()).prop_map(|(epoch, commit, last, round)| {
            Message::Heartbeat {
                epoch,
                commit,
                last,
                round,
            }
        }),
        (epoch(), position()).prop_map(|(epoch, commit)| Message::Commit { epoch, commit }),
        (epoch(), point(), any::<bool>(), configured()).prop_map(
            |(epoch, last, lost, configured)| {
                let meta = snapshot(last);
                Message::Snapshot {
                    epoch,
                    meta,
                    lost,
                    configured,
                }
            }
        ),
        (epoch(), point()).prop_map(|(epoch, last)| Message::Handover { epoch, last }),
        (epoch(), holding()).prop_map(|(epoch, holding)| Message::Accepted { epoch, holding }),
        (epoch(), position(), point(), position(), position()).prop_map(
            |(epoch, prev, hint, base, floor)| {
                Message::Missing(Missing {
                    epoch,
                    prev,
                    hint,
                    base,
                    floor,
                })
            }
        ),
        (epoch(), number(), holding()).prop_map(|(epoch, round, holding)| {
            Message::HeartbeatReply {
                epoch,
                round,
                holding,
            }
        }),
        epoch().prop_map(|epoch| Message::Inquire { epoch }),
        epoch().prop_map(|epoch| Message::Fence { epoch }),
        (epoch(), epoch(), point()).prop_map(|(epoch, asked, last)| Message::Position {
            epoch,
            asked,
            last
        }),
        epoch().prop_map(|epoch| Message::NewEpoch { epoch }),
    ]
}

fn snapshot(last: Point) -> SnapshotMeta {
    SnapshotMeta {
        position: last.position,
        epoch: last.epoch,
        bytes: 1,
        checksum: 1,
    }
}

#[derive(Clone, Debug)]
enum Event {
    Message(u64, Message),
    Wait(u64),
    Sync,
    Propose,
    Read,
    Promote(Option<u64>, bool),
    Change(Change),
    Transfer(Option<u64>),
    Compact(u64),
    Fetched,
}

fn event() -> impl Strategy<Value = Event> {
    let round = proptest::option::of(number());
    prop_oneof![
        // Mostly from whom the epoch says.
        9 => message().prop_map(|message| Event::Message(message.epoch().node.get(), message)),
        6 => (1..5u64, message()).prop_map(|(from, message)| Event::Message(from, message)),
        3 => (0..700u64).prop_map(Event::Wait),
        4 => Just(Event::Sync),
        2 => Just(Event::Propose),
        1 => Just(Event::Read),
        1 => (round, any::<bool>()).prop_map(|(round, force)| Event::Promote(round, force)),
        1 => change().prop_map(Event::Change),
        1 => proptest::option::of(0..6u64).prop_map(Event::Transfer),
        1 => (0..8u64).prop_map(Event::Compact),
        1 => Just(Event::Fetched),
    ]
}

struct Victim {
    log: PrimaryBackup,
    now: Instant,
    written: Mark,
    offered: Option<SnapshotMeta>,
    state: Point,
}

impl Victim {
    fn new(write_ack: WriteAck) -> Self {
        let mut config = PrimaryBackupConfig::new(NodeId(1), &[NodeId(1), NodeId(2), NodeId(3)]);
        config.write_ack = write_ack;
        let memory = Memory {
            records: &mut std::iter::empty(),
            durable: Mark::ZERO,
            snapshot: None,
            configuration: None,
        };
        Self {
            log: PrimaryBackup::restore(config, Instant::ZERO, memory).unwrap(),
            now: Instant::ZERO,
            written: Mark::ZERO,
            offered: None,
            state: Point::START,
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
            Event::Promote(round, force) => Input::Promote {
                ticket,
                round,
                force,
            },
            Event::Change(change) => Input::Reconfigure { ticket, change },
            Event::Transfer(to) => Input::Transfer {
                ticket,
                to: to.map(NodeId),
            },
            Event::Compact(back) => {
                let upto = Position(self.state.position.get().saturating_sub(back));
                let snapshot = snapshot(self.state);
                Input::Compact { upto, snapshot }
            }
            Event::Fetched => match self.offered.take() {
                Some(snapshot) => Input::Fetched { snapshot },
                None => return,
            },
        };
        let mut outbox = Outbox::new();
        self.log.step(self.now, input, &mut outbox);
        outbox.drain().for_each(|output| self.take(output));
    }

    fn take(&mut self, output: Output<Message, quorate_primary_backup::Record>) {
        match output {
            Output::Persist { mark, .. } => {
                assert_eq!(mark, self.written.next());
                self.written = mark;
            }
            Output::Commit(run) => {
                assert_eq!(
                    run.first,
                    self.state.position.next(),
                    "no gap, nothing taken back"
                );
                let (position, epoch) = (run.last(), run.epoch);
                self.state = Point { position, epoch };
            }
            Output::Install { snapshot } => {
                assert!(
                    snapshot.position > self.state.position,
                    "a state leads ahead"
                );
                self.state = snapshot.into();
            }
            Output::Fetch { snapshot, .. } => self.offered = Some(snapshot),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 512,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_message_makes_a_member_panic(
        level in proptest::sample::select(WriteAck::EVERY.to_vec()),
        events in proptest::collection::vec(event(), 1..150),
    ) {
        let mut victim = Victim::new(level);
        let mut epoch = Epoch::default();
        for event in events {
            victim.suffer(event);
            let status = victim.log.status();
            prop_assert!(status.compacted <= status.committed && status.committed <= status.last);
            prop_assert!(status.epoch >= epoch, "epochs never go back");
            prop_assert!(status.configured <= status.last);
            prop_assert!(victim.log.configuration().is_sane());
            epoch = status.epoch;
        }
    }
}

#[test]
fn absurd_messages_are_counted_and_the_answers_of_strangers_are_not_even_heard() {
    let mut victim = Victim::new(WriteAck::Quorum);
    let fence = |node| Message::Fence {
        epoch: Epoch {
            round: u64::MAX,
            node: NodeId(node),
        },
    };
    let (epoch, holding) = (appoint(7, NodeId(9)).unwrap(), Holding::default());
    for answer in [
        Message::Accepted { epoch, holding },
        Message::NewEpoch { epoch },
    ] {
        victim.suffer(Event::Message(9, answer));
    }
    assert_eq!(victim.log.anomalies(), 0);
    victim.suffer(Event::Message(9, fence(9)));
    victim.suffer(Event::Message(2, fence(2)));
    assert_eq!(victim.log.anomalies(), 2);
    assert_eq!(victim.log.status().epoch, Epoch::default());
}

/// An epoch belongs to the member that it names.
#[test]
fn nobody_is_primary_in_the_name_of_another() {
    let mut victim = Victim::new(WriteAck::Quorum);
    let epoch = appoint(5, NodeId(2)).unwrap();
    let heartbeat = Message::Heartbeat {
        epoch,
        commit: Position::ZERO,
        last: Position::ZERO,
        round: 0,
    };
    victim.suffer(Event::Message(3, heartbeat.clone()));
    victim.suffer(Event::Sync);
    assert_eq!(victim.log.anomalies(), 1);
    assert_eq!(victim.log.status().leader, None);
    victim.suffer(Event::Message(2, heartbeat));
    victim.suffer(Event::Sync);
    assert_eq!(victim.log.status().leader, Some(NodeId(2)));
}

/// Whoever follows a stranger follows the log that says who the members are; what is none is refused.
#[test]
fn a_configuration_that_nobody_can_have_written_is_not_taken() {
    let mut victim = Victim::new(WriteAck::Quorum);
    let epoch = appoint(2, NodeId(4)).unwrap();
    let three = Configuration::founding(&[2, 3, 4].map(NodeId), &[]);
    let append = |batch: Batch| {
        let runs = [Run { epoch, batch }].into_iter().collect();
        Message::Append(Append {
            epoch,
            prev: Point::START,
            commit: Position::ZERO,
            runs,
        })
    };
    let kind = Kind::Configuration;
    let nonsense = Batch::one(Label::default(), "members".into()).of_kind(kind);
    let mut twice = quorate_core::BatchBuilder::new();
    twice.push(b"");
    twice.push(&Batch::configuration(&three).body());
    let twice = twice.finish(Label::default()).unwrap().of_kind(kind);
    for (known, batch) in [nonsense, twice].into_iter().enumerate() {
        victim.suffer(Event::Message(4, append(batch)));
        assert_eq!(victim.log.anomalies(), known as u64 + 1);
    }
    let at = Position(1);
    let offer = |at, configuration| Message::Snapshot {
        epoch,
        meta: snapshot(Point {
            position: Position(5),
            epoch,
        }),
        lost: false,
        configured: Some(Configured { at, configuration }),
    };
    victim.suffer(Event::Message(4, offer(Position(6), three.clone())));
    victim.suffer(Event::Message(4, offer(at, Configuration::default())));
    assert_eq!(victim.log.anomalies(), 4);
    assert_eq!(victim.log.status().last, Position::ZERO);
    victim.suffer(Event::Message(4, append(Batch::configuration(&three))));
    victim.suffer(Event::Sync);
    assert_eq!(victim.log.anomalies(), 4);
    assert_eq!(victim.log.configuration(), &three);
    assert_eq!(victim.log.status().leader, Some(NodeId(4)));
}

/// Members change by an order to the primary, not by what clients propose.
#[test]
fn a_configuration_is_not_proposed_like_a_command() {
    let mut victim = Victim::new(WriteAck::One);
    victim.suffer(Event::Wait(0));
    victim.suffer(Event::Sync);
    let alone = Configuration::founding(&[NodeId(1)], &[]);
    let (ticket, batch) = (Ticket(1), Batch::configuration(&alone));
    let mut outbox = Outbox::new();
    let proposal = Input::Propose { ticket, batch };
    victim.log.step(victim.now, proposal, &mut outbox);
    let outputs: Vec<_> = outbox.drain().collect();
    let why = Rejection::Unsupported;
    assert!(matches!(outputs[..], [Output::Reject { why: w, .. }] if w == why));
    assert_eq!(victim.log.status().configured, Position::ZERO);
}

/// Who says to have had a trillion entries more than the primary does not make it fill its log.
#[test]
fn a_log_is_not_padded_on_an_absurd_word() {
    let mut victim = Victim::new(WriteAck::One);
    victim.suffer(Event::Wait(0));
    victim.suffer(Event::Sync);
    let before = victim.log.status();
    let epoch = before.epoch;
    let void = |position| {
        let holding = Holding {
            verified: Position(1),
            matched: Position(1),
            void: Some(Position(position)),
        };
        Message::Accepted { epoch, holding }
    };
    victim.suffer(Event::Message(2, void(1 << 41)));
    victim.suffer(Event::Wait(60));
    assert_eq!(victim.log.anomalies(), 1);
    assert_eq!(victim.log.status().last, before.last);
    victim.suffer(Event::Message(2, void(100)));
    victim.suffer(Event::Wait(60));
    assert_eq!(victim.log.status().last, Position(101));
}
