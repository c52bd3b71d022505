//! Taking bodies out of messages, and telling whether a body is the right one.
//!
//! A body is named by who proposed its first command, in which run and under which number: together unique for ever
//! ([`Label`](quorate_core::Label)), whatever leaders do. The lengths of the commands and XXH3-128 of the body stand
//! beside the name. The name already tells bodies apart that anyone could choose; the fingerprint guards against what
//! nobody chose: bugs and flipped bits, of which one in 2^128 passes. It need not withstand forgers: members that lie
//! are not what these logs are built for, and a client cannot choose a label.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use quorate_core::{Batch, Label, Life, Message, NodeId, Position, ReplicatedLog, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

use crate::frame::{Void, Want};

/// Fingerprints of bodies that were hollowed of late: one body goes to several peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prints {
    known: VecDeque<(Name, u128)>,
}

/// What tells the body of a batch from all others.
type Name = ((NodeId, Life, u64), u64);

impl Prints {
    const KNOWN_MAX: usize = 32;

    fn of(&mut self, batch: &Batch) -> u128 {
        let name = (origin(batch.label()), batch.len());
        if let Some((_, print)) = self.known.iter().find(|(known, _)| *known == name) {
            return *print;
        }
        if self.known.len() >= Self::KNOWN_MAX {
            self.known.pop_front();
        }
        let print = xxh3_128(&batch.body());
        self.known.push_back((name, print));
        print
    }
}

const fn origin(label: Label) -> (NodeId, Life, u64) {
    (label.origin, label.life, label.sequence)
}

/// What a message goes without.
pub(crate) enum Lack {
    /// Nothing.
    Nothing,
    /// This body; the member was sent it with the message.
    Body(Option<NodeId>),
}

/// Takes out of `message`, whose first command stands at `first`, the bodies of at least `least` bytes that it is to
/// lack. Returns what is missing.
pub(crate) fn hollow<M: Message>(
    message: &mut M,
    first: Position,
    least: u64,
    prints: &mut Prints,
    lack: impl Fn(Position) -> Lack,
) -> Vec<Void> {
    let (mut voids, mut at, mut index) = (Vec::new(), first, 0);
    message.batches_mut(&mut |batch| {
        let here = at;
        at = at.plus(batch.len());
        index += 1;
        if batch.bytes() < least {
            return;
        }
        if let Lack::Body(holder) = lack(here) {
            voids.push(Void {
                index: index - 1,
                first: here,
                hollow: batch.hollow(),
                fingerprint: prints.of(batch),
                holder,
            });
            *batch = Batch::noop(Timestamp::ZERO);
        }
    });
    voids
}

impl Void {
    /// The question for this body.
    pub(crate) fn want(&self, number: u64, holder: Option<NodeId>) -> Want {
        Want {
            number,
            first: self.first,
            count: self.hollow.len(),
            bytes: self.hollow.bytes(),
            origin: origin(self.hollow.label()),
            expected: self.holder.is_some() && self.holder == holder,
        }
    }

    /// The batch, if these pieces are its body. One piece is shared, several are copied together.
    pub(crate) fn fill(&self, pieces: &[Batch]) -> Option<Batch> {
        let body = match pieces {
            [piece] => piece.body(),
            pieces => {
                let bytes: u64 = pieces.iter().map(Batch::bytes).sum();
                if bytes != self.hollow.bytes() {
                    return None;
                }
                let mut body = bytes::BytesMut::with_capacity(bytes as usize);
                for piece in pieces {
                    body.extend_from_slice(&piece.body());
                }
                body.freeze()
            }
        };
        let right = body.len() as u64 == self.hollow.bytes() && xxh3_128(&body) == self.fingerprint;
        if right {
            self.hollow.clone().fill(body)
        } else {
            None
        }
    }
}

/// The body that is wanted, in the pieces in which `log` holds it; none: it does not hold it.
pub(crate) fn find<L: ReplicatedLog>(log: &L, want: &Want) -> Option<Vec<Batch>> {
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    let (node, life, sequence) = want.origin;
    let (mut at, mut left, mut number) = (want.first, want.count, sequence);
    while left > 0 {
        let (_, batch) = log.held(at, u64::MAX)?;
        let batch = if batch.len() > left {
            batch.slice(0, left)
        } else {
            batch
        };
        bytes += batch.bytes();
        if batch.is_noop() || origin(batch.label()) != (node, life, number) || bytes > want.bytes {
            return None;
        }
        let length = batch.len();
        pieces.push(batch);
        (at, left) = (at.plus(length), left - length);
        number = number.checked_add(length)?;
    }
    (bytes == want.bytes).then_some(pieces)
}

#[cfg(test)]
mod tests {
    use quorate_core::BatchBuilder;

    use super::*;

    fn batch() -> Batch {
        let mut builder = BatchBuilder::new();
        for command in [&b"one"[..], b"two", b"three"] {
            builder.push(command);
        }
        let label = Label {
            origin: NodeId(4),
            sequence: 10,
            ..Label::default()
        };
        builder.finish(label).expect("three commands")
    }

    fn void(batch: &Batch) -> Void {
        Void {
            index: 0,
            first: Position(7),
            hollow: batch.hollow(),
            fingerprint: Prints::default().of(batch),
            holder: None,
        }
    }

    #[test]
    fn pieces_make_the_batch_again_however_it_is_cut() {
        let whole = batch();
        let void = void(&whole);
        assert_eq!(
            void.fill(core::slice::from_ref(&whole)),
            Some(whole.clone())
        );
        let cut = [whole.slice(0, 1), whole.slice(1, 3)];
        assert_eq!(void.fill(&cut), Some(whole));
    }

    #[test]
    fn a_body_that_differs_in_one_bit_is_refused() {
        let whole = batch();
        let void = void(&whole);
        let mut body = whole.body().to_vec();
        body[5] ^= 1;
        let wrong = whole.hollow().fill(body.into()).expect("the same length");
        assert_eq!(void.fill(&[wrong]), None);
        assert_eq!(void.fill(&[whole.slice(0, 2)]), None);
        assert_eq!(void.fill(&[]), None);
    }
}
