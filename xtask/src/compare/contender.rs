//! Who is compared, and what each of them promises.

use quorate_core::{Direction, Durability, Policy, Protocol, WriteAck};
use serde::{Deserialize, Serialize};

/// Something that is measured beside others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// Members of Quorate's server under this policy.
    Quorate(Policy),
    /// Members of etcd, of this version.
    Etcd(String),
    /// A primary and its replicas of Redis, of this version.
    Redis(String),
}

/// Whether the simulator stands behind a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// What is measured is what the simulator breaks and checks.
    Simulated,
    /// The simulator does not run it; why not.
    Outside(&'static str),
    /// Others' work.
    Foreign,
}

impl Standing {
    /// In a table.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Simulated => "simulated".to_owned(),
            Self::Outside(why) => format!("NOT simulated: {why}"),
            Self::Foreign => "-".to_owned(),
        }
    }
}

impl Contender {
    /// Short, for legends and tables.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Quorate(policy) => short(*policy),
            Self::Etcd(version) => format!("etcd {version}"),
            Self::Redis(version) => format!("redis {version} + WAIT 1"),
        }
    }

    /// When a write counts as written, by the member that takes it.
    pub(crate) fn durability(&self) -> String {
        match self {
            Self::Quorate(policy) => policy.durability.to_string(),
            Self::Etcd(_) | Self::Redis(_) => "fsync".to_owned(),
        }
    }

    /// How entries get to the other members.
    pub(crate) fn strategy(&self) -> String {
        match self {
            Self::Quorate(policy) => policy.strategy.to_string(),
            Self::Etcd(_) | Self::Redis(_) => "push".to_owned(),
        }
    }

    /// Where a write is when it is acknowledged.
    pub(crate) fn acknowledgement(&self) -> String {
        let Self::Quorate(policy) = self else {
            return match self {
                Self::Redis(_) => "own disk; received by one replica".to_owned(),
                _ => "disks of a majority".to_owned(),
            };
        };
        let place = match policy.durability {
            Durability::Fsync => "disks",
            Durability::Buffered => "page caches",
            Durability::Memory => "memories",
        };
        match policy.write_ack {
            WriteAck::Quorum => format!("{place} of a majority"),
            WriteAck::All => format!("{place} of all"),
            WriteAck::One => format!("{place}: the primary's"),
            WriteAck::None => "nowhere yet".to_owned(),
        }
    }

    /// Whether the simulator stands behind it: `docs/testing.md` says what it runs.
    pub(crate) fn standing(&self) -> Standing {
        let Self::Quorate(policy) = self else {
            return Standing::Foreign;
        };
        if policy.write_ack != WriteAck::Quorum {
            return Standing::Outside("it runs primary-backup with quorum only");
        }
        match policy.durability {
            Durability::Fsync => Standing::Simulated,
            Durability::Buffered | Durability::Memory => {
                Standing::Outside("it runs members that sync")
            }
        }
    }

    /// Its policy, if it is one of Quorate's.
    pub(crate) fn policy(&self) -> Option<Policy> {
        match self {
            Self::Quorate(policy) => Some(*policy),
            Self::Etcd(_) | Self::Redis(_) => None,
        }
    }
}

/// As much of a policy as differs from the default, protocol and strategy always.
fn short(policy: Policy) -> String {
    let whole = policy.to_string();
    let usual = Policy {
        protocol: policy.protocol,
        strategy: policy.strategy,
        ..Policy::default()
    };
    let mut parts: Vec<_> = whole.split('/').collect();
    for usual in usual
        .to_string()
        .split('/')
        .skip(2)
        .collect::<Vec<_>>()
        .iter()
        .rev()
    {
        if parts.last() == Some(usual) {
            parts.pop();
        } else {
            break;
        }
    }
    parts.join("/")
}

/// What is compared unless told otherwise: each protocol with each strategy that is one by itself.
pub(crate) fn usual_policies() -> Vec<Policy> {
    let strategies = [Direction::Push, Direction::Pull, Direction::Mixed];
    let with = |protocol| {
        strategies.map(|strategy| Policy {
            protocol,
            strategy,
            ..Policy::default()
        })
    };
    Protocol::ALL.into_iter().flat_map(with).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn quorate(policy: &str) -> Contender {
        Contender::Quorate(policy.parse().unwrap())
    }

    #[test]
    fn a_name_says_what_is_not_usual() {
        for (policy, name) in [
            ("raft", "raft/push"),
            ("paxos/mixed", "paxos/mixed"),
            ("raft/pull/quorum/local", "raft/pull/quorum/local"),
            (
                "raft/push/quorum/linearizable/memory",
                "raft/push/quorum/linearizable/memory",
            ),
            ("primary-backup/push/all", "primary-backup/push/all"),
        ] {
            assert_eq!(quorate(policy).name(), name);
        }
    }

    #[test]
    fn only_what_the_simulator_runs_is_called_simulated() {
        let standing = |policy| quorate(policy).standing();
        for policy in usual_policies() {
            assert_eq!(Contender::Quorate(policy).standing(), Standing::Simulated);
        }
        for policy in [
            "primary-backup/push/all",
            "primary-backup/push/one/local",
            "primary-backup/push/none/local",
            "raft/push/quorum/linearizable/memory",
            "raft/push/quorum/linearizable/buffered",
        ] {
            assert!(matches!(standing(policy), Standing::Outside(_)), "{policy}");
        }
        assert_eq!(Contender::Etcd("3".into()).standing(), Standing::Foreign);
    }

    #[test]
    fn the_usual_policies_are_nine_and_make_sense() {
        let policies = usual_policies();
        assert_eq!(policies.len(), 9);
        assert!(policies.iter().all(|policy| policy.checked().is_ok()));
    }
}
