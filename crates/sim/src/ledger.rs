//! The built-in workload: cells, counters and lists, in which a lost, repeated or reordered command shows.

mod glimpses;
mod machine;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use quorate_core::{Position, ReadLevel, Rng};

pub use machine::{LedgerMachine, LedgerReply, LedgerSnapshot};

use crate::linearizability::{Model, Operation, Outcome, check_by_key};
use crate::{Glimpse, Workload};

/// What clients do to a [`LedgerMachine`], and how it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// How many keys of each kind there are: few keys, much contention.
    pub keys: u8,
    /// Of a hundred operations, so many read.
    pub reads: u8,
    /// Bytes that a command is filled up with, at most.
    pub filling: u32,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which cell, counter, list or alarm.
    pub key: Key,
    /// None: read. Otherwise unique.
    pub change: Option<u64>,
    /// Bytes that say nothing.
    pub filling: u32,
    /// How fresh the answer has to be, if it is a read.
    pub level: ReadLevel,
}

/// What there is in a ledger. A key's kind never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Holds the number that was written last.
    Cell(u8),
    /// Counts its changes, and answers each with the count.
    Counter(u8),
    /// Holds all numbers in the order in which they were appended.
    List(u8),
    /// Rings a while after it was set, by log time.
    Alarm(u8),
}

/// What an operation answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing but that it is done.
    Done,
    /// A cell's content or a counter's count.
    Number(u64),
    /// A list's items.
    Items(Vec<u64>),
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            keys: 2,
            reads: 40,
            filling: 64,
        }
    }
}

impl Ledger {
    /// The ledger of a seed: few keys or several, many reads or few, small commands or larger ones.
    pub fn drawn(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x6c65_6467);
        Self {
            keys: 1 + rng.below(3) as u8,
            reads: [10, 40, 80][rng.below(3) as usize],
            filling: [0, 64, 400, 1_000][rng.below(4) as usize],
        }
    }
}

impl Workload for Ledger {
    type Machine = LedgerMachine;
    type Input = Entry;
    type Output = Seen;

    fn machine(&self) -> LedgerMachine {
        LedgerMachine::default()
    }

    fn draw(&self, rng: &mut Rng, number: u64) -> Entry {
        let index = rng.below(u64::from(self.keys.max(1))) as u8;
        let reads = rng.below(100) < u64::from(self.reads);
        let key = match rng.below(13) {
            0..=3 => Key::Cell(index),
            4..=7 => Key::Counter(index),
            8..=11 => Key::List(index),
            _ => Key::Alarm(index),
        };
        Entry {
            key,
            change: (!reads).then_some(number),
            filling: rng.below(u64::from(self.filling) + 1) as u32,
            level: if reads {
                level(rng)
            } else {
                ReadLevel::Linearizable
            },
        }
    }

    fn command(&self, input: &Entry) -> Option<Bytes> {
        let number = input.change?;
        let (kind, index) = input.key.code();
        let mut command = BytesMut::with_capacity(10 + input.filling as usize);
        command.put_u8(kind);
        command.put_u8(index);
        command.put_u64_le(number);
        command.put_bytes(0x5a, input.filling as usize);
        Some(command.freeze())
    }

    fn level(&self, input: &Entry) -> ReadLevel {
        input.level
    }

    fn answer(&self, _: &Entry, reply: LedgerReply) -> Seen {
        match reply {
            LedgerReply::Done => Seen::Done,
            LedgerReply::Count(count) => Seen::Number(count),
        }
    }

    fn query(&self, machine: &LedgerMachine, input: &Entry) -> Seen {
        match input.key {
            Key::Cell(index) => Seen::Number(machine.cell(index)),
            Key::Counter(index) => Seen::Number(machine.counter(index)),
            Key::List(index) => Seen::Items(machine.list(index).to_vec()),
            Key::Alarm(_) => Seen::Done,
        }
    }

    fn closing(&self, number: u64) -> Vec<Entry> {
        let entry = |key, change| Entry {
            key,
            change,
            filling: 0,
            level: ReadLevel::Linearizable,
        };
        let kinds = [Key::Cell as fn(u8) -> Key, Key::Counter, Key::List];
        let all = (0..self.keys.max(1)).flat_map(|index| kinds.map(|kind| kind(index)));
        let writes = kinds
            .into_iter()
            .zip(number..)
            .map(|(kind, n)| entry(kind(0), Some(n)));
        writes.chain(all.map(|key| entry(key, None))).collect()
    }

    fn judge(&self, history: &[Operation<Entry, Seen>]) -> Result<(), String> {
        let told: Vec<_> = history
            .iter()
            .filter(|operation| operation.input.is_judged())
            .cloned()
            .collect();
        check_by_key(&LedgerModel::new(&told), &told, |entry| entry.key)
            .map_err(|(key, verdict)| explain(key, &verdict, &told))
    }

    fn judge_glimpses(
        &self,
        applied: &[(Position, &Entry)],
        glimpses: &[Glimpse<'_, Entry, Seen>],
    ) -> Result<(), String> {
        glimpses::judge(applied, glimpses)
    }
}

/// How fresh a read has to be: half of them as fresh as can be.
fn level(rng: &mut Rng) -> ReadLevel {
    match rng.below(8) {
        0 | 1 => ReadLevel::Local,
        2 | 3 => {
            let millis = [20, 200, 1_000][rng.below(3) as usize];
            ReadLevel::Bounded(Duration::from_millis(millis))
        }
        4 => ReadLevel::Lease,
        _ => ReadLevel::Linearizable,
    }
}

/// The first thing that does not fit, for people.
fn explain(
    key: Key,
    verdict: &crate::linearizability::Verdict,
    history: &[Operation<Entry, Seen>],
) -> String {
    let crate::linearizability::Verdict::Impossible(found) = verdict else {
        return format!("{key:?}: {verdict:?}");
    };
    let recent = &found.explained[found.explained.len().saturating_sub(4)..];
    let lines = recent
        .iter()
        .map(|index| format!("\n  then {:?}", history[*index]));
    let before: String = lines.collect();
    format!(
        "{key:?}: no order explains {:?} behind{before}",
        history[found.stuck]
    )
}

impl Entry {
    /// Whether the history of its key has to be linearizable with it.
    fn is_judged(&self) -> bool {
        let fresh = self.change.is_some() || self.level.is_linearizable();
        fresh && !matches!(self.key, Key::Alarm(_))
    }
}

impl Key {
    fn code(self) -> (u8, u8) {
        match self {
            Self::Cell(index) => (0, index),
            Self::Counter(index) => (1, index),
            Self::List(index) => (2, index),
            Self::Alarm(index) => (3, index),
        }
    }
}

/// What one key does, told apart from the machine that is judged by it.
struct LedgerModel {
    /// The longest that each list was seen: what is appended has to be what stands there.
    longest: BTreeMap<Key, Vec<u64>>,
}

impl LedgerModel {
    fn new(history: &[Operation<Entry, Seen>]) -> Self {
        let mut longest: BTreeMap<Key, Vec<u64>> = BTreeMap::new();
        for operation in history {
            if let Outcome::Returned {
                output: Seen::Items(items),
                ..
            } = &operation.outcome
            {
                let known = longest.entry(operation.input.key).or_default();
                if items.len() > known.len() {
                    known.clone_from(items);
                }
            }
        }
        Self { longest }
    }

    /// Whether `item` may stand behind `count` others in the list `key`.
    fn fits(&self, key: Key, count: u64, item: u64) -> bool {
        let known = self
            .longest
            .get(&key)
            .and_then(|items| items.get(count as usize));
        known.is_none_or(|known| *known == item)
    }
}

impl Model for LedgerModel {
    /// The content or count; a hash of a list's items and their number.
    type State = (u64, u64);
    type Input = Entry;
    type Output = Seen;

    fn initial(&self) -> (u64, u64) {
        (0, 0)
    }

    fn step(&self, state: &(u64, u64), input: &Entry, output: Option<&Seen>) -> Option<(u64, u64)> {
        let (top, count) = *state;
        let next = match (input.key, input.change) {
            (_, None) | (Key::Alarm(_), _) => *state,
            (Key::Cell(_), Some(number)) => (number, 0),
            (Key::Counter(_), Some(_)) => (top + 1, 0),
            (Key::List(_), Some(number)) => self
                .fits(input.key, count, number)
                .then(|| (chain(top, number), count + 1))?,
        };
        let fits = match output {
            None | Some(Seen::Done) => true,
            Some(Seen::Number(number)) => *number == next.0,
            Some(Seen::Items(items)) => hash(items) == top && items.len() as u64 == count,
        };
        fits.then_some(next)
    }

    fn mark(&self, input: &Entry) -> Option<u64> {
        input
            .change
            .filter(|_| !matches!(input.key, Key::Counter(_)))
    }

    fn shows(&self, input: &Entry, output: &Seen) -> Vec<u64> {
        match (input.key, output) {
            (Key::Cell(_), Seen::Number(number)) => vec![*number],
            (_, Seen::Items(items)) => items.clone(),
            _ => Vec::new(),
        }
    }

    fn top(&self, state: &(u64, u64)) -> Option<u64> {
        Some(state.0)
    }

    fn needs(&self, input: &Entry, output: &Seen) -> Option<u64> {
        match (output, input.change) {
            (Seen::Done, _) => None,
            (Seen::Number(number), None) => Some(*number),
            (Seen::Number(count), Some(_)) => count.checked_sub(1),
            (Seen::Items(items), _) => Some(hash(items)),
        }
    }

    fn interchangeable(&self, one: &Entry, other: &Entry) -> bool {
        matches!(one.key, Key::Counter(_)) && one.change.is_some() && other.change.is_some()
    }
}

fn hash(items: &[u64]) -> u64 {
    items.iter().fold(0, |hash, item| chain(hash, *item))
}

/// A hash of a list, item by item.
fn chain(hash: u64, item: u64) -> u64 {
    (hash.rotate_left(5) ^ item)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(1)
}
