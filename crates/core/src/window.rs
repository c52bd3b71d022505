//! How much may be on its way to a peer.

use alloc::collections::VecDeque;

use crate::Position;

/// A window over one peer's link: bounded in bytes and in messages.
#[derive(Clone, Debug)]
pub struct Window {
    limit: Limit,
    /// The last position and the bytes of every message on its way, ascending.
    flying: VecDeque<(Position, u64)>,
    bytes: u64,
}

/// The bounds of a [`Window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes of command bodies on their way at once. One message may exceed it when nothing else is flying.
    pub bytes: u64,
    /// Messages on their way at once.
    pub messages: usize,
}

impl Window {
    /// An empty window.
    pub const fn new(limit: Limit) -> Self {
        Self {
            limit,
            flying: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Whether another message may leave.
    pub fn is_open(&self) -> bool {
        self.flying.len() < self.limit.messages && self.bytes < self.limit.bytes
    }

    /// Bytes that may still leave.
    pub fn room(&self) -> u64 {
        if self.flying.len() < self.limit.messages {
            self.limit.bytes.saturating_sub(self.bytes)
        } else {
            0
        }
    }

    /// A message that ends at `last` has left.
    ///
    /// # Panics
    /// If `last` is not beyond what left before.
    pub fn push(&mut self, last: Position, bytes: u64) {
        assert!(
            self.flying.back().is_none_or(|(before, _)| *before < last),
            "a window is ascending"
        );
        self.flying.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// The peer has confirmed everything up to `upto`.
    pub fn release(&mut self, upto: Position) {
        while let Some((last, bytes)) = self.flying.front().copied() {
            if last > upto {
                break;
            }
            self.bytes -= bytes;
            self.flying.pop_front();
        }
    }

    /// Nothing is on its way any more.
    pub fn clear(&mut self) {
        self.flying.clear();
        self.bytes = 0;
    }

    /// Bytes on their way.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages on their way.
    pub fn messages(&self) -> usize {
        self.flying.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_closes_at_either_bound_and_opens_by_confirmation() {
        let mut window = Window::new(Limit {
            bytes: 100,
            messages: 3,
        });
        window.push(Position(1), 60);
        assert_eq!((window.is_open(), window.room()), (true, 40));
        window.push(Position(5), 60);
        assert_eq!((window.is_open(), window.room()), (false, 0));
        window.release(Position(4));
        assert_eq!((window.is_open(), window.bytes()), (true, 60));
        window.push(Position(6), 1);
        window.push(Position(7), 1);
        assert!(!window.is_open(), "three messages");
        window.release(Position(7));
        assert_eq!((window.bytes(), window.messages()), (0, 0));
    }
}
