//! What an operator does where members do not elect their leader: look who has most, promote it, and count what may be gone.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use quorate_core::{Policy, WriteAck};
use redis::Cmd;
use tokio::time::{Instant, sleep};

use super::members::Members;
use crate::cluster::status::{Status, ask};

/// A promotion that is refused all the time is given up then.
const PROMOTED: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);

/// What is known of the primary just before it is struck.
pub(crate) struct Eve {
    member: u16,
    /// The last position that it had carried out.
    applied: u64,
    /// Writes that were acknowledged to clients by then.
    acknowledged: u64,
}

/// A promotion that has taken place.
pub(crate) struct Promotion {
    /// Who leads now.
    pub(crate) member: u16,
    /// Acknowledged writes that may be lost with a primary that was killed, at most.
    pub(crate) exposed: u64,
}

impl Eve {
    /// Asks `member`, while `acknowledged` writes are.
    ///
    /// # Errors
    /// If it gives no answer.
    pub(crate) async fn of(members: &Members, member: u16, acknowledged: u64) -> Result<Self> {
        let status = Status::of(&members.layout().client_addr(member)).await?;
        let applied = status
            .number("applied")
            .context("a status without a position")?;
        Ok(Self {
            member,
            applied,
            acknowledged,
        })
    }

    /// Promotes whoever has most of those that are left, now that `acknowledged` writes are and `clients` wait for one.
    ///
    /// Each write takes one position. So what the old primary had carried out and the new one does not have is at most what
    /// it had before, less what the new one has, and what was acknowledged in between or was about to be.
    ///
    /// # Errors
    /// If nobody can be promoted.
    pub(crate) async fn promote(
        self,
        members: &Members,
        acknowledged: u64,
        clients: u64,
    ) -> Result<Promotion> {
        let end = Instant::now() + PROMOTED;
        loop {
            let outcome = self.try_promote(members).await;
            match outcome {
                Ok((member, last)) => {
                    let since = acknowledged.saturating_sub(self.acknowledged) + clients;
                    let exposed = self.applied.saturating_sub(last) + since;
                    return Ok(Promotion { member, exposed });
                }
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => sleep(POLL).await,
            }
        }
    }

    async fn try_promote(&self, members: &Members) -> Result<(u16, u64)> {
        let mut most = None;
        for (id, status) in members.statuses().await {
            if let Ok(status) = status
                && id != self.member
            {
                most = most.max(status.number("log_last").map(|last| (last, id)));
            }
        }
        let Some((last, id)) = most else {
            bail!("no member is left to promote")
        };
        let mut command = Cmd::new();
        command.arg("QUORATE").arg("PROMOTE");
        let answer = ask(&members.layout().client_addr(id), &command).await;
        answer.with_context(|| format!("member {id} is not promoted"))?;
        Ok((id, last))
    }
}

/// What a policy allows for after what has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Reads may be stale.
    pub(crate) stale: bool,
    /// So many acknowledged writes may be lost at most; none: nobody knows how many.
    pub(crate) lost: Option<u64>,
}

impl Allowance {
    /// What `policy` allows for, if killed primaries may have taken `exposed` writes with them and members report that
    /// they gave up `reported` entries.
    pub(crate) fn new(policy: Policy, exposed: u64, reported: Option<u64>) -> Self {
        let weak = !policy.keeps_acknowledged();
        debug_assert_eq!(
            weak,
            matches!(policy.write_ack, WriteAck::None | WriteAck::One)
        );
        Self {
            stale: weak || !policy.read_level.is_linearizable(),
            lost: if weak {
                reported.map(|reported| exposed + reported)
            } else {
                Some(0)
            },
        }
    }
}

/// The entries that all members say to have given up, if all of them know.
pub(crate) async fn reported(members: &Members) -> Option<u64> {
    let statuses = members.statuses().await;
    let counts = statuses
        .into_iter()
        .map(|(_, status)| status.ok()?.number("entries_lost"));
    counts.sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn only_what_is_acknowledged_early_may_be_lost() {
        let allowed = |policy: &str| Allowance::new(policy.parse().unwrap(), 5, Some(2));
        let (strict, local) = (Some(0), Some(7));
        for (policy, stale, lost) in [
            ("raft", false, strict),
            ("raft/push/quorum/local", true, strict),
            ("primary-backup/pull/all", false, strict),
            ("primary-backup/pull/one/local", true, local),
            ("primary-backup/push/none/local", true, local),
        ] {
            assert_eq!(allowed(policy), Allowance { stale, lost }, "{policy}");
        }
        let unknown = Allowance::new("primary-backup/push/one/local".parse().unwrap(), 5, None);
        assert_eq!(unknown.lost, None);
    }
}
