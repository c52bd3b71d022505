//! Raft, from scratch, as a deterministic replicated log.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod append;
mod config;
mod disk;
mod election;
mod log;
#[cfg(test)]
mod log_model;
mod message;
mod progress;
mod raft;
mod reads;
mod record;
mod replication;
mod restore;
mod role;
mod roster;
mod term;

pub use config::{ConfigError, RaftConfig};
pub(crate) use log::Log;
pub use message::{Append, Message, Run};
pub use raft::Raft;
pub use record::Record;
pub use term::{Point, Term};
