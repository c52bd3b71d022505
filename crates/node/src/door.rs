//! The door for other members: payloads are decoded in the tasks that read them and queue for the core.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use quorate_core::{Message, NodeId, Parcel, decode};
use quorate_handoff::{BatchReceiver, BatchSender, PushError, batch_queue};
use quorate_transport::{Lane, LaneLimits, Received, Sink};

/// What a parcel counts beside its bytes.
const OVERHEAD: usize = 128;

/// A parcel and who sent it.
pub(crate) type Arrival<M> = (NodeId, Parcel<M>);

/// The transport's side: one queue for each lane, bounded; a full one holds up its readers.
pub(crate) struct Door<M> {
    lanes: [LaneDoor<M>; 2],
    pub(crate) malformed: AtomicU64,
}

/// The core's side.
pub(crate) struct Hall<M> {
    lanes: [BatchReceiver<Arrival<M>>; 2],
    door: Arc<Door<M>>,
}

struct LaneDoor<M> {
    queue: BatchSender<Arrival<M>>,
    weight_max: usize,
    readers: Readers,
}

/// Readers that sleep until there is room.
#[derive(Default)]
struct Readers {
    /// Whether `wakers` holds any: spares the core the lock.
    some: AtomicBool,
    /// One for each peer.
    wakers: Mutex<BTreeMap<NodeId, Waker>>,
}

/// Both sides of a door with these bounds.
pub(crate) fn door<M: Message>(control: &LaneLimits, bulk: &LaneLimits) -> (Arc<Door<M>>, Hall<M>) {
    let open = |limits: &LaneLimits| {
        let weight_max = limits.inbox_bytes_max;
        let (queue, receiver) = batch_queue(weight_max);
        let readers = Readers::default();
        (
            LaneDoor {
                queue,
                weight_max,
                readers,
            },
            receiver,
        )
    };
    let ((control, control_hall), (bulk, bulk_hall)) = (open(control), open(bulk));
    let door = Arc::new(Door {
        lanes: [control, bulk],
        malformed: AtomicU64::new(0),
    });
    let hall = Hall {
        lanes: [control_hall, bulk_hall],
        door: Arc::clone(&door),
    };
    (door, hall)
}

impl<M: Message> Door<M> {
    /// Counts, says, and breaks the connection off: what it sends is not this protocol.
    fn on_malformed(&self, received: &Received, error: &dyn std::error::Error) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
        let (from, lane, bytes) = (received.from, received.lane, received.payload.len());
        tracing::warn!(%from, %lane, bytes, %error, "malformed parcel; connection closed");
    }
}

impl<M: Message> Sink for Door<M> {
    fn poll_deliver(
        &self,
        context: &mut Context<'_>,
        slot: &mut Option<Received>,
    ) -> Poll<ControlFlow<()>> {
        let Some(received) = slot.as_ref() else {
            return Poll::Ready(ControlFlow::Continue(()));
        };
        let parcel = match decode(received.payload.clone()) {
            Ok(parcel) => parcel,
            Err(error) => {
                self.on_malformed(received, &error);
                return Poll::Ready(ControlFlow::Break(()));
            }
        };
        let lane = &self.lanes[lane_index(received.lane)];
        let weight = received.payload.len() + OVERHEAD;
        match lane.poll_push(context, (received.from, parcel), weight) {
            Poll::Ready(ControlFlow::Continue(())) => {
                *slot = None;
                Poll::Ready(ControlFlow::Continue(()))
            }
            other => other,
        }
    }
}

impl<M> LaneDoor<M> {
    /// Queues an arrival or, if there is no room, drops it and leaves the reader's waker behind: the reader still has
    /// the payload and will decode it again, which is rarer than it is dear.
    fn poll_push(
        &self,
        context: &Context<'_>,
        arrival: Arrival<M>,
        weight: usize,
    ) -> Poll<ControlFlow<()>> {
        let weight = weight.min(self.weight_max);
        let arrival = match self.queue.push(arrival, weight) {
            Ok(()) => return Poll::Ready(ControlFlow::Continue(())),
            Err(PushError::Full(arrival)) => arrival,
            Err(_) => return Poll::Ready(ControlFlow::Break(())),
        };
        self.readers.add(arrival.0, context.waker());
        // The core may have made room before it could see the waker: look again.
        match self.queue.push(arrival, weight) {
            Ok(()) => Poll::Ready(ControlFlow::Continue(())),
            Err(PushError::Full(_)) => Poll::Pending,
            Err(_) => Poll::Ready(ControlFlow::Break(())),
        }
    }
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, peer: NodeId, waker: &Waker) {
        let mut wakers = self.lock();
        wakers.insert(peer, waker.clone());
        self.some.store(true, Ordering::Release);
    }

    fn wake_all(&self) {
        if !self.some.load(Ordering::Acquire) {
            return;
        }
        let woken = {
            let mut wakers = self.lock();
            self.some.store(false, Ordering::Release);
            std::mem::take(&mut *wakers)
        };
        woken.into_values().for_each(Waker::wake);
    }
}

impl<M> Hall<M> {
    /// Takes all that has come by this lane.
    pub(crate) fn take(&mut self, lane: Lane, arrivals: &mut Vec<Arrival<M>>) {
        let index = lane_index(lane);
        if self.lanes[index].take(arrivals) > 0 {
            self.door.lanes[index].readers.wake_all();
        }
    }

    /// Whether something has come by this lane; if not, the task is woken when it does.
    pub(crate) fn poll_arrived(&mut self, lane: Lane, context: &Context<'_>) -> bool {
        self.lanes[lane_index(lane)].poll_ready(context).is_ready()
    }

    /// Payloads that were not what members of this log say.
    pub(crate) fn malformed(&self) -> u64 {
        self.door.malformed.load(Ordering::Relaxed)
    }

    /// Refuses all that comes from now on and lets waiting readers go.
    pub(crate) fn close(&mut self) {
        for (queue, lane) in self.lanes.iter_mut().zip(&self.door.lanes) {
            queue.close();
            lane.readers.wake_all();
        }
    }
}

impl<M> Drop for Hall<M> {
    fn drop(&mut self) {
        self.close();
    }
}

const fn lane_index(lane: Lane) -> usize {
    match lane {
        Lane::Control => 0,
        Lane::Bulk => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use bytes::Bytes;
    use quorate_core::{Incarnation, Life, encode};
    use quorate_raft::Message;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn received(lane: Lane, payload: Bytes) -> Received {
        Received {
            from: NodeId(2),
            incarnation: Incarnation(1),
            life: Life(1),
            lane,
            payload,
        }
    }

    fn question(round: u64) -> Bytes {
        encode(&Parcel::<Message>::ReadAt {
            round,
            lease: false,
        })
        .to_bytes()
    }

    fn narrow() -> (Arc<Door<Message>>, Hall<Message>) {
        let limits = LaneLimits {
            inbox_bytes_max: 400,
            ..LaneLimits::CONTROL
        };
        door(&limits, &limits)
    }

    #[test]
    fn a_full_queue_holds_up_its_lane_alone_and_taking_lets_it_go_on() {
        let (door, mut hall) = narrow();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = &mut Context::from_waker(&waker);
        let mut delivered = 0;
        let mut slot = loop {
            let mut slot = Some(received(Lane::Bulk, question(delivered)));
            if door.poll_deliver(context, &mut slot).is_pending() {
                break slot;
            }
            assert_eq!(slot, None, "taken");
            delivered += 1;
            assert!(delivered < 10, "400 bytes hold only so many");
        };
        assert!(slot.is_some(), "left where it was");
        let mut control = Some(received(Lane::Control, question(99)));
        assert!(door.poll_deliver(context, &mut control).is_ready());
        let mut arrivals = Vec::new();
        hall.take(Lane::Control, &mut arrivals);
        assert_eq!(
            woken.0.load(Ordering::Relaxed),
            0,
            "the other lane is full still"
        );
        hall.take(Lane::Bulk, &mut arrivals);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(door.poll_deliver(context, &mut slot).is_ready());
        hall.take(Lane::Bulk, &mut arrivals);
        let rounds = arrivals.iter().map(|(_, parcel)| match parcel {
            Parcel::ReadAt { round, .. } => *round,
            other => panic!("{other:?}"),
        });
        assert_eq!(rounds.collect::<Vec<_>>(), [99, 0, 1, 2]);
    }

    #[test]
    fn what_is_no_parcel_closes_the_connection_and_is_counted() {
        let (door, hall) = narrow();
        let context = &mut Context::from_waker(Waker::noop());
        let cut = question(7).slice(..4);
        for payload in [Bytes::new(), Bytes::from_static(&[0xff; 100]), cut] {
            let mut slot = Some(received(Lane::Control, payload));
            let broken = Poll::Ready(ControlFlow::Break(()));
            assert_eq!(door.poll_deliver(context, &mut slot), broken);
        }
        assert_eq!(hall.malformed(), 3);
    }

    #[test]
    fn a_core_that_is_gone_lets_waiting_readers_go() {
        let (door, mut hall) = narrow();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = &mut Context::from_waker(&waker);
        let mut slot = None;
        while slot.is_none() {
            slot = Some(received(Lane::Bulk, question(1)));
            let _ = door.poll_deliver(context, &mut slot);
        }
        hall.close();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        let broken = Poll::Ready(ControlFlow::Break(()));
        assert_eq!(door.poll_deliver(context, &mut slot), broken);
    }
}
