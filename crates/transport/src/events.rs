//! What happened, counted by kind, and logged without letting an attacker fill the log.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{HandshakeError, LinkError};
use crate::sync::lock;

/// Kinds of things that happen to connections. Each is counted from the start of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// A connection to a peer was made and welcomed.
    Connected,
    /// A connection from a peer was welcomed.
    Welcomed,
    /// A connection could not be made.
    DialFailed,
    /// The system failed to accept a connection, for instance for want of descriptors.
    AcceptFailed,
    /// A handshake that was noise, altered, or cut off.
    BadHandshake,
    /// A handshake of another cluster.
    WrongCluster,
    /// A handshake with another member than wanted, with one that is no peer, with itself, or with a twin.
    WrongMember,
    /// A handshake with a member that was met with another disk.
    OtherDisk,
    /// A handshake without a wire version in common.
    WrongVersion,
    /// A handshake of a life that is over, or of a connection older than the one in use.
    PastLife,
    /// A handshake that took too long.
    SlowHandshake,
    /// A connection pushed out by newer ones before it said who it was.
    Crowded,
    /// The other side refused the handshake, or this one could not take note of it.
    Refused,
    /// Bytes that are not a frame, or a frame that may not be here.
    BadFrame,
    /// A connection that the other side or the network ended.
    Lost,
    /// A connection on which nothing arrived for too long.
    Silent,
    /// A connection that took nothing for too long.
    Stalled,
    /// A connection that a newer one of the same peer replaced.
    Replaced,
    /// A connection ended by this side: peer removed or readdressed, sink closed, transport stopped.
    Ended,
}

impl Event {
    /// All kinds.
    pub const ALL: [Self; 19] = [
        Self::Connected,
        Self::Welcomed,
        Self::DialFailed,
        Self::AcceptFailed,
        Self::BadHandshake,
        Self::WrongCluster,
        Self::WrongMember,
        Self::OtherDisk,
        Self::WrongVersion,
        Self::PastLife,
        Self::SlowHandshake,
        Self::Crowded,
        Self::Refused,
        Self::BadFrame,
        Self::Lost,
        Self::Silent,
        Self::Stalled,
        Self::Replaced,
        Self::Ended,
    ];

    /// The kind under which the end of a connection is counted.
    pub const fn of(error: &LinkError) -> Self {
        match error {
            LinkError::Dial { .. } => Self::DialFailed,
            LinkError::Handshake(error) => Self::of_handshake(error),
            LinkError::Frame(_) | LinkError::Backwards => Self::BadFrame,
            LinkError::Io(_) | LinkError::Closed => Self::Lost,
            LinkError::Silent(_) => Self::Silent,
            LinkError::Stalled(_) => Self::Stalled,
            LinkError::Replaced => Self::Replaced,
            LinkError::Unwanted | LinkError::SinkClosed => Self::Ended,
        }
    }

    const fn of_handshake(error: &HandshakeError) -> Self {
        match error {
            HandshakeError::NotQuorate
            | HandshakeError::Checksum
            | HandshakeError::Lane(_)
            | HandshakeError::Address
            | HandshakeError::Answer
            | HandshakeError::Io(_) => Self::BadHandshake,
            HandshakeError::WrongCluster { .. } => Self::WrongCluster,
            HandshakeError::WrongMember { .. }
            | HandshakeError::UnknownMember(_)
            | HandshakeError::Myself
            | HandshakeError::Twin { .. } => Self::WrongMember,
            HandshakeError::OtherDisk { .. } => Self::OtherDisk,
            HandshakeError::Version { .. } => Self::WrongVersion,
            HandshakeError::PastLife { .. } | HandshakeError::Overtaken => Self::PastLife,
            HandshakeError::Timeout => Self::SlowHandshake,
            HandshakeError::Crowded => Self::Crowded,
            HandshakeError::Refused(_) | HandshakeError::Unable => Self::Refused,
        }
    }
}

/// Warnings in one second; what exceeds them is counted and mentioned with the next.
const WARNINGS_PER_SECOND: u32 = 10;

#[derive(Debug)]
pub(crate) struct Events {
    counts: [AtomicU64; Event::ALL.len()],
    warnings: Mutex<Warnings>,
}

#[derive(Debug)]
struct Warnings {
    since: Instant,
    said: u32,
    withheld: u64,
}

impl Events {
    pub(crate) fn new() -> Self {
        let warnings = Warnings {
            since: Instant::now(),
            said: 0,
            withheld: 0,
        };
        Self {
            counts: Default::default(),
            warnings: Mutex::new(warnings),
        }
    }

    pub(crate) fn count(&self, event: Event) {
        self.counts[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, event: Event) -> u64 {
        self.counts[event as usize].load(Ordering::Relaxed)
    }

    /// Counts the end of a connection and, within bounds, says so.
    pub(crate) fn on_end(&self, who: &dyn std::fmt::Display, error: &LinkError) {
        let event = Event::of(error);
        self.count(event);
        if matches!(event, Event::Ended | Event::Replaced) {
            tracing::debug!(%who, %error, "connection ended");
        } else if let Some(withheld) = self.may_warn() {
            tracing::warn!(%who, %error, withheld, "connection ended");
        }
    }

    fn may_warn(&self) -> Option<u64> {
        let mut warnings = lock(&self.warnings);
        if warnings.since.elapsed() >= Duration::from_secs(1) {
            (warnings.since, warnings.said) = (Instant::now(), 0);
        }
        if warnings.said == WARNINGS_PER_SECOND {
            warnings.withheld += 1;
            return None;
        }
        warnings.said += 1;
        Some(std::mem::take(&mut warnings.withheld))
    }
}
