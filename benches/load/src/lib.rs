//! Seeded workloads for whole servers, and what they measured.
//!
//! - [`Workload`]: what is written and read, drawn from a seed; the same for every server.
//! - [`Target`]: a server as its clients see it; [`Resp`] is one that speaks the Redis protocol.
//! - [`closed`]: clients that each wait for an answer before they ask again.
//! - [`open`]: requests that are meant to start at given times, whether or not those before them were answered; latency
//!   counts from then, so that a server that stands still cannot hide how many it kept waiting.
//! - [`raw`]: what the machine does without any server.
//!
//! A load runs in one thread, so that it takes at most one core from the servers that it measures.

mod closed;
mod measured;
mod open;
mod pacer;
pub mod raw;
mod resp;
mod seat;
mod target;
mod workload;

pub use self::closed::{Closed, closed};
pub use self::measured::{Latency, Measured, Tally};
pub use self::open::{End, Ending, Open, Opened, open};
pub use self::resp::{Resp, RespSession};
pub use self::target::{Fate, Session, Target};
pub use self::workload::{Absurd, Keys, Op, Script, Workload, name_key};

use tokio::runtime::Builder;
use tokio::task::LocalSet;

/// Runs `load` to its end in a runtime of this thread's own.
///
/// # Errors
/// If the system grants no runtime.
pub fn in_this_thread<F: Future>(load: F) -> std::io::Result<F::Output> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, load))
}
