//! Sessions over a scripted log: applied once, answered as often as asked, wherever that is.

use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    Batch, Effect, Epoch, Kind, Label, Life, NodeId, Position, Restored, SessionCall, SessionId,
    SnapshotMeta, SnapshotSource, Timestamp,
};

use crate::support::{Bench, Order};

/// A leader with a session at position 1, and no more.
fn opened() -> Bench {
    opened_by().0
}

/// The same, and what opened it.
fn opened_by() -> (Bench, Batch) {
    let mut bench = Bench::new();
    bench.order(Order::Lead(1));
    bench.call(1, SessionCall::open(Duration::from_secs(10)), b"");
    let batch = bench.handed().remove(0).2;
    bench.order(Order::Commit(batch.clone()));
    assert_eq!(bench.seen(), ["Opened 1: 1"]);
    (bench, batch)
}

const fn numbered(session: u64, sequence: u64, received: u64) -> SessionCall {
    SessionCall::Apply {
        session: SessionId(session),
        sequence,
        received,
    }
}

/// What another member, or the same one in another life, makes of a call.
fn foreign_call(number: u64, call: SessionCall, command: &[u8]) -> Batch {
    let label = Label {
        origin: NodeId(2),
        life: Life(5),
        sequence: number,
        time: Timestamp(0),
    };
    Batch::one(label, call.before(command).into()).of_kind(Kind::Session)
}

#[test]
fn a_command_that_is_sent_again_through_another_member_is_applied_once_and_answered_each_time() {
    let mut bench = opened();
    bench.call(2, numbered(1, 1, 0), b"a");
    let batch = bench.handed().remove(0).2;
    // The client gave up on member 2 before, whose attempt comes late.
    bench.order(Order::Commit(foreign_call(0, numbered(1, 1, 0), b"a")));
    assert_eq!(bench.seen(), [""; 0], "that client waits elsewhere");
    assert_eq!(
        bench.order(Order::Commit(batch)).seen(),
        ["Reply 2 at 2: 1"]
    );
    assert_eq!(bench.replica.machine().lines, [(5000, b"a".to_vec())]);
    assert_eq!(
        bench.call(3, numbered(1, 1, 0), b"a").seen(),
        ["Reply 3 at 2: 1"],
        "known here: no need to ask anybody"
    );
}

#[test]
fn what_a_client_has_received_is_forgotten_and_an_error_when_it_is_asked_for_again() {
    let mut bench = opened();
    bench.order(Order::Commit(foreign_call(0, numbered(1, 1, 0), b"a")));
    bench.order(Order::Commit(foreign_call(1, numbered(1, 2, 1), b"b")));
    bench.call(2, numbered(1, 1, 0), b"a");
    let batch = bench.handed().remove(0).2;
    assert_eq!(
        bench.order(Order::Commit(batch)).seen(),
        ["Fail 2: the reply under this number is not kept any more"]
    );
    assert_eq!(bench.replica.machine().lines.len(), 2);
}

#[test]
fn a_session_ends_in_the_log_also_when_nobody_calls_and_by_no_clock_of_a_member() {
    let (mut bench, opening) = opened_by();
    let mut follower = Bench::new();
    follower.order(Order::Commit(opening));
    let mut noops = Vec::new();
    for _ in 0..200 {
        follower.after(100);
        noops.extend(bench.after(100).handed());
    }
    assert_eq!(
        bench.replica.digest(),
        follower.replica.digest(),
        "only the log ends it"
    );
    let (_, _, noop) = &noops[0];
    assert!(noop.is_noop() && noop.label().time >= Timestamp(15_000));
    bench.order(Order::Commit(noop.clone()));
    bench.call(2, numbered(1, 1, 0), b"a");
    let batch = bench.handed().remove(0).2;
    assert_eq!(
        bench.order(Order::Commit(batch)).seen(),
        ["Fail 2: no such session: it has expired, was closed, or never was"]
    );
    assert!(bench.replica.machine().lines.is_empty());
    follower.order(Order::Commit(noop.clone()));
    follower.order(Order::Commit(
        foreign_call(1, numbered(1, 1, 0), b"a").stamped(Timestamp(0)),
    ));
    assert!(
        follower.replica.machine().lines.is_empty(),
        "likewise there"
    );
}

#[test]
fn a_closed_session_is_one_no_more() {
    let mut bench = opened();
    let close = SessionCall::Close {
        session: SessionId(1),
    };
    for (ticket, answer) in [(2, "Closed 2"), (3, "Fail 3: no such session")] {
        bench.call(ticket, close, b"");
        let batch = bench.handed().remove(0).2;
        let seen = bench.order(Order::Commit(batch)).seen();
        assert!(seen[0].starts_with(answer), "{seen:?}");
    }
}

#[test]
fn commands_within_sessions_and_without_keep_their_order_in_batches_of_their_own() {
    let mut bench = opened();
    let clock = bench.clock;
    for (ticket, command) in (10..).zip(["a", "b", "c", "d", "e"]) {
        let (ticket, command) = (ticket.into(), Bytes::from(command));
        if command == "a" || command == "e" {
            bench.replica.submit(clock, ticket, command, &mut bench.out);
        } else {
            let call = numbered(1, ticket.0, 0);
            bench
                .replica
                .call(clock, ticket, call, command, &mut bench.out);
        }
    }
    let handed = bench.turn().handed();
    let kinds: Vec<_> = handed
        .iter()
        .map(|(_, _, batch)| (batch.kind(), batch.len()))
        .collect();
    assert_eq!(
        kinds,
        [(Kind::Commands, 1), (Kind::Session, 3), (Kind::Commands, 1)]
    );
    for (_, _, batch) in handed {
        bench.order(Order::Commit(batch));
    }
    let lines = &bench.replica.machine().lines;
    let lines: Vec<_> = lines.iter().map(|(_, line)| &line[..]).collect();
    assert_eq!(lines, [b"a", b"b", b"c", b"d", b"e"]);
    assert_eq!(bench.replica.open(), (0, 0, 0));
}

#[test]
fn a_large_command_of_a_session_is_one_too() {
    let mut bench = opened();
    let large = Bytes::from(vec![b'x'; 20_000]);
    let clock = bench.clock;
    bench.replica.call(
        clock,
        2.into(),
        numbered(1, 1, 0),
        large.clone(),
        &mut bench.out,
    );
    let batch = bench.turn().handed().remove(0).2;
    assert_eq!(
        bench.order(Order::Commit(batch)).seen(),
        ["Reply 2 at 2: 1"]
    );
    assert_eq!(bench.replica.machine().lines[0].1, large);
    assert_eq!(bench.replica.open(), (0, 0, 0));
}

#[test]
fn the_table_is_part_of_snapshots_and_digests() {
    let mut bench = opened();
    let without = bench.replica.digest();
    bench.order(Order::Want(2));
    bench.order(Order::Commit(foreign_call(0, numbered(1, 1, 0), b"a")));
    let Some(Effect::TakeSnapshot {
        mut image,
        position,
        ..
    }) = bench.out.pop()
    else {
        panic!("a snapshot is wanted")
    };
    let stream: Vec<u8> = std::iter::from_fn(|| image.next_chunk(1))
        .flatten()
        .collect();
    let meta = SnapshotMeta {
        position,
        epoch: Epoch::default(),
        bytes: stream.len() as u64,
        checksum: 0,
    };
    let read =
        |bytes: &[u8]| Restored::read(meta, &mut std::iter::once(Bytes::copy_from_slice(bytes)));
    let mut other = Bench::from_snapshot(read(&stream).unwrap());
    assert_eq!(other.replica.digest(), bench.replica.digest());
    assert_ne!(other.replica.digest(), without);
    assert_eq!(
        other.call(9, numbered(1, 1, 0), b"a").seen(),
        ["Reply 9 at 2: 1"],
        "answered by a member that never applied it"
    );
    other.order(Order::Commit(foreign_call(1, numbered(1, 1, 0), b"a")));
    assert_eq!(other.replica.applied(), Position(3));
    assert_eq!(
        other.replica.machine().lines.len(),
        1,
        "nor applies it again"
    );
    for length in 0..stream.len() {
        // What is cut between two chunks of the state machine is its checksum's matter: here one of one byte.
        assert!(read(&stream[..length]).is_err() || length == stream.len() - 5);
    }
}
