//! When a write counts as done, where a log leaves the choice.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a write has to be before it is acknowledged.
///
/// A log by consensus knows only [`WriteAck::Quorum`]; primary-backup leaves the choice, and what may be lost with it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum WriteAck {
    /// In the memory of the member that takes it.
    None,
    /// On that member's disk.
    One,
    /// On the disks of a quorum.
    #[default]
    Quorum,
    /// On the disk of every member.
    All,
}

impl WriteAck {
    /// Every level, from the weakest on.
    pub const EVERY: [Self; 4] = [Self::None, Self::One, Self::Quorum, Self::All];

    /// The level's name, as printed and parsed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::One => "one",
            Self::Quorum => "quorum",
            Self::All => "all",
        }
    }
}

impl fmt::Display for WriteAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no [`WriteAck`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a write is acknowledged by `none`, `one`, `quorum` or `all`")]
pub struct UnknownWriteAck;

impl FromStr for WriteAck {
    type Err = UnknownWriteAck;

    fn from_str(text: &str) -> Result<Self, UnknownWriteAck> {
        let level = Self::EVERY.into_iter().find(|level| level.name() == text);
        level.ok_or(UnknownWriteAck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn what_is_printed_is_parsed_and_nothing_else_is() {
        for level in WriteAck::EVERY {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        for text in ["", "None", "quorum ", "two"] {
            assert_eq!(text.parse::<WriteAck>(), Err(UnknownWriteAck));
        }
    }

    #[test]
    fn a_later_level_asks_for_more() {
        assert!(WriteAck::EVERY.is_sorted());
    }
}
