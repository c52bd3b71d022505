//! A durable journal: segmented, checksummed, group-committed, and honest about what it lost.
//!
//! A [`Journal`] keeps opaque records in total order on a [`Disk`]. Each record has a
//! [`Mark`](quorate_core::Mark) that rises by one; [`Journal::sync`] gives the highest mark that is
//! durable. Opening it again tells a *torn tail* (writes that nobody was told of: cut, and reported)
//! from a *corrupt middle* (never cut, never skipped: refused, with file and offset).
//!
//! The journal has neither threads nor clocks nor randomness: it can run in a simulator, over a
//! [`MemDisk`] or any other [`Disk`].
//!
//! docs/journal.md draws the files byte by byte.
#![forbid(unsafe_code)]

mod batch;
mod config;
mod disk;
mod durability;
mod error;
mod file_disk;
mod format;
mod head;
mod inspect;
mod journal;
mod mem;
mod records;
mod recover;
mod scan;
mod segments;
mod snapshot;
mod survey;
mod thread;
mod watermark;

pub use batch::Entry;
pub use config::{Identity, JournalConfig, SMALL_RECORD_BYTES};
pub use disk::{Disk, DiskFile};
pub use durability::{Durability, UnknownDurability};
pub use error::JournalError;
pub use file_disk::FileDisk;
pub use inspect::{Inspection, Row, Stretch, inspect};
pub use journal::Journal;
pub use mem::{Fault, MemDisk, MemFile};
pub use records::Records;
pub use recover::Recovery;
pub use segments::Room;
pub use snapshot::{
    CHUNK_BYTES, Incoming, SnapshotChunks, SnapshotError, SnapshotStore, SnapshotWriter,
    SnapshotsFound,
};
pub use survey::Cut;
pub use thread::{Event, JournalThread};
