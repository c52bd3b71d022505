//! The state as a stream.
//!
//! All numbers are little-endian.
//! ```text
//! header  magic "QKV1" · log time u64 · digest u64 · entries u64
//! entry   key length u32 · value length u32 · expiry u64 (all ones: none) · key · value
//! ```
//! Entries come in strictly ascending order of their keys. Nothing follows the last. The digest is that of the
//! state that results.

use std::fmt;
use std::iter::Peekable;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use imbl::OrdMap;
use quorate_core::{MalformedSnapshot, SnapshotSource, StateMachine, Timestamp};

use super::KvStore;
use super::table::{Entry, Key, Table};

const MAGIC: &[u8; 4] = b"QKV1";
const HEADER_BYTES: usize = 4 + 8 + 8 + 8;
const ENTRY_HEADER_BYTES: usize = 4 + 4 + 8;

/// The state of a [`KvStore`] at one position, read out in the order of the keys. What was read is let go at once, a little
/// at a time: a map that is freed as a whole keeps the allocator busy for tens of milliseconds, and who applies meanwhile waits
/// for it.
pub struct KvSnapshot {
    next: Next,
}

/// What comes next in the stream.
enum Next {
    Header {
        time: Timestamp,
        digest: u64,
        entries: OrdMap<Key, Entry>,
    },
    Entries(Peekable<Entries>),
    End,
}

/// What is left to be read.
type Entries = <OrdMap<Key, Entry> as IntoIterator>::IntoIter;

impl KvSnapshot {
    pub(super) fn new(store: &KvStore) -> Self {
        Self {
            next: Next::Header {
                time: store.time,
                digest: store.digest(),
                entries: store.table.entries().clone(),
            },
        }
    }
}

impl fmt::Debug for KvSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KvSnapshot")
    }
}

/// Appends entries until the chunk is full; what comes next.
fn fill(mut entries: Peekable<Entries>, bytes_max: usize, chunk: &mut BytesMut) -> Next {
    while let Some((key, entry)) = entries.peek() {
        let bytes = ENTRY_HEADER_BYTES + key.len() + entry.value.len();
        if !chunk.is_empty() && chunk.len() + bytes > bytes_max {
            return Next::Entries(entries);
        }
        chunk.put_u32_le(key.len() as u32);
        chunk.put_u32_le(entry.value.len() as u32);
        chunk.put_u64_le(entry.expiry.as_millis());
        chunk.put_slice(key);
        chunk.put_slice(&entry.value);
        entries.next();
    }
    Next::End
}

impl SnapshotSource for KvSnapshot {
    fn next_chunk(&mut self, bytes_max: usize) -> Option<Bytes> {
        let mut chunk = BytesMut::new();
        let entries = match std::mem::replace(&mut self.next, Next::End) {
            Next::End => return None,
            Next::Entries(entries) => entries,
            Next::Header {
                time,
                digest,
                entries,
            } => {
                chunk.put_slice(MAGIC);
                chunk.put_u64_le(time.as_millis());
                chunk.put_u64_le(digest);
                chunk.put_u64_le(entries.len() as u64);
                entries.into_iter().peekable()
            }
        };
        self.next = fill(entries, bytes_max, &mut chunk);
        // Only a map without entries leaves nothing to write, and then the header stands here.
        (!chunk.is_empty()).then(|| chunk.freeze())
    }
}

/// The store that a stream describes; where its chunks end does not matter.
pub(super) fn restore(
    chunks: &mut dyn Iterator<Item = Bytes>,
) -> Result<KvStore, MalformedSnapshot> {
    let mut stream = Stream {
        chunks,
        current: Bytes::new(),
    };
    let mut header = stream.take(HEADER_BYTES)?;
    if header.split_to(MAGIC.len())[..] != MAGIC[..] {
        return Err(MalformedSnapshot("it does not begin with QKV1"));
    }
    let time = Timestamp(header.get_u64_le());
    let digest = header.get_u64_le();
    let count = header.get_u64_le();

    let mut failure = None;
    let mut last: Option<Key> = None;
    let entries = (0..count).map_while(|_| match next_entry(&mut stream, last.as_ref()) {
        Ok(entry) => {
            last = Some(entry.0.clone());
            Some(entry)
        }
        Err(error) => {
            failure = Some(error);
            None
        }
    });
    let table: Table = entries.collect();
    if let Some(error) = failure {
        return Err(error);
    }
    if !stream.at_end() {
        return Err(MalformedSnapshot("something follows the last entry"));
    }
    let store = KvStore { table, time };
    if store.digest() != digest {
        return Err(MalformedSnapshot("its digest is not that of its entries"));
    }
    Ok(store)
}

fn next_entry(
    stream: &mut Stream<'_>,
    last: Option<&Key>,
) -> Result<(Key, Bytes, Timestamp), MalformedSnapshot> {
    let mut header = stream.take(ENTRY_HEADER_BYTES)?;
    let key_bytes = header.get_u32_le() as usize;
    let value_bytes = header.get_u32_le() as usize;
    let expiry = Timestamp(header.get_u64_le());
    let key = Key::from(&stream.take(key_bytes)?[..]);
    if last.is_some_and(|last| *last >= key) {
        return Err(MalformedSnapshot("its keys do not ascend"));
    }
    // A copy of its own, or every small value would hold on to the whole chunk.
    let value = Bytes::copy_from_slice(&stream.take(value_bytes)?);
    Ok((key, value, expiry))
}

/// Reads across the borders of chunks. Holds no more than what has come and was asked for.
struct Stream<'a> {
    chunks: &'a mut dyn Iterator<Item = Bytes>,
    current: Bytes,
}

impl Stream<'_> {
    fn take(&mut self, bytes: usize) -> Result<Bytes, MalformedSnapshot> {
        if self.current.len() >= bytes {
            return Ok(self.current.split_to(bytes));
        }
        let mut gathered = BytesMut::from(&self.current[..]);
        loop {
            self.current = self
                .chunks
                .next()
                .ok_or(MalformedSnapshot("it ends too early"))?;
            let missing = bytes - gathered.len();
            let part = self.current.split_to(missing.min(self.current.len()));
            gathered.extend_from_slice(&part);
            if gathered.len() == bytes {
                return Ok(gathered.freeze());
            }
        }
    }

    fn at_end(&mut self) -> bool {
        while self.current.is_empty() {
            match self.chunks.next() {
                Some(chunk) => self.current = chunk,
                None => return true,
            }
        }
        false
    }
}
