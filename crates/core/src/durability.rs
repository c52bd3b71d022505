//! What "written" means: the one setting that every figure has to name.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// How far a record has to be before it counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nowhere: records are counted, not kept. A restarted member is a new incarnation with an empty log.
    Memory,
    /// Handed to the operating system: survives the death of the process, not of the machine.
    Buffered,
    /// On the medium (`fdatasync`): survives the loss of power.
    #[default]
    Fsync,
}

impl Durability {
    /// All of them, the weakest first.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Buffered, Self::Fsync];

    /// As configs and command lines write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Buffered => "buffered",
            Self::Fsync => "fsync",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no durability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("durability is memory, buffered or fsync, not {0:?}")]
pub struct UnknownDurability(pub String);

impl FromStr for Durability {
    type Err = UnknownDurability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|one| one.name() == text)
            .ok_or_else(|| UnknownDurability(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn every_durability_is_read_back_from_its_name() {
        for one in Durability::ALL {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        assert!("Fsync".parse::<Durability>().is_err());
        assert_eq!(Durability::default(), Durability::Fsync);
    }
}
