//! Reads. None of them changes anything, so they need no place in the log.

use bytes::Bytes;
use imbl::OrdMap;
use quorate_core::Timestamp;

use super::KvStore;
use super::glob;
use super::table::{Entry, Key, NEVER};

/// What is known about the end of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// There is no such key.
    Absent,
    /// It stays for ever.
    Forever,
    /// It goes in so many milliseconds of log time.
    Millis(u64),
}

/// One page of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// Where the next page begins; 0: this was the last.
    pub cursor: u64,
    /// The keys that match.
    pub keys: Vec<Bytes>,
}

impl KvStore {
    /// Keys that one page of a scan looks at, at most (beyond them only keys of the same 48-bit hash).
    pub const SCAN_MAX: usize = 4096;
    /// Bytes of keys from which on a page ends early.
    pub const SCAN_BYTES_MAX: usize = 1 << 20;

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.live(key).map(|entry| entry.value.clone())
    }

    /// The values of several keys, all of the same moment.
    pub fn mget<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) -> Vec<Option<Bytes>> {
        keys.into_iter().map(|key| self.get(key)).collect()
    }

    /// Whether a key is there.
    pub fn exists(&self, key: &[u8]) -> bool {
        self.live(key).is_some()
    }

    /// The length of a key's value in bytes; 0 if there is none.
    pub fn strlen(&self, key: &[u8]) -> u64 {
        self.live(key).map_or(0, |entry| entry.value.len() as u64)
    }

    /// How long a key stays, at the present log time.
    pub fn lifetime(&self, key: &[u8]) -> Lifetime {
        match self.live(key) {
            None => Lifetime::Absent,
            Some(entry) if entry.expiry == NEVER => Lifetime::Forever,
            Some(entry) => Lifetime::Millis(entry.expiry.as_millis() - self.time.as_millis()),
        }
    }

    /// How many keys there are.
    pub fn dbsize(&self) -> u64 {
        (self.table.len() - self.table.overdue(self.time)) as u64
    }

    /// The next page of an iteration over the keys that match a glob pattern (none: all). `count` is how many keys
    /// to look at, 1 to [`Self::SCAN_MAX`].
    ///
    /// The keys come in the order of a 48-bit hash of theirs, and the cursor is the hash to go on from. So the
    /// cursor needs no table, means the same on every member and after every restart, and an iteration from 0
    /// to 0 returns every key that is there all the while exactly once; one that came or went meanwhile may
    /// be returned or not.
    pub fn scan(&self, cursor: u64, pattern: Option<&[u8]>, count: usize) -> ScanPage {
        let count = count.clamp(1, Self::SCAN_MAX);
        let mut keys = Vec::new();
        let (mut last, mut bytes) = (None, 0);
        for (seen, (slot, key)) in self.table.slots_from(cursor).enumerate() {
            // Keys of one slot come in one page: the cursor cannot point between them.
            if (seen >= count || bytes >= Self::SCAN_BYTES_MAX) && last != Some(*slot) {
                return ScanPage {
                    cursor: *slot,
                    keys,
                };
            }
            last = Some(*slot);
            if pattern.is_none_or(|pattern| glob::matches(pattern, key)) && self.exists(key) {
                bytes += key.len();
                keys.push(Bytes::copy_from_slice(key));
            }
        }
        ScanPage { cursor: 0, keys }
    }

    /// The state as of now, detached from the store: for reads that take long.
    pub fn view(&self) -> View {
        View {
            entries: self.table.entries().clone(),
            time: self.time,
        }
    }
}

/// The state of a store at one moment. A clone costs nothing; it can be read on any thread.
#[derive(Clone, Debug)]
pub struct View {
    entries: OrdMap<Key, Entry>,
    time: Timestamp,
}

impl View {
    /// The keys that match a glob pattern, ascending, if they are no more than `bytes_max` bytes together.
    ///
    /// # Errors
    /// [`KeysError`] if they are.
    pub fn keys(&self, pattern: &[u8], bytes_max: usize) -> Result<Vec<Bytes>, KeysError> {
        let mut keys = Vec::new();
        let mut bytes = 0;
        for (key, entry) in &self.entries {
            if entry.expiry > self.time && glob::matches(pattern, key) {
                // The flat charge is what a key costs beside its bytes.
                bytes += key.len() + 64;
                if bytes > bytes_max {
                    return Err(KeysError { bytes_max });
                }
                keys.push(Bytes::copy_from_slice(key));
            }
        }
        Ok(keys)
    }

    /// All keys and their values, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Bytes)> {
        let live = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.expiry > self.time);
        live.map(|(key, entry)| (&key[..], &entry.value))
    }
}

/// More keys match than an answer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the matching keys take more than {bytes_max} bytes: use SCAN")]
pub struct KeysError {
    /// What an answer may hold, in bytes.
    pub bytes_max: usize,
}
