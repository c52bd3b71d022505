//! Whatever a peer says, however large its numbers: a member goes on, and what it cannot be told it counts.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use bytes::Bytes;
use proptest::prelude::*;
use quorate_core::{
    Batch, BatchBuilder, Epoch, Input, Instant, Label, Mark, Memory, NodeId, Outbox, Output,
    Position, ReplicatedLog, SnapshotMeta, Ticket, Timestamp, decode,
};
use quorate_paxos::{Accepted, Ballot, Message, Paxos, PaxosConfig, Promise, Value, Vote};

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

fn value() -> impl Strategy<Value = Value> {
    (ballot(), batch()).prop_map(|(born, batch)| Value { born, batch })
}

fn snapshot() -> impl Strategy<Value = SnapshotMeta> {
    (position(), ballot()).prop_map(|(position, born)| SnapshotMeta {
        position,
        epoch: Epoch {
            round: born.round,
            node: born.node,
        },
        bytes: 1,
        checksum: 2,
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
        (ballot(), position()).prop_map(|(ballot, at)| Message::Prepare { ballot, at }),
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
        (ballot(), snapshot()).prop_map(|(ballot, meta)| Message::Snapshot { ballot, meta }),
        (ballot(), prop::option::of(ballot())).prop_map(|(promised, follows)| {
            let hears = (1..4).map(NodeId).collect();
            Message::Gossip {
                promised,
                hears,
                follows,
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
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (2..4u64, message(), any::<bool>()).prop_map(|(from, message, own)| Event::Said(from, message, own)),
        3 => Just(Event::Time),
        3 => Just(Event::Disk),
        1 => Just(Event::Propose),
        1 => Just(Event::Read),
        1 => Just(Event::Fetched),
    ]
}

/// The same message, in a ballot that its sender may use.
fn owned(mut message: Message, from: u64) -> Message {
    match &mut message {
        Message::Prepare { ballot, .. }
        | Message::Accept { ballot, .. }
        | Message::Chosen { ballot, .. }
        | Message::Heartbeat { ballot, .. }
        | Message::Snapshot { ballot, .. } => ballot.node = NodeId(from),
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
    fn nothing_that_is_said_stops_a_member(events in prop::collection::vec(event(), 1..60)) {
        let ids = [1, 2, 3].map(NodeId);
        let memory = Memory { records: &mut [].into_iter(), durable: Mark::ZERO, snapshot: None, configuration: None };
        let mut now = Instant::ZERO;
        let mut paxos = Paxos::restore(PaxosConfig::new(ids[0], &ids), now, memory).unwrap();
        let (mut written, mut offered) = (Mark::ZERO, None);
        for event in events {
            let input = match event {
                Event::Said(from, message, own) => Input::Receive {
                    from: NodeId(from),
                    message: if own { owned(message, from) } else { message },
                },
                Event::Time => {
                    now = now.max(paxos.deadline().unwrap());
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
    };
    let from = NodeId(2);
    paxos.step(
        Instant::ZERO,
        Input::Receive { from, message },
        &mut Outbox::new(),
    );
    assert_eq!(paxos.anomalies(), 1, "a ballot of another");
}
