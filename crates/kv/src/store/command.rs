//! What is asked of the store, as it stands in the log.

use bytes::Bytes;
use quorate_core::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One write, as it travels in the log: borrowed from the bytes it was decoded from.
///
/// The encoding is postcard's; variants and fields may only be appended, never moved, since old logs are
/// replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command<'a> {
    /// Gives a key a value.
    Set {
        /// Which key.
        #[serde(borrow)]
        key: Raw<'a>,
        /// What it holds from now on.
        value: Raw<'a>,
        /// When to do so at all.
        only: Only,
        /// When the key goes.
        expiry: Expiry,
        /// Whether to answer with the former value (nil: there was none) instead of `Ok`.
        get: bool,
    },
    /// Gives several keys their values; of a key named twice the last value stays. Clears their expiries.
    SetMany {
        /// Keys and values.
        #[serde(borrow)]
        pairs: Vec<(Raw<'a>, Raw<'a>)>,
    },
    /// Removes keys; answers how many there were.
    Delete {
        /// Which keys.
        #[serde(borrow)]
        keys: Vec<Raw<'a>>,
    },
    /// Removes a key; answers its value.
    Take {
        /// Which key.
        #[serde(borrow)]
        key: Raw<'a>,
    },
    /// Adds to the decimal number that a key holds (none: 0); answers the sum. The expiry stays.
    Add {
        /// Which key.
        #[serde(borrow)]
        key: Raw<'a>,
        /// How much.
        delta: i64,
    },
    /// Puts bytes behind the value of a key (none: empty); answers the new length. The expiry stays.
    Append {
        /// Which key.
        #[serde(borrow)]
        key: Raw<'a>,
        /// What to put behind.
        value: Raw<'a>,
        /// How many bytes the whole may have; beyond, it is refused. It stands in the command so that members
        /// with different limits still agree.
        bytes_max: u64,
    },
    /// Sets when a key goes; answers 1, or 0 if there is no such key or `only` does not hold.
    Expire {
        /// Which key.
        #[serde(borrow)]
        key: Raw<'a>,
        /// Milliseconds of `since`: in the past, the key goes at once.
        millis: i64,
        /// What `millis` counts from.
        since: Since,
        /// When to do so at all.
        only: OnlyExpiry,
    },
    /// Lets a key stay for ever; answers 1, or 0 if it had no expiry.
    Persist {
        /// Which key.
        #[serde(borrow)]
        key: Raw<'a>,
    },
    /// Removes everything.
    Clear,
}

/// Under which condition a key is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Only {
    /// Under none.
    #[default]
    Always,
    /// If the key is absent.
    Absent,
    /// If the key is present.
    Present,
}

/// What becomes of a key's expiry when it is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// The key stays for ever.
    #[default]
    Never,
    /// What it was before.
    Keep,
    /// The key goes so many milliseconds after the log time of the command.
    After(u64),
    /// The key goes at this log time.
    At(Timestamp),
}

/// What the milliseconds of [`Command::Expire`] count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Since {
    /// The log time of the command.
    Now,
    /// The Unix epoch.
    Epoch,
}

/// Under which condition an expiry is set. A key without one counts as expiring after all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnlyExpiry {
    /// Under none.
    #[default]
    Always,
    /// If there is none yet.
    None,
    /// If there is one.
    Some,
    /// If it puts the end off.
    Later,
    /// If it brings the end forward.
    Earlier,
}

impl<'a> Command<'a> {
    /// Sets `key` to `value`, unconditionally and for ever.
    pub const fn set(key: &'a [u8], value: &'a [u8]) -> Self {
        Self::Set {
            key: Raw(key),
            value: Raw(value),
            only: Only::Always,
            expiry: Expiry::Never,
            get: false,
        }
    }

    /// Adds `delta` to the number in `key`.
    pub const fn add(key: &'a [u8], delta: i64) -> Self {
        Self::Add {
            key: Raw(key),
            delta,
        }
    }

    /// Removes `key`.
    pub fn delete(key: &'a [u8]) -> Self {
        Self::Delete {
            keys: vec![Raw(key)],
        }
    }

    /// The bytes to propose.
    pub fn encode(&self) -> Bytes {
        postcard::to_allocvec(self)
            .expect("a command holds nothing that postcard refuses")
            .into()
    }

    /// The command that these bytes are, exactly; none if they are not one.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        match postcard::take_from_bytes(bytes) {
            Ok((command, [])) => Some(command),
            Ok(_) | Err(_) => None,
        }
    }
}

/// Bytes that a command borrows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Raw<'a>(pub &'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Raw)
    }
}

impl std::fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_decoded_as_it_was_encoded_and_only_whole() {
        let command = Command::SetMany {
            pairs: vec![(Raw(b"a"), Raw(b"")), (Raw(b""), Raw(&[0xff; 300]))],
        };
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes), Some(command));
        assert_eq!(Command::decode(&bytes[..bytes.len() - 1]), None);
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(Command::decode(&longer), None);
        assert_eq!(Command::decode(b""), None);
        assert_eq!(Command::decode(&[0xff; 9]), None);
    }
}
