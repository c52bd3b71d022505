//! What the store promises beyond its replies: expiry in portions, digests, scans, snapshots.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use quorate_core::{At, Position, SnapshotSource, StateMachine, Timestamp};
use quorate_kv::store::{Expiry, Lifetime, Only, OnlyExpiry, Raw, Since};
use quorate_kv::{Command, KvStore, Refusal, Reply};

fn chunks(store: &KvStore, bytes_max: usize) -> Vec<Bytes> {
    let mut snapshot = store.snapshot();
    std::iter::from_fn(|| snapshot.next_chunk(bytes_max)).collect()
}

fn restored(chunks: Vec<Bytes>) -> KvStore {
    KvStore::restore(&mut chunks.into_iter()).unwrap()
}

fn scan_all(store: &KvStore, count: usize) -> Vec<Bytes> {
    let (mut keys, mut cursor) = (Vec::new(), 0);
    loop {
        let page = store.scan(cursor, None, count);
        keys.extend(page.keys);
        if page.cursor == 0 {
            return keys;
        }
        assert!(page.cursor > cursor, "a scan goes on");
        cursor = page.cursor;
    }
}

fn at(millis: u64) -> At {
    At {
        position: Position(1),
        time: Timestamp(millis),
    }
}

fn set_until(store: &mut KvStore, key: &[u8], end: u64) {
    let (key, value) = (Raw(key), Raw(b"v"));
    let expiry = Expiry::At(Timestamp(end));
    let command = Command::Set {
        key,
        value,
        only: Only::Always,
        expiry,
        get: false,
    };
    assert_eq!(store.apply(at(1), &command.encode()), Reply::Ok);
}

#[test]
fn keys_that_end_together_vanish_at_once_and_are_removed_in_portions() {
    let mut store = KvStore::new();
    for number in 0..10_000u32 {
        set_until(&mut store, &number.to_le_bytes(), 50);
    }
    store.advance(Timestamp(49));
    assert_eq!(store.dbsize(), 10_000);
    store.advance(Timestamp(50));
    assert_eq!((store.dbsize(), store.get(&7u32.to_le_bytes())), (0, None));
    assert_eq!(scan_all(&store, 100), Vec::<Bytes>::new());
    assert_eq!(
        store.wakeup(),
        Some(Timestamp(51)),
        "some are left to remove"
    );
    let before = store.digest();
    store.advance(Timestamp(50));
    assert_eq!(
        store.digest(),
        before,
        "the same time twice is the same as once"
    );
    // A key that is overdue but not yet removed is absent for a write.
    let last = 9_999u32.to_le_bytes();
    assert_eq!(
        store.apply(at(50), &Command::add(&last, 1).encode()),
        Reply::Integer(1)
    );
    assert_eq!(store.lifetime(&last), Lifetime::Forever);
    store.advance(Timestamp(51));
    store.advance(Timestamp(52));
    assert_eq!((store.wakeup(), store.dbsize()), (None, 1));
}

#[test]
fn the_digest_depends_on_the_state_and_not_on_the_way() {
    let (mut one, mut other) = (KvStore::new(), KvStore::new());
    for (key, value) in [(b"a", b"1"), (b"b", b"2")] {
        one.apply(at(5), &Command::set(key, value).encode());
    }
    for (key, value) in [(b"b", b"0"), (b"b", b"2"), (b"c", b"9"), (b"a", b"1")] {
        other.apply(at(5), &Command::set(key, value).encode());
    }
    assert_ne!(one.digest(), other.digest());
    other.apply(at(5), &Command::delete(b"c").encode());
    assert_eq!(one.digest(), other.digest());
    // Golden: members of different versions and machines compare it.
    assert_eq!(one.digest(), GOLDEN_DIGEST, "{:#x}", one.digest());
    other.advance(Timestamp(6));
    assert_ne!(one.digest(), other.digest(), "log time is state");
    one.advance(Timestamp(6));
    one.apply(at(6), &Command::Clear.encode());
    let mut empty = KvStore::new();
    empty.advance(Timestamp(6));
    assert_eq!(one.digest(), empty.digest());
}

const GOLDEN_DIGEST: u64 = 0xf229_ba15_a118_47b3;

#[test]
fn a_scan_returns_what_stays_exactly_once_whatever_comes_and_goes() {
    let mut store = KvStore::new();
    let stays: Vec<_> = (0..500).map(|number| format!("stays:{number}")).collect();
    for key in &stays {
        store.apply(at(1), &Command::set(key.as_bytes(), b"").encode());
        store.apply(
            at(1),
            &Command::set(key.replace("stays", "goes").as_bytes(), b"").encode(),
        );
    }
    let (mut seen, mut cursor, mut round) = (Vec::new(), 0, 0);
    loop {
        let page = store.scan(cursor, Some(b"stays:*"), 7);
        seen.extend(page.keys);
        for number in [round, 499 - round] {
            store.apply(
                at(1),
                &Command::delete(format!("goes:{number}").as_bytes()).encode(),
            );
            store.apply(
                at(1),
                &Command::set(format!("comes:{number}").as_bytes(), b"").encode(),
            );
        }
        // The cursor means the same to a member that was restored from a snapshot.
        store = restored(chunks(&store, 1 << 16));
        cursor = page.cursor;
        round += 1;
        if cursor == 0 {
            break;
        }
        assert!(cursor < 1 << 53, "a cursor survives in a double");
    }
    seen.sort();
    let mut stays: Vec<_> = stays.into_iter().map(Bytes::from).collect();
    stays.sort();
    assert_eq!(seen, stays);
    assert!(round > 100, "it came in pages");
}

#[test]
fn too_many_keys_for_one_answer_are_refused() {
    let mut store = KvStore::new();
    for number in 0..100 {
        store.apply(
            at(1),
            &Command::set(format!("key{number}").as_bytes(), b"").encode(),
        );
    }
    assert!(store.view().keys(b"*", 1000).is_err());
    assert_eq!(store.view().keys(b"key1?", 1000).unwrap().len(), 10);
}

#[test]
fn an_expiry_past_the_end_of_time_is_refused() {
    let mut store = KvStore::new();
    store.apply(at(1), &Command::set(b"k", b"old").encode());
    let expiry = Expiry::After(i64::MAX as u64);
    let set = Command::Set {
        key: Raw(b"k"),
        value: Raw(b"new"),
        only: Only::Always,
        expiry,
        get: true,
    };
    assert_eq!(
        store.apply(at(1), &set.encode()),
        Reply::Refused(Refusal::ExpireTime)
    );
    let end = Command::Expire {
        key: Raw(b"k"),
        millis: i64::MAX,
        since: Since::Now,
        only: OnlyExpiry::Always,
    };
    assert_eq!(
        store.apply(at(1), &end.encode()),
        Reply::Refused(Refusal::ExpireTime)
    );
    assert_eq!(store.get(b"k").as_deref(), Some(&b"old"[..]));
    assert_eq!(store.wakeup(), None);
}

#[test]
fn a_large_store_is_cleared_at_once_and_its_snapshot_stays_whole() {
    let mut store = KvStore::new();
    for number in 0..20_000u32 {
        store.apply(at(1), &Command::set(&number.to_be_bytes(), b"v").encode());
    }
    let digest = store.digest();
    let mut snapshot = store.snapshot();
    store.apply(at(1), &Command::Clear.encode());
    assert_eq!((store.dbsize(), store.get(&0u32.to_be_bytes())), (0, None));
    let chunks: Vec<_> = std::iter::from_fn(|| snapshot.next_chunk(4096)).collect();
    assert!(chunks.iter().all(|chunk| chunk.len() <= 4096) && chunks.len() > 50);
    assert_eq!(restored(chunks).digest(), digest);
}
