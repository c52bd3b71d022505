//! The incoming side of one lane: read, decode, hand over; say that we are here.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use quorate_core::{Incarnation, Life};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;

use crate::codec::{Arrived, FrameDecoder, HEADER_BYTES, beat};
use crate::error::LinkError;
use crate::faults::{Direction, Passage, Shaper};
use crate::frame::{Lane, Received};
use crate::handshake::Hello;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::wire::Wire;

/// What one read asks for at most, unless a frame is longer.
const READ_BYTES: usize = 64 * 1024;

/// A connection of a peer that holds its seat.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    lane: Lane,
    incarnation: Incarnation,
    life: Life,
    wire: Wire,
    stream: FrameStream,
    beat: [u8; HEADER_BYTES],
    beats: Interval,
    heard: Instant,
    shaper: Shaper<Bytes>,
    shaped_bytes: usize,
}

impl Reader {
    pub(crate) fn new(
        shared: Arc<Shared>,
        peer: Arc<Peer>,
        hello: &Hello,
        version: u8,
        wire: Wire,
    ) -> Self {
        let lane = hello.lane;
        let mut beats = interval(shared.config.timing.beat_every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let most = shared.config.limits(lane).frame_bytes_max;
        Self {
            shared,
            peer,
            lane,
            incarnation: hello.incarnation,
            life: hello.life,
            wire,
            stream: FrameStream::new(FrameDecoder::new(version, lane, most as u32)),
            beat: beat(version, lane),
            beats,
            heard: Instant::now(),
            shaper: Shaper::default(),
            shaped_bytes: 0,
        }
    }

    /// Reads until the connection ends or `cancel` says that it must.
    pub(crate) async fn run(&mut self, cancel: &CancellationToken) -> LinkError {
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                if self.peer.gone.is_cancelled() { LinkError::Unwanted } else { LinkError::Replaced }
            }
            end = self.read() => match end {
                Ok(never) => match never {},
                Err(error) => error,
            },
        }
    }

    async fn read(&mut self) -> Result<std::convert::Infallible, LinkError> {
        let mut changes = self.shared.faults.watch();
        loop {
            let drained = self.hand_over().await?;
            let alarm = self.release().await?;
            let (slow, room) = (!self.shaper.is_empty(), self.has_room());
            if room && !drained {
                continue;
            }
            self.shared.sink.on_pause();
            tokio::select! {
                biased;
                _ = self.beats.tick() => self.on_tick(room).await?,
                read = self.wire.read.read_buf(self.stream.spare()), if room => {
                    if read? == 0 {
                        return Err(LinkError::Closed);
                    }
                    self.heard = Instant::now();
                }
                _ = changes.changed(), if slow => {}
                () = sleep_until(alarm.unwrap_or(self.heard)), if alarm.is_some() => {}
            }
        }
    }

    /// Takes the whole frames out of the buffer; false if some are left there because a slow link is full.
    async fn hand_over(&mut self) -> Result<bool, LinkError> {
        while self.has_room() {
            let Some(arrived) = self.stream.next()? else {
                return Ok(true);
            };
            let Arrived::Payload(payload) = arrived else {
                continue;
            };
            let received = &self.peer.lane(self.lane).received;
            received.frames.fetch_add(1, Ordering::Relaxed);
            received
                .bytes
                .fetch_add(payload.len() as u64, Ordering::Relaxed);
            match self.shared.faults.passage(self.peer.id, Direction::In) {
                Passage::Lost => {
                    received.faulted.fetch_add(1, Ordering::Relaxed);
                }
                Passage::Free if self.shaper.is_empty() => self.deliver(payload).await?,
                passage => {
                    self.shaped_bytes += payload.len();
                    self.shaper
                        .push(Instant::now(), passage, payload.len(), payload);
                }
            }
        }
        Ok(false)
    }

    /// Delivers what has arrived over a slow link; tells when to look again.
    async fn release(&mut self) -> Result<Option<Instant>, LinkError> {
        if self.shaper.is_empty() {
            return Ok(None);
        }
        let arrivals = self.shared.faults.arrivals(self.peer.id, Direction::In);
        while let Some(payload) = self.shaper.pop(arrivals) {
            self.shaped_bytes -= payload.len();
            self.deliver(payload).await?;
        }
        Ok(self.shaper.next_at(arrivals))
    }

    /// A slow link holds no more than the sender's outbox may.
    fn has_room(&self) -> bool {
        let limits = self.shared.config.limits(self.lane);
        self.shaped_bytes < limits.outbox_bytes_max && self.shaper.len() < limits.outbox_frames_max
    }

    async fn deliver(&mut self, payload: Bytes) -> Result<(), LinkError> {
        let mut slot = Some(Received {
            from: self.peer.id,
            incarnation: self.incarnation,
            life: self.life,
            lane: self.lane,
            payload,
        });
        let sink = &self.shared.sink;
        let first = poll_fn(|context| Poll::Ready(sink.poll_deliver(context, &mut slot))).await;
        let flow = match first {
            Poll::Ready(flow) => flow,
            Poll::Pending => self.wait_for_room(slot).await?,
        };
        match flow {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(LinkError::SinkClosed),
        }
    }

    /// The sink is full: nothing is read, but the other side is told that we live.
    async fn wait_for_room(
        &mut self,
        mut slot: Option<Received>,
    ) -> Result<ControlFlow<()>, LinkError> {
        let shared = Arc::clone(&self.shared);
        shared.sink.on_pause();
        let flow = loop {
            tokio::select! {
                biased;
                flow = poll_fn(|context| shared.sink.poll_deliver(context, &mut slot)) => break flow,
                _ = self.beats.tick() => self.on_tick(false).await?,
            }
        };
        self.heard = Instant::now();
        Ok(flow)
    }

    async fn on_tick(&mut self, reading: bool) -> Result<(), LinkError> {
        let timing = self.shared.config.timing;
        if !reading {
            self.heard = Instant::now();
        } else if self.heard.elapsed() >= timing.silence_max {
            return Err(LinkError::Silent(timing.silence_max));
        }
        let said = timeout(timing.stall_max, self.wire.write.write_all(&self.beat)).await;
        Ok(said.map_err(|_| LinkError::Stalled(timing.stall_max))??)
    }
}

/// A read buffer and the frames in it.
struct FrameStream {
    decoder: FrameDecoder,
    buffer: BytesMut,
    /// The buffer was grown for a long frame.
    grown: bool,
}

impl FrameStream {
    fn new(decoder: FrameDecoder) -> Self {
        Self {
            decoder,
            buffer: BytesMut::with_capacity(READ_BYTES),
            grown: false,
        }
    }

    fn next(&mut self) -> Result<Option<Arrived>, LinkError> {
        Ok(self.decoder.decode(&mut self.buffer)?)
    }

    /// The buffer with room for the next read. The decoder has made room for a frame that is under way; after
    /// a long one the buffer starts anew, so that an idle connection does not keep the memory of the longest.
    fn spare(&mut self) -> &mut BytesMut {
        if self.decoder.is_inside() {
            self.grown |= self.buffer.capacity() > 2 * READ_BYTES;
        } else if self.grown {
            let mut fresh = BytesMut::with_capacity(self.buffer.len() + READ_BYTES);
            fresh.extend_from_slice(&self.buffer);
            (self.buffer, self.grown) = (fresh, false);
        } else if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 4 {
            self.buffer.reserve(READ_BYTES);
        }
        &mut self.buffer
    }
}
