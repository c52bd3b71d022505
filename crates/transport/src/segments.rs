//! The outgoing stream as a list of slices: headers and small pieces are gathered, large bodies stand as
//! they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::codec::{HEADER_BYTES, beat, frame_header};
use crate::frame::{Frame, Lane};

/// A piece up to this many bytes is copied behind its header: one slice more for the kernel costs about as much.
pub(crate) const GATHER_BYTES: usize = 1024;

/// Gathered bytes are cut into slices of about this size.
const STAGING_BYTES: usize = 64 * 1024;

/// Encoded frames that wait for the writer.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    staging: BytesMut,
    batch: Batch,
}

impl Segments {
    pub(crate) fn push(&mut self, version: u8, frame: &Frame) {
        self.gather(&frame_header(version, frame));
        for piece in std::iter::once(&frame.head).chain(&frame.bodies) {
            if piece.len() <= GATHER_BYTES {
                self.gather(piece);
            } else {
                self.seal();
                self.batch.slices.push_back(piece.clone());
            }
        }
        let bytes = HEADER_BYTES + frame.payload_len();
        self.batch.ends.push_back(End {
            bytes,
            counts: true,
        });
    }

    pub(crate) fn push_beat(&mut self, version: u8, lane: Lane) {
        self.gather(&beat(version, lane));
        self.batch.ends.push_back(End {
            bytes: HEADER_BYTES,
            counts: false,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.staging.is_empty() && self.batch.is_empty()
    }

    /// All that waits, in exchange for `written`, which must be empty and is reused.
    pub(crate) fn take(&mut self, written: Batch) -> Batch {
        debug_assert!(
            written.is_empty(),
            "a batch is replaced only once it is written"
        );
        self.seal();
        std::mem::replace(&mut self.batch, written)
    }

    fn gather(&mut self, piece: &[u8]) {
        if self.staging.len() + piece.len() > self.staging.capacity() {
            self.seal();
            self.staging.reserve(STAGING_BYTES);
        }
        self.staging.extend_from_slice(piece);
    }

    fn seal(&mut self) {
        if !self.staging.is_empty() {
            self.batch.slices.push_back(self.staging.split().freeze());
        }
    }
}

/// Where a frame ends: `bytes` of it are still to be written.
#[derive(Clone, Copy, Debug)]
struct End {
    bytes: usize,
    counts: bool,
}

/// Slices on their way into the socket.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    slices: VecDeque<Bytes>,
    ends: VecDeque<End>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// Fills `out` with the next slices and tells how many.
    pub(crate) fn fill<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let filled = out.iter_mut().zip(&self.slices);
        filled
            .map(|(slot, slice)| *slot = IoSlice::new(slice))
            .count()
    }

    /// Forgets the `count` bytes that were written; returns how many frames with a payload they complete.
    pub(crate) fn advance(&mut self, count: usize) -> usize {
        let mut left = count;
        while let Some(front) = self.slices.front_mut() {
            if front.len() > left {
                front.advance(left);
                break;
            }
            left -= front.len();
            self.slices.pop_front();
        }
        self.complete(count)
    }

    fn complete(&mut self, mut count: usize) -> usize {
        let mut frames = 0;
        while let Some(end) = self.ends.front_mut() {
            if end.bytes > count {
                end.bytes -= count;
                break;
            }
            count -= end.bytes;
            frames += usize::from(end.counts);
            self.ends.pop_front();
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    fn written(segments: &mut Segments) -> Vec<u8> {
        let batch = segments.take(Batch::default());
        batch.slices.iter().flatten().copied().collect()
    }

    #[test]
    fn large_bodies_reach_the_writer_at_the_address_where_the_caller_has_them() {
        let bodies = [vec![1; 4096], vec![2; 64], vec![3; 100_000]].map(Bytes::from);
        let mut frame = Frame::new(Lane::Bulk, vec![9; 20]);
        frame.bodies.extend(bodies.iter().cloned());
        let mut segments = Segments::default();
        segments.push(1, &frame);
        let batch = segments.take(Batch::default());
        let mut slices = [IoSlice::new(&[]); 8];
        let count = batch.fill(&mut slices);
        assert_eq!(
            count, 4,
            "header and head, large body, small body, large body"
        );
        assert!(ptr::eq(slices[1].as_ptr(), bodies[0].as_ptr()));
        assert!(ptr::eq(slices[3].as_ptr(), bodies[2].as_ptr()));
        let sent: usize = slices.iter().map(|slice| slice.len()).sum();
        assert_eq!(sent, HEADER_BYTES + frame.payload_len());
    }

    #[test]
    fn small_frames_are_gathered_into_few_slices() {
        let mut segments = Segments::default();
        for _ in 0..1000 {
            segments.push(
                1,
                &Frame::new(Lane::Control, vec![7; 48]).with_body(vec![8; 64]),
            );
        }
        let batch = segments.take(Batch::default());
        assert!(batch.slices.len() <= 3, "{} slices", batch.slices.len());
    }

    #[test]
    fn writes_of_any_size_count_every_frame_once() {
        for step in [1, 7, 16, 100, 5000] {
            let mut segments = Segments::default();
            for size in [0, 10, 2000] {
                segments.push(1, &Frame::new(Lane::Control, vec![5; size]));
                segments.push_beat(1, Lane::Control);
            }
            let mut left = written(&mut segments_copy(&[0, 10, 2000])).len();
            let mut batch = segments.take(Batch::default());
            let mut frames = 0;
            while left > 0 {
                frames += batch.advance(step.min(left));
                left -= step.min(left);
            }
            assert!(batch.is_empty() && batch.ends.is_empty());
            assert_eq!(frames, 3, "written {step} bytes at a time");
        }
    }

    fn segments_copy(sizes: &[usize]) -> Segments {
        let mut segments = Segments::default();
        for size in sizes {
            segments.push(1, &Frame::new(Lane::Control, vec![5; *size]));
            segments.push_beat(1, Lane::Control);
        }
        segments
    }
}
