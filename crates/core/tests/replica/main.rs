//! The replica over a log whose every move is scripted: what it promises clients whatever the log does.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod fetching;
mod health;
mod overload;
mod reads;
mod scroll;
mod sessions;
mod support;
mod wishes;

use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    Batch, Effect, Epoch, Event, Label, Life, NodeId, Parcel, Position, Rejection, ReplicaConfig,
    Report, Restored, SnapshotMeta, SnapshotSource, Ticket, Timestamp,
};

use scroll::Scroll;
use support::{Bench, Order, foreign};

#[test]
fn a_command_that_is_committed_twice_is_applied_and_answered_once() {
    let mut bench = Bench::new();
    bench.order(Order::Lead(1)).submit(7, b"a");
    let [(_, _, batch)] = &bench.handed()[..] else {
        panic!("one proposal")
    };
    let batch = batch.clone();
    assert_eq!(
        bench.order(Order::Commit(batch.clone())).seen(),
        ["Reply 7 at 1: 1"]
    );
    assert!(bench.order(Order::Commit(batch)).seen().is_empty());
    assert_eq!(bench.replica.machine().lines, [(5000, b"a".to_vec())]);
    assert_eq!(
        (bench.replica.applied(), bench.replica.open()),
        (Position(2), (0, 0, 0))
    );
}

#[test]
fn of_a_batch_of_which_a_part_was_applied_the_rest_is() {
    let mut bench = Bench::new();
    let whole = foreign(2, 0, &[b"a", b"b", b"c"]);
    bench
        .order(Order::Commit(whole.slice(1, 2)))
        .order(Order::Commit(whole));
    let lines: Vec<_> = bench
        .replica
        .machine()
        .lines
        .iter()
        .map(|line| &line.1[..])
        .collect();
    assert_eq!(lines, [b"b", b"a", b"c"]);
}

#[test]
fn what_waits_goes_to_the_next_leader_and_ends_as_unknown_if_time_runs_out() {
    let mut bench = Bench::new();
    bench.submit(7, b"a");
    assert!(bench.handed().is_empty(), "nobody leads");
    let first = bench.order(Order::Follow(1, 2)).handed();
    let second = bench.order(Order::Follow(2, 3)).handed();
    assert_eq!((first[0].0, second[0].0), (2, 3));
    assert_eq!(
        first[0].2, second[0].2,
        "the same numbers: it is applied once"
    );
    assert!(first[0].1 < second[0].1, "attempts rise");
    assert_eq!(
        bench.after(150).handed().len(),
        1,
        "not heard for long: handed over again"
    );
    assert!(bench.after(100).handed().is_empty(), "patience doubles");
    let failed = bench.after(1000).seen();
    assert!(
        failed[0].starts_with("Fail 7: it is not known"),
        "{failed:?}"
    );
}

#[test]
fn what_no_leader_took_surely_was_not_applied() {
    let mut bench = Bench::new();
    bench.submit(7, b"a");
    assert_eq!(
        bench.after(1000).seen(),
        ["Fail 7: no leader took the request in time"]
    );
    bench.order(Order::Follow(1, 2)).submit(8, b"b");
    let attempt = bench.handed()[0].1;
    let why = Rejection::NotLeader {
        leader: None,
        epoch: Epoch::default(),
    };
    bench.receive(2, Parcel::Refused { attempt, why });
    assert_eq!(
        bench.after(40).handed().len(),
        0,
        "no ping-pong with one who does not lead"
    );
    let again = bench.after(20).handed();
    assert_eq!(again.len(), 1);
    bench.receive(
        2,
        Parcel::Refused {
            attempt: again[0].1,
            why,
        },
    );
    bench.seen();
    assert_eq!(
        bench.after(1000).seen(),
        ["Fail 8: no leader took the request in time"]
    );
}

#[test]
fn a_refusal_fails_the_request_only_if_no_other_attempt_may_have_succeeded() {
    let overloaded = Rejection::Overloaded {
        retry_after: Duration::from_millis(1),
    };
    let mut bench = Bench::new();
    bench.order(Order::Follow(1, 2)).submit(7, b"a");
    let attempt = bench.handed()[0].1;
    let seen = bench
        .receive(
            2,
            Parcel::Refused {
                attempt,
                why: overloaded,
            },
        )
        .seen();
    assert!(seen[0].starts_with("Fail 7: overloaded"), "{seen:?}");

    bench.submit(8, b"b").handed();
    let attempt = bench.order(Order::Follow(2, 3)).handed()[0].1;
    let seen = bench
        .receive(
            3,
            Parcel::Refused {
                attempt,
                why: overloaded,
            },
        )
        .seen();
    assert!(
        seen.is_empty(),
        "the first attempt may yet be committed: {seen:?}"
    );
    assert_eq!(bench.after(60).handed().len(), 1, "so it is tried again");
}

#[test]
fn any_number_of_refusals_is_borne() {
    let overloaded = Rejection::Overloaded {
        retry_after: Duration::ZERO,
    };
    let mut bench = Bench::with(|config| config.request_timeout = Duration::from_hours(1));
    bench.order(Order::Follow(1, 2)).submit(7, b"a").handed();
    let mut attempt = bench.order(Order::Follow(2, 3)).handed()[0].1;
    for _ in 0..200 {
        let why = overloaded;
        bench.receive(3, Parcel::Refused { attempt, why });
        attempt = bench.after(60).handed()[0].1;
    }
}

#[test]
fn a_forward_counts_once_and_only_in_the_epoch_it_was_meant_for() {
    let forward = |round, attempt| Parcel::Forward {
        epoch: Epoch {
            round,
            node: NodeId(0),
        },
        attempt,
        batch: foreign(2, 0, &[b"a"]),
    };
    let mut bench = Bench::new();
    bench.order(Order::Lead(3));
    assert!(bench.receive(2, forward(2, 1)).seen()[0].contains("Refused { attempt: 1"));
    assert_eq!(bench.receive(2, forward(3, 2)).handed().len(), 1);
    assert!(
        bench.receive(2, forward(3, 2)).seen().is_empty(),
        "repeated"
    );
    assert!(bench.receive(2, forward(3, 1)).seen().is_empty(), "late");
    let overloaded = Rejection::Overloaded {
        retry_after: Duration::ZERO,
    };
    bench
        .order(Order::Refuse(overloaded))
        .receive(2, forward(3, 3));
    assert!(bench.seen()[0].contains("Refused { attempt: 3"));
    assert!(
        bench.receive(2, forward(3, 3)).seen().is_empty(),
        "a refusal is final"
    );
}

#[test]
fn what_a_former_life_may_have_taken_is_neither_taken_again_nor_refused() {
    let forward = |round, attempt| Parcel::Forward {
        epoch: Epoch {
            round,
            node: NodeId(0),
        },
        attempt,
        batch: foreign(2, 0, &[b"a"]),
    };
    let mut bench = Bench::again(ReplicaConfig::new(NodeId(1), Life(Bench::LIFE)), 3);
    // The former life led epoch 3; this is the double of a parcel that it took.
    assert!(bench.receive(2, forward(3, 1)).seen().is_empty());
    bench.order(Order::Lead(4));
    assert!(bench.receive(2, forward(3, 2)).seen().is_empty());
    assert_eq!(bench.receive(2, forward(4, 3)).handed().len(), 1);
}

#[test]
fn a_linearizable_read_waits_for_the_position_that_the_leader_names() {
    let mut bench = Bench::new();
    bench.order(Order::Follow(1, 2)).read(4);
    let seen = bench.seen();
    let round = Bench::LIFE + 1;
    assert_eq!(
        seen,
        [format!(
            "Send to 2: ReadAt {{ round: {round}, lease: false }}"
        )]
    );
    let late = Parcel::ReadFrom {
        round: round - 1,
        leased: false,
        answer: Ok(Position(0)),
    };
    assert!(
        bench.receive(2, late).seen().is_empty(),
        "an answer to a former life"
    );
    let answer = Parcel::ReadFrom {
        round,
        leased: false,
        answer: Ok(Position(2)),
    };
    assert!(bench.receive(2, answer).seen().is_empty());
    assert!(
        bench
            .order(Order::Commit(foreign(2, 0, &[b"a"])))
            .seen()
            .is_empty()
    );
    assert_eq!(
        bench.order(Order::Commit(foreign(2, 1, &[b"b"]))).seen(),
        ["Read 4: linearizable at 2, 0ns behind"]
    );
}

#[test]
fn the_deadline_never_stays_in_the_past() {
    let mut bench = Bench::new();
    bench.order(Order::Follow(1, 2)).submit(1, b"a").read(2);
    bench.order(Order::Follow(2, 0));
    for _ in 0..30 {
        bench.after(50);
        let deadline = bench.replica.deadline();
        assert!(
            deadline.is_none_or(|at| at > bench.clock.now),
            "{deadline:?}"
        );
    }
    assert_eq!(bench.replica.open(), (0, 0, 0), "both have expired");
}

#[test]
fn budgets_refuse_what_exceeds_them() {
    let mut bench = Bench::with(|config| {
        (config.command_bytes_max, config.pending_max) = (4, 1);
    });
    assert_eq!(
        bench.submit(1, b"12345").seen(),
        ["Fail 1: request of 5 bytes over the limit of 4"]
    );
    assert!(bench.submit(2, b"1").seen().is_empty());
    assert!(bench.submit(3, b"1").seen()[0].starts_with("Fail 3: overloaded"));
    let mut out = Vec::new();
    bench.replica.abandon(&mut out);
    assert_eq!(format!("{out:?}"), "[Fail 2: the member has stopped]");
}

#[test]
fn a_member_without_room_refuses_commands_at_once() {
    let mut bench = Bench::new();
    bench
        .order(Order::Follow(1, 2))
        .event(Event::Room { available: false });
    assert_eq!(bench.submit(1, b"a").seen(), ["Fail 1: no room on disk"]);
    bench.event(Event::Room { available: true });
    assert_eq!(bench.submit(2, b"a").handed().len(), 1);
}

#[test]
fn log_time_goes_on_when_something_is_due_and_never_back() {
    let mut bench = Bench::new();
    bench.order(Order::Lead(1)).submit(1, b"a");
    let batch = bench.handed().remove(0).2;
    bench
        .order(Order::Commit(batch.stamped(Timestamp(9000))))
        .seen();
    bench.order(Order::Commit(
        foreign(2, 0, &[b"b"]).stamped(Timestamp(8000)),
    ));
    assert_eq!(bench.replica.machine().lines[1].0, 9000);
    assert_eq!(bench.replica.machine().time, 9000);
}

/// A member whose state may hold what is lost does not answer for the leader, whatever position it has applied.
#[test]
fn a_linearizable_read_waits_until_the_state_is_known_to_be_that_of_the_leaders_log() {
    let mut bench = Bench::new();
    bench.order(Order::Commit(foreign(2, 0, &[b"a"])));
    bench
        .order(Order::Doubt(true))
        .order(Order::Follow(1, 2))
        .read(4);
    let round = Bench::LIFE + 1;
    bench.seen();
    let answer = Parcel::ReadFrom {
        round,
        leased: false,
        answer: Ok(Position(1)),
    };
    assert!(bench.receive(2, answer).seen().is_empty());
    assert_eq!(
        bench.order(Order::Doubt(false)).seen(),
        ["Read 4: linearizable at 1, 0ns behind"]
    );
}

#[test]
fn an_operator_hears_of_a_promotion_under_the_name_that_was_given() {
    let mut bench = Bench::new();
    bench.promote(77, None);
    let refused = Report::Declined {
        ticket: Ticket(77),
        why: Rejection::Unsupported,
    };
    assert_eq!(bench.seen(), [format!("{refused:?}")]);
    bench.promote(78, Some(4));
    let led = bench.seen().remove(0);
    assert!(
        led.starts_with("Promoted { ticket: Ticket(78)"),
        "one answer, under the caller's name: {led}"
    );
}

#[test]
fn a_driver_hears_of_every_configuration_also_of_one_in_the_place_of_another() {
    let mut bench = Bench::new();
    bench.order(Order::Configure(3, vec![1, 2, 3]));
    assert_eq!(bench.seen(), ["Configured 1 2 3"]);
    bench.order(Order::Configure(3, vec![1, 2, 4]));
    assert_eq!(bench.seen(), ["Configured 1 2 4"], "3 was not chosen");
    bench.order(Order::Commit(foreign(3, 0, &[b"a", b"b", b"c"])));
    bench.seen();
    bench.order(Order::Configure(3, vec![1, 2, 5]));
    assert_eq!(bench.seen(), ["Configured 1 2 5"], "it was lost");
    bench.order(Order::Configure(0, vec![1, 2]));
    assert_eq!(bench.seen(), ["Configured 1 2"], "rolled back");
}

#[test]
fn a_snapshot_that_the_log_wants_is_taken_when_the_state_reaches_it_and_compacts_nothing() {
    let mut bench = Bench::new();
    bench.order(Order::Want(3));
    bench.order(Order::Commit(foreign(2, 0, &[b"a", b"b"])));
    assert_eq!(bench.seen(), [""; 0], "not there yet");
    bench.order(Order::Commit(foreign(2, 2, &[b"c"])));
    assert_eq!(bench.seen(), ["TakeSnapshot 3@0"]);
    let snapshot = SnapshotMeta {
        position: Position(3),
        epoch: Epoch::default(),
        bytes: 1,
        checksum: 1,
    };
    bench.order(Order::Want(3));
    assert_eq!(bench.seen(), [""; 0], "one is being taken");
    bench.event(Event::SnapshotStored { snapshot });
    assert_eq!(bench.replica.log().compacted(), Some(Position::ZERO));
    bench.order(Order::Want(3));
    assert_eq!(bench.seen(), [""; 0], "it is there");
}

#[test]
fn a_snapshot_that_could_not_be_written_is_tried_again_though_nothing_more_is_applied() {
    let mut bench = Bench::with(|config| config.snapshot_every_bytes = 1);
    bench.order(Order::Commit(foreign(2, 0, &[b"a"])));
    assert_eq!(bench.seen(), ["TakeSnapshot 1@0"]);
    bench.event(Event::SnapshotFailed);
    assert_eq!(bench.seen(), [""; 0], "not at once");
    let again = bench.replica.deadline().expect("there is something to do");
    assert_eq!(again.since(bench.clock.now), Duration::from_millis(100));
    assert_eq!(bench.after(99).seen(), [""; 0], "not yet");
    assert_eq!(bench.after(1).seen(), ["TakeSnapshot 1@0"]);
}

#[test]
fn a_snapshot_carries_the_state_and_what_was_applied_once() {
    let mut bench = Bench::with(|config| config.snapshot_every_bytes = 1);
    bench.order(Order::Commit(foreign(2, 0, &[b"a", b"b"])));
    let Some(Effect::TakeSnapshot {
        mut image,
        position,
        ..
    }) = bench.out.pop()
    else {
        panic!("a snapshot is due")
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

    let mut other = Bench::new();
    other.order(Order::Offer(meta));
    assert_eq!(other.seen(), [format!("Receive {position}")]);
    other.event(Event::Received {
        snapshot: meta,
        upto: 0,
    });
    let chunk = |offset: usize, data: &[u8]| Parcel::Chunk {
        snapshot: meta,
        offset: offset as u64,
        data: Some(Batch::one(Label::default(), Bytes::copy_from_slice(data))),
    };
    other.seen();
    assert!(
        other.receive(2, chunk(3, &stream[3..])).seen().is_empty(),
        "a piece ahead of a gap"
    );
    let asked = other.after(150).seen();
    assert!(
        asked[0].contains("ChunkRequest"),
        "what is lost is asked for again: {asked:?}"
    );
    other.receive(3, Parcel::Log(Order::Offer(meta)));
    let asked = other.after(150).seen();
    assert!(
        asked[0].starts_with("Send to 3: ChunkRequest"),
        "of whoever offers it now: {asked:?}"
    );
    assert_eq!(other.receive(2, chunk(0, &stream)).seen().len(), 1);
    assert_eq!(
        other.event(Event::Fetched { snapshot: meta }).seen(),
        [format!("Load {position}")]
    );
    // Pieces of any size: here of three bytes.
    let mut pieces = stream.chunks(3).map(Bytes::copy_from_slice);
    let restored = Restored::read(meta, &mut pieces).unwrap();
    other.replica.loaded(restored, &mut other.out);
    assert_eq!(other.replica.applied(), position);
    assert_eq!(other.replica.digest(), bench.replica.digest());
    other.order(Order::Commit(foreign(2, 1, &[b"b"])));
    assert_eq!(
        other.replica.machine().lines.len(),
        2,
        "applied before the snapshot, so not again"
    );
    for length in 0..stream.len() {
        let mut cut = std::iter::once(Bytes::copy_from_slice(&stream[..length]));
        // A stream that ends between two frames is a shorter state; its checksum is the store's matter.
        if let Ok(restored) = Restored::<Scroll>::read(meta, &mut cut) {
            assert_eq!(restored.snapshot(), Some(meta));
        }
    }
}
