//! The tokio runtime of one member of a replicated log.
#![forbid(unsafe_code)]

mod archive;
mod clock;
mod config;
mod core;
mod door;
mod error;
mod inputs;
mod ledger;
mod node;
mod outlets;
mod park;
mod recovery;
mod request;
mod start;
mod status;
mod waiting;
mod writer;

pub use config::{ConfigError, LinkConfig, NodeConfig, Pace};
pub use error::{StartError, Stopped};
pub use node::Node;
pub use request::{Applied, Digest, ReadStamp};
pub use status::{JournalStatus, Leadership, Load, NodeStatus};
