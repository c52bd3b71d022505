//! What is replicated: how often each name was written.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use quorate_core::{At, MalformedSnapshot, SnapshotSource, StateMachine};

#[derive(Debug, Default)]
pub(crate) struct Names(pub(crate) BTreeMap<u64, u64>);

impl StateMachine for Names {
    type Reply = u64;
    type Snapshot = Copied;

    fn apply(&mut self, _at: At, command: &[u8]) -> u64 {
        let name = command.try_into().map(u64::from_be_bytes);
        let count = self.0.entry(name.expect("a name of 8 bytes")).or_default();
        *count += 1;
        *count
    }

    fn snapshot(&self) -> Copied {
        let mut chunk = BytesMut::new();
        for (name, count) in &self.0 {
            chunk.put_u64(*name);
            chunk.put_u64(*count);
        }
        Copied(Some(chunk.freeze()))
    }

    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
        let all: Vec<u8> = chunks.flatten().collect();
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("8 bytes"));
        let pairs = all.chunks_exact(16);
        let pairs = pairs.map(|pair| (number(&pair[..8]), number(&pair[8..])));
        Ok(Self(pairs.collect()))
    }

    fn digest(&self) -> u64 {
        let mix = |sum: u64, (name, count): (&u64, &u64)| {
            (sum.rotate_left(7) ^ name ^ (count << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        self.0.iter().fold(1, mix)
    }
}

/// The state, copied at once.
pub(crate) struct Copied(Option<Bytes>);

impl SnapshotSource for Copied {
    fn next_chunk(&mut self, _: usize) -> Option<Bytes> {
        self.0.take()
    }
}
