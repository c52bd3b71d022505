//! The state machine of a script.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_core::{At, MalformedSnapshot, SnapshotSource, StateMachine};
use serde::{Deserialize, Serialize};

use super::{Cell, Change};
use crate::checker::stir;

/// A cell for each client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptMachine {
    cells: BTreeMap<u64, Cell>,
}

/// How many changes the cell has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptReply {
    /// So many.
    pub taken: u64,
}

/// The cells on their way to a disk.
pub struct ScriptSnapshot {
    rest: Bytes,
}

impl ScriptMachine {
    /// A client's cell.
    pub fn cell(&self, client: u64) -> Cell {
        self.cells.get(&client).copied().unwrap_or_default()
    }
}

/// A number for cells: equal cells, equal numbers.
pub(super) fn digest(cells: impl Iterator<Item = (u64, Cell)>) -> u64 {
    cells.fold(1, |digest, (client, cell)| {
        [client, cell.taken, cell.value]
            .into_iter()
            .fold(digest, stir)
    })
}

impl StateMachine for ScriptMachine {
    type Reply = ScriptReply;
    type Snapshot = ScriptSnapshot;

    /// Takes the next change of a client; what was taken before and what comes too early changes nothing.
    fn apply(&mut self, _: At, mut command: &[u8]) -> ScriptReply {
        if command.len() < 33 {
            return ScriptReply { taken: 0 };
        }
        let (client, number) = (command.get_u64_le(), command.get_u64_le());
        let _attempt = command.get_u64_le();
        let (operand, kind) = (command.get_u64_le(), command.get_u8());
        let cell = self.cells.entry(client).or_default();
        if number == cell.taken + 1 {
            let value = Change::of(kind, operand).on(cell.value);
            *cell = Cell {
                taken: number,
                value,
            };
        }
        ScriptReply { taken: cell.taken }
    }

    fn snapshot(&self) -> ScriptSnapshot {
        let mut stream = BytesMut::new();
        for (client, cell) in &self.cells {
            for word in [*client, cell.taken, cell.value] {
                stream.put_u64_le(word);
            }
        }
        ScriptSnapshot {
            rest: stream.freeze(),
        }
    }

    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
        let mut whole = BytesMut::new();
        chunks.for_each(|chunk| whole.extend_from_slice(&chunk));
        let (cells, rest) = whole.as_chunks::<24>();
        if !rest.is_empty() {
            return Err(MalformedSnapshot("a cell ends too early"));
        }
        let cell = |bytes: &[u8; 24]| {
            let mut words = &bytes[..];
            let client = words.get_u64_le();
            let (taken, value) = (words.get_u64_le(), words.get_u64_le());
            (client, Cell { taken, value })
        };
        Ok(Self {
            cells: cells.iter().map(cell).collect(),
        })
    }

    fn digest(&self) -> u64 {
        digest(self.cells.iter().map(|(client, cell)| (*client, *cell)))
    }
}

impl SnapshotSource for ScriptSnapshot {
    fn next_chunk(&mut self, bytes_max: usize) -> Option<Bytes> {
        let count = bytes_max.max(1).min(self.rest.len());
        (count > 0).then(|| self.rest.split_to(count))
    }
}
