//! How fresh a read is.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Position;

/// How fresh a read has to be. Any member answers reads of every level.
///
/// | level | sees | rests on | asks |
/// |---|---|---|---|
/// | linearizable | all that was acknowledged before it began, anywhere | nothing but the log | a quorum, once for all reads of a turn |
/// | lease | the same | clocks that run at nearly the same rate | the leader |
/// | bounded | all that was acknowledged a given time before it began | the member's own clock | the leader now and then |
/// | local | what the member has applied, and never less than it has shown before | nothing | nobody |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReadLevel {
    /// It sees every write that was acknowledged before it began, on any member.
    #[default]
    Linearizable,
    /// The same, as long as no member's clock runs faster than another's by more than the log's config says. A leader
    /// without a lease, or a log without leases, answers it as [`ReadLevel::Linearizable`], and the stamp says so.
    Lease,
    /// It sees every write that was acknowledged so long before it began, by the clock of the member that answers. If that
    /// member cannot make sure, it fails as [`Failure::TooStale`](crate::Failure::TooStale).
    Bounded(Duration),
    /// It sees what this member has applied: maybe old, never wrong, and never less than this member has shown before, also
    /// before a restart. Until a member that has started anew knows that, it asks for a leader as a linearizable read does.
    Local,
}

impl ReadLevel {
    /// One of each kind, the freshest first.
    pub const ALL: [Self; 4] = [
        Self::Linearizable,
        Self::Lease,
        Self::Bounded(Duration::from_secs(1)),
        Self::Local,
    ];

    /// Its kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linearizable => "linearizable",
            Self::Lease => "lease",
            Self::Bounded(_) => "bounded",
            Self::Local => "local",
        }
    }

    /// Whether it sees every write that was acknowledged before it began.
    pub const fn is_linearizable(self) -> bool {
        matches!(self, Self::Linearizable | Self::Lease)
    }

    /// A read of this level whose answer includes what stands at `position`.
    pub const fn after(self, position: Position) -> ReadCall {
        ReadCall {
            level: self,
            after: position,
        }
    }
}

impl fmt::Display for ReadLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bounded(within) => write!(f, "bounded:{}ms", within.as_millis()),
            Self::Linearizable | Self::Lease | Self::Local => f.pad(self.name()),
        }
    }
}

/// A text that names no [`ReadLevel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a read is linearizable, lease, bounded:<milliseconds>ms or local")]
pub struct UnknownReadLevel;

impl FromStr for ReadLevel {
    type Err = UnknownReadLevel;

    fn from_str(text: &str) -> Result<Self, UnknownReadLevel> {
        match text {
            "linearizable" => Ok(Self::Linearizable),
            "lease" => Ok(Self::Lease),
            "local" => Ok(Self::Local),
            _ => {
                let millis = text
                    .strip_prefix("bounded:")
                    .and_then(|text| text.strip_suffix("ms"));
                let millis = millis.and_then(|millis| millis.parse::<u32>().ok());
                let within = millis.map(|millis| Duration::from_millis(u64::from(millis)));
                within.map(Self::Bounded).ok_or(UnknownReadLevel)
            }
        }
    }
}

impl TryFrom<String> for ReadLevel {
    type Error = UnknownReadLevel;

    fn try_from(text: String) -> Result<Self, UnknownReadLevel> {
        text.parse()
    }
}

impl From<ReadLevel> for String {
    fn from(level: ReadLevel) -> Self {
        level.to_string()
    }
}

/// What a client asks of a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCall {
    /// How fresh it has to be.
    pub level: ReadLevel,
    /// What the answer has to include whatever the level: where a write of the client was applied, or what an earlier
    /// answer included, on any member. It waits until this member has applied that; zero: nothing to wait for.
    pub after: Position,
}

impl From<ReadLevel> for ReadCall {
    fn from(level: ReadLevel) -> Self {
        level.after(Position::ZERO)
    }
}

/// What an answer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadStamp {
    /// How it was answered: as asked, but for a lease read that took a quorum, which is [`ReadLevel::Linearizable`].
    pub level: ReadLevel,
    /// The last position applied in the state that it saw. Good as [`ReadCall::after`] of another read, on any member.
    pub applied: Position,
    /// All that was acknowledged so long before the read came in is included. None: it may be older by any time.
    pub behind: Option<Duration>,
}

impl fmt::Display for ReadStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            level,
            applied,
            behind,
        } = self;
        write!(f, "{level} at {applied}")?;
        match behind {
            Some(behind) => write!(f, ", {behind:?} behind"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_read_back_from_its_name() {
        for level in ReadLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        for text in [
            "bounded",
            "bounded:ms",
            "bounded:5",
            "bounded:-1ms",
            "Local",
        ] {
            assert_eq!(text.parse::<ReadLevel>(), Err(UnknownReadLevel), "{text}");
        }
    }
}
