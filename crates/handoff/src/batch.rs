//! Many producers, one consumer, and everything queued taken in one swap.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex, lock};
use crate::waker::{WakerSlot, wake};

/// Makes a queue that holds items of at most `weight_max` bytes together.
///
/// What the receiver has taken no longer counts, so a consumer that works off one batch while the next
/// gathers holds up to twice `weight_max`.
///
/// # Panics
/// If `weight_max` is zero: such a queue could never carry anything.
///
/// ```
/// use quorate_handoff::batch_queue;
///
/// let (sender, mut receiver) = batch_queue(1024);
/// sender.push("first", 5).expect("there is room");
/// sender.push("second", 6).expect("there is room");
///
/// let mut batch = Vec::new();
/// assert_eq!(receiver.take(&mut batch), 2);
/// assert_eq!(batch, ["first", "second"]);
/// ```
pub fn batch_queue<T>(weight_max: usize) -> (BatchSender<T>, BatchReceiver<T>) {
    assert!(weight_max > 0, "a queue of no weight carries nothing");
    let queue = Arc::new(Mutex::new(Queue {
        items: Vec::new(),
        weight: 0,
        weight_max,
        consumer: WakerSlot::default(),
        waiting: Vec::new(),
        senders: 1,
        next_id: 1,
        closed: false,
    }));
    let sender = BatchSender {
        queue: Arc::clone(&queue),
        id: 0,
    };
    (
        sender,
        BatchReceiver {
            queue,
            woken: Vec::new(),
        },
    )
}

/// The producers' end. Clone it once for each task or thread that pushes; the queue closes when the
/// last clone is dropped.
///
/// Items of one sender arrive in the order they were pushed, none twice. Between senders there is no
/// order and no fairness.
pub struct BatchSender<T> {
    queue: Arc<Mutex<Queue<T>>>,
    id: u64,
}

impl<T> BatchSender<T> {
    /// Queues `item`, which counts as `weight` bytes (at least 1, so that the number of items is bounded
    /// too). Never blocks; wakes the consumer only if it sleeps.
    pub fn push(&self, item: T, weight: usize) -> Result<(), PushError<T>> {
        let mut queue = lock(&self.queue);
        if let Some(refusal) = queue.refusal(weight) {
            return Err(refusal.returning(item));
        }
        let sleeper = queue.put(item, weight);
        drop(queue);
        wake(sleeper);
        Ok(())
    }

    /// Queues `item` as soon as there is room: [`push`](Self::push) that waits where that one says
    /// [`PushError::Full`], and so never says it itself.
    ///
    /// Dropping the future before it is done drops the item unqueued. Each take wakes all who wait, and
    /// they race for the room: a light item may overtake a heavy one of another sender.
    pub async fn push_when_room(&mut self, item: T, weight: usize) -> Result<(), PushError<T>> {
        let mut item = Some(item);
        poll_fn(|context| self.poll_push(context, &mut item, weight)).await
    }

    fn poll_push(
        &self,
        context: &Context<'_>,
        item: &mut Option<T>,
        weight: usize,
    ) -> Poll<Result<(), PushError<T>>> {
        let mut queue = lock(&self.queue);
        let refusal = queue.refusal(weight);
        if refusal == Some(Refusal::Full) {
            let stale = queue.wait_for_room(self.id, context);
            drop(queue);
            drop(stale);
            return Poll::Pending;
        }
        let item = item.take().expect("a finished push is not polled again");
        if let Some(refusal) = refusal {
            return Poll::Ready(Err(refusal.returning(item)));
        }
        let sleeper = queue.put(item, weight);
        drop(queue);
        wake(sleeper);
        Poll::Ready(Ok(()))
    }
}

impl<T> Clone for BatchSender<T> {
    fn clone(&self) -> Self {
        let mut queue = lock(&self.queue);
        let id = queue.next_id;
        queue.next_id += 1;
        queue.senders += 1;
        drop(queue);
        Self {
            queue: Arc::clone(&self.queue),
            id,
        }
    }
}

impl<T> Drop for BatchSender<T> {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        queue.senders -= 1;
        let sleeper = if queue.senders == 0 {
            queue.consumer.take()
        } else {
            None
        };
        let stale = queue.waiting.iter().position(|waiter| waiter.id == self.id);
        let stale = stale.map(|at| queue.waiting.swap_remove(at));
        drop(queue);
        drop(stale);
        wake(sleeper);
    }
}

/// The consumer's end. Dropping it closes the queue and drops what is still in it.
pub struct BatchReceiver<T> {
    queue: Arc<Mutex<Queue<T>>>,
    /// Scratch for the wakers of waiting senders; empty between calls.
    woken: Vec<Waiter>,
}

impl<T> BatchReceiver<T> {
    /// Takes everything queued into `batch`, and says how many items that were. Never waits.
    ///
    /// An empty `batch` is swapped for the queue's own buffer: no item is moved, and two buffers
    /// alternate without being allocated again. To a `batch` with items in it the new ones are appended.
    pub fn take(&mut self, batch: &mut Vec<T>) -> usize {
        let mut queue = lock(&self.queue);
        let count = queue.items.len();
        if batch.is_empty() {
            mem::swap(&mut queue.items, batch);
        } else {
            batch.append(&mut queue.items);
        }
        queue.weight = 0;
        mem::swap(&mut queue.waiting, &mut self.woken);
        drop(queue);
        self.wake_waiting();
        count
    }

    /// Ready once there is something to take; `Err` once the queue is closed and all of it was taken.
    ///
    /// Pending leaves this task's waker behind, in place of the one from an earlier call. Takes nothing,
    /// so it may be dropped and polled again at will. It spends nothing of tokio's cooperative budget: a
    /// consumer whose queue never runs dry must yield by itself.
    pub fn poll_ready(&mut self, context: &Context<'_>) -> Poll<Result<(), Closed>> {
        let mut queue = lock(&self.queue);
        if !queue.items.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if queue.closed || queue.senders == 0 {
            return Poll::Ready(Err(Closed));
        }
        let stale = queue.consumer.register(context);
        drop(queue);
        drop(stale);
        Poll::Pending
    }

    /// Waits as [`poll_ready`](Self::poll_ready) does; cancelling it loses nothing.
    pub async fn ready(&mut self) -> Result<(), Closed> {
        poll_fn(|context| self.poll_ready(context)).await
    }

    /// Refuses every push from now on, those that wait for room too. What is queued can still be taken.
    pub fn close(&mut self) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        mem::swap(&mut queue.waiting, &mut self.woken);
        drop(queue);
        self.wake_waiting();
    }

    fn wake_waiting(&mut self) {
        for waiter in self.woken.drain(..) {
            waiter.waker.wake();
        }
    }
}

impl<T> Drop for BatchReceiver<T> {
    fn drop(&mut self) {
        self.close();
        // Dropping a waker or an item may run foreign code: both leave the lock first.
        let mut queue = lock(&self.queue);
        let leftover = (mem::take(&mut queue.items), queue.consumer.take());
        drop(queue);
        drop(leftover);
    }
}

/// Everything both ends share, under one lock.
///
/// Invariants: `weight` is the sum over `items` and never above `weight_max`; `waiting` holds at most
/// one entry for each living sender.
struct Queue<T> {
    items: Vec<T>,
    weight: usize,
    weight_max: usize,
    consumer: WakerSlot,
    waiting: Vec<Waiter>,
    senders: usize,
    next_id: u64,
    closed: bool,
}

/// A sender that sleeps until there is room.
struct Waiter {
    id: u64,
    waker: Waker,
}

impl<T> Queue<T> {
    fn refusal(&self, weight: usize) -> Option<Refusal> {
        if self.closed {
            Some(Refusal::Closed)
        } else if weight > self.weight_max {
            Some(Refusal::TooHeavy)
        } else if weight.max(1) > self.weight_max - self.weight {
            Some(Refusal::Full)
        } else {
            None
        }
    }

    /// Queues what was not refused; hands back the consumer to be woken if it sleeps.
    #[must_use = "a sleeper taken out must be woken"]
    fn put(&mut self, item: T, weight: usize) -> Option<Waker> {
        self.weight += weight.max(1);
        self.items.push(item);
        self.consumer.take()
    }

    /// Registers a sender, once; hands back its stale waker to be dropped unlocked.
    fn wait_for_room(&mut self, id: u64, context: &Context<'_>) -> Option<Waker> {
        let waker = context.waker().clone();
        if let Some(waiter) = self.waiting.iter_mut().find(|waiter| waiter.id == id) {
            return Some(mem::replace(&mut waiter.waker, waker));
        }
        self.waiting.push(Waiter { id, waker });
        None
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Full,
    TooHeavy,
    Closed,
}

impl Refusal {
    fn returning<T>(self, item: T) -> PushError<T> {
        match self {
            Self::Full => PushError::Full(item),
            Self::TooHeavy => PushError::TooHeavy(item),
            Self::Closed => PushError::Closed(item),
        }
    }
}

/// Why an item was not queued. The item comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PushError<T> {
    /// There is no room now; there will be after the next take.
    Full(T),
    /// It alone weighs more than the whole queue may: it will never fit.
    TooHeavy(T),
    /// The consumer has closed the queue or is gone.
    Closed(T),
}

impl<T> PushError<T> {
    /// The item that was not queued.
    pub fn into_item(self) -> T {
        match self {
            Self::Full(item) | Self::TooHeavy(item) | Self::Closed(item) => item,
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::TooHeavy(_) => "TooHeavy(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the queue is full",
            Self::TooHeavy(_) => "the item is heavier than the whole queue",
            Self::Closed(_) => "the queue is closed",
        })
    }
}

impl<T> std::error::Error for PushError<T> {}

/// The queue is closed and empty: nothing will ever come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is closed")
    }
}

impl std::error::Error for Closed {}

impl<T> fmt::Debug for BatchSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchSender")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for BatchReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchReceiver").finish_non_exhaustive()
    }
}
