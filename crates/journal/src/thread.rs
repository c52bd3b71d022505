//! Group commit: one thread owns the journal, takes all that is queued at once, writes it with one call,
//! syncs it with one call, and tells the highest durable mark.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use quorate_core::Mark;

use crate::error::At;
use crate::{Disk, Entry, Journal, JournalError, Room};

/// How often a full disk is asked again for room, when nothing else wakes the thread.
const RETRY: Duration = Duration::from_millis(200);

/// What the journal's thread has to tell.
#[derive(Clone, Debug)]
pub enum Event {
    /// All records up to this mark are durable.
    Durable(Mark),
    /// Whether the disk has room: while it has not, no large records are to be queued. Told when it
    /// changes, and at the start if there is none.
    Room(bool),
    /// The journal failed: nothing that is queued will become durable, and nothing else is told after this.
    Failed(JournalError),
}

/// A [`Journal`] with a thread of its own. Dropped, it drains, syncs and ends the thread.
pub struct JournalThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Mark, JournalError>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Payload bytes given, but not yet durable.
    bytes: AtomicU64,
}

#[derive(Default)]
struct Queue {
    entries: Vec<Entry>,
    reclaim: Option<Mark>,
    stopping: bool,
    failed: Option<JournalError>,
    /// Whether the thread waits, so that it has to be woken.
    waiting: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the queue and wakes the thread if it waits.
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        change(&mut queue);
        if std::mem::take(&mut queue.waiting) {
            drop(queue);
            self.wake.notify_one();
        }
    }
}

impl JournalThread {
    /// Starts the thread. `notify` is called from it and should not take long: the next commit waits
    /// for it.
    pub fn spawn<D>(
        journal: Journal<D>,
        notify: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self, JournalError>
    where
        D: Disk + Send + 'static,
        D::File: Send,
    {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            bytes: AtomicU64::new(0),
        });
        let worker = Worker {
            journal,
            notify,
            shared: shared.clone(),
            held: VecDeque::new(),
            room: true,
        };
        let thread = Builder::new()
            .name("journal".to_owned())
            .spawn(move || worker.run());
        Ok(Self {
            shared,
            thread: Some(thread.at("start the thread of", "the journal")?),
        })
    }

    /// Queues records; their marks go on where the last ones ended. What is durable is told by
    /// [`Event::Durable`]. The queue has no limit of its own: the caller bounds what is under way
    /// ([`queued_bytes`](Self::queued_bytes)).
    ///
    /// # Errors
    /// What the journal failed with, if it did.
    pub fn append(&self, entries: impl IntoIterator<Item = Entry>) -> Result<(), JournalError> {
        let mut failed = None;
        self.shared.change(|queue| {
            failed.clone_from(&queue.failed);
            if failed.is_none() {
                let before = queue.entries.len();
                queue.entries.extend(entries);
                let bytes = queue.entries[before..].iter().map(Entry::bytes).sum();
                self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
        });
        failed.map_or(Ok(()), Err)
    }

    /// Lets the journal remove segments whose records all lie below `below`, after what is queued is
    /// durable.
    pub fn reclaim(&self, below: Mark) {
        self.shared
            .change(|queue| queue.reclaim = queue.reclaim.max(Some(below)));
    }

    /// Payload bytes that were queued and are not yet durable.
    pub fn queued_bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Drains the queue, syncs, ends the thread, and gives the last mark.
    ///
    /// # Errors
    /// What the journal failed with; [`JournalError::NoRoom`] if the disk is too full for what is queued.
    pub fn stop(mut self) -> Result<Mark, JournalError> {
        self.shared.change(|queue| queue.stopping = true);
        let thread = self
            .thread
            .take()
            .expect("the thread is taken only here and in drop");
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for JournalThread {
    fn drop(&mut self) {
        self.shared.change(|queue| queue.stopping = true);
        if let Some(thread) = self.thread.take() {
            // What it ended with was told by an event; a panic in the callback was printed.
            drop(thread.join());
        }
    }
}

/// What runs in the thread.
struct Worker<D: Disk, F> {
    journal: Journal<D>,
    notify: F,
    shared: Arc<Shared>,
    /// Records that are taken from the queue and not yet in the journal.
    held: VecDeque<Entry>,
    /// What was told of the room last.
    room: bool,
}

impl<D: Disk, F: FnMut(Event)> Worker<D, F> {
    fn run(mut self) -> Result<Mark, JournalError> {
        loop {
            let (reclaim, stopping) = self.take();
            let done = match self.turn(reclaim) {
                Ok(()) if stopping => Some(self.finish()),
                Ok(()) => None,
                Err(error) => Some(Err(error)),
            };
            match done {
                None => {}
                Some(result) => {
                    let Self {
                        journal,
                        shared,
                        mut notify,
                        ..
                    } = self;
                    let closed = result.and_then(|()| journal.close());
                    return closed.map_err(|error| shared.fail(error, &mut notify));
                }
            }
        }
    }

    /// Takes all that is queued; waits if there is nothing to do.
    fn take(&mut self) -> (Option<Mark>, bool) {
        let mut queue = self.shared.lock();
        let room = self.journal.room();
        if queue.entries.is_empty() && queue.reclaim.is_none() && !queue.stopping {
            match room {
                // There is always something to do until the spare segment stands ready.
                Room::Making => {}
                Room::Ready if self.held.is_empty() => {
                    queue.waiting = true;
                    let asleep = |queue: &mut Queue| queue.waiting;
                    let woken = self.shared.wake.wait_while(queue, asleep);
                    queue = woken.unwrap_or_else(PoisonError::into_inner);
                }
                Room::Ready | Room::Full => {
                    queue.waiting = true;
                    let asleep = |queue: &mut Queue| queue.waiting;
                    let woken = self.shared.wake.wait_timeout_while(queue, RETRY, asleep);
                    queue = woken.unwrap_or_else(PoisonError::into_inner).0;
                    queue.waiting = false;
                }
            }
        }
        self.held.extend(queue.entries.drain(..));
        (queue.reclaim.take(), queue.stopping)
    }

    /// One group commit, and then a step towards the spare segment if there is time or if it is urgent.
    fn turn(&mut self, reclaim: Option<Mark>) -> Result<(), JournalError> {
        let mut bytes = 0;
        while let Some(entry) = self.held.front() {
            match self.journal.append(entry) {
                Ok(()) => bytes += entry.bytes(),
                Err(JournalError::NoRoom { .. }) => break,
                Err(error) => return Err(error),
            }
            self.held.pop_front();
        }
        let idle = bytes == 0;
        if self.journal.is_dirty() {
            let durable = self.journal.sync()?;
            self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
            (self.notify)(Event::Durable(durable));
        }
        if let Some(below) = reclaim {
            self.journal.reclaim(below)?;
        }
        match self.journal.room() {
            Room::Making if idle || self.journal.is_late() => drop(self.journal.make_room()?),
            Room::Full => drop(self.journal.make_room()?),
            Room::Making | Room::Ready => {}
        }
        let room = self.journal.room() != Room::Full;
        if room != self.room {
            self.room = room;
            (self.notify)(Event::Room(room));
        }
        Ok(())
    }

    /// Whether everything that was queued is in the journal.
    fn finish(&self) -> Result<(), JournalError> {
        match self.held.front() {
            None => Ok(()),
            Some(entry) => Err(JournalError::NoRoom {
                bytes: entry.bytes(),
            }),
        }
    }
}

impl Shared {
    /// Ends the service: nothing is taken any more, and the failure is told once.
    fn fail(&self, error: JournalError, notify: &mut impl FnMut(Event)) -> JournalError {
        let mut queue = self.lock();
        queue.failed = Some(error.clone());
        queue.entries.clear();
        drop(queue);
        notify(Event::Failed(error.clone()));
        error
    }
}
