//! A framed, bounded, checksummed transport between the members of a cluster, over tokio.
#![forbid(unsafe_code)]

mod accept;
mod codec;
mod config;
mod error;
mod events;
mod faults;
mod frame;
mod handshake;
mod incoming;
mod link;
mod memory;
mod outbox;
mod peer;
mod reader;
mod seats;
mod segments;
mod shared;
mod sink;
#[cfg(test)]
mod stream_tests;
mod sync;
mod transport;
mod wire;

pub use codec::{Arrived, DecodeError, FrameDecoder, FrameError, HEADER_BYTES};
pub use config::{Config, ConfigError, LaneLimits, Timing, VERSIONS, Versions};
pub use error::{BindError, HandshakeError, LinkError, Refusal, SendError};
pub use events::Event;
pub use faults::{Direction, Fault, Faults};
pub use frame::{Frame, Lane, Received};
pub use incoming::Incoming;
pub use memory::MemoryNetwork;
pub use peer::{EndStatus, LinkStatus};
pub use sink::Sink;
pub use transport::Transport;
