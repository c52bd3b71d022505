//! From the encoder to the decoder, over writes and reads of any size, and over noise (`RELIABILITY` N1).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::IoSlice;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio_util::codec::Decoder;

use crate::codec::{Arrived, DecodeError, FrameDecoder, FrameError, HEADER_BYTES};
use crate::frame::{Frame, Lane};
use crate::segments::{Batch, Segments};

const MOST: u32 = 8192;

fn frames() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    // Pieces on both sides of the size from which they are no longer gathered.
    let piece = prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 1000..1500)];
    vec(vec(piece, 1..5), 0..8)
}

/// Encodes frames, a beat after each, and takes them out in writes of the given sizes.
fn written(frames: &[Vec<Vec<u8>>], mut sizes: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut segments = Segments::default();
    for pieces in frames {
        let mut frame = Frame::new(Lane::Bulk, pieces[0].clone());
        frame
            .bodies
            .extend(pieces[1..].iter().cloned().map(Bytes::from));
        segments.push(1, &frame);
        segments.push_beat(1, Lane::Bulk);
    }
    let (mut stream, mut counted) = (Vec::new(), 0);
    let mut batch = segments.take(Batch::default());
    while !batch.is_empty() {
        let mut slices = [IoSlice::new(&[]); 3];
        let count = batch.fill(&mut slices);
        let offered: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        let size = sizes.next().unwrap().min(offered.len());
        stream.extend(&offered[..size]);
        counted += batch.advance(size);
    }
    assert_eq!(counted, frames.len());
    stream
}

/// All that a decoder makes of `stream`, given to it in pieces of the given sizes.
fn read(
    mut stream: &[u8],
    mut sizes: impl Iterator<Item = usize>,
) -> (Vec<Bytes>, Result<(), DecodeError>) {
    let mut decoder = FrameDecoder::new(1, Lane::Bulk, MOST);
    let (mut buffer, mut payloads) = (BytesMut::new(), Vec::new());
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at(sizes.next().unwrap().min(stream.len()));
        stream = rest;
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(Arrived::Payload(payload))) => payloads.push(payload),
                Ok(Some(Arrived::Beat)) => {}
                Ok(None) => break,
                Err(error) => return (payloads, Err(error)),
            }
            assert!(
                buffer.capacity() <= 4 * (MOST as usize + HEADER_BYTES),
                "memory is bounded"
            );
        }
    }
    (payloads, Ok(()))
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1usize..20, 1usize..3000], 1..20)
}

proptest! {
    #[test]
    fn any_split_of_writes_and_reads_yields_the_same_payloads(
        frames in frames(), out in sizes(), back in sizes(),
    ) {
        let stream = written(&frames, out.into_iter().cycle());
        let (payloads, end) = read(&stream, back.into_iter().cycle());
        prop_assert!(end.is_ok());
        let sent: Vec<Vec<u8>> = frames.iter().map(|pieces| pieces.concat()).collect();
        prop_assert_eq!(payloads, sent);
    }

    #[test]
    fn one_altered_bit_anywhere_is_noticed_and_nothing_false_is_delivered(
        frames in frames(), place in any::<prop::sample::Index>(), bit in 0..8u32, back in sizes(),
    ) {
        prop_assume!(!frames.is_empty());
        let mut stream = written(&frames, std::iter::repeat(usize::MAX));
        let place = place.index(stream.len());
        stream[place] ^= 1 << bit;
        let (payloads, end) = read(&stream, back.into_iter().cycle());
        prop_assert!(end.is_err());
        prop_assert!(payloads.len() <= frames.len());
        for (payload, sent) in payloads.iter().zip(&frames) {
            prop_assert_eq!(&payload[..], &sent.concat()[..]);
        }
    }

    #[test]
    fn noise_is_refused_without_panic_or_memory(noise in vec(any::<u8>(), 0..400), back in sizes()) {
        let (payloads, end) = read(&noise, back.into_iter().cycle());
        prop_assert!(payloads.is_empty());
        prop_assert_eq!(end.is_err(), noise.len() >= HEADER_BYTES);
    }
}

#[test]
fn an_oversized_length_is_refused_before_anything_is_allocated() {
    let mut segments = Segments::default();
    segments.push(1, &Frame::new(Lane::Bulk, vec![0; MOST as usize + 1]));
    let batch = segments.take(Batch::default());
    let mut slices = [IoSlice::new(&[]); 1];
    batch.fill(&mut slices);
    let mut buffer = BytesMut::from(&slices[0][..HEADER_BYTES]);
    let error = FrameDecoder::new(1, Lane::Bulk, MOST)
        .decode(&mut buffer)
        .unwrap_err();
    let too_long = FrameError::TooLong {
        length: MOST + 1,
        most: MOST,
    };
    assert!(
        matches!(error, DecodeError::Frame(found) if found == too_long),
        "{error}"
    );
    assert!(buffer.capacity() <= 64, "{} bytes", buffer.capacity());
}

#[test]
fn frames_of_another_version_lane_or_kind_are_refused_by_name() {
    let refused = |change: fn(&mut [u8])| {
        let mut bytes = crate::codec::beat(1, Lane::Bulk);
        change(&mut bytes);
        let own = crc32c::crc32c(&bytes[..12]);
        bytes[12..].copy_from_slice(&own.to_le_bytes());
        let mut buffer = BytesMut::from(&bytes[..]);
        match FrameDecoder::new(1, Lane::Bulk, MOST).decode(&mut buffer) {
            Err(DecodeError::Frame(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        refused(|bytes| bytes[4] = 2),
        FrameError::Version {
            found: 2,
            agreed: 1
        }
    );
    assert_eq!(refused(|bytes| bytes[5] = 0), FrameError::Lane(0));
    assert_eq!(refused(|bytes| bytes[5] = 7), FrameError::Lane(7));
    assert_eq!(refused(|bytes| bytes[6] = 2), FrameError::Kind(2));
    assert_eq!(
        refused(|bytes| bytes[0] = 1),
        FrameError::TooLong { length: 1, most: 0 }
    );
}

#[test]
fn a_frame_is_what_docs_transport_md_shows() {
    let mut segments = Segments::default();
    segments.push(1, &Frame::new(Lane::Control, &b"hi"[..]));
    let batch = segments.take(Batch::default());
    let mut slices = [IoSlice::new(&[]); 1];
    batch.fill(&mut slices);
    let shown = "02 00 00 00  01 00 00 00  c2 d9 9d f5  ea b9 8b 25  68 69";
    let bytes = shown
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap());
    assert_eq!(slices[0].to_vec(), bytes.collect::<Vec<_>>());
}
