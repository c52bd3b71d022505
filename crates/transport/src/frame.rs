//! What travels: a frame out, a received payload in.

use std::fmt;

use bytes::Bytes;
use quorate_core::{Encoded, Incarnation, Life, NodeId};
use smallvec::SmallVec;

/// Which of the two roads to a peer a frame takes. Each lane is a connection of its own with bounds of its
/// own, so that what is big never stands before what is urgent; order holds within a lane only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Votes, heartbeats, acknowledgements: small and urgent.
    Control,
    /// Entries and snapshots.
    Bulk,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Control, Self::Bulk];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Control),
            1 => Some(Self::Bulk),
            _ => None,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "control",
            Self::Bulk => "bulk",
        })
    }
}

/// A payload on its way out: a head that is already encoded, and bodies that are shared, not copied.
///
/// The receiver gets head and bodies as one run of bytes and must know from the head where it ends.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The road it takes.
    pub lane: Lane,
    /// The encoded message.
    pub head: Bytes,
    /// What the message carries, raw, in order.
    pub bodies: SmallVec<[Bytes; 2]>,
}

impl Frame {
    /// A frame of a head alone.
    pub fn new(lane: Lane, head: impl Into<Bytes>) -> Self {
        Self {
            lane,
            head: head.into(),
            bodies: SmallVec::new(),
        }
    }

    /// This frame with one more body behind it.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.bodies.push(body.into());
        self
    }

    /// A frame of a message encoded by [`quorate_core::encode`].
    pub fn of(lane: Lane, encoded: Encoded) -> Self {
        Self {
            lane,
            head: encoded.head,
            bodies: encoded.bodies,
        }
    }

    /// Bytes of head and bodies together.
    pub fn payload_len(&self) -> usize {
        self.head.len() + self.bodies.iter().map(Bytes::len).sum::<usize>()
    }
}

/// A payload that has arrived whole and passed its checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The member that sent it, as its handshake said.
    pub from: NodeId,
    /// The identity of that member's disk.
    pub incarnation: Incarnation,
    /// The run of that member's process. Never goes back: what an earlier life sent is not delivered once a
    /// frame of a later one was.
    pub life: Life,
    /// The road it took.
    pub lane: Lane,
    /// Head and bodies, one slice of the read buffer. It keeps that buffer alive: for a frame smaller than
    /// 64 KiB its neighbours too.
    pub payload: Bytes,
}
