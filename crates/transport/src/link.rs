//! The outgoing side of one lane: dial, greet, write until it breaks, pause, again.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use quorate_core::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::codec::Decoder;

use crate::codec::{Arrived, FrameDecoder};
use crate::config::Timing;
use crate::error::{HandshakeError, LinkError, Refusal};
use crate::events::Event;
use crate::faults::Direction;
use crate::frame::Lane;
use crate::handshake::{Hello, greet};
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::wire::{ReadHalf, Wire};

/// Keeps one lane to `peer` connected until the peer is gone or the transport stops.
pub(crate) async fn keep(shared: Arc<Shared>, peer: Arc<Peer>, lane: Lane, dice: Rng) {
    let mut backoff = Backoff {
        timing: shared.config.timing,
        dice,
        failures: 0,
    };
    let mut address = peer.address.subscribe();
    while !shared.stopping.is_cancelled() {
        let begun = Instant::now();
        if address.borrow_and_update().is_empty() {
            tokio::select! {
                () = peer.gone.cancelled() => break,
                () = shared.stopping.cancelled() => break,
                _ = address.changed() => continue,
            }
        }
        tokio::select! {
            biased;
            () = peer.gone.cancelled() => break,
            () = attempt(&shared, &peer, lane, &mut address) => {}
        }
        peer.lane(lane).outbox.close();
        if begun.elapsed() >= shared.config.timing.redial_max {
            backoff.failures = 0;
        }
        tokio::select! {
            () = peer.gone.cancelled() => break,
            () = shared.stopping.cancelled() => break,
            _ = address.changed() => {}
            () = backoff.pause(&peer, lane) => {}
        }
    }
    peer.lane(lane).outbox.close();
}

/// Pauses between dials: jittered, doubling, cut short when the peer shows itself.
struct Backoff {
    timing: Timing,
    dice: Rng,
    failures: u32,
}

impl Backoff {
    async fn pause(&mut self, peer: &Peer, lane: Lane) {
        let Timing {
            redial_min,
            redial_max,
            ..
        } = self.timing;
        let doubled = redial_min.saturating_mul(2u32.saturating_pow(self.failures + 1));
        self.failures = (self.failures + 1).min(30);
        let most = doubled.min(redial_max).max(redial_min);
        let longer = self
            .dice
            .duration(Duration::ZERO, most.saturating_sub(redial_min));
        sleep(redial_min).await;
        tokio::select! {
            () = sleep(longer) => {}
            () = peer.lane(lane).seen.notified() => self.failures = 0,
        }
    }
}

/// One connection from its first to its last byte.
async fn attempt(shared: &Shared, peer: &Peer, lane: Lane, address: &mut watch::Receiver<String>) {
    let state = peer.lane(lane);
    let target = address.borrow_and_update().clone();
    let established = tokio::select! {
        established = establish(shared, peer, lane, &target) => established,
        () = shared.stopping.cancelled() => Err(LinkError::Unwanted),
    };
    let (wire, version, answer) = match established {
        Ok(established) => established,
        Err(error) => {
            if state.outgoing.on_failed(&error) {
                shared
                    .events
                    .on_end(&format_args!("to {} {lane}", peer.id), &error);
            } else {
                shared.events.count(Event::of(&error));
            }
            return;
        }
    };
    shared.events.count(Event::Connected);
    tracing::info!(peer = %peer.id, %lane, address = target, "connected");
    let connect = state.outgoing.on_connected(answer.incarnation, answer.life);
    state.outbox.open(wire.write, version);
    let mut connection = Connection::new(shared, peer, lane, wire.read, version);
    let error = connection
        .run(address)
        .await
        .err()
        .unwrap_or(LinkError::Unwanted);
    state.outgoing.on_lost(connect, &error);
    shared
        .events
        .on_end(&format_args!("to {} {lane}", peer.id), &error);
}

async fn establish(
    shared: &Shared,
    peer: &Peer,
    lane: Lane,
    address: &str,
) -> Result<(Wire, u8, Hello), LinkError> {
    let timing = &shared.config.timing;
    let failed = |kind| LinkError::Dial {
        address: address.to_owned(),
        kind,
    };
    let dialled = timeout(timing.dial_timeout, shared.network.dial(address)).await;
    let dialled = dialled.map_err(|_| failed(std::io::ErrorKind::TimedOut))?;
    let mut wire = dialled.map_err(|error| failed(error.kind()))?;
    let dial = peer.lane(lane).dials.fetch_add(1, Ordering::Relaxed) + 1;
    let hello = Hello::new(&shared.config, peer.id, lane, dial);
    let mut stream = wire.joined();
    let greeting = timeout(
        timing.handshake_timeout,
        greet(
            &mut stream,
            &hello,
            &shared.config.advertise,
            &shared.config,
        ),
    );
    let greeted = greeting.await.map_err(|_| HandshakeError::Timeout)?;
    if let Err(HandshakeError::Refused(Refusal::OtherDisk)) = greeted {
        shared.doorkeeper.on_disowned(peer.id);
    }
    let (version, answer) = greeted?;
    let recognised = shared.doorkeeper.recognise(peer.id, answer.incarnation);
    recognised.map_err(|denial| HandshakeError::denied(answer.incarnation, denial).1)?;
    Ok((wire, version, answer))
}

/// A connection that stands. Its other direction carries beats only.
struct Connection<'a> {
    shared: &'a Shared,
    peer: &'a Peer,
    outbox: &'a Outbox,
    read: ReadHalf,
    decoder: FrameDecoder,
    buffer: BytesMut,
    heard: Instant,
    /// Bytes written so far, and when that last changed.
    progress: (u64, Instant),
}

impl<'a> Connection<'a> {
    fn new(shared: &'a Shared, peer: &'a Peer, lane: Lane, read: ReadHalf, version: u8) -> Self {
        let now = Instant::now();
        Self {
            shared,
            peer,
            outbox: &peer.lane(lane).outbox,
            read,
            decoder: FrameDecoder::new(version, lane, 0),
            buffer: BytesMut::with_capacity(256),
            heard: now,
            progress: (0, now),
        }
    }

    /// Runs until the connection breaks, or all is flushed after a stop.
    async fn run(&mut self, address: &mut watch::Receiver<String>) -> Result<(), LinkError> {
        let outbox = self.outbox;
        let mut changes = self.shared.faults.watch();
        let mut beats = interval(self.shared.config.timing.beat_every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let alarm = self.release();
            tokio::select! {
                biased;
                end = poll_fn(|context| outbox.poll_run(context)) => {
                    end?;
                    return self.finish().await;
                }
                read = self.read.read_buf(&mut self.buffer) => self.on_bytes(read?)?,
                _ = beats.tick() => self.on_tick()?,
                () = outbox.shaped.notified() => {}
                _ = changes.changed() => {}
                () = sleep_until(alarm.unwrap_or(self.heard)), if alarm.is_some() => {}
                _ = address.changed() => return Err(LinkError::Unwanted),
            }
        }
    }

    fn release(&self) -> Option<Instant> {
        if !self.outbox.has_shaped() {
            return None;
        }
        self.outbox
            .release(self.shared.faults.arrivals(self.peer.id, Direction::Out))
    }

    fn on_bytes(&mut self, count: usize) -> Result<(), LinkError> {
        if count == 0 {
            return Err(LinkError::Closed);
        }
        self.heard = Instant::now();
        while let Some(arrived) = self.decoder.decode(&mut self.buffer)? {
            if arrived != Arrived::Beat {
                return Err(LinkError::Backwards);
            }
        }
        self.buffer.reserve(1);
        Ok(())
    }

    fn on_tick(&mut self) -> Result<(), LinkError> {
        let timing = &self.shared.config.timing;
        if self.heard.elapsed() >= timing.silence_max {
            return Err(LinkError::Silent(timing.silence_max));
        }
        let written = self.outbox.tally().bytes_sent;
        if written != self.progress.0 || !self.outbox.is_writing() {
            self.progress = (written, Instant::now());
        } else if self.progress.1.elapsed() >= timing.stall_max {
            return Err(LinkError::Stalled(timing.stall_max));
        }
        self.outbox.beat();
        Ok(())
    }

    /// Closes in order: end of stream out, then wait for theirs, since closing over unread beats would reset
    /// the connection and could take with it what is still under way.
    async fn finish(&mut self) -> Result<(), LinkError> {
        if let Some(mut writer) = self.outbox.take_writer() {
            writer.shutdown().await?;
        }
        loop {
            self.buffer.clear();
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return Ok(());
            }
        }
    }
}
