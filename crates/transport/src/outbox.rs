//! One lane to one peer: what waits to be written, and the pump that writes it.
//!
//! Two locks, never taken in the other order: `pipe` (who writes) before `queue` (what waits). A sender
//! holds `queue` for the time of encoding one frame, and only *tries* `pipe`, so it never waits for a write.
//! `idle` in the queue says that nobody pumps: whoever finds it set clears it and is then bound to pump, or
//! to wake the link task, which does. So no frame is left behind, and none is written twice.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant as WallInstant};

use tokio::io::AsyncWrite;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::codec::HEADER_BYTES;
use crate::config::LaneLimits;
use crate::error::SendError;
use crate::faults::{Arrivals, Passage, Shaper};
use crate::frame::{Frame, Lane};
use crate::segments::{Batch, Segments};
use crate::sync::lock;
use crate::wire::WriteHalf;

/// Slices in one system call.
const SLICES_MAX: usize = 64;

/// A larger frame is left to the link task, so that `send` stays short.
const DIRECT_BYTES_MAX: usize = 32 * 1024;

#[derive(Debug)]
pub(crate) struct Outbox {
    lane: Lane,
    limits: LaneLimits,
    direct_gap: Duration,
    queue: Mutex<Queue>,
    pipe: Mutex<Pipe>,
    /// Rung when something was put on a slow link, so that the link task sets its alarm.
    pub(crate) shaped: Notify,
}

/// Whether frames are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Down,
    Open,
    Stopped,
}

#[derive(Debug)]
struct Queue {
    gate: Gate,
    version: u8,
    segments: Segments,
    shaper: Shaper<Frame>,
    idle: bool,
    last_send: Option<WallInstant>,
    link: Option<Waker>,
    tally: Tally,
}

/// What one lane to one peer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) frames_waiting: usize,
    pub(crate) bytes_waiting: usize,
    pub(crate) frames_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) frames_lost: u64,
    pub(crate) frames_faulted: u64,
}

#[derive(Default)]
struct Pipe {
    writer: Option<WriteHalf>,
    batch: Batch,
    failed: Option<io::Error>,
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipe")
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

impl Outbox {
    pub(crate) fn new(lane: Lane, limits: LaneLimits, direct_gap: Duration) -> Self {
        let queue = Queue {
            gate: Gate::Down,
            version: 0,
            segments: Segments::default(),
            shaper: Shaper::default(),
            idle: true,
            last_send: None,
            link: None,
            tally: Tally::default(),
        };
        Self {
            lane,
            limits,
            direct_gap,
            queue: Mutex::new(queue),
            pipe: Mutex::new(Pipe::default()),
            shaped: Notify::new(),
        }
    }

    /// Takes `frame` or says why not. Writes it at once if nothing else is being written and the last one is
    /// not just gone.
    pub(crate) fn send(&self, frame: Frame, passage: Passage) -> Result<(), SendError> {
        let mut queue = lock(&self.queue);
        let bytes = HEADER_BYTES + frame.payload_len();
        if let Err(error) = self.admit(&queue, bytes) {
            queue.tally.frames_lost += 1;
            return Err(error);
        }
        if passage == Passage::Lost {
            queue.tally.frames_faulted += 1;
            return Ok(());
        }
        queue.tally.bytes_waiting += bytes;
        queue.tally.frames_waiting += 1;
        if passage != Passage::Free || !queue.shaper.is_empty() {
            queue.shaper.push(Instant::now(), passage, bytes, frame);
            drop(queue);
            self.shaped.notify_one();
            return Ok(());
        }
        let version = queue.version;
        queue.segments.push(version, &frame);
        if !queue.idle {
            return Ok(());
        }
        queue.idle = false;
        let now = WallInstant::now();
        let last = queue.last_send.replace(now);
        let rested = last.is_none_or(|last| now.duration_since(last) >= self.direct_gap);
        let link = queue.link.clone();
        drop(queue);
        if !(rested && bytes <= DIRECT_BYTES_MAX && self.pump_here())
            && let Some(link) = link
        {
            link.wake();
        }
        Ok(())
    }

    fn admit(&self, queue: &Queue, bytes: usize) -> Result<(), SendError> {
        let length = bytes - HEADER_BYTES;
        if length > self.limits.frame_bytes_max {
            return Err(SendError::TooLong {
                length,
                most: self.limits.frame_bytes_max,
            });
        }
        match queue.gate {
            Gate::Down => return Err(SendError::NotConnected),
            Gate::Stopped => return Err(SendError::Stopped),
            Gate::Open => {}
        }
        let full = queue.tally.frames_waiting >= self.limits.outbox_frames_max
            || queue.tally.bytes_waiting + bytes > self.limits.outbox_bytes_max;
        if full { Err(SendError::Full) } else { Ok(()) }
    }

    /// Writes in the caller's task; true if all is gone, false if the link task has to go on.
    fn pump_here(&self) -> bool {
        let Ok(mut pipe) = self.pipe.try_lock() else {
            return false;
        };
        match self.poll_pump(&mut pipe, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                pipe.failed = Some(error);
                false
            }
            Poll::Pending => false,
        }
    }

    /// Ready when nothing is left to write; whoever sends next finds `idle` set.
    fn poll_pump(&self, pipe: &mut Pipe, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writer) = pipe.writer.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        loop {
            if pipe.batch.is_empty() && !self.refill(&mut pipe.batch) {
                return Poll::Ready(Ok(()));
            }
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = pipe.batch.fill(&mut slices);
            let writer = Pin::new(&mut *writer);
            let written = ready!(writer.poll_write_vectored(context, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let frames = pipe.batch.advance(written);
            self.settle(written, frames);
        }
    }

    fn refill(&self, batch: &mut Batch) -> bool {
        let mut queue = lock(&self.queue);
        queue.idle = queue.segments.is_empty();
        if !queue.idle {
            *batch = queue.segments.take(std::mem::take(batch));
        }
        !queue.idle
    }

    fn settle(&self, written: usize, frames: usize) {
        let tally = &mut lock(&self.queue).tally;
        tally.bytes_waiting -= written;
        tally.frames_waiting -= frames;
        tally.frames_sent += frames as u64;
        tally.bytes_sent += written as u64;
    }
}

/// The link task's side.
impl Outbox {
    /// A connection stands: frames are taken from now on.
    pub(crate) fn open(&self, writer: WriteHalf, version: u8) {
        let mut pipe = lock(&self.pipe);
        *pipe = Pipe {
            writer: Some(writer),
            ..Pipe::default()
        };
        let mut queue = lock(&self.queue);
        if queue.gate == Gate::Down {
            queue.gate = Gate::Open;
        }
        queue.version = version;
        queue.idle = true;
    }

    /// The connection is gone, and with it all that waited: resending could deliver twice.
    pub(crate) fn close(&self) {
        let mut pipe = lock(&self.pipe);
        *pipe = Pipe::default();
        let mut queue = lock(&self.queue);
        if queue.gate == Gate::Open {
            queue.gate = Gate::Down;
        }
        queue.segments = Segments::default();
        queue.shaper.clear();
        queue.idle = true;
        let tally = &mut queue.tally;
        tally.frames_lost += tally.frames_waiting as u64;
        tally.frames_waiting = 0;
        tally.bytes_waiting = 0;
    }

    /// Takes no more frames; those that wait are still written.
    pub(crate) fn stop(&self) {
        let mut queue = lock(&self.queue);
        queue.gate = Gate::Stopped;
        if let Some(link) = &queue.link {
            link.wake_by_ref();
        }
    }

    /// Writes whenever there is something to write. Ready with an error, or when stopped and empty.
    pub(crate) fn poll_run(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.pipe);
        {
            let mut queue = lock(&self.queue);
            let known = queue
                .link
                .as_ref()
                .is_some_and(|link| link.will_wake(context.waker()));
            if !known {
                queue.link = Some(context.waker().clone());
            }
        }
        if let Some(error) = pipe.failed.take() {
            return Poll::Ready(Err(error));
        }
        ready!(self.poll_pump(&mut pipe, context))?;
        let queue = lock(&self.queue);
        let drained = queue.idle && queue.shaper.is_empty();
        if queue.gate == Gate::Stopped && drained {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Moves what has arrived over a slow link to where it is written; tells when to look again.
    pub(crate) fn release(&self, arrivals: Arrivals) -> Option<Instant> {
        let mut queue = lock(&self.queue);
        let version = queue.version;
        while let Some(frame) = queue.shaper.pop(arrivals) {
            queue.segments.push(version, &frame);
        }
        queue.shaper.next_at(arrivals)
    }

    pub(crate) fn has_shaped(&self) -> bool {
        !lock(&self.queue).shaper.is_empty()
    }

    /// Says "I am here" if nothing else is being said. The caller runs the pump afterwards.
    pub(crate) fn beat(&self) {
        let mut queue = lock(&self.queue);
        if queue.idle {
            let version = queue.version;
            queue.segments.push_beat(version, self.lane);
            queue.tally.bytes_waiting += HEADER_BYTES;
        }
    }

    /// Whether the socket owes us room.
    pub(crate) fn is_writing(&self) -> bool {
        !lock(&self.queue).idle
    }

    pub(crate) fn is_open(&self) -> bool {
        lock(&self.queue).gate == Gate::Open
    }

    pub(crate) fn tally(&self) -> Tally {
        lock(&self.queue).tally
    }

    /// The writing half, to be closed in order.
    pub(crate) fn take_writer(&self) -> Option<WriteHalf> {
        lock(&self.pipe).writer.take()
    }
}
