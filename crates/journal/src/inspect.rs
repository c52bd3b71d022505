//! Looking at a journal without touching it: for operators, and for tests that want to know where to aim.

use std::collections::VecDeque;
use std::fmt;

use quorate_core::{ClusterId, Incarnation, Life, Mark, NodeId};

use crate::error::At;
use crate::format::{ALIGN, Owner, PAGE, record_bytes, segment_generation, segment_name};
use crate::head::HeadFile;
use crate::scan::{Cursor, Image};
use crate::watermark::WatermarkFile;
use crate::{Disk, JournalError};

/// What a journal says about itself, and an iterator over what is in its segments.
pub struct Inspection<D: Disk> {
    /// Whose journal it is.
    pub cluster: ClusterId,
    /// Whose journal it is.
    pub member: NodeId,
    /// Whose journal it is.
    pub incarnation: Incarnation,
    /// The last run.
    pub life: Life,
    /// The oldest record that counts.
    pub first: Mark,
    /// Up to where the log is known to be durable.
    pub watermark: Mark,
    disk: D,
    owner: Owner,
    cursor: Cursor,
    generations: VecDeque<u64>,
    rows: VecDeque<Row>,
}

/// A stretch of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The file, relative to the journal's directory.
    pub file: String,
    /// Where the stretch begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// What it is.
    pub what: Stretch,
}

/// What stands in a stretch of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// The record that belongs there, whole.
    Record {
        /// Its mark.
        mark: Mark,
        /// The length of its payload; it begins 48 bytes behind the record.
        payload: u64,
        /// Up to where the log was durable when it was written.
        durable: Mark,
    },
    /// Bytes that are not the record that belongs there; the next start cuts or refuses them.
    Damaged {
        /// The mark of the record that belongs there.
        expected: Mark,
        /// What is wrong.
        why: String,
    },
    /// Never written.
    Blank,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            offset,
            bytes,
            what,
        } = self;
        write!(f, "{file} {offset:>10} {bytes:>10}  ")?;
        match what {
            Stretch::Record {
                mark,
                payload,
                durable,
            } => {
                write!(f, "record {mark}, payload {payload}, durable {durable}")
            }
            Stretch::Damaged { expected, why } => write!(f, "DAMAGED, expected {expected}: {why}"),
            Stretch::Blank => f.write_str("blank"),
        }
    }
}

/// Looks at the journal in `disk`; nothing is changed, and the directory may be in use.
///
/// # Errors
/// If the head or the watermark cannot be read. What is wrong with a segment is told in its rows.
pub fn inspect<D: Disk>(disk: D) -> Result<Inspection<D>, JournalError> {
    let head = HeadFile::open(&disk)?.head;
    let owner = head.owner;
    let names = disk.list().at("list", "the directory")?;
    let generations = names.iter().filter_map(|name| segment_generation(name));
    let generations = generations.filter(|number| *number >= head.first_generation.max(1));
    let watermark = match head.first_generation {
        0 => Mark::ZERO,
        _ => WatermarkFile::open(&disk, &owner)?.durable,
    };
    Ok(Inspection {
        cluster: owner.cluster,
        member: owner.member,
        incarnation: owner.incarnation,
        life: head.life,
        first: head.first_mark,
        watermark,
        generations: generations.collect(),
        disk,
        owner,
        cursor: Cursor {
            next: head.first_mark,
            link: head.first_link,
        },
        rows: VecDeque::new(),
    })
}

impl<D: Disk> Iterator for Inspection<D> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        while self.rows.is_empty() {
            let generation = self.generations.pop_front()?;
            let name = segment_name(generation);
            let file = self.disk.open(&name).at("open", &name);
            match file.and_then(|file| Image::read::<D>(&file, &self.owner, generation, Vec::new()))
            {
                Ok(image) => self.look(&image),
                Err(error) => self.rows.push_back(Row {
                    file: name,
                    offset: 0,
                    bytes: 0,
                    what: self.damaged(error.to_string()),
                }),
            }
        }
        self.rows.pop_front()
    }
}

impl<D: Disk> Inspection<D> {
    fn damaged(&self, why: String) -> Stretch {
        Stretch::Damaged {
            expected: self.cursor.next,
            why,
        }
    }

    /// Describes a segment; behind damage it goes on with the next whole header.
    fn look(&mut self, image: &Image) {
        let written = image.rest(PAGE).end;
        let mut offset = PAGE;
        loop {
            let (end, what) = match image.record(offset, self.cursor) {
                Ok(found) => {
                    self.cursor = found.cursor;
                    let record = Stretch::Record {
                        mark: found.header.mark,
                        payload: u64::from(found.header.length),
                        durable: found.header.durable,
                    };
                    (found.end, record)
                }
                Err(_) if offset >= written => break,
                Err(flaw) => (
                    self.resume(image, offset, written),
                    self.damaged(flaw.to_string()),
                ),
            };
            self.push(image, offset, end, what);
            offset = end;
        }
        let end = image.bytes.len() as u64;
        if offset < end {
            self.push(image, offset, end, Stretch::Blank);
        }
    }

    /// Where the next whole header stands behind `offset`, if not `written`; the log is taken up there.
    fn resume(&mut self, image: &Image, offset: u64, written: u64) -> u64 {
        if let Ok((header, check)) = image.header(offset) {
            // This header is whole: what is wrong is its payload or its place.
            self.cursor.next = header.mark.next();
            self.cursor.link = check;
            return (offset + record_bytes(u64::from(header.length))).min(image.bytes.len() as u64);
        }
        let next = (offset + ALIGN..written)
            .step_by(ALIGN as usize)
            .find_map(|at| Some((at, image.header(at).ok()?.0)));
        let Some((at, header)) = next else {
            return written;
        };
        self.cursor.next = header.mark;
        self.cursor.link = header.link;
        at
    }

    fn push(&mut self, image: &Image, offset: u64, end: u64, what: Stretch) {
        self.rows.push_back(Row {
            file: image.name.clone(),
            offset,
            bytes: end - offset,
            what,
        });
    }
}
