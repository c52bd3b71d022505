//! What a write answers.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What the store answers to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Ok,
    /// There is no value, or the condition did not hold.
    Nil,
    /// A value.
    Bulk(Bytes),
    /// A number.
    Integer(i64),
    /// The command made no sense on this state and changed nothing.
    Refused(Refusal),
}

/// Why a command changed nothing. The texts are those of Redis, without the `ERR` in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The value is not a decimal number of 64 bits.
    #[error("value is not an integer or out of range")]
    NotAnInteger,
    /// The sum does not fit 64 bits.
    #[error("increment or decrement would overflow")]
    Overflow,
    /// The value would become longer than allowed.
    #[error("string exceeds maximum allowed size (proto-max-bulk-len)")]
    TooLong,
    /// The expiry lies beyond the end of time.
    #[error("invalid expire time")]
    ExpireTime,
    /// The bytes in the log are no command of this store.
    #[error("not a command of this store")]
    NotACommand,
}
