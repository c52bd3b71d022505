//! C8 and D6 of the reliability requirements: snapshots through crashes, failures and damage.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use quorate_core::{ClusterId, Epoch, NodeId, Position, Rng, SnapshotMeta};
use quorate_journal::{
    Disk, Fault, FileDisk, MemDisk, SnapshotError, SnapshotStore, SnapshotsFound,
};

const CLUSTER: ClusterId = ClusterId(7);
const CHUNK: u32 = 512;

type Opened<D> = Result<(SnapshotStore<D>, SnapshotsFound), SnapshotError>;

fn open<D: Disk>(disk: &D) -> Opened<D> {
    SnapshotStore::open(disk.clone(), CLUSTER, CHUNK)
}

fn stream(position: u64, bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|i| (i as u64 * 7 + position * 13) as u8)
        .collect()
}

fn epoch(position: u64) -> Epoch {
    Epoch {
        round: position / 2,
        node: NodeId(1),
    }
}

fn store<D: Disk>(
    store: &SnapshotStore<D>,
    position: u64,
    bytes: usize,
) -> Result<SnapshotMeta, SnapshotError> {
    let mut writer = store.write(Position(position), epoch(position))?;
    for piece in stream(position, bytes).chunks(300) {
        writer.write(piece)?;
    }
    writer.finish()
}

fn read<D: Disk>(store: &SnapshotStore<D>, meta: &SnapshotMeta) -> Result<Vec<u8>, SnapshotError> {
    let chunks: Result<Vec<_>, _> = store.read(meta)?.collect();
    Ok(chunks?.concat())
}

fn snapshots(disk: &MemDisk) -> Vec<String> {
    let names = disk.list().unwrap();
    names
        .into_iter()
        .filter(|name| name.ends_with(".snapshot"))
        .collect()
}

#[test]
fn a_snapshot_is_read_back_as_it_was_written_whole_and_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(dir.path()).unwrap();
    let (snapshots, found) = open(&disk).unwrap();
    assert_eq!(found.newest, None);
    for (position, bytes) in [(1, 0), (2, 1), (3, 511), (4, 512), (5, 513), (6, 5000)] {
        let meta = store(&snapshots, position, bytes).unwrap();
        let whole = stream(position, bytes);
        assert_eq!(meta.checksum, crc32c::crc32c(&whole));
        assert_eq!((meta.bytes, meta.epoch), (bytes as u64, epoch(position)));
        assert_eq!(read(&snapshots, &meta).unwrap(), whole);
        for (offset, len) in [
            (0, 10),
            (500, 100),
            (0, 10_000),
            (512, 512),
            (4999, 3),
            (9999, 1),
        ] {
            let part = snapshots.read_chunk(&meta, offset as u64, len).unwrap();
            let end = (offset + len).min(bytes);
            assert_eq!(part, whole.get(offset..end).unwrap_or_default());
        }
    }
    let kept: Vec<u64> = snapshots
        .list()
        .iter()
        .map(|meta| meta.position.0)
        .collect();
    assert_eq!(kept, [6, 5], "the newest and one older");
    let newest = snapshots.newest();
    assert_eq!(open(&disk).unwrap().1.newest, newest);
}

#[test]
fn an_older_snapshot_and_one_that_is_gone_are_told() {
    let disk = MemDisk::new();
    let (snapshots, _) = open(&disk).unwrap();
    let first = store(&snapshots, 1, 100).unwrap();
    for position in [5, 6] {
        store(&snapshots, position, 100).unwrap();
    }
    assert!(matches!(
        store(&snapshots, 4, 1),
        Err(SnapshotError::Stale { .. })
    ));
    let gone = snapshots.read_chunk(&first, 0, 1).unwrap_err();
    assert!(
        matches!(gone, SnapshotError::Gone(meta) if meta == first),
        "{gone}"
    );
}

#[test]
fn what_others_fetch_stays_beside_the_newest_two_until_it_is_let_go() {
    let disk = MemDisk::new();
    let (kept, _) = open(&disk).unwrap();
    let first = store(&kept, 1, 100).unwrap();
    kept.hold(vec![first]);
    for position in [5, 6, 7] {
        store(&kept, position, 100).unwrap();
    }
    let positions = |kept: &SnapshotStore<MemDisk>| -> Vec<_> {
        let kept = kept.list();
        kept.iter().map(|meta| meta.position.get()).collect()
    };
    assert_eq!(positions(&kept), [7, 6, 1]);
    assert_eq!(read(&kept, &first).unwrap(), stream(1, 100));
    kept.hold(Vec::new());
    store(&kept, 8, 100).unwrap();
    assert_eq!(positions(&kept), [8, 7]);
    assert_eq!(snapshots(&disk).len(), 2);
}

/// Writes snapshots until something fails; gives the last that was finished.
fn run(disk: &MemDisk) -> (Option<SnapshotMeta>, Result<(), SnapshotError>) {
    let mut last = None;
    let mut run = || {
        let (snapshots, _) = open(disk)?;
        for position in 1..=4 {
            last = Some(store(&snapshots, position, 700 * position as usize)?);
        }
        Ok(())
    };
    let result = run();
    (last, result)
}

#[test]
fn w1_after_a_crash_at_any_call_the_newest_finished_snapshot_is_there() {
    for n in 1.. {
        let disk = MemDisk::new();
        disk.fail_call(n, Fault::Crash);
        let (last, result) = run(&disk);
        if result.is_ok() && disk.calls() < n {
            assert!(n > 50);
            break;
        }
        for (round, one_in) in [0, 1, 2, 2, 3, 8].into_iter().enumerate() {
            let disk = disk.fork();
            let mut rng = Rng::new(n * 10 + round as u64);
            disk.power_loss(|| one_in > 0 && rng.below(one_in) == 0);
            let (snapshots, found) = open(&disk).unwrap_or_else(|e| panic!("call {n}: {e}"));
            assert!(
                found.corrupt.is_empty(),
                "a crash leaves nothing half-done in sight"
            );
            let position = |meta: Option<SnapshotMeta>| meta.map_or(0, |meta| meta.position.0);
            assert!(position(found.newest) >= position(last), "call {n}");
            for meta in snapshots.list() {
                let expected = stream(meta.position.0, meta.bytes as usize);
                assert_eq!(read(&snapshots, &meta).unwrap(), expected);
            }
            let names = disk.list().unwrap();
            assert!(
                names.iter().all(|name| name.ends_with(".snapshot")),
                "{names:?}"
            );
        }
    }
}

#[test]
fn w5_a_failed_call_is_an_error_and_leaves_the_snapshots_before() {
    for fault in [Fault::Io, Fault::Full] {
        for n in 1.. {
            let disk = MemDisk::new();
            let (snapshots, _) = open(&disk).unwrap();
            let first = store(&snapshots, 1, 1000).unwrap();
            disk.fail_call(n, fault);
            let second = store(&snapshots, 2, 2000);
            if second.is_ok() {
                // What follows the sync of the directory only tidies up.
                let done = disk.fork();
                done.power_loss(|| false);
                assert_eq!(open(&done).unwrap().1.newest, second.ok());
                if disk.calls() > n {
                    continue;
                }
                break;
            }
            let error = second.unwrap_err();
            let full = matches!(error, SnapshotError::Full { .. });
            assert_eq!(
                (full, error.is_fatal()),
                (fault == Fault::Full, fault == Fault::Io)
            );
            assert_eq!(read(&snapshots, &first).unwrap(), stream(1, 1000));
            let temps = disk
                .list()
                .unwrap()
                .iter()
                .filter(|name| name.contains(".tmp"))
                .count();
            assert_eq!(temps, 0, "call {n}");
            disk.power_loss(|| false);
            assert!(open(&disk).unwrap().1.newest.is_some());
        }
    }
}

#[test]
fn d4_what_a_start_has_found_is_still_there_after_a_loss_of_power() {
    let mut renamed = 0;
    for n in 1.. {
        let disk = MemDisk::new();
        let (snapshots, _) = open(&disk).unwrap();
        store(&snapshots, 1, 1000).unwrap();
        disk.fail_call(n, Fault::Io);
        let written = store(&snapshots, 2, 2000);
        if written.is_ok() && disk.calls() > n {
            break;
        }
        // The process starts again on the same machine: the cache still knows what was not synced.
        let found = open(&disk).unwrap().1.newest;
        renamed += u32::from(written.is_err() && found.is_some_and(|meta| meta.position.0 == 2));
        disk.power_loss(|| false);
        assert_eq!(open(&disk).unwrap().1.newest, found, "call {n}");
    }
    assert_eq!(renamed, 1, "the sync of the directory failed once");
}

#[test]
fn w2_every_bit_flipped_falls_back_to_the_older_snapshot() {
    let disk = MemDisk::new();
    let (snapshots_store, _) = open(&disk).unwrap();
    let older = store(&snapshots_store, 1, 600).unwrap();
    let newer = store(&snapshots_store, 2, 700).unwrap();
    let name = snapshots(&disk)[1].clone();
    let bits = disk.contents(&name).unwrap().len() as u64 * 8;
    for bit in 0..bits {
        let disk = disk.fork();
        disk.flip(&name, bit);
        let (_, found) = open(&disk).unwrap();
        assert_eq!(
            (found.newest, found.corrupt.len()),
            (Some(older), 1),
            "bit {bit}"
        );
    }
    disk.flip(&name, 64 * 8 + 200);
    let sent = snapshots_store.read_chunk(&newer, 0, 10).unwrap_err();
    assert!(
        matches!(sent, SnapshotError::Corrupt { offset: 64, .. }),
        "{sent}"
    );
    assert!(read(&snapshots_store, &newer).is_err());
}

#[test]
fn d6_what_the_medium_does_not_give_back_as_written_does_not_become_a_snapshot() {
    for byte in [0, 100, 600] {
        let disk = MemDisk::new();
        let (snapshots_store, _) = open(&disk).unwrap();
        let mut writer = snapshots_store.write(Position(1), epoch(1)).unwrap();
        writer.write(&stream(1, 1024)).unwrap();
        disk.flip(&disk.list().unwrap()[0], byte * 8);
        let error = writer.finish().unwrap_err();
        assert!(matches!(error, SnapshotError::Corrupt { .. }), "{error}");
        assert_eq!(
            (snapshots_store.newest(), disk.list().unwrap().len()),
            (None, 0)
        );
    }
}

#[test]
fn w3_w4_cut_swapped_and_foreign_snapshots_are_not_sound_and_none_left_is_refused() {
    let disk = MemDisk::new();
    let (snapshots_store, _) = open(&disk).unwrap();
    let meta = store(&snapshots_store, 1, 1500).unwrap();
    let name = snapshots(&disk)[0].clone();
    let whole = disk.contents(&name).unwrap();
    for length in 0..whole.len() {
        disk.set_contents(&name, whole[..length].to_vec());
        let error = open(&disk).err().unwrap();
        assert!(
            matches!(&error, SnapshotError::AllCorrupt(all) if all.len() == 1),
            "{error}"
        );
        assert_eq!(error.exit_code(), 65);
    }
    // Two whole chunks of equal size in each other's place.
    let mut swapped = whole.clone();
    let (first, second) = (64..64 + 524, 64 + 524..64 + 1048);
    swapped[first.clone()].copy_from_slice(&whole[second.clone()]);
    swapped[second].copy_from_slice(&whole[first]);
    disk.set_contents(&name, swapped);
    assert!(open(&disk).is_err());
    disk.set_contents(&name, whole);
    assert_eq!(open(&disk).unwrap().1.newest, Some(meta));
    assert!(
        SnapshotStore::open(disk, ClusterId(8), CHUNK).is_err(),
        "another cluster"
    );
}

#[test]
fn a_snapshot_is_received_in_pieces_whatever_the_network_does_to_them() {
    let sender = MemDisk::new();
    let (from, _) = open(&sender).unwrap();
    let meta = store(&from, 9, 3000).unwrap();
    let disk = MemDisk::new();
    let (to, _) = SnapshotStore::open(disk.clone(), CLUSTER, 4096).unwrap();
    let mut incoming = to.receive(meta).unwrap();
    let mut rng = Rng::new(1);
    while !incoming.is_complete() {
        let upto = incoming.received_upto();
        let offset = (upto + rng.below(900))
            .saturating_sub(rng.below(900))
            .min(meta.bytes);
        let piece = from
            .read_chunk(&meta, offset, rng.below(800) as usize)
            .unwrap();
        let now = incoming.write(offset, &piece).unwrap();
        let end = offset + piece.len() as u64;
        assert_eq!(now, if offset <= upto { upto.max(end) } else { upto });
    }
    assert!(matches!(
        incoming.write(2999, b"xx"),
        Err(SnapshotError::Mismatch(_))
    ));
    assert_eq!(incoming.finish().unwrap(), meta);
    assert_eq!(read(&to, &meta).unwrap(), stream(9, 3000));
    disk.power_loss(|| false);
    assert_eq!(open(&disk).unwrap().1.newest, Some(meta));
}

#[test]
fn what_was_received_short_or_altered_does_not_become_a_snapshot() {
    let sender = MemDisk::new();
    let (from, _) = open(&sender).unwrap();
    let meta = store(&from, 9, 1000).unwrap();
    for spoil in [0, 1] {
        let disk = MemDisk::new();
        let (to, _) = open(&disk).unwrap();
        let mut incoming = to.receive(meta).unwrap();
        let mut bytes = stream(9, 1000 - spoil);
        if spoil == 0 {
            bytes[500] ^= 1;
        }
        incoming.write(0, &bytes).unwrap();
        assert!(matches!(incoming.finish(), Err(SnapshotError::Mismatch(_))));
        assert_eq!(to.newest(), None);
        assert!(disk.list().unwrap().is_empty());
    }
}

#[test]
fn e3_a_full_disk_costs_only_the_snapshot_at_hand() {
    let disk = MemDisk::new();
    let (snapshots, _) = open(&disk).unwrap();
    let meta = store(&snapshots, 1, 1000).unwrap();
    disk.set_capacity(Some(3000));
    let error = store(&snapshots, 2, 5000).unwrap_err();
    assert!(
        matches!(error, SnapshotError::Full { .. }) && !error.is_fatal(),
        "{error}"
    );
    assert_eq!(
        (disk.list().unwrap().len(), snapshots.newest()),
        (1, Some(meta))
    );
    disk.set_capacity(None);
    store(&snapshots, 2, 5000).unwrap();
}

#[test]
fn readers_and_a_writer_share_the_store_between_threads() {
    let dir = tempfile::tempdir().unwrap();
    let (snapshots, _) = open(&FileDisk::open(dir.path()).unwrap()).unwrap();
    store(&snapshots, 1, 20_000).unwrap();
    let writer = snapshots.clone();
    let thread = std::thread::spawn(move || {
        for position in 2..20 {
            store(&writer, position, 20_000).unwrap();
        }
    });
    let mut read_whole = 0;
    while !thread.is_finished() || read_whole == 0 {
        let meta = snapshots.newest().unwrap();
        match read(&snapshots, &meta) {
            Ok(bytes) => assert_eq!(bytes, stream(meta.position.0, 20_000)),
            Err(error) => assert!(matches!(error, SnapshotError::Gone(_)), "{error}"),
        }
        read_whole += 1;
    }
    thread.join().unwrap();
    assert_eq!(snapshots.newest().unwrap().position, Position(19));
}

#[test]
fn what_was_received_of_a_snapshot_is_taken_up_after_a_crash_as_far_as_it_is_whole() {
    let sender = MemDisk::new();
    let (from, _) = open(&sender).unwrap();
    // Whole chunks only: the last of them has to come again.
    let (meta, chunk) = (store(&from, 9, 8 * 512).unwrap(), 512);
    let whole = stream(9, 8 * 512);
    for spoilt in [None, Some(2)] {
        let disk = MemDisk::new();
        let (to, _) = SnapshotStore::open(disk.clone(), CLUSTER, chunk).unwrap();
        let mut incoming = to.receive(meta).unwrap();
        incoming.write(0, &whole[..6 * 512 + 100]).unwrap();
        drop(incoming);
        let part = disk.list().unwrap().remove(0);
        assert!(part.ends_with(".snapshot.part"), "{part}");
        if let Some(number) = spoilt {
            disk.flip(&part, (64 + number * (12 + 512) + 20) * 8);
        }
        let (to, found) = SnapshotStore::open(disk.clone(), CLUSTER, chunk).unwrap();
        assert_eq!(found.newest, None);
        let mut incoming = to.receive(meta).unwrap();
        let upto = incoming.received_upto();
        assert_eq!(upto, spoilt.unwrap_or(6) * 512);
        incoming.write(upto, &whole[upto as usize..]).unwrap();
        assert_eq!(incoming.finish().unwrap(), meta);
        assert_eq!(read(&to, &meta).unwrap(), whole);
        assert_eq!(disk.list().unwrap().len(), 1, "no part is left");
    }
}

#[test]
fn all_that_was_received_but_the_end_is_taken_up_and_another_snapshot_clears_it_away() {
    let sender = MemDisk::new();
    let (from, _) = open(&sender).unwrap();
    let meta = store(&from, 9, 4 * 512).unwrap();
    let other = store(&from, 10, 512).unwrap();
    let disk = MemDisk::new();
    let (to, _) = SnapshotStore::open(disk.clone(), CLUSTER, 512).unwrap();
    let mut incoming = to.receive(meta).unwrap();
    incoming.write(0, &stream(9, 4 * 512)).unwrap();
    drop(incoming);
    let incoming = to.receive(meta).unwrap();
    assert_eq!(incoming.received_upto(), 3 * 512);
    assert!(!incoming.is_complete());
    drop(incoming);
    let mut incoming = to.receive(other).unwrap();
    assert_eq!(disk.list().unwrap().len(), 1);
    incoming.write(0, &stream(10, 512)).unwrap();
    assert_eq!(incoming.finish().unwrap(), other);
}
