//! The key-value state machine: pure, deterministic, and without a clock.

mod apply;
mod command;
mod glob;
mod reply;
mod snapshot;
mod table;
mod view;

use bytes::Bytes;
use quorate_core::{At, MalformedSnapshot, StateMachine, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

#[cfg(feature = "server")]
pub(crate) use apply::parse_integer;
pub use command::{Command, Expiry, Only, OnlyExpiry, Raw, Since};
#[cfg(feature = "server")]
pub(crate) use glob::matches;
pub use reply::{Refusal, Reply};
pub use snapshot::KvSnapshot;
use table::Table;
pub use view::{KeysError, Lifetime, ScanPage, View};

/// An ordered map from keys to values, with expiry by log time.
///
/// - **Expiry.** A key is gone from the first log time at or after its end, for reads and writes alike. What is left
///   of it is removed a bounded number of keys at a time, so that a million keys that end together stall nobody.
/// - **Snapshots** share the map: taking one costs the same whatever the map holds.
/// - **Digest.** Kept up to date by every command; covers keys, values, expiries and log time, and does not depend on
///   the order in which they came to be.
#[derive(Clone, Debug, Default)]
pub struct KvStore {
    table: Table,
    /// Log time: the highest that was seen.
    time: Timestamp,
}

impl KvStore {
    /// Expired keys that one command removes at most.
    const SWEEP_PER_COMMAND: usize = 64;
    /// Expired keys that one [`advance`](StateMachine::advance) removes at most.
    const SWEEP_PER_ADVANCE: usize = 4096;
    /// Entries from which on a cleared table is dropped by a thread of its own.
    const SLOW_TO_DROP: usize = 10_000;

    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Log time, as far as this store knows it.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Removes up to `limit` of the keys whose time has come.
    fn sweep(&mut self, limit: usize) {
        for _ in 0..limit {
            let due = self.table.first_expiry().filter(|(at, _)| *at <= self.time);
            let Some((_, key)) = due.cloned() else {
                return;
            };
            self.table.remove(&key);
        }
    }

    /// Empties the store. Freeing a large map takes long, and nobody needs to wait for it.
    fn clear(&mut self) {
        let table = std::mem::take(&mut self.table);
        if table.len() >= Self::SLOW_TO_DROP {
            // If no thread can be had, the closure is dropped here, and the table with it.
            let thread = std::thread::Builder::new().name("kv-drop".into());
            let _ = thread.spawn(move || drop(table));
        }
    }
}

/// A state that another replaces must not hold up who replaces it.
impl Drop for KvStore {
    fn drop(&mut self) {
        self.clear();
    }
}

impl StateMachine for KvStore {
    type Reply = Reply;
    type Snapshot = KvSnapshot;

    fn apply(&mut self, at: At, command: &[u8]) -> Reply {
        self.time = self.time.max(at.time);
        self.sweep(Self::SWEEP_PER_COMMAND);
        match Command::decode(command) {
            Some(command) => self.execute(command),
            None => Reply::Refused(Refusal::NotACommand),
        }
    }

    fn advance(&mut self, time: Timestamp) {
        // Once per time: how often a driver says the same, and whether it splits a batch in two, must not tell.
        if time > self.time {
            self.time = time;
            self.sweep(Self::SWEEP_PER_ADVANCE);
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        // What is overdue is removed as time goes on, so it has to.
        let at = self.table.first_expiry()?.0;
        Some(at.max(self.time.plus_millis(1)))
    }

    fn snapshot(&self) -> KvSnapshot {
        KvSnapshot::new(self)
    }

    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
        snapshot::restore(chunks)
    }

    fn digest(&self) -> u64 {
        xxh3_64_with_seed(&self.time.as_millis().to_le_bytes(), self.table.digest())
    }
}
