//! Links: which way bulk gets to a peer, what is known of that, and what changes it.
//!
//! A link has a direction of its own for each way: what is said here is how *this* member sends to that peer.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// What was chosen for a link: who lets entries flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The sender: as much is on its way as its window for this peer allows.
    #[default]
    Push,
    /// The receiver: as much as it has asked for. The sender keeps nothing for it.
    Pull,
    /// The sender, with large commands sent hollow and their bodies fetched from any holder; the receiver while it
    /// is behind.
    Mixed,
    /// The sender; the receiver while it is behind.
    Auto,
}

/// A direction that is none of `push`, `pull`, `mixed`, `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a direction is one of push, pull, mixed, auto")]
pub struct UnknownDirection;

impl Direction {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Push, Self::Pull, Self::Mixed, Self::Auto];

    /// As configs and command lines write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Mixed => "mixed",
            Self::Auto => "auto",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Direction {
    type Err = UnknownDirection;

    fn from_str(name: &str) -> Result<Self, UnknownDirection> {
        let found = Self::ALL
            .into_iter()
            .find(|direction| direction.name() == name);
        found.ok_or(UnknownDirection)
    }
}

/// What is in force on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// The sender's window decides.
    Push,
    /// What the receiver asked for decides.
    Pull,
    /// The sender's window decides; large commands are hollow.
    Mixed,
    /// What the receiver asked for decides, and all commands but the smallest are hollow: [`Direction::Mixed`] towards a
    /// peer that is behind.
    Catchup,
}

impl Flow {
    /// Whether the receiver lets entries flow.
    pub const fn is_pull(self) -> bool {
        matches!(self, Self::Pull | Self::Catchup)
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Mixed => "mixed",
            Self::Catchup => "catchup",
        })
    }
}

/// A link changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkEvent {
    /// Towards whom.
    pub peer: NodeId,
    /// What is chosen for it now.
    pub direction: Direction,
    /// What was in force.
    pub from: Flow,
    /// What is.
    pub to: Flow,
    /// Why.
    pub why: LinkReason,
}

/// Why a link changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkReason {
    /// Another direction was chosen.
    Directed,
    /// The peer had not confirmed what was chosen so long ago.
    Behind(Duration),
    /// The peer has had everything that was chosen for so long.
    CaughtUp(Duration),
}

impl fmt::Display for LinkReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directed => f.write_str("directed"),
            Self::Behind(lag) => write!(f, "behind by {lag:?}"),
            Self::CaughtUp(time) => write!(f, "caught up for {time:?}"),
        }
    }
}

impl fmt::Display for LinkEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            peer,
            direction,
            from,
            to,
            why,
        } = self;
        write!(f, "to {peer} ({direction}): {from} -> {to}, {why}")
    }
}

/// One link as its sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// Towards whom.
    pub peer: NodeId,
    /// What was chosen for it.
    pub direction: Direction,
    /// What is in force.
    pub flow: Flow,
    /// Bytes that may be on their way at once; none: as many as the receiver asks for.
    pub window: Option<u64>,
    /// Bytes of bulk that may leave now.
    pub credit: u64,
    /// Bytes of bulk that have left and that the peer has not confirmed to be on its disk: all that this member can
    /// have in memory for this peer.
    pub flying: u64,
    /// The shortest time from sending to confirmation seen of late.
    pub round_trip: Option<Duration>,
    /// Messages sent since the start.
    pub messages: u64,
    /// Bytes of command bodies sent since the start; those that went hollow are not among them.
    pub bytes: u64,
    /// Bytes of command bodies that went hollow.
    pub hollow: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_direction_is_parsed_as_it_is_written() {
        for direction in Direction::ALL {
            assert_eq!(direction.to_string().parse(), Ok(direction));
        }
        assert_eq!("Push".parse::<Direction>(), Err(UnknownDirection));
    }
}
