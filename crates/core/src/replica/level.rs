//! How fresh a read is.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadLevel {
    /// It sees every write that was acknowledged before it began, on any member.
    #[default]
    Linearizable,
    /// It sees what this member has applied: maybe old, never wrong, always there.
    Local,
}

impl ReadLevel {
    /// All of them, the freshest first.
    pub const ALL: [Self; 2] = [Self::Linearizable, Self::Local];

    /// As configs and command lines write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linearizable => "linearizable",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for ReadLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no [`ReadLevel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a read is linearizable or local")]
pub struct UnknownReadLevel;

impl FromStr for ReadLevel {
    type Err = UnknownReadLevel;

    fn from_str(text: &str) -> Result<Self, UnknownReadLevel> {
        let level = Self::ALL.into_iter().find(|level| level.name() == text);
        level.ok_or(UnknownReadLevel)
    }
}
