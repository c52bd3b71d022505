//! The bytes on disk: segment headers and record headers. docs/journal.md draws them.
//!
//! All numbers are little-endian. Every checksum is CRC-32C.

use quorate_core::{ClusterId, Incarnation, Mark, NodeId};

use crate::JournalError;
use crate::config::SEGMENT_BYTES_MAX;

/// The version of everything written here.
pub(crate) const VERSION: u32 = 1;
/// Where the records of a segment begin.
pub(crate) const PAGE: u64 = 4096;
/// The bytes of a record before its payload.
pub(crate) const RECORD_HEADER: usize = 48;
/// Records begin at multiples of this.
pub(crate) const ALIGN: u64 = 8;

const SEGMENT_MAGIC: [u8; 8] = *b"QRTSEGMT";
const SEGMENT_HEADER: usize = 64;
const RECORD_MAGIC: [u8; 4] = *b"QREC";

/// Appends fields one after the other.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u32(self, number: u32) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    pub(crate) fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// Ends with the checksum of all before it.
    pub(crate) fn sealed(self) -> Vec<u8> {
        let check = crc32c::crc32c(&self.0);
        self.u32(check).0
    }
}

/// Takes fields one after the other from bytes that are long enough.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self
            .0
            .split_first_chunk()
            .expect("the fields add up to the size");
        self.0 = rest;
        *field
    }
}

/// The first `size` bytes if the checksum at their end is right.
pub(crate) fn unseal(bytes: &[u8], size: usize) -> Option<&[u8]> {
    let (body, check) = bytes.get(..size)?.split_last_chunk()?;
    (crc32c::crc32c(body) == u32::from_le_bytes(*check)).then_some(body)
}

/// A good mixer of 64 bits (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Whose log this is: what makes a record of another member, cluster or incarnation invalid here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) cluster: ClusterId,
    pub(crate) member: NodeId,
    pub(crate) incarnation: Incarnation,
}

impl Owner {
    /// The log id.
    pub(crate) const fn log(&self) -> u64 {
        mix(mix(mix(self.cluster.0) ^ self.member.0) ^ self.incarnation.0)
    }

    /// What every record in segment `generation` of this log bears.
    pub(crate) const fn tag(&self, generation: u64) -> u64 {
        mix(self.log() ^ mix(generation))
    }

    /// What the first record of the log links to.
    pub(crate) const fn first_link(&self) -> u32 {
        (self.log() >> 32) as u32
    }
}

pub(crate) fn segment_name(generation: u64) -> String {
    format!("{generation:016x}.segment")
}

/// The generation in a segment's name; `None` if the name is not that of a segment.
pub(crate) fn segment_generation(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    let generation = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(generation) == name).then_some(generation)
}

/// The first bytes of a segment.
pub(crate) fn encode_segment(owner: &Owner, generation: u64, bytes: u64) -> Vec<u8> {
    Writer::default()
        .bytes(&SEGMENT_MAGIC)
        .u32(VERSION)
        .u64(owner.cluster.0)
        .u64(owner.member.0)
        .u64(owner.incarnation.0)
        .u64(generation)
        .u64(bytes)
        .u64(0)
        .sealed()
}

/// Checks the first bytes of a segment and gives its length.
pub(crate) fn decode_segment(
    file: &str,
    head: &[u8],
    owner: &Owner,
    generation: u64,
) -> Result<u64, JournalError> {
    let corrupt = |why: &str| Err(JournalError::corrupt(file, 0, None, why));
    let Some(body) = unseal(head, SEGMENT_HEADER) else {
        return corrupt("the checksum of the segment's header is wrong");
    };
    let mut body = Reader(body);
    if body.array() != SEGMENT_MAGIC {
        return corrupt("this is not a segment");
    }
    let found = body.u32();
    if found != VERSION {
        return Err(JournalError::Version {
            file: file.to_owned(),
            found,
            known: VERSION,
        });
    }
    if [body.u64(), body.u64(), body.u64()]
        != [owner.cluster.0, owner.member.0, owner.incarnation.0]
    {
        return corrupt("the segment belongs to another member, cluster or incarnation");
    }
    if body.u64() != generation {
        return corrupt("the segment bears the name of another one");
    }
    let bytes = body.u64();
    if bytes <= PAGE || bytes > SEGMENT_BYTES_MAX {
        return corrupt("the segment's length is out of bounds");
    }
    Ok(bytes)
}

/// What stands before a record's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// The length of the payload in bytes.
    pub(crate) length: u32,
    pub(crate) mark: Mark,
    /// [`Owner::tag`] of the segment.
    pub(crate) tag: u64,
    /// Up to where the log was known to be on the medium when this was written.
    pub(crate) durable: Mark,
    /// The header checksum of the record before.
    pub(crate) link: u32,
    /// The checksum of the payload.
    pub(crate) payload: u32,
}

impl RecordHeader {
    /// The header's bytes, the last four of which are its checksum: what the next record links to.
    pub(crate) fn encode(&self) -> ([u8; RECORD_HEADER], u32) {
        let mut bytes = [0; RECORD_HEADER];
        bytes[..4].copy_from_slice(&RECORD_MAGIC);
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.mark.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.tag.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable.0.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.link.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.payload.to_le_bytes());
        let check = crc32c::crc32c(&bytes[..RECORD_HEADER - 4]);
        bytes[RECORD_HEADER - 4..].copy_from_slice(&check.to_le_bytes());
        (bytes, check)
    }

    /// The header at the start of `bytes` and its checksum, if it is one that was written with this tag.
    pub(crate) fn decode(bytes: &[u8], tag: u64) -> Option<(Self, u32)> {
        if bytes.get(..4)? != RECORD_MAGIC || bytes.get(16..24)? != tag.to_le_bytes() {
            return None;
        }
        let body = unseal(bytes, RECORD_HEADER)?;
        if body[40..44] != [0; 4] {
            return None;
        }
        let mut fields = Reader(&body[4..]);
        let header = Self {
            length: fields.u32(),
            mark: Mark(fields.u64()),
            tag: fields.u64(),
            durable: Mark(fields.u64()),
            link: fields.u32(),
            payload: fields.u32(),
        };
        let mut check = Reader(&bytes[RECORD_HEADER - 4..]);
        Some((header, check.u32()))
    }
}

/// What a record with this much payload takes on disk.
pub(crate) const fn record_bytes(payload: u64) -> u64 {
    (RECORD_HEADER as u64 + payload).next_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner {
        cluster: ClusterId(1),
        member: NodeId(2),
        incarnation: Incarnation(3),
    };

    #[test]
    fn a_record_header_is_read_back_only_in_its_own_place_and_unaltered() {
        let header = RecordHeader {
            length: 5,
            mark: Mark(6),
            tag: OWNER.tag(7),
            durable: Mark(4),
            link: 8,
            payload: 9,
        };
        let (bytes, check) = header.encode();
        assert_eq!(
            RecordHeader::decode(&bytes, OWNER.tag(7)),
            Some((header, check))
        );
        assert_eq!(RecordHeader::decode(&bytes, OWNER.tag(8)), None);
        for bit in 0..RECORD_HEADER * 8 {
            let mut spoilt = bytes;
            spoilt[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                RecordHeader::decode(&spoilt, OWNER.tag(7)),
                None,
                "bit {bit}"
            );
        }
        assert_eq!(RecordHeader::decode(&bytes[..47], OWNER.tag(7)), None);
    }

    #[test]
    fn a_segment_header_is_refused_under_any_other_name_or_owner() {
        let bytes = encode_segment(&OWNER, 7, 65536);
        assert_eq!(bytes.len(), SEGMENT_HEADER);
        let other = Owner {
            incarnation: Incarnation(4),
            ..OWNER
        };
        assert_eq!(
            decode_segment("x", &bytes, &OWNER, 7).expect("its own"),
            65536
        );
        assert!(decode_segment("x", &bytes, &OWNER, 8).is_err());
        assert!(decode_segment("x", &bytes, &other, 7).is_err());
        assert!(decode_segment("x", &bytes[..60], &OWNER, 7).is_err());
    }

    #[test]
    fn only_canonical_names_are_segments() {
        assert_eq!(segment_generation(&segment_name(0xab)), Some(0xab));
        for name in [
            "ab.segment",
            "+0000000000000ab.segment",
            "00000000000000AB.segment",
            "head",
        ] {
            assert_eq!(segment_generation(name), None, "{name}");
        }
    }
}
