//! A state of any size goes to disk, to another member and back to memory in pieces: nothing ever asks for room for all of it.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use quorate_core::{At, ClusterId, Epoch, Position, SnapshotSource, StateMachine, Timestamp};
use quorate_journal::{FileDisk, SnapshotStore};
use quorate_kv::store::{Expiry, Only, Raw};
use quorate_kv::{Command, KvStore};

/// Remembers the largest piece that was asked for.
struct Largest(AtomicUsize);

#[global_allocator]
static LARGEST: Largest = Largest(AtomicUsize::new(0));

// SAFETY: all is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.0.fetch_max(size, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

const CHUNK: usize = 256 << 10;
const VALUE: usize = 16 << 10;
const KEYS: u32 = 2048;

fn filled() -> KvStore {
    let mut store = KvStore::new();
    let at = At {
        position: Position(1),
        time: Timestamp(1),
    };
    for key in 0..KEYS {
        let command = Command::Set {
            key: Raw(&key.to_le_bytes()),
            value: Raw(&[key as u8; VALUE]),
            only: Only::Always,
            expiry: Expiry::Never,
            get: false,
        };
        store.apply(at, &command.encode());
    }
    store
}

fn files() -> (tempfile::TempDir, SnapshotStore<FileDisk>) {
    let dir = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(dir.path()).unwrap();
    let (files, _) = SnapshotStore::open(disk, ClusterId(1), CHUNK as u32).unwrap();
    (dir, files)
}

#[test]
fn a_state_is_never_held_as_one_buffer() {
    let store = filled();
    let (_here, sender) = files();
    let (_there, receiver) = files();
    LARGEST.0.store(0, Ordering::Relaxed);

    let mut snapshot = store.snapshot();
    let mut writer = sender.write(Position(1), Epoch::default()).unwrap();
    while let Some(chunk) = snapshot.next_chunk(CHUNK) {
        writer.write(&chunk).unwrap();
    }
    let meta = writer.finish().unwrap();
    assert!(meta.bytes > u64::from(KEYS) * VALUE as u64);

    let mut incoming = receiver.receive(meta).unwrap();
    while !incoming.is_complete() {
        let offset = incoming.received_upto();
        let piece = sender.read_chunk(&meta, offset, CHUNK).unwrap();
        incoming.write(offset, &piece).unwrap();
    }
    incoming.finish().unwrap();

    let mut chunks = receiver.read(&meta).unwrap().map(Result::unwrap);
    let restored = KvStore::restore(&mut chunks).unwrap();
    assert_eq!(restored.digest(), store.digest());
    let largest = LARGEST.0.load(Ordering::Relaxed);
    assert!(
        largest <= 4 * CHUNK,
        "{largest} bytes at once of {}",
        meta.bytes
    );
}
