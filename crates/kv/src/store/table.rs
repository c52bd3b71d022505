//! The keys and what is kept about them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use quorate_core::Timestamp;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A key, shared by the indexes.
pub(crate) type Key = Arc<[u8]>;

/// What a key holds.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Bytes,
    /// When the key goes; [`NEVER`] if it does not.
    pub(crate) expiry: Timestamp,
    digest: u64,
}

/// The expiry of what stays for ever.
pub(crate) const NEVER: Timestamp = Timestamp(u64::MAX);

/// How many bits of a key's hash order a scan: so few that a cursor survives in a double.
const SLOT_BITS: u32 = 48;

/// The keys in order, and two indexes of them. It knows nothing of the time: what has expired is there until it
/// is [removed](Self::remove).
///
/// Invariants: every entry is in `slots`, and in `expiries` unless it stays for ever; neither holds anything
/// else; `digest` is the wrapping sum of the entries' digests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    entries: OrdMap<Key, Entry>,
    expiries: BTreeSet<(Timestamp, Key)>,
    slots: BTreeSet<(u64, Key)>,
    digest: u64,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries: a clone costs nothing and stays as it is.
    pub(crate) const fn entries(&self) -> &OrdMap<Key, Entry> {
        &self.entries
    }

    /// The sum of a strong hash of every entry: independent of the order in which they came.
    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Sets a key, whatever it was. The value is kept as it is: whoever calls copies it out of larger buffers.
    pub(crate) fn insert(&mut self, key: &[u8], value: Bytes, expiry: Timestamp) {
        let hash = xxh3_64(key);
        let entry = Entry {
            digest: entry_digest(hash, &value, expiry),
            value,
            expiry,
        };
        self.digest = self.digest.wrapping_add(entry.digest);
        let (key, former) = if let Some((key, current)) = self.entries.get_key_value_mut(key) {
            let former = std::mem::replace(current, entry);
            self.digest = self.digest.wrapping_sub(former.digest);
            if former.expiry == expiry {
                return;
            }
            (key.clone(), former.expiry)
        } else {
            let key = Key::from(key);
            self.slots.insert((slot(hash), key.clone()));
            self.entries.insert(key.clone(), entry);
            (key, NEVER)
        };
        self.move_expiry(key, former, expiry);
    }

    /// Changes only when a key goes.
    pub(crate) fn set_expiry(&mut self, key: &[u8], expiry: Timestamp) {
        let Some((key, entry)) = self.entries.get_key_value_mut(key) else {
            return;
        };
        let (key, former) = (key.clone(), entry.expiry);
        self.digest = self.digest.wrapping_sub(entry.digest);
        entry.digest = entry_digest(xxh3_64(&key), &entry.value, expiry);
        entry.expiry = expiry;
        self.digest = self.digest.wrapping_add(entry.digest);
        self.move_expiry(key, former, expiry);
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let (key, entry) = self.entries.remove_with_key(key)?;
        self.digest = self.digest.wrapping_sub(entry.digest);
        self.slots.remove(&(slot(xxh3_64(&key)), key.clone()));
        self.move_expiry(key, entry.expiry, NEVER);
        Some(entry)
    }

    /// The key that goes first, and when.
    pub(crate) fn first_expiry(&self) -> Option<&(Timestamp, Key)> {
        self.expiries.first()
    }

    /// How many keys are there although they were to go by `time`.
    pub(crate) fn overdue(&self, time: Timestamp) -> usize {
        let gone = self.expiries.iter().take_while(|(at, _)| *at <= time);
        gone.count()
    }

    /// The keys in the order of their slots, from `slot` on.
    pub(crate) fn slots_from(&self, slot: u64) -> impl Iterator<Item = &(u64, Key)> {
        self.slots.range((slot, Key::default())..)
    }

    fn move_expiry(&mut self, key: Key, from: Timestamp, to: Timestamp) {
        if from != NEVER {
            self.expiries.remove(&(from, key.clone()));
        }
        if to != NEVER {
            self.expiries.insert((to, key));
        }
    }
}

/// Builds a table from entries that come in the order of their keys.
impl FromIterator<(Key, Bytes, Timestamp)> for Table {
    fn from_iter<I: IntoIterator<Item = (Key, Bytes, Timestamp)>>(entries: I) -> Self {
        let mut table = Self::default();
        let (mut slots, mut expiries) = (Vec::new(), Vec::new());
        for (key, value, expiry) in entries {
            let hash = xxh3_64(&key);
            let digest = entry_digest(hash, &value, expiry);
            table.digest = table.digest.wrapping_add(digest);
            slots.push((slot(hash), key.clone()));
            if expiry != NEVER {
                expiries.push((expiry, key.clone()));
            }
            let entry = Entry {
                value,
                expiry,
                digest,
            };
            table.entries.insert(key, entry);
        }
        table.slots = slots.into_iter().collect();
        table.expiries = expiries.into_iter().collect();
        table
    }
}

/// Where a key stands in a scan.
const fn slot(hash: u64) -> u64 {
    hash >> (u64::BITS - SLOT_BITS)
}

/// The fingerprint of one entry. XXH3 of the value, seeded with what else the entry is: its key and its expiry.
/// It is the same on every platform; changing it changes what members compare.
fn entry_digest(key_hash: u64, value: &[u8], expiry: Timestamp) -> u64 {
    let seed = xxh3_64_with_seed(&expiry.as_millis().to_le_bytes(), key_hash);
    xxh3_64_with_seed(value, seed)
}
