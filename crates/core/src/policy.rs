//! The whole choice in one value: which log, how its copies are kept, and what is promised to whom.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Direction, Durability, ReadLevel, WriteAck};

/// A protocol by its name: the crates that hold them are not known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Raft.
    #[default]
    Raft,
    /// Multi-Paxos.
    Paxos,
    /// Primary-backup, without consensus.
    PrimaryBackup,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Raft, Self::Paxos, Self::PrimaryBackup];

    /// As configs and command lines write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raft => "raft",
            Self::Paxos => "paxos",
            Self::PrimaryBackup => "primary-backup",
        }
    }

    /// Whether its members agree on a leader by themselves, so that nothing acknowledged is lost with one.
    pub const fn is_consensus(self) -> bool {
        matches!(self, Self::Raft | Self::Paxos)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Protocol {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let found = Self::ALL
            .into_iter()
            .find(|protocol| protocol.name() == text);
        found.ok_or_else(|| unknown("protocol", text, "raft, paxos or primary-backup"))
    }
}

/// How a log is replicated, in one value and one short string:
/// `protocol/strategy/write_ack/read_level/durability`, as in `paxos/pull/quorum/linearizable/fsync`.
///
/// Parts at the end may be left out and are then the defaults: `raft/mixed` is `raft/mixed/quorum/linearizable/fsync`.
///
/// ```
/// use quorate_core::{Direction, Policy, Protocol};
///
/// let policy: Policy = "paxos/pull".parse()?;
/// assert_eq!((policy.protocol, policy.strategy), (Protocol::Paxos, Direction::Pull));
/// assert_eq!(policy.to_string(), "paxos/pull/quorum/linearizable/fsync");
///
/// let refused = "raft/push/none".parse::<Policy>().unwrap_err();
/// assert!(refused.to_string().contains("acknowledges by quorum"));
/// # Ok::<(), quorate_core::PolicyError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Policy {
    /// Who decides what is chosen.
    pub protocol: Protocol,
    /// How entries get to the other members, at the start; a link may be directed otherwise later.
    pub strategy: Direction,
    /// Where a write is when it is acknowledged.
    pub write_ack: WriteAck,
    /// How fresh a read is that does not say otherwise.
    pub read_level: ReadLevel,
    /// When a record counts as written.
    pub durability: Durability,
}

/// Why a policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A part is none of its names.
    #[error("{part} {given:?} is not known: it is {known}")]
    Unknown {
        /// Which part.
        part: &'static str,
        /// What was given.
        given: String,
        /// The names there are.
        known: &'static str,
    },
    /// There are more parts than five.
    #[error(
        "a policy has five parts at most, protocol/strategy/write_ack/read_level/durability: {0:?} has more"
    )]
    TooLong(String),
    /// The parts do not go together.
    #[error("{policy} makes no sense: {why}")]
    Contradiction {
        /// The combination.
        policy: String,
        /// Why not.
        why: &'static str,
    },
}

impl Policy {
    /// This policy, if its parts go together.
    ///
    /// # Errors
    /// [`PolicyError::Contradiction`] with the reason.
    pub fn checked(self) -> Result<Self, PolicyError> {
        let consensus = self.protocol.is_consensus();
        let weak = matches!(self.write_ack, WriteAck::None | WriteAck::One);
        let why = if consensus && self.write_ack != WriteAck::Quorum {
            "a log by consensus acknowledges by quorum, neither earlier nor later"
        } else if weak && self.read_level != ReadLevel::Local {
            "what is acknowledged before a quorum has it may be lost, so that no read is linearizable or bounded: read local"
        } else if !consensus && self.read_level == ReadLevel::Lease {
            "a log without elections has no leases"
        } else {
            return Ok(self);
        };
        Err(PolicyError::Contradiction {
            policy: self.to_string(),
            why,
        })
    }

    /// Whether an acknowledged write survives the loss of a minority of members for good, whoever leads next.
    pub const fn keeps_acknowledged(self) -> bool {
        self.protocol.is_consensus() || matches!(self.write_ack, WriteAck::Quorum | WriteAck::All)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            protocol,
            strategy,
            write_ack,
            read_level,
            durability,
        } = self;
        write!(
            f,
            "{protocol}/{strategy}/{write_ack}/{read_level}/{durability}"
        )
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let mut parts = text.split('/');
        let mut next = || parts.next();
        let mut policy = Self::default();
        if let Some(part) = next() {
            policy.protocol = part.parse()?;
        }
        part(
            next(),
            &mut policy.strategy,
            "strategy",
            "push, pull, mixed or auto",
        )?;
        part(
            next(),
            &mut policy.write_ack,
            "write_ack",
            "none, one, quorum or all",
        )?;
        part(
            next(),
            &mut policy.read_level,
            "read_level",
            "linearizable, lease, bounded:<milliseconds>ms or local",
        )?;
        part(
            next(),
            &mut policy.durability,
            "durability",
            "memory, buffered or fsync",
        )?;
        if next().is_some() {
            return Err(PolicyError::TooLong(text.to_string()));
        }
        policy.checked()
    }
}

/// Reads one part, if it is there.
fn part<T: FromStr>(
    given: Option<&str>,
    into: &mut T,
    part: &'static str,
    known: &'static str,
) -> Result<(), PolicyError> {
    if let Some(given) = given {
        *into = given.parse().map_err(|_| unknown(part, given, known))?;
    }
    Ok(())
}

fn unknown(part: &'static str, given: &str, known: &'static str) -> PolicyError {
    PolicyError::Unknown {
        part,
        given: given.to_string(),
        known,
    }
}

impl TryFrom<String> for Policy {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, PolicyError> {
        text.parse()
    }
}

impl From<Policy> for String {
    fn from(policy: Policy) -> Self {
        policy.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every() -> impl Iterator<Item = Policy> {
        Protocol::ALL.into_iter().flat_map(|protocol| {
            Direction::ALL.into_iter().flat_map(move |strategy| {
                WriteAck::EVERY.into_iter().flat_map(move |write_ack| {
                    ReadLevel::ALL.into_iter().flat_map(move |read_level| {
                        Durability::ALL.into_iter().map(move |durability| Policy {
                            protocol,
                            strategy,
                            write_ack,
                            read_level,
                            durability,
                        })
                    })
                })
            })
        })
    }

    #[test]
    fn what_is_printed_is_parsed_if_it_makes_sense() {
        let mut sound = 0;
        for policy in every() {
            let parsed = policy.to_string().parse::<Policy>();
            assert_eq!(parsed, policy.checked());
            sound += usize::from(parsed.is_ok());
        }
        // Consensus: 2 protocols × 4 ways × 4 levels × 3; primary-backup: 4 × 3 × (three levels for two, one for two).
        assert_eq!(sound, 2 * 4 * 4 * 3 + 4 * 3 * (2 * 3 + 2));
    }

    #[test]
    fn what_is_left_out_is_the_default() {
        assert_eq!("raft".parse(), Ok(Policy::default()));
        let short: Policy = "primary-backup/pull/all".parse().expect("it makes sense");
        assert_eq!(
            short.to_string(),
            "primary-backup/pull/all/linearizable/fsync"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let refused = [
            ("", "protocol \"\" is not known"),
            ("chaos", "raft, paxos or primary-backup"),
            ("raft/shove", "push, pull, mixed or auto"),
            ("raft/push/most", "none, one, quorum or all"),
            ("raft/push/quorum/stale", "linearizable, lease"),
            ("raft/push/quorum/local/paper", "memory, buffered or fsync"),
            ("raft/push/quorum/local/fsync/", "five parts at most"),
            ("paxos/push/all", "acknowledges by quorum"),
            ("primary-backup/push/none", "no read is linearizable"),
        ];
        for (text, reason) in refused {
            let error = text.parse::<Policy>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
