//! Group commit: one thread owns the journal, takes all that is queued at once, writes it with one call,
//! syncs it with one call, and tells the highest durable mark. While it sleeps, whoever has records may do that in its own
//! thread instead, and wakes nobody.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

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
    desk: Arc<Mutex<dyn CommitHere + Send>>,
    thread: Option<JoinHandle<Result<Mark, JournalError>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Payload bytes given, but not yet durable.
    bytes: AtomicU64,
    /// How long the last sync took, in microseconds.
    sync_us: AtomicU64,
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

impl Queue {
    /// Whether the thread sleeps and nothing is there to wake it for.
    fn is_idle(&self) -> bool {
        self.waiting && self.is_empty() && self.failed.is_none()
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.reclaim.is_none() && !self.stopping
    }
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

    fn note_sync(&self, begun: Instant) {
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.sync_us.store(took, Ordering::Relaxed);
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
            sync_us: AtomicU64::new(0),
        });
        let desk = Arc::new(Mutex::new(Desk {
            journal: Some(journal),
            held: VecDeque::new(),
        }));
        let worker = Worker {
            desk: Arc::clone(&desk),
            notify,
            shared: shared.clone(),
            room: true,
        };
        let thread = Builder::new()
            .name("journal".to_owned())
            .spawn(move || worker.run());
        Ok(Self {
            shared,
            desk,
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

    /// Makes records durable in the caller's own thread, which spares two wake-ups and costs the caller the time of a
    /// sync, and gives the mark up to which all is durable; no [`Event::Durable`] tells it.
    ///
    /// None: not done, because the journal's thread is at work, or the last sync took longer than `patience`, or the disk
    /// is full or has failed. What is left in `entries` has to be given to [`append`](Self::append) then.
    pub fn commit_here(&self, entries: &mut Vec<Entry>, patience: Duration) -> Option<Mark> {
        if u128::from(self.shared.sync_us.load(Ordering::Relaxed)) > patience.as_micros() {
            return None;
        }
        let mut desk = self.desk.try_lock().ok()?;
        if !self.shared.lock().is_idle() {
            return None;
        }
        let begun = Instant::now();
        let (durable, room) = desk.commit_here(entries);
        drop(desk);
        self.shared.note_sync(begun);
        if durable.is_none() || room != Room::Ready {
            // The thread has to find out what is wrong, or to make room.
            self.shared.change(|_| {});
        }
        durable
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

/// The journal, for whoever works with it at the moment.
struct Desk<D: Disk> {
    /// None: the thread has ended.
    journal: Option<Journal<D>>,
    /// Records that are taken from the queue and not yet in the journal.
    held: VecDeque<Entry>,
}

/// A [`Desk`], whatever its disk.
trait CommitHere {
    /// One group commit; up to where all is durable if that went well, and whether there is room for the next.
    fn commit_here(&mut self, entries: &mut Vec<Entry>) -> (Option<Mark>, Room);
}

impl<D: Disk> CommitHere for Desk<D> {
    fn commit_here(&mut self, entries: &mut Vec<Entry>) -> (Option<Mark>, Room) {
        // On a disk that is full, the thread decides what waits for room.
        let (room, held) = self.outlook();
        let ready = room == Room::Ready && !held;
        let Some(journal) = self.journal.as_mut().filter(|_| ready) else {
            return (None, room);
        };
        let appended = |entry: &&Entry| journal.append(entry).is_ok();
        let taken = entries.iter().take_while(appended).count();
        entries.drain(..taken);
        // After a failure every call fails alike, that of the thread as well: it tells why.
        let durable = entries.is_empty().then(|| journal.sync().ok()).flatten();
        (durable, journal.room())
    }
}

/// What runs in the thread.
struct Worker<D: Disk, F> {
    desk: Arc<Mutex<Desk<D>>>,
    notify: F,
    shared: Arc<Shared>,
    /// What was told of the room last.
    room: bool,
}

/// What there is to do.
struct Order {
    entries: Vec<Entry>,
    reclaim: Option<Mark>,
    stopping: bool,
}

impl<D: Disk, F: FnMut(Event)> Worker<D, F> {
    fn run(mut self) -> Result<Mark, JournalError> {
        let desk = Arc::clone(&self.desk);
        let desk = || desk.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (room, held) = desk().outlook();
            let order = self.shared.take(room, held);
            let stopping = order.stopping;
            let mut at_work = desk();
            let done = match self.turn(&mut at_work, order) {
                Ok(()) if stopping => at_work.finish(),
                Ok(()) => continue,
                Err(error) => Err(error),
            };
            let journal = at_work.journal.take().expect("it is taken only here");
            drop(at_work);
            let closed = done.and_then(|()| journal.close());
            return closed.map_err(|error| self.shared.fail(error, &mut self.notify));
        }
    }

    /// One group commit, and then a step towards the spare segment if there is time or if it is urgent.
    fn turn(&mut self, desk: &mut Desk<D>, order: Order) -> Result<(), JournalError> {
        let Desk { journal, held } = desk;
        let journal = journal.as_mut().expect("it is there until the end");
        held.extend(order.entries);
        let mut bytes = 0;
        while let Some(entry) = held.front() {
            match journal.append(entry) {
                Ok(()) => bytes += entry.bytes(),
                Err(JournalError::NoRoom { .. }) => break,
                Err(error) => return Err(error),
            }
            held.pop_front();
        }
        let idle = bytes == 0;
        if journal.is_dirty() {
            let begun = Instant::now();
            let durable = journal.sync()?;
            self.shared.note_sync(begun);
            self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
            (self.notify)(Event::Durable(durable));
        }
        if let Some(below) = order.reclaim {
            journal.reclaim(below)?;
        }
        match journal.room() {
            Room::Making if idle || journal.is_late() => drop(journal.make_room()?),
            Room::Full => drop(journal.make_room()?),
            Room::Making | Room::Ready => {}
        }
        let room = journal.room() != Room::Full;
        if room != self.room {
            self.room = room;
            (self.notify)(Event::Room(room));
        }
        Ok(())
    }
}

impl<D: Disk> Desk<D> {
    /// Whether there is room, and whether records wait for it.
    fn outlook(&self) -> (Room, bool) {
        let room = self.journal.as_ref().map_or(Room::Full, Journal::room);
        (room, !self.held.is_empty())
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
    /// Takes all that is queued; waits if there is nothing to do.
    fn take(&self, room: Room, held: bool) -> Order {
        let mut queue = self.lock();
        if queue.is_empty() {
            let asleep = |queue: &mut Queue| queue.waiting;
            match room {
                // There is always something to do until the spare segment stands ready.
                Room::Making => {}
                Room::Ready if !held => {
                    queue.waiting = true;
                    let woken = self.wake.wait_while(queue, asleep);
                    queue = woken.unwrap_or_else(PoisonError::into_inner);
                }
                Room::Ready | Room::Full => {
                    queue.waiting = true;
                    let woken = self.wake.wait_timeout_while(queue, RETRY, asleep);
                    queue = woken.unwrap_or_else(PoisonError::into_inner).0;
                    queue.waiting = false;
                }
            }
        }
        Order {
            entries: std::mem::take(&mut queue.entries),
            reclaim: queue.reclaim.take(),
            stopping: queue.stopping,
        }
    }

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
