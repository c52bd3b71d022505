//! The handle of a member.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    Change, Direction, Failure, NodeId, Position, ReadCall, ReadStamp, SessionCall, SessionId,
    SnapshotMeta, StateMachine,
};
use quorate_handoff::{BatchSender, Publisher, PushError};
use quorate_transport::{Faults, LinkStatus, Transport};
use tokio::sync::{oneshot, watch};

use crate::error::Stopped;
use crate::links::Links;
use crate::orders::{OrderError, Promoted, Transferred};
use crate::request::{Applied, Digest, Order, PeerProgress, Request};
use crate::session::{Session, SessionConfig};
use crate::status::{Leadership, NodeStatus};

/// A running member of a replicated log, whichever log that is. Cheap to clone; when the last clone is dropped, the
/// member stops as by [`Node::stop`].
pub struct Node<S: StateMachine> {
    handle: Arc<Handle<S>>,
}

/// What all clones of a [`Node`] share.
pub(crate) struct Handle<S: StateMachine> {
    pub(crate) clients: BatchSender<Request<S>>,
    /// Raising it, or dropping it, stops the member.
    pub(crate) stop: Mutex<Publisher>,
    pub(crate) transport: Transport,
    pub(crate) links: Arc<Links>,
    pub(crate) status: watch::Receiver<NodeStatus>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) ended: watch::Receiver<Option<Stopped>>,
    pub(crate) refusal: Refusal,
}

/// What a client is told whose request does not even fit into the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) retry_after: Duration,
    pub(crate) limit: u64,
}

impl<S: StateMachine> Node<S> {
    pub(crate) fn new(handle: Handle<S>) -> Self {
        Self {
            handle: Arc::new(handle),
        }
    }

    /// Hands a command in. That happens in this call, not at the first poll, so that the order of calls is the order of
    /// proposals; the future only waits for the fate. Dropping it changes nothing about that.
    ///
    /// # Errors
    /// [`Failure`]; all but [`Failure::Unknown`] say that the command surely was not and will not be applied.
    /// [`Failure::Overloaded`] comes at once when the queue to the member is full.
    pub fn propose(
        &self,
        command: Bytes,
    ) -> impl Future<Output = Result<Applied<S::Reply>, Failure>> + Send + use<S> {
        self.propose_at(None, command)
    }

    /// Hands a command in as [`Node::propose`] does, under its number in a session: the session, the number, and up to
    /// which number the client has the replies. [`Session`] does all that by itself.
    ///
    /// # Errors
    /// As [`Node::propose`], and [`Failure::Session`].
    pub fn propose_in(
        &self,
        place: (SessionId, u64, u64),
        command: Bytes,
    ) -> impl Future<Output = Result<Applied<S::Reply>, Failure>> + Send + use<S> {
        self.propose_at(Some(place), command)
    }

    /// [`Node::propose`] or [`Node::propose_in`].
    ///
    /// # Errors
    /// As theirs.
    pub fn propose_at(
        &self,
        place: Option<(SessionId, u64, u64)>,
        command: Bytes,
    ) -> impl Future<Output = Result<Applied<S::Reply>, Failure>> + Send + use<S> {
        let call = place.map(|(session, sequence, received)| SessionCall::Apply {
            session,
            sequence,
            received,
        });
        let (answer, fate) = oneshot::channel();
        let Refusal { limit, .. } = self.handle.refusal;
        let bytes = command.len() as u64;
        let pushed = if bytes > limit {
            Err(Failure::TooLarge { bytes, limit })
        } else {
            self.push(Request::Write {
                call,
                command,
                answer,
            })
        };
        async move {
            pushed?;
            // A member that died with the command in its hands leaves its fate open.
            fate.await.unwrap_or(Err(Failure::Unknown))
        }
    }

    /// Opens a session through this member: a client that has each command applied exactly once.
    ///
    /// # Errors
    /// As [`Session::propose`].
    pub async fn session(&self) -> Result<Session<S>, Failure> {
        Session::open(vec![self.clone()], SessionConfig::default()).await
    }

    /// Opens a session that ends when log time has gone on by `ttl` without a command of it.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn open_session(
        &self,
        ttl: Duration,
    ) -> impl Future<Output = Result<SessionId, Failure>> + Send + use<S> {
        let (answer, fate) = oneshot::channel();
        let pushed = self.push(Request::Open { ttl, answer });
        async move {
            pushed?;
            fate.await.unwrap_or(Err(Failure::Unknown))
        }
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn close_session(
        &self,
        session: SessionId,
    ) -> impl Future<Output = Result<(), Failure>> + Send + use<S> {
        let (answer, fate) = oneshot::channel();
        let pushed = self.push(Request::Close { session, answer });
        async move {
            pushed?;
            fate.await.unwrap_or(Err(Failure::Unknown))
        }
    }

    /// Runs `query` on the state of this member, as soon as it is as fresh as `call` says: a
    /// [`ReadLevel`](quorate_core::ReadLevel) or, with what the answer has to include, a [`ReadCall`]. Handed in by this
    /// call, as in [`Node::propose`].
    ///
    /// `query` runs on the member's own task: it is to be short, and to copy out what takes long to look at. If it
    /// panics, the member ends.
    ///
    /// # Errors
    /// [`Failure`], never [`Failure::Unknown`]: a read has no effect.
    pub fn read<C, R, Q>(
        &self,
        call: C,
        query: Q,
    ) -> impl Future<Output = Result<R, Failure>> + Send + use<S, C, R, Q>
    where
        C: Into<ReadCall>,
        R: Send + 'static,
        Q: FnOnce(&S, ReadStamp) -> R + Send + 'static,
    {
        let (answer, fate) = oneshot::channel();
        let query = Box::new(move |state: Result<(&S, ReadStamp), Failure>| {
            if !answer.is_closed() {
                // A client that stops waiting meanwhile does not want to know.
                let _ = answer.send(state.map(|(state, stamp)| query(state, stamp)));
            }
        });
        let call = call.into();
        let pushed = self.push(Request::Read { call, query });
        async move {
            pushed?;
            match fate.await {
                Ok(Err(Failure::Unknown)) | Err(_) => Err(Failure::Stopped),
                Ok(answer) => answer,
            }
        }
    }

    /// Runs `look` on the state of this member as it is, with the last position applied: for people who want to know, also
    /// while nobody leads. A member that has started anew may show less than it did before.
    ///
    /// # Errors
    /// [`Failure::Overloaded`] or [`Failure::Stopped`].
    pub fn inspect<R, Q>(
        &self,
        look: Q,
    ) -> impl Future<Output = Result<R, Failure>> + Send + use<S, R, Q>
    where
        R: Send + 'static,
        Q: FnOnce(&S, Position) -> R + Send + 'static,
    {
        let (answer, seen) = oneshot::channel();
        let look = Box::new(move |state: &S, applied: Position| {
            // As in [`Node::read`].
            let _ = answer.send(look(state, applied));
        });
        let pushed = self.push(Request::Look { look });
        async move {
            pushed?;
            seen.await.map_err(|_| Failure::Stopped)
        }
    }

    /// The digest of the state at the last position applied.
    ///
    /// # Errors
    /// [`Failure::Overloaded`] or [`Failure::Stopped`].
    pub fn digest(&self) -> impl Future<Output = Result<Digest, Failure>> + Send + use<S> {
        let (answer, fate) = oneshot::channel();
        let pushed = self.push(Request::Digest { answer });
        async move {
            pushed?;
            fate.await.map_err(|_| Failure::Stopped)
        }
    }

    /// From now on bulk goes to `peer` in this way; none: to every peer. A log that knows only its own window takes no
    /// notice.
    ///
    /// # Errors
    /// [`Failure::Overloaded`] or [`Failure::Stopped`]; then nothing has changed.
    pub fn direct(&self, peer: Option<NodeId>, direction: Direction) -> Result<(), Failure> {
        self.push(Request::Direct { peer, direction })
    }

    /// How bulk goes to each peer; empty for a log that knows only its own window.
    ///
    /// # Errors
    /// [`Failure::Overloaded`] or [`Failure::Stopped`].
    pub fn flows(
        &self,
    ) -> impl Future<Output = Result<Vec<quorate_core::LinkStatus>, Failure>> + Send + use<S> {
        let (answer, fate) = oneshot::channel();
        let pushed = self.push(Request::Flows { answer });
        async move {
            pushed?;
            fate.await.map_err(|_| Failure::Stopped)
        }
    }

    /// How far the other members are, as this one sees them if it leads; empty if it does not.
    ///
    /// # Errors
    /// [`Failure::Overloaded`] or [`Failure::Stopped`].
    pub fn peers(
        &self,
    ) -> impl Future<Output = Result<Vec<PeerProgress>, Failure>> + Send + use<S> {
        let (answer, fate) = oneshot::channel();
        let pushed = self.push(Request::Peers { answer });
        async move {
            pushed?;
            fate.await.map_err(|_| Failure::Stopped)
        }
    }

    /// Asks this member to lead, for logs whose leader is appointed: `round` is the number of the appointment, above all
    /// before it, or none for the next that is free. With `force` the other members are not asked whether they have more.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn promote(
        &self,
        round: Option<u64>,
        force: bool,
    ) -> impl Future<Output = Result<Promoted, OrderError>> + Send + use<S> {
        let (outcome, fate) = oneshot::channel();
        let order = Order::Promote {
            round,
            force,
            outcome,
        };
        self.order(order, fate)
    }

    /// Changes who the members are. Answers where the new configuration stands in the log once it is in force, chosen and
    /// not joint.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn reconfigure(
        &self,
        change: Change,
    ) -> impl Future<Output = Result<Position, OrderError>> + Send + use<S> {
        let (outcome, fate) = oneshot::channel();
        self.order(Order::Reconfigure { change, outcome }, fate)
    }

    /// Hands leadership over: to this member, or to the voter that is fittest.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn transfer(
        &self,
        to: Option<NodeId>,
    ) -> impl Future<Output = Result<Transferred, OrderError>> + Send + use<S> {
        let (outcome, fate) = oneshot::channel();
        self.order(Order::Transfer { to, outcome }, fate)
    }

    /// Takes a snapshot of the state as it is now, unless there is one. Answers once it is durable.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn snapshot(
        &self,
    ) -> impl Future<Output = Result<SnapshotMeta, OrderError>> + Send + use<S> {
        let (outcome, fate) = oneshot::channel();
        self.order(Order::Snapshot { outcome }, fate)
    }

    fn order<T: Send>(
        &self,
        order: Order,
        fate: oneshot::Receiver<Result<T, OrderError>>,
    ) -> impl Future<Output = Result<T, OrderError>> + Send + use<S, T> {
        let pushed = self.push(Request::Order(order));
        async move {
            match pushed {
                Ok(()) => fate.await.unwrap_or(Err(OrderError::Stopped)),
                Err(Failure::Stopped) => Err(OrderError::Stopped),
                Err(_) => Err(OrderError::Overloaded),
            }
        }
    }

    fn push(&self, request: Request<S>) -> Result<(), Failure> {
        let Refusal { retry_after, .. } = self.handle.refusal;
        let weight = request.weight();
        match self.handle.clients.push(request, weight) {
            Ok(()) => Ok(()),
            // Commands were measured before; nothing else is too heavy for a queue that holds the greatest of them.
            Err(PushError::Full(_) | PushError::TooHeavy(_)) => {
                Err(Failure::Overloaded { retry_after })
            }
            Err(PushError::Closed(_)) => Err(Failure::Stopped),
        }
    }

    /// What the member knows of itself, renewed with every turn that changes it. The last value stays when it ends.
    pub fn status(&self) -> watch::Receiver<NodeStatus> {
        self.handle.status.clone()
    }

    /// Who leads, renewed when that changes; what lasted shorter than a turn is not seen.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.handle.leadership.clone()
    }

    /// Where this member listens for others, with the port that was taken for port 0.
    pub fn address(&self) -> &str {
        self.handle.transport.address()
    }

    /// Says where another member is, or that it has moved there, whatever its config or the configuration says.
    pub fn set_peer(&self, id: NodeId, address: impl Into<String>) {
        self.handle.links.set_peer(id, address.into());
    }

    /// How the links to the other members are.
    pub fn links(&self) -> Vec<LinkStatus> {
        self.handle.transport.links()
    }

    /// Faults on the links to the other members, for tests and demos.
    pub fn faults(&self) -> &Faults {
        self.handle.transport.faults()
    }

    /// Stops the member and waits for its end.
    ///
    /// It takes no more requests, waits a moment ([`Pace::stop_grace`](crate::Pace::stop_grace)) for those it has taken,
    /// ends the others as [`Failure::Stopped`] or, once they were handed to a leader, [`Failure::Unknown`], makes
    /// durable what it has written, closes its links in order, and leaves nothing running.
    pub async fn stop(&self) {
        self.handle
            .stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .publish(1);
        self.stopped().await;
    }

    /// Waits for the end of the member and says why it came.
    pub async fn stopped(&self) -> Stopped {
        let mut ended = self.handle.ended.clone();
        let end = ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|end| end.clone());
        end.unwrap_or(Stopped::Aborted)
    }
}

impl<S: StateMachine> Clone for Node<S> {
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
        }
    }
}

impl<S: StateMachine> fmt::Debug for Node<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.handle.status.borrow().id)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
