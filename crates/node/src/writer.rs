//! The journal's thread: what queued up while it wrote is written and synced as one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quorate_core::Mark;
use quorate_handoff::{
    BatchReceiver, BatchSender, Closed, Observer, Publisher, batch_queue, watermark,
};
use quorate_journal::{Disk, Entry, Journal, JournalError, Room};
use tokio::sync::oneshot;

use crate::park;

/// How often a full disk is asked whether there is room again.
const ROOM_RETRY: Duration = Duration::from_millis(200);

/// What the journal's thread is told.
pub(crate) enum Job {
    /// Write these, behind all before.
    Write(Vec<Entry>),
    /// Records below this mark may go.
    Reclaim(Mark),
}

/// The core's side of the journal's thread. When it is dropped the thread writes what it has, syncs it, and ends.
pub(crate) struct Writer {
    pub(crate) jobs: BatchSender<Job>,
    /// The mark of the oldest record kept.
    pub(crate) kept: Arc<AtomicU64>,
    ended: oneshot::Receiver<JournalError>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts the thread. `on_room` is told, on that thread, when room runs out and when there is room again; it
    /// says whether the news could be passed on.
    pub(crate) fn start<D>(
        journal: Journal<D>,
        kept: Mark,
        on_room: impl Fn(bool) -> bool + Send + 'static,
    ) -> std::io::Result<(Self, Observer)>
    where
        D: Disk + Send + 'static,
        D::File: Send,
    {
        // Bounded by the core, which hands over no more than its config allows to be on its way.
        let (sender, jobs) = batch_queue(usize::MAX);
        let (publisher, observer) = watermark(journal.last().0);
        let (error, ended) = oneshot::channel();
        let kept = Arc::new(AtomicU64::new(kept.0));
        let scribe = Scribe {
            journal,
            jobs,
            waiting: VecDeque::new(),
            publisher,
            kept: Arc::clone(&kept),
            room: RoomReport {
                available: true,
                asked: None,
                tell: Box::new(on_room),
            },
        };
        let run = move || scribe.run(error);
        let thread = thread::Builder::new()
            .name("quorate-journal".to_owned())
            .spawn(run)?;
        let jobs = sender;
        Ok((
            Self {
                jobs,
                kept,
                ended,
                thread,
            },
            observer,
        ))
    }

    /// Why the thread ended before its time; none if it panicked.
    pub(crate) fn failure(&mut self) -> Option<JournalError> {
        self.ended.try_recv().ok()
    }

    /// Waits until all that was handed over is durable and the thread is gone.
    pub(crate) async fn close(self) -> Result<(), Option<JournalError>> {
        drop(self.jobs);
        let error = self.ended.await.ok();
        // It drops its end of `ended` as its last act.
        let joined = self.thread.join();
        match (error, joined) {
            (None, Ok(())) => Ok(()),
            (error, _) => Err(error),
        }
    }
}

/// The thread's side.
struct Scribe<D: Disk> {
    journal: Journal<D>,
    jobs: BatchReceiver<Job>,
    /// Records that are not in the journal yet; they stay here only while the disk has no room.
    waiting: VecDeque<Entry>,
    publisher: Publisher,
    kept: Arc<AtomicU64>,
    room: RoomReport,
}

struct RoomReport {
    /// What was told last.
    available: bool,
    /// When the full disk was last asked.
    asked: Option<Instant>,
    tell: Box<dyn Fn(bool) -> bool + Send>,
}

impl<D: Disk> Scribe<D> {
    fn run(mut self, ended: oneshot::Sender<JournalError>) {
        let waker = park::waker();
        let mut jobs = Vec::new();
        let outcome = loop {
            match self.wait(&waker) {
                Ok(Ok(())) => {}
                Ok(Err(Closed)) => break Ok(()),
                Err(error) => break Err(error),
            }
            self.jobs.take(&mut jobs);
            if let Err(error) = self.turn(&mut jobs) {
                break Err(error);
            }
        };
        match outcome.and_then(|()| self.journal.close()) {
            Ok(last) => {
                self.publisher.publish(last.0);
                self.publisher.close();
            }
            Err(error) => {
                // The reason first: whoever sees the watermark fail asks for it.
                let _ = ended.send(error);
                self.publisher.fail();
            }
        }
    }

    /// Sleeps until there is something to do; before that it makes the next segment.
    fn wait(&mut self, waker: &Waker) -> Result<Result<(), Closed>, JournalError> {
        loop {
            let patience = match self.journal.room() {
                Room::Ready => None,
                Room::Making => Some(Duration::ZERO),
                Room::Full => Some(ROOM_RETRY),
            };
            match park::wait(&mut self.jobs, waker, patience) {
                Ok(true) => return Ok(Ok(())),
                Err(Closed) => return Ok(Err(Closed)),
                Ok(false) => self.make_room()?,
            }
            if !self.waiting.is_empty() && self.journal.room() != Room::Full {
                return Ok(Ok(()));
            }
        }
    }

    /// One group commit, and what comes after it.
    fn turn(&mut self, jobs: &mut Vec<Job>) -> Result<(), JournalError> {
        let mut below = None;
        for job in jobs.drain(..) {
            match job {
                Job::Write(entries) => self.waiting.extend(entries),
                Job::Reclaim(mark) => below = Some(mark),
            }
        }
        self.append()?;
        let synced = self.journal.sync()?;
        self.publisher.publish(synced.0);
        if let Some(below) = below {
            let kept = self.journal.reclaim(below)?;
            self.kept.store(kept.0, Ordering::Relaxed);
        }
        let full = self.journal.room() == Room::Full;
        let overdue = self
            .room
            .asked
            .is_none_or(|asked| asked.elapsed() >= ROOM_RETRY);
        if self.journal.is_late() || (full && overdue) {
            self.make_room()?;
        }
        self.report_room();
        Ok(())
    }

    /// Gives the journal what waits, as far as there is room.
    fn append(&mut self) -> Result<(), JournalError> {
        while let Some(entry) = self.waiting.front() {
            match self.journal.append(entry) {
                Ok(()) => self.waiting.pop_front(),
                Err(JournalError::NoRoom { .. }) => break,
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    fn make_room(&mut self) -> Result<(), JournalError> {
        let room = self.journal.make_room()?;
        self.room.asked = (room == Room::Full).then(Instant::now);
        self.report_room();
        Ok(())
    }

    /// Tells the core when room ran out or is there again; what could not be told is told with the next turn.
    fn report_room(&mut self) {
        let available = self.journal.room() != Room::Full && self.waiting.is_empty();
        if available != self.room.available && (self.room.tell)(available) {
            self.room.available = available;
            if available {
                tracing::info!("the disk has room again");
            } else {
                tracing::error!("the disk is full: no entries are taken until there is room");
            }
        }
    }
}
