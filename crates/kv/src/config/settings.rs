//! The settings as they are meant: complete, checked, and turned into the parts' own configs.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use quorate_core::{ClusterId, Durability, NodeId, Policy, Protocol};
use quorate_node::NodeConfig;
use quorate_paxos::{Lease as PaxosLease, PaxosConfig};
use quorate_primary_backup::PrimaryBackupConfig;
use quorate_raft::{Lease as RaftLease, RaftConfig};

use super::members::{Founding, MEMBER_ID_MAX, is_address, members};
use super::{ConfigError, Options};
use crate::server::{Limits, ServerConfig};

/// What a command may take beside the bytes of its request.
const ROOM_AROUND: u64 = 4096;

/// The replicated log that the server runs on.
#[derive(Clone, Debug)]
pub enum LogConfig {
    /// Raft.
    Raft(RaftConfig),
    /// Multi-Paxos.
    Paxos(PaxosConfig),
    /// Primary-backup.
    PrimaryBackup(PrimaryBackupConfig),
}

/// All that is needed to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The member.
    pub node: NodeConfig,
    /// Its log.
    pub log: LogConfig,
    /// The members at the beginning, as far as this one is told.
    pub founding: Founding,
    /// The server.
    pub server: ServerConfig,
    /// Where it listens for clients.
    pub client_addr: String,
    /// Threads that serve clients and the log.
    pub threads: usize,
}

impl Settings {
    /// What these options mean.
    ///
    /// # Errors
    /// [`ConfigError`] if something is missing or makes no sense.
    pub fn new(options: &Options) -> Result<Self, ConfigError> {
        let id = options.id.ok_or(ConfigError::Missing("id"))?;
        within("id", id, 1, MEMBER_ID_MAX)?;
        let peer_addr = address("peer-addr", options.peer_addr.as_ref(), 18_000, id)?;
        let client_addr = address("client-addr", options.client_addr.as_ref(), 17_000, id)?;
        if peer_addr == client_addr && !client_addr.ends_with(":0") {
            return absurd("client-addr", &client_addr, "is also the peer-addr");
        }
        let (peers, founding) = members(options, NodeId(id), &peer_addr)?;
        let limits = limits(options)?;
        let policy = policy(options)?;
        let durability = policy.durability;
        let node = node(
            options,
            (NodeId(id), durability),
            peer_addr,
            &peers,
            &limits,
        )?;
        let log = log(options, policy, NodeId(id), &founding)?;
        let server = ServerConfig {
            policy,
            limits,
            allow_faults: options.allow_faults.unwrap_or(false),
        };
        let threads = options.threads.unwrap_or(1);
        within("threads", threads, 1, 256)?;
        Ok(Self {
            node,
            log,
            founding,
            server,
            client_addr,
            threads: threads as usize,
        })
    }
}

/// The policy, with the parts that are given apart.
fn policy(options: &Options) -> Result<Policy, ConfigError> {
    let given = options.policy.as_deref().unwrap_or_default();
    let mut policy = match options.policy.as_deref().map(str::parse) {
        None => Policy::default(),
        Some(Ok(policy)) => policy,
        Some(Err(error)) => return absurd::<Policy>("policy", given, error),
    };
    instead(
        "protocol",
        options.protocol.as_deref(),
        &mut policy.protocol,
    )?;
    instead(
        "durability",
        options.durability.as_deref(),
        &mut policy.durability,
    )?;
    instead(
        "read-level",
        options.read_level.as_deref(),
        &mut policy.read_level,
    )?;
    policy
        .checked()
        .or_else(|error| absurd("policy", policy, error))
}

fn instead<T: FromStr<Err: Display>>(
    name: &'static str,
    given: Option<&str>,
    part: &mut T,
) -> Result<(), ConfigError> {
    let Some(given) = given else { return Ok(()) };
    match given.parse() {
        Ok(parsed) => *part = parsed,
        Err(error) => return absurd(name, given, error),
    }
    Ok(())
}

fn node(
    options: &Options,
    (id, durability): (NodeId, Durability),
    listen: String,
    peers: &BTreeMap<NodeId, String>,
    limits: &Limits,
) -> Result<NodeConfig, ConfigError> {
    let data = match (&options.data, durability) {
        (None, Durability::Memory) => PathBuf::new(),
        (None, _) => return Err(ConfigError::Missing("data")),
        (Some(dir), Durability::Memory) => {
            return absurd(
                "data",
                dir.display(),
                "nothing is written with --durability memory",
            );
        }
        (Some(dir), _) => dir.clone(),
    };
    let cluster = options.cluster.unwrap_or(1);
    within("cluster", cluster, 1, u64::MAX)?;
    let mut node = NodeConfig::new(ClusterId(cluster), id, data);
    node.advertise = match &options.address {
        None => peers.get(&id).cloned().unwrap_or_default(),
        Some(address) if is_address(address) => address.clone(),
        Some(address) => return absurd("address", address, "is not host:port"),
    };
    node.listen = listen;
    node.peers = peers.clone();
    node.peers.remove(&id);
    node.may_create = !options.require_data.unwrap_or(false);
    node.journal.durability = durability;
    if let Some(bytes) = options.segment_bytes {
        within("segment-bytes", bytes, 64 << 10, 1 << 30)?;
        node.journal.segment_bytes = bytes;
        // What a record may take at most has to follow a smaller segment; the check below sees whether that suffices.
        node.journal.record_bytes_max = node.journal.record_bytes_max.min(bytes / 2);
        node.journal.reserve_bytes = node.journal.reserve_bytes.min(bytes / 4);
    }
    let replica = &mut node.replica;
    replica.command_bytes_max = limits.request_bytes_max as u64 + ROOM_AROUND;
    replica.pending_bytes_max = replica.pending_bytes_max.max(2 * replica.command_bytes_max);
    if let Some(bytes) = options.snapshot_every_bytes {
        within("snapshot-every-bytes", bytes, 64 << 10, 1 << 40)?;
        replica.snapshot_every_bytes = bytes;
    }
    if let Some(count) = options.snapshot_receivers {
        within("snapshot-receivers", count, 1, 1000)?;
        replica.snapshot_receivers_max = count as usize;
    }
    replica.snapshot_bytes_per_second = options.snapshot_bytes_per_second.unwrap_or(0);
    if let Some(millis) = options.request_timeout_ms {
        within("request-timeout-ms", millis, 10, 600_000)?;
        replica.request_timeout = Duration::from_millis(millis);
    }
    node.check().map_err(|error| ConfigError::Absurd {
        name: "max-request-bytes",
        value: limits.request_bytes_max.to_string(),
        why: error.to_string(),
    })?;
    Ok(node)
}

fn log(
    options: &Options,
    policy: Policy,
    id: NodeId,
    Founding { voters, learners }: &Founding,
) -> Result<LogConfig, ConfigError> {
    if let Some(ppm) = options.lease_drift_ppm {
        within("lease-drift-ppm", ppm, 0, 900_000)?;
    }
    let drift_ppm = options.lease_drift_ppm.map(|ppm| ppm as u32);
    let log = match policy.protocol {
        Protocol::Raft => LogConfig::Raft(RaftConfig {
            lease: drift_ppm.map(|drift_ppm| RaftLease { drift_ppm }),
            learners: learners.clone(),
            ..RaftConfig::new(id, voters)
        }),
        Protocol::Paxos => LogConfig::Paxos(PaxosConfig {
            lease: drift_ppm.map(|drift_ppm| PaxosLease { drift_ppm }),
            learners: learners.clone(),
            ..PaxosConfig::new(id, voters)
        }),
        Protocol::PrimaryBackup if drift_ppm.is_some() => {
            let why = "a log without elections has no leases";
            return absurd("lease-drift-ppm", drift_ppm.unwrap_or_default(), why);
        }
        Protocol::PrimaryBackup => LogConfig::PrimaryBackup(PrimaryBackupConfig {
            write_ack: policy.write_ack,
            learners: learners.clone(),
            ..PrimaryBackupConfig::new(id, voters)
        }),
    };
    timed(log, options).map_err(|why| ConfigError::Absurd {
        name: "protocol",
        value: policy.protocol.to_string(),
        why,
    })
}

/// The log with the timeouts of these options, checked.
fn timed(mut log: LogConfig, options: &Options) -> Result<LogConfig, String> {
    // Only timeouts come of it: members need not differ, but it does no harm.
    let drawn = u64::from(std::process::id());
    let (patience, heartbeat) = match &mut log {
        LogConfig::Raft(raft) => {
            raft.seed = drawn;
            (&mut raft.election_timeout, &mut raft.heartbeat_interval)
        }
        LogConfig::Paxos(paxos) => {
            paxos.seed = drawn;
            (&mut paxos.election_timeout, &mut paxos.heartbeat_interval)
        }
        LogConfig::PrimaryBackup(plain) => (&mut plain.patience, &mut plain.heartbeat_interval),
    };
    if let Some(millis) = options.election_timeout_ms {
        *patience = Duration::from_millis(millis);
    }
    if let Some(millis) = options.heartbeat_ms {
        *heartbeat = Duration::from_millis(millis);
    }
    let checked = match &log {
        LogConfig::Raft(raft) => raft.validate().map_err(|error| error.to_string()),
        LogConfig::Paxos(paxos) => paxos.validate().map_err(|error| error.to_string()),
        LogConfig::PrimaryBackup(plain) => plain.validate().map_err(|error| error.to_string()),
    };
    checked.map(|()| log)
}

fn limits(options: &Options) -> Result<Limits, ConfigError> {
    let mut limits = Limits::default();
    if let Some(bytes) = options.max_request_bytes {
        within("max-request-bytes", bytes, 64 << 10, 24 << 20)?;
        limits.request_bytes_max = bytes as usize;
    }
    if let Some(bytes) = options.max_value_bytes {
        within("max-value-bytes", bytes, 1, 16 << 20)?;
        limits.value_bytes_max = bytes as usize;
    }
    let needed = limits.value_bytes_max + 4096;
    if needed > limits.request_bytes_max {
        let why = format!("a value of max-value-bytes and 4096 around it need {needed}");
        return absurd("max-request-bytes", limits.request_bytes_max, why);
    }
    if let Some(count) = options.max_connections {
        within("max-connections", count, 1, 1_000_000)?;
        limits.connections_max = count as usize;
    }
    Ok(limits)
}

/// Where to listen; by default on loopback, at a port that follows from the id.
fn address(
    name: &'static str,
    given: Option<&String>,
    base: u64,
    id: u64,
) -> Result<String, ConfigError> {
    let Some(given) = given else {
        return Ok(format!("127.0.0.1:{}", base + id));
    };
    if is_address(given) {
        return Ok(given.clone());
    }
    absurd(name, given, "is not host:port")
}

fn within(name: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    absurd(name, value, format_args!("allowed is {least} to {most}"))
}

pub(super) fn absurd<T>(
    name: &'static str,
    value: impl Display,
    why: impl Display,
) -> Result<T, ConfigError> {
    Err(ConfigError::Absurd {
        name,
        value: value.to_string(),
        why: why.to_string(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use clap::Parser;

    use super::*;

    fn settings(flags: &str) -> Result<Settings, ConfigError> {
        let flags = format!("quorate-kv {flags}");
        Settings::new(&Options::try_parse_from(flags.split_whitespace()).unwrap())
    }

    #[test]
    fn little_is_needed_and_the_rest_follows() {
        let settings = settings("--id 2 --data /d").unwrap();
        assert_eq!(settings.client_addr, "127.0.0.1:17002");
        assert_eq!(settings.node.listen, "127.0.0.1:18002");
        assert_eq!(settings.node.journal.durability, Durability::Fsync);
        assert_eq!(settings.server.policy, Policy::default());
        assert!(!settings.server.allow_faults);
        let LogConfig::Raft(raft) = settings.log else {
            panic!("raft is the default")
        };
        assert_eq!(raft.voters, [NodeId(2)]);
    }

    #[test]
    fn every_given_setting_arrives() {
        let settings = settings(
            "--id 1 --cluster 7 --durability memory --peers 1=a:1,2=b:2 --client-addr c:3 \
             --peer-addr p:4 --read-level local --election-timeout-ms 900 --heartbeat-ms 100 \
             --request-timeout-ms 1234 --segment-bytes 33554432 --snapshot-every-bytes 100000 \
             --max-value-bytes 1000 --max-request-bytes 100000 --max-connections 5 --allow-faults \
             --threads 2 --require-data --lease-drift-ppm 1000",
        )
        .unwrap();
        let Settings { node, server, .. } = &settings;
        assert_eq!((node.cluster, node.listen.as_str()), (ClusterId(7), "p:4"));
        assert_eq!(node.peers, BTreeMap::from([(NodeId(2), "b:2".into())]));
        assert_eq!(node.replica.request_timeout, Duration::from_millis(1234));
        assert_eq!(node.replica.snapshot_every_bytes, 100_000);
        assert_eq!(node.journal.segment_bytes, 33_554_432);
        assert!(!node.may_create && server.allow_faults);
        let policy = "raft/push/quorum/local/memory";
        assert_eq!(server.policy.to_string(), policy);
        assert_eq!(server.limits.value_bytes_max, 1000);
        assert_eq!(server.limits.request_bytes_max, 100_000);
        assert_eq!(server.limits.connections_max, 5);
        assert_eq!(
            (settings.client_addr.as_str(), settings.threads),
            ("c:3", 2)
        );
        let LogConfig::Raft(raft) = settings.log else {
            panic!("raft is the default")
        };
        assert_eq!(raft.voters, [NodeId(1), NodeId(2)]);
        assert_eq!(raft.election_timeout, Duration::from_millis(900));
        assert_eq!(raft.heartbeat_interval, Duration::from_millis(100));
        assert_eq!(raft.lease, Some(RaftLease { drift_ppm: 1000 }));
    }

    #[test]
    fn a_member_that_joins_begins_as_a_learner_among_the_voters_there_are() {
        let flags = "--id 4 --data d --join 1=a:1,2=b:2 --peer-addr p:4 --address q:4";
        let settings = settings(flags).unwrap();
        let founding = &settings.founding;
        assert_eq!(founding.voters, [NodeId(1), NodeId(2)]);
        assert_eq!(founding.learners, [NodeId(4)]);
        assert_eq!(founding.members(), [1, 2, 4].map(NodeId));
        assert_eq!(settings.node.advertise, "q:4");
        assert_eq!(settings.node.peers.len(), 2);
        let LogConfig::Raft(raft) = settings.log else {
            panic!("raft is the default")
        };
        assert_eq!(raft.learners, [NodeId(4)]);
    }

    #[test]
    fn a_policy_says_all_and_its_parts_may_be_given_apart() {
        let policy = |flags: &str| settings(&format!("--id 1 {flags}")).unwrap().server.policy;
        let given = policy("--policy paxos/mixed/quorum/local/memory");
        assert_eq!(given.to_string(), "paxos/mixed/quorum/local/memory");
        let given = policy("--policy raft/pull --protocol paxos --durability buffered --data d");
        assert_eq!(given.to_string(), "paxos/pull/quorum/linearizable/buffered");
    }

    #[test]
    fn absurd_settings_are_refused_with_the_reason() {
        let refused = [
            ("--data d", "--id is needed (or QUORATE_ID,"),
            ("--id 1", "--data is needed"),
            ("--id 0 --data d", "--id 0"),
            ("--id 1000 --data d", "--id 1000"),
            ("--id 1 --data d --cluster 0", "--cluster 0"),
            ("--id 1 --data d --durability none", "--durability none"),
            ("--id 1 --data d --durability memory", "nothing is written"),
            ("--id 1 --data d --protocol chaos", "--protocol chaos"),
            ("--id 1 --data d --read-level old", "--read-level old"),
            (
                "--id 1 --data d --policy raft/push/one",
                "acknowledges by quorum",
            ),
            (
                "--id 1 --data d --policy raft/throw",
                "push, pull, mixed or auto",
            ),
            (
                "--id 1 --data d --client-addr nowhere",
                "--client-addr nowhere",
            ),
            (
                "--id 1 --data d --client-addr h:1 --peer-addr h:1",
                "also the peer-addr",
            ),
            ("--id 1 --data d --peers 2=h:1", "not among them"),
            ("--id 1 --data d --peers 1=h:1,1=h:2", "comes twice"),
            ("--id 1 --data d --peers 1=h:1,2=h:1", "comes twice"),
            ("--id 1 --data d --peers 1=h", "is not id=host:port"),
            ("--id 1 --data d --join 1=h:1", "joins under a new id"),
            ("--id 3 --data d --join 1=h:1 --peers 3=h:3", "with --peers"),
            ("--id 1 --data d --address h", "--address h"),
            (
                "--id 1 --data d --election-timeout-ms 100",
                "three heartbeat",
            ),
            (
                "--id 1 --data d --request-timeout-ms 1",
                "--request-timeout-ms 1",
            ),
        ];
        refuse(&refused);
    }

    #[test]
    fn absurd_limits_are_refused_with_the_reason() {
        let refused = [
            ("--id 1 --data d --segment-bytes 5", "--segment-bytes 5"),
            (
                "--id 1 --data d --segment-bytes 1048576",
                "record_bytes_max",
            ),
            (
                "--id 1 --data d --snapshot-every-bytes 0",
                "--snapshot-every-bytes 0",
            ),
            ("--id 1 --data d --max-value-bytes 0", "--max-value-bytes 0"),
            (
                "--id 1 --data d --max-request-bytes 100000",
                "max-value-bytes and",
            ),
            ("--id 1 --data d --max-connections 0", "--max-connections 0"),
            ("--id 1 --data d --threads 0", "--threads 0"),
            (
                "--id 1 --data d --lease-drift-ppm 900001",
                "--lease-drift-ppm 900001",
            ),
            (
                "--id 1 --data d --protocol primary-backup --lease-drift-ppm 0",
                "has no leases",
            ),
        ];
        refuse(&refused);
    }

    fn refuse(refused: &[(&str, &str)]) {
        for (flags, reason) in refused {
            let error = settings(flags).expect_err(flags).to_string();
            assert!(error.contains(reason), "{flags}: {error}");
        }
    }
}
