//! What must wait for the disk, waits here.

use alloc::collections::VecDeque;

use crate::Mark;

/// Holds values until the write they depend on is durable (law 2: every `Send` may go at once, because what may
/// not was never sent).
///
/// Values come out in the order in which they went in.
#[derive(Clone, Debug)]
pub struct Gate<T> {
    held: VecDeque<(Mark, T)>,
    durable: Mark,
}

impl<T> Gate<T> {
    /// An open gate: everything up to `durable` is on disk.
    pub const fn new(durable: Mark) -> Self {
        Self {
            held: VecDeque::new(),
            durable,
        }
    }

    /// The highest mark known to be on disk.
    pub const fn durable(&self) -> Mark {
        self.durable
    }

    /// Holds `value` until everything up to `until` is durable. It comes out of the next [`Self::pop`] at once
    /// if it already is.
    ///
    /// # Panics
    /// If `until` is below that of a value held before: the order of promises is the order of writes.
    pub fn hold(&mut self, until: Mark, value: T) {
        let last = self.held.back().map_or(Mark::ZERO, |(mark, _)| *mark);
        assert!(
            until >= last,
            "held until {until} behind a value held until {last}"
        );
        self.held.push_back((until, value));
    }

    /// Everything up to `upto` is durable now. Lower and repeated marks change nothing (law 3: cumulative).
    pub fn release(&mut self, upto: Mark) {
        self.durable = self.durable.max(upto);
    }

    /// The next value whose write is durable.
    pub fn pop(&mut self) -> Option<T> {
        let (mark, _) = self.held.front()?;
        if *mark > self.durable {
            return None;
        }
        self.held.pop_front().map(|(_, value)| value)
    }

    /// How many values are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Drops what is held and no longer wanted.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.held.retain(|(_, value)| keep(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_before_its_write_is_durable() {
        let mut gate = Gate::new(Mark(1));
        gate.hold(Mark(1), "at once");
        gate.hold(Mark(3), "later");
        assert_eq!((gate.pop(), gate.pop()), (Some("at once"), None));
        gate.release(Mark(2));
        assert_eq!(gate.pop(), None);
        gate.release(Mark(3));
        gate.release(Mark(2));
        assert_eq!((gate.pop(), gate.durable()), (Some("later"), Mark(3)));
    }

    #[test]
    #[should_panic(expected = "held until 1 behind")]
    fn promises_are_held_in_the_order_of_writes() {
        let mut gate = Gate::new(Mark(0));
        gate.hold(Mark(2), ());
        gate.hold(Mark(1), ());
    }
}
