//! The tokio runtime of one member of a replicated log.
//!
//! A [`Node`] runs one [`Replica`](quorate_core::Replica), over whatever log, on real sockets and a real disk:
//!
//! ```text
//!  clients ──► queue ──┐                      ┌──► answers
//!  members ──► door ───┤                      ├──► links ──────────► members
//!  journal ──► mark ───┼──►  core: one task ──┼──► journal's thread ──┐
//!  archive ──► notes ──┤    (owns the replica)└──► archive's thread ──┤
//!  clock ────► alarm ──┘                                              │
//!     ▲                                                               │
//!     └────────────────────── durable · stored · read ◄───────────────┘
//! ```
//! The core takes everything that has come, reads its clock once, hands it to the replica, lets writes and parcels go,
//! applies a budget of what is committed, answers clients, and sleeps until its deadline or the next input. It never
//! waits while it carries out effects. Journal and snapshots have a thread each; what members say is decoded in the
//! tasks that read the sockets.
//!
//! # What may be relied on
//! - **Order.** [`Node::propose`] hands the command in when it is called: the order of calls is the order of
//!   proposals.
//! - **Honest ends.** Every request ends with its answer or with a [`Failure`](quorate_core::Failure); all but
//!   `Unknown` say that it surely had no effect.
//! - **A failed disk ends the member.** After a failed write or sync nothing is acknowledged any more, everyone
//!   who waits is told, and [`Node::stopped`] says so, with the exit code for the process ([`Stopped::exit_code`]).
//! - **Bounded memory.** What waits is bounded in bytes at every door: clients are refused as `Overloaded`, other
//!   members' sockets are left unread, and while the disk is behind ([`Pace::journal_bytes_max`]) no further requests
//!   and entries are taken.
//! - **Nothing is left behind.** When [`Node::stop`] returns, no task and no thread of the member runs, and its
//!   directory is free.
//! - **Exactly once, where it is asked for.** A [`Session`] numbers its commands and sends them again, through whichever
//!   member, until their fate is known; each is applied once.
//!
//! # A member that is a cluster of its own
//! ```
//! use bytes::Bytes;
//! use quorate_core::{At, ClusterId, MalformedSnapshot, NodeId, ReadLevel};
//! use quorate_core::{SnapshotSource, StateMachine};
//! use quorate_node::{Node, NodeConfig};
//! use quorate_raft::{Raft, RaftConfig};
//!
//! /// The last command.
//! #[derive(Default)]
//! struct Last(Bytes);
//!
//! impl StateMachine for Last {
//!     type Reply = ();
//!     type Snapshot = Whole;
//!
//!     fn apply(&mut self, _: At, command: &[u8]) {
//!         self.0 = Bytes::copy_from_slice(command);
//!     }
//!     fn snapshot(&self) -> Whole {
//!         Whole(Some(self.0.clone()).filter(|all| !all.is_empty()))
//!     }
//!     fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
//!         Ok(Self(chunks.next().unwrap_or_default()))
//!     }
//!     fn digest(&self) -> u64 {
//!         self.0.iter().fold(0, |sum, byte| sum * 31 + u64::from(*byte))
//!     }
//! }
//!
//! /// A snapshot of one chunk, or none.
//! struct Whole(Option<Bytes>);
//!
//! impl SnapshotSource for Whole {
//!     fn next_chunk(&mut self, _: usize) -> Option<Bytes> {
//!         self.0.take()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let id = NodeId(1);
//! let config = NodeConfig::in_memory(ClusterId(1), id);
//! let node = Node::start::<Raft>(config, RaftConfig::new(id, &[id]), Last::default).await?;
//! let applied = node.propose("hello".into()).await?;
//! let (last, at) = node
//!     .read(ReadLevel::Linearizable, |state, stamp| (state.0.clone(), stamp.applied))
//!     .await?;
//! assert_eq!(last, "hello");
//! assert_eq!(at, applied.position);
//!
//! let session = node.session().await?;
//! session.propose("once".into()).await?;
//! node.stop().await;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod archive;
mod clock;
mod config;
mod core;
mod door;
mod error;
mod gate;
mod inputs;
mod ledger;
mod links;
mod members;
mod node;
mod orders;
mod outlets;
mod park;
mod recovery;
mod request;
mod session;
mod start;
mod status;
mod waiting;
mod writer;

pub use config::{ConfigError, LinkConfig, NodeConfig, Pace};
pub use error::{StartError, Stopped};
pub use node::Node;
pub use orders::{OrderError, Promoted, Transferred};
pub use quorate_core::{ReadCall, ReadStamp};
pub use request::{Applied, Digest, PeerProgress};
pub use session::{Session, SessionConfig};
pub use status::{HealthStatus, JournalStatus, Leadership, Load, NodeStatus};
