//! Streams of bytes and where they come from: sockets, or memory, or the sockets of a simulation.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::memory::MemoryNetwork;

/// One half of a connection.
pub(crate) type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
/// The other half.
pub(crate) type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection in two halves that are polled independently.
pub(crate) struct Wire {
    pub(crate) read: ReadHalf,
    pub(crate) write: WriteHalf,
    /// Where the other side is, for logs.
    pub(crate) remote: String,
}

impl Wire {
    #[cfg(feature = "turmoil")]
    fn simulated(stream: turmoil::net::TcpStream, remote: String) -> Self {
        let (read, write) = stream.into_split();
        Self {
            read: Box::new(read),
            write: Box::new(write),
            remote,
        }
    }

    fn tcp(stream: TcpStream, remote: String) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        Ok(Self {
            read: Box::new(read),
            write: Box::new(write),
            remote,
        })
    }

    /// Both halves as one stream, for a handshake.
    pub(crate) fn joined(&mut self) -> tokio::io::Join<&mut ReadHalf, &mut WriteHalf> {
        tokio::io::join(&mut self.read, &mut self.write)
    }
}

/// Where connections are made.
#[derive(Clone, Debug, Default)]
pub enum Network {
    /// TCP; within a simulation of `turmoil`, its sockets.
    #[default]
    Sockets,
    /// Pipes within this process.
    Memory(MemoryNetwork),
}

impl Network {
    pub(crate) async fn listen(&self, address: &str) -> io::Result<Listener> {
        match self {
            #[cfg(feature = "turmoil")]
            Self::Sockets if turmoil::in_simulation() => {
                let listener = turmoil::net::TcpListener::bind(address).await?;
                Ok(Listener::Simulated(listener))
            }
            Self::Sockets => {
                let listener = TcpListener::bind(address).await?;
                Ok(Listener::Tcp(listener))
            }
            Self::Memory(network) => network.listen(address).map(|calls| Listener::Memory {
                calls,
                name: address.to_owned(),
            }),
        }
    }

    /// Resolves `address` and connects to the first of its hosts that answers.
    pub(crate) async fn dial(&self, address: &str) -> io::Result<Wire> {
        match self {
            #[cfg(feature = "turmoil")]
            Self::Sockets if turmoil::in_simulation() => {
                let stream = turmoil::net::TcpStream::connect(address).await?;
                Ok(Wire::simulated(stream, address.to_owned()))
            }
            Self::Sockets => Wire::tcp(TcpStream::connect(address).await?, address.to_owned()),
            Self::Memory(network) => network.dial(address),
        }
    }
}

/// Where connections arrive.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Memory {
        calls: mpsc::Receiver<Wire>,
        name: String,
    },
    #[cfg(feature = "turmoil")]
    Simulated(turmoil::net::TcpListener),
}

impl Listener {
    /// Where it listens, with the port that was taken for port 0.
    pub(crate) fn address(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| address.to_string()),
            Self::Memory { name, .. } => Ok(name.clone()),
            #[cfg(feature = "turmoil")]
            Self::Simulated(listener) => listener.local_addr().map(|address| address.to_string()),
        }
    }

    pub(crate) async fn accept(&mut self) -> io::Result<Wire> {
        match self {
            Self::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                Wire::tcp(stream, remote.to_string())
            }
            Self::Memory { calls, .. } => calls
                .recv()
                .await
                .ok_or_else(|| io::ErrorKind::NotConnected.into()),
            #[cfg(feature = "turmoil")]
            Self::Simulated(listener) => {
                let (stream, remote) = listener.accept().await?;
                Ok(Wire::simulated(stream, remote.to_string()))
            }
        }
    }
}
