//! Primary-backup without consensus, as a deterministic replicated log.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod backup;
mod config;
mod disk;
mod epoch;
mod log;
mod member;
mod message;
mod peer;
mod primary;
mod promotion;
mod reads;
mod record;
mod restore;
mod role;

pub use config::{ConfigError, PrimaryBackupConfig};
pub use epoch::{Named, Point, ROUND_MAX, STARTS, appoint, appointment};
pub(crate) use log::Log;
pub use member::PrimaryBackup;
pub use message::{Append, Holding, Message, Missing, Run};
pub use record::{Record, Standing};
