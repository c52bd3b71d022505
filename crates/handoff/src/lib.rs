//! Hand-made hand-overs of work between threads, checked with loom.
#![forbid(unsafe_code)]

mod batch;
mod sync;
mod waker;
mod watermark;

pub use batch::{BatchReceiver, BatchSender, Closed, PushError, batch_queue};
pub use watermark::{Ended, Observer, Publisher, watermark};
