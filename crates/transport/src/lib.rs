//! A framed, bounded, checksummed transport between the members of a cluster, over tokio.
//!
//! It carries payloads (an encoded head and raw bodies) between members that know each other by name. It does
//! not know what they mean, and promises what a consensus protocol asks of a network and no more: a payload
//! arrives whole or not at all, in order within its lane, never twice; it may be lost, and a sender that
//! overruns its peer is told so at once.
//!
//! ```
//! use std::time::Duration;
//!
//! use quorate_core::{ClusterId, NodeId};
//! use quorate_transport::{Config, Frame, Lane, SendError, Transport};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = ClusterId(7);
//! let (one, two) = (NodeId(1), NodeId(2));
//! let (a, _) = Transport::bind(Config::new(cluster, one, "127.0.0.1:0")).await?;
//! let (b, mut incoming) = Transport::bind(Config::new(cluster, two, "127.0.0.1:0")).await?;
//! a.set_peer(two, b.address());
//! b.set_peer(one, a.address());
//!
//! let body = vec![0xab; 4096];
//! let frame = Frame::new(Lane::Bulk, &b"append"[..]).with_body(body);
//! // No connection yet? Then the frame is lost, and `send` says so instead of waiting.
//! while a.send(two, frame.clone()) == Err(SendError::NotConnected) {
//!     tokio::time::sleep(Duration::from_millis(1)).await;
//! }
//!
//! let received = incoming.recv().await.ok_or("stopped")?;
//! assert_eq!(received.from, one);
//! assert_eq!(&received.payload[..6], b"append");
//! assert_eq!(received.payload.len(), 6 + 4096);
//!
//! let lost = a.shutdown(Duration::from_secs(1)).await;
//! assert_eq!(lost, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # How it is laid out
//!
//! * **A connection for each ordered pair and [`Lane`].** A member dials its peers and only writes there; it
//!   accepts its peers and only reads there. Nobody has to settle which of two crossing connections stays.
//!   Two lanes are two connections, so that a heartbeat never queues behind a snapshot, not in this process,
//!   not in the kernel and not behind a retransmission; the price is four sockets a pair.
//! * **Bounds everywhere.** An outbox for each peer and lane, bounded in frames and bytes
//!   ([`SendError::Full`]); [`Incoming`] or a [`Sink`] that may say "not now", which stops the reading and
//!   lets the sender's outbox fill; a greatest frame, checked before memory is taken; a lobby for those who
//!   have not said who they are.
//! * **No copies of large bodies.** They are slices of a vectored write on the way out, and slices of the
//!   read buffer on the way in. Small pieces are gathered, many frames to a system call.
//! * **No hop when idle.** [`Transport::send`] writes a small frame itself when the lane rests.
//! * **Disks.** A peer that comes back without its disk is another one, if a [`Doorkeeper`] remembers who had which.
//! * **Strangers** of the same cluster are let in, in a bounded number, where [`Config::strangers_max`] says so.
//! * **Lives.** A restarted peer takes the place of its former self, and no frame of the former is delivered
//!   after that ([`Received::life`]).
//! * **Faults** ([`Faults`]) and a network in memory ([`MemoryNetwork`]) for tests and demos, over the same code.
//!
//! What it does not do: it does not encrypt or authenticate (whoever reaches the port and knows the names of
//! the cluster and of its members is believed), and it does not resend.
//!
//! The frame and the handshake, byte by byte, are in `docs/transport.md`.
#![forbid(unsafe_code)]

mod accept;
mod codec;
mod config;
mod doorkeeper;
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
pub use doorkeeper::{Denial, Doorkeeper};
pub use error::{BindError, HandshakeError, LinkError, Refusal, SendError};
pub use events::Event;
pub use faults::{Direction, Fault, Faults};
pub use frame::{Frame, Lane, Received};
pub use incoming::Incoming;
pub use memory::MemoryNetwork;
pub use peer::{EndStatus, LinkStatus};
pub use sink::Sink;
pub use transport::Transport;
pub use wire::Network;
