//! What all tasks of one transport share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use quorate_core::{NodeId, Rng};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::events::Events;
use crate::faults::Faults;
use crate::frame::Lane;
use crate::link;
use crate::peer::Peer;
use crate::seats::Seats;
use crate::sink::Sink;
use crate::sync::lock;
use crate::wire::Network;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) network: Network,
    pub(crate) sink: Arc<dyn Sink>,
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
    /// Outlive their peers: one that is removed and comes back is not taken for new. As many as there were ids.
    seats: Mutex<BTreeMap<NodeId, Arc<Mutex<Seats>>>>,
    dice: Mutex<Rng>,
}

impl Shared {
    pub(crate) fn new(config: Config, network: Network, sink: Arc<dyn Sink>) -> Self {
        let mut dice = Rng::new(config.seed);
        Self {
            network,
            sink,
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
                peers[at].address.send_if_modified(|known| {
                    let changed = *known != address;
                    *known = address;
                    changed
                });
            }
            Err(at) => {
                let gone = self.killed.child_token();
                let seats = Arc::clone(lock(&self.seats).entry(id).or_default());
                let peer = Arc::new(Peer::new(id, address, &self.config, gone, seats));
                peers.insert(at, Arc::clone(&peer));
                for lane in Lane::ALL {
                    let dice = lock(&self.dice).fork();
                    let task = link::keep(Arc::clone(self), Arc::clone(&peer), lane, dice);
                    self.links.spawn(task);
                }
            }
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
