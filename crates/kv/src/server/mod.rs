//! The server: Redis's protocol in front of a member of the cluster.
//!
//! Every connection is served by one task, in rounds: it takes all requests that have come in (up to a limit), hands
//! consecutive writes to the member without waiting in between, asks consecutive reads as one, waits at every
//! change from one to the other, and writes all answers at once, in order. So a read sees the writes before it in
//! the same pipeline and none behind it.
//!
//! Within a program of one's own:
//! ```
//! use quorate_core::{ClusterId, NodeId};
//! use quorate_kv::KvStore;
//! use quorate_kv::server::{Limits, Server, ServerConfig};
//! use quorate_node::{Node, NodeConfig};
//! use quorate_raft::{Raft, RaftConfig};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let id = NodeId(1);
//! let config = NodeConfig::in_memory(ClusterId(1), id);
//! let node = Node::start::<Raft>(config, RaftConfig::new(id, &[id]), KvStore::new).await?;
//!
//! let config = ServerConfig {
//!     policy: "raft/push/quorum/linearizable/memory".parse()?,
//!     limits: Limits::default(),
//!     allow_faults: false,
//! };
//! let server = Server::bind("127.0.0.1:0", config).await?;
//! let address = server.local_addr()?;
//! let (close, closing) = tokio::sync::watch::channel(false);
//! let serving = tokio::spawn(server.serve(node.clone(), closing));
//!
//! let mut client = tokio::net::TcpStream::connect(address).await?;
//! client.write_all(b"SET greeting hello\nSTRLEN greeting\nQUIT\n").await?;
//! let mut answers = String::new();
//! client.read_to_string(&mut answers).await?;
//! assert_eq!(answers, "+OK\r\n:5\r\n+OK\r\n");
//!
//! close.send_replace(true);
//! serving.await?;
//! node.stop().await;
//! # Ok(())
//! # }
//! ```

mod admin;
mod answer;
mod budget;
mod connection;
mod fault;
mod level;
mod member;
mod members;
mod node;
mod order;
mod overview;
mod read;
mod request;
mod session;
mod set;
#[cfg(test)]
mod tests;
mod verb;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quorate_core::Policy;
use quorate_journal::Slowness;
use quorate_node::Node;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::KvStore;
use budget::Budget;
use connection::Connection;
use member::Member;

/// How a server treats its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The log behind it, how fresh reads are, and what an acknowledgement rests on.
    pub policy: Policy,
    /// What clients may use.
    pub limits: Limits,
    /// Whether `QUORATE FAULT` may disturb the links to other members, and the disk.
    pub allow_faults: bool,
}

/// What clients may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a key that is written.
    pub key_bytes_max: usize,
    /// Bytes of a value, also of one that grows by `APPEND`.
    pub value_bytes_max: usize,
    /// Bytes of a request as it is sent: more costs the client its connection.
    pub request_bytes_max: usize,
    /// Bytes of an answer that is made of many values or keys (`MGET`, `KEYS`).
    pub answer_bytes_max: usize,
    /// Bytes that all connections together may use for requests that are larger than 64 KiB.
    pub large_requests_bytes_max: usize,
    /// Connections at once.
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes_max: 64 << 10,
            value_bytes_max: 1 << 20,
            request_bytes_max: 8 << 20,
            answer_bytes_max: 64 << 20,
            large_requests_bytes_max: 256 << 20,
            connections_max: 10_000,
        }
    }
}

/// A server that listens for clients.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    config: ServerConfig,
    disk: Slowness,
}

impl Server {
    /// Listens at `host:port`; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address cannot be listened at.
    pub async fn bind(address: &str, config: ServerConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            listener,
            config,
            disk: Slowness::default(),
        })
    }

    /// `QUORATE FAULT disk` acts on the disk that this is the handle of; without one it does nothing.
    pub fn with_disk(self, disk: Slowness) -> Self {
        Self { disk, ..self }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves clients by `node` until `closing` is true or its sender is gone; then lets every connection finish the
    /// round it is in, but waits no longer than [`CLOSE_GRACE`].
    pub async fn serve(self, node: Node<KvStore>, closing: watch::Receiver<bool>) {
        let backing = node::Backing::new(node, &self.config, self.disk.clone());
        self.serve_member(backing, closing).await;
    }

    async fn serve_member<M: Member>(self, member: M, mut closing: watch::Receiver<bool>) {
        let shared = Arc::new(Shared {
            large_requests: Budget::new(self.config.limits.large_requests_bytes_max),
            config: self.config,
            closing: closing.clone(),
        });
        let mut connections = JoinSet::new();
        let mut last_id = 0;
        loop {
            tokio::select! {
                () = closed(&mut closing) => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        last_id += 1;
                        if connections.len() >= shared.config.limits.connections_max {
                            refuse(&stream);
                            continue;
                        }
                        let connection = Connection::new(stream, last_id, address, member.clone(), shared.clone());
                        connections.spawn(connection.run());
                    }
                    Err(error) => on_accept_error(&error).await,
                },
            }
        }
        let finished = async { while connections.join_next().await.is_some() {} };
        // Those that do not finish are cut off with the set.
        let _ = tokio::time::timeout(CLOSE_GRACE, finished).await;
    }
}

/// Waits until the server closes.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // Without a sender nobody will say so any more: that is closing, too.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// How long a closing server waits for its connections.
pub const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// What all connections use.
#[derive(Debug)]
pub(crate) struct Shared {
    config: ServerConfig,
    large_requests: Budget,
    closing: watch::Receiver<bool>,
}

/// Says why and lets go. An answer this short fits into any fresh socket.
fn refuse(stream: &TcpStream) {
    let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
}

/// A client that is gone already is no reason to wait; without file descriptors nothing else is left to do.
async fn on_accept_error(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a client");
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
