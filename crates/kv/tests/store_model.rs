//! The store against a naive model.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod model;

use bytes::Bytes;
use model::{Model, Step, chunks, chunks_of, restored, scan_all, step};
use proptest::prelude::*;
use quorate_core::{At, Position, SnapshotSource, StateMachine, Timestamp};
use quorate_kv::store::Lifetime;
use quorate_kv::{Command, KvStore, Refusal, Reply};

fn assert_same(store: &KvStore, model: &Model) {
    let here: Vec<_> = store
        .view()
        .iter()
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect();
    let there: Vec<_> = model
        .entries
        .iter()
        .map(|(key, (value, _))| (key.clone(), value.clone()))
        .collect();
    assert_eq!(here, there);
    assert_eq!(store.dbsize(), there.len() as u64);
    for (key, (value, end)) in &model.entries {
        let lifetime = end.map_or(Lifetime::Forever, |end| Lifetime::Millis(end - model.time));
        assert_eq!(store.lifetime(key), lifetime);
        assert_eq!(store.strlen(key), value.len() as u64);
    }
    let mut scanned = scan_all(store, 2);
    scanned.sort();
    let keys: Vec<_> = model.entries.keys().cloned().map(Bytes::from).collect();
    assert_eq!(scanned, keys);
    assert_eq!(store.view().keys(b"*", 1 << 20).unwrap(), keys);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_and_holds_what_the_model_does(steps in prop::collection::vec(step(), 1..80)) {
        let (mut store, mut model) = (KvStore::new(), Model::default());
        model.pass(1000);
        store.advance(Timestamp(1000));
        for (position, step) in (1..).zip(&steps) {
            match step {
                Step::Pass(millis) => {
                    model.pass(model.time + millis);
                    store.advance(Timestamp(model.time));
                }
                Step::Command(bytes) => {
                    let at = At { position: Position(position), time: Timestamp(model.time) };
                    let expected = model.apply(&Command::decode(bytes).unwrap());
                    prop_assert_eq!(store.apply(at, bytes), expected, "{:?}", Command::decode(bytes));
                }
            }
            let ends = model.entries.values().filter_map(|(_, end)| *end).min();
            prop_assert_eq!(store.wakeup(), ends.map(Timestamp));
        }
        assert_same(&store, &model);
    }

    #[test]
    fn a_restored_store_goes_on_as_the_one_it_was_taken_from(
        before in prop::collection::vec(step(), 1..40),
        after in prop::collection::vec(step(), 1..40),
        bytes_max in 1usize..600,
        cut in 1usize..50,
    ) {
        let mut time = 1000;
        let mut store = KvStore::new();
        let run = |store: &mut KvStore, steps: &[Step], mut time: u64| {
            for step in steps {
                match step {
                    Step::Pass(millis) => { time += millis; store.advance(Timestamp(time)); }
                    Step::Command(bytes) => {
                        store.apply(At { position: Position(1), time: Timestamp(time) }, bytes);
                    }
                }
            }
            time
        };
        time = run(&mut store, &before, time);
        // Taken before, read out after: it must not see what came between.
        let mut snapshot = store.snapshot();
        let digest = store.digest();
        run(&mut store, &after, time);
        let chunks: Vec<_> = std::iter::from_fn(|| snapshot.next_chunk(bytes_max)).collect();
        prop_assert!(chunks.iter().all(|chunk| !chunk.is_empty()));
        // Where the chunks end is the carrier's business.
        let stream = chunks.concat();
        let recut = stream.chunks(cut).map(Bytes::copy_from_slice).collect();
        let mut copy = restored(recut);
        prop_assert_eq!(copy.digest(), digest);
        run(&mut copy, &after, time);
        prop_assert_eq!(copy.digest(), store.digest());
        prop_assert_eq!(copy.wakeup(), store.wakeup());
        prop_assert_eq!(chunks_of(&copy), chunks_of(&store));
        prop_assert_eq!(scan_all(&copy, 1), scan_all(&store, 3));
    }

    #[test]
    fn a_damaged_stream_is_refused(
        steps in prop::collection::vec(step(), 1..30),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut store = KvStore::new();
        for step in &steps {
            if let Step::Command(bytes) = step {
                store.apply(At { position: Position(1), time: Timestamp(1000) }, bytes);
            }
        }
        let stream = chunks(&store, 1 << 20).concat();
        let restore = |stream: &[u8]| {
            KvStore::restore(&mut std::iter::once(Bytes::copy_from_slice(stream)))
        };
        let at = at.index(stream.len());
        prop_assert!(restore(&stream[..at]).is_err(), "cut at {at}");
        let mut flipped = stream.clone();
        flipped[at] ^= 1 << bit;
        prop_assert!(restore(&flipped).is_err(), "bit {bit} of byte {at}");
        prop_assert!(restore(&[&stream[..], b"x"].concat()).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_refused_and_change_nothing_but_time(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut store = KvStore::new();
        let reply = store.apply(At { position: Position(1), time: Timestamp(1) }, &bytes);
        if Command::decode(&bytes).is_none() {
            prop_assert_eq!(reply, Reply::Refused(Refusal::NotACommand));
            prop_assert_eq!(store.dbsize(), 0);
        }
        let _ = KvStore::restore(&mut std::iter::once(Bytes::from(bytes)));
    }
}
