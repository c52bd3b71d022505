//! The state machine of the built-in workload.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_core::{At, MalformedSnapshot, SnapshotSource, StateMachine, Timestamp};
use serde::{Deserialize, Serialize};

/// Cells, counters, lists and alarms, all empty at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerMachine {
    cells: BTreeMap<u8, u64>,
    counters: BTreeMap<u8, u64>,
    lists: BTreeMap<u8, Vec<u64>>,
    /// What rings when.
    alarms: BTreeMap<(Timestamp, u64), u8>,
    rung: u64,
    digest: u64,
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerReply {
    /// It is done.
    Done,
    /// It is done, and this is the counter now.
    Count(u64),
}

/// A ledger on its way to a disk.
pub struct LedgerSnapshot {
    rest: Bytes,
}

impl LedgerMachine {
    /// What was written to a cell last; zero: nothing.
    pub fn cell(&self, index: u8) -> u64 {
        self.cells.get(&index).copied().unwrap_or(0)
    }

    /// How often a counter was raised.
    pub fn counter(&self, index: u8) -> u64 {
        self.counters.get(&index).copied().unwrap_or(0)
    }

    /// What was appended to a list.
    pub fn list(&self, index: u8) -> &[u64] {
        self.lists.get(&index).map_or(&[], Vec::as_slice)
    }

    /// How many alarms rang.
    pub fn rung(&self) -> u64 {
        self.rung
    }

    fn stir(&mut self, words: [u64; 3]) {
        for word in words {
            self.digest = (self.digest ^ word)
                .wrapping_mul(0x0100_0000_01b3_0001)
                .rotate_left(23);
        }
    }
}

impl StateMachine for LedgerMachine {
    type Reply = LedgerReply;
    type Snapshot = LedgerSnapshot;

    fn apply(&mut self, at: At, mut command: &[u8]) -> LedgerReply {
        if command.len() < 10 {
            return LedgerReply::Done;
        }
        let (kind, index, number) = (command.get_u8(), command.get_u8(), command.get_u64_le());
        self.stir([
            u64::from(kind) << 8 | u64::from(index),
            number,
            at.position.0,
        ]);
        match kind {
            0 => {
                self.cells.insert(index, number);
            }
            1 => {
                let count = self.counters.entry(index).or_default();
                *count += 1;
                return LedgerReply::Count(*count);
            }
            2 => self.lists.entry(index).or_default().push(number),
            _ => {
                let rings = at.time.plus_millis(number % 5_000);
                self.alarms.insert((rings, number), index);
            }
        }
        LedgerReply::Done
    }

    fn advance(&mut self, time: Timestamp) {
        while let Some(first) = self.alarms.first_entry() {
            let (due, number) = *first.key();
            if due > time {
                return;
            }
            first.remove();
            self.rung += 1;
            self.stir([9, due.0, number]);
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        self.alarms.first_key_value().map(|((due, _), _)| *due)
    }

    fn snapshot(&self) -> LedgerSnapshot {
        let mut stream = BytesMut::new();
        stream.put_u64_le(self.digest);
        stream.put_u64_le(self.rung);
        for numbers in [&self.cells, &self.counters] {
            stream.put_u64_le(numbers.len() as u64);
            for (index, number) in numbers {
                stream.put_u8(*index);
                stream.put_u64_le(*number);
            }
        }
        stream.put_u64_le(self.lists.len() as u64);
        for (index, items) in &self.lists {
            stream.put_u8(*index);
            stream.put_u64_le(items.len() as u64);
            for item in items {
                stream.put_u64_le(*item);
            }
        }
        stream.put_u64_le(self.alarms.len() as u64);
        for ((due, number), index) in &self.alarms {
            stream.put_u64_le(due.0);
            stream.put_u64_le(*number);
            stream.put_u8(*index);
        }
        LedgerSnapshot {
            rest: stream.freeze(),
        }
    }

    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
        let mut whole = BytesMut::new();
        chunks.for_each(|chunk| whole.extend_from_slice(&chunk));
        let mut stream = Stream(whole.freeze());
        let mut this = Self {
            digest: stream.number()?,
            rung: stream.number()?,
            ..Self::default()
        };
        for numbers in [&mut this.cells, &mut this.counters] {
            for _ in 0..stream.number()? {
                let index = stream.byte()?;
                numbers.insert(index, stream.number()?);
            }
        }
        for _ in 0..stream.number()? {
            let index = stream.byte()?;
            let count = stream.number()?;
            let items = (0..count).map(|_| stream.number());
            this.lists.insert(index, items.collect::<Result<_, _>>()?);
        }
        for _ in 0..stream.number()? {
            let key = (Timestamp(stream.number()?), stream.number()?);
            this.alarms.insert(key, stream.byte()?);
        }
        if stream.0.is_empty() {
            Ok(this)
        } else {
            Err(MalformedSnapshot("bytes behind the end of the ledger"))
        }
    }

    fn digest(&self) -> u64 {
        self.digest
    }
}

/// What is left of a snapshot's stream.
struct Stream(Bytes);

impl Stream {
    const SHORT: MalformedSnapshot = MalformedSnapshot("the ledger ends too early");

    fn number(&mut self) -> Result<u64, MalformedSnapshot> {
        self.0.try_get_u64_le().map_err(|_| Self::SHORT)
    }

    fn byte(&mut self) -> Result<u8, MalformedSnapshot> {
        self.0.try_get_u8().map_err(|_| Self::SHORT)
    }
}

impl SnapshotSource for LedgerSnapshot {
    fn next_chunk(&mut self, bytes_max: usize) -> Option<Bytes> {
        let count = bytes_max.max(1).min(self.rest.len());
        (count > 0).then(|| self.rest.split_to(count))
    }
}
