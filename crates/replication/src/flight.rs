//! What is under way on a link, as its sending end remembers it.

use quorate_core::{Epoch, Position};

use crate::pace::Departure;

/// Something under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// Bytes sent in this run when it had left.
    pub(crate) stamp: u64,
    pub(crate) bytes: u64,
    pub(crate) load: Load,
    pub(crate) kind: Kind,
    pub(crate) departure: Departure,
}

/// What of a flight's bodies is on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// All, and none is large.
    Small,
    /// All; so many bytes that they might have gone hollow.
    Whole(u64),
    /// Not all.
    Hollow,
}

/// What it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Entries, with their place as far as the message says.
    Entries(Option<Span>),
    /// A body that the peer asked for.
    Lent,
}

/// Where the entries of a message stand, and in which epoch they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) epoch: Epoch,
}
