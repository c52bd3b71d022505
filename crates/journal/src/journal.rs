//! The journal itself: append, write, sync, reclaim.

use quorate_core::{Incarnation, Life, Mark};

use crate::batch::{Batch, Entry};
use crate::config::SMALL_RECORD_BYTES;
use crate::error::At;
use crate::format::{RecordHeader, record_bytes, segment_name};
use crate::head::{Head, HeadFile};
use crate::scan::Cursor;
use crate::segments::{Room, Segments};
use crate::watermark::WatermarkFile;
use crate::{Disk, DiskFile, Durability, JournalConfig, JournalError};

/// Opaque records in total order on a [`Disk`], owned by one caller, without a thread or a clock of its
/// own.
///
/// [`append`](Self::append) queues, [`sync`](Self::sync) writes the queue and makes it durable. After a
/// failed write or sync the journal is done for: every later call gives the same error (`RELIABILITY`
/// E1).
pub struct Journal<D: Disk> {
    pub(crate) disk: D,
    pub(crate) config: JournalConfig,
    pub(crate) head: HeadFile<D>,
    /// `None` if records are not kept ([`Durability::Memory`]).
    pub(crate) store: Option<Store<D>>,
    pub(crate) batch: Batch,
    pub(crate) cursor: Cursor,
    /// The highest mark on the medium.
    pub(crate) synced: Mark,
    /// The highest mark given by [`sync`](Self::sync).
    pub(crate) acknowledged: Mark,
    pub(crate) failed: Option<JournalError>,
}

/// What keeps the records.
pub(crate) struct Store<D: Disk> {
    pub(crate) segments: Segments<D>,
    pub(crate) watermark: WatermarkFile<D>,
}

impl<D: Disk> Journal<D> {
    /// Queues a record. It is written and synced with the next [`sync`](Self::sync); if it does not fit
    /// into the current segment, what was queued before is written and synced now.
    ///
    /// # Errors
    /// [`JournalError::OutOfOrder`], [`JournalError::TooLarge`] and [`JournalError::NoRoom`] leave the
    /// journal as it was; all others are fatal.
    pub fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        self.alive()?;
        let bytes = entry.bytes();
        if entry.mark != self.cursor.next {
            return Err(JournalError::OutOfOrder {
                expected: self.cursor.next,
                found: entry.mark,
            });
        }
        if bytes > self.config.record_bytes_max {
            return Err(JournalError::TooLarge {
                bytes,
                limit: self.config.record_bytes_max,
            });
        }
        if self.store.is_some() {
            let placed = self.place(bytes);
            self.note(placed)?;
            self.queue(entry, bytes);
        }
        self.cursor.next = self.cursor.next.next();
        Ok(())
    }

    /// Writes what is queued, without making it durable.
    pub fn write(&mut self) -> Result<(), JournalError> {
        self.alive()?;
        let written = self.write_batch();
        self.note(written)
    }

    /// Writes what is queued, makes it as durable as is configured, and gives the highest durable mark.
    pub fn sync(&mut self) -> Result<Mark, JournalError> {
        self.alive()?;
        let synced = self
            .write_batch()
            .and_then(|()| match self.config.durability {
                Durability::Memory | Durability::Buffered => Ok(()),
                Durability::Fsync => self.sync_tail(),
            });
        self.note(synced)?;
        self.acknowledged = self.last();
        Ok(self.acknowledged)
    }

    /// Writes what is queued and syncs it whatever the durability: the last call before a graceful end.
    pub fn close(mut self) -> Result<Mark, JournalError> {
        self.sync()?;
        self.sync_tail()?;
        Ok(self.last())
    }

    /// Does one bounded step towards the next spare segment (it writes and syncs a quarter of a MiB);
    /// to be called while the answer is [`Room::Making`] and the disk has nothing better to do, and now
    /// and then while it is [`Room::Full`]. If nobody does, the whole segment is made when the current
    /// one is full.
    pub fn make_room(&mut self) -> Result<Room, JournalError> {
        self.alive()?;
        let Some(store) = &mut self.store else {
            return Ok(Room::Ready);
        };
        let room = store.segments.make_room(&self.disk);
        self.note(room)
    }

    /// Whether a spare segment stands ready. In [`Room::Full`] the member is to take no new entries;
    /// what is under way, and small records, still fit as far as the current segment goes.
    pub fn room(&self) -> Room {
        self.store
            .as_ref()
            .map_or(Room::Ready, |store| store.segments.room())
    }

    /// Whether [`make_room`](Self::make_room) is urgent: the current segment fills faster than the
    /// spare one is made.
    pub fn is_late(&self) -> bool {
        self.store
            .as_ref()
            .is_some_and(|store| store.segments.is_late())
    }

    /// Removes the segments whose records all lie below `below`, and gives the mark of the oldest
    /// record kept.
    ///
    /// The new beginning is durable before anything is removed, so that a crash at any step leaves either
    /// the old beginning with its segments or the new one, with files that no longer count.
    pub fn reclaim(&mut self, below: Mark) -> Result<Mark, JournalError> {
        self.alive()?;
        let reclaimed = self.reclaim_below(below);
        self.note(reclaimed)?;
        Ok(self.head.head.first_mark)
    }

    /// Whether there are records that the last [`sync`](Self::sync) did not cover.
    pub fn is_dirty(&self) -> bool {
        self.last() > self.acknowledged
    }

    /// The mark of the last record appended; zero before the first.
    pub fn last(&self) -> Mark {
        self.cursor.next.prev()
    }

    /// The identity of this directory.
    pub fn incarnation(&self) -> Incarnation {
        self.head.head.owner.incarnation
    }

    /// This run of the member.
    pub fn life(&self) -> Life {
        self.head.head.life
    }

    /// When a record counts as written.
    pub fn durability(&self) -> Durability {
        self.config.durability
    }

    fn alive(&self) -> Result<(), JournalError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Remembers a fatal error for every later call.
    fn note<T>(&mut self, result: Result<T, JournalError>) -> Result<T, JournalError> {
        if let Err(error) = &result
            && error.is_fatal()
        {
            tracing::error!(%error, "the journal has failed");
            self.failed = Some(error.clone());
        }
        result
    }

    /// Makes sure that the current segment has room for a payload of `bytes`, going on to the next if
    /// it must.
    fn place(&mut self, bytes: u64) -> Result<(), JournalError> {
        let store = self.store.as_mut().expect("records are kept");
        let needed = record_bytes(bytes);
        let tail = &store.segments.tail;
        let left = tail.capacity - tail.offset - self.batch.bytes;
        let full = store.segments.room() == Room::Full;
        if needed <= left {
            let reserved = full && bytes > SMALL_RECORD_BYTES;
            let kept = if reserved {
                self.config.reserve_bytes
            } else {
                0
            };
            if left - needed < kept {
                return Err(JournalError::NoRoom { bytes: needed });
            }
            return Ok(());
        }
        if full {
            return Err(JournalError::NoRoom { bytes: needed });
        }
        while store.segments.room() != Room::Ready {
            if store.segments.make_room(&self.disk)? == Room::Full {
                return Err(JournalError::NoRoom { bytes: needed });
            }
        }
        self.write_batch()?;
        // Nothing of the next segment is written before all of this one is on the medium, whatever the
        // durability: recovery relies on it.
        self.sync_tail()?;
        let store = self.store.as_mut().expect("records are kept");
        store.segments.advance(self.cursor);
        Ok(())
    }

    fn queue(&mut self, entry: &Entry, bytes: u64) {
        let store = self.store.as_ref().expect("records are kept");
        let header = RecordHeader {
            length: bytes as u32,
            mark: entry.mark,
            tag: self.head.head.owner.tag(store.segments.tail.generation),
            durable: self.synced,
            link: self.cursor.link,
            payload: entry.checksum(),
        };
        self.cursor.link = self.batch.push(&header, entry);
    }

    fn write_batch(&mut self) -> Result<(), JournalError> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        if self.batch.bytes > 0 {
            let tail = &mut store.segments.tail;
            let name = || segment_name(tail.generation);
            let written = tail.file.write_at(tail.offset, &self.batch.slices());
            if written.is_err() {
                written.at("write", &name())?;
            }
            tail.offset += self.batch.bytes;
            self.batch.clear();
        }
        Ok(())
    }

    /// Makes all that is written durable, and notes it in the watermark.
    fn sync_tail(&mut self) -> Result<(), JournalError> {
        let last = self.last();
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        if last > self.synced {
            let tail = &store.segments.tail;
            let synced = tail.file.sync();
            if synced.is_err() {
                synced.at("sync", &segment_name(tail.generation))?;
            }
            self.synced = last;
            store.watermark.store(last)?;
        }
        Ok(())
    }

    fn reclaim_below(&mut self, below: Mark) -> Result<(), JournalError> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        let dead = store.segments.take_below(below);
        let Some(last) = dead.last() else {
            return Ok(());
        };
        let head = Head {
            first_generation: last.generation + 1,
            first_mark: last.after.next,
            first_link: last.after.link,
            ..self.head.head
        };
        self.head.store(head)?;
        for closed in &dead {
            let name = segment_name(closed.generation);
            self.disk.remove(&name).at("remove", &name)?;
        }
        Ok(())
    }
}
