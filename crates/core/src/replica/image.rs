//! A snapshot's stream: what the replica itself must remember, then the state machine's chunks.
//!
//! ```text
//! stream = bookkeeping session … empty chunk …        each a frame: length (u32, little-endian) | bytes
//! ```
//! The first frame is the replica's own [`Bookkeeping`] through postcard; then come its sessions, several a frame, and an
//! empty frame behind them; each further one is one chunk of the state machine, whose boundaries are kept.

use alloc::sync::Arc;
use alloc::vec::{self, Vec};
use core::fmt::{self, Debug};

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::origins::Origins;
use super::sessions::{Session, Sessions};
use crate::{
    Configuration, MalformedSnapshot, Position, SnapshotMeta, SnapshotSource, StateMachine,
    Timestamp,
};

/// What every replica remembers beside the state machine, replicated as that is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Bookkeeping {
    /// Log time.
    pub(super) time: Timestamp,
    /// Which commands of which member were applied.
    pub(super) origins: Origins,
    /// The last configuration applied, and where it stands in the log.
    pub(super) configured: Option<(Position, Configuration)>,
    /// The clients' sessions: they may be many, so that they have frames of their own.
    #[serde(skip)]
    pub(super) sessions: Sessions,
}

/// The stream of a snapshot being taken.
pub struct Image<P> {
    head: Option<Bytes>,
    /// None: the frame that ends them was given.
    sessions: Option<vec::IntoIter<Arc<Session>>>,
    machine: P,
}

impl<P: SnapshotSource> Image<P> {
    pub(super) fn new(bookkeeping: &Bookkeeping, machine: P) -> Self {
        let head = postcard::to_extend(bookkeeping, Vec::new())
            .expect("a vector takes all, and these types serialize without failing");
        Self {
            head: Some(head.into()),
            sessions: Some(bookkeeping.sessions.all().collect::<Vec<_>>().into_iter()),
            machine,
        }
    }

    /// The next sessions, of about `bytes_max` bytes; empty behind the last.
    fn next_sessions(&mut self, bytes_max: usize) -> Option<Bytes> {
        let rest = self.sessions.as_mut()?;
        let mut frame = Vec::new();
        while frame.is_empty() || frame.len() < bytes_max {
            let Some(session) = rest.next() else { break };
            frame = postcard::to_extend(&*session, frame)
                .expect("a vector takes all, and these types serialize without failing");
        }
        if frame.is_empty() {
            self.sessions = None;
        }
        Some(frame.into())
    }
}

impl<P: SnapshotSource> SnapshotSource for Image<P> {
    fn next_chunk(&mut self, bytes_max: usize) -> Option<Bytes> {
        let head = self.head.take();
        let own = head.or_else(|| self.next_sessions(bytes_max));
        let chunk = own.or_else(|| self.machine.next_chunk(bytes_max))?;
        let mut frame = BytesMut::with_capacity(4 + chunk.len());
        let length = u32::try_from(chunk.len()).expect("chunks are far below 4 GiB");
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&chunk);
        Some(frame.freeze())
    }
}

impl<P> Debug for Image<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Image")
    }
}

/// A state read back from a snapshot, or the empty one.
#[derive(Debug)]
pub struct Restored<S> {
    pub(super) snapshot: Option<SnapshotMeta>,
    pub(super) bookkeeping: Bookkeeping,
    pub(super) machine: S,
}

impl<S: StateMachine> Restored<S> {
    /// The state before the first command.
    pub fn empty(machine: S) -> Self {
        Self {
            snapshot: None,
            bookkeeping: Bookkeeping::default(),
            machine,
        }
    }

    /// The state in the stream of `snapshot`, which may come in pieces of any size.
    ///
    /// # Errors
    /// [`MalformedSnapshot`] if the stream is not one that an [`Image`] of this state machine gave.
    pub fn read(
        snapshot: SnapshotMeta,
        stream: &mut dyn Iterator<Item = Bytes>,
    ) -> Result<Self, MalformedSnapshot> {
        let mut frames = Frames {
            stream,
            buffer: BytesMut::new(),
            torn: false,
        };
        let head = frames.next().ok_or(MalformedSnapshot("no bookkeeping"))?;
        let mut bookkeeping: Bookkeeping =
            postcard::from_bytes(&head).map_err(|_| MalformedSnapshot("bookkeeping"))?;
        frames.sessions(&mut bookkeeping.sessions)?;
        let machine = S::restore(&mut frames)?;
        if frames.torn || frames.next().is_some() {
            return Err(MalformedSnapshot(
                "the stream does not end where the state does",
            ));
        }
        Ok(Self {
            snapshot: Some(snapshot),
            bookkeeping,
            machine,
        })
    }

    /// The snapshot it was read from.
    pub const fn snapshot(&self) -> Option<SnapshotMeta> {
        self.snapshot
    }

    /// The last configuration that the snapshot includes and where it stands, for [`Memory`](crate::Memory).
    pub const fn configuration(&self) -> Option<&(Position, Configuration)> {
        self.bookkeeping.configured.as_ref()
    }
}

/// Cuts a stream back into frames.
struct Frames<'a> {
    stream: &'a mut dyn Iterator<Item = Bytes>,
    buffer: BytesMut,
    /// The stream ended inside a frame.
    torn: bool,
}

impl Frames<'_> {
    /// Reads sessions up to the frame that ends them.
    fn sessions(&mut self, into: &mut Sessions) -> Result<(), MalformedSnapshot> {
        let malformed = MalformedSnapshot("sessions");
        loop {
            let frame = self.next().ok_or(malformed.clone())?;
            let mut rest = &frame[..];
            if rest.is_empty() {
                return Ok(());
            }
            while !rest.is_empty() {
                let (session, behind) =
                    postcard::take_from_bytes(rest).map_err(|_| malformed.clone())?;
                rest = behind;
                if !into.restore(session) {
                    return Err(malformed);
                }
            }
        }
    }
}

impl Iterator for Frames<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(length) = self.buffer.first_chunk::<4>() {
                let length = u32::from_le_bytes(*length) as usize;
                if self.buffer.len() >= 4 + length {
                    self.buffer.advance(4);
                    return Some(self.buffer.split_to(length).freeze());
                }
            }
            let Some(piece) = self.stream.next() else {
                self.torn |= !self.buffer.is_empty();
                return None;
            };
            self.buffer.extend_from_slice(&piece);
        }
    }
}
