//! What a transport is told, and which values are refused.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::{ClusterId, Incarnation, Life, NodeId};

use crate::codec::HEADER_BYTES;
use crate::frame::Lane;
use crate::wire::Network;

/// The wire versions that this code can speak.
pub const VERSIONS: Versions = Versions {
    oldest: 1,
    newest: 1,
};

/// Bytes of an address in a hello at most.
pub(crate) const ADDRESS_MAX: usize = 256;

/// Everything that a transport needs to know. [`Config::new`] fills in defaults that fit a cluster in one
/// region; [`Config::check`] says what is absurd.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster; connections of another are refused.
    pub cluster: ClusterId,
    /// This member.
    pub node: NodeId,
    /// The identity of this member's disk.
    pub incarnation: Incarnation,
    /// This run of the process: higher than that of every earlier run.
    pub life: Life,
    /// Where connections are made.
    pub network: Network,
    /// Where to listen: `host:port`, or a name in a [`MemoryNetwork`](crate::MemoryNetwork). Port 0 takes a
    /// free one.
    pub listen: String,
    /// Where others reach this member, as it tells those who do not know it: `host:port`. Empty: where it listens.
    pub advertise: String,
    /// The other members by name, `host:port` each, resolved at every dial. This member may be among them
    /// and is passed over.
    pub peers: BTreeMap<NodeId, String>,
    /// The wire versions to offer and to accept, within [`VERSIONS`].
    pub versions: Versions,
    /// The bounds of the control lane.
    pub control: LaneLimits,
    /// The bounds of the bulk lane.
    pub bulk: LaneLimits,
    /// When to give up and when to try again.
    pub timing: Timing,
    /// Accepted connections that have not yet said who they are; one more pushes out the oldest.
    pub handshakes_max: usize,
    /// Members of this cluster that are let in although they are not among the peers, at once: a member that is behind
    /// does not know yet who came after it. They are dialled where they say they are, and forgotten when they go.
    pub strangers_max: usize,
    /// Seeds the jitter of reconnects and the dice of faults.
    pub seed: u64,
}

impl Config {
    /// The defaults for `node` of `cluster`, listening at `listen`, with incarnation and life 1.
    pub fn new(cluster: ClusterId, node: NodeId, listen: impl Into<String>) -> Self {
        Self {
            cluster,
            node,
            incarnation: Incarnation(1),
            life: Life(1),
            network: Network::default(),
            listen: listen.into(),
            advertise: String::new(),
            peers: BTreeMap::new(),
            versions: VERSIONS,
            control: LaneLimits::CONTROL,
            bulk: LaneLimits::BULK,
            timing: Timing::default(),
            handshakes_max: 64,
            strangers_max: 0,
            seed: node.get(),
        }
    }

    /// The bounds of `lane`.
    pub const fn limits(&self, lane: Lane) -> &LaneLimits {
        match lane {
            Lane::Control => &self.control,
            Lane::Bulk => &self.bulk,
        }
    }

    /// Refuses what could not work, with the reason.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.control.check(Lane::Control)?;
        self.bulk.check(Lane::Bulk)?;
        self.timing.check()?;
        let Versions { oldest, newest } = self.versions;
        if oldest < VERSIONS.oldest || newest > VERSIONS.newest || oldest > newest {
            return Err(ConfigError::Versions(self.versions));
        }
        if self.handshakes_max == 0 {
            return Err(ConfigError::NoHandshakes);
        }
        self.check_advertise()
    }

    /// What others would refuse to hear is refused here.
    pub(crate) fn check_advertise(&self) -> Result<(), ConfigError> {
        let address = self.advertise.as_bytes();
        if address.len() > ADDRESS_MAX || !address.iter().all(u8::is_ascii_graphic) {
            return Err(ConfigError::Advertise);
        }
        Ok(())
    }
}

/// A range of wire versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest understood.
    pub oldest: u8,
    /// The newest understood.
    pub newest: u8,
}

impl Versions {
    /// The newest version that both ranges have.
    pub fn agree(self, other: Self) -> Option<u8> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

/// The bounds of one lane; those of the outbox hold for each peer, those of the inbox for all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    /// The greatest payload, in bytes, out and in.
    pub frame_bytes_max: usize,
    /// Bytes that may wait to be written to one peer, headers included; beyond it frames are lost.
    pub outbox_bytes_max: usize,
    /// Frames that may wait to be written to one peer.
    pub outbox_frames_max: usize,
    /// Payload bytes that may wait in [`Incoming`](crate::Incoming); beyond it the sockets are not read.
    pub inbox_bytes_max: usize,
    /// Payloads that may wait in [`Incoming`](crate::Incoming).
    pub inbox_frames_max: usize,
}

impl LaneLimits {
    /// Small and many: payloads of 1 MiB, 4 MiB out and in.
    pub const CONTROL: Self = Self {
        frame_bytes_max: 1 << 20,
        outbox_bytes_max: 4 << 20,
        outbox_frames_max: 65_536,
        inbox_bytes_max: 4 << 20,
        inbox_frames_max: 65_536,
    };

    /// Large: payloads of 64 MiB and as much waiting, out and in.
    pub const BULK: Self = Self {
        frame_bytes_max: 64 << 20,
        outbox_bytes_max: (64 << 20) + HEADER_BYTES,
        outbox_frames_max: 65_536,
        inbox_bytes_max: 64 << 20,
        inbox_frames_max: 65_536,
    };

    fn check(&self, lane: Lane) -> Result<(), ConfigError> {
        let refuse = |what| Err(ConfigError::Lane { lane, what });
        if self.frame_bytes_max == 0 || self.frame_bytes_max > 1 << 30 {
            return refuse("frame_bytes_max must lie between 1 byte and 1 GiB");
        }
        if self.outbox_bytes_max < self.frame_bytes_max + HEADER_BYTES {
            return refuse("outbox_bytes_max must hold the greatest frame and its header");
        }
        if self.inbox_bytes_max < self.frame_bytes_max {
            return refuse("inbox_bytes_max must hold the greatest frame");
        }
        if self.outbox_frames_max == 0 || self.inbox_frames_max == 0 {
            return refuse("outbox_frames_max and inbox_frames_max must not be zero");
        }
        Ok(())
    }
}

/// When to give up and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// To resolve and connect.
    pub dial_timeout: Duration,
    /// From connected to welcomed.
    pub handshake_timeout: Duration,
    /// How often an idle connection says that it is alive, in both directions.
    pub beat_every: Duration,
    /// A connection on which nothing arrives for so long is dead.
    pub silence_max: Duration,
    /// A connection that takes nothing of what waits for so long is dead.
    pub stall_max: Duration,
    /// The first pause before dialling again. Each pause is drawn between this and an upper end that
    /// doubles with every failure.
    pub redial_min: Duration,
    /// Where the doubling ends.
    pub redial_max: Duration,
    /// A frame sent sooner than this after the one before it is left to the writer task, which writes many
    /// at once; one sent later is written by the sender itself.
    pub direct_gap: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            dial_timeout: Duration::from_secs(2),
            handshake_timeout: Duration::from_secs(2),
            beat_every: Duration::from_millis(500),
            silence_max: Duration::from_secs(3),
            stall_max: Duration::from_secs(10),
            redial_min: Duration::from_millis(20),
            redial_max: Duration::from_secs(1),
            direct_gap: Duration::from_micros(10),
        }
    }
}

impl Timing {
    fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            self.dial_timeout,
            self.handshake_timeout,
            self.beat_every,
            self.redial_min,
        ];
        if positive.contains(&Duration::ZERO) {
            return Err(ConfigError::Timing("timeouts and pauses must not be zero"));
        }
        if self.silence_max < self.beat_every * 2 {
            return Err(ConfigError::Timing("silence_max must span two beats"));
        }
        if self.stall_max < self.beat_every {
            return Err(ConfigError::Timing("stall_max must span a beat"));
        }
        if self.redial_max < self.redial_min {
            return Err(ConfigError::Timing(
                "redial_max must not lie below redial_min",
            ));
        }
        Ok(())
    }
}

/// Why a config cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A bound of a lane contradicts another.
    #[error("{lane} lane: {what}")]
    Lane {
        /// Which lane.
        lane: Lane,
        /// What must hold.
        what: &'static str,
    },
    /// A duration contradicts another.
    #[error("{0}")]
    Timing(&'static str),
    /// A range that this code does not speak.
    #[error("wire versions {}..={} are not within {}..={}", .0.oldest, .0.newest, VERSIONS.oldest, VERSIONS.newest)]
    Versions(Versions),
    /// An address that no hello can carry.
    #[error("advertise is not up to {ADDRESS_MAX} printable characters without spaces")]
    Advertise,
    /// Nobody could ever connect.
    #[error("handshakes_max must not be zero")]
    NoHandshakes,
}
