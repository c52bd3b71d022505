//! Snapshots on their way from one member to another, when senders fall silent and newer ones are taken.

use bytes::Bytes;
use quorate_core::{
    Batch, Configuration, Effect, Epoch, Event, Label, NodeId, Parcel, Position, SnapshotMeta,
};

use crate::support::{Bench, Order, foreign};

const CHUNK: u64 = 1000;

fn snapshot(position: u64) -> SnapshotMeta {
    SnapshotMeta {
        position: Position(position),
        epoch: Epoch::default(),
        bytes: 3 * CHUNK,
        checksum: 0,
    }
}

/// One of four, that fetches snapshot 9 which 2 has offered.
fn fetching() -> Bench {
    let mut bench = Bench::with(|config| config.chunk_bytes = CHUNK as u32);
    let four = Configuration::founding(&[1, 2, 3, 4].map(NodeId), &[]);
    bench.order(Order::Members(four));
    bench.order(Order::Offer(snapshot(9)));
    let (snapshot, upto) = (snapshot(9), 0);
    bench.event(Event::Received { snapshot, upto });
    bench
}

/// Who was asked for which piece since the last look.
fn asked(bench: &mut Bench) -> Vec<(u64, u64)> {
    let asked = bench.out.drain(..).filter_map(|effect| match effect {
        Effect::Send {
            to,
            parcel: Parcel::ChunkRequest { offset, .. },
        } => Some((to.0, offset / CHUNK)),
        _ => None,
    });
    asked.collect()
}

/// Piece `number` of snapshot 9 comes from `from`; none: it does not have it.
fn piece(bench: &mut Bench, from: u64, number: Option<u64>) {
    let data = || Batch::one(Label::default(), Bytes::from(vec![7; CHUNK as usize]));
    let parcel = Parcel::Chunk {
        snapshot: snapshot(9),
        offset: number.unwrap_or(0) * CHUNK,
        data: number.map(|_| data()),
    };
    bench.receive(from, parcel);
    if let Some(number) = number {
        let (snapshot, upto) = (snapshot(9), (number + 1) * CHUNK);
        bench.event(Event::Received { snapshot, upto });
    }
}

#[test]
fn a_fetch_goes_on_where_it_stands_with_another_member_that_has_the_same_snapshot() {
    let mut bench = fetching();
    assert_eq!(asked(&mut bench), [(2, 0), (2, 1), (2, 2)]);
    piece(&mut bench, 2, Some(0));
    bench.out.clear();
    // 2 falls silent: it is asked twice more, then 3, which lacks it, then 4.
    bench.after(150).after(150);
    assert_eq!(asked(&mut bench), [(2, 1), (2, 2), (2, 1), (2, 2)]);
    bench.after(150);
    assert_eq!(asked(&mut bench), [(3, 1), (3, 2)]);
    piece(&mut bench, 3, None);
    assert_eq!(asked(&mut bench), [(4, 1), (4, 2)]);
    piece(&mut bench, 4, Some(1));
    // Who offers it again is not asked as long as another sends.
    bench.order(Order::Offer(snapshot(9)));
    bench.after(150);
    assert_eq!(asked(&mut bench), [(4, 2)], "the last piece was lost");
    bench.order(Order::Offer(snapshot(9))).after(1);
    assert_eq!(asked(&mut bench), [], "it was asked for just now");
    bench.after(150);
    assert_eq!(
        asked(&mut bench),
        [(2, 2)],
        "4 is silent, and 2 is there again"
    );
    piece(&mut bench, 2, Some(2));
    let (snapshot, open) = (snapshot(9), bench.replica.deadline());
    bench.event(Event::Fetched { snapshot });
    assert_eq!(
        (bench.seen().pop().as_deref(), open),
        (Some("Load 9"), None)
    );
}

#[test]
fn a_snapshot_that_nobody_has_any_more_is_given_up_until_one_is_offered() {
    let mut bench = fetching();
    for from in [2, 3, 4] {
        bench.out.clear();
        piece(&mut bench, from, None);
    }
    assert_eq!(asked(&mut bench), []);
    assert_eq!(bench.replica.deadline(), None);
    bench.order(Order::Offer(snapshot(11)));
    assert_eq!(bench.seen(), ["Receive 11"]);
}

#[test]
fn what_another_member_fetches_stays_with_the_log_behind_it_until_it_is_there() {
    let mut bench = Bench::with(|config| config.snapshot_every_bytes = 1);
    bench.order(Order::Lead(1));
    let mut number = 0;
    // Each applies one more command, and takes a snapshot. What is held, and up to where the log forgets.
    let mut next = |bench: &mut Bench| {
        bench.order(Order::Commit(foreign(2, number, &[b"a"])));
        number += 1;
        let held = bench.out.drain(..).find_map(|effect| match effect {
            Effect::TakeSnapshot { held, .. } => Some(held),
            _ => None,
        });
        let snapshot = snapshot(number);
        bench.event(Event::SnapshotStored { snapshot });
        let forgotten = bench.replica.log().compacted().unwrap_or_default();
        (held.expect("one is due"), forgotten.0)
    };
    assert_eq!(next(&mut bench), (vec![], 0));
    assert_eq!(next(&mut bench), (vec![], 1));
    let request = Parcel::ChunkRequest {
        snapshot: snapshot(2),
        offset: 0,
        length: 10,
    };
    bench.receive(3, request);
    assert_eq!(next(&mut bench), (vec![snapshot(2)], 2));
    assert_eq!(next(&mut bench), (vec![snapshot(2)], 2));
    bench.after(30_000);
    assert_eq!(next(&mut bench), (vec![snapshot(2)], 2));
    bench.order(Order::Matched(2));
    assert_eq!(next(&mut bench), (vec![snapshot(2)], 5));
    assert_eq!(next(&mut bench), (vec![], 6));
}

#[test]
fn the_log_is_not_held_for_a_snapshot_that_is_not_here_any_more() {
    let mut bench = Bench::with(|config| config.snapshot_every_bytes = 1);
    bench.order(Order::Lead(1));
    for number in 0..3 {
        bench.order(Order::Commit(foreign(2, number, &[b"a"])));
        let snapshot = snapshot(number + 1);
        bench.event(Event::SnapshotStored { snapshot });
    }
    // The offer of the first came late: it is gone.
    let (to, gone, offset) = (NodeId(3), snapshot(1), 0);
    let request = Parcel::ChunkRequest {
        snapshot: gone,
        offset,
        length: 10,
    };
    bench.receive(3, request);
    bench.order(Order::Commit(foreign(2, 3, &[b"a"])));
    let snapshot = snapshot(4);
    bench.event(Event::SnapshotStored { snapshot });
    let forgotten = |bench: &Bench| bench.replica.log().compacted().map(|at| at.0);
    assert_eq!(
        forgotten(&bench),
        Some(1),
        "nobody knows yet that it is gone"
    );
    bench.event(Event::ChunkRead {
        to,
        snapshot: gone,
        offset,
        data: None,
    });
    assert_eq!(
        forgotten(&bench),
        Some(3),
        "else the log would offer it again for ever"
    );
}
