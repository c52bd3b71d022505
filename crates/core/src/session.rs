//! Sessions: how a client has each of its commands applied once, however often it sends it.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::SessionId;

/// What a client asks of its session: the header of each command in a batch of [`Kind::Session`](crate::Kind::Session).
///
/// A client opens a session, numbers its commands from 1 on, and sends a command again under its number, through
/// whichever member, until it hears of its fate. All replicas keep the reply under (session, number), as part of
/// the replicated state, and answer a number that they know from there, without applying anything (`RELIABILITY` S1 to
/// S4; the scheme of Ongaro's thesis, section 6.3, with RIFL's acknowledgement of what was received).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionCall {
    /// Open a session. Its name is the position of this command.
    Open {
        /// It ends when log time has gone on so many milliseconds without a command of it; at most
        /// [`Self::TTL_MAX`].
        ttl_millis: u64,
    },
    /// Apply the command behind this header, unless it was applied before.
    Apply {
        /// Whose it is.
        session: SessionId,
        /// Its number in the session, from 1 on. Numbers may arrive in any order.
        sequence: u64,
        /// The client has the replies of all numbers up to this one: they may go.
        received: u64,
    },
    /// End a session, and forget its replies.
    Close {
        /// Which.
        session: SessionId,
    },
}

impl SessionCall {
    /// The longest time that a session may stay without a command; a longer one is cut to this.
    pub const TTL_MAX: Duration = Duration::from_hours(24 * 7);
    /// Bytes of a header at most: a tag and three numbers of up to ten bytes.
    pub(crate) const HEAD_MAX: usize = 31;

    /// Open a session that ends after `ttl` without a command.
    pub fn open(ttl: Duration) -> Self {
        let ttl = ttl.min(Self::TTL_MAX);
        Self::Open {
            ttl_millis: ttl.as_millis() as u64,
        }
    }

    /// The header as it stands before a command.
    pub(crate) fn head<'a>(&self, buffer: &'a mut [u8; Self::HEAD_MAX]) -> &'a [u8] {
        postcard::to_slice(self, buffer).expect("the buffer holds the longest header")
    }

    /// The header and `command` behind it, as one command of a batch.
    pub fn before(&self, command: &[u8]) -> Vec<u8> {
        let mut whole = Vec::with_capacity(Self::HEAD_MAX + command.len());
        whole.extend_from_slice(self.head(&mut [0; Self::HEAD_MAX]));
        whole.extend_from_slice(command);
        whole
    }

    /// A command of a batch, taken apart again. None: no member has written that.
    pub fn split(whole: &[u8]) -> Option<(Self, &[u8])> {
        postcard::take_from_bytes(whole).ok()
    }
}

/// Why a session gave no reply. The attempt that is answered so surely had no effect; an earlier one under the same
/// number may have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum SessionError {
    /// It has expired, was closed, or never was.
    #[error("no such session: it has expired, was closed, or never was")]
    Expired,
    /// The number is at or below one whose reply is not kept any more: it was applied before, or never will be.
    #[error("the reply under this number is not kept any more")]
    Forgotten,
    /// There are as many sessions as there may be.
    #[error("too many sessions")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_taken_off_again_and_never_longer_than_its_buffer() {
        let longest = SessionCall::Apply {
            session: SessionId(u64::MAX),
            sequence: u64::MAX,
            received: u64::MAX,
        };
        assert_eq!(longest.before(b"").len(), SessionCall::HEAD_MAX);
        let whole = longest.before(b"command");
        assert_eq!(SessionCall::split(&whole), Some((longest, &b"command"[..])));
        for length in 0..SessionCall::HEAD_MAX {
            assert_eq!(SessionCall::split(&whole[..length]), None);
        }
    }

    #[test]
    fn no_session_outlives_the_longest_time() {
        let SessionCall::Open { ttl_millis } = SessionCall::open(Duration::MAX) else {
            panic!("an open")
        };
        assert_eq!(u128::from(ttl_millis), SessionCall::TTL_MAX.as_millis());
    }
}
