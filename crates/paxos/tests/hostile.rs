//! Whatever a peer says, however large its numbers: a member goes on, and what it cannot be told it counts.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use bytes::Bytes;
use proptest::prelude::*;
use quorate_core::{
    Batch, BatchBuilder, Change, Configuration, Epoch, Input, Instant, Kind, Label, Mark, Member,
    Memory, NodeId, Outbox, Output, Position, ReplicatedLog, SnapshotMeta, Ticket, Timestamp,
    decode,
};
use quorate_paxos::{
    Accepted, Ballot, Lease, Message, Offer, Paxos, PaxosConfig, Promise, Value, Vote,
};

const EDGES: &[u64] = &[
    0,
    1,
    3,
    1 << 24,
    (1 << 62) - 1,
    1 << 62,
    (1 << 62) + 1,
    u64::MAX - 1,
    u64::MAX,
];

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..8u64, 1 => prop::sample::select(EDGES)]
}

fn position() -> impl Strategy<Value = Position> {
    number().prop_map(Position)
}

fn ballot() -> impl Strategy<Value = Ballot> {
    (number(), prop_oneof![1..4u64, number()]).prop_map(|(round, node)| Ballot {
        round,
        node: NodeId(node),
    })
}

fn batch() -> impl Strategy<Value = Batch> {
    (1..5usize, number(), any::<bool>()).prop_map(|(count, sequence, noop)| {
        if noop {
            return Batch::noop(Timestamp(1));
        }
        let mut builder = BatchBuilder::new();
        (0..count).for_each(|n| builder.push(&[n as u8]));
        let label = Label {
            sequence,
            ..Label::default()
        };
        builder.finish(label).unwrap()
    })
}

/// Also members, well-formed or not, that follow what they may.
fn members() -> impl Strategy<Value = Batch> {
    (configuration(), number(), 0..4u8).prop_map(|(configuration, sequence, odd)| {
        let mut body = Batch::configuration(&configuration).body().to_vec();
        if odd == 0 {
            body.push(0);
        }
        let label = Label {
            sequence,
            ..Label::default()
        };
        Batch::one(label, body.into()).of_kind(Kind::Configuration)
    })
}

fn value() -> impl Strategy<Value = Value> {
    let batch = prop_oneof![4 => batch(), 1 => members()];
    (ballot(), batch).prop_map(|(born, batch)| Value { born, batch })
}

/// Members that nobody would agree on.
fn configuration() -> impl Strategy<Value = Configuration> {
    let ids = prop::collection::vec(1..6u64, 1..5);
    (ids, prop::collection::vec(1..8u64, 0..3)).prop_map(|(voters, learners)| {
        let nodes = |ids: Vec<u64>| ids.into_iter().map(NodeId).collect::<Vec<_>>();
        Configuration::founding(&nodes(voters), &nodes(learners))
    })
}

fn snapshot() -> impl Strategy<Value = Offer> {
    let configured = prop::option::of((position(), configuration()));
    (position(), ballot(), configured).prop_map(|(position, born, configuration)| Offer {
        meta: SnapshotMeta {
            position,
            epoch: Epoch {
                round: born.round,
                node: born.node,
            },
            bytes: 1,
            checksum: 2,
        },
        configuration,
    })
}

fn promise() -> impl Strategy<Value = Message> {
    let vote = (position(), ballot(), value()).prop_map(|(first, ballot, value)| Vote {
        first,
        ballot,
        value,
    });
    (
        ballot(),
        position(),
        prop::option::of(position()),
        prop::collection::vec(vote, 0..4),
        position(),
        prop::option::weighted(0.2, snapshot()),
    )
        .prop_map(|(ballot, at, next, votes, chosen, forgotten)| {
            Message::Promise(Promise {
                ballot,
                at,
                next,
                votes,
                chosen,
                forgotten,
            })
        })
}

fn accepted() -> impl Strategy<Value = Message> {
    let runs = prop::collection::vec((number(), number()), 0..4);
    (ballot(), number(), position(), runs).prop_map(|(ballot, round, chosen, taken)| {
        Message::Accepted(Accepted {
            ballot,
            round,
            chosen,
            taken: taken.into(),
        })
    })
}

fn message() -> impl Strategy<Value = Message> {
    let values = prop::collection::vec(value(), 0..4);
    prop_oneof![
        (ballot(), position(), position(), prop::option::of(ballot())).prop_map(
            |(ballot, at, configured, released)| Message::Prepare {
                ballot,
                at,
                configured,
                released,
            }
        ),
        promise(),
        (ballot(), position(), position(), values).prop_map(|(ballot, chosen, first, values)| {
            Message::Accept {
                ballot,
                chosen,
                first,
                values: values.into(),
            }
        }),
        accepted(),
        ballot().prop_map(|promised| Message::Nack { promised }),
        (ballot(), position()).prop_map(|(ballot, upto)| Message::Chosen { ballot, upto }),
        (ballot(), position(), number()).prop_map(|(ballot, chosen, round)| {
            Message::Heartbeat {
                ballot,
                chosen,
                round,
            }
        }),
        (ballot(), snapshot()).prop_map(|(ballot, offer)| Message::Snapshot { ballot, offer }),
        (ballot(), position()).prop_map(|(ballot, chosen)| Message::Bid { ballot, chosen }),
        (
            ballot(),
            position(),
            prop::option::of(ballot()),
            any::<bool>()
        )
            .prop_map(|(promised, configured, follows, answer)| {
                let hears = (1..4).map(NodeId).collect();
                Message::Gossip {
                    promised,
                    configured,
                    hears,
                    follows,
                    answer,
                }
            }),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    /// Said under the sender's own ballot if `true`: past the first check.
    Said(u64, Message, bool),
    Time,
    Disk,
    Propose,
    Read,
    Fetched,
    Change(Change),
    Transfer(Option<NodeId>),
}

fn change() -> impl Strategy<Value = Change> {
    let id = || (1..6u64).prop_map(NodeId);
    prop_oneof![
        id().prop_map(|id| Change::Add(Member::learner(id, ""))),
        id().prop_map(Change::Promote),
        id().prop_map(Change::Demote),
        id().prop_map(Change::Remove),
        (id(), any::<u8>()).prop_map(|(id, priority)| Change::Prefer(id, priority)),
        configuration().prop_map(|all| Change::Set(all.members().to_vec())),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (2..6u64, message(), any::<bool>()).prop_map(|(from, message, own)| Event::Said(from, message, own)),
        3 => Just(Event::Time),
        3 => Just(Event::Disk),
        1 => Just(Event::Propose),
        1 => Just(Event::Read),
        1 => Just(Event::Fetched),
        1 => change().prop_map(Event::Change),
        1 => prop::option::of((1..5u64).prop_map(NodeId)).prop_map(Event::Transfer),
    ]
}

/// The same message, in a ballot that its sender may use.
fn owned(mut message: Message, from: u64) -> Message {
    match &mut message {
        Message::Prepare { ballot, .. }
        | Message::Accept { ballot, .. }
        | Message::Chosen { ballot, .. }
        | Message::Heartbeat { ballot, .. }
        | Message::Snapshot { ballot, .. }
        | Message::Bid { ballot, .. } => ballot.node = NodeId(from),
        Message::Promise(Promise { ballot, .. }) | Message::Accepted(Accepted { ballot, .. }) => {
            *ballot = Ballot {
                round: 1,
                node: NodeId(1),
            };
        }
        Message::Nack { .. } | Message::Gossip { .. } => {}
    }
    message
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn nothing_that_is_said_stops_a_member(
        events in prop::collection::vec(event(), 1..60),
        leases in any::<bool>(),
    ) {
        let ids = [1, 2, 3].map(NodeId);
        let memory = Memory { records: &mut [].into_iter(), durable: Mark::ZERO, snapshot: None, configuration: None };
        let mut now = Instant::ZERO;
        let config = PaxosConfig {
            lease: leases.then_some(Lease { drift_ppm: 1000 }),
            ..PaxosConfig::new(ids[0], &ids)
        };
        let mut paxos = Paxos::restore(config, now, memory).unwrap();
        let (mut written, mut offered) = (Mark::ZERO, None);
        for event in events {
            let input = match event {
                Event::Said(from, message, own) => Input::Receive {
                    from: NodeId(from),
                    message: if own { owned(message, from) } else { message },
                },
                Event::Time => {
                    now = now.max(paxos.deadline().unwrap_or(now));
                    Input::Tick
                }
                Event::Disk => Input::Durable { upto: written },
                Event::Propose => Input::Propose {
                    ticket: Ticket(1),
                    batch: Batch::one(Label::default(), Bytes::from_static(b"x")),
                },
                Event::Read => Input::Read { ticket: Ticket(2) },
                Event::Fetched => match offered.take() {
                    Some(snapshot) => Input::Fetched { snapshot },
                    None => Input::Tick,
                },
                Event::Change(change) => Input::Reconfigure { ticket: Ticket(3), change },
                Event::Transfer(to) => Input::Transfer { ticket: Ticket(4), to },
            };
            let mut out = Outbox::new();
            paxos.step(now, input, &mut out);
            for output in out.drain() {
                match output {
                    Output::Persist { mark, .. } => written = mark,
                    Output::Fetch { snapshot, .. } => offered = Some(snapshot),
                    _ => {}
                }
            }
            let status = paxos.status();
            prop_assert!(status.compacted <= status.committed && status.committed <= status.last);
        }
    }

    #[test]
    fn no_bytes_stop_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        // Whatever it makes of them: it comes back.
        let _ = decode::<Message>(bytes.into());
    }
}

#[test]
fn what_no_member_says_is_counted() {
    let ids = [1, 2, 3].map(NodeId);
    let memory = Memory {
        records: &mut [].into_iter(),
        durable: Mark::ZERO,
        snapshot: None,
        configuration: None,
    };
    let mut paxos = Paxos::restore(PaxosConfig::new(ids[0], &ids), Instant::ZERO, memory).unwrap();
    let foreign = Ballot {
        round: 1,
        node: NodeId(3),
    };
    let message = Message::Prepare {
        ballot: foreign,
        at: Position(1),
        configured: Position::ZERO,
        released: None,
    };
    let from = NodeId(2);
    paxos.step(
        Instant::ZERO,
        Input::Receive { from, message },
        &mut Outbox::new(),
    );
    assert_eq!(paxos.anomalies(), 1, "a ballot of another");
}
