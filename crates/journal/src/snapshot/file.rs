//! The bytes of a snapshot file, and reading them: a header, chunks of equal size, a footer.

use bytes::Bytes;
use quorate_core::{ClusterId, Epoch, NodeId, Position, SnapshotMeta};

use super::{CHUNK_BYTES_MAX, SnapshotError};
use crate::disk::read_full;
use crate::format::{Reader, VERSION, Writer, unseal};
use crate::{Disk, DiskFile};

pub(super) const HEADER: usize = 64;
pub(super) const CHUNK_HEADER: usize = 12;
const FOOTER: usize = 28;
const MAGIC: [u8; 8] = *b"QRTSNAPS";
const END_MAGIC: [u8; 8] = *b"QRTSNEND";

/// What the header says; known before the first byte of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) cluster: ClusterId,
    pub(super) position: Position,
    pub(super) epoch: Epoch,
    /// The bytes of every chunk but the last.
    pub(super) chunk: u32,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        Writer::default()
            .bytes(&MAGIC)
            .u32(VERSION)
            .u32(self.chunk)
            .u64(self.cluster.0)
            .u64(self.position.0)
            .u64(self.epoch.round)
            .u64(self.epoch.node.0)
            .bytes(&[0; 12])
            .sealed()
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let body = unseal(bytes, HEADER).ok_or("the checksum of the header is wrong")?;
        let mut body = Reader(body);
        if body.array() != MAGIC {
            return Err("this is not a snapshot".to_owned());
        }
        let version = body.u32();
        if version != VERSION {
            return Err(format!(
                "it has format version {version}, known is {VERSION}"
            ));
        }
        let header = Self {
            chunk: body.u32(),
            cluster: ClusterId(body.u64()),
            position: Position(body.u64()),
            epoch: Epoch {
                round: body.u64(),
                node: NodeId(body.u64()),
            },
        };
        if header.chunk == 0 || header.chunk > CHUNK_BYTES_MAX {
            return Err(format!(
                "chunks of {} bytes are out of bounds",
                header.chunk
            ));
        }
        Ok(header)
    }
}

/// What ties chunks and footer to their file: the checksum of the header.
pub(super) fn seed(header: &[u8]) -> u32 {
    crc32c::crc32c(&header[..HEADER])
}

/// What stands before the data of a chunk.
pub(super) fn chunk_header(seed: u32, index: u32, data: &[u8]) -> [u8; CHUNK_HEADER] {
    let mut bytes = [0; CHUNK_HEADER];
    bytes[..4].copy_from_slice(&index.to_le_bytes());
    bytes[4..8].copy_from_slice(&(data.len() as u32).to_le_bytes());
    let check = crc32c::crc32c_append(crc32c::crc32c_append(seed, &bytes[..8]), data);
    bytes[8..].copy_from_slice(&check.to_le_bytes());
    bytes
}

pub(super) fn footer(seed: u32, bytes: u64, checksum: u32) -> Vec<u8> {
    Writer::default()
        .bytes(&END_MAGIC)
        .u64(bytes)
        .u32(checksum)
        .u32(seed)
        .sealed()
}

/// An open snapshot whose header and footer are sound.
pub(super) struct SnapshotFile<D: Disk> {
    file: D::File,
    name: String,
    seed: u32,
    chunk: u64,
    pub(super) meta: SnapshotMeta,
}

impl<D: Disk> SnapshotFile<D> {
    pub(super) fn open(disk: &D, name: &str, cluster: ClusterId) -> Result<Self, SnapshotError> {
        let file = disk.open(name).map_err(SnapshotError::io("open", name))?;
        Self::over(file, name, cluster)
    }

    pub(super) fn over(
        file: D::File,
        name: &str,
        cluster: ClusterId,
    ) -> Result<Self, SnapshotError> {
        let corrupt = |offset, why: &str| Err(SnapshotError::corrupt(name, offset, why));
        let length = file.bytes().map_err(SnapshotError::io("measure", name))?;
        if length < (HEADER + FOOTER) as u64 {
            return corrupt(length, "it is cut off");
        }
        let mut head = [0; HEADER];
        let mut foot = [0; FOOTER];
        let end = length - FOOTER as u64;
        read(&file, name, 0, &mut head)?;
        read(&file, name, end, &mut foot)?;
        let header = Header::decode(&head).map_err(|why| SnapshotError::corrupt(name, 0, why))?;
        if header.cluster != cluster {
            return corrupt(0, "it belongs to another cluster");
        }
        let Some(body) = unseal(&foot, FOOTER) else {
            return corrupt(end, "the checksum of the footer is wrong");
        };
        let mut body = Reader(body);
        let (magic, bytes, checksum) = (body.array(), body.u64(), body.u32());
        if magic != END_MAGIC || body.u32() != seed(&head) {
            return corrupt(end, "the footer belongs to another snapshot");
        }
        let this = Self {
            seed: seed(&head),
            chunk: u64::from(header.chunk),
            name: name.to_owned(),
            meta: SnapshotMeta {
                position: header.position,
                epoch: header.epoch,
                bytes,
                checksum,
            },
            file,
        };
        let chunks = bytes.div_ceil(this.chunk);
        if bytes > length || this.at(chunks) - (chunks * this.chunk - bytes) != end {
            return corrupt(end, "the length is not that of its chunks");
        }
        Ok(this)
    }

    /// Where a chunk begins, if all before it are full.
    fn at(&self, index: u64) -> u64 {
        HEADER as u64 + index * (self.chunk + CHUNK_HEADER as u64)
    }

    /// A chunk, checked; empty behind the last one.
    fn chunk(&self, index: u64) -> Result<Vec<u8>, SnapshotError> {
        let left = self.meta.bytes.saturating_sub(index * self.chunk);
        let length = left.min(self.chunk) as usize;
        if length == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; CHUNK_HEADER + length];
        read(&self.file, &self.name, self.at(index), &mut bytes)?;
        let data = bytes.split_off(CHUNK_HEADER);
        if bytes != chunk_header(self.seed, index as u32, &data) {
            let why = format!("the checksum of chunk {index} is wrong");
            return Err(SnapshotError::corrupt(&self.name, self.at(index), why));
        }
        Ok(data)
    }

    /// A part of the stream.
    pub(super) fn range(&self, offset: u64, len: usize) -> Result<Bytes, SnapshotError> {
        let end = offset.saturating_add(len as u64).min(self.meta.bytes);
        let mut out = Vec::with_capacity(end.saturating_sub(offset) as usize);
        let mut at = offset;
        while at < end {
            let index = at / self.chunk;
            let data = self.chunk(index)?;
            let from = (at - index * self.chunk) as usize;
            let to = ((end - index * self.chunk) as usize).min(data.len());
            out.extend_from_slice(&data[from..to]);
            at = index * self.chunk + to as u64;
        }
        Ok(out.into())
    }

    /// Checks every chunk and the whole.
    pub(super) fn verify(&self) -> Result<(), SnapshotError> {
        let mut checksum = 0;
        for index in 0..self.meta.bytes.div_ceil(self.chunk) {
            checksum = crc32c::crc32c_append(checksum, &self.chunk(index)?);
        }
        if checksum != self.meta.checksum {
            let why = "the checksum of the whole is wrong";
            return Err(SnapshotError::corrupt(&self.name, HEADER as u64, why));
        }
        Ok(())
    }
}

fn read(
    file: &impl DiskFile,
    name: &str,
    offset: u64,
    buffer: &mut [u8],
) -> Result<(), SnapshotError> {
    let count = read_full(file, offset, buffer).map_err(SnapshotError::io("read", name))?;
    if count < buffer.len() {
        return Err(SnapshotError::corrupt(
            name,
            offset + count as u64,
            "it is cut off",
        ));
    }
    Ok(())
}

/// The stream of a snapshot, chunk by chunk; every chunk is checked, and the whole at the end.
pub struct SnapshotChunks<D: Disk> {
    file: SnapshotFile<D>,
    next: u64,
    checksum: u32,
    ended: bool,
}

impl<D: Disk> SnapshotChunks<D> {
    pub(super) fn new(file: SnapshotFile<D>) -> Self {
        Self {
            file,
            next: 0,
            checksum: 0,
            ended: false,
        }
    }

    /// Which snapshot this is.
    pub fn meta(&self) -> SnapshotMeta {
        self.file.meta
    }

    fn advance(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        let data = self.file.chunk(self.next)?;
        self.next += 1;
        self.checksum = crc32c::crc32c_append(self.checksum, &data);
        if data.is_empty() {
            self.ended = true;
            if self.checksum != self.file.meta.checksum {
                let why = "the checksum of the whole is wrong";
                return Err(SnapshotError::corrupt(&self.file.name, HEADER as u64, why));
            }
            return Ok(None);
        }
        Ok(Some(data.into()))
    }
}

impl<D: Disk> Iterator for SnapshotChunks<D> {
    type Item = Result<Bytes, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance().transpose();
        self.ended |= matches!(next, Some(Err(_)));
        next
    }
}
