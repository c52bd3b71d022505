//! The listening side: let in who belongs here, in bounded time and number.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::doorkeeper::Denial;
use crate::error::{HandshakeError, LinkError, Refusal};
use crate::events::Event;
use crate::frame::Lane;
use crate::handshake::{Hello, listen, refuse, welcome};
use crate::peer::Peer;
use crate::reader::Reader;
use crate::seats::Admission;
use crate::shared::Shared;
use crate::sync::lock;
use crate::wire::{Listener, Wire};

/// When the system cannot accept, for instance for want of descriptors, trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the transport stops.
pub(crate) async fn run(shared: Arc<Shared>, mut listener: Listener) {
    let mut lobby = Lobby {
        most: shared.config.handshakes_max,
        waiting: VecDeque::new(),
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            () = shared.killed.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(wire) => {
                let ticket = lobby.enter(&shared.killed);
                shared
                    .readers
                    .spawn(on_connection(Arc::clone(&shared), wire, ticket));
            }
            Err(error) => {
                shared.events.count(Event::AcceptFailed);
                tracing::debug!(%error, "cannot accept");
                tokio::select! {
                    () = sleep(ACCEPT_PAUSE) => {}
                    () = shared.killed.cancelled() => return,
                }
            }
        }
    }
}

/// Those who have not said who they are. When it is full the oldest has to leave: a good peer needs a moment,
/// only a bad one stays long.
struct Lobby {
    most: usize,
    waiting: VecDeque<(CancellationToken, Weak<()>)>,
}

/// Held while waiting in the lobby.
struct Ticket {
    /// Cancelled when the place is needed for another.
    pushed_out: CancellationToken,
    _place: Arc<()>,
}

impl Lobby {
    fn enter(&mut self, killed: &CancellationToken) -> Ticket {
        self.waiting.retain(|(_, place)| place.strong_count() > 0);
        if self.waiting.len() >= self.most
            && let Some((oldest, _)) = self.waiting.pop_front()
        {
            oldest.cancel();
        }
        let (pushed_out, place) = (killed.child_token(), Arc::new(()));
        self.waiting
            .push_back((pushed_out.clone(), Arc::downgrade(&place)));
        Ticket {
            pushed_out,
            _place: place,
        }
    }
}

/// One that was let in.
struct Guest {
    visit: Visit,
    hello: Hello,
    version: u8,
    seat: Admission,
}

/// One that calls, from when it is known who it is. A stranger is forgotten when its last visit ends, however that is.
struct Visit {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.shared.on_left(&self.peer);
    }
}

async fn on_connection(shared: Arc<Shared>, mut wire: Wire, ticket: Ticket) {
    let remote = wire.remote.clone();
    let welcomed = tokio::select! {
        biased;
        () = ticket.pushed_out.cancelled() => {
            let killed = shared.killed.is_cancelled();
            Err(if killed { LinkError::Unwanted } else { HandshakeError::Crowded.into() })
        }
        receipt = timeout(shared.config.timing.handshake_timeout, receive(&shared, &mut wire)) => {
            receipt.unwrap_or(Err(HandshakeError::Timeout)).map_err(LinkError::from)
        }
    };
    drop(ticket);
    match welcomed {
        Ok(guest) => serve(shared, wire, guest).await,
        Err(error) => shared.events.on_end(&format_args!("from {remote}"), &error),
    }
}

/// The handshake, up to the welcome. The seat is taken before the welcome is said, so that whoever was told
/// "welcome" is the one in use, and all before it are gone.
async fn receive(shared: &Arc<Shared>, wire: &mut Wire) -> Result<Guest, HandshakeError> {
    let config = &shared.config;
    let remote = wire.remote.clone();
    let mut stream = wire.joined();
    let (hello, version, address) = listen(&mut stream, config).await?;
    let visit = match shared.peer_or_stranger(hello.from, &reachable(address, &remote)) {
        Ok(peer) => Visit {
            shared: Arc::clone(shared),
            peer,
        },
        Err(error) => {
            refuse(&mut stream, &hello, config, Refusal::UnknownMember).await?;
            return Err(error);
        }
    };
    if let Err(denial) = admit(shared, &hello).await {
        let (refusal, error) = HandshakeError::denied(hello.incarnation, denial);
        refuse(&mut stream, &hello, config, refusal).await?;
        return Err(error);
    }
    let admitted = lock(&visit.peer.seats).admit(&hello, &visit.peer.gone);
    let seat = match admitted {
        Ok(seat) => seat,
        Err((refusal, error)) => {
            refuse(&mut stream, &hello, config, refusal).await?;
            return Err(error);
        }
    };
    for left in &seat.before {
        tokio::select! {
            () = left.cancelled() => {}
            () = seat.cancel.cancelled() => return Err(HandshakeError::Overtaken),
        }
    }
    welcome(&mut stream, &hello, config, version).await?;
    Ok(Guest {
        visit,
        hello,
        version,
        seat,
    })
}

/// Asks whether that member may come in with that disk; whoever says yes has written it down.
async fn admit(shared: &Arc<Shared>, hello: &Hello) -> Result<(), Denial> {
    let doorkeeper = Arc::clone(&shared.doorkeeper);
    let (from, incarnation) = (hello.from, hello.incarnation);
    let asked = spawn_blocking(move || doorkeeper.admit(from, incarnation));
    // It panicked, or the runtime is ending: then nothing was written down.
    asked.await.unwrap_or(Err(Denial::Unable))
}

/// Where a member is that says it listens at `address` and calls from `remote`: one that listens everywhere can be
/// reached where it calls from.
fn reachable(address: String, remote: &str) -> String {
    match (address.parse(), remote.parse::<SocketAddr>()) {
        (Ok(SocketAddr::V4(told)), Ok(remote)) if told.ip().is_unspecified() => {
            SocketAddr::new(remote.ip(), told.port()).to_string()
        }
        (Ok(SocketAddr::V6(told)), Ok(remote)) if told.ip().is_unspecified() => {
            SocketAddr::new(remote.ip(), told.port()).to_string()
        }
        _ => address,
    }
}

async fn serve(shared: Arc<Shared>, wire: Wire, guest: Guest) {
    let Guest {
        visit,
        hello,
        version,
        seat,
    } = guest;
    let (lane, peer) = (hello.lane, Arc::clone(&visit.peer));
    shared.events.count(Event::Welcomed);
    tracing::info!(peer = %peer.id, %lane, life = %hello.life, "welcomed");
    for lane in Lane::ALL {
        peer.lane(lane).seen.notify_one();
    }
    let connect = peer
        .lane(lane)
        .incoming
        .on_connected(hello.incarnation, hello.life);
    let mut reader = Reader::new(
        Arc::clone(&shared),
        Arc::clone(&peer),
        &hello,
        version,
        wire,
    );
    let error = reader.run(&seat.cancel).await;
    // Only now may the seat be taken by another: nothing more is delivered from here.
    drop((reader, seat));
    peer.lane(lane).incoming.on_lost(connect, &error);
    drop(visit);
    shared
        .events
        .on_end(&format_args!("from {} {lane}", peer.id), &error);
}
