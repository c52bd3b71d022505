//! Messages and records to bytes and back: a small header through postcard, the bodies of commands raw.
//!
//! ```text
//! payload = header length (u32, little-endian) | header (postcard) | body | body | …
//! ```
//! A [`Batch`] puts its label and its lengths into the header; its body follows the header in the order in
//! which [`Carry::batches`] visits, so that a body is neither copied on the way out (it is one slice of a
//! vectored write) nor on the way in (it is one slice of the read buffer).

use alloc::vec::Vec;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use crate::Batch;

/// A message or a record that may carry batches.
pub trait Carry {
    /// Visits every batch, in a fixed order.
    fn batches(&self, visit: &mut dyn FnMut(&Batch));

    /// Visits every batch, in the same order, to complete it.
    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch));
}

/// An encoded message or record: what a vectored write takes.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The header with its length before it.
    pub head: Bytes,
    /// The bodies, shared with the batches they come from; empty ones are left out.
    pub bodies: SmallVec<[Bytes; 2]>,
}

impl Encoded {
    /// All bytes together.
    pub fn len(&self) -> usize {
        self.head.len() + self.bodies.iter().map(Bytes::len).sum::<usize>()
    }

    /// Never: there is always a header.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// The payload as one buffer, copied: for tests, simulators and small things.
    pub fn to_bytes(&self) -> Bytes {
        let mut whole = Vec::with_capacity(self.len());
        whole.extend_from_slice(&self.head);
        for body in &self.bodies {
            whole.extend_from_slice(body);
        }
        whole.into()
    }
}

/// Why a payload is not a message: it was cut, altered, or written by another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It ends before its header does.
    #[error("payload ends inside its header")]
    ShortHeader,
    /// The header is not what postcard expects for this type.
    #[error("malformed header")]
    Header,
    /// It ends before the bodies that its header announces do, or a body is not what its header promises.
    #[error("payload ends inside a command body, or holds another body than announced")]
    ShortBody,
    /// Bytes follow the last body.
    #[error("{0} bytes too many")]
    Excess(usize),
}

/// Encodes `value`: its header is written, its bodies are shared.
pub fn encode<T: Serialize + Carry>(value: &T) -> Encoded {
    let head = postcard::to_extend(value, Vec::from([0u8; 4]))
        .map(|mut head| {
            let length = head.len() as u32 - 4;
            head[..4].copy_from_slice(&length.to_le_bytes());
            Bytes::from(head)
        })
        .expect("a vector takes all and the types of this workspace serialize without failing");
    let mut bodies = SmallVec::new();
    value.batches(&mut |batch| {
        let body = batch.body();
        if !body.is_empty() {
            bodies.push(body);
        }
    });
    Encoded { head, bodies }
}

/// Decodes a payload of [`encode`]; the bodies are slices of it.
pub fn decode<T: DeserializeOwned + Carry>(mut payload: Bytes) -> Result<T, DecodeError> {
    let length = payload.first_chunk::<4>().ok_or(DecodeError::ShortHeader)?;
    let length = u32::from_le_bytes(*length) as usize;
    let header = payload.get(4..).and_then(|rest| rest.get(..length));
    let header = header.ok_or(DecodeError::ShortHeader)?;
    let (mut value, rest) =
        postcard::take_from_bytes::<T>(header).map_err(|_| DecodeError::Header)?;
    if !rest.is_empty() {
        return Err(DecodeError::Header);
    }
    let mut bodies = payload.split_off(4 + length);
    let mut complete = true;
    value.batches_mut(&mut |batch| complete &= batch.attach(&mut bodies));
    if !complete {
        return Err(DecodeError::ShortBody);
    }
    let mut hollow = false;
    value.batches(&mut |batch| hollow |= batch.is_hollow());
    assert!(!hollow, "Carry visits the same batches in both directions");
    if bodies.is_empty() {
        Ok(value)
    } else {
        Err(DecodeError::Excess(bodies.len()))
    }
}

impl Carry for Batch {
    fn batches(&self, visit: &mut dyn FnMut(&Batch)) {
        visit(self);
    }

    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch)) {
        visit(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchBuilder, Label, Timestamp};

    fn sample() -> Batch {
        let mut builder = BatchBuilder::new();
        for command in [&b"one"[..], b"", b"three"] {
            builder.push(command);
        }
        builder
            .finish(Label {
                sequence: 4,
                ..Label::default()
            })
            .expect("three commands")
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let whole = sample();
        for batch in [
            whole.clone(),
            whole.slice(1, 3),
            whole.slice(0, 1),
            Batch::noop(Timestamp(3)),
        ] {
            assert_eq!(decode::<Batch>(encode(&batch).to_bytes()), Ok(batch));
        }
    }

    #[test]
    fn every_shorter_or_longer_payload_is_refused() {
        let payload = encode(&sample()).to_bytes();
        for length in 0..payload.len() {
            decode::<Batch>(payload.slice(..length)).expect_err("a cut payload");
        }
        let mut longer = payload.to_vec();
        longer.push(0);
        assert_eq!(decode::<Batch>(longer.into()), Err(DecodeError::Excess(1)));
    }

    #[test]
    fn bodies_are_shared_both_ways() {
        let batch = sample();
        let encoded = encode(&batch);
        assert_eq!(encoded.bodies[0].as_ptr(), batch.body().as_ptr());
        let payload = encoded.to_bytes();
        let decoded = decode::<Batch>(payload.clone()).expect("whole");
        assert_eq!(
            decoded.body().as_ptr(),
            payload[encoded.head.len()..].as_ptr()
        );
    }
}
