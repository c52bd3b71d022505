//! Hand-overs of work between threads and tasks, where the ones in tokio and std cost more.
//!
//! A member's core runs as one task. Two things reach it from elsewhere, and for each there is one piece:
//!
//! - [`batch_queue`]: clients and socket readers hand it work. Many push, one takes, and it takes all that
//!   is queued in one swap. Bounded by weight; closes from either side.
//! - [`watermark`]: the journal thread tells it how far the disk has come. One number that only rises, and
//!   an end that tells an orderly close from a failure.
//!
//! Neither knows tokio: both wait through a [`Waker`](std::task::Waker) and run under any executor.
//!
//! ```
//! use quorate_handoff::{batch_queue, watermark};
//!
//! // Many producers, one consumer that takes all at once; here with room for a weight of 100.
//! let (sender, mut receiver) = batch_queue(100);
//! sender.push("first", 40)?;
//! sender.push("second", 40)?;
//! assert!(sender.push("third", 40).is_err(), "full");
//! let mut batch = Vec::new();
//! assert_eq!(receiver.take(&mut batch), 2);
//!
//! // A number that only rises, from the thread that knows it to the task that waits for it.
//! let (mut publisher, mut observer) = watermark(0);
//! publisher.publish(7);
//! assert_eq!(observer.observe(), Ok(Some(7)));
//! assert_eq!(observer.observe(), Ok(None), "nothing new");
//! # Ok::<(), quorate_handoff::PushError<&str>>(())
//! ```
//!
//! # How they are made
//!
//! Each is one mutex around plain data, and the sleeper's waker lies under that same mutex. "There is
//! nothing" and "wake me when there is" are then a single step, which leaves no gap for a wake-up to
//! fall into. A waker is taken out under the lock and woken or dropped after it. There is no unsafe
//! code and no atomic ordering to argue about. `tests/loom_*.rs` run both through every interleaving with
//! up to three (queue) or four (watermark) preemptions.
//!
//! # What they gain
//!
//! Time of the other divided by time of ours: medians of one quiet run of `cargo bench -p quorate-benches
//! --bench handoff` on a virtual machine with 2 shared cores (32-byte items, room for 4096).
//!
//! | batch queue | ours | tokio `mpsc` bounded | tokio `mpsc` unbounded | std `sync_channel` |
//! |---|---|---|---|---|
//! | one producer task | 27 ns an item | × 2.7 | × 1.9 | × 1.4 |
//! | four producer tasks | 76 ns an item | × 1.9 | × 1.4 | **× 0.8** |
//! | no contention, 64 a turn | 17 ns an item | × 2.3 | × 1.1 | |
//! | two sleeping tasks, round trip | 243 ns | × 1.6 | × 1.2 | |
//!
//! | watermark | ours | tokio `watch` |
//! |---|---|---|
//! | publish, then look | 15 ns | × 5.3 |
//! | thread wakes a sleeping task | 26 µs | × 1.0 |
//!
//! A second run, under heavy load from elsewhere on the same machine, was mostly slower by two to four
//! times. It agreed that the batch queue beats the bounded `mpsc` (× 1.3 to 2.4), that publishing beats
//! `watch` (× 4.0), and that waking from another thread shows no clear difference. It did not agree on the
//! unbounded `mpsc` (× 0.4 to 8) nor on std's channel (× 2.5 to 2.8): take those two columns as "comparable".
//!
//! tokio's channels are drained with `recv_many`. The fair rival is the bounded one; the unbounded one is
//! shown although a member may not use it. std's channel has threads at both ends, because no task can
//! await it.
//!
//! Where a task has to be woken from another core, that wake-up is all the time there is, and neither piece
//! helps: with one mark for each `fdatasync` the watermark saves nothing that can be felt. It is kept for
//! journals that do not sync, and because an end that overtakes unseen marks on failure would have to be
//! built on top of `watch` as well.
//!
//! For everything else use tokio's: `oneshot` for replies, `watch` for a status with many readers, a bounded
//! `mpsc` where items come one at a time, or where waiting producers must be served in turn.
#![forbid(unsafe_code)]

mod batch;
mod sync;
mod waker;
mod watermark;

pub use batch::{BatchReceiver, BatchSender, Closed, PushError, batch_queue};
pub use watermark::{Ended, Observer, Publisher, watermark};
