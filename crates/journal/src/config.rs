//! Limits, and who the directory belongs to.

use quorate_core::{ClusterId, Incarnation, NodeId};
use serde::{Deserialize, Serialize};

use crate::format::{PAGE, RECORD_HEADER};
use crate::{Durability, JournalError};

/// Payloads up to this many bytes are small: votes and promises, for which the reserve is kept.
pub const SMALL_RECORD_BYTES: u64 = 4096;

/// The largest segment, in bytes: recovery reads one as a whole.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1 << 30;
const SEGMENT_BYTES_MIN: u64 = 64 << 10;

/// The journal's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// When a record counts as written.
    pub durability: Durability,
    /// The size of a segment file, 64 KiB to 1 GiB, a multiple of 4096. Existing segments keep theirs.
    pub segment_bytes: u64,
    /// The largest payload of a record; with its header it has to fit into a segment.
    pub record_bytes_max: u64,
    /// What large records leave free of the last segment while no spare one can be made, so that small
    /// ones still fit; at most a quarter of a segment.
    pub reserve_bytes: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            segment_bytes: 64 << 20,
            record_bytes_max: 32 << 20,
            reserve_bytes: 1 << 20,
        }
    }
}

impl JournalConfig {
    /// Refuses what makes no sense, with the reason.
    pub fn validate(&self) -> Result<(), JournalError> {
        let refuse = |why: String| Err(JournalError::Config(why));
        let segment = self.segment_bytes;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment)
            || !segment.is_multiple_of(PAGE)
        {
            return refuse(format!(
                "segment_bytes is {segment}, allowed are multiples of {PAGE} \
                 from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}"
            ));
        }
        let largest = segment - PAGE - RECORD_HEADER as u64 - 8;
        if self.record_bytes_max == 0 || self.record_bytes_max > largest {
            return refuse(format!(
                "record_bytes_max is {}, allowed is 1 to {largest} with segments of {segment}",
                self.record_bytes_max
            ));
        }
        if self.reserve_bytes > segment / 4 {
            return refuse(format!(
                "reserve_bytes is {}, allowed is up to a quarter of segment_bytes, {}",
                self.reserve_bytes,
                segment / 4
            ));
        }
        Ok(())
    }
}

/// Whose journal is opened, and what a new one is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The configured cluster.
    pub cluster: ClusterId,
    /// The configured member.
    pub member: NodeId,
    /// The incarnation to give to a new directory, drawn at random. `None` means that the directory is
    /// expected to exist: if it is empty, the journal refuses instead of starting as somebody new
    /// (`RELIABILITY` C7).
    pub fresh: Option<Incarnation>,
    /// Microseconds since the Unix epoch: the lower bound of the next [`Life`](quorate_core::Life), so that
    /// it rises also after the disk was wiped.
    pub unix_micros: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_limits_are_refused_with_the_reason() {
        JournalConfig::default()
            .validate()
            .expect("the default makes sense");
        let absurd: [fn(&mut JournalConfig); 5] = [
            |config| config.segment_bytes = 4096,
            |config| config.segment_bytes += 1,
            |config| config.record_bytes_max = config.segment_bytes,
            |config| config.record_bytes_max = 0,
            |config| config.reserve_bytes = config.segment_bytes,
        ];
        for spoil in absurd {
            let mut config = JournalConfig::default();
            spoil(&mut config);
            let error = config.validate().expect_err("absurd");
            assert_eq!(error.exit_code(), 78, "{error}");
        }
    }
}
