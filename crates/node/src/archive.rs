//! The thread of the snapshots: writes this member's own, serves pieces to others, receives theirs, reads them back.
//!
//! Writing a snapshot of a large state takes long; it goes on between the other tasks, chunk by chunk, so that a
//! member that catches up need not wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use quorate_core::{
    Epoch, Event, Image, NodeId, Position, Restored, SnapshotMeta, SnapshotSource, StateMachine,
};
use quorate_handoff::{BatchReceiver, BatchSender, batch_queue};
use quorate_journal::{Disk, Incoming, SnapshotError, SnapshotStore, SnapshotWriter};
use tokio::sync::oneshot;

use crate::error::Stopped;
use crate::inputs::Notice;
use crate::park;

/// Bytes of tasks that may wait above which no more are taken.
const TASK_BYTES_MAX: usize = 64 << 20;
/// What a task counts beside its data.
const OVERHEAD: usize = 256;
/// Pieces for other members that may be waited for at once.
const PIECES_MAX: usize = 64;
/// Bytes that are asked of a state at once.
const CHUNK_BYTES: usize = 256 << 10;

/// What the thread is to do.
pub(crate) enum Task<P> {
    /// Write this state out.
    Take {
        position: Position,
        epoch: Epoch,
        image: Image<P>,
        held: Vec<SnapshotMeta>,
    },
    /// Read a piece for another member.
    Read {
        to: NodeId,
        snapshot: SnapshotMeta,
        offset: u64,
        length: u32,
    },
    /// Make ready for a snapshot of another member.
    Receive { snapshot: SnapshotMeta },
    /// Store a piece of it.
    Write {
        snapshot: SnapshotMeta,
        offset: u64,
        data: Bytes,
    },
    /// Read a snapshot back as a state.
    Load { snapshot: SnapshotMeta },
}

/// The core's side.
pub(crate) struct Archive<P> {
    /// Before `tasks`, whose end wakes the thread.
    stopping: StopOnDrop,
    tasks: BatchSender<Task<P>>,
    waiting: Arc<Waiting>,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

/// Ends the thread after the step it is in, however the core ends.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What was pushed and is not carried out yet. The queue itself has no bound; this is it.
#[derive(Debug, Default)]
struct Waiting {
    /// Of data to be stored.
    bytes: AtomicUsize,
    /// For other members.
    pieces: AtomicUsize,
}

impl Waiting {
    fn add<P>(&self, task: &Task<P>) {
        self.bytes.fetch_add(task.weight(), Ordering::Relaxed);
        self.pieces.fetch_add(task.pieces(), Ordering::Relaxed);
    }

    fn remove(&self, (weight, pieces): (usize, usize)) {
        self.bytes.fetch_sub(weight, Ordering::Relaxed);
        self.pieces.fetch_sub(pieces, Ordering::Relaxed);
    }
}

impl<P> Task<P> {
    fn weight(&self) -> usize {
        match self {
            Self::Write { data, .. } => OVERHEAD + data.len(),
            _ => OVERHEAD,
        }
    }

    fn pieces(&self) -> usize {
        usize::from(matches!(self, Self::Read { .. }))
    }
}

/// There is no room for the task; what it asked for will not come.
#[derive(Debug)]
pub(crate) struct Crowded;

impl<P: SnapshotSource> Archive<P> {
    pub(crate) fn start<D, M, S>(
        store: SnapshotStore<D>,
        notices: BatchSender<Notice<M, S>>,
    ) -> std::io::Result<Self>
    where
        D: Disk + Send + 'static,
        D::File: Send,
        M: Send + 'static,
        S: StateMachine<Snapshot = P>,
    {
        let (tasks, receiver) = batch_queue(usize::MAX);
        let waiting = Arc::<Waiting>::default();
        let stopping = StopOnDrop::default();
        let (alive, ended) = oneshot::channel();
        let (counted, stopped) = (Arc::clone(&waiting), Arc::clone(&stopping.0));
        let span = tracing::Span::current();
        let run = move || {
            let _entered = span.entered();
            let mut keeper = Keeper {
                store,
                tasks: receiver,
                notices,
                waiting: counted,
                stopping: stopped,
                own: None,
                incoming: None,
                waker: park::waker(),
            };
            keeper.run();
            drop::<oneshot::Sender<()>>(alive);
        };
        let thread = thread::Builder::new()
            .name("quorate-archive".to_owned())
            .spawn(run)?;
        Ok(Self {
            stopping,
            tasks,
            waiting,
            ended,
            thread,
        })
    }

    /// Gives the thread something to do, if not too much waits already. [`Task::Load`] is always taken: there is at
    /// most one.
    pub(crate) fn push(&self, task: Task<P>) -> Result<(), Crowded> {
        let waiting = &self.waiting;
        let crowded = match &task {
            Task::Load { .. } => false,
            Task::Read { .. } => waiting.pieces.load(Ordering::Relaxed) >= PIECES_MAX,
            _ => waiting.bytes.load(Ordering::Relaxed) >= TASK_BYTES_MAX,
        };
        if crowded {
            return Err(Crowded);
        }
        waiting.add(&task);
        // Refused only if the thread is gone: then it has said so.
        let _ = self.tasks.push(task, 1);
        Ok(())
    }

    /// Ends the thread after the step it is in; a snapshot that is not finished leaves nothing. The receiver of its
    /// notices must be closed before.
    pub(crate) async fn close(self) {
        drop(self.stopping);
        drop(self.tasks);
        let Err(_) = self.ended.await else { return };
        if self.thread.join().is_err() {
            tracing::error!("the thread of the snapshots panicked");
        }
    }
}

/// The thread's side.
struct Keeper<D: Disk, M, S: StateMachine> {
    store: SnapshotStore<D>,
    tasks: BatchReceiver<Task<S::Snapshot>>,
    notices: BatchSender<Notice<M, S>>,
    waiting: Arc<Waiting>,
    stopping: Arc<AtomicBool>,
    own: Option<Own<D, S::Snapshot>>,
    incoming: Option<Incoming<D>>,
    waker: Waker,
}

impl<D: Disk, M, S: StateMachine> Drop for Keeper<D, M, S> {
    /// If code of the state machine panicked, the member must not go on as though nothing had happened.
    fn drop(&mut self) {
        if thread::panicking() {
            self.tell(Notice::Failed(Stopped::Aborted));
        }
    }
}

/// A snapshot of this member's own state, being written.
struct Own<D: Disk, P> {
    writer: SnapshotWriter<D>,
    image: Image<P>,
}

impl<D: Disk, M, S: StateMachine> Keeper<D, M, S> {
    fn run(&mut self) {
        let mut tasks = Vec::new();
        while !self.stopping.load(Ordering::Acquire) {
            if self.own.is_none() && park::wait(&mut self.tasks, &self.waker, None).is_err() {
                return;
            }
            self.tasks.take(&mut tasks);
            for task in tasks.drain(..) {
                let done = (task.weight(), task.pieces());
                let outcome = self.carry_out(task);
                self.waiting.remove(done);
                self.report(outcome);
            }
            if let Some(own) = self.own.take() {
                let outcome = self.write_on(own);
                self.report(outcome);
            }
        }
    }

    /// Says what came of a step; a disk that failed ends the member.
    fn report(&mut self, outcome: Result<Option<Event<M>>, SnapshotError>) {
        match outcome {
            Ok(Some(event)) => self.tell(Notice::Event(event)),
            Ok(None) => {}
            Err(error) => self.tell(Notice::Failed(Stopped::Snapshots(error))),
        }
    }

    fn tell(&mut self, notice: Notice<M, S>) {
        let weight = notice.weight();
        // Refused only if the core is gone; then nobody wants to know.
        let _ = park::block_on(self.notices.push_when_room(notice, weight), &self.waker);
    }

    fn carry_out(&mut self, task: Task<S::Snapshot>) -> Result<Option<Event<M>>, SnapshotError> {
        match task {
            Task::Take {
                position,
                epoch,
                image,
                held,
            } => {
                self.store.hold(held);
                self.begin(position, epoch, image)
            }
            Task::Read {
                to,
                snapshot,
                offset,
                length,
            } => {
                let data = self.read(&snapshot, offset, length)?;
                Ok(Some(Event::ChunkRead {
                    to,
                    snapshot,
                    offset,
                    data,
                }))
            }
            Task::Receive { snapshot } => self.receive(snapshot).map(Some),
            Task::Write {
                snapshot,
                offset,
                data,
            } => self.store(snapshot, offset, &data),
            Task::Load { snapshot } => {
                self.load(snapshot)?;
                Ok(None)
            }
        }
    }

    fn begin(
        &mut self,
        position: Position,
        epoch: Epoch,
        image: Image<S::Snapshot>,
    ) -> Result<Option<Event<M>>, SnapshotError> {
        tracing::debug!(%position, "writing a snapshot");
        match self.store.write(position, epoch) {
            Ok(writer) => {
                self.own = Some(Own { writer, image });
                Ok(None)
            }
            Err(error) => not_taken(error).map(Some),
        }
    }

    /// Writes one chunk of the own snapshot, or finishes it.
    fn write_on(&mut self, own: Own<D, S::Snapshot>) -> Result<Option<Event<M>>, SnapshotError> {
        let Own {
            mut writer,
            mut image,
        } = own;
        let outcome = match image.next_chunk(CHUNK_BYTES) {
            Some(chunk) => writer.write(&chunk).map(|()| {
                self.own = Some(Own { writer, image });
                None
            }),
            None => writer.finish().map(Some),
        };
        match outcome {
            Ok(None) => Ok(None),
            Ok(Some(snapshot)) => {
                let SnapshotMeta {
                    position, bytes, ..
                } = snapshot;
                tracing::info!(%position, bytes, "snapshot taken");
                Ok(Some(Event::SnapshotStored { snapshot }))
            }
            Err(error) => not_taken(error).map(Some),
        }
    }

    fn read(
        &self,
        snapshot: &SnapshotMeta,
        offset: u64,
        length: u32,
    ) -> Result<Option<Bytes>, SnapshotError> {
        match self.store.read_chunk(snapshot, offset, length as usize) {
            Ok(data) => Ok(Some(data)),
            Err(error) if error.is_fatal() => Err(error),
            Err(SnapshotError::Gone(_)) => Ok(None),
            Err(error) => {
                tracing::error!(%error, "a snapshot cannot be served");
                Ok(None)
            }
        }
    }

    /// Makes ready for `snapshot`; what is there of it already is kept.
    fn receive(&mut self, snapshot: SnapshotMeta) -> Result<Event<M>, SnapshotError> {
        let known = self
            .incoming
            .take()
            .filter(|incoming| incoming.meta() == snapshot);
        let incoming = match known.map_or_else(|| self.store.receive(snapshot), Ok) {
            Ok(incoming) => incoming,
            Err(error) => return not_received(snapshot, error),
        };
        let upto = incoming.received_upto();
        self.incoming = Some(incoming);
        Ok(Event::Received { snapshot, upto })
    }

    fn store(
        &mut self,
        snapshot: SnapshotMeta,
        offset: u64,
        data: &[u8],
    ) -> Result<Option<Event<M>>, SnapshotError> {
        // A piece of a snapshot that another one has replaced meanwhile.
        let Some(mut incoming) = self
            .incoming
            .take_if(|incoming| incoming.meta() == snapshot)
        else {
            return Ok(None);
        };
        let outcome = match incoming.write(offset, data) {
            Ok(_) if incoming.is_complete() => incoming.finish().map(|_| {
                let SnapshotMeta {
                    position, bytes, ..
                } = snapshot;
                tracing::info!(%position, bytes, "snapshot fetched");
                Event::Fetched { snapshot }
            }),
            Ok(upto) => {
                self.incoming = Some(incoming);
                Ok(Event::Received { snapshot, upto })
            }
            Err(error) => Err(error),
        };
        outcome
            .or_else(|error| not_received(snapshot, error))
            .map(Some)
    }

    fn load(&mut self, snapshot: SnapshotMeta) -> Result<(), SnapshotError> {
        let notice = match load(&self.store, snapshot)? {
            Ok(restored) => Notice::Loaded(Box::new(restored)),
            Err(why) => Notice::Failed(Stopped::MalformedSnapshot { snapshot, why }),
        };
        self.tell(notice);
        Ok(())
    }
}

/// Reads a snapshot back as a state.
pub(crate) fn load<D: Disk, S: StateMachine>(
    store: &SnapshotStore<D>,
    snapshot: SnapshotMeta,
) -> Result<Result<Restored<S>, quorate_core::MalformedSnapshot>, SnapshotError> {
    let mut failed = None;
    let mut chunks = store
        .read(&snapshot)?
        .map_while(|chunk| chunk.map_err(|error| failed = Some(error)).ok());
    let restored = Restored::read(snapshot, &mut chunks);
    drop(chunks);
    failed.map_or(Ok(restored), Err)
}

/// An own snapshot could not be written: it is tried again, unless the disk failed.
fn not_taken<M>(error: SnapshotError) -> Result<Event<M>, SnapshotError> {
    if error.is_fatal() {
        return Err(error);
    }
    tracing::warn!(%error, "snapshot not taken");
    Ok(Event::SnapshotFailed)
}

/// Another member's snapshot could not be stored: its log will offer one again, unless the disk failed.
fn not_received<M>(
    snapshot: SnapshotMeta,
    error: SnapshotError,
) -> Result<Event<M>, SnapshotError> {
    if error.is_fatal() {
        return Err(error);
    }
    tracing::warn!(%error, "snapshot not fetched");
    Ok(Event::FetchFailed { snapshot })
}
