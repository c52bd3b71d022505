//! The segment files in use: the one that is written, those behind it, and the spare one ahead.

use std::collections::VecDeque;
use std::io::IoSlice;

use quorate_core::Mark;

use crate::error::{At, is_full};
use crate::format::{Owner, PAGE, encode_segment, segment_name};
use crate::scan::Cursor;
use crate::{Disk, DiskFile, JournalError};

/// The name of a segment until it is whole.
pub(crate) const SEGMENT_TEMP: &str = "segment.tmp";

/// How many zeros are written and synced in one step of making a spare segment: what a commit may have to
/// wait for behind it.
const STEP_BYTES: u64 = 256 << 10;
static ZEROS: [u8; STEP_BYTES as usize] = [0; STEP_BYTES as usize];

/// An open segment.
pub(crate) struct Open<F> {
    pub(crate) file: F,
    pub(crate) generation: u64,
    pub(crate) capacity: u64,
    /// Where the next record goes.
    pub(crate) offset: u64,
}

impl<F: DiskFile> Open<F> {
    /// Writes zeros from `from` to `to`, in pieces, and syncs them.
    pub(crate) fn clear(&self, from: u64, to: u64) -> Result<(), JournalError> {
        let name = segment_name(self.generation);
        let mut at = from;
        while at < to {
            let count = STEP_BYTES.min(to - at);
            let zeros = [IoSlice::new(&ZEROS[..count as usize])];
            self.file.write_at(at, &zeros).at("write", &name)?;
            at += count;
        }
        self.file.sync().at("sync", &name)
    }
}

/// A segment that is written to no more.
#[derive(Clone, Copy)]
pub(crate) struct Closed {
    pub(crate) generation: u64,
    /// Where the log stands behind its last record.
    pub(crate) after: Cursor,
}

/// How far the next spare segment is.
enum Making<F> {
    No,
    /// Space is allocated, zeros are written up to here.
    Zeroed(F, u64),
    /// The disk is full.
    Refused,
}

/// Whether a spare segment stands ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It does.
    Ready,
    /// It is being made; its space is there, or has not been asked for yet.
    Making,
    /// The disk has no room for it: no large records are to be given to the journal.
    Full,
}

pub(crate) struct Segments<D: Disk> {
    pub(crate) tail: Open<D::File>,
    pub(crate) closed: VecDeque<Closed>,
    pub(crate) ready: VecDeque<Open<D::File>>,
    making: Making<D::File>,
    owner: Owner,
    /// The size of a new segment.
    bytes: u64,
}

impl<D: Disk> Segments<D> {
    pub(crate) fn new(tail: Open<D::File>, owner: Owner, bytes: u64) -> Self {
        Self {
            tail,
            closed: VecDeque::new(),
            ready: VecDeque::new(),
            making: Making::No,
            owner,
            bytes,
        }
    }

    /// Makes a segment in one go.
    pub(crate) fn create(
        disk: &D,
        owner: Owner,
        generation: u64,
        bytes: u64,
    ) -> Result<Open<D::File>, JournalError> {
        let file = begin(disk, &owner, generation, bytes).at("create", SEGMENT_TEMP)?;
        let mut zeroed = PAGE;
        while zeroed < bytes {
            zeroed = zero(&file, zeroed, bytes).at("write", SEGMENT_TEMP)?;
        }
        finish(disk, file, generation, bytes)
    }

    pub(crate) fn room(&self) -> Room {
        match self.making {
            _ if !self.ready.is_empty() => Room::Ready,
            Making::No | Making::Zeroed(..) => Room::Making,
            Making::Refused => Room::Full,
        }
    }

    /// Whether the spare is made more slowly than the tail fills, so that the tail would have to wait
    /// for it.
    pub(crate) fn is_late(&self) -> bool {
        let zeroed = match self.making {
            _ if !self.ready.is_empty() => return false,
            Making::No => 0,
            Making::Zeroed(_, zeroed) => zeroed,
            Making::Refused => return false,
        };
        zeroed < self.tail.offset.saturating_mul(2)
    }

    /// Does one bounded step towards a spare segment. A full disk is an answer, not an error.
    pub(crate) fn make_room(&mut self, disk: &D) -> Result<Room, JournalError> {
        if !self.ready.is_empty() {
            return Ok(Room::Ready);
        }
        let generation = self.tail.generation + 1;
        let step = match std::mem::replace(&mut self.making, Making::No) {
            Making::No | Making::Refused => {
                begin(disk, &self.owner, generation, self.bytes).map(|file| (file, PAGE))
            }
            Making::Zeroed(file, zeroed) => {
                zero(&file, zeroed, self.bytes).map(|zeroed| (file, zeroed))
            }
        };
        match step {
            Ok((file, zeroed)) if zeroed < self.bytes => {
                self.making = Making::Zeroed(file, zeroed);
            }
            Ok((file, _)) => {
                let open = finish(disk, file, generation, self.bytes)?;
                self.ready.push_back(open);
            }
            Err(error) if is_full(&error) => {
                self.making = Making::Refused;
                // The file may hold space although it did not get all; it may also never have come to be.
                match disk.remove(SEGMENT_TEMP) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error).at("remove", SEGMENT_TEMP);
                    }
                    _ => {}
                }
            }
            Err(error) => return Err(error).at("make", SEGMENT_TEMP),
        }
        Ok(self.room())
    }

    /// Goes on to the spare segment, which has to be there. The tail has to be synced.
    pub(crate) fn advance(&mut self, after: Cursor) {
        let next = self
            .ready
            .pop_front()
            .expect("the caller saw a spare segment");
        let full = std::mem::replace(&mut self.tail, next);
        self.closed.push_back(Closed {
            generation: full.generation,
            after,
        });
    }

    /// Takes the segments off the front whose records all lie below `below`. They are still on disk.
    pub(crate) fn take_below(&mut self, below: Mark) -> Vec<Closed> {
        let dead = self
            .closed
            .iter()
            .take_while(|closed| closed.after.next <= below)
            .count();
        self.closed.drain(..dead).collect()
    }
}

/// Allocates a segment's space under a temporary name and writes its header page.
fn begin<D: Disk>(
    disk: &D,
    owner: &Owner,
    generation: u64,
    bytes: u64,
) -> std::io::Result<D::File> {
    let file = disk.create(SEGMENT_TEMP, bytes)?;
    let header = encode_segment(owner, generation, bytes);
    let padding = &ZEROS[..PAGE as usize - header.len()];
    file.write_at(0, &[IoSlice::new(&header), IoSlice::new(padding)])?;
    Ok(file)
}

/// Writes the next zeros: a sync over bytes that were written before costs less than one over bytes that
/// are only allocated, as the file system has nothing to note about them.
fn zero(file: &impl DiskFile, from: u64, end: u64) -> std::io::Result<u64> {
    let count = STEP_BYTES.min(end - from);
    file.write_at(from, &[IoSlice::new(&ZEROS[..count as usize])])?;
    file.sync()?;
    Ok(from + count)
}

/// Gives a whole and synced segment its name.
fn finish<D: Disk>(
    disk: &D,
    file: D::File,
    generation: u64,
    capacity: u64,
) -> Result<Open<D::File>, JournalError> {
    let name = segment_name(generation);
    disk.rename(SEGMENT_TEMP, &name)
        .at("rename", SEGMENT_TEMP)?;
    disk.sync_dir().at("sync directory of", &name)?;
    Ok(Open {
        file,
        generation,
        capacity,
        offset: PAGE,
    })
}
