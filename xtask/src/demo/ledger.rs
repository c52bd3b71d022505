//! What one client knows of its own keys.
//!
//! A key is written by one client only, one command at a time, so its value is known exactly as long as every write is
//! answered. When a write's outcome is not known, the key is given up: no further write goes there, and from then on it may
//! hold the value before or the value after, until one of them is seen. So a command that takes effect late can never be
//! mistaken for a fault, and a fault never for a late command.

use super::verdict::{Finding, judge};

/// Registers of a client that are in use at one time; cell 0 is also read by other clients.
const REGISTERS: usize = 8;
/// After so many tokens a new log is begun, so that values stay small.
const LOG_TOKENS: u64 = 64;

/// What the value of a key looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `SET` to the number of the write.
    Register,
    /// `INCR`.
    Counter,
    /// `APPEND` of the tokens `0;`, `1;`, …
    Log,
}

/// A key, and what it may hold.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// Its name in the store.
    pub(crate) key: String,
    /// What its value looks like.
    pub(crate) kind: Kind,
    /// The value after all acknowledged writes; empty: none yet.
    pub(crate) value: String,
    /// The value if the write of unknown outcome took effect.
    pub(crate) doubt: Option<String>,
    /// Acknowledged writes.
    writes: u64,
    /// Writes with any outcome. A register is set to this, so that no two writes set the same value.
    tries: u64,
}

/// One command and what it ought to answer.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// What to send.
    pub(crate) action: Action,
    cell: usize,
    after: Option<String>,
}

impl Operation {
    /// Whether it changes anything.
    pub(crate) fn is_write(&self) -> bool {
        self.after.is_some()
    }
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// `GET key`
    Get(String),
    /// `SET key value`
    Set(String, String),
    /// `INCR key`
    Incr(String),
    /// `APPEND key token`
    Append(String, String),
}

/// What a command answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `OK`
    Done,
    /// An integer.
    Number(i64),
    /// A value, or none.
    Value(Option<String>),
}

/// How a command ended, as its client can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done; this is the answer.
    Acknowledged(Answer),
    /// Surely not applied; the error.
    Refused(String),
    /// It may have been applied, or may yet be; the error.
    Unknown(String),
}

/// All keys of one client.
pub(crate) struct Ledger {
    client: usize,
    cells: Vec<Cell>,
    /// For each key in use, its place in `cells`: registers, then the counter, then the log.
    current: Vec<usize>,
    acknowledged_writes: u64,
}

impl Ledger {
    /// A client that has written nothing.
    pub(crate) fn new(client: usize) -> Self {
        let mut ledger = Self {
            client,
            cells: Vec::new(),
            current: Vec::new(),
            acknowledged_writes: 0,
        };
        for place in 0..REGISTERS + 2 {
            let cell = ledger.open(Self::kind(place));
            ledger.current.push(cell);
        }
        ledger
    }

    /// A mixed load on the keys that only this client reads: half reads; of the writes, half `SET`, three in ten `INCR`, two in ten `APPEND`.
    pub(crate) fn next(&self, rng: &mut fastrand::Rng) -> Operation {
        let place = match rng.u32(0..10) {
            0..5 => rng.usize(1..REGISTERS),
            5..8 => REGISTERS,
            _ => REGISTERS + 1,
        };
        let cell = self.current[place];
        if rng.bool() {
            self.read(cell)
        } else {
            self.write(cell)
        }
    }

    /// The client's next write to the register that others read too, and its number.
    pub(crate) fn public_write(&self) -> (Operation, u64) {
        let cell = self.current[0];
        (self.write(cell), self.cells[cell].tries + 1)
    }

    /// The name of the register that others read too. It changes when the outcome of a write to it is unknown.
    pub(crate) fn public_key(&self) -> &str {
        &self.cells[self.current[0]].key
    }

    fn read(&self, cell: usize) -> Operation {
        Operation {
            action: Action::Get(self.cells[cell].key.clone()),
            cell,
            after: None,
        }
    }

    fn write(&self, index: usize) -> Operation {
        let cell = &self.cells[index];
        let key = cell.key.clone();
        let (action, after) = match cell.kind {
            Kind::Register => {
                let value = (cell.tries + 1).to_string();
                (Action::Set(key, value.clone()), value)
            }
            Kind::Counter => (Action::Incr(key), (cell.writes + 1).to_string()),
            Kind::Log => {
                let token = format!("{};", cell.writes);
                let after = format!("{}{token}", cell.value);
                (Action::Append(key, token), after)
            }
        };
        Operation {
            action,
            cell: index,
            after: Some(after),
        }
    }

    /// Takes in how `operation` ended. A finding is what an honest store could not have answered.
    pub(crate) fn settle(&mut self, operation: Operation, outcome: &Outcome) -> Option<Finding> {
        let Operation { cell, after, .. } = operation;
        self.cells[cell].tries += u64::from(after.is_some());
        match (after, outcome) {
            (None, Outcome::Acknowledged(Answer::Value(found))) => {
                self.cells[cell].see(found.as_deref())
            }
            (Some(after), Outcome::Acknowledged(answer)) => self.acknowledge(cell, after, answer),
            (Some(after), Outcome::Unknown(_)) => {
                self.cells[cell].doubt = Some(after);
                self.replace(cell);
                None
            }
            (None, Outcome::Acknowledged(answer)) => Some(Finding::odd(
                &self.cells[cell].key,
                format!("GET answered {answer:?}"),
            )),
            (None, Outcome::Unknown(_)) | (_, Outcome::Refused(_)) => None,
        }
    }

    fn acknowledge(&mut self, index: usize, after: String, answer: &Answer) -> Option<Finding> {
        let cell = &mut self.cells[index];
        let expected = match cell.kind {
            Kind::Register => Answer::Done,
            Kind::Counter => Answer::Number(cell.writes.cast_signed() + 1),
            Kind::Log => Answer::Number(after.len().cast_signed() as i64),
        };
        cell.value = after;
        cell.writes += 1;
        self.acknowledged_writes += 1;
        if *answer != expected {
            let text = format!("a write answered {answer:?} instead of {expected:?}");
            let finding = Finding::odd(&cell.key, text);
            self.replace(index);
            return Some(finding);
        }
        if cell.kind == Kind::Log && cell.writes == LOG_TOKENS {
            self.replace(index);
        }
        None
    }

    /// All keys that were ever used, with what they may hold.
    pub(crate) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Takes in what `cell` holds at the end.
    pub(crate) fn see(&mut self, cell: usize, found: Option<&str>) -> Option<Finding> {
        self.cells[cell].see(found)
    }

    /// How many writes were acknowledged to this client.
    pub(crate) fn acknowledged_writes(&self) -> u64 {
        self.acknowledged_writes
    }

    fn replace(&mut self, cell: usize) {
        let place = self.current.iter().position(|&current| current == cell);
        let place = place.expect("only keys in use are written");
        self.current[place] = self.open(Self::kind(place));
    }

    fn open(&mut self, kind: Kind) -> usize {
        let index = self.cells.len();
        let key = format!("client{}:{index}", self.client);
        self.cells.push(Cell {
            key,
            kind,
            value: String::new(),
            doubt: None,
            writes: 0,
            tries: 0,
        });
        index
    }

    fn kind(place: usize) -> Kind {
        match place {
            0..REGISTERS => Kind::Register,
            REGISTERS => Kind::Counter,
            _ => Kind::Log,
        }
    }
}

impl Cell {
    fn see(&mut self, found: Option<&str>) -> Option<Finding> {
        let found = found.unwrap_or_default();
        if found == self.value {
            return None;
        }
        if self.doubt.as_deref() == Some(found) {
            // From now on the value before must not be seen any more.
            self.value = self.doubt.take().expect("it was compared just now");
            return None;
        }
        Some(judge(self, found))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const COUNTER: usize = REGISTERS;
    const LOG: usize = REGISTERS + 1;

    fn acknowledged(answer: Answer) -> Outcome {
        Outcome::Acknowledged(answer)
    }

    fn value(text: &str) -> Outcome {
        acknowledged(Answer::Value(Some(text.to_owned())))
    }

    #[test]
    fn an_honest_store_gives_no_finding() {
        let mut ledger = Ledger::new(0);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut store = std::collections::HashMap::<String, String>::new();
        for _ in 0..20_000 {
            let operation = ledger.next(&mut rng);
            let answer = match operation.action.clone() {
                Action::Get(key) => Answer::Value(store.get(&key).cloned()),
                Action::Set(key, value) => {
                    store.insert(key, value);
                    Answer::Done
                }
                Action::Incr(key) => {
                    let value = store.entry(key).or_default();
                    let next = value.parse::<i64>().unwrap_or(0) + 1;
                    *value = next.to_string();
                    Answer::Number(next)
                }
                Action::Append(key, token) => {
                    let value = store.entry(key).or_default();
                    value.push_str(&token);
                    Answer::Number(value.len().cast_signed() as i64)
                }
            };
            let finding = ledger.settle(operation, &acknowledged(answer));
            assert!(finding.is_none(), "{finding:?}");
        }
        assert!(ledger.acknowledged_writes() > 9_000);
        assert!(ledger.cells().len() > REGISTERS + 2, "no log was ever full");
    }

    #[test]
    fn after_an_unknown_write_both_values_pass_until_one_is_seen() {
        let mut ledger = Ledger::new(0);
        let write = ledger.write(COUNTER);
        assert!(
            ledger
                .settle(write, &Outcome::Unknown("timeout".into()))
                .is_none()
        );
        assert!(ledger.see(COUNTER, None).is_none());
        assert!(ledger.see(COUNTER, Some("1")).is_none());
        let finding = ledger.see(COUNTER, None).unwrap();
        assert_eq!(finding.lost, 1);
    }

    #[test]
    fn a_key_with_an_unknown_write_is_never_written_again() {
        let mut ledger = Ledger::new(0);
        let write = ledger.write(0);
        let given_up = write.action.clone();
        ledger.settle(write, &Outcome::Unknown("timeout".into()));
        let Action::Set(key, _) = given_up else {
            panic!("cell 0 is a register")
        };
        assert_ne!(ledger.public_key(), key);
        let (next, number) = ledger.public_write();
        assert_eq!(number, 1);
        assert_eq!(
            next.action,
            Action::Set(ledger.public_key().to_owned(), "1".to_owned())
        );
    }

    #[test]
    fn a_refused_write_that_took_effect_is_found() {
        let mut ledger = Ledger::new(0);
        let write = ledger.write(COUNTER);
        ledger.settle(write, &Outcome::Refused("NOTLEADER".into()));
        let finding = ledger.see(COUNTER, Some("1")).unwrap();
        assert_eq!((finding.lost, finding.extra), (0, 1));
    }

    #[test]
    fn an_increment_that_counts_twice_is_found_at_once() {
        let mut ledger = Ledger::new(0);
        let write = ledger.write(COUNTER);
        assert!(
            ledger
                .settle(write, &acknowledged(Answer::Number(2)))
                .is_some()
        );
    }

    #[test]
    fn a_stale_read_is_found() {
        let mut ledger = Ledger::new(0);
        for _ in 0..2 {
            let write = ledger.write(0);
            ledger.settle(write, &acknowledged(Answer::Done));
        }
        let read = ledger.read(0);
        assert!(ledger.settle(read.clone(), &value("2")).is_none());
        assert_eq!(ledger.settle(read, &value("1")).unwrap().lost, 1);
    }

    #[test]
    fn a_token_that_is_missing_or_doubled_is_found() {
        let mut ledger = Ledger::new(0);
        let mut length = 0;
        for _ in 0..3 {
            let write = ledger.write(LOG);
            length += 2;
            ledger.settle(write, &acknowledged(Answer::Number(length)));
        }
        assert!(ledger.see(LOG, Some("0;1;2;")).is_none());
        assert_eq!(ledger.see(LOG, Some("0;2;")).unwrap().lost, 1);
        assert_eq!(ledger.see(LOG, Some("0;1;1;2;")).unwrap().extra, 1);
        let disorder = ledger.see(LOG, Some("0;2;1;")).unwrap();
        assert_eq!((disorder.lost, disorder.extra), (0, 0));
    }
}
