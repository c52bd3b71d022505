//! Reading one segment: which bytes are the next record, and what lies behind the last one.

use std::fmt;

use quorate_core::Mark;

use crate::disk::read_full;
use crate::error::At;
use crate::format::{
    ALIGN, Owner, PAGE, RECORD_HEADER, RecordHeader, decode_segment, record_bytes, segment_name,
};
use crate::{Disk, JournalError};

/// A segment as a whole. What its file lacks at the end is zero here.
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// The length of the file, less than that of `bytes` if it was cut.
    pub(crate) present: u64,
    tag: u64,
}

impl Image {
    /// Reads a segment through its open file, into a buffer whose pages are there already if another was read before.
    pub(crate) fn read<D: Disk>(
        file: &D::File,
        owner: &Owner,
        generation: u64,
        mut bytes: Vec<u8>,
    ) -> Result<Self, JournalError> {
        let name = segment_name(generation);
        let mut head = [0; 64];
        let count = read_full(file, 0, &mut head).at("read", &name)?;
        let length = decode_segment(&name, &head[..count], owner, generation)?;
        if bytes.is_empty() {
            // Unlike those of a vector that grows, these zeros need not be written.
            bytes = vec![0; length as usize];
        } else {
            bytes.resize(length as usize, 0);
        }
        let present = read_full(file, 0, &mut bytes).at("read", &name)?;
        bytes[present..].fill(0);
        Ok(Self {
            name,
            bytes,
            present: present as u64,
            tag: owner.tag(generation),
        })
    }

    /// The record at `offset`, if it is the one that `cursor` expects.
    pub(crate) fn record(&self, offset: u64, cursor: Cursor) -> Result<Found<'_>, Flaw> {
        let rest = self.bytes.get(offset as usize..).unwrap_or_default();
        let (header, check) = self.header(offset)?;
        if header.mark != cursor.next {
            return Err(Flaw::Mark(header.mark));
        }
        if header.link != cursor.link {
            return Err(Flaw::Link);
        }
        let payload = rest
            .get(RECORD_HEADER..RECORD_HEADER + header.length as usize)
            .ok_or(Flaw::Length)?;
        if crc32c::crc32c(payload) != header.payload {
            return Err(Flaw::Payload);
        }
        Ok(Found {
            header,
            payload,
            end: offset + record_bytes(u64::from(header.length)),
            cursor: Cursor {
                next: header.mark.next(),
                link: check,
            },
        })
    }

    /// The header at `offset`, whatever record it belongs to.
    pub(crate) fn header(&self, offset: u64) -> Result<(RecordHeader, u32), Flaw> {
        let rest = self.bytes.get(offset as usize..).unwrap_or_default();
        let Some(head) = rest.get(..RECORD_HEADER) else {
            return Err(Flaw::Blank);
        };
        if head.iter().all(|byte| *byte == 0) {
            return Err(Flaw::Blank);
        }
        RecordHeader::decode(head, self.tag).ok_or(Flaw::Header)
    }

    /// What lies from `offset` on, where no record follows in order.
    pub(crate) fn rest(&self, offset: u64) -> Rest {
        let mut rest = Rest {
            end: offset,
            records: 0,
            durable: Mark::ZERO,
        };
        if let Some(written) = self.bytes.get(offset as usize..) {
            rest.end = offset + written_len(written) as u64;
        }
        if self.present < self.bytes.len() as u64 {
            rest.end = self.bytes.len() as u64;
        }
        for at in (offset..rest.end).step_by(ALIGN as usize) {
            if let Ok((header, _)) = self.header(at) {
                rest.records += 1;
                rest.durable = rest.durable.max(header.durable);
            }
        }
        rest
    }

    /// Walks the records from the start of the segment as far as they follow in order.
    pub(crate) fn walk(&self, mut cursor: Cursor) -> Walk {
        let mut walk = Walk {
            end: PAGE,
            cursor,
            records: 0,
            durable: Mark::ZERO,
            flaw: Flaw::Blank,
        };
        loop {
            match self.record(walk.end, cursor) {
                Ok(found) => {
                    walk.end = found.end;
                    walk.records += 1;
                    walk.durable = walk.durable.max(found.header.durable);
                    cursor = found.cursor;
                    walk.cursor = cursor;
                }
                Err(flaw) => {
                    walk.flaw = flaw;
                    return walk;
                }
            }
        }
    }
}

/// The length up to the last byte that is not zero.
fn written_len(mut bytes: &[u8]) -> usize {
    const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];
    while let Some((rest, page)) = bytes.split_last_chunk()
        && *page == ZEROS
    {
        bytes = rest;
    }
    bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1)
}

/// Where the log stands: the mark that is next, and what its record links to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) next: Mark,
    pub(crate) link: u32,
}

/// The record that was expected.
pub(crate) struct Found<'a> {
    pub(crate) header: RecordHeader,
    pub(crate) payload: &'a [u8],
    /// Where the next one begins.
    pub(crate) end: u64,
    pub(crate) cursor: Cursor,
}

/// How far the records of a segment go.
pub(crate) struct Walk {
    pub(crate) end: u64,
    pub(crate) cursor: Cursor,
    pub(crate) records: u64,
    /// The highest mark that one of them attests to be durable.
    pub(crate) durable: Mark,
    /// Why there is no further one.
    pub(crate) flaw: Flaw,
}

/// What lies behind the last record of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    /// Behind the last byte that is not zero.
    pub(crate) end: u64,
    /// Whole record headers.
    pub(crate) records: u64,
    /// The highest mark that one of them attests to be durable.
    pub(crate) durable: Mark,
}

/// Why there is no next record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing was ever written here, or the segment is full.
    Blank,
    /// Something was, but it is not the header of a record of this segment.
    Header,
    /// A whole header, but of another record.
    Mark(Mark),
    /// The next mark, but behind a record that is not the one before.
    Link,
    /// The payload does not fit into the segment.
    Length,
    /// The payload is not what was written.
    Payload,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("nothing is written here"),
            Self::Header => f.write_str("there is no valid record header"),
            Self::Mark(mark) => write!(f, "here stands the record of mark {mark}"),
            Self::Link => f.write_str("the record does not follow the one before it"),
            Self::Length => f.write_str("the record is longer than the segment"),
            Self::Payload => f.write_str("the checksum of the payload is wrong"),
        }
    }
}
