//! The handle that everything else is reached by.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quorate_core::NodeId;
use tokio::time::timeout;
use tokio_util::sync::DropGuard;

use crate::accept;
use crate::config::Config;
use crate::doorkeeper::{Doorkeeper, Open};
use crate::error::{BindError, SendError};
use crate::events::Event;
use crate::faults::{Direction, Faults};
use crate::frame::{Frame, Lane};
use crate::incoming::Incoming;
use crate::peer::LinkStatus;
use crate::shared::Shared;
use crate::sink::Sink;

/// A member's connections to all others. Cheap to clone; when the last clone is dropped without
/// [`Transport::shutdown`], everything ends at once and what waits is lost.
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
    address: Arc<str>,
    _killer: Arc<DropGuard>,
}

impl Transport {
    /// Listens at `config.listen`, begins to dial the peers, and queues what arrives in [`Incoming`].
    ///
    /// Must be called within a tokio runtime with time and I/O enabled, of either flavour.
    pub async fn bind(config: Config) -> Result<(Self, Incoming), BindError> {
        let (incoming, inbox) = Incoming::new(&config);
        let transport = Self::bind_with(config, inbox).await?;
        Ok((transport, incoming))
    }

    /// As [`Transport::bind`], but hands what arrives to `sink`, in the tasks that read it.
    pub async fn bind_with(config: Config, sink: Arc<dyn Sink>) -> Result<Self, BindError> {
        Self::bind_guarded(config, sink, Arc::new(Open)).await
    }

    /// As [`Transport::bind_with`], with somebody who remembers which member had which disk.
    pub async fn bind_guarded(
        config: Config,
        sink: Arc<dyn Sink>,
        doorkeeper: Arc<dyn Doorkeeper>,
    ) -> Result<Self, BindError> {
        Self::start(config, (sink, doorkeeper)).await
    }

    async fn start(
        mut config: Config,
        guarded: (Arc<dyn Sink>, Arc<dyn Doorkeeper>),
    ) -> Result<Self, BindError> {
        config.check()?;
        let network = config.network.clone();
        let refused = |source| BindError::Listen {
            address: config.listen.clone(),
            source,
        };
        let listener = network.listen(&config.listen).await.map_err(refused)?;
        let address: Arc<str> = listener.address().map_err(refused)?.into();
        let peers = config.peers.clone();
        if config.advertise.is_empty() {
            address.as_ref().clone_into(&mut config.advertise);
            config.check_advertise()?;
        }
        let shared = Arc::new(Shared::new(config, network, guarded));
        shared
            .readers
            .spawn(accept::run(Arc::clone(&shared), listener));
        for (id, address) in peers {
            shared.set_peer(id, address);
        }
        let killer = Arc::new(shared.killed.clone().drop_guard());
        Ok(Self {
            shared,
            address,
            _killer: killer,
        })
    }

    /// Sends `frame` to `to`, or says at once that it is lost. Never waits: neither for the peer nor for
    /// another sender's write.
    ///
    /// A frame that is accepted may still be lost with its connection. Within a lane frames arrive in order,
    /// none twice; a reconnect leaves a gap, never an echo.
    ///
    /// A small frame on a resting lane is written before this returns; otherwise it is gathered with others
    /// by the lane's task, which needs the runtime to run.
    pub fn send(&self, to: NodeId, frame: Frame) -> Result<(), SendError> {
        let Some(peer) = self.shared.peer(to) else {
            return Err(SendError::NoSuchPeer(to));
        };
        let passage = self.shared.faults.passage(to, Direction::Out);
        peer.lane(frame.lane).outbox.send(frame, passage)
    }

    /// Makes `id` a peer at `address`, or moves it there. What waited for its old address is lost. With an empty address
    /// the peer is dialled where it says itself that it is, once it has called.
    pub fn set_peer(&self, id: NodeId, address: impl Into<String>) {
        self.shared.set_peer(id, address.into());
    }

    /// Forgets a peer and closes its connections, in both directions. What waits for it is lost.
    pub fn remove_peer(&self, id: NodeId) {
        self.shared.remove_peer(id);
    }

    /// Where this member listens, with the port that was taken for port 0.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How every lane of every peer is at the moment.
    pub fn links(&self) -> Vec<LinkStatus> {
        self.shared
            .peers()
            .iter()
            .flat_map(|peer| peer.status())
            .collect()
    }

    /// Whether frames to `peer` on `lane` are taken at the moment.
    pub fn is_connected(&self, peer: NodeId, lane: Lane) -> bool {
        self.shared
            .peer(peer)
            .is_some_and(|peer| peer.lane(lane).outbox.is_open())
    }

    /// How often `event` has happened.
    pub fn count(&self, event: Event) -> u64 {
        self.shared.events.get(event)
    }

    /// Faults on the links of this member, for tests and demos.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Takes no more frames, writes what waits, closes in order, and ends every task; after `within` it ends
    /// them with what is left unwritten. Returns how many frames were lost by that.
    ///
    /// What arrives meanwhile is still delivered. Calling it again, or on a clone, waits for the same end.
    pub async fn shutdown(&self, within: Duration) -> u64 {
        let before = self.frames_lost();
        self.shared.stop();
        self.shared.links.close();
        self.shared.readers.close();
        // Whether it was in time or not: what is left is ended next.
        let _ = timeout(within, self.shared.links.wait()).await;
        self.shared.killed.cancel();
        self.shared.links.wait().await;
        self.shared.readers.wait().await;
        self.shared.sink.on_stop();
        self.frames_lost().saturating_sub(before)
    }

    fn frames_lost(&self) -> u64 {
        self.links().iter().map(|link| link.frames_lost).sum()
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("node", &self.shared.config.node)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
