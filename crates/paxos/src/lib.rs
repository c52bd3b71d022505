//! Multi-Paxos, from scratch, as a deterministic replicated log.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod acceptor;
mod ballot;
mod config;
mod disk;
mod elector;
mod following;
mod leading;
mod learner;
mod message;
mod paxos;
mod peer;
mod proposer;
mod reads;
mod record;
mod restore;
mod roster;
mod safe_value;
mod slots;
mod snapshots;

pub use ballot::{Ballot, Value, Vote};
pub use config::{ConfigError, PaxosConfig, Quorums};
pub use message::{Accepted, Message, Promise};
pub use paxos::Paxos;
pub use record::Record;
