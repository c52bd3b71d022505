//! Reading the whole log at the start: what is there, where it ends, and whether it may end there.
//!
//! The log ends before the first mark whose record is missing or damaged. Whether that end is a *torn
//! tail* (writes that were never acknowledged, to be cut) or a *corrupt middle* (to be refused) depends
//! on one thing: what is known to have been durable. Two witnesses tell: the watermark, and the
//! records, each of which bears the durable mark of the time when it was written, those behind the
//! damage included. If a witness says that the missing mark was durable, it was lost, and nothing may
//! be cut. A later segment is begun only when the one before is synced, so any record in it is such a
//! witness.

use quorate_core::Mark;

use crate::error::At;
use crate::format::{Owner, PAGE, segment_generation, segment_name};
use crate::head::Head;
use crate::scan::{Cursor, Flaw, Image, Rest};
use crate::{Disk, DiskFile, JournalError};

/// A piece of a file that was cut at recovery: writes that were never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file, relative to the journal's directory.
    pub file: String,
    /// Where the cut begins, in bytes.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// How many whole record headers were among them.
    pub records: u64,
}

/// One segment of the log.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) generation: u64,
    pub(crate) capacity: u64,
    /// Where the log stands before the first record of this segment, and behind the last.
    pub(crate) before: Cursor,
    pub(crate) after: Cursor,
    /// Where the records end.
    pub(crate) end: u64,
    rest: Rest,
    flaw: Flaw,
}

impl Segment {
    /// Where the bytes end that are to be cut, if there are any.
    pub(crate) fn cut_end(&self) -> Option<u64> {
        (self.rest.end > self.end).then_some(self.rest.end)
    }
}

/// All segments in order, and which of them is the last with records.
pub(crate) struct Survey {
    pub(crate) segments: Vec<Segment>,
    pub(crate) tail: usize,
    durable: Mark,
}

impl Survey {
    /// Reads every segment past the page cache.
    pub(crate) fn take<D: Disk>(
        disk: &D,
        head: &Head,
        watermark: Mark,
        names: &[String],
    ) -> Result<Self, JournalError> {
        let mut cursor = Cursor {
            next: head.first_mark,
            link: head.first_link,
        };
        let mut this = Self {
            segments: Vec::new(),
            tail: 0,
            durable: watermark,
        };
        let mut buffer = Vec::new();
        for generation in generations(head.first_generation, names)? {
            let image = read_past_cache(disk, &head.owner, generation, buffer)?;
            let walk = image.walk(cursor);
            if walk.records > 0 {
                this.tail = this.segments.len();
            }
            this.durable = this.durable.max(walk.durable);
            this.segments.push(Segment {
                generation,
                capacity: image.bytes.len() as u64,
                before: cursor,
                after: walk.cursor,
                end: walk.end,
                rest: image.rest(walk.end),
                flaw: walk.flaw,
            });
            cursor = walk.cursor;
            buffer = image.bytes;
        }
        this.judge()?;
        Ok(this)
    }

    /// What is to be cut: all that is written behind the last record.
    pub(crate) fn cuts(&self) -> Vec<Cut> {
        let behind = self.segments[self.tail..].iter();
        behind
            .filter_map(|segment| {
                Some(Cut {
                    file: segment_name(segment.generation),
                    offset: segment.end,
                    bytes: segment.cut_end()? - segment.end,
                    records: segment.rest.records,
                })
            })
            .collect()
    }

    /// Refuses an end that cuts off what was durable.
    fn judge(&self) -> Result<(), JournalError> {
        let behind = &self.segments[self.tail..];
        let attested = behind.iter().map(|segment| segment.rest.durable);
        let durable = attested.fold(self.durable, Mark::max);
        let next = behind[0].after.next;
        if next > durable {
            return Ok(());
        }
        // A tail that is blank behind its last record lost nothing itself: then what follows it did.
        let at = match behind {
            [tail, lost, ..] if tail.rest.end == tail.end && lost.rest.end > PAGE => lost,
            _ => &behind[0],
        };
        let why = format!(
            "{}, but all up to mark {durable} is known to have been durable",
            at.flaw
        );
        let name = segment_name(at.generation);
        Err(JournalError::corrupt(&name, at.end, Some(next), why))
    }
}

/// The generations from `first` on, which have to be there without a gap.
fn generations(first: u64, names: &[String]) -> Result<Vec<u64>, JournalError> {
    let live: Vec<u64> = names
        .iter()
        .filter_map(|name| segment_generation(name))
        .filter(|generation| *generation >= first)
        .collect();
    for (expected, found) in (first..).zip(live.iter().copied().chain([u64::MAX])) {
        if expected != found && (expected == first || found != u64::MAX) {
            let name = segment_name(expected);
            return Err(JournalError::corrupt(
                &name,
                0,
                None,
                "the segment is missing",
            ));
        }
    }
    Ok(live)
}

/// Reads a segment as the medium holds it. What the page cache shows may never have arrived there, if a
/// sync failed before the restart (Rebello et al., Can applications recover from fsync failures?, ATC
/// 2020).
fn read_past_cache<D: Disk>(
    disk: &D,
    owner: &Owner,
    generation: u64,
    buffer: Vec<u8>,
) -> Result<Image, JournalError> {
    let name = segment_name(generation);
    let file = disk.open(&name).at("open", &name)?;
    file.sync().at("sync", &name)?;
    file.forget_cached().at("forget the cache of", &name)?;
    Image::read::<D>(&file, owner, generation, buffer)
}
