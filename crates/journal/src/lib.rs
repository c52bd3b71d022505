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
//! ```
//! use bytes::Bytes;
//! use quorate_core::{ClusterId, Incarnation, Mark, NodeId};
//! use quorate_journal::{Entry, Identity, Journal, JournalConfig, MemDisk};
//!
//! let disk = MemDisk::new(); // or FileDisk::open(dir)?
//! let identity = Identity {
//!     cluster: ClusterId(1),
//!     member: NodeId(1),
//!     fresh: Some(Incarnation(7)), // drawn at random, for a directory that is made now
//!     unix_micros: 1,
//! };
//! let config = JournalConfig::default();
//! let (mut journal, recovery) = Journal::open(disk.clone(), identity, config.clone())?;
//! assert!(recovery.is_new);
//! let head = Bytes::from_static(b"a record");
//! journal.append(&Entry { mark: Mark(1), head, bodies: Default::default() })?;
//! assert_eq!(journal.sync()?, Mark(1)); // one write, one fdatasync
//!
//! drop(journal);
//! disk.power_loss(|| false); // what was not synced is gone
//! let (_journal, recovery) = Journal::open(disk, identity, config)?;
//! let records = recovery.records().collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(records, [(Mark(1), Bytes::from_static(b"a record"))]);
//! # Ok::<(), quorate_journal::JournalError>(())
//! ```
//!
//! docs/journal.md draws the files byte by byte.
#![forbid(unsafe_code)]

mod batch;
mod config;
mod disk;
mod error;
mod file_disk;
mod format;
mod head;
mod inspect;
mod journal;
mod mem;
mod peer_book;
mod records;
mod recover;
mod scan;
mod segments;
mod slow_disk;
mod snapshot;
mod survey;
mod thread;
mod watermark;

pub use batch::Entry;
pub use config::{Identity, JournalConfig, SMALL_RECORD_BYTES};
pub use disk::{Disk, DiskFile};
pub use error::JournalError;
pub use file_disk::FileDisk;
pub use inspect::{Inspection, Row, Stretch, inspect};
pub use journal::Journal;
pub use mem::{Fault, MemDisk, MemFile};
pub use peer_book::{Meeting, PeerBook};
pub use quorate_core::{Durability, UnknownDurability};
pub use records::Records;
pub use recover::Recovery;
pub use segments::Room;
pub use slow_disk::{SlowDisk, SlowFile, Slowness};
pub use snapshot::{
    CHUNK_BYTES, Incoming, SnapshotChunks, SnapshotError, SnapshotStore, SnapshotWriter,
    SnapshotsFound,
};
pub use survey::Cut;
pub use thread::{Event, JournalThread};
