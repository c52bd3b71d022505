//! What all tasks of one transport share.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use quorate_core::{NodeId, Rng};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::doorkeeper::Doorkeeper;
use crate::error::HandshakeError;
use crate::events::Events;
use crate::faults::Faults;
use crate::frame::Lane;
use crate::link;
use crate::peer::Peer;
use crate::seats::Seats;
use crate::sink::Sink;
use crate::sync::lock;
use crate::wire::Network;

/// Seats of those who are peers no more that are remembered.
const SEATS_MAX: usize = 1024;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) network: Network,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) doorkeeper: Arc<dyn Doorkeeper>,
    pub(crate) faults: Faults,
    pub(crate) events: Events,
    /// Nothing new is begun; what waits is flushed.
    pub(crate) stopping: CancellationToken,
    /// Everything ends now.
    pub(crate) killed: CancellationToken,
    /// The tasks that write.
    pub(crate) links: TaskTracker,
    /// The tasks that listen and read.
    pub(crate) readers: TaskTracker,
    /// In order of their names.
    peers: RwLock<Vec<Arc<Peer>>>,
    /// Outlive their peers: one that is removed and comes back is not taken for new. At most [`SEATS_MAX`] of those who
    /// are gone.
    seats: Mutex<BTreeMap<NodeId, Arc<Mutex<Seats>>>>,
    dice: Mutex<Rng>,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        network: Network,
        (sink, doorkeeper): (Arc<dyn Sink>, Arc<dyn Doorkeeper>),
    ) -> Self {
        let mut dice = Rng::new(config.seed);
        Self {
            network,
            sink,
            doorkeeper,
            faults: Faults::new(dice.next()),
            events: Events::new(),
            stopping: CancellationToken::new(),
            killed: CancellationToken::new(),
            links: TaskTracker::new(),
            readers: TaskTracker::new(),
            peers: RwLock::default(),
            seats: Mutex::default(),
            dice: Mutex::new(dice),
            config,
        }
    }

    pub(crate) fn peer(&self, id: NodeId) -> Option<Arc<Peer>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let at = peers.binary_search_by_key(&id, |peer| peer.id).ok()?;
        Some(Arc::clone(&peers[at]))
    }

    pub(crate) fn peers(&self) -> Vec<Arc<Peer>> {
        self.peers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Adds a peer, or gives a known one another address. This member itself is passed over.
    pub(crate) fn set_peer(self: &Arc<Self>, id: NodeId, address: String) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if id == self.config.node || self.stopping.is_cancelled() {
            return;
        }
        match peers.binary_search_by_key(&id, |peer| peer.id) {
            Ok(at) => {
                peers[at].stranger.store(false, Ordering::Relaxed);
                peers[at].set_address(address);
            }
            Err(at) => peers.insert(at, self.begin(id, address)),
        }
    }

    /// The peer that says hello from `address`; one that is not known is let in as a stranger if there is room.
    pub(crate) fn peer_or_stranger(
        self: &Arc<Self>,
        id: NodeId,
        address: &str,
    ) -> Result<Arc<Peer>, HandshakeError> {
        if let Some(peer) = self.peer(id) {
            peer.on_told(address);
            return Ok(peer);
        }
        let refused = Err(HandshakeError::UnknownMember(id));
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        let at = match peers.binary_search_by_key(&id, |peer| peer.id) {
            Ok(at) => return Ok(Arc::clone(&peers[at])),
            Err(at) => at,
        };
        let strangers = peers.iter().filter(|peer| peer.is_stranger()).count();
        if strangers >= self.config.strangers_max || self.stopping.is_cancelled() {
            return refused;
        }
        let peer = self.begin(id, String::new());
        peer.stranger.store(true, Ordering::Relaxed);
        peer.on_told(address);
        peers.insert(at, Arc::clone(&peer));
        Ok(peer)
    }

    /// A new peer, which is dialled from now on.
    fn begin(self: &Arc<Self>, id: NodeId, address: String) -> Arc<Peer> {
        let gone = self.killed.child_token();
        let peer = Peer::new(id, address, &self.config, gone, self.seats_of(id));
        let peer = Arc::new(peer);
        for lane in Lane::ALL {
            let dice = lock(&self.dice).fork();
            let task = link::keep(Arc::clone(self), Arc::clone(&peer), lane, dice);
            self.links.spawn(task);
        }
        peer
    }

    fn seats_of(&self, id: NodeId) -> Arc<Mutex<Seats>> {
        let mut seats = lock(&self.seats);
        if seats.len() > SEATS_MAX {
            // Those of peers are held by them.
            seats.retain(|_, seats| Arc::strong_count(seats) > 1);
        }
        Arc::clone(seats.entry(id).or_default())
    }

    /// A connection of a peer has ended: a stranger without any other is forgotten.
    pub(crate) fn on_left(&self, peer: &Arc<Peer>) {
        if !peer.is_stranger() {
            return;
        }
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: it may have been made a peer, or have come in again.
        if peer.is_stranger() && !peer.comes_in() {
            peers.retain(|other| !Arc::ptr_eq(other, peer));
            peer.gone.cancel();
        }
    }

    pub(crate) fn remove_peer(&self, id: NodeId) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(at) = peers.binary_search_by_key(&id, |peer| peer.id) {
            peers.remove(at).gone.cancel();
        }
    }

    /// Lets nothing new begin. A peer set at the same time is either stopped here or not begun.
    pub(crate) fn stop(&self) {
        let peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        for peer in peers.iter() {
            for lane in Lane::ALL {
                peer.lane(lane).outbox.stop();
            }
        }
        self.stopping.cancel();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.sink.on_stop();
    }
}
