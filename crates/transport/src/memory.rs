//! A network in one process: the same transport, over pipes instead of sockets.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{duplex, split};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::error::BindError;
use crate::incoming::Incoming;
use crate::sink::Sink;
use crate::sync::lock;
use crate::transport::Transport;
use crate::wire::{Network, Wire};

/// Bytes that a pipe holds each way before its writer has to wait: what a socket's buffers are to TCP.
const PIPE_BYTES: usize = 64 * 1024;

/// Connections that a listener has not yet accepted.
const CALLS_MAX: usize = 64;

/// A network in one process. Addresses are free names; everything above the pipes is what runs over TCP:
/// frames, handshakes, bounds, reconnects and faults.
///
/// Under tokio's paused clock (`start_paused`) a test over it takes no time to wait.
#[derive(Clone, Debug, Default)]
pub struct MemoryNetwork {
    listeners: Arc<Mutex<BTreeMap<String, mpsc::Sender<Wire>>>>,
}

impl MemoryNetwork {
    /// A network without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`Transport::bind`], at the name `config.listen` of this network.
    pub async fn bind(&self, config: Config) -> Result<(Transport, Incoming), BindError> {
        Transport::bind(self.named(config)).await
    }

    /// As [`Transport::bind_with`], at the name `config.listen` of this network.
    pub async fn bind_with(
        &self,
        config: Config,
        sink: Arc<dyn Sink>,
    ) -> Result<Transport, BindError> {
        Transport::bind_with(self.named(config), sink).await
    }

    fn named(&self, config: Config) -> Config {
        let network = Network::Memory(self.clone());
        Config { network, ..config }
    }

    pub(crate) fn listen(&self, name: &str) -> io::Result<mpsc::Receiver<Wire>> {
        let mut listeners = lock(&self.listeners);
        if listeners
            .get(name)
            .is_some_and(|listener| !listener.is_closed())
        {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, receiver) = mpsc::channel(CALLS_MAX);
        listeners.insert(name.to_owned(), sender);
        Ok(receiver)
    }

    pub(crate) fn dial(&self, name: &str) -> io::Result<Wire> {
        let (here, there) = duplex(PIPE_BYTES);
        let wire = |pipe, remote: &str| {
            let (read, write) = split(pipe);
            Wire {
                read: Box::new(read),
                write: Box::new(write),
                remote: remote.to_owned(),
            }
        };
        let listeners = lock(&self.listeners);
        let listener = listeners
            .get(name)
            .ok_or(io::ErrorKind::ConnectionRefused)?;
        let called = listener.try_send(wire(there, "memory"));
        called.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(wire(here, name))
    }
}
