//! The frame, byte by byte, and its decoder. All numbers are little-endian.
//!
//! ```text
//!  0        4    5     6     7    8                  12                 16
//!  | length | v. | lane| kind| 0  | payload crc32c   | header crc32c    | payload …
//! ```
//! The header's checksum covers its first twelve bytes, and is checked before any of them is believed; the
//! length is bounded before anything is allocated for it (`RELIABILITY` C1, N1).

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::Decoder;

use crate::frame::{Frame, Lane};

/// Bytes before every payload.
pub const HEADER_BYTES: usize = 16;

/// Why bytes are not a frame. Whatever it is, the stream has lost its step and the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header does not carry its own checksum: noise, or another protocol.
    #[error("checksum of the header does not match")]
    HeaderChecksum,
    /// The payload was altered on the way.
    #[error("checksum of the payload does not match")]
    PayloadChecksum,
    /// A frame of another wire version than the handshake agreed on.
    #[error("wire version {found} where {agreed} was agreed")]
    Version {
        /// What the header says.
        found: u8,
        /// What the handshake agreed on.
        agreed: u8,
    },
    /// A frame of the other lane, or of none.
    #[error("lane {0} on a connection of another lane")]
    Lane(u8),
    /// A kind of frame that this wire version does not have.
    #[error("unknown kind of frame {0}")]
    Kind(u8),
    /// More than this lane's `frame_bytes_max`.
    #[error("payload of {length} bytes, at most {most} allowed")]
    TooLong {
        /// What the header announces, in bytes.
        length: u32,
        /// What is allowed, in bytes.
        most: u32,
    },
}

/// A frame that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// "I am here", without a payload.
    Beat,
    /// Head and bodies, one slice of the buffer it was read into.
    Payload(Bytes),
}

const KIND_PAYLOAD: u8 = 0;
const KIND_BEAT: u8 = 1;

/// Reads the frames of one connection: one lane, one agreed wire version, one greatest length.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    version: u8,
    lane: Lane,
    most: u32,
    header: Option<Header>,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    length: u32,
    kind: u8,
    checksum: u32,
}

impl FrameDecoder {
    /// A decoder of `lane` that refuses payloads of more than `most` bytes.
    pub const fn new(version: u8, lane: Lane, most: u32) -> Self {
        Self {
            version,
            lane,
            most,
            header: None,
        }
    }

    /// Whether a frame has begun whose end has not arrived.
    pub(crate) const fn is_inside(&self) -> bool {
        self.header.is_some()
    }

    fn header(&self, bytes: &[u8; HEADER_BYTES]) -> Result<Header, FrameError> {
        let number = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if crc32c::crc32c(&bytes[..12]) != number(12) {
            return Err(FrameError::HeaderChecksum);
        }
        let [version, lane, kind] = [bytes[4], bytes[5], bytes[6]];
        if version != self.version {
            return Err(FrameError::Version {
                found: version,
                agreed: self.version,
            });
        }
        if Lane::from_byte(lane) != Some(self.lane) {
            return Err(FrameError::Lane(lane));
        }
        let most = match kind {
            KIND_PAYLOAD => self.most,
            KIND_BEAT => 0,
            other => return Err(FrameError::Kind(other)),
        };
        let length = number(0);
        if length > most {
            return Err(FrameError::TooLong { length, most });
        }
        Ok(Header {
            length,
            kind,
            checksum: number(8),
        })
    }
}

/// The codec's error must hold what a reader may run into as well.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Decoder for FrameDecoder {
    type Item = Arrived;
    type Error = DecodeError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Arrived>, DecodeError> {
        let header = match self.header {
            Some(header) => header,
            None => match buffer.first_chunk::<HEADER_BYTES>() {
                Some(bytes) => *self.header.insert(self.header(bytes)?),
                None => return Ok(None),
            },
        };
        let whole = HEADER_BYTES + header.length as usize;
        if buffer.len() < whole {
            buffer.reserve(whole - buffer.len());
            return Ok(None);
        }
        self.header = None;
        buffer.advance(HEADER_BYTES);
        if header.kind == KIND_BEAT {
            return Ok(Some(Arrived::Beat));
        }
        let payload = buffer.split_to(header.length as usize).freeze();
        if crc32c::crc32c(&payload) != header.checksum {
            return Err(FrameError::PayloadChecksum.into());
        }
        Ok(Some(Arrived::Payload(payload)))
    }
}

fn header(length: u32, version: u8, lane: Lane, kind: u8, checksum: u32) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..7].copy_from_slice(&[version, lane.index() as u8, kind]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    let own = crc32c::crc32c(&bytes[..12]);
    bytes[12..].copy_from_slice(&own.to_le_bytes());
    bytes
}

/// The header that goes before `frame`. Its payload must be within the bound of its lane.
pub(crate) fn frame_header(version: u8, frame: &Frame) -> [u8; HEADER_BYTES] {
    let mut checksum = crc32c::crc32c(&frame.head);
    for body in &frame.bodies {
        checksum = crc32c::crc32c_append(checksum, body);
    }
    header(
        frame.payload_len() as u32,
        version,
        frame.lane,
        KIND_PAYLOAD,
        checksum,
    )
}

/// A whole frame that says "I am here".
pub(crate) fn beat(version: u8, lane: Lane) -> [u8; HEADER_BYTES] {
    header(0, version, lane, KIND_BEAT, 0)
}
