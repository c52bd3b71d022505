//! Another member, as this one sees it: its address, two lanes out, two lanes in.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_core::{Incarnation, Life, NodeId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::LinkError;
use crate::frame::Lane;
use crate::outbox::Outbox;
use crate::seats::Seats;
use crate::sync::lock;

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    /// Where it is dialled; empty: nobody knows, and it is not.
    pub(crate) address: watch::Sender<String>,
    /// It was let in by its hello alone, and is forgotten when it goes.
    pub(crate) stranger: AtomicBool,
    /// Nobody but the peer itself says where it is.
    pub(crate) tells_address: AtomicBool,
    /// Cancelled when the peer is removed, or everything ends.
    pub(crate) gone: CancellationToken,
    pub(crate) seats: Arc<Mutex<Seats>>,
    lanes: [PeerLane; 2],
}

#[derive(Debug)]
pub(crate) struct PeerLane {
    pub(crate) outbox: Outbox,
    pub(crate) outgoing: End,
    pub(crate) incoming: End,
    /// Rung when the peer has shown itself: no need to wait longer before dialling it.
    pub(crate) seen: Notify,
    pub(crate) dials: AtomicU64,
    pub(crate) received: Received,
}

#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) frames: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) faulted: AtomicU64,
}

impl Peer {
    pub(crate) fn new(
        id: NodeId,
        address: String,
        config: &Config,
        gone: CancellationToken,
        seats: Arc<Mutex<Seats>>,
    ) -> Self {
        let lanes = Lane::ALL.map(|lane| PeerLane {
            outbox: Outbox::new(lane, *config.limits(lane), config.timing.direct_gap),
            outgoing: End::default(),
            incoming: End::default(),
            seen: Notify::new(),
            dials: AtomicU64::new(0),
            received: Received::default(),
        });
        Self {
            id,
            stranger: AtomicBool::new(false),
            tells_address: AtomicBool::new(address.is_empty()),
            address: watch::Sender::new(address),
            gone,
            seats,
            lanes,
        }
    }

    pub(crate) fn lane(&self, lane: Lane) -> &PeerLane {
        &self.lanes[lane.index()]
    }

    /// Another address, which takes effect at once. An empty one leaves it to the peer to say.
    pub(crate) fn set_address(&self, address: String) {
        self.tells_address
            .store(address.is_empty(), Ordering::Relaxed);
        if !address.is_empty() {
            self.move_to(address);
        }
    }

    /// Takes note of where the peer says that it is, if nobody else has said it.
    pub(crate) fn on_told(&self, address: &str) {
        if !address.is_empty() && self.tells_address.load(Ordering::Relaxed) {
            self.move_to(address.to_owned());
        }
    }

    fn move_to(&self, address: String) {
        self.address.send_if_modified(|known| {
            let changed = *known != address;
            *known = address;
            changed
        });
    }

    pub(crate) fn is_stranger(&self) -> bool {
        self.stranger.load(Ordering::Relaxed)
    }

    /// Whether any lane of the peer comes in here.
    pub(crate) fn comes_in(&self) -> bool {
        Lane::ALL
            .iter()
            .any(|lane| self.lane(*lane).incoming.is_connected())
    }

    /// How all links of this peer are at the moment.
    pub(crate) fn status(&self) -> impl Iterator<Item = LinkStatus> {
        Lane::ALL.into_iter().map(|lane| {
            let state = self.lane(lane);
            let tally = state.outbox.tally();
            LinkStatus {
                peer: self.id,
                lane,
                stranger: self.is_stranger(),
                address: self.address.borrow().clone(),
                outgoing: state.outgoing.status(),
                incoming: state.incoming.status(),
                frames_waiting: tally.frames_waiting,
                bytes_waiting: tally.bytes_waiting,
                frames_sent: tally.frames_sent,
                bytes_sent: tally.bytes_sent,
                frames_lost: tally.frames_lost,
                frames_received: state.received.frames.load(Ordering::Relaxed),
                bytes_received: state.received.bytes.load(Ordering::Relaxed),
                frames_faulted: tally.frames_faulted
                    + state.received.faulted.load(Ordering::Relaxed),
            }
        })
    }
}

/// One direction of a lane over all its connections.
#[derive(Debug, Default)]
pub(crate) struct End(Mutex<EndState>);

#[derive(Debug, Default)]
struct EndState {
    connects: u64,
    current: Option<(Instant, Incarnation, Life)>,
    last_error: Option<LinkError>,
}

impl End {
    /// A connection stands; returns its number, which [`End::on_lost`] wants back.
    pub(crate) fn on_connected(&self, incarnation: Incarnation, life: Life) -> u64 {
        let mut state = lock(&self.0);
        state.connects += 1;
        state.current = Some((Instant::now(), incarnation, life));
        state.connects
    }

    /// The connection of that number ended; a later one may stand already.
    pub(crate) fn on_lost(&self, connect: u64, error: &LinkError) {
        let mut state = lock(&self.0);
        if state.connects == connect {
            state.current = None;
        }
        state.last_error = Some(error.clone());
    }

    /// An attempt failed; says whether it failed otherwise than the last one.
    pub(crate) fn on_failed(&self, error: &LinkError) -> bool {
        let mut state = lock(&self.0);
        state.last_error.replace(error.clone()).as_ref() != Some(error)
    }

    fn is_connected(&self) -> bool {
        lock(&self.0).current.is_some()
    }

    fn status(&self) -> EndStatus {
        let state = lock(&self.0);
        EndStatus {
            connected_for: state.current.map(|(since, _, _)| since.elapsed()),
            incarnation: state.current.map(|(_, incarnation, _)| incarnation),
            life: state.current.map(|(_, _, life)| life),
            connects: state.connects,
            last_error: state.last_error.clone(),
        }
    }
}

/// One lane to and from one peer. Counts run from when the peer became one.
#[derive(Clone, Debug)]
pub struct LinkStatus {
    /// The other member.
    pub peer: NodeId,
    /// Which lane.
    pub lane: Lane,
    /// Whether the peer was let in although it is not among those that were set.
    pub stranger: bool,
    /// Where it is dialled; empty: it is not.
    pub address: String,
    /// The connection that this member made.
    pub outgoing: EndStatus,
    /// The connection that the peer made.
    pub incoming: EndStatus,
    /// Frames that wait to be written.
    pub frames_waiting: usize,
    /// Bytes that wait to be written, headers included.
    pub bytes_waiting: usize,
    /// Frames handed to the system in full; whether they arrived is for the receiver to say.
    pub frames_sent: u64,
    /// Bytes handed to the system, headers and beats included.
    pub bytes_sent: u64,
    /// Frames refused by [`Transport::send`](crate::Transport::send), or waiting when the connection ended.
    pub frames_lost: u64,
    /// Payloads that arrived.
    pub frames_received: u64,
    /// Bytes of payload that arrived.
    pub bytes_received: u64,
    /// Payloads that a [`Fault`](crate::Fault) of this side lost on purpose, both ways together.
    pub frames_faulted: u64,
}

/// One direction of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndStatus {
    /// How long the connection has stood; `None` while there is none.
    pub connected_for: Option<Duration>,
    /// The disk of the peer at the other end.
    pub incarnation: Option<Incarnation>,
    /// The run of the peer at the other end.
    pub life: Option<Life>,
    /// Connections so far, reconnects among them.
    pub connects: u64,
    /// Why the last one ended or could not be made.
    pub last_error: Option<LinkError>,
}
