//! All that a core waits for.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use quorate_core::{Event, Instant, Mark, Restored, StateMachine};
use quorate_handoff::{BatchReceiver, Closed, Ended, Observer};
use quorate_transport::Lane;

use crate::clock::Alarm;
use crate::door::Hall;
use crate::error::Stopped;
use crate::request::Request;

/// What the member's own threads say to its core.
pub(crate) enum Notice<M, S> {
    /// An event for the replica.
    Event(Event<M>),
    /// The state to go on with.
    Loaded(Box<Restored<S>>),
    /// The member has to end.
    Failed(Stopped),
}

impl<M, S> Notice<M, S> {
    /// Bytes that it holds while it waits.
    pub(crate) fn weight(&self) -> usize {
        let data = match self {
            Self::Event(Event::ChunkRead { data, .. }) => data.as_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        256 + data
    }
}

/// The ends of all queues into the core.
pub(crate) struct Inputs<M, S: StateMachine> {
    pub(crate) clients: BatchReceiver<Request<S>>,
    pub(crate) peers: Hall<M>,
    pub(crate) notices: BatchReceiver<Notice<M, S>>,
    pub(crate) durable: Option<Durable>,
    pub(crate) stop: StopSignal,
    pub(crate) alarm: Alarm,
}

/// What the core can take at the moment. What it cannot take waits outside, where it is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appetite {
    /// Entries of other members.
    pub(crate) bulk: bool,
    /// Requests of clients.
    pub(crate) requests: bool,
}

impl<M, S: StateMachine> Inputs<M, S> {
    /// Ready when there is something to do. True: there was at once, without waiting.
    pub(crate) async fn ready(&mut self, appetite: Appetite, deadline: Option<Instant>) -> bool {
        let mut at_once = true;
        poll_fn(|context| {
            if self.poll_any(appetite, deadline, context) {
                return Poll::Ready(at_once);
            }
            at_once = false;
            Poll::Pending
        })
        .await
    }

    /// Asks every source, so that each of them wakes this task.
    fn poll_any(
        &mut self,
        appetite: Appetite,
        deadline: Option<Instant>,
        context: &mut Context<'_>,
    ) -> bool {
        let mut any = self.peers.poll_arrived(Lane::Control, context);
        any |= appetite.bulk && self.peers.poll_arrived(Lane::Bulk, context);
        any |= appetite.requests && has_items(self.clients.poll_ready(context));
        any |= has_items(self.notices.poll_ready(context));
        any |= self
            .durable
            .as_mut()
            .is_some_and(|durable| durable.poll_news(context));
        any |= self.stop.poll_news(context);
        any || deadline.is_some_and(|deadline| self.alarm.poll(deadline, context))
    }
}

/// A closed queue has nothing more to give, which is no reason to wake up.
pub(crate) const fn has_items(ready: Poll<Result<(), Closed>>) -> bool {
    matches!(ready, Poll::Ready(Ok(())))
}

/// How far the journal is.
pub(crate) struct Durable {
    observer: Observer,
    news: Option<Result<Mark, Ended>>,
}

impl Durable {
    pub(crate) const fn new(observer: Observer) -> Self {
        Self {
            observer,
            news: None,
        }
    }

    fn poll_news(&mut self, context: &Context<'_>) -> bool {
        if let Poll::Ready(risen) = self.observer.poll_risen(context) {
            self.news = Some(risen.map(Mark));
        }
        self.news.is_some()
    }

    /// The mark up to which all is durable, if it has risen since the last call.
    ///
    /// # Errors
    /// The journal has ended, in order or not: no mark means anything any more.
    pub(crate) fn take(&mut self) -> Result<Option<Mark>, Ended> {
        let known = self.news.take().transpose()?;
        let risen = self.observer.observe()?.map(Mark);
        Ok(risen.or(known))
    }
}

/// Whether the member shall stop: somebody said so, or nobody holds a handle any more.
pub(crate) struct StopSignal {
    observer: Observer,
    raised: bool,
}

impl StopSignal {
    pub(crate) const fn new(observer: Observer) -> Self {
        Self {
            observer,
            raised: false,
        }
    }

    /// True once; the core then remembers it.
    fn poll_news(&mut self, context: &Context<'_>) -> bool {
        if self.raised {
            return false;
        }
        self.raised = self.observer.poll_risen(context).is_ready();
        self.raised
    }

    pub(crate) const fn is_raised(&self) -> bool {
        self.raised
    }
}
