//! What clients know of one another's registers, so that a read through one member can be held against a write through another.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::verdict::Finding;

/// One public register a client.
pub(crate) struct Board {
    entries: Vec<Mutex<Entry>>,
}

#[derive(Clone)]
struct Entry {
    key: String,
    /// No read that begins now may answer less.
    floor: u64,
    /// No read may answer more.
    issued: u64,
}

/// What was known when a read began.
pub(crate) struct Bound {
    owner: usize,
    /// The register to read.
    pub(crate) key: String,
    floor: u64,
}

impl Board {
    /// The board of clients whose public registers have these names.
    pub(crate) fn new(keys: impl IntoIterator<Item = String>) -> Self {
        let entry = |key| {
            Mutex::new(Entry {
                key,
                floor: 0,
                issued: 0,
            })
        };
        Self {
            entries: keys.into_iter().map(entry).collect(),
        }
    }

    /// How many clients there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// `owner` is about to write `number`.
    pub(crate) fn issue(&self, owner: usize, number: u64) {
        self.entry(owner).issued = number;
    }

    /// The write of `number` by `owner` was acknowledged.
    pub(crate) fn acknowledge(&self, owner: usize, number: u64) {
        let mut entry = self.entry(owner);
        entry.floor = entry.floor.max(number);
    }

    /// `owner` goes on with another register.
    pub(crate) fn renew(&self, owner: usize, key: &str) {
        *self.entry(owner) = Entry {
            key: key.to_owned(),
            floor: 0,
            issued: 0,
        };
    }

    /// What a read of `owner`'s register that begins now must not fall below.
    pub(crate) fn bound(&self, owner: usize) -> Bound {
        let entry = self.entry(owner);
        Bound {
            owner,
            key: entry.key.clone(),
            floor: entry.floor,
        }
    }

    /// Takes in what a read answered that began at `bound`. What was seen once must be seen by all who read later.
    pub(crate) fn observe(&self, bound: &Bound, found: Option<&str>) -> Option<Finding> {
        let Ok(number) = found.unwrap_or("0").parse::<u64>() else {
            return Some(Finding::odd(
                &bound.key,
                format!("holds {found:?}, which nobody wrote"),
            ));
        };
        let mut entry = self.entry(bound.owner);
        let current = entry.key == bound.key;
        if number < bound.floor {
            let text = format!(
                "a stale read: it answered {number}, though {} was acknowledged before it began",
                bound.floor
            );
            return Some(Finding::odd(&bound.key, text));
        }
        if current && number > entry.issued {
            return Some(Finding::odd(
                &bound.key,
                format!("holds {number}, which nobody wrote"),
            ));
        }
        if current {
            entry.floor = entry.floor.max(number);
        }
        None
    }

    fn entry(&self, owner: usize) -> MutexGuard<'_, Entry> {
        // An entry is whole after every line above, so a panic elsewhere spoils nothing.
        self.entries[owner]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new(["a".to_owned(), "b".to_owned()])
    }

    #[test]
    fn a_read_below_what_was_acknowledged_before_is_stale() {
        let board = board();
        board.issue(1, 1);
        board.acknowledge(1, 1);
        let early = board.bound(1);
        board.issue(1, 2);
        board.acknowledge(1, 2);
        let late = board.bound(1);
        assert!(board.observe(&early, Some("1")).is_none());
        assert!(board.observe(&late, Some("1")).is_some());
    }

    #[test]
    fn what_one_read_saw_the_next_must_see_too() {
        let board = board();
        board.issue(0, 1);
        let first = board.bound(0);
        assert!(board.observe(&first, None).is_none());
        assert!(board.observe(&first, Some("1")).is_none());
        let second = board.bound(0);
        assert!(board.observe(&second, None).is_some());
    }

    #[test]
    fn a_value_that_nobody_wrote_is_found() {
        let board = board();
        let bound = board.bound(0);
        assert!(board.observe(&bound, Some("1")).is_some());
        assert!(board.observe(&bound, Some("x")).is_some());
    }

    #[test]
    fn a_read_of_a_register_given_up_meanwhile_binds_nobody() {
        let board = board();
        board.issue(0, 5);
        let bound = board.bound(0);
        board.renew(0, "a2");
        assert!(board.observe(&bound, Some("5")).is_none());
        let new = board.bound(0);
        assert!(board.observe(&new, None).is_none());
    }
}
