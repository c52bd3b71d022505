//! What reads saw, against what was applied up to there: told apart from the machine that is judged by it.

use std::collections::BTreeMap;

use quorate_core::Position;

use super::{Entry, Key, Seen};
use crate::Glimpse;

/// Whether each read saw every change up to its position, and none behind it.
pub(super) fn judge(
    applied: &[(Position, &Entry)],
    glimpses: &[Glimpse<'_, Entry, Seen>],
) -> Result<(), String> {
    let mut changes: BTreeMap<Key, Vec<(Position, u64)>> = BTreeMap::new();
    for (at, entry) in applied {
        let number = entry.change.ok_or("a read was applied")?;
        changes.entry(entry.key).or_default().push((*at, number));
    }
    for Glimpse { input, at, output } in glimpses {
        let all = changes.get(&input.key).map_or(&[][..], Vec::as_slice);
        let seen = &all[..all.partition_point(|(changed, _)| changed <= at)];
        if !fits(input.key, seen, output) {
            let last = seen.last();
            return Err(format!(
                "{:?} read {:?} at {at}: {output:?}, after {} changes, the last {last:?}",
                input.level,
                input.key,
                seen.len(),
            ));
        }
    }
    Ok(())
}

fn fits(key: Key, changes: &[(Position, u64)], output: &Seen) -> bool {
    let mut numbers = changes.iter().map(|(_, number)| *number);
    match (key, output) {
        (Key::Cell(_), Seen::Number(number)) => *number == numbers.next_back().unwrap_or(0),
        (Key::Counter(_), Seen::Number(count)) => *count == changes.len() as u64,
        (Key::List(_), Seen::Items(items)) => numbers.eq(items.iter().copied()),
        (Key::Alarm(_), Seen::Done) => true,
        (Key::Cell(_) | Key::Counter(_) | Key::List(_) | Key::Alarm(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::ReadLevel;

    use super::*;

    fn entry(key: Key, change: Option<u64>) -> Entry {
        Entry {
            key,
            change,
            filling: 0,
            level: ReadLevel::Local,
        }
    }

    /// What reads of these keys at these positions saw, behind four changes.
    fn verdict(key: Key, at: u64, output: &Seen) -> Result<(), String> {
        let changes = [
            entry(Key::Cell(0), Some(7)),
            entry(Key::Counter(0), Some(8)),
            entry(Key::List(0), Some(9)),
            entry(Key::Cell(0), Some(10)),
        ];
        // The fourth position holds none: a no-op.
        let places = [1, 2, 3, 5].map(Position);
        let applied: Vec<_> = places.into_iter().zip(&changes).collect();
        let input = &entry(key, None);
        let at = Position(at);
        judge(&applied, &[Glimpse { input, at, output }])
    }

    #[test]
    fn a_read_may_be_old_but_only_as_old_as_its_position() {
        let cell = |at, number| verdict(Key::Cell(0), at, &Seen::Number(number));
        assert_eq!(cell(0, 0), Ok(()));
        assert_eq!(cell(1, 7), Ok(()));
        assert_eq!(cell(4, 7), Ok(()));
        assert_eq!(cell(5, 10), Ok(()));
        assert!(cell(5, 7).is_err(), "older than it says");
        assert!(cell(4, 10).is_err(), "newer than it says");
        assert!(cell(5, 11).is_err(), "never written");
    }

    #[test]
    fn counters_and_lists_hold_all_changes_up_to_there() {
        let counter = |at, count| verdict(Key::Counter(0), at, &Seen::Number(count));
        let list = |at, items: &[u64]| verdict(Key::List(0), at, &Seen::Items(items.to_vec()));
        assert_eq!((counter(1, 0), counter(9, 1)), (Ok(()), Ok(())));
        assert!(counter(9, 2).is_err());
        assert_eq!((list(2, &[]), list(3, &[9])), (Ok(()), Ok(())));
        assert!(list(3, &[]).is_err() && list(3, &[9, 9]).is_err());
    }
}
