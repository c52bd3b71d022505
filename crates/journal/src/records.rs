//! The recovered records, one segment in memory at a time.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_core::Mark;

use crate::error::At;
use crate::format::{Owner, PAGE, segment_name};
use crate::scan::{Cursor, Image};
use crate::survey::Segment;
use crate::{Disk, JournalError};

/// An iterator over the recovered records in order. Every one is checked again as it is read.
#[derive(Clone)]
pub struct Records<D: Disk> {
    disk: D,
    owner: Owner,
    segments: VecDeque<Segment>,
    current: Option<Current>,
}

#[derive(Clone)]
struct Current {
    image: std::sync::Arc<Image>,
    offset: u64,
    end: u64,
    cursor: Cursor,
}

impl<D: Disk> Records<D> {
    pub(crate) fn new(disk: D, owner: Owner, segments: Vec<Segment>) -> Self {
        let filled = segments.into_iter().filter(|segment| segment.end > PAGE);
        Self {
            disk,
            owner,
            segments: filled.collect(),
            current: None,
        }
    }

    /// The next record, if there is one.
    fn advance(&mut self) -> Result<Option<(Mark, Bytes)>, JournalError> {
        if self
            .current
            .as_ref()
            .is_none_or(|current| current.offset >= current.end)
        {
            let last = self.current.take();
            let Some(segment) = self.segments.pop_front() else {
                return Ok(None);
            };
            let name = segment_name(segment.generation);
            let file = self.disk.open(&name).at("open", &name)?;
            // None: another iterator, a clone of this one, still reads it.
            let last = last.and_then(|current| std::sync::Arc::into_inner(current.image));
            let buffer = last.map(|image| image.bytes).unwrap_or_default();
            let image = Image::read::<D>(&file, &self.owner, segment.generation, buffer)?;
            self.current = Some(Current {
                image: image.into(),
                offset: PAGE,
                end: segment.end,
                cursor: segment.before,
            });
        }
        let current = self.current.as_mut().expect("a segment was just read");
        let Current {
            image,
            offset,
            cursor,
            ..
        } = current;
        let found = image.record(*offset, *cursor).map_err(|flaw| {
            let why = format!("{flaw}, although it was sound a moment ago");
            JournalError::corrupt(&image.name, *offset, Some(cursor.next), why)
        })?;
        let record = (found.header.mark, Bytes::copy_from_slice(found.payload));
        *offset = found.end;
        *cursor = found.cursor;
        Ok(Some(record))
    }
}

impl<D: Disk> Iterator for Records<D> {
    type Item = Result<(Mark, Bytes), JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if matches!(next, Some(Err(_))) {
            self.segments.clear();
            self.current = None;
        }
        next
    }
}
