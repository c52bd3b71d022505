//! The default sink: two bounded queues and one consumer, control before bulk.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use quorate_core::NodeId;

use crate::config::{Config, LaneLimits};
use crate::frame::{Lane, Received};
use crate::sink::Sink;
use crate::sync::lock;

/// What has arrived, in a queue for each lane, bounded by `inbox_bytes_max` and `inbox_frames_max`. When a
/// queue is full, that lane's sockets are not read until there is room. Dropping it closes all connections
/// from other members.
#[derive(Debug)]
pub struct Incoming {
    inbox: Arc<Inbox>,
}

impl Incoming {
    pub(crate) fn new(config: &Config) -> (Self, Arc<Inbox>) {
        let lanes = Lane::ALL.map(|lane| Queue::new(*config.limits(lane)));
        let state = State {
            lanes,
            consumer: None,
            stopped: false,
            dropped: false,
        };
        let inbox = Arc::new(Inbox {
            state: Mutex::new(state),
        });
        (
            Self {
                inbox: Arc::clone(&inbox),
            },
            inbox,
        )
    }

    /// The next payload; control before bulk. `None` once the transport has stopped and all is taken.
    pub async fn recv(&mut self) -> Option<Received> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// As [`Incoming::recv`], for hand-made futures.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Received>> {
        let mut state = lock(&self.inbox.state);
        if let Some(received) = state.pop() {
            wake_readers(state, received.lane);
            return Poll::Ready(Some(received));
        }
        if state.stopped {
            return Poll::Ready(None);
        }
        state.consumer = Some(context.waker().clone());
        Poll::Pending
    }

    /// What is there without waiting.
    pub fn try_recv(&mut self) -> Option<Received> {
        let mut state = lock(&self.inbox.state);
        let received = state.pop()?;
        wake_readers(state, received.lane);
        Some(received)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut state = lock(&self.inbox.state);
        state.dropped = true;
        let queues = state.lanes.iter_mut();
        let left: Vec<_> = queues
            .map(|queue| {
                (
                    std::mem::take(&mut queue.payloads),
                    std::mem::take(&mut queue.readers),
                )
            })
            .collect();
        drop(state);
        for waker in left
            .into_iter()
            .flat_map(|(_, readers)| readers.into_values())
        {
            waker.wake();
        }
    }
}

/// The shared side of [`Incoming`], filled by the readers.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lanes: [Queue; 2],
    consumer: Option<Waker>,
    stopped: bool,
    dropped: bool,
}

#[derive(Debug)]
struct Queue {
    limits: LaneLimits,
    payloads: VecDeque<Received>,
    bytes: usize,
    /// Who waits for room: one reader a peer, so that this is bounded by the number of peers.
    readers: BTreeMap<NodeId, Waker>,
}

impl Queue {
    fn new(limits: LaneLimits) -> Self {
        Self {
            limits,
            payloads: VecDeque::new(),
            bytes: 0,
            readers: BTreeMap::new(),
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.payloads.len() < self.limits.inbox_frames_max
            && self.bytes + bytes <= self.limits.inbox_bytes_max
    }
}

impl State {
    fn pop(&mut self) -> Option<Received> {
        self.lanes.iter_mut().find_map(|queue| {
            let received = queue.payloads.pop_front()?;
            queue.bytes -= received.payload.len();
            Some(received)
        })
    }
}

/// Wakes those who wait for room once half of it is free, not at every payload.
fn wake_readers(mut state: MutexGuard<'_, State>, lane: Lane) {
    let queue = &mut state.lanes[lane.index()];
    let limits = &queue.limits;
    let roomy = queue.bytes <= limits.inbox_bytes_max / 2
        && queue.payloads.len() <= limits.inbox_frames_max / 2;
    if queue.readers.is_empty() || !roomy {
        return;
    }
    let readers = std::mem::take(&mut queue.readers);
    drop(state);
    readers.into_values().for_each(Waker::wake);
}

impl Sink for Inbox {
    fn poll_deliver(
        &self,
        context: &mut Context<'_>,
        slot: &mut Option<Received>,
    ) -> Poll<ControlFlow<()>> {
        let Some(received) = slot.take() else {
            return Poll::Ready(ControlFlow::Continue(()));
        };
        let mut state = lock(&self.state);
        if state.dropped {
            return Poll::Ready(ControlFlow::Break(()));
        }
        let queue = &mut state.lanes[received.lane.index()];
        if !queue.has_room(received.payload.len()) {
            queue.readers.insert(received.from, context.waker().clone());
            *slot = Some(received);
            return Poll::Pending;
        }
        queue.bytes += received.payload.len();
        queue.payloads.push_back(received);
        let consumer = state.consumer.take();
        drop(state);
        if let Some(consumer) = consumer {
            consumer.wake();
        }
        Poll::Ready(ControlFlow::Continue(()))
    }

    fn on_stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        let consumer = state.consumer.take();
        drop(state);
        if let Some(consumer) = consumer {
            consumer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use bytes::Bytes;
    use quorate_core::{ClusterId, Incarnation, Life};

    use super::*;

    #[derive(Default)]
    struct Rings(AtomicUsize);

    impl Wake for Rings {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn payload(from: u64) -> Received {
        let (incarnation, life) = (Incarnation(1), Life(1));
        let payload = Bytes::from_static(&[0; 10]);
        Received {
            from: NodeId(from),
            incarnation,
            life,
            lane: Lane::Control,
            payload,
        }
    }

    #[test]
    fn readers_without_room_are_kept_one_a_peer_and_woken_when_there_is() {
        let mut config = Config::new(ClusterId(1), NodeId(1), "");
        config.control.inbox_frames_max = 2;
        let (mut incoming, inbox) = Incoming::new(&config);
        let rings = Arc::new(Rings::default());
        let waker = Waker::from(Arc::clone(&rings));
        let mut context = Context::from_waker(&waker);
        for _ in 0..2 {
            assert!(
                inbox
                    .poll_deliver(&mut context, &mut Some(payload(2)))
                    .is_ready()
            );
        }
        let mut refused = Some(payload(2));
        for from in [2, 3, 2, 3, 2] {
            let mut slot = Some(payload(from));
            assert!(inbox.poll_deliver(&mut context, &mut slot).is_pending());
            assert!(slot.is_some(), "it stays with the reader");
        }
        assert_eq!(lock(&inbox.state).lanes[0].readers.len(), 2);
        assert_eq!(rings.0.load(Ordering::SeqCst), 0);
        incoming.try_recv().unwrap();
        assert_eq!(rings.0.load(Ordering::SeqCst), 2, "each reader once");
        assert!(inbox.poll_deliver(&mut context, &mut refused).is_ready());
        drop(incoming);
        let closed = Poll::Ready(ControlFlow::Break(()));
        assert_eq!(
            inbox.poll_deliver(&mut context, &mut Some(payload(3))),
            closed
        );
    }
}
