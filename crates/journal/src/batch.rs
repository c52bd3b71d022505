//! Records on their way to the disk: small parts gathered, large ones referred to.

use std::io::IoSlice;

use bytes::Bytes;
use quorate_core::Mark;
use smallvec::SmallVec;

use crate::format::{ALIGN, RECORD_HEADER, RecordHeader, record_bytes};

/// Parts up to this size are copied: cheaper than one more part of a vectored write.
const COPY_MAX: usize = 1024;
/// What the buffer of gathered parts may keep from one batch to the next.
const KEEP_MAX: usize = 4 << 20;

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its mark: one more than that of the record before.
    pub mark: Mark,
    /// The first part of its payload.
    pub head: Bytes,
    /// The other parts; large ones are written from where they are.
    pub bodies: SmallVec<[Bytes; 2]>,
}

impl Entry {
    /// The length of the payload.
    pub fn bytes(&self) -> u64 {
        self.parts().map(|part| part.len() as u64).sum()
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.head).chain(&self.bodies)
    }

    pub(crate) fn checksum(&self) -> u32 {
        self.parts()
            .fold(0, |check, part| crc32c::crc32c_append(check, part))
    }
}

/// A run of records, gathered for one write.
#[derive(Default)]
pub(crate) struct Batch {
    gathered: Vec<u8>,
    pieces: Vec<Piece>,
    /// What the run takes on disk.
    pub(crate) bytes: u64,
}

enum Piece {
    /// So many bytes of `gathered`, behind those of the gathered pieces before.
    Gathered(usize),
    Shared(Bytes),
}

impl Batch {
    /// Adds a record and gives the checksum of its header.
    pub(crate) fn push(&mut self, header: &RecordHeader, entry: &Entry) -> u32 {
        let (head, check) = header.encode();
        self.gather(&head);
        for part in entry.parts() {
            if part.len() <= COPY_MAX {
                self.gather(part);
            } else {
                self.pieces.push(Piece::Shared(part.clone()));
            }
        }
        let payload = u64::from(header.length);
        let whole = record_bytes(payload);
        let padding = whole - RECORD_HEADER as u64 - payload;
        self.gather(&[0; ALIGN as usize][..padding as usize]);
        self.bytes += whole;
        check
    }

    fn gather(&mut self, bytes: &[u8]) {
        self.gathered.extend_from_slice(bytes);
        match self.pieces.last_mut() {
            Some(Piece::Gathered(count)) => *count += bytes.len(),
            _ => self.pieces.push(Piece::Gathered(bytes.len())),
        }
    }

    /// The run as parts of one vectored write.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut gathered = &self.gathered[..];
        let slices = self.pieces.iter().map(|piece| match piece {
            Piece::Gathered(count) => {
                let (part, rest) = gathered.split_at(*count);
                gathered = rest;
                IoSlice::new(part)
            }
            Piece::Shared(bytes) => IoSlice::new(bytes),
        });
        slices.collect()
    }

    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.gathered.clear();
        self.gathered.shrink_to(KEEP_MAX);
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_is_shared_and_small_parts_of_neighbours_become_one() {
        let mut batch = Batch::default();
        let large = Bytes::from(vec![7; 5000]);
        let entries: Vec<Entry> = [vec![], vec![large.clone()], vec![Bytes::from("end")]]
            .into_iter()
            .map(|bodies| Entry {
                head: Bytes::from("head"),
                bodies: bodies.into(),
                ..Entry::default()
            })
            .collect();
        for entry in &entries {
            let header = RecordHeader {
                length: entry.bytes() as u32,
                mark: Mark(1),
                tag: 0,
                durable: Mark(0),
                link: 0,
                payload: entry.checksum(),
            };
            batch.push(&header, entry);
        }
        let slices = batch.slices();
        assert_eq!(slices.len(), 3);
        assert_eq!(slices[1].as_ptr(), large.as_ptr());
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        assert_eq!(total as u64, batch.bytes);
        assert_eq!(batch.bytes, 56 + 5056 + 56);
        let whole = crc32c::crc32c(&[&b"head"[..], &large].concat());
        assert_eq!(entries[1].checksum(), whole);
    }
}
