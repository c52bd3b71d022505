//! What can go wrong, by kind.

use std::io;
use std::time::Duration;

use quorate_core::{ClusterId, Incarnation, Life, NodeId};

use crate::codec::{DecodeError, FrameError};
use crate::config::{ConfigError, Versions};
use crate::doorkeeper::Denial;

/// Why a transport could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The config cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address as the config has it.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a frame was not sent. It is lost; whoever sent it must be able to live with that, as with one that
/// the network loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Not a peer, or this member itself.
    #[error("{0} is not a peer")]
    NoSuchPeer(NodeId),
    /// There is no connection at the moment.
    #[error("not connected")]
    NotConnected,
    /// The peer does not keep up: its outbox for this lane is full.
    #[error("outbox is full")]
    Full,
    /// More than this lane's `frame_bytes_max`.
    #[error("payload of {length} bytes, at most {most} allowed")]
    TooLong {
        /// The payload, in bytes.
        length: usize,
        /// What is allowed, in bytes.
        most: usize,
    },
    /// The transport is shutting down.
    #[error("transport has stopped")]
    Stopped,
}

/// Why the two sides did not come together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The first bytes belong to another protocol.
    #[error("not this protocol")]
    NotQuorate,
    /// The bytes were altered on the way.
    #[error("checksum does not match")]
    Checksum,
    /// There is no such lane.
    #[error("no such lane: {0}")]
    Lane(u8),
    /// An address that is too long or no text.
    #[error("no such address")]
    Address,
    /// The answer is to another question.
    #[error("answer to another hello")]
    Answer,
    /// A member of another cluster.
    #[error("member of cluster {theirs}")]
    WrongCluster {
        /// The other side's cluster.
        theirs: ClusterId,
    },
    /// Another member lives at that address.
    #[error("{wanted} was called, {found} is here")]
    WrongMember {
        /// Whom the dialling side called.
        wanted: NodeId,
        /// Who is there.
        found: NodeId,
    },
    /// A member that is not among the peers, and there is no room for strangers.
    #[error("{0} is not a peer")]
    UnknownMember(NodeId),
    /// No wire version in common.
    #[error("speaks wire versions {}..={}", theirs.oldest, theirs.newest)]
    Version {
        /// The other side's range.
        theirs: Versions,
    },
    /// The other side says that it is this very member.
    #[error("this member itself")]
    Myself,
    /// A run of the member that is over: a later one has been here.
    #[error("life {theirs} is over, {latest} has been here")]
    PastLife {
        /// The life that called.
        theirs: Life,
        /// The latest known.
        latest: Life,
    },
    /// A connection older than the one in use.
    #[error("an older connection than the one in use")]
    Overtaken,
    /// Two disks claim the same life of the same member.
    #[error("incarnation {theirs} claims the life of incarnation {known}")]
    Twin {
        /// The incarnation that called.
        theirs: Incarnation,
        /// The incarnation known for this life.
        known: Incarnation,
    },
    /// The member was met with another disk: what this one does not remember it may have promised.
    #[error("comes with disk {theirs}, but was met with disk {known}")]
    OtherDisk {
        /// The incarnation that called or answered.
        theirs: Incarnation,
        /// The incarnation that it was met with.
        known: Incarnation,
    },
    /// The disk of the other side cannot be remembered.
    #[error("its disk cannot be remembered")]
    Unable,
    /// It took longer than `handshake_timeout`.
    #[error("not finished in time")]
    Timeout,
    /// Too many connections that had not said who they are.
    #[error("pushed out by newer connections")]
    Crowded,
    /// The other side said no.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// The socket failed or was closed.
    #[error("{0}")]
    Io(io::ErrorKind),
}

impl HandshakeError {
    /// Why a member with disk `theirs` is turned away, and what it is told.
    pub(crate) const fn denied(theirs: Incarnation, denial: Denial) -> (Refusal, Self) {
        match denial {
            Denial::OtherDisk { known } => (Refusal::OtherDisk, Self::OtherDisk { theirs, known }),
            Denial::Unable => (Refusal::Unable, Self::Unable),
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// Why the accepting side said no, as it stands in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// See [`HandshakeError::WrongCluster`].
    WrongCluster = 1,
    /// See [`HandshakeError::WrongMember`].
    WrongMember = 2,
    /// See [`HandshakeError::UnknownMember`].
    UnknownMember = 3,
    /// See [`HandshakeError::Version`].
    Version = 4,
    /// See [`HandshakeError::Myself`].
    Myself = 5,
    /// See [`HandshakeError::PastLife`].
    PastLife = 6,
    /// See [`HandshakeError::Overtaken`].
    Overtaken = 7,
    /// See [`HandshakeError::Twin`].
    Twin = 8,
    /// See [`HandshakeError::OtherDisk`].
    OtherDisk = 9,
    /// See [`HandshakeError::Unable`].
    Unable = 10,
    /// A reason that this version does not know.
    Other = 255,
}

impl Refusal {
    pub(crate) const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::WrongCluster,
            2 => Self::WrongMember,
            3 => Self::UnknownMember,
            4 => Self::Version,
            5 => Self::Myself,
            6 => Self::PastLife,
            7 => Self::Overtaken,
            8 => Self::Twin,
            9 => Self::OtherDisk,
            10 => Self::Unable,
            _ => Self::Other,
        }
    }
}

/// Why a connection ended, or was never made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The address could not be resolved or connected to.
    #[error("cannot connect to {address}: {kind}")]
    Dial {
        /// The address as it was given.
        address: String,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The two sides did not come together.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// What arrived is not a frame.
    #[error("frame: {0}")]
    Frame(#[from] FrameError),
    /// A payload arrived where only beats may.
    #[error("payload in the direction of beats")]
    Backwards,
    /// The socket failed.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// The other side closed it.
    #[error("closed by the other side")]
    Closed,
    /// Nothing arrived for `silence_max`.
    #[error("silent for {0:?}")]
    Silent(Duration),
    /// Nothing could be written for `stall_max`.
    #[error("took nothing for {0:?}")]
    Stalled(Duration),
    /// A newer connection of the same peer took its place.
    #[error("replaced by a newer connection")]
    Replaced,
    /// The peer was removed or given another address, or the transport was stopped.
    #[error("no longer wanted")]
    Unwanted,
    /// The sink takes nothing more.
    #[error("sink is closed")]
    SinkClosed,
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

impl From<DecodeError> for LinkError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Frame(error) => Self::Frame(error),
            DecodeError::Io(error) => error.into(),
        }
    }
}
