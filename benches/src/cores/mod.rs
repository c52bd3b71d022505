//! Members of a replicated log in one thread: memory only, no encoding, no network, no clock that goes on.
//!
//! # The workload, the same for every contender
//! One *round* is [`Shape::turns`] turns of the leader. In a turn it is given [`Shape::batch`] fresh commands of
//! [`Shape::payload`] bytes each, made there by copying, and what it wants done is done. Then messages are delivered
//! until nobody has anything left to say or to write. A member is given all that has come for it before it is asked
//! what it wants done; after that its writes are acknowledged to it, once, by a separate input. A round ends when all
//! is committed, on every member, and every member has handed its commits out.
//!
//! Between rounds, whenever [`KEPT`] commands or [`KEPT_BYTES`] were committed, all members forget what is behind; that
//! time counts, too.

mod commands;
mod members;

pub use self::commands::Commands;
pub use self::members::{Contender, Members};

/// Commands between two compactions.
pub const KEPT: u64 = 1 << 16;
/// Bytes of commands between two compactions.
pub const KEPT_BYTES: u64 = 16 << 20;

/// What a cell measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many members there are.
    pub members: u64,
    /// Bytes of a command.
    pub payload: usize,
    /// Commands in a turn.
    pub batch: u64,
    /// Turns in a round, all under way at once.
    pub turns: u64,
}

impl Shape {
    /// Payloads that are measured, in bytes.
    pub const PAYLOADS: [usize; 3] = [16, 256, 4096];
    /// Batches that are measured, in commands.
    pub const BATCHES: [u64; 4] = [1, 16, 64, 256];
    /// Bytes of commands under way at once at most: what fits into a cache, beside what is kept.
    const UNDER_WAY: u64 = 1 << 20;

    /// Three members; 16 turns under way, or fewer if those were more than a mebibyte.
    pub fn new(payload: usize, batch: u64) -> Self {
        let turns = Self::UNDER_WAY / (payload as u64 * batch);
        Self {
            members: 3,
            payload,
            batch,
            turns: turns.clamp(1, 16),
        }
    }

    /// Commands in a round.
    pub fn commands(&self) -> u64 {
        self.batch * self.turns
    }

    /// Rounds between two compactions.
    pub fn kept_rounds(&self) -> u64 {
        let commands = KEPT.min(KEPT_BYTES / self.payload as u64);
        (commands / self.commands()).max(1)
    }
}

/// Members in one thread, one of which leads.
pub trait Cores {
    /// Does one round of the workload, up to its commit on every member; how many commands it committed.
    fn round(&mut self) -> u64;
}
